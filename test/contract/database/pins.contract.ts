/** What pins promise: a named state reads exactly as it was, whatever happens after, until it is given up. */
import { describe, expect, test } from 'vitest';
import {
  InvalidArgumentError,
  LimitExceededError,
  PinExistsError,
  PinNotFoundError,
  StoreNotFoundError,
} from '../../../src/base/errors.ts';
import type { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { fresh, type OpenSubject } from './subject.ts';

interface Person {
  readonly name: string;
  readonly age?: number;
  readonly tags?: readonly string[];
}
const people = defineStore<number, Person>('people');
const blobs = defineStore<number, string>('blobs', { values: 'separate' });

const long = (letter: string, i: number): string => `${letter}${i}`.repeat(2000);

async function fill(db: Database, letter: string, count = 100): Promise<void> {
  await db.write((tx) => {
    tx.store(people).putMany(Array.from({ length: count }, (_, i) => [i, { name: `${letter}${i}`, age: i }] as const));
    tx.store(blobs).putMany(Array.from({ length: 20 }, (_, i) => [i, long(letter, i)] as const));
    tx.store(blobs).put(1000, letter.repeat(100_000));
  });
}

async function expectFilled(db: Database, at: string, letter: string, count = 100): Promise<void> {
  await db.read(
    async (tx) => {
      const all = await tx.store(people).range().toArray();
      expect(all.map(({ key, value }) => [key, value.name, value.age])).toEqual(
        Array.from({ length: count }, (_, i) => [i, `${letter}${i}`, i]),
      );
      expect(await tx.store(people).count()).toBe(count);
      expect((await tx.store(people).at(-1))?.key).toBe(count - 1);
      for (let i = 0; i < 20; i++) expect(await tx.store(blobs).get(i)).toBe(long(letter, i));
      expect(await tx.store(blobs).get(1000)).toBe(letter.repeat(100_000));
    },
    { at },
  );
}

export function pinsContract(open: OpenSubject): void {
  describe('pins', () => {
    const subject = fresh(open);

    test('a pin reads as everything was, after changes, checkpoints, compaction and drops', async () => {
      const { db } = await subject();
      await fill(db, 'a');
      const pin = await db.pin('first');
      expect(pin).toMatchObject({ name: 'first' });
      expect(pin.number).toBeGreaterThan(0);
      for (const letter of ['b', 'c', 'd']) {
        await fill(db, letter, 50);
        await db.checkpoint();
      }
      await db.pin('second');
      await db.write((tx) => tx.store(people).clear());
      await db.drop('blobs');
      await db.compact();
      await expectFilled(db, 'first', 'a');
      await db.write((tx) => tx.store(people).put(1, { name: 'after', tags: ['x'] }));
      await db.compact();
      await expectFilled(db, 'first', 'a');
      await db.read(
        async (tx) => {
          expect(await tx.store(people).count()).toBe(100);
          expect((await tx.store(people).get(49))?.name).toBe('d49');
          expect((await tx.store(people).get(50))?.name).toBe('a50');
          expect(await tx.store('blobs').count()).toBe(21);
        },
        { at: 'second' },
      );
      expect((await db.pins()).map(({ name }) => name)).toEqual(['first', 'second']);
      expect((await db.verify()).problems).toEqual([]);
    });

    test('stores are there under the names and definitions they had', async () => {
      const { db } = await subject();
      await fill(db, 'a');
      await db.pin('then');
      await db.rename('people', 'persons');
      await db.drop('blobs');
      const other = defineStore<string, string>('people');
      await db.write((tx) => tx.store(other).put('k', 'v'));
      await db.write((tx) => tx.store(defineStore<number, number>('later')).put(1, 1));
      await expectFilled(db, 'then', 'a');
      expect((await db.stores({ at: 'then' })).map(({ name }) => name)).toEqual(['blobs', 'people']);
      expect((await db.describe('people', { at: 'then' })).count).toBe(100);
      expect((await db.stores()).map(({ name }) => name)).toEqual(['later', 'people', 'persons']);
      expect(await db.read((tx) => tx.store(other).get('k'))).toBe('v');
      await expect(db.read((tx) => tx.store('persons').count(), { at: 'then' })).rejects.toThrow(StoreNotFoundError);
      expect(await db.read((tx) => tx.store('persons').count())).toBe(100);
      await expect(db.read((tx) => tx.store('blobs').count())).rejects.toThrow(StoreNotFoundError);
    });

    test('pins are refused by name where they make no sense', async () => {
      const { db } = await subject();
      await fill(db, 'a', 3);
      await db.pin('one');
      await expect(db.pin('one')).rejects.toThrow(PinExistsError);
      await expect(db.unpin('two')).rejects.toThrow(PinNotFoundError);
      await expect(db.read(() => 1, { at: 'two' })).rejects.toThrow(PinNotFoundError);
      await expect(db.begin('read', { at: 'two' })).rejects.toThrow(PinNotFoundError);
      await expect(db.begin('write', { at: 'one' })).rejects.toThrow(InvalidArgumentError);
      await expect(db.pin('')).rejects.toThrow(InvalidArgumentError);
      await expect(db.pin(7 as unknown as string)).rejects.toThrow(InvalidArgumentError);
      await expect(db.read(() => 1, { at: 7 as unknown as string })).rejects.toThrow(InvalidArgumentError);
      await expect(db.pin('x'.repeat(513))).rejects.toThrow(LimitExceededError);
      await expect(db.pin('\ud800')).rejects.toThrow(InvalidArgumentError);
      await db.pin('x'.repeat(512));
      const both = await Promise.allSettled([db.pin('race'), db.pin('race')]);
      expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      await db.unpin('one');
      await expect(db.read(() => 1, { at: 'one' })).rejects.toThrow(PinNotFoundError);
      await db.pin('one');
      expect(await db.read((tx) => tx.store(people).count(), { at: 'one' })).toBe(3);
    });

    test('a database with nothing in it can be pinned', async () => {
      const { db } = await subject();
      await db.pin('empty');
      await fill(db, 'a', 3);
      await db.compact();
      expect(await db.read((tx) => tx.store(people).count(), { at: 'empty' })).toBe(0);
      expect(await db.stores({ at: 'empty' })).toEqual([]);
    });

    test('giving up a pin gives back its space, once nobody reads at it', async () => {
      const { db } = await subject();
      await fill(db, 'a');
      await db.pin('first');
      for (const letter of ['b', 'c']) await fill(db, letter);
      await db.write((tx) => {
        tx.store(people).clear();
        tx.store(blobs).clear();
      });
      await db.compact();
      const kept = db.stats().sizeBytes;
      expect(kept.pinned).toBeGreaterThan(100_000);
      const tx = await db.begin('read', { at: 'first' });
      await db.unpin('first');
      await db.compact();
      expect(await tx.store(blobs).get(1000)).toBe('a'.repeat(100_000));
      expect((await tx.store(people).get(7))?.name).toBe('a7');
      await tx.rollback();
      await db.compact();
      const after = db.stats().sizeBytes;
      expect(after.pinned).toBe(0);
      expect(after.segments).toBeLessThan(kept.segments - 100_000);
      expect((await db.verify()).problems).toEqual([]);
    });

    test('pins outlast closing and opening, for writing and for reading', async () => {
      const { db, reopen } = await subject();
      if (reopen === undefined) return;
      await fill(db, 'a');
      const { number, pinnedAt } = await db.pin('first');
      await fill(db, 'b');
      await db.drop('blobs');
      let again = await reopen();
      await again.compact();
      await again.checkpoint();
      await expectFilled(again, 'first', 'a');
      again = await reopen({ readOnly: true });
      await expectFilled(again, 'first', 'a');
      expect(await again.pins()).toEqual([{ name: 'first', number, pinnedAt }]);
      expect((await again.verify()).problems).toEqual([]);
      again = await reopen();
      expect(again.stats().sizeBytes.pinned).toBeGreaterThan(0);
      await again.unpin('first');
      await again.compact();
      expect(again.stats().sizeBytes.pinned).toBe(0);
      again = await reopen();
      expect(await again.pins()).toEqual([]);
      expect(await again.read((tx) => tx.store(people).count())).toBe(100);
    });
  });
}
