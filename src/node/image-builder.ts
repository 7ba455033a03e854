/**
 * Building images: sorted entries are staged as bytes (no object per entry), and any run of the staged entries can be
 * written as one image. Used for leaves and inner images alike (an inner image's cell is an encoded handle).
 *
 * Cells are staged contiguously, so that they reach the image by one copy; keys are staged whole, because how much of
 * them is shared prefix is known only when the image is cut.
 */
import { assert } from '../base/assert.ts';
import { crc32c } from '../base/checksum.ts';
import { CopySource, copyInto } from '../base/copy.ts';
import { IMAGE_TARGET_BYTES, MAX_KEY_BYTES } from '../base/limits.ts';
import { entryHash, hashEntry } from './entry-hash.ts';
import {
  copyKey,
  IMAGE_HEADER_BYTES,
  IMAGE_HEADER_WORDS,
  IMAGE_LAYOUT,
  IMAGE_MAGIC,
  type ImageViews,
  imageBaseNumber,
  imageNewest,
  imagePrefixLength,
  imageSize,
  LONGEST_IMAGE_BYTES,
  SLACK_BYTES,
  slotsWord,
  versionsWord,
} from './image-layout.ts';
import { keyHead } from './image-search.ts';

/** More entries than two images of the usual size can hold (13 bytes is the shortest leaf entry). */
const MAX_STAGED = 2048;
const LARGEST_DELTA = 0xffff_ffff;
/** Head, slot and version of an entry; header, last slot, and what the prefix and the image may be padded with. */
const MOST_COLUMN_BYTES = 12;
const MOST_FIXED_BYTES = IMAGE_HEADER_BYTES + 16;
/** An inner image of long keys may pass the usual size to hold two children: with one, trees would not get narrower. */
const LEAST_CHILDREN = 2;

