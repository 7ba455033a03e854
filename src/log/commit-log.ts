/**
 * The commit log as the floors above know it: numbered transactions in batches, durable in order. `FileCommitLog` keeps it
 * in epoch files; other media implement the same interface and pass the same suite.
 */
import { DatabaseFailedError, type SopError, type SopErrorOptions } from '../base/errors.ts';
import type { BatchBuilder } from './batch-builder.ts';

/**
 * Somebody else took the append right. What was under way may be in the log or not: the next epoch that counts decides,
 * so open the log anew and look.
 */
export class LogSealedError extends DatabaseFailedError {
  constructor(message: string, options?: SopErrorOptions) {
    super(message, { ...options, details: { ...options?.details, reason: 'sealed' } });
  }
}

/** A write or a sync of the log failed. It is never tried again: open the log anew, which takes over from this writer. */
export class LogFailedError extends DatabaseFailedError {
  constructor(message: string, options?: SopErrorOptions) {
    super(message, { ...options, details: { ...options?.details, reason: 'io' } });
  }
}

export interface CommitLog {
  /** This log's owner: a random number per opening. */
  readonly writer: number;
  /** The epoch being written; 0 before the first write. */
  readonly epoch: number;
  /** The number that the next batch's first transaction will get. */
  readonly nextNumber: number;
  /** Everything up to here is durable: synced, and the seal was zero after that. */
  readonly durableNumber: number;
  /** Set once writing has ended for good; every pending and later commit is refused with it. */
  readonly failed: SopError | undefined;
  /** True while nothing is under way: `commitSync` is allowed. */
  readonly idle: boolean;

  /** One at a time: commit or release it before the next is opened. */
  openBatch(): BatchBuilder;
  /**
   * Sees that there is room for the open `batch` as it is now, whether its last transaction is ended or not: what was asked
   * for here is not refused by the commit. `share` says how much may be used of the space that is held back for the engine's
   * own records: nothing (0) by users, all (1) by these records. DiskFullError: nothing has changed.
   */
  reserve(batch: BatchBuilder, share: number, isSync: boolean): void;
  /** Whether `commitSync` can write the batch where the log stands. Else it goes on in the next epoch: `commit` can wait. */
  takesNow(batch: BatchBuilder): boolean;
  /** Returns when the batch is durable. Only while `idle`. DiskFullError: nothing of it was written, the log goes on. */
  commitSync(batch: BatchBuilder): void;
  /**
   * Resolves when the batch is durable; batches become durable in the order of the calls. Several may be under way.
   * DiskFullError: nothing of it was written, the log goes on and its numbers are given out again.
   */
  commit(batch: BatchBuilder): Promise<void>;
  /** Whether somebody else has sealed the epoch being written: a look at the disk, also where the log has failed. */
  isSealed(): boolean;

  /** Gets the next epoch's file ready in the background, so that `switchEpoch` costs one sync. */
  prepareNextEpoch(): Promise<void>;
  /** Goes on in a new epoch, whose header will carry `root` (the newest adopted one); commits may go on meanwhile. */
  switchEpoch(root: Uint8Array | undefined): Promise<void>;
  /** Removes the files of older epochs, oldest first. The newest root must cover what they hold. */
  removeEpochsBefore(epoch: number): void;
  /** The oldest epoch that holds a number above `covered`, 0 where nothing was written yet. */
  oldestEpochNeeded(covered: number): number;
  /** States once more what is durable, so that the next opening finds a proven tail. Not synced, and need not be. */
  noteIdle(): void;
  close(): Promise<void>;
}
