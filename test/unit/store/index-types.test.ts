/** What the types of indexes and schemas promise: all is inferred, and what is wrong does not compile. */
import { expect, test } from 'vitest';
import {
  Database,
  defineStore,
  type IndexEntry,
  type InvalidValueError,
  type StandardSchema,
  type,
} from '../../../src/index.ts';

interface Key {
  readonly region: string;
  readonly id: number;
  readonly status: string;
  readonly extra?: { readonly a: number };
}
interface Order {
  readonly customer: { readonly name: string; readonly mail?: string };
  readonly total: number;
  readonly lines: readonly { readonly sku: string }[];
  readonly tags: readonly string[];
}

const shape = {
  keySchema: type<Key>(),
  value: type<Order>(),
  key: ['region', 'id'],
  rideOn: ['status', 'extra'],
} as const;
const orders = defineStore('orders', {
  ...shape,
  indexes: {
    byStatus: ['status', { field: 'id', order: 'desc' }],
    byMail: { fields: ['customer.mail'], unique: true },
    byYear: { of: (key, value) => key.id + value.total, version: 1 },
  },
});

/** A schema by hand: accepts objects with a name, and trims it. */
const named: StandardSchema<{ name: string }> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => {
      const { name } = (value ?? {}) as { name?: unknown };
      if (typeof name !== 'string') return { issues: [{ message: 'a name is needed', path: ['name'] }] };
      return { value: { name: name.trim() } };
    },
  },
};

test('index names, fields and keys are inferred', async () => {
  const db = await Database.memory();
  await db.write(async (tx) => {
    const s = tx.store(orders);
    const customer = { name: 'Ada', mail: 'a@x' };
    await s.add({ region: 'EU', id: 1, status: 'new' }, { customer, total: 2, lines: [], tags: [] });
    const entry: IndexEntry<{ status: string; id: number }, Key, Order> | undefined = await s.index('byStatus').first();
    expect(entry?.index.status).toBe('new');
    const total: number | undefined = entry?.value.total;
    expect(total).toBe(2);
    const year: number | undefined = (await s.index('byYear').get(3))?.index;
    expect(year).toBe(3);
    expect((await s.index('byMail').get({ 'customer.mail': 'a@x' }))?.key.id).toBe(1);
    // @ts-expect-error there is no such index
    expect(() => s.index('byStatuses')).toThrow();
    // @ts-expect-error no field of this index
    await expect(s.index('byStatus').count({ prefix: { region: 'EU' } })).rejects.toThrow();
    // @ts-expect-error another type of field
    expect(await s.index('byStatus').count({ prefix: { status: 1 } })).toBe(0);
    // @ts-expect-error a field is missing
    await expect(s.index('byStatus').get({ status: 'new' })).rejects.toThrow();
    const keys = await s.index('byStatus').range({ keysOnly: true }).toArray();
    // @ts-expect-error keys alone bring no values
    expect(keys[0]?.value).toBeUndefined();
  });
  await db.close();
});

test('what makes no index does not compile', () => {
  // @ts-expect-error a field that neither key nor value has
  expect(defineStore('s', { ...shape, indexes: { a: ['statuz'] } })).toBeDefined();
  // @ts-expect-error a field that cannot be sorted
  expect(defineStore('s', { ...shape, indexes: { a: ['extra'] } })).toBeDefined();
  // @ts-expect-error a field that cannot be sorted, in the value
  expect(defineStore('s', { ...shape, indexes: { a: ['customer'] } })).toBeDefined();
  // @ts-expect-error a function without a version
  expect(() => defineStore('s', { ...shape, indexes: { a: { of: () => 1 } } })).toThrow();
  // @ts-expect-error a function of something that cannot be sorted
  expect(defineStore('s', { ...shape, indexes: { a: { of: () => ({}), version: 1 } } })).toBeDefined();
  // @ts-expect-error an order that is none
  expect(() => defineStore('s', { ...shape, indexes: { a: [{ field: 'status', order: 'up' }] } })).toThrow();
  // @ts-expect-error with types given by name
  expect(defineStore<string, Order>('s', { indexes: { a: ['totl'] } })).toBeDefined();
  expect(defineStore<string, Order>('s', { indexes: { a: ['total', 'customer.name'] } })).toBeDefined();
  // @ts-expect-error no sorting field of the key
  expect(() => defineStore('s', { ...shape, key: ['extra'] })).toThrow();
});

test('schemas infer what is stored, and check it', async () => {
  const people = defineStore('people', { value: named, indexes: { byName: ['name'] } });
  const db = await Database.memory();
  await db.write(async (tx) => {
    const s = tx.store(people);
    await s.add(1, { name: ' Ada ' });
    const value: { name: string } | undefined = await s.get(1);
    expect(value).toEqual({ name: 'Ada' });
    expect(await s.index('byName').count({ prefix: { name: 'Ada' } })).toBe(1);
    // @ts-expect-error not what the schema says
    const refused = s.add(2, { nam: 'x' });
    const error = (await refused.catch((reason: unknown) => reason)) as InvalidValueError;
    expect(error).toMatchObject({
      code: 'INVALID_VALUE',
      message: expect.stringContaining('value name: a name is needed'),
    });
    expect(error.details).toMatchObject({ store: 'people', path: 'name', issues: [{ path: 'name' }] });
    // @ts-expect-error not what the schema says
    expect(() => s.put(2, {})).toThrow(/people/);
    // @ts-expect-error not what the schema says
    expect(() => s.updateSync(1, { name: 7 })).toThrow(/name/);
    expect(await s.count()).toBe(1);
  });
  await db.close();
});

test('a key schema checks what is inserted, and ride-on fields that change', async () => {
  const keySchema: StandardSchema<{ id: number; status: string }> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) => {
        const { status } = value as { status?: unknown };
        return status === 'new' || status === 'old'
          ? { value: value as { id: number; status: string } }
          : { issues: [{ message: 'new or old', path: [{ key: 'status' }] }] };
      },
    },
  };
  const things = defineStore('things', { keySchema, value: type<number>(), key: ['id'], rideOn: ['status'] });
  const db = await Database.memory();
  await db.write(async (tx) => {
    const s = tx.store(things);
    s.put({ id: 1, status: 'new' }, 1);
    expect(() => s.put({ id: 2, status: 'x' }, 1)).toThrow(/key status: new or old/);
    await expect(s.updateKey({ id: 1, status: 'y' })).rejects.toMatchObject({ code: 'INVALID_KEY' });
    expect(await s.updateKey({ id: 1, status: 'old' })).toBe(true);
    expect(await s.get({ id: 1 })).toBe(1);
  });
  await db.close();
});

test('a schema that answers with a promise is refused by name', async () => {
  const slow: StandardSchema<number> = {
    '~standard': { version: 1, vendor: 'test', validate: async (value) => ({ value: value as number }) },
  };
  const db = await Database.memory();
  await db.write((tx) => {
    expect(() => tx.store(defineStore('slow', { value: slow })).put(1, 1)).toThrow(/asynchronously/);
  });
  await db.close();
});
