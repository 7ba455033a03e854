/** Blind counters: stores of them, and ride-on fields that are. */
import { describe, expect, test } from 'vitest';
import {
  ConflictError,
  InvalidArgumentError,
  InvalidKeyError,
  InvalidValueError,
  ReadOnlyError,
  StoreMismatchError,
} from '../../../src/base/errors.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import type { TxStore } from '../../../src/store/store.ts';
import { fresh, type OpenSubject } from './subject.ts';

const hits = defineStore<string, number>('hits', { counter: true });
const totals = defineStore<string, bigint>('totals', { counter: 'bigint' });
interface PageKey {
  readonly site: string;
  readonly path: string;
  readonly title: string;
  readonly views: number;
  readonly likes: number;
}
const pages = defineStore<PageKey, { text: string }, 'title' | 'views' | 'likes'>('pages', {
  key: ['site', 'path'],
  rideOn: ['title', 'views', 'likes'],
  counters: ['likes', 'views'],
});
const tallies = defineStore<{ id: number; up: number; down: number }, string, 'up' | 'down'>('tallies', {
  key: ['id'],
  rideOn: ['up', 'down'],
  counters: ['up', 'down'],
});
const plain = defineStore<string, { n: number }>('plain');

export function countersContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('counters', () => {
    // Found by the guide: with no other ride-on field, an entry could be incremented and not be read.
    test('all ride-on fields may be counters', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(tallies).put({ id: 1, up: 1, down: 0 }, 'text'));
      await db.write((tx) => tx.store(tallies).increment({ id: 1 }, { down: 2 }));
      const entry = await db.read((tx) => tx.store(tallies).getEntry({ id: 1 }));
      expect([entry?.key, entry?.value]).toEqual([{ id: 1, up: 1, down: 2 }, 'text']);
      expect(await db.read((tx) => tx.store(tallies).range({ keysOnly: true }).toArray())).toEqual([entry?.key]);
    });

    test('increment creates an entry, and adds to it ever after', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(hits).increment('a'));
      await db.write((tx) => {
        tx.store(hits).increment('a', 41);
        tx.store(hits).increment('b', -3n);
      });
      await db.read(async (tx) => {
        const s = tx.store(hits);
        expect(await s.get('a')).toBe(42);
        expect(s.getSync('b')).toBe(-3);
        expect(await s.count()).toBe(2);
        expect((await s.range().toArray()).map(({ key, value }) => [key, value])).toEqual([
          ['a', 42],
          ['b', -3],
        ]);
        expect((await s.last())?.value).toBe(-3);
      });
    });

    test('increments of one key at the same time all commit at the first try', async () => {
      const { db } = await subject();
      const all = await Promise.all(Array.from({ length: 20 }, () => db.begin('write')));
      for (const [i, tx] of all.entries()) tx.store(hits).increment('hot', i);
      await Promise.all(all.map((tx) => tx.commit()));
      expect(await db.read((tx) => tx.store(hits).get('hot'))).toBe(190);
    });

    test('who has read a counter conflicts with who increments it', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(hits).increment('a'));
      const reader = await db.begin('write');
      expect(await reader.store(hits).get('a')).toBe(1);
      reader.store(hits).put('b', 1);
      await db.write((tx) => tx.store(hits).increment('a'));
      await expect(reader.commit()).rejects.toThrow(ConflictError);
    });

    test('a transaction sees its own increments over what was there', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(hits).put('a', 10));
      await db.write(async (tx) => {
        const s = tx.store(hits);
        s.increment('a', 5);
        s.increment('new', 7);
        expect(await s.get('a')).toBe(15);
        s.increment('a');
        expect(s.getSync('a')).toBe(16);
        expect((await s.range().toArray()).map((entry) => entry.value)).toEqual([16, 7]);
        expect(await s.count()).toBe(2);
        s.put('a', 100);
        s.increment('a');
        expect(await s.get('a')).toBe(101);
        expect(await s.remove('a')).toBe(true);
        s.increment('a', 2);
        expect(await s.get('a')).toBe(2);
        s.clear();
        s.increment('a', 3);
        expect(await s.range().toArray()).toMatchObject([{ key: 'a', value: 3 }]);
      });
      expect(await db.read((tx) => tx.store(hits).get('a'))).toBe(3);
    });

    test('an increment after a removal starts from nothing', async () => {
      const { db } = await subject();
      for (const take of ['clear', 'remove', 'range'] as const) {
        await db.write((tx) => tx.store(hits).increment('a', 50));
        await db.write(async (tx) => {
          if (take === 'clear') tx.store(hits).clear();
          else if (take === 'range') tx.store(hits).clearRange({ prefix: 'a' });
          else await tx.store(hits).remove('a');
        });
        await db.write((tx) => tx.store(hits).increment('a', 2));
        await db.write((tx) => tx.store(hits).increment('a', 1));
        expect(await db.read((tx) => tx.store(hits).get('a'))).toBe(3);
        expect(await db.read((tx) => tx.store(hits).count())).toBe(1);
      }
    });

    test('an older snapshot reads the counter as it was', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(hits).put('a', 1));
      const readers = [];
      for (let i = 0; i < 5; i++) {
        readers.push(await db.begin('read'));
        await db.write((tx) => tx.store(hits).increment('a'));
      }
      const seen = await Promise.all(readers.map((tx) => tx.store(hits).get('a')));
      expect(seen).toEqual([1, 2, 3, 4, 5]);
      for (const tx of readers) await tx.rollback();
    });

    test('totals outlive a checkpoint, and closing', async () => {
      const { db, reopen } = await subject();
      await db.write((tx) => {
        for (let i = 0; i < 600; i++) tx.store(hits).increment(`k${i % 300}`, i);
      });
      await db.checkpoint();
      await db.write((tx) => {
        for (let i = 0; i < 900; i += 3) tx.store(hits).increment(`k${i}`, 1);
      });
      const expected = (i: number) => (i < 300 ? 2 * i + 300 : 0) + (i % 3 === 0 ? 1 : 0);
      const check = (entries: { key: string; value: number }[]) => {
        expect(entries).toHaveLength(500);
        for (const { key, value } of entries) expect([key, value]).toEqual([key, expected(Number(key.slice(1)))]);
      };
      check(await db.read((tx) => tx.store(hits).range().toArray()));
      check(await db.read((tx) => tx.store(hits).range({ reverse: true }).toArray()));
      expect(await db.read((tx) => tx.store(hits).count())).toBe(500);
      await db.checkpoint();
      check(await db.read((tx) => tx.store(hits).range().toArray()));
      if (reopen !== undefined) {
        const again = await reopen();
        check(await again.read((tx) => tx.store(hits).range().toArray()));
        expect((await again.verify()).ok).toBe(true);
      }
    });

    test('ride-on counters count beside the value; an absent key stays absent', async () => {
      const { db } = await subject();
      const key = { site: 's', path: '/' };
      await db.write((tx) => {
        tx.store(pages).put({ ...key, title: 'Home', views: 5, likes: 0 }, { text: 'x'.repeat(3000) });
        tx.store(pages).increment({ site: 's', path: '/none' }, { views: 1 });
      });
      await db.write((tx) => tx.store(pages).increment(key, { views: 2, likes: 1 }));
      await db.write((tx) => tx.store(pages).increment(key, { likes: 10n }));
      const check = async () =>
        db.read(async (tx) => {
          const s = tx.store(pages);
          expect(await s.range({ keysOnly: true }).toArray()).toEqual([{ ...key, title: 'Home', views: 7, likes: 11 }]);
          expect(await s.getEntry(key)).toMatchObject({ value: { text: 'x'.repeat(3000) } });
          expect(await s.count()).toBe(1);
        });
      await check();
      await db.checkpoint();
      await check();
      await db.write((tx) => tx.store(pages).updateKey({ ...key, title: 'Start' }));
      await db.write(async (tx) => {
        tx.store(pages).increment(key, { views: 1 });
        expect(await tx.store(pages).update(key, { text: 'new' })).toBe(true);
        tx.store(pages).increment(key, { views: 1 });
      });
      expect(await db.read((tx) => tx.store(pages).getEntry(key))).toMatchObject({
        key: { title: 'Start', views: 9, likes: 11 },
        value: { text: 'new' },
      });
    });

    test('totals wrap round at 64 bits; bigints stay exact, numbers come near', async () => {
      const { db } = await subject();
      await db.write((tx) => {
        tx.store(totals).put('t', 2n ** 63n - 1n);
        tx.store(totals).increment('t', 2);
        tx.store(hits).put('h', Number.MAX_SAFE_INTEGER);
        tx.store(hits).increment('h', Number.MAX_SAFE_INTEGER);
      });
      await db.read(async (tx) => {
        expect(await tx.store(totals).get('t')).toBe(-(2n ** 63n) + 1n);
        expect(await tx.store(hits).get('h')).toBe(2 ** 54 - 2);
      });
    });

    test('what is no counter is refused by name, and nothing is lost', async () => {
      const { db } = await subject();
      await db.write((tx) => {
        const s = tx.store(hits);
        s.put('a', 1);
        expect(() => s.put('a', 1.5)).toThrow(InvalidValueError);
        expect(() => s.increment('a', 0.5)).toThrow(InvalidArgumentError);
        expect(() => s.increment('a', 2n ** 64n)).toThrow(InvalidArgumentError);
        expect(() => tx.store(totals).put('a', 1 as never)).toThrow(InvalidValueError);
        expect(() => (tx.store(plain) as never as TxStore<string, number>).increment('a')).toThrow(
          InvalidArgumentError,
        );
        const p = tx.store(pages);
        const key = { site: 's', path: '/' };
        expect(() => p.increment(key, { title: 1 } as never)).toThrow(/no counter 'title'/);
        expect(() => p.increment(key, 1 as never)).toThrow(InvalidArgumentError);
        expect(() => p.put({ ...key, title: '', views: 0.1, likes: 0 }, { text: '' })).toThrow(InvalidKeyError);
      });
      await db.read((tx) => {
        expect(tx.store(hits).getSync('a')).toBe(1);
        expect(() => tx.store(hits).increment('a')).toThrow(ReadOnlyError);
      });
    });

    test('the definition says so, and another one is refused by name', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(hits).increment('a'));
      await db.write((tx) => tx.store(pages));
      expect(await db.describe('hits')).toMatchObject({ counter: true });
      expect(await db.describe('pages')).toMatchObject({ counters: ['likes', 'views'] });
      await db.read(async (tx) => {
        expect(await tx.store('hits').get('a')).toBe(1);
        expect(() => tx.store(defineStore<string, number>('hits'))).toThrow(StoreMismatchError);
        expect(() => tx.store(defineStore<string, bigint>('hits', { counter: 'bigint' }))).toThrow(/counter true/);
      });
      await db.write((tx) => tx.store('hits').increment('a', 4));
      expect(await db.read((tx) => tx.store(hits).get('a'))).toBe(5);
    });

    test('a shape that makes no counter is refused', () => {
      const define = defineStore as unknown as (name: string, shape: object) => unknown;
      const shapes = [
        { counter: 1 },
        { counter: true, raw: true },
        { counter: true, values: 'separate' },
        { counter: true, key: ['a'], rideOn: ['b'] },
        { counters: ['a'] },
        { key: ['a'], rideOn: ['b'], counters: ['a'] },
        { key: ['a'], rideOn: ['b'], counters: ['b', 'b'] },
        { key: ['a'], rideOn: ['b'], counters: 'b' },
      ];
      for (const shape of shapes) expect(() => define('s', shape)).toThrow(InvalidArgumentError);
    });
  });
}
