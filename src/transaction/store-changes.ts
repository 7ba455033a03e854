/** What a transaction has changed in one store. */
import { LimitExceededError } from '../base/errors.ts';
import { FIRST_USER_STORE_ID } from '../base/limits.ts';
import { RECORD_EXISTED, RECORD_KNOWN } from '../log/record.ts';
import { AT } from '../node/entry-cursor.ts';
import { LayeredCursor } from '../storage/layered-cursor.ts';
import { fewLayers } from '../storage/run-layers.ts';
import { PENDING_NUMBER, type WriteBuffer } from '../storage/write-buffer.ts';
import { isAtOrAfter } from './rank.ts';
import type { StoreSpill } from './spill.ts';

/** Changes of one store. */
export interface StoreChanges {
  readonly storeId: number;
  /** Another one after a spill where a savepoint holds the one before. */
  buffer: WriteBuffer;
  spill: StoreSpill | undefined;
}

/** What a record says of what was there before it. */
export function existenceFlags(existed: boolean | undefined): number {
  if (existed === undefined) return 0;
  return existed ? RECORD_KNOWN | RECORD_EXISTED : RECORD_KNOWN;
}

/** What is long, and of many short ones the longest until the rest is within the bound. */
export function storesToSpill(all: readonly StoreChanges[], spillBytes: number): StoreChanges[] {
  // The engine's own rows stay: who replays the log or validates a commit looks for them among the records.
  const stores = all.filter(({ storeId }) => storeId >= FIRST_USER_STORE_ID);
  stores.sort((a, b) => b.buffer.sectionLength - a.buffer.sectionLength);
  let kept = stores.reduce((sum, { buffer }) => sum + buffer.sectionLength, 0);
  const isShort = ({ buffer }: StoreChanges): boolean => {
    if (buffer.sectionLength < spillBytes / 8 && kept <= spillBytes) return true;
    kept -= buffer.sectionLength;
    return false;
  };
  const end = stores.findIndex(isShort);
  return end < 0 ? stores : stores.slice(0, end);
}

/** Keys of [lower, upper) that are in the store's runs, at most `count`: those that were removed since apart. */
export function spilledKeys(
  { buffer, spill }: StoreChanges,
  lower: Uint8Array | undefined,
  upper: Uint8Array | undefined,
  count: number,
): Uint8Array[] {
  const runs = spill?.runs.map((run) => ({ cursor: run.cursor(), snapshot: PENDING_NUMBER })) ?? [];
  const cursor = new LayeredCursor([{ cursor: buffer.cursor(), snapshot: PENDING_NUMBER }, ...fewLayers(runs)]);
  cursor.waits = true;
  const keys: Uint8Array[] = [];
  let step = lower === undefined ? cursor.first() : cursor.seek(lower, 0, lower.length);
  for (; step === AT && keys.length < count; step = cursor.next()) {
    if (upper !== undefined && isAtOrAfter(cursor, upper)) break;
    keys.push(cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd));
  }
  return keys;
}

/** A change past `maxTransactionBytes`. */
export function tooMuch(allowed: number): LimitExceededError {
  return new LimitExceededError(`the transaction would change more than maxTransactionBytes (${allowed}); split it`, {
    details: { limit: 'maxTransactionBytes', allowed },
  });
}
