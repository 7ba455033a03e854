/**
 * The reading half of a record index (record-index.ts, whose invariants hold here): where a key is, which versions there
 * are, what is newest in a range.
 */
import { compareBytes } from '../base/bytes.ts';
import { type IndexNodes, NODE_SHIFT } from './index-nodes.ts';
import { filterHash, filterHashIn, filterSeed, type PointFilter } from './point-filter.ts';
import type { RangeRemovals } from './range-removals.ts';
import type { RecordArena } from './record-arena.ts';
import { RecordCursor } from './record-cursor.ts';

export interface RecordIndexOptions {
  readonly arena: RecordArena;
  readonly nodes: IndexNodes;
  /** Word 2 of a record is its transaction number minus this. */
  readonly baseNumber: number;
  /** Link replaced records behind the new one by word 3 (a memory table); else they are just forgotten (a buffer). */
  readonly linked: boolean;
  readonly filter?: PointFilter;
  readonly storeId?: number;
}

/** Nobody asked yet: a sorted load, which nobody reads meanwhile, does without a filter (85 ns a key). */
export const FILTER_EMPTY = -1;

/** Records in key order, to be read. Never made by itself: see `RecordIndex`. */
export class RecordSearch {
  readonly arena: RecordArena;
  readonly nodes: IndexNodes;
  baseNumber: number;
  readonly linked: boolean;
  readonly filter: PointFilter | undefined;
  readonly filterSeed: number;

  root = 0;
  /** Levels above the leaves. */
  height = 0;
  firstLeaf = 0;
  lastLeaf = 0;
  /** Distinct keys. */
  keys = 0;
  changes = 0;
  /** Newest relative version of the records; -1 while there are none. */
  newestRelative = -1;
  /** Range removals of this index; undefined while there are none. */
  removals: RangeRemovals | undefined = undefined;
  /** The table has runs of this store, which may lie between two records of a key. */
  overRuns = false;
  /** The leaf from which on keys are missing in the filter; 0: it knows all keys, FILTER_EMPTY: none. */
  protected unfiltered = FILTER_EMPTY;
  /** Of the last `#leafFor`. */
  #fenced = false;

  constructor(options: RecordIndexOptions) {
    this.arena = options.arena;
    this.nodes = options.nodes;
    this.baseNumber = options.baseNumber;
    this.linked = options.linked;
    this.filter = options.filter;
    this.filterSeed = filterSeed(options.storeId ?? 0);
  }

  /** No records and no range removals. */
  get isEmpty(): boolean {
    return this.keys === 0 && this.removals === undefined;
  }

  /** Newest absolute number in the index, range removals included; 0 if none. */
  get newestNumber(): number {
    const records = this.newestRelative < 0 ? 0 : this.baseNumber + this.newestRelative;
    return Math.max(records, this.removals?.newestOverlapping(undefined, undefined) ?? 0);
  }

  /** False where no record and no range removal here can be about a key with this hash (`filterHash`). */
  mayTell(hash: number): boolean {
    if (this.removals !== undefined || this.filter === undefined) return !this.isEmpty;
    return this.#passesFilter(this.filter, hash);
  }

