/**
 * The checkpoint's merge: an old tree and what changed since become a new tree; images never change, so whatever a change
 * touches is written anew with its ancestors, and all else is kept by handle without being read.
 *
 * It walks the old tree from left to right. For every subtree it asks: is it inside a removed range (dropped, unread)?
 * Does nothing happen between its bounds, and may it stand beside what was just written (kept, unread)? Otherwise it is
 * read into a buffer of the merge's own, one per level, and taken apart; changes are put in where their keys belong.
 *
 * Invariants:
 *  1. Changes win over the old tree's content; range removals apply to the old tree's content only.
 *  2. Between two steps the merge holds no reference into the cache or a cursor: others may use both meanwhile.
 *  3. An image is reported dead only when nothing in the new tree refers to it; one that was read but in which nothing
 *     changed is kept, so that a merge without effect answers the root it was given.
 */
import { compareBytes } from '../base/bytes.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { CELL_SEPARATE } from '../codec/cell.ts';
import type { EntryCursor } from '../node/entry-cursor.ts';
import { entryHash, hashEntry } from '../node/entry-hash.ts';
import { decodeHandle, encodeHandle, HANDLE_BYTES, type Handle } from '../node/handle.ts';
import type { ImageCache } from '../node/image-cache.ts';
import type { ImageSink } from '../node/image-io.ts';
import { copyKey, handleAt, ImageViews, imageCount, LONGEST_IMAGE_BYTES, slotsWord } from '../node/image-layout.ts';
import { searchImage } from '../node/image-search.ts';
import { throwCorrupt } from '../node/image-validate.ts';
import { PendingChange } from './pending-change.ts';
import { type KeyRange, RemovedRanges } from './removed-ranges.ts';
import { type RewriteTarget, RewriteTargets } from './rewrite-targets.ts';
import type { LoadRequest } from './tree-build.ts';
import { TreeWriter } from './tree-writer.ts';

/** What the owner of the space wants to know. All are called before the merge ends; none may use the merge. */
export interface MergeReport {
  /** Nothing in the new tree refers to this image. */
  deadImage?(segment: number, offset: number, length: number, level: number): void;
  /** A cell that refers to a separate value is gone: `bytes[start, end)`, valid during the call. */
  deadCell?(bytes: Uint8Array, start: number, end: number): void;
  /** A subtree was dropped unread: its images and separate values are dead, to be walked later. */
  droppedSubtree?(handle: Handle): void;
}

export interface MergeOptions {
  readonly cache: ImageCache;
  readonly sink: ImageSink;
  readonly storeId: number;
  /** undefined: an empty tree. */
  readonly root: Handle | undefined;
  /** Ordered by key, one entry per key; `removed` ones take the key out. Read from its first entry to its end. */
  readonly changes?: EntryCursor | undefined;
  /** Ordered and disjoint. */
  readonly removals?: readonly KeyRange[] | undefined;
  /** Compaction: images to be written anew although nothing changes in them, ordered by key. */
  readonly rewrite?: readonly RewriteTarget[] | undefined;
  /** Whether the image that was found for a rewrite target is one that has to move. */
  readonly mustMove?: ((handle: Handle) => boolean) | undefined;
  /** Read missing images synchronously (the changes too). */
  readonly waits?: boolean | undefined;
  /** Put written images into the cache; true unless said otherwise. */
  readonly admit?: boolean | undefined;
  readonly report?: MergeReport | undefined;
}

export type { KeyRange, RewriteTarget };

/** Changes between two breaths inside a leaf. */
const BREATH_ENTRIES = 256;

const BREATH = 0;
const NEED_IMAGE = 1;
const NEED_CHANGE = 2;
const DONE = 3;
const ON = 4;

const AT_ROOT = 0;
const IN_INNER = 1;
const IN_LEAF = 2;
const IN_GAP = 3;
const AT_END = 4;

