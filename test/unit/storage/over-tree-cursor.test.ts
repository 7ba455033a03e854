/** Records over a tree, by the entry and by the block, against a sorted array; with as many cache misses as there can be. */
import { describe, expect, test } from 'vitest';
import { compareKeys } from '../../../src/base/bytes.ts';
import { BACKWARD, BLOCK_ENTRIES, type Direction, EntryBlock, FORWARD } from '../../../src/node/entry-block.ts';
import { AT, END, MISS, type Step } from '../../../src/node/entry-cursor.ts';
import { ImageCache } from '../../../src/node/image-cache.ts';
import { LayeredCursor } from '../../../src/storage/layered-cursor.ts';
import { MemoryTable } from '../../../src/storage/memory-table.ts';
import { OverTreeCursor } from '../../../src/storage/over-tree-cursor.ts';
import { RecordArena } from '../../../src/storage/record-arena.ts';
import { WriteBuffer } from '../../../src/storage/write-buffer.ts';
import { Tree } from '../../../src/tree/tree.ts';
import { TreeCursor } from '../../../src/tree/tree-cursor.ts';
import { TreeLookup } from '../../../src/tree/tree-lookup.ts';
import { MemoryImages } from '../tree/memory-images.ts';
import {
  buildModel,
  type Entry,
  KEY_KINDS,
  type KeyKind,
  Random,
  randomKey,
  randomModel,
  RUNS,
  SEED,
  STORE,
} from '../tree/model.ts';

const hex = (bytes: Uint8Array, start = 0, end = bytes.length) => Buffer.from(bytes.slice(start, end)).toString('hex');
const shown = (e: Entry) => `${hex(e.key)} ${hex(e.cell)} ${e.version}`;

/** A tree with tables over it, and what all of them come to. */
class Fixture {
  readonly entries: Entry[];
  readonly cursor: OverTreeCursor;
  readonly #lookup: TreeLookup;
  readonly #tree: Tree;
  readonly #random: Random;
  readonly #treeEntries: readonly Entry[];