const keyScratch = new Uint8Array(MAX_KEY_BYTES);
const otherScratch = new Uint8Array(MAX_KEY_BYTES);

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
  /** Owner's mark per entry (where it came from); carried along, otherwise not looked at. */
  readonly marks = new Int32Array(MAX_STAGED);
  readonly hashLow = new Uint32Array(MAX_STAGED);
  readonly hashHigh = new Uint32Array(MAX_STAGED);
  readonly #keySource = new CopySource();
  readonly #cellSource = new CopySource();
  /** Lowest and highest staged version; infinite where nothing is staged. */
  lowest = Number.POSITIVE_INFINITY;
  highest = Number.NEGATIVE_INFINITY;

  constructor(level: number) {
    this.level = level;
  }

  reset(): void {
    this.count = 0;
    this.lowest = Number.POSITIVE_INFINITY;
    this.highest = Number.NEGATIVE_INFINITY;
  }

  /** Keeps nothing alive that entries were copied from. */
  forgetSources(): void {
    this.#keySource.forget();
    this.#cellSource.forget();
  }

  get heldBytes(): number {
    return this.keys.length + this.cells.length;
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
    return this.count === 0 ? 0 : this.sizeOf(0, this.count);
  }

  /** Whether all that is staged may be one image of the usual size. */
  get isOneImage(): boolean {
    return this.size <= IMAGE_TARGET_BYTES && this.highest - this.lowest <= LARGEST_DELTA;
  }

  /** Bytes of an image of what is staged and more, `count` entries in all, whose keys share `prefix` bytes. */
  #sizeWith(count: number, prefix: number, moreKey: number, moreCell: number): number {
    const keyBytes = (this.keyStarts[this.count] as number) + moreKey;
    const cellBytes = (this.cellStarts[this.count] as number) + moreCell;
    return imageSize(this.level === 0, count, prefix, keyBytes - count * prefix, cellBytes);
  }

  /** Whether so many entries in so many bytes may be one image; the first ones always may. */
  #mayBe(count: number, size: number): boolean {
    if (count === 1) return size <= LONGEST_IMAGE_BYTES;
    if (size > IMAGE_TARGET_BYTES && (this.level === 0 || count > LEAST_CHILDREN)) return false;
    return size <= LONGEST_IMAGE_BYTES;
  }

  /**
   * Stages one entry behind those there; its key must be greater than theirs. False, with nothing changed, where the
   * image would pass its usual size: then the staged ones are one full image. Leaf entries are hashed on the way.
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
    const keyAt = this.keyStarts[index] as number;
    const cellAt = this.cellStarts[index] as number;
    const keysEnd = keyAt + keyEnd - keyStart;
    const cellsEnd = cellAt + cellEnd - cellStart;
    const lowest = version < this.lowest ? version : this.lowest;
    const highest = version > this.highest ? version : this.highest;
    // A key that shares nothing is the worst that can be: far from the end there is no need to compare keys.
    const most = MOST_COLUMN_BYTES * (index + 1) + keysEnd + cellsEnd;
    if (most > IMAGE_TARGET_BYTES - MOST_FIXED_BYTES || highest - lowest > LARGEST_DELTA) {
      const size = this.#sizeWith(
        index + 1,
        this.#sharedWith(key, keyStart, keyEnd),
        keysEnd - keyAt,
        cellsEnd - cellAt,
      );
      if (!this.#mayBe(index + 1, size) || highest - lowest > LARGEST_DELTA) {
        assert(index > 0, 'an entry fits an image');
        return false;
      }
    }
    if (keysEnd + SLACK_BYTES > this.keys.length) this.#growKeys(keysEnd);
    if (cellsEnd > this.cells.length) this.#growCells(cellsEnd);
    copyInto(this.#keySource, key, keyStart, keyEnd, this.keys, this.keysData, keyAt);
    copyInto(this.#cellSource, cell, cellStart, cellEnd, this.cells, this.cellsData, cellAt);
    this.keyStarts[index + 1] = keysEnd;
    this.cellStarts[index + 1] = cellsEnd;
    this.versions[index] = version;
    this.marks[index] = -1;
    this.lowest = lowest;
    this.highest = highest;
    this.count = index + 1;
    if (this.level === 0) {
      hashEntry(this.keysData, keyAt, keysEnd, this.cellsData, cellAt, cellsEnd);
      this.hashLow[index] = entryHash.low;
      this.hashHigh[index] = entryHash.high;
    }
    return true;
  }

  /** What a key that follows shares with the first one, and so with all staged ones. */
  #sharedWith(key: Uint8Array, keyStart: number, keyEnd: number): number {
    const keys = this.keys;
    const limit = this.count === 0 ? keyEnd - keyStart : Math.min(this.keyStarts[1] as number, keyEnd - keyStart);
    if (this.count === 0) return limit;
    let i = 0;
    while (i < limit && (key[keyStart + i] as number) === (keys[i] as number)) i++;
    return i;
  }

  /**
   * Stages the entries `[from, to)` of a leaf image, each with `mark`; answers where it stopped: `to`, or the first
   * entry that no longer fits.
   */
  appendImage(views: ImageViews, base: number, from: number, to: number, mark: number): number {
    let end = to;
    if (!this.#fitsImage(views, base, from, to)) {
      // Sizes only grow with the number of entries: halve the range of ends until fitting and not fitting are neighbours.
      let fitting = from;
      while (end - fitting > 1) {
        const middle = (fitting + end) >>> 1;
        if (this.#fitsImage(views, base, from, middle)) fitting = middle;
        else end = middle;
      }
      end = fitting;
    }
    assert(end > from || this.count > 0, 'an entry fits an image');
    if (end > from) this.#takeImage(views, base, from, end, mark);
    return end;
  }

  /** Whether all of `[from, to)` of a leaf image may be staged behind what is there. */
  #fitsImage(views: ImageViews, base: number, from: number, to: number): boolean {
    const { u32 } = views;
    const slots = slotsWord(views, base);
    const imagePrefix = imagePrefixLength(views, base);
    const first = u32[slots + from] as number;
    const end = u32[slots + to] as number;
    const keyBytes = (end & 0xffff) - (first & 0xffff) + (to - from) * imagePrefix;
    const cellBytes = (end >>> 16) - (first >>> 16);
    const count = this.count + to - from;
    if (count > MAX_STAGED) return false;
    // Sharing nothing is the worst that can be: far from the end there is no need to look at keys.
    const most = this.#sizeWith(count, 0, keyBytes, cellBytes);
    if (count > 1 && most <= IMAGE_TARGET_BYTES - 16) return this.#fitsVersions(views, base, from, to);
    // What all would share is what the first and the last of all share.
    const keyLength = copyKey(views, base, to - 1, keyScratch, 0);
    let prefix = keyLength;
    if (this.count > 0) prefix = this.#sharedWith(keyScratch, 0, keyLength);
    else if (to - from > 1) {
      const other = copyKey(views, base, from, otherScratch, 0);
      prefix = imagePrefix;
      while (prefix < other && prefix < keyLength && otherScratch[prefix] === keyScratch[prefix]) prefix++;
    }
    const size = this.#sizeWith(count, prefix, keyBytes, cellBytes);
    return this.#mayBe(count, size) && this.#fitsVersions(views, base, from, to);
  }

  /** Whether the versions of `[from, to)` lie near enough to the staged ones. */
  #fitsVersions(views: ImageViews, base: number, from: number, to: number): boolean {
    const baseNumber = imageBaseNumber(views, base);
    const newest = imageNewest(views, base);
    const lowest = baseNumber < this.lowest ? baseNumber : this.lowest;
    const highest = newest > this.highest ? newest : this.highest;
    if (highest - lowest <= LARGEST_DELTA) return true;
    // The image's own bounds are too wide for the staged ones: look at the entries meant, one by one.
    const versions = versionsWord(views, base);
    let low = this.lowest;
    let high = this.highest;
    for (let i = from; i < to; i++) {
      const version = baseNumber + (views.u32[versions + i] as number);
      if (version < low) low = version;
      if (version > high) high = version;
    }
    return high - low <= LARGEST_DELTA;
  }

  /** Stages `[from, to)` of a leaf image; that it fits is known. The cells are one piece. */
  #takeImage(views: ImageViews, base: number, from: number, to: number, mark: number): void {
    const { u32, bytes } = views;
    const slots = slotsWord(views, base);
    const versions = versionsWord(views, base);
    const baseNumber = imageBaseNumber(views, base);
    const prefix = imagePrefixLength(views, base);
    const prefixAt = base + IMAGE_HEADER_BYTES;
    const firstSlot = u32[slots + from] as number;
    const endSlot = u32[slots + to] as number;
    let index = this.count;
    let keyAt = this.keyStarts[index] as number;
    const cellAt = this.cellStarts[index] as number;
    const keysEnd = keyAt + (endSlot & 0xffff) - (firstSlot & 0xffff) + (to - from) * prefix;
    const cellsEnd = cellAt + (endSlot >>> 16) - (firstSlot >>> 16);
    if (keysEnd + SLACK_BYTES > this.keys.length) this.#growKeys(keysEnd);
    if (cellsEnd > this.cells.length) this.#growCells(cellsEnd);
    const keys = this.keysData;
    const { data } = views;
    const cellShift = cellAt - (firstSlot >>> 16);
    let lowest = this.lowest;
    let highest = this.highest;
    let suffix = base + (firstSlot & 0xffff);
    for (let i = from; i < to; i++, index++) {
      const next = u32[slots + i + 1] as number;
      // By words, up to three bytes too many: what follows is written afterwards, and buffers end in slack.
      for (let k = 0; k < prefix; k += 4) keys.setInt32(keyAt + k, data.getInt32(prefixAt + k, true), true);
      const suffixEnd = base + (next & 0xffff);
      keyAt += prefix;
      for (let k = suffix; k < suffixEnd; k += 4) keys.setInt32(keyAt + k - suffix, data.getInt32(k, true), true);
      keyAt += suffixEnd - suffix;
      suffix = suffixEnd;
      this.keyStarts[index + 1] = keyAt;
      this.cellStarts[index + 1] = (next >>> 16) + cellShift;
      const version = baseNumber + (u32[versions + i] as number);
      this.versions[index] = version;
      if (version < lowest) lowest = version;
      if (version > highest) highest = version;
      this.marks[index] = mark;
    }
    copyBytes(bytes, base + (firstSlot >>> 16), base + (endSlot >>> 16), this.cells, cellAt);
    this.count = index;
    this.lowest = lowest;
    this.highest = highest;
  }

  /** Stages the entries `[from, to)` of another builder, whatever the size becomes. */
  appendStaged(other: ImageBuilder, from: number, to: number): void {
    assert(this.count + to - from <= MAX_STAGED, 'what is staged in another builder fits this one');
    if (from === to) return;
    let index = this.count;
    const keyStart = other.keyStarts[from] as number;
    const cellStart = other.cellStarts[from] as number;
    const keyShift = (this.keyStarts[index] as number) - keyStart;
    const cellShift = (this.cellStarts[index] as number) - cellStart;
    const keysEnd = (other.keyStarts[to] as number) + keyShift;
    const cellsEnd = (other.cellStarts[to] as number) + cellShift;
    if (keysEnd + SLACK_BYTES > this.keys.length) this.#growKeys(keysEnd);
    if (cellsEnd > this.cells.length) this.#growCells(cellsEnd);
    copyBytes(other.keys, keyStart, other.keyStarts[to] as number, this.keys, keyStart + keyShift);
    copyBytes(other.cells, cellStart, other.cellStarts[to] as number, this.cells, cellStart + cellShift);
    for (let i = from; i < to; i++, index++) {
      this.keyStarts[index + 1] = (other.keyStarts[i + 1] as number) + keyShift;
      this.cellStarts[index + 1] = (other.cellStarts[i + 1] as number) + cellShift;
      const version = other.versions[i] as number;
      this.versions[index] = version;
      if (version < this.lowest) this.lowest = version;
      if (version > this.highest) this.highest = version;
      this.marks[index] = other.marks[i] as number;
      this.hashLow[index] = other.hashLow[i] as number;
      this.hashHigh[index] = other.hashHigh[i] as number;
    }
    this.count = index;
  }

  /** What two staged keys share, and so all between them. */
  #sharedOf(one: number, other: number): number {
    const keys = this.keys;
    const first = this.keyStarts[one] as number;
    const last = this.keyStarts[other] as number;
    const limit = Math.min((this.keyStarts[one + 1] as number) - first, (this.keyStarts[other + 1] as number) - last);
    let i = 0;
    while (i < limit && keys[first + i] === keys[last + i]) i++;
    return i;
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
    return this.#sharedOf(from, to - 1);
  }

  /** Bytes of one image with the staged entries `[from, to)`. */
  sizeOf(from: number, to: number): number {
    const prefix = this.prefixOf(from, to);
    const keyBytes = (this.keyStarts[to] as number) - (this.keyStarts[from] as number);
    const cellBytes = (this.cellStarts[to] as number) - (this.cellStarts[from] as number);
    return imageSize(this.level === 0, to - from, prefix, keyBytes - (to - from) * prefix, cellBytes);
  }

  /** About how much the staged entries weigh, compared with those of another builder. */
  get weight(): number {
    return this.count === 0 ? 0 : this.#weightBefore(this.count);
  }

  #weightBefore(index: number): number {
    return (this.keyStarts[index] as number) + (this.cellStarts[index] as number) + 12 * index;
  }

  /** How many of the first entries weigh about so much; neither none nor all (there must be two). */
  cutAt(weight: number): number {
    let low = 1;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#weightBefore(middle) < weight) low = middle + 1;
      else high = middle;
    }
    return low;
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
    const { data, u32 } = into;
    const { keys, keysData } = this;
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
      for (let k = suffix; k < end; k += 4) data.setInt32(at + k - suffix, keysData.getInt32(k, true), true);
      at += end - suffix;
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
    for (let i = from + 1; i < to; i++)
      if ((this.versions[i] as number) > highest) highest = this.versions[i] as number;
    return highest;
  }
}

/** CRC32C of an image: everything but the checksum itself. */
export function imageChecksum(bytes: Uint8Array, start: number, length: number): number {
  return crc32c(bytes, start + 16, start + length, crc32c(bytes, start, start + 12, 0));
}

/** Short pieces byte by byte: a call of `set` costs as much as about 40 bytes do. */
export function copyBytes(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): void {
  if (end - start > 48) to.set(from.subarray(start, end), at);
  else for (let i = start; i < end; i++) to[at++] = from[i] as number;
}

function grown(bytes: Uint8Array, needed: number): Uint8Array {
  const larger = new Uint8Array(Math.max(bytes.length * 2, needed + MAX_KEY_BYTES));
  larger.set(bytes);
  return larger;
}
