/** Closing, reopening, figures, verification. */
import { describe, expect, test } from 'vitest';
import { ClosedError, InvalidArgumentError } from '../../../src/base/errors.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { fresh, type OpenSubject } from './subject.ts';

const numbers = defineStore<number, { text: string }>('numbers');

export function lifecycleContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('lifecycle', () => {
    test('everything after closing says that the database is closed', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(numbers).put(1, { text: 'one' }));
      const left = await db.begin('write');
      const s = left.store(numbers);
      expect(db.closed).toBe(false);
      await db.close();
      await db.close();
      expect(db.closed).toBe(true);
      await expect(db.write(() => 1)).rejects.toThrow(ClosedError);
      await expect(db.read(() => 1)).rejects.toThrow(ClosedError);
      await expect(db.begin('read')).rejects.toThrow(ClosedError);
      await expect(db.stores()).rejects.toThrow(ClosedError);
      await expect(db.describe('numbers')).rejects.toThrow(ClosedError);
      await expect(db.drop('numbers')).rejects.toThrow(ClosedError);
      await expect(db.rename('numbers', 'x')).rejects.toThrow(ClosedError);
      await expect(db.verify()).rejects.toThrow(ClosedError);
      await expect(db.checkpoint()).rejects.toThrow(ClosedError);
      await expect(db.compact()).rejects.toThrow(ClosedError);
      await expect(db.resolve(left.id)).rejects.toThrow(ClosedError);
      expect(() => db.stats()).toThrow(ClosedError);
      expect(() => s.put(2, { text: 'two' })).toThrow(ClosedError);
      await expect(s.get(1)).rejects.toThrow(ClosedError);
      await expect(left.commit()).rejects.toThrow(ClosedError);
    });

    test('closing waits for commits under way', async () => {
      const { db, reopen } = await subject();
      const commits = Array.from({ length: 10 }, (_, i) =>
        db.write((tx) => tx.store(numbers).put(i, { text: `${i}` })),
      );
      await new Promise((resolve) => setImmediate(resolve));
      await db.close();
      const settled = await Promise.allSettled(commits);
      const kept = settled.filter((one) => one.status === 'fulfilled').length;
      for (const one of settled) if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(ClosedError);
      if (reopen === undefined) return;
      const again = await reopen();
      expect(await again.read((tx) => tx.store(numbers).count())).toBe(kept);
    });

    test('what was committed is there after closing and opening', async () => {
      const { db, reopen } = await subject();
      if (reopen === undefined) return;
      await db.write((tx) =>
        tx.store(numbers).putMany(Array.from({ length: 2000 }, (_, i) => [i, { text: `v${i}` }] as const)),
      );
      await db.write((tx) => tx.store(numbers).clearRange({ gte: 1000 }));
      let again = await reopen();
      expect(await again.read((tx) => tx.store(numbers).count())).toBe(1000);
      await again.checkpoint();
      await again.write((tx) => tx.store(numbers).put(5000, { text: 'late' }));
      again = await reopen();
      await again.read(async (tx) => {
        expect(await tx.store(numbers).count()).toBe(1001);
        expect(await tx.store(numbers).get(999)).toEqual({ text: 'v999' });
        expect((await tx.store(numbers).last())?.value).toEqual({ text: 'late' });
      });
      again = await reopen({ readOnly: true });
      expect(await again.read((tx) => tx.store(numbers).count())).toBe(1001);
    });

    test('stores created before and after opening again keep apart', async () => {
      const { db, reopen } = await subject();
      if (reopen === undefined) return;
      await db.write((tx) => tx.store(numbers).put(1, { text: 'one' }));
      const again = await reopen();
      const other = defineStore<number, string>('other');
      await again.write((tx) => tx.store(other).put(1, 'uno'));
      await again.drop('numbers');
      const last = await reopen();
      await last.write((tx) => tx.store(numbers).put(2, { text: 'two' }));
      await last.read(async (tx) => {
        expect(await tx.store(numbers).range({ keysOnly: true }).toArray()).toEqual([2]);
        expect(await tx.store(other).get(1)).toBe('uno');
      });
    });

    test('checkpoint and compact change nothing that can be read', async () => {
      const { db } = await subject();
      for (let round = 0; round < 4; round++) {
        await db.write((tx) =>
          tx.store(numbers).putMany(Array.from({ length: 1000 }, (_, i) => [i, { text: `r${round} v${i}` }] as const)),
        );
        await db.checkpoint();
      }
      await db.compact();
      await db.read(async (tx) => {
        expect(await tx.store(numbers).count()).toBe(1000);
        expect(await tx.store(numbers).get(500)).toEqual({ text: 'r3 v500' });
        let i = 0;
        for await (const entry of tx.store(numbers).range())
          expect(entry).toMatchObject({ key: i, value: { text: `r3 v${i++}` } });
      });
    });

    test('verify finds nothing wrong, tells how far it is, and stats count', async () => {
      const { db } = await subject();
      await db.write((tx) =>
        tx.store(numbers).putMany(Array.from({ length: 3000 }, (_, i) => [i, { text: `v${i}` }] as const)),
      );
      await db.checkpoint();
      await db.write((tx) => tx.store(numbers).put(-1, { text: 'x' }));
      const report = await db.verify({ onProgress: () => {} });
      expect(report.problems).toEqual([]);
      expect(report.ok).toBe(true);
      expect(report.entries).toBeGreaterThanOrEqual(3000);
      const stats = db.stats();
      expect(stats.commits).toBeGreaterThanOrEqual(2);
      expect(stats.number).toBeGreaterThanOrEqual(2);
      expect(stats.openTransactions).toBe(0);
    });

    test('open transactions are counted until they end', async () => {
      const { db } = await subject();
      const one = await db.begin('read');
      const two = await db.begin('write');
      expect(db.stats().openTransactions).toBe(2);
      await one.rollback();
      await two.rollback();
      expect(db.stats().openTransactions).toBe(0);
    });

    test('resolve takes ids and nothing else', async () => {
      const { db } = await subject();
      await expect(db.resolve(5 as never)).rejects.toThrow(InvalidArgumentError);
    });
  });
}
