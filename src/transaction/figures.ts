/**
 * What one engine counts, from its opening on. Plain fields, incremented where things happen; the clock is read only where
 * there is a disk to wait for anyway.
 */
import type { BackupReport } from './engine-api.ts';
import type { EngineObserver } from './engine-events.ts';
import { SnapshotAges } from './snapshot-ages.ts';

/** Batches by how many transactions they held: 1, 2-3, 4-7 and so on; the last one is open. */
export const BATCH_SIZES = ['1', '2-3', '4-7', '8-15', '16-31', '32-63', '64-127', '128+'] as const;

const DEFAULT_SLOW_MS = 1000;

export class Figures {
  begun = 0;
  commits = 0;
  commitBytes = 0;
  conflicts = 0;
  tooOld = 0;
  refused = 0;
  spills = 0;
  spilledBytes = 0;

  batches = 0;
  largestBatch = 0;
  readonly batchSizes: number[] = BATCH_SIZES.map(() => 0);
  appends = 0;
  logBytes = 0;
  /** `logBytes` when the table was frozen that the newest root covers. */
  logBytesAtRoot = 0;
  lastSyncMs = 0;
  longestSyncMs = 0;
  syncMs = 0;
  slow = 0;
  recoveries = 0;

  checkpoints = 0;
  checkpointsBegun = 0;
  /** What was `checkpointsBegun` when that of the newest root began. */
  checkpointCounted = 0;
  checkpointsFailed = 0;
  /** Monotonic time; -1 while none runs. */
  checkpointSinceMs = -1;
  lastCheckpointMs = 0;
  longestCheckpointMs = 0;
  checkpointMs = 0;
  checkpointBytes = 0;
  entriesMerged = 0;
  compactions = 0;
  segmentsRewritten = 0;
  bytesRewritten = 0;
  segmentsReclaimed = 0;
  bytesReclaimed = 0;

  backups = 0;
  backupsRunning = 0;
  backupBytes = 0;
  readonly ages = new SnapshotAges();
  readonly observer: EngineObserver | undefined;
  readonly #slowMs: number;

  constructor(observer?: EngineObserver, slowMs = DEFAULT_SLOW_MS) {
    this.observer = observer;
    this.#slowMs = slowMs;
  }

  /** A batch of `transactions` ending with `number` is durable; its oldest one was handed in at `sinceMs`. */
  noteBatch(
    transactions: number,
    bytes: number,
    number: number,
    sinceMs: number,
    writtenMs: number,
    nowMs: number,
  ): void {
    this.batches++;
    if (transactions > this.largestBatch) this.largestBatch = transactions;
    const size = Math.min(31 - Math.clz32(transactions), BATCH_SIZES.length - 1);
    this.batchSizes[size] = (this.batchSizes[size] as number) + 1;
    const syncMs = nowMs - writtenMs;
    this.noteAppend(bytes, syncMs);
    this.ages.note(number, nowMs);
    if (nowMs - sinceMs >= this.#slowMs) this.#noteSlow(transactions, bytes, number, nowMs - sinceMs, syncMs);
  }

  /** Something was appended to the log and synced. */
  noteAppend(bytes: number, syncMs: number): void {
    this.appends++;
    this.logBytes += bytes;
    this.lastSyncMs = syncMs;
    this.syncMs += syncMs;
    if (syncMs > this.longestSyncMs) this.longestSyncMs = syncMs;
  }

  #noteSlow(transactions: number, bytes: number, number: number, commitMs: number, syncMs: number): void {
    this.slow++;
    const isSync = syncMs >= this.#slowMs;
    const ms = isSync ? syncMs : commitMs;
    this.observer?.tell('slow', { what: isSync ? 'sync' : 'commit', ms, transactions, bytes, number });
  }

  checkpointBegins(covered: number, nowMs: number): void {
    this.checkpointSinceMs = nowMs;
    this.checkpointsBegun++;
    this.observer?.tell('checkpoint', { phase: 'begin', covered, ms: 0, bytesWritten: 0, entriesMerged: 0 });
  }

  /** The new root is adopted. `logBytes`: as they were when its table was frozen. */
  checkpointEnds(
    covered: number,
    nowMs: number,
    bytesWritten: number,
    entriesMerged: number,
    logBytes: number,
  ): number {
    const ms = nowMs - this.checkpointSinceMs;
    this.checkpointSinceMs = -1;
    this.checkpoints++;
    this.checkpointCounted = this.checkpointsBegun;
    this.lastCheckpointMs = ms;
    this.checkpointMs += ms;
    if (ms > this.longestCheckpointMs) this.longestCheckpointMs = ms;
    this.checkpointBytes += bytesWritten;
    this.entriesMerged += entriesMerged;
    this.logBytesAtRoot = logBytes;
    this.observer?.tell('checkpoint', { phase: 'end', covered, ms, bytesWritten, entriesMerged });
    return ms;
  }

  /** Given up or failed; harmless where none runs. */
  checkpointFails(covered: number, nowMs: number): void {
    if (this.checkpointSinceMs < 0) return;
    const ms = nowMs - this.checkpointSinceMs;
    this.checkpointSinceMs = -1;
    this.checkpointsFailed++;
    this.observer?.tell('checkpoint', { phase: 'failed', covered, ms, bytesWritten: 0, entriesMerged: 0 });
  }

  noteCompaction(segments: number, bytesRewritten: number, ms: number): void {
    this.compactions++;
    this.segmentsRewritten += segments;
    this.bytesRewritten += bytesRewritten;
    this.observer?.tell('compaction', { segments, bytesRewritten, ms });
  }

  noteSpill(bytes: number): void {
    this.spills++;
    this.spilledBytes += bytes;
  }

  async countBackup(work: Promise<BackupReport>): Promise<BackupReport> {
    this.backupsRunning++;
    try {
      const report = await work;
      this.backups++;
      this.backupBytes += report.bytesCopied;
      return report;
    } finally {
      this.backupsRunning--;
    }
  }

  noteReclaimed(segments: number, bytes: number): void {
    this.segmentsReclaimed += segments;
    this.bytesReclaimed += bytes;
    this.observer?.tell('reclaimed', { segments, bytes });
  }

  noteRecovered(cause: unknown, epoch: number, number: number, ms: number): void {
    this.recoveries++;
    this.observer?.tell('recovered', { cause, epoch, number, ms });
  }
}