/** An old image being taken apart, one per level. */
class MergeNode {
  views = new ImageViews(8192);
  count = 0;
  index = 0;
  /** Bounds of the child at `index` (inner) or of the image itself as its parent has them. */
  lower: Uint8Array = new Uint8Array(MAX_KEY_BYTES);
  lowerLength = 0;
  upper: Uint8Array = new Uint8Array(MAX_KEY_BYTES);
  upperLength = 0;
  /** False: nothing lies behind. */
  hasUpper = false;
  boundsKnown = false;
  /** Nothing in this image has changed so far. */
  untouched = true;
  handle: Handle | undefined;
  /** The image in `views` was loaded for this address and not used yet. */
  loadedSegment = -1;
  loadedOffset = -1;
}

/** `mergeTree` as an object, for whoever wants to look at its progress. */
export class TreeMerge {
  /** Changes put in so far. */
  changesDone = 0;
  readonly writer: TreeWriter;
  readonly #options: MergeOptions;
  readonly #change: PendingChange;
  readonly #removed: RemovedRanges;
  readonly #targets: RewriteTargets;
  readonly #path: MergeNode[] = [];
  readonly #request: LoadRequest;
  readonly #key = new Uint8Array(MAX_KEY_BYTES);
  readonly #keyData = new DataView(this.#key.buffer);
  readonly #rootBytes = new Uint8Array(HANDLE_BYTES);
  #missing: Handle | undefined;
  #mode: typeof AT_ROOT | typeof IN_INNER | typeof IN_LEAF | typeof IN_GAP | typeof AT_END = AT_ROOT;
  /** Level of the image (IN_INNER), of the dropped subtree (IN_GAP). */
  #level = 0;
  /** The open leaf's place among the digests. */
  #source = 0;
  /** Old entries of the leaf `[#goneFrom, #goneTo)` lie in a removed range. */
  #goneFrom = 0;
  #goneTo = 0;
  #result: Handle | undefined;

  constructor(options: MergeOptions) {
    this.#options = options;
    const { cache, sink, storeId } = options;
    this.writer = new TreeWriter({
      sink,
      storeId,
      names: cache.names,
      cache: options.admit === false ? undefined : cache,
    });
    this.#change = new PendingChange(options.changes, cache);
    if (options.waits === true && options.changes !== undefined) options.changes.waits = true;
    this.#removed = new RemovedRanges(options.removals ?? []);
    this.#targets = new RewriteTargets(options.rewrite ?? [], options.mustMove);
    this.#request = { load: () => this.#loadMissing() };
    for (let level = 0; level <= (options.root?.level ?? 0); level++) this.#path.push(new MergeNode());
  }

  /** Yields undefined to breathe (after each image, and often enough inside one), or what must be loaded first. */
  *run(): Generator<LoadRequest | undefined, Handle | undefined, void> {
    try {
      for (;;) {
        const state = this.#step();
        if (state === DONE) return this.#result;
        this.#change.keep();
        if (state === BREATH) yield undefined;
        else if (state === NEED_CHANGE) yield this.#options.changes;
        else yield this.#request;
      }
    } finally {
      this.writer.release();
    }
  }

