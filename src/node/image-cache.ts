/**
 * Images in memory: where trees are read. Everything here is synchronous on what is cached; what is not is brought in by
 * `loadSync` or `load`, checked once (image-validate.ts) and searched in place from then on.
 *
 * A child's frame is noted beside its parent's frame, so that a cached descent hashes nothing. Nothing is pinned: whoever
 * keeps a frame number over a call that may load keeps its generation too and looks again.
 */
import { readU16, readU32, readU48, compareBytes } from '../base/bytes.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { CHILD_SLOT_WORDS, FRAME_BYTES, FrameTable } from './frame-table.ts';
import { decodeHandle, type Handle, type SegmentNames } from './handle.ts';
import type { ImageReader } from './image-io.ts';
import {
  copyKey,
  handleAt,
  ImageViews,
  imageCount,
  imageLength,
  imageLevel,
  imageStoreId,
  LONGEST_IMAGE_BYTES,
} from './image-layout.ts';
import { handleFault, imageFault, throwCorrupt } from './image-validate.ts';

export interface ImageCacheOptions {
  readonly limitBytes: number;
  readonly reader: ImageReader;
  readonly names: SegmentNames;
}

export interface ImageCacheStats {
  /** Images found in memory by descents and cursors. */
  hits: number;
  /** Images read from the reader. */
  misses: number;
  /** Memory of images now cached, whole frames. */
  usedBytes: number;
  /** Memory allocated for frames so far; never more than the limit. */
  allocatedBytes: number;
  limitBytes: number;
}

const lowerKey = new Uint8Array(MAX_KEY_BYTES);
const upperKey = new Uint8Array(MAX_KEY_BYTES);

export class ImageCache {
  readonly table: FrameTable;
  readonly names: SegmentNames;
  readonly reader: ImageReader;
  /** Counted by whoever descends. */
  hits = 0;
  misses = 0;
  readonly #scratch = new ImageViews(LONGEST_IMAGE_BYTES);
  readonly #spare: ImageViews[] = [];
  /** Loads under way by address, so that several waiters share one. */
  readonly #loading = new Map<number, Promise<void>>();

  constructor(options: ImageCacheOptions) {
    this.table = new FrameTable(options.limitBytes);
    this.names = options.names;
    this.reader = options.reader;
  }

  get stats(): ImageCacheStats {
    return {
      hits: this.hits,
      misses: this.misses,
      usedBytes: this.table.usedFrames * FRAME_BYTES,
      allocatedBytes: this.table.allocatedBytes,
      limitBytes: this.table.frames * FRAME_BYTES,
    };
  }

  /** Whether these bytes are memory of cached images: what the next load or admission may write over. */
  owns(bytes: Uint8Array): boolean {
    const { chunks } = this.table;
    for (let i = 0; i < chunks.length; i++) if ((chunks[i] as ImageViews).bytes === bytes) return true;
    return false;
  }

  /** The frame of this image, or -1 where it is not in memory. Throws where it is not the image the handle means. */
  find(handle: Handle): number {
    const frame = this.table.index.find(handle.segment, handle.offset);
    if (frame >= 0) this.#mustMatch(frame, handle.length, handle.level, handle.segment, handle.offset);
    return frame;
  }

  /** The frame of an inner image's child, or -1 where it is not in memory. */
  child(frame: number, index: number): number {
    const table = this.table;
    const slot = table.childSlots[frame] as number;
    if (slot >= 0) {
      const at = slot * CHILD_SLOT_WORDS + 2 * index;
      const child = table.children[at] as number;
      if (child >= 0 && table.generations[child] === table.children[at + 1]) return child;
    }
    return this.#findChild(frame, index);
  }

