/** The merge against a sorted array: what comes out, what is reported dead, what stays unread. */
import { describe, expect, test } from 'vitest';
import { prefixSuccessor } from '../../../src/base/bytes.ts';
import { CELL_SEPARATE } from '../../../src/codec/cell.ts';
import type { Handle } from '../../../src/node/handle.ts';
import { ImageCache } from '../../../src/node/image-cache.ts';
import { copyKey, imageCount } from '../../../src/node/image-layout.ts';
import { checkTree } from '../../../src/tree/tree-check.ts';
import { runSync } from '../../../src/tree/tree-build.ts';
import { type KeyRange, mergeTree } from '../../../src/tree/tree-merge.ts';
import { Tree } from '../../../src/tree/tree.ts';
import { TreeCursor } from '../../../src/tree/tree-cursor.ts';
import type { Change } from './change-cursor.ts';
import { KEY_KINDS, Random, RUNS, SEED, STORE, sorted } from './model.ts';
import { Merged, randomChanges, randomRemovals } from './merged-tree.ts';

describe(`merges against a sorted array (SOP_SEED=${SEED})`, () => {
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
