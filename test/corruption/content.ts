/**
 * What a database holds, read through the engine as plain text that can be compared: for each store its entries in order,
 * each key, ride-on part and value byte by byte. Where bytes are stored (in the log, in a leaf, in a segment) leaves no trace.
 */
import { CorruptionError, SopError } from '../../src/base/errors.ts';
import { CELL_RIDE_ON, CELL_SEPARATE, cellValueStart } from '../../src/codec/cell.ts';
import { AT, END } from '../../src/node/entry-cursor.ts';
import type { EngineApi, EngineTransaction } from '../../src/transaction/engine-api.ts';
import { FOUND } from '../../src/storage/find-result.ts';
import { CATALOG_STORE, SHAPE_STORE } from '../../src/storage/system-stores.ts';

/** Entries of a store, in order: `[key, ride-on and value]`, in Latin-1. */
export type Entries = readonly (readonly [key: string, content: string])[];
/** By store id. A store without entries is not in it. */
export type Content = ReadonlyMap<number, Entries>;

/** Compared beside the stores that users make. */
export const OWN_STORES: readonly number[] = [CATALOG_STORE, SHAPE_STORE];

export const textOf = (bytes: Uint8Array, start = 0, end: number = bytes.length): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');

/** Ride-on part and value of a cell, wherever the value lies. */
export function cellText(tx: EngineTransaction, bytes: Uint8Array, start: number, end: number): string {
  const flags = bytes[start] as number;
  const valueStart = cellValueStart(bytes, start);
  // As the store floor says it of a forged cell.
  if (valueStart > end) throw new CorruptionError('a cell ends before its value');
  const rideOn = (flags & CELL_RIDE_ON) === 0 ? '' : textOf(bytes, start + 3, valueStart);
  if ((flags & CELL_SEPARATE) === 0) return `${rideOn}|${textOf(bytes, valueStart, end)}`;
  return `${rideOn}|${textOf(tx.readValueSync(bytes, start, end))}`;
}

/** All entries of a store; throws what reading throws. More than `limit` entries are too many: it goes round in a circle. */
export function readStore(tx: EngineTransaction, storeId: number, limit = 100_000): Entries {
  const entries: [string, string][] = [];
  const cursor = tx.cursor(storeId);
  cursor.waits = true;
  tx.waits = true;
  for (let step = cursor.first(); step !== END; step = cursor.next()) {
    if (step !== AT) throw new Error(`a cursor that waits answered ${step}`);
    const { keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd } = cursor;
    entries.push([textOf(keyBytes, keyStart, keyEnd), cellText(tx, cellBytes, cellStart, cellEnd)]);
    if (entries.length > limit) throw new Error(`store ${storeId} has no end`);
  }
  return entries;
}

/** The same, backwards. */
export function readStoreBackwards(tx: EngineTransaction, storeId: number, limit = 100_000): Entries {
  const entries: [string, string][] = [];
  const cursor = tx.cursor(storeId);
  cursor.waits = true;
  for (let step = cursor.last(); step !== END; step = cursor.previous()) {
    const { keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd } = cursor;
    entries.push([textOf(keyBytes, keyStart, keyEnd), cellText(tx, cellBytes, cellStart, cellEnd)]);
    if (entries.length > limit) throw new Error(`store ${storeId} has no end backwards`);
  }
  return entries.reverse();
}

export function getText(tx: EngineTransaction, storeId: number, key: string): string | undefined {
  const bytes = Buffer.from(key, 'latin1');
  tx.waits = true;
  if (tx.find(storeId, bytes, 0, bytes.length) !== FOUND) return undefined;
  return cellText(tx, tx.foundBytes, tx.foundStart, tx.foundEnd);
}

/** All of it, or the error that was met. */
export function readContent(engine: EngineApi, stores: readonly number[]): Content {
  const content = new Map<number, Entries>();
  const tx = engine.begin('read');
  try {
    for (const storeId of stores) {
      const entries = readStore(tx, storeId);
      if (entries.length > 0) content.set(storeId, entries);
    }
    return content;
  } finally {
    tx.rollback();
  }
}

/** Undefined where they are the same; else the first place where they are not. */
export function difference(found: Entries, expected: Entries): string | undefined {
  const shared = Math.min(found.length, expected.length);
  for (let i = 0; i < shared; i++) {
    const [key, value] = found[i] as [string, string];
    const [expectedKey, expectedValue] = expected[i] as [string, string];
    if (key !== expectedKey) return `entry ${i} has key ${show(key)} instead of ${show(expectedKey)}`;
    if (value !== expectedValue) return `key ${show(key)} has ${show(value)} instead of ${show(expectedValue)}`;
  }
  if (found.length === expected.length) return undefined;
  return `${found.length} entries instead of ${expected.length}`;
}

export function show(text: string): string {
  const shown = JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);
  return `${shown} (${text.length})`;
}

export function isDamageError(error: unknown): error is SopError {
  return error instanceof SopError && (error.code === 'CORRUPTION' || error.code === 'FORMAT_UNSUPPORTED');
}
