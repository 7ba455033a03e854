/**
 * A limit on all memory of a child, page cache included (a control group; root on Linux only): lmdb has no cache of its own, so an
 * allowance that is the same for everybody can only be set from outside.
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const V1 = '/sys/fs/cgroup/memory';
const V2 = '/sys/fs/cgroup';

/** Answers `command(program, args)`, which wraps a call so that it runs under the limit, and how to remove the group. */
export function memoryGroup(megabytes) {
  const isV1 = existsSync(join(V1, 'memory.limit_in_bytes'));
  const folder = join(isV1 ? V1 : V2, `sop-bench-${process.pid}`);
  mkdirSync(folder);
  writeFileSync(join(folder, isV1 ? 'memory.limit_in_bytes' : 'memory.max'), String(megabytes * 2 ** 20));
  const enter = `echo $$ > ${join(folder, 'cgroup.procs')} && exec "$@"`;
  return {
    command: (program, args) => ['sh', ['-c', enter, 'sh', program, ...args]],
    remove: () => rmdirSync(folder),
  };
}
