/** Hot rows: the same answers as without them, and nobody's objects shared. */
import { describe, expect, it } from 'vitest';
import { Database, defineStore } from '../../../src/index.ts';
import { isFlat, makeCopier, RowCache } from '../../../src/store/row-cache.ts';
import { SeededRandom } from '../../../src/env/simulated-random.ts';

const seed = Number(process.env.SOP_SEED ?? 20261122);
const things = defineStore<string, { name: string; size: number; tags?: string[] }>('things');

describe(`hot rows (SOP_SEED=${seed})`, () => {
  it('hands out copies, whatever callers do to them', async () => {
    const db = await Database.memory();
    await db.write((tx) => tx.store(things).put('a', { name: 'one', size: 1 }));
    await db.checkpoint();
    await db.read((tx) => {
      const store = tx.store(things);
      for (let i = 0; i < 5; i++) {
        const found = store.getSync('a') as { name: string; size: number };
        expect(found).toEqual({ name: 'one', size: 1 });
        found.size = 99;
        found.name = 'spoilt';
      }
    });
    await db.close();
  });

  it('shares nothing of nested values', async () => {
    const db = await Database.memory();
    await db.write((tx) => tx.store(things).put('a', { name: 'one', size: 1, tags: ['x'] }));
    await db.checkpoint();
    for (let i = 0; i < 5; i++) {
      await db.read(async (tx) => {
        const found = await tx.store(things).get('a');
        expect(found?.tags).toEqual(['x']);
        found?.tags?.push('spoilt');
      });
    }
    await db.close();
  });

  it('answers as if there were none, beside changes, checkpoints, old snapshots and own changes', async () => {
    const random = new SeededRandom(seed);
    const db = await Database.memory({ tableBytes: 1 << 20 });
    const model = new Map<string, number>();
    const keyOf = (): string => `k${random.below(20)}`;
    for (let round = 0; round < 150; round++) {
      const old = await db.begin('read');
      const then = new Map(model);
      await db.write((tx) => {
        const store = tx.store(things);
        for (let i = 0; i < 5; i++) {
          const key = keyOf();
          if (random.chance(30)) {
            store.clearRange({ gte: key, lt: `${key}~` });
            for (const known of [...model.keys()]) if (known >= key && known < `${key}~`) model.delete(known);
          } else {
            store.put(key, { name: key, size: round });
            model.set(key, round);
          }
          const asked = keyOf();
          expect(store.getSync(asked)?.size).toBe(model.get(asked));
        }
      });
      if (random.chance(30)) await db.checkpoint();
      const now = await db.begin('read');
      for (let i = 0; i < 40; i++) {
        const key = keyOf();
        expect(now.store(things).getSync(key)?.size).toBe(model.get(key));
        expect((await old.store(things).get(key))?.size).toBe(then.get(key));
      }
      await now.rollback();
      await old.rollback();
    }
    await db.close();
  });

  it('notes what a write transaction read of them', async () => {
    const db = await Database.memory();
    await db.write((tx) => tx.store(things).put('a', { name: 'one', size: 1 }));
    await db.checkpoint();
    await db.read((tx) => [1, 2, 3].map(() => tx.store(things).getSync('a')));
    const tx = await db.begin('write');
    const size = tx.store(things).getSync('a')?.size ?? 0;
    await db.write((other) => other.store(things).put('a', { name: 'one', size: 5 }));
    tx.store(things).put('b', { name: 'sum', size });
    await expect(tx.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
    await db.close();
  });

  it('keeps a key with the second look, and knows rows by tree and whole key', () => {
    const rows = new RowCache();
    const key = new Uint8Array([1, 2, 3]);
    expect(rows.wants(3, 77)).toBe(false);
    expect(rows.wants(3, 77)).toBe(true);
    rows.keep(0, key, 3, 77, 'value');
    expect(rows.value(rows.find(0, key, 3, 77))).toBe('value');
    expect(rows.find(1, key, 3, 77)).toBe(-1);
    expect(rows.find(0, new Uint8Array([1, 2, 4]), 3, 77)).toBe(-1);
    expect(rows.find(0, key, 2, 77)).toBe(-1);
    rows.keep(0, new Uint8Array([1, 2, 4]), 3, 77, 'other');
    rows.keep(0, new Uint8Array([1, 2, 5]), 3, 77, 'third');
    expect(rows.find(0, key, 3, 77)).toBe(-1);
  });

  it('tells flat values from others, and copies them', () => {
    for (const flat of [1, 'a', null, undefined, 5n, true, {}, { a: 1, b: 'x', c: null }]) {
      expect(isFlat(flat)).toBe(true);
      expect(makeCopier()(flat)).toEqual(flat);
    }
    for (const deep of [[], [1], new Date(0), { a: new Date(0) }, { a: [1] }, new Map(), new Uint8Array(1)]) {
      expect(isFlat(deep)).toBe(false);
    }
  });
});
