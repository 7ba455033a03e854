/**
 * Moving values out of cells that do not belong in a leaf: those too long, and those whose store keeps values apart. In the
 * log and in memory tables they lie inline, so that a small commit costs one sync; a checkpoint or a spill moves them. A
 * checkpoint that compacts moves those as well that lie in segments about to go.
 */
import {
  CELL_SEPARATE,
  CELL_TOMBSTONE,
  CELL_WANTS_SEPARATE,
  cellValueStart,
  VALUE_REFERENCE_BYTES,
} from '../codec/cell.ts';
import { FIRST_USER_STORE_ID, MAX_KEY_BYTES, MAX_LEAF_CELL_BYTES } from '../base/limits.ts';
import type { EntryCursor, Step } from '../node/entry-cursor.ts';
import { AT } from '../node/entry-cursor.ts';
import type { Segments } from './segments.ts';
import type { SegmentWriter } from './segment-writer.ts';
import { PREPARED_STORE } from './system-stores.ts';
import { appendValue, readValueReference, readValueSync, type ValueReference } from './value-log.ts';

export interface MovingOptions {
  /** Segments that values must not stay in. */
  readonly leaving?: ReadonlySet<number>;
  /** Hears of every separate value that an entry refers to, those just moved included. */
  readonly onReference?: (reference: ValueReference) => void;
}

/** Entries with their values where they belong: another cursor, forward only, whose cells are rewritten on the way. */
export class MovingCursor implements EntryCursor {
  keyBytes: Uint8Array;
  keyStart = 0;
  keyEnd = 0;
  cellBytes: Uint8Array;
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  removed = false;
  partial = false;
  readonly #inner: EntryCursor;
  readonly #storeId: number;
  readonly #movesValues: boolean;
  readonly #values: SegmentWriter;
  readonly #segments: Segments;
  /** What rides on is at most a key. */
  readonly #moved = new Uint8Array(3 + MAX_KEY_BYTES + VALUE_REFERENCE_BYTES);

  readonly #options: MovingOptions;

  constructor(
    inner: EntryCursor,
    storeId: number,
    values: SegmentWriter,
    segments: Segments,
    options: MovingOptions = {},
  ) {
    this.#inner = inner;
    this.#storeId = storeId;
    this.#movesValues = movesValues(storeId);
    this.#values = values;
    this.#segments = segments;
    this.#options = options;
    this.keyBytes = inner.keyBytes;
    this.cellBytes = inner.cellBytes;
  }

  get waits(): boolean {
    return this.#inner.waits;
  }

  set waits(waits: boolean) {
    this.#inner.waits = waits;
  }

  first(): Step {
    return this.#take(this.#inner.first());
  }

  next(): Step {
    return this.#take(this.#inner.next());
  }

  seek(key: Uint8Array, start: number, end: number): Step {
    return this.#take(this.#inner.seek(key, start, end));
  }

  seekBefore(): Step {
    throw new TypeError('a moving cursor goes forward only');
  }

  last(): Step {
    throw new TypeError('a moving cursor goes forward only');
  }

  previous(): Step {
    throw new TypeError('a moving cursor goes forward only');
  }

  load(): Promise<void> {
    return this.#inner.load();
  }

  #take(step: Step): Step {
    if (step !== AT) return step;
    const inner = this.#inner;
    this.keyBytes = inner.keyBytes;
    this.keyStart = inner.keyStart;
    this.keyEnd = inner.keyEnd;
    this.cellBytes = inner.cellBytes;
    this.cellStart = inner.cellStart;
    this.cellEnd = inner.cellEnd;
    this.version = inner.version;
    this.removed = inner.removed;
    this.partial = inner.removed && inner.partial === true;
    if (inner.removed) return step;
    if (this.mustMove(inner.cellBytes, inner.cellStart, inner.cellEnd)) {
      this.#move(inner.cellBytes, cellValueStart(inner.cellBytes, inner.cellStart), inner.cellEnd);
    }
    if (((this.cellBytes[this.cellStart] as number) & CELL_SEPARATE) !== 0) this.#refer();
    return step;
  }

  mustMove(cell: Uint8Array, start: number, end: number): boolean {
    const flags = cell[start] as number;
    if (!this.#movesValues || (flags & (CELL_SEPARATE | CELL_TOMBSTONE)) !== 0) return false;
    if ((flags & CELL_WANTS_SEPARATE) !== 0) return true;
    // What rides on stays: where there is little else (a key that an index points at), a reference would not be shorter.
    return end - start > MAX_LEAF_CELL_BYTES && end - cellValueStart(cell, start) > VALUE_REFERENCE_BYTES;
  }

  #refer(): void {
    const { leaving, onReference } = this.#options;
    if (onReference === undefined && (leaving === undefined || leaving.size === 0)) return;
    let reference = readValueReference(this.#segments, this.cellBytes, this.cellStart, this.cellEnd);
    if (leaving?.has(reference.segment)) {
      const value = readValueSync(this.#segments, this.cellBytes, this.cellStart, this.cellEnd);
      this.#move(value, 0, value.length);
      reference = readValueReference(this.#segments, this.cellBytes, this.cellStart, this.cellEnd);
    }
    onReference?.(reference);
  }

  /** The entry's value is `from[valueStart, valueEnd)`: it goes to a segment, and the cell gets its reference. */
  #move(from: Uint8Array, valueStart: number, valueEnd: number): void {
    const { cellBytes, cellStart } = this;
    const head = cellValueStart(cellBytes, cellStart) - cellStart;
    const moved = this.#moved;
    for (let i = 0; i < head; i++) moved[i] = cellBytes[cellStart + i] as number;
    moved[0] = ((moved[0] as number) & ~CELL_WANTS_SEPARATE) | CELL_SEPARATE;
    const { keyBytes, keyStart, keyEnd } = this;
    appendValue(
      this.#values,
      this.#segments,
      this.#storeId,
      keyBytes,
      keyStart,
      keyEnd,
      from,
      valueStart,
      valueEnd,
      moved,
      head,
    );
    this.cellBytes = moved;
    this.cellStart = 0;
    this.cellEnd = head + VALUE_REFERENCE_BYTES;
  }
}

/**
 * Rows of the engine's own stores stay whole, as their readers want them: they are shorter than an image. Those of prepared
 * transactions may be longer than any, and are read whole wherever they are.
 */
function movesValues(storeId: number): boolean {
  return storeId >= FIRST_USER_STORE_ID || storeId === PREPARED_STORE;
}
