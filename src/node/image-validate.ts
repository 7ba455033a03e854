/**
 * What an image from outside must pass before anything searches it. Done once, when it enters memory: search, cursors
 * and merges trust offsets and counts afterwards, and a descent ends because every child is one level below.
 */
import { readU16, readU32, readU48 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { imageChecksum } from './image-builder.ts';
import {
  headsWord,
  IMAGE_HEADER_BYTES,
  IMAGE_LAYOUT,
  IMAGE_MAGIC,
  type ImageViews,
  imageCount,
  imageFlags,
  imageLength,
  imageLevel,
  imageNewest,
  imagePrefixLength,
  imageSize,
  imageStoreId,
  LONGEST_IMAGE_BYTES,
  MAX_LEVEL,
} from './image-layout.ts';
import { HANDLE_BYTES, type Handle } from './handle.ts';
import type { ImageReader } from './image-io.ts';

/** What is wrong with a handle before its image is even read; undefined where nothing is. */
export function handleFault(handle: Handle): string | undefined {
  if (handle.length < IMAGE_HEADER_BYTES || handle.length > LONGEST_IMAGE_BYTES || handle.length % 8 !== 0) {
    return `handle states an impossible image length of ${handle.length}`;
  }
  if (handle.offset % 8 !== 0) return 'handle states an offset that is no multiple of 8';
  if (handle.level > MAX_LEVEL) return `handle states an impossible level of ${handle.level}`;
  if (handle.entries < 1) return 'handle states that there are no entries';
  return undefined;
}

/**
 * What is wrong with the image at `base`; undefined where nothing is. `available` is how many bytes are there.
 * `handle` (what the parent says of it) and `storeId` are compared where given (`storeId` -1: not known).
 */
export function imageFault(
  views: ImageViews,
  base: number,
  available: number,
  handle: Handle | undefined,
  storeId: number,
): string | undefined {
  if (available < IMAGE_HEADER_BYTES + 8) return 'image is shorter than its header';
  const word = views.u32[base >>> 2] as number;
  if ((word & 0xffff) !== IMAGE_MAGIC) return 'no image here (magic differs)';
  if (((word >>> 16) & 0xff) !== IMAGE_LAYOUT) return `unknown image layout ${(word >>> 16) & 0xff}`;
  const length = imageLength(views, base);
  if (length > available || length > LONGEST_IMAGE_BYTES || length % 8 !== 0 || length < IMAGE_HEADER_BYTES + 8) {
    return `image states an impossible length of ${length}`;
  }
  if (handle !== undefined && length !== handle.length)
    return `image is ${length} bytes, its parent says ${handle.length}`;
  if (imageChecksum(views.bytes, base, length) !== views.u32[(base >>> 2) + 3]) return 'checksum differs';
  return (
    structureFault(views, base, length) ??
    (imageLevel(views, base) === 0 ? undefined : childrenFault(views, base)) ??
    identityFault(views, base, handle, storeId)
  );
}

function structureFault(views: ImageViews, base: number, length: number): string | undefined {
  const { bytes, u32 } = views;
  const count = imageCount(views, base);
  const prefix = imagePrefixLength(views, base);
  const level = imageLevel(views, base);
  if (level > MAX_LEVEL) return `impossible level ${level}`;
  if (count === 0) return 'image has no entries';
  if (prefix > MAX_KEY_BYTES) return `prefix of ${prefix} bytes is longer than any key`;
  if (imageFlags(views, base) > 1) return 'unknown flags';
  if (readU16(bytes, base + 30) !== 0 || readU16(bytes, base + 38) !== 0) return 'reserved bytes are not zero';
  const columns = imageSize(level === 0, count, prefix, 0, 0);
  if (columns > length) return `no room for ${count} entries`;
  const heads = headsWord(views, base);
  const slots = heads + count;
  const columnsEnd = 4 * (slots + count + 1 + (level === 0 ? count : 0)) - base;
  const shortest = level === 0 ? 1 : HANDLE_BYTES;
  const longest = level === 0 ? LONGEST_IMAGE_BYTES : HANDLE_BYTES;
  const suffixesEnd = (u32[slots + count] as number) & 0xffff;
  let slot = u32[slots] as number;
  let head = 0;
  if ((slot & 0xffff) !== columnsEnd) return 'suffixes do not start behind the columns';
  if (slot >>> 16 !== suffixesEnd) return 'cells do not start behind the suffixes';
  for (let i = 0; i < count; i++) {
    const next = u32[slots + i + 1] as number;
    const suffix = (next & 0xffff) - (slot & 0xffff);
    const cell = (next >>> 16) - (slot >>> 16);
    if (suffix < 0 || prefix + suffix > MAX_KEY_BYTES) return `key ${i} has an impossible length`;
    if (cell < shortest || cell > longest) return `cell ${i} has an impossible length`;
    if ((u32[heads + i] as number) < head) return `head ${i} is out of order`;
    head = u32[heads + i] as number;
    slot = next;
  }
  const end = slot >>> 16;
  if (end > length || end + 8 <= length) return 'cells do not end where the image does';
  for (let i = base + end; i < base + length; i++) if (bytes[i] !== 0) return 'padding is not zero';
  return undefined;
}

function childrenFault(views: ImageViews, base: number): string | undefined {
  const bytes = views.bytes;
  const count = imageCount(views, base);
  const level = imageLevel(views, base);
  const first = base + ((views.u32[headsWord(views, base) + count] as number) >>> 16);
  for (let i = 0, at = first; i < count; i++, at += HANDLE_BYTES) {
    if (bytes[at + 22] !== level - 1) return `child ${i} is not one level below`;
    if (readU48(bytes, at + 16) === 0) return `child ${i} has no entries`;
    if ((bytes[at + 23] as number) > 1 || readU16(bytes, at + 38) !== 0) return `handle ${i} has unknown flags`;
  }
  return undefined;
}

function identityFault(
  views: ImageViews,
  base: number,
  handle: Handle | undefined,
  storeId: number,
): string | undefined {
  const found = imageStoreId(views, base);
  if (storeId >= 0 && found !== storeId) return `image belongs to store ${found}, expected ${storeId}`;
  if (handle === undefined) return undefined;
  const level = imageLevel(views, base);
  if (level !== handle.level) return `image has level ${level}, its parent says ${handle.level}`;
  const newest = imageNewest(views, base);
  if (newest !== handle.newest) return `image's newest number is ${newest}, its parent says ${handle.newest}`;
  if (level === 0) {
    const count = imageCount(views, base);
    return count === handle.entries ? undefined : `image has ${count} entries, its parent says ${handle.entries}`;
  }
  return sumsFault(views, base, handle);
}

function sumsFault(views: ImageViews, base: number, handle: Handle): string | undefined {
  const bytes = views.bytes;
  const count = imageCount(views, base);
  const first = base + ((views.u32[headsWord(views, base) + count] as number) >>> 16);
  let entries = 0;
  let low = 0;
  let high = 0;
  let newest = 0;
  let inexact = 0;
  for (let i = 0, at = first; i < count; i++, at += HANDLE_BYTES) {
    entries += readU48(bytes, at + 16);
    low = (low + readU32(bytes, at + 24)) >>> 0;
    high = (high + readU32(bytes, at + 28)) >>> 0;
    newest = Math.max(newest, readU48(bytes, at + 32));
    inexact |= bytes[at + 23] as number;
  }
  if (entries !== handle.entries) return `children have ${entries} entries, the parent says ${handle.entries}`;
  if (low !== handle.digestLow || high !== handle.digestHigh) return "children's digests do not add up to the parent's";
  if (newest !== handle.newest) return `newest number of the children is ${newest}, the parent says ${handle.newest}`;
  if ((inexact !== 0) !== handle.inexact) return "mark for inexact sums differs from the parent's";
  return undefined;
}

/** Throws `CorruptionError` naming file and offset. */
export function throwCorrupt(reader: ImageReader, segment: number, offset: number, fault: string): never {
  const file = reader.describe(segment);
  throw new CorruptionError(`${file} at offset ${offset}: ${fault}`, { details: { file, offset, fault } });
}
