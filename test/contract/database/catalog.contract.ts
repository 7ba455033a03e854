/** Stores: created on first use, described, compared, dropped, renamed. */
import { describe, expect, test } from 'vitest';
import {
  ConflictError,
  InvalidArgumentError,
  LimitExceededError,
  StoreExistsError,
  StoreMismatchError,
  StoreNotFoundError,
} from '../../../src/base/errors.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { fresh, type OpenSubject } from './subject.ts';

interface Key {
  readonly a: string;
  readonly b: number;
  readonly c?: string | undefined;
}
const things = defineStore<Key, number, 'c'>('things', { key: ['a', { field: 'b', order: 'desc' }], rideOn: ['c'] });
const plain = defineStore<string, number>('plain');
const names = (stores: readonly { readonly name: string }[]) => stores.map((store) => store.name);

export function catalogContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('catalog', () => {
    test('a store is created by the first write transaction that uses it', async () => {
      const { db } = await subject();
      expect(await db.stores()).toEqual([]);
      await db.read(async (tx) => expect(await tx.store(plain).get('x')).toBeUndefined());
      expect(await db.stores()).toEqual([]);
      await db.write((tx) => {
        tx.store(plain);
      });
      expect(names(await db.stores())).toEqual(['plain']);
    });

    test('a store whose creation was rolled back does not exist', async () => {
      const { db } = await subject();
      const tx = await db.begin('write');
      tx.store(plain).put('a', 1);
      await tx.rollback();
      expect(await db.stores()).toEqual([]);
    });

    test('stores and describe say what was declared', async () => {
      const { db } = await subject();
      const bytes = defineStore<Uint8Array, Uint8Array>('bytes', {
        raw: true,
        values: 'separate',
        key: { order: 'desc' },
      });
      await db.write((tx) => {
        tx.store(things).put({ a: 'x', b: 1, c: 'r' }, 1);
        tx.store(bytes);
      });
      expect(names(await db.stores())).toEqual(['bytes', 'things']);
      expect(await db.describe('things')).toEqual({
        name: 'things',
        key: [
          { field: 'a', order: 'asc' },
          { field: 'b', order: 'desc' },
        ],
        order: 'asc',
        rideOn: ['c'],
        values: 'inline',
        raw: false,
        unique: true,
        count: 1,
      });
      expect(await db.describe('bytes')).toMatchObject({
        key: undefined,
        order: 'desc',
        raw: true,
        values: 'separate',
        count: 0,
      });
      await expect(db.describe('nothing')).rejects.toThrow(StoreNotFoundError);
    });

    const others = [
      ['its key', defineStore<Key, number>('things', { key: ['a', 'b'] } as never), /key is .* desc\].*but.*here/],
      ['a direction', defineStore<Key, number, 'c'>('things', { key: ['a', 'b'], rideOn: ['c'] }), /"b" desc/],
      [
        'its ride-on fields',
        defineStore<Key, number>('things', { key: ['a', { field: 'b', order: 'desc' }] } as never),
        /ride-on/,
      ],
      [
        'where its values live',
        defineStore<Key, number, 'c'>('things', {
          key: ['a', { field: 'b', order: 'desc' }],
          rideOn: ['c'],
          values: 'separate',
        }),
        /'values' is 'inline' in the database but 'separate' here/,
      ],
      ['a key of one value', defineStore<string, number>('things'), /one value/],
    ] as const;
    for (const [what, definition, message] of others) {
      test(`a definition that differs in ${what} is refused, naming the difference`, async () => {
        const { db } = await subject();
        await db.write((tx) => tx.store(things).put({ a: 'x', b: 1 }, 1));
        const use = (tx: { store(d: unknown): unknown }) => tx.store(definition);
        await expect(db.write((tx) => void use(tx as never))).rejects.toThrow(StoreMismatchError);
        await expect(db.read((tx) => void use(tx as never))).rejects.toThrow(message);
        await expect(db.read((tx) => void use(tx as never))).rejects.toMatchObject({ details: { store: 'things' } });
      });
    }

    test('an equal definition from elsewhere in the program opens the same store', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(plain).put('a', 1));
      const again = defineStore<string, number>('plain');
      await db.write(async (tx) => {
        expect(await tx.store(again).get('a')).toBe(1);
        tx.store(plain).put('b', 2);
        expect(await tx.store(again).get('b')).toBe(2);
      });
    });

    test('two transactions that create the same store both commit', async () => {
      const { db } = await subject();
      const [one, two] = [await db.begin('write'), await db.begin('write')];
      one.store(things).put({ a: 'x', b: 1 }, 1);
      two
        .store(defineStore<Key, number, 'c'>('things', { key: ['a', { field: 'b', order: 'desc' }], rideOn: ['c'] }))
        .put({ a: 'y', b: 1 }, 2);
      await one.commit();
      await two.commit();
      expect((await db.describe('things')).count).toBe(2);
    });

    test('one that began before the store was created and uses it after commits too', async () => {
      const { db } = await subject();
      const late = await db.begin('write');
      await db.write((tx) => tx.store(plain).put('a', 1));
      late.store(plain).put('b', 2);
      await late.commit();
      expect(await db.read((tx) => tx.store(plain).range({ keysOnly: true }).toArray())).toEqual(['a', 'b']);
    });

    test('of two that create a store with different definitions the second is refused', async () => {
      const { db } = await subject();
      const [one, two] = [await db.begin('write'), await db.begin('write')];
      one.store(things).put({ a: 'x', b: 1 }, 1);
      two.store(defineStore<string, number>('things')).put('a', 1);
      await one.commit();
      await expect(two.commit()).rejects.toThrow(ConflictError);
      await expect(db.write((tx) => void tx.store(defineStore<string, number>('things')))).rejects.toThrow(
        StoreMismatchError,
      );
    });

    test('a store is opened by its name alone, under the definition in the catalog', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(things).put({ a: 'x', b: 1, c: 'r' }, 7));
      await db.read(async (tx) => {
        const s = tx.store('things');
        expect(await s.range().toArray()).toMatchObject([{ key: { a: 'x', b: 1, c: 'r' }, value: 7 }]);
        expect(await s.get({ a: 'x', b: 1 })).toBe(7);
        expect(() => tx.store('nothing')).toThrow(StoreNotFoundError);
        expect(() => tx.store(7 as never)).toThrow(InvalidArgumentError);
        expect(tx.definitionOf('things').keySpec.definition.rideOn).toEqual(['c']);
      });
      await db.write((tx) => void tx.store('things').put({ a: 'x', b: 2, c: 's' }, 8));
      expect((await db.describe('things')).count).toBe(2);
    });

    test('a dropped store is gone at once, and its name free for another shape', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(plain).putMany(Array.from({ length: 1000 }, (_, i) => [`k${i}`, i] as const)));
      await db.drop('plain');
      expect(await db.stores()).toEqual([]);
      await expect(db.drop('plain')).rejects.toThrow(StoreNotFoundError);
      expect(await db.read((tx) => tx.store(plain).count())).toBe(0);
      const other = defineStore<number, string>('plain', { values: 'separate' });
      await db.write(async (tx) => {
        expect(await tx.store(other).count()).toBe(0);
        tx.store(other).put(1, 'one');
      });
      expect((await db.describe('plain')).count).toBe(1);
    });

    test('a reader from before the drop goes on reading', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(plain).put('a', 1));
      const reader = await db.begin('read');
      await db.drop('plain');
      expect(await reader.store(plain).get('a')).toBe(1);
      await reader.rollback();
    });

    test('a writer of a store dropped meanwhile is refused', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(plain).put('a', 1));
      const writer = await db.begin('write');
      writer.store(plain).put('b', 2);
      await db.drop('plain');
      await expect(writer.commit()).rejects.toThrow(ConflictError);
      expect(await db.stores()).toEqual([]);
    });

    test('one that creates a store which others create and drop meanwhile is refused, and then succeeds', async () => {
      const { db } = await subject();
      const writer = await db.begin('write');
      writer.store(plain).put('mine', 1);
      await db.write((tx) => tx.store(plain).put('theirs', 2));
      await db.drop('plain');
      await expect(writer.commit()).rejects.toThrow(ConflictError);
      await db.write((tx) => tx.store(plain).put('mine', 1));
      expect(await db.read((tx) => tx.store(plain).range({ keysOnly: true }).toArray())).toEqual(['mine']);
    });

    test('whoever still creates a store that was created and dropped meanwhile shares nothing with who creates it next', async () => {
      const { db } = await subject();
      const writer = await db.begin('write');
      writer.store(plain).put('mine', 1);
      await db.write((tx) => tx.store(plain).put('theirs', 2));
      await db.drop('plain');
      await db.write(async (tx) => {
        expect(await tx.store(plain).get('theirs')).toBeUndefined();
        await tx.store(plain).put('next', 3);
      });
      await expect(writer.commit()).rejects.toThrow(ConflictError);
      expect(await db.read((tx) => tx.store(plain).range({ keysOnly: true }).toArray())).toEqual(['next']);
    });

    test('one that creates a store which others create and drop meanwhile is refused after checkpoints, too', async () => {
      const { db } = await subject();
      const writer = await db.begin('write');
      writer.store(plain).put('mine', 1);
      await db.write((tx) => tx.store(plain).put('theirs', 2));
      await db.drop('plain');
      await db.checkpoint();
      await db.checkpoint();
      await expect(writer.commit()).rejects.toThrow(ConflictError);
      expect(await db.stores()).toEqual([]);
    });

    test('who is told that a name is taken, or a store another one, commits only while that is so', async () => {
      const { db } = await subject();
      const other = defineStore<string, number>('other');
      await db.write((tx) => {
        tx.store(plain).put('a', 1);
        tx.store(other).put('a', 1);
      });
      const renaming = await db.begin('write');
      expect(() => renaming.rename('plain', 'other')).toThrow(StoreExistsError);
      renaming.store(things).put({ a: 'x', b: 1 }, 1);
      const opening = await db.begin('write');
      const another = defineStore<string, number>('other', { values: 'separate' });
      expect(() => opening.store(another)).toThrow(StoreMismatchError);
      opening.store(things).put({ a: 'x', b: 2 }, 1);
      await db.drop('other');
      await expect(renaming.commit()).rejects.toThrow(ConflictError);
      await expect(opening.commit()).rejects.toThrow(ConflictError);
    });

    test('a transaction sees its own drops, renames and creations', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(plain).put('a', 1));
      await db.write(async (tx) => {
        const s = tx.store(plain);
        tx.drop('plain');
        await expect(s.get('a')).rejects.toThrow(StoreNotFoundError);
        expect(() => tx.store('plain')).toThrow(StoreNotFoundError);
        const anew = tx.store(defineStore<number, number>('plain'));
        expect(await anew.count()).toBe(0);
        anew.put(1, 1);
        tx.rename('plain', 'moved');
        expect(() => anew.put(2, 2)).toThrow(StoreNotFoundError);
        expect(await tx.store('moved').get(1)).toBe(1);
      });
      expect(names(await db.stores())).toEqual(['moved']);
      expect(await db.describe('moved')).toMatchObject({ count: 1 });
    });

    test('a store created and dropped in one transaction never was', async () => {
      const { db } = await subject();
      await db.write((tx) => {
        tx.store(plain).put('a', 1);
        tx.drop('plain');
      });
      expect(await db.stores()).toEqual([]);
      await db.write((tx) => tx.store(plain).put('b', 2));
      expect(await db.read((tx) => tx.store(plain).range({ keysOnly: true }).toArray())).toEqual(['b']);
    });

    test('rename moves a store with everything in it', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(plain).put('a', 1));
      await db.rename('plain', 'renamed');
      expect(names(await db.stores())).toEqual(['renamed']);
      expect(await db.read((tx) => tx.store(defineStore<string, number>('renamed')).get('a'))).toBe(1);
      await expect(db.rename('plain', 'x')).rejects.toThrow(StoreNotFoundError);
      await db.write((tx) => void tx.store(plain));
      await expect(db.rename('plain', 'renamed')).rejects.toThrow(StoreExistsError);
      await expect(db.rename('plain', '')).rejects.toThrow(InvalidArgumentError);
    });

    test('drops and renames that are rolled back never were', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(plain).put('a', 1));
      const tx = await db.begin('write');
      tx.rename('plain', 'x');
      tx.drop('x');
      await tx.rollback();
      expect(await db.read((r) => r.store(plain).get('a'))).toBe(1);
      expect(names(await db.stores())).toEqual(['plain']);
    });

    test('names of any letters, up to 512 bytes', async () => {
      const { db } = await subject();
      const list = ['a/b', '../x', '__proto__', 'constructor', 'ü', '\u{1f600}', 'x'.repeat(512), ' ', 'a\0b'];
      for (const name of list) await db.write((tx) => tx.store(defineStore<number, string>(name)).put(1, name));
      expect(names(await db.stores()).sort()).toEqual([...list].sort());
      for (const name of list) expect(await db.read((tx) => tx.store(name).get(1))).toBe(name);
      expect(() => defineStore<number, number>('x'.repeat(513))).toThrow(LimitExceededError);
      expect(() => defineStore<number, number>('')).toThrow(InvalidArgumentError);
      expect(() => defineStore<number, number>('\ud800')).toThrow(InvalidArgumentError);
    });

    test('what an old snapshot still sees of a renamed store is not taken for the present', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(plain).put('a', 1));
      const before = await db.begin('read');
      await db.rename('plain', 'renamed');
      expect(await before.store('plain').get('a')).toBe(1);
      await expect(db.read((tx) => tx.store('plain').get('a'))).rejects.toThrow(StoreNotFoundError);
      await db.write((tx) => tx.store(plain).put('a', 2));
      expect(await db.read((tx) => tx.store('renamed').get('a'))).toBe(1);
      await before.rollback();
    });

    test('a store that another transaction created meanwhile is there once it is opened: by name, and after rollbackTo', async () => {
      const { db } = await subject();
      const tx = await db.begin('write');
      const before = tx.savepoint();
      await db.write((other) => other.store(plain).put('a', 1));
      const store = tx.store(plain);
      expect(tx.describe('plain').name).toBe('plain');
      expect(tx.store('plain').name).toBe('plain');
      expect(() => tx.rename('missing', 'plain')).toThrow(StoreNotFoundError);
      tx.store(things).put({ a: 'a', b: 1 }, 1);
      tx.rollbackTo(before);
      // As for one of its own: what was opened since the savepoint is not there.
      expect(() => store.put('b', 2)).toThrow(StoreNotFoundError);
      tx.store(plain).put('b', 2);
      tx.rename('plain', 'renamed');
      await tx.commit();
      expect(names(await db.stores())).toEqual(['renamed']);
      expect(await db.read((reader) => reader.store('renamed').count())).toBe(2);
    });

    test('a store that was renamed meanwhile is not read under its new name as of an older snapshot', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(plain).put('a', 1));
      const tx = await db.begin('write');
      await db.rename('plain', 'renamed');
      expect(() => tx.store(defineStore<string, number>('renamed'))).toThrow(ConflictError);
      expect(await tx.store(plain).get('a')).toBe(1);
      await tx.rollback();
    });

    test('a store that was created meanwhile and has another name now is not created once more', async () => {
      const { db } = await subject();
      for (const renamedAtOnce of [true, false]) {
        const tx = await db.begin('write');
        tx.store(plain).put('mine', 1);
        if (!renamedAtOnce) await db.write((other) => other.store(plain).put('theirs', 1));
        await db.write((other) => {
          other.store(plain).put('theirs', 2);
          other.rename('plain', `moved ${renamedAtOnce}`);
        });
        expect(() => tx.store(defineStore<string, number>(`moved ${renamedAtOnce}`))).toThrow(ConflictError);
        await expect(tx.commit()).rejects.toThrow(ConflictError);
        await db.write((other) => other.store(plain).put('new', 3));
        const keys = await db.read((reader) =>
          reader.store(`moved ${renamedAtOnce}`).range({ keysOnly: true }).toArray(),
        );
        expect(keys).toEqual(['theirs']);
        await db.drop('plain');
      }
      expect((await db.verify()).problems).toEqual([]);
    });

    test('a few hundred stores, created together', async () => {
      const { db } = await subject();
      const list = Array.from({ length: 300 }, (_, i) => defineStore<string, number>(`s${String(i).padStart(4, '0')}`));
      await db.write((tx) => {
        for (const [i, store] of list.entries()) tx.store(store).put('n', i);
      });
      expect((await db.stores()).length).toBe(300);
      await db.read(async (tx) => {
        for (const [i, store] of list.entries()) expect(await tx.store(store).get('n')).toBe(i);
      });
    });

    test('shapes that make no store are refused where they are declared', () => {
      const define = (shape: unknown) => () => defineStore<Key, number>('s', shape as never);
      expect(define({ key: [] })).toThrow(InvalidArgumentError);
      expect(define({ key: ['a', 'a'] })).toThrow(/'a' is named twice/);
      expect(define({ key: ['a'], rideOn: ['a'] })).toThrow(/twice/);
      expect(define({ rideOn: ['a'] })).toThrow(/composite/);
      expect(define({ key: 'a' })).toThrow(/list of fields/);
      expect(define({ key: [{ field: 'a', order: 'up' }] })).toThrow(/asc/);
      expect(define({ key: [{ name: 'a' }] })).toThrow(/key field/);
      expect(define({ key: ['a'], values: 'stream' })).toThrow(/not in this version/);
      expect(define({ key: ['a'], values: 'else' })).toThrow(/'inline' or 'separate'/);
      expect(define({ key: ['a'], unique: 1 })).toThrow(/unique is true or false/);
      expect(define({ key: ['a'], indexes: [] })).toThrow(/object of indexes/);
      expect(define({ key: ['a'], indexes: { i: [] } })).toThrow(/'i' needs a list of fields/);
      expect(define({ key: ['a'], indexes: { i: ['a', 'a'] } })).toThrow(/'a' twice/);
      expect(define({ key: ['a'], indexes: { i: { of: () => 1 } } })).toThrow(/version/);
      expect(define({ key: ['a'], indexes: { i: { fields: ['a'], uniq: true } } })).toThrow(/no option 'uniq'/);
      expect(define({ key: ['a'], raw: true, indexes: { i: ['b'] } })).toThrow(/bytes/);
      expect(define({ key: ['a'], value: {} })).toThrow(/standardschema/);
      expect(define({ keys: ['a'] })).toThrow(/no option 'keys'/);
      expect(define(null)).toThrow(InvalidArgumentError);
    });
  });
}
