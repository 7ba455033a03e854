/**
 * The nodes of record indexes, all in a few typed arrays: no JS object a node or an entry. Several indexes (the stores of
 * one memory table) share one; it is emptied as a whole. Node 0 of either kind is nobody's: 0 says "none".
 *
 * A leaf keeps a head and a record address an entry. An inner node keeps, for each child, the separator (address of a
 * record whose key is the lowest that may be under it; not looked at in slot 0), the separator's head, the child's id and
 * the newest version under it, relative to the index's base number.
 */

export const NODE_SHIFT = 6;
export const NODE_ENTRIES = 1 << NODE_SHIFT;
const MAX_HEIGHT = 24;

export class IndexNodes {
  leafHeads: Float64Array;
  leafRefs: Uint32Array;
  leafCount: Uint8Array;
  leafSkip: Uint16Array;
  leafNext: Uint32Array;
  leafPrevious: Uint32Array;
  leaves = 1;

  innerHeads: Float64Array;
  innerRefs: Uint32Array;
  innerChildren: Uint32Array;
  innerNewest: Uint32Array;
  innerCount: Uint8Array;
  innerSkip: Uint16Array;
  inners = 1;

  /** Scratch of the descent under way, by level: node, slot taken, fences of the node (record addresses, 0 for none). */
  readonly pathNode = new Uint32Array(MAX_HEIGHT);
  readonly pathSlot = new Uint32Array(MAX_HEIGHT);
  readonly pathLow = new Uint32Array(MAX_HEIGHT);
  readonly pathHigh = new Uint32Array(MAX_HEIGHT);

  /** Room for about `leaves` leaves to begin with; a fresh array's memory is only touched where it is used. */
  constructor(leaves: number) {
    const inners = Math.max(2, leaves >>> 4);
    this.leafHeads = new Float64Array(leaves * NODE_ENTRIES);
    this.leafRefs = new Uint32Array(leaves * NODE_ENTRIES);
    this.leafCount = new Uint8Array(leaves);
    this.leafSkip = new Uint16Array(leaves);
    this.leafNext = new Uint32Array(leaves);
    this.leafPrevious = new Uint32Array(leaves);
    this.innerHeads = new Float64Array(inners * NODE_ENTRIES);
    this.innerRefs = new Uint32Array(inners * NODE_ENTRIES);
    this.innerChildren = new Uint32Array(inners * NODE_ENTRIES);
    this.innerNewest = new Uint32Array(inners * NODE_ENTRIES);
    this.innerCount = new Uint8Array(inners);
    this.innerSkip = new Uint16Array(inners);
  }

  newLeaf(): number {
    const leaf = this.leaves++;
    if (leaf >= this.leafCount.length) this.#growLeaves();
    this.leafCount[leaf] = 0;
    this.leafSkip[leaf] = 0;
    this.leafNext[leaf] = 0;
    this.leafPrevious[leaf] = 0;
    return leaf;
  }

  newInner(): number {
    const inner = this.inners++;
    if (inner >= this.innerCount.length) this.#growInners();
    this.innerCount[inner] = 0;
    this.innerSkip[inner] = 0;
    return inner;
  }

  /** Every node of every index over this is void. */
  reset(): void {
    this.leaves = 1;
    this.inners = 1;
  }

  /** Memory held, used or not. */
  get sizeBytes(): number {
    return this.leafCount.length * (NODE_ENTRIES * 12 + 11) + this.innerCount.length * (NODE_ENTRIES * 20 + 3);
  }

  /** Memory that nodes in use take. */
  get usedBytes(): number {
    return this.leaves * (NODE_ENTRIES * 12 + 11) + this.inners * (NODE_ENTRIES * 20 + 3);
  }

  #growLeaves(): void {
    const leaves = this.leafCount.length * 2;
    this.leafHeads = grownFloats(this.leafHeads, leaves * NODE_ENTRIES);
    this.leafRefs = grownWords(this.leafRefs, leaves * NODE_ENTRIES);
    this.leafCount = grownBytes(this.leafCount, leaves);
    this.leafSkip = grownHalfWords(this.leafSkip, leaves);
    this.leafNext = grownWords(this.leafNext, leaves);
    this.leafPrevious = grownWords(this.leafPrevious, leaves);
  }

  #growInners(): void {
    const inners = this.innerCount.length * 2;
    this.innerHeads = grownFloats(this.innerHeads, inners * NODE_ENTRIES);
    this.innerRefs = grownWords(this.innerRefs, inners * NODE_ENTRIES);
    this.innerChildren = grownWords(this.innerChildren, inners * NODE_ENTRIES);
    this.innerNewest = grownWords(this.innerNewest, inners * NODE_ENTRIES);
    this.innerCount = grownBytes(this.innerCount, inners);
    this.innerSkip = grownHalfWords(this.innerSkip, inners);
  }
}

export function grownFloats(from: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const grown = new Float64Array(length);
  grown.set(from);
  return grown;
}

export function grownWords(from: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const grown = new Uint32Array(length);
  grown.set(from);
  return grown;
}

function grownHalfWords(from: Uint16Array, length: number): Uint16Array<ArrayBuffer> {
  const grown = new Uint16Array(length);
  grown.set(from);
  return grown;
}

function grownBytes(from: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const grown = new Uint8Array(length);
  grown.set(from);
  return grown;
}
