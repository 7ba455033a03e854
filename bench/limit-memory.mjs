/**
 * A limit on all memory of a child, page cache included (a control group; root on Linux only): lmdb has no cache of its own, so an
 * allowance that is the same for everybody can only be set from outside. What Node and the keys of the harness take comes on top.
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const V1 = '/sys/fs/cgroup/memory';
const V2 = '/sys/fs/cgroup';

/** Node itself, and a record's key in an array. */
const NODE_MIB = 80;
const KEY_BYTES = 40;

/** Answers `command(program, args)`, which wraps a call so that it runs under the limit, and how to remove the group. */
export function memoryGroup(megabytes, records) {
  const bytes = Math.ceil((megabytes + NODE_MIB) * 2 ** 20 + records * KEY_BYTES);
  const isV1 = existsSync(join(V1, 'memory.limit_in_bytes'));
  const folder = join(isV1 ? V1 : V2, `sop-bench-${process.pid}`);
  mkdirSync(folder);
  writeFileSync(join(folder, isV1 ? 'memory.limit_in_bytes' : 'memory.max'), String(bytes));
  const enter = `echo $$ > ${join(folder, 'cgroup.procs')} && exec "$@"`;
  return {
    command: (program, args) => ['sh', ['-c', enter, 'sh', program, ...args]],
    remove: () => rmdirSync(folder),
  };
}
