/**
 * An ordered index over the records of an arena: a B+tree of 64 entries a node, each a 48-bit key head (as a double) and
 * a record address. Of one key it holds the newest record; older versions hang behind it by word 3, newest first.
 *
 * Invariants:
 *  1. Records are inserted in the order of their versions (word 2, relative to `baseNumber`), each once.
 *  2. A node's heads are the six bytes behind `skip` bytes that all keys which may come to it share. Between two fences
 *     that is what the fences share. A node at an edge lacks a fence: there `skip` is what its own keys share, every
 *     search compares those bytes first, and an insert that does not share them lowers `skip`.
 *  3. Heads decide unless they are equal; then the keys' bytes behind `skip` are compared, lengths included.
 *  4. A separator is the address of a record; the keys under its child are not less than that record's key.
 *  5. `changes` changes whenever an entry moved (not `linked`: or was replaced), so that a cursor knows to look its place
 *     up again.
 *  6. An inner slot's newest version is exactly the newest under it (of the newest records; range removals are apart).
 *
 * Shared prefixes make the difference: with 13 shared bytes, heads from byte 0 cost 20 times as much to search.
 */
import { OP_NOOP, OP_RANGE_REMOVE } from '../log/record.ts';
import { NODE_ENTRIES, NODE_SHIFT } from './index-nodes.ts';
import { filterHash, filterHashIn, type PointFilter } from './point-filter.ts';
import { RangeRemovals } from './range-removals.ts';
import { FILTER_EMPTY, headOf, RecordSearch } from './record-search.ts';

/** Ordered records of one store; reading is inherited. One writer; readers between its calls. */
export class RecordIndex extends RecordSearch {
  /** The last new key went to the right end: try there first. */
  #appending = true;
  /** What `#raiseSpine` last noted; -1 where the right edge changed since. */
  #spineVersion = -1;
  /** The last insert into the middle, to see a run of keys that grows there. */
  #hotLeaf = 0;
  #hotSlot = 0;

  /** Forgets everything; the owner resets the nodes. */
  reset(): void {
    this.root = 0;
    this.height = 0;
    this.firstLeaf = 0;
    this.lastLeaf = 0;
    this.keys = 0;
    this.changes++;
    this.newestRelative = -1;
    this.removals = undefined;
    this.overRuns = false;
    this.unfiltered = FILTER_EMPTY;
    this.#appending = true;
    this.#spineVersion = -1;
    this.#hotLeaf = 0;
  }

  /**
   * Takes in the record at `address`, whose words 2 and 3 are set (word 3 by this, where `linked`). Answers the record of
   * the same key that was the newest until now, 0 for none. OP_NOOP is passed over.
   */
  insert(address: number): number {
    const words = this.arena.words;
    const word0 = words[address] as number;
    const op = word0 & 0xff;
    if (op === OP_NOOP) return 0;
    if (op === OP_RANGE_REMOVE) {
      if (this.removals === undefined) this.removals = new RangeRemovals(this.arena, this.baseNumber);
      this.removals.add(address);
      return 0;
    }
    const bytes = this.arena.bytes;
    const start = (address + 4) * 4;
    const end = start + (word0 >>> 16);
    const version = words[address + 2] as number;
    if (this.linked) words[address + 3] = 0;
    if (version > this.newestRelative) this.newestRelative = version;
    if (this.filter !== undefined && this.unfiltered !== FILTER_EMPTY)
      this.#addToFilter(this.filter, bytes, start, end);
    if (this.root === 0) {
      this.#plant(address, bytes, start, end);
      return 0;
    }
    if (this.#appending && this.#append(address, bytes, start, end, version)) return 0;
    if (this.filter !== undefined && this.unfiltered !== 0) {
      if (this.unfiltered === FILTER_EMPTY) this.#addToFilter(this.filter, bytes, start, end);
      this.fillFilter(this.filter);
    }
    return this.#insertInside(address, bytes, start, end, version);
  }

  #addToFilter(filter: PointFilter, bytes: Uint8Array, start: number, end: number): void {
    filter.add(filterHashIn(filterHash(bytes, start, end), this.filterSeed));
  }

