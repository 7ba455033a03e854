/** The checker names what is wrong, in trees that pass every check an image can be given alone. */
import { describe, expect, test } from 'vitest';
import { CELL_RIDE_ON, CELL_SEPARATE, CELL_TOMBSTONE } from '../../../src/codec/cell.ts';
import { AT, MISS } from '../../../src/node/entry-cursor.ts';
import { encodeHandle, type Handle, HANDLE_BYTES } from '../../../src/node/handle.ts';
import { ImageBuilder, imageChecksum } from '../../../src/node/image-builder.ts';
import { ImageCache } from '../../../src/node/image-cache.ts';
import { headsWord, ImageViews } from '../../../src/node/image-layout.ts';

import { Tree } from '../../../src/tree/tree.ts';
import { buildTree, runAsync, runSync, TreeBuilder } from '../../../src/tree/tree-build.ts';
import { checkTree } from '../../../src/tree/tree-check.ts';
import { TreeCursor } from '../../../src/tree/tree-cursor.ts';
import { dumpImage } from '../../../src/tree/tree-dump.ts';
import { FOUND, TreeLookup } from '../../../src/tree/tree-lookup.ts';
import { ChangeCursor } from './change-cursor.ts';
import { MemoryImages } from './memory-images.ts';
import { Random, randomModel, SEED, STORE } from './model.ts';

type Spoil = (views: ImageViews) => void;

/** Writes a leaf with these keys in this order, spoiled before its checksum is made. */
function leaf(images: MemoryImages, keys: number[][], cell = [0, 1, 2], newest = 5, spoil?: Spoil): Handle {
  const builder = new ImageBuilder(0);
  const cellBytes = Uint8Array.from(cell);
  for (const key of keys) builder.append(Uint8Array.from(key), 0, key.length, cellBytes, 0, cell.length, 5);
  const views = new ImageViews(65536);
  const length = builder.write(0, builder.count, STORE, 0, newest, views);
  if (spoil !== undefined) {
    spoil(views);
    views.u32[3] = imageChecksum(views.bytes, 0, length);
  }
  let low = 0;
  let high = 0;
  for (let i = 0; i < builder.count; i++) {
    low = (low + (builder.hashLow[i] as number)) >>> 0;
    high = (high + (builder.hashHigh[i] as number)) >>> 0;
  }
  const { segment, offset } = images.append(views.bytes, 0, length);
  const sums = { entries: builder.count, digestLow: low, digestHigh: high, newest, inexact: false };
  return { segment, offset, length, level: 0, ...sums };
}

function inner(images: MemoryImages, children: [number[], Handle][]): Handle {
  const level = (children[0] as [number[], Handle])[1].level + 1;
  const builder = new ImageBuilder(level);
  const cell = new Uint8Array(HANDLE_BYTES);
  const sums = { entries: 0, digestLow: 0, digestHigh: 0, newest: 0 };
  for (const [key, child] of children) {
    encodeHandle(child, images, cell, 0);
    builder.append(Uint8Array.from(key), 0, key.length, cell, 0, HANDLE_BYTES, 0);
    sums.entries += child.entries;
    sums.digestLow = (sums.digestLow + child.digestLow) >>> 0;
    sums.digestHigh = (sums.digestHigh + child.digestHigh) >>> 0;
    sums.newest = Math.max(sums.newest, child.newest);
  }
  const views = new ImageViews(65536);
  const length = builder.write(0, builder.count, STORE, 0, sums.newest, views);
  const { segment, offset } = images.append(views.bytes, 0, length);
  return { segment, offset, length, level, ...sums, inexact: false };
}

function faultsOf(images: MemoryImages, root: Handle): string[] {
  const cache = new ImageCache({ limitBytes: 1 << 20, reader: images, names: images });
  const faults: string[] = [];
  runSync(checkTree({ cache, storeId: STORE, root, waits: true, onFault: ({ fault }) => faults.push(fault) }));
  return faults;
}

function spoilHead(views: ImageViews): void {
  views.u32[headsWord(views, 0)] = 0;
}

