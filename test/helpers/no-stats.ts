/** Figures of an engine that counts nothing. */
import type { EngineStats } from '../../src/transaction/stats-types.ts';

export const NO_STATS: EngineStats = {
  databaseId: 'fake',
  number: 0,
  epoch: 1,
  rootNumber: 0,
  sizeBytes: { log: 0, segments: 0, live: 0, dead: 0, pinned: 0, compactable: 0 },
  segments: 0,
  cache: { limitBytes: 0, usedBytes: 0, hits: 0, misses: 0 },
  memoryTable: { usedBytes: 0, limitBytes: 0, frozen: 0, frozenBytes: 0, pressure: 0 },
  log: {
    ...{ bytesSinceRoot: 0, appends: 0, bytesWritten: 0, lastSyncMs: 0, longestSyncMs: 0, syncMs: 0 },
    ...{ slow: 0, recoveries: 0 },
  },
  commits: 0,
  commit: { bytes: 0, largestBatch: 0, batchSizes: {} },
  conflicts: 0,
  refusals: { conflict: 0, tooOld: 0, refused: 0 },
  batches: 0,
  checkpoints: 0,
  checkpoint: {
    ...{ failed: 0, runningMs: undefined, lastMs: 0, longestMs: 0, totalMs: 0 },
    ...{ bytesWritten: 0, entriesMerged: 0, longestSliceMs: 0 },
  },
  compaction: { count: 0, segmentsRewritten: 0, bytesRewritten: 0, segmentsReclaimed: 0, bytesReclaimed: 0 },
  begun: 0,
  openTransactions: 0,
  oldestSnapshot: 0,
  oldestSnapshotMs: 0,
  spills: { count: 0, bytes: 0 },
  backups: { count: 0, running: 0, bytesCopied: 0 },
  pins: 0,
  prepared: 0,
};
