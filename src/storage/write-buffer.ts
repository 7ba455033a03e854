/**
 * What a transaction has changed in one store so far: records in log form, in the order of the calls. While only blind
 * writes come it is nothing but that; the first read builds an index, which is then kept current.
 *
 * Invariants:
 *  1. The section is what the memory table takes in: of two records of one key the later counts, and a record of a key
 *     counts over a range removal, wherever they stand. So a range removal takes back the puts before it: it turns them
 *     into OP_NOOP in place or, where a mark protects them, puts explicit removals behind them.
 *  2. A replaced record is turned into OP_NOOP when the index exists and no mark protects it; its RECORD_KNOWN and
 *     RECORD_EXISTED then pass to the record that replaced it: they speak of the time before the transaction.
 *  3. Words 2 and 3 stay zero. Every version reads as `PENDING_NUMBER`, above all numbers of the log.
 *  4. An increment is added in place to the key's record where there is one. So one in the section is blind: no record of
 *     its key stands before it. What a mark protects gets its counters back by `#undo`.
 *  5. Addresses and cursors are void after `truncate`, `reset` or release.
 */
import { assert } from '../base/assert.ts';
import { compareKeys } from '../base/bytes.ts';
import { addAmounts, createdCell, INCREMENT_HEAD_BYTES, slotsOfCell } from '../codec/counter.ts';
import {
  OP_INCREMENT,
  OP_NOOP,
  OP_PUT,
  OP_RANGE_REMOVE,
  OP_REMOVE,
  RANGE_UNBOUNDED,
  RECORD_EXISTED,
  RECORD_KNOWN,
  RECORD_PLACEHOLDER,
} from '../log/record.ts';
import { endsWithPlaceholder } from '../log/placeholder.ts';
import { IndexNodes, NODE_SHIFT } from './index-nodes.ts';
import type { RangeRemovals } from './range-removals.ts';
import { FIRST_ADDRESS, NO_CELL, RecordArena } from './record-arena.ts';
import type { RecordCursor } from './record-cursor.ts';
import { RecordIndex } from './record-index.ts';

/** The version that records of an uncommitted transaction show: greater than any number in a log. */
export const PENDING_NUMBER = 2 ** 48;

const FRESH_ARENA_BYTES = 4096;
const FRESH_LEAVES = 8;
const EXISTENCE = (RECORD_KNOWN | RECORD_EXISTED) << 8;

/** A place to come back to. */
export interface BufferMark {
  readonly words: number;
  /** Entries of the undo list. */
  readonly undo: number;
}

/** Counters as they were before an increment in place. */
interface Undo {
  readonly address: number;
  /** Place in the cell, and what was there. */
  readonly at: number;
  readonly before: Uint8Array;
}

const NO_UNDO: Undo[] = [];

export class WriteBuffer {
  storeId = 0;
  /** Keys may end with a placeholder for the commit's number: such records are marked. */
  numbered = false;
  readonly arena: RecordArena;
  /** Records in the section, taken back ones included. */
  recordCount = 0;
  /** Of these, range removals. */
  rangeRemovals = 0;
  /** Undefined until the first read; see `index`. */
  #index: RecordIndex | undefined = undefined;
  #indexed = false;
  /** Records before this word are not changed in place: a mark may come back to them. */
  #protectedWords = FIRST_ADDRESS;
  #undo: Undo[] = NO_UNDO;

  constructor(arenaBytes = FRESH_ARENA_BYTES) {
    this.arena = new RecordArena(new ArrayBuffer(arenaBytes), true);
  }

  // ---- changes ----

  /** `flags`: RECORD_KNOWN and RECORD_EXISTED, of the key's state before this call. Answers the record's address. */
  put(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    cell: Uint8Array,
    cellStart: number,
    cellEnd: number,
    flags = 0,
  ): number {
    const marked = this.numbered ? flags | placeholderFlag(key, keyStart, keyEnd) : flags;
    const address = this.arena.appendRecord(OP_PUT, marked, key, keyStart, keyEnd, cell, cellStart, cellEnd);
    this.#added(address);
    return address;
  }

  remove(key: Uint8Array, keyStart: number, keyEnd: number, flags = 0): number {
    const marked = this.numbered ? flags | placeholderFlag(key, keyStart, keyEnd) : flags;
    const address = this.arena.appendRecord(OP_REMOVE, marked, key, keyStart, keyEnd, NO_CELL, 0, 0);
    this.#added(address);
    return address;
  }

  /** Adds the increment `cell` (codec/counter.ts). What the transaction did not change itself stays unread. */
  increment(key: Uint8Array, keyStart: number, keyEnd: number, cell: Uint8Array): void {
    // The index, though a blind write: two increments of a key would be one after another in the section.
    const older = this.index.find(key, keyStart, keyEnd, Infinity);
    const op = older === 0 ? OP_NOOP : (this.arena.words[older] as number) & 0xff;
    if (op === OP_PUT || op === OP_INCREMENT) this.#addInPlace(older, op, cell);
    else if (op === OP_REMOVE || this.covers(key, keyStart, keyEnd)) {
      const created = createdCell(cell, 0, cell.length);
      if (created !== undefined) this.put(key, keyStart, keyEnd, created, 0, created.length);
    } else {
      this.#added(this.arena.appendRecord(OP_INCREMENT, 0, key, keyStart, keyEnd, cell, 0, cell.length));
    }
  }

