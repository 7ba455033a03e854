/** Planted mistakes in counters, savepoints, cursors, hot rows, indexes and stores of equal keys. */
import { addAmounts } from '../../src/codec/counter.ts';
import { FORWARD } from '../../src/node/entry-block.ts';
import { AT } from '../../src/node/entry-cursor.ts';
import { SnapshotReader } from '../../src/storage/snapshot-reader.ts';
import type { View } from '../../src/storage/view.ts';
import { WriteBuffer } from '../../src/storage/write-buffer.ts';
import { CursorCore } from '../../src/store/cursor-core.ts';
import { StoreIndexes } from '../../src/store/store-indexes.ts';
import { TransactionCore } from '../../src/store/transaction-core.ts';
import { Savepoints } from '../../src/transaction/savepoints.ts';
import { StoreSpill } from '../../src/transaction/spill.ts';
import { Transaction } from '../../src/transaction/transaction.ts';
import { PendingChange } from '../../src/tree/pending-change.ts';
import type { PlantedBug } from './planted-bug.ts';

export const FEATURE_BUGS: readonly PlantedBug[] = [
  {
    name: 'a merge adds an increment twice',
    lane: 'mixed',
    plant: (undo) =>
      undo.method(PendingChange.prototype, 'overCell', (original) => {
        return function (this: PendingChange, ...args: Parameters<PendingChange['overCell']>): void {
          const increment = this.cellBytes.slice(this.cellStart, this.cellEnd);
          original.apply(this, args);
          addAmounts(this.cellBytes, this.cellStart + 1, increment, 0, increment.length);
        };
      }),
  },
  {
    name: 'an increment of a key that no tree has is lost in a merge',
    lane: 'mixed',
    plant: (undo) => undo.method(PendingChange.prototype, 'overNothing', () => () => {}),
  },
  {
    name: 'rollbackTo keeps what was put',
    lane: 'mixed',
    plant: (undo) => undo.method(WriteBuffer.prototype, 'truncate', () => () => {}),
  },
  {
    name: 'rollbackTo keeps what was added to counters',
    lane: 'mixed',
    plant: (undo) =>
      undo.method(WriteBuffer.prototype, 'mark', (original) => {
        return function (this: WriteBuffer) {
          return { ...original.call(this), undo: Number.POSITIVE_INFINITY };
        };
      }),
  },
  {
    name: 'rollbackTo keeps the runs that were spilled since',
    lane: 'mixed',
    plant: (undo) => undo.method(StoreSpill.prototype, 'rollbackTo', () => () => {}),
  },
  {
    name: 'a savepoint does not keep the buffer that is spilled behind it',
    lane: 'crash',
    plant: (undo) => undo.method(Savepoints.prototype, 'holdBuffer', () => () => false),
  },
  {
    name: 'rollbackTo drops the runs that were spilled before',
    lane: 'crash',
    plant: (undo) =>
      undo.method(StoreSpill.prototype, 'rollbackTo', (original) => {
        return function (this: StoreSpill): void {
          original.call(this, []);
        };
      }),
  },
  {
    name: 'rollbackTo takes back the changes of all stores but one',
    lane: 'crash',
    plant: (undo) =>
      undo.method(Savepoints.prototype, 'rollbackTo', (original) => {
        return function (
          this: Savepoints,
          ...[place, changes]: Parameters<Savepoints['rollbackTo']>
        ): ReturnType<Savepoints['rollbackTo']> {
          return original.call(this, place, changes.slice(1));
        };
      }),
  },
  {
    name: 'behind a savepoint a spill that the disk refuses loses the changes',
    lane: 'faults',
    plant: (undo) =>
      undo.method(StoreSpill.prototype, 'spill', (original) => {
        return function (this: StoreSpill, ...[buffer, rest, mayMerge]: Parameters<StoreSpill['spill']>): void {
          try {
            original.call(this, buffer, rest, mayMerge);
          } catch (error) {
            if (rest !== buffer) buffer.reset();
            throw error;
          }
        };
      }),
  },
  {
    name: 'a hot row is answered although a table hides it',
    lane: 'mixed',
    plant: (undo) =>
      undo.method(SnapshotReader.prototype, 'treeToken', (original) => {
        return function (this: SnapshotReader, ...[view, ...rest]: Parameters<SnapshotReader['treeToken']>): number {
          return original.call(this, Object.create(view, { tables: { value: [] } }) as View, ...rest);
        };
      }),
  },
  {
    name: 'a cursor passes over an entry behind what it has removed',
    lane: 'mixed',
    plant: (undo) =>
      undo.method(CursorCore.prototype, 'remove', (original) => {
        return function (this: CursorCore, waits: boolean) {
          const step = original.call(this, waits);
          if (step === AT) this.step(FORWARD, true);
          return step;
        };
      }),
  },
  {
    name: 'what a cursor passed over is not validated',
    lane: 'mixed',
    plant: (undo) => undo.method(CursorCore.prototype, 'close', () => () => {}),
  },
  {
    name: 'an update leaves the index entry of the old value',
    lane: 'mixed',
    plant: (undo) =>
      undo.method(StoreIndexes.prototype, 'prepare', (original) => {
        return function (this: StoreIndexes, ...[key, , ...rest]: Parameters<StoreIndexes['prepare']>): void {
          original.call(this, key, undefined, ...rest);
        };
      }),
  },
  {
    name: 'a removal of a range leaves the indexes alone',
    lane: 'mixed',
    plant: (undo) => undo.method(StoreIndexes.prototype, 'clearRange', () => () => {}),
  },
  {
    name: 'two items of one transaction get the same id',
    lane: 'mixed',
    plant: (undo) => undo.method(TransactionCore.prototype, 'nextItemSequence', () => () => 0),
  },
  {
    name: 'a commit does not put its number into the ids of its items',
    lane: 'mixed',
    plant: (undo) => undo.method(Transaction.prototype, 'numberItems', () => () => {}),
  },
];
