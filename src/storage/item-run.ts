/**
 * Runs of stores with equal keys: written before their transaction had a number, so their keys end with the placeholder
 * (log/placeholder.ts). Once the number is known they are read as if it stood there.
 *
 *  1. The number is greater than all others in the run's keys, as the placeholder is: the order of the entries is the same.
 *  2. What is asked for never holds the run's own placeholder: a key that ends with one belongs to another transaction.
 */
import { compareBytes, copyBytes } from '../base/bytes.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import {
  endsWithPlaceholder,
  ITEM_ID_BYTES,
  itemNumber,
  NUMBER_PLACEHOLDER,
  setItemNumber,
} from '../log/placeholder.ts';
import { AT, END, type EntryCursor, MISS, type Step } from '../node/entry-cursor.ts';

/** What a run's cursor has beside the moves: see tree-cursor.ts. */
export interface RunEntryCursor extends EntryCursor {
  refresh(): Step;
}

/** A copy of a key of the run as it is read. */
export function numberedKey(key: Uint8Array, number: number): Uint8Array {
  if (!endsWithPlaceholder(key, 0, key.length)) return key;
  const copy = copyBytes(key);
  setItemNumber(copy, copy.length, number);
  return copy;
}

const scratch = new Uint8Array(MAX_KEY_BYTES);

/** The key under which the run holds what is looked up, good until the next call; undefined where it holds no such thing. */
export function keyInRun(key: Uint8Array, start: number, end: number, number: number): Uint8Array | undefined {
  if (endsWithPlaceholder(key, start, end) || end - start > MAX_KEY_BYTES) return undefined;
  const length = end - start;
  scratch.set(key.subarray(start, end));
  if (length >= ITEM_ID_BYTES && itemNumber(scratch, length) === number) {
    setItemNumber(scratch, length, NUMBER_PLACEHOLDER);
  }
  return scratch.subarray(0, length);
}

/** A cursor over a run that shows the number in place of the placeholder. */
export class ItemRunCursor implements EntryCursor {
  keyBytes: Uint8Array = scratch;
  keyStart = 0;
  keyEnd = 0;
  cellBytes: Uint8Array = scratch;
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  removed = false;
  readonly #inner: RunEntryCursor;
  readonly #number: number;
  #key = new Uint8Array(256);

  constructor(inner: RunEntryCursor, number: number) {
    this.#inner = inner;
    this.#number = number;
  }

  get waits(): boolean {
    return this.#inner.waits;
  }

  set waits(waits: boolean) {
    this.#inner.waits = waits;
  }

  load(): Promise<void> {
    return this.#inner.load();
  }

  first(): Step {
    return this.#show(this.#inner.first());
  }

  last(): Step {
    return this.#show(this.#inner.last());
  }

  next(): Step {
    return this.#show(this.#inner.next());
  }

  previous(): Step {
    return this.#show(this.#inner.previous());
  }

  refresh(): Step {
    return this.#show(this.#inner.refresh());
  }

  /** From where the bytes alone lead to, to where the number does: a step or two, for keys as well as for any other bound. */
  seek(key: Uint8Array, start: number, end: number): Step {
    let step = this.#seekNear(key, start, end);
    if (step === MISS) return MISS;
    for (;;) {
      const before = step === END ? this.#inner.last() : this.#inner.previous();
      if (before === MISS) return MISS;
      if (before === END) {
        step = this.first();
        break;
      }
      step = this.#show(before);
      if (this.#compare(key, start, end) < 0) {
        step = this.next();
        break;
      }
    }
    while (step === AT && this.#compare(key, start, end) < 0) step = this.next();
    return step;
  }

  seekBefore(key: Uint8Array, start: number, end: number): Step {
    const step = this.seek(key, start, end);
    if (step === MISS) return MISS;
    return step === END ? this.last() : this.previous();
  }

  /** Where a key of this transaction stands; with one byte behind it, it is what follows that key. */
  #seekNear(key: Uint8Array, start: number, end: number): Step {
    const length = end - start;
    for (let extra = 0; extra <= 1; extra++) {
      const keyEnd = end - extra;
      if (keyEnd - ITEM_ID_BYTES < start || length > MAX_KEY_BYTES) continue;
      if (itemNumber(key, keyEnd) !== this.#number) continue;
      const near = copyBytes(key, start, end);
      setItemNumber(near, length - extra, NUMBER_PLACEHOLDER);
      return this.#inner.seek(near, 0, length);
    }
    return this.#inner.seek(key, start, end);
  }

  #compare(key: Uint8Array, start: number, end: number): number {
    return compareBytes(this.keyBytes, this.keyStart, this.keyEnd, key, start, end);
  }

  #show(step: Step): Step {
    if (step !== AT) return step;
    const inner = this.#inner;
    this.cellBytes = inner.cellBytes;
    this.cellStart = inner.cellStart;
    this.cellEnd = inner.cellEnd;
    this.version = inner.version;
    this.removed = inner.removed;
    const { keyBytes, keyStart, keyEnd } = inner;
    if (!endsWithPlaceholder(keyBytes, keyStart, keyEnd)) {
      this.keyBytes = keyBytes;
      this.keyStart = keyStart;
      this.keyEnd = keyEnd;
      return AT;
    }
    const length = keyEnd - keyStart;
    if (length > this.#key.length) this.#key = new Uint8Array(MAX_KEY_BYTES);
    for (let i = 0; i < length; i++) this.#key[i] = keyBytes[keyStart + i] as number;
    setItemNumber(this.#key, length, this.#number);
    this.keyBytes = this.#key;
    this.keyStart = 0;
    this.keyEnd = length;
    return AT;
  }
}
