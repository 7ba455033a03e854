/**
 * One open file over the native module.
 *
 * Invariants:
 *  1. A closed file has handle -1, which the native module refuses, so no call reaches a file opened later.
 *  2. What an append writes from stays referenced here until its answer came, since the log thread reads it.
 *  3. After a failed append the native side fails those behind it, until the failure was delivered here.
 *
 * Hot calls hand over numbers and one buffer and look at one number; everything about errors is off that path.
 */

import type { NativeAddon } from './addon.ts';
import type { File, LockKind } from './env.ts';
import { ioError } from './io-error.ts';

/** The steps of a job of several, as `native/status.h` numbers them. */
const STAGES = ['', 'write', 'sync', 'read', 'allocate'] as const;
/** Answers taken over from the log threads in one call; more come in further calls. */
const DELIVERY_PAIRS = 256;
const CLOSED = -1;

/** The error for a native result below zero. */
export function nativeFailure(addon: NativeAddon, operation: string, path: string, result: number, cause?: unknown) {
  const code = -result;
  const stage = STAGES[code >> 16] ?? '';
  return ioError(stage === '' ? operation : `${operation} (${stage})`, path, addon.errorName(code & 0xffff), cause);
}

interface PendingAppend {
  readonly file: NodeFile;
  /** Keeps the bytes alive. */
  readonly from: Uint8Array;
  readonly resolve: (sealIsZero: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** Hands the answers of the log threads to those who wait. One for each loaded addon. */
export class AppendAnswers {
  readonly #addon: NativeAddon;
  readonly #pairs = new Int32Array(2 * DELIVERY_PAIRS);
  readonly #pending: (PendingAppend | undefined)[] = [];
  readonly #free: number[] = [];
  #started = false;

  constructor(addon: NativeAddon) {
    this.#addon = addon;
  }

  append(file: NodeFile, from: Uint8Array, length: number, position: number, sealPosition: number): Promise<boolean> {
    if (!this.#started) this.#start();
    return new Promise((resolve, reject) => {
      const id = this.#free.pop() ?? this.#pending.length;
      const given = this.#addon.append(file.handle, id, from, length, position, sealPosition);
      if (given < 0) {
        this.#free.push(id);
        if (id === this.#pending.length) this.#pending.push(undefined);
        reject(file.failure('append', given));
      } else {
        this.#pending[id] = { file, from, resolve, reject };
      }
    });
  }

  #start(): void {
    const result = this.#addon.startAppends((count) => this.#deliver(count), this.#pairs);
    if (result < 0) throw nativeFailure(this.#addon, 'append', '', result);
    this.#started = true;
  }

  #deliver(count: number): void {
    for (let i = 0; i < count; i++) {
      const id = this.#pairs[2 * i] as number;
      const result = this.#pairs[2 * i + 1] as number;
      const pending = this.#pending[id];
      if (pending === undefined) continue;
      this.#pending[id] = undefined;
      this.#free.push(id);
      if (result >= 0) {
        pending.resolve(result === 1);
      } else {
        this.#addon.appendFailureSeen(pending.file.handle);
        pending.reject(pending.file.failure('append', result));
      }
    }
  }
}

export class NodeFile implements File {
  readonly path: string;
  /** Plain for speed: every call passes it. */
  handle: number;
  readonly addon: NativeAddon;
  readonly answers: AppendAnswers;

  constructor(addon: NativeAddon, answers: AppendAnswers, path: string, handle: number) {
    this.addon = addon;
    this.answers = answers;
    this.path = path;
    this.handle = handle;
  }

  get direct(): boolean {
    return this.addon.isDirect(this.handle) === 1;
  }

  sizeBytes(): number {
    return this.#checked('size', this.addon.size(this.handle));
  }

  readSync(into: Uint8Array, position: number): number {
    const count = this.addon.readSync(this.handle, into, position);
    if (count < 0) throw this.failure('read', count);
    return count;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    return this.#checked('read', await this.addon.readPooled(this.handle, into, position));
  }

  writeSync(from: Uint8Array, position: number): void {
    const result = this.addon.writeSync(this.handle, from, position);
    if (result < 0) throw this.failure('write', result);
  }

  async write(from: Uint8Array, position: number): Promise<void> {
    this.#checked('write', await this.addon.writePooled(this.handle, from, position));
  }

  syncSync(): void {
    this.#checked('sync', this.addon.syncSync(this.handle));
  }

  async sync(): Promise<void> {
    this.#checked('sync', await this.addon.syncPooled(this.handle));
  }

  appendSync(from: Uint8Array, length: number, position: number, sealPosition: number): boolean {
    const result = this.addon.appendSync(this.handle, from, length, position, sealPosition);
    if (result < 0) throw this.failure('append', result);
    return result === 1;
  }

  append(from: Uint8Array, length: number, position: number, sealPosition: number): Promise<boolean> {
    return this.answers.append(this, from, length, position, sealPosition);
  }

  async reserve(position: number, length: number): Promise<void> {
    this.#checked('reserve', await this.addon.reservePooled(this.handle, position, length));
  }

  allocateSync(position: number, length: number): void {
    this.#checked('allocate', this.addon.allocateSync(this.handle, position, length));
  }

  truncateSync(sizeBytes: number): void {
    this.#checked('truncate', this.addon.truncateSync(this.handle, sizeBytes));
  }

  tryLock(kind: LockKind, position: number): boolean {
    return this.#checked('lock', this.addon.tryLock(this.handle, kind === 'exclusive' ? 1 : 0, position)) === 1;
  }

  unlock(position: number): void {
    this.#checked('unlock', this.addon.unlock(this.handle, position));
  }

  isLockedByOther(position: number): boolean {
    return this.#checked('lock', this.addon.isLockedByOther(this.handle, position)) === 1;
  }

  close(): void {
    const handle = this.handle;
    this.handle = CLOSED;
    if (handle !== CLOSED) this.addon.close(handle);
  }

  failure(operation: string, result: number): Error {
    const cause = this.handle === CLOSED ? new Error('the file is closed') : undefined;
    return nativeFailure(this.addon, operation, this.path, result, cause);
  }

  #checked(operation: string, result: number): number {
    if (result < 0) throw this.failure(operation, result);
    return result;
  }
}
