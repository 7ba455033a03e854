/**
 * Reading a view as of a snapshot: memory tables from the newest down, their runs, then the tree of the root.
 *
 * Of all layers that know a key the highest version up to the snapshot counts; an entry is hidden by a range removal of a
 * higher version. One reader serves a whole database: its result fields are good until its next use, and after NOT_LOADED
 * `load` must be called before anything else.
 */
import { compareKeys } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { createdCell, incrementedCell } from '../codec/counter.ts';
import { OP_INCREMENT, OP_PUT, RECORD_WORDS } from '../log/record.ts';
import { AT, type EntryCursor, MISS } from '../node/entry-cursor.ts';
import { decodeHandle } from '../node/handle.ts';
import { throwCorrupt } from '../node/image-validate.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { Tree } from '../tree/tree.ts';
import { TreeCursor } from '../tree/tree-cursor.ts';
import { ABSENT, FOUND, type FindResult, NOT_LOADED } from './find-result.ts';
import { FOUND as TREE_FOUND, MISS as TREE_MISS, TreeLookup } from '../tree/tree-lookup.ts';
import { existenceDelta } from './existence.ts';
import { BASE_NOTHING, baseVersion, incrementBase } from './increments.ts';
import { type CursorLayer, LayeredCursor } from './layered-cursor.ts';
import type { MemoryTable } from './memory-table.ts';
import { OverTreeCursor } from './over-tree-cursor.ts';
import type { RecordIndex } from './record-index.ts';
import { fewLayers } from './run-layers.ts';
import type { FoundEntry, Run } from './run.ts';
import { FOREST_ROW_BYTES, idKey } from './system-stores.ts';
import type { RunContext } from './tree-run.ts';
import type { Root, View } from './view.ts';

const NO_BYTES = new Uint8Array(0);

export class SnapshotReader {
  readonly cache: ImageCache;
  readonly lookup: TreeLookup;
  /** For the forest, whose images stay in memory as good as always: waits for the disk where they do not. */
  readonly #forestLookup: TreeLookup;

  cellBytes: Uint8Array = NO_BYTES;
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  #address = 0;
  readonly #runFound: FoundEntry = { cellBytes: NO_BYTES, cellStart: 0, cellEnd: 0, version: 0, removed: false };

  constructor(cache: ImageCache) {
    this.cache = cache;
    this.lookup = new TreeLookup(cache);
    this.#forestLookup = new TreeLookup(cache);
    this.#forestLookup.waits = true;
  }

  get runContext(): RunContext {
    return { cache: this.cache, names: this.cache.names, lookup: this.lookup };
  }

  /** The tree of a store in a root; undefined where the store is empty there. */
  tree(root: Root, storeId: number): Tree | undefined {
    const known = root.trees.get(storeId);
    if (known !== undefined || root.trees.has(storeId)) return known;
    const tree = root.forest === undefined ? undefined : this.#lookUpTree(root.forest, storeId);
    root.trees.set(storeId, tree);
    return tree;
  }

