/** Savepoints: coming back to a place in a transaction. */
import { describe, expect, test } from 'vitest';
import {
  ConflictError,
  InvalidArgumentError,
  ReadOnlyError,
  StoreNotFoundError,
  TransactionEndedError,
} from '../../../src/base/errors.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import type { Transaction } from '../../../src/store/transaction.ts';
import { fresh, type OpenSubject } from './subject.ts';

const items = defineStore<string, { n: number }>('items');
const others = defineStore<number, string>('others');
const hits = defineStore<string, number>('hits', { counter: true });

const contentOf = async (tx: Transaction) =>
  (await tx.store(items).range().toArray()).map(({ key, value }) => `${key}=${value.n}`).join(' ');

export function savepointsContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('savepoints', () => {
    test('rollbackTo undoes what came after, in all stores, and only that', async () => {
      const { db } = await subject();
      await db.write((tx) => {
        tx.store(items).put('a', { n: 1 });
        tx.store(items).put('b', { n: 2 });
        tx.store(hits).put('h', 10);
      });
      await db.write(async (tx) => {
        const s = tx.store(items);
        s.put('c', { n: 3 });
        tx.store(hits).increment('h', 5);
        tx.store(hits).increment('own', 1);
        const place = tx.savepoint();
        s.put('a', { n: 100 });
        s.put('c', { n: 300 });
        await s.remove('b');
        s.put('d', { n: 4 });
        tx.store(others).put(1, 'one');
        tx.store(hits).increment('h', 1000);
        tx.store(hits).increment('own', 1000);
        expect(await contentOf(tx)).toBe('a=100 c=300 d=4');
        expect(await tx.store(hits).get('h')).toBe(1015);
        tx.rollbackTo(place);
        expect(await contentOf(tx)).toBe('a=1 b=2 c=3');
        expect(await tx.store(others).count()).toBe(0);
        expect(await tx.store(hits).get('h')).toBe(15);
        expect(await tx.store(hits).get('own')).toBe(1);
        s.put('e', { n: 5 });
      });
      await db.read(async (tx) => {
        expect(await contentOf(tx)).toBe('a=1 b=2 c=3 e=5');
        expect(await tx.store(hits).get('h')).toBe(15);
        expect(await tx.store(others).count()).toBe(0);
      });
    });

    test('a cleared store comes back, with counts and ranks', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(items).putMany(Array.from({ length: 20 }, (_, n) => [`k${n + 10}`, { n }])));
      await db.write(async (tx) => {
        const s = tx.store(items);
        s.put('k99', { n: 99 });
        const place = tx.savepoint();
        s.clearRange({ gte: 'k15' });
        s.put('k20', { n: -1 });
        expect(await s.count()).toBe(6);
        tx.rollbackTo(place);
        expect(await s.count()).toBe(21);
        expect(await s.rank('k99')).toBe(20);
        expect(await s.get('k20')).toEqual({ n: 10 });
        s.clear();
        tx.rollbackTo(place);
        expect((await s.at(-1))?.key).toBe('k99');
      });
      expect(await db.read((tx) => tx.store(items).count())).toBe(21);
    });

    test('savepoints nest; one rolled back to is good again, later ones are void', async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const s = tx.store(items);
        const empty = tx.savepoint();
        s.put('a', { n: 1 });
        const one = tx.savepoint();
        s.put('b', { n: 1 });
        const two = tx.savepoint();
        s.put('c', { n: 1 });
        tx.rollbackTo(two);
        expect(await contentOf(tx)).toBe('a=1 b=1');
        tx.rollbackTo(one);
        expect(await contentOf(tx)).toBe('a=1');
        expect(() => tx.rollbackTo(two)).toThrow(InvalidArgumentError);
        s.put('d', { n: 1 });
        tx.rollbackTo(one);
        expect(await contentOf(tx)).toBe('a=1');
        tx.rollbackTo(empty);
        expect(await contentOf(tx)).toBe('');
        expect(() => tx.rollbackTo(one)).toThrow(InvalidArgumentError);
        s.put('z', { n: 26 });
      });
      expect(await db.read(contentOf)).toBe('z=26');
    });

    test('stores created, dropped and renamed after it are as they were', async () => {
      const { db } = await subject();
      await db.write((tx) => {
        tx.store(items).put('a', { n: 1 });
        tx.store(others).put(1, 'one');
      });
      await db.write(async (tx) => {
        const before = tx.store(items);
        const place = tx.savepoint();
        const made = tx.store(hits);
        made.increment('x');
        tx.drop('items');
        tx.rename('others', 'more');
        expect(() => before.getSync('a')).toThrow(StoreNotFoundError);
        tx.rollbackTo(place);
        expect(() => made.getSync('x')).toThrow(StoreNotFoundError);
        expect(before.getSync('a')).toEqual({ n: 1 });
        expect(tx.store(others).getSync(1)).toBe('one');
        expect(() => tx.store('more')).toThrow(StoreNotFoundError);
        expect(tx.store(hits).getSync('x')).toBe(undefined);
        tx.store(hits).increment('y', 2);
      });
      expect((await db.stores()).map(({ name }) => name)).toEqual(['hits', 'items', 'others']);
      await db.read(async (tx) => {
        expect(await tx.store(hits).range().toArray()).toMatchObject([{ key: 'y', value: 2 }]);
        expect(await contentOf(tx)).toBe('a=1');
      });
      await db.write((tx) => {
        const place = tx.savepoint();
        tx.store(defineStore<string, string>('never')).put('a', 'b');
        tx.rollbackTo(place);
      });
      expect((await db.stores()).map(({ name }) => name)).toEqual(['hits', 'items', 'others']);
      await db.write((tx) => tx.store(defineStore<string, number>('never')).put('a', 1));
    });

    test('what was read stays read, and listeners stay', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(items).put('a', { n: 1 }));
      const told: string[] = [];
      const tx = await db.begin('write');
      tx.onCommit(() => told.push('before'));
      tx.store(items).put('b', { n: 1 });
      const place = tx.savepoint();
      await tx.store(items).get('a');
      tx.onCommit(() => told.push('after'));
      tx.onRollback(() => told.push('rolled back'));
      tx.rollbackTo(place);
      await db.write((other) => other.store(items).put('a', { n: 2 }));
      await expect(tx.commit()).rejects.toThrow(ConflictError);
      expect(told).toEqual(['rolled back']);
      await db.write((again) => {
        const here = again.savepoint();
        again.onCommit(() => told.push('after'));
        again.rollbackTo(here);
      });
      expect(told).toEqual(['rolled back', 'after']);
    });

    test('long values written after it are gone, those before stay', async () => {
      const { db } = await subject();
      const text = defineStore<string, string>('text');
      const long = (letter: string) => letter.repeat(200_000);
      await db.write(async (tx) => {
        const s = tx.store(text);
        s.put('a', long('a'));
        const place = tx.savepoint();
        s.put('a', long('b'));
        s.put('c', long('c'));
        tx.rollbackTo(place);
        expect(await s.get('a')).toBe(long('a'));
        s.put('d', long('d'));
      });
      await db.checkpoint();
      await db.read(async (tx) => {
        expect(await tx.store(text).getMany(['a', 'c', 'd'])).toEqual([long('a'), undefined, long('d')]);
      });
      expect((await db.verify()).problems).toEqual([]);
    });

    test('values of a shape first seen after it can be read later', async () => {
      const { db } = await subject();
      const shapes = defineStore<number, object>('shapes');
      await db.write((tx) => {
        const place = tx.savepoint();
        tx.store(shapes).put(1, { fresh: 1, shape: 2 });
        tx.rollbackTo(place);
        tx.store(shapes).put(2, { fresh: 3, shape: 4 });
      });
      await db.write((tx) => tx.store(shapes).put(3, { fresh: 5, shape: 6 }));
      expect(await db.read((tx) => tx.store(shapes).getMany([1, 2, 3]))).toEqual([
        undefined,
        { fresh: 3, shape: 4 },
        { fresh: 5, shape: 6 },
      ]);
    });

    test('an open range goes on with what is there', async () => {
      const { db } = await subject();
      await db.write((tx) =>
        tx.store(items).putMany([
          ['a', { n: 1 }],
          ['c', { n: 1 }],
          ['e', { n: 1 }],
        ]),
      );
      await db.write(async (tx) => {
        const s = tx.store(items);
        const place = tx.savepoint();
        s.put('d', { n: 2 });
        s.removeSync('e');
        const seen: string[] = [];
        for await (const key of s.range({ keysOnly: true })) {
          seen.push(key);
          if (key === 'c') tx.rollbackTo(place);
        }
        expect(seen).toEqual(['a', 'c', 'e']);
      });
    });

    // An expectation that a creation left behind (absent, or this very store) was taken for one of whatever came next under the
    // name: the store that somebody had created and filled meanwhile was overwritten.
    describe('a name that others took while it was free is not overwritten', () => {
      const one = defineStore<string, string>('taken');
      const another = defineStore<string, string>('taken', { values: 'separate' });
      const again: Readonly<Record<string, (tx: Transaction) => void>> = {
        'by a store of another shape': (tx) => void tx.store(another).put('x', 'of a'),
        'by a store of another shape after one of the same': (tx) => {
          const place = tx.savepoint();
          tx.store(one);
          tx.rollbackTo(place);
          tx.store(another).put('x', 'of a');
        },
        'by a renamed store': (tx) => tx.rename('others', 'taken'),
      };
      for (const [how, work] of Object.entries(again)) {
        for (const isSeen of [false, true]) {
          test(`${how}, ${isSeen ? 'met before it was rolled back' : 'created beside it'}`, async () => {
            const { db } = await subject();
            await db.write((tx) => void tx.store(others).put(1, 'one'));
            const a = await db.begin('write');
            const b = await db.begin('write');
            b.store(one).put('k', 'of b');
            if (isSeen) await b.commit();
            const place = a.savepoint();
            a.store(one);
            a.rollbackTo(place);
            const isRefused = await Promise.resolve()
              .then(() => work(a))
              .then(() => (isSeen ? undefined : b.commit()))
              .then(() => a.commit())
              .then(
                () => false,
                (error: unknown) => error instanceof ConflictError,
              );
            expect(isRefused).toBe(true);
            await a.rollback();
            await b.commit().catch(() => {});
            expect(await db.read((tx) => tx.store(one).get('k'))).toBe('of b');
            expect(await db.read((tx) => tx.store(others).get(1))).toBe('one');
          });
        }
      }

      test('the same store created again after it is one with what others created', async () => {
        const { db } = await subject();
        const a = await db.begin('write');
        const b = await db.begin('write');
        const place = a.savepoint();
        a.store(one).put('never', 'never');
        a.rollbackTo(place);
        b.store(one).put('k', 'of b');
        a.store(one).put('x', 'of a');
        await b.commit();
        await a.commit();
        expect(await db.read((tx) => tx.store(one).range().toArray())).toMatchObject([{ key: 'k' }, { key: 'x' }]);
      });
    });

    test('is refused where it makes no sense', async () => {
      const { db } = await subject();
      const tx = await db.begin('write');
      const other = await db.begin('write');
      const place = tx.savepoint();
      expect(() => other.rollbackTo(place)).toThrow(InvalidArgumentError);
      expect(() => tx.rollbackTo({} as never)).toThrow(InvalidArgumentError);
      await tx.commit();
      await other.rollback();
      expect(() => tx.rollbackTo(place)).toThrow(TransactionEndedError);
      expect(() => tx.savepoint()).toThrow(TransactionEndedError);
      await db.read((reader) => {
        expect(() => reader.savepoint()).toThrow(ReadOnlyError);
      });
    });
  });
}
