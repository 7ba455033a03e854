/**
 * Mistakes to plant into a running engine, each in a vital place, by patching methods in the test's own process. Nothing in
 * the shipped code knows of them. Each names the lane that must notice.
 */
import { Blockers } from '../../src/commit/blockers.ts';
import { Footprint } from '../../src/commit/footprint.ts';
import { StoreReads } from '../../src/commit/read-set.ts';
import { Combiner } from '../../src/commit/combiner.ts';
import type { CommitRequest } from '../../src/commit/commit-request.ts';
import { KIND_PREPARE } from '../../src/log/batch.ts';
import type { BatchBuilder } from '../../src/log/batch-builder.ts';
import { FileCommitLog } from '../../src/log/file-commit-log.ts';
import { EpochScan } from '../../src/log/log-reader.ts';
import { SimulatedFile } from '../../src/env/simulated-file.ts';
import { SimulatedFiles } from '../../src/env/simulated-files.ts';
import { BackupTarget } from '../../src/storage/backup-target.ts';
import { Checkpoint } from '../../src/storage/checkpoint.ts';
import { DatabaseState } from '../../src/storage/database-state.ts';
import { MemoryTable } from '../../src/storage/memory-table.ts';
import { PinnedRoots } from '../../src/storage/pinned-roots.ts';
import { PreparedSet } from '../../src/storage/prepared-set.ts';
import { RangeRemovals, RemovalWindow } from '../../src/storage/range-removals.ts';
import { RecordSearch } from '../../src/storage/record-search.ts';
import { SegmentWriter } from '../../src/storage/segment-writer.ts';
import { Space } from '../../src/storage/space.ts';
import { WriterIds } from '../../src/storage/transaction-ids.ts';
import { Views } from '../../src/storage/view.ts';
import { COMMIT_BUGS } from './planted-commit-bugs.ts';
import { FEATURE_BUGS } from './planted-feature-bugs.ts';
import { LOG_BUGS } from './planted-log-bugs.ts';
import { STORAGE_BUGS } from './planted-storage-bugs.ts';
import type { PlantedBug, Undo } from './planted-bug.ts';

export { type Lane, type PlantedBug, Undo } from './planted-bug.ts';

