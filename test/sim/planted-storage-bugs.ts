/** Planted mistakes in tables, trees, values and space. */
import { MAX_LEAF_CELL_BYTES } from '../../src/base/limits.ts';
import { CELL_SEPARATE, CELL_TOMBSTONE } from '../../src/codec/cell.ts';
import { ImageBuilder } from '../../src/node/image-builder.ts';
import { MovingCursor } from '../../src/storage/cell-mover.ts';
import { Checkpoint } from '../../src/storage/checkpoint.ts';
import { DatabaseState } from '../../src/storage/database-state.ts';
import { MemoryTable } from '../../src/storage/memory-table.ts';
import { PointFilter } from '../../src/storage/point-filter.ts';
import { Segments } from '../../src/storage/segments.ts';
import { SnapshotReader } from '../../src/storage/snapshot-reader.ts';
import { type View, Views } from '../../src/storage/view.ts';
import { Engine } from '../../src/transaction/running-engine.ts';
import type { Tree } from '../../src/tree/tree.ts';
import type { PlantedBug, Undo } from './planted-bug.ts';

export const STORAGE_BUGS: readonly PlantedBug[] = [
  {
    name: 'an image that is split loses the entry at the cut',
    lane: 'trees',
    plant: (undo) =>
      undo.method(ImageBuilder.prototype, 'appendStaged', (original) => {
        return function (this: ImageBuilder, other: ImageBuilder, from: number, to: number): void {
          original.call(this, other, from > 0 ? from + 1 : from, to);
        };
      }),
  },
  {
    name: 'a merge begins from the tree before',
    lane: 'model',
    plant: plantOldTrees,
  },
  {
    name: 'versions that a snapshot still needs are folded away by a merge',
    lane: 'model',
    plant: plantFolding,
  },
  {
    name: 'a filter forgets every eighth key',
    lane: 'model',
    plant: (undo) =>
      undo.method(PointFilter.prototype, 'mayContain', (original) => {
        return function (this: PointFilter, hash: number): boolean {
          return (hash & 7) !== 3 && original.call(this, hash);
        };
      }),
  },
  {
    name: 'values that only an open transaction knows are compacted away',
    lane: 'model with values',
    plant: (undo) => undo.method(Engine.prototype, 'segmentsInUse', () => () => new Set<number>()),
  },
  {
    name: 'a merge leaves out what a table got last',
    lane: 'model',
    plant: (undo) =>
      undo.method(Checkpoint.prototype, 'run', (original) => {
        return async function (this: Checkpoint) {
          const step = { taken: false };
          undo.method(MemoryTable.prototype, 'stores', (stores) => {
            return function (this: MemoryTable): number[] {
              const all = stores.call(this);
              return step.taken || all.length < 2 ? all : all.slice(0, -1);
            };
          });
          return original.call(this).finally(() => {
            step.taken = true;
          });
        };
      }),
  },
  {
    name: 'who reads what a disk refused to write is told of damage',
    lane: 'mixed with faults',
    plant: (undo) =>
      undo.method(Segments.prototype, 'setPending', (original) => {
        return function (this: Segments, ...args: Parameters<Segments['setPending']>): void {
          const [, pending] = args;
          if (pending !== undefined) Object.assign(pending, { refuse: () => {} });
          original.apply(this, args);
        };
      }),
  },
  {
    name: "a checkpoint moves what is long out of rows of the engine's own stores, and out of cells that hold keys",
    lane: 'mixed',
    plant: (undo) =>
      undo.method(
        MovingCursor.prototype,
        'mustMove',
        () => (cell: Uint8Array, start: number, end: number) =>
          ((cell[start] as number) & (CELL_SEPARATE | CELL_TOMBSTONE)) === 0 && end - start > MAX_LEAF_CELL_BYTES,
      ),
  },
];

/** While a checkpoint runs, trees are those of one root earlier, where there was one. */
function plantOldTrees(undo: Undo): void {
  let merging = 0;
  const older = new Map<number, Tree>();
  const newer = new Map<number, Tree>();
  undo.method(Checkpoint.prototype, 'run', (original) => {
    return async function (this: Checkpoint) {
      merging++;
      return original.call(this).finally(() => merging--);
    };
  });
  undo.method(SnapshotReader.prototype, 'tree', (original) => {
    return function (this: SnapshotReader, ...args: Parameters<SnapshotReader['tree']>): Tree | undefined {
      const [, storeId] = args;
      const tree = original.apply(this, args);
      if (tree !== undefined && newer.get(storeId) !== tree) {
        const before = newer.get(storeId);
        if (before !== undefined) older.set(storeId, before);
        newer.set(storeId, tree);
      }
      return (merging > 0 ? older.get(storeId) : undefined) ?? tree;
    };
  });
}

/** Who reads an older view is moved to the new root, his tables staying as they are. */
function plantFolding(undo: Undo): void {
  const views = new Set<View>();
  undo.method(Views.prototype, 'acquire', (original) => {
    return function (this: Views): View {
      const view = original.call(this);
      views.add(view);
      return view;
    };
  });
  undo.method(DatabaseState.prototype, 'adopt', (original) => {
    return function (this: DatabaseState, ...args: Parameters<DatabaseState['adopt']>): void {
      original.apply(this, args);
      for (const view of views) (view as { -readonly [K in keyof View]: View[K] }).root = this.view.root;
      views.clear();
    };
  });
}
