/**
 * Every public call, by name: after the end of its transaction or database, and where nothing may be changed. A call that is
 * added to a class and not to its table here turns the suite red.
 */
import { describe, expect, it } from 'vitest';
import { TxBag } from '../../../src/store/bag.ts';
import { BagCursor } from '../../../src/store/bag-cursor.ts';
import { StoreCursor } from '../../../src/store/cursor.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { IndexRange } from '../../../src/store/index-range.ts';
import { ItemId } from '../../../src/store/item-id.ts';
import { PreparedTransaction } from '../../../src/store/participants.ts';
import { Range } from '../../../src/store/range.ts';
import { type } from '../../../src/store/standard-schema.ts';
import { TxStore } from '../../../src/store/store.ts';
import { Transaction } from '../../../src/store/transaction.ts';
import { TxIndex } from '../../../src/store/tx-index.ts';
import { fresh, type OpenSubject } from './subject.ts';

interface Key {
  readonly id: number;
  readonly hits?: number;
}
const counted = defineStore<Key, number, 'hits'>('counted', { key: ['id'], rideOn: ['hits'], counters: ['hits'] });
const bags = defineStore<Key, number, 'hits'>('bags', { key: ['id'], rideOn: ['hits'], unique: false });
const indexed = defineStore('indexed', {
  keySchema: type<number>(),
  value: type<{ readonly n: number }>(),
  indexes: { byN: ['n'] },
});
const key = { id: 1 };
const item = ItemId.parse('1-0');

type Calls<T> = Readonly<Record<string, (on: T) => unknown>>;

/** Its answers; undefined: not a call, or one that outlives its transaction. */
const NOT_CALLED = undefined;
type Table<T> = Readonly<Record<string, ((on: T) => unknown) | undefined>>;

const STORE_CHANGES: Calls<TxStore<Key, number, 'hits'>> = {
  add: (s) => s.add(key, 1),
  addSync: (s) => s.addSync(key, 1),
  put: (s) => s.put(key, 1),
  increment: (s) => s.increment(key, { hits: 1 }),
  update: (s) => s.update(key, 1),
  updateSync: (s) => s.updateSync(key, 1),
  updateKey: (s) => s.updateKey({ id: 1, hits: 2 }),
  updateKeySync: (s) => s.updateKeySync({ id: 1, hits: 2 }),
  remove: (s) => s.remove(key),
  removeSync: (s) => s.removeSync(key),
  addMany: (s) => s.addMany([[key, 1]]),
  addManySync: (s) => s.addManySync([[key, 1]]),
  putMany: (s) => s.putMany([[key, 1]]),
  updateMany: (s) => s.updateMany([[key, 1]]),
  updateManySync: (s) => s.updateManySync([[key, 1]]),
  updateKeyMany: (s) => s.updateKeyMany([{ id: 1, hits: 2 }]),
  updateKeyManySync: (s) => s.updateKeyManySync([{ id: 1, hits: 2 }]),
  removeMany: (s) => s.removeMany([key]),
  removeManySync: (s) => s.removeManySync([key]),
  clear: (s) => s.clear(),
  clearRange: (s) => s.clearRange({ gte: key }),
};
const STORE_READS: Calls<TxStore<Key, number, 'hits'>> = {
  get: (s) => s.get(key),
  getSync: (s) => s.getSync(key),
  has: (s) => s.has(key),
  hasSync: (s) => s.hasSync(key),
  getEntry: (s) => s.getEntry(key),
  getEntrySync: (s) => s.getEntrySync(key),
  getMany: (s) => s.getMany([key]),
  getManySync: (s) => s.getManySync([key]),
  first: (s) => s.first(),
  firstSync: (s) => s.firstSync(),
  last: (s) => s.last(),
  lastSync: (s) => s.lastSync(),
  range: (s) => s.range(),
  count: (s) => s.count(),
  countSync: (s) => s.countSync(),
  at: (s) => s.at(0),
  atSync: (s) => s.atSync(0),
  rank: (s) => s.rank(key),
  rankSync: (s) => s.rankSync(key),
  cursor: (s) => s.cursor(),
};

