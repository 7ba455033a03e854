/** Cursors against a sorted array: moves and changes at random, over tables, trees and spilled runs. */
import { describe, expect, test } from 'vitest';
import type { Env, File } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import type { StoreCursor } from '../../../src/store/cursor.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import type { TxStore } from '../../../src/store/store.ts';
import { chooseSeed } from '../../helpers/scale.ts';

const SEED = chooseSeed();
const RUNS = Number(process.env.SOP_RUNS ?? 1);

let state = SEED;
const below = (limit: number) => {
  state = (state + 0x9e3779b9) >>> 0;
  let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return ((z ^ (z >>> 15)) >>> 0) % limit;
};
const chance = (percent: number) => below(100) < percent;

const MOST_KEY = 3000;
const store = defineStore<number, string>('store');
const separate = defineStore<number, string>('separate', { values: 'separate' });
const down = defineStore<number, string>('down', { key: { order: 'desc' } });

/** What a cursor over a sorted array would do. */
class ModelCursor {
  readonly entries: Map<number, string>;
  readonly sign: number;
  /** In the order of the store; between keys where `exact` is false. */
  at = Number.NEGATIVE_INFINITY;
  on = false;
  /** A find that missed: a key put here since counts as behind. */
  missed = false;

  constructor(entries: Map<number, string>, sign: number) {
    this.entries = entries;
    this.sign = sign;
  }

  places(): number[] {
    return [...this.entries.keys()].map((key) => key * this.sign).sort((a, b) => a - b);
  }

  #land(place: number | undefined, otherwise: number): boolean {
    this.on = place !== undefined;
    this.missed = false;
    this.at = place ?? otherwise;
    return this.on;
  }

  next(): boolean {
    const { at, missed } = this;
    return this.#land(
      this.places().find((place) => place > at || (missed && place === at)),
      Number.POSITIVE_INFINITY,
    );
  }

  previous(): boolean {
    return this.#land(
      this.places().findLast((place) => place < this.at),
      Number.NEGATIVE_INFINITY,
    );
  }

  first(): boolean {
    return this.#land(this.places()[0], Number.POSITIVE_INFINITY);
  }

  last(): boolean {
    return this.#land(this.places().at(-1), Number.NEGATIVE_INFINITY);
  }

  find(key: number, nearest: 'greater' | 'less' | undefined): string {
    const place = key * this.sign;
    if (this.entries.has(key)) {
      this.#land(place, 0);
      return 'found';
    }
    if (nearest === undefined) {
      this.#land(undefined, place);
      this.missed = true;
      return 'none';
    }
    const near =
      nearest === 'greater'
        ? this.places().find((other) => other > place)
        : this.places().findLast((other) => other < place);
    const end = nearest === 'greater' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
    return this.#land(near, end) ? nearest : 'none';
  }

  get key(): number | undefined {
    return this.on ? this.at * this.sign + 0 : undefined;
  }

  get value(): string | undefined {
    return this.key === undefined ? undefined : this.entries.get(this.key);
  }

  remove(): boolean {
    const was = this.key !== undefined && this.entries.delete(this.key);
    this.on = false;
    return was;
  }
}

let texts = 0;
/** Some too long for a leaf, some for a cursor to keep. */
const text = () => `${texts++}`.padEnd([4, 4, 4, 100, 2500, 6000][below(6)] as number, 'x');

async function move(cursor: StoreCursor<number, string>, model: ModelCursor, sync: boolean): Promise<void> {
  const what = below(10);
  if (what < 4) expect(sync ? cursor.nextSync() : await cursor.next()).toBe(model.next());
  else if (what < 7) expect(sync ? cursor.previousSync() : await cursor.previous()).toBe(model.previous());
  else if (what === 7 && chance(30)) expect(sync ? cursor.firstSync() : await cursor.first()).toBe(model.first());
  else if (what === 8 && chance(30)) expect(sync ? cursor.lastSync() : await cursor.last()).toBe(model.last());
  else {
    const nearest = ([undefined, 'greater', 'less'] as const)[below(3)];
    const options = nearest === undefined ? {} : { nearest };
    const key = chance(10) ? below(2 * MOST_KEY) - MOST_KEY : below(MOST_KEY);
    const found = sync ? cursor.findSync(key, options) : await cursor.find(key, options);
    expect(found).toBe(model.find(key, nearest));
  }
  expect(cursor.key).toBe(model.key);
}

async function look(cursor: StoreCursor<number, string>, model: ModelCursor, sync: boolean): Promise<void> {
  if (chance(50)) expect(sync ? cursor.valueSync() : await cursor.value()).toBe(model.value);
  else {
    const entry = sync ? cursor.entrySync() : await cursor.entry();
    expect(entry?.value).toBe(model.value);
    if (entry !== undefined) expect(entry.key).toBe(model.key);
  }
}

async function changeHere(cursor: StoreCursor<number, string>, model: ModelCursor, sync: boolean): Promise<void> {
  if (chance(50)) {
    const value = text();
    const there = model.value !== undefined;
    expect(sync ? cursor.updateSync(value) : await cursor.update(value)).toBe(there);
    if (there) model.entries.set(model.key as number, value);
  } else expect(sync ? cursor.removeSync() : await cursor.remove()).toBe(model.remove());
}

