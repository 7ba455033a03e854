/** Rows of the engine's own stores that are no rows, in images whose checksums are right. */
import { describe, expect, test } from 'vitest';
import { ImageCache } from '../../../src/node/image-cache.ts';
import { loadSpace } from '../../../src/storage/load-space.ts';
import { SnapshotReader } from '../../../src/storage/snapshot-reader.ts';
import { Space } from '../../../src/storage/space.ts';
import { FOREST_ROW_BYTES, FOREST_STORE, idKey, SEGMENT_STORE } from '../../../src/storage/system-stores.ts';
import type { Root } from '../../../src/storage/view.ts';
import { Tree } from '../../../src/tree/tree.ts';
import { TreeBuilder } from '../../../src/tree/tree-build.ts';
import { MemoryImages } from '../tree/memory-images.ts';

const MALFORMED = expect.objectContaining({ code: 'CORRUPTION', message: expect.stringContaining('malformed') });

function treeOf(images: MemoryImages, storeId: number, key: Uint8Array, cell: Uint8Array): Tree {
  const builder = new TreeBuilder({ sink: images, names: images, storeId });
  builder.append(key, 0, key.length, cell, 0, cell.length, 1);
  return new Tree(builder.finish() as Tree['root'], storeId);
}

function readerOf(images: MemoryImages): SnapshotReader {
  return new SnapshotReader(new ImageCache({ limitBytes: 16 * 8192, reader: images, names: images }));
}

describe('a row of the forest', () => {
  test.each([1, FOREST_ROW_BYTES - 1, FOREST_ROW_BYTES + 1])('of %i bytes is refused', (size) => {
    const images = new MemoryImages();
    const forest = treeOf(images, FOREST_STORE, idKey(70), new Uint8Array(size));
    const root: Root = { record: { covered: 1 } as Root['record'], forest, trees: new Map() };
    expect(() => readerOf(images).tree(root, 70)).toThrow(MALFORMED);
  });
});

describe('a row of the segment store', () => {
  test.each([
    [0, 14],
    [7, 14],
    [9, 14],
    [8, 13],
    [8, 15],
  ])('with a key of %i bytes and a cell of %i is refused', (keyBytes, cellBytes) => {
    const images = new MemoryImages();
    const cell = new Uint8Array(cellBytes).fill(1, 1, 2);
    const tree = treeOf(images, SEGMENT_STORE, new Uint8Array(keyBytes).fill(1), cell);
    const root: Root = {
      record: { covered: 1 } as Root['record'],
      forest: undefined,
      trees: new Map([[SEGMENT_STORE, tree]]),
    };
    const reader = readerOf(images);
    expect(() => loadSpace(new Space(images), root, reader, reader.cache)).toThrow(MALFORMED);
  });
});
