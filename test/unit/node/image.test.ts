/** Images: what is built is found, and what was damaged or forged is refused or at least harmless. */
import { describe, expect, test } from 'vitest';
import { compareKeys, writeU32 } from '../../../src/base/bytes.ts';
import { hashBytes, hashResult } from '../../../src/base/hash.ts';
import { CELL_RIDE_ON, CELL_SEPARATE } from '../../../src/codec/cell.ts';
import { entryHash, hashEntry } from '../../../src/node/entry-hash.ts';
import { encodeHandle, type Handle, HANDLE_BYTES } from '../../../src/node/handle.ts';
import { ImageBuilder, imageChecksum } from '../../../src/node/image-builder.ts';
import {
  copyKey,
  ImageViews,
  imageBaseNumber,
  imageCount,
  slotsWord,
  versionsWord,
} from '../../../src/node/image-layout.ts';
import { searchChild, searchImage } from '../../../src/node/image-search.ts';
import { imageFault } from '../../../src/node/image-validate.ts';
import { MemoryImages } from '../tree/memory-images.ts';
import { type Entry, KEY_KINDS, Random, randomModel, RUNS, SEED } from '../tree/model.ts';

const STORE = 77;

function leafOf(entries: Entry[]): { views: ImageViews; length: number; used: Entry[] } {
  const builder = new ImageBuilder(0);
  const used: Entry[] = [];
  for (const entry of entries) {
    if (!builder.append(entry.key, 0, entry.key.length, entry.cell, 0, entry.cell.length, entry.version)) break;
    used.push(entry);
  }
  const views = new ImageViews(65536);
  const length = builder.write(0, builder.count, STORE, 0, builder.highestOf(0, builder.count), views);
  return { views, length, used };
}

function near(random: Random, entries: Entry[]): Uint8Array {
  const { key } = entries[random.below(entries.length)] as Entry;
  const dice = random.below(5);
  if (dice === 0) return Uint8Array.from([...key, 0]);
  if (dice === 1) return key.slice(0, Math.max(0, key.length - 1));
  if (dice === 2) return random.bytes(random.below(20));
  if (dice === 3 && key.length > 0) {
    const other = key.slice();
    other[random.below(key.length)] = random.next();
    return other;
  }
  return key;
}

describe(`leaf images (SOP_SEED=${SEED})`, () => {
  for (const kind of KEY_KINDS) {
    test(`${kind} keys: every entry is found with its cell and version, every other key has its place`, () => {
      for (let run = 0; run < 20 * RUNS; run++) {
        const random = new Random(SEED + run);
        const version = run % 3 === 0 ? 2 ** 40 : 1;
        const entries = randomModel(kind, 1 + random.below(run < 5 ? 3 : 400), random, version);
        const { views, length, used } = leafOf(entries);
        expect(imageFault(views, 0, length, undefined, STORE)).toBe(undefined);
        expect(length).toBeLessThanOrEqual(8192);
        expect(imageCount(views, 0)).toBe(used.length);
        const key = new Uint8Array(4096);
        const slots = slotsWord(views, 0);
        used.forEach((entry, i) => {
          expect(compareKeys(key.slice(0, copyKey(views, 0, i, key, 0)), entry.key)).toBe(0);
          expect(searchImage(views, 0, entry.key, 0, entry.key.length)).toBe(i);
          const start = (views.u32[slots + i] as number) >>> 16;
          const end = (views.u32[slots + i + 1] as number) >>> 16;
          expect(compareKeys(views.bytes.slice(start, end), entry.cell)).toBe(0);
          const delta = views.u32[versionsWord(views, 0) + i] as number;
          expect(imageBaseNumber(views, 0) + delta).toBe(entry.version);
        });
        for (let i = 0; i < 50; i++) {
          const wanted = near(random, used);
          const at = used.findIndex((e) => compareKeys(e.key, wanted) >= 0);
          const place = at < 0 ? used.length : at;
          const there = at >= 0 && compareKeys((used[at] as Entry).key, wanted) === 0;
          // The key as a part of a larger array, as callers have it.
          const padded = Uint8Array.from([9, 9, ...wanted, 9]);
          expect(searchImage(views, 0, padded, 2, 2 + wanted.length)).toBe(there ? place : ~place);
        }
      }
    });
  }

  test('versions too far apart for one image end it', () => {
    const builder = new ImageBuilder(0);
    const cell = new Uint8Array(3);
    expect(builder.append(Uint8Array.of(1), 0, 1, cell, 0, 3, 1)).toBe(true);
    expect(builder.append(Uint8Array.of(2), 0, 1, cell, 0, 3, 2 ** 32 + 1)).toBe(false);
    expect(builder.append(Uint8Array.of(2), 0, 1, cell, 0, 3, 2 ** 32)).toBe(true);
  });
});

