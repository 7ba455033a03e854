/**
 * Reading trees of a damaged database: every image that is sound in itself and fits its parent is read, what is not is passed
 * over and named, and the walk goes on beside it. Levels fall with every step and keys stay in their bounds, so it ends.
 */
import { compareBytes, readU16, readU32, readU48 } from '../base/bytes.ts';
import { SopError } from '../base/errors.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { decodeHandle, type Handle, HANDLE_BYTES } from '../node/handle.ts';
import { imageChecksum } from '../node/image-builder.ts';
import type { ImageCache } from '../node/image-cache.ts';
import {
  copyKey,
  handleAt,
  IMAGE_HEADER_BYTES,
  IMAGE_MAGIC,
  ImageViews,
  imageCount,
  LONGEST_IMAGE_BYTES,
  slotsWord,
} from '../node/image-layout.ts';
import type { Lost } from './salvage-report.ts';
import { parseSegmentFileName, SEGMENT_HEADER_BYTES, type Segments } from './segments.ts';
import { FOREST_STORE } from './system-stores.ts';

export interface TreeVisitor {
  /** An entry; its bytes are good during the call. */
  entry(key: Uint8Array, cells: Uint8Array, cellStart: number, cellEnd: number): void;
  lost(what: Lost): void;
}

interface Visit {
  readonly handle: Handle;
  readonly lower: Uint8Array;
  readonly upper: Uint8Array | undefined;
}

/** Hands out every entry that can be read, in the order of keys. */
export function walkTree(cache: ImageCache, storeId: number, root: Handle, visitor: TreeVisitor): void {
  const views = new ImageViews(LONGEST_IMAGE_BYTES);
  const key = new Uint8Array(MAX_KEY_BYTES);
  const pending: Visit[] = [{ handle: root, lower: new Uint8Array(0), upper: undefined }];
  for (let visit = pending.pop(); visit !== undefined; visit = pending.pop()) {
    const fault = readImage(cache, storeId, visit, views, key);
    if (fault !== undefined) visitor.lost(lostBelow(cache, storeId, visit, fault));
    else if (visit.handle.level > 0) pushChildren(cache, visit, views, key, pending);
    else visitLeaf(views, key, visitor);
  }
}

function lostBelow(cache: ImageCache, storeId: number, { handle, lower, upper }: Visit, fault: string): Lost {
  const file = cache.reader.describe(handle.segment);
  const place = { file, offset: handle.offset, store: storeId, entries: handle.entries, lower };
  return {
    what: `${handle.level === 0 ? 'a leaf' : 'a part of the tree'}: ${fault}`,
    ...place,
    ...(upper && { upper }),
  };
}

/** What is wrong with the image; undefined where nothing is. */
function readImage(
  cache: ImageCache,
  storeId: number,
  visit: Visit,
  views: ImageViews,
  key: Uint8Array,
): string | undefined {
  try {
    cache.readStoredSync(visit.handle, storeId, views);
  } catch (error) {
    if (!(error instanceof SopError)) throw error;
    return error.message;
  }
  const count = imageCount(views, 0);
  const first = copyKey(views, 0, 0, key, 0);
  if (compareBytes(key, 0, first, visit.lower, 0, visit.lower.length) < 0) return 'its keys lie before its bounds';
  const last = copyKey(views, 0, count - 1, key, 0);
  const { upper } = visit;
  if (upper === undefined || compareBytes(key, 0, last, upper, 0, upper.length) < 0) return undefined;
  return 'its keys lie behind its bounds';
}

function pushChildren(cache: ImageCache, visit: Visit, views: ImageViews, key: Uint8Array, pending: Visit[]): void {
  let upper = visit.upper;
  for (let i = imageCount(views, 0) - 1; i >= 0; i--) {
    const lower = key.slice(0, copyKey(views, 0, i, key, 0));
    pending.push({ handle: decodeHandle(views.bytes, handleAt(views, 0, i), cache.names), lower, upper });
    upper = lower;
  }
}

function visitLeaf(views: ImageViews, key: Uint8Array, visitor: TreeVisitor): void {
  const slots = slotsWord(views, 0);
  const count = imageCount(views, 0);
  for (let i = 0; i < count; i++) {
    const length = copyKey(views, 0, i, key, 0);
    const start = (views.u32[slots + i] as number) >>> 16;
    const end = (views.u32[slots + i + 1] as number) >>> 16;
    visitor.entry(key.slice(0, length), views.bytes, start, end);
  }
}

/** Roots of forests that lie in segments, whoever named them; newest first. For a database that has lost its root records. */
export function findForests(segments: Segments): Handle[] {
  const found: { handle: Handle; level: number }[] = [];
  for (const name of segments.env.files.list(segments.folder)) {
    const parsed = parseSegmentFileName(name);
    if (parsed === undefined) continue;
    const index = segments.indexOf(parsed.writer, parsed.segmentNumber);
    try {
      const bytes = new Uint8Array(segments.endOf(index));
      segments.readSync(index, 0, bytes);
      for (const handle of forestsIn(bytes, index, segments)) found.push({ handle, level: handle.level });
    } catch (error) {
      if (!(error instanceof SopError)) throw error;
    }
  }
  found.sort((a, b) => b.handle.newest - a.handle.newest || b.level - a.level || b.handle.offset - a.handle.offset);
  return found.map(({ handle }) => handle);
}

function* forestsIn(bytes: Uint8Array, segment: number, segments: Segments): Generator<Handle> {
  for (let at = SEGMENT_HEADER_BYTES; at + IMAGE_HEADER_BYTES + 8 <= bytes.length; at += 8) {
    if (readU16(bytes, at) !== IMAGE_MAGIC || readU32(bytes, at + 16) !== FOREST_STORE) continue;
    const length = readU32(bytes, at + 8);
    if (length < IMAGE_HEADER_BYTES + 8 || length > LONGEST_IMAGE_BYTES || at + length > bytes.length) continue;
    if (imageChecksum(bytes, at, length) !== readU32(bytes, at + 12)) continue;
    yield handleOf(bytes, at, length, segment, segments);
    at += length - 8;
  }
}

/** What a parent would say of this image. */
function handleOf(bytes: Uint8Array, at: number, length: number, segment: number, segments: Segments): Handle {
  const level = bytes[at + 3] as number;
  const count = readU16(bytes, at + 4);
  const stated = { segment, offset: at, length, level, newest: readU48(bytes, at + 32) };
  const sums = { entries: count, digestLow: 0, digestHigh: 0, inexact: false };
  if (level === 0) return { ...stated, ...sums };
  sums.entries = 0;
  const slots = at + IMAGE_HEADER_BYTES + ((readU16(bytes, at + 6) + 3) & ~3) + 4 * count;
  const cells = at + (readU32(bytes, Math.min(slots, bytes.length - 4)) >>> 16);
  for (let i = 0; i < count && cells + HANDLE_BYTES * (i + 1) <= at + length; i++) {
    const child = decodeHandle(bytes, cells + HANDLE_BYTES * i, segments);
    sums.entries += child.entries;
    sums.digestLow = (sums.digestLow + child.digestLow) >>> 0;
    sums.digestHigh = (sums.digestHigh + child.digestHigh) >>> 0;
    sums.inexact ||= child.inexact;
  }
  return { ...stated, ...sums };
}
