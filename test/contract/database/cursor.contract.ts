/** Cursors: finding, moving, reading and changing at the place, under changes by their own transaction. */
import { describe, expect, test } from 'vitest';
import {
  ConflictError,
  InvalidArgumentError,
  InvalidKeyError,
  ReadOnlyError,
  TransactionEndedError,
} from '../../../src/base/errors.ts';
import type { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { fresh, type OpenSubject } from './subject.ts';

const numbers = defineStore<number, string>('numbers');
const others = defineStore<number, string>('others');
const apart = defineStore<number, string>('apart', { values: 'separate' });
interface CityKey {
  readonly country: string;
  readonly name: string;
  readonly size?: number | undefined;
}
const cities = defineStore<CityKey, string, 'size'>('cities', { key: ['country', 'name'], rideOn: ['size'] });

/** The even numbers from 0 to 198. */
async function fill(db: Database): Promise<void> {
  await db.write((tx) =>
    tx.store(numbers).putMany(Array.from({ length: 100 }, (_, i) => [i * 2, `v${i * 2}`] as const)),
  );
}

export function cursorContract(open: OpenSubject): void {
  const subject = fresh(open);
  const filled = async (): Promise<Database> => {
    const { db } = await subject();
    await fill(db);
    return db;
  };

  describe('cursors', () => {
    test('find says whether it stands at the key, at the nearest on the side asked for, or nowhere', async () => {
      const db = await filled();
      await db.read(async (tx) => {
        const cursor = tx.store(numbers).cursor();
        expect(await cursor.find(10)).toBe('found');
        expect([cursor.key, await cursor.value()]).toEqual([10, 'v10']);
        expect(await cursor.find(11)).toBe('none');
        expect([cursor.key, await cursor.value(), await cursor.entry()]).toEqual([undefined, undefined, undefined]);
        expect(await cursor.find(11, { nearest: 'greater' })).toBe('greater');
        expect(cursor.key).toBe(12);
        expect(await cursor.find(11, { nearest: 'less' })).toBe('less');
        expect(cursor.key).toBe(10);
        expect(await cursor.find(10, { nearest: 'less' })).toBe('found');
        expect(await cursor.find(10, { nearest: 'greater' })).toBe('found');
        expect(await cursor.find(199, { nearest: 'greater' })).toBe('none');
        expect(await cursor.previous()).toBe(true);
        expect(cursor.key).toBe(198);
        expect(await cursor.find(-1, { nearest: 'less' })).toBe('none');
        expect(await cursor.next()).toBe(true);
        expect(cursor.key).toBe(0);
        expect(cursor.findSync(42)).toBe('found');
        expect(cursor.findSync(43, { nearest: 'less' })).toBe('less');
        expect(cursor.valueSync()).toBe('v42');
      });
    });

    test('after a find that found nothing the neighbours are one move away', async () => {
      const db = await filled();
      await db.read(async (tx) => {
        const cursor = tx.store(numbers).cursor();
        await cursor.find(11);
        expect([await cursor.next(), cursor.key]).toEqual([true, 12]);
        await cursor.find(11);
        expect([await cursor.previous(), cursor.key]).toEqual([true, 10]);
      });
    });

    test('a new cursor walks over everything, and back from behind the end', async () => {
      const db = await filled();
      await db.read(async (tx) => {
        const cursor = tx.store(numbers).cursor();
        expect(await cursor.previous()).toBe(false);
        const forward: unknown[] = [];
        while (await cursor.next()) forward.push(cursor.key);
        expect(forward).toEqual(Array.from({ length: 100 }, (_, i) => i * 2));
        expect([await cursor.next(), cursor.key]).toEqual([false, undefined]);
        const backward: unknown[] = [];
        while (cursor.previousSync()) backward.push(cursor.key);
        expect(backward).toEqual([...forward].reverse());
        expect(await cursor.previous()).toBe(false);
        expect([cursor.nextSync(), cursor.key]).toEqual([true, 0]);
        expect([await cursor.last(), cursor.key]).toEqual([true, 198]);
        expect([await cursor.previous(), cursor.key]).toEqual([true, 196]);
        expect([await cursor.next(), cursor.key]).toEqual([true, 198]);
        expect([await cursor.first(), cursor.key]).toEqual([true, 0]);
        expect([cursor.lastSync(), cursor.firstSync(), cursor.key]).toEqual([true, true, 0]);
      });
    });

    test('in an empty store there is nowhere to go', async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const cursor = tx.store(numbers).cursor();
        expect([await cursor.first(), await cursor.last(), await cursor.next(), await cursor.previous()]).toEqual(
          Array(4).fill(false),
        );
        expect(await cursor.find(1, { nearest: 'greater' })).toBe('none');
        expect([await cursor.update('x'), await cursor.remove()]).toEqual([false, false]);
      });
    });

    test('update, remove and their synchronous forms change what it stands at', async () => {
      const db = await filled();
      await db.write(async (tx) => {
        const cursor = tx.store(numbers).cursor();
        await cursor.find(10);
        expect(await cursor.update('ten')).toBe(true);
        expect(await cursor.entry()).toEqual({ key: 10, value: 'ten', version: 0 });
        expect([await cursor.next(), cursor.key, await cursor.remove(), cursor.key]).toEqual([
          true,
          12,
          true,
          undefined,
        ]);
        expect([await cursor.remove(), await cursor.update('x'), await cursor.value()]).toEqual([
          false,
          false,
          undefined,
        ]);
        expect([await cursor.next(), cursor.key]).toEqual([true, 14]);
        expect([await cursor.previous(), cursor.key]).toEqual([true, 10]);
        cursor.nextSync();
        expect([cursor.updateSync('fourteen'), cursor.valueSync(), cursor.removeSync()]).toEqual([
          true,
          'fourteen',
          true,
        ]);
        expect([await cursor.previous(), cursor.key]).toEqual([true, 10]);
      });
      await db.read(async (tx) => {
        expect(await tx.store(numbers).getMany([10, 12, 14, 16])).toEqual(['ten', undefined, undefined, 'v16']);
      });
    });

    test('updateKey replaces ride-on fields and leaves the value alone', async () => {
      const { db } = await subject();
      await db.write((tx) => {
        tx.store(cities).putMany([
          [{ country: 'DE', name: 'Berlin', size: 9 }, 'B'],
          [{ country: 'DE', name: 'Bonn', size: 3 }, 'b'],
          [{ country: 'FR', name: 'Paris', size: 8 }, 'P'],
        ]);
      });
      await db.write(async (tx) => {
        const cursor = tx.store(cities).cursor();
        expect(await cursor.find({ country: 'DE', name: 'Bonn' })).toBe('found');
        expect(cursor.key).toEqual({ country: 'DE', name: 'Bonn', size: 3 });
        expect(await cursor.updateKey({ size: 4 })).toBe(true);
        expect(cursor.key).toEqual({ country: 'DE', name: 'Bonn', size: 4 });
        expect(await cursor.update('bb')).toBe(true);
        expect(await cursor.entry()).toEqual({
          key: { country: 'DE', name: 'Bonn', size: 4 },
          value: 'bb',
          version: 0,
        });
        expect(cursor.updateKeySync({ size: 5 })).toBe(true);
        await expect(cursor.updateKey({ name: 'x' } as never)).rejects.toThrow(/'name' is no ride-on field/);
        expect(await cursor.find({ country: 'DE' } as never)).toBe('found');
        expect(cursor.key?.name).toBe('Berlin');
        expect(await cursor.find({ country: 'DE' } as never, { nearest: 'less' })).toBe('found');
        expect(cursor.key?.name).toBe('Bonn');
        expect(await cursor.find({ country: 'EU' } as never, { nearest: 'greater' })).toBe('greater');
        expect(cursor.key?.name).toBe('Paris');
        await expect(
          tx
            .store(numbers)
            .cursor()
            .updateKey({} as never),
        ).rejects.toThrow(InvalidArgumentError);
      });
      expect(await db.read((tx) => tx.store(cities).getEntry({ country: 'DE', name: 'Bonn' }))).toMatchObject({
        key: { size: 5 },
        value: 'bb',
      });
    });

    test('it survives every change of its own transaction', async () => {
      const db = await filled();
      await db.write(async (tx) => {
        const s = tx.store(numbers);
        const cursor = s.cursor();
        await cursor.find(10);
        s.put(11, 'behind');
        s.put(9, 'before');
        expect([await cursor.next(), cursor.key]).toEqual([true, 11]);
        await s.remove(11);
        expect([cursor.key, await cursor.value(), await cursor.update('x')]).toEqual([11, undefined, false]);
        expect([await cursor.previous(), cursor.key]).toEqual([true, 10]);
        expect([await cursor.previous(), cursor.key]).toEqual([true, 9]);
        tx.store(others).put(1, 'one');
        s.put(9, 'again');
        expect([cursor.key, await cursor.value()]).toEqual([9, 'again']);
        s.clearRange({ gt: 9, lt: 100 });
        expect([await cursor.next(), cursor.key]).toEqual([true, 100]);
        s.clear();
        expect([await cursor.entry(), await cursor.next(), await cursor.previous()]).toEqual([undefined, false, false]);
        s.put(5, 'five');
        expect([await cursor.next(), cursor.key, await cursor.value()]).toEqual([true, 5, 'five']);
      });
    });

    test('a walk may remove and replace as it goes', async () => {
      const db = await filled();
      await db.write(async (tx) => {
        const cursor = tx.store(numbers).cursor();
        while (await cursor.next()) {
          if ((cursor.key as number) % 4 === 0) await cursor.remove();
          else await cursor.update(`w${cursor.key}`);
        }
      });
      const left = await db.read((tx) => tx.store(numbers).range().toArray());
      expect(left.map((entry) => entry.value)).toEqual(Array.from({ length: 50 }, (_, i) => `w${i * 4 + 2}`));
    });

    test('removing what is not there just now leaves it where it stands', async () => {
      const db = await filled();
      await db.write(async (tx) => {
        const s = tx.store(numbers);
        const before = tx.savepoint();
        s.put(1, 'one');
        const cursor = s.cursor();
        await cursor.find(1);
        tx.rollbackTo(before);
        expect(await cursor.remove()).toBe(false);
        s.put(1, 'again');
        expect([await cursor.value(), await cursor.remove(), await cursor.remove()]).toEqual(['again', true, false]);
      });
    });

    test('indexes follow what it changes', async () => {
      const { db } = await subject();
      const people = defineStore<number, { name: string }>('people', { indexes: { byName: ['name'] } as never });
      await db.write((tx) => tx.store(people).putMany([1, 2, 3].map((n) => [n, { name: `n${n}` }] as const)));
      await db.write(async (tx) => {
        const cursor = tx.store(people).cursor();
        await cursor.next();
        expect(await cursor.update({ name: 'new' })).toBe(true);
        await cursor.next();
        expect(await cursor.remove()).toBe(true);
        await cursor.next();
        expect(cursor.updateSync({ name: 'other' })).toBe(true);
      });
      const report = await db.read((tx) =>
        tx
          .store(people)
          .index('byName' as never)
          .range()
          .toArray(),
      );
      expect(report.map((entry) => (entry as { value: { name: string } }).value.name)).toEqual(['new', 'other']);
    });

    test('values that live apart are read when they are asked for', async () => {
      const { db } = await subject();
      const long = (n: number) => String(n).repeat(10_000);
      await db.write((tx) => tx.store(apart).putMany([1, 2, 3].map((n) => [n, long(n)] as const)));
      await db.checkpoint();
      await db.write(async (tx) => {
        const cursor = tx.store(apart).cursor();
        await cursor.next();
        expect(await cursor.value()).toBe(long(1));
        await cursor.next();
        expect(await cursor.entry()).toMatchObject({ key: 2, value: long(2) });
        const value = cursor.value();
        await cursor.next();
        expect([await value, cursor.valueSync(), cursor.entrySync()?.key]).toEqual([long(2), long(3), 3]);
      });
    });

    test('calls that are not waited for run one after another', async () => {
      const db = await filled();
      await db.read(async (tx) => {
        const cursor = tx.store(numbers).cursor();
        const answers = await Promise.all([
          cursor.first(),
          cursor.next(),
          cursor.value(),
          cursor.next(),
          cursor.entry(),
        ]);
        expect(answers).toEqual([true, true, 'v2', true, expect.objectContaining({ key: 4, value: 'v4' })]);
      });
    });

    test('what it passed over is part of what was read: a change there refuses the commit', async () => {
      const looks: [string, number, boolean, (tx: Awaited<ReturnType<Database['begin']>>) => Promise<unknown>][] = [
        ['the key found', 10, true, (tx) => tx.store(numbers).cursor().find(10)],
        ['the key missed', 11, true, (tx) => tx.store(numbers).cursor().find(11)],
        ['beside the key missed', 12, false, (tx) => tx.store(numbers).cursor().find(11)],
        [
          'between the key and the nearest',
          11,
          true,
          (tx) => tx.store(numbers).cursor().find(11, { nearest: 'greater' }),
        ],
        ['before the nearest less one', 9, false, (tx) => tx.store(numbers).cursor().find(11, { nearest: 'less' })],
        ['past the last', 500, true, (tx) => tx.store(numbers).cursor().find(199, { nearest: 'greater' })],
        ['before the first', -5, true, (tx) => tx.store(numbers).cursor().first()],
        ['behind the first', 1, false, (tx) => tx.store(numbers).cursor().first()],
        ['behind the last', 199, true, (tx) => tx.store(numbers).cursor().last()],
        ['before the last', 197, false, (tx) => tx.store(numbers).cursor().last()],
      ];
      for (const [, key, conflicts, look] of looks) {
        const db = await filled();
        const tx = await db.begin('write');
        await look(tx);
        tx.store(others).put(1, 'x');
        await db.write((other) => other.store(numbers).put(key, 'changed'));
        if (conflicts) await expect(tx.commit()).rejects.toThrow(ConflictError);
        else await tx.commit();
      }
    });

    test.each([
      [11, true],
      [7, true],
      [6, true],
      [14, true],
      [15, false],
      [5, false],
    ])('a walk to and fro from 10 to 14 and back to 6 read what a put of %i changes: %s', async (key, conflicts) => {
      const db = await filled();
      const tx = await db.begin('write');
      const cursor = tx.store(numbers).cursor();
      await cursor.find(10);
      for (let i = 0; i < 2; i++) await cursor.next();
      tx.store(numbers).put(300, 'own');
      for (let i = 0; i < 4; i++) await cursor.previous();
      expect(cursor.key).toBe(6);
      await db.write((other) => other.store(numbers).put(key, 'changed'));
      if (conflicts) await expect(tx.commit()).rejects.toThrow(ConflictError);
      else await tx.commit();
    });

    test('wrong keys, options and uses are refused by name', async () => {
      const db = await filled();
      const tx = await db.begin('read');
      const cursor = tx.store(numbers).cursor();
      await expect(cursor.find(undefined as never)).rejects.toThrow(InvalidKeyError);
      await expect(cursor.find(Symbol('x') as never)).rejects.toThrow(InvalidKeyError);
      await expect(cursor.find(1, { nearest: 'best' as never })).rejects.toThrow(InvalidArgumentError);
      expect(await cursor.find(2)).toBe('found');
      await expect(cursor.update('x')).rejects.toThrow(ReadOnlyError);
      await expect(cursor.remove()).rejects.toThrow(ReadOnlyError);
      expect(() => cursor.removeSync()).toThrow(ReadOnlyError);
      using closed = tx.store(numbers).cursor();
      closed.close();
      closed.close();
      await expect(closed.next()).rejects.toThrow(/the cursor is closed/);
      await tx.rollback();
      await expect(cursor.next()).rejects.toThrow(TransactionEndedError);
      expect(() => cursor.nextSync()).toThrow(TransactionEndedError);
      expect(() => cursor.key).toThrow(TransactionEndedError);
    });
  });
}
