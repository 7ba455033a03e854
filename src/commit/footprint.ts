/**
 * What a transaction that others must wait for has touched: sorted keys and ranges, store by store, asked by key and by range.
 *
 * The engine's own rows are content: two transactions that put the same shape, or create the same store with one
 * definition, do not disturb each other.
 */
import { compareBytes, equalBytes, keySuccessor, readU16 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { FIRST_USER_STORE_ID } from '../base/limits.ts';
import { OP_INCREMENT, OP_NOOP, OP_PUT, OP_RANGE_REMOVE, RANGE_UNBOUNDED, recordFlags } from '../log/record.ts';
import { HANDLE_BYTES } from '../node/handle.ts';
import { forEachRecord } from '../storage/prepared-set.ts';
import { SHAPE_STORE } from '../storage/system-stores.ts';
import type { BatchCursor } from '../log/batch-cursor.ts';
import type { ExpectedRow, ReadRange, ReadSet } from './read-set.ts';

/** A key that was read (op 0) or changed. */
interface Touched {
  readonly key: Uint8Array;
  readonly op: number;
  /** Of a put; empty else. */
  readonly cell: Uint8Array;
}

const OP_READ = 0;
/** The highest bit of a run's first length says something else (tree-run.ts). */
const RUN_LENGTH = 0x7fff;
const NO_CELL = new Uint8Array(0);

class StoreFootprint {
  readonly keys: Touched[] = [];
  readonly ranges: ReadRange[] = [];

  sort(): void {
    this.keys.sort((a, b) => compareBytes(a.key, 0, a.key.length, b.key, 0, b.key.length));
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

  /** What was read. */
  static ofReads(reads: ReadSet): Footprint {
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
  const last = descriptor.length < first ? 0 : first + (readU16(descriptor, HANDLE_BYTES) & RUN_LENGTH);
  if (last === 0 || last + readU16(descriptor, HANDLE_BYTES + 2) !== descriptor.length) {
    throw new CorruptionError('the descriptor of a run is malformed');
  }
  return { lower: descriptor.subarray(first, last), upper: keySuccessor(descriptor.subarray(last)) };
}