  #lookUpTree(forest: Tree, storeId: number): Tree | undefined {
    const lookup = this.#forestLookup;
    const key = idKey(storeId);
    if (lookup.find(forest, key, 0, key.length) !== TREE_FOUND) return undefined;
    if (lookup.cellEnd - lookup.cellStart !== FOREST_ROW_BYTES) {
      throw new CorruptionError('a row of the forest is malformed', { details: { storeId } });
    }
    return new Tree(decodeHandle(lookup.cellBytes, lookup.cellStart + 1, this.cache.names), storeId);
  }

  /** Looks the key up in the view; tables before `fromTable` are passed over. */
  find(
    view: View,
    snapshot: number,
    storeId: number,
    key: Uint8Array,
    start: number,
    end: number,
    waits: boolean,
    fromTable = 0,
  ): FindResult {
    this.lookup.waits = waits;
    const tables = view.tables;
    for (let i = fromTable; i < tables.length; i++) {
      const answer = this.#findInTable(tables[i] as MemoryTable, snapshot, storeId, key, start, end);
      if (answer === INCREMENT)
        return this.#findTotal(view, snapshot, storeId, key, start, end, waits, i, this.#address);
      if (answer !== NOT_HERE) return answer;
    }
    const tree = this.tree(view.root, storeId);
    if (tree === undefined) return ABSENT;
    const lookup = this.lookup;
    const answer = lookup.find(tree, key, start, end);
    if (answer === TREE_MISS) return NOT_LOADED;
    if (answer !== TREE_FOUND) return ABSENT;
    this.cellBytes = lookup.cellBytes;
    this.cellStart = lookup.cellStart;
    this.cellEnd = lookup.cellEnd;
    this.version = -1;
    return FOUND;
  }

  /**
   * Names the tree whose entry is the answer for every key with this hash: the address of its root image, which stands for
   * all its content. -1 where a table or a run may have a say, or where there is no tree.
   */
  treeToken(view: View, snapshot: number, storeId: number, hash: number): number {
    const tables = view.tables;
    for (let i = 0; i < tables.length; i++) {
      const table = tables[i] as MemoryTable;
      if (snapshot <= table.baseNumber) continue;
      const index = table.store(storeId);
      if (index !== undefined && index.mayTell(hash)) return -1;
      if (table.runs(storeId).length > 0) return -1;
    }
    const tree = this.tree(view.root, storeId);
    return tree === undefined ? -1 : tree.root.segment * 0x1_0000_0000 + tree.root.offset;
  }

  /** Version of what the last `find` found; for a tree's entry it is looked at only now. */
  get foundVersion(): number {
    return this.version < 0 ? this.lookup.version : this.version;
  }

  load(): Promise<void> {
    return this.lookup.load();
  }

  #findInTable(
    table: MemoryTable,
    snapshot: number,
    storeId: number,
    key: Uint8Array,
    start: number,
    end: number,
  ): FindResult | typeof NOT_HERE | typeof INCREMENT {
    if (snapshot <= table.baseNumber) return NOT_HERE;
    const index = table.store(storeId);
    const runs = table.runs(storeId);
    if (index === undefined && runs.length === 0) return NOT_HERE;
    let address = 0;
    let version = 0;
    let removal = 0;
    if (index !== undefined) {
      address = index.find(key, start, end, snapshot - table.baseNumber);
      if (address !== 0) version = table.baseNumber + (index.arena.words[address + 2] as number);
      if (index.removals !== undefined) removal = index.removals.newestCovering(key, start, end, snapshot);
    }
    for (const run of runs) {
      if (run.number > snapshot || !run.mayContain(key, start, end)) continue;
      if (run.number <= version) break;
      const step = run.find(key, start, end, this.#runFound);
      if (step === MISS) return NOT_LOADED;
      if (step === AT) return removal > run.number ? ABSENT : this.#takeRunEntry();
    }
    if (address === 0) return removal === 0 ? NOT_HERE : ABSENT;
    if (removal > version || index === undefined) return ABSENT;
    return this.#takeRecord(index, address, version);
  }

  #takeRunEntry(): FindResult {
    const found = this.#runFound;
    if (found.removed) return ABSENT;
    this.cellBytes = found.cellBytes;
    this.cellStart = found.cellStart;
    this.cellEnd = found.cellEnd;
    this.version = found.version;
    return FOUND;
  }

  #takeRecord(index: RecordIndex, address: number, version: number): FindResult | typeof INCREMENT {
    const words = index.arena.words;
    const word0 = words[address] as number;
    if ((word0 & 0xff) !== OP_PUT) {
      this.#address = address;
      return (word0 & 0xff) === OP_INCREMENT ? INCREMENT : ABSENT;
    }
    this.cellBytes = index.arena.bytes;
    this.cellStart = (address + RECORD_WORDS + (((word0 >>> 16) + 3) >>> 2)) * 4;
    this.cellEnd = this.cellStart + (words[address + 1] as number);
    this.version = version;
    return FOUND;
  }

  /** The increment at `address` of a table, added to what it meets there and below. */
  #findTotal(
    view: View,
    snapshot: number,
    storeId: number,
    key: Uint8Array,
    start: number,
    end: number,
    waits: boolean,
    atTable: number,
    address: number,
  ): FindResult {
    const index = (view.tables[atTable] as MemoryTable).store(storeId) as RecordIndex;
    const answer = this.#findBase(view, snapshot, storeId, key, start, end, waits, atTable, address);
    if (answer === NOT_LOADED) return NOT_LOADED;
    const { arena } = index;
    const from = arena.cellStart(address);
    const { cellBytes, cellStart, cellEnd } = this;
    const cell =
      answer === FOUND
        ? incrementedCell(cellBytes, cellStart, cellEnd, arena.bytes, from, from + arena.cellLength(address))
        : createdCell(arena.bytes, from, from + arena.cellLength(address));
    if (cell === undefined) return ABSENT;
    this.cellBytes = cell;
    this.cellStart = 0;
    this.cellEnd = cell.length;
    this.version = index.baseNumber + (arena.words[address + 2] as number);
    return FOUND;
  }

  /** What the increment at `address` is added to: see increments.ts. */
  #findBase(
    view: View,
    snapshot: number,
    storeId: number,
    key: Uint8Array,
    start: number,
    end: number,
    waits: boolean,
    atTable: number,
    address: number,
  ): FindResult {
    const table = view.tables[atTable] as MemoryTable;
    const index = table.store(storeId) as RecordIndex;
    const { words } = index.arena;
    const base = incrementBase(words, address);
    const version = index.baseNumber + (words[address + 2] as number);
    const runs = index.overRuns ? table.runs(storeId) : NO_RUNS;
    const above = runs.length === 0 ? 0 : baseVersion(index, base, key, start, end, version);
    for (const run of runs) {
      if (run.number >= version || !run.mayContain(key, start, end)) continue;
      if (run.number <= above) break;
      const step = run.find(key, start, end, this.#runFound);
      if (step === MISS) return NOT_LOADED;
      if (step === AT) return this.#takeRunEntry();
    }
    if (base === 0) return this.find(view, snapshot, storeId, key, start, end, waits, atTable + 1);
    if (base === BASE_NOTHING) return ABSENT;
    const answer = this.#takeRecord(index, base, index.baseNumber + (words[base + 2] as number));
    if (answer !== INCREMENT) return answer;
    return this.#findTotal(view, snapshot, storeId, key, start, end, waits, atTable, base);
  }

  /** Layers of a store for a merged cursor, newest first. */
  layers(view: View, snapshot: number, storeId: number): CursorLayer[] {
    const layers: CursorLayer[] = [];
    const runs: CursorLayer[] = [];
    for (const table of view.tables) {
      if (snapshot <= table.baseNumber) continue;
      const index = table.store(storeId);
      if (index !== undefined && !index.isEmpty) {
        layers.push({ cursor: index.cursor(snapshot), removals: index.removals, snapshot });
      }
      for (const run of table.runs(storeId)) {
        if (run.number <= snapshot) runs.push({ cursor: run.cursor(), snapshot, newest: run.number });
      }
    }
    layers.push(...fewLayers(runs));
    const tree = this.tree(view.root, storeId);
    if (tree !== undefined) {
      layers.push({ cursor: new TreeCursor(this.cache, tree), snapshot, newest: view.root.record.covered });
    }
    return layers;
  }

  /** A cursor over all layers of a store; over the tree itself where it alone speaks for the store. */
  cursor(view: View, snapshot: number, storeId: number): EntryCursor {
    const layers = this.layers(view, snapshot, storeId);
    const tree = this.tree(view.root, storeId);
    if (tree === undefined || this.hasRuns(view, storeId)) return new LayeredCursor(layers);
    // Where there is a tree it is the last layer.
    const { cursor } = layers.pop() as CursorLayer;
    if (layers.length === 0) return cursor;
    if (layers.some((layer) => layer.removals !== undefined))
      return new LayeredCursor(this.layers(view, snapshot, storeId));
    const [table] = layers as [CursorLayer];
    const records = layers.length === 1 ? table.cursor : new LayeredCursor(layers, { showRemoved: true });
    return new OverTreeCursor(records, cursor as TreeCursor);
  }

  /** True where only the tree speaks for the store: its sums then answer counts and ranks. */
  isTreeOnly(view: View, snapshot: number, storeId: number): boolean {
    return view.tables.every((table) => {
      if (snapshot <= table.baseNumber) return true;
      const index = table.store(storeId);
      return (index === undefined || index.isEmpty) && table.runs(storeId).length === 0;
    });
  }

  hasRuns(view: View, storeId: number): boolean {
    return view.tables.some((table) => table.runs(storeId).length > 0);
  }

  /**
   * Entries in [lower, upper) as of the snapshot, from table `fromTable` down; -1 is NOT_LOADED. Not for stores with runs.
   * See existence.ts for the sum.
   */
  count(
    view: View,
    snapshot: number,
    storeId: number,
    lower: Uint8Array | undefined,
    upper: Uint8Array | undefined,
    waits: boolean,
    fromTable = 0,
  ): number {
    const table = view.tables[fromTable];
    if (table === undefined) return this.#countTree(view.root, storeId, lower, upper, waits);
    const below = this.count(view, snapshot, storeId, lower, upper, waits, fromTable + 1);
    const index = table.store(storeId);
    if (below < 0 || index === undefined || snapshot <= table.baseNumber) return below;
    return this.countOver(index, view, snapshot, storeId, lower, upper, waits, fromTable + 1, below);
  }

  /** `below` (the count from table `fromTable` down) with the changes of one index over it; -1 is NOT_LOADED. */
  countOver(
    index: RecordIndex,
    view: View,
    snapshot: number,
    storeId: number,
    lower: Uint8Array | undefined,
    upper: Uint8Array | undefined,
    waits: boolean,
    fromTable: number,
    below: number,
    indexSnapshot = snapshot,
  ): number {
    let sum = below;
    for (const removed of index.removals?.disjoint(indexSnapshot) ?? []) {
      const from = later(lower, removed.lower);
      const to = earlier(upper, removed.upper);
      if (from !== undefined && to !== undefined && compareKeys(from, to) >= 0) continue;
      const hidden = this.count(view, snapshot, storeId, from, to, waits, fromTable);
      if (hidden < 0) return -1;
      sum -= hidden;
    }
    const delta = existenceDelta(index, lower, upper, indexSnapshot, (key, start, end) => {
      const answer = this.find(view, snapshot, storeId, key, start, end, waits, fromTable);
      return answer === NOT_LOADED ? MISS : answer === FOUND;
    });
    if (delta === undefined) return -1;
    if (sum + delta < 0) this.#throwMiscounted(view.root, storeId);
    return sum + delta;
  }

  /** More entries were there than the sums below say, by the log or a descent: a negative count would pass for NOT_LOADED. */
  #throwMiscounted(root: Root, storeId: number): never {
    const place = (this.tree(root, storeId) ?? root.forest)?.root;
    const fault = `store ${storeId} has more entries here than the sums say`;
    if (place === undefined) throw new CorruptionError(fault, { details: { store: storeId, fault } });
    throwCorrupt(this.cache.reader, place.segment, place.offset, fault);
  }

  #countTree(
    root: Root,
    storeId: number,
    lower: Uint8Array | undefined,
    upper: Uint8Array | undefined,
    waits: boolean,
  ): number {
    const tree = this.tree(root, storeId);
    if (tree === undefined) return 0;
    this.lookup.waits = waits;
    return this.lookup.count(tree, lower, upper);
  }
}

/** This layer says nothing about the key. */
const NOT_HERE = 3;
/** The record at `#address` is an increment. */
const INCREMENT = 4;
const NO_RUNS: readonly Run[] = [];

function later(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined) return b;
  return b !== undefined && compareKeys(b, a) > 0 ? b : a;
}

function earlier(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined) return b;
  return b !== undefined && compareKeys(b, a) < 0 ? b : a;
}
