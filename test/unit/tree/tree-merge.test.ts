/** The merge against a sorted array: what comes out, what is reported dead, what stays unread. */
import { describe, expect, test } from 'vitest';
import { compareKeys, prefixSuccessor } from '../../../src/base/bytes.ts';
import { CELL_SEPARATE } from '../../../src/codec/cell.ts';
import type { Handle } from '../../../src/node/handle.ts';
import { ImageCache } from '../../../src/node/image-cache.ts';
import { copyKey, imageCount } from '../../../src/node/image-layout.ts';
import { checkTree, type TreeFault } from '../../../src/tree/tree-check.ts';
import { type LoadRequest, runSync } from '../../../src/tree/tree-build.ts';
import { type KeyRange, mergeTree } from '../../../src/tree/tree-merge.ts';
import { Tree } from '../../../src/tree/tree.ts';
import { TreeCursor } from '../../../src/tree/tree-cursor.ts';
import { type Change, ChangeCursor } from './change-cursor.ts';
import { MemoryImages } from './memory-images.ts';
import {
  digestOf,
  type Entry,
  KEY_KINDS,
  type KeyKind,
  Random,
  randomCell,
  randomKey,
  RUNS,
  SEED,
  STORE,
  sorted,
} from './model.ts';

interface Dead {
  images: string[];
  cells: number;
  dropped: Handle[];
}

/** A tree and the array it must equal, merged step by step. */
class Merged {
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
    expect(faults).toEqual([]);
    expect(result.images).toBe(this.reachable.size);
    expect(result.entries).toBe(this.entries.length);
    expect(this.root === undefined).toBe(this.entries.length === 0);
    if (this.root !== undefined) this.#checkContent(this.root);
    if (dead !== undefined) this.#checkDead(before, dead);
  }

  #checkContent(root: Handle): void {
    const { low, high } = digestOf(this.entries);
    expect([root.entries, root.digestLow, root.digestHigh]).toEqual([this.entries.length, low, high]);
    const cursor = new TreeCursor(this.cache, new Tree(root, STORE));
    cursor.waits = true;
    let step = cursor.first();
    for (const entry of this.entries) {
      expect(step).toBe(1);
      if (compareKeys(cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd), entry.key) !== 0) throw new Error('key');
      if (compareKeys(cursor.cellBytes.slice(cursor.cellStart, cursor.cellEnd), entry.cell) !== 0)
        throw new Error('cell');
      if (cursor.version !== entry.version) throw new Error(`version ${cursor.version}, expected ${entry.version}`);
      step = cursor.next();
    }
    expect(step).toBe(0);
  }

  #checkDead(before: Set<string>, dead: Dead): void {
    const gone = new Set(dead.images);
    expect(gone.size).toBe(dead.images.length);
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
    for (const address of before) expect([address, gone.has(address)]).toEqual([address, !this.reachable.has(address)]);
    for (const address of gone) expect(this.reachable.has(address)).toBe(false);
  }
}

/** Drives a merge; whatever its cursor showed is overwritten at every pause. */
async function drive<T>(work: Generator<LoadRequest | undefined, T, void>, cursor: ChangeCursor): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    cursor.scramble();
    if (value !== undefined) await value.load();
  }
}

function inRange(key: Uint8Array, ranges: readonly KeyRange[]): boolean {
  return ranges.some((r) => compareKeys(r.lower, key) <= 0 && (r.upper === undefined || compareKeys(key, r.upper) < 0));
}

