/**
 * A place in a store that moves: what the public cursors wrap.
 *
 * Invariants:
 *  1. The place is a key, not a position: whatever the transaction changes meanwhile, the next move goes to the first key
 *     behind (or before) it as the store is then.
 *  2. The read set gets every range that was passed over or found empty, ends included, before the commit: moves that join
 *     are kept as one span, named when the cursor jumps or is closed.
 *  3. On a MISS nothing has changed; the same call is made again after `load`.
 */
import { compareBytes, copyBytes, keySuccessor, prefixSuccessor } from '../base/bytes.ts';
import { InvalidArgumentError, InvalidKeyError } from '../base/errors.ts';
import { cellValueStart } from '../codec/cell.ts';
import { keyBounds } from '../codec/key-bounds.ts';
import { BACKWARD, type Direction, FORWARD } from '../node/entry-block.ts';
import { AT, END, type EntryCursor, MISS, type Step } from '../node/entry-cursor.ts';
import { ABSENT, FOUND, type FindResult, NOT_LOADED } from '../storage/find-result.ts';
import { mustBeOptions } from './arguments.ts';
import { isSeparate, NO_FIELDS, toVersion } from './store-codec.ts';
import type { StoreCore } from './store-core.ts';
import { INDEX_MISS } from './store-indexes.ts';

/** What `find` answers, and MISS. */
export const FOUND_NONE = 0;
export const FOUND_EXACT = 1;
export const FOUND_GREATER = 3;
export const FOUND_LESS = 4;
export type FindStep = typeof FOUND_NONE | typeof FOUND_EXACT | typeof MISS | typeof FOUND_GREATER | typeof FOUND_LESS;

/** What `find` is to look for: keys that begin with `lower`. */
export interface FindTarget {
  readonly lower: Uint8Array;
  readonly upper: Uint8Array | undefined;
  readonly nearest: 'greater' | 'less' | undefined;
}

const BEFORE = 0;
const ON = 1;
/** Between keys: where one was removed through this cursor. Moves go to what is strictly behind or before. */
const GAP = 2;
/** Where an exact search found nothing: a key put there since counts as behind. */
const MISSED = 3;
const AFTER = 4;
type Place = typeof BEFORE | typeof ON | typeof GAP | typeof MISSED | typeof AFTER;

/** Longer cells are read again when their value is asked for. */
const MOST_KEPT_BYTES = 4096;
/** After so many misses of indexes in one change the next try waits for the disk. */
const MOST_INDEX_MISSES = 8;

/** Bytes that are overwritten from move to move. */
class Kept {
  bytes = new Uint8Array(64);
  length = 0;

  set(from: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length > this.bytes.length) this.bytes = new Uint8Array(Math.max(length, this.bytes.length * 2));
    const { bytes } = this;
    for (let i = 0; i < length; i++) bytes[i] = from[start + i] as number;
    this.length = length;
  }

  compare(other: Uint8Array, start: number, end: number): number {
    return compareBytes(this.bytes, 0, this.length, other, start, end);
  }

  copy(): Uint8Array {
    return copyBytes(this.bytes, 0, this.length);
  }
}

export class CursorCore {
  readonly core: StoreCore;
  readonly #tracks: boolean;
  #closed = false;
  #cursor: EntryCursor | undefined;
  #changeCount: number;
  /** The engine's cursor stands at `#key`, so that one step leads on. */
  #stands = false;
  #place: Place = BEFORE;
  readonly #key = new Kept();
  /** The cell at `#key` as of the last look, or only what comes before its value. */
  readonly #cell = new Kept();
  #cellIsWhole = false;
  #version = 0;
  /** What answered the last MISS of a change: the look-up, or the store's indexes. */
  #missed: 'look-up' | 'index' | undefined;
  #indexMisses = 0;
  /** What was looked at since the last jump: [low, high), or [low, high] where `#highIncluded`. */
  #hasSpan = false;
  readonly #low = new Kept();
  readonly #high = new Kept();
  #lowBounded = false;
  #highBounded = false;
  #highIncluded = false;

