/**
 * Decoded values of keys that are read again and again, so that a hot key costs neither the way down the tree nor decoding.
 *
 *  1. A row is known by the root image of its tree and its key. Images never change, so a row never is out of date: after a
 *     checkpoint the store has another root, and its rows are other rows. Whether a younger change hides the tree's entry is
 *     asked before the cache is (`EngineTransaction.treeToken`).
 *  2. What is kept is handed to nobody: callers get copies. Only values that one shallow copy makes the caller's own are
 *     kept: primitives, and plain objects of primitives.
 *  3. Its size is bounded: so many rows, short keys and short values only.
 *
 * Two-way set associative; a key is let in when it is asked for a second time while its tag is still there, so that
 * passing once over everything costs a tag a read and displaces little.
 */

const SET_BITS = 14;
const WAYS = 2;
const ROWS = WAYS << SET_BITS;
const SET_MASK = (1 << SET_BITS) - 1;
/** Longer keys are not kept. */
export const MAX_ROW_KEY_BYTES = 32;
/** Values with longer cells are not kept: they cost decoding time anyway, and memory here. */
export const MAX_ROW_CELL_BYTES = 512;

export class RowCache {
  hits = 0;
  misses = 0;
  /** Tree token of each row and one more, 0 for none. */
  readonly #tokens = new Float64Array(ROWS);
  readonly #keys = new Uint8Array(ROWS * MAX_ROW_KEY_BYTES);
  readonly #keyLengths = new Uint8Array(ROWS);
  readonly #values: unknown[] = new Array(ROWS);
  /** Hash of the key last asked for in vain, by set. */
  readonly #tags = new Int32Array(1 << SET_BITS);
  /** The way of each set to be given up next. */
  readonly #next = new Uint8Array(1 << SET_BITS);

  /** The row of `key[0, length)`, -1 where there is none. */
  find(token: number, key: Uint8Array, length: number, hash: number): number {
    const first = (hash & SET_MASK) * WAYS;
    for (let row = first; row < first + WAYS; row++) {
      if (this.#tokens[row] === token + 1 && this.#keyLengths[row] === length && this.#holds(row, key, length)) {
        this.hits++;
        return row;
      }
    }
    this.misses++;
    return -1;
  }

  value(row: number): unknown {
    return this.#values[row];
  }

  /** Whether this key was asked for lately; notes that it was asked for now. */
  wants(length: number, hash: number): boolean {
    const set = hash & SET_MASK;
    if (length > MAX_ROW_KEY_BYTES) return false;
    if (this.#tags[set] === hash) return true;
    this.#tags[set] = hash;
    return false;
  }

  /** Keeps `value`, which nobody else holds. */
  keep(token: number, key: Uint8Array, length: number, hash: number, value: unknown): void {
    const set = hash & SET_MASK;
    const way = this.#next[set] as number;
    this.#next[set] = (way + 1) % WAYS;
    const row = set * WAYS + way;
    this.#tokens[row] = token + 1;
    this.#keyLengths[row] = length;
    const at = row * MAX_ROW_KEY_BYTES;
    for (let i = 0; i < length; i++) this.#keys[at + i] = key[i] as number;
    this.#values[row] = value;
  }

  #holds(row: number, key: Uint8Array, length: number): boolean {
    const keys = this.#keys;
    const at = row * MAX_ROW_KEY_BYTES;
    for (let i = 0; i < length; i++) if (keys[at + i] !== key[i]) return false;
    return true;
  }
}

/** Whether a shallow copy of the value shares nothing with it. */
export function isFlat(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  for (const name in value) {
    const field: unknown = (value as Record<string, unknown>)[name];
    if (typeof field === 'object' && field !== null) return false;
  }
  return true;
}

/**
 * A function that copies flat values. Each store has one of its own: shared by stores of many shapes, copying would be
 * some ten times slower.
 */
export function makeCopier(): (value: unknown) => unknown {
  return new Function('value', "return typeof value === 'object' && value !== null ? { ...value } : value") as (
    value: unknown,
  ) => unknown;
}