const BAG_CHANGES: Calls<TxBag<Key, number, 'hits'>> = {
  add: (b) => b.add(key, 1),
  addMany: (b) => b.addMany([[key, 1]]),
  updateItem: (b) => b.updateItem(key, item, 2),
  updateItemSync: (b) => b.updateItemSync(key, item, 2),
  updateItemKey: (b) => b.updateItemKey({ id: 1, hits: 2 }, item),
  updateItemKeySync: (b) => b.updateItemKeySync({ id: 1, hits: 2 }, item),
  removeItem: (b) => b.removeItem(key, item),
  removeItemSync: (b) => b.removeItemSync(key, item),
  remove: (b) => b.remove(key),
  removeSync: (b) => b.removeSync(key),
  clear: (b) => b.clear(),
  clearRange: (b) => b.clearRange({ gte: key }),
};
const BAG_READS: Calls<TxBag<Key, number, 'hits'>> = {
  get: (b) => b.get(key),
  getSync: (b) => b.getSync(key),
  has: (b) => b.has(key),
  hasSync: (b) => b.hasSync(key),
  getAll: (b) => b.getAll(key),
  getAllSync: (b) => b.getAllSync(key),
  getItem: (b) => b.getItem(key, item),
  getItemSync: (b) => b.getItemSync(key, item),
  first: (b) => b.first(),
  firstSync: (b) => b.firstSync(),
  last: (b) => b.last(),
  lastSync: (b) => b.lastSync(),
  range: (b) => b.range(),
  count: (b) => b.count(),
  countSync: (b) => b.countSync(),
  countRange: (b) => b.countRange({ gte: key }),
  countRangeSync: (b) => b.countRangeSync({ gte: key }),
  cursor: (b) => b.cursor(),
};

const CURSOR_CHANGES: Calls<StoreCursor<Key, number, 'hits'>> = {
  update: (c) => c.update(1),
  updateSync: (c) => c.updateSync(1),
  updateKey: (c) => c.updateKey({ hits: 1 }),
  updateKeySync: (c) => c.updateKeySync({ hits: 1 }),
  remove: (c) => c.remove(),
  removeSync: (c) => c.removeSync(),
};
const CURSOR_READS: Table<StoreCursor<Key, number, 'hits'>> = {
  find: (c) => c.find(key),
  findSync: (c) => c.findSync(key),
  first: (c) => c.first(),
  firstSync: (c) => c.firstSync(),
  last: (c) => c.last(),
  lastSync: (c) => c.lastSync(),
  next: (c) => c.next(),
  nextSync: (c) => c.nextSync(),
  previous: (c) => c.previous(),
  previousSync: (c) => c.previousSync(),
  key: (c) => c.key,
  value: (c) => c.value(),
  valueSync: (c) => c.valueSync(),
  entry: (c) => c.entry(),
  entrySync: (c) => c.entrySync(),
  close: NOT_CALLED,
  soon: NOT_CALLED,
  queued: NOT_CALLED,
};
const BAG_CURSOR_READS: Calls<BagCursor<Key, number, 'hits'>> = {
  id: (c) => c.id,
  findItem: (c) => c.findItem(key, item),
  findItemSync: (c) => c.findItemSync(key, item),
};
type ByN = TxIndex<{ readonly n: number }, number, { readonly n: number }>;
const INDEX_READS: Calls<ByN> = {
  get: (i) => i.get({ n: 1 }),
  getSync: (i) => i.getSync({ n: 1 }),
  has: (i) => i.has({ n: 1 }),
  hasSync: (i) => i.hasSync({ n: 1 }),
  first: (i) => i.first(),
  firstSync: (i) => i.firstSync(),
  last: (i) => i.last(),
  lastSync: (i) => i.lastSync(),
  range: (i) => i.range(),
  count: (i) => i.count(),
  countSync: (i) => i.countSync(),
  at: (i) => i.at(0),
  atSync: (i) => i.atSync(0),
  rank: (i) => i.rank({ n: 1 }),
  rankSync: (i) => i.rankSync({ n: 1 }),
};
type AnyRange = Range<unknown> | IndexRange<unknown>;
const RANGE_READS: Calls<AnyRange> = {
  pages: (r) => r.pages(2).next(),
  sync: (r) => [...r.sync()],
  syncPages: (r) => [...r.syncPages(2)],
  toArray: (r) => r.toArray(),
  toArraySync: (r) => r.toArraySync(),
};