  #findChild(frame: number, index: number): number {
    const views = this.table.views(frame);
    const bytes = views.bytes;
    const at = handleAt(views, this.table.base(frame), index);
    const segment = this.names.indexOf(readU48(bytes, at), readU16(bytes, at + 6));
    const offset = readU32(bytes, at + 8);
    const child = this.table.index.find(segment, offset);
    if (child < 0) return -1;
    this.#mustMatch(child, readU32(bytes, at + 12), bytes[at + 22] as number, segment, offset);
    this.#note(frame, index, child);
    return child;
  }

  #note(frame: number, index: number, child: number): void {
    const table = this.table;
    const slot = table.childSlots[frame] as number;
    if (slot < 0) return;
    const at = slot * CHILD_SLOT_WORDS + 2 * index;
    table.children[at] = child;
    table.children[at + 1] = table.generations[child] as number;
  }

  /** Two handles may not mean two images at one address: a wrong level would make a descent endless. */
  #mustMatch(frame: number, length: number, level: number, segment: number, offset: number): void {
    const views = this.table.views(frame);
    const base = this.table.base(frame);
    if (imageLength(views, base) !== length || imageLevel(views, base) !== level) {
      throwCorrupt(this.reader, segment, offset, 'a handle says another length or level than the image has');
    }
  }

  /** The handle of an inner image's child. */
  childHandle(frame: number, index: number): Handle {
    const views = this.table.views(frame);
    return decodeHandle(views.bytes, handleAt(views, this.table.base(frame), index), this.names);
  }

  /** Brings an image into memory and answers its frame. `storeId` -1: not known. */
  loadSync(handle: Handle, storeId: number): number {
    const cached = this.find(handle);
    if (cached >= 0) return cached;
    this.readIntoSync(handle, storeId, this.#scratch);
    return this.#publish(handle, this.#scratch, false);
  }

  /** Brings a child into memory and answers its frame; checks it against its parent's separators as well. */
  loadChildSync(frame: number, index: number): number {
    const cached = this.child(frame, index);
    if (cached >= 0) return cached;
    const handle = this.childHandle(frame, index);
    const table = this.table;
    this.readIntoSync(handle, imageStoreId(table.views(frame), table.base(frame)), this.#scratch);
    this.#checkBounds(frame, index, handle, this.#scratch);
    const generation = table.generations[frame] as number;
    const child = this.#publish(handle, this.#scratch, false);
    if (table.generations[frame] === generation) this.#note(frame, index, child);
    return child;
  }

  /** Brings an image into memory; several waiters share one read. */
  load(handle: Handle, storeId: number): Promise<void> {
    return this.#loadShared(handle, storeId, -1, 0);
  }

  /** As `loadChildSync`. */
  loadChild(frame: number, index: number): Promise<void> {
    const table = this.table;
    const storeId = imageStoreId(table.views(frame), table.base(frame));
    return this.#loadShared(this.childHandle(frame, index), storeId, frame, index);
  }

  #loadShared(handle: Handle, storeId: number, parent: number, index: number): Promise<void> {
    const address = handle.segment * 0x1_0000_0000 + handle.offset;
    const under = this.#loading.get(address);
    if (under !== undefined) return under;
    const promise = this.#load(handle, storeId, parent, index).finally(() => this.#loading.delete(address));
    this.#loading.set(address, promise);
    return promise;
  }

  async #load(handle: Handle, storeId: number, parent: number, index: number): Promise<void> {
    if (this.find(handle) >= 0) return;
    const generation = parent < 0 ? 0 : (this.table.generations[parent] as number);
    const usual = handle.length <= FRAME_BYTES;
    const views = (usual ? this.#spare.pop() : undefined) ?? new ImageViews(usual ? FRAME_BYTES : LONGEST_IMAGE_BYTES);
    try {
      await this.readInto(handle, storeId, views);
      if (this.find(handle) >= 0) return;
      const parentThere = parent >= 0 && this.table.generations[parent] === generation;
      if (parentThere) this.#checkBounds(parent, index, handle, views);
      const child = this.#publish(handle, views, false);
      if (parentThere && this.table.generations[parent] === generation) this.#note(parent, index, child);
    } finally {
      if (usual) this.#spare.push(views);
    }
  }

  #publish(handle: Handle, views: ImageViews, sticky: boolean): number {
    return this.#place(handle.segment, handle.offset, views.bytes, 0, handle.length, handle.level, views, sticky);
  }

  #place(
    segment: number,
    offset: number,
    bytes: Uint8Array,
    start: number,
    length: number,
    level: number,
    views: ImageViews | undefined,
    sticky: boolean,
  ): number {
    const children = level === 0 ? 0 : views !== undefined ? imageCount(views, 0) : readU16(bytes, start + 4);
    const frame = this.table.take(segment, offset, length, sticky || level > 0, children);
    this.table.views(frame).bytes.set(bytes.subarray(start, start + length), this.table.base(frame));
    return frame;
  }

  /** Reads and checks an image without caching it; a cached one is copied. For merges, which read most images once. */
  readIntoSync(handle: Handle, storeId: number, into: ImageViews): void {
    this.#mustBePlausible(handle, into);
    if (!this.copyInto(handle, into)) this.readStoredSync(handle, storeId, into);
  }

  readStoredSync(handle: Handle, storeId: number, into: ImageViews): void {
    this.#mustBePlausible(handle, into);
    this.misses++;
    this.reader.readSync(handle.segment, handle.offset, into.bytes.subarray(0, handle.length));
    this.#mustBeSound(handle, storeId, into);
  }

  async readInto(handle: Handle, storeId: number, into: ImageViews): Promise<void> {
    this.#mustBePlausible(handle, into);
    if (!this.copyInto(handle, into)) await this.readStored(handle, storeId, into);
  }

  /** Reads and checks what is stored, whether it is cached or not: for those who look for damage. */
  async readStored(handle: Handle, storeId: number, into: ImageViews): Promise<void> {
    this.#mustBePlausible(handle, into);
    this.misses++;
    await this.reader.read(handle.segment, handle.offset, into.bytes.subarray(0, handle.length));
    this.#mustBeSound(handle, storeId, into);
  }

  /** Copies a cached image to the start of `into`; false where it is not in memory. */
  copyInto(handle: Handle, into: ImageViews): boolean {
    const frame = this.find(handle);
    if (frame < 0) return false;
    const base = this.table.base(frame);
    into.bytes.set(this.table.views(frame).bytes.subarray(base, base + handle.length));
    return true;
  }

  #mustBePlausible(handle: Handle, into: ImageViews): void {
    const fault = handleFault(handle);
    if (fault !== undefined || handle.length > into.bytes.length) {
      throwCorrupt(this.reader, handle.segment, handle.offset, fault ?? 'image does not fit');
    }
  }

  #mustBeSound(handle: Handle, storeId: number, views: ImageViews): void {
    const fault = imageFault(views, 0, handle.length, handle, storeId);
    if (fault !== undefined) throwCorrupt(this.reader, handle.segment, handle.offset, fault);
  }

  /** All keys of a child lie between its separator and the next one. */
  #checkBounds(parent: number, index: number, handle: Handle, child: ImageViews): void {
    const views = this.table.views(parent);
    const base = this.table.base(parent);
    const lower = copyKey(views, base, index, lowerKey, 0);
    const first = copyKey(child, 0, 0, upperKey, 0);
    let order = compareBytes(lowerKey, 0, lower, upperKey, 0, first);
    if (order > 0 || (handle.level > 0 && order !== 0)) {
      throwCorrupt(this.reader, handle.segment, handle.offset, "first key does not fit the parent's separator");
    }
    if (index + 1 === imageCount(views, base)) return;
    const upper = copyKey(views, base, index + 1, upperKey, 0);
    const last = copyKey(child, 0, imageCount(child, 0) - 1, lowerKey, 0);
    order = compareBytes(lowerKey, 0, last, upperKey, 0, upper);
    if (order >= 0)
      throwCorrupt(this.reader, handle.segment, handle.offset, "last key passes the parent's next separator");
  }

  /** Takes in an image that we wrote ourselves (trusted, copied), so that reads after a checkpoint are warm. */
  admit(segment: number, offset: number, bytes: Uint8Array, start: number, length: number): void {
    if (this.table.index.find(segment, offset) >= 0) return;
    this.#place(segment, offset, bytes, start, length, bytes[start + 3] as number, undefined, true);
  }

  /** Empties the frame of one image that nobody will read again; nothing happens where it is not cached. */
  discard(segment: number, offset: number): void {
    const frame = this.table.index.find(segment, offset);
    if (frame >= 0) this.table.release(frame);
  }

  /** Empties all frames with images of a segment. */
  forget(segment: number): void {
    this.table.releaseSegment(segment);
  }
}
