/**
 * Building images: sorted entries are staged as bytes (no object per entry), and any run of the staged entries can be
 * written as one image. Used for leaves and inner images alike (an inner image's cell is an encoded handle).
 *
 * Cells are staged contiguously, so that they reach the image by one copy; keys are staged whole, because how much of
 * them is shared prefix is known only when the image is cut.
 */
import { assert } from '../base/assert.ts';
import { crc32c } from '../base/checksum.ts';
import { IMAGE_TARGET_BYTES, MAX_KEY_BYTES } from '../base/limits.ts';
import { hashEntry } from './entry-hash.ts';
import {
  IMAGE_HEADER_BYTES,
  IMAGE_HEADER_WORDS,
  IMAGE_LAYOUT,
  IMAGE_MAGIC,
  type ImageViews,
  imageBaseNumber,
  imagePrefixLength,
  imageSize,
  LONGEST_IMAGE_BYTES,
  slotsWord,
  versionsWord,
} from './image-layout.ts';
import { keyHead } from './image-search.ts';

/** More entries than two images of the usual size can hold (13 bytes is the shortest leaf entry). */
const MAX_STAGED = 2048;
const LARGEST_DELTA = 0xffff_ffff;
/** An inner image of long keys may pass the usual size to hold two children: with one, trees would not get narrower. */
const LEAST_CHILDREN = 2;

/** Staged entry `i`: key `keys[keyStarts[i], keyStarts[i + 1])`, cell `cells[cellStarts[i], cellStarts[i + 1])`. */
export class ImageBuilder {
  readonly level: number;
  count = 0;
  keys: Uint8Array = new Uint8Array(16 * 1024);
  cells: Uint8Array = new Uint8Array(16 * 1024);
  /** Views of `keys` and `cells`. */
  keysData = new DataView(this.keys.buffer);
  cellsData = new DataView(this.cells.buffer);
  readonly keyStarts = new Int32Array(MAX_STAGED + 1);
  readonly cellStarts = new Int32Array(MAX_STAGED + 1);
  readonly versions = new Float64Array(MAX_STAGED);
  /** Owner's mark per entry (where an entry came from); copied by `appendFrom`, otherwise not looked at. */
  readonly marks = new Int32Array(MAX_STAGED);
  readonly hashLow = new Uint32Array(MAX_STAGED);
  readonly hashHigh = new Uint32Array(MAX_STAGED);
  /** What all staged keys share. */
  #prefixLength = 0;
  #lowest = 0;
  #highest = 0;

  constructor(level: number) {
    this.level = level;
  }

  reset(): void {
    this.count = 0;
  }

