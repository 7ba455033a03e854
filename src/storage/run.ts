/**
 * A run: a big transaction's changes to one store, spilled sorted to its writer's own segment in node format, and adopted
 * by its commit. All entries have the commit's number; removals are tombstone cells.
 *
 * Until a checkpoint has merged it, it is one more layer beside the records of the memory table that adopted it: of a
 * record and a run's entry for one key the higher version counts, at equal version the record.
 */
import type { EntryCursor, Step } from '../node/entry-cursor.ts';

/** Where a point read puts what it found. The bytes are valid until the next read through the same cache, or await. */
export interface FoundEntry {
  cellBytes: Uint8Array;
  cellStart: number;
  cellEnd: number;
  version: number;
  removed: boolean;
}

export interface Run {
  readonly storeId: number;
  /** Number of the transaction; every entry has it as its version. */
  readonly number: number;
  readonly entries: number;
  /** False where the key is surely not in the run. */
  mayContain(key: Uint8Array, start: number, end: number): boolean;
  /** False where [lower, upper) surely holds no key of the run (undefined: no bound on that side). */
  mayOverlap(lower: Uint8Array | undefined, upper: Uint8Array | undefined): boolean;
  /** AT fills `found`; END where the key is not in the run; MISS where an image is not in memory. */
  find(key: Uint8Array, start: number, end: number, found: FoundEntry): Step;
  /** A new cursor over all entries. */
  cursor(): EntryCursor;
}
