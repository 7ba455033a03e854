/** What a transaction asks of the engine around it. */
import type { CommitRequest } from '../commit/commit-request.ts';
import type { Env } from '../env/env.ts';
import type { Segments } from '../storage/segments.ts';
import type { SegmentWriter } from '../storage/segment-writer.ts';
import type { SnapshotReader } from '../storage/snapshot-reader.ts';
import type { WriteBufferPool } from '../storage/write-buffer.ts';
import type { EngineTransaction } from './engine-api.ts';
import type { Figures } from './figures.ts';
import type { SpillContext } from './spill.ts';

export interface TransactionHost<Ended extends EngineTransaction = EngineTransaction> {
  readonly env: Env;
  readonly reader: SnapshotReader;
  readonly segments: Segments;
  readonly buffers: WriteBufferPool;
  readonly values: SegmentWriter | undefined;
  readonly spill: SpillContext | undefined;
  readonly writer: number;
  /** Bytes a transaction may buffer before it spills. */
  readonly spillBytes: number;
  readonly figures: Figures;
  /** Bytes of keys and values that a transaction may change. */
  readonly maxTransactionBytes: number;
  nextCounter(): number;
  /** True where a segment that this database has is about to go: compaction moves, or has moved, what is current in it. */
  isLeaving(segment: number): boolean;
  /**
   * Refuses a value that would make the database grow past its limit. Counts it, and answers how many checkpoints had begun:
   * a rollback gives back what was written since the last of them.
   */
  checkValueSize(byteLength: number): number;
  /** Throws where the engine is closed or failed. */
  mustBeUsable(): void;
  submit(request: CommitRequest): void;
  /** Refuses a request that waits for its batch. */
  withdraw(request: CommitRequest, error: unknown): void;
  /** For errors that are nobody's to catch. */
  backgroundError(error: unknown): void;
  /** The transaction has ended: its view and snapshot are let go. */
  ended(transaction: Ended): void;
}
