/**
 * Code of the caller that runs in the middle of a call: getters of keys and values, schemas, functions of indexes, filters.
 * A getter that read a customer once sent the order that was being stored to the customer's key, in the customers' store;
 * a filter that read handed out other entries' values. Whatever such code reads or writes, the call does what it was told.
 */
import { describe, expect, test } from 'vitest';
import { InvalidArgumentError } from '../../../src/base/errors.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { type StandardSchema, type } from '../../../src/store/standard-schema.ts';
import type { Transaction } from '../../../src/store/transaction.ts';
import { fresh, type OpenSubject } from './subject.ts';

interface TaskKey {
  readonly queue: string;
  readonly id: number;
  readonly state?: unknown;
  readonly owner?: unknown;
}
interface IndexedKey {
  readonly queue: string;
  readonly id: number;
  readonly state?: string;
  readonly owner?: string;
}
interface Row {
  readonly n: number;
  readonly more?: unknown;
}

const plain = defineStore<string, unknown>('plain');
const raw = defineStore<string, Uint8Array>('raw', { raw: true });
const tasks = defineStore<TaskKey, unknown, 'state' | 'owner'>('tasks', {
  key: ['queue', 'id'],
  rideOn: ['state', 'owner'],
});
const bag = defineStore<TaskKey, unknown, 'state' | 'owner'>('bag', {
  key: ['queue', 'id'],
  rideOn: ['state', 'owner'],
  unique: false,
});
const counters = defineStore<string, number>('counters', { counter: true });
const counted = defineStore<TaskKey & { hits?: number; misses?: number }, unknown, 'hits' | 'misses'>('counted', {
  key: ['queue', 'id'],
  rideOn: ['hits', 'misses'],
  counters: ['hits', 'misses'],
});
const indexed = defineStore('indexed', {
  key: ['queue', 'id'],
  rideOn: ['state', 'owner'],
  keySchema: type<IndexedKey>(),
  value: type<Row>(),
  indexes: { byN: ['n'], byState: ['state'] },
});
/** The indexed store, for tests that both stores go through. */
const indexedTasks = indexed as unknown as typeof tasks;

/** Uses everything that the call it interrupts might be using. */
function meddle(tx: Transaction): void {
  tx.store(plain).getSync('there');
  tx.store(plain).put('meddled', { a: 'meddled', deep: { b: 1 } });
  tx.store(raw).put('meddled', Uint8Array.of(9, 9, 9));
  tx.store(tasks).put({ queue: 'meddled', id: 7, state: 'm', owner: 'm' }, 'meddled');
  tx.store(tasks).updateKeySync({ queue: 'meddled', id: 7, state: 'n' });
  tx.store(bag).add({ queue: 'meddled', id: 7, state: 'm' }, 'meddled');
  tx.store(counters).increment('meddled', 5);
  tx.store(counted).increment({ queue: 'meddled', id: 7 }, { hits: 70, misses: 7 });
  tx.store(indexed).put({ queue: 'meddled', id: 7, state: 'm' }, { n: 700 });
  tx.store(indexed).index('byN').getSync({ n: 700 });
  tx.store(tasks).countSync({ prefix: { queue: 'meddled' } });
  tx.store(plain).range({ gte: 'meddled' }).toArraySync();
}

/** `value`, and `act` each time somebody asks for it. */
function asked<T extends object>(value: T, act: () => void): T {
  const holder = {};
  for (const name of Object.keys(value)) {
    Object.defineProperty(holder, name, {
      enumerable: true,
      get() {
        act();
        return value[name as keyof T];
      },
    });
  }
  return holder as T;
}

function proxied<T extends object>(value: T, act: () => void): T {
  return new Proxy(value, {
    get(target, name, receiver) {
      act();
      return Reflect.get(target, name, receiver);
    },
    ownKeys(target) {
      act();
      return Reflect.ownKeys(target);
    },
  });
}

