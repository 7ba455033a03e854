/** The order group: first, last, ranges in all forms, counts, ranks. */
import { describe, expect, test } from 'vitest';
import { InvalidArgumentError, InvalidKeyError } from '../../../src/base/errors.ts';
import type { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import type { Transaction } from '../../../src/store/transaction.ts';
import { KEYS_IN_ORDER } from './samples.ts';
import { fresh, type OpenSubject } from './subject.ts';

const numbers = defineStore<number, string>('numbers');
interface CityKey {
  readonly country: string;
  readonly population: number;
  readonly name: string;
}
const cities = defineStore<CityKey, { lat: number }>('cities', {
  key: ['country', { field: 'population', order: 'desc' }, 'name'],
});

/** The even numbers from 0 to 998. */
async function fill(db: Database): Promise<void> {
  await db.write((tx) =>
    tx.store(numbers).putMany(Array.from({ length: 500 }, (_, i) => [i * 2, `v${i * 2}`] as const)),
  );
}

const keysOf = (tx: Transaction, range: Parameters<ReturnType<typeof tx.store<number, string, never>>['range']>[0]) =>
  tx
    .store(numbers)
    .range({ ...range, keysOnly: true })
    .toArray();

export function orderContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('order', () => {
    test('every key type and its extremes sort in the documented order, and come back as they were', async () => {
      const { db } = await subject();
      const keys = defineStore<import('../../../src/codec/tuple.ts').KeyValue, number>('keys');
      const shuffled = KEYS_IN_ORDER.map((key, i) => [key, i] as const).sort(
        (a, b) => ((a[1] * 7919) % 101) - ((b[1] * 7919) % 101),
      );
      await db.write((tx) => tx.store(keys).putMany(shuffled));
      await db.read(async (tx) => {
        const s = tx.store(keys);
        const entries = await s.range().toArray();
        expect(entries.map((entry) => entry.value)).toEqual(KEYS_IN_ORDER.map((_, i) => i));
        for (const [i, entry] of entries.entries()) expect(entry.key).toStrictEqual(KEYS_IN_ORDER[i]);
        expect(
          Object.is(entries.find((entry) => entry.value === KEYS_IN_ORDER.findIndex((k) => Object.is(k, -0)))?.key, -0),
        ).toBe(true);
        for (const [i, key] of KEYS_IN_ORDER.entries()) {
          expect(await s.get(key)).toBe(i);
          expect(await s.rank(key as never)).toBe(i);
        }
      });
    });

    test('every key type sorts the other way round in a descending store', async () => {
      const { db } = await subject();
      const keys = defineStore<import('../../../src/codec/tuple.ts').KeyValue, number>('down', {
        key: { order: 'desc' },
      });
      await db.write((tx) => tx.store(keys).putMany(KEYS_IN_ORDER.map((key, i) => [key, i] as const)));
      const values = await db.read(async (tx) => (await tx.store(keys).range().toArray()).map((entry) => entry.value));
      expect(values).toEqual(KEYS_IN_ORDER.map((_, i) => i).reverse());
    });

    test('composite keys sort by their fields, each in its own direction', async () => {
      const { db } = await subject();
      const keys: CityKey[] = [
        { country: 'DE', population: 3_600_000, name: 'Berlin' },
        { country: 'DE', population: 1_800_000, name: 'Hamburg' },
        { country: 'DE', population: 10, name: 'Aa' },
        { country: 'DE', population: 10, name: 'Ab' },
        { country: 'FR', population: 2_100_000, name: 'Paris' },
      ];
      await db.write((tx) => tx.store(cities).putMany([...keys].reverse().map((key) => [key, { lat: 0 }] as const)));
      await db.read(async (tx) => {
        const s = tx.store(cities);
        expect(await s.range({ keysOnly: true }).toArray()).toEqual(keys);
        expect(await s.range({ keysOnly: true, prefix: { country: 'DE' } }).toArray()).toEqual(keys.slice(0, 4));
        expect(await s.range({ keysOnly: true, prefix: { country: 'DE', population: 10 } }).toArray()).toEqual(
          keys.slice(2, 4),
        );
        expect(await s.range({ keysOnly: true, prefix: { country: { startsWith: 'F' } } }).toArray()).toEqual(
          keys.slice(4),
        );
        expect(await s.range({ keysOnly: true, gt: { country: 'DE' } }).toArray()).toEqual(keys.slice(4));
        expect(await s.range({ keysOnly: true, lte: { country: 'DE', population: 1_800_000 } }).toArray()).toEqual(
          keys.slice(0, 2),
        );
        expect(await s.count({ prefix: { country: 'DE' } })).toBe(4);
      });
    });

    test('first and last, of all and of a range', async () => {
      const { db } = await subject();
      await db.read(async (tx) => {
        expect(await tx.store(numbers).first()).toBeUndefined();
        expect(tx.store(numbers).lastSync()).toBeUndefined();
      });
      await fill(db);
      await db.read(async (tx) => {
        const s = tx.store(numbers);
        expect((await s.first())?.key).toBe(0);
        expect((await s.last())?.key).toBe(998);
        expect(s.firstSync({ gt: 10 })?.key).toBe(12);
        expect(s.lastSync({ lt: 11 })?.key).toBe(10);
        expect(await s.first({ gt: 998 })).toBeUndefined();
      });
    });

    test('each bound means what it says', async () => {
      const { db } = await subject();
      await fill(db);
      await db.read(async (tx) => {
        expect(await keysOf(tx, { gte: 10, lte: 14 })).toEqual([10, 12, 14]);
        expect(await keysOf(tx, { gt: 10, lt: 14 })).toEqual([12]);
        expect(await keysOf(tx, { gt: 9, lt: 13 })).toEqual([10, 12]);
        expect(await keysOf(tx, { gte: 10, gt: 12, lte: 20, lt: 18 })).toEqual([14, 16]);
        expect(await keysOf(tx, { gte: 990 })).toEqual([990, 992, 994, 996, 998]);
        expect(await keysOf(tx, { lt: 6 })).toEqual([0, 2, 4]);
        expect(await keysOf(tx, { gte: 14, lt: 10 })).toEqual([]);
        expect(await keysOf(tx, { gte: 11, lt: 12 })).toEqual([]);
      });
    });

    test('reverse and limit', async () => {
      const { db } = await subject();
      await fill(db);
      await db.read(async (tx) => {
        expect(await keysOf(tx, { limit: 3 })).toEqual([0, 2, 4]);
        expect(await keysOf(tx, { reverse: true, limit: 3 })).toEqual([998, 996, 994]);
        expect(await keysOf(tx, { reverse: true, lt: 10, gte: 4 })).toEqual([8, 6, 4]);
        expect(await keysOf(tx, { limit: 0 })).toEqual([]);
        expect((await keysOf(tx, { limit: 10_000 })).length).toBe(500);
      });
    });

    test('strings, bytes and tuples by what they begin with', async () => {
      const { db } = await subject();
      const words = defineStore<string, number>('words');
      const blobs = defineStore<Uint8Array, number>('blobs');
      const pairs = defineStore<readonly [string, number], number>('pairs');
      await db.write((tx) => {
        for (const word of ['', 'a', 'ab', 'abc', 'abd', 'ac', 'b', 'ab\uffff', 'ab\u{10ffff}'])
          tx.store(words).put(word, 1);
        for (const blob of [[], [1], [255], [255, 0], [255, 255]]) tx.store(blobs).put(Uint8Array.from(blob), 1);
        for (const [a, n] of [
          ['x', 1],
          ['x', 2],
          ['y', 1],
        ] as const)
          tx.store(pairs).put([a, n], 1);
      });
      await db.read(async (tx) => {
        const words_ = await tx.store(words).range({ prefix: 'ab', keysOnly: true }).toArray();
        expect(words_).toEqual(['ab', 'abc', 'abd', 'ab\uffff', 'ab\u{10ffff}']);
        expect(await tx.store(words).count({ prefix: '' })).toBe(9);
        const blobs_ = await tx
          .store(blobs)
          .range({ prefix: Uint8Array.of(255), keysOnly: true })
          .toArray();
        expect(blobs_.map((blob) => [...blob])).toEqual([[255], [255, 0], [255, 255]]);
        expect(
          await tx
            .store(pairs)
            .range({ prefix: ['x'], keysOnly: true })
            .toArray(),
        ).toEqual([
          ['x', 1],
          ['x', 2],
        ]);
      });
    });

    test('all forms of iteration hand out the same', async () => {
      const { db } = await subject();
      await fill(db);
      await db.read(async (tx) => {
        const range = tx.store(numbers).range({ gte: 100, lt: 900 });
        const expected = Array.from({ length: 400 }, (_, i) => i * 2 + 100);
        const collected: number[][] = [[], [], [], []];
        for await (const entry of range) collected[0]?.push(entry.key);
        for (const entry of range.sync()) collected[1]?.push(entry.key);
        for await (const page of range.pages(7)) collected[2]?.push(...page.map((entry) => entry.key));
        for (const page of range.syncPages()) collected[3]?.push(...page.map((entry) => entry.key));
        for (const keys of collected) expect(keys).toEqual(expected);
        expect((await range.toArray()).map((entry) => entry.value)).toEqual(expected.map((key) => `v${key}`));
        expect(range.toArraySync().length).toBe(400);
      });
    });

    test('pages are full but for the last', async () => {
      const { db } = await subject();
      await fill(db);
      await db.read(async (tx) => {
        const sizes: number[] = [];
        for await (const page of tx.store(numbers).range().pages(150)) sizes.push(page.length);
        expect(sizes).toEqual([150, 150, 150, 50]);
        expect([...tx.store(numbers).range({ limit: 150 }).syncPages(150)].map((page) => page.length)).toEqual([150]);
      });
    });

    test('where chooses by key without a value being read', async () => {
      const { db } = await subject();
      await fill(db);
      await db.read(async (tx) => {
        expect(await keysOf(tx, { where: (key) => key % 100 === 0, limit: 4 })).toEqual([0, 100, 200, 300]);
        expect(await keysOf(tx, { where: () => false })).toEqual([]);
        const failing = tx.store(numbers).range({
          where: () => {
            throw new Error('mine');
          },
        });
        await expect(failing.toArray()).rejects.toThrow('mine');
      });
    });

    test('breaking off and going on with something else is fine', async () => {
      const { db } = await subject();
      await fill(db);
      await db.read(async (tx) => {
        for (let round = 0; round < 5; round++) {
          for await (const entry of tx.store(numbers).range()) if (entry.key === 6) break;
          for (const entry of tx.store(numbers).range({ reverse: true }).sync()) if (entry.key === 6) break;
        }
        const both = tx.store(numbers).range({ keysOnly: true, limit: 3 });
        const seen: number[][] = [];
        for await (const a of both) for await (const b of both) seen.push([a, b]);
        expect(seen.length).toBe(9);
      });
    });

    test('iterating sees the changes that the same transaction makes on the way', async () => {
      const { db } = await subject();
      await fill(db);
      await db.write(async (tx) => {
        const s = tx.store(numbers);
        const seen: number[] = [];
        for await (const entry of s.range({ lt: 100 })) {
          seen.push(entry.key);
          if (entry.key % 2 === 0) s.put(entry.key + 1, 'between');
          await s.remove(entry.key + 2);
        }
        expect(seen).toEqual([0, 1, 4, 5, 8, 9, ...seen.slice(6)]);
        expect(new Set(seen).size).toBe(seen.length);
        expect([...seen].sort((a, b) => a - b)).toEqual(seen);
      });
    });

    test('removing everything while iterating backwards ends', async () => {
      const { db } = await subject();
      await fill(db);
      await db.write(async (tx) => {
        const s = tx.store(numbers);
        let removed = 0;
        for (const key of s.range({ keysOnly: true, reverse: true }).sync()) if (s.removeSync(key)) removed++;
        expect(removed).toBe(500);
        expect(await s.count()).toBe(0);
      });
    });

    test('own changes and what was there before are one sequence', async () => {
      const { db } = await subject();
      await fill(db);
      await db.write(async (tx) => {
        const s = tx.store(numbers);
        s.put(101, 'new');
        s.put(100, 'changed');
        await s.remove(102);
        expect(await s.range({ gte: 98, lt: 106 }).toArray()).toMatchObject([
          { key: 98, value: 'v98' },
          { key: 100, value: 'changed' },
          { key: 101, value: 'new' },
          { key: 104, value: 'v104' },
        ]);
        expect(await s.count({ gte: 98, lt: 106 })).toBe(4);
        expect(await s.count()).toBe(500);
        expect(await s.rank(101)).toBe(51);
      });
    });

    test('count, at and rank agree with the order', async () => {
      const { db } = await subject();
      await fill(db);
      await db.read(async (tx) => {
        const s = tx.store(numbers);
        expect(await s.count()).toBe(500);
        expect(s.countSync({ gte: 100, lt: 200 })).toBe(50);
        expect(await s.count({ gt: 100, lte: 200 })).toBe(50);
        expect(await s.count({ gte: 5, lt: 3 })).toBe(0);
        expect((await s.at(0))?.key).toBe(0);
        expect((await s.at(123))?.key).toBe(246);
        expect(s.atSync(-1)?.key).toBe(998);
        expect((await s.at(-500))?.key).toBe(0);
        expect(await s.at(500)).toBeUndefined();
        expect(await s.at(-501)).toBeUndefined();
        expect(await s.rank(246)).toBe(123);
        expect(s.rankSync(247)).toBe(124);
        expect(await s.rank(-1)).toBe(0);
        expect(await s.rank(10_000)).toBe(500);
      });
    });

    test('counting stays right through changes, removals and cleared ranges', async () => {
      const { db } = await subject();
      await fill(db);
      await db.write((tx) => tx.store(numbers).clearRange({ gte: 100, lt: 200 }));
      await db.write((tx) => tx.store(numbers).put(150, 'again'));
      await db.write((tx) => tx.store(numbers).put(150, 'and again'));
      await db.write((tx) => tx.store(numbers).remove(998));
      await db.read(async (tx) => {
        const s = tx.store(numbers);
        expect(await s.count()).toBe(450);
        expect(await s.count({ gte: 100, lt: 200 })).toBe(1);
        expect((await s.at(50))?.key).toBe(150);
        expect((await s.at(51))?.key).toBe(200);
        expect(await s.rank(200)).toBe(51);
      });
    });

    test('options that make no sense are refused by name', async () => {
      const { db } = await subject();
      await db.read(async (tx) => {
        const s = tx.store(numbers);
        const range = (options: object) => () => s.range(options as { limit: 1 });
        expect(range({ limit: -1 })).toThrow(InvalidArgumentError);
        expect(range({ limit: 1.5 })).toThrow(/limit/);
        expect(range({ from: 1 })).toThrow(/'from'/);
        expect(range({ where: 1 })).toThrow(/where/);
        expect(range({ gte: Symbol('x') })).toThrow(InvalidKeyError);
        expect(() => s.range().pages(0)).toThrow(/page/);
        await expect(s.at(1.5)).rejects.toThrow(InvalidArgumentError);
        await expect(s.count({ limit: 1 } as object)).rejects.toThrow(/'limit'/);
        expect(() => tx.store(cities).range({ prefix: { name: 'x' } })).toThrow(/sorts before/);
      });
    });
  });
}