const OUT_OF_ORDER = [[1], [2, 2, 3, 4, 5, 6], [2, 2, 3, 4, 5, 5]];

describe('the checker', () => {
  const cases: [string, (images: MemoryImages) => Handle, RegExp][] = [
    ['keys out of order behind one head', (m) => leaf(m, OUT_OF_ORDER), /key 2 is not greater/],
    [
      'one key twice',
      (m) =>
        leaf(m, [
          [1, 2, 3],
          [1, 2, 3],
        ]),
      /key 1 is not greater/,
    ],
    ['a head that is not its key', (m) => leaf(m, [[1], [9]], undefined, 5, spoilHead), /head 0/],
    ['a wrong newest number', (m) => leaf(m, [[1], [2]], undefined, 6), /newest number/],
    ['a wrong digest', (m) => ({ ...leaf(m, [[1], [2]]), digestLow: 1 }), /digest/],
    ['a tombstone in a tree', (m) => leaf(m, [[1]], [CELL_TOMBSTONE]), /tombstone/],
    ['a ride-on part that is too long', (m) => leaf(m, [[1]], [CELL_RIDE_ON, 9, 0, 1]), /ride-on/],
    ['a value reference that is too short', (m) => leaf(m, [[1]], [CELL_SEPARATE, 9, 0, 1]), /reference/],
    ['unknown cell flags', (m) => leaf(m, [[1]], [0x40, 9]), /unknown flags/],
    [
      'a key below its separator',
      (m) =>
        inner(m, [
          [[0], leaf(m, [[1]])],
          [[5], leaf(m, [[4], [6]])],
        ]),
      /lower bound/,
    ],
    [
      'a key that passes the next separator',
      (m) =>
        inner(m, [
          [[0], leaf(m, [[1], [5]])],
          [[5], leaf(m, [[6]])],
        ]),
      /upper bound/,
    ],
    ['another store', (m) => leaf(m, [[1]], undefined, 5, (v) => v.u32.fill(STORE + 1, 4, 5)), /belongs to store/],
    ['a wrong entry count', (m) => ({ ...leaf(m, [[1]]), entries: 2 }), /1 entries, its parent says 2/],
    ['an image that ends outside its segment', (m) => ({ ...leaf(m, [[1]]), offset: 8192 }), /ends before/],
    ['an impossible length', (m) => ({ ...leaf(m, [[1]]), length: 2 ** 31 }), /impossible image length/],
  ];
  for (const [name, make, expected] of cases) {
    test(`names ${name}`, () => {
      const images = new MemoryImages();
      const faults = faultsOf(images, make(images));
      expect(faults.join('; ')).toMatch(expected);
    });
  }

  test('finds nothing in a sound tree made by hand', () => {
    const images = new MemoryImages();
    const root = inner(images, [
      [[], leaf(images, [[1], [2]])],
      [[5], leaf(images, [[5], [6]])],
    ]);
    expect(faultsOf(images, root)).toEqual([]);
  });

  test('ends in a tree that contains one subtree over and over', () => {
    const images = new MemoryImages();
    let node = leaf(images, [[1], [2]]);
    for (let level = 1; level < 20; level++) {
      const below = node;
      node = inner(
        images,
        Array.from({ length: 100 }, (_, i) => [[1, i], below] as [number[], Handle]),
      );
    }
    expect(faultsOf(images, node).length).toBeGreaterThan(0);
  });

  test('loads what is missing when it may not wait', async () => {
    const images = new MemoryImages();
    const root = inner(images, [
      [[], leaf(images, [[1], [2]])],
      [[5], leaf(images, [[5], [6]])],
    ]);
    const cache = new ImageCache({ limitBytes: 1 << 20, reader: images, names: images });
    expect(await runAsync(checkTree({ cache, storeId: STORE, root }))).toMatchObject({
      images: 3,
      entries: 4,
      faults: 0,
    });
  });
});

