/** Where two features of the store floor meet: indexes, schemas, preparing, redefining, limits, listeners. */
import { describe, expect, test } from 'vitest';
import { OutcomeUnknownError, SopError } from '../../../src/base/errors.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { type StandardSchema, type } from '../../../src/store/standard-schema.ts';

interface Row {
  readonly a: unknown;
  readonly b?: string;
}

const plain = defineStore<number, Row>('s');
const indexed = defineStore<number, Row>('s', { indexes: { byA: ['a'], byB: ['b'] } });

async function inMemory(work: (db: Database) => Promise<void>, options = {}): Promise<void> {
  const db = await Database.memory(options);
  try {
    await work(db);
    const report = await db.verify();
    expect(report.problems).toEqual([]);
  } finally {
    await db.close();
  }
}

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'done',
    (error: unknown) => (error instanceof SopError ? error.code : error),
  );

describe('changes of stores with indexes are whole or not at all', () => {
  test.each([1, 7, 40, 99, 150, 201, 333])(
    'where a limit stops one half way its transaction is over (padding %i)',
    async (padding) => {
      const work = async (db: Database): Promise<void> => {
        await db.write((tx) => void tx.store(indexed));
        const outcome = db.write((tx) => {
          const store = tx.store(indexed);
          for (let i = 0; ; i++) {
            try {
              store.put(i, { a: 'x'.repeat(500 + padding), b: 'y'.repeat(1900) });
            } catch {
              return;
            }
          }
        });
        expect(['done', 'TRANSACTION_ENDED']).toContain(await codeOf(outcome));
      };
      await inMemory(work, { maxTransactionBytes: 100_000 });
    },
  );

  test('a function that fails amid clearRange leaves nothing half removed', async () => {
    let fails = false;
    const of = (key: number, row: Row): string | undefined => {
      if (fails && key === 5) throw new Error('not today');
      return row.b;
    };
    const odd = defineStore<number, Row>('s', { indexes: { byA: ['a'], odd: { of, version: 1 } } });
    await inMemory(async (db) => {
      await db.write((tx) => {
        for (let i = 0; i < 10; i++) tx.store(odd).put(i, { a: i, b: 'b' });
      });
      fails = true;
      const swallowed = db.write((tx) => expect(() => tx.store(odd).clearRange({ gte: 2 })).toThrow('not today'));
      expect(await codeOf(swallowed)).toBe('TRANSACTION_ENDED');
      fails = false;
      await db.read(async (tx) => expect(await tx.store(odd).index('byA').count()).toBe(10));
    });
  });

  test('an entry that an index cannot sort can be mended, and the index be built then', async () => {
    await inMemory(async (db) => {
      await db.write((tx) => {
        for (let i = 0; i < 10; i++) tx.store(plain).put(i, { a: i === 5 ? { not: 'sortable' } : i });
      });
      expect(await codeOf(db.indexReady(indexed, 'byA'))).toBe('INDEX_NOT_READY');
      await db.write(async (tx) => {
        await tx.store(indexed).update(5, { a: 'five' });
        await tx.store(indexed).remove(6);
      });
      await db.rebuildIndex('s', 'byA');
      await db.indexReady('s', 'byA');
      await db.read(async (tx) => expect((await tx.store(indexed).index('byA').get({ a: 'five' }))?.key).toBe(5));
    });
  });

  test('a function that changes what it is handed changes nothing for other indexes', async () => {
    const of = (_: number, row: { tags: string[] }): string | undefined => row.tags.sort()[0];
    const first = defineStore<number, { tags: string[] }>('t', { indexes: { least: { of, version: 1 } } });
    const both = defineStore<number, { tags: string[] }>('t', {
      indexes: { least: { of, version: 1 }, all: { of: (_, { tags }) => tags.join(), version: 1 } },
    });
    await inMemory(async (db) => {
      await db.write((tx) => tx.store(first).put(1, { tags: ['z', 'a'] }));
      await db.indexReady(both, 'all');
      await db.write((tx) => {
        tx.store(both).put(2, { tags: ['y', 'b'] });
        tx.store(both).put(1, { tags: ['x', 'c'] });
      });
      const found = await db.read((tx) => tx.store(both).index('all').range({ keysOnly: true }).toArray());
      expect(found.map(({ index }) => index)).toEqual(['x,c', 'y,b']);
    });
  });
});

