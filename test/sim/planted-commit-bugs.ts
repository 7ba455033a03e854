/** Planted mistakes in what a commit is checked against. */
import { Claims } from '../../src/commit/claims.ts';
import { Combiner } from '../../src/commit/combiner.ts';
import type { CommitRequest } from '../../src/commit/commit-request.ts';
import { StoreReads } from '../../src/commit/read-set.ts';
import { RangeRemovals } from '../../src/storage/range-removals.ts';
import { RecordSearch } from '../../src/storage/record-search.ts';
import { TreeRun } from '../../src/storage/tree-run.ts';
import { Transaction } from '../../src/transaction/transaction.ts';
import type { PlantedBug } from './planted-bug.ts';

type Bound = Uint8Array | undefined;

export const COMMIT_BUGS: readonly PlantedBug[] = [
  {
    name: 'of the ranges that a transaction read in a store only the first is validated',
    lane: 'schedules',
    plant: (undo) =>
      undo.method(StoreReads.prototype, 'addRange', (original) => {
        return function (this: StoreReads, lower: Bound, upper: Bound): void {
          if (this.ranges.length === 0) original.call(this, lower, upper);
        };
      }),
  },
  {
    name: 'a range that was read is validated without its first key',
    lane: 'model',
    plant: (undo) =>
      undo.method(StoreReads.prototype, 'addRange', (original) => {
        return function (this: StoreReads, lower: Bound, upper: Bound): void {
          original.call(this, lower === undefined ? lower : Uint8Array.of(...lower, 0), upper);
        };
      }),
  },
  {
    name: 'keys that were read are not checked against large transactions',
    lane: 'model with spills',
    plant: (undo) => undo.method(TreeRun.prototype, 'mayContain', () => () => false),
  },
  {
    name: 'ranges that were read are not checked against large transactions',
    lane: 'model with spills',
    plant: (undo) => undo.method(TreeRun.prototype, 'mayOverlap', () => () => false),
  },
  {
    name: 'a removed range does not conflict with ranges that were read',
    lane: 'model',
    plant: (undo) => undo.method(RangeRemovals.prototype, 'newestOverlapping', () => () => 0),
  },
  {
    name: 'a removed range does not conflict with keys that were read',
    lane: 'model',
    plant: (undo) =>
      undo.method(RecordSearch.prototype, 'newestVersion', () => {
        return function (this: RecordSearch, key: Uint8Array, start: number, end: number): number {
          const address = this.find(key, start, end, Number.POSITIVE_INFINITY);
          return address === 0 ? 0 : this.baseNumber + (this.arena.words[address + 2] as number);
        };
      }),
  },
  {
    name: 'counts leave out the first key of their range',
    lane: 'model',
    plant: (undo) =>
      undo.method(Transaction.prototype, 'count', (original) => {
        return function (this: Transaction, storeId: number, lower: Bound, upper: Bound): number {
          return original.call(this, storeId, lower === undefined ? lower : Uint8Array.of(...lower, 0), upper);
        };
      }),
  },
  {
    name: 'processes: ranges that were read are not validated',
    lane: 'histories',
    plant: (undo) => undo.method(StoreReads.prototype, 'addRange', () => () => {}),
  },
  {
    name: 'a claim lets changes through',
    lane: 'crash with claims',
    plant: (undo) => undo.method(Claims.prototype, 'holdMs', () => () => 0),
  },
  {
    name: 'a claim is not given back when its run has ended',
    lane: 'crash with claims',
    plant: (undo) => undo.method(Claims.prototype, 'end', () => () => {}),
  },
  {
    name: 'who claims does not see what was in flight',
    lane: 'crash with claims',
    plant: (undo) => undo.method(Combiner.prototype, 'landed', () => () => Promise.resolve()),
  },
  {
    name: 'what was read under a claim is not validated',
    lane: 'schedules',
    plant: (undo) =>
      undo.method(Combiner.prototype, 'submit', (original) => {
        return function (this: Combiner, request: CommitRequest, lone: boolean): void {
          original.call(this, request.claim === undefined ? request : { ...request, reads: undefined }, lone);
        };
      }),
  },
  {
    name: 'what a transaction took a store for is not validated',
    lane: 'mixed clients',
    plant: (undo) => undo.method(Transaction.prototype, 'expectRow', () => () => {}),
  },
  {
    name: 'ranges are not noted by who reads them',
    lane: 'mixed clients',
    plant: (undo) => undo.method(Transaction.prototype, 'noteRange', () => () => {}),
  },
];
