/**
 * Writes a tree from left to right: entries one by one, and whole old subtrees by their handles. Every level holds its
 * last two images' worth back, so that what would be left over as a too small image is shared out between two.
 *
 * Invariants:
 *  1. What is handed in comes in key order; an image's separator is greater than every key before it, not greater than
 *     any key in it, and for an inner image it is the separator of its first child.
 *  2. An image is written only when nothing can be put before or into it any more; children before parents.
 *  3. Digests of entries taken over from an old leaf are not computed again where the leaf stays together: its digest is
 *     known from its handle (see `SourceDigests`).
 */
import { assert } from '../base/assert.ts';
import { IMAGE_TARGET_BYTES, MAX_KEY_BYTES } from '../base/limits.ts';
import { readU32, readU48 } from '../base/bytes.ts';
import { decodeHandle, encodeHandle, HANDLE_BYTES, type Handle, type SegmentNames } from '../node/handle.ts';
import { ImageBuilder } from '../node/image-builder.ts';
import type { ImageCache } from '../node/image-cache.ts';
import type { ImageSink } from '../node/image-io.ts';
import { IMAGE_HAS_TOMBSTONES, ImageViews, LONGEST_IMAGE_BYTES, MAX_LEVEL } from '../node/image-layout.ts';
import { SourceDigests } from './source-digests.ts';

/** Images smaller than this are joined with a neighbour where there is one to the right. */
const LEAST_IMAGE_BYTES = IMAGE_TARGET_BYTES / 4;

export interface TreeWriterOptions {
  readonly sink: ImageSink;
  readonly names: SegmentNames;
  readonly storeId: number;
  /** Where given, written images go into it. */
  readonly cache?: ImageCache | undefined;
  /** The entries may be tombstones (runs). */
  readonly tombstones?: boolean | undefined;
}

/** How the separator of the next image on the leaf level is found. */
const AT_START = 0;
const BEHIND_KEY = 1;
const AT_BOUND = 2;

/** One level: two images' worth, the older one full. */
class WriterLevel {
  older: ImageBuilder;
  newer: ImageBuilder;
  spare: ImageBuilder;
  /** The handle on its way up; per level, because handing it up may write the level above first. */
  readonly handleBytes = new Uint8Array(HANDLE_BYTES);

  constructor(level: number) {
    this.older = new ImageBuilder(level);
    this.newer = new ImageBuilder(level);
    this.spare = new ImageBuilder(level);
  }

  get isEmpty(): boolean {
    return this.newer.count === 0 && this.older.count === 0;
  }
}

/** What a writer works in: some hundred KiB, too much to have anew for each of ten thousand small stores of a checkpoint. */
interface Workbench {
  readonly digests: SourceDigests;
  readonly levels: WriterLevel[];
  readonly image: ImageViews;
  readonly border: Uint8Array;
}

const KEPT_WORKBENCHES = 2;
const LARGEST_WORKBENCH_BYTES = 4 * 1024 * 1024;
const workbenches: Workbench[] = [];

function takeWorkbench(): Workbench {
  const bench = workbenches.pop();
  for (const { older, newer } of bench?.levels ?? []) {
    older.reset();
    newer.reset();
  }
  return (
    bench ?? {
      digests: new SourceDigests(),
      levels: [],
      image: new ImageViews(LONGEST_IMAGE_BYTES + 8),
      border: new Uint8Array(MAX_KEY_BYTES),
    }
  );
}

export class TreeWriter {
  imagesWritten = 0;
  bytesWritten = 0;
  readonly digests: SourceDigests;
  readonly #options: TreeWriterOptions;
  /** Levels in use; the workbench may have more. */
  #height = 0;
  readonly #bench: Workbench;
  readonly #levels: WriterLevel[];
  readonly #image: ImageViews;
  /** The last key of the leaf written last, or the upper bound of the subtree kept last. */
  readonly #border: Uint8Array;
  #borderLength = 0;
  #borderKind: typeof AT_START | typeof BEHIND_KEY | typeof AT_BOUND = AT_START;
  readonly #flags: number;
  #isReleased = false;
  /** The leaf level, reached for with every entry. */
  #leaves: WriterLevel;

  constructor(options: TreeWriterOptions) {
    this.#options = options;
    this.#bench = takeWorkbench();
    this.digests = this.#bench.digests;
    this.#levels = this.#bench.levels;
    this.#image = this.#bench.image;
    this.#border = this.#bench.border;
    this.#flags = options.tombstones === true ? IMAGE_HAS_TOMBSTONES : 0;
    this.#leaves = this.#level(0);
  }

