/** Images of trees, and of runs whose keys wait for a number, as targets of the fuzzer. */
import { readU32, writeU32 } from '../../src/base/bytes.ts';
import { endsWithPlaceholder, ITEM_ID_BYTES, writeItemId } from '../../src/log/placeholder.ts';
import { AT, type EntryCursor, type Step } from '../../src/node/entry-cursor.ts';
import { decodeHandle, type SegmentNames } from '../../src/node/handle.ts';
import { imageChecksum } from '../../src/node/image-builder.ts';
import { ImageCache } from '../../src/node/image-cache.ts';
import { TreeRun } from '../../src/storage/tree-run.ts';
import { checkTree } from '../../src/tree/tree-check.ts';
import { Tree } from '../../src/tree/tree.ts';
import { TreeCursor } from '../../src/tree/tree-cursor.ts';
import { TreeLookup } from '../../src/tree/tree-lookup.ts';
import type { FolderBytes } from '../corruption/bytes-env.ts';
import { itemsIn } from '../corruption/forge.ts';
import type { Target } from './fuzz.ts';

export function imageTargets(folder: FolderBytes, withRuns: FolderBytes, names: () => SegmentNames): Target[] {
  return [imageTarget(folder, names), runItemsTarget(withRuns, names)];
}

function imagesIn(folder: FolderBytes): Uint8Array[] {
  const images: Uint8Array[] = [];
  for (const [path, bytes] of folder) {
    if (!path.startsWith('data/')) continue;
    for (const { at, length, isImage } of itemsIn(bytes)) if (isImage) images.push(bytes.slice(at, at + length));
  }
  return images;
}

function repairImage(bytes: Uint8Array): void {
  if (bytes.length < 48) return;
  writeU32(bytes, 8, bytes.length & ~7);
  writeU32(bytes, 12, imageChecksum(bytes, 0, bytes.length & ~7));
}

/** Images that are read wherever one looks. */
function imageTarget(folder: FolderBytes, names: () => SegmentNames): Target {
  const images = imagesIn(folder);
  const bySize = images.sort((a, b) => a.length - b.length);
  const seeds = [
    bySize[0],
    bySize[Math.floor(bySize.length / 2)],
    ...images.filter((image) => (image[3] as number) > 0),
  ];
  return {
    name: 'image',
    seeds: seeds.slice(0, 6) as Uint8Array[],
    repair: repairImage,
    run: (bytes) => readImage(bytes, names()),
  };
}

function readImage(bytes: Uint8Array, names: SegmentNames): void {
  const cache = cacheOver(bytes, names);
  const handle = statedHandle(bytes, names);
  const storeId = bytes.length < 20 ? 0 : new DataView(bytes.buffer).getUint32(16, true);
  const check = checkTree({ cache, storeId, root: handle, waits: true, tombstones: true });
  for (let met = 0; check.next().done !== true; met++) if (met > 10_000) throw new Error('a check without end');
  const cursor = new TreeCursor(cache, new Tree(handle, storeId));
  cursor.waits = true;
  let met = 0;
  for (let step = cursor.first(); step === AT; step = cursor.next()) if (met++ > 70_000) throw new Error('no end');
  for (let step = cursor.last(); step === AT; step = cursor.previous()) if (met++ > 140_000) throw new Error('no end');
  const lookup = new TreeLookup(cache);
  lookup.waits = true;
  lookup.find(new Tree(handle, storeId), bytes, 40, Math.min(bytes.length, 60));
}

