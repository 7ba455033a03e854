/** The cache: its limit, what stays and what goes, loads shared, damage named. */
import { describe, expect, test } from 'vitest';
import { CorruptionError } from '../../../src/base/errors.ts';
import type { Handle } from '../../../src/node/handle.ts';
import { ImageBuilder } from '../../../src/node/image-builder.ts';
import { ImageCache } from '../../../src/node/image-cache.ts';
import { ImageIndex } from '../../../src/node/image-index.ts';
import { ImageViews, imageCount, imageLength } from '../../../src/node/image-layout.ts';
import { runSync } from '../../../src/tree/tree-build.ts';
import { checkTree } from '../../../src/tree/tree-check.ts';
import { Tree } from '../../../src/tree/tree.ts';
import { TreeCursor } from '../../../src/tree/tree-cursor.ts';
import { FOUND, MISS, TreeLookup } from '../../../src/tree/tree-lookup.ts';
import { MemoryImages } from '../tree/memory-images.ts';
import { buildModel, type Entry, Random, SEED, STORE } from '../tree/model.ts';

function numberedModel(images: MemoryImages, count: number): ReturnType<typeof buildModel> {
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const key = new Uint8Array(8);
    new DataView(key.buffer).setUint32(4, i);
    entries.push({ key, cell: new Uint8Array(100), version: 1 });
  }
  return buildModel(entries, images);
}

/** A leaf of one entry, of any length. */
function lonelyLeaf(images: MemoryImages, id: number, cellBytes: number): Handle {
  const builder = new ImageBuilder(0);
  const cell = new Uint8Array(cellBytes);
  builder.append(Uint8Array.of(id >>> 8, id), 0, 2, cell, 0, cellBytes, 1);
  const views = new ImageViews(65536);
  const length = builder.write(0, 1, STORE, 0, 1, views);
  const { segment, offset } = images.append(views.bytes, 0, length);
  const digests = { digestLow: builder.hashLow[0] as number, digestHigh: builder.hashHigh[0] as number };
  return { segment, offset, length, level: 0, entries: 1, ...digests, newest: 1, inexact: false };
}

describe('the image index', () => {
  test(`agrees with a map under random inserts and removals (SOP_SEED=${SEED})`, () => {
    const random = new Random(SEED);
    const frames = 300;
    const segments = new Int32Array(frames);
    const offsets = new Uint32Array(frames);
    const index = new ImageIndex(frames, segments, offsets);
    const map = new Map<string, number>();
    const used: boolean[] = new Array(frames).fill(false);
    for (let i = 0; i < 50_000; i++) {
      const frame = random.below(frames);
      if (used[frame]) {
        index.remove(frame);
        map.delete(`${segments[frame]}:${offsets[frame]}`);
        used[frame] = false;
        continue;
      }
      const segment = random.below(3);
      const offset = random.below(400) * 8;
      const known = map.get(`${segment}:${offset}`);
      expect(index.find(segment, offset)).toBe(known ?? -1);
      if (known !== undefined) continue;
      segments[frame] = segment;
      offsets[frame] = offset;
      index.insert(frame);
      map.set(`${segment}:${offset}`, frame);
      used[frame] = true;
    }
  });
});