describe('indexes of a store whose catalog row changes', () => {
  test('one that is being built goes on under the new name of its store', async () => {
    await inMemory(async (db) => {
      await db.write((tx) => {
        for (let i = 0; i < 3000; i++) tx.store(plain).put(i, { a: i });
      });
      await db.write((tx) => void tx.store(indexed));
      await db.rename('s', 'renamed');
      await db.indexReady('renamed', 'byA');
      await db.read(async (tx) => expect(await tx.store('renamed').index('byA').count()).toBe(3000));
    });
  });

  test('one opened before its store was dropped, or it was built anew, is not read on', async () => {
    await inMemory(async (db) => {
      await db.write((tx) => tx.store(indexed).put(1, { a: 1 }));
      await db.write(async (tx) => {
        const index = tx.store(indexed).index('byA');
        const place = tx.savepoint();
        tx.rebuildIndex('s', 'byA');
        tx.store(indexed).put(2, { a: 2 });
        expect(await codeOf(index.count())).toBe('STORE_NOT_FOUND');
        tx.rollbackTo(place);
        expect(await index.count()).toBe(1);
        tx.drop('s');
        expect(await codeOf(index.has({ a: 1 }))).toBe('STORE_NOT_FOUND');
        tx.rollbackTo(place);
        expect(await index.has({ a: 1 })).toBe(true);
      });
    });
  });

  test('opening a store as the catalog has it does not forget the functions of its indexes', async () => {
    const odd = defineStore<number, Row>('s', { indexes: { f: { of: (_, row) => row.b, version: 1 } } });
    await inMemory(async (db) => {
      await db.write((tx) => tx.store(odd).put(1, { a: 1, b: 'b' }));
      await db.read(async (tx) => expect(await tx.store(tx.definitionOf('s')).index('f').count()).toBe(1));
      expect((await db.verify()).indexes).toBe(1);
    });
  });

  test('an index is built though the program has used another definition of its store since', async () => {
    const plain = defineStore<number, Row>('s', {});
    const odd = defineStore<number, Row>('s', { indexes: { f: { of: (_, row) => row.b, version: 1 } } });
    const other = defineStore<number, Row>('s', { indexes: { byA: { fields: ['a'] } } });
    await inMemory(async (db) => {
      await db.write((tx) => {
        for (let i = 0; i < 3000; i++) tx.store(plain).put(i, { a: i, b: `b${i % 7}` });
      });
      await db.write((tx) => void tx.store(odd));
      // Readers under the other definition, as a build begins and between its batches.
      for (let i = 0; i < 20; i++) await db.read((tx) => tx.store(other).count());
      await db.write((tx) => void tx.store(odd).put(1, { a: 1, b: 'b1' }));
      await db.indexReady('s', 'f');
      await db.read(async (tx) => expect(await tx.store(odd).index('f').count()).toBe(3000));
      await db.write((tx) => tx.rename('s', 't'));
      await db.rebuildIndex('t', 'f');
      await db.indexReady('t', 'f');
      expect((await db.verify()).problems).toEqual([]);
    });
  });

  test('after goes on behind an entry, within the bounds of its range', async () => {
    await inMemory(async (db) => {
      await db.write((tx) => {
        for (let i = 0; i < 6; i++) tx.store(indexed).put(i, { a: i });
      });
      await db.read(async (tx) => {
        const index = tx.store(indexed).index('byA');
        const [first, last] = [await index.first(), await index.last()];
        const keys = async (options: Parameters<typeof index.range>[0]) =>
          (await index.range({ ...options, keysOnly: true }).toArray()).map(({ key }) => key);
        if (first === undefined || last === undefined) throw new Error('there are entries');
        expect(await keys({ gte: { a: 3 }, after: first })).toEqual([3, 4, 5]);
        expect(await keys({ lt: { a: 3 }, reverse: true, after: last })).toEqual([2, 1, 0]);
        expect(await keys({ lt: { a: 3 }, after: first })).toEqual([1, 2]);
      });
    });
  });
});

describe('prepared transactions of an earlier opening', () => {
  const reopened = async (
    prepare: (db: Database) => Promise<void>,
    work: (db: Database) => Promise<void>,
  ): Promise<void> => {
    const env = memoryEnv();
    const first = await Database.openWith(env, { folder: '/db' });
    await prepare(first);
    await first.close();
    const db = await Database.openWith(env, { folder: '/db' });
    try {
      await work(db);
      expect((await db.verify()).problems).toEqual([]);
    } finally {
      await db.close();
    }
    const again = await Database.openWith(env, { folder: '/db' });
    expect((await again.verify()).problems).toEqual([]);
    await again.close();
  };

  test('a drop that is decided is seen by whoever used the store before: nothing goes into a store that is gone', () =>
    reopened(
      async (db) => {
        await db.write((tx) => tx.store(plain).put(1, { a: 1 }));
        const tx = await db.begin('write');
        tx.drop('s');
        await tx.prepare();
      },
      async (db) => {
        await db.read(async (tx) => expect(await tx.store(plain).count()).toBe(1));
        for (const waiting of await db.prepared()) await waiting.commit();
        await db.read(async (tx) => expect(await tx.store(plain).count()).toBe(0));
        await db.write((tx) => tx.store(plain).put(2, { a: 2 }));
        await db.read(async (tx) => expect(await tx.store(plain).range({ keysOnly: true }).toArray()).toEqual([2]));
      },
    ));

  test('an index that is decided is kept from then on', () =>
    reopened(
      async (db) => {
        await db.write((tx) => tx.store(plain).put(1, { a: 1 }));
        const tx = await db.begin('write');
        tx.store(indexed);
        await tx.prepare();
      },
      async (db) => {
        await db.read(async (tx) => expect(await tx.store('s').count()).toBe(1));
        for (const waiting of await db.prepared()) await waiting.commit();
        await db.write((tx) => tx.store('s').put(2, { a: 2 }));
        await db.indexReady('s', 'byA');
        await db.read(async (tx) => expect(await tx.store(indexed).index('byA').count()).toBe(2));
      },
    ));
});

