/** The figures that `stats()` answers. Counters count from the opening on; sizes are bytes, times milliseconds. */

/** What the folder takes. */
export interface SizeStats {
  /** Bytes of the log's files, space kept ready in them included. */
  readonly log: number;
  /** Bytes of the segment files, which hold trees and separately stored values. */
  readonly segments: number;
  /** Bytes in segments that the trees still name. */
  readonly live: number;
  /** Bytes in segments that nothing needs any more, pins included; about. */
  readonly dead: number;
  /** Bytes in segments that nothing but pins keeps, about. */
  readonly pinned: number;
  /** Bytes that `compact()` would give back, about; 0 in an opening for reading. */
  readonly compactable: number;
}

/** The cache of images. */
export interface CacheStats {
  /** Bytes that images may take. */
  readonly limitBytes: number;
  /** Bytes that images take. */
  readonly usedBytes: number;
  /** Images asked for and found in memory. */
  readonly hits: number;
  /** Images that had to be read from a segment. */
  readonly misses: number;
}

/** Changes that are in memory and in the log, not yet in the trees. */
export interface MemoryTableStats {
  /** Bytes of changes in the active table. */
  readonly usedBytes: number;
  /** Bytes that the active table may take before a checkpoint starts. */
  readonly limitBytes: number;
  /** Tables that are being merged, or wait for it. */
  readonly frozen: number;
  /** Bytes of changes in those. */
  readonly frozenBytes: number;
  /** How full the active table is, from 0 to 1: at 1 commits wait for the checkpoint. */
  readonly pressure: number;
}

/** The commit log. */
export interface LogStats {
  /** Bytes that the next opening would read again, since no checkpoint has merged them; about. */
  readonly bytesSinceRoot: number;
  /** Batches appended, the engine's own included. Each is one sync. */
  readonly appends: number;
  /** Bytes of those batches. */
  readonly bytesWritten: number;
  /** Milliseconds that the last append took, its sync included. */
  readonly lastSyncMs: number;
  /** Milliseconds that the longest append took. */
  readonly longestSyncMs: number;
  /** Milliseconds of all appends together. */
  readonly syncMs: number;
  /** Commits and syncs that took longer than the option `slowMs`. */
  readonly slow: number;
  /** How often the log was opened anew after a failed append. */
  readonly recoveries: number;
}

/** What commits were made of. */
export interface CommitStats {
  /** Bytes of the changes that were committed, as they stand in the log. */
  readonly bytes: number;
  /** Transactions in the largest batch. */
  readonly largestBatch: number;
  /** Batches by how many transactions they held: `{ '1': 17, '2-3': 4, ... }`. */
  readonly batchSizes: Readonly<Record<string, number>>;
}

/** Merges of memory tables into the trees. */
export interface CheckpointStats {
  /** Checkpoints that failed, or were given up and begun anew. */
  readonly failed: number;
  /** Milliseconds for which one has been running; undefined while none is. */
  readonly runningMs: number | undefined;
  /** Milliseconds that the last one took. */
  readonly lastMs: number;
  /** Milliseconds that the longest one took. */
  readonly longestMs: number;
  /** Milliseconds of all together. */
  readonly totalMs: number;
  /** Bytes of images and values written. */
  readonly bytesWritten: number;
  /** Changes merged into the trees. */
  readonly entriesMerged: number;
  /** Milliseconds that merging held the thread at most; what the system gave to other programs meanwhile is in it. */
  readonly longestSliceMs: number;
}

/** Space won back. */
export interface CompactionStats {
  /** Checkpoints that rewrote something to gain space. */
  readonly count: number;
  /** Segments they emptied. */
  readonly segmentsRewritten: number;
  /** Live bytes they copied, about. */
  readonly bytesRewritten: number;
  /** Segment files removed, for whatever reason. */
  readonly segmentsReclaimed: number;
  /** Bytes of those files. */
  readonly bytesReclaimed: number;
}

/** Commits that were refused, by reason. */
export interface ConflictStats {
  /** Commits refused because another transaction had changed what they read (`ConflictError`). */
  readonly conflict: number;
  /** Commits refused because their snapshot was older than what is remembered (`SnapshotTooOldError`). */
  readonly tooOld: number;
  /** Commits refused for another reason: a full disk, a limit. */
  readonly refused: number;
}

/** Transactions that outgrew memory. */
export interface SpillStats {
  /** How often a transaction grew past its share of memory and wrote changes to a segment. */
  readonly count: number;
  /** Bytes of changes written that way, about. */
  readonly bytes: number;
}

/** Backups of this opening. */
export interface BackupStats {
  /** Backups that were completed. */
  readonly count: number;
  readonly running: number;
  /** Bytes copied by completed backups. */
  readonly bytesCopied: number;
}

/** Figures of the engine. */
export interface EngineStats {
  /** 32 hexadecimal digits. */
  readonly databaseId: string;
  /** The newest transaction that is durable. */
  readonly number: number;
  /** The epoch of the log that is being written; 0 before the first write. */
  readonly epoch: number;
  /** The newest transaction that the trees hold. */
  readonly rootNumber: number;
  readonly sizeBytes: SizeStats;
  /** Segment files. */
  readonly segments: number;
  readonly cache: CacheStats;
  readonly memoryTable: MemoryTableStats;
  readonly log: LogStats;
  /** Transactions committed that changed something. */
  readonly commits: number;
  readonly commit: CommitStats;
  /** Commits refused, for whatever reason; by kind in `refusals`. */
  readonly conflicts: number;
  readonly refusals: ConflictStats;
  /** Batches of transactions that were made durable together. */
  readonly batches: number;
  /** Checkpoints done. */
  readonly checkpoints: number;
  readonly checkpoint: CheckpointStats;
  readonly compaction: CompactionStats;
  /** Transactions begun, of all kinds. */
  readonly begun: number;
  readonly openTransactions: number;
  /** The newest transaction that the oldest snapshot in use sees. */
  readonly oldestSnapshot: number;
  /** Milliseconds since that snapshot stopped being the newest state, right to an eighth; 0 where it is. */
  readonly oldestSnapshotMs: number;
  readonly spills: SpillStats;
  readonly backups: BackupStats;
  /** Pins there are. */
  readonly pins: number;
  /** Transactions that wait for their decision. */
  readonly prepared: number;
}
