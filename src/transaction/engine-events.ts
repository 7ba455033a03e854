/** What the engine tells those who watch it. Types alone: who listens and how is the store floor's business. */

/** A checkpoint moves recent changes from memory into the trees. */
export interface CheckpointEvent {
  readonly phase: 'begin' | 'end' | 'failed';
  /** Newest transaction that the trees hold afterwards. */
  readonly covered: number;
  /** Milliseconds it took; 0 at the beginning. */
  readonly ms: number;
  /** Bytes written to segments; 0 but at its end. */
  readonly bytesWritten: number;
  /** Changes merged into the trees; 0 but at its end. */
  readonly entriesMerged: number;
}

/** A checkpoint moved what lives in mostly dead segments, so that their files can go. */
export interface CompactionEvent {
  /** Segments that were rewritten. */
  readonly segments: number;
  /** Live bytes copied, about. */
  readonly bytesRewritten: number;
  /** Milliseconds of the checkpoint it was part of. */
  readonly ms: number;
}

/** A commit or the log's sync took longer than the option `slowMs`. */
export interface SlowEvent {
  /** 'sync': the disk was slow. 'commit': waiting included, for other commits or for room in memory. */
  readonly what: 'commit' | 'sync';
  /** From when the oldest transaction of the batch was handed in ('commit'), or was written ('sync'), to when it was durable. */
  readonly ms: number;
  /** Transactions in the batch. */
  readonly transactions: number;
  /** Bytes the batch took in the log. */
  readonly bytes: number;
  /** Newest transaction in it. */
  readonly number: number;
}

/** An append to the log failed; the database opened its log anew and goes on. */
export interface RecoveredEvent {
  readonly cause: unknown;
  /** The epoch of the log in which it happened; the next commit begins another. */
  readonly epoch: number;
  /** Newest transaction that is durable. */
  readonly number: number;
  /** Milliseconds for which nobody could commit. */
  readonly ms: number;
}

/** Files of segments that nobody reads any more were removed. */
export interface ReclaimedEvent {
  readonly segments: number;
  /** Bytes of those files. */
  readonly bytes: number;
}

export interface EngineEvents {
  readonly checkpoint: CheckpointEvent;
  readonly compaction: CompactionEvent;
  readonly slow: SlowEvent;
  readonly recovered: RecoveredEvent;
  readonly reclaimed: ReclaimedEvent;
}

/** Whoever watches an engine. It throws nothing, and calls nothing of the engine before it has returned. */
export interface EngineObserver {
  tell<Name extends keyof EngineEvents>(name: Name, event: EngineEvents[Name]): void;
}
