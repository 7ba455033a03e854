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

/** Of a segment, looked through at once. */
const WINDOW_BYTES = 8 * 1024 * 1024;

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
  const images = walkImages(cache, storeId, root, visitor);
  while (images.next().done !== true);
}

/** As `walkTree`, an image a step: who collects entries can put them away in between. */
export function* walkImages(
  cache: ImageCache,
  storeId: number,
  root: Handle,
  visitor: TreeVisitor,
): Generator<void, void, void> {
  const views = new ImageViews(LONGEST_IMAGE_BYTES);
  const key = new Uint8Array(MAX_KEY_BYTES);
  const pending: Visit[] = [{ handle: root, lower: new Uint8Array(0), upper: undefined }];
  for (let visit = pending.pop(); visit !== undefined; visit = pending.pop()) {
    const fault = readImage(cache, storeId, visit, views, key);
    if (fault !== undefined) visitor.lost(lostBelow(cache, storeId, visit, fault));
    else if (visit.handle.level > 0) pushChildren(cache, visit, views, key, pending);
    else visitLeaf(views, key, visitor);
    yield;
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
  if (segments.env.files.status(segments.folder) === undefined) return [];
  for (const name of segments.env.files.list(segments.folder)) {
    const parsed = parseSegmentFileName(name);
    if (parsed === undefined) continue;
    const index = segments.indexOf(parsed.writer, parsed.segmentNumber);
    try {
      for (const handle of forestsOf(segments, index)) found.push({ handle, level: handle.level });
    } catch (error) {
      if (!(error instanceof SopError)) throw error;
    }
  }
  found.sort((a, b) => b.handle.newest - a.handle.newest || b.level - a.level || b.handle.offset - a.handle.offset);
  return found.map(({ handle }) => handle);
}

/** A piece of the segment at a time, each beginning with what may be the first bytes of an image that goes on in it. */
function* forestsOf(segments: Segments, segment: number): Generator<Handle> {
  const end = segments.endOf(segment);
  const window = new Uint8Array(Math.min(end, WINDOW_BYTES));
  for (let from = 0; from < end; ) {
    const bytes = window.subarray(0, Math.min(window.length, end - from));
    segments.readSync(segment, from, bytes);
    const isLast = from + bytes.length === end;
    const limit = isLast ? bytes.length : bytes.length - LONGEST_IMAGE_BYTES;
    let at = from === 0 ? SEGMENT_HEADER_BYTES : 0;
    while (at < limit) {
      const length = forestLengthAt(bytes, at);
      if (length > 0) yield handleOf(bytes, at, length, { segment, offset: from + at }, segments);
      at += Math.max(8, length);
    }
    from += at;
  }
}

/** The length of the sound image of a forest that begins here; 0 where none does. */
function forestLengthAt(bytes: Uint8Array, at: number): number {
  if (at + IMAGE_HEADER_BYTES + 8 > bytes.length) return 0;
  if (readU16(bytes, at) !== IMAGE_MAGIC || readU32(bytes, at + 16) !== FOREST_STORE) return 0;
  const length = readU32(bytes, at + 8);
  if (length < IMAGE_HEADER_BYTES + 8 || length > LONGEST_IMAGE_BYTES || at + length > bytes.length) return 0;
  return imageChecksum(bytes, at, length) === readU32(bytes, at + 12) ? length : 0;
}

/** What a parent would say of this image. */
function handleOf(
  bytes: Uint8Array,
  at: number,
  length: number,
  place: { readonly segment: number; readonly offset: number },
  segments: Segments,
): Handle {
  const level = bytes[at + 3] as number;
  const count = readU16(bytes, at + 4);
  const stated = { ...place, length, level, newest: readU48(bytes, at + 32) };
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
