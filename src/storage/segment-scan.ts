/**
 * Walking a segment file from end to end, without a tree: for compaction, salvage and the sweep of files that nobody names.
 *
 * The caller says where the segment ends: a crash may have left torn bytes behind what its roots name. Between what one sync
 * made durable and what follows there may be zeros up to the next 4096 bytes. Anything else that is neither an image nor a
 * value record stops the walk with `CorruptionError`: what cannot be read is never taken for dead. An image's checksum is
 * asked too: a damaged length would lead past the next image, a damaged store or key to where it is not needed.
 */
import { alignUp, readU16, readU32 } from '../base/bytes.ts';
import { crc32c } from '../base/checksum.ts';
import { CorruptionError } from '../base/errors.ts';
import { LOG_ALIGNMENT, MAX_KEY_BYTES, MAX_VALUE_BYTES } from '../base/limits.ts';
import { imageChecksum } from '../node/image-builder.ts';
import { IMAGE_HEADER_BYTES, IMAGE_MAGIC, LONGEST_IMAGE_BYTES } from '../node/image-layout.ts';
import { SEGMENT_HEADER_BYTES, type Segments } from './segments.ts';
import { VALUE_HEADER_BYTES, VALUE_MAGIC } from './value-log.ts';

const WINDOW_BYTES = 1024 * 1024;

/** A moving window over one segment. */
class SegmentWindow {
  readonly index: number;
  readonly sizeBytes: number;
  bytes = new Uint8Array(WINDOW_BYTES);
  #from = 0;
  #length = 0;
  readonly #segments: Segments;

  constructor(segments: Segments, index: number, sizeBytes: number) {
    this.#segments = segments;
    this.index = index;
    this.sizeBytes = sizeBytes;
  }

  /** Where byte `offset` lies in `bytes`, with `length` bytes behind it there; -1 past the end of the segment. */
  async view(offset: number, length: number): Promise<number> {
    if (offset >= this.#from && offset + length <= this.#from + this.#length) return offset - this.#from;
    if (offset + length > this.sizeBytes) return -1;
    if (length > this.bytes.length) this.bytes = new Uint8Array(alignUp(length, WINDOW_BYTES));
    const wanted = Math.min(this.bytes.length, this.sizeBytes - offset);
    this.#length = 0;
    await this.#segments.read(this.index, offset, this.bytes.subarray(0, wanted));
    this.#from = offset;
    this.#length = wanted;
    return 0;
  }

  /** The next place where something may begin after zeros at `offset`; throws where they are not zeros. */
  async skipPadding(offset: number): Promise<number> {
    const next = Math.min(alignUp(offset + 1, LOG_ALIGNMENT), this.sizeBytes);
    const at = await this.view(offset, next - offset);
    for (let i = 0; i < next - offset; i++)
      if (this.bytes[at + i] !== 0) this.damaged(offset, 'neither data nor padding');
    return next;
  }

  damaged(offset: number, what: string): never {
    const file = this.#segments.path(this.index);
    throw new CorruptionError(`${file} has ${what} at ${offset}`, { details: { file, offset } });
  }
}

export interface ScannedImage {
  readonly storeId: number;
  readonly level: number;
  readonly offset: number;
  readonly length: number;
  /** First key of the image. */
  readonly key: Uint8Array;
}

/** Calls `visit` for every image of a segment up to `end`, in file order. */
export async function scanImages(
  segments: Segments,
  index: number,
  end: number,
  visit: (image: ScannedImage) => void,
): Promise<void> {
  const window = new SegmentWindow(segments, index, end);
  for (let offset = SEGMENT_HEADER_BYTES; offset < window.sizeBytes; ) {
    let at = await window.view(offset, Math.min(IMAGE_HEADER_BYTES, window.sizeBytes - offset));
    if (readU16(window.bytes, at) !== IMAGE_MAGIC) {
      offset = await window.skipPadding(offset);
      continue;
    }
    const length = readU32(window.bytes, at + 8);
    if (length < IMAGE_HEADER_BYTES || length > LONGEST_IMAGE_BYTES || length % 8 !== 0)
      window.damaged(offset, 'a damaged image');
    at = await window.view(offset, length);
    if (at < 0) window.damaged(offset, 'an image cut short');
    if (readU32(window.bytes, at + 12) !== imageChecksum(window.bytes, at, length))
      window.damaged(offset, 'a damaged image');
    visit({
      storeId: readU32(window.bytes, at + 16),
      level: window.bytes[at + 3] as number,
      offset,
      length,
      key: firstKeyOf(window, at, offset, length),
    });
    offset += length;
  }
}

function firstKeyOf(window: SegmentWindow, at: number, offset: number, length: number): Uint8Array {
  const { bytes } = window;
  const count = readU16(bytes, at + 4);
  const prefix = readU16(bytes, at + 6);
  const slots = IMAGE_HEADER_BYTES + ((prefix + 3) & ~3) + 4 * count;
  if (count === 0 || slots + 8 > length) window.damaged(offset, 'a damaged image');
  const start = readU16(bytes, at + slots);
  const end = readU16(bytes, at + slots + 4);
  if (start > end || end > length || prefix + end - start > MAX_KEY_BYTES) window.damaged(offset, 'a damaged image');
  const key = new Uint8Array(prefix + end - start);
  key.set(bytes.subarray(at + IMAGE_HEADER_BYTES, at + IMAGE_HEADER_BYTES + prefix));
  key.set(bytes.subarray(at + start, at + end), prefix);
  return key;
}

export interface ScannedValue {
  readonly storeId: number;
  readonly key: Uint8Array;
  /** Of the value's first byte. */
  readonly offset: number;
  readonly length: number;
}

/** Calls `visit` for every value record of a segment up to `end`, in file order. */
export async function scanValues(
  segments: Segments,
  index: number,
  end: number,
  visit: (value: ScannedValue) => void | Promise<void>,
): Promise<void> {
  const window = new SegmentWindow(segments, index, end);
  for (let offset = SEGMENT_HEADER_BYTES; offset < window.sizeBytes; ) {
    let at = await window.view(offset, Math.min(VALUE_HEADER_BYTES, window.sizeBytes - offset));
    if (readU32(window.bytes, at) !== VALUE_MAGIC) {
      offset = await window.skipPadding(offset);
      continue;
    }
    const storeId = readU32(window.bytes, at + 4);
    const length = readU32(window.bytes, at + 8);
    const keyLength = readU16(window.bytes, at + 16);
    if (length > MAX_VALUE_BYTES || keyLength > MAX_KEY_BYTES) window.damaged(offset, 'a damaged value record');
    at = await window.view(offset, VALUE_HEADER_BYTES + keyLength);
    if (at < 0) window.damaged(offset, 'a value record cut short');
    const keyStart = at + VALUE_HEADER_BYTES;
    const crc = crc32c(window.bytes, keyStart, keyStart + keyLength, crc32c(window.bytes, at, at + 20));
    if (readU32(window.bytes, at + 20) !== crc) window.damaged(offset, 'a damaged value record');
    const key = window.bytes.slice(keyStart, keyStart + keyLength);
    await visit({ storeId, key, offset: offset + VALUE_HEADER_BYTES + keyLength, length });
    offset += alignUp(VALUE_HEADER_BYTES + keyLength + length, 8);
  }
}