describe('runs and builders', () => {
  test('a run shows its tombstones as removed entries', () => {
    const images = new MemoryImages();
    const builder = new TreeBuilder({ sink: images, names: images, storeId: STORE, tombstones: true });
    for (let i = 0; i < 100; i++) {
      if (i % 3 === 0) builder.appendRemoved(Uint8Array.of(i), 0, 1, 7);
      else builder.append(Uint8Array.of(i), 0, 1, Uint8Array.of(0, i), 0, 2, 7);
    }
    const root = builder.finish() as Handle;
    const cache = new ImageCache({ limitBytes: 1 << 20, reader: images, names: images });
    const tree = new Tree(root, STORE);
    const cursor = new TreeCursor(cache, tree);
    cursor.waits = true;
    let step = cursor.first();
    for (let i = 0; i < 100; i++, step = cursor.next()) {
      expect(step).toBe(AT);
      expect(cursor.removed).toBe(i % 3 === 0);
      expect(cursor.cellEnd - cursor.cellStart).toBe(i % 3 === 0 ? 0 : 2);
    }
    const lookup = new TreeLookup(cache);
    expect(lookup.find(tree, Uint8Array.of(3), 0, 1)).toBe(FOUND);
    expect(lookup.cellBytes[lookup.cellStart]).toBe(CELL_TOMBSTONE);
    const faults: unknown[] = [];
    const options = {
      cache,
      storeId: STORE,
      root,
      waits: true,
      onFault: (fault: unknown): unknown => faults.push(fault),
    };
    runSync(checkTree({ ...options, tombstones: true }));
    expect(faults).toEqual([]);
  });

  test('keys handed in out of order are an assertion', () => {
    const images = new MemoryImages();
    const builder = new TreeBuilder({ sink: images, names: images, storeId: STORE });
    builder.append(Uint8Array.of(2), 0, 1, Uint8Array.of(0), 0, 1, 1);
    expect(() => builder.append(Uint8Array.of(2), 0, 1, Uint8Array.of(0), 0, 1, 1)).toThrow(/key order/);
    expect(() => builder.appendRemoved(Uint8Array.of(3), 0, 1, 1)).toThrow(/tombstones/);
  });

  test(`a tree built from a cursor that misses now and then has everything (SOP_SEED=${SEED})`, async () => {
    const images = new MemoryImages();
    const changes = randomModel('random', 3000, new Random(SEED)).map((entry) => ({ ...entry, removed: false }));
    const options = { sink: images, names: images, storeId: STORE };
    const root = (await runAsync(buildTree(new ChangeCursor(changes, 3), options))) as Handle;
    const whole = runSync(buildTree(new ChangeCursor(changes, 0), options)) as Handle;
    expect(root).toMatchObject({ entries: changes.length, digestLow: whole.digestLow, digestHigh: whole.digestHigh });
    expect(runSync(buildTree(new ChangeCursor([], 0), options))).toBe(undefined);
  });

  test('a cursor over no tree is at its end, and one over a missing image moves nowhere', () => {
    const images = new MemoryImages();
    const cache = new ImageCache({ limitBytes: 1 << 20, reader: images, names: images });
    const none = new TreeCursor(cache, undefined);
    expect([none.first(), none.last(), none.next(), none.previous(), none.seek(Uint8Array.of(), 0, 0)]).toEqual([
      0, 0, 0, 0, 0,
    ]);
    const missing = new TreeCursor(cache, new Tree(leaf(images, [[1]]), STORE));
    expect([missing.first(), missing.first(), missing.seekRank(0), missing.seekRank(1)]).toEqual([MISS, MISS, MISS, 0]);
  });

  test('images are drawn as text', () => {
    const images = new MemoryImages();
    const root = inner(images, [
      [
        [],
        leaf(images, [
          [65, 66],
          [65, 67, 255],
        ]),
      ],
    ]);
    const cache = new ImageCache({ limitBytes: 1 << 20, reader: images, names: images });
    const frame = cache.loadSync(root, STORE);
    const child = cache.loadChildSync(frame, 0);
    const draw = (f: number): string => dumpImage(cache.table.views(f), cache.table.base(f), images);
    expect(draw(frame)).toContain("''  -> segment 0 offset 0");
    expect(draw(child)).toContain('AC\\ff  @5  \\00\\01\\02');
  });
});