function innerOf(count: number, names: MemoryImages): { views: ImageViews; length: number; handle: Handle } {
  const builder = new ImageBuilder(1);
  const cell = new Uint8Array(HANDLE_BYTES);
  names.startSegment();
  const sums = { entries: 0, digestLow: 0, digestHigh: 0, newest: 0 };
  for (let i = 0; i < count; i++) {
    const key = Uint8Array.of(1, 2, i * 2);
    const child: Handle = {
      segment: 0,
      offset: i * 8192,
      length: 4000,
      level: 0,
      entries: i + 1,
      digestLow: (i * 0x9e3779b1) >>> 0,
      digestHigh: i,
      newest: 5 + i,
      inexact: false,
    };
    encodeHandle(child, names, cell, 0);
    builder.append(key, 0, 3, cell, 0, HANDLE_BYTES, 0);
    sums.entries += i + 1;
    sums.digestLow = (sums.digestLow + child.digestLow) >>> 0;
    sums.digestHigh += i;
    sums.newest = 5 + i;
  }
  const views = new ImageViews(65536);
  const length = builder.write(0, count, STORE, 0, sums.newest, views);
  return { views, length, handle: { segment: 0, offset: 0, length, level: 1, ...sums, inexact: false } };
}

describe('inner images', () => {
  test('a key belongs to the last child whose separator is not greater, else to the first', () => {
    const { views, length, handle } = innerOf(100, new MemoryImages());
    expect(imageFault(views, 0, length, handle, STORE)).toBe(undefined);
    for (let i = 0; i < 100; i++) {
      expect(searchChild(views, 0, Uint8Array.of(1, 2, 2 * i), 0, 3)).toBe(i);
      expect(searchChild(views, 0, Uint8Array.of(1, 2, 2 * i, 7), 0, 4)).toBe(i);
      expect(searchChild(views, 0, Uint8Array.of(1, 2, 2 * i + 1), 0, 3)).toBe(i);
    }
    expect(searchChild(views, 0, Uint8Array.of(1), 0, 1)).toBe(0);
    expect(searchChild(views, 0, Uint8Array.of(1, 3), 0, 2)).toBe(99);
  });

  test('what the parent says is held against the image: level, store, length, entries, newest, digest', () => {
    const { views, length, handle } = innerOf(30, new MemoryImages());
    const wrong: Partial<Handle>[] = [
      { level: 2 },
      { length: length - 8 },
      { entries: handle.entries + 1 },
      { newest: handle.newest + 1 },
      { digestLow: handle.digestLow ^ 1 },
      { digestHigh: handle.digestHigh ^ 1 },
      { inexact: true },
    ];
    for (const part of wrong) {
      expect(imageFault(views, 0, length, { ...handle, ...part }, STORE), JSON.stringify(part)).not.toBe(undefined);
    }
    expect(imageFault(views, 0, length, handle, STORE + 1)).toContain('belongs to store');
  });
});

