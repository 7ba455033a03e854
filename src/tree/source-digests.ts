/**
 * Digests of leaves whose entries are taken over from old leaves. An old leaf's digest is known, so where all that is
 * left of it lands in one new leaf, its sum is added as it is; where it is cut, all parts but the last are hashed and
 * taken off, and the last part is what remains. New entries bring their own hashes.
 */
import type { ImageBuilder } from '../node/image-builder.ts';
import { entryHash } from '../node/entry-hash.ts';

/** Sources that can be pending at once: fewer than entries fit three images. A power of two. */
const SOURCES = 8192;

export class SourceDigests {
  /** Results of `sum`. */
  low = 0;
  high = 0;
  readonly #lows = new Uint32Array(SOURCES);
  readonly #highs = new Uint32Array(SOURCES);
  /** Entries taken over and not summed up yet. */
  readonly #left = new Int32Array(SOURCES);
  readonly #open = new Uint8Array(SOURCES);
  #next = 0;

  /** Begins with an old leaf that has this digest; answers the mark for its entries. */
  open(low: number, high: number): number {
    const source = this.#next;
    this.#next = (source + 1) & (SOURCES - 1);
    this.#lows[source] = low;
    this.#highs[source] = high;
    this.#left[source] = 0;
    this.#open[source] = 1;
    return source;
  }

  /** An entry of the old leaf goes. */
  remove(source: number, low: number, high: number): void {
    this.#lows[source] = ((this.#lows[source] as number) - low) >>> 0;
    this.#highs[source] = ((this.#highs[source] as number) - high) >>> 0;
  }

  /** So many entries of the old leaf were taken over. */
  add(source: number, entries: number): void {
    this.#left[source] = (this.#left[source] as number) + entries;
  }

  /** Nothing more comes from this leaf: what is left of its sum belongs to the entries pending. */
  close(source: number): void {
    this.#open[source] = 0;
  }

  /** Adds up the hashes of the entries `[from, to)`. */
  sum(builder: ImageBuilder, from: number, to: number): void {
    const { marks, hashLow, hashHigh } = builder;
    this.low = 0;
    this.high = 0;
    let run = -1;
    let runStart = 0;
    let runCount = 0;
    for (let i = from; i < to; i++) {
      const source = marks[i] as number;
      if (source < 0) {
        this.low = (this.low + (hashLow[i] as number)) >>> 0;
        this.high = (this.high + (hashHigh[i] as number)) >>> 0;
      } else if (source === run) {
        runCount++;
      } else {
        if (run >= 0) this.#settle(builder, run, runStart, i, runCount);
        run = source;
        runStart = i;
        runCount = 1;
      }
    }
    if (run >= 0) this.#settle(builder, run, runStart, to, runCount);
  }

  /** The entries of one source among `[from, to)`. */
  #settle(builder: ImageBuilder, source: number, from: number, to: number, count: number): void {
    if (this.#open[source] === 0 && this.#left[source] === count) {
      this.low = (this.low + (this.#lows[source] as number)) >>> 0;
      this.high = (this.high + (this.#highs[source] as number)) >>> 0;
      this.#left[source] = 0;
      return;
    }
    for (let i = from; i < to; i++) {
      if (builder.marks[i] !== source) continue;
      builder.hash(i);
      this.low = (this.low + entryHash.low) >>> 0;
      this.high = (this.high + entryHash.high) >>> 0;
      this.remove(source, entryHash.low, entryHash.high);
    }
    this.#left[source] = (this.#left[source] as number) - count;
  }
}
