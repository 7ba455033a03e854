/** `stats()`: the engine's figures and its state, as one plain object. */
import type { Env } from '../env/env.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { toHex } from '../storage/database-folder.ts';
import type { DatabaseState } from '../storage/database-state.ts';
import type { PinnedRoots } from '../storage/pinned-roots.ts';
import { compactableBytes } from '../storage/space.ts';
import { BATCH_SIZES, type Figures } from './figures.ts';
import type { CheckpointStats, EngineStats, SizeStats } from './stats-types.ts';

export interface StatsSource {
  readonly env: Env;
  readonly databaseId: Uint8Array;
  readonly folder: string;
  readonly dataFolder: string;
  readonly readOnly: boolean;
  readonly epoch: number;
  readonly state: DatabaseState;
  readonly cache: ImageCache;
  readonly pinnedRoots: PinnedRoots;
  readonly figures: Figures;
  readonly longestSliceMs: number;
  readonly openTransactions: number;
  /** The oldest snapshot of an open transaction, or the newest number. */
  readonly oldestSnapshot: number;
  readonly segmentsInUse: () => Set<number>;
  /** Sees that `state.space` knows every segment. */
  loadSpace(): void;
}

export function engineStats(source: StatsSource): EngineStats {
  const { state, figures, oldestSnapshot } = source;
  const { hits, misses, usedBytes, limitBytes } = source.cache.stats;
  const nowMs = source.env.clock.monotonicMs();
  const [sizeBytes, pins] = sizesOf(source);
  return {
    databaseId: toHex(source.databaseId),
    number: state.durable,
    epoch: source.epoch,
    rootNumber: state.view.root.record.covered,
    sizeBytes,
    segments: state.space.segments.size,
    cache: { limitBytes, usedBytes, hits, misses },
    memoryTable: {
      usedBytes: state.active.usedBytes,
      limitBytes: state.active.capacityBytes,
      frozen: state.frozen.length,
      frozenBytes: state.frozen.reduce((sum, table) => sum + table.usedBytes, 0),
      pressure: Math.min(1, state.active.usedBytes / state.active.capacityBytes),
    },
    log: {
      bytesSinceRoot: figures.logBytes - figures.logBytesAtRoot,
      appends: figures.appends,
      bytesWritten: figures.logBytes,
      lastSyncMs: figures.lastSyncMs,
      longestSyncMs: figures.longestSyncMs,
      syncMs: figures.syncMs,
      slow: figures.slow,
      recoveries: figures.recoveries,
    },
    commits: figures.commits,
    commit: {
      bytes: figures.commitBytes,
      largestBatch: figures.largestBatch,
      batchSizes: Object.fromEntries(BATCH_SIZES.map((size, i) => [size, figures.batchSizes[i] as number])),
    },
    conflicts: figures.conflicts + figures.tooOld + figures.refused,
    refusals: { conflict: figures.conflicts, tooOld: figures.tooOld, refused: figures.refused },
    batches: figures.batches,
    checkpoints: figures.checkpoints,
    checkpoint: checkpointStats(source, nowMs),
    compaction: {
      count: figures.compactions,
      segmentsRewritten: figures.segmentsRewritten,
      bytesRewritten: figures.bytesRewritten,
      segmentsReclaimed: figures.segmentsReclaimed,
      bytesReclaimed: figures.bytesReclaimed,
    },
    begun: figures.begun,
    openTransactions: source.openTransactions,
    oldestSnapshot,
    oldestSnapshotMs: oldestSnapshot >= state.durable ? 0 : figures.ages.ageMs(oldestSnapshot, nowMs),
    spills: { count: figures.spills, bytes: figures.spilledBytes },
    backups: { count: figures.backups, running: figures.backupsRunning, bytesCopied: figures.backupBytes },
    pins,
    prepared: state.prepared.undecided.length,
  };
}

function checkpointStats({ figures, longestSliceMs }: StatsSource, nowMs: number): CheckpointStats {
  return {
    failed: figures.checkpointsFailed,
    runningMs: figures.checkpointSinceMs < 0 ? undefined : nowMs - figures.checkpointSinceMs,
    lastMs: figures.lastCheckpointMs,
    longestMs: figures.longestCheckpointMs,
    totalMs: figures.checkpointMs,
    bytesWritten: figures.checkpointBytes,
    entriesMerged: figures.entriesMerged,
    longestSliceMs,
  };
}

/** Sizes, and how many pins there are. */
function sizesOf(source: StatsSource): [SizeStats, number] {
  const { env, state, pinnedRoots } = source;
  let pins = 0;
  let pinned = 0;
  let compactable = 0;
  try {
    source.loadSpace();
    pins = pinnedRoots.list().length;
    if (pins > 0) pinned = pinnedRoots.keptBytes(state.space);
    if (!source.readOnly) compactable = compactableIn(source);
  } catch {
    // A disk that can not be read is told to those who read; what is known of it can be told all the same.
  }
  const { space } = state;
  const bytesIn = (folder: string): number =>
    env.files.list(folder).reduce((sum, name) => sum + (env.files.status(`${folder}/${name}`)?.sizeBytes ?? 0), 0);
  const sizes = {
    log: bytesIn(`${source.folder}/log`),
    segments: bytesIn(source.dataFolder),
    live: space.liveBytes,
    dead: space.deadBytes,
    pinned,
    compactable,
  };
  return [sizes, pins];
}

function compactableIn({ state, pinnedRoots, segmentsInUse }: StatsSource): number {
  const pinned = pinnedRoots.segments();
  return pinned === undefined ? 0 : compactableBytes(state.space, segmentsInUse(), pinned);
}
