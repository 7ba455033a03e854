/** What a result was measured on, and the two things the runner asks of the system: to write out what is dirty, to forget what it caches. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { versionOf } from './peers.mjs';

function ask(program, args) {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

/** `folder`: where the data lie. */
export async function describeMachine(folder, peers) {
  const versions = {};
  for (const peer of peers) versions[peer.name] = await versionOf(peer);
  return {
    cpu: cpus()[0]?.model,
    cpus: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    platform: `${process.platform} ${process.arch} ${release()}`,
    fileSystem: ask('df', ['--output=fstype,source', folder])?.split('\n')[1],
    commit: ask('git', ['-C', import.meta.dirname, 'rev-parse', '--short', 'HEAD']),
    versions,
  };
}

export const writeOutDirty = () => ask('sync', []);

/**
 * Empties the page cache: the whole machine's where we may, else that of the folder's files (the code stays cached then).
 * Answers how, or undefined where neither is possible.
 */
export function evict(folder) {
  writeOutDirty();
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '1');
    return 'drop_caches';
  } catch {
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const done = files.map((entry) =>
      ask('dd', [`if=${join(entry.parentPath, entry.name)}`, 'iflag=nocache', 'count=0']),
    );
    return done.includes(undefined) ? undefined : 'fadvise';
  }
}

/** The first word of the load average: on a machine that others use, figures are not worth much. */
export function loadAverage() {
  try {
    return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
  } catch {
    return undefined;
  }
}
