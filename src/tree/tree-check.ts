/**
 * The checker of one tree: reads every image and names every broken invariant. What an image must be in itself is checked
 * as it is read (image-validate.ts); here it is held against its neighbours: keys rise and stay inside their bounds, heads
 * belong to their keys, cells make sense, digests and newest numbers are right. An image that hangs in the tree twice
 * shows itself, because the second time its keys are out of bounds.
 */
import { compareBytes, readU16 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { CELL_RIDE_ON, CELL_SEPARATE, CELL_TOMBSTONE, cellValueStart, VALUE_REFERENCE_BYTES } from '../codec/cell.ts';
import { entryHash, hashEntry } from '../node/entry-hash.ts';
import { FRAME_BYTES } from '../node/frame-table.ts';
import { decodeHandle, type Handle } from '../node/handle.ts';
import type { ImageCache } from '../node/image-cache.ts';
import {
  copyKey,
  handleAt,
  headsWord,
  IMAGE_HAS_TOMBSTONES,
  ImageViews,
  imageBaseNumber,
  imageCount,
  imageFlags,
  imageLevel,
  imagePrefixLength,
  LONGEST_IMAGE_BYTES,
  MAX_LEVEL,
  slotsWord,
  versionsWord,
} from '../node/image-layout.ts';
import { keyHead } from '../node/image-search.ts';
import type { LoadRequest } from './tree-build.ts';

export interface TreeFault {
  readonly segment: number;
  readonly file: string;
  readonly offset: number;
  readonly fault: string;
}

export interface CheckOptions {
  readonly cache: ImageCache;
  readonly storeId: number;
  readonly root: Handle | undefined;
  /** Tombstones are in order (a run). */
  readonly tombstones?: boolean | undefined;
  readonly waits?: boolean | undefined;
  /** Take images from memory where they are there; otherwise all are read as they are stored, which is what finds damage. */
  readonly trustsCache?: boolean | undefined;
  /** True where the subtree was walked before, in another tree that shares it. */
  isKnown?(handle: Handle): boolean;
  /** Every image met, for the accounting of space. */
  onImage?(segment: number, offset: number, length: number, level: number): void;
  /** Every leaf cell with a separate value: `bytes[start, end)`, valid during the call. */
  onSeparate?(bytes: Uint8Array, start: number, end: number): void;
  onFault?(fault: TreeFault): void;
  /** Where many trees are checked, the same for all, one after another: most are far smaller than what it takes to check them. */
  readonly buffers?: CheckBuffers | undefined;
}

/** The image and the keys being checked. */
export class CheckBuffers {
  views = new ImageViews(FRAME_BYTES);
  readonly key = new Uint8Array(MAX_KEY_BYTES);
  readonly keyData = new DataView(this.key.buffer);
  readonly lastKey = new Uint8Array(MAX_KEY_BYTES);
}

export interface CheckResult {
  images: number;
  entries: number;
  bytes: number;
  faults: number;
}

interface Visit {
  readonly handle: Handle;
  readonly lower: Uint8Array;
  /** undefined: nothing lies behind. */
  readonly upper: Uint8Array | undefined;
}

/** Yields undefined after every image, or what must be loaded first. Damage is reported, not thrown. */
export function* checkTree(options: CheckOptions): Generator<LoadRequest | undefined, CheckResult, void> {
  const check = new TreeCheck(options);
  const { root } = options;
  if (root === undefined) return check.result;
  // Depth first, so that what is pending is bounded by the height times the children of an image.
  const pending: Visit[] = [{ handle: root, lower: new Uint8Array(0), upper: undefined }];
  for (let visit = pending.pop(); visit !== undefined; visit = pending.pop()) {
    const request = check.request(visit.handle);
    if (request !== undefined) yield request;
    check.image(visit, pending);
    yield undefined;
  }
  return check.result;
}

class TreeCheck {
  readonly result: CheckResult = { images: 0, entries: 0, bytes: 0, faults: 0 };
  readonly #options: CheckOptions;
  readonly #buffers: CheckBuffers;
  readonly #key: Uint8Array;
  readonly #keyData: DataView;
  readonly #lastKey: Uint8Array;
  #loaded = false;

  constructor(options: CheckOptions) {
    this.#options = options;
    this.#buffers = options.buffers ?? new CheckBuffers();
    this.#key = this.#buffers.key;
    this.#keyData = this.#buffers.keyData;
    this.#lastKey = this.#buffers.lastKey;
  }

  get #views(): ImageViews {
    return this.#buffers.views;
  }

  /** Reads the image at once where possible; otherwise what has to be awaited first. */
  request(handle: Handle): LoadRequest | undefined {
    const { cache, storeId, waits, trustsCache } = this.#options;
    this.#loaded = false;
    if (handle.level > MAX_LEVEL) {
      this.#fault(handle, `handle states an impossible level of ${handle.level}`);
      return undefined;
    }
    if (handle.length > this.#views.bytes.length) this.#buffers.views = new ImageViews(LONGEST_IMAGE_BYTES);
    try {
      this.#loaded =
        trustsCache === true && handle.length <= LONGEST_IMAGE_BYTES && cache.copyInto(handle, this.#views);
      if (this.#loaded) return undefined;
      if (waits !== true) return { load: () => this.#load(handle) };
      cache.readStoredSync(handle, storeId, this.#views);
      this.#loaded = true;
    } catch (error) {
      this.#damage(handle, error);
    }
    return undefined;
  }

  async #load(handle: Handle): Promise<void> {
    try {
      await this.#options.cache.readStored(handle, this.#options.storeId, this.#views);
      this.#loaded = true;
    } catch (error) {
      this.#damage(handle, error);
    }
  }

  #damage(handle: Handle, error: unknown): void {
    if (!(error instanceof CorruptionError)) throw error;
    this.#fault(handle, String(error.details.fault ?? error.message));
  }

  #fault(handle: Handle, fault: string): void {
    const { cache } = this.#options;
    this.result.faults++;
    const file = cache.reader.describe(handle.segment);
    this.#options.onFault?.({ segment: handle.segment, file, offset: handle.offset, fault });
  }

  image(visit: Visit, pending: Visit[]): void {
    if (!this.#loaded) return;
    const { handle } = visit;
    this.result.images++;
    this.result.bytes += handle.length;
    this.#options.onImage?.(handle.segment, handle.offset, handle.length, handle.level);
    if (imageLevel(this.#views, 0) !== handle.level) {
      this.#fault(handle, 'level differs from what the parent says');
      return;
    }
    // An image out of its bounds is not followed: a tree that contains itself would be walked for ever.
    const inBounds = this.#keys(visit);
    if (handle.level === 0) this.#leaf(handle);
    else if (inBounds) this.#children(visit, pending);
  }

  /** Checks keys and heads; false where keys lie outside the bounds. */
  #keys({ handle, lower, upper }: Visit): boolean {
    const views = this.#views;
    const count = imageCount(views, 0);
    const heads = headsWord(views, 0);
    const prefix = imagePrefixLength(views, 0);
    let lastLength = 0;
    let inBounds = true;
    for (let i = 0; i < count; i++) {
      const length = copyKey(views, 0, i, this.#key, 0);
      if (views.u32[heads + i] !== keyHead(this.#key, prefix, length))
        this.#fault(handle, `head ${i} is not its key's`);
      if (i > 0 && compareBytes(this.#lastKey, 0, lastLength, this.#key, 0, length) >= 0) {
        this.#fault(handle, `key ${i} is not greater than the one before`);
        inBounds = false;
      }
      if (i === 0 && compareBytes(this.#key, 0, length, lower, 0, lower.length) < 0) {
        this.#fault(handle, 'first key lies before the lower bound');
        inBounds = false;
      }
      this.#lastKey.set(this.#key.subarray(0, length));
      lastLength = length;
    }
    if (upper !== undefined && compareBytes(this.#lastKey, 0, lastLength, upper, 0, upper.length) >= 0) {
      this.#fault(handle, 'last key is not below the upper bound');
      inBounds = false;
    }
    return inBounds;
  }

  #leaf(handle: Handle): void {
    const views = this.#views;
    const count = imageCount(views, 0);
    const slots = slotsWord(views, 0);
    const versions = versionsWord(views, 0);
    const baseNumber = imageBaseNumber(views, 0);
    let low = 0;
    let high = 0;
    let newest = 0;
    for (let i = 0; i < count; i++) {
      const start = (views.u32[slots + i] as number) >>> 16;
      const end = (views.u32[slots + i + 1] as number) >>> 16;
      const fault = this.#cellFault(start, end);
      if (fault !== undefined) this.#fault(handle, `cell ${i} ${fault}`);
      const length = copyKey(views, 0, i, this.#key, 0);
      hashEntry(this.#keyData, 0, length, views.data, start, end);
      low = (low + entryHash.low) >>> 0;
      high = (high + entryHash.high) >>> 0;
      newest = Math.max(newest, baseNumber + (views.u32[versions + i] as number));
    }
    this.result.entries += count;
    if (count !== handle.entries) this.#fault(handle, 'entry count differs from what the parent says');
    if (newest !== handle.newest) this.#fault(handle, 'newest number is not that of the entries');
    if (!handle.inexact && (low !== handle.digestLow || high !== handle.digestHigh)) {
      this.#fault(handle, 'digest is not that of the entries');
    }
  }

  #cellFault(start: number, end: number): string | undefined {
    const { bytes } = this.#views;
    const flags = bytes[start] as number;
    if ((flags & ~(CELL_SEPARATE | CELL_RIDE_ON | CELL_TOMBSTONE)) !== 0) return 'has unknown flags';
    if ((flags & CELL_TOMBSTONE) !== 0) {
      const allowed = this.#options.tombstones === true && (imageFlags(this.#views, 0) & IMAGE_HAS_TOMBSTONES) !== 0;
      if (!allowed) return 'is a tombstone where none may be';
      return end - start === 1 ? undefined : 'is a tombstone with a value';
    }
    if ((flags & CELL_RIDE_ON) !== 0 && (start + 3 > end || start + 3 + readU16(bytes, start + 1) > end)) {
      return 'has a ride-on part that passes its end';
    }
    if ((flags & CELL_SEPARATE) === 0) return undefined;
    if (end - cellValueStart(bytes, start) !== VALUE_REFERENCE_BYTES) return 'has a broken value reference';
    this.#options.onSeparate?.(bytes, start, end);
    return undefined;
  }

  #children({ upper }: Visit, pending: Visit[]): void {
    const views = this.#views;
    const count = imageCount(views, 0);
    let above = upper;
    for (let i = count - 1; i >= 0; i--) {
      const length = copyKey(views, 0, i, this.#key, 0);
      const lower = this.#key.slice(0, length);
      const handle = decodeHandle(views.bytes, handleAt(views, 0, i), this.#options.cache.names);
      if (this.#options.isKnown?.(handle) !== true) pending.push({ handle, lower, upper: above });
      above = lower;
    }
  }
}