  #plant(address: number, bytes: Uint8Array, start: number, end: number): void {
    const nodes = this.nodes;
    const leaf = nodes.newLeaf();
    this.root = leaf;
    this.firstLeaf = leaf;
    this.lastLeaf = leaf;
    nodes.leafSkip[leaf] = end - start;
    nodes.leafHeads[leaf << NODE_SHIFT] = headOf(bytes, end, end);
    nodes.leafRefs[leaf << NODE_SHIFT] = address;
    nodes.leafCount[leaf] = 1;
    this.keys = 1;
    this.changes++;
  }

  /** The sorted load: puts a key greater than all others behind them. False where it is not greater. */
  #append(address: number, bytes: Uint8Array, start: number, end: number, version: number): boolean {
    const nodes = this.nodes;
    const leaf = this.lastLeaf;
    const count = nodes.leafCount[leaf] as number;
    const lastAddress = nodes.leafRefs[(leaf << NODE_SHIFT) + count - 1] as number;
    const lastStart = (lastAddress + 4) * 4;
    const lastLength = (this.arena.words[lastAddress] as number) >>> 16;
    const shorter = end - start < lastLength ? end - start : lastLength;
    let shared = 0;
    while (shared < shorter && bytes[start + shared] === bytes[lastStart + shared]) shared++;
    if (shared === end - start) return false;
    if (shared < lastLength && (bytes[start + shared] as number) < (bytes[lastStart + shared] as number)) {
      this.#appending = false;
      return false;
    }
    this.keys++;
    this.changes++;
    if (count === NODE_ENTRIES) {
      this.#appendLeaf(address, bytes, start, end, version);
      return true;
    }
    if (shared < (nodes.leafSkip[leaf] as number)) this.#reskipLeaf(leaf, shared);
    const at = (leaf << NODE_SHIFT) + count;
    nodes.leafHeads[at] = headOf(bytes, start + (nodes.leafSkip[leaf] as number), end);
    nodes.leafRefs[at] = address;
    nodes.leafCount[leaf] = count + 1;
    if (version !== this.#spineVersion) this.#raiseSpine(version);
    return true;
  }

  /** Notes a version in the last slot of every inner node at the right edge. Upper levels are never behind lower ones. */
  #raiseSpine(version: number): void {
    this.#spineVersion = version;
    const nodes = this.nodes;
    let node = this.root;
    for (let level = this.height; level > 0; level--) {
      const at = (node << NODE_SHIFT) + (nodes.innerCount[node] as number) - 1;
      if ((nodes.innerNewest[at] as number) < version) nodes.innerNewest[at] = version;
      node = nodes.innerChildren[at] as number;
    }
  }

  #appendLeaf(address: number, bytes: Uint8Array, start: number, end: number, version: number): void {
    const nodes = this.nodes;
    let node = this.root;
    let low = 0;
    for (let level = this.height; level > 0; level--) {
      const slot = (nodes.innerCount[node] as number) - 1;
      nodes.pathNode[level] = node;
      nodes.pathSlot[level] = slot;
      nodes.pathLow[level] = low;
      nodes.pathHigh[level] = 0;
      const at = (node << NODE_SHIFT) + slot;
      if ((nodes.innerNewest[at] as number) < version) nodes.innerNewest[at] = version;
      if (slot > 0) low = nodes.innerRefs[at] as number;
      node = nodes.innerChildren[at] as number;
    }
    const right = this.#newLeafBehind(node);
    nodes.leafSkip[right] = end - start;
    nodes.leafHeads[right << NODE_SHIFT] = headOf(bytes, end, end);
    nodes.leafRefs[right << NODE_SHIFT] = address;
    nodes.leafCount[right] = 1;
    this.#fitLeaf(node, low, address);
    this.#insertChild(1, address, right, this.#leafNewest(node), version);
  }

  #insertInside(address: number, bytes: Uint8Array, start: number, end: number, version: number): number {
    const nodes = this.nodes;
    this.#spineVersion = -1;
    let node = this.root;
    let low = 0;
    let high = 0;
    for (let level = this.height; level > 0; level--) {
      const slot = this.innerSlot(node, bytes, start, end, low !== 0 && high !== 0);
      nodes.pathNode[level] = node;
      nodes.pathSlot[level] = slot;
      nodes.pathLow[level] = low;
      nodes.pathHigh[level] = high;
      const at = (node << NODE_SHIFT) + slot;
      if ((nodes.innerNewest[at] as number) < version) nodes.innerNewest[at] = version;
      if (slot > 0) low = nodes.innerRefs[at] as number;
      if (slot + 1 < (nodes.innerCount[node] as number)) high = nodes.innerRefs[at + 1] as number;
      node = nodes.innerChildren[at] as number;
    }
    const fenced = low !== 0 && high !== 0;
    if (!fenced) this.#shareLess(node, bytes, start, end);
    let slot = this.leafSearch(node, bytes, start, end, fenced);
    if (slot >= 0) {
      const at = (node << NODE_SHIFT) + slot;
      const older = nodes.leafRefs[at] as number;
      if (this.linked) this.arena.words[address + 3] = older;
      else this.changes++;
      nodes.leafRefs[at] = address;
      return older;
    }
    slot = ~slot;
    this.keys++;
    this.changes++;
    const count = nodes.leafCount[node] as number;
    this.#appending = node === this.lastLeaf && slot === count;
    if (count === NODE_ENTRIES) {
      this.#splitLeaf(node, slot, address, low, high);
    } else {
      this.#putInLeaf(node, slot, address, headOf(bytes, start + (nodes.leafSkip[node] as number), end));
      this.#hotLeaf = node;
      this.#hotSlot = slot;
    }
    return 0;
  }

  /** A leaf at an edge takes in a key that may share less than its keys did. */
  #shareLess(leaf: number, bytes: Uint8Array, start: number, end: number): void {
    const skip = this.nodes.leafSkip[leaf] as number;
    if (skip === 0) return;
    const from = this.arena.keyStart(this.nodes.leafRefs[leaf << NODE_SHIFT] as number);
    const most = end - start < skip ? end - start : skip;
    let shared = 0;
    while (shared < most && bytes[start + shared] === bytes[from + shared]) shared++;
    if (shared < skip) this.#reskipLeaf(leaf, shared);
  }

  #putInLeaf(leaf: number, slot: number, address: number, head: number): void {
    const nodes = this.nodes;
    const heads = nodes.leafHeads;
    const refs = nodes.leafRefs;
    const base = leaf << NODE_SHIFT;
    const count = nodes.leafCount[leaf] as number;
    for (let i = base + count; i > base + slot; i--) {
      heads[i] = heads[i - 1] as number;
      refs[i] = refs[i - 1] as number;
    }
    heads[base + slot] = head;
    refs[base + slot] = address;
    nodes.leafCount[leaf] = count + 1;
  }

  #newLeafBehind(leaf: number): number {
    const nodes = this.nodes;
    const right = nodes.newLeaf();
    const next = nodes.leafNext[leaf] as number;
    nodes.leafNext[right] = next;
    nodes.leafPrevious[right] = leaf;
    nodes.leafNext[leaf] = right;
    if (next === 0) this.lastLeaf = right;
    else nodes.leafPrevious[next] = right;
    return right;
  }

  /** Splits a full leaf and puts the record where it belongs. A run growing in the middle is cut where it grows. */
  #splitLeaf(leaf: number, slot: number, address: number, low: number, high: number): void {
    const nodes = this.nodes;
    const growing =
      slot === NODE_ENTRIES ? high === 0 : leaf === this.#hotLeaf && slot === this.#hotSlot + 1 && slot > 32;
    const keep = growing ? slot : NODE_ENTRIES >>> 1;
    const right = this.#newLeafBehind(leaf);
    const from = (leaf << NODE_SHIFT) + keep;
    const moved = NODE_ENTRIES - keep;
    const to = right << NODE_SHIFT;
    for (let i = 0; i < moved; i++) {
      nodes.leafHeads[to + i] = nodes.leafHeads[from + i] as number;
      nodes.leafRefs[to + i] = nodes.leafRefs[from + i] as number;
    }
    nodes.leafCount[leaf] = keep;
    nodes.leafCount[right] = moved;
    nodes.leafSkip[right] = nodes.leafSkip[leaf] as number;
    const toRight = slot > keep || growing;
    const into = toRight ? right : leaf;
    const key = this.arena.keyStart(address);
    const head = headOf(this.arena.bytes, key + (nodes.leafSkip[leaf] as number), this.arena.keyEnd(address));
    this.#putInLeaf(into, toRight ? slot - keep : slot, address, head);
    this.#hotLeaf = into;
    this.#hotSlot = toRight ? slot - keep : slot;
    const separator = nodes.leafRefs[to] as number;
    this.#fitLeaf(leaf, low, separator);
    this.#fitLeaf(right, separator, high);
    this.#insertChild(1, separator, right, this.#leafNewest(leaf), this.#leafNewest(right));
  }

  #leafNewest(leaf: number): number {
    const base = leaf << NODE_SHIFT;
    const end = base + (this.nodes.leafCount[leaf] as number);
    const refs = this.nodes.leafRefs;
    const words = this.arena.words;
    let newest = 0;
    for (let i = base; i < end; i++) {
      const version = words[(refs[i] as number) + 2] as number;
      if (version > newest) newest = version;
    }
    return newest;
  }

  /** Sets a leaf's skip to what its fences share, or, at an edge, its first and last key. */
  #fitLeaf(leaf: number, low: number, high: number): void {
    const nodes = this.nodes;
    const base = leaf << NODE_SHIFT;
    const skip =
      low !== 0 && high !== 0
        ? this.#sharedBytes(low, high)
        : this.#sharedBytes(
            nodes.leafRefs[base] as number,
            nodes.leafRefs[base + (nodes.leafCount[leaf] as number) - 1] as number,
          );
    if (skip !== nodes.leafSkip[leaf]) this.#reskipLeaf(leaf, skip);
  }

  #reskipLeaf(leaf: number, skip: number): void {
    const nodes = this.nodes;
    const arena = this.arena;
    const base = leaf << NODE_SHIFT;
    const end = base + (nodes.leafCount[leaf] as number);
    for (let i = base; i < end; i++) {
      const address = nodes.leafRefs[i] as number;
      nodes.leafHeads[i] = headOf(arena.bytes, arena.keyStart(address) + skip, arena.keyEnd(address));
    }
    nodes.leafSkip[leaf] = skip;
  }

  #sharedBytes(a: number, b: number): number {
    const arena = this.arena;
    const bytes = arena.bytes;
    const aStart = arena.keyStart(a);
    const bStart = arena.keyStart(b);
    const most = Math.min(arena.keyEnd(a) - aStart, arena.keyEnd(b) - bStart);
    let shared = 0;
    while (shared < most && bytes[aStart + shared] === bytes[bStart + shared]) shared++;
    return shared;
  }

  /**
   * At `level` of the descent's path the child in the path's slot was split: `right` goes behind it, `separator` is
   * its lowest key.
   */
  #insertChild(level: number, separator: number, right: number, newestLeft: number, newestRight: number): void {
    const nodes = this.nodes;
    if (level > this.height) {
      this.#growRoot(separator, right, newestLeft, newestRight);
      return;
    }
    const node = nodes.pathNode[level] as number;
    const slot = (nodes.pathSlot[level] as number) + 1;
    const low = nodes.pathLow[level] as number;
    const high = nodes.pathHigh[level] as number;
    nodes.innerNewest[(node << NODE_SHIFT) + slot - 1] = newestLeft;
    const count = nodes.innerCount[node] as number;
    if (count < NODE_ENTRIES) {
      this.#putInInner(node, slot, separator, right, newestRight);
      this.#fitInner(node, low, high, slot);
      return;
    }
    const keep = slot === NODE_ENTRIES && high === 0 ? NODE_ENTRIES : NODE_ENTRIES >>> 1;
    const other = nodes.newInner();
    const from = (node << NODE_SHIFT) + keep;
    const to = other << NODE_SHIFT;
    for (let i = 0; i < NODE_ENTRIES - keep; i++) {
      nodes.innerHeads[to + i] = nodes.innerHeads[from + i] as number;
      nodes.innerRefs[to + i] = nodes.innerRefs[from + i] as number;
      nodes.innerChildren[to + i] = nodes.innerChildren[from + i] as number;
      nodes.innerNewest[to + i] = nodes.innerNewest[from + i] as number;
    }
    nodes.innerCount[node] = keep;
    nodes.innerCount[other] = NODE_ENTRIES - keep;
    nodes.innerSkip[other] = nodes.innerSkip[node] as number;
    if (slot > keep || keep === NODE_ENTRIES) this.#putInInner(other, slot - keep, separator, right, newestRight);
    else this.#putInInner(node, slot, separator, right, newestRight);
    const middle = nodes.innerRefs[to] as number;
    this.#fitInner(node, low, middle, -1);
    this.#fitInner(other, middle, high, -1);
    this.#insertChild(level + 1, middle, other, this.#innerNewestOf(node), this.#innerNewestOf(other));
  }

  #growRoot(separator: number, right: number, newestLeft: number, newestRight: number): void {
    const nodes = this.nodes;
    const left = this.root;
    const root = nodes.newInner();
    const base = root << NODE_SHIFT;
    nodes.innerRefs[base] = 0;
    nodes.innerChildren[base] = left;
    nodes.innerNewest[base] = newestLeft;
    nodes.innerCount[root] = 1;
    this.#putInInner(root, 1, separator, right, newestRight);
    this.#fitInner(root, 0, 0, -1);
    this.root = root;
    this.height++;
  }

  #putInInner(node: number, slot: number, separator: number, child: number, newest: number): void {
    const nodes = this.nodes;
    const base = node << NODE_SHIFT;
    const count = nodes.innerCount[node] as number;
    for (let i = base + count; i > base + slot; i--) {
      nodes.innerHeads[i] = nodes.innerHeads[i - 1] as number;
      nodes.innerRefs[i] = nodes.innerRefs[i - 1] as number;
      nodes.innerChildren[i] = nodes.innerChildren[i - 1] as number;
      nodes.innerNewest[i] = nodes.innerNewest[i - 1] as number;
    }
    nodes.innerRefs[base + slot] = separator;
    nodes.innerChildren[base + slot] = child;
    nodes.innerNewest[base + slot] = newest;
    nodes.innerCount[node] = count + 1;
  }

  #innerNewestOf(node: number): number {
    const base = node << NODE_SHIFT;
    const end = base + (this.nodes.innerCount[node] as number);
    let newest = 0;
    for (let i = base; i < end; i++) newest = Math.max(newest, this.nodes.innerNewest[i] as number);
    return newest;
  }

  /** Sets an inner node's skip; where it stays, only the head of `slot` is computed (-1: all of them). */
  #fitInner(node: number, low: number, high: number, slot: number): void {
    const nodes = this.nodes;
    const arena = this.arena;
    const base = node << NODE_SHIFT;
    const count = nodes.innerCount[node] as number;
    let skip = 0;
    if (low !== 0 && high !== 0) skip = this.#sharedBytes(low, high);
    else if (count > 1) {
      skip = this.#sharedBytes(nodes.innerRefs[base + 1] as number, nodes.innerRefs[base + count - 1] as number);
    }
    const all = slot < 0 || skip !== nodes.innerSkip[node];
    nodes.innerSkip[node] = skip;
    for (let i = all ? base + 1 : base + slot; i < (all ? base + count : base + slot + 1); i++) {
      const address = nodes.innerRefs[i] as number;
      nodes.innerHeads[i] = headOf(arena.bytes, arena.keyStart(address) + skip, arena.keyEnd(address));
    }
  }
}
