/**
 * The range removals of one record index: which is the newest that covers a key, as of a snapshot.
 *
 * Picture a strip of paper on which each removal paints its range over what was there. On top lie disjoint fragments, in
 * order, each with the version that painted it last; a fragment remembers the pieces it covered (they are disjoint and in
 * order too). A current question is one binary search on top; an older snapshot goes down one sheet for every newer
 * removal of that very key. A removal adds one fragment and at most three cut pieces, whatever it covers.
 *
 * Invariants:
 *  1. Removals are added in the order of their versions.
 *  2. Fragments on top are disjoint and in key order; so are the pieces beneath a fragment.
 *  3. Bounds are named by record addresses, never copied: key of the record for a lower, its cell for an upper bound.
 *  4. `stamp` changes with every addition; what `locate` found is true until then.
 */
import { assert } from '../base/assert.ts';
import { compareBytes } from '../base/bytes.ts';
import { RANGE_UNBOUNDED, recordFlags } from '../log/record.ts';
import { grownFloats, grownWords } from './index-nodes.ts';
import type { RecordArena } from './record-arena.ts';

/** Bound codes besides `address * 2` (the record's key) and `address * 2 + 1` (its cell). */
export const BEHIND_ALL = -1;
export const BEFORE_ALL = -2;

const MAX_BLOCK = 256;

/** One stretch of the union of range removals. */
export interface RemovedRange {
  readonly lower: Uint8Array;
  /** Undefined: to the end of the store. */
  readonly upper: Uint8Array | undefined;
  /** The newest transaction number whose removal lies in it. */
  readonly newest: number;
}

export class RangeRemovals {
  readonly #arena: RecordArena;
  readonly baseNumber: number;
  /** Range removals added. */
  count = 0;
  stamp = 0;
  /** Newest and oldest version, relative; meaningless while `count` is 0. */
  #newest = 0;
  #oldest = 0;

  #lower = new Float64Array(8);
  #upper = new Float64Array(8);
  #version = new Uint32Array(8);
  #beneathAt = new Uint32Array(8);
  #beneathCount = new Uint32Array(8);
  #fragments = 0;
  #beneath = new Uint32Array(8);
  #beneathUsed = 0;
  /** Addresses of the records, in the order of their versions. */
  #added = new Uint32Array(8);
  /** The top sheet: fragments in order, in blocks, with the newest version of each block. */
  #blocks: number[][] = [];
  #blockNewest: number[] = [];

  /** What `locate` found: relative version or -1, and the bounds within which the answer is the same. */
  foundVersion = -1;
  foundLower = BEFORE_ALL;
  foundUpper = BEHIND_ALL;

  constructor(arena: RecordArena, baseNumber: number) {
    this.#arena = arena;
    this.baseNumber = baseNumber;
  }

