/**
 * Touches everything that a program can touch in a database whose bytes nobody vouches for: every value decoded, counted, looked
 * up, scanned both ways, verified; then, opened for writing, merged and compacted. Typed errors of any kind are fine.
 */
import { SopError } from '../../src/base/errors.ts';
import type { Env } from '../../src/env/env.ts';
import { Database } from '../../src/store/database.ts';
import type { Transaction } from '../../src/store/transaction.ts';
import type { EngineApi } from '../../src/transaction/engine-api.ts';
import { openEngine } from '../../src/transaction/engine.ts';
import { FOLDER, type FolderBytes, readOnlyEnv, writableEnv } from './bytes-env.ts';
import { readStore, readStoreBackwards } from './content.ts';
import { Misjudged } from './judge.ts';
import type { Subject } from './subjects.ts';

const READ_LIMIT_BYTES = 64 * 1024 * 1024;
const MEMORY_LIMIT_BYTES = 96 * 1024 * 1024;

/** What may come back from hostile bytes. `TOO_OLD`: a forged record says that a file was reclaimed. */
const ALLOWED: ReadonlySet<string> = new Set([
  'CORRUPTION',
  'FORMAT_UNSUPPORTED',
  'DATABASE_NOT_FOUND',
  'STORE_NOT_FOUND',
  'STORE_MISMATCH',
  'TOO_OLD',
  'LIMIT_EXCEEDED',
]);

async function attempt<T>(doing: string, work: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SopError && ALLOWED.has(error.code)) return undefined;
    throw new Misjudged(`${doing} threw ${String((error as Error)?.stack ?? error)}`, { cause: error });
  }
}

/** Answers whether it could be opened at all. */
export async function walkHostile(subject: Subject, folder: FolderBytes, writable: boolean): Promise<boolean> {
  const memory = process.memoryUsage().arrayBuffers;
  const env = writable ? writableEnv(folder, 5) : readOnlyEnv(folder, READ_LIMIT_BYTES);
  const engine = await attempt('opening', () => openEngine(env, { ...subject.options, readOnly: !writable }));
  if (engine === undefined) return false;
  try {
    await walkBytes(engine, subject.stores);
    await walkStores(engine, env);
    await attempt('verify', () => engine.verify());
    if (writable) {
      await attempt('a checkpoint', () => engine.checkpoint());
      await attempt('compaction', () => engine.compact());
      await walkBytes(engine, subject.stores);
    }
  } finally {
    await attempt('closing', () => engine.close());
  }
  const grown = process.memoryUsage().arrayBuffers - memory;
  if (grown > MEMORY_LIMIT_BYTES) throw new Misjudged(`took ${Math.round(grown / 1e6)} MB of memory in ${FOLDER}`);
  return true;
}

async function walkBytes(engine: EngineApi, stores: readonly number[]): Promise<void> {
  const tx = engine.begin('read');
  try {
    for (const storeId of stores) {
      await attempt(`a scan of store ${storeId}`, () => readStore(tx, storeId));
      await attempt(`a scan back of store ${storeId}`, () => readStoreBackwards(tx, storeId));
      tx.waits = true;
      await attempt(`a count of store ${storeId}`, () => tx.count(storeId, undefined, undefined));
      const key = Buffer.from([0x38, 0x6e]);
      await attempt(`a get in store ${storeId}`, () => tx.find(storeId, key, 0, key.length));
      const cursor = tx.cursor(storeId);
      cursor.waits = true;
      await attempt(`a rank in store ${storeId}`, () => tx.seekRank(storeId, 5, cursor));
    }
  } finally {
    tx.rollback();
  }
}

async function walkStores(engine: EngineApi, env: Env): Promise<void> {
  const db = new Database(engine, env);
  const stores = await attempt('the list of stores', () => db.stores());
  for (const { name } of stores ?? []) {
    await attempt(`the description of ${name}`, () => db.describe(name));
    await attempt(`a reading of ${name}`, () => db.read((tx) => walkStore(tx, name)));
  }
}

async function walkStore(tx: Transaction, name: string): Promise<void> {
  const store = tx.store(name);
  let met = 0;
  for await (const { key, value } of store.range()) {
    if (met++ > 50_000) throw new Misjudged(`store ${name} has no end`);
    if (met <= 3) await store.get(key as never);
    void value;
  }
}
