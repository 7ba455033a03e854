/** What a transaction hands to the combiner. */
import { readU32 } from '../base/bytes.ts';
import { FIRST_USER_STORE_ID } from '../base/limits.ts';
import { OP_NOOP, OP_RANGE_REMOVE, OP_REMOVE, recordKeyLength, recordOp, recordWords } from '../log/record.ts';
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

/** Says which claim (claims.ts) is the request's own. */
export interface ClaimMark {
  readonly endsAtMs: number;
}

export interface CommitRequest {
  /** TRANSACTION_* kind of the log record. */
  readonly kind: number;
  readonly idWriter: number;
  readonly idCounter: number;
  readonly snapshot: number;
  readonly reads: ReadSet | undefined;
  /** What others hold back for while this transaction runs. */
  readonly claim: ClaimMark | undefined;
  readonly sections: readonly CommitSection[];
  readonly runs: readonly CommitRun[];
  /** For control records. */
  readonly payload: Uint8Array | undefined;
  /** Bytes this request adds to the log and the memory table, roughly. */
  readonly byteLength: number;
  /** For the combiner: it was given to a batch, or has been refused. Neither happens twice. */
  isTaken: boolean;
  /** Called once, after the batch is durable. */
  committed(number: number): void;
  /** Called once: refused (nothing happened), or unknown (`OutcomeUnknownError`). */
  failed(error: unknown): void;
}

/** Whether it takes entries away and adds none; the engine's own rows, as a dropped store leaves one, do not count. */
export function onlyRemoves({ sections, runs }: CommitRequest): boolean {
  return runs.length === 0 && sections.every((section) => section.storeId < FIRST_USER_STORE_ID || hasNoPut(section));
}

function hasNoPut({ bytes, start, byteLength }: CommitSection): boolean {
  const end = start + byteLength;
  for (let at = start; at < end; ) {
    const word0 = readU32(bytes, at);
    const op = recordOp(word0);
    if (op !== OP_REMOVE && op !== OP_RANGE_REMOVE && op !== OP_NOOP) return false;
    at += recordWords(recordKeyLength(word0), readU32(bytes, at + 4)) * 4;
  }
  return true;
}