describe('damage', () => {
  const random = new Random(SEED);
  const leaf = leafOf(randomModel('prefixed', 60, random));
  const inner = innerOf(40, new MemoryImages());

  test('every flipped bit is noticed', () => {
    for (const { views, length } of [leaf, inner]) {
      for (let at = 0; at < length; at++) {
        const bit = 1 << (at % 8);
        views.bytes[at] = (views.bytes[at] as number) ^ bit;
        expect(imageFault(views, 0, length, undefined, -1)).not.toBe(undefined);
        views.bytes[at] = (views.bytes[at] as number) ^ bit;
      }
      expect(imageFault(views, 0, length, undefined, -1)).toBe(undefined);
    }
  });

  test('images cut short and zeroed pages are noticed', () => {
    for (const { views, length } of [leaf, inner]) {
      for (let available = 0; available < length; available += 8) {
        expect(imageFault(views, 0, available, undefined, -1)).not.toBe(undefined);
      }
      const kept = views.bytes.slice(0, length);
      views.bytes.fill(0, 512, 1024);
      expect(imageFault(views, 0, length, undefined, -1)).not.toBe(undefined);
      views.bytes.set(kept);
    }
    expect(imageFault(new ImageViews(8192), 0, 8192, undefined, -1)).not.toBe(undefined);
  });

  test('an image forged with a right checksum is refused or can be searched without harm', () => {
    let accepted = 0;
    for (const { views, length } of [leaf, inner]) {
      const kept = views.bytes.slice(0, length);
      for (let run = 0; run < 8000 * RUNS; run++) {
        const flips = 1 + random.below(3);
        for (let i = 0; i < flips; i++) {
          const at = random.chance(60) ? random.below(800) % length : random.below(length);
          views.bytes[at] = random.chance(30) ? 0xff : random.next();
        }
        const claimed = views.u32[2] as number;
        writeU32(views.bytes, 12, claimed >= 48 && claimed <= length ? imageChecksum(views.bytes, 0, claimed) : 0);
        if (imageFault(views, 0, length, undefined, -1) === undefined) {
          accepted++;
          const count = imageCount(views, 0);
          const key = new Uint8Array(4096);
          for (let i = 0; i < 5; i++) {
            const wanted = random.bytes(random.below(50));
            const found = searchImage(views, 0, wanted, 0, wanted.length);
            const place = found >= 0 ? found : ~found;
            expect(place).toBeGreaterThanOrEqual(0);
            expect(place).toBeLessThanOrEqual(count);
            expect(copyKey(views, 0, random.below(count), key, 0)).toBeLessThanOrEqual(4096);
          }
        }
        views.bytes.set(kept);
      }
    }
    expect(accepted).toBeGreaterThan(0);
  });
});

describe('entry hashes', () => {
  const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const hash = (key: Uint8Array, cell: Uint8Array): string => {
    hashEntry(view(key), 0, key.length, view(cell), 0, cell.length);
    return `${entryHash.low}:${entryHash.high}`;
  };
  const key = Uint8Array.of(1, 2, 3);
  const value = Uint8Array.of(5, 6, 7, 8, 9);

  test('do not depend on where the value lives', () => {
    hashBytes(value, 0, value.length, 0, 0);
    const reference = new Uint8Array(32);
    writeU32(reference, 22, hashResult.low);
    writeU32(reference, 26, hashResult.high);
    expect(hash(key, Uint8Array.from([CELL_SEPARATE, ...reference]))).toBe(hash(key, Uint8Array.from([0, ...value])));
    const rideOn = [2, 0, 42, 43];
    expect(hash(key, Uint8Array.from([CELL_SEPARATE | CELL_RIDE_ON, ...rideOn, ...reference]))).toBe(
      hash(key, Uint8Array.from([CELL_RIDE_ON, ...rideOn, ...value])),
    );
  });

  test('depend on key, ride-on part and value', () => {
    const cells = [
      Uint8Array.from([0, ...value]),
      Uint8Array.from([0, 5, 6, 7, 8]),
      Uint8Array.from([CELL_RIDE_ON, 1, 0, 42, ...value]),
      Uint8Array.from([CELL_RIDE_ON, 1, 0, 43, ...value]),
      Uint8Array.from([0, 42, ...value]),
    ];
    const hashes = cells.flatMap((cell) => [hash(key, cell), hash(Uint8Array.of(1, 2), cell)]);
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(hash(key, Uint8Array.from([0, ...key, 1]))).not.toBe(
      hash(Uint8Array.from([...key, 1]), Uint8Array.from([0, ...key])),
    );
  });
});
