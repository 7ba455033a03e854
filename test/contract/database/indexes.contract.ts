/** Secondary indexes: declared, kept by every change, read like a store, built over what is there, dropped. */
import { describe, expect, test } from 'vitest';
import {
  ConflictError,
  IndexNotReadyError,
  InvalidArgumentError,
  InvalidKeyError,
  StoreMismatchError,
  UniqueIndexError,
} from '../../../src/base/errors.ts';
import type { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { type } from '../../../src/store/standard-schema.ts';
import { fresh, type OpenSubject } from './subject.ts';

interface Key {
  readonly region: string;
  readonly id: number;
  readonly status?: string;
}
interface Order {
  readonly customer?: string | null;
  readonly total: number;
  readonly ship?: { readonly city: string };
  readonly tags?: readonly string[];
}

const shape = {
  keySchema: type<Key>(),
  value: type<Order>(),
  key: ['region', { field: 'id', order: 'desc' }],
  rideOn: ['status'],
} as const;
const plainOrders = defineStore('orders', shape);
const orders = defineStore('orders', {
  ...shape,
  indexes: {
    byStatus: ['status', 'id'],
    byCustomer: [{ field: 'customer', order: 'desc' }],
    byCity: ['ship.city'],
    byTotal: { of: (_: Key, value: Order) => Math.round(value.total), version: 1 },
    byTag: { of: (_: Key, value: Order) => value.tags ?? [], many: true, version: 'a' },
  },
});
const users = defineStore('users', {
  keySchema: type<number>(),
  value: type<{ mail?: string; name: string }>(),
  indexes: { byMail: { fields: ['mail'], unique: true }, byName: ['name'] },
});

const key = (region: string, id: number, status?: string): Key =>
  status === undefined ? { region, id } : { region, id, status };

async function fill(db: Database, definition: typeof plainOrders | typeof orders = orders): Promise<void> {
  await db.write(async (tx) => {
    const store = tx.store(definition as typeof plainOrders);
    await store.add(key('EU', 1, 'new'), { total: 10.4, customer: 'Ada', ship: { city: 'Oslo' } });
    store.put(key('EU', 2, 'paid'), { total: 20, customer: 'Grace', tags: ['a', 'b', 'a'] });
    store.putMany([[key('US', 1, 'new'), { total: 5, customer: null, tags: ['b'] }]]);
    await store.addMany([{ key: key('US', 3), value: { total: 10, customer: 'Ada' } }]);
  });
}

const idOf = ({ key: { region, id } }: { readonly key: Pick<Key, 'region' | 'id'> }) => `${region}${id}`;

async function listed(db: Database) {
  return db.read(async (tx) => {
    const store = tx.store(orders);
    return {
      status: (await store.index('byStatus').range().toArray()).map(idOf),
      customer: (await store.index('byCustomer').range().toArray()).map(idOf),
      city: (await store.index('byCity').range().toArray()).map(idOf),
      total: (await store.index('byTotal').range().toArray()).map(idOf),
      tag: (await store.index('byTag').range({ keysOnly: true }).toArray()).map((one) => `${one.index}:${idOf(one)}`),
    };
  });
}

const FILLED = {
  status: ['EU1', 'US1', 'EU2'],
  customer: ['EU2', 'EU1', 'US3', 'US1'],
  city: ['EU1'],
  total: ['US1', 'EU1', 'US3', 'EU2'],
  tag: ['a:EU2', 'b:EU2', 'b:US1'],
};

export function indexesContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('indexes', () => {
    test('they hold what the entries say, in their own order', async () => {
      const { db } = await subject();
      await fill(db);
      expect(await listed(db)).toEqual(FILLED);
    });

    test('every change keeps them', async () => {
      const { db } = await subject();
      await fill(db);
      await db.write(async (tx) => {
        const s = tx.store(orders);
        expect(await s.updateKey(key('EU', 1, 'paid'))).toBe(true);
        expect(await s.update(key('US', 3), { total: 1, customer: 'Bob', tags: ['z'] })).toBe(true);
        expect(await s.remove(key('EU', 2))).toBe(true);
        expect(await s.add(key('US', 1), { total: 9 })).toBe(false);
        expect(await s.remove(key('XX', 2))).toBe(false);
        s.put(key('US', 1, 'old'), { total: 7 });
      });
      expect(await listed(db)).toEqual({
        status: ['US1', 'EU1'],
        customer: ['US3', 'EU1'],
        city: ['EU1'],
        total: ['US3', 'US1', 'EU1'],
        tag: ['z:US3'],
      });
      await db.write((tx) => {
        const s = tx.store(orders);
        expect(s.updateKeySync(key('EU', 1, 'new'))).toBe(true);
        expect(s.updateSync(key('EU', 1), { total: 3 })).toBe(true);
        expect(s.addSync(key('AA', 1, 'new'), { total: 3, tags: ['q'] })).toBe(true);
        expect(s.removeSync(key('US', 1))).toBe(true);
      });
      expect(await listed(db)).toEqual({
        status: ['AA1', 'EU1'],
        customer: ['US3'],
        city: [],
        total: ['US3', 'AA1', 'EU1'],
        tag: ['q:AA1', 'z:US3'],
      });
      await db.write((tx) => tx.store(orders).clearRange({ prefix: { region: 'US' } }));
      expect(await listed(db)).toMatchObject({ total: ['AA1', 'EU1'], tag: ['q:AA1'], customer: [] });
      await db.write((tx) => tx.store(orders).clear());
      expect(await listed(db)).toEqual({ status: [], customer: [], city: [], total: [], tag: [] });
    });

    test('a transaction sees its own changes in them, others when it commits', async () => {
      const { db } = await subject();
      await fill(db);
      const tx = await db.begin('write');
      const s = tx.store(orders);
      await s.updateKey(key('EU', 1, 'zzz'));
      s.put(key('EU', 9, 'new'), { total: 1 });
      const own = await s.index('byStatus').range().toArray();
      expect(own.map((one) => [one.index.status, one.index.id, one.value.total])).toEqual([
        ['new', 1, 5],
        ['new', 9, 1],
        ['paid', 2, 20],
        ['zzz', 1, 10.4],
      ]);
      expect((await listed(db)).status).toEqual(FILLED.status);
      await tx.rollback();
      expect(await listed(db)).toEqual(FILLED);
    });

    test('reads: bounds, limits, reverse, keys alone, pages, positions, counts', async () => {
      const { db } = await subject();
      await fill(db);
      await db.read(async (tx) => {
        const byStatus = tx.store(orders).index('byStatus');
        expect(await byStatus.count()).toBe(3);
        expect(byStatus.countSync({ prefix: { status: 'new' } })).toBe(2);
        expect(await byStatus.rank({ status: 'paid' })).toBe(2);
        expect(byStatus.rankSync({ status: 'new', id: 2 })).toBe(2);
        expect(await byStatus.range({ keysOnly: true, prefix: { status: 'paid' } }).toArray()).toEqual([
          { index: { status: 'paid', id: 2 }, key: { region: 'EU', id: 2, status: undefined } },
        ]);
        expect((await byStatus.range({ gt: { status: 'new' } }).toArray()).map(idOf)).toEqual(['EU2']);
        expect((await byStatus.range({ reverse: true, limit: 2 }).toArray()).map(idOf)).toEqual(['EU2', 'US1']);
        expect(
          byStatus
            .range({ lte: { status: 'new', id: 1 } })
            .toArraySync()
            .map(idOf),
        ).toEqual(['EU1', 'US1']);
        const entry = await byStatus.first();
        expect(entry).toEqual({
          index: { status: 'new', id: 1 },
          key: { region: 'EU', id: 1, status: 'new' },
          value: { total: 10.4, customer: 'Ada', ship: { city: 'Oslo' } },
          version: expect.any(Number),
        });
        expect(byStatus.firstSync()).toEqual(entry);
        expect(idOf((await byStatus.last()) as never)).toBe('EU2');
        expect(idOf(byStatus.lastSync({ lt: { status: 'paid' } }) as never)).toBe('US1');
        expect(idOf((await byStatus.at(1)) as never)).toBe('US1');
        expect(idOf(byStatus.atSync(-1) as never)).toBe('EU2');
        expect(await byStatus.at(7)).toBeUndefined();
        expect(await byStatus.get({ status: 'new', id: 1 })).toEqual(entry);
        expect(byStatus.getSync({ status: 'new', id: 5 })).toBeUndefined();
        expect([await byStatus.has({ status: 'paid', id: 2 }), byStatus.hasSync({ status: 'x', id: 2 })]).toEqual([
          true,
          false,
        ]);
        const pages: number[] = [];
        for await (const page of byStatus.range().pages(2)) pages.push(page.length);
        for (const page of byStatus.range().syncPages(2)) pages.push(page.length);
        expect(pages).toEqual([2, 1, 2, 1]);
        const where = byStatus.range({ where: ({ index }) => index.status === 'paid' });
        expect((await where.toArray()).map(idOf)).toEqual(['EU2']);
        for (const reverse of [false, true]) {
          const first = await byStatus.range({ limit: 1, reverse }).toArray();
          const rest = await byStatus.range({ after: first[0] as never, reverse }).toArray();
          expect([...first, ...rest].map(idOf)).toEqual(reverse ? [...FILLED.status].reverse() : FILLED.status);
        }
        const byTotal = tx.store(orders).index('byTotal');
        expect((await byTotal.range({ gte: 10, lt: 20 }).toArray()).map((one) => [one.index, idOf(one)])).toEqual([
          [10, 'EU1'],
          [10, 'US3'],
        ]);
        expect((await byTotal.get(20))?.value.customer).toBe('Grace');
      });
    });

    test('a unique index refuses a second owner, naming it, and changes nothing then', async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const s = tx.store(users);
        await s.add(1, { mail: 'ada@x', name: 'Ada' });
        await s.add(2, { name: 'Bob' });
        s.put(3, { name: 'Cid' });
      });
      await db.write(async (tx) => {
        const s = tx.store(users);
        const refusal = {
          code: 'UNIQUE_INDEX',
          details: { indexKey: { mail: 'ada@x' }, key: 2, holder: 1, index: 'byMail' },
        };
        await expect(s.update(2, { mail: 'ada@x', name: 'Bob' })).rejects.toMatchObject(refusal);
        await expect(s.add(9, { mail: 'ada@x', name: 'Bob' })).rejects.toThrow(UniqueIndexError);
        expect(() => s.put(2, { mail: 'ada@x', name: 'X' })).toThrow(UniqueIndexError);
        expect((await s.get(2))?.name).toBe('Bob');
        expect(await s.index('byName').count()).toBe(3);
        s.put(1, { mail: 'ada@x', name: 'Ada L' });
        expect(await s.update(1, { mail: 'ada@y', name: 'Ada' })).toBe(true);
        expect(await s.update(2, { mail: 'ada@x', name: 'Bob' })).toBe(true);
      });
      const found = await db.read((tx) => tx.store(users).index('byMail').get({ mail: 'ada@x' }));
      expect(found).toMatchObject({ key: 2, index: { mail: 'ada@x' }, value: { name: 'Bob' } });
      expect(await db.read((tx) => tx.store(users).index('byMail').count())).toBe(2);
    });

    test('two transactions that take the same unique key conflict', async () => {
      const { db } = await subject();
      await db.write((tx) => void tx.store(users));
      const [one, two] = [await db.begin('write'), await db.begin('write')];
      await one.store(users).add(1, { mail: 'm', name: 'a' });
      await two.store(users).add(2, { mail: 'm', name: 'b' });
      await one.commit();
      await expect(two.commit()).rejects.toThrow(ConflictError);
      const late = db.write((tx) => tx.store(users).add(2, { mail: 'm', name: 'b' }));
      await expect(late).rejects.toThrow(UniqueIndexError);
    });

    test('an entry that cannot be sorted is refused by name, and nothing has changed', async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const s = tx.store(orders);
        const bad = { total: 1, customer: { first: 'Ada' } } as never;
        expect(() => s.put(key('EU', 1), bad)).toThrow(InvalidKeyError);
        await expect(s.add(key('EU', 1), bad)).rejects.toThrow(/index 'byCustomer'.*'customer'/);
        expect(await s.count()).toBe(0);
        expect(await s.index('byTotal').count()).toBe(0);
      });
    });

    test('opened by its name it is read with its indexes; what a function keeps is changed by its definition alone', async () => {
      const { db } = await subject();
      await fill(db);
      await db.write(async (tx) => {
        const s = tx.store('orders');
        expect(await s.index('byStatus').count()).toBe(3);
        expect(() => s.put({ ...key('EU', 1) }, { total: 1 })).toThrow(StoreMismatchError);
        await expect(s.remove({ ...key('EU', 1) })).rejects.toThrow(/byTotal/);
        expect(() => s.clear()).toThrow(StoreMismatchError);
        const u = tx.store(users);
        await u.add(1, { name: 'x' });
        tx.store('users').put(2, { name: 'y' });
        expect(await u.index('byName').count()).toBe(2);
        expect(() => s.index('other')).toThrow(InvalidArgumentError);
      });
    });

    test('over a full store they are built in the background, beside writers', async () => {
      const { db } = await subject();
      await fill(db, plainOrders);
      await db.read(async (tx) => {
        expect(() => tx.store(orders).index('byStatus')).toThrow(IndexNotReadyError);
        expect(() => tx.store(orders).index('byStatus')).toThrow(/not there yet/);
      });
      await db.write(async (tx) => {
        await tx.store(orders).add(key('ZZ', 1, 'new'), { total: 99 });
        expect(() => tx.store(orders).index('byStatus')).toThrow(/is being built/);
      });
      for (const name of ['byStatus', 'byCustomer', 'byCity', 'byTotal', 'byTag']) await db.indexReady(orders, name);
      expect(await listed(db)).toEqual({
        ...FILLED,
        status: ['EU1', 'US1', 'ZZ1', 'EU2'],
        total: [...FILLED.total, 'ZZ1'],
      });
      expect((await db.indexes('orders')).map(({ name, state }) => [name, state])).toEqual([
        ['byStatus', 'ready'],
        ['byCustomer', 'ready'],
        ['byCity', 'ready'],
        ['byTotal', 'ready'],
        ['byTag', 'ready'],
      ]);
    });

    test('a definition without an index drops it, one with another function builds it anew', async () => {
      const { db } = await subject();
      await fill(db);
      await db.write((tx) => void tx.store(plainOrders));
      expect(await db.indexes('orders')).toEqual([]);
      const other = defineStore('orders', {
        ...shape,
        indexes: { byTotal: { of: (_: Key, value: Order) => -value.total, version: 2 } },
      });
      await db.indexReady(other, 'byTotal');
      const totals = await db.read((tx) => tx.store(other).index('byTotal').range().toArray());
      expect(totals.map(idOf)).toEqual(['EU2', 'EU1', 'US3', 'US1']);
      await db.read((tx) => {
        expect(() => tx.store(orders).index('byTotal')).toThrow(IndexNotReadyError);
      });
    });

    test('a unique index over entries that are not ends as failed, and can be built once they are mended', async () => {
      const { db } = await subject();
      const before = defineStore('users', {
        keySchema: type<number>(),
        value: type<{ mail?: string; name: string }>(),
      });
      await db.write((tx) => {
        tx.store(before).put(1, { mail: 'm', name: 'a' });
        tx.store(before).put(2, { mail: 'm', name: 'b' });
      });
      await expect(db.indexReady(users, 'byMail')).rejects.toMatchObject({
        code: 'INDEX_NOT_READY',
        details: { state: 'failed', problem: expect.stringContaining('2 and 1') },
      });
      await db.indexReady(users, 'byName');
      await db.read((tx) => {
        expect(() => tx.store(users).index('byMail')).toThrow(/could not be built/);
      });
      await db.write((tx) => tx.store(users).remove(2));
      await db.rebuildIndex('users', 'byMail');
      await db.indexReady(users, 'byMail');
      expect(await db.read((tx) => tx.store(users).index('byMail').count())).toBe(1);
    });

    // What was no Error was taken for the disk's, and an error of this engine for the engine's: the index was built for ever, or not.
    test('a function that throws whatever ends the build as failed', async () => {
      const { db } = await subject();
      await db.write((tx) => void tx.store(defineStore('s', { value: type<number>() })).put('k', 1));
      const thrown = ['a string', undefined, new ConflictError('of another store'), new Error('an error')];
      for (const [version, error] of thrown.entries()) {
        const of = () => {
          throw error;
        };
        const throwing = defineStore('s', { value: type<number>(), indexes: { i: { of, version } } });
        await expect(db.indexReady(throwing, 'i')).rejects.toThrow(IndexNotReadyError);
        const [info] = await db.indexes('s');
        expect(info).toMatchObject({ state: 'failed' });
        if (error !== undefined) expect(info?.problem).toContain(error instanceof Error ? error.message : error);
      }
    });

    test('drop and rename take the indexes along', async () => {
      const { db } = await subject();
      await fill(db);
      await db.rename('orders', 'renamed');
      expect(await db.read((tx) => tx.store('renamed').index('byStatus').count())).toBe(3);
      await db.drop('renamed');
      await fill(db);
      expect(await listed(db)).toEqual(FILLED);
      expect((await db.verify()).problems).toEqual([]);
    });

    // Functions were remembered by the store's name, and the first one of a name and version was kept for ever: an index of another
    // store under that name, or of the same one redefined, was built and verified with a function that was not its own.
    describe('an index is made by the function of the definition that opened it last', () => {
      type Made = { readonly a?: string; readonly b?: string };
      const one = type<string>();
      const value = type<Made>();
      const plain = defineStore('s', { keySchema: one, value });
      const byA = defineStore('s', { keySchema: one, value, indexes: { i: { of: (_, v) => v.a, version: 1 } } });
      const byB = defineStore('s', { keySchema: one, value, indexes: { i: { of: (_, v) => v.b, version: 1 } } });
      const found = async (db: Database, definition: typeof byA) =>
        (await db.read((tx) => tx.store(definition).index('i').range().toArray())).map((entry) => entry.index);

      test('in a store that was dropped and defined anew', async () => {
        const { db } = await subject();
        await db.write((tx) => tx.store(byA).put('x', { a: 'A' }));
        await db.drop('s');
        await db.write((tx) => {
          tx.store(plain).put('p', { a: 'old', b: 'B1' });
          tx.store(plain).put('q', { b: 'B2' });
        });
        await db.indexReady(byB, 'i');
        await db.write((tx) => tx.store(byB).put('r', { b: 'B3' }));
        expect(await found(db, byB)).toEqual(['B1', 'B2', 'B3']);
        expect((await db.verify()).problems).toEqual([]);
      });

      test('in a store that was redefined', async () => {
        const { db } = await subject();
        const nested = defineStore('s', {
          keySchema: one,
          value: type<{ readonly in: Made }>(),
          values: 'separate',
          indexes: { i: { of: (_, v) => v.in.a, version: 1 } },
        });
        await db.write((tx) => tx.store(byA).put('x', { a: 'A' }));
        await db.redefine(byA, nested, (entry) => ({ key: entry.key, value: { in: entry.value } }));
        expect(await db.verify()).toMatchObject({ ok: true, indexes: 1 });
        await db.rebuildIndex('s', 'i');
        await db.indexReady('s', 'i');
        expect(await db.read((tx) => tx.store(nested).index('i').count())).toBe(1);
      });

      test('after a rename, a rebuild, and a drop that was rolled back to a savepoint', async () => {
        const { db } = await subject();
        await db.write((tx) => tx.store(byA).put('x', { a: 'A' }));
        await db.write((tx) => {
          const place = tx.savepoint();
          tx.drop('s');
          tx.rollbackTo(place);
          tx.store(plain).put('y', { a: 'never' });
          tx.rollbackTo(place);
        });
        for (const name of ['t', 's']) {
          await db.rename(name === 't' ? 's' : 't', name);
          await db.rebuildIndex(name, 'i');
          await db.indexReady(name, 'i');
          expect(await db.verify()).toMatchObject({ ok: true, indexes: 1 });
        }
        expect(await found(db, byA)).toEqual(['A']);
      });
    });
  });
}