  #step(): number {
    let state = ON;
    while (state === ON) {
      if (!this.#change.pull()) return NEED_CHANGE;
      if (this.#mode === IN_LEAF) state = this.#leafStep();
      else if (this.#mode === IN_INNER) state = this.#innerStep();
      else if (this.#mode === IN_GAP) state = this.#gapStep();
      else if (this.#mode === AT_ROOT) state = this.#rootStep();
      else {
        this.#result = this.writer.finish();
        return DONE;
      }
    }
    return state;
  }

  #rootStep(): number {
    const { root } = this.#options;
    if (root === undefined) {
      this.#openGap(0, undefined, 0);
      this.#level = 0;
      return ON;
    }
    encodeHandle(root, this.#options.cache.names, this.#rootBytes, 0);
    return this.#visit(root.level, this.#rootBytes, 0, this.#key, 0, undefined, 0);
  }

  /** Decides about one subtree of the old tree, given its handle and bounds. */
  #visit(
    level: number,
    bytes: Uint8Array,
    at: number,
    lower: Uint8Array,
    lowerLength: number,
    upper: Uint8Array | undefined,
    upperLength: number,
  ): number {
    const { names } = this.#options.cache;
    const isRoot = level === this.#path.length - 1;
    this.#removed.advance(lower, lowerLength);
    if (this.#removed.covers(lower, lowerLength, upper, upperLength)) {
      this.#options.report?.droppedSubtree?.(decodeHandle(bytes, at, names));
      this.#touchAbove(level);
      this.#openGap(level, upper, upperLength);
      return ON;
    }
    const changed = this.#change.isBefore(upper, upperLength) || this.#removed.startsBefore(upper, upperLength);
    const moves = this.#targets.wants(level, bytes, at, names, lower, lowerLength, upper, upperLength);
    if (!changed && !moves) {
      if (isRoot) {
        this.#result = this.#options.root;
        return DONE;
      }
      if (this.writer.canKeep(level)) {
        this.writer.keep(level, bytes, at, lower, lowerLength, upper, upperLength);
        return this.#leave(level);
      }
    }
    return this.#open(level, decodeHandle(bytes, at, names), lower, lowerLength, upper, upperLength, moves);
  }

  /** Reads a subtree's image to take it apart. */
  #open(
    level: number,
    handle: Handle,
    lower: Uint8Array,
    lowerLength: number,
    upper: Uint8Array | undefined,
    upperLength: number,
    moves: boolean,
  ): number {
    const node = this.#path[level] as MergeNode;
    if (!this.#fetch(node, handle)) return NEED_IMAGE;
    node.handle = handle;
    node.count = imageCount(node.views, 0);
    node.index = 0;
    node.untouched = !(moves && this.#targets.mustMove(handle));
    this.#checkBounds(node, handle, lower, lowerLength, upper, upperLength);
    node.hasUpper = upper !== undefined;
    node.boundsKnown = false;
    if (level > 0) {
      this.#level = level;
      this.#mode = IN_INNER;
      return ON;
    }
    node.upperLength = upperLength;
    if (upper !== undefined) for (let i = 0; i < upperLength; i++) node.upper[i] = upper[i] as number;
    this.#source = this.writer.digests.open(handle.digestLow, handle.digestHigh);
    this.#removed.enterLeaf();
    this.#nextGone(node);
    this.#mode = IN_LEAF;
    return ON;
  }

  #fetch(node: MergeNode, handle: Handle): boolean {
    if (node.loadedSegment === handle.segment && node.loadedOffset === handle.offset) {
      node.loadedSegment = -1;
      return true;
    }
    if (handle.length > node.views.bytes.length) node.views = new ImageViews(LONGEST_IMAGE_BYTES);
    const { cache, storeId, waits } = this.#options;
    if (waits === true) cache.readIntoSync(handle, storeId, node.views);
    else if (!cache.copyInto(handle, node.views)) {
      this.#missing = handle;
      return false;
    }
    return true;
  }

  async #loadMissing(): Promise<void> {
    const handle = this.#missing;
    if (handle === undefined) return;
    const node = this.#path[handle.level] as MergeNode;
    await this.#options.cache.readInto(handle, this.#options.storeId, node.views);
    node.loadedSegment = handle.segment;
    node.loadedOffset = handle.offset;
    this.#missing = undefined;
  }

  /** An image whose keys pass its parent's separators would put the new tree out of order. */
  #checkBounds(
    node: MergeNode,
    handle: Handle,
    lower: Uint8Array,
    lowerLength: number,
    upper: Uint8Array | undefined,
    upperLength: number,
  ): void {
    const first = copyKey(node.views, 0, 0, this.#key, 0);
    let fits = compareBytes(this.#key, 0, first, lower, 0, lowerLength) >= 0;
    const last = copyKey(node.views, 0, node.count - 1, this.#key, 0);
    fits = fits && (upper === undefined || compareBytes(this.#key, 0, last, upper, 0, upperLength) < 0);
    if (!fits) throwCorrupt(this.#options.cache.reader, handle.segment, handle.offset, "keys pass the parent's bounds");
  }

  #innerStep(): number {
    const level = this.#level;
    const node = this.#path[level] as MergeNode;
    if (node.index === node.count) return this.#close(level);
    if (!node.boundsKnown) this.#readBounds(node, level);
    const upper = node.hasUpper || node.index + 1 < node.count ? node.upper : undefined;
    const at = handleAt(node.views, 0, node.index);
    return this.#visit(level - 1, node.views.bytes, at, node.lower, node.lowerLength, upper, node.upperLength);
  }

  /** Bounds of the child at `index`: its separator and the next one, or what the parent says of its own end. */
  #readBounds(node: MergeNode, level: number): void {
    if (node.index === 0) node.lowerLength = copyKey(node.views, 0, 0, node.lower, 0);
    else {
      const { lower } = node;
      node.lower = node.upper;
      node.lowerLength = node.upperLength;
      node.upper = lower;
    }
    node.boundsKnown = true;
    if (node.index + 1 < node.count) node.upperLength = copyKey(node.views, 0, node.index + 1, node.upper, 0);
    else if (node.hasUpper) {
      const parent = this.#path[level + 1] as MergeNode;
      node.upperLength = parent.upperLength;
      for (let i = 0; i < parent.upperLength; i++) node.upper[i] = parent.upper[i] as number;
    } else node.upperLength = 0;
  }

  /** A subtree of this level is done with: on to what follows it. */
  #leave(level: number): number {
    if (level === this.#path.length - 1) {
      this.#mode = AT_END;
      return ON;
    }
    const parent = this.#path[level + 1] as MergeNode;
    parent.index++;
    parent.boundsKnown = false;
    this.#level = level + 1;
    this.#mode = IN_INNER;
    return ON;
  }

  /** All of an old image was taken apart. Where nothing in it changed, it is put together again by its handle. */
  #close(level: number): number {
    const node = this.#path[level] as MergeNode;
    const handle = node.handle as Handle;
    const isRoot = level === this.#path.length - 1;
    if (node.untouched && this.writer.takeBack(level, node.count)) {
      if (isRoot) {
        this.#result = this.#options.root;
        return DONE;
      }
      const parent = this.#path[level + 1] as MergeNode;
      const upper = parent.hasUpper || parent.index + 1 < parent.count ? parent.upper : undefined;
      const at = handleAt(parent.views, 0, parent.index);
      const { lower, lowerLength, upperLength } = parent;
      this.writer.keep(level, parent.views.bytes, at, lower, lowerLength, upper, upperLength);
    } else {
      this.#touchAbove(level);
      this.#options.report?.deadImage?.(handle.segment, handle.offset, handle.length, level);
    }
    this.#leave(level);
    return BREATH;
  }

  #touchAbove(level: number): void {
    const parent = this.#path[level + 1];
    if (parent !== undefined) parent.untouched = false;
  }

  /** Where the old tree has nothing (any more): changes alone, up to a bound. */
  #openGap(level: number, upper: Uint8Array | undefined, upperLength: number): void {
    const node = this.#path[0] as MergeNode;
    this.#level = level;
    this.#mode = IN_GAP;
    // A gap at the leaf level gets its bound from its parent's buffers, which this must not overwrite: copy.
    node.hasUpper = upper !== undefined;
    node.upperLength = upperLength;
    if (upper !== undefined && upper !== node.upper) {
      for (let i = 0; i < upperLength; i++) node.upper[i] = upper[i] as number;
    }
  }

  #gapStep(): number {
    const { upperLength, hasUpper, upper } = this.#path[0] as MergeNode;
    const bound = hasUpper ? upper : undefined;
    const change = this.#change;
    for (let i = 0; i < BREATH_ENTRIES; i++) {
      if (!change.pull()) return NEED_CHANGE;
      if (!change.isBefore(bound, upperLength)) {
        this.#leave(this.#level);
        return BREATH;
      }
      this.#putChange();
    }
    return BREATH;
  }

