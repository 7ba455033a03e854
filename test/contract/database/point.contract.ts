/** The point and change groups. */
import { describe, expect, test } from 'vitest';
import { InvalidArgumentError, InvalidKeyError, InvalidValueError } from '../../../src/base/errors.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { fresh, type OpenSubject } from './subject.ts';

interface User {
  readonly name: string;
  readonly age?: number;
}

const users = defineStore<string, User>('users');
interface TaskKey {
  readonly queue: string;
  readonly id: number;
  readonly state: string;
  readonly owner?: string | undefined;
}
const tasks = defineStore<TaskKey, { text: string }, 'state' | 'owner'>('tasks', {
  key: ['queue', 'id'],
  rideOn: ['state', 'owner'],
});

export function pointContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('point and change', () => {
    test('add inserts once and says so', async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const s = tx.store(users);
        expect(await s.add('ada', { name: 'Ada' })).toBe(true);
        expect(await s.add('ada', { name: 'Other' })).toBe(false);
        expect(s.addSync('bob', { name: 'Bob' })).toBe(true);
        expect(s.addSync('bob', { name: 'Other' })).toBe(false);
      });
      await db.read(async (tx) => {
        const s = tx.store(users);
        expect(await s.get('ada')).toEqual({ name: 'Ada' });
        expect(s.getSync('bob')).toEqual({ name: 'Bob' });
        expect(await s.count()).toBe(2);
      });
    });

    test('get and has answer for what is there and what is not, in both forms', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(users).put('ada', { name: 'Ada' }));
      await db.read(async (tx) => {
        const s = tx.store(users);
        expect([await s.has('ada'), await s.has('bob'), s.hasSync('ada'), s.hasSync('bob')]).toEqual([
          true,
          false,
          true,
          false,
        ]);
        expect([await s.get('bob'), s.getSync('bob'), await s.getEntry('bob'), s.getEntrySync('bob')]).toEqual([
          undefined,
          undefined,
          undefined,
          undefined,
        ]);
      });
    });

    test('put inserts and replaces without an answer', async () => {
      const { db } = await subject();
      await db.write((tx) => {
        const s = tx.store(users);
        expect(s.put('ada', { name: 'Ada' })).toBeUndefined();
        s.put('ada', { name: 'Ada L.' });
        expect(s.getSync('ada')).toEqual({ name: 'Ada L.' });
      });
      expect(await db.read((tx) => tx.store(users).get('ada'))).toEqual({ name: 'Ada L.' });
    });

    test('update replaces what is there and nothing else', async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const s = tx.store(users);
        expect(await s.update('ada', { name: 'x' })).toBe(false);
        s.put('ada', { name: 'Ada' });
        expect(await s.update('ada', { name: 'Ada', age: 36 })).toBe(true);
        expect(s.updateSync('bob', { name: 'x' })).toBe(false);
        expect(await s.has('bob')).toBe(false);
      });
      expect(await db.read((tx) => tx.store(users).get('ada'))).toEqual({ name: 'Ada', age: 36 });
    });

    test('remove says whether there was something to remove', async () => {
      const { db } = await subject();
      await db.write((tx) =>
        tx.store(users).putMany([
          ['ada', { name: 'Ada' }],
          ['bob', { name: 'Bob' }],
        ]),
      );
      await db.write(async (tx) => {
        const s = tx.store(users);
        expect(await s.remove('ada')).toBe(true);
        expect(await s.remove('ada')).toBe(false);
        expect(s.removeSync('bob')).toBe(true);
        expect(s.removeSync('nobody')).toBe(false);
      });
      expect(await db.read((tx) => tx.store(users).count())).toBe(0);
    });

    test('an entry carries key, value and the number of the transaction that changed it', async () => {
      const { db } = await subject();
      const numbers: number[] = [];
      for (const name of ['Ada', 'Ada L.']) {
        await db.write((tx) => {
          tx.onCommit((number) => numbers.push(number));
          tx.store(users).put('ada', { name });
        });
      }
      const entry = await db.read((tx) => tx.store(users).getEntry('ada'));
      expect(entry).toEqual({ key: 'ada', value: { name: 'Ada L.' }, version: numbers[1] });
      expect(numbers[1]).toBeGreaterThan(numbers[0] as number);
    });

    test('batch forms answer for every item', async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const s = tx.store(users);
        expect(
          await s.addMany([
            ['a', { name: 'A' }],
            ['b', { name: 'B' }],
            ['a', { name: 'again' }],
          ]),
        ).toEqual([true, true, false]);
        expect(
          s.addManySync([
            { key: 'c', value: { name: 'C' } },
            { key: 'b', value: { name: 'x' } },
          ]),
        ).toEqual([true, false]);
        expect(
          await s.updateMany([
            ['a', { name: 'A2' }],
            ['z', { name: 'Z' }],
          ]),
        ).toEqual([true, false]);
        expect(s.updateManySync([['b', { name: 'B2' }]])).toEqual([true]);
        expect(await s.getMany(['b', 'z', 'a'])).toEqual([{ name: 'B2' }, undefined, { name: 'A2' }]);
        expect(s.getManySync(['c', 'z'])).toEqual([{ name: 'C' }, undefined]);
        expect(await s.removeMany(['a', 'z'])).toEqual([true, false]);
        expect(s.removeManySync(['b', 'b'])).toEqual([true, false]);
        expect(await s.range({ keysOnly: true }).toArray()).toEqual(['c']);
      });
    });

    test('entries of one store can be put into another as they come', async () => {
      const { db } = await subject();
      const copies = defineStore<string, User>('copies');
      await db.write((tx) =>
        tx.store(users).putMany([
          ['a', { name: 'A' }],
          ['b', { name: 'B' }],
        ]),
      );
      await db.write(async (tx) => tx.store(copies).putMany(await tx.store(users).range().toArray()));
      expect(await db.read((tx) => tx.store(copies).getMany(['a', 'b']))).toEqual([{ name: 'A' }, { name: 'B' }]);
    });

    test('an error in a batch says which item it is about', async () => {
      const { db } = await subject();
      await expect(
        db.write((tx) =>
          tx.store(users).addMany([
            ['a', { name: 'A' }],
            ['b', (() => 1) as unknown as User],
          ]),
        ),
      ).rejects.toMatchObject({ code: 'INVALID_VALUE', details: { index: 1 } });
      expect(await db.read((tx) => tx.store(users).count())).toBe(0);
    });

    test("what get hands out is the caller's own", async () => {
      const { db } = await subject();
      const lists = defineStore<string, { items: number[] }>('lists');
      await db.write((tx) => tx.store(lists).put('a', { items: [1] }));
      await db.read(async (tx) => {
        const s = tx.store(lists);
        const mine = (await s.get('a')) as { items: number[] };
        mine.items.push(2);
        expect(await s.get('a')).toEqual({ items: [1] });
      });
    });

    test('a value is taken as it is at the time of the call', async () => {
      const { db } = await subject();
      const lists = defineStore<string, { items: number[] }>('lists');
      await db.write(async (tx) => {
        const value = { items: [1] };
        const added = tx.store(lists).add('a', value);
        value.items.push(2);
        await added;
        expect(await tx.store(lists).get('a')).toEqual({ items: [1] });
      });
    });

    test('clear empties a store and clearRange a part of it', async () => {
      const { db } = await subject();
      const numbers = defineStore<number, string>('numbers');
      await db.write((tx) => tx.store(numbers).putMany(Array.from({ length: 100 }, (_, i) => [i, `v${i}`] as const)));
      await db.write(async (tx) => {
        const s = tx.store(numbers);
        s.clearRange({ gte: 10, lt: 90 });
        expect(await s.count()).toBe(20);
        s.put(50, 'new');
        expect(await s.range({ keysOnly: true, gte: 5, lt: 95 }).toArray()).toEqual([
          5, 6, 7, 8, 9, 50, 90, 91, 92, 93, 94,
        ]);
      });
      expect(await db.read((tx) => tx.store(numbers).count())).toBe(21);
      await db.write(async (tx) => {
        tx.store(numbers).clear();
        expect(await tx.store(numbers).first()).toBeUndefined();
        tx.store(numbers).put(7, 'seven');
      });
      expect(await db.read((tx) => tx.store(numbers).range({ keysOnly: true }).toArray())).toEqual([7]);
    });

    test('ride-on fields travel with the key and do not tell keys apart', async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const s = tx.store(tasks);
        expect(await s.add({ queue: 'q', id: 1, state: 'new' }, { text: 'one' })).toBe(true);
        expect(await s.add({ queue: 'q', id: 1, state: 'other' }, { text: 'x' })).toBe(false);
      });
      await db.read(async (tx) => {
        const s = tx.store(tasks);
        expect((await s.getEntry({ queue: 'q', id: 1 }))?.key).toEqual({ queue: 'q', id: 1, state: 'new' });
        expect(await s.get({ queue: 'q', id: 1, state: 'whatever' })).toEqual({ text: 'one' });
      });
    });

    test('updateKey changes the fields it names and leaves the value alone', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(tasks).put({ queue: 'q', id: 1, state: 'new', owner: 'ada' }, { text: 'one' }));
      await db.write(async (tx) => {
        const s = tx.store(tasks);
        expect(await s.updateKey({ queue: 'q', id: 1, state: 'done' })).toBe(true);
        expect(await s.updateKey({ queue: 'q', id: 2, state: 'done' })).toBe(false);
        expect(s.updateKeySync({ queue: 'q', id: 1, owner: 'bob' })).toBe(true);
        expect(
          await s.updateKeyMany([
            { queue: 'q', id: 1 },
            { queue: 'q', id: 9 },
          ]),
        ).toEqual([true, false]);
      });
      const entry = await db.read((tx) => tx.store(tasks).getEntry({ queue: 'q', id: 1 }));
      expect(entry?.key).toEqual({ queue: 'q', id: 1, state: 'done', owner: 'bob' });
      expect(entry?.value).toEqual({ text: 'one' });
    });

    test('update keeps the ride-on fields it does not name', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(tasks).put({ queue: 'q', id: 1, state: 'new', owner: 'ada' }, { text: 'one' }));
      await db.write(async (tx) => {
        expect(await tx.store(tasks).update({ queue: 'q', id: 1, state: 'done' }, { text: 'two' })).toBe(true);
      });
      const entry = await db.read((tx) => tx.store(tasks).getEntry({ queue: 'q', id: 1 }));
      expect(entry?.key).toEqual({ queue: 'q', id: 1, state: 'done', owner: 'ada' });
      expect(entry?.value).toEqual({ text: 'two' });
    });

    test('updateKey is refused where there is nothing to change', async () => {
      const { db } = await subject();
      await expect(db.write((tx) => tx.store(users).updateKey('a'))).rejects.toThrow(InvalidArgumentError);
    });

    test('a key that is none is refused, naming the field', async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const s = tx.store(tasks);
        const bad = (key: unknown) => s.get(key as TaskKey);
        await expect(bad({ queue: 'q' })).rejects.toThrow(/'id' is missing/);
        await expect(bad({ queue: 'q', id: 1, extra: 2 })).rejects.toThrow(/'extra' is unknown/);
        await expect(bad({ queue: 'q', id: {} })).rejects.toThrow(InvalidKeyError);
        await expect(bad('q')).rejects.toThrow(InvalidKeyError);
        await expect(bad(undefined)).rejects.toThrow(InvalidKeyError);
        expect(() => s.getSync({ queue: 'q', id: new Date(Number.NaN) } as unknown as TaskKey)).toThrow(
          InvalidKeyError,
        );
        expect(() => s.put({ queue: 'q', id: Symbol('s') } as unknown as TaskKey, { text: '' })).toThrow(
          InvalidKeyError,
        );
      });
    });

    test('a value that cannot be stored is refused, naming where it is', async () => {
      const { db } = await subject();
      const any = defineStore<string, unknown>('any');
      await db.write(async (tx) => {
        const s = tx.store(any);
        expect(() => s.put('f', { list: [1, { fn: () => 1 }] })).toThrow(/list\[1\]\.fn/);
        expect(() => s.put('f', Symbol('s'))).toThrow(InvalidValueError);
        await expect(s.add('f', new WeakMap())).rejects.toThrow(InvalidValueError);
        await expect(s.update('f', Promise.resolve(1))).rejects.toThrow(InvalidValueError);
        expect(await s.count()).toBe(0);
      });
    });

    test('a key longer than the limit is refused by name', async () => {
      const { db } = await subject();
      await expect(db.write((tx) => tx.store(users).put('x'.repeat(5000), { name: 'x' }))).rejects.toMatchObject({
        code: 'LIMIT_EXCEEDED',
        details: { limit: 'MAX_KEY_BYTES' },
      });
    });

    test('keys of 4,000 bytes are fine', async () => {
      const { db } = await subject();
      const keys = ['a', 'b', 'c'].map((letter) => letter.repeat(4000));
      await db.write((tx) => tx.store(users).putMany(keys.map((key) => [key, { name: key[0] as string }] as const)));
      expect(await db.read((tx) => tx.store(users).range({ keysOnly: true }).toArray())).toEqual(keys);
    });
  });
}