  constructor(kind: KeyKind, count: number, tables: number, random: Random) {
    const images = new MemoryImages();
    const model = buildModel(randomModel(kind, count, random), images);
    const cache = new ImageCache({ limitBytes: 16 * 8192, reader: images, names: images });
    this.#tree = new Tree(model.root, STORE);
    this.#lookup = new TreeLookup(cache);
    this.#lookup.waits = true;
    this.#random = random;
    this.#treeEntries = model.entries;
    const all = new Map<string, Entry | undefined>(model.entries.map((e) => [hex(e.key), e]));
    const keys = new Map(model.entries.map((e) => [hex(e.key), e.key]));
    const snapshot = 10_000 * tables + 50;
    const layers = Array.from({ length: tables }, (_, i) => {
      const isNewest = i === tables - 1;
      return this.#makeTable(kind, 10_000 * (i + 1), isNewest ? 60 : 50, all, keys);
    });
    const cursors = layers.map((table) => table.store(STORE)?.cursor(snapshot));
    const known = cursors.filter((cursor) => cursor !== undefined).reverse();
    const records =
      known.length === 1
        ? (known[0] as NonNullable<(typeof known)[0]>)
        : new LayeredCursor(
            known.map((cursor) => ({ cursor, snapshot })),
            { showRemoved: true },
          );
    this.cursor = new OverTreeCursor(records, new TreeCursor(cache, this.#tree));
    this.entries = [...all.values()].filter((e) => e !== undefined).sort((a, b) => compareKeys(a.key, b.key));
  }

  /** Changes of the first 50 numbers are seen, later ones are not. */
  #makeTable(
    kind: KeyKind,
    baseNumber: number,
    transactions: number,
    all: Map<string, Entry | undefined>,
    keys: Map<string, Uint8Array>,
  ): MemoryTable {
    const random = this.#random;
    const table = MemoryTable.over(new RecordArena(new ArrayBuffer(1 << 21), false), baseNumber);
    const crowded = random.chance(50);
    for (let number = baseNumber + 1; number <= baseNumber + transactions; number++) {
      const buffer = new WriteBuffer(64);
      const known = [...keys.values()];
      for (let i = random.below(crowded ? 20 : 3); i >= 0; i--) {
        const key = random.chance(70) ? (known[random.below(known.length)] as Uint8Array) : randomKey(kind, random);
        const cell = Uint8Array.from([0, ...random.bytes(random.below(30))]);
        const isRemoval = random.chance(crowded ? 70 : 40);
        if (isRemoval) buffer.remove(key, 0, key.length);
        else buffer.put(key, 0, key.length, cell, 0, cell.length);
        keys.set(hex(key), key);
        if (number <= baseNumber + 50) all.set(hex(key), isRemoval ? undefined : { key, cell, version: number });
      }
      table.applySection(STORE, buffer.sectionBytes, buffer.sectionStart, buffer.sectionLength, number);
    }
    return table;
  }

  /** Loads other leaves, perhaps over those under the cursor. */
  disturb(): void {
    for (let i = this.#random.below(12); i > 0; i--) {
      const { key } = this.#treeEntries[this.#random.below(this.#treeEntries.length)] as Entry;
      this.#lookup.find(this.#tree, key, 0, key.length);
    }
  }

  async step(move: () => Step): Promise<Step> {
    for (let tries = 0; tries < 200; tries++) {
      const step = move();
      if (step !== MISS) return step;
      await this.cursor.load();
      if (this.#random.chance(20)) this.disturb();
    }
    throw new Error('a load that never helps');
  }

  entryAtCursor(): string {
    const { keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd, version } = this.cursor;
    return `${hex(keyBytes, keyStart, keyEnd)} ${hex(cellBytes, cellStart, cellEnd)} ${version}`;
  }
}

function entriesOf(block: EntryBlock): string[] {
  return Array.from({ length: block.count }, (_, i) => {
    const cell = block.sources[block.sourceOf[i] as number] as Uint8Array;
    const key = hex(block.keys, block.keyStart(i), block.keyEnds[i]);
    return `${key} ${hex(cell, block.cellStarts[i], block.cellEnds[i])} ${block.versions[i]}`;
  });
}

/** Walks at random, now by the entry, now by the block, and checks each place. */
async function wander(fixture: Fixture, random: Random): Promise<void> {
  const { cursor } = fixture;
  const expected = fixture.entries.map(shown);
  const block = new EntryBlock();
  let at = -1;
  for (let turn = 0; turn < 150; turn++) {
    cursor.waits = random.chance(50);
    if (random.chance(30)) fixture.disturb();
    let direction: Direction = random.chance(50) ? FORWARD : BACKWARD;
    const how = random.below(at < 0 ? 3 : 12);
    const { key } = fixture.entries[random.below(fixture.entries.length)] as Entry;
    const near = random.chance(50) ? key : Uint8Array.from([...key, 0]);
    const index = fixture.entries.findIndex((e) => compareKeys(e.key, near) >= 0);
    const first = index < 0 ? expected.length : index;
    let step: Step;
    if (how === 0) {
      step = await fixture.step(() => (direction === FORWARD ? cursor.first() : cursor.last()));
      at = direction === FORWARD ? 0 : expected.length - 1;
    } else if (how === 1) {
      direction = FORWARD;
      step = await fixture.step(() => cursor.seek(near, 0, near.length));
      at = first;
    } else if (how === 2) {
      direction = BACKWARD;
      step = await fixture.step(() => cursor.seekBefore(near, 0, near.length));
      at = first - 1;
    } else {
      step = await fixture.step(() => (direction === FORWARD ? cursor.next() : cursor.previous()));
      at += direction;
    }
    const there = at >= 0 && at < expected.length;
    expect(step).toBe(there ? AT : END);
    if (!there) {
      at = -1;
      continue;
    }
    expect(fixture.entryAtCursor()).toBe(expected[at]);
    if (!random.chance(40)) continue;
    block.clear();
    const most = 1 + random.below(random.chance(50) ? 10 : BLOCK_ENTRIES);
    cursor.fill(block, most);
    expect(block.count).toBeGreaterThan(0);
    expect(block.count).toBeLessThanOrEqual(most);
    const want = Array.from({ length: block.count }, (_, i) => expected[at + i * direction]);
    expect(entriesOf(block)).toEqual(want);
    at += (block.count - 1) * direction;
  }
}

describe(`records over a tree (SOP_SEED=${SEED})`, () => {
  for (const kind of KEY_KINDS) {
    test(`${kind} keys come in order, in both directions, by the entry and by the block`, async () => {
      for (let run = 0; run < 4 * RUNS; run++) {
        const random = new Random(SEED + run);
        const count = [1, 40, 400, 3000][run % 4] as number;
        const fixture = new Fixture(kind, kind === 'long' ? Math.min(count, 400) : count, 1 + random.below(2), random);
        if (fixture.entries.length > 0) await wander(fixture, random);
      }
    });
  }
});
