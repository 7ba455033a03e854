/**
 * Who takes part. A peer is a file in `peers/` that exports `open(folder, options)`; what its object cannot do (`transfer` with
 * LevelDB) is left out of the works that need it. Variants share the folder of their family and take part only where they differ.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import { join } from 'node:path';

const here = import.meta.dirname;
const require = createRequire(join(here, 'peers', 'x.mjs'));

/** `volatile`: keeps nothing, so each process loads it anew. `package`: what must be installed. */
export const allPeers = [
  { name: 'sop', about: 'SOP, this repository', family: 'sop' },
  { name: 'lmdb', about: 'lmdb-js, msgpack with shared structures', package: 'lmdb', family: 'lmdb' },
  { name: 'lmdb-cache', about: 'lmdb-js with its cache of objects', package: 'lmdb', family: 'lmdb', only: 'reads' },
  { name: 'sqlite', about: 'better-sqlite3, clients grouped by us', package: 'better-sqlite3', family: 'sqlite' },
  {
    name: 'sqlite-alone',
    about: 'better-sqlite3 as it is',
    package: 'better-sqlite3',
    family: 'sqlite',
    only: 'clients',
  },
  { name: 'node-sqlite', about: 'node:sqlite, clients grouped by us', package: 'node:sqlite', family: 'node-sqlite' },
  { name: 'rocksdb', about: 'RocksDB (rocksdb-native)', package: 'rocksdb-native', family: 'rocksdb' },
  { name: 'level', about: 'LevelDB (classic-level)', package: 'classic-level', family: 'level' },
  { name: 'map', about: 'yardstick: a Map, nothing kept', family: 'map', volatile: true },
  { name: 'log', about: 'yardstick: append and fdatasync, nothing read', family: 'log', volatile: true },
];

export const peerOf = (name) => allPeers.find((peer) => peer.name === name);

/** Why a peer cannot take part here; undefined where it can. */
export function absence({ name, package: needed }) {
  if (name === 'sop') return existsSync(join(here, '..', 'dist', 'index.mjs')) ? undefined : 'dist/ is not built';
  if (needed === undefined) return undefined;
  if (needed.startsWith('node:')) return isBuiltin(needed) ? undefined : `this Node has no ${needed}`;
  try {
    require.resolve(needed);
    return undefined;
  } catch {
    return `${needed} is not installed`;
  }
}

/** The version of what was measured. */
export async function versionOf({ name, package: needed }) {
  if (name === 'sop') return readVersion(join(here, '..', 'package.json'));
  if (needed === 'node:sqlite') {
    const { DatabaseSync } = await import('node:sqlite');
    return `SQLite ${new DatabaseSync(':memory:').prepare('SELECT sqlite_version() AS version').get().version}`;
  }
  return needed === undefined ? undefined : readVersion(join(here, 'node_modules', needed, 'package.json'));
}

const readVersion = (path) => JSON.parse(readFileSync(path, 'utf8')).version;