describe('redefining a store beside its writers', () => {
  test('unique keys that change hands meanwhile are no reason to give up', async () => {
    interface User {
      readonly email: string;
    }
    const before = defineStore<number, User>('users');
    const after = defineStore<number, User>('users', { indexes: { byEmail: { fields: ['email'], unique: true } } });
    await inMemory(async (db) => {
      await db.write((tx) => {
        for (let i = 0; i < 1000; i++) tx.store(before).put(i, { email: `e${i}` });
      });
      let moved = false;
      await db.redefine(before, after, async ({ key, value }) => {
        if (key === 700 && !moved) {
          moved = true;
          await db.write((tx) => {
            tx.store(before).put(3, { email: 'another' });
            tx.store(before).put(999, { email: 'e3' });
          });
        }
        return { key, value };
      });
      const found = await db.read((tx) => tx.store(after).index('byEmail').get({ email: 'e3' }));
      expect(found?.key).toBe(999);
    });
  });

  test('two entries with one unique key are refused all the same', async () => {
    const before = defineStore<number, Row>('s');
    const after = defineStore<number, Row>('s', { indexes: { one: { fields: ['a'], unique: true } } });
    await inMemory(async (db) => {
      await db.write((tx) => {
        for (let i = 0; i < 300; i++) tx.store(before).put(i, { a: i === 299 ? 3 : i });
      });
      expect(await codeOf(db.redefine(before, after, ({ key, value }) => ({ key, value })))).toBe('UNIQUE_INDEX');
      await db.read(async (tx) => expect(await tx.store(before).count()).toBe(300));
    });
  });
});

describe('schemas', () => {
  const schema = <T>(validate: (value: unknown) => unknown): StandardSchema<T> =>
    ({ '~standard': { version: 1, vendor: 'test', validate } }) as unknown as StandardSchema<T>;

  test('what one makes of ride-on fields is stored whichever call changes them', async () => {
    interface Key {
      readonly id: number;
      readonly status: string;
    }
    const trimmed = schema<Key>((key) => ({ value: { ...(key as Key), status: (key as Key).status.trim() } }));
    const orders = defineStore('orders', {
      keySchema: trimmed,
      value: type<number>(),
      key: ['id'],
      rideOn: ['status'],
      indexes: { byStatus: ['status'] },
    });
    await inMemory(async (db) => {
      await db.write(async (tx) => {
        const store = tx.store(orders);
        const statusNow = async () => (await store.getEntry({ id: 1 }))?.key.status;
        store.put({ id: 1, status: ' new ' }, 1);
        expect(await statusNow()).toBe('new');
        await store.updateKey({ id: 1, status: ' paid ' });
        expect(await statusNow()).toBe('paid');
        await store.update({ id: 1, status: ' sent ' }, 2);
        expect(await statusNow()).toBe('sent');
        const cursor = store.cursor();
        await cursor.next();
        await cursor.updateKey({ status: ' done ' });
        expect(cursor.key?.status).toBe('done');
        expect(await statusNow()).toBe('done');
        expect((await store.index('byStatus').get({ status: 'done' }))?.key.id).toBe(1);
      });
    });
  });

  test.each([
    // biome-ignore lint/suspicious/noThenProperty: promises of other makes have one
    ['a promise of another make', () => ({ then: (done: (answer: unknown) => void) => done({ value: 1 }) })],
    ['nothing', () => undefined],
    ['neither value nor issues', () => ({})],
  ])('one that answers %s is refused, and nothing is stored in its name', async (_, validate) => {
    const odd = defineStore('odd', { keySchema: type<string>(), value: schema<number>(validate) });
    await inMemory(async (db) => {
      expect(await codeOf(db.write((tx) => tx.store(odd).put('a', 1)))).toBe('INVALID_ARGUMENT');
    });
  });
});

