/** What nobody can have meant, from programs without types: refused by name, and nothing is read or changed. */
import { describe, expect, test } from 'vitest';
import { InvalidArgumentError, InvalidKeyError, TransactionEndedError } from '../../../src/base/errors.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { type } from '../../../src/store/standard-schema.ts';
import { fresh, type OpenSubject } from './subject.ts';

interface Person {
  readonly email: string;
  readonly token: string;
}
const people = defineStore('people', {
  keySchema: type<string>(),
  value: type<Person>(),
  indexes: {
    byEmail: ['email'],
    byBoth: ['email', 'token'],
    byToken: { of: (_: string, value: Person) => value.token, version: 1 },
  },
});
const letters = defineStore<string, number>('letters');
const bag = defineStore<string, number>('bag', { unique: false });
/** What a program hands in that lost a value on its way. */
const nothing = undefined as never;

async function fill(db: Database): Promise<void> {
  await db.write((tx) => {
    for (const [i, key] of ['a', 'b', 'c'].entries()) {
      tx.store(letters).put(key, i);
      tx.store(bag).add(key, i);
      tx.store(people).put(key, { email: `${key}@x`, token: `t${i}` });
    }
  });
}

export function refusalsContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('what cannot be meant', () => {
    test('clearRange takes bounds and nothing else: anything else once emptied the store', async () => {
      const { db } = await subject();
      await fill(db);
      const wrong: unknown[] = [
        { from: 'a', to: 'b' },
        { limit: 1 },
        { gte: 'a', reverse: true },
        'a',
        5,
        null,
        undefined,
        [],
        ['a'],
        new Date(0),
        new Map(),
        Uint8Array.of(1),
        Promise.resolve({ gte: 'b' }),
        () => ({}),
      ];
      await db.write(async (tx) => {
        for (const range of wrong) {
          for (const store of [tx.store(letters), tx.store(bag), tx.store(people)]) {
            expect(() => store.clearRange(range as never), String(range)).toThrow(InvalidArgumentError);
            expect(await store.range().toArray()).toHaveLength(3);
          }
        }
        tx.store(letters).clearRange({ lt: 'b' });
        expect(tx.store(letters).countSync()).toBe(2);
        tx.store(letters).clearRange({});
        expect(tx.store(letters).countSync()).toBe(0);
      });
    });

    test('look-ups of an index with undefined find nobody', async () => {
      const { db } = await subject();
      await fill(db);
      await db.read(async (tx) => {
        const s = tx.store(people);
        const lookUps = [
          () => s.index('byEmail').get(nothing),
          () => s.index('byEmail').get({} as never),
          () => s.index('byEmail').get({ email: nothing }),
          () => s.index('byBoth').get({ email: 'a@x', token: nothing }),
          () => s.index('byToken').get(nothing),
          () => s.index('byToken').has(nothing),
          () => s.index('byEmail').has(nothing),
          () => s.index('byToken').rank(nothing),
          () => s.rank(nothing),
          () => s.get(nothing),
          async () => s.index('byToken').getSync(nothing),
          async () => s.index('byToken').hasSync(nothing),
          async () => s.index('byToken').rankSync(nothing),
          async () => s.rankSync(nothing),
        ];
        for (const lookUp of lookUps) await expect(lookUp(), String(lookUp)).rejects.toThrow(InvalidKeyError);
        expect(await s.index('byToken').first()).toMatchObject({ key: 'a' });
        expect(await s.index('byToken').count()).toBe(3);
        expect(await s.index('byBoth').get({ email: 'a@x', token: 't0' })).toMatchObject({ key: 'a' });
        expect(await s.index('byBoth').first({ prefix: { email: 'b@x' } })).toMatchObject({ key: 'b' });
      });
    });

    test('look-ups of a bag with undefined find nobody', async () => {
      const { db } = await subject();
      await fill(db);
      await db.write(async (tx) => {
        const b = tx.store(bag);
        const lookUps = [
          () => b.get(nothing),
          () => b.has(nothing),
          () => b.getAll(nothing),
          () => b.first(nothing),
          () => b.last(nothing),
          () => b.count(nothing),
          () => b.remove(nothing),
          async () => b.getSync(nothing),
          async () => b.hasSync(nothing),
          async () => b.firstSync(nothing),
          async () => b.lastSync(nothing),
          async () => b.countSync(nothing),
          async () => b.removeSync(nothing),
        ];
        for (const lookUp of lookUps) await expect(lookUp(), String(lookUp)).rejects.toThrow(InvalidKeyError);
        expect((await b.first())?.key).toBe('a');
        expect(b.lastSync()?.key).toBe('c');
        expect(await b.count()).toBe(3);
      });
    });

    test('options that are no object, names that are none and batches of nothing', async () => {
      const { db } = await subject();
      await fill(db);
      const loose = db as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
      const calls: (() => unknown)[] = [
        () => loose.begin?.('read', null),
        () => loose.begin?.('read', 5),
        () => loose.begin?.(1n),
        () => loose.write?.(() => 1, null),
        () => loose.read?.(() => 1, null),
        () => loose.stores?.(null),
        () => loose.describe?.('letters', null),
        () => loose.backup?.('/nowhere', null),
        () => loose.verify?.(null),
        () => loose.redefine?.('letters', letters, () => ({}), null),
        () => loose.indexReady?.(null, 'x'),
        () => loose.indexReady?.({ name: 'letters' }, 'x'),
        () => loose.indexReady?.(people, 'byEmail', null),
        async () => loose.on?.(1n, () => {}),
      ];
      for (const call of calls) await expect(call(), String(call)).rejects.toThrow(InvalidArgumentError);
      await db.write(async (tx) => {
        const s = tx.store(letters);
        const inside: (() => unknown)[] = [
          () => s.cursor().findSync('a', null as never),
          () => tx.describe(5 as never),
          () => tx.definitionOf(nothing),
          () => tx.bag(5 as never),
          () => s.index(Symbol('x') as never),
          () => s.range(null as never),
          () =>
            tx
              .store(people)
              .index('byEmail')
              .range(null as never),
          () => s.getManySync(5 as never),
          () => s.putMany(5 as never),
          () => s.putMany([null] as never),
          () => s.putMany(['ab'] as never),
          () => s.removeManySync(null as never),
          () => tx.store(bag).addMany([null] as never),
          () => tx.store(bag).addMany(5 as never),
        ];
        for (const call of inside) expect(call, String(call)).toThrow(InvalidArgumentError);
        await expect(s.cursor().find('a', null as never)).rejects.toThrow(InvalidArgumentError);
        await expect(s.getMany(5 as never)).rejects.toThrow(InvalidArgumentError);
        await expect(s.addMany([null] as never)).rejects.toThrow(InvalidArgumentError);
        await expect(s.updateKeyMany(null as never)).rejects.toThrow(InvalidArgumentError);
        expect(await s.count()).toBe(3);
      });
    });

    test('opening with options that are no object', async () => {
      await expect(Database.open('/nowhere', null as never)).rejects.toThrow(InvalidArgumentError);
      await expect(Database.memory(null as never)).rejects.toThrow(InvalidArgumentError);
      await expect(Database.memory(5 as never)).rejects.toThrow(InvalidArgumentError);
    });

    test('a range of an index that was begun in its transaction ends with it', async () => {
      const { db } = await subject();
      await fill(db);
      for (const kind of ['read', 'write'] as const) {
        const tx = await db.begin(kind);
        const entries = tx.store(people).index('byEmail').range()[Symbol.asyncIterator]();
        expect((await entries.next()).value).toMatchObject({ key: 'a' });
        await tx.rollback();
        await expect(entries.next()).rejects.toThrow(TransactionEndedError);
        expect(await entries.next()).toMatchObject({ done: true });
      }
    });
  });
}
