/** Range removals on their way through a merge: a list in key order and how far the merge has come in it. */
import { assert } from '../base/assert.ts';
import { compareBytes, compareKeys } from '../base/bytes.ts';

/** `[lower, upper)`; undefined: without end. */
export interface KeyRange {
  readonly lower: Uint8Array;
  readonly upper: Uint8Array | undefined;
}

export class RemovedRanges {
  readonly #ranges: readonly KeyRange[];
  /** The first range that does not end at or before where the merge is. */
  #next = 0;
  #inLeaf = 0;

  constructor(ranges: readonly KeyRange[]) {
    for (let i = 1; i < ranges.length; i++) {
      const before = (ranges[i - 1] as KeyRange).upper;
      const { lower } = ranges[i] as KeyRange;
      assert(before !== undefined && compareKeys(before, lower) <= 0, 'range removals are ordered and disjoint');
    }
    this.#ranges = ranges;
  }

  /** The merge has come to this key. */
  advance(key: Uint8Array, length: number): void {
    for (; this.#next < this.#ranges.length; this.#next++) {
      const { upper } = this.#ranges[this.#next] as KeyRange;
      if (upper === undefined || compareBytes(upper, 0, upper.length, key, 0, length) > 0) return;
    }
  }

  /** Whether the next range covers all of `[lower, upper)`. */
  covers(lower: Uint8Array, lowerLength: number, upper: Uint8Array | undefined, upperLength: number): boolean {
    const range = this.#ranges[this.#next];
    if (range === undefined) return false;
    if (compareBytes(range.lower, 0, range.lower.length, lower, 0, lowerLength) > 0) return false;
    if (range.upper === undefined) return true;
    return upper !== undefined && compareBytes(upper, 0, upperLength, range.upper, 0, range.upper.length) <= 0;
  }

  /** Whether the next range begins before this bound (undefined: no bound). */
  startsBefore(upper: Uint8Array | undefined, upperLength: number): boolean {
    const range = this.#ranges[this.#next];
    if (range === undefined) return false;
    if (upper === undefined) return true;
    return compareBytes(range.lower, 0, range.lower.length, upper, 0, upperLength) < 0;
  }

  enterLeaf(): void {
    this.#inLeaf = this.#next;
  }

  /** The ranges from here on, one per call; the leaf finds out which entries they mean. */
  nextInLeaf(): KeyRange | undefined {
    return this.#ranges[this.#inLeaf++];
  }
}
