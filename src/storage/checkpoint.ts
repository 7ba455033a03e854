/**
 * Making a new root: frozen tables and their runs, and what compaction moves, merged into the trees of the current root.
 *
 *  1. Everything is written to new places; the old root stays readable until nobody reads it.
 *  2. The new root is answered only after all that it names is synced, files and folder.
 *  3. Every segment the new root names has a row in its segment store (space.ts, invariant 2).
 *  4. Given up half way, it leaves nothing but files that nobody names, and ends of files: its writers give them back.
 */
import { alignUp, compareKeys } from '../base/bytes.ts';
import type { EntryCursor } from '../node/entry-cursor.ts';
import { AT } from '../node/entry-cursor.ts';
import { encodeHandle, type Handle } from '../node/handle.ts';
import type { ImageCache } from '../node/image-cache.ts';
import type { ImageAddress, ImageSink } from '../node/image-io.ts';
import type { RewriteTarget } from '../tree/rewrite-targets.ts';
import { type KeyRange, type MergeReport, TreeMerge } from '../tree/tree-merge.ts';
import { MovingCursor } from './cell-mover.ts';
import { DeadSubtrees } from './dead-subtrees.ts';
import { type CursorLayer, LayeredCursor } from './layered-cursor.ts';
import type { MemoryTable } from './memory-table.ts';
import type { Pacer, Work } from './pacer.ts';
import { ListCursor, type Relocations } from './relocation.ts';
import type { PreparedSet } from './prepared-set.ts';
import { RecordCursor } from './record-cursor.ts';
import { fewLayers } from './run-layers.ts';
import type { RootRecord } from './root.ts';
import { SEGMENT_IMAGES, SEGMENT_VALUES, type SegmentKind, type SegmentWriter } from './segment-writer.ts';
import type { Segments } from './segments.ts';
import type { SnapshotReader } from './snapshot-reader.ts';
import type { Space } from './space.ts';
import {
  DROPPED_STORE,
  FOREST_ROW_BYTES,
  FOREST_STORE,
  idKey,
  idOfKey,
  PREPARED_STORE,
  SEGMENT_STORE,
  TRANSACTION_STORE,
} from './system-stores.ts';
import { type TransactionIds, writerKey } from './transaction-ids.ts';
import type { TreeRun } from './tree-run.ts';
import { valueBytes, readValueReference } from './value-log.ts';
import type { Root } from './view.ts';

export interface CheckpointContext {
  readonly cache: ImageCache;
  readonly segments: Segments;
  readonly reader: SnapshotReader;
  readonly images: SegmentWriter;
  /** Where values go that are moved: nobody else writes there. */
  readonly moved: SegmentWriter;
  /** Where transactions write theirs: it has files that need rows. */
  readonly values: SegmentWriter;
  readonly space: Space;
  readonly ids: TransactionIds;
  readonly prepared: PreparedSet;
  readonly pacer: Pacer;
  /** Throws where the checkpoint has to be given up. */
  readonly mustStop: () => void;
}

export interface CheckpointInput {
  readonly root: Root;
  /** Newest first; their changes are all above the root and none above `covered`. */
  readonly frozen: readonly MemoryTable[];
  readonly covered: number;
  readonly nextStoreId: number;
  readonly relocations: Relocations;
}

export interface CheckpointResult {
  readonly record: RootRecord;
  /** Roots of the stores that changed. */
  readonly roots: ReadonlyMap<number, Handle | undefined>;
  /** Segments that the new root does not name any more. */
  readonly dead: readonly number[];
  /** Bytes of images, and of values moved. */
  readonly bytesWritten: number;
  readonly entriesMerged: number;
}

/** Counts what is written as live. */
class CountingSink implements ImageSink {
  bytes = 0;
  readonly #images: SegmentWriter;
  readonly #space: Space;

  constructor(images: SegmentWriter, space: Space) {
    this.#images = images;
    this.#space = space;
  }

  append(bytes: Uint8Array, start: number, length: number): ImageAddress {
    const address = this.#images.append(bytes, start, length);
    this.#space.addLive(address.segment, alignUp(length, 8), SEGMENT_IMAGES);
    this.bytes += length;
    return address;
  }
}

export class Checkpoint {
  readonly #context: CheckpointContext;
  readonly #input: CheckpointInput;
  readonly #sink: CountingSink;
  readonly #report: MergeReport;
  readonly #roots = new Map<number, Handle | undefined>();
  readonly #subtrees: DeadSubtrees;
  #recordsTotal: number;
  #recordsBefore = 0;
  /** Of values that the merged changes name. */
  #valueBytes = 0;

