/** Transactions: isolation, conflicts, retries, limits, ends. */
import { describe, expect, test } from 'vitest';
import {
  AbortedError,
  ConflictError,
  InvalidArgumentError,
  ReadOnlyError,
  TimeoutError,
  TransactionEndedError,
} from '../../../src/base/errors.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { fresh, type OpenSubject } from './subject.ts';

const accounts = defineStore<string, number>('accounts');
const numbers = defineStore<number, string>('numbers');

export function transactionsContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('transactions', () => {
    test('nothing is seen by others before the commit, everything after it', async () => {
      const { db } = await subject();
      const writer = await db.begin('write');
      writer.store(accounts).put('a', 1);
      expect(await writer.store(accounts).get('a')).toBe(1);
      expect(await db.read((tx) => tx.store(accounts).get('a'))).toBeUndefined();
      const before = await db.begin('read');
      const number = await writer.commit();
      expect(number).toBeGreaterThan(0);
      expect(await before.store(accounts).get('a')).toBeUndefined();
      await before.rollback();
      expect(await db.read((tx) => tx.store(accounts).get('a'))).toBe(1);
    });

    test('a rolled back transaction leaves nothing', async () => {
      const { db } = await subject();
      const tx = await db.begin('write');
      tx.store(accounts).put('a', 1);
      await tx.rollback();
      await tx.rollback();
      expect(await db.read((r) => r.store(accounts).get('a'))).toBeUndefined();
    });

    test('an error thrown inside write rolls back and is passed on', async () => {
      const { db } = await subject();
      const mine = new Error('mine');
      await expect(
        db.write((tx) => {
          tx.store(accounts).put('a', 1);
          throw mine;
        }),
      ).rejects.toBe(mine);
      expect(await db.read((tx) => tx.store(accounts).has('a'))).toBe(false);
    });

    test('await using rolls back what was not committed', async () => {
      const { db } = await subject();
      {
        await using tx = await db.begin('write');
        tx.store(accounts).put('a', 1);
      }
      {
        await using tx = await db.begin('write');
        tx.store(accounts).put('b', 1);
        await tx.commit();
      }
      expect(await db.read((tx) => tx.store(accounts).range({ keysOnly: true }).toArray())).toEqual(['b']);
    });

    test('write and read answer what their function answers, and take plain functions', async () => {
      const { db } = await subject();
      expect(await db.write(() => 'x')).toBe('x');
      expect(await db.write(async () => 'y')).toBe('y');
      expect(await db.read(() => undefined)).toBeUndefined();
      await expect(db.write('no' as never)).rejects.toThrow(InvalidArgumentError);
      await expect(db.begin('wrong' as never)).rejects.toThrow(/'write', 'read' or 'noCheck'/);
    });

    test('a transaction changes several stores or none of them', async () => {
      const { db } = await subject();
      await db.write((tx) => {
        tx.store(accounts).put('a', 1);
        tx.store(numbers).put(1, 'one');
      });
      await expect(
        db.write((tx) => {
          tx.store(accounts).put('a', 2);
          tx.store(numbers).put(1, 'two');
          tx.store(numbers).put(2, (() => 1) as never);
        }),
      ).rejects.toThrow();
      await db.read(async (tx) => {
        expect(await tx.store(accounts).get('a')).toBe(1);
        expect(await tx.store(numbers).range().toArray()).toMatchObject([{ key: 1, value: 'one' }]);
      });
    });

    test('a transaction over that is used again says so', async () => {
      const { db } = await subject();
      const tx = await db.begin('write');
      const s = tx.store(accounts);
      s.put('a', 1);
      await tx.commit();
      expect(tx.ended).toBe(true);
      await expect(s.get('a')).rejects.toThrow(TransactionEndedError);
      expect(() => s.getSync('a')).toThrow(TransactionEndedError);
      expect(() => s.put('a', 2)).toThrow(/committed/);
      expect(() => s.range()).toThrow(TransactionEndedError);
      expect(() => tx.store(accounts)).toThrow(TransactionEndedError);
      await expect(tx.commit()).rejects.toThrow(TransactionEndedError);
      const other = await db.begin('write');
      await other.rollback();
      expect(() => other.store(accounts)).toThrow(/rolled back/);
    });

    test('an iteration that outlives its transaction ends with an error', async () => {
      const { db } = await subject();
      await db.write((tx) =>
        tx.store(numbers).putMany([
          [1, 'a'],
          [2, 'b'],
          [3, 'c'],
        ]),
      );
      const tx = await db.begin('read');
      const iterator = tx.store(numbers).range()[Symbol.asyncIterator]();
      expect((await iterator.next()).value?.key).toBe(1);
      await tx.rollback();
      await expect(iterator.next()).rejects.toThrow(TransactionEndedError);
    });

    for (const kind of ['read', 'noCheck'] as const) {
      test(`a transaction of kind ${kind} changes nothing`, async () => {
        const { db } = await subject();
        await db.write((tx) => tx.store(accounts).put('a', 1));
        await using tx = await db.begin(kind);
        const s = tx.store(accounts);
        expect(() => s.put('a', 2)).toThrow(ReadOnlyError);
        await expect(s.add('b', 2)).rejects.toThrow(ReadOnlyError);
        await expect(s.update('a', 2)).rejects.toThrow(ReadOnlyError);
        await expect(s.remove('a')).rejects.toThrow(ReadOnlyError);
        expect(() => s.clear()).toThrow(ReadOnlyError);
        expect(() => s.clearRange({ gt: 'a' })).toThrow(ReadOnlyError);
        expect(() => s.putMany([])).toThrow(ReadOnlyError);
        expect(() => tx.drop('accounts')).toThrow(ReadOnlyError);
        expect(() => tx.rename('accounts', 'other')).toThrow(ReadOnlyError);
        expect(await s.get('a')).toBe(1);
        expect(tx.kind).toBe(kind);
      });
    }

    test('a reader sees its snapshot however many writers come after it', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(accounts).put('a', 0));
      const reader = await db.begin('read');
      for (let i = 1; i <= 50; i++)
        await db.write((tx) =>
          tx.store(accounts).putMany([
            ['a', i],
            [`n${i}`, i],
          ]),
        );
      expect(await reader.store(accounts).get('a')).toBe(0);
      expect(await reader.store(accounts).count()).toBe(1);
      expect(await reader.commit()).toBe(reader.snapshot);
      expect(await db.read((tx) => tx.store(accounts).count())).toBe(51);
    });

    test('writers of different keys all commit at the first try, also in an empty store', async () => {
      const { db } = await subject();
      const writers = await Promise.all(Array.from({ length: 20 }, () => db.begin('write')));
      for (const [i, tx] of writers.entries()) expect(await tx.store(accounts).add(`k${i}`, i)).toBe(true);
      await Promise.all(writers.map((tx) => tx.commit()));
      expect(await db.read((tx) => tx.store(accounts).count())).toBe(20);
    });

    test('of two that read and change one key the second is refused', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(accounts).put('a', 1));
      const [one, two] = [await db.begin('write'), await db.begin('write')];
      for (const tx of [one, two]) tx.store(accounts).put('a', ((await tx.store(accounts).get('a')) as number) + 1);
      await one.commit();
      const lost = two.commit();
      await expect(lost).rejects.toThrow(ConflictError);
      await expect(lost).rejects.toMatchObject({ code: 'CONFLICT', retryable: true });
      expect(two.ended).toBe(true);
      expect(await db.read((tx) => tx.store(accounts).get('a'))).toBe(2);
    });

    test('blind puts of one key never conflict; the last one stays', async () => {
      const { db } = await subject();
      const [one, two] = [await db.begin('write'), await db.begin('write')];
      one.store(accounts).put('a', 1);
      two.store(accounts).put('a', 2);
      await one.commit();
      await two.commit();
      expect(await db.read((tx) => tx.store(accounts).get('a'))).toBe(2);
    });

    test('write skew is refused', async () => {
      const { db } = await subject();
      await db.write((tx) =>
        tx.store(accounts).putMany([
          ['x', 1],
          ['y', 1],
        ]),
      );
      const [one, two] = [await db.begin('write'), await db.begin('write')];
      for (const tx of [one, two]) expect(await tx.store(accounts).getMany(['x', 'y'])).toEqual([1, 1]);
      one.store(accounts).put('x', 0);
      two.store(accounts).put('y', 0);
      await one.commit();
      await expect(two.commit()).rejects.toThrow(ConflictError);
    });

    const phantoms: [string, (s: import('../../../src/store/store.ts').TxStore<number, string>) => unknown][] = [
      ['a range', (s) => s.range({ gte: 10, lt: 20 }).toArray()],
      ['a range, without promises', (s) => s.range({ gte: 10, lt: 20 }).toArraySync()],
      ['a range backwards', (s) => s.range({ gte: 10, lt: 20, reverse: true }).toArray()],
      ['a range of keys', (s) => s.range({ gte: 10, lt: 20, keysOnly: true }).toArray()],
      ['a count', (s) => s.count({ gte: 10, lt: 20 })],
      ['a count of all', (s) => s.count()],
      ['a rank', (s) => s.rank(50)],
      ['a position', (s) => s.at(0)],
      ['the first', (s) => s.first()],
      ['the first of a range', (s) => s.first({ gt: 5 })],
      ['a key that is not there', (s) => s.get(15)],
      ['whether a key is there', (s) => s.has(15)],
      ['adding', (s) => s.add(15, 'mine')],
      ['removing', (s) => s.remove(15)],
      ['a filter that lets nothing through', (s) => s.range({ where: () => false }).toArray()],
    ];
    for (const [what, look] of phantoms) {
      test(`what appears where ${what} was looked at is a conflict`, async () => {
        const { db } = await subject();
        await db.write((tx) => tx.store(numbers).put(30, 'thirty'));
        const tx = await db.begin('write');
        await look(tx.store(numbers));
        tx.store(accounts).put('seen', 1);
        await db.write((other) => other.store(numbers).put(15, 'phantom'));
        await expect(tx.commit()).rejects.toThrow(ConflictError);
      });
    }

    const elsewhere: [string, (s: import('../../../src/store/store.ts').TxStore<number, string>) => unknown][] = [
      ['a range beside it', (s) => s.range({ gte: 0, lt: 15 }).toArray()],
      ['a range with a limit that ends before it', (s) => s.range({ limit: 2 }).toArray()],
      ['a backward range with a limit that ends behind it', (s) => s.range({ reverse: true, limit: 1 }).toArray()],
      ['the first', (s) => s.first()],
      ['the last', (s) => s.last()],
      ['a key beside it', (s) => s.get(10)],
      ['a position before it', (s) => s.at(1)],
      ['a rank before it', (s) => s.rank(11)],
      ['a count of another range', (s) => s.count({ gt: 20 })],
      [
        'a loop that was left before it',
        async (s) => {
          for await (const entry of s.range()) if (entry.key === 10) break;
        },
      ],
      [
        'an iterator that was never closed',
        async (s) => {
          const iterator = s.range()[Symbol.asyncIterator]();
          await iterator.next();
          await iterator.next();
        },
      ],
      ['an iterator that was never asked', (s) => s.range().sync()],
    ];
    for (const [what, look] of elsewhere) {
      test(`what appears beyond what was looked at is none: ${what}`, async () => {
        const { db } = await subject();
        await db.write((tx) =>
          tx.store(numbers).putMany([
            [0, 'a'],
            [10, 'b'],
            [30, 'c'],
          ]),
        );
        const tx = await db.begin('write');
        await look(tx.store(numbers));
        tx.store(accounts).put('seen', 1);
        await db.write((other) => other.store(numbers).put(15, 'elsewhere'));
        await tx.commit();
      });
    }

    test('an entry that an unclosed iterator handed out is part of what was read', async () => {
      const { db } = await subject();
      await db.write((tx) =>
        tx.store(numbers).putMany([
          [0, 'a'],
          [10, 'b'],
          [30, 'c'],
        ]),
      );
      const tx = await db.begin('write');
      const iterator = tx.store(numbers).range().sync();
      iterator.next();
      iterator.next();
      tx.store(accounts).put('seen', 1);
      await db.write((other) => other.store(numbers).put(10, 'changed'));
      await expect(tx.commit()).rejects.toThrow(ConflictError);
    });

    test('a cleared range conflicts with a reader of it and with nobody else', async () => {
      const { db } = await subject();
      await db.write((tx) =>
        tx.store(numbers).putMany([
          [1, 'a'],
          [50, 'b'],
        ]),
      );
      const [inside, outside] = [await db.begin('write'), await db.begin('write')];
      await inside.store(numbers).get(3);
      inside.store(accounts).put('i', 1);
      await outside.store(numbers).get(50);
      outside.store(accounts).put('o', 1);
      await db.write((tx) => tx.store(numbers).clearRange({ lt: 10 }));
      await expect(inside.commit()).rejects.toThrow(ConflictError);
      await outside.commit();
    });

    test('a transaction that only looked is refused too when what it saw was no longer so', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(accounts).put('a', 1));
      const tx = await db.begin('write');
      await tx.store(accounts).get('a');
      await db.write((other) => other.store(accounts).put('a', 2));
      await expect(tx.commit()).rejects.toThrow(ConflictError);
    });

    test('write runs again after a conflict until it succeeds', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(accounts).put('n', 0));
      let runs = 0;
      const work = Array.from({ length: 20 }, () =>
        db.write(async (tx) => {
          runs++;
          const s = tx.store(accounts);
          s.put('n', ((await s.get('n')) as number) + 1);
        }),
      );
      await Promise.all(work);
      expect(await db.read((tx) => tx.store(accounts).get('n'))).toBe(20);
      expect(runs).toBeGreaterThanOrEqual(20);
    });

    test('write gives up with the last conflict after the retries it was given', async () => {
      const { db } = await subject();
      let runs = 0;
      const losing = db.write(
        async (tx) => {
          runs++;
          await tx.store(accounts).get('n');
          tx.store(accounts).put('m', runs);
          await db.write((other) => other.store(accounts).put('n', runs));
        },
        { retries: 3 },
      );
      await expect(losing).rejects.toThrow(ConflictError);
      expect(runs).toBe(4);
    });

    test('a time limit ends a transaction and says so', async () => {
      const { db } = await subject();
      const slow = db.write(
        async (tx) => {
          tx.store(accounts).put('a', 1);
          await new Promise((resolve) => setTimeout(resolve, 60));
          tx.store(accounts).put('b', 1);
        },
        { timeoutMs: 15 },
      );
      await expect(slow).rejects.toThrow(TimeoutError);
      expect(await db.read((tx) => tx.store(accounts).count())).toBe(0);
      await expect(db.write(() => 1, { timeoutMs: 0 })).rejects.toThrow(InvalidArgumentError);
      await expect(db.begin('read', { timeoutMs: -1 })).rejects.toThrow(InvalidArgumentError);
    });

    test('a signal ends a transaction, before it begins too', async () => {
      const { db } = await subject();
      const stop = new AbortController();
      const aborted = db.write(
        async (tx) => {
          tx.store(accounts).put('a', 1);
          stop.abort();
          await tx.store(accounts).get('a');
        },
        { signal: stop.signal },
      );
      await expect(aborted).rejects.toThrow(AbortedError);
      await expect(db.write(() => 1, { signal: stop.signal })).rejects.toThrow(AbortedError);
      await expect(db.begin('write', { signal: stop.signal })).rejects.toThrow(AbortedError);
      expect(await db.read((tx) => tx.store(accounts).count())).toBe(0);
    });

    test('onCommit hears the number, onRollback the reason', async () => {
      const { db } = await subject();
      const heard: unknown[] = [];
      await db.write((tx) => {
        tx.onCommit((number) => heard.push(number > 0));
        tx.onRollback(() => heard.push('rolled back'));
        tx.store(accounts).put('a', 1);
      });
      const reason = new Error('why');
      const tx = await db.begin('write');
      tx.onCommit(() => heard.push('committed'));
      tx.onRollback((why) => heard.push(why));
      await tx.rollback(reason);
      expect(heard).toEqual([true, reason]);
    });

    test('what became of a transaction can be asked by its id', async () => {
      const { db } = await subject();
      const [one, two] = [await db.begin('write'), await db.begin('write')];
      one.store(accounts).put('a', 1);
      two.store(accounts).put('b', 1);
      await one.commit();
      await two.rollback();
      expect(await db.resolve(one.id)).toBe('committed');
      expect(await db.resolve(two.id)).toBe('aborted');
      expect(await db.resolve(two.id)).toBe('aborted');
      expect(one.id).not.toBe(two.id);
    });

    test('fn may end its transaction itself', async () => {
      const { db } = await subject();
      expect(
        await db.write(async (tx) => {
          tx.store(accounts).put('a', 1);
          await tx.rollback();
          return 'never mind';
        }),
      ).toBe('never mind');
      await db.write(async (tx) => {
        tx.store(accounts).put('b', 1);
        await tx.commit();
      });
      expect(await db.read((tx) => tx.store(accounts).range({ keysOnly: true }).toArray())).toEqual(['b']);
    });

    test('several calls of one transaction may be under way at once', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(numbers).putMany(Array.from({ length: 200 }, (_, i) => [i, `v${i}`] as const)));
      await db.write(async (tx) => {
        const s = tx.store(numbers);
        const values = await Promise.all(Array.from({ length: 200 }, (_, i) => s.get(i)));
        expect(values).toEqual(Array.from({ length: 200 }, (_, i) => `v${i}`));
        const added = await Promise.all([s.add(1000, 'a'), s.add(1000, 'b'), s.add(1000, 'c')]);
        expect(added.filter(Boolean).length).toBe(1);
        const both = await Promise.all([s.range({ lt: 50 }).toArray(), s.range({ gte: 150, lt: 200 }).toArray()]);
        expect(both.map((entries) => entries.length)).toEqual([50, 50]);
      });
    });
  });
}
