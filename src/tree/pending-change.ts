/**
 * The next change of a merge: pulled from its cursor one ahead, and copied out of the cursor's memory whenever the merge
 * pauses, because then others may move what it points to; at once where it lies in the cache (changes of a run), because the
 * merge's own new images go there.
 */
import { compareBytes } from '../base/bytes.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { CELL_SEPARATE, cellValueStart, VALUE_REFERENCE_BYTES } from '../codec/cell.ts';
import { createdCell, incrementedCell } from '../codec/counter.ts';
import { AT, type EntryCursor, MISS } from '../node/entry-cursor.ts';
import { copyBytes } from '../node/image-builder.ts';
import type { ImageCache } from '../node/image-cache.ts';

const BEFORE_FIRST = 0;
const CONSUMED = 1;
const HELD = 2;
const ENDED = 3;

const EMPTY = new Uint8Array(0);

export class PendingChange {
  keyBytes: Uint8Array = EMPTY;
  keyStart = 0;
  keyEnd = 0;
  cellBytes: Uint8Array = EMPTY;
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  removed = false;
  /** An increment to be added to the tree's entry: see `EntryCursor`. `overCell` or `overNothing` settles what it is. */
  partial = false;
  readonly #cursor: EntryCursor | undefined;
  readonly #cache: ImageCache;
  /** Memory that is known not to be the cache's. */
  #still: Uint8Array = EMPTY;
  #state: typeof BEFORE_FIRST | typeof CONSUMED | typeof HELD | typeof ENDED = BEFORE_FIRST;
  #isCopied = false;
  readonly #key = new Uint8Array(MAX_KEY_BYTES);
  #cell = new Uint8Array(256);

  constructor(cursor: EntryCursor | undefined, cache: ImageCache) {
    this.#cursor = cursor;
    this.#cache = cache;
    if (cursor === undefined) this.#state = ENDED;
  }

  /** Makes sure that the next change, if there is one, is at hand; false where the cursor must load first. */
  pull(): boolean {
    if (this.#state === HELD || this.#state === ENDED) return true;
    const cursor = this.#cursor as EntryCursor;
    const step = this.#state === BEFORE_FIRST ? cursor.first() : cursor.next();
    if (step === MISS) return false;
    if (step !== AT) {
      this.#state = ENDED;
      return true;
    }
    this.keyBytes = cursor.keyBytes;
    this.keyStart = cursor.keyStart;
    this.keyEnd = cursor.keyEnd;
    this.cellBytes = cursor.cellBytes;
    this.cellStart = cursor.cellStart;
    this.cellEnd = cursor.cellEnd;
    this.version = cursor.version;
    this.removed = cursor.removed;
    this.partial = cursor.removed && cursor.partial === true;
    this.#isCopied = false;
    this.#state = HELD;
    if (!this.#isStill(this.cellBytes) || !this.#isStill(this.keyBytes)) this.keep();
    return true;
  }

  #isStill(bytes: Uint8Array): boolean {
    if (bytes === this.#still) return true;
    if (this.#cache.owns(bytes)) return false;
    this.#still = bytes;
    return true;
  }

  consume(): void {
    this.#state = CONSUMED;
  }

  /** Copies what is held out of the cursor's memory. */
  keep(): void {
    if (this.#state !== HELD || this.#isCopied) return;
    const keyLength = this.keyEnd - this.keyStart;
    const cellLength = this.cellEnd - this.cellStart;
    copyBytes(this.keyBytes, this.keyStart, this.keyEnd, this.#key, 0);
    if (cellLength > this.#cell.length) this.#cell = new Uint8Array(2 * cellLength);
    copyBytes(this.cellBytes, this.cellStart, this.cellEnd, this.#cell, 0);
    this.keyBytes = this.#key;
    this.keyStart = 0;
    this.keyEnd = keyLength;
    this.cellBytes = this.#cell;
    this.cellStart = 0;
    this.cellEnd = cellLength;
    this.#isCopied = true;
  }

  /** An increment of an entry that is there. */
  overCell(bytes: Uint8Array, start: number, end: number): void {
    this.#become(incrementedCell(bytes, start, end, this.cellBytes, this.cellStart, this.cellEnd));
  }

  /** An increment of a key that is absent. */
  overNothing(): void {
    this.#become(createdCell(this.cellBytes, this.cellStart, this.cellEnd));
  }

  #become(cell: Uint8Array | undefined): void {
    this.partial = false;
    if (cell === undefined) return;
    this.removed = false;
    this.cellBytes = cell;
    this.cellStart = 0;
    this.cellEnd = cell.length;
  }

  /** Whether there is a change with a key less than this bound (undefined: no bound). */
  isBefore(upper: Uint8Array | undefined, upperLength: number): boolean {
    if (this.#state !== HELD) return false;
    if (upper === undefined) return true;
    return compareBytes(this.keyBytes, this.keyStart, this.keyEnd, upper, 0, upperLength) < 0;
  }

  /** Whether the change refers to the same separate value as this old cell. */
  refersToSame(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.removed || ((this.cellBytes[this.cellStart] as number) & CELL_SEPARATE) === 0) return false;
    const mine = cellValueStart(this.cellBytes, this.cellStart);
    const theirs = cellValueStart(bytes, start);
    if (this.cellEnd - mine !== VALUE_REFERENCE_BYTES || end - theirs !== VALUE_REFERENCE_BYTES) return false;
    return compareBytes(this.cellBytes, mine, this.cellEnd, bytes, theirs, end) === 0;
  }
}
