/** For tests of the engine in memory: everything as small as it goes, and short words for transactions. */
import type { Env } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import type { EngineApi, EngineOptions, EngineTransaction } from '../../../src/transaction/engine-api.ts';
import { openEngine } from '../../../src/transaction/engine.ts';

export const FOLDER = '/db';
export const STORE = 100;

export function openSmall(env: Env = memoryEnv(), more: Partial<EngineOptions> = {}): Promise<EngineApi> {
  return openEngine(env, { folder: FOLDER, tableBytes: 64 * 1024, cacheBytes: 1024 * 1024, ...more });
}

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A cell that holds `value` in place. */
export function cellOf(value: Uint8Array): Uint8Array {
  const cell = new Uint8Array(1 + value.length);
  cell.set(value, 1);
  return cell;
}

export function put(tx: EngineTransaction, key: string, value: string | Uint8Array, store = STORE): void {
  const bytes = bytesOf(key);
  const cell = cellOf(typeof value === 'string' ? bytesOf(value) : value);
  tx.put(store, bytes, 0, bytes.length, cell, 0, cell.length, undefined);
}

/** Puts a value that lies in a segment. */
export function putSeparate(tx: EngineTransaction, key: string, value: Uint8Array, store = STORE): void {
  const bytes = bytesOf(key);
  const reference = tx.writeValue(store, bytes, 0, bytes.length, value);
  const cell = new Uint8Array(1 + reference.length);
  cell[0] = 1;
  cell.set(reference, 1);
  tx.put(store, bytes, 0, bytes.length, cell, 0, cell.length, undefined);
}

/** The value of a key, wherever it lies; undefined where there is none. */
export function get(tx: EngineTransaction, key: string, store = STORE): Uint8Array | undefined {
  const bytes = bytesOf(key);
  tx.waits = true;
  if (tx.find(store, bytes, 0, bytes.length) !== 1) return undefined;
  const cell = tx.foundBytes.slice(tx.foundStart, tx.foundEnd);
  return ((cell[0] as number) & 1) === 0 ? cell.slice(1) : tx.readValueSync(cell, 0, cell.length);
}

export function getText(tx: EngineTransaction, key: string, store = STORE): string | undefined {
  const found = get(tx, key, store);
  return found && new TextDecoder().decode(found);
}

export async function write(engine: EngineApi, work: (tx: EngineTransaction) => void): Promise<number> {
  const tx = engine.begin('write');
  work(tx);
  return await tx.commit();
}

/** All keys of a store, in order. */
export function keysOf(tx: EngineTransaction, store = STORE): string[] {
  const cursor = tx.cursor(store);
  cursor.waits = true;
  const keys: string[] = [];
  for (let step = cursor.first(); step === 1; step = cursor.next()) {
    keys.push(new TextDecoder().decode(cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd)));
  }
  return keys;
}

/** The promise's answer, or a failure that names what never came. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