  #level(level: number): WriterLevel {
    assert(level <= MAX_LEVEL, 'no tree grows that high');
    while (this.#levels.length <= level) this.#levels.push(new WriterLevel(this.#levels.length));
    if (level >= this.#height) this.#height = level + 1;
    return this.#levels[level] as WriterLevel;
  }

  /** The key of the entry appended last lies here until the next append; `lastKeyStart` is -1 where there is none. */
  get lastKeyBytes(): Uint8Array {
    return this.#leaves.newer.keys;
  }

  get lastKeyStart(): number {
    const { newer } = this.#leaves;
    return newer.count === 0 ? -1 : (newer.keyStarts[newer.count - 1] as number);
  }

  get lastKeyEnd(): number {
    const { newer } = this.#leaves;
    return newer.count === 0 ? -1 : (newer.keyStarts[newer.count] as number);
  }

  /** A new entry, behind all there are. */
  append(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    cell: Uint8Array,
    cellStart: number,
    cellEnd: number,
    version: number,
  ): void {
    const leaves = this.#leaves;
    if (!leaves.newer.append(key, keyStart, keyEnd, cell, cellStart, cellEnd, version)) {
      this.#rotate(leaves, 0);
      leaves.newer.append(key, keyStart, keyEnd, cell, cellStart, cellEnd, version);
    }
  }

  /** The entries `[from, to)` of an old leaf; `source` is that leaf's place in `digests`. */
  appendOld(views: ImageViews, base: number, from: number, to: number, source: number): void {
    const leaves = this.#leaves;
    let at = from;
    while (at < to) {
      const stopped = leaves.newer.appendImage(views, base, at, to, source);
      this.digests.add(source, stopped - at);
      at = stopped;
      if (at < to) this.#rotate(leaves, 0);
    }
  }

  /** The newer image is full: the older one can be written, and a new one begins. */
  #rotate(pair: WriterLevel, level: number): void {
    const { older } = pair;
    if (older.count > 0) this.#emit(older, 0, older.count, level);
    older.reset();
    pair.older = pair.newer;
    pair.newer = older;
  }

  /**
   * Whether a subtree of this level may follow as it is; everything pending below has been written then. False where
   * an image too small to stand alone is pending: the caller hands in what the subtree consists of instead.
   */
  canKeep(level: number): boolean {
    for (let l = 0; l <= level && l < this.#height; l++) {
      const pair = this.#levels[l] as WriterLevel;
      if (pair.isEmpty) continue;
      if (pair.older.count === 0 && pair.newer.size < LEAST_IMAGE_BYTES) return false;
      this.#flush(pair, l, true);
    }
    return true;
  }

  /**
   * An old subtree, after `canKeep`; its keys lie from `separator[0, separatorLength)` on and before `upper` (undefined:
   * nothing follows). `handle` is `handleBytes[at, at + 40)`.
   */
  keep(
    level: number,
    handleBytes: Uint8Array,
    at: number,
    separator: Uint8Array,
    separatorLength: number,
    upper: Uint8Array | undefined,
    upperLength: number,
  ): void {
    this.#push(level + 1, separator, 0, separatorLength, handleBytes, at);
    this.#borderKind = AT_BOUND;
    this.#borderLength = upper === undefined ? 0 : upperLength;
    if (upper !== undefined) for (let i = 0; i < upperLength; i++) this.#border[i] = upper[i] as number;
  }

  /**
   * Takes back what is pending on a level where it is exactly so many entries: those of one old image in which nothing
   * changed. Its owner hands in the image itself then.
   */
  takeBack(level: number, count: number): boolean {
    const pair = this.#level(level);
    if (pair.older.count !== 0 || pair.newer.count !== count) return false;
    pair.newer.reset();
    return true;
  }