function changeElsewhere(s: TxStore<number, string>, entries: Map<number, string>, near: number, sign: number): void {
  for (let i = chance(20) ? 40 : 1; i > 0; i--) {
    const key = chance(50) ? near + below(9) - 4 : below(MOST_KEY);
    if (chance(60)) {
      const value = text();
      s.put(key, value);
      entries.set(key, value);
    } else expect(s.removeSync(key)).toBe(entries.delete(key));
  }
  if (!chance(3)) return;
  const from = below(MOST_KEY);
  s.clearRange(sign > 0 ? { gte: from, lt: from + 200 } : { gt: from + 200, lte: from });
  for (let key = from; key < from + 200; key++) entries.delete(key);
}

async function walk(db: Database, definition: typeof store, entries: Map<number, string>, steps: number) {
  const sign = definition === down ? -1 : 1;
  const tx = await db.begin('write');
  const s = tx.store(definition);
  const pairs = [0, 1].map(() => [s.cursor(), new ModelCursor(entries, sign)] as const);
  for (let i = 0; i < steps; i++) {
    const [cursor, model] = pairs[below(2)] as (typeof pairs)[0];
    const sync = chance(50);
    const what = below(20);
    if (what < 12) await move(cursor, model, sync);
    else if (what < 15) await look(cursor, model, sync);
    else if (what < 18) await changeHere(cursor, model, sync);
    else if (chance(50)) changeElsewhere(s, entries, model.key ?? 0, sign);
    else tx.store(defineStore<number, string>(`new ${i % 7}`)).put(i, 'x');
  }
  await tx.commit();
}

describe(`cursors (SOP_SEED=${SEED})`, () => {
  test.each([
    ['inline values', store],
    ['separate values', separate],
    ['a descending store', down],
  ])('over %s do what a sorted array says', async (_name, definition) => {
    for (let run = 0; run < RUNS; run++) {
      // Transactions spill from 64 KiB on, and the cache holds next to nothing.
      const db = await Database.memory({ cacheBytes: 64 * 1024, tableBytes: 256 * 1024 });
      const entries = new Map<number, string>();
      await db.write((tx) => {
        for (let i = 0; i < 800; i++) {
          const key = below(MOST_KEY);
          entries.set(key, text());
          tx.store(definition).put(key, entries.get(key) as string);
        }
      });
      for (let round = 0; round < 4; round++) {
        if (chance(50)) await db.checkpoint();
        await walk(db, definition, entries, 250);
      }
      const left = await db.read((tx) => tx.store(definition).range().toArray());
      expect(new Map(left.map((entry) => [entry.key, entry.value]))).toEqual(entries);
      await db.close();
    }
  });

  test('a walk over keys reads no value that lives apart', async () => {
    const read = { bytes: 0 };
    const db = await Database.openWith(counting(memoryEnv(), read), { folder: '/db', cacheBytes: 64 * 1024 });
    const long = 'long'.repeat(2500);
    await db.write((tx) => {
      for (let i = 0; i < 500; i++) tx.store(separate).put(i, long);
    });
    await db.checkpoint();
    read.bytes = 0;
    await db.read(async (tx) => {
      const cursor = tx.store(separate).cursor();
      let keys = 0;
      while (await cursor.next()) if (cursor.key !== undefined) keys++;
      expect(keys).toBe(500);
      expect(await cursor.find(250)).toBe('found');
      const forKeys = read.bytes;
      expect(forKeys).toBeLessThan(200_000);
      expect(await cursor.value()).toBe(long);
      expect(read.bytes - forKeys).toBeGreaterThanOrEqual(long.length);
    });
    await db.close();
  });

  test('a long walk is noted as one range', async () => {
    const db = await Database.memory();
    await db.write((tx) => {
      for (let i = 0; i < 70_000; i++) tx.store(store).put(i, 'x');
    });
    const tx = await db.begin('write');
    const cursor = tx.store(store).cursor();
    cursor.findSync(10);
    while (cursor.nextSync() && cursor.key !== 69_000);
    tx.store(down).put(1, 'x');
    // 65,536 ranges would have been coarsened; and outside of the walk nothing was read.
    await db.write((other) => {
      other.store(store).put(5, 'y');
      other.store(store).put(69_001, 'y');
    });
    await tx.commit();
    await db.close();
  });
});

/** The same world, counting the bytes read from its files. */
function counting(env: Env, read: { bytes: number }): Env {
  const wrap = (file: File): File =>
    new Proxy(file, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return (...given: unknown[]): unknown => {
          if (name === 'read' || name === 'readSync') read.bytes += (given[0] as Uint8Array).length;
          return Reflect.apply(value, target, given);
        };
      },
    });
  const files = new Proxy(env.files, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown => {
        const answer: unknown = Reflect.apply(value, target, given);
        return name === 'open' ? wrap(answer as File) : answer;
      };
    },
  });
  return { files, clock: env.clock, random: env.random, timers: env.timers, process: env.process };
}
