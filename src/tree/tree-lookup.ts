/** Point lookups and ranks: one descent each, on cached images, without an object per call. */
import { MISS } from '../node/entry-cursor.ts';
import { readU48 } from '../base/bytes.ts';
import { CHUNK_BITS, CHUNK_MASK, FRAME_BITS, type FrameTable } from '../node/frame-table.ts';
import { HANDLE_BYTES } from '../node/handle.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { handleAt, type ImageViews, imageBaseNumber, imageCount, versionsWord } from '../node/image-layout.ts';
import { searchChild, searchImage } from '../node/image-search.ts';
import { type Tree, TreeDescent } from './tree.ts';

export const ABSENT = 0;
export const FOUND = 1;
export { MISS };
/** MISS: an image is not in memory; call again after `await load()`. */
export type Lookup = typeof ABSENT | typeof FOUND | typeof MISS;

const EMPTY = new Uint8Array(0);

export class TreeLookup extends TreeDescent {
  /** After FOUND: the cell is `cellBytes[cellStart, cellEnd)`, valid until the next use of the cache or await. */
  cellBytes: Uint8Array = EMPTY;
  cellStart = 0;
  cellEnd = 0;
  readonly #table: FrameTable;
  #views: ImageViews | undefined;
  #base = 0;
  #index = 0;

  constructor(cache: ImageCache) {
    super(cache);
    this.#table = cache.table;
  }

  /** Number of the last change of the entry found; asked for rarely, so read only then. */
  get version(): number {
    const views = this.#views as ImageViews;
    const delta = views.u32[versionsWord(views, this.#base) + this.#index] as number;
    return imageBaseNumber(views, this.#base) + delta;
  }

  find(tree: Tree, key: Uint8Array, start: number, end: number): Lookup {
    const table = this.#table;
    const cache = this.cache;
    let frame = tree.frame;
    if (frame < 0 || table.generations[frame] !== tree.generation) {
      frame = this.enterRoot(tree);
      if (frame < 0) return MISS;
    }
    for (let level = tree.root.level; level > 0; level--) {
      table.touches[frame] = 3;
      const views = table.chunks[frame >>> CHUNK_BITS] as ImageViews;
      const index = searchChild(views, (frame & CHUNK_MASK) << FRAME_BITS, key, start, end);
      let child = cache.child(frame, index);
      if (child < 0) {
        child = this.enterChild(frame, index, tree.storeId);
        if (child < 0) return MISS;
      } else cache.hits++;
      frame = child;
    }
    const touches = table.touches[frame] as number;
    if (touches < 3) table.touches[frame] = touches + 1;
    return this.#findInLeaf(frame, key, start, end);
  }

  #findInLeaf(frame: number, key: Uint8Array, start: number, end: number): Lookup {
    const views = this.#table.chunks[frame >>> CHUNK_BITS] as ImageViews;
    const base = (frame & CHUNK_MASK) << FRAME_BITS;
    const index = searchImage(views, base, key, start, end);
    if (index < 0) return ABSENT;
    const u32 = views.u32;
    const sizes = u32[(base >>> 2) + 1] as number;
    const slot = (base >>> 2) + 10 + (((sizes >>> 16) + 3) >>> 2) + (sizes & 0xffff) + index;
    this.#views = views;
    this.#base = base;
    this.#index = index;
    this.cellBytes = views.bytes;
    this.cellStart = base + ((u32[slot] as number) >>> 16);
    this.cellEnd = base + ((u32[slot + 1] as number) >>> 16);
    return FOUND;
  }

  /** How many entries have a key less than this one; -1 is a MISS. */
  rank(tree: Tree, key: Uint8Array, start: number, end: number): number {
    const table = this.#table;
    let frame = this.enterRoot(tree);
    let before = 0;
    for (let level = tree.root.level; level > 0 && frame >= 0; level--) {
      const views = table.views(frame);
      const base = table.base(frame);
      const index = searchChild(views, base, key, start, end);
      before += entriesBefore(views, base, index);
      const child = this.cache.child(frame, index);
      frame = child >= 0 ? child : this.enterChild(frame, index, tree.storeId);
    }
    if (frame < 0) return -1;
    const found = searchImage(table.views(frame), table.base(frame), key, start, end);
    return before + (found >= 0 ? found : ~found);
  }

  /** How many entries lie in [lower, upper); -1 is a MISS. An undefined bound is open. */
  count(tree: Tree, lower: Uint8Array | undefined, upper: Uint8Array | undefined): number {
    const to = upper === undefined ? tree.root.entries : this.rank(tree, upper, 0, upper.length);
    if (to < 0) return -1;
    const from = lower === undefined ? 0 : this.rank(tree, lower, 0, lower.length);
    if (from < 0) return -1;
    return to > from ? to - from : 0;
  }
}

/** Entries under the children before `index`, by their handles. */
export function entriesBefore(views: ImageViews, base: number, index: number): number {
  const bytes = views.bytes;
  let sum = 0;
  let at = handleAt(views, base, 0) + 16;
  for (let i = 0; i < index; i++, at += HANDLE_BYTES) sum += readU48(bytes, at);
  return sum;
}

/** The child under which entry number `rank` of this image lies. */
export function childAtRank(views: ImageViews, base: number, rank: number): number {
  const bytes = views.bytes;
  const last = imageCount(views, base) - 1;
  let left = rank;
  let at = handleAt(views, base, 0) + 16;
  for (let i = 0; i < last; i++, at += HANDLE_BYTES) {
    const entries = readU48(bytes, at);
    if (left < entries) return i;
    left -= entries;
  }
  return last;
}
