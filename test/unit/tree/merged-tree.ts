/** A tree and the sorted array it must equal, merged step by step; shared by the tests of the merge. */
import { deepStrictEqual as mustEqual } from 'node:assert/strict';
import { compareKeys } from '../../../src/base/bytes.ts';
import type { Handle } from '../../../src/node/handle.ts';
import { ImageCache } from '../../../src/node/image-cache.ts';
import { checkTree, type TreeFault } from '../../../src/tree/tree-check.ts';
import { type LoadRequest, runSync } from '../../../src/tree/tree-build.ts';
import { type KeyRange, mergeTree } from '../../../src/tree/tree-merge.ts';
import { Tree } from '../../../src/tree/tree.ts';
import { TreeCursor } from '../../../src/tree/tree-cursor.ts';
import { type Change, ChangeCursor } from './change-cursor.ts';
import { MemoryImages } from './memory-images.ts';
import { digestOf, type Entry, type KeyKind, type Random, randomCell, randomKey, STORE, sorted } from './model.ts';

export interface Dead {
  images: string[];
  cells: number;
  dropped: Handle[];
}

/** A tree and the array it must equal, merged step by step. */
export class Merged {
  readonly images = new MemoryImages();
  cache: ImageCache;
  entries: Entry[] = [];
  root: Handle | undefined;
  reachable = new Set<string>();

  constructor(limitBytes: number) {
    this.cache = new ImageCache({ limitBytes, reader: this.images, names: this.images });
  }

  async merge(changes: Change[], removals: KeyRange[], how: { waits: boolean; missing: number }): Promise<Dead> {
    const dead: Dead = { images: [], cells: 0, dropped: [] };
    const cursor = new ChangeCursor(changes, how.missing);
    const work = mergeTree({
      cache: this.cache,
      sink: this.images,
      storeId: STORE,
      root: this.root,
      changes: cursor,
      removals,
      waits: how.waits,
      admit: how.missing === 0,
      report: {
        deadImage: (segment, offset) => dead.images.push(`${segment}:${offset}`),
        deadCell: () => dead.cells++,
        droppedSubtree: (handle) => dead.dropped.push(handle),
      },
    });
    this.root = await drive(work, cursor);
    this.entries = applyToModel(this.entries, changes, removals);
    return dead;
  }

  /** Every invariant of the tree, its content, and that dead plus living images are all there were. */
  check(dead: Dead | undefined): void {
    const before = this.reachable;
    this.reachable = new Set();
    const faults: TreeFault[] = [];
    const result = runSync(
      checkTree({
        cache: this.cache,
        storeId: STORE,
        root: this.root,
        waits: true,
        onImage: (segment, offset) => this.reachable.add(`${segment}:${offset}`),
        onFault: (fault) => faults.push(fault),
      }),
    );
    mustEqual(faults, []);
    mustEqual(result.images, this.reachable.size);
    mustEqual(result.entries, this.entries.length);
    mustEqual(this.root === undefined, this.entries.length === 0);
    if (this.root !== undefined) this.#checkContent(this.root);
    if (dead !== undefined) this.#checkDead(before, dead);
  }

  #checkContent(root: Handle): void {
    const { low, high } = digestOf(this.entries);
    mustEqual([root.entries, root.digestLow, root.digestHigh], [this.entries.length, low, high]);
    const cursor = new TreeCursor(this.cache, new Tree(root, STORE));
    cursor.waits = true;
    let step = cursor.first();
    for (const entry of this.entries) {
      mustEqual(step, 1);
      if (compareKeys(cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd), entry.key) !== 0) throw new Error('key');
      if (compareKeys(cursor.cellBytes.slice(cursor.cellStart, cursor.cellEnd), entry.cell) !== 0)
        throw new Error('cell');
      if (cursor.version !== entry.version) throw new Error(`version ${cursor.version}, expected ${entry.version}`);
      step = cursor.next();
    }
    mustEqual(step, 0);
  }

  #checkDead(before: Set<string>, dead: Dead): void {
    const gone = new Set(dead.images);
    mustEqual(gone.size, dead.images.length);
    for (const handle of dead.dropped) {
      runSync(
        checkTree({
          cache: this.cache,
          storeId: STORE,
          root: handle,
          waits: true,
          onImage: (segment, offset) => gone.add(`${segment}:${offset}`),
        }),
      );
    }
    for (const address of before) mustEqual([address, gone.has(address)], [address, !this.reachable.has(address)]);
    for (const address of gone) mustEqual(this.reachable.has(address), false);
  }
}

/** Drives a merge; whatever its cursor showed is overwritten at every pause. */
export async function drive<T>(work: Generator<LoadRequest | undefined, T, void>, cursor: ChangeCursor): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    cursor.scramble();
    if (value !== undefined) await value.load();
  }
}

export function inRange(key: Uint8Array, ranges: readonly KeyRange[]): boolean {
  return ranges.some((r) => compareKeys(r.lower, key) <= 0 && (r.upper === undefined || compareKeys(key, r.upper) < 0));
}

export function applyToModel(entries: Entry[], changes: Change[], removals: readonly KeyRange[]): Entry[] {
  const map = new Map<string, Entry>();
  for (const entry of entries)
    if (!inRange(entry.key, removals)) map.set(Buffer.from(entry.key).toString('hex'), entry);
  for (const change of changes) {
    const key = Buffer.from(change.key).toString('hex');
    if (change.removed) map.delete(key);
    else map.set(key, change);
  }
  return sorted([...map.values()]);
}

export function randomChanges(kind: KeyKind, count: number, random: Random, old: Entry[], version: number): Change[] {
  const changes: Change[] = [];
  for (let i = 0; i < count; i++) {
    const fromOld = old.length > 0 && random.chance(40);
    const key = fromOld ? (old[random.below(old.length)] as Entry).key : randomKey(kind, random);
    changes.push({ key, cell: randomCell(random), version: version + random.below(50), removed: random.chance(30) });
  }
  return sorted(changes) as Change[];
}

export function randomRemovals(kind: KeyKind, random: Random, old: Entry[]): KeyRange[] {
  const bounds: Uint8Array[] = [];
  for (let i = random.below(4) * 2; i > 0; i--) {
    const key =
      old.length > 0 && random.chance(70) ? (old[random.below(old.length)] as Entry).key : randomKey(kind, random);
    bounds.push(random.chance(30) ? Uint8Array.from([...key.slice(0, 4000), 0]) : key);
  }
  bounds.sort(compareKeys);
  const ranges: KeyRange[] = [];
  for (let i = 0; i + 1 < bounds.length; i += 2) {
    const [lower, upper] = [bounds[i] as Uint8Array, bounds[i + 1] as Uint8Array];
    if (compareKeys(lower, upper) < 0) ranges.push({ lower, upper });
  }
  const last = ranges.at(-1);
  if (last !== undefined && random.chance(10)) ranges[ranges.length - 1] = { lower: last.lower, upper: undefined };
  return ranges;
}