/** A sync that answers well and does nothing, for files whose path says so. */
function lieAbout(undo: Undo, part: string): void {
  undo.method(SimulatedFile.prototype, 'syncSync', (original) => {
    return function (this: SimulatedFile): void {
      if (!this.path.includes(part)) original.call(this);
    };
  });
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: 'a commit is answered before its batch is synced',
    lane: 'crash',
    plant: (undo) =>
      undo.method(FileCommitLog.prototype, 'commit', (original) => {
        return function (this: FileCommitLog, batch: BatchBuilder): Promise<void> {
          void original.call(this, batch).catch(() => {});
          return Promise.resolve();
        };
      }),
  },
  {
    name: 'compaction and reclaim forget the pins',
    lane: 'crash',
    plant: (undo) => undo.method(PinnedRoots.prototype, 'segments', () => () => new Map()),
  },
  {
    name: 'reclaim forgets a pin made while a compaction was under way',
    lane: 'model',
    plant: (undo) =>
      undo.method(PinnedRoots.prototype, 'withhold', () => (free: readonly number[]): number[] => [...free]),
  },
  {
    name: 'a backup puts its log in place before its segments',
    lane: 'crash with backups',
    plant: (undo) => {
      const later = new WeakMap<BackupTarget, (() => Promise<void>)[]>();
      undo.method(BackupTarget.prototype, 'copy', (original) => {
        return async function (this: BackupTarget, source: Parameters<BackupTarget['copy']>[0]): Promise<void> {
          later.set(this, [...(later.get(this) ?? []), () => original.call(this, source, () => {})]);
        };
      });
      undo.method(BackupTarget.prototype, 'finish', (original) => {
        return async function (this: BackupTarget, ...given: Parameters<BackupTarget['finish']>): Promise<void> {
          await original.apply(this, given);
          for (const copy of later.get(this) ?? []) await copy();
        };
      });
    },
  },
  {
    name: 'a later backup keeps a segment that has grown since',
    lane: 'crash with backups',
    plant: (undo) =>
      undo.method(BackupTarget.prototype, 'has', (original) => {
        return function (this: BackupTarget, source: Parameters<BackupTarget['has']>[0]): boolean {
          const found = this.env.files.status(`/disk/backup/data/${source.name}`);
          return found === undefined ? original.call(this, source) : true;
        };
      }),
  },
  {
    name: 'a backup does not hold what it copies',
    lane: 'crash with backups',
    plant: (undo) =>
      undo.method(PinnedRoots.prototype, 'hold', (original) => {
        return function (this: PinnedRoots, ...given: Parameters<PinnedRoots['hold']>) {
          const held = original.apply(this, given);
          this.release(held.view);
          return held;
        };
      }),
  },
  { name: 'the log is never synced', lane: 'crash', plant: (undo) => lieAbout(undo, '/log/') },
  { name: 'segments are named without having been synced', lane: 'crash', plant: (undo) => lieAbout(undo, '/data/') },
  {
    name: 'new files are named without their folder having been synced',
    lane: 'crash',
    plant: (undo) => {
      undo.method(SimulatedFiles.prototype, 'syncFolder', () => async (): Promise<void> => {});
      undo.method(SimulatedFiles.prototype, 'syncFolderSync', () => (): void => {});
    },
  },
  {
    name: 'a segment writer answers a sync without doing it',
    lane: 'crash with values',
    plant: (undo) => undo.method(SegmentWriter.prototype, 'sync', () => (): Promise<void> => Promise.resolve()),
  },
  {
    name: 'what is merely readable at the end of the log is taken for durable',
    lane: 'failed sync',
    plant: (undo) =>
      undo.method(EpochScan.prototype, 'extend', (original) => {
        return function (this: EpochScan): void {
          original.call(this);
          this.proven = this.end;
        };
      }),
  },
  {
    name: 'a checkpoint forgets the runs of its tables',
    lane: 'model with spills',
    plant: (undo) => {
      let merging = 0;
      undo.method(Checkpoint.prototype, 'run', (original) => {
        return async function (this: Checkpoint) {
          merging++;
          return original.call(this).finally(() => merging--);
        };
      });
      undo.method(MemoryTable.prototype, 'runs', (original) => {
        return function (this: MemoryTable, storeId: number) {
          return merging > 0 ? [] : original.call(this, storeId);
        };
      });
    },
  },
  {
    name: 'segments get no rows',
    lane: 'model',
    plant: (undo) => undo.method(Space.prototype, 'takeChanges', () => () => []),
  },
  {
    name: 'a failed sync is tried again',
    lane: 'faults',
    plant: (undo) =>
      undo.method(SimulatedFile.prototype, 'syncSync', (original) => {
        return function (this: SimulatedFile): void {
          try {
            original.call(this);
          } catch {
            original.call(this);
          }
        };
      }),
  },
  {
    name: 'after a failed append everything under way is reported as not in',
    lane: 'failing disk',
    plant: (undo) =>
      undo.method(DatabaseState.prototype, 'rebuild', (original) => {
        return function (this: DatabaseState, ...args: Parameters<DatabaseState['rebuild']>): Map<number, number> {
          original.apply(this, args);
          return new Map();
        };
      }),
  },
  {
    name: 'snapshots see what is not durable yet',
    lane: 'failing disk',
    plant: (undo) => {
      let state: DatabaseState | undefined;
      undo.method(DatabaseState.prototype, 'replay', (original) => {
        return function (this: DatabaseState, ...args: Parameters<DatabaseState['replay']>): void {
          state = this;
          original.apply(this, args);
        };
      });
      undo.method(MemoryTable.prototype, 'applySection', (original) => {
        return function (this: MemoryTable, ...args: Parameters<MemoryTable['applySection']>): void {
          original.apply(this, args);
          if (state !== undefined && state.active === this) state.durable = args[4];
        };
      });
    },
  },
  {
    name: 'ranges that were read are not validated',
    lane: 'model',
    plant: (undo) => undo.method(StoreReads.prototype, 'addRange', () => () => {}),
  },
  {
    name: 'keys that were read are not validated',
    lane: 'schedules',
    plant: (undo) => undo.method(StoreReads.prototype, 'addKey', () => () => {}),
  },
  {
    name: 'a count is not validated: two guards leave at once',
    lane: 'bank',
    plant: (undo) => undo.method(StoreReads.prototype, 'addRange', () => () => {}),
  },
  {
    name: 'changes in merged tables are not checked',
    lane: 'model',
    plant: (undo) => {
      undo.getter(DatabaseState.prototype, 'checkedTables', function () {
        return this.view.tables;
      });
      undo.getter(DatabaseState.prototype, 'oldestChecked', () => 0);
    },
  },
  {
    name: 'a snapshot reads the newest version of a key',
    lane: 'model',
    plant: (undo) => {
      const newest = Number.POSITIVE_INFINITY;
      undo.method(RecordSearch.prototype, 'find', (original) => {
        return function (this: RecordSearch, key: Uint8Array, start: number, end: number): number {
          return original.call(this, key, start, end, newest);
        };
      });
      undo.method(RecordSearch.prototype, 'findHashed', (original) => {
        return function (this: RecordSearch, key: Uint8Array, start: number, end: number, hash: number): number {
          return original.call(this, key, start, end, hash, newest);
        };
      });
    },
  },
  {
    name: 'segments are reclaimed under those who read them',
    lane: 'model',
    plant: (undo) => undo.method(Views.prototype, 'oldestRoot', () => () => Number.POSITIVE_INFINITY),
  },
  {
    name: 'the memory of tables is used again under those who read them',
    lane: 'model',
    plant: (undo) => undo.method(Views.prototype, 'isTableUsed', () => () => false),
  },
  {
    name: 'a merge does not apply range removals',
    lane: 'model',
    plant: (undo) => undo.method(RangeRemovals.prototype, 'disjoint', () => () => []),
  },
  {
    name: 'cursors do not see range removals',
    lane: 'model',
    plant: (undo) => undo.method(RemovalWindow.prototype, 'versionAt', () => () => 0),
  },
  {
    name: 'of several runs of a transaction the oldest counts',
    lane: 'model with spills',
    plant: (undo) =>
      undo.method(MemoryTable.prototype, 'runs', (original) => {
        return function (this: MemoryTable, storeId: number) {
          return [...original.call(this, storeId)].reverse();
        };
      }),
  },
  {
    name: 'a prepared transaction is forgotten by a checkpoint',
    lane: 'crash',
    plant: (undo) => undo.method(PreparedSet.prototype, 'rowsFor', () => () => []),
  },
  {
    name: 'a checkpoint keeps no segments for who is prepared',
    lane: 'crash with values',
    plant: (undo) => undo.method(PreparedSet.prototype, 'segments', () => () => new Set()),
  },
  {
    name: 'prepare is answered before its record is synced',
    lane: 'crash',
    plant: (undo) => {
      undo.method(Combiner.prototype, 'submit', (original) => {
        return function (this: Combiner, request: CommitRequest): void {
          original.call(this, request, false);
        };
      });
      undo.method(FileCommitLog.prototype, 'commit', (original) => {
        return function (this: FileCommitLog, batch: BatchBuilder): Promise<void> {
          let prepares = false;
          for (const cursor = batch.cursor(); cursor.nextTransaction(); ) prepares ||= cursor.kind === KIND_PREPARE;
          const written = original.call(this, batch);
          if (!prepares) return written;
          void written.catch(() => {});
          return Promise.resolve();
        };
      });
    },
  },
  {
    name: 'what a prepared transaction read is not kept from others',
    lane: 'crash',
    plant: (undo) => undo.method(Footprint, 'ofReads', () => () => new Footprint()),
  },
  {
    name: 'nobody waits for a prepared transaction',
    lane: 'crash',
    plant: (undo) => undo.method(Blockers.prototype, 'find', () => () => undefined),
  },
  {
    name: 'committed ids are forgotten',
    lane: 'crash',
    plant: (undo) => undo.method(WriterIds.prototype, 'outcome', () => () => 'unknown'),
  },
  ...COMMIT_BUGS,
  ...FEATURE_BUGS,
  ...LOG_BUGS,
  ...STORAGE_BUGS,
];