  constructor(context: CheckpointContext, input: CheckpointInput) {
    this.#context = context;
    this.#input = input;
    this.#sink = new CountingSink(context.images, context.space);
    this.#recordsTotal = input.frozen.reduce((sum, table) => sum + table.records, 1);
    this.#subtrees = new DeadSubtrees(context);
    const { space, segments } = context;
    this.#report = {
      deadImage: (segment, _offset, length) => space.addDead(segment, alignUp(length, 8)),
      deadCell: (bytes, start, end) => {
        const reference = readValueReference(segments, bytes, start, end);
        space.addDead(reference.segment, valueBytes(reference));
      },
      droppedSubtree: (handle) => this.#subtrees.add(handle),
    };
  }

  async run(): Promise<CheckpointResult> {
    const context = this.#context;
    const input = this.#input;
    const dropped = this.#dropStores();
    for (const storeId of this.#changedStores()) {
      if (!dropped.has(storeId)) await this.#mergeStore(storeId);
    }
    for (const victim of input.relocations.victims) context.space.remove(victim);
    await this.#subtrees.walk();
    await this.#mergeIds();
    await this.#mergePrepared();
    const forest = await this.#mergeForest();
    await context.values.sync();
    await context.moved.sync();
    await context.images.sync();
    const { covered, root, nextStoreId } = input;
    return {
      record: {
        covered,
        builtOn: root.record.covered,
        nextStoreId,
        forest,
        hasPrepared: context.prepared.hasRowsAt(covered),
      },
      roots: this.#roots,
      dead: [...input.relocations.victims, ...this.#runSegments()],
      bytesWritten: this.#sink.bytes + this.#valueBytes,
      entriesMerged: this.#recordsBefore,
    };
  }

  /** Stores that a transaction dropped since the last root lose their tree; nothing of theirs is merged. */
  #dropStores(): Set<number> {
    const dropped = new Set<number>();
    for (const table of this.#input.frozen) {
      const cursor = table.store(DROPPED_STORE)?.cursor(Number.POSITIVE_INFINITY);
      if (cursor === undefined) continue;
      for (let step = cursor.first(); step === AT; step = cursor.next()) {
        if (cursor.removed || cursor.keyEnd - cursor.keyStart !== 4) continue;
        const storeId = idOfKey(cursor.keyBytes, cursor.keyStart);
        const tree = this.#context.reader.tree(this.#input.root, storeId);
        if (tree !== undefined) this.#subtrees.add(tree.root);
        this.#roots.set(storeId, undefined);
        dropped.add(storeId);
      }
    }
    return dropped;
  }

  #changedStores(): number[] {
    const ids = new Set<number>();
    for (const table of this.#input.frozen) for (const id of table.stores()) ids.add(id);
    for (const id of this.#input.relocations.images.keys()) ids.add(id);
    for (const id of this.#input.relocations.cells.keys()) ids.add(id);
    for (const id of [FOREST_STORE, SEGMENT_STORE, TRANSACTION_STORE, DROPPED_STORE]) ids.delete(id);
    return [...ids].sort((a, b) => a - b);
  }

  async #mergeStore(storeId: number): Promise<void> {
    const { frozen, relocations } = this.#input;
    const layers: CursorLayer[] = [];
    const runs: CursorLayer[] = [];
    const snapshot = Number.POSITIVE_INFINITY;
    let removals: KeyRange[] = [];
    for (const table of frozen) {
      const index = table.store(storeId);
      if (index !== undefined && !index.isEmpty) {
        layers.push({ cursor: index.cursor(snapshot), removals: index.removals, snapshot });
        removals = unite(removals, index.removals?.disjoint() ?? []);
      }
      for (const run of table.runs(storeId)) runs.push({ cursor: run.cursor(), snapshot });
    }
    layers.push(...fewLayers(runs));
    const cells = relocations.cells.get(storeId);
    if (cells !== undefined) layers.push({ cursor: new ListCursor(cells), snapshot });
    await this.#merge(storeId, toOneCursor(layers), removals);
  }

  /** Merges changes into a store's tree of the current root, or of this checkpoint where it has one already. */
  async #merge(storeId: number, changes: EntryCursor | undefined, removals: readonly KeyRange[] = []): Promise<void> {
    const { cache, segments, moved, space, pacer, mustStop } = this.#context;
    const { relocations } = this.#input;
    const moving =
      changes &&
      new MovingCursor(changes, storeId, moved, segments, {
        leaving: relocations.victims,
        onReference: (reference) => {
          const end = alignUp(reference.offset + reference.length, 8);
          space.addLive(reference.segment, valueBytes(reference), SEGMENT_VALUES, end);
          this.#valueBytes += valueBytes(reference);
        },
      });
    const merge = new TreeMerge({
      cache,
      sink: this.#sink,
      storeId,
      root: this.#rootOf(storeId),
      changes: moving,
      removals,
      rewrite: this.#roots.has(storeId) ? [] : this.#targets(storeId),
      mustMove: (handle) => relocations.victims.has(handle.segment),
      report: this.#report,
    });
    const before = this.#recordsBefore;
    const root = await pacer.run(
      this.#watched(merge.run(), () => {
        pacer.progress = (before + merge.changesDone) / this.#recordsTotal;
      }),
      mustStop,
    );
    this.#recordsBefore = before + merge.changesDone;
    this.#roots.set(storeId, root);
  }

  *#watched<T>(work: Work<T>, look: () => void): Work<T> {
    for (;;) {
      const { done, value } = work.next();
      look();
      if (done === true) return value;
      yield value;
    }
  }

  #targets(storeId: number): readonly RewriteTarget[] {
    return this.#input.relocations.images.get(storeId) ?? [];
  }

  #rootOf(storeId: number): Handle | undefined {
    if (this.#roots.has(storeId)) return this.#roots.get(storeId);
    if (storeId === FOREST_STORE) return this.#input.root.record.forest;
    return this.#context.reader.tree(this.#input.root, storeId)?.root;
  }

  async #mergeIds(): Promise<void> {
    const rows = this.#context.ids.takeChanged();
    const version = this.#input.covered;
    const cells = rows.map(({ writer, row }) => ({ key: writerKey(writer), cell: row, version }));
    if (cells.length > 0 || this.#targets(TRANSACTION_STORE).length > 0) {
      await this.#merge(TRANSACTION_STORE, new ListCursor(cells));
    }
    if (this.#targets(DROPPED_STORE).length > 0) await this.#merge(DROPPED_STORE, undefined);
  }

  /** After what compaction moves of the same store. */
  async #mergePrepared(): Promise<void> {
    const { covered } = this.#input;
    const rows = this.#context.prepared.rowsFor(covered);
    if (rows.length === 0) return;
    const cells = rows.map(({ key, cell }) => ({ key, cell, version: covered }));
    await this.#merge(PREPARED_STORE, new ListCursor(cells));
  }

  /**
   * Rows of the segments, then the forest. Both write images themselves, maybe to a segment that has no row yet: then once
   * more, which settles as soon as no new file is begun.
   */
  async #mergeForest(): Promise<Handle | undefined> {
    const { images, moved, values, space } = this.#context;
    const version = this.#input.covered;
    const files = (): number => images.written.length + moved.written.length + values.written.length;
    let before: number;
    do {
      before = files();
      this.#noteSizes(images, SEGMENT_IMAGES);
      this.#noteSizes(moved, SEGMENT_VALUES);
      this.#noteSizes(values, SEGMENT_VALUES);
      const rows = space.takeChanges().map(({ key, cell }) => ({ key, cell, version }));
      await this.#merge(SEGMENT_STORE, new ListCursor(rows));
      await this.#merge(FOREST_STORE, new ListCursor(this.#forestRows()));
    } while (files() !== before);
    const forest = this.#roots.get(FOREST_STORE);
    this.#roots.delete(FOREST_STORE);
    return forest;
  }

  #noteSizes(writer: SegmentWriter, kind: SegmentKind): void {
    const { segments, space } = this.#context;
    for (const index of writer.written) {
      const isVictim = this.#input.relocations.victims.has(index);
      if (!isVictim && !segments.isRemoved(index)) space.noteSize(index, kind, segments.endOf(index));
    }
  }

  #forestRows(): { key: Uint8Array; cell: Uint8Array | undefined; version: number }[] {
    const rows = [...this.#roots].filter(([storeId]) => storeId !== FOREST_STORE).sort(([a], [b]) => a - b);
    return rows.map(([storeId, handle]) => {
      const cell = handle && new Uint8Array(FOREST_ROW_BYTES);
      if (handle !== undefined && cell !== undefined) encodeHandle(handle, this.#context.segments, cell, 1);
      return { key: idKey(storeId), cell, version: this.#input.covered };
    });
  }

  #runSegments(): number[] {
    return this.#input.frozen.flatMap((table) => table.allRuns().map((run) => (run as TreeRun).tree.root.segment));
  }
}

/** The union of two sorted lists of disjoint ranges. */
export function unite(a: readonly KeyRange[], b: readonly KeyRange[]): KeyRange[] {
  if (a.length === 0) return [...b];
  if (b.length === 0) return [...a];
  const all = [...a, ...b].sort((x, y) => compareKeys(x.lower, y.lower));
  const united: KeyRange[] = [];
  let current = all[0] as KeyRange;
  for (const range of all.slice(1)) {
    if (current.upper !== undefined && compareKeys(range.lower, current.upper) > 0) {
      united.push(current);
      current = range;
    } else if (
      current.upper !== undefined &&
      (range.upper === undefined || compareKeys(range.upper, current.upper) > 0)
    ) {
      current = { lower: current.lower, upper: range.upper };
    }
  }
  united.push(current);
  return united;
}

/** The usual case is one table: its own cursor is all it takes. */
function toOneCursor(layers: readonly CursorLayer[]): EntryCursor | undefined {
  const [first] = layers;
  if (layers.length === 1 && first?.cursor instanceof RecordCursor) return first.cursor;
  return first === undefined ? undefined : new LayeredCursor(layers, { showRemoved: true });
}
