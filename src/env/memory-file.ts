/**
 * The bytes of one file in memory and an open file over them.
 *
 * Bytes lie in chunks of 1 MiB that come into being when they are first written, so a sparse file costs what was
 * written and a growing one is never moved. The last growing chunk starts small and doubles, so that a thousand files
 * of a few hundred bytes do not take a gigabyte.
 *
 * Invariants:
 *  1. A missing chunk, and what lies behind a short one, reads as zeros.
 *  2. Bytes behind `sizeBytes` are zero, so growing again shows none of what was cut off.
 *  3. A lock belongs to one open `MemoryFile`; closing another one never drops it.
 */

import { alignUp } from '../base/bytes.ts';
import type { File, LockKind } from './env.ts';
import { ioError } from './io-error.ts';

const CHUNK_BYTES = 1024 * 1024;
const FIRST_CHUNK_BYTES = 4096;
const SEAL_BYTES = 4096;

/** What all files of one memory share: the bytes taken, and how many there may be. */
export class MemoryVolume {
  readonly capacityBytes: number;
  usedBytes = 0;
  filesMade = 0;

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
  }
}

interface HeldLock {
  readonly owner: MemoryFile;
  readonly position: number;
  kind: LockKind;
}

/** A file's content; lives as long as a name or an open file refers to it. */
export class MemoryContent {
  readonly id: number;
  sizeBytes = 0;
  readonly locks: HeldLock[] = [];
  openCount = 0;
  hasName = true;
  #volume: MemoryVolume;
  #chunks: (Uint8Array | undefined)[] = [];

  constructor(volume: MemoryVolume) {
    this.#volume = volume;
    this.id = ++volume.filesMade;
  }