  #push(level: number, key: Uint8Array, start: number, end: number, handleBytes: Uint8Array, at: number): void {
    const pair = this.#level(level);
    if (pair.newer.append(key, start, end, handleBytes, at, at + HANDLE_BYTES, 0)) return;
    this.#rotate(pair, level);
    pair.newer.append(key, start, end, handleBytes, at, at + HANDLE_BYTES, 0);
  }

  /** Writes what a level holds back; `even` shares a small rest out between the last two images. */
  #flush(pair: WriterLevel, level: number, even: boolean): void {
    const { older, newer } = pair;
    if (even && older.count > 1 && newer.count > 0 && newer.size < LEAST_IMAGE_BYTES) {
      if (this.#flushEvenly(pair, level)) return;
    }
    if (older.count > 0) this.#emit(older, 0, older.count, level);
    if (newer.count > 0) this.#emit(newer, 0, newer.count, level);
    older.reset();
    newer.reset();
  }

  /** Moves the older image's last entries to the newer one so that both weigh about the same; false: they do not fit. */
  #flushEvenly({ older, newer, spare }: WriterLevel, level: number): boolean {
    const cut = older.cutAt((older.weight + newer.weight) / 2);
    spare.reset();
    spare.appendStaged(older, cut, older.count);
    spare.appendStaged(newer, 0, newer.count);
    if (!spare.isOneImage) return false;
    this.#emit(older, 0, cut, level);
    this.#emit(spare, 0, spare.count, level);
    older.reset();
    newer.reset();
    return true;
  }

  /** Writes one image and hands it to the level above. */
  #emit(builder: ImageBuilder, from: number, to: number, level: number): void {
    const handle = level === 0 ? this.#emitLeaf(builder, from, to) : this.#emitInner(builder, from, to, level);
    const { handleBytes } = this.#level(level);
    encodeHandle(handle, this.#options.names, handleBytes, 0);
    const first = builder.keyStarts[from] as number;
    const firstEnd = builder.keyStarts[from + 1] as number;
    const length = level === 0 ? this.#separatorLength(builder.keys, first, firstEnd) : firstEnd - first;
    this.#push(level + 1, builder.keys, first, first + length, handleBytes, 0);
    if (level !== 0) return;
    const last = builder.keyStarts[to - 1] as number;
    this.#borderLength = (builder.keyStarts[to] as number) - last;
    this.#borderKind = BEHIND_KEY;
    for (let i = 0; i < this.#borderLength; i++) this.#border[i] = builder.keys[last + i] as number;
  }

  /**
   * How much of a leaf's first key serves as its separator: nothing for the first leaf of all, else just enough to tell
   * it from the last key before; behind a kept subtree whose last key is not known, what passes its upper bound.
   */
  #separatorLength(keys: Uint8Array, start: number, end: number): number {
    if (this.#borderKind === AT_START) return 0;
    const limit = Math.min(this.#borderLength, end - start);
    let shared = 0;
    while (shared < limit && keys[start + shared] === this.#border[shared]) shared++;
    // Behind a key: one byte more than is shared. At a bound, a first key that starts with the bound may be cut to it.
    const length = this.#borderKind === AT_BOUND && shared === this.#borderLength ? shared : shared + 1;
    assert(length <= end - start, 'leaves are written in key order');
    return length;
  }

  #emitLeaf(builder: ImageBuilder, from: number, to: number): Handle {
    this.digests.sum(builder, from, to);
    const { low, high } = this.digests;
    const newest = builder.highestOf(from, to);
    const length = builder.write(from, to, this.#options.storeId, this.#flags, newest, this.#image);
    return this.#place(length, 0, to - from, low, high, newest, false);
  }

  #emitInner(builder: ImageBuilder, from: number, to: number, level: number): Handle {
    const cells = builder.cells;
    let entries = 0;
    let low = 0;
    let high = 0;
    let newest = 0;
    let inexact = false;
    for (let i = from; i < to; i++) {
      const at = builder.cellStarts[i] as number;
      entries += readU48(cells, at + 16);
      low = (low + readU32(cells, at + 24)) >>> 0;
      high = (high + readU32(cells, at + 28)) >>> 0;
      newest = Math.max(newest, readU48(cells, at + 32));
      inexact = inexact || ((cells[at + 23] as number) & 1) !== 0;
    }
    const length = builder.write(from, to, this.#options.storeId, 0, newest, this.#image);
    return this.#place(length, level, entries, low, high, newest, inexact);
  }

  #place(
    length: number,
    level: number,
    entries: number,
    digestLow: number,
    digestHigh: number,
    newest: number,
    inexact: boolean,
  ): Handle {
    const { segment, offset } = this.#options.sink.append(this.#image.bytes, 0, length);
    this.#options.cache?.admit(segment, offset, this.#image.bytes, 0, length);
    this.imagesWritten++;
    this.bytesWritten += length;
    return { segment, offset, length, level, entries, digestLow, digestHigh, newest, inexact };
  }

  /** Writes all that is pending; the new root, or undefined where there are no entries. The writer is of no use after. */
  finish(): Handle | undefined {
    const root = this.#finish();
    this.release();
    return root;
  }

  /** Hands the workbench on; for whoever stops without finishing. One that very long keys have blown up is not kept. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    let heldBytes = 0;
    for (const { older, newer, spare } of this.#levels) {
      heldBytes += older.heldBytes + newer.heldBytes + spare.heldBytes;
      for (const builder of [older, newer, spare]) builder.forgetSources();
    }
    if (workbenches.length < KEPT_WORKBENCHES && heldBytes < LARGEST_WORKBENCH_BYTES) workbenches.push(this.#bench);
  }

  #finish(): Handle | undefined {
    for (let level = 0; level < this.#height; level++) {
      const pair = this.#levels[level] as WriterLevel;
      const isTop = level === this.#height - 1;
      if (level > 0 && isTop && pair.older.count === 0 && pair.newer.count === 1) {
        return decodeHandle(pair.newer.cells, 0, this.#options.names);
      }
      this.#flush(pair, level, false);
    }
    return undefined;
  }
}
