/**
 * A position in a tree. Within a leaf a move is an index and a few loads; from leaf to leaf it climbs as far as it must.
 *
 * The path holds, per level, the frame with its generation and the index in it. A frame that was given to another image
 * meanwhile is noticed by its generation and entered again from its parent, up to the root's handle: images never
 * change, so the indexes stay true. A move that meets a missing image changes nothing (the new path is built aside).
 */
import { assert } from '../base/assert.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { type BlockCursor, type Direction, type EntryBlock, FORWARD } from '../node/entry-block.ts';
import { AT, END, MISS, type Step } from '../node/entry-cursor.ts';
import type { FrameTable } from '../node/frame-table.ts';
import type { ImageCache } from '../node/image-cache.ts';
import {
  IMAGE_HAS_TOMBSTONES,
  IMAGE_HEADER_BYTES,
  ImageViews,
  imageBaseNumber,
  imageCount,
  imageFlags,
  imagePrefixLength,
  SLACK_BYTES,
  slotsWord,
} from '../node/image-layout.ts';
import { searchChild, searchImage } from '../node/image-search.ts';
import { CELL_TOMBSTONE } from '../codec/cell.ts';
import { type Tree, TreeDescent } from './tree.ts';
import { childAtRank, entriesBefore } from './tree-lookup.ts';

/** How a descent chooses the child of a level and the entry of a leaf. */
const BY_KEY = 0;
const BY_KEY_BEFORE = 1;
const TO_FIRST = 2;
const TO_LAST = 3;
const BY_RANK = 4;

const NOWHERE = new ImageViews(0);
const NO_PATH = new Int32Array(0);
/** Room for a key that most keys fit; grown to what any key fits when one does not. */
const USUAL_KEY_BYTES = 248;

export class TreeCursor extends TreeDescent implements BlockCursor {
  keyBytes: Uint8Array = NOWHERE.bytes;
  keyStart = 0;
  keyEnd = 0;
  cellBytes: Uint8Array = NOWHERE.bytes;
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  removed = false;

  /**
   * The leaf under the cursor, for scans that take entries by the leaf: entry i's suffix is
   * `leaf.bytes[leafBase + (leaf.u32[leafSlots + i] & 0xffff), leafBase + (leaf.u32[leafSlots + i + 1] & 0xffff))`, its
   * cell likewise by the upper halves, its version `leafBaseNumber + leaf.u32[leafVersions + i]`; the shared prefix is
   * `leaf.bytes[leafPrefix, leafPrefix + leafPrefixLength)`. Valid like the entry's fields.
   */
  leaf: ImageViews = NOWHERE;
  leafBase = 0;
  leafCount = 0;
  /** Index of the current entry in its leaf. */
  leafIndex = -1;
  leafPrefix = 0;
  leafPrefixLength = 0;
  leafSlots = 0;
  leafVersions = 0;
  leafBaseNumber = 0;
  /** Entries of this leaf may be tombstones: look at each cell. */
  leafHasTombstones = false;

  #tree: Tree | undefined;
  readonly #table: FrameTable;
  /** Per level frame, generation and index; small, because cursors for short ranges come and go by the thousand. */
  #path = NO_PATH;
  #trial = NO_PATH;
  #leafGeneration = 0;
  #leafFrame = 0;
  #key = new Uint8Array(USUAL_KEY_BYTES + SLACK_BYTES);
  #keyData = new DataView(this.#key.buffer);
  #rank = 0;

  constructor(cache: ImageCache, tree: Tree | undefined) {
    super(cache);
    this.#table = cache.table;
    this.#tree = tree;
  }

  get tree(): Tree | undefined {
    return this.#tree;
  }

  /** Puts the cursor on another tree, nowhere in it. */
  reset(tree: Tree | undefined): void {
    this.#tree = tree;
    this.#end();
  }

  seek(key: Uint8Array, start: number, end: number): Step {
    return this.#descend(BY_KEY, key, start, end);
  }

  seekBefore(key: Uint8Array, start: number, end: number): Step {
    return this.#descend(BY_KEY_BEFORE, key, start, end);
  }

