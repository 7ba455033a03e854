/** Planted mistakes in the log: its order, its owners, what of it is believed. */
import { FileCommitLog } from '../../src/log/file-commit-log.ts';
import { EpochScan } from '../../src/log/log-reader.ts';
import { NextEpoch } from '../../src/log/next-epoch.ts';
import { SimulatedFile } from '../../src/env/simulated-file.ts';
import { DatabaseState } from '../../src/storage/database-state.ts';
import type { PlantedBug } from './planted-bug.ts';

export const LOG_BUGS: readonly PlantedBug[] = [
  {
    name: 'the seal is not looked at: a writer that was overtaken goes on',
    lane: 'zombie',
    plant: (undo) => undo.method(SimulatedFile.prototype, 'sealIsZero', () => () => true),
  },
  {
    name: 'who takes over does not seal the epoch before',
    lane: 'zombie',
    plant: (undo) =>
      undo.method(SimulatedFile.prototype, 'writeSync', (original) => {
        return function (this: SimulatedFile, from: Uint8Array, position: number): void {
          // The seal is the only page written by itself right behind the header's.
          const isSeal = this.path.includes('/log/') && position === 4096 && from.length === 4096;
          if (!isSeal) original.call(this, from, position);
        };
      }),
  },
  {
    name: 'who goes on in a next epoch does not look whether its name is one of the past',
    lane: 'zombie',
    plant: (undo) => undo.method(NextEpoch.prototype, 'isNextAfter', () => () => true),
  },
  {
    name: 'a writer that was overtaken takes the right back',
    lane: 'overtaken',
    plant: (undo) => undo.method(FileCommitLog.prototype, 'isSealed', () => () => false),
  },
  {
    name: "a new epoch's header is not synced",
    lane: 'crash',
    plant: (undo) =>
      undo.method(SimulatedFile.prototype, 'appendSync', (original) => {
        return function (this: SimulatedFile, ...args: Parameters<SimulatedFile['appendSync']>): boolean {
          const [from, length, position, seal] = args;
          if (position !== 0) return original.call(this, from, length, position, seal);
          this.writeSync(from.subarray(0, length), position);
          return true;
        };
      }),
  },
  {
    name: 'a log file too many is removed behind a root',
    lane: 'crash',
    plant: (undo) =>
      undo.method(FileCommitLog.prototype, 'oldestEpochNeeded', (original) => {
        return function (this: FileCommitLog, covered: number): number {
          return original.call(this, covered) + 1;
        };
      }),
  },
  {
    name: 'an older root is taken for the newest',
    lane: 'crash',
    plant: (undo) =>
      undo.method(EpochScan.prototype, 'newestRoot', () => {
        return function (this: EpochScan): Uint8Array | undefined {
          return this.header.root;
        };
      }),
  },
  {
    name: 'a replay passes over its first transaction',
    lane: 'crash',
    plant: (undo) =>
      undo.method(DatabaseState.prototype, 'replay', (original) => {
        return function (this: DatabaseState, ...args: Parameters<DatabaseState['replay']>): void {
          args[0].next();
          original.apply(this, args);
        };
      }),
  },
];