describe('the image cache', () => {
  test('several waiters for one image share one read', async () => {
    const images = new MemoryImages();
    const { root } = numberedModel(images, 10);
    const cache = new ImageCache({ limitBytes: 1 << 20, reader: images, names: images });
    await Promise.all([cache.load(root, STORE), cache.load(root, STORE), cache.load(root, STORE)]);
    expect(images.reads).toBe(1);
    expect(cache.find(root)).toBeGreaterThanOrEqual(0);
  });

  test('a scan over a tree far larger than the cache does not displace what is used again and again', () => {
    const images = new MemoryImages();
    const model = numberedModel(images, 60_000);
    const cache = new ImageCache({ limitBytes: 200 * 8192, reader: images, names: images });
    const tree = new Tree(model.root, STORE);
    const lookup = new TreeLookup(cache);
    lookup.waits = true;
    const hot = model.entries.filter((_, i) => i % 800 === 0).map((e) => e.key);
    for (let round = 0; round < 4; round++) for (const key of hot) lookup.find(tree, key, 0, key.length);
    const before = cache.misses;
    const cursor = new TreeCursor(cache, tree);
    cursor.waits = true;
    let entries = 0;
    for (let step = cursor.first(); step === 1; step = cursor.nextLeaf()) entries += cursor.leafCount;
    expect(entries).toBe(60_000);
    const scanned = cache.misses - before;
    expect(scanned).toBeGreaterThan(600);
    const after = cache.misses;
    for (const key of hot) expect(lookup.find(tree, key, 0, key.length)).toBe(FOUND);
    expect(cache.misses - after).toBeLessThan(5);
  });

  test('a working set that moves is taken in, though each image is used rarely', () => {
    const images = new MemoryImages();
    const model = numberedModel(images, 60_000);
    const cache = new ImageCache({ limitBytes: 200 * 8192, reader: images, names: images });
    const tree = new Tree(model.root, STORE);
    const lookup = new TreeLookup(cache);
    lookup.waits = true;
    for (const start of [0, 30_000]) {
      for (let round = 0; round < 6; round++) {
        for (let i = start; i < start + 10_000; i += 70) {
          const { key } = model.entries[i] as Entry;
          lookup.find(tree, key, 0, key.length);
        }
      }
      const before = cache.misses;
      for (let i = start; i < start + 10_000; i += 70) {
        const { key } = model.entries[i] as Entry;
        lookup.find(tree, key, 0, key.length);
      }
      expect(cache.misses - before).toBeLessThan(30);
    }
  });

  test(`images of all lengths come and go, and every one found is the right one (SOP_SEED=${SEED})`, () => {
    const random = new Random(SEED);
    const images = new MemoryImages();
    const handles: Handle[] = [];
    for (let i = 0; i < 300; i++) {
      handles.push(lonelyLeaf(images, i, random.chance(30) ? 1 + random.below(60_000) : 1 + random.below(8000)));
    }
    const cache = new ImageCache({ limitBytes: 40 * 8192, reader: images, names: images });
    for (let i = 0; i < 20_000; i++) {
      const handle = handles[random.below(handles.length)] as Handle;
      const dice = random.below(100);
      if (dice < 3) cache.discard(handle.segment, handle.offset);
      else if (dice === 3) cache.forget(random.below(images.segments.length));
      else {
        const frame = dice < 30 ? cache.find(handle) : cache.loadSync(handle, STORE);
        if (frame < 0) continue;
        const views = cache.table.views(frame);
        const base = cache.table.base(frame);
        expect(imageLength(views, base)).toBe(handle.length);
        expect(imageCount(views, base)).toBe(1);
        const stored = images.segments[handle.segment] as Uint8Array;
        expect(
          Buffer.compare(
            views.bytes.subarray(base, base + handle.length),
            stored.subarray(handle.offset, handle.offset + handle.length),
          ),
        ).toBe(0);
      }
      expect(cache.stats.usedBytes).toBeLessThanOrEqual(40 * 8192);
      expect(cache.stats.allocatedBytes).toBeLessThanOrEqual(40 * 8192);
    }
  });

  test('forgetting a segment makes its images missing, and cursors find their place again', async () => {
    const images = new MemoryImages();
    const model = numberedModel(images, 3000);
    const cache = new ImageCache({ limitBytes: 1 << 20, reader: images, names: images });
    const cursor = new TreeCursor(cache, new Tree(model.root, STORE));
    cursor.waits = true;
    cursor.first();
    cursor.waits = false;
    for (let i = 1; i < 3000; i++) {
      if (i % 7 === 0) cache.forget(0);
      let step = cursor.next();
      while (step === MISS) {
        await cursor.load();
        step = cursor.next();
      }
      model.mustShow(cursor, i);
    }
  });

  test('what a checkpoint admits is read without the reader, and has the same bytes', () => {
    const images = new MemoryImages();
    const cache = new ImageCache({ limitBytes: 1 << 20, reader: images, names: images });
    const handle = lonelyLeaf(images, 1, 100);
    const stored = images.segments[handle.segment] as Uint8Array;
    cache.admit(handle.segment, handle.offset, stored, handle.offset, handle.length);
    expect(cache.find(handle)).toBeGreaterThanOrEqual(0);
    expect(images.reads).toBe(0);
  });

  test('every flipped byte of a tree is reported with file and offset, by lookups and by the checker', async () => {
    const images = new MemoryImages();
    const model = numberedModel(images, 200);
    const bytes = images.segments[0] as Uint8Array;
    const end = images.lengths[0] as number;
    for (let at = 0; at < end; at += 1 + (at % 11)) {
      bytes[at] = (bytes[at] as number) ^ 0x40;
      const faults: unknown[] = [];
      const cache = new ImageCache({ limitBytes: 1 << 20, reader: images, names: images });
      runSync(
        checkTree({ cache, storeId: STORE, root: model.root, waits: true, onFault: (fault) => faults.push(fault) }),
      );
      expect(faults.length).toBe(1);
      expect(faults[0]).toMatchObject({ file: 'memory-0.seg' });
      const tree = new Tree(model.root, STORE);
      const lookup = new TreeLookup(cache);
      lookup.waits = at % 2 === 0;
      let thrown: unknown;
      try {
        for (const { key } of model.entries) {
          while (lookup.find(tree, key, 0, key.length) === MISS) await lookup.load();
        }
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(CorruptionError);
      expect((thrown as CorruptionError).details).toMatchObject({ file: 'memory-0.seg' });
      expect((thrown as CorruptionError).details.offset).toBeLessThanOrEqual(at);
      bytes[at] = (bytes[at] as number) ^ 0x40;
    }
  });

  test('an image swapped for another valid one of the same length is noticed', () => {
    const images = new MemoryImages();
    const model = numberedModel(images, 2000);
    const bytes = images.segments[0] as Uint8Array;
    const cache = new ImageCache({ limitBytes: 1 << 20, reader: images, names: images });
    const leaves: [number, number][] = [];
    const count = { cache, storeId: STORE, root: model.root, waits: true };
    runSync(
      checkTree({ ...count, onImage: (_, offset, length, level) => level === 0 && leaves.push([offset, length]) }),
    );
    const at = leaves.findIndex(([, length], i) => i > 0 && leaves[i - 1]?.[1] === length);
    const [first, second] = [leaves[at - 1] as [number, number], leaves[at] as [number, number]];
    bytes.copyWithin(first[0], second[0], second[0] + second[1]);
    const cold = new ImageCache({ limitBytes: 1 << 20, reader: images, names: images });
    const lookup = new TreeLookup(cold);
    lookup.waits = true;
    const tree = new Tree(model.root, STORE);
    expect(() => {
      for (const { key } of model.entries) lookup.find(tree, key, 0, key.length);
    }).toThrow(CorruptionError);
  });
});