/** A parent's handle that fits what the image says of itself. */
function statedHandle(bytes: Uint8Array, names: SegmentNames): ReturnType<typeof decodeHandle> {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const at = (offset: number, size: number): number => (offset + size <= bytes.length ? 1 : 0);
  const count = at(4, 2) ? view.getUint16(4, true) : 1;
  const level = bytes[3] ?? 0;
  const sums = { entries: count, digestLow: 0, digestHigh: 0, inexact: false };
  const stated = {
    segment: 0,
    offset: 4096,
    length: bytes.length & ~7,
    level,
    newest: at(32, 6) ? view.getUint32(32, true) : 0,
  };
  if (level === 0) return { ...stated, ...sums };
  const lastSlot = 40 + (((at(6, 2) ? view.getUint16(6, true) : 0) + 3) & ~3) + 8 * count;
  const end = at(lastSlot, 4) ? Math.min(bytes.length, view.getUint32(lastSlot, true) >>> 16) : 0;
  let entries = 0;
  for (let i = 0; i < count && end - 40 * (count - i) >= 0; i++) {
    const child = decodeHandle(bytes, end - 40 * (count - i), names);
    entries += child.entries;
    sums.digestLow = (sums.digestLow + child.digestLow) >>> 0;
    sums.digestHigh = (sums.digestHigh + child.digestHigh) >>> 0;
    sums.inexact ||= child.inexact;
  }
  return { ...stated, ...sums, entries };
}

function cacheOver(bytes: Uint8Array, names: SegmentNames): ImageCache {
  const reader = {
    readSync: (_segment: number, _offset: number, into: Uint8Array) => {
      into.set(bytes.subarray(0, into.length));
    },
    read: async (_segment: number, _offset: number, into: Uint8Array) => {
      into.set(bytes.subarray(0, into.length));
    },
    describe: () => 'image',
  };
  return new ImageCache({ limitBytes: 16 * 8192, reader, names });
}

const RUN_NUMBER = 9;

/** A run of items whose transaction has got its number: every move of its cursor, and what it is asked for. */
function runItemsTarget(folder: FolderBytes, names: () => SegmentNames): Target {
  const leaves = imagesIn(folder).filter((image) => image[3] === 0);
  const hasItems = (image: Uint8Array): boolean =>
    image.some((_, at) => endsWithPlaceholder(image, at, at + ITEM_ID_BYTES));
  const seeds = [...leaves.filter(hasItems).slice(0, 4), ...leaves.slice(0, 1)];
  return {
    name: 'run-items',
    seeds,
    dictionary: [new Uint8Array(6).fill(255)],
    repair: repairImage,
    run: (bytes) => {
      const cache = cacheOver(bytes, names());
      const lookup = new TreeLookup(cache);
      lookup.waits = true;
      const storeId = bytes.length < 20 ? 0 : readU32(bytes, 16);
      const first = new Uint8Array(0);
      const last = new Uint8Array(64).fill(255);
      const context = { cache, names: names(), lookup };
      const run = new TreeRun(context, storeId, statedHandle(bytes, names()), first, last, RUN_NUMBER, true);
      const cursor = run.cursor();
      cursor.waits = true;
      walkRun(cursor);
      const found = { cellBytes: bytes, cellStart: 0, cellEnd: 0, version: 0, removed: false };
      for (const asked of [bytes.slice(40, 52), itemAt(bytes.slice(40, 44))]) {
        run.find(asked, 0, asked.length, found);
        cursor.seek(asked, 0, asked.length);
        cursor.seekBefore(asked, 0, asked.length);
      }
    },
  };
}

/** A key of the run's own transaction. */
function itemAt(key: Uint8Array): Uint8Array {
  const item = new Uint8Array(key.length + ITEM_ID_BYTES);
  item.set(key);
  writeItemId(item, key.length, RUN_NUMBER, 1);
  return item;
}

function walkRun(cursor: EntryCursor): void {
  walkOn(
    () => cursor.first(),
    () => cursor.next(),
  );
  walkOn(
    () => cursor.last(),
    () => cursor.previous(),
  );
}

function walkOn(begin: () => Step, go: () => Step): void {
  let left = 70_000;
  for (let step = begin(); step === AT; step = go()) if (left-- === 0) throw new Error('no end');
}
