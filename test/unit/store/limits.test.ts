/** Limits of transactions: refused by name before harm is done. Conflicts tell store and key. */
import { expect, it } from 'vitest';
import { LimitExceededError, TimeoutError } from '../../../src/base/errors.ts';
import type { ConflictEvent } from '../../../src/store/conflict-events.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { ShapeStore } from '../../../src/store/shape-store.ts';
import { type } from '../../../src/store/standard-schema.ts';
import type { EngineApi } from '../../../src/transaction/engine-api.ts';

const notes = defineStore<string, string>('notes');

it('more open transactions than allowed are refused, and may begin when others have ended', async () => {
  const db = await Database.memory({ maxOpenTransactions: 2 });
  const one = await db.begin('read');
  await db.begin('read');
  await expect(db.begin('read')).rejects.toMatchObject({
    code: 'LIMIT_EXCEEDED',
    details: { limit: 'maxOpenTransactions' },
  });
  await one.rollback();
  await db.begin('read');
  await db.close();
});

it('a change past the bytes of a transaction is refused, what was changed before stays', async () => {
  const db = await Database.memory({ maxTransactionBytes: 1000 });
  await db.write((tx) => {
    const s = tx.store(notes);
    s.put('a', 'short');
    expect(() => s.put('b', 'x'.repeat(2000))).toThrow(LimitExceededError);
  });
  expect(await db.read((tx) => tx.store(notes).count())).toBe(1);
  await db.close();
});

it('a value past its limit is refused however it is stored, and what there was stays', async () => {
  const db = await Database.memory({ maxValueBytes: 1000 });
  const separate = defineStore<string, string>('separate', { values: 'separate' });
  await db.write((tx) => {
    for (const store of [tx.store(notes), tx.store(separate)]) {
      store.put('a', 'x'.repeat(900));
      for (const length of [1000, 100_000]) {
        expect(() => store.put('a', 'x'.repeat(length))).toThrow(
          expect.objectContaining({ details: expect.objectContaining({ limit: 'maxValueBytes', allowed: 1000 }) }),
        );
      }
    }
  });
  expect(await db.read((tx) => tx.store(notes).get('a'))).toHaveLength(900);
  expect(await db.read((tx) => tx.store(separate).get('a'))).toHaveLength(900);
  await db.close();
});

// It was encoded in full, 300 MB and more than a second for a limit of a kilobyte, and the memory for that was kept.
it('a value far past its limit is refused before memory is taken for it, one within it leaves none taken', async () => {
  const db = await Database.memory({ maxValueBytes: 40_000_000 });
  const raw = defineStore<string, Uint8Array>('raw', { raw: true });
  const any = defineStore('any', { keySchema: type<string>(), value: type<unknown>() });
  const text = 'x'.repeat(200_000_000);
  const bytes = new Uint8Array(200_000_000);
  const buffers = () => process.memoryUsage().arrayBuffers;
  await db.write((tx) => {
    tx.store(notes).put('a', 'short');
    const before = buffers();
    for (const value of [text, [text], { text }, bytes, [bytes]]) {
      expect(() => tx.store(any).put('b', value)).toThrow(
        expect.objectContaining({ details: expect.objectContaining({ limit: 'maxValueBytes', allowed: 40_000_000 }) }),
      );
    }
    expect(() => tx.store(raw).put('b', bytes)).toThrow(LimitExceededError);
    expect(buffers() - before).toBeLessThan(10_000_000);
  });
  const { writer } = new ShapeStore({} as EngineApi);
  writer.encode(text.slice(0, 30_000_000), undefined);
  expect(writer.bytes.length).toBeGreaterThan(30_000_000);
  writer.letGo();
  expect(writer.bytes.length).toBeLessThan(20_000_000);
  await db.close();
});

it('the limit of a value counts what is stored, to the byte', async () => {
  for (const value of ['x'.repeat(5000), { a: 'x'.repeat(5000), b: [1, 2, 3] }, 'é'.repeat(3000), 'ж'.repeat(3000)]) {
    const writer = new ShapeStore({} as EngineApi).writer;
    writer.encode(value, undefined);
    const size = writer.length;
    for (const [maxLength, isRefused] of [
      [size + 1100, false],
      [size, false],
      [size - 1025, true],
    ] as const) {
      const limited = new ShapeStore({} as EngineApi, maxLength).writer;
      const write = () => limited.encode(value, undefined);
      if (isRefused) expect(write).toThrow(LimitExceededError);
      else expect(write).not.toThrow();
    }
  }
});

it('a database that has reached its size refuses what would grow it, by name, and takes it after a removal', async () => {
  const db = await Database.memory({ maxSizeBytes: 300_000, tableBytes: 1024 * 1024 });
  const fill = (key: string) => db.write((tx) => void tx.store(notes).put(key, 'x'.repeat(20_000)));
  let full: unknown;
  for (let i = 0; i < 100 && full === undefined; i++) await fill(`${i}`).catch((error: unknown) => (full = error));
  expect(full).toMatchObject({ code: 'DISK_FULL', details: { limit: 'maxSizeBytes', allowed: 300_000 } });
  expect(db.stats().refusals.refused).toBeGreaterThan(0);
  await db.write((tx) => tx.store(notes).clear());
  await db.compact();
  await fill('again');
  expect(await db.read((tx) => tx.store(notes).count())).toBe(1);
  await db.close();
});

it("transactions without a time limit of their own end with the database's", async () => {
  const db = await Database.memory({ transactionTimeoutMs: 5 });
  const tx = await db.begin('write');
  const ended = new Promise((resolve) => tx.onRollback(resolve));
  expect(await ended).toBeInstanceOf(TimeoutError);
  await expect(tx.commit()).rejects.toBeInstanceOf(TimeoutError);
  await db.close();
});

it('a conflict names store, key, transaction and run', async () => {
  const db = await Database.memory();
  await db.write((tx) => void tx.store(notes).put('a', '1'));
  const events: ConflictEvent[] = [];
  db.onConflict((event) => events.push(event));
  const tx = await db.begin('write');
  await tx.store(notes).get('a');
  tx.store(notes).put('b', '1');
  await db.write((other) => void other.store(notes).put('a', '2'));
  await expect(tx.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
  expect(events).toMatchObject([{ store: 'notes', key: 'a', transactionId: tx.id, attempt: 1 }]);
  await db.close();
});