  /** Adds the OP_RANGE_REMOVE record at `address`; its version (word 2) is not older than any before. */
  add(address: number): void {
    const words = this.#arena.words;
    const version = words[address + 2] as number;
    const lower = address * 2;
    const upper = this.#upperBound(address);
    if (this.compareBounds(lower, upper) >= 0) return;
    assert(this.count === 0 || version >= this.#newest, 'range removals come in the order of their versions');
    if (this.count === 0) this.#oldest = version;
    if (this.count === this.#added.length) this.#added = grownWords(this.#added, this.count * 2);
    this.#added[this.count++] = address;
    this.stamp++;
    this.#newest = version;
    this.#paint(lower, upper, version);
  }

  /** Absolute number of the newest removal that covers the key and is not newer than `snapshot`; 0 for none. */
  newestCovering(key: Uint8Array, start: number, end: number, snapshot: number): number {
    if (this.count === 0 || snapshot < this.baseNumber + this.#oldest) return 0;
    this.locate(key, start, end, snapshot);
    return this.foundVersion < 0 ? 0 : this.baseNumber + this.foundVersion;
  }

  /**
   * Absolute number of the newest removal that touches [lower, upper), 0 for none. Where it is not above `above` any
   * answer up to `above` will do.
   */
  newestOverlapping(lower: Uint8Array | undefined, upper: Uint8Array | undefined, above = 0): number {
    if (this.count === 0 || this.baseNumber + this.#newest <= above) return 0;
    let newest = -1;
    let block = lower === undefined ? 0 : Math.max(0, this.#blockFor(lower, 0, lower.length));
    for (; block < this.#blocks.length; block++) {
      const ids = this.#blocks[block] as number[];
      if (upper !== undefined && this.compareKey(upper, 0, upper.length, this.#lowerOf(ids[0] as number)) <= 0) break;
      if ((this.#blockNewest[block] as number) <= newest) continue;
      newest = Math.max(newest, this.#newestInBlock(ids, lower, upper));
      if (newest === this.#newest) break;
    }
    return newest < 0 ? 0 : this.baseNumber + newest;
  }

  /** What is removed as of `snapshot`, as sorted disjoint ranges that do not touch. */
  disjoint(snapshot = Infinity): RemovedRange[] {
    const visible = snapshot - this.baseNumber;
    const ranges: RemovedRange[] = [];
    const ids = this.count === 0 || visible >= this.#newest ? this.#blocks.flat() : this.#addedUpTo(visible);
    for (let i = 0; i < ids.length; ) {
      const lower = this.#lowerOf(ids[i] as number);
      let upper = this.#upperOf(ids[i] as number);
      let newest = this.#version[ids[i] as number] as number;
      for (i++; i < ids.length && this.compareBounds(upper, this.#lowerOf(ids[i] as number)) >= 0; i++) {
        const next = this.#upperOf(ids[i] as number);
        if (this.compareBounds(next, upper) > 0) upper = next;
        newest = Math.max(newest, this.#version[ids[i] as number] as number);
      }
      ranges.push({
        lower: this.#copyBound(lower),
        upper: upper === BEHIND_ALL ? undefined : this.#copyBound(upper),
        newest: this.baseNumber + newest,
      });
    }
    return ranges;
  }

  /** Fills the `found` fields for a key as of an absolute snapshot. */
  locate(key: Uint8Array, start: number, end: number, snapshot: number): void {
    const visible = snapshot - this.baseNumber;
    this.foundVersion = -1;
    this.foundLower = BEFORE_ALL;
    this.foundUpper = BEHIND_ALL;
    const block = this.#blockFor(key, start, end);
    if (block < 0) {
      const first = this.#blocks[0];
      if (first !== undefined) this.foundUpper = this.#lowerOf(first[0] as number);
      return;
    }
    const ids = this.#blocks[block] as number[];
    const at = this.#slotFor(ids, key, start, end);
    const id = ids[at] as number;
    if (this.compareKey(key, start, end, this.#upperOf(id)) >= 0) {
      const next = at + 1 < ids.length ? ids[at + 1] : this.#blocks[block + 1]?.[0];
      this.foundLower = this.#upperOf(id);
      if (next !== undefined) this.foundUpper = this.#lowerOf(next);
      return;
    }
    this.foundLower = this.#lowerOf(id);
    this.foundUpper = this.#upperOf(id);
    this.#descend(id, key, start, end, visible);
  }

  /** Key against bound: negative, zero, positive. */
  compareKey(key: Uint8Array, start: number, end: number, bound: number): number {
    if (bound < 0) return bound === BEHIND_ALL ? -1 : 1;
    return compareBytes(key, start, end, this.#arena.bytes, this.boundStart(bound), this.boundEnd(bound));
  }

  compareBounds(a: number, b: number): number {
    if (a === b) return 0;
    if (a < 0) return a === BEHIND_ALL ? 1 : -1;
    return this.compareKey(this.#arena.bytes, this.boundStart(a), this.boundEnd(a), b);
  }

  /** Where a bound's bytes are in the arena's `bytes`. */
  boundStart(bound: number): number {
    const address = Math.floor(bound / 2);
    return bound % 2 === 0 ? this.#arena.keyStart(address) : this.#arena.cellStart(address);
  }

  boundEnd(bound: number): number {
    const address = Math.floor(bound / 2);
    if (bound % 2 === 0) return this.#arena.keyEnd(address);
    return this.#arena.cellStart(address) + this.#arena.cellLength(address);
  }

  boundBytes(): Uint8Array {
    return this.#arena.bytes;
  }

  // ---- reading ----

  #upperBound(address: number): number {
    const flags = recordFlags(this.#arena.words[address] as number);
    return (flags & RANGE_UNBOUNDED) !== 0 ? BEHIND_ALL : address * 2 + 1;
  }

  #lowerOf(id: number): number {
    return this.#lower[id] as number;
  }

  #upperOf(id: number): number {
    return this.#upper[id] as number;
  }

  /** Goes down from a covering fragment until a sheet is old enough; narrows the found bounds on the way. */
  #descend(top: number, key: Uint8Array, start: number, end: number, visible: number): void {
    let id = top;
    while ((this.#version[id] as number) > visible) {
      const from = this.#beneathAt[id] as number;
      let low = 0;
      let high = this.#beneathCount[id] as number;
      const count = high;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (this.compareKey(key, start, end, this.#lowerOf(this.#beneath[from + middle] as number)) >= 0)
          low = middle + 1;
        else high = middle;
      }
      if (low < count) this.#narrowUpper(this.#lowerOf(this.#beneath[from + low] as number));
      if (low === 0) return;
      id = this.#beneath[from + low - 1] as number;
      if (this.compareKey(key, start, end, this.#upperOf(id)) >= 0) {
        this.#narrowLower(this.#upperOf(id));
        return;
      }
      this.#narrowLower(this.#lowerOf(id));
      this.#narrowUpper(this.#upperOf(id));
    }
    this.foundVersion = this.#version[id] as number;
  }

  #narrowLower(bound: number): void {
    if (this.compareBounds(bound, this.foundLower) > 0) this.foundLower = bound;
  }

  #narrowUpper(bound: number): void {
    if (this.compareBounds(bound, this.foundUpper) < 0) this.foundUpper = bound;
  }

  /** The last block whose first fragment begins at or before the key; -1 for none. */
  #blockFor(key: Uint8Array, start: number, end: number): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const first = (this.#blocks[middle] as number[])[0] as number;
      if (this.compareKey(key, start, end, this.#lowerOf(first)) >= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The last fragment of a block that begins at or before the key (the first one does). */
  #slotFor(ids: number[], key: Uint8Array, start: number, end: number): number {
    let low = 0;
    let high = ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compareKey(key, start, end, this.#lowerOf(ids[middle] as number)) >= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #newestInBlock(ids: number[], lower: Uint8Array | undefined, upper: Uint8Array | undefined): number {
    let newest = -1;
    const from = lower === undefined ? 0 : Math.max(0, this.#slotFor(ids, lower, 0, lower.length));
    for (let i = from; i < ids.length; i++) {
      const id = ids[i] as number;
      if ((this.#version[id] as number) <= newest) continue;
      if (upper !== undefined && this.compareKey(upper, 0, upper.length, this.#lowerOf(id)) <= 0) break;
      if (lower !== undefined && this.compareKey(lower, 0, lower.length, this.#upperOf(id)) >= 0) continue;
      newest = this.#version[id] as number;
    }
    return newest;
  }

  /** For an older snapshot: the removals themselves, as they were added, by their lower bounds. */
  #addedUpTo(visible: number): number[] {
    const ids: number[] = [];
    for (let i = 0; i < this.count; i++) {
      const address = this.#added[i] as number;
      const version = this.#arena.words[address + 2] as number;
      if (version > visible) break;
      ids.push(this.#newFragment(address * 2, this.#upperBound(address), version, 0, 0));
    }
    // Only lent: the next addition may use their places.
    this.#fragments -= ids.length;
    return ids.sort((a, b) => this.compareBounds(this.#lowerOf(a), this.#lowerOf(b)));
  }

  #copyBound(bound: number): Uint8Array {
    return this.#arena.bytes.slice(this.boundStart(bound), this.boundEnd(bound));
  }

  // ---- painting ----

  #paint(lower: number, upper: number, version: number): void {
    const blocks = this.#blocks;
    const lastBlock = blocks[blocks.length - 1];
    if (lastBlock === undefined) {
      this.#blocks.push([this.#newFragment(lower, upper, version, 0, 0)]);
      this.#blockNewest.push(version);
      return;
    }
    const bytes = this.#arena.bytes;
    const keyStart = this.boundStart(lower);
    const keyEnd = this.boundEnd(lower);
    let block = this.#blockFor(bytes, keyStart, keyEnd);
    let slot = 0;
    if (block < 0) block = 0;
    else {
      slot = this.#slotFor(blocks[block] as number[], bytes, keyStart, keyEnd);
      const id = (blocks[block] as number[])[slot] as number;
      if (this.compareBounds(this.#upperOf(id), lower) <= 0) slot++;
    }
    this.#replace(block, slot, lower, upper, version);
  }

  /** Paints over the fragments from (block, slot) on that begin before `upper`. */
  #replace(block: number, slot: number, lower: number, upper: number, version: number): void {
    const blocks = this.#blocks;
    const beneathAt = this.#beneathUsed;
    const put: number[] = [];
    let right = -1;
    let lastBlock = block;
    let behind = slot;
    for (;;) {
      const ids = blocks[lastBlock] as number[];
      if (behind >= ids.length) {
        if (lastBlock + 1 >= blocks.length) break;
        const next = (blocks[lastBlock + 1] as number[])[0] as number;
        if (this.compareBounds(this.#lowerOf(next), upper) >= 0) break;
        lastBlock++;
        behind = 0;
        continue;
      }
      const id = ids[behind] as number;
      if (this.compareBounds(this.#lowerOf(id), upper) >= 0) break;
      behind++;
      const cutLeft = this.compareBounds(this.#lowerOf(id), lower) < 0;
      const cutRight = this.compareBounds(this.#upperOf(id), upper) > 0;
      if (cutRight) right = this.#copyFragment(id, upper, this.#upperOf(id));
      if ((this.#version[id] as number) < version || (this.#beneathCount[id] as number) > 0) {
        const whole = !cutLeft && !cutRight;
        this.#pushBeneath(
          whole
            ? id
            : this.#copyFragment(id, cutLeft ? lower : this.#lowerOf(id), cutRight ? upper : this.#upperOf(id)),
        );
      }
      if (cutLeft) {
        this.#upper[id] = lower;
        put.push(id);
      }
    }
    put.push(this.#newFragment(lower, upper, version, beneathAt, this.#beneathUsed - beneathAt));
    if (right >= 0) put.push(right);
    this.#splice(block, slot, lastBlock, behind, put);
  }

  /** Puts `put` in the place of what lies from (block, slot) to (lastBlock, behind) on top. */
  #splice(block: number, slot: number, lastBlock: number, behind: number, put: number[]): void {
    const ids = this.#blocks[block] as number[];
    if (lastBlock === block) {
      ids.splice(slot, behind - slot, ...put);
    } else {
      const tail = (this.#blocks[lastBlock] as number[]).slice(behind);
      ids.splice(slot, ids.length - slot, ...put, ...tail);
      this.#blocks.splice(block + 1, lastBlock - block);
      this.#blockNewest.splice(block + 1, lastBlock - block);
    }
    this.#blockNewest[block] = this.#newest;
    if (ids.length <= MAX_BLOCK) return;
    // A block that fills from its end is left nearly full behind; others are halved.
    const keep = block === this.#blocks.length - 1 && slot >= MAX_BLOCK - 2 ? MAX_BLOCK - 8 : ids.length >>> 1;
    const moved = ids.splice(keep);
    this.#blocks.splice(block + 1, 0, moved);
    this.#blockNewest.splice(block + 1, 0, this.#newestOfAll(moved));
    this.#blockNewest[block] = this.#newestOfAll(ids);
  }

  #newestOfAll(ids: number[]): number {
    let newest = 0;
    for (const id of ids) newest = Math.max(newest, this.#version[id] as number);
    return newest;
  }

  #newFragment(lower: number, upper: number, version: number, beneathAt: number, beneathCount: number): number {
    const id = this.#fragments++;
    if (id === this.#version.length) this.#growFragments(id * 2);
    this.#lower[id] = lower;
    this.#upper[id] = upper;
    this.#version[id] = version;
    this.#beneathAt[id] = beneathAt;
    this.#beneathCount[id] = beneathCount;
    return id;
  }

  #copyFragment(id: number, lower: number, upper: number): number {
    const version = this.#version[id] as number;
    return this.#newFragment(lower, upper, version, this.#beneathAt[id] as number, this.#beneathCount[id] as number);
  }

  #growFragments(length: number): void {
    this.#lower = grownFloats(this.#lower, length);
    this.#upper = grownFloats(this.#upper, length);
    this.#version = grownWords(this.#version, length);
    this.#beneathAt = grownWords(this.#beneathAt, length);
    this.#beneathCount = grownWords(this.#beneathCount, length);
  }

  #pushBeneath(id: number): void {
    if (this.#beneathUsed === this.#beneath.length) this.#beneath = grownWords(this.#beneath, this.#beneathUsed * 2);
    this.#beneath[this.#beneathUsed++] = id;
  }
}

/**
 * One reader's view of range removals as of a snapshot: keys asked in order mostly fall where the last one fell, and are
 * then answered by two comparisons.
 */
export class RemovalWindow {
  readonly removals: RangeRemovals;
  readonly snapshot: number;
  #stamp = -1;
  /** Absolute version of the removal that covers the window, 0 for none. */
  version = 0;
  /** Bound codes of `removals`. */
  lower = BEFORE_ALL;
  upper = BEHIND_ALL;

  constructor(removals: RangeRemovals, snapshot: number) {
    this.removals = removals;
    this.snapshot = snapshot;
  }

  /** Absolute number of the newest visible removal that covers the key, 0 for none. */
  versionAt(key: Uint8Array, start: number, end: number): number {
    const removals = this.removals;
    if (removals.count === 0) return 0;
    if (
      this.#stamp === removals.stamp &&
      removals.compareKey(key, start, end, this.lower) >= 0 &&
      removals.compareKey(key, start, end, this.upper) < 0
    ) {
      return this.version;
    }
    removals.locate(key, start, end, this.snapshot);
    this.#stamp = removals.stamp;
    this.lower = removals.foundLower;
    this.upper = removals.foundUpper;
    this.version = removals.foundVersion < 0 ? 0 : removals.baseNumber + removals.foundVersion;
    return this.version;
  }
}
