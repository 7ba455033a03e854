/** What a database that cannot be written promises: everything can be read, nothing is changed, not a byte on the disk. */
import { describe, expect, test } from 'vitest';
import { DatabaseNotFoundError, ReadOnlyError } from '../../../src/base/errors.ts';
import type { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { DATABASE_CHANGES, expectAll } from './surface.contract.ts';
import { KEYS_IN_ORDER, VALUES } from './samples.ts';

const keys = defineStore<import('../../../src/codec/tuple.ts').KeyValue, number>('keys');
const values = defineStore<number, unknown>('values');
const apart = defineStore<number, unknown>('apart', { values: 'separate' });
interface CityKey {
  readonly country: string;
  readonly name: string;
  readonly size?: number | undefined;
}
const cities = defineStore<CityKey, string, 'size'>('cities', { key: ['country', 'name'], rideOn: ['size'] });

/** One folder, written before and opened here for reading only; `before` and `after` list its files with their content. */
export interface ReadOnlySubject {
  /** Writes with `fill`, in a way that leaves the folder as the name of the suite says, and opens it for reading. */
  open(fill: (db: Database) => Promise<void>): Promise<Database>;
  fingerprint(): Promise<string>;
  openMissing(): Promise<Database>;
  dispose(): Promise<void>;
}

async function fill(db: Database): Promise<void> {
  await db.write((tx) => {
    tx.store(keys).putMany(KEYS_IN_ORDER.map((key, i) => [key, i] as const));
    tx.store(values).putMany(VALUES.map(({ value }, i) => [i, value] as const));
  });
  await db.checkpoint();
  await db.write((tx) => {
    tx.store(apart).putMany(VALUES.map(({ value }, i) => [i, value] as const));
    tx.store(cities).putMany([
      [{ country: 'DE', name: 'Bonn', size: 3 }, 'b'],
      [{ country: 'DE', name: 'Berlin', size: 9 }, 'B'],
      [{ country: 'FR', name: 'Paris', size: 8 }, 'P'],
    ]);
    tx.store(values).put(-1, 'x'.repeat(200_000));
  });
}

export function readOnlyContract(name: string, make: () => Promise<ReadOnlySubject>): void {
  describe(name, () => {
    async function opened(work: (db: Database, subject: ReadOnlySubject) => Promise<void>): Promise<void> {
      const subject = await make();
      try {
        const db = await subject.open(fill);
        try {
          await work(db, subject);
        } finally {
          await db.close();
        }
      } finally {
        await subject.dispose();
      }
    }

    test('everything that was written can be read, in every way', () =>
      opened(async (db) => {
        expect(db.readOnly).toBe(true);
        await db.read(async (tx) => {
          const s = tx.store(keys);
          expect((await s.range().toArray()).map((entry) => entry.value)).toEqual(KEYS_IN_ORDER.map((_, i) => i));
          for (const [i, key] of KEYS_IN_ORDER.entries()) expect(s.getSync(key)).toBe(i);
          for (const store of [values, apart]) {
            for (const [i, { name, value }] of VALUES.entries())
              expect(await tx.store(store).get(i), name).toStrictEqual(value);
          }
          expect(((await tx.store(values).get(-1)) as string).length).toBe(200_000);
          const c = tx.store(cities);
          expect(
            await c.range({ prefix: { country: 'DE' }, keysOnly: true, where: (key) => (key.size ?? 0) > 5 }).toArray(),
          ).toEqual([{ country: 'DE', name: 'Berlin', size: 9 }]);
          expect(await c.count()).toBe(3);
          expect(await c.rank({ country: 'FR' })).toBe(2);
          expect((await c.at(-1))?.value).toBe('P');
          expect((await c.last())?.key.name).toBe('Paris');
        });
        await using tx = await db.begin('noCheck');
        expect(await tx.store('cities').count()).toBe(3);
      }));

    test('stores, describe, stats and verify work', () =>
      opened(async (db) => {
        expect((await db.stores()).map((store) => store.name)).toEqual(['apart', 'cities', 'keys', 'values']);
        expect(await db.describe('cities')).toMatchObject({ count: 3, rideOn: ['size'] });
        const report = await db.verify();
        expect(report.problems).toEqual([]);
        expect(db.stats().number).toBeGreaterThanOrEqual(2);
      }));

    test('whatever would change something is refused', () =>
      opened(async (db) => {
        await expect(db.write(() => 1)).rejects.toThrow(ReadOnlyError);
        await expect(db.begin('write')).rejects.toThrow(ReadOnlyError);
        await expect(db.drop('cities')).rejects.toThrow(ReadOnlyError);
        await expect(db.rename('cities', 'towns')).rejects.toThrow(ReadOnlyError);
        await expect(db.checkpoint()).rejects.toThrow(ReadOnlyError);
        await expect(db.compact()).rejects.toThrow(ReadOnlyError);
        await db.read((tx) => expect(() => tx.store(cities).clear()).toThrow(ReadOnlyError));
        expect(await db.read((tx) => tx.store(defineStore<string, string>('never')).count())).toBe(0);
      }));

    test('every call that changes a database is refused', () =>
      opened((db) => expectAll(db, DATABASE_CHANGES, 'READ_ONLY')));

    test('reading leaves every file as it was, and makes none', () =>
      opened(async (db, subject) => {
        const before = await subject.fingerprint();
        await db.read(async (tx) => {
          await tx.store(keys).range().toArray();
          await tx.store(cities).count();
        });
        await db.verify();
        await db.close();
        expect(await subject.fingerprint()).toBe(before);
      }));

    test('a folder without a database is refused and stays as it is', () =>
      opened(async (_db, subject) => {
        const before = await subject.fingerprint();
        await expect(subject.openMissing()).rejects.toThrow(DatabaseNotFoundError);
        expect(await subject.fingerprint()).toBe(before);
      }));
  });
}
