/**
 * Whether every peer promises the same: its system calls are traced once, and what makes data durable is counted (fsync, fdatasync,
 * msync, writes through a file opened with O_SYNC or O_DSYNC, writes with RWF_DSYNC), for lone transactions and for 64 clients.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const CALLS = 'openat,fsync,fdatasync,msync,sync_file_range,write,writev,pwrite64,pwritev,pwritev2';

function hasStrace() {
  try {
    execFileSync('strace', ['-V'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** `trace`: the lines of strace -f. Answers, for each part between marks, how often which call made something durable. */
export function countSyncs(trace) {
  const parts = {};
  const throughs = new Set();
  const opening = new Map();
  let part = 'before';
  for (const line of trace.split('\n')) {
    const [, pid = '', call = '', rest = ''] = /^(\d+)\s+(?:<\.\.\. )?(\w+)(.*)$/.exec(line) ?? [];
    const mark = /sop-bench-mark\/(\w+)"/.exec(line)?.[1];
    if (mark !== undefined) part = mark;
    const isResumed = rest.startsWith(' resumed>');
    if (call === 'openat') noteOpening(pid, rest, isResumed, opening, throughs);
    else if (!isResumed && isDurable(call, rest, throughs)) {
      parts[part] ??= {};
      const name = call.includes('write') ? `${call} through` : call;
      parts[part][name] = (parts[part][name] ?? 0) + 1;
    }
  }
  return parts;
}

/** A number of a file may be given again, for a file without the flag. */
function noteOpening(pid, rest, isResumed, opening, throughs) {
  const isThrough = isResumed ? opening.get(pid) === true : /O_D?SYNC/.test(rest);
  if (rest.includes('<unfinished')) opening.set(pid, isThrough);
  const fd = /= (\d+)$/.exec(rest)?.[1];
  if (fd === undefined) return;
  if (isThrough) throughs.add(fd);
  else throughs.delete(fd);
}

function isDurable(call, rest, throughs) {
  if (call === 'fsync' || call === 'fdatasync' || call === 'sync_file_range') return true;
  if (call === 'msync') return rest.includes('MS_SYNC');
  return rest.includes('RWF_DSYNC') || rest.includes('RWF_SYNC') || throughs.has(/^\((\d+)/.exec(rest)?.[1]);
}

const sum = (counts = {}) => Object.values(counts).reduce((total, count) => total + count, 0);
const inWords = (counts = {}) =>
  Object.entries(counts)
    .map(([call, count]) => `${count} ${call}`)
    .join(', ') || 'none';

function traceOne(peer, folder) {
  const data = join(folder, `${peer.name}-syncs`);
  const output = `${data}.strace`;
  rmSync(data, { recursive: true, force: true });
  mkdirSync(data, { recursive: true });
  const program = [process.execPath, join(here, 'sync-child.mjs'), peer.name, data];
  try {
    const said = execFileSync('strace', ['-f', '-o', output, '-e', `trace=${CALLS}`, ...program], { encoding: 'utf8' });
    const transactions = JSON.parse(/^RESULT (.*)$/m.exec(said)[1]);
    return { transactions, syncs: countSyncs(readFileSync(output, 'utf8')) };
  } finally {
    rmSync(data, { recursive: true, force: true });
    rmSync(output, { force: true });
  }
}

/** Prints the counts and writes them to `syncs.json` in `out`. */
export function traceSyncs(peers, folder, out) {
  if (!hasStrace()) {
    console.log('strace is not installed: how often each peer syncs cannot be counted here (apt-get install strace)');
    return;
  }
  const found = {};
  for (const peer of peers.filter(({ name }) => name !== 'map' && name !== 'lmdb-cache')) {
    const { transactions, syncs } = traceOne(peer, folder);
    found[peer.name] = { transactions, syncs };
    for (const part of ['lone', 'many']) {
      const each = sum(syncs[part]) / transactions[part];
      console.log(
        `${peer.name.padEnd(13)} ${part === 'lone' ? '1 client  ' : '64 clients'} ${transactions[part]} transactions: ` +
          `${inWords(syncs[part])} (${each.toFixed(2)} each)`,
      );
    }
  }
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'syncs.json'), `${JSON.stringify(found, null, 1)}\n`);
}
