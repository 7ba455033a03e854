/** Stores of equal keys: order, ids, changes of one and of all, conflicts, and the stores beside them. */
import { describe, expect, test } from 'vitest';
import {
  ConflictError,
  InvalidArgumentError,
  ReadOnlyError,
  StoreMismatchError,
  TransactionEndedError,
} from '../../../src/base/errors.ts';
import { type BagDefinition, defineStore } from '../../../src/store/define-store.ts';
import { ItemId } from '../../../src/store/item-id.ts';
import { fresh, type OpenSubject } from './subject.ts';

const events = defineStore<string, string>('events', { unique: false });
const apart = defineStore<number, string>('apart', { unique: false, values: 'separate' });
const downwards = defineStore<number, number>('downwards', { unique: false, key: { order: 'desc' } });
interface JobKey {
  readonly queue: string;
  readonly priority: number;
  readonly state?: string | undefined;
}
const jobs: BagDefinition<JobKey, string, 'state'> = defineStore<JobKey, string, 'state'>('jobs', {
  unique: false,
  key: ['queue', { field: 'priority', order: 'desc' }],
  rideOn: ['state'],
});

export function bagContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('stores of equal keys', () => {
    test('equal keys stay in the order of their commits, and of their adding in one transaction', async () => {
      const { db } = await subject();
      for (const round of ['1', '2', '3']) {
        await db.write((tx) => {
          const bag = tx.store(events);
          for (const key of ['b', 'a', 'b']) bag.add(key, `${key}${round}`);
        });
      }
      await db.read(async (tx) => {
        const bag = tx.store(events);
        expect(await bag.getAll('b')).toEqual(['b1', 'b1', 'b2', 'b2', 'b3', 'b3']);
        expect(bag.getAllSync('a')).toEqual(['a1', 'a2', 'a3']);
        expect([await bag.get('a'), bag.getSync('none'), await bag.has('a'), bag.hasSync('none')]).toEqual([
          'a1',
          undefined,
          true,
          false,
        ]);
        expect([(await bag.first('b'))?.value, bag.lastSync('b')?.value]).toEqual(['b1', 'b3']);
        expect([(await bag.first())?.value, (await bag.last())?.value]).toEqual(['a1', 'b3']);
        expect([await bag.count('b'), await bag.count(), bag.countSync('a'), bag.countSync('none')]).toEqual([
          6, 9, 3, 0,
        ]);
        expect(await bag.range({ keysOnly: true, reverse: true }).toArray()).toEqual([...'bbbbbbaaa']);
        const entries = await bag.range({ gte: 'b' }).toArray();
        const ids = entries.map((entry) => entry.id);
        for (const [i, id] of ids.entries()) if (i > 0) expect(id.compare(ids[i - 1] as ItemId)).toBeGreaterThan(0);
        expect(entries.map((entry) => entry.version)).toEqual(ids.map((id) => id.number));
        expect((await bag.range({ where: (key) => key === 'a' }).toArray()).map((entry) => String(entry.id))).toEqual(
          bag
            .range({ lt: 'b' })
            .toArraySync()
            .map((entry) => String(entry.id)),
        );
      });
    });

    test('an id is provisional until the commit, and good for ever afterwards', async () => {
      const { db } = await subject();
      const id = await db.write(async (tx) => {
        const bag = tx.store(events);
        const first = bag.add('k', 'one');
        const second = bag.add('k', 'two');
        expect([first.isProvisional, first.number, first.compare(second) < 0]).toEqual([true, undefined, true]);
        expect((await bag.getItem('k', first))?.value).toBe('one');
        expect((await bag.first('k'))?.id.equals(first)).toBe(true);
        expect(await bag.updateItem('k', first, 'uno')).toBe(true);
        expect(bag.removeItemSync('k', second)).toBe(true);
        expect(() => ItemId.parse(String(first))).toThrow(InvalidArgumentError);
        return first;
      });
      expect([id.isProvisional, typeof id.number]).toEqual([false, 'number']);
      const again = ItemId.parse(String(id));
      expect([again.equals(id), JSON.stringify({ id })]).toEqual([true, `{"id":"${id}"}`]);
      await db.read(async (tx) => {
        const bag = tx.store(events);
        expect(await bag.getItem('k', again)).toMatchObject({ key: 'k', value: 'uno', version: id.number });
        expect((await bag.getItem('k', again))?.id.equals(id)).toBe(true);
        expect(bag.getItemSync('other', again)).toBeUndefined();
        expect(await bag.getAll('k')).toEqual(['uno']);
      });
    });

    test('two transactions that add under one key both commit at the first try', async () => {
      const { db } = await subject();
      await db.write((tx) => void tx.store(events).add('k', '0'));
      const [one, two] = [await db.begin('write'), await db.begin('write')];
      one.store(events).add('k', 'one');
      two.store(events).add('k', 'two');
      await two.commit();
      await one.commit();
      expect(await db.read((tx) => tx.store(events).getAll('k'))).toEqual(['0', 'two', 'one']);
    });

    test('what was read of equal keys is checked, those added meanwhile included', async () => {
      const { db } = await subject();
      await db.write((tx) => void tx.store(events).add('k', '0'));
      const tx = await db.begin('write');
      tx.store(events).add('k', 'own');
      expect(await tx.store(events).getAll('k')).toEqual(['0', 'own']);
      await db.write((other) => void other.store(events).add('k', 'between'));
      await expect(tx.commit()).rejects.toThrow(ConflictError);
      const quiet = await db.begin('write');
      expect(await quiet.store(events).count('other')).toBe(0);
      quiet.store(events).add('k', 'own');
      await db.write((other) => void other.store(events).add('k', 'between'));
      await quiet.commit();
      expect(await db.read((read) => read.store(events).getAll('k'))).toEqual(['0', 'between', 'between', 'own']);
    });

    test('items are changed and removed one by one, or all of a key, a range, the store', async () => {
      const { db } = await subject();
      const ids = await db.write((tx) =>
        tx.store(events).addMany([['a', '1'], ['b', '2'], { key: 'b', value: '3' }, ['c', '4']]),
      );
      const [a, b, c] = ids as [ItemId, ItemId, ItemId, ItemId];
      await db.write(async (tx) => {
        const bag = tx.store(events);
        expect(await bag.updateItem('b', b, 'two')).toBe(true);
        expect(bag.updateItemSync('b', a, 'x')).toBe(false);
        expect(await bag.removeItem('a', a)).toBe(true);
        expect(await bag.removeItem('a', a)).toBe(false);
        expect(await bag.getAll('b')).toEqual(['two', '3']);
        bag.add('b', 'new');
        expect([await bag.remove('b'), bag.removeSync('b'), await bag.count('b')]).toEqual([3, 0, 0]);
        bag.add('b', 'newer');
        expect(await bag.updateItem('b', c, 'x')).toBe(false);
      });
      expect(await db.read(async (tx) => (await tx.store(events).range().toArray()).map((e) => e.value))).toEqual([
        'newer',
        '4',
      ]);
      await db.write((tx) => {
        tx.store(events).clearRange({ gt: 'b' });
        tx.store(events).add('c', 'after');
      });
      expect(await db.read((tx) => tx.store(events).getAll('c'))).toEqual(['after']);
      await db.write((tx) => tx.store(events).clear());
      expect(await db.read((tx) => tx.store(events).count())).toBe(0);
    });

    test('keys with fields, descending ones and ride-on fields', async () => {
      const { db } = await subject();
      const [first] = await db.write((tx) =>
        tx.store(jobs).addMany([
          [{ queue: 'q', priority: 1, state: 'new' }, 'low'],
          [{ queue: 'q', priority: 9, state: 'new' }, 'high'],
          [{ queue: 'q', priority: 9, state: 'new' }, 'high too'],
          [{ queue: 'r', priority: 5 }, 'other'],
        ]),
      );
      await db.write(async (tx) => {
        const bag = tx.store(jobs);
        const range = await bag.range({ prefix: { queue: 'q' } }).toArray();
        expect(range.map((entry) => entry.value)).toEqual(['high', 'high too', 'low']);
        const second = range[1]?.id as ItemId;
        expect(await bag.updateItemKey({ queue: 'q', priority: 9, state: 'done' }, second)).toBe(true);
        expect(bag.updateItemKeySync({ queue: 'q', priority: 1, state: 'late' }, first as ItemId)).toBe(true);
        expect(await bag.updateItem({ queue: 'q', priority: 9 }, second, 'high, done')).toBe(true);
        expect(await bag.getItem({ queue: 'q', priority: 9 }, second)).toMatchObject({
          key: { queue: 'q', priority: 9, state: 'done' },
          value: 'high, done',
        });
        expect(await bag.countRange({ gte: { queue: 'q', priority: 9 }, lt: { queue: 'r' } })).toBe(3);
        expect(bag.countRangeSync({ gt: { queue: 'q', priority: 9 } })).toBe(2);
        await expect(bag.getAll({ queue: 'q' } as never)).rejects.toThrow(/priority/);
      });
      await db.write((tx) => void tx.store(downwards).addMany([1, 2, 2, 3].map((n, i) => [n, i] as const)));
      expect(
        await db.read(async (tx) => (await tx.store(downwards).range().toArray()).map((e) => [e.key, e.value])),
      ).toEqual([
        [3, 3],
        [2, 1],
        [2, 2],
        [1, 0],
      ]);
    });

    test('cursors go from item to item', async () => {
      const { db } = await subject();
      const ids = await db.write((tx) =>
        tx.store(events).addMany([...'abbbc'].map((key, i) => [key, String(i)] as const)),
      );
      await db.write(async (tx) => {
        const bag = tx.store(events);
        const cursor = bag.cursor();
        expect([cursor.id, await cursor.find('b'), await cursor.value()]).toEqual([undefined, 'found', '1']);
        expect([await cursor.next(), cursor.key, String(cursor.id)]).toEqual([true, 'b', String(ids[2])]);
        expect([await cursor.find('b', { nearest: 'less' }), cursor.valueSync()]).toEqual(['found', '3']);
        expect([await cursor.findItem('b', ids[2] as ItemId), await cursor.remove()]).toEqual([true, true]);
        expect([await cursor.next(), await cursor.value()]).toEqual([true, '3']);
        const own = bag.add('b', 'own');
        expect([await cursor.next(), await cursor.value(), cursor.id?.equals(own)]).toEqual([true, 'own', true]);
        expect([
          await cursor.update('mine'),
          (await cursor.entry())?.value,
          (await cursor.entry())?.id.equals(own),
        ]).toEqual([true, 'mine', true]);
        expect([cursor.findItemSync('b', own), cursor.findItemSync('c', own), await cursor.next(), cursor.key]).toEqual(
          [true, false, false, undefined],
        );
        expect(await cursor.find('bb', { nearest: 'less' })).toBe('less');
        expect(await cursor.value()).toBe('mine');
      });
      expect(await db.read((tx) => tx.store(events).getAll('b'))).toEqual(['1', '3', 'mine']);
    });

    test('long values, values apart and many items, after a checkpoint and a compaction too', async () => {
      const { db } = await subject();
      const long = (n: number) => String(n % 10).repeat(100_000);
      await db.write((tx) => void tx.store(apart).addMany([1, 2, 3].map((n) => [7, long(n)] as const)));
      await db.write((tx) => void tx.store(apart).addMany([4, 5].map((n) => [7, `short ${n}`] as const)));
      await db.checkpoint();
      await db.write((tx) => {
        for (let i = 0; i < 300; i++) tx.store(apart).add(8, `${i}`);
        expect(tx.store(apart).removeSync(7)).toBe(5);
        for (let n = 1; n <= 3; n++) tx.store(apart).add(7, long(n));
      });
      await db.compact();
      await db.read(async (tx) => {
        expect(await tx.store(apart).getAll(7)).toEqual([1, 2, 3].map(long));
        expect(await tx.store(apart).getAll(8)).toEqual(Array.from({ length: 300 }, (_, i) => `${i}`));
      });
      expect((await db.verify()).problems).toEqual([]);
    });

    test('the catalog knows them, and each kind of store is opened as what it is', async () => {
      const { db } = await subject();
      await db.write((tx) => void tx.store(events).add('k', 'v'));
      const plain = defineStore<string, string>('plain');
      await db.write((tx) => tx.store(plain).put('k', 'v'));
      expect((await db.stores()).map((store) => [store.name, store.unique])).toEqual([
        ['events', false],
        ['plain', true],
      ]);
      expect(await db.describe('events')).toMatchObject({ unique: false, count: 1 });
      const other = defineStore<string, string>('events');
      await expect(db.write((tx) => tx.store(other).put('k', 'v'))).rejects.toThrow(
        /'unique' is false in the database/,
      );
      await db.read(async (tx) => {
        expect(await tx.bag('events').getAll('k')).toEqual(['v']);
        expect(() => tx.store('events')).toThrow(StoreMismatchError);
        expect(() => tx.bag('plain')).toThrow(StoreMismatchError);
        expect(tx.definitionOf('events').unique).toBe(false);
        expect(() => tx.store(events).add('k', 'x')).toThrow(ReadOnlyError);
        await expect(tx.store(events).remove('k')).rejects.toThrow(ReadOnlyError);
        await expect(tx.store(events).getItem('k', 'x' as never)).rejects.toThrow(InvalidArgumentError);
      });
      expect(() => defineStore('x', { unique: false, indexes: { a: ['b'] } } as never)).toThrow(/no indexes/);
      for (const text of ['', '1', 'a-b', '1-2-3', '281474976710655-0', '1-4294967296', 7])
        expect(() => ItemId.parse(text as string)).toThrow(InvalidArgumentError);
    });

    test('provisional ids of a transaction that did not commit are good for nothing', async () => {
      const { db } = await subject();
      const tx = await db.begin('write');
      const lost = tx.store(events).add('k', 'v');
      await tx.rollback();
      expect(lost.isProvisional).toBe(true);
      expect(() => tx.store(events).add('k', 'v')).toThrow(TransactionEndedError);
      await db.write(async (next) => {
        next.store(events).add('k', 'v');
        await expect(next.store(events).getItem('k', lost)).rejects.toThrow(/provisional/);
        expect(() => next.store(events).cursor().findItemSync('k', lost)).toThrow(InvalidArgumentError);
      });
    });
  });
}
