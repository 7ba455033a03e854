/**
 * What a write transaction has read: keys and ranges, store by store, as bytes in one growing buffer.
 *
 * "Nothing there" is a read too. Past `MAX_EXACT_READS` entries in one store the store's reads are coarsened to the one
 * range that spans them: the set may then refuse a commit that it need not have refused (said so in the error), never
 * the other way round.
 */
import { compareBytes, equalBytes } from '../base/bytes.ts';

export const MAX_EXACT_READS = 65_536;

export interface ReadRange {
  /** Inclusive; undefined is unbounded. */
  lower: Uint8Array | undefined;
  /** Exclusive; undefined is unbounded. */
  upper: Uint8Array | undefined;
}

/** Reads of one store. */
export class StoreReads {
  readonly storeId: number;
  /** All point keys one after another. */
  keyBytes = new Uint8Array(256);
  /** End of key i in `keyBytes`. */
  keyEnds = new Uint32Array(16);
  keyCount = 0;
  readonly ranges: ReadRange[] = [];
  coarsened = false;

  constructor(storeId: number) {
    this.storeId = storeId;
  }

  addKey(key: Uint8Array, start: number, end: number): void {
    if (this.coarsened || this.keyCount >= MAX_EXACT_READS) {
      this.#coarsen();
      this.#widen(key.slice(start, end), successor(key, start, end));
      return;
    }
    const at = this.keyCount === 0 ? 0 : (this.keyEnds[this.keyCount - 1] as number);
    const length = end - start;
    if (at + length > this.keyBytes.length) this.#growBytes(at + length);
    if (this.keyCount === this.keyEnds.length) this.#growEnds();
    for (let i = 0; i < length; i++) this.keyBytes[at + i] = key[start + i] as number;
    this.keyEnds[this.keyCount++] = at + length;
  }

  addRange(lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    if (lower !== undefined && upper !== undefined && compareBytes(lower, 0, lower.length, upper, 0, upper.length) >= 0)
      return;
    if (this.coarsened || this.ranges.length >= MAX_EXACT_READS) {
      this.#coarsen();
      this.#widen(lower, upper);
      return;
    }
    const last = this.ranges[this.ranges.length - 1];
    // A scan in pages names adjoining ranges: keep them as one.
    if (
      last?.upper !== undefined &&
      lower !== undefined &&
      compareBytes(last.upper, 0, last.upper.length, lower, 0, lower.length) === 0
    ) {
      last.upper = upper;
      return;
    }
    this.ranges.push({ lower, upper });
  }

  #coarsen(): void {
    if (this.coarsened) return;
    this.coarsened = true;
    const all = this.ranges.splice(0);
    let at = 0;
    for (let i = 0; i < this.keyCount; i++) {
      const end = this.keyEnds[i] as number;
      this.#widen(this.keyBytes.slice(at, end), successor(this.keyBytes, at, end));
      at = end;
    }
    this.keyCount = 0;
    for (const range of all) this.#widen(range.lower, range.upper);
  }

  #widen(lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    const span = this.ranges[0];
    if (span === undefined) {
      this.ranges.push({ lower, upper });
      return;
    }
    if (
      span.lower !== undefined &&
      (lower === undefined || compareBytes(lower, 0, lower.length, span.lower, 0, span.lower.length) < 0)
    ) {
      span.lower = lower;
    }
    if (
      span.upper !== undefined &&
      (upper === undefined || compareBytes(upper, 0, upper.length, span.upper, 0, span.upper.length) > 0)
    ) {
      span.upper = upper;
    }
  }

  #growBytes(needed: number): void {
    const grown = new Uint8Array(Math.max(needed, this.keyBytes.length * 2));
    grown.set(this.keyBytes);
    this.keyBytes = grown;
  }

  #growEnds(): void {
    const grown = new Uint32Array(this.keyEnds.length * 2);
    grown.set(this.keyEnds);
    this.keyEnds = grown;
  }
}

function successor(key: Uint8Array, start: number, end: number): Uint8Array {
  const after = new Uint8Array(end - start + 1);
  after.set(key.subarray(start, end));
  return after;
}

/** A row that must still have the content its reader saw; see `EngineTransaction.expectRow`. */
export interface ExpectedRow {
  readonly storeId: number;
  readonly key: Uint8Array;
  readonly expected: Uint8Array | undefined;
  readonly orEqual: Uint8Array | undefined;
}

export class ReadSet {
  readonly stores: StoreReads[] = [];
  readonly rows: ExpectedRow[] = [];

  get isEmpty(): boolean {
    return this.stores.length === 0 && this.rows.length === 0;
  }

  /** The reads of one store, made on first use. Few stores a transaction: a linear look beats a map. */
  store(storeId: number): StoreReads {
    for (let i = 0; i < this.stores.length; i++) {
      const reads = this.stores[i] as StoreReads;
      if (reads.storeId === storeId) return reads;
    }
    const reads = new StoreReads(storeId);
    this.stores.push(reads);
    return reads;
  }

  /** Of one row several things may be expected; then all of them have to hold. */
  expectRow(row: ExpectedRow): void {
    for (const known of this.rows) if (isSameExpectation(known, row)) return;
    this.rows.push(row);
  }
}

function isSameExpectation(a: ExpectedRow, b: ExpectedRow): boolean {
  return (
    a.storeId === b.storeId &&
    equalBytes(a.key, b.key) &&
    isSameCell(a.expected, b.expected) &&
    isSameCell(a.orEqual, b.orEqual)
  );
}

function isSameCell(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && equalBytes(a, b));
}
