/** Positions and counts: first, last, at, count and rank, each noting the range it looked at. */
import { compareKeys, copyBytes, keySuccessor } from '../base/bytes.ts';
import { InvalidArgumentError, InvalidKeyError } from '../base/errors.ts';
import type { EntryCursor } from '../node/entry-cursor.ts';
import { FOUND, NOT_LOADED } from '../storage/find-result.ts';
import { Range, toBounds, toScanOptions } from './range.ts';
import { Scan } from './scan.ts';
import type { StoreCore } from './store-core.ts';

/** The first entry of a range, or the last; `flip` and `reverse` cancel each other out. */
export async function oneOf(core: StoreCore, range: object | undefined, flip: boolean): Promise<unknown> {
  const entries = new Range<unknown>(core, oneEntry(core, range, flip));
  for await (const entry of entries) return entry;
  return undefined;
}

export function oneOfSync(core: StoreCore, range: object | undefined, flip: boolean): unknown {
  core.mustBeOpen();
  const scan = new Scan<unknown>(core, oneEntry(core, range, flip));
  const entry = scan.takeSync();
  scan.close();
  return entry;
}

function oneEntry(core: StoreCore, range: object | undefined, flip: boolean) {
  const options = toScanOptions(core, range);
  return { ...options, reverse: options.reverse !== flip, limit: Math.min(1, options.limit), keysOnly: false };
}

export async function count(core: StoreCore, range: object | undefined): Promise<number> {
  const { lower, upper } = countBounds(core, range);
  for (;;) {
    core.mustBeOpen();
    core.etx.waits = false;
    const entries = isEmpty(lower, upper) ? 0 : core.etx.count(core.storeId, lower, upper);
    if (entries >= 0) {
      core.etx.noteRange(core.storeId, lower, upper);
      return entries;
    }
    await core.etx.load();
  }
}

export function countSync(core: StoreCore, range: object | undefined): number {
  const { lower, upper } = countBounds(core, range);
  if (isEmpty(lower, upper)) return 0;
  core.etx.waits = true;
  const entries = core.etx.count(core.storeId, lower, upper);
  core.etx.noteRange(core.storeId, lower, upper);
  return entries;
}

/** How many entries come before a key. */
export async function rank(core: StoreCore, key: unknown): Promise<number> {
  return count(core, before(key));
}

export function rankSync(core: StoreCore, key: unknown): number {
  return countSync(core, before(key));
}

function before(key: unknown) {
  // A bound that is undefined would bind nothing.
  if (key === undefined) throw new InvalidKeyError('key: undefined has no rank', { details: { path: 'key' } });
  return { lt: key };
}

function countBounds(core: StoreCore, range: object | undefined) {
  core.mustBeOpen();
  return toBounds(core, range);
}

function isEmpty(lower: Uint8Array | undefined, upper: Uint8Array | undefined): boolean {
  return lower !== undefined && upper !== undefined && compareKeys(lower, upper) >= 0;
}

export async function at(core: StoreCore, position: number): Promise<unknown> {
  mustBePosition(position);
  const place = position < 0 ? (await count(core, undefined)) + position : position;
  if (place < 0) return undefined;
  for (;;) {
    core.mustBeOpen();
    core.etx.waits = false;
    const cursor = core.takeCursor();
    cursor.waits = false;
    const found = core.etx.seekRank(core.storeId, place, cursor);
    if (found !== NOT_LOADED) return finishAt(core, cursor, found === FOUND, core.entryAt);
    await core.etx.load();
  }
}

export function atSync(core: StoreCore, position: number): unknown {
  mustBePosition(position);
  const place = position < 0 ? countSync(core, undefined) + position : position;
  if (place < 0) return undefined;
  core.mustBeOpen();
  const cursor = core.takeCursor();
  core.etx.waits = true;
  cursor.waits = true;
  return finishAt(core, cursor, core.etx.seekRank(core.storeId, place, cursor) === FOUND, core.entryAtSync);
}

function mustBePosition(position: number): void {
  if (Number.isInteger(position)) return;
  throw new InvalidArgumentError('a position is a whole number', { details: { found: position } });
}

/** A position says how many entries come before it: all of them were looked at. */
function finishAt<T>(
  core: StoreCore,
  cursor: EntryCursor,
  found: boolean,
  read: (this: StoreCore, at: EntryCursor) => T,
): T | undefined {
  const upper = found ? keySuccessor(copyBytes(cursor.keyBytes, cursor.keyStart, cursor.keyEnd)) : undefined;
  core.etx.noteRange(core.storeId, undefined, upper);
  const entry = found ? read.call(core, cursor) : undefined;
  core.giveBackCursor(cursor, core.etx.changeCount);
  return entry;
}