const TX_CHANGES: Calls<Transaction> = {
  drop: (tx) => tx.drop('counted'),
  rename: (tx) => tx.rename('counted', 'other'),
  rebuildIndex: (tx) => tx.rebuildIndex('indexed', 'byN'),
  cancelRedefine: (tx) => tx.cancelRedefine('counted'),
  savepoint: (tx) => tx.savepoint(),
  join: (tx) => tx.join({ prepare() {}, commit() {}, rollback() {} }),
  prepare: (tx) => tx.prepare(),
};
const TX_READS: Table<Transaction> = {
  store: (tx) => tx.store(counted),
  bag: (tx) => tx.bag('bags'),
  definitionOf: (tx) => tx.definitionOf('counted'),
  describe: (tx) => tx.describe('counted'),
  onCommit: (tx) => tx.onCommit(() => {}),
  onRollback: (tx) => tx.onRollback(() => {}),
  commit: (tx) => tx.commit(),
  rollbackTo: NOT_CALLED,
  rollback: NOT_CALLED,
  id: NOT_CALLED,
  kind: NOT_CALLED,
  snapshot: NOT_CALLED,
  ended: NOT_CALLED,
  attempt: NOT_CALLED,
  lastConflict: NOT_CALLED,
};

export const DATABASE_CHANGES: Calls<Database> = {
  write: (db) => db.write(() => 1),
  drop: (db) => db.drop('counted'),
  rename: (db) => db.rename('counted', 'other'),
  pin: (db) => db.pin('pin'),
  unpin: (db) => db.unpin('pin'),
  rebuildIndex: (db) => db.rebuildIndex('indexed', 'byN'),
  redefine: (db) => db.redefine(counted, counted, ({ key: k, value }) => ({ key: k, value })),
  cancelRedefine: (db) => db.cancelRedefine('counted'),
  checkpoint: (db) => db.checkpoint(),
  compact: (db) => db.compact(),
};
const DATABASE_READS: Table<Database> = {
  read: (db) => db.read(() => 1),
  begin: (db) => db.begin('read'),
  stores: (db) => db.stores(),
  describe: (db) => db.describe('counted'),
  pins: (db) => db.pins(),
  indexes: (db) => db.indexes('indexed'),
  indexReady: (db) => db.indexReady('indexed', 'byN'),
  backup: (db) => db.backup('/nowhere'),
  stats: (db) => db.stats(),
  verify: (db) => db.verify(),
  resolve: (db) => db.resolve('x'),
  prepared: (db) => db.prepared(),
  metrics: (db) => db.metrics(),
  metricValues: (db) => db.metricValues(),
  on: NOT_CALLED,
  onConflict: NOT_CALLED,
  close: NOT_CALLED,
  folder: NOT_CALLED,
  readOnly: NOT_CALLED,
  closed: NOT_CALLED,
};

/** The code of what it throws or rejects with. */
async function codeOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return 'nothing';
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
}

export async function expectAll<T>(on: T, table: Table<T>, code: string): Promise<void> {
  for (const [name, call] of Object.entries(table)) {
    if (call !== undefined) expect(`${name}: ${await codeOf(() => call(on))}`).toBe(`${name}: ${code}`);
  }
}

function namesOf(type: { readonly prototype: object }): string[] {
  return Object.getOwnPropertyNames(type.prototype)
    .filter((name) => name !== 'constructor')
    .sort();
}