describe('db.write', () => {
  test("does not take another transaction's unknown outcome for its own", async () => {
    const numbers = defineStore<string, number>('numbers');
    await inMemory(async (db) => {
      const inner = await db.begin('write');
      inner.store(numbers).put('inner', 1);
      await inner.commit();
      for (const options of [undefined, { retries: 3 }]) {
        const outer = db.write((tx) => {
          tx.store(numbers).put('outer', 1);
          throw new OutcomeUnknownError(inner.id, 'not known');
        }, options);
        expect(await codeOf(outer)).toBe('OUTCOME_UNKNOWN');
      }
      await db.read(async (tx) => expect(await tx.store(numbers).has('outer')).toBe(false));
    });
  });

  test('waits for promises of other makes', async () => {
    const numbers = defineStore<string, number>('numbers');
    await inMemory(async (db) => {
      await db.write((tx) => {
        const work = Promise.resolve().then(() => tx.store(numbers).put('a', 1));
        // biome-ignore lint/suspicious/noThenProperty: that is what it is about
        return { then: work.then.bind(work) } as Promise<void>;
      });
      await db.read(async (tx) => expect(await tx.store(numbers).get('a')).toBe(1));
    });
  });

  test('runs again whatever those throw who hear of conflicts and of errors', async () => {
    const numbers = defineStore<string, number>('numbers');
    const onBackgroundError = (): void => {
      throw new Error('of the one who hears of errors');
    };
    const work = async (db: Database): Promise<void> => {
      await db.write((tx) => tx.store(numbers).put('a', 1));
      db.onConflict(() => {
        throw new Error('of a listener');
      });
      let runs = 0;
      await db.write(async (tx) => {
        const before = (await tx.store(numbers).get('a')) ?? 0;
        if (runs++ === 0) await db.write((other) => other.store(numbers).put('a', 5));
        tx.store(numbers).put('a', before + 1);
      });
      await db.read(async (tx) => expect(await tx.store(numbers).get('a')).toBe(6));
    };
    await inMemory(work, { onBackgroundError });
  });
});

test('an amount that is no integer is named', async () => {
  const hits = defineStore<string, number>('hits', { counter: true });
  await inMemory(async (db) => {
    await db.write((tx) => expect(() => tx.store(hits).increment('a', 0.5)).toThrow(/64 bits, not 0\.5$/));
  });
});

describe('waiting', () => {
  test('for an index in a read-only opening is refused at once where it is not ready', async () => {
    const env = memoryEnv();
    const first = await Database.openWith(env, { folder: '/db' });
    const odd = defineStore<number, Row>('s', { indexes: { f: { of: () => 1, version: 1 } } });
    await first.write((tx) => {
      for (let i = 0; i < 10; i++) tx.store(plain).put(i, { a: {} });
    });
    await first.indexReady(indexed, 'byA').catch(() => {});
    const tx = await first.begin('write');
    tx.store(odd);
    const committed = tx.commit();
    await Promise.all([committed, first.close()]);
    const db = await Database.openWith(env, { folder: '/db', readOnly: true });
    const [info] = await db.indexes('s');
    expect(await codeOf(db.indexReady('s', 'f'))).toBe(info?.state === 'ready' ? 'done' : 'INDEX_NOT_READY');
    await db.close();
  });

  test('for an index takes a signal and nothing else for one', async () => {
    await inMemory(async (db) => {
      await db.write((tx) => void tx.store(indexed));
      const signal = 'now' as unknown as AbortSignal;
      expect(await codeOf(db.indexReady('s', 'byA', { signal }))).toBe('INVALID_ARGUMENT');
      expect(await codeOf(db.indexReady('s', 'byA', { signal: AbortSignal.abort() }))).toBe('ABORTED');
    });
  });

  test('getMany hears of everything that it began, also where one key is no key', async () => {
    const unheard: unknown[] = [];
    const hear = (reason: unknown): void => void unheard.push(reason);
    process.on('unhandledRejection', hear);
    const db = await Database.memory({ cacheBytes: 64 * 1024, tableBytes: 256 * 1024 });
    try {
      await db.write((tx) => {
        for (let i = 0; i < 3000; i++) tx.store(plain).put(i, { a: 'x'.repeat(200) });
      });
      await db.checkpoint();
      const keys = Array.from({ length: 40 }, (_, i) => i * 70);
      const tx = await db.begin('read');
      const got = tx.store(plain).getMany([...keys, {} as number]);
      await tx.rollback();
      expect(await codeOf(got)).toBe('INVALID_KEY');
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      expect(unheard).toEqual([]);
    } finally {
      process.off('unhandledRejection', hear);
      await db.close();
    }
  });
});
