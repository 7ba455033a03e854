/**
 * The epoch file that a log is writing: where the next batch goes, what it follows, and the space ahead of it.
 *
 * Space: appends are cheapest into blocks that were written with zeros before, so zeros are kept ahead, in the background
 * (`reserve`) for asynchronous commits and step by step on the calling thread for synchronous ones. A batch is issued only
 * into space that is there (`ensure`), so that a full disk is met before the first byte of a batch is written, while
 * "not in" is still the truth. A last part of it is held back for the engine's own records: adopting a root and removing
 * files is how space comes back.
 *
 * Invariants:
 *  1. No batch is written where zeros are still being written: commits wait behind the gate. The zeros are not synced, batches
 *     do that: of two syncs of a file beside each other only one may hear of a page that was lost, and it must be the batch's.
 *  2. `end` counts every batch given to the file; `transactionEnd` leaves out notes behind the last transaction, which nobody
 *     syncs: that is the end which a successor may name.
 */
import { alignUp } from '../base/bytes.ts';
import { DiskFullError } from '../base/errors.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import type { Env, File } from '../env/env.ts';
import type { BatchBuilder } from './batch-builder.ts';
import type { EpochHeader, LogEnd } from './epoch-file.ts';
import { mustHaveSpace, writeZeros, writeZerosLater } from './takeover.ts';

/** All in units of the log's `reserveBytes` (1 MiB): what is held back, and how far zeros are kept ahead at most. */
const HELD_BACK = 1 / 4;
const MOST_AHEAD = 4;
/** Longer batches go into space that is only allocated: writing zeros first would double their cost. */
const LARGEST_ZEROED_BYTES = 1024 * 1024;

export class EpochWriter {
  readonly file: File;
  readonly header: EpochHeader;
  end: LogEnd;
  transactionEnd: LogEnd;
  /** Commits that wait for the gate, in order. */
  readonly waiting: BatchBuilder[] = [];
  /** Reasons to hold commits back: a header not yet synced, zeros being written where the next batch belongs. */
  gates = 0;
  readonly #env: Env;
  readonly #stepBytes: number;
  readonly #heldBackBytes: number;
  /** There is room up to here, and nobody else writes below. */
  #readyEnd: number;
  /** Zeros are being written from `#readyEnd` to here. */
  #fillEnd = 0;
  #filling: Promise<void> | undefined;
  /** The last one of these that commits were held back for. */
  #gatedFill: Promise<void> | undefined;

  constructor(env: Env, file: File, header: EpochHeader, end: LogEnd, reservedEnd: number, stepBytes: number) {
    this.#env = env;
    this.#stepBytes = stepBytes;
    this.#heldBackBytes = alignUp(stepBytes * HELD_BACK, LOG_ALIGNMENT);
    this.file = file;
    this.header = header;
    this.end = end;
    this.transactionEnd = end;
    this.#readyEnd = reservedEnd;
  }

  get epoch(): number {
    return this.header.epoch;
  }

  get isFilling(): boolean {
    return this.#filling !== undefined;
  }

  /** True where `length` bytes at the end would run into zeros that are being written. */
  runsIntoFill(length: number): boolean {
    return this.#filling !== undefined && this.end.offset + length > this.#readyEnd;
  }

  /** True where `length` bytes fit into what is there. */
  hasRoom(length: number): boolean {
    return this.end.offset + length <= this.#readyEnd;
  }

  /** Resolves when no zeros are being written. */
  async filled(): Promise<void> {
    while (this.#filling !== undefined) await this.#filling;
  }

  /**
   * Holds commits back until the zeros under way are there, whatever else they wait for: one gate for each time. The gate is
   * to be opened when this resolves; undefined where it is closed already.
   */
  closeForFill(): Promise<void> | undefined {
    if (this.#filling === this.#gatedFill) return undefined;
    this.#gatedFill = this.#filling;
    this.gates++;
    return this.#filling;
  }

  /** Sees that there is room for `length` bytes more. `share`: see `CommitLog.reserve`. DiskFullError: nothing has changed. */
  ensure(length: number, share: number, zeroed: boolean): void {
    const needed = this.end.offset + length;
    const ready = this.#filling === undefined ? this.#readyEnd : this.#fillEnd;
    if (needed + this.#heldBackBytes <= ready) return;
    try {
      this.#extend(needed + this.#heldBackBytes, ready, zeroed && length <= LARGEST_ZEROED_BYTES);
    } catch (error) {
      const kept = this.#heldBackBytes * (1 - share);
      if (!(error instanceof DiskFullError && share > 0 && needed + kept <= ready)) throw error;
    }
  }

  #extend(needed: number, ready: number, zeroed: boolean): void {
    const to = ready + alignUp(needed - ready, this.#stepBytes);
    this.#allocate(ready, to);
    if (this.#filling !== undefined) {
      this.#fillEnd = to;
      return;
    }
    if (zeroed) writeZeros(this.#env, this.file, ready, to);
    this.#readyEnd = to;
  }

  /** Counts a batch of `length` bytes as given to the file. */
  advance(length: number, lastNumber: number, crc: number, hasTransactions: boolean): void {
    this.end = { offset: this.end.offset + length, number: lastNumber, crc };
    if (hasTransactions) this.transactionEnd = this.end;
  }

  /** Starts writing zeros ahead where little is left, in proportion to what the file holds already. */
  fillAhead(onError: (error: unknown) => void): void {
    if (this.#filling !== undefined) return;
    const position = this.end.offset;
    const ahead = Math.min(MOST_AHEAD * this.#stepBytes, Math.max(this.#stepBytes, position));
    if (this.#readyEnd - position >= ahead / 2) return;
    const from = this.#readyEnd;
    const to = alignUp(position + ahead, this.#stepBytes);
    if (to <= from) return;
    try {
      this.#allocate(from, to);
    } catch {
      return; // The next batch that needs the room meets the error itself.
    }
    this.#fillEnd = to;
    this.#filling = this.#fill(from, to, onError);
  }

  #allocate(from: number, to: number): void {
    mustHaveSpace(this.#env, this.file.path, to - from);
    this.file.allocateSync(from, to - from);
  }

  async #fill(from: number, to: number, onError: (error: unknown) => void): Promise<void> {
    try {
      await writeZerosLater(this.#env, this.file, from, to);
      this.#readyEnd = this.#fillEnd;
    } catch (error) {
      onError(error);
    } finally {
      this.#filling = undefined;
    }
  }
}