  constructor(core: StoreCore) {
    core.mustBeOpen();
    this.core = core;
    this.#tracks = core.writable;
    this.#changeCount = core.etx.changeCount;
    if (this.#tracks) core.transaction.openScans.add(this);
  }

  /** Ends the cursor and notes what it looked at. Harmless when repeated. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#flush();
    if (this.#tracks) this.core.transaction.openScans.delete(this);
    if (this.#cursor !== undefined) this.core.giveBackCursor(this.#cursor, this.#changeCount);
    this.#cursor = undefined;
  }

  load(): Promise<void> {
    this.mustBeUsable();
    const { indexes, etx } = this.core;
    const missed = this.#missed;
    this.#missed = undefined;
    if (missed === 'look-up') return etx.load();
    return missed === 'index' && indexes !== undefined ? indexes.load() : this.#current().load();
  }

  mustBeUsable(): void {
    this.core.mustBeOpen();
    if (this.#closed) throw new InvalidArgumentError('the cursor is closed');
  }

  // Where it stands

  get isOn(): boolean {
    return this.#place === ON;
  }

  /** The key at the place, perhaps removed since by other means than this cursor. Only where `isOn`. */
  get key(): unknown {
    const { bytes, length } = this.#key;
    return this.core.codec.readRidingKey(bytes, 0, length, this.#cell.bytes, 0, this.#cell.length);
  }

  /** The entry at the place, with its id where the store keeps equal keys. */
  withItemId<T extends object>(entry: T): T {
    return this.core.withItemId(entry, this.#key.bytes, this.#key.length);
  }

  copyKey(): Uint8Array {
    return this.#key.copy();
  }

  // Moving

  step(direction: Direction, waits: boolean): Step {
    this.mustBeUsable();
    const place = this.#place;
    if (place === (direction === FORWARD ? AFTER : BEFORE)) return END;
    const cursor = this.#current();
    cursor.waits = waits;
    const step = direction === FORWARD ? this.#forward(cursor, place) : this.#backward(cursor, place);
    if (step === MISS) return MISS;
    if (step === END) {
      this.#stands = false;
      this.#place = direction === FORWARD ? AFTER : BEFORE;
      if (this.#tracks) this.#widen(direction, undefined);
      return END;
    }
    if (this.#tracks) this.#widen(direction, cursor);
    this.#land(cursor);
    return AT;
  }

  #forward(cursor: EntryCursor, place: Place): Step {
    if (this.#stands) return cursor.next();
    if (place === BEFORE) return cursor.first();
    const from = place === MISSED ? this.#key.copy() : keySuccessor(this.#key.copy());
    return cursor.seek(from, 0, from.length);
  }

  #backward(cursor: EntryCursor, place: Place): Step {
    if (this.#stands) return cursor.previous();
    if (place === AFTER) return cursor.last();
    return cursor.seekBefore(this.#key.bytes, 0, this.#key.length);
  }

  /** To the first entry or the last: END where there is none. */
  goToEnd(direction: Direction, waits: boolean): Step {
    this.mustBeUsable();
    const cursor = this.#current();
    cursor.waits = waits;
    const step = direction === FORWARD ? cursor.first() : cursor.last();
    this.#stands = false;
    if (step === MISS) return MISS;
    this.#beginSpan(undefined, undefined);
    if (step === END) {
      this.#place = direction === FORWARD ? AFTER : BEFORE;
      return END;
    }
    if (direction === FORWARD) this.#setHigh(cursor);
    else this.#setLow(cursor);
    this.#land(cursor);
    return AT;
  }

  target(key: unknown, options: { readonly nearest?: 'greater' | 'less' }): FindTarget {
    this.mustBeUsable();
    mustBeOptions(options);
    const { nearest } = options;
    if (nearest !== undefined && nearest !== 'greater' && nearest !== 'less') {
      throw new InvalidArgumentError("nearest is 'greater' or 'less'", { details: { found: nearest } });
    }
    const { lower } = keyBounds(this.core.codec.keySpec, { gte: key });
    if (lower === undefined) throw new InvalidKeyError('find needs a key', { details: { path: 'key' } });
    return { lower, upper: prefixSuccessor(lower), nearest };
  }

  find(target: FindTarget, waits: boolean): FindStep {
    this.mustBeUsable();
    const cursor = this.#current();
    cursor.waits = waits;
    this.#stands = false;
    return target.nearest === 'less' ? this.#findBackward(cursor, target) : this.#findForward(cursor, target);
  }

  #findForward(cursor: EntryCursor, { lower, upper, nearest }: FindTarget): FindStep {
    const step = cursor.seek(lower, 0, lower.length);
    if (step === MISS) return MISS;
    const exact = step === AT && beginsWith(cursor, lower);
    if (!exact && nearest === undefined) {
      this.#beginSpan(lower, upper);
      this.#key.set(lower, 0, lower.length);
      this.#place = MISSED;
      return FOUND_NONE;
    }
    this.#beginSpan(lower, undefined);
    if (step === END) {
      this.#place = AFTER;
      return FOUND_NONE;
    }
    this.#setHigh(cursor);
    this.#land(cursor);
    return exact ? FOUND_EXACT : FOUND_GREATER;
  }

  #findBackward(cursor: EntryCursor, { lower, upper }: FindTarget): FindStep {
    const step = upper === undefined ? cursor.last() : cursor.seekBefore(upper, 0, upper.length);
    if (step === MISS) return MISS;
    this.#beginSpan(undefined, upper);
    if (step === END) {
      this.#place = BEFORE;
      return FOUND_NONE;
    }
    const exact = beginsWith(cursor, lower);
    this.#setLow(cursor);
    this.#land(cursor);
    return exact ? FOUND_EXACT : FOUND_LESS;
  }

  /** To the entry under exactly these key bytes; where there is none, between its neighbours. */
  goTo(key: Uint8Array, waits: boolean): Step {
    this.mustBeUsable();
    const cursor = this.#current();
    cursor.waits = waits;
    this.#stands = false;
    const step = cursor.seek(key, 0, key.length);
    if (step === MISS) return MISS;
    this.#beginSpan(key, keySuccessor(key));
    this.#key.set(key, 0, key.length);
    if (step === END || compareBytes(cursor.keyBytes, cursor.keyStart, cursor.keyEnd, key, 0, key.length) !== 0) {
      this.#place = MISSED;
      return END;
    }
    this.#land(cursor);
    return AT;
  }

  // Reading

  /** Brings the cell at the place: END where there is no entry (any more). */
  look(waits: boolean): Step {
    this.mustBeUsable();
    if (this.#place !== ON) return END;
    if (this.#cellIsWhole && this.#changeCount === this.core.etx.changeCount) return AT;
    const cursor = this.#current();
    cursor.waits = waits;
    this.#stands = false;
    const { bytes, length } = this.#key;
    const step = cursor.seek(bytes, 0, length);
    if (step !== AT) return step;
    if (this.#key.compare(cursor.keyBytes, cursor.keyStart, cursor.keyEnd) !== 0) return END;
    this.#stands = true;
    this.#keepCell(cursor, Number.POSITIVE_INFINITY);
    return AT;
  }

  /** After `look` answered AT, in the same turn. */
  get cell(): Uint8Array {
    return this.#cell.bytes;
  }

  get cellLength(): number {
    return this.#cell.length;
  }

  get isSeparate(): boolean {
    return isSeparate(this.#cell.bytes, 0);
  }

  get version(): number {
    return this.#version;
  }

  copyCell(): Uint8Array {
    return this.#cell.copy();
  }

  // Changing

  /** The cell of a value, its ride-on fields left to be taken from the entry. */
  encode(value: unknown): Uint8Array {
    const { core } = this;
    this.mustBeUsable();
    core.encodeValueCell(value);
    return core.codec.copyCell();
  }

  update(cell: Uint8Array, waits: boolean): Step {
    const found = this.#lookUp(waits);
    if (found !== FOUND) return toStep(found);
    const step = this.#finish(() => this.core.finishUpdate(found, this.#key.copy(), cell, NO_FIELDS), waits);
    if (step === AT) this.#cellIsWhole = false;
    return step;
  }

  updateKey(fields: readonly unknown[], waits: boolean): Step {
    const found = this.#lookUp(waits);
    if (found !== FOUND) return toStep(found);
    const step = this.#finish(() => this.core.finishUpdateKey(found, this.#key.copy(), fields), waits);
    const cell = this.core.changedCell;
    if (step !== AT || cell === undefined) return step;
    this.#cell.set(cell, 0, cellValueStart(cell, 0));
    this.#cellIsWhole = false;
    return AT;
  }

  remove(waits: boolean): Step {
    const found = this.#lookUp(waits);
    if (found === NOT_LOADED) return MISS;
    const step =
      found === FOUND
        ? this.#finish(() => this.core.finishRemove(found, this.#key.bytes, this.#key.length), waits)
        : END;
    if (step === AT) this.#place = GAP;
    return step;
  }

  #lookUp(waits: boolean): FindResult {
    this.core.mustBeWritable();
    this.mustBeUsable();
    if (this.#place !== ON) return ABSENT;
    const { etx, storeId } = this.core;
    etx.waits = waits;
    const found = etx.find(storeId, this.#key.bytes, 0, this.#key.length);
    if (found === NOT_LOADED) this.#missed = 'look-up';
    return found;
  }

  /** Makes a change; where one of the store's indexes misses something, nothing was changed. */
  #finish(change: () => boolean, waits: boolean): Step {
    const { indexes } = this.core;
    if (indexes === undefined) return change() ? AT : END;
    indexes.waits = waits || this.#indexMisses >= MOST_INDEX_MISSES;
    try {
      const changed = change();
      this.#indexMisses = 0;
      return changed ? AT : END;
    } catch (error) {
      if (error !== INDEX_MISS) throw error;
      this.#missed = 'index';
      this.#indexMisses++;
      return MISS;
    } finally {
      indexes.waits = true;
    }
  }

  // The engine's cursor

  /** One that sees all changes so far. */
  #current(): EntryCursor {
    const { changeCount } = this.core.etx;
    if (this.#cursor !== undefined && this.#changeCount === changeCount) return this.#cursor;
    this.#cursor = this.core.takeCursor();
    this.#changeCount = changeCount;
    this.#stands = false;
    this.#cellIsWhole = false;
    return this.#cursor;
  }

  #land(cursor: EntryCursor): void {
    this.#key.set(cursor.keyBytes, cursor.keyStart, cursor.keyEnd);
    this.#keepCell(cursor, MOST_KEPT_BYTES);
    this.#place = ON;
    this.#stands = true;
  }

  #keepCell({ cellBytes, cellStart, cellEnd, version }: EntryCursor, most: number): void {
    this.#cellIsWhole = cellEnd - cellStart <= most;
    this.#cell.set(cellBytes, cellStart, this.#cellIsWhole ? cellEnd : cellValueStart(cellBytes, cellStart));
    this.#version = toVersion(version);
  }

  // What was looked at

  #beginSpan(lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    if (!this.#tracks) return;
    this.#flush();
    this.#hasSpan = true;
    this.#lowBounded = lower !== undefined;
    if (lower !== undefined) this.#low.set(lower, 0, lower.length);
    this.#highBounded = upper !== undefined;
    this.#highIncluded = false;
    if (upper !== undefined) this.#high.set(upper, 0, upper.length);
  }

  /** The span reaches to where the cursor has come, or, without one, to the end of the store. */
  #widen(direction: Direction, cursor: EntryCursor | undefined): void {
    if (!this.#hasSpan) {
      // The first move of a new cursor: from the beginning.
      this.#beginSpan(undefined, undefined);
      if (cursor !== undefined) this.#setHigh(cursor);
    } else if (cursor === undefined) {
      if (direction === BACKWARD) this.#lowBounded = false;
      else this.#highBounded = false;
    } else if (direction === BACKWARD) {
      if (this.#lowBounded && this.#low.compare(cursor.keyBytes, cursor.keyStart, cursor.keyEnd) > 0) {
        this.#setLow(cursor);
      }
    } else if (this.#highBounded) {
      const order = this.#high.compare(cursor.keyBytes, cursor.keyStart, cursor.keyEnd);
      if (order < 0 || (order === 0 && !this.#highIncluded)) this.#setHigh(cursor);
    }
  }

  #setLow({ keyBytes, keyStart, keyEnd }: EntryCursor): void {
    if (!this.#tracks) return;
    this.#low.set(keyBytes, keyStart, keyEnd);
    this.#lowBounded = true;
  }

  #setHigh({ keyBytes, keyStart, keyEnd }: EntryCursor): void {
    if (!this.#tracks) return;
    this.#high.set(keyBytes, keyStart, keyEnd);
    this.#highBounded = true;
    this.#highIncluded = true;
  }

  #flush(): void {
    if (!this.#hasSpan) return;
    this.#hasSpan = false;
    const { etx, storeId } = this.core;
    if (etx.ended) return;
    const high = this.#highBounded ? this.#high.copy() : undefined;
    const upper = high !== undefined && this.#highIncluded ? keySuccessor(high) : high;
    etx.noteRange(storeId, this.#lowBounded ? this.#low.copy() : undefined, upper);
  }
}

function beginsWith({ keyBytes, keyStart, keyEnd }: EntryCursor, prefix: Uint8Array): boolean {
  const end = keyStart + prefix.length;
  return end <= keyEnd && compareBytes(keyBytes, keyStart, end, prefix, 0, prefix.length) === 0;
}

function toStep(found: FindResult): Step {
  return found === NOT_LOADED ? MISS : END;
}
