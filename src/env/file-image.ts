/**
 * The bytes of a simulated file as a persistent structure: a fork costs two small arrays and shares every chunk, so a
 * simulated disk can be kept as it was after each of thousands of operations.
 *
 * Two levels: groups of 64 chunks of 4 KiB. A fork of a 64 MiB file copies 256 group pointers at once and 64 chunk
 * pointers for each group written afterwards.
 *
 * Invariants:
 *  1. A chunk is never changed once it is in an image; a write puts another one in its place.
 *  2. A group is changed only by the image whose token it carries.
 *  3. A missing group or chunk is zeros; bytes behind `sizeBytes` are zeros.
 */

import { SECTOR_BYTES } from './simulated-limits.ts';

const CHUNK_BYTES = 4096;
const GROUP_CHUNKS = 64;
const SECTORS_PER_CHUNK = CHUNK_BYTES / SECTOR_BYTES;

type Chunk = Uint8Array | undefined;

interface Group {
  readonly owner: object;
  readonly chunks: Chunk[];
}

export class FileImage {
  sizeBytes: number;
  #groups: (Group | undefined)[];
  #token: object = {};

  constructor(sizeBytes = 0, groups: (Group | undefined)[] = []) {
    this.sizeBytes = sizeBytes;
    this.#groups = groups;
  }

  /** An image of its own with the same bytes. From now on both copy the group they write into. */
  fork(): FileImage {
    this.#token = {};
    return new FileImage(this.sizeBytes, this.#groups.slice());
  }

  /** Fills `into` from `position`, up to the end of the file; answers the bytes read. */
  read(into: Uint8Array, position: number): number {
    const end = Math.min(position + into.length, this.sizeBytes);
    for (let at = position; at < end; ) {
      const within = at % CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - within, end - at);
      const chunk = this.#chunk(Math.floor(at / CHUNK_BYTES));
      if (chunk === undefined) into.fill(0, at - position, at - position + length);
      else if (length === CHUNK_BYTES) into.set(chunk, at - position);
      else into.set(chunk.subarray(within, within + length), at - position);
      at += length;
    }
    return Math.max(0, end - position);
  }

  /** Takes `bytes` over: the caller never changes them again. */
  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    for (let at = position; at < end; ) {
      const within = at % CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - within, end - at);
      const part = bytes.subarray(at - position, at - position + length);
      const index = Math.floor(at / CHUNK_BYTES);
      this.#put(index, length === CHUNK_BYTES ? part : patched(this.#chunk(index), part, within));
      at += length;
    }
    if (bytes.length > 0 && end > this.sizeBytes) this.sizeBytes = end;
  }

  writeZeros(position: number, length: number): void {
    const end = position + length;
    for (let at = position; at < end; ) {
      const within = at % CHUNK_BYTES;
      const part = Math.min(CHUNK_BYTES - within, end - at);
      const index = Math.floor(at / CHUNK_BYTES);
      const chunk = this.#chunk(index);
      if (chunk !== undefined) {
        this.#put(index, part === CHUNK_BYTES ? undefined : patched(chunk, new Uint8Array(part), within));
      }
      at += part;
    }
    if (end > this.sizeBytes && length > 0) this.sizeBytes = end;
  }

  /** Bytes that are cut off read as zeros should the file grow again. */
  setSize(sizeBytes: number): void {
    if (sizeBytes < this.sizeBytes) this.clearFrom(sizeBytes);
    this.sizeBytes = sizeBytes;
  }

  /** Zeros from `position` on, wherever the file ends; the size stays. */
  clearFrom(position: number): void {
    const firstWhole = Math.ceil(position / CHUNK_BYTES);
    const within = position % CHUNK_BYTES;
    const last = within === 0 ? undefined : this.#chunk(firstWhole - 1);
    if (last !== undefined) this.#put(firstWhole - 1, patched(last, new Uint8Array(CHUNK_BYTES - within), within));
    const groups = Math.ceil(firstWhole / GROUP_CHUNKS);
    if (this.#groups.length > groups) this.#groups.length = groups;
    for (let i = firstWhole; i < groups * GROUP_CHUNKS; i++) if (this.#chunk(i) !== undefined) this.#put(i, undefined);
  }

  /** Takes the sectors `[first, end)` as they are in `other`; sizes stay. Whole chunks are shared. */
  copySectors(other: FileImage, first: number, end: number): void {
    for (let sector = first; sector < end; ) {
      const index = Math.floor(sector / SECTORS_PER_CHUNK);
      const stop = Math.min(end, (index + 1) * SECTORS_PER_CHUNK);
      const theirs = other.#chunk(index);
      if (stop - sector === SECTORS_PER_CHUNK) this.#put(index, theirs);
      else this.#patchSectors(index, theirs, sector % SECTORS_PER_CHUNK, stop - sector);
      sector = stop;
    }
  }

  #patchSectors(index: number, theirs: Chunk, first: number, count: number): void {
    const mine = this.#chunk(index);
    if (mine === theirs) return;
    const start = first * SECTOR_BYTES;
    const length = count * SECTOR_BYTES;
    const part = theirs === undefined ? new Uint8Array(length) : theirs.subarray(start, start + length);
    this.#put(index, patched(mine, part, start));
  }

  #chunk(index: number): Chunk {
    return this.#groups[Math.floor(index / GROUP_CHUNKS)]?.chunks[index % GROUP_CHUNKS];
  }

  #put(index: number, chunk: Chunk): void {
    const at = Math.floor(index / GROUP_CHUNKS);
    let group = this.#groups[at];
    if (group === undefined || group.owner !== this.#token) {
      group = { owner: this.#token, chunks: group === undefined ? [] : group.chunks.slice() };
      while (this.#groups.length < at) this.#groups.push(undefined);
      this.#groups[at] = group;
    }
    const within = index % GROUP_CHUNKS;
    while (group.chunks.length < within) group.chunks.push(undefined);
    group.chunks[within] = chunk;
  }
}

function patched(chunk: Chunk, part: Uint8Array, within: number): Uint8Array {
  const copy = new Uint8Array(CHUNK_BYTES);
  if (chunk !== undefined) copy.set(chunk);
  copy.set(part, within);
  return copy;
}
