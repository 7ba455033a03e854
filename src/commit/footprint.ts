/**
 * What a transaction that others must wait for has touched: sorted keys and ranges, store by store, asked by key and by range.
 *
 * The engine's own rows are content: two transactions that put the same shape, or create the same store with one
 * definition, do not disturb each other.
 */
import { compareBytes, equalBytes, keySuccessor, readU16, readU32 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { FIRST_USER_STORE_ID } from '../base/limits.ts';
import { RUN_HOLDS_PLACEHOLDERS } from '../log/placeholder.ts';
import {
  OP_INCREMENT,
  OP_NOOP,
  OP_PUT,
  OP_RANGE_REMOVE,
  RANGE_UNBOUNDED,
  RECORD_HEADER_BYTES,
  RECORD_PLACEHOLDER,
  recordFlags,
  recordKeyLength,
  recordOp,
  recordWords,
} from '../log/record.ts';
import { HANDLE_BYTES } from '../node/handle.ts';
import { forEachRecord } from '../storage/prepared-set.ts';
import { SHAPE_STORE } from '../storage/system-stores.ts';
import type { BatchCursor } from '../log/batch-cursor.ts';
import type { CommitSection } from './commit-request.ts';
import type { ExpectedRow, ReadRange, ReadSet } from './read-set.ts';

/** Where a request and a footprint meet. */
export interface Clash {
  readonly storeId: number;
  readonly key: Uint8Array | undefined;
}

/** A key that was read (op 0) or changed. */
interface Touched {
  readonly key: Uint8Array;
  readonly op: number;
  /** Of a put; empty else. */
  readonly cell: Uint8Array;
}

const OP_READ = 0;
const NO_CELL = new Uint8Array(0);

class StoreFootprint {
  readonly keys: Touched[] = [];
  readonly ranges: ReadRange[] = [];

  sort(): void {
    this.keys.sort((a, b) => compareBytes(a.key, 0, a.key.length, b.key, 0, b.key.length));
  }

  /** Sorted before. */
  coarsen(exact: number): void {
    const first = this.keys[0];
    if (this.keys.length > exact && first !== undefined) {
      const last = this.keys[this.keys.length - 1] as Touched;
      this.ranges.push({ lower: first.key, upper: keySuccessor(last.key) });
      this.keys.length = 0;
    }
    if (this.ranges.length > exact) this.ranges.splice(0, this.ranges.length, this.ranges.reduce(spanOf));
  }

  /** Index of the first key not below the bound. */
  first(bytes: Uint8Array, start: number, end: number): number {
    let low = 0;
    let high = this.keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { key } = this.keys[middle] as Touched;
      if (compareBytes(key, 0, key.length, bytes, start, end) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  covers(bytes: Uint8Array, start: number, end: number): boolean {
    return this.ranges.some(({ lower, upper }) => isInside(bytes, start, end, lower, upper));
  }
}

function isInside(
  bytes: Uint8Array,
  start: number,
  end: number,
  lower: Uint8Array | undefined,
  upper: Uint8Array | undefined,
): boolean {
  if (lower !== undefined && compareBytes(bytes, start, end, lower, 0, lower.length) < 0) return false;
  return upper === undefined || compareBytes(bytes, start, end, upper, 0, upper.length) < 0;
}

/** Whether a change of a key and a change of the same key leave the same, whichever comes first. */
function commutes(storeId: number, one: Touched, op: number, cell: Uint8Array): boolean {
  if (one.op === OP_INCREMENT && op === OP_INCREMENT) return true;
  return storeId < FIRST_USER_STORE_ID && one.op === OP_PUT && op === OP_PUT && equalBytes(one.cell, cell);
}

export class Footprint {
  readonly #stores = new Map<number, StoreFootprint>();
  readonly #rows: ExpectedRow[] = [];

  /** What was read; of a store with more than `exact` keys or ranges their span. */
  static ofReads(reads: ReadSet, exact = Number.POSITIVE_INFINITY): Footprint {
    const made = new Footprint();
    for (const store of reads.stores) {
      const into = made.#store(store.storeId);
      let start = 0;
      for (let i = 0; i < store.keyCount; i++) {
        const end = store.keyEnds[i] as number;
        into.keys.push({ key: store.keyBytes.slice(start, end), op: OP_READ, cell: NO_CELL });
        start = end;
      }
      into.ranges.push(...store.ranges.map(({ lower, upper }) => ({ lower, upper })));
    }
    made.#rows.push(...reads.rows);
    made.#sort();
    for (const store of made.#stores.values()) store.coarsen(exact);
    return made;
  }

  /** What a transaction changes; the cursor stands on it. `CorruptionError` where it is malformed. */
  static ofChanges(cursor: BatchCursor): Footprint {
    const made = new Footprint();
    const { bytes } = cursor;
    while (cursor.nextSection()) {
      if (cursor.storeId === SHAPE_STORE) continue;
      const into = made.#store(cursor.storeId);
      forEachRecord(cursor, (op, keyStart, keyEnd, cellLength, word0) => {
        const cellStart = (keyEnd + 3) & ~3;
        const cell = bytes.subarray(cellStart, cellStart + cellLength);
        const key = bytes.subarray(keyStart, keyEnd);
        if (op === OP_RANGE_REMOVE) into.ranges.push(removedRange(key, cell, word0));
        else if (op !== OP_NOOP) into.keys.push({ key, op, cell });
      });
    }
    while (cursor.nextRun()) {
      const descriptor = bytes.subarray(cursor.runStart, cursor.runStart + cursor.runLength);
      made.#store(cursor.runStoreId).ranges.push(runFences(descriptor));
    }
    made.#sort();
    return made;
  }

  /** Whether a reader of the key would see what this changes, or a change of it would change what this read. */
  touchesKey(
    storeId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    op = OP_READ,
    cell: Uint8Array = NO_CELL,
  ): boolean {
    if (op !== OP_READ && this.#rowMinds(storeId, bytes, start, end, op, cell)) return true;
    const store = this.#stores.get(storeId);
    if (store === undefined) return false;
    for (let i = store.first(bytes, start, end); i < store.keys.length; i++) {
      const one = store.keys[i] as Touched;
      if (compareBytes(one.key, 0, one.key.length, bytes, start, end) !== 0) break;
      if (!commutes(storeId, one, op, cell)) return true;
    }
    return store.covers(bytes, start, end);
  }

  /** Whether the key lies in a range that was read or changed. */
  coversKey(storeId: number, bytes: Uint8Array, start: number, end: number): boolean {
    return this.#stores.get(storeId)?.covers(bytes, start, end) ?? false;
  }

  touchesRange(storeId: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): boolean {
    if (this.#rows.some((row) => row.storeId === storeId && isInside(row.key, 0, row.key.length, lower, upper))) {
      return true;
    }
    const store = this.#stores.get(storeId);
    if (store === undefined) return false;
    const next = store.keys[lower === undefined ? 0 : store.first(lower, 0, lower.length)];
    if (next !== undefined && isInside(next.key, 0, next.key.length, lower, upper)) return true;
    return store.ranges.some((range) => overlap(range, { lower, upper }));
  }

  touches(storeId: number, { lower, upper }: ReadRange): boolean {
    return this.touchesRange(storeId, lower, upper);
  }

  /** Whether the row will be something else than its reader expects. */
  changesRow(row: ExpectedRow): boolean {
    const store = this.#stores.get(row.storeId);
    if (store === undefined) return false;
    for (let i = store.first(row.key, 0, row.key.length); i < store.keys.length; i++) {
      const one = store.keys[i] as Touched;
      if (!equalBytes(one.key, row.key)) break;
      if (!isExpected(row, one.op, one.cell)) return true;
    }
    return store.covers(row.key, 0, row.key.length);
  }

  #rowMinds(storeId: number, bytes: Uint8Array, start: number, end: number, op: number, cell: Uint8Array): boolean {
    for (const row of this.#rows) {
      if (row.storeId !== storeId || compareBytes(row.key, 0, row.key.length, bytes, start, end) !== 0) continue;
      if (!isExpected(row, op, cell)) return true;
    }
    return false;
  }

  #store(storeId: number): StoreFootprint {
    let store = this.#stores.get(storeId);
    if (store === undefined) {
      store = new StoreFootprint();
      this.#stores.set(storeId, store);
    }
    return store;
  }

  #sort(): void {
    for (const store of this.#stores.values()) store.sort();
  }
}

function isExpected({ expected, orEqual }: ExpectedRow, op: number, cell: Uint8Array): boolean {
  if (op !== OP_PUT) return expected === undefined;
  return (expected !== undefined && equalBytes(expected, cell)) || (orEqual !== undefined && equalBytes(orEqual, cell));
}

/** `a` may be empty of bounds; ranges whose bounds touch do not overlap. */
function overlap(a: ReadRange, b: ReadRange): boolean {
  return isBelow(a.lower, b.upper) && isBelow(b.lower, a.upper);
}

function spanOf(a: ReadRange, b: ReadRange): ReadRange {
  return {
    lower: a.lower === undefined || b.lower === undefined ? undefined : lesser(a.lower, b.lower),
    upper:
      a.upper === undefined || b.upper === undefined
        ? undefined
        : a.upper === lesser(a.upper, b.upper)
          ? b.upper
          : a.upper,
  };
}

function lesser(a: Uint8Array, b: Uint8Array): Uint8Array {
  return compareBytes(a, 0, a.length, b, 0, b.length) <= 0 ? a : b;
}

function isBelow(lower: Uint8Array | undefined, upper: Uint8Array | undefined): boolean {
  if (lower === undefined || upper === undefined) return true;
  return compareBytes(lower, 0, lower.length, upper, 0, upper.length) < 0;
}

/** The range that a record of a range removal names. */
export function removedRange(key: Uint8Array, cell: Uint8Array, word0: number): ReadRange {
  return { lower: key, upper: (recordFlags(word0) & RANGE_UNBOUNDED) === 0 ? cell : undefined };
}

/** From a run's first key to its last. */
export function runFences(descriptor: Uint8Array): ReadRange {
  const first = HANDLE_BYTES + 4;
  const last = descriptor.length < first ? 0 : first + (readU16(descriptor, HANDLE_BYTES) & ~RUN_HOLDS_PLACEHOLDERS);
  if (last === 0 || last + readU16(descriptor, HANDLE_BYTES + 2) !== descriptor.length) {
    throw new CorruptionError('the descriptor of a run is malformed');
  }
  return { lower: descriptor.subarray(first, last), upper: keySuccessor(descriptor.subarray(last)) };
}

/** The first change of the section that the footprint minds. */
export function changesOf(
  { storeId, bytes, start, byteLength }: CommitSection,
  footprint: Footprint,
): Clash | undefined {
  if (storeId === SHAPE_STORE) return undefined;
  const end = start + byteLength;
  for (let at = start; at < end; ) {
    const word0 = readU32(bytes, at);
    const keyLength = recordKeyLength(word0);
    const cellLength = readU32(bytes, at + 4);
    const keyStart = at + RECORD_HEADER_BYTES;
    const keyEnd = keyStart + keyLength;
    const cellStart = (keyEnd + 3) & ~3;
    at += recordWords(keyLength, cellLength) * 4;
    const op = recordOp(word0);
    if (op === OP_NOOP) continue;
    const cell = bytes.subarray(cellStart, cellStart + cellLength);
    let isTouched: boolean;
    if (op === OP_RANGE_REMOVE) {
      isTouched = footprint.touches(storeId, removedRange(bytes.subarray(keyStart, keyEnd), cell, word0));
    } else if ((recordFlags(word0) & RECORD_PLACEHOLDER) !== 0) {
      // Its key will be nobody else's, whatever the bytes in the number's place say.
      isTouched = footprint.coversKey(storeId, bytes, keyStart, keyEnd);
    } else isTouched = footprint.touchesKey(storeId, bytes, keyStart, keyEnd, op, cell);
    if (isTouched) return { storeId, key: bytes.slice(keyStart, keyEnd) };
  }
  return undefined;
}
