/** Trees from sorted entries: lookups, cursors and ranks against a sorted array. */
import { describe, expect, test } from 'vitest';
import { compareKeys } from '../../../src/base/bytes.ts';
import { AT, END, MISS, type Step } from '../../../src/node/entry-cursor.ts';
import { ImageCache } from '../../../src/node/image-cache.ts';
import { Tree } from '../../../src/tree/tree.ts';
import { TreeCursor } from '../../../src/tree/tree-cursor.ts';
import { ABSENT, FOUND, TreeLookup } from '../../../src/tree/tree-lookup.ts';
import { buildModel, KEY_KINDS, keyOf, type Model, Random, randomModel, SEED, STORE } from './model.ts';
import { MemoryImages } from './memory-images.ts';

async function settle<T>(move: () => T, cursor: { load(): Promise<void> }, isMiss: (answer: T) => boolean): Promise<T> {
  for (let tries = 0; tries < 200; tries++) {
    const answer = move();
    if (!isMiss(answer)) return answer;
    await cursor.load();
  }
  throw new Error('a load that never helps');
}

const miss = (step: number): boolean => step === MISS;

async function checkCursor(model: Model, cursor: TreeCursor, random: Random): Promise<void> {
  const { entries } = model;
  const forward: string[] = [];
  let step: Step = await settle(() => cursor.first(), cursor, miss);
  while (step === AT) {
    forward.push(Buffer.from(keyOf(cursor)).toString('hex'));
    step = await settle(() => cursor.next(), cursor, miss);
  }
  expect(step).toBe(END);
  expect(cursor.next()).toBe(END);
  const expected = entries.map((e) => Buffer.from(e.key).toString('hex'));
  expect(forward).toEqual(expected);
  const backward: string[] = [];
  for (step = await settle(() => cursor.last(), cursor, miss); step === AT; ) {
    backward.push(Buffer.from(keyOf(cursor)).toString('hex'));
    step = await settle(() => cursor.previous(), cursor, miss);
  }
  expect(backward.reverse()).toEqual(expected);
  for (let i = 0; i < 60; i++) {
    const key = model.nearKey(random);
    const at = entries.findIndex((e) => compareKeys(e.key, key) >= 0);
    const index = at < 0 ? entries.length : at;
    step = await settle(() => cursor.seek(key, 0, key.length), cursor, miss);
    expect(step).toBe(index < entries.length ? AT : END);
    if (step === AT) {
      model.mustShow(cursor, index);
      expect(
        await settle(
          () => cursor.rank(),
          cursor,
          (r) => r < 0,
        ),
      ).toBe(index);
      step = await settle(() => cursor.previous(), cursor, miss);
      expect(step).toBe(index > 0 ? AT : END);
      if (step === AT) model.mustShow(cursor, index - 1);
    }
    step = await settle(() => cursor.seekBefore(key, 0, key.length), cursor, miss);
    expect(step).toBe(index > 0 ? AT : END);
    if (step === AT) {
      model.mustShow(cursor, index - 1);
      step = await settle(() => cursor.next(), cursor, miss);
      expect(step).toBe(index < entries.length ? AT : END);
      if (step === AT) model.mustShow(cursor, index);
    }
    const rank = random.below(entries.length + 2);
    step = await settle(() => cursor.seekRank(rank), cursor, miss);
    expect(step).toBe(rank < entries.length ? AT : END);
    if (step === AT) model.mustShow(cursor, rank);
  }
}

async function checkLookup(model: Model, tree: Tree, lookup: TreeLookup, random: Random): Promise<void> {
  const { entries } = model;
  for (let i = 0; i < 100; i++) {
    const key = model.nearKey(random);
    const at = entries.findIndex((e) => compareKeys(e.key, key) >= 0);
    const index = at < 0 ? entries.length : at;
    const there = at >= 0 && compareKeys((entries[at] as { key: Uint8Array }).key, key) === 0;
    const found = await settle(() => lookup.find(tree, key, 0, key.length), lookup, miss);
    expect(found).toBe(there ? FOUND : ABSENT);
    if (there) {
      const entry = entries[index] as { cell: Uint8Array; version: number };
      expect(Buffer.from(lookup.cellBytes.slice(lookup.cellStart, lookup.cellEnd))).toEqual(Buffer.from(entry.cell));
      expect(lookup.version).toBe(entry.version);
    }
    expect(
      await settle(
        () => lookup.rank(tree, key, 0, key.length),
        lookup,
        (r) => r < 0,
      ),
    ).toBe(index);
  }
  expect(
    await settle(
      () => lookup.count(tree, undefined, undefined),
      lookup,
      (r) => r < 0,
    ),
  ).toBe(entries.length);
}

describe(`trees built from sorted entries (SOP_SEED=${SEED})`, () => {
  for (const kind of KEY_KINDS) {
    for (const count of [1, 2, 50, 700, 6000]) {
      if (kind === 'long' && count > 700) continue;
      test(`${count} ${kind} keys are found, walked and counted, with room for all images and with sixteen frames`, async () => {
        const random = new Random(SEED + count);
        const images = new MemoryImages();
        const model = buildModel(randomModel(kind, count, random), images);
        for (const limitBytes of [16 * 1024 * 1024, 16 * 8192]) {
          for (const waits of [true, false]) {
            const cache = new ImageCache({ limitBytes, reader: images, names: images });
            const tree = new Tree(model.root, STORE);
            const cursor = new TreeCursor(cache, tree);
            cursor.waits = waits;
            await checkCursor(model, cursor, random);
            const lookup = new TreeLookup(cache);
            lookup.waits = waits;
            await checkLookup(model, tree, lookup, random);
            expect(cache.stats.allocatedBytes).toBeLessThanOrEqual(cache.stats.limitBytes);
          }
        }
      });
    }
  }

  test('cursors that take turns in sixteen frames each see every entry once', async () => {
    const images = new MemoryImages();
    const random = new Random(SEED);
    const model = buildModel(randomModel('random', 5000, random), images);
    const cache = new ImageCache({ limitBytes: 16 * 8192, reader: images, names: images });
    const tree = new Tree(model.root, STORE);
    const cursors = Array.from({ length: 5 }, () => new TreeCursor(cache, tree));
    const lookup = new TreeLookup(cache);
    const at: number[] = [];
    for (const cursor of cursors) {
      at.push(random.below(model.entries.length));
      await settle(() => cursor.seekRank(at.at(-1) as number), cursor, miss);
    }
    for (let turn = 0; turn < 6000; turn++) {
      const which = random.below(cursors.length);
      const cursor = cursors[which] as TreeCursor;
      const forward = random.chance(60);
      cursor.waits = random.chance(50);
      const step: Step = await settle(() => (forward ? cursor.next() : cursor.previous()), cursor, miss);
      at[which] = (at[which] as number) + (forward ? 1 : -1);
      expect(step).toBe(at[which] >= 0 && at[which] < model.entries.length ? AT : END);
      if (step === AT) model.mustShow(cursor, at[which]);
      else {
        at[which] = random.below(model.entries.length);
        await settle(() => cursor.seekRank(at[which] as number), cursor, miss);
      }
      for (let i = 0; i < 4; i++) {
        const { key } = model.entries[random.below(model.entries.length)] as { key: Uint8Array };
        expect(await settle(() => lookup.find(tree, key, 0, key.length), lookup, miss)).toBe(FOUND);
      }
    }
  });
});