  #addInPlace(address: number, op: number, increment: Uint8Array): void {
    const { arena } = this;
    const byteLength = increment.length - INCREMENT_HEAD_BYTES;
    const start = arena.cellStart(address);
    const end = start + arena.cellLength(address);
    const at = op === OP_PUT ? slotsOfCell(arena.bytes, start, end, byteLength) : start + INCREMENT_HEAD_BYTES;
    if (address < this.#protectedWords) {
      if (this.#undo === NO_UNDO) this.#undo = [];
      this.#undo.push({ address, at: at - start, before: arena.bytes.slice(at, at + byteLength) });
    }
    addAmounts(arena.bytes, at, increment, 0, increment.length);
    (this.#index as RecordIndex).changes++;
  }

  /** Takes in a record that was written in place (`arena.reserve`, `arena.finish`): any op but OP_RANGE_REMOVE. */
  added(address: number): void {
    this.#added(address);
  }

  /**
   * Removes [lower, upper); undefined: to the end of the store. Nothing where the range is empty. `keepsRemovals`: removals of
   * single keys stay, since they hide what a range removal does not.
   */
  clearRange(lower: Uint8Array, upper: Uint8Array | undefined, keepsRemovals = false): void {
    if (upper !== undefined && compareKeys(lower, upper) >= 0) return;
    this.#takeBack(lower, upper, keepsRemovals || this.#protectedWords > FIRST_ADDRESS);
    const flags = upper === undefined ? RANGE_UNBOUNDED : 0;
    const bound = upper ?? NO_CELL;
    const { arena } = this;
    const address = arena.appendRecord(OP_RANGE_REMOVE, flags, lower, 0, lower.length, bound, 0, bound.length);
    this.recordCount++;
    this.rangeRemovals++;
    if (this.#indexed) (this.#index as RecordIndex).insert(address);
  }

  // ---- reading ----

  /** True where nothing was changed. */
  get isEmpty(): boolean {
    return this.recordCount === 0;
  }

  /** The index over the records, built now if need be. */
  get index(): RecordIndex {
    if (!this.#indexed) this.#buildIndex();
    return this.#index as RecordIndex;
  }

  /** Address of the key's record that counts, 0 where the buffer has none. Range removals are not looked at. */
  find(key: Uint8Array, start: number, end: number): number {
    if (this.recordCount === 0) return 0;
    const address = this.index.find(key, start, end, Infinity);
    if (address === 0 || ((this.arena.words[address] as number) & 0xff) === OP_NOOP) return 0;
    return address;
  }

  /** Whether a range removal of this buffer covers the key (a record of the key counts more). */
  covers(key: Uint8Array, start: number, end: number): boolean {
    if (this.rangeRemovals === 0) return false;
    return (this.index.removals?.newestCovering(key, start, end, Infinity) ?? 0) !== 0;
  }

  get removals(): RangeRemovals | undefined {
    return this.rangeRemovals === 0 ? undefined : this.index.removals;
  }

  /** In key order, removals included: reading and spilling. Range removals beside: `removals`. */
  cursor(): RecordCursor {
    return this.index.cursor(Infinity);
  }

  // ---- the section ----

  /** The section is `sectionBytes[sectionStart, sectionStart + sectionLength)`, until the next change. */
  get sectionBytes(): Uint8Array {
    return this.arena.bytes;
  }

  get sectionStart(): number {
    return FIRST_ADDRESS * 4;
  }

  get sectionLength(): number {
    return (this.arena.usedWords - FIRST_ADDRESS) * 4;
  }

  // ---- marks ----

  /** A place to come back to by `truncate`. What is there now is not changed in place from here on. */
  mark(): BufferMark {
    this.#protectedWords = this.arena.usedWords;
    return { words: this.arena.usedWords, undo: this.#undo.length };
  }

  /** Undoes everything since the mark. The index is built anew at the next read. */
  truncate({ words: mark, undo }: BufferMark): void {
    this.#protectedWords = mark;
    this.#undoDownTo(undo);
    if (mark === this.arena.usedWords) return;
    this.arena.truncate(mark);
    this.recordCount = 0;
    this.rangeRemovals = 0;
    for (let at = FIRST_ADDRESS; at < mark; at = this.arena.after(at)) {
      this.recordCount++;
      if (((this.arena.words[at] as number) & 0xff) === OP_RANGE_REMOVE) this.rangeRemovals++;
    }
    this.#dropIndex();
  }

  #undoDownTo(count: number): void {
    while (this.#undo.length > count) {
      const { address, at, before } = this.#undo.pop() as Undo;
      this.arena.bytes.set(before, this.arena.cellStart(address) + at);
      if (this.#indexed) (this.#index as RecordIndex).changes++;
    }
  }

  /** Empty, memory kept. */
  reset(): void {
    this.arena.reset();
    this.recordCount = 0;
    this.rangeRemovals = 0;
    this.#protectedWords = FIRST_ADDRESS;
    this.#undo = NO_UNDO;
    this.#dropIndex();
  }

  /** Memory held. */
  get sizeBytes(): number {
    return this.arena.capacityBytes + (this.#index?.nodes.sizeBytes ?? 0);
  }

  #added(address: number): void {
    this.recordCount++;
    if (this.#indexed) this.#insert(address);
  }

  #insert(address: number): void {
    const words = this.arena.words;
    const older = (this.#index as RecordIndex).insert(address);
    if (older === 0) return;
    // A record that was taken back by a range removal keeps its flags, but what they say still holds.
    words[address] = (((words[address] as number) & ~EXISTENCE) | ((words[older] as number) & EXISTENCE)) >>> 0;
    if (older >= this.#protectedWords) words[older] = (((words[older] as number) & ~0xff) | OP_NOOP) >>> 0;
  }

  #buildIndex(): void {
    if (this.#index === undefined) {
      this.#index = new RecordIndex({
        arena: this.arena,
        nodes: new IndexNodes(FRESH_LEAVES),
        baseNumber: PENDING_NUMBER,
        linked: false,
      });
    }
    this.#indexed = true;
    const end = this.arena.usedWords;
    for (let at = FIRST_ADDRESS; at < end; at = this.arena.after(at)) {
      const op = (this.arena.words[at] as number) & 0xff;
      if (op === OP_RANGE_REMOVE) this.#index.insert(at);
      else if (op !== OP_NOOP) this.#insert(at);
    }
  }

  #dropIndex(): void {
    if (!this.#indexed) return;
    this.#indexed = false;
    this.#index?.reset();
    this.#index?.nodes.reset();
  }

  /** Undoes this buffer's own puts in a range that is about to be removed. */
  #takeBack(lower: Uint8Array, upper: Uint8Array | undefined, keepsRemovals: boolean): void {
    if (this.recordCount === this.rangeRemovals) return;
    const index = this.index;
    if (index.keys === 0) return;
    const nodes = index.nodes;
    let leaf = index.seekLeaf(lower, 0, lower.length);
    let slot = index.foundSlot;
    let stop = 0;
    let stopLeaf = 0;
    if (upper !== undefined) {
      stopLeaf = index.seekLeaf(upper, 0, upper.length);
      stop = index.foundSlot;
    }
    const again: number[] = [];
    for (; leaf !== 0; leaf = nodes.leafNext[leaf] as number, slot = 0) {
      const end = leaf === stopLeaf ? stop : (nodes.leafCount[leaf] as number);
      for (; slot < end; slot++) {
        this.#takeBackRecord(nodes.leafRefs[(leaf << NODE_SHIFT) + slot] as number, again, keepsRemovals);
      }
      if (leaf === stopLeaf) break;
    }
    index.changes++;
    for (const address of again) this.#removeAgain(address);
  }

  #takeBackRecord(address: number, again: number[], keepsRemovals: boolean): void {
    const words = this.arena.words;
    const word0 = words[address] as number;
    const op = word0 & 0xff;
    if (op === OP_NOOP || (op === OP_REMOVE && keepsRemovals)) return;
    if (address < this.#protectedWords) again.push(address);
    // Behind a mark an older record of the key may stand protected: then only a removal keeps it from counting again.
    else words[address] = ((word0 & ~0xff) | (this.#protectedWords > FIRST_ADDRESS ? OP_REMOVE : OP_NOOP)) >>> 0;
  }

  #removeAgain(address: number): void {
    const key = this.arena.copyKey(address);
    this.remove(key, 0, key.length);
  }
}

function placeholderFlag(key: Uint8Array, start: number, end: number): number {
  return endsWithPlaceholder(key, start, end) ? RECORD_PLACEHOLDER : 0;
}

export interface WriteBufferPoolOptions {
  /** Buffers kept for reuse (default 64). */
  readonly keep?: number;
  /** Buffers that hold more memory than this are dropped (default 8 MiB). */
  readonly keepBytes?: number;
}

/** Buffers in rotation: a lone small transaction allocates none. */
export class WriteBufferPool {
  readonly #free: WriteBuffer[] = [];
  readonly #keep: number;
  readonly #keepBytes: number;

  constructor(options: WriteBufferPoolOptions = {}) {
    this.#keep = options.keep ?? 64;
    this.#keepBytes = options.keepBytes ?? 8 * 1024 * 1024;
  }

  acquire(storeId: number): WriteBuffer {
    const buffer = this.#free.pop() ?? new WriteBuffer();
    assert(buffer.isEmpty, 'a buffer in the pool is empty');
    buffer.storeId = storeId;
    buffer.numbered = false;
    return buffer;
  }

  release(buffer: WriteBuffer): void {
    buffer.reset();
    if (this.#free.length < this.#keep && buffer.sizeBytes <= this.#keepBytes) this.#free.push(buffer);
  }
}