  first(): Step {
    return this.#descend(TO_FIRST, NOWHERE.bytes, 0, 0);
  }

  last(): Step {
    return this.#descend(TO_LAST, NOWHERE.bytes, 0, 0);
  }

  /** The entry with this many entries before it. */
  seekRank(rank: number): Step {
    if (this.#tree === undefined || rank < 0 || rank >= this.#tree.root.entries) return this.#end();
    this.#rank = rank;
    return this.#descend(BY_RANK, NOWHERE.bytes, 0, 0);
  }

  next(): Step {
    const index = this.leafIndex + 1;
    if (index < this.leafCount && this.#table.generations[this.#leafFrame] === this.#leafGeneration) {
      this.#show(index);
      return AT;
    }
    return this.#nextSlow();
  }

  previous(): Step {
    const index = this.leafIndex - 1;
    if (index >= 0 && this.#table.generations[this.#leafFrame] === this.#leafGeneration) {
      this.#show(index);
      return AT;
    }
    return this.#previousSlow();
  }

  /** Shows the current entry again where its leaf lost its frame since: AT, MISS with nothing changed, END if nowhere. */
  refresh(): Step {
    if (this.leafIndex < 0) return END;
    if (this.#table.generations[this.#leafFrame] === this.#leafGeneration) return AT;
    if (!this.#reenterLeaf()) return MISS;
    this.#show(this.leafIndex);
    return AT;
  }

  get isCurrent(): boolean {
    return this.#table.generations[this.#leafFrame] === this.#leafGeneration;
  }

  /** Not for leaves with tombstones. */
  fill(block: EntryBlock, most: number, direction: Direction): void {
    const index = this.leafIndex;
    const left = direction === FORWARD ? this.leafCount - index : index + 1;
    const howMany = left < most ? left : most;
    block.addLeaf(this, index, howMany, direction);
    this.leafIndex = index + (howMany - 1) * direction;
  }

  /** To the first entry of the following leaf. */
  nextLeaf(): Step {
    if (this.leafIndex < 0) return END;
    return this.#step(1);
  }

  /** To the last entry of the leaf before. */
  previousLeaf(): Step {
    if (this.leafIndex < 0) return END;
    return this.#step(-1);
  }

  /** Moves within the current leaf, whose frame must be the same since the last move (no await in between). */
  toLeafIndex(index: number): void {
    assert(index >= 0 && index < this.leafCount, 'an index inside the leaf');
    this.#show(index);
  }

  /** How many entries come before the current one; -1 is a MISS. */
  rank(): number {
    const tree = this.#tree;
    assert(tree !== undefined && this.leafIndex >= 0, 'a cursor that is somewhere');
    let before = this.leafIndex;
    for (let level = 1; level <= tree.root.level; level++) {
      const frame = this.#revive(level);
      if (frame < 0) return -1;
      before += entriesBefore(this.#table.views(frame), this.#table.base(frame), this.#path[3 * level + 2] as number);
    }
    return before;
  }

  #end(): Step {
    this.leafIndex = -1;
    this.leafCount = 0;
    return END;
  }

  #nextSlow(): Step {
    if (this.leafIndex < 0) return END;
    if (this.leafIndex + 1 >= this.leafCount) return this.#step(1);
    if (!this.#reenterLeaf()) return MISS;
    this.#show(this.leafIndex + 1);
    return AT;
  }

  #previousSlow(): Step {
    if (this.leafIndex < 0) return END;
    if (this.leafIndex === 0) return this.#step(-1);
    if (!this.#reenterLeaf()) return MISS;
    this.#show(this.leafIndex - 1);
    return AT;
  }

  /** The current leaf's frame was given away: enters it again at the same index. */
  #reenterLeaf(): boolean {
    const index = this.leafIndex;
    const frame = this.#revive(0);
    if (frame < 0) return false;
    this.#enterLeaf(frame);
    this.leafIndex = index;
    return true;
  }

  /** The frame at this level of the path, entered again from above where it was given away; -1 where it is missing. */
  #revive(level: number): number {
    const tree = this.#tree as Tree;
    const frame = this.#path[3 * level] as number;
    if (this.#table.generations[frame] === this.#path[3 * level + 1]) return frame;
    let again: number;
    if (level === tree.root.level) again = this.enterRoot(tree);
    else {
      const parent = this.#revive(level + 1);
      if (parent < 0) return -1;
      const index = this.#path[3 * level + 5] as number;
      again = this.cache.child(parent, index);
      if (again < 0) again = this.enterChild(parent, index, tree.storeId);
    }
    if (again < 0) return -1;
    this.#path[3 * level] = again;
    this.#path[3 * level + 1] = this.#table.generations[again] as number;
    return again;
  }

  #descend(how: number, key: Uint8Array, start: number, end: number): Step {
    const tree = this.#tree;
    if (tree === undefined) return this.#end();
    const frame = this.enterRoot(tree);
    if (frame < 0) return MISS;
    let rank = this.#rank;
    const top = tree.root.level;
    if (3 * top + 3 > this.#path.length) {
      this.#path = new Int32Array(3 * top + 3);
      this.#trial = new Int32Array(3 * top + 3);
    }
    let at = frame;
    for (let level = top; level > 0; level--) {
      const views = this.#table.views(at);
      const base = this.#table.base(at);
      this.#table.touches[at] = 3;
      const index =
        how === BY_KEY
          ? searchChild(views, base, key, start, end)
          : how === BY_KEY_BEFORE
            ? childBefore(views, base, key, start, end)
            : how === TO_FIRST
              ? 0
              : how === TO_LAST
                ? imageCount(views, base) - 1
                : childAtRank(views, base, rank);
      if (how === BY_RANK) rank -= entriesBefore(views, base, index);
      at = this.#tryChild(level, at, index);
      if (at < 0) return MISS;
    }
    const touches = this.#table.touches[at] as number;
    if (touches < 3) this.#table.touches[at] = touches + 1;
    this.#trial[0] = at;
    this.#trial[1] = this.#table.generations[at] as number;
    const views = this.#table.views(at);
    const count = imageCount(views, this.#table.base(at));
    let index = how === TO_LAST ? count - 1 : how === BY_RANK ? rank : 0;
    if (how === BY_KEY || how === BY_KEY_BEFORE) {
      const found = searchImage(views, this.#table.base(at), key, start, end);
      index = found >= 0 ? found : ~found;
      if (how === BY_KEY_BEFORE) index--;
    }
    this.#acceptTrial(0, top);
    this.#enterLeaf(at);
    if (index >= 0 && index < count) {
      this.#show(index);
      return AT;
    }
    return this.#leaveLeaf(index);
  }

  /** The entry sought lies in the neighbouring leaf. Until that one is there, the cursor counts as nowhere. */
  #leaveLeaf(index: number): Step {
    this.leafIndex = index < 0 ? 0 : index - 1;
    const step = this.#step(index < 0 ? -1 : 1);
    if (step === MISS) this.#end();
    return step;
  }

  /** Notes the child at this level of the trial path and enters it. */
  #tryChild(level: number, frame: number, index: number): number {
    this.#trial[3 * level] = frame;
    this.#trial[3 * level + 1] = this.#table.generations[frame] as number;
    this.#trial[3 * level + 2] = index;
    const child = this.cache.child(frame, index);
    if (child < 0) return this.enterChild(frame, index, (this.#tree as Tree).storeId);
    this.cache.hits++;
    return child;
  }

  #acceptTrial(from: number, to: number): void {
    for (let i = 3 * from; i < 3 * to + 3; i++) this.#path[i] = this.#trial[i] as number;
  }

  /** To the nearest leaf in this direction (1 or -1): up to where there is a neighbour, down its near side. */
  #step(direction: 1 | -1): Step {
    const tree = this.#tree as Tree;
    let level = 1;
    let frame = -1;
    let index = 0;
    for (; level <= tree.root.level; level++) {
      frame = this.#revive(level);
      if (frame < 0) return MISS;
      index = (this.#path[3 * level + 2] as number) + direction;
      if (index >= 0 && index < imageCount(this.#table.views(frame), this.#table.base(frame))) break;
    }
    if (level > tree.root.level) return this.#end();
    const turn = level;
    for (;;) {
      frame = this.#tryChild(level, frame, index);
      if (frame < 0) return MISS;
      level--;
      if (level === 0) break;
      index = direction > 0 ? 0 : imageCount(this.#table.views(frame), this.#table.base(frame)) - 1;
    }
    this.#trial[0] = frame;
    this.#trial[1] = this.#table.generations[frame] as number;
    this.#acceptTrial(0, turn);
    this.#enterLeaf(frame);
    this.#show(direction > 0 ? 0 : this.leafCount - 1);
    return AT;
  }

  /** Takes the leaf's figures into fields and its prefix into the key scratch. */
  #enterLeaf(frame: number): void {
    const views = this.#table.views(frame);
    const base = this.#table.base(frame);
    this.#leafFrame = frame;
    this.#leafGeneration = this.#table.generations[frame] as number;
    this.leaf = views;
    this.leafBase = base;
    this.leafCount = imageCount(views, base);
    this.leafPrefix = base + IMAGE_HEADER_BYTES;
    this.leafPrefixLength = imagePrefixLength(views, base);
    this.leafSlots = slotsWord(views, base);
    this.leafVersions = this.leafSlots + this.leafCount + 1;
    this.leafBaseNumber = imageBaseNumber(views, base);
    this.leafHasTombstones = (imageFlags(views, base) & IMAGE_HAS_TOMBSTONES) !== 0;
    this.cellBytes = views.bytes;
    if (this.leafPrefixLength === 0) this.keyBytes = views.bytes;
    else {
      if (this.leafPrefixLength > USUAL_KEY_BYTES) this.#growKey();
      this.keyBytes = this.#key;
      this.keyStart = 0;
      for (let i = 0; i < this.leafPrefixLength; i++) this.#key[i] = views.bytes[this.leafPrefix + i] as number;
    }
  }

  /** Makes room for any key; what is there (the leaf's prefix) stays. */
  #growKey(): void {
    if (this.#key.length > MAX_KEY_BYTES) return;
    const larger = new Uint8Array(MAX_KEY_BYTES + SLACK_BYTES);
    larger.set(this.#key);
    this.#key = larger;
    this.#keyData = new DataView(larger.buffer);
    this.keyBytes = larger;
  }

  #show(index: number): void {
    const u32 = this.leaf.u32;
    const base = this.leafBase;
    const slot = u32[this.leafSlots + index] as number;
    const next = u32[this.leafSlots + index + 1] as number;
    this.leafIndex = index;
    this.cellStart = base + (slot >>> 16);
    this.cellEnd = base + (next >>> 16);
    this.version = this.leafBaseNumber + (u32[this.leafVersions + index] as number);
    const start = base + (slot & 0xffff);
    const end = base + (next & 0xffff);
    const prefix = this.leafPrefixLength;
    if (prefix === 0) {
      this.keyStart = start;
      this.keyEnd = end;
    } else {
      // Word by word, up to three bytes too many: behind a suffix there is always more image or the views' slack.
      if (prefix + end - start + SLACK_BYTES > this.#key.length) this.#growKey();
      const from = this.leaf.data;
      const to = this.#keyData;
      const shift = prefix - start;
      for (let i = start; i < end; i += 4) to.setInt32(i + shift, from.getInt32(i, true), true);
      this.keyEnd = end + shift;
    }
    this.removed = this.leafHasTombstones && ((this.cellBytes[this.cellStart] as number) & CELL_TOMBSTONE) !== 0;
    if (this.removed) this.cellEnd = this.cellStart;
  }
}

/** The child of an inner image in which the last key less than this one would lie. */
function childBefore(views: ImageViews, base: number, key: Uint8Array, start: number, end: number): number {
  const found = searchImage(views, base, key, start, end);
  const index = found >= 0 ? found - 1 : ~found - 1;
  return index < 0 ? 0 : index;
}