  read(into: Uint8Array, position: number): number {
    const end = Math.min(position + into.length, this.sizeBytes);
    for (let at = position; at < end; ) {
      const within = at % CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - within, end - at);
      const chunk = this.#chunks[Math.floor(at / CHUNK_BYTES)];
      const held = chunk === undefined ? 0 : Math.max(0, Math.min(chunk.length - within, length));
      if (held > 0) into.set((chunk as Uint8Array).subarray(within, within + held), at - position);
      if (held < length) into.fill(0, at - position + held, at - position + length);
      at += length;
    }
    return Math.max(0, end - position);
  }

  write(from: Uint8Array, position: number, path: string): void {
    const end = position + from.length;
    for (let at = position; at < end; ) {
      const within = at % CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - within, end - at);
      const chunk = this.#room(Math.floor(at / CHUNK_BYTES), within + length, path);
      chunk.set(from.subarray(at - position, at - position + length), within);
      at += length;
    }
    if (from.length > 0 && end > this.sizeBytes) this.sizeBytes = end;
  }

  /** Zeros over `[position, end)` without taking memory for them. */
  clear(position: number, end: number): void {
    for (let at = position; at < end; ) {
      const within = at % CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - within, end - at);
      this.#chunks[Math.floor(at / CHUNK_BYTES)]?.fill(0, within, within + length);
      at += length;
    }
  }

  truncate(sizeBytes: number): void {
    const keep = Math.ceil(sizeBytes / CHUNK_BYTES);
    for (let i = keep; i < this.#chunks.length; i++) this.#volume.usedBytes -= this.#chunks[i]?.length ?? 0;
    if (this.#chunks.length > keep) this.#chunks.length = keep;
    if (sizeBytes < this.sizeBytes) this.clear(sizeBytes, Math.min(keep * CHUNK_BYTES, this.sizeBytes));
    this.sizeBytes = sizeBytes;
  }

  /** Gives the memory back once neither a name nor an open file is left. */
  releaseIfUnused(): void {
    if (!this.hasName && this.openCount === 0) this.truncate(0);
  }

  /** The chunk, long enough to hold `length` bytes. */
  #room(index: number, length: number, path: string): Uint8Array {
    const chunk = this.#chunks[index];
    if (chunk !== undefined && chunk.length >= length) return chunk;
    const before = chunk?.length ?? 0;
    const doubled = Math.max(alignUp(length, FIRST_CHUNK_BYTES), Math.min(before * 2, CHUNK_BYTES));
    const grown = doubled - before;
    if (this.#volume.usedBytes + grown > this.#volume.capacityBytes) throw ioError('write', path, 'ENOSPC');
    this.#volume.usedBytes += grown;
    const longer = new Uint8Array(doubled);
    if (chunk !== undefined) longer.set(chunk);
    // A later chunk may exist already: then holes in between stay undefined, not array holes.
    while (this.#chunks.length < index) this.#chunks.push(undefined);
    this.#chunks[index] = longer;
    return longer;
  }
}

/** An open file in memory. Calls take effect at once; the asynchronous forms only answer in a later microtask. */
export class MemoryFile implements File {
  readonly path: string;
  readonly direct = false;
  readonly #content: MemoryContent;
  readonly #canWrite: boolean;
  #open = true;

  constructor(path: string, content: MemoryContent, canWrite: boolean) {
    this.path = path;
    this.#content = content;
    this.#canWrite = canWrite;
    content.openCount++;
  }

  sizeBytes(): number {
    return this.#live('status').sizeBytes;
  }

  readSync(into: Uint8Array, position: number): number {
    return this.#live('read').read(into, position);
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    return this.readSync(into, position);
  }

  writeSync(from: Uint8Array, position: number): void {
    this.#writable('write').write(from, position, this.path);
  }

  async write(from: Uint8Array, position: number): Promise<void> {
    this.writeSync(from, position);
  }

  syncSync(): void {
    this.#live('sync');
  }

  async sync(): Promise<void> {
    this.syncSync();
  }

  appendSync(from: Uint8Array, length: number, position: number, sealPosition: number): boolean {
    this.writeSync(from.subarray(0, length), position);
    const seal = new Uint8Array(SEAL_BYTES);
    this.#content.read(seal, sealPosition);
    return seal.every((byte) => byte === 0);
  }

  async append(from: Uint8Array, length: number, position: number, sealPosition: number): Promise<boolean> {
    return this.appendSync(from, length, position, sealPosition);
  }

  async reserve(position: number, length: number): Promise<void> {
    const content = this.#writable('reserve');
    content.clear(position, position + length);
    if (position + length > content.sizeBytes) content.truncate(position + length);
  }

  allocateSync(position: number, length: number): void {
    const content = this.#writable('allocate');
    if (position + length > content.sizeBytes) content.truncate(position + length);
  }

  truncateSync(sizeBytes: number): void {
    this.#writable('truncate').truncate(sizeBytes);
  }

  tryLock(kind: LockKind, position: number): boolean {
    const locks = this.#live('lock').locks;
    let mine: HeldLock | undefined;
    for (const lock of locks) {
      if (lock.position !== position) continue;
      if (lock.owner === this) mine = lock;
      else if (kind === 'exclusive' || lock.kind === 'exclusive') return false;
    }
    if (mine !== undefined) mine.kind = kind;
    else locks.push({ owner: this, position, kind });
    return true;
  }

  unlock(position: number): void {
    const locks = this.#live('unlock').locks;
    const at = locks.findIndex((lock) => lock.owner === this && lock.position === position);
    if (at >= 0) locks.splice(at, 1);
  }

  isLockedByOther(position: number): boolean {
    for (const lock of this.#live('lock').locks) {
      if (lock.position === position && lock.owner !== this && lock.kind === 'exclusive') return true;
    }
    return false;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const content = this.#content;
    for (let i = content.locks.length - 1; i >= 0; i--) {
      if ((content.locks[i] as HeldLock).owner === this) content.locks.splice(i, 1);
    }
    content.openCount--;
    content.releaseIfUnused();
  }

  #live(operation: string): MemoryContent {
    if (!this.#open) throw ioError(operation, this.path, 'EBADF');
    return this.#content;
  }

  #writable(operation: string): MemoryContent {
    if (!this.#open || !this.#canWrite) throw ioError(operation, this.path, 'EBADF');
    return this.#content;
  }
}