/** A key of a class with accessors, as it comes from an object mapper. */
class AccessorKey implements TaskKey {
  readonly #fields: TaskKey;
  constructor(fields: TaskKey) {
    this.#fields = fields;
  }
  get queue() {
    return this.#fields.queue;
  }
  get id() {
    return this.#fields.id;
  }
  get state() {
    return this.#fields.state;
  }
  get owner() {
    return this.#fields.owner;
  }
}

const key: TaskKey = { queue: 'q', id: 1, state: 'new', owner: 'ann' };
const there = { queue: 'q', id: 2, state: 'new', owner: 'ann' };
function schema<T>(validate: (value: unknown) => unknown): StandardSchema<T> {
  return { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: validate(value) as T }) } };
}

export function callerCodeContract(open: OpenSubject): void {
  const subject = fresh(open);

  for (const [kind, wrap] of [
    ['getters', asked],
    ['proxies', proxied],
  ] as const) {
    describe(`${kind} that use the database`, () => {
      test('values: the entry goes to its own key, with its own value', async () => {
        const { db } = await subject();
        await db.write(async (tx) => {
          const s = tx.store(plain);
          s.put('there', { a: 0 });
          s.put('updated', 0);
          const value = (n: number) => wrap({ a: n, text: `value ${n}` }, () => meddle(tx));
          s.put('put', value(1));
          expect(await s.add('add', value(2))).toBe(true);
          expect(s.addSync('addSync', value(3))).toBe(true);
          expect(await s.update('updated', value(4))).toBe(true);
          s.putMany([
            ['many 1', value(5)],
            ['many 2', value(6)],
          ]);
          const cursor = s.cursor();
          await cursor.find('there');
          expect(await cursor.update(value(7))).toBe(true);
        });
        const found = await db.read((tx) => tx.store(plain).range().toArray());
        expect(Object.fromEntries(found.map((entry) => [entry.key, (entry.value as { a: unknown }).a]))).toEqual({
          put: 1,
          add: 2,
          addSync: 3,
          updated: 4,
          'many 1': 5,
          'many 2': 6,
          there: 7,
          meddled: 'meddled',
        });
      });

      test('keys: the entry goes to its own key, with its own value', async () => {
        const { db } = await subject();
        await db.write(async (tx) => {
          const wrapped = (fields: TaskKey) => wrap(fields, () => meddle(tx));
          for (const store of [tasks, indexedTasks]) {
            const s = tx.store(store);
            const value = (n: number) => ({ n });
            s.put(there, value(2));
            s.put(wrapped(key), value(1));
            expect(await s.add(wrapped({ ...key, id: 3 }), value(3))).toBe(true);
            expect(await s.get(wrapped(key))).toEqual(value(1));
            expect(s.getEntrySync(wrapped(key))).toMatchObject({ key, value: value(1) });
            expect(await s.getMany([wrapped(key), wrapped(there)])).toEqual([value(1), value(2)]);
            expect(await s.update(wrapped({ queue: 'q', id: 2, state: 'paid' }), value(4))).toBe(true);
            expect(await s.getEntry(there)).toMatchObject({ key: { ...there, state: 'paid' }, value: value(4) });
            expect(s.updateSync(wrapped({ queue: 'q', id: 2, state: 'sent' }), value(5))).toBe(true);
            expect(await s.updateKey(wrapped({ queue: 'q', id: 2, owner: 'bob' }))).toBe(true);
            expect(await s.getEntry(there)).toMatchObject({
              key: { ...there, state: 'sent', owner: 'bob' },
              value: value(5),
            });
            const bounds = { gte: wrapped({ queue: 'q', id: 1 }), lt: wrapped({ queue: 'q', id: 3 }) };
            expect((await s.range(bounds).toArray()).map((entry) => entry.key.id)).toEqual([1, 2]);
            expect(await s.count(bounds)).toBe(2);
            const cursor = s.cursor();
            expect(await cursor.find(wrapped({ queue: 'q', id: 2 }))).toBe('found');
            expect(await cursor.updateKey(wrap({ state: 'moved' }, () => meddle(tx)))).toBe(true);
            expect((await s.getEntry(there))?.key).toMatchObject({ state: 'moved', owner: 'bob' });
            expect(s.removeSync(wrapped({ queue: 'q', id: 3 }))).toBe(true);
            s.clearRange({ prefix: wrapped({ queue: 'q', id: 1 }) });
            expect((await s.range({ prefix: { queue: 'q' } }).toArray()).map((entry) => entry.key.id)).toEqual([2]);
          }
          expect(await tx.store(indexed).index('byState').get({ state: 'moved' })).toMatchObject({
            key: { ...there, state: 'moved', owner: 'bob' },
          });
          expect(
            await tx
              .store(indexed)
              .index('byN')
              .get(wrap({ n: 5 }, () => meddle(tx)) as never),
          ).toMatchObject({ value: { n: 5 } });
        });
        expect((await db.verify()).problems).toEqual([]);
      });

      test('ride-on fields that are objects, and what stands behind them', async () => {
        const { db } = await subject();
        await db.write(async (tx) => {
          for (const store of [tasks, indexedTasks]) {
            const s = tx.store(store);
            s.put(there, { n: 1 });
            const state = () => (store === tasks ? wrap({ at: 5 }, () => meddle(tx)) : 'plain');
            const owner = () => wrap({ name: 'carl' }, () => meddle(tx));
            expect(await s.updateKey({ queue: 'q', id: 2, owner: owner() })).toBe(true);
            expect(await s.update({ queue: 'q', id: 2, state: state() }, { n: 2 })).toBe(true);
            expect(await s.getEntry(there)).toMatchObject({ key: { owner: { name: 'carl' } }, value: { n: 2 } });
          }
        });
        expect((await db.verify()).problems).toEqual([]);
      });

      test('items of equal keys', async () => {
        const { db } = await subject();
        await db.write(async (tx) => {
          const wrapped = (fields: TaskKey) => wrap(fields, () => meddle(tx));
          const b = tx.store(bag);
          const id = b.add(
            wrapped(key),
            wrap({ n: 1 }, () => meddle(tx)),
          );
          expect(await b.getItem(wrapped(key), id)).toMatchObject({ key, value: { n: 1 } });
          expect(
            await b.updateItem(
              wrapped({ ...key, state: 'paid' }),
              id,
              wrap({ n: 2 }, () => meddle(tx)),
            ),
          ).toBe(true);
          expect(b.getItemSync(key, id)).toMatchObject({ key: { ...key, state: 'paid' }, value: { n: 2 } });
          expect(b.updateItemKeySync(wrapped({ ...key, state: 'sent' }), id)).toBe(true);
          expect(await b.get(wrapped(key))).toEqual({ n: 2 });
          expect(await b.count(wrapped(key))).toBe(1);
          expect(await b.remove(wrapped(key))).toBe(1);
        });
      });

      test('amounts and keys of counters', async () => {
        const { db } = await subject();
        await db.write((tx) => {
          const s = tx.store(counted);
          s.put({ queue: 'q', id: 1, hits: 0, misses: 0 }, 'v');
          const wrapped = wrap({ queue: 'q', id: 1 }, () => meddle(tx));
          s.increment(wrapped, wrap({ hits: 3, misses: 4 }, () => meddle(tx)) as never);
          expect(s.getEntrySync({ queue: 'q', id: 1 })?.key).toMatchObject({ hits: 3, misses: 4 });
        });
      });
    });
  }

  test('a value that a getter of another value stores keeps its own shape', async () => {
    const { db } = await subject();
    await db.write((tx) => {
      const s = tx.store(plain);
      const inner = (n: number): object =>
        asked({ [`level${n}`]: n }, () => {
          if (n > 0) s.put(`level ${n - 1}`, inner(n - 1));
        });
      s.put('level 5', inner(5));
    });
    await db.read(async (tx) => {
      for (let n = 0; n <= 5; n++) expect(await tx.store(plain).get(`level ${n}`)).toEqual({ [`level${n}`]: n });
    });
  });

  test('a getter that throws half way leaves nothing of its own behind', async () => {
    const { db } = await subject();
    await db.write((tx) => {
      const s = tx.store(plain);
      const broken = asked({ a: 1 }, () => {
        meddle(tx);
        throw new RangeError('mine');
      });
      expect(() => s.put('broken', broken)).toThrow(RangeError);
      const caught = asked({ a: 1 }, () => {
        expect(() => s.put('broken', broken)).toThrow(RangeError);
      });
      s.put('caught', caught);
    });
    await db.read(async (tx) => {
      expect(await tx.store(plain).get('caught')).toEqual({ a: 1 });
      expect(await tx.store(plain).has('broken')).toBe(false);
    });
  });

  for (const kind of ['plain', 'indexed'] as const) {
    test(`a key schema that uses the database while an entry of a store (${kind}) is updated`, async () => {
      const { db } = await subject();
      let current: Transaction | undefined;
      const checked = defineStore('checked', {
        key: ['queue', 'id'],
        rideOn: ['state', 'owner'],
        keySchema: schema<IndexedKey>((value) => {
          if (current !== undefined) {
            current.store(plain).getSync('there');
            current.store(plain).range().toArraySync();
            current.store(indexed).index('byN').getSync({ n: 9 });
          }
          return value;
        }),
        value: type<Row>(),
        indexes: kind === 'indexed' ? { byState: ['state'] } : {},
      });
      await db.write((tx) => {
        tx.store(plain).put('there', 'something else entirely');
        tx.store(indexed).put({ queue: 'other', id: 1 }, { n: 9 });
        tx.store(checked).put(there, { n: 1 });
      });
      await db.write(async (tx) => {
        current = tx;
        const s = tx.store(checked);
        expect(await s.updateKey({ queue: 'q', id: 2, state: 'paid' })).toBe(true);
        expect(await s.update({ queue: 'q', id: 2, state: 'sent' }, { n: 2 })).toBe(true);
        expect(s.updateKeySync({ queue: 'q', id: 2, owner: 'bob' })).toBe(true);
        current = undefined;
      });
      await db.read(async (tx) => {
        expect(await tx.store(checked).getEntry(there)).toMatchObject({
          key: { ...there, state: 'sent', owner: 'bob' },
          value: { n: 2 },
        });
        if (kind === 'indexed')
          expect(
            await tx
              .store(checked as typeof indexed)
              .index('byState')
              .count(),
          ).toBe(1);
      });
      expect((await db.verify()).problems).toEqual([]);
    });
  }

  test('the function of an index reads what it likes and changes nothing', async () => {
    const { db } = await subject();
    let act: (() => void) | undefined;
    const made = defineStore('made', {
      keySchema: type<string>(),
      value: type<Row>(),
      indexes: {
        byList: {
          of: (_key: string, value: Row) => {
            act?.();
            const list = [value.n];
            Object.defineProperty(list, 0, {
              get() {
                act?.();
                return value.n;
              },
            });
            return list;
          },
          version: 1,
        },
      },
    });
    await db.write(async (tx) => {
      const s = tx.store(made);
      s.put('a', { n: 1 });
      act = () => {
        s.hasSync('a');
        s.range().toArraySync();
        tx.store(indexed).index('byN').getSync({ n: 9 });
      };
      s.put('a', { n: 2 });
      expect(await s.update('a', { n: 3 })).toBe(true);
      expect(await s.add('b', { n: 4 })).toBe(true);
      act = () => {
        act = undefined;
        s.put('a', { n: 100 });
      };
      expect(() => s.put('a', { n: 5 })).toThrow(InvalidArgumentError);
      act = undefined;
    });
    expect((await db.verify()).problems).toEqual([]);
  });

  for (const reverse of [false, true]) {
    test(`a filter that reads gets every entry with its own value (${reverse ? 'backward' : 'forward'})`, async () => {
      const { db } = await subject();
      const COUNT = 3000;
      const name = (i: number) => String(i).padStart(6, '0');
      const others = defineStore<string, unknown>('others');
      const items = defineStore<string, unknown>('items', { unique: false });
      await db.write((tx) => {
        for (let i = 0; i < COUNT; i++) {
          tx.store(plain).put(`p${name(i)}`, { of: 'plain', n: i, t: 'x'.repeat(50) });
          tx.store(others).put(`o${name(i)}`, { of: 'others', n: i, t: 'y'.repeat(50) });
          if (i % 3 === 0) tx.store(items).add(`i${name(i)}`, { of: 'items', n: i, t: 'z'.repeat(50) });
        }
      });
      await db.checkpoint();
      for (const kind of ['read', 'write', 'changed'] as const) {
        const tx = await db.begin(kind === 'read' ? 'read' : 'write');
        if (kind === 'changed') {
          tx.store(plain).put('p', { of: 'plain', n: Number.NaN });
          tx.store(items).add('i', { of: 'items', n: Number.NaN });
        }
        let place = 7;
        const where = () => {
          place = (place * 48271) % 2147483647;
          return tx.store(others).hasSync(`o${name(place % COUNT)}`);
        };
        const wrong: unknown[] = [];
        let seen = 0;
        const ids = new Set<string>();
        for (const store of [plain, items as unknown as typeof plain]) {
          for await (const entry of tx.store(store).range({ reverse, where, gt: 'i' })) {
            seen++;
            const { of, n } = entry.value as { of: string; n: number };
            if ('id' in entry) ids.add(String(entry.id));
            if (Number(entry.key.slice(1) || 'NaN') !== n && !Number.isNaN(n)) wrong.push(entry);
            if (of !== store.name) wrong.push(entry);
          }
        }
        expect(wrong, kind).toEqual([]);
        expect(seen).toBe(COUNT + COUNT / 3 + (kind === 'changed' ? 1 : 0));
        expect(ids.size).toBe(COUNT / 3);
        await tx.rollback();
      }
    });
  }

  describe('keys of classes with accessors', () => {
    for (const store of [tasks, indexedTasks]) {
      test(`updates of store '${store.name}' change what they name`, async () => {
        const { db } = await subject();
        await db.write(async (tx) => {
          const s = tx.store(store);
          const state = async () => (await s.getEntry(key))?.key.state;
          s.put(new AccessorKey(key), { n: 1 });
          expect(await state()).toBe('new');
          expect(await s.updateKey(new AccessorKey({ ...key, state: 'paid' }))).toBe(true);
          expect(await state()).toBe('paid');
          expect(s.updateKeySync(new AccessorKey({ ...key, state: 'packed' }))).toBe(true);
          expect(await state()).toBe('packed');
          expect(await s.update(new AccessorKey({ ...key, state: 'sent' }), { n: 2 })).toBe(true);
          expect(await state()).toBe('sent');
          const cursor = s.cursor();
          await cursor.find(new AccessorKey({ queue: 'q', id: 1 }));
          class Fields {
            get state() {
              return 'through the cursor';
            }
          }
          expect(await cursor.updateKey(new Fields())).toBe(true);
          expect(await state()).toBe('through the cursor');
        });
      });
    }

    test('items of equal keys too', async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const b = tx.store(bag);
        const id = b.add(new AccessorKey(key), 1);
        expect(await b.updateItemKey(new AccessorKey({ ...key, state: 'paid' }), id)).toBe(true);
        expect(b.getItemSync(key, id)?.key.state).toBe('paid');
        expect(await b.updateItem(new AccessorKey({ ...key, state: 'sent' }), id, 2)).toBe(true);
        expect(b.getItemSync(key, id)).toMatchObject({ key: { state: 'sent' }, value: 2 });
      });
    });

    test('also where the entry has to be loaded first', async () => {
      const { db } = await subject();
      await db.write((tx) => {
        for (let id = 0; id < 2000; id++) tx.store(tasks).put({ ...key, id }, { n: id, text: 'x'.repeat(100) });
      });
      await db.checkpoint();
      await db.write(async (tx) => {
        const s = tx.store(tasks);
        for (let id = 0; id < 2000; id += 97) {
          expect(await s.updateKey(new AccessorKey({ ...key, id, state: 'paid' }))).toBe(true);
          expect((await s.getEntry({ ...key, id }))?.key.state).toBe('paid');
        }
      });
    });
  });
}