export function surfaceContract(open: OpenSubject): void {
  const subject = fresh(open);

  async function opened(db: Database) {
    await db.write((tx) => {
      tx.store(counted).put(key, 1);
      tx.store(bags).add(key, 1);
      tx.store(indexed).put(1, { n: 1 });
    });
    const inside = async (kind: 'read' | 'write') => {
      const tx = await db.begin(kind);
      const [store, bag] = [tx.store(counted), tx.store(bags)];
      const index = tx.store(indexed).index('byN') as unknown as ByN;
      const [cursor, bagCursor] = [store.cursor(), bag.cursor()];
      return { tx, store, bag, cursor, bagCursor, index, range: store.range(), indexRange: index.range() };
    };
    return inside;
  }

  describe('the surface', () => {
    it('is all in the tables of this file', () => {
      const tables: readonly [{ readonly prototype: object }, ...object[]][] = [
        [TxStore, STORE_CHANGES, STORE_READS, { name: 0, index: 0 }],
        [TxBag, BAG_CHANGES, BAG_READS, { name: 0 }],
        [StoreCursor, CURSOR_CHANGES, CURSOR_READS],
        [BagCursor, BAG_CURSOR_READS],
        [TxIndex, INDEX_READS],
        [Range, RANGE_READS],
        [IndexRange, RANGE_READS],
        [Transaction, TX_CHANGES, TX_READS],
        [Database, DATABASE_CHANGES, DATABASE_READS],
        [PreparedTransaction, { commit: 0, rollback: 0 }],
        [ItemId, { number: 0, isProvisional: 0, compare: 0, equals: 0, toString: 0, toJSON: 0, write: 0 }],
      ];
      for (const [type, ...known] of tables) expect(namesOf(type)).toEqual(known.flatMap(Object.keys).sort());
    });

    it('refuses every call after the end of its transaction', async () => {
      const { db } = await subject();
      const inside = await opened(db);
      for (const kind of ['write', 'read'] as const) {
        const on = await inside(kind);
        await on.tx.rollback();
        const code = 'TRANSACTION_ENDED';
        await expectAll(on.store, STORE_READS, code);
        await expectAll(on.bag, BAG_READS, code);
        await expectAll(on.cursor, CURSOR_READS, code);
        await expectAll(on.bagCursor, BAG_CURSOR_READS, code);
        await expectAll(on.index, INDEX_READS, code);
        await expectAll<AnyRange>(on.range, RANGE_READS, code);
        await expectAll<AnyRange>(on.indexRange, RANGE_READS, code);
        await expectAll(on.tx, TX_READS, code);
        if (kind === 'read') continue;
        await expectAll(on.store, STORE_CHANGES, code);
        await expectAll(on.bag, BAG_CHANGES, code);
        await expectAll(on.cursor, CURSOR_CHANGES, code);
        await expectAll(on.tx, TX_CHANGES, code);
      }
    });

    it('refuses every change in a read transaction', async () => {
      const { db } = await subject();
      const inside = await opened(db);
      const on = await inside('read');
      await expectAll(on.store, STORE_CHANGES, 'READ_ONLY');
      await expectAll(on.bag, BAG_CHANGES, 'READ_ONLY');
      await on.cursor.next();
      await expectAll(on.cursor, CURSOR_CHANGES, 'READ_ONLY');
      await expectAll(on.tx, TX_CHANGES, 'READ_ONLY');
      expect(await on.store.get(key)).toBe(1);
      await on.tx.rollback();
    });

    it('refuses every call of a closed database', async () => {
      const { db } = await subject();
      const inside = await opened(db);
      const on = await inside('write');
      await db.close();
      await expectAll(db, DATABASE_CHANGES, 'CLOSED');
      await expectAll(db, DATABASE_READS, 'CLOSED');
      await expectAll(on.store, STORE_READS, 'CLOSED');
      await expectAll(on.store, STORE_CHANGES, 'CLOSED');
      await expectAll(on.tx, TX_CHANGES, 'CLOSED');
    });
  });
}
