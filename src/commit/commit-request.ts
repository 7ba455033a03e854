/** What a transaction hands to the combiner. */
import type { Run } from '../storage/run.ts';
import type { ReadSet } from './read-set.ts';

/** Changes of one store in log form (log/record.ts): `bytes[start, start + byteLength)`. */
export interface CommitSection {
  readonly storeId: number;
  readonly recordCount: number;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly byteLength: number;
}

/** A spilled run and the words by which the log names it. */
export interface CommitRun {
  readonly descriptor: Uint8Array;
  /** Makes the run as of the number the transaction was given. */
  adopt(number: number): Run;
  readonly storeId: number;
}

export interface CommitRequest {
  /** TRANSACTION_* kind of the log record. */
  readonly kind: number;
  readonly idWriter: number;
  readonly idCounter: number;
  readonly snapshot: number;
  readonly reads: ReadSet | undefined;
  readonly sections: readonly CommitSection[];
  readonly runs: readonly CommitRun[];
  /** For control records. */
  readonly payload: Uint8Array | undefined;
  /** Bytes this request adds to the log and the memory table, roughly. */
  readonly byteLength: number;
  /** Called once, after the batch is durable. */
  committed(number: number): void;
  /** Called once: refused (nothing happened), or unknown (`OutcomeUnknownError`). */
  failed(error: unknown): void;
}
