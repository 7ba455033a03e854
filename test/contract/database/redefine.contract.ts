/** Redefining a full store: another key, other values, beside readers and writers, with an end or none. */
import { describe, expect, test } from 'vitest';
import {
  AbortedError,
  ConflictError,
  DuplicateKeyError,
  InvalidArgumentError,
  StoreMismatchError,
  StoreNotFoundError,
} from '../../../src/base/errors.ts';
import type { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { type } from '../../../src/store/standard-schema.ts';
import { fresh, type OpenSubject } from './subject.ts';

interface Person {
  readonly name: string;
  readonly age: number;
}
const before = defineStore('people', {
  keySchema: type<number>(),
  value: type<Person>(),
  indexes: { byName: ['name'] },
});
const after = defineStore('people', {
  keySchema: type<{ name: string; id: number; adult: boolean }>(),
  value: type<{ years: number }>(),
  key: [{ field: 'name', order: 'desc' }, 'id'],
  rideOn: ['adult'],
  indexes: { byYears: ['years'] },
});
const turn = ({ key, value }: { readonly key: number; readonly value: Person }) =>
  value.age < 0
    ? undefined
    : { key: { name: value.name, id: key, adult: value.age >= 18 }, value: { years: value.age } };

async function fill(db: Database, count: number): Promise<void> {
  for (let from = 0; from < count; from += 200) {
    await db.write((tx) => {
      const s = tx.store(before);
      for (let i = from; i < Math.min(count, from + 200); i++) s.put(i, { name: `n${i % 7}`, age: (i % 90) - 1 });
    });
  }
}

export function redefineContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('redefine', () => {
    test('gives every entry another key and value, or leaves it out', async () => {
      const { db } = await subject();
      await fill(db, 300);
      const progress: number[] = [];
      const done = await db.redefine(before, after, turn, { onProgress: (one) => progress.push(one.done) });
      expect(done).toBe(true);
      expect(progress.at(-1)).toBe(300);
      await db.read(async (tx) => {
        const s = tx.store(after);
        expect(await s.count()).toBe(296);
        const first = await s.first();
        expect(first?.key).toEqual({ name: 'n6', id: 6, adult: false });
        expect(first?.value).toEqual({ years: 5 });
        expect(await s.index('byYears').count()).toBe(296);
        expect((await s.index('byYears').first())?.key.id).toBe(181);
        expect(() => tx.store(before)).toThrow(StoreMismatchError);
      });
      expect(await db.describe('people')).toMatchObject({ generation: 1, indexes: ['byYears'], count: 296 });
      expect((await db.verify()).problems).toEqual([]);
    });

    test('the store is read and changed as it was meanwhile, and what changed is what it becomes', async () => {
      const { db } = await subject();
      await fill(db, 400);
      let calls = 0;
      const writers: Promise<void>[] = [];
      const change = (n: number) =>
        db.write(async (tx) => {
          const s = tx.store(before);
          s.put(n % 400, { name: 'put', age: 50 });
          await s.remove((n + 1) % 400);
          await s.update((n + 2) % 400, { name: 'updated', age: 60 });
          if (n % 90 === 0) s.clearRange({ gte: 390 });
        });
      await db.redefine(before, after, (entry) => {
        if (calls++ % 30 === 0 && writers.length < 12) writers.push(change((calls * 37) % 400).catch(ignoreMismatch));
        return turn(entry);
      });
      await Promise.all(writers);
      // What the old store held last is not to be read any more, so each kind of change is looked for.
      const found = await db.read((tx) => tx.store(after).range().toArray());
      const expected = found.map(({ key, value }) =>
        turn({ key: key.id, value: { name: key.name, age: value.years } }),
      );
      expect(found.map(({ key, value }) => ({ key, value }))).toEqual(expected);
      expect(new Set(found.map(({ key }) => key.id)).size).toBe(found.length);
      expect(found.some(({ key }) => key.name === 'put')).toBe(true);
      expect((await db.verify()).problems).toEqual([]);
    });

    test('changes after the copy are copied again, keys exchanged among them', async () => {
      const { db } = await subject();
      const from = defineStore('s', { keySchema: type<number>(), value: type<string>() });
      const to = defineStore('s', { keySchema: type<string>(), value: type<number>() });
      await db.write((tx) => {
        for (let i = 0; i < 300; i++) tx.store(from).put(i, `v${i}`);
      });
      let changed: Promise<unknown> | undefined;
      await db.redefine(from, to, async ({ key, value }) => {
        if (key === 200 && changed === undefined) {
          changed = db.write(async (tx) => {
            const s = tx.store(from);
            s.put(0, 'v1');
            s.put(1, 'v0');
            s.put(2, 'v299');
            s.put(299, 'v2');
            await s.remove(3);
            s.put(1000, 'v3');
          });
          await changed;
        }
        return { key: value, value: key };
      });
      await db.read(async (tx) => {
        const s = tx.store(to);
        expect(await s.getMany(['v0', 'v1', 'v2', 'v299', 'v3', 'v4'])).toEqual([1, 0, 299, 2, 1000, 4]);
        expect(await s.count()).toBe(300);
      });
    });

    test('equal new keys are refused by name, and nothing has changed', async () => {
      const { db } = await subject();
      await fill(db, 50);
      const to = defineStore('people', { keySchema: type<string>(), value: type<number>() });
      const refused = db.redefine(before, to, ({ key, value }) => ({ key: value.name, value: key }));
      await expect(refused).rejects.toThrow(DuplicateKeyError);
      await expect(refused).rejects.toMatchObject({
        details: { store: 'people', key: expect.stringMatching(/^n\d$/) },
      });
      expect(await db.describe('people')).not.toHaveProperty('redefining');
      await db.read(async (tx) => expect(await tx.store(before).count()).toBe(50));
      expect((await db.verify()).problems).toEqual([]);
    });

    test('what the function throws ends it; a wrong shape, a wrong name, a second call are refused', async () => {
      const { db } = await subject();
      await fill(db, 50);
      const failing = db.redefine(before, after, () => {
        throw new RangeError('no');
      });
      await expect(failing).rejects.toThrow(RangeError);
      expect(await db.describe('people')).not.toHaveProperty('redefining');
      await expect(db.redefine(after, after, (entry) => entry)).rejects.toThrow(StoreMismatchError);
      const elsewhere = defineStore('others', { value: type<number>() });
      await expect(db.redefine(before, elsewhere, () => undefined)).rejects.toThrow(InvalidArgumentError);
      const first = db.redefine(before, after, turn);
      await expect(db.redefine(before, after, turn)).rejects.toThrow(/already/);
      await first;
    });

    // Errors of the engine's own make, thrown by the function, were taken for the engine's: the redefinition stayed, or ran for ever.
    test('what the function throws ends it also where it is an error of this engine', async () => {
      const { db } = await subject();
      await fill(db, 50);
      const errors = [new StoreNotFoundError('customers'), new ConflictError('of another store'), 'a string'];
      for (const error of errors) {
        const failing = db.redefine(before, after, () => {
          throw error;
        });
        await expect(failing).rejects.toBe(error);
        expect(await db.describe('people')).not.toHaveProperty('redefining');
      }
    });

    test('what the function throws once the signal has fired gives up nothing', async () => {
      const { db } = await subject();
      await fill(db, 50);
      const controller = new AbortController();
      const stopped = db.redefine(
        before,
        after,
        () => {
          controller.abort();
          throw new DOMException('stopped', 'AbortError');
        },
        { signal: controller.signal },
      );
      await expect(stopped).rejects.toThrow(AbortedError);
      expect(await db.describe('people')).toHaveProperty('redefining', true);
      expect(await db.redefine(before, after, turn)).toBe(true);
    });

    test('options that make no sense are refused', async () => {
      const { db } = await subject();
      await fill(db, 5);
      for (const generation of ['0', -1, 0.5, Number.NaN, null]) {
        const options = { generation: generation as number };
        await expect(db.redefine(before, after, turn, options)).rejects.toThrow(InvalidArgumentError);
      }
      for (const options of [{ onProgress: 1 }, { signal: 1 }]) {
        await expect(db.redefine(before, after, turn, options as never)).rejects.toThrow(InvalidArgumentError);
      }
      expect(await db.redefine(before, after, turn, { generation: 0 })).toBe(true);
    });

    test('ended by a signal it goes on where it was; cancelled it leaves the store as it is', async () => {
      const { db } = await subject();
      await fill(db, 600);
      const calls = new Map<number, number>();
      const controller = new AbortController();
      const counting = (entry: { readonly key: number; readonly value: Person }) => {
        calls.set(entry.key, (calls.get(entry.key) ?? 0) + 1);
        return turn(entry);
      };
      const options = { signal: controller.signal, onProgress: () => controller.abort() };
      await expect(db.redefine(before, after, counting, options)).rejects.toThrow(AbortedError);
      expect(await db.describe('people')).toHaveProperty('redefining', true);
      await db.write((tx) => tx.store(before).put(0, { name: 'changed', age: 33 }));
      expect(await db.redefine(before, after, counting)).toBe(true);
      expect(calls.get(0)).toBe(2);
      expect(calls.get(5)).toBe(1);
      const found = await db.read((tx) => tx.store(after).get({ name: 'changed', id: 0 }));
      expect(found).toEqual({ years: 33 });
      expect(await db.redefine(after, after, () => undefined, { generation: 0 })).toBe(false);

      const stop = new AbortController();
      const again = db.redefine(
        'people',
        before,
        ({ key }) => ({ key: (key as { id: number }).id, value: { name: 'x', age: 1 } }),
        {
          signal: stop.signal,
          onProgress: () => stop.abort(),
        },
      );
      await expect(again).rejects.toThrow(AbortedError);
      await db.cancelRedefine('people');
      expect(await db.describe('people')).not.toHaveProperty('redefining');
      expect(await db.read((tx) => tx.store(after).count())).toBeGreaterThan(500);
      expect((await db.verify()).problems).toEqual([]);
    });
  });
}

function ignoreMismatch(error: unknown): void {
  if (!(error instanceof StoreMismatchError)) throw error;
}
