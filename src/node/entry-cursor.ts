/**
 * The one shape of a position in ordered entries: trees, memory tables, runs, write buffers and their merge all have it.
 *
 * Moves answer END, AT or MISS. MISS means that an image is not in memory: nothing has moved, and the same call may be
 * repeated after `await load()`. A cursor whose `waits` is true loads synchronously instead and never answers MISS.
 * The fields describe the current entry and are valid until the next move (of any cursor over the same cache) or await.
 */

export const END = 0;
export const AT = 1;
export const MISS = 2;
export type Step = typeof END | typeof AT | typeof MISS;

export interface EntryCursor {
  /** Load synchronously on a cache miss instead of answering MISS. */
  waits: boolean;

  /** The sort key is `keyBytes[keyStart, keyEnd)`, contiguous. */
  keyBytes: Uint8Array;
  keyStart: number;
  keyEnd: number;
  /** The cell is `cellBytes[cellStart, cellEnd)` (see codec/cell.ts); empty where `removed`. */
  cellBytes: Uint8Array;
  cellStart: number;
  cellEnd: number;
  /** Number of the entry's last change. */
  version: number;
  /** The entry says that the key is absent (a removal in a memory table, a tombstone in a run). */
  removed: boolean;
  /**
   * Where `removed`: the entry is an increment, and what it is added to lies in layers below this cursor's. The cell is the
   * increment (codec/counter.ts) then. Who knows nothing of increments takes the entry for removed.
   */
  readonly partial?: boolean;
  /** The current entry lies where nothing is loaded over it. */
  readonly isStable?: boolean;

  /** The first entry whose key is not less than `key[start, end)`. */
  seek(key: Uint8Array, start: number, end: number): Step;
  /** The last entry whose key is less than `key[start, end)`. */
  seekBefore(key: Uint8Array, start: number, end: number): Step;
  first(): Step;
  last(): Step;
  /** The following entry; END past the last one (then the cursor is nowhere). */
  next(): Step;
  previous(): Step;
  /** After MISS: brings what was missing into memory. */
  load(): Promise<void>;
}