  #putChange(): void {
    const change = this.#change;
    if (change.partial) change.overNothing();
    if (!change.removed) {
      this.writer.append(
        change.keyBytes,
        change.keyStart,
        change.keyEnd,
        change.cellBytes,
        change.cellStart,
        change.cellEnd,
        change.version,
      );
    }
    change.consume();
    this.changesDone++;
  }

  #leafStep(): number {
    const node = this.#path[0] as MergeNode;
    const bound = node.hasUpper ? node.upper : undefined;
    const change = this.#change;
    for (let i = 0; i < BREATH_ENTRIES; i++) {
      if (!change.pull()) return NEED_CHANGE;
      if (!change.isBefore(bound, node.upperLength)) {
        this.#takeOld(node, node.count);
        this.writer.digests.close(this.#source);
        return this.#close(0);
      }
      if (node.index === node.count) {
        if (change.partial) change.overNothing();
        if (!change.removed) node.untouched = false;
      } else {
        const found = searchImage(node.views, 0, change.keyBytes, change.keyStart, change.keyEnd);
        this.#takeOld(node, found >= 0 ? found : ~found);
        if (change.partial) this.#addUp(node, found);
        if (found >= 0) {
          this.#dropOld(node, found, !change.removed);
          node.index = found + 1;
        } else if (!change.removed) node.untouched = false;
      }
      this.#putChange();
    }
    return BREATH;
  }

  /** The change is an increment: `found` is the old entry under its key, or negative. */
  #addUp({ views }: MergeNode, found: number): void {
    if (found < 0) {
      this.#change.overNothing();
      return;
    }
    const slot = slotsWord(views, 0) + found;
    this.#change.overCell(views.bytes, (views.u32[slot] as number) >>> 16, (views.u32[slot + 1] as number) >>> 16);
  }

  /** Takes over the old entries before `to`, except those in removed ranges. */
  #takeOld(node: MergeNode, to: number): void {
    while (node.index < to) {
      if (node.index >= this.#goneTo && this.#goneFrom < node.count) this.#nextGone(node);
      if (node.index < this.#goneFrom) {
        const stop = to < this.#goneFrom ? to : this.#goneFrom;
        this.writer.appendOld(node.views, 0, node.index, stop, this.#source);
        node.index = stop;
      } else {
        const stop = to < this.#goneTo ? to : this.#goneTo;
        for (; node.index < stop; node.index++) this.#dropOld(node, node.index, false);
      }
    }
  }

  /** Finds the next removed range in the leaf that has entries at or behind the position. */
  #nextGone(node: MergeNode): void {
    do {
      const range = this.#removed.nextInLeaf();
      if (range === undefined) {
        this.#goneFrom = node.count;
        this.#goneTo = node.count;
        return;
      }
      this.#goneFrom = lowerBound(node.views, range.lower);
      this.#goneTo = range.upper === undefined ? node.count : lowerBound(node.views, range.upper);
    } while (this.#goneTo <= node.index);
  }

  /** An old entry goes; where the change that replaces it refers to the same separate value, that lives on. */
  #dropOld(node: MergeNode, index: number, replaced: boolean): void {
    const { views } = node;
    const slot = slotsWord(views, 0) + index;
    const start = (views.u32[slot] as number) >>> 16;
    const end = (views.u32[slot + 1] as number) >>> 16;
    const keyLength = copyKey(views, 0, index, this.#key, 0);
    hashEntry(this.#keyData, 0, keyLength, views.data, start, end);
    this.writer.digests.remove(this.#source, entryHash.low, entryHash.high);
    node.untouched = false;
    if (((views.bytes[start] as number) & CELL_SEPARATE) === 0) return;
    if (replaced && this.#change.refersToSame(views.bytes, start, end)) return;
    this.#options.report?.deadCell?.(views.bytes, start, end);
  }
}

function lowerBound(views: ImageViews, key: Uint8Array): number {
  const found = searchImage(views, 0, key, 0, key.length);
  return found >= 0 ? found : ~found;
}

/**
 * Merges; yields undefined to breathe, or what must be loaded before it can go on (never where `waits`). The result is
 * the new root, the old one where nothing changed, or undefined where no entry is left.
 */
export function mergeTree(options: MergeOptions): Generator<LoadRequest | undefined, Handle | undefined, void> {
  return new TreeMerge(options).run();
}