  #passesFilter(filter: PointFilter, hash: number): boolean {
    if (this.unfiltered !== 0) {
      this.fillFilter(filter);
      if (this.unfiltered !== 0) return !this.isEmpty;
    }
    return filter.mayContain(filterHashIn(hash, this.filterSeed));
  }

  /**
   * Gives the filter one leaf's keys more. What is inserted from the first call on goes to the filter at once, and a split
   * leaves the right half behind the left one: so whatever is not in the filter lies from `unfiltered` on.
   */
  protected fillFilter(filter: PointFilter): void {
    const leaf = this.unfiltered === FILTER_EMPTY ? this.firstLeaf : this.unfiltered;
    const { nodes, arena } = this;
    const base = leaf << NODE_SHIFT;
    const end = leaf === 0 ? base : base + (nodes.leafCount[leaf] as number);
    for (let i = base; i < end; i++) {
      const address = nodes.leafRefs[i] as number;
      const hash = filterHash(arena.bytes, arena.keyStart(address), arena.keyEnd(address));
      filter.add(filterHashIn(hash, this.filterSeed));
    }
    this.unfiltered = leaf === 0 ? 0 : (nodes.leafNext[leaf] as number);
  }

  /**
   * Address of the key's newest record whose relative version is not above `snapshotRelative`; 0 if none. Range removals
   * are not looked at; a record that was turned into OP_NOOP is answered as it is.
   */
  find(key: Uint8Array, start: number, end: number, snapshotRelative: number): number {
    const filter = this.filter;
    if (filter !== undefined && !this.#passesFilter(filter, filterHash(key, start, end))) return 0;
    return this.#visible(this.#newestRecord(key, start, end), snapshotRelative);
  }

  /** As `find`, for a caller that asks several tables: `hash` is `filterHash(key, start, end)`. */
  findHashed(key: Uint8Array, start: number, end: number, hash: number, snapshotRelative: number): number {
    const filter = this.filter;
    if (filter !== undefined && !this.#passesFilter(filter, hash)) return 0;
    return this.#visible(this.#newestRecord(key, start, end), snapshotRelative);
  }

  /** Newest absolute number that touched the key, range removals included; 0 if none. */
  newestVersion(key: Uint8Array, start: number, end: number): number {
    const address = this.find(key, start, end, Infinity);
    const own = address === 0 ? 0 : this.baseNumber + (this.arena.words[address + 2] as number);
    if (this.removals === undefined) return own;
    return Math.max(own, this.removals.newestCovering(key, start, end, Infinity));
  }

  /**
   * Newest absolute number that touched [lower, upper), range removals included; 0 if none. A caller who only asks
   * whether anything is newer than `above` says so: subtrees that are not are passed over, and where nothing is, the
   * answer is some number up to `above`.
   */
  newestInRange(lower: Uint8Array | undefined, upper: Uint8Array | undefined, above = 0): number {
    let newest = this.removals?.newestOverlapping(lower, upper, above) ?? 0;
    if (this.keys === 0 || this.baseNumber + this.newestRelative <= Math.max(above, newest)) return newest;
    const floor = Math.max(above, newest) - this.baseNumber;
    const found = this.#newestUnder(this.root, this.height, lower, upper, 0, 0, Math.max(floor, -1));
    if (found > floor && found >= 0) newest = Math.max(newest, this.baseNumber + found);
    return newest;
  }

  /** A cursor over the newest records up to an absolute snapshot. */
  cursor(snapshot: number): RecordCursor {
    return new RecordCursor(this, snapshot);
  }

  #newestRecord(key: Uint8Array, start: number, end: number): number {
    if (this.keys === 0) return 0;
    const leaf = this.#leafFor(key, start, end);
    const slot = this.leafSearch(leaf, key, start, end, this.#fenced);
    return slot < 0 ? 0 : (this.nodes.leafRefs[(leaf << NODE_SHIFT) + slot] as number);
  }

  #visible(newest: number, snapshotRelative: number): number {
    const words = this.arena.words;
    let address = newest;
    while (address !== 0 && (words[address + 2] as number) > snapshotRelative) address = words[address + 3] as number;
    return address;
  }

  /**
   * Where the key is or would be: its leaf comes back, the slot in `foundSlot` (0 to the leaf's count), whether it is
   * there in `foundExact`. The index must not be empty.
   */
  seekLeaf(key: Uint8Array, start: number, end: number): number {
    const leaf = this.#leafFor(key, start, end);
    const slot = this.leafSearch(leaf, key, start, end, this.#fenced);
    this.foundExact = slot >= 0;
    this.foundSlot = slot < 0 ? ~slot : slot;
    return leaf;
  }
  foundSlot = 0;
  foundExact = false;

  #leafFor(key: Uint8Array, start: number, end: number): number {
    const nodes = this.nodes;
    let node = this.root;
    let low = 0;
    let high = 0;
    for (let level = this.height; level > 0; level--) {
      const slot = this.innerSlot(node, key, start, end, low !== 0 && high !== 0);
      const at = (node << NODE_SHIFT) + slot;
      if (slot > 0) low = nodes.innerRefs[at] as number;
      if (slot + 1 < (nodes.innerCount[node] as number)) high = nodes.innerRefs[at + 1] as number;
      node = nodes.innerChildren[at] as number;
    }
    this.#fenced = low !== 0 && high !== 0;
    return node;
  }

  /** The child that holds the key: the last one whose separator is not greater. */
  protected innerSlot(node: number, key: Uint8Array, start: number, end: number, fenced: boolean): number {
    const nodes = this.nodes;
    const base = node << NODE_SHIFT;
    const count = nodes.innerCount[node] as number;
    if (count < 2) return 0;
    const skip = nodes.innerSkip[node] as number;
    if (!fenced && skip > 0) {
      const order = this.#comparePrefix(key, start, end, nodes.innerRefs[base + 1] as number, skip);
      if (order !== 0) return order < 0 ? 0 : count - 1;
    }
    const head = headOf(key, start + skip, end);
    const heads = nodes.innerHeads;
    let low = firstNotLess(heads, base + 1, count - 1, head);
    let high = base + count;
    for (let middle = low; low < high; middle = (low + high) >>> 1) {
      if ((heads[middle] as number) > head) high = middle;
      else if (this.#compareRest(key, start, end, nodes.innerRefs[middle] as number, skip) < 0) high = middle;
      else low = middle + 1;
    }
    return low - 1 - base;
  }

  /** The key's slot in the leaf, or ~slot of where it would be. */
  protected leafSearch(leaf: number, key: Uint8Array, start: number, stop: number, fenced: boolean): number {
    const nodes = this.nodes;
    const base = leaf << NODE_SHIFT;
    const count = nodes.leafCount[leaf] as number;
    const skip = nodes.leafSkip[leaf] as number;
    if (!fenced && skip > 0) {
      const order = this.#comparePrefix(key, start, stop, nodes.leafRefs[base] as number, skip);
      if (order !== 0) return order < 0 ? ~0 : ~count;
    }
    const head = headOf(key, start + skip, stop);
    const heads = nodes.leafHeads;
    let low = base;
    for (let left = base + count; low < left; ) {
      const middle = (low + left) >>> 1;
      if ((heads[middle] as number) < head) low = middle + 1;
      else left = middle;
    }
    let high = base + count;
    // Equal heads: mostly one, and mostly the key itself; a row of them is halved like the rest.
    for (let middle = low; low < high; middle = (low + high) >>> 1) {
      const other = heads[middle] as number;
      if (other > head) {
        high = middle;
        continue;
      }
      const order = this.#compareRest(key, start, stop, nodes.leafRefs[middle] as number, skip);
      if (order === 0) return middle - base;
      if (order < 0) high = middle;
      else low = middle + 1;
    }
    return ~(low - base);
  }

  /** The key's first `length` bytes against those of a record's key, which has as many. */
  #comparePrefix(key: Uint8Array, start: number, end: number, address: number, length: number): number {
    const from = this.arena.keyStart(address);
    const stop = start + length < end ? start + length : end;
    return compareBytes(key, start, stop, this.arena.bytes, from, from + length);
  }

  /** Key against record's key, both from byte `skip` on. */
  #compareRest(key: Uint8Array, start: number, end: number, address: number, skip: number): number {
    const arena = this.arena;
    const from = arena.keyStart(address);
    const length = (arena.words[address] as number) >>> 16;
    return compareBytes(key, start + skip, end, arena.bytes, from + skip, from + length);
  }

  /** Newest relative version in the range under a node, if above `floor`; else `floor`. */
  #newestUnder(
    node: number,
    level: number,
    lower: Uint8Array | undefined,
    upper: Uint8Array | undefined,
    low: number,
    high: number,
    floor: number,
  ): number {
    const nodes = this.nodes;
    const fenced = low !== 0 && high !== 0;
    const base = node << NODE_SHIFT;
    if (level === 0) return this.#newestInLeaf(node, lower, upper, fenced, floor);
    const count = nodes.innerCount[node] as number;
    const from = lower === undefined ? 0 : this.innerSlot(node, lower, 0, lower.length, fenced);
    const to = upper === undefined ? count - 1 : this.innerSlot(node, upper, 0, upper.length, fenced);
    let newest = floor;
    for (let slot = from + 1; slot < to; slot++) newest = Math.max(newest, nodes.innerNewest[base + slot] as number);
    for (let slot = from; slot <= to; slot += Math.max(1, to - from)) {
      if ((nodes.innerNewest[base + slot] as number) <= newest) continue;
      const below = slot === from ? lower : undefined;
      const above = slot === to ? upper : undefined;
      if (below === undefined && above === undefined) {
        newest = nodes.innerNewest[base + slot] as number;
        continue;
      }
      const childLow = slot > 0 ? (nodes.innerRefs[base + slot] as number) : low;
      const childHigh = slot + 1 < count ? (nodes.innerRefs[base + slot + 1] as number) : high;
      const child = nodes.innerChildren[base + slot] as number;
      newest = this.#newestUnder(child, level - 1, below, above, childLow, childHigh, newest);
    }
    return newest;
  }

  #newestInLeaf(
    leaf: number,
    lower: Uint8Array | undefined,
    upper: Uint8Array | undefined,
    fenced: boolean,
    floor: number,
  ): number {
    let from = 0;
    let to = this.nodes.leafCount[leaf] as number;
    if (lower !== undefined) {
      from = this.leafSearch(leaf, lower, 0, lower.length, fenced);
      if (from < 0) from = ~from;
    }
    if (upper !== undefined) {
      to = this.leafSearch(leaf, upper, 0, upper.length, fenced);
      if (to < 0) to = ~to;
    }
    const words = this.arena.words;
    const base = leaf << NODE_SHIFT;
    let newest = floor;
    for (let slot = from; slot < to; slot++) {
      const version = words[(this.nodes.leafRefs[base + slot] as number) + 2] as number;
      if (version > newest) newest = version;
    }
    return newest;
  }
}

/**
 * The first of `count` (at least one) sorted heads from `from` on that is not less than `head`; `from + count` for none.
 * Halves without a branch on what it finds, which no processor foresees: 45 ns where the usual loop takes 63. For inner
 * nodes, which are in the processor's cache; in leaves, which are not, guessing ahead wins: it fetches ahead.
 */
function firstNotLess(heads: Float64Array, from: number, count: number, head: number): number {
  let low = from;
  for (let left = count; left > 1; ) {
    const half = left >>> 1;
    low += -Number((heads[low + half - 1] as number) < head) & half;
    left -= half;
  }
  return low + Number((heads[low] as number) < head);
}

/** Six bytes from `at` on as a number, zeros behind the end. */
export function headOf(bytes: Uint8Array, at: number, end: number): number {
  if (at + 6 <= end) {
    return (
      (((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number)) * 0x100_0000 +
      (((bytes[at + 3] as number) << 16) | ((bytes[at + 4] as number) << 8) | (bytes[at + 5] as number))
    );
  }
  let head = 0;
  for (let i = 0; i < 6; i++) head = head * 256 + (at + i < end ? (bytes[at + i] as number) : 0);
  return head;
}