  #growKeys(needed: number): void {
    this.keys = grown(this.keys, needed);
    this.keysData = new DataView(this.keys.buffer);
  }

  #growCells(needed: number): void {
    this.cells = grown(this.cells, needed);
    this.cellsData = new DataView(this.cells.buffer);
  }

  /** Bytes of one image with everything staged. */
  get size(): number {
    return this.count === 0 ? 0 : this.#sizeWith(this.count, this.#prefixLength, 0, 0);
  }

  #sizeWith(count: number, prefix: number, moreKey: number, moreCell: number): number {
    const keyBytes = (this.keyStarts[this.count] as number) + moreKey;
    const cellBytes = (this.cellStarts[this.count] as number) + moreCell;
    return imageSize(this.level === 0, count, prefix, keyBytes - count * prefix, cellBytes);
  }

  /** Whether one more entry still gives an image of the usual size; the first ones always do. */
  #fits(count: number, size: number, version: number): boolean {
    if (count <= 1) return size <= LONGEST_IMAGE_BYTES;
    if (size > IMAGE_TARGET_BYTES && (this.level === 0 || count > LEAST_CHILDREN)) return false;
    if (this.level !== 0) return size <= LONGEST_IMAGE_BYTES;
    const spread = (version > this.#highest ? version : this.#highest) - (version < this.#lowest ? version : this.#lowest);
    return spread <= LARGEST_DELTA;
  }

  /**
   * Stages one entry behind those there; its key must be greater than theirs. False, with nothing changed, where the
   * image would pass its usual size: then the staged ones are one full image.
   */
  append(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    cell: Uint8Array,
    cellStart: number,
    cellEnd: number,
    version: number,
  ): boolean {
    const index = this.count;
    const keyLength = keyEnd - keyStart;
    const cellLength = cellEnd - cellStart;
    const prefix = index === 0 ? keyLength : this.#sharedWith(key, keyStart, keyLength);
    const size = this.#sizeWithFirst(index, prefix, keyLength, cellLength);
    if (!this.#fits(index + 1, size, version)) {
      assert(index > 0, 'an entry fits an image');
      return false;
    }
    const keyAt = index === 0 ? 0 : (this.keyStarts[index] as number);
    const cellAt = index === 0 ? 0 : (this.cellStarts[index] as number);
    if (keyAt + keyLength > this.keys.length) this.#growKeys(keyAt + keyLength);
    if (cellAt + cellLength > this.cells.length) this.#growCells(cellAt + cellLength);
    copyBytes(key, keyStart, keyEnd, this.keys, keyAt);
    copyBytes(cell, cellStart, cellEnd, this.cells, cellAt);
    this.#commit(index, prefix, keyAt + keyLength, cellAt + cellLength, version);
    return true;
  }

  #sizeWithFirst(index: number, prefix: number, keyLength: number, cellLength: number): number {
    if (index === 0) {
      this.keyStarts[0] = 0;
      this.cellStarts[0] = 0;
    }
    return this.#sizeWith(index + 1, prefix, keyLength, cellLength);
  }

  #commit(index: number, prefix: number, keysEnd: number, cellsEnd: number, version: number): void {
    this.keyStarts[index + 1] = keysEnd;
    this.cellStarts[index + 1] = cellsEnd;
    this.versions[index] = version;
    this.marks[index] = -1;
    this.#prefixLength = prefix;
    if (index === 0 || version < this.#lowest) this.#lowest = version;
    if (index === 0 || version > this.#highest) this.#highest = version;
    this.count = index + 1;
  }

  #sharedWith(key: Uint8Array, keyStart: number, keyLength: number): number {
    const keys = this.keys;
    let limit = this.#prefixLength;
    if (keyLength < limit) limit = keyLength;
    let i = 0;
    while (i < limit && (key[keyStart + i] as number) === (keys[i] as number)) i++;
    return i;
  }

  /**
   * Stages the entries `[from, to)` of a leaf image, each with `mark`; answers where it stopped: `to`, or the first
   * entry that no longer fits.
   */
  appendImage(views: ImageViews, base: number, from: number, to: number, mark: number): number {
    const u32 = views.u32;
    const bytes = views.bytes;
    const slots = slotsWord(views, base);
    const versions = versionsWord(views, base);
    const baseNumber = imageBaseNumber(views, base);
    const prefix = imagePrefixLength(views, base);
    const prefixAt = base + IMAGE_HEADER_BYTES;
    let slot = u32[slots + from] as number;
    for (let i = from; i < to; i++) {
      const next = u32[slots + i + 1] as number;
      const keyAt = this.count === 0 ? 0 : (this.keyStarts[this.count] as number);
      const suffixStart = base + (slot & 0xffff);
      const keyLength = prefix + (next & 0xffff) - (slot & 0xffff);
      if (keyAt + keyLength > this.keys.length) this.#growKeys(keyAt + keyLength);
      const keys = this.keys;
      for (let k = 0; k < prefix; k++) keys[keyAt + k] = bytes[prefixAt + k] as number;
      for (let k = prefix, s = suffixStart; k < keyLength; k++, s++) keys[keyAt + k] = bytes[s] as number;
      const version = baseNumber + (u32[versions + i] as number);
      if (!this.#appendStagedKey(keyAt, keyLength, bytes, base + (slot >>> 16), base + (next >>> 16), version)) return i;
      this.marks[this.count - 1] = mark;
      slot = next;
    }
    return to;
  }

  /** As `append`, for a key that already lies behind the staged ones. */
  #appendStagedKey(
    keyAt: number,
    keyLength: number,
    cell: Uint8Array,
    cellStart: number,
    cellEnd: number,
    version: number,
  ): boolean {
    const index = this.count;
    const cellLength = cellEnd - cellStart;
    const prefix = index === 0 ? keyLength : this.#sharedWith(this.keys, keyAt, keyLength);
    if (!this.#fits(index + 1, this.#sizeWithFirst(index, prefix, keyLength, cellLength), version)) {
      assert(index > 0, 'an entry fits an image');
      return false;
    }
    const cellAt = this.cellStarts[index] as number;
    if (cellAt + cellLength > this.cells.length) this.#growCells(cellAt + cellLength);
    copyBytes(cell, cellStart, cellEnd, this.cells, cellAt);
    this.#commit(index, prefix, keyAt + keyLength, cellAt + cellLength, version);
    return true;
  }

  /** Stages everything another builder has, whatever the size becomes (the result is cut into two images). */
  appendAll(other: ImageBuilder): void {
    for (let i = 0; i < other.count; i++) {
      const index = this.count;
      assert(index < MAX_STAGED, 'two images fit the stage');
      const keyStart = other.keyStarts[i] as number;
      const keyLength = (other.keyStarts[i + 1] as number) - keyStart;
      const cellStart = other.cellStarts[i] as number;
      const cellLength = (other.cellStarts[i + 1] as number) - cellStart;
      const prefix = index === 0 ? keyLength : this.#sharedWith(other.keys, keyStart, keyLength);
      const keyAt = index === 0 ? 0 : (this.keyStarts[index] as number);
      const cellAt = index === 0 ? 0 : (this.cellStarts[index] as number);
      if (keyAt + keyLength > this.keys.length) this.#growKeys(keyAt + keyLength);
      if (cellAt + cellLength > this.cells.length) this.#growCells(cellAt + cellLength);
      copyBytes(other.keys, keyStart, keyStart + keyLength, this.keys, keyAt);
      copyBytes(other.cells, cellStart, cellStart + cellLength, this.cells, cellAt);
      this.keyStarts[0] = 0;
      this.cellStarts[0] = 0;
      this.#commit(index, prefix, keyAt + keyLength, cellAt + cellLength, other.versions[i] as number);
      this.marks[index] = other.marks[i] as number;
      this.hashLow[index] = other.hashLow[i] as number;
      this.hashHigh[index] = other.hashHigh[i] as number;
    }
  }

  /** Hashes staged entry `index` into `entryHash`. */
  hash(index: number): void {
    hashEntry(
      this.keysData,
      this.keyStarts[index] as number,
      this.keyStarts[index + 1] as number,
      this.cellsData,
      this.cellStarts[index] as number,
      this.cellStarts[index + 1] as number,
    );
  }

  /** What the keys of `[from, to)` share. */
  prefixOf(from: number, to: number): number {
    if (from === 0 && to === this.count) return this.#prefixLength;
    const keys = this.keys;
    const first = this.keyStarts[from] as number;
    const last = this.keyStarts[to - 1] as number;
    const limit = Math.min((this.keyStarts[from + 1] as number) - first, (this.keyStarts[to] as number) - last);
    let i = 0;
    while (i < limit && keys[first + i] === keys[last + i]) i++;
    return i;
  }

  /** Bytes of one image with the staged entries `[from, to)`. */
  sizeOf(from: number, to: number): number {
    const prefix = this.prefixOf(from, to);
    const keyBytes = (this.keyStarts[to] as number) - (this.keyStarts[from] as number);
    const cellBytes = (this.cellStarts[to] as number) - (this.cellStarts[from] as number);
    return imageSize(this.level === 0, to - from, prefix, keyBytes - (to - from) * prefix, cellBytes);
  }

  /** Where to cut the staged entries so that both parts weigh about the same and neither is empty. */
  middle(): number {
    const total = (this.keyStarts[this.count] as number) + (this.cellStarts[this.count] as number) + 12 * this.count;
    let at = 1;
    while (at < this.count - 1) {
      const weight = (this.keyStarts[at] as number) + (this.cellStarts[at] as number) + 12 * at;
      if (2 * weight >= total) break;
      at++;
    }
    return at;
  }

  /** Writes the staged entries `[from, to)` as one finished image at the start of `into`; answers its length. */
  write(from: number, to: number, storeId: number, flags: number, newest: number, into: ImageViews): number {
    const count = to - from;
    const isLeaf = this.level === 0;
    const prefix = this.prefixOf(from, to);
    const length = this.sizeOf(from, to);
    const { bytes, u32 } = into;
    const baseNumber = isLeaf ? this.#lowestOf(from, to) : 0;
    u32[0] = (IMAGE_MAGIC | (IMAGE_LAYOUT << 16) | (this.level << 24)) >>> 0;
    u32[1] = (count | (prefix << 16)) >>> 0;
    u32[2] = length;
    u32[3] = 0;
    u32[4] = storeId;
    u32[5] = flags;
    u32[6] = baseNumber >>> 0;
    u32[7] = Math.floor(baseNumber / 0x1_0000_0000);
    u32[8] = newest >>> 0;
    u32[9] = Math.floor(newest / 0x1_0000_0000);
    const heads = IMAGE_HEADER_WORDS + ((prefix + 3) >>> 2);
    if (prefix !== 0) u32[heads - 1] = 0;
    copyBytes(this.keys, this.keyStarts[from] as number, (this.keyStarts[from] as number) + prefix, bytes, 40);
    const columnsEnd = 4 * (heads + 2 * count + 1 + (isLeaf ? count : 0));
    const cellsAt = this.#writeColumns(from, to, prefix, heads, columnsEnd, into);
    const cellStart = this.cellStarts[from] as number;
    const cellsEnd = cellsAt + (this.cellStarts[to] as number) - cellStart;
    bytes.set(this.cells.subarray(cellStart, this.cellStarts[to] as number), cellsAt);
    for (let i = cellsEnd; i < length; i++) bytes[i] = 0;
    if (isLeaf) this.#writeVersions(from, to, baseNumber, heads + 2 * count + 1, u32);
    u32[3] = imageChecksum(bytes, 0, length);
    return length;
  }

  /** Heads, slots and suffixes; answers where the cells go. */
  #writeColumns(from: number, to: number, prefix: number, heads: number, suffixAt: number, into: ImageViews): number {
    const { bytes, u32 } = into;
    const keys = this.keys;
    const slots = heads + to - from;
    const suffixBytes = (this.keyStarts[to] as number) - (this.keyStarts[from] as number) - (to - from) * prefix;
    const cellsAt = suffixAt + suffixBytes;
    const cellShift = cellsAt - (this.cellStarts[from] as number);
    let at = suffixAt;
    let start = this.keyStarts[from] as number;
    for (let i = from; i < to; i++) {
      const end = this.keyStarts[i + 1] as number;
      const suffix = start + prefix;
      u32[heads + i - from] = keyHead(keys, suffix, end);
      u32[slots + i - from] = (at | (((this.cellStarts[i] as number) + cellShift) << 16)) >>> 0;
      for (let k = suffix; k < end; k++) bytes[at++] = keys[k] as number;
      start = end;
    }
    u32[slots + to - from] = (at | (((this.cellStarts[to] as number) + cellShift) << 16)) >>> 0;
    return cellsAt;
  }

  #writeVersions(from: number, to: number, baseNumber: number, word: number, u32: Uint32Array): void {
    for (let i = from; i < to; i++) u32[word + i - from] = (this.versions[i] as number) - baseNumber;
  }

  #lowestOf(from: number, to: number): number {
    let lowest = this.versions[from] as number;
    for (let i = from + 1; i < to; i++) if ((this.versions[i] as number) < lowest) lowest = this.versions[i] as number;
    return lowest;
  }

  highestOf(from: number, to: number): number {
    let highest = this.versions[from] as number;
    for (let i = from + 1; i < to; i++) if ((this.versions[i] as number) > highest) highest = this.versions[i] as number;
    return highest;
  }
}

/** CRC32C of an image: everything but the checksum itself. */
export function imageChecksum(bytes: Uint8Array, start: number, length: number): number {
  return crc32c(bytes, start + 16, start + length, crc32c(bytes, start, start + 12, 0));
}

/** Short pieces byte by byte: a call of `set` costs as much as about 40 bytes do. */
export function copyBytes(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): void {
  if (end - start > 64) to.set(from.subarray(start, end), at);
  else for (let i = start; i < end; i++) to[at++] = from[i] as number;
}

function grown(bytes: Uint8Array, needed: number): Uint8Array {
  const larger = new Uint8Array(Math.max(bytes.length * 2, needed + MAX_KEY_BYTES));
  larger.set(bytes);
  return larger;
}
