/** What the types of stores promise: keys and values are inferred, wrong ones do not compile. */
import { expect, test } from 'vitest';
import { type AnyKey, Database, defineStore, type Entry } from '../../../src/index.ts';

interface OrderKey {
  readonly region: string;
  readonly day: Date;
  readonly id: number;
  readonly status: string;
  readonly tags: { readonly a: number };
}
interface Order {
  readonly total: number;
}

const orders = defineStore<OrderKey, Order, 'status' | 'tags'>('orders', {
  key: ['region', { field: 'day', order: 'desc' }, 'id'],
  rideOn: ['status', 'tags'],
});
const users = defineStore<string, { name: string }>('users');
const pairs = defineStore<readonly [string, number], bigint>('pairs');

test('what is wrong does not compile', () => {
  // @ts-expect-error a field that the key does not have
  expect(defineStore<{ a: string }, number>('s', { key: ['b'] })).toBeDefined();
  // @ts-expect-error a field that cannot be sorted
  expect(defineStore<{ a: string; o: { x: 1 } }, number>('s', { key: ['a', 'o'] })).toBeDefined();
  // @ts-expect-error raw stores keep bytes
  expect(defineStore<string, number>('s', { raw: true })).toBeDefined();
  expect(defineStore<string, Uint8Array>('s', { raw: true })).toBeDefined();
  // @ts-expect-error an order that is none
  expect(() => defineStore<{ a: string }, number>('s', { key: [{ field: 'a', order: 'down' }] })).toThrow();
  // @ts-expect-error a composite key needs its fields
  expect(defineStore<{ a: string }, number>('s', {})).toBeDefined();
});

test('keys and values are inferred', async () => {
  const db = await Database.memory();
  await db.write(async (tx) => {
    const s = tx.store(orders);
    const key: OrderKey = { region: 'EU', day: new Date(0), id: 1, status: 'new', tags: { a: 1 } };
    const added: boolean = await s.add(key, { total: 1 });
    expect(added).toBe(true);
    const order: Order | undefined = await s.get({ region: 'EU', day: new Date(0), id: 1 });
    expect(order?.total).toBe(1);
    const entries: Entry<OrderKey, Order>[] = await s.range({ prefix: { region: 'EU' } }).toArray();
    const keys: OrderKey[] = await s.range({ keysOnly: true, gte: { region: 'A' } }).toArray();
    expect([entries.length, keys.length]).toEqual([1, 1]);
    await s.updateKey({ region: 'EU', day: new Date(0), id: 1, status: 'paid' });
    const words: string[] = await tx.store(users).range({ keysOnly: true, prefix: 'a' }).toArray();
    const found: readonly (readonly [string, number])[] = await tx
      .store(pairs)
      .range({ keysOnly: true, prefix: ['a'] })
      .toArray();
    expect([words, found]).toEqual([[], []]);
    const untyped: AnyKey | undefined = (await tx.store('orders').first())?.key;
    expect(untyped).toMatchObject({ region: 'EU' });

    // @ts-expect-error a sorting field is missing
    await expect(s.get({ region: 'EU', id: 1 })).rejects.toThrow();
    // @ts-expect-error a ride-on field is missing where an entry is written
    s.put({ region: 'EU', day: new Date(0), id: 2, status: 'new' }, { total: 1 });
    // @ts-expect-error another value
    s.put(key, { sum: 1 });
    // @ts-expect-error ride-on fields do not bound a range
    expect(() => s.range({ prefix: { status: 'new' } })).toBeDefined();
    // @ts-expect-error another key
    await expect(tx.store(users).get(1)).resolves.toBeUndefined();
    // @ts-expect-error an option that there is not
    expect(() => s.range({ from: 1 })).toThrow();
    // @ts-expect-error numbers have no prefix
    expect(() => tx.store(defineStore<number, number>('n')).range({ prefix: 1 })).toThrow();
  });
  await db.close();
});