function applyToModel(entries: Entry[], changes: Change[], removals: readonly KeyRange[]): Entry[] {
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

function randomChanges(kind: KeyKind, count: number, random: Random, old: Entry[], version: number): Change[] {
  const changes: Change[] = [];
  for (let i = 0; i < count; i++) {
    const fromOld = old.length > 0 && random.chance(40);
    const key = fromOld ? (old[random.below(old.length)] as Entry).key : randomKey(kind, random);
    changes.push({ key, cell: randomCell(random), version: version + random.below(50), removed: random.chance(30) });
  }
  return sorted(changes) as Change[];
}

function randomRemovals(kind: KeyKind, random: Random, old: Entry[]): KeyRange[] {
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

describe(`merges against a sorted array (SOP_SEED=${SEED})`, () => {
  test(`${400 * RUNS} short lives of small trees`, { timeout: 600_000 }, async () => {
    for (let run = 0; run < 400 * RUNS; run++) {
      const random = new Random(SEED * 1009 + run);
      const kind = KEY_KINDS[random.below(KEY_KINDS.length)] as KeyKind;
      const merged = new Merged(64 * 8192);
      for (let round = 0; round < 3; round++) {
        const changes = randomChanges(kind, random.below(kind === 'long' ? 6 : 80), random, merged.entries, 1 + round * 100);
        const removals = random.chance(50) ? randomRemovals(kind, random, merged.entries) : [];
        merged.check(await merged.merge(changes, removals, { waits: random.chance(50), missing: 0 }));
      }
    }
  });

  for (const kind of KEY_KINDS) {
    for (let run = 0; run < 6 * RUNS; run++) {
      test(`${kind} keys, run ${run}: content, sums, and dead images are right after every merge`, async () => {
        const random = new Random(SEED * 31 + run);
        const merged = new Merged(random.chance(50) ? 64 * 8192 : 64 * 1024 * 1024);
        const size = kind === 'long' ? 150 : 2500;
        // Numbers now and then so far apart that one image cannot hold both.
        const apart = random.chance(25) ? 2 ** 31 + random.below(1000) : 100;
        for (let round = 0; round < 8; round++) {
          const count = random.chance(30) ? random.below(6) : random.below(size);
          const changes = randomChanges(kind, count, random, merged.entries, 1 + round * apart);
          const removals = random.chance(50) ? randomRemovals(kind, random, merged.entries) : [];
          const waits = random.chance(50);
          const missing = waits || random.chance(50) ? 0 : 1 + random.below(5);
          const dead = await merged.merge(changes, removals, { waits, missing });
          merged.check(dead);
        }
        const everything: KeyRange[] = [{ lower: new Uint8Array(0), upper: undefined }];
        const dead = await merged.merge([], everything, { waits: true, missing: 0 });
        merged.check(dead);
        expect(merged.root).toBe(undefined);
      });
    }
  }
});

function numbered(i: number): Uint8Array {
  const key = new Uint8Array(8);
  new DataView(key.buffer).setUint32(4, i);
  return key;
}

function put(i: number, version = 1, size = 60): Change {
  return { key: numbered(i), cell: new Uint8Array(size), version, removed: false };
}

function removal(i: number): Change {
  return { key: numbered(i), cell: new Uint8Array(0), version: 9, removed: true };
}

async function grown(count: number): Promise<Merged> {
  const merged = new Merged(64 * 1024 * 1024);
  await merged.merge(
    Array.from({ length: count }, (_, i) => put(10 * i)),
    [],
    { waits: true, missing: 0 },
  );
  merged.check(undefined);
  return merged;
}

describe('what a merge leaves alone', () => {
  test('no change at all answers the old root and reads nothing', async () => {
    const merged = await grown(20_000);
    const { root } = merged;
    const cold = new ImageCache({ limitBytes: 1 << 20, reader: merged.images, names: merged.images });
    merged.cache = cold;
    await merged.merge([], [], { waits: true, missing: 0 });
    expect(merged.root).toBe(root);
    expect(cold.stats.misses).toBe(0);
  });

  test('removing what is not there, and ranges without entries, answer the old root', async () => {
    const merged = await grown(20_000);
    const { root } = merged;
    const written = merged.images.lengths.reduce((a, b) => a + b, 0);
    const ranges = [{ lower: numbered(50_001), upper: numbered(50_009) }];
    const dead = await merged.merge([removal(77), removal(100_001)], ranges, { waits: true, missing: 0 });
    expect(merged.root).toBe(root);
    expect(dead.images).toEqual([]);
    expect(merged.images.lengths.reduce((a, b) => a + b, 0)).toBe(written);
  });

  test('one change reads and writes one image per level', async () => {
    const merged = await grown(50_000);
    merged.cache = new ImageCache({ limitBytes: 1 << 20, reader: merged.images, names: merged.images });
    const dead = await merged.merge([put(123_450, 5)], [], { waits: true, missing: 0 });
    const height = (merged.root as Handle).level + 1;
    expect(merged.cache.stats.misses).toBe(height);
    expect(dead.images.length).toBe(height);
    merged.check(dead);
  });

  test('a range removal over most of a tree reads only its edges and names the subtrees it dropped', async () => {
    const merged = await grown(50_000);
    merged.cache = new ImageCache({ limitBytes: 1 << 20, reader: merged.images, names: merged.images });
    const dead = await merged.merge([], [{ lower: numbered(15), upper: numbered(400_005) }], {
      waits: true,
      missing: 0,
    });
    expect(merged.cache.stats.misses).toBeLessThan(8);
    expect(dead.dropped.length).toBeGreaterThan(10);
    merged.check(dead);
  });

  test('a range removal with bounds between subtrees reads the root alone', async () => {
    const merged = await grown(50_000);
    const cache = new ImageCache({ limitBytes: 1 << 20, reader: merged.images, names: merged.images });
    const root = merged.root as Handle;
    const frame = cache.loadSync(root, STORE);
    expect(imageCount(cache.table.views(frame), cache.table.base(frame))).toBeGreaterThan(2);
    const bound = (index: number): Uint8Array => {
      const key = new Uint8Array(64);
      return key.slice(0, copyKey(cache.table.views(frame), cache.table.base(frame), index, key, 0));
    };
    const removals = [{ lower: bound(1), upper: bound(2) }];
    merged.cache = cache;
    const dead = await merged.merge([], removals, { waits: true, missing: 0 });
    expect(cache.stats.misses).toBe(1);
    expect(dead.dropped.length).toBe(1);
    merged.check(dead);
  });

  test('a leaf that lost most of its entries is joined with its neighbour, and no others are touched', async () => {
    const merged = await grown(40_000);
    const inner = (merged.root as Handle).level;
    for (const start of [0, 5000, 20_000, 33_333]) {
      const gone = Array.from({ length: 260 }, (_, i) => removal(10 * (start + i)));
      const dead = await merged.merge(gone, [], { waits: true, missing: 0 });
      merged.check(dead);
      expect(dead.images.length).toBeLessThan(9 + inner);
    }
    const sizes: number[] = [];
    const { cache, root } = merged;
    const onImage = (_: number, __: number, length: number, level: number): unknown =>
      level === 0 && sizes.push(length);
    runSync(checkTree({ cache, storeId: STORE, root, waits: true, onImage }));
    expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThan(2048);
  });

  test('entries appended at the end fill their leaves', async () => {
    const merged = new Merged(64 * 1024 * 1024);
    for (let round = 0; round < 10; round++) {
      const changes = Array.from({ length: 1000 }, (_, i) => put(round * 1000 + i));
      const dead = await merged.merge(changes, [], { waits: true, missing: 0 });
      merged.check(dead);
    }
    const perLeaf = Math.floor((8192 - 60) / (12 + 60 + 4));
    const least = Math.ceil(10_000 / perLeaf);
    expect(merged.reachable.size).toBeLessThanOrEqual(least + 3);
  });

  test('thinning a tree out joins small leaves, and its root comes down', async () => {
    const merged = await grown(40_000);
    const tall = (merged.root as Handle).level;
    const removals = Array.from({ length: 40_000 }, (_, i) => i).filter((i) => i % 400 !== 0);
    const dead = await merged.merge(
      removals.map((i) => removal(10 * i)),
      [],
      { waits: true, missing: 0 },
    );
    merged.check(dead);
    expect(merged.entries.length).toBe(100);
    expect(merged.reachable.size).toBeLessThanOrEqual(3);
    expect((merged.root as Handle).level).toBeLessThan(tall);
  });
});

describe('range removals', () => {
  test('every pair of bounds in a small tree of several leaves', async () => {
    const base = await grown(260);
    const { root, entries } = base;
    for (let a = 0; a < 2600; a += 155) {
      for (let b = a; b < 2700; b += 305) {
        for (const changes of [[], [put(a + 5, 7), put(b, 7)]] as Change[][]) {
          base.root = root;
          base.entries = entries;
          base.reachable = new Set();
          const ordered = sorted(changes) as Change[];
          await base.merge(ordered, [{ lower: numbered(a), upper: numbered(b + 1) }], { waits: true, missing: 0 });
          base.check(undefined);
        }
      }
    }
  });

  test('a prefix successor as upper bound takes the whole prefix', async () => {
    const merged = await grown(1000);
    const prefix = numbered(0).slice(0, 7);
    await merged.merge([], [{ lower: prefix, upper: prefixSuccessor(prefix) }], { waits: true, missing: 0 });
    merged.check(undefined);
    expect(merged.entries.length).toBe(1000 - 26);
  });
});

describe('separate values', () => {
  test('are reported dead when replaced or removed, not when the new cell refers to the same value', async () => {
    const merged = new Merged(1 << 20);
    const reference = Uint8Array.from([CELL_SEPARATE, ...new Array(32).fill(7)]);
    const withValue = (i: number): Change => ({ key: numbered(i), cell: reference, version: 1, removed: false });
    await merged.merge([withValue(1), withValue(2), withValue(3), withValue(4), withValue(5)], [], {
      waits: true,
      missing: 0,
    });
    const other = reference.slice();
    other[20] = 1;
    const rideOn = Uint8Array.from([CELL_SEPARATE | 2, 1, 0, 9, ...reference.slice(1)]);
    const dead = await merged.merge(
      [
        { ...withValue(1), cell: other },
        { ...withValue(2), cell: rideOn },
        { ...withValue(3), removed: true },
      ],
      [{ lower: numbered(5), upper: undefined }],
      { waits: true, missing: 0 },
    );
    expect(dead.cells).toBe(3);
    merged.check(dead);
  });
});

describe('compaction', () => {
  test('moves exactly the images of the given segments, leaves and inner ones, and the content stays', async () => {
    const merged = await grown(30_000);
    merged.images.startSegment();
    await merged.merge([put(100_005), put(100_015)], [], { waits: true, missing: 0 });
    merged.check(undefined);
    const targets: { level: number; key: Uint8Array }[] = [];
    const old = new Set([0]);
    runSync(
      checkTree({ cache: merged.cache, storeId: STORE, root: merged.root, waits: true, onImage: () => undefined }),
    );
    const cursor = new TreeCursor(merged.cache, new Tree(merged.root as Handle, STORE));
    cursor.waits = true;
    for (let step = cursor.first(); step === 1; step = cursor.nextLeaf()) {
      targets.push({ level: 0, key: cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd) });
    }
    const { digestLow, digestHigh, entries } = merged.root as Handle;
    merged.images.startSegment();
    const dead: string[] = [];
    merged.root = runSync(
      mergeTree({
        cache: merged.cache,
        sink: merged.images,
        storeId: STORE,
        root: merged.root,
        rewrite: targets,
        mustMove: (handle) => old.has(handle.segment),
        waits: true,
        report: { deadImage: (segment, offset) => dead.push(`${segment}:${offset}`) },
      }),
    );
    expect(merged.root).toMatchObject({ digestLow, digestHigh, entries });
    const before = merged.reachable;
    merged.check(undefined);
    expect([...merged.reachable].some((address) => address.startsWith('0:'))).toBe(false);
    // What did not lie in the old segment was kept.
    const kept = [...before].filter((address) => !address.startsWith('0:') && merged.reachable.has(address));
    expect(kept.length).toBeGreaterThan(0);
    expect(dead.sort()).toEqual([...before].filter((address) => !merged.reachable.has(address)).sort());
  });
});
