/**
 * Rows longer than what stays in a leaf, where a checkpoint moves values out: those of the engine's own stores, and those that hold
 * another entry's key. They are read whole, so they stay.
 */
import { describe, expect, it } from 'vitest';
import { LimitExceededError } from '../../../src/base/errors.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { Database, defineStore } from '../../../src/index.ts';
import { salvageDatabase } from '../../../src/store/salvage.ts';

const FOLDER = '/db';
const env = () => memoryEnv();

async function reopened(db: Database, world: ReturnType<typeof memoryEnv>): Promise<Database> {
  await db.checkpoint();
  await db.close();
  return Database.openWith(world, { folder: FOLDER });
}

function manyIndexes(count: number, nameLength: number): Record<string, string[]> {
  const names = Array.from({ length: count }, (_, i) => `index-${i}-`.padEnd(nameLength, 'x'));
  return Object.fromEntries(names.map((name, i) => [name, [`field-${i}`, `other-${i}`]]));
}

describe('a store of 64 indexes', () => {
  it('is found by the next opening, by verify and by salvage', async () => {
    const world = env();
    const orders = defineStore<number, { 'field-0': string; 'other-0': string }>('orders', {
      indexes: manyIndexes(64, 40) as never,
    });
    let db = await Database.openWith(world, { folder: FOLDER });
    const order = { 'field-0': 'a', 'other-0': 'b' };
    await db.write((tx) => tx.store(orders).put(1, order));
    await db.indexReady('orders', 'index-63-'.padEnd(40, 'x'));
    db = await reopened(db, world);
    expect(await db.read((tx) => tx.store(orders).get(1))).toEqual(order);
    expect((await db.stores()).map((store) => store.indexes?.length)).toEqual([64]);
    expect((await db.verify()).problems).toEqual([]);
    await db.close();
    const report = await salvageDatabase(world, FOLDER, '/rescued', {});
    expect(report.lost).toEqual([]);
    const rescued = await Database.openWith(world, { folder: '/rescued' });
    expect(await rescued.read((tx) => tx.store(orders).get(1))).toEqual(order);
    await rescued.close();
  });

  it('is refused where its definition takes more than the catalog has room for', async () => {
    const db = await Database.memory();
    const huge = defineStore('huge', { indexes: manyIndexes(64, 400) as never });
    await expect(db.write((tx) => tx.store(huge))).rejects.toBeInstanceOf(LimitExceededError);
    expect(await db.stores()).toEqual([]);
    await db.close();
  });

  it('can be redefined: its row holds it twice then', async () => {
    const world = env();
    const indexes = manyIndexes(64, 250) as never;
    const from = defineStore<number, { v: number }>('orders', { indexes });
    const to = defineStore<number, { v: string }>('orders', { indexes, values: 'separate' });
    let db = await Database.openWith(world, { folder: FOLDER });
    await db.write((tx) => {
      for (let i = 0; i < 300; i++) tx.store(from).put(i, { v: i });
    });
    await db.indexReady('orders', 'index-63-'.padEnd(250, 'x'));
    let isSeen = false;
    const redefined = db.redefine(from, to, async ({ key, value }) => {
      if (!isSeen) await db.checkpoint();
      isSeen = true;
      return { key, value: { v: `${value.v}` } };
    });
    expect(await redefined).toBe(true);
    db = await reopened(db, world);
    expect(await db.read((tx) => tx.store(to).get(7))).toEqual({ v: '7' });
    await db.close();
  });
});

describe('keys of thousands of bytes', () => {
  it.each([2040, 2050, 4000])('stand in a unique index: %i', async (length) => {
    const world = env();
    const users = defineStore<string, { mail: string }>('users', {
      indexes: { byMail: { fields: ['mail'], unique: true } },
    });
    const key = 'k'.repeat(length);
    let db = await Database.openWith(world, { folder: FOLDER });
    await db.write((tx) => tx.store(users).add(key, { mail: 'a' }));
    db = await reopened(db, world);
    const holder = () => db.read((tx) => tx.store(users).index('byMail').get({ mail: 'a' }));
    expect(await holder()).toMatchObject({ key, value: { mail: 'a' } });
    await db.write((tx) => tx.store(users).put(key, { mail: 'b' }));
    expect(await holder()).toBeUndefined();
    expect((await db.verify()).problems).toEqual([]);
    expect(await db.write((tx) => tx.store(users).remove(key))).toBe(true);
    await db.close();
  });

  it('are found again by a redefinition that copied to them', async () => {
    const db = await Database.openWith(env(), { folder: FOLDER });
    const from = defineStore<number, { to: string }>('s');
    const to = defineStore<string, { to: string }>('s', { values: 'separate' });
    await db.write((tx) => {
      for (let i = 0; i < 600; i++) tx.store(from).put(i, { to: 'a' });
    });
    let isChanged = false;
    await db.redefine(from, to, async ({ key, value }) => {
      if (key === 400 && !isChanged) {
        isChanged = true;
        await db.checkpoint();
        await db.write(async (tx) => {
          tx.store(from).put(5, { to: 'b' });
          await tx.store(from).remove(6);
        });
      }
      return { key: `${value.to}${'k'.repeat(2100)}${key}`, value };
    });
    await db.read(async (tx) => {
      const store = tx.store(to);
      expect(await store.count()).toBe(599);
      expect(await store.has(`a${'k'.repeat(2100)}5`)).toBe(false);
      expect(await store.has(`b${'k'.repeat(2100)}5`)).toBe(true);
      expect(await store.has(`a${'k'.repeat(2100)}6`)).toBe(false);
    });
    await db.close();
  });

  it('are where the building of an index goes on after another opening', async () => {
    const world = env();
    const plain = defineStore<string, { mail: string }>('s');
    const indexed = defineStore<string, { mail: string }>('s', {
      indexes: { byMail: { version: 1, of: (_, value) => value.mail } },
    });
    const key = (i: number): string => 'k'.repeat(2100) + String(i).padStart(6, '0');
    let db = await Database.openWith(world, { folder: FOLDER });
    for (let from = 0; from < 3600; from += 300) {
      await db.write((tx) => {
        for (let i = from; i < from + 300; i++) tx.store(plain).put(key(i), { mail: `m${i}` });
      });
    }
    const progressed = new Promise<void>((resolve) => {
      db.on('index', ({ phase }) => {
        if (phase === 'progress') resolve();
      });
    });
    await db.write((tx) => tx.store(indexed).has('x'));
    await progressed;
    await db.close();
    db = await reopened(await Database.openWith(world, { folder: FOLDER }), world);
    expect(await db.indexes('s')).toMatchObject([{ state: 'building' }]);
    await db.write((tx) => tx.store(indexed).has('x'));
    await db.indexReady('s', 'byMail');
    expect(await db.read((tx) => tx.store(indexed).index('byMail').count())).toBe(3600);
    await db.close();
  });
});

describe('objects of many fields with long names', () => {
  it('are read after a checkpoint', async () => {
    const world = env();
    const wide = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`${'f'.repeat(32)}${i + 10}`, i]));
    const store = defineStore<string, Record<string, number>>('wide');
    let db = await Database.openWith(world, { folder: FOLDER });
    await db.write((tx) => tx.store(store).put('k', wide));
    db = await reopened(db, world);
    expect(await db.read((tx) => tx.store(store).get('k'))).toEqual(wide);
    await db.close();
  });
});
