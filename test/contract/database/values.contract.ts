/** Values of every kind and size, inline, separate and raw. */
import { describe, expect, test } from 'vitest';
import { InvalidValueError } from '../../../src/base/errors.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { VALUES } from './samples.ts';
import { fresh, type OpenSubject } from './subject.ts';

const inline = defineStore<number, unknown>('inline');
const separate = defineStore<number, unknown>('separate', { values: 'separate' });
const raw = defineStore<string, Uint8Array>('raw', { raw: true });

export function valuesContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('values', () => {
    for (const store of [inline, separate]) {
      test(`every kind of value comes back from ${store.name} values as structuredClone would give it`, async () => {
        const { db } = await subject();
        await db.write((tx) => tx.store(store).putMany(VALUES.map(({ value }, i) => [i, value] as const)));
        await db.read(async (tx) => {
          const s = tx.store(store);
          for (const [i, { name, value }] of VALUES.entries()) {
            expect(await s.get(i), name).toStrictEqual(value);
            expect(s.getSync(i), name).toStrictEqual(value);
          }
          expect((await s.range().toArray()).map((entry) => entry.value)).toStrictEqual(
            VALUES.map(({ value }) => value),
          );
        });
      });
    }

    test('an object met twice and a cycle keep their identity', async () => {
      const { db } = await subject();
      const shared = { n: 1 };
      const loop: Record<string, unknown> = { a: shared, b: shared };
      loop.self = loop;
      await db.write((tx) => tx.store(inline).put(1, loop));
      const found = (await db.read((tx) => tx.store(inline).get(1))) as Record<string, unknown>;
      expect(found.a).toBe(found.b);
      expect(found.self).toBe(found);
      expect(found.a).not.toBe(shared);
    });

    test('a field named __proto__ is a field and pollutes nothing', async () => {
      const { db } = await subject();
      await db.write((tx) => tx.store(inline).put(1, JSON.parse('{"__proto__": {"polluted": 1}}')));
      const found = await db.read((tx) => tx.store(inline).get(1));
      expect(Object.keys(found as object)).toEqual(['__proto__']);
      expect((found as { polluted?: number }).polluted).toBeUndefined();
    });

    for (const store of [inline, separate]) {
      test(`values of all sizes live in one ${store.name} store`, async () => {
        const { db } = await subject();
        const sizes = [0, 1, 100, 2000, 2047, 2048, 2049, 8192, 65_000, 65_535, 65_536, 65_537, 300_000, 3_000_000];
        const blob = (size: number, seed: number) => Uint8Array.from({ length: size }, (_, i) => (i * 31 + seed) & 255);
        for (const [i, size] of sizes.entries()) await db.write((tx) => tx.store(store).put(i, blob(size, i)));
        await db.write((tx) => tx.store(store).put(0, blob(100_000, 7)));
        if (!db.readOnly) await db.checkpoint();
        await db.read(async (tx) => {
          const s = tx.store(store);
          expect(await s.get(0)).toEqual(blob(100_000, 7));
          let i = 1;
          for await (const entry of s.range({ gt: 0 })) {
            expect(entry.value).toEqual(blob(sizes[i] as number, i));
            i++;
          }
          expect(i).toBe(sizes.length);
          for (const entry of s.range({ gt: 10 }).sync())
            expect((entry.value as Uint8Array).length).toBe(sizes[entry.key]);
          expect((await s.range({ keysOnly: true }).toArray()).length).toBe(sizes.length);
          expect((await s.getMany([13, 0, 12])).map((value) => (value as Uint8Array).length)).toEqual([
            3_000_000, 100_000, 300_000,
          ]);
          expect(await s.last()).toMatchObject({ value: { length: 3_000_000 } });
          expect(await s.at(12)).toMatchObject({ value: { length: 300_000 } });
        });
      });
    }

    test('long values are read back by the transaction that wrote them', async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const s = tx.store(inline);
        s.put(1, 'x'.repeat(200_000));
        expect(((await s.get(1)) as string).length).toBe(200_000);
        expect((s.getSync(1) as string).length).toBe(200_000);
        expect(await s.update(1, 'y'.repeat(100_000))).toBe(true);
        expect(String((await s.getEntry(1))?.value)[0]).toBe('y');
      });
      await db.write((tx) => tx.store(inline).remove(1));
      expect(await db.read((tx) => tx.store(inline).get(1))).toBeUndefined();
    });

    test("raw values are bytes, the caller's own, and nothing else", async () => {
      const { db } = await subject();
      await db.write(async (tx) => {
        const s = tx.store(raw);
        s.put('empty', new Uint8Array(0));
        s.put('some', Uint8Array.of(0, 1, 2));
        s.put('buffer', Buffer.from('text'));
        s.put('long', new Uint8Array(100_000).fill(7));
        expect(() => s.put('no', 'text' as unknown as Uint8Array)).toThrow(InvalidValueError);
      });
      await db.read(async (tx) => {
        const s = tx.store(raw);
        expect(await s.get('empty')).toEqual(new Uint8Array(0));
        const mine = (await s.get('some')) as Uint8Array;
        mine[0] = 9;
        expect(await s.get('some')).toEqual(Uint8Array.of(0, 1, 2));
        expect(Buffer.from((await s.get('buffer')) as Uint8Array).toString()).toBe('text');
        expect(((await s.get('long')) as Uint8Array).every((byte) => byte === 7)).toBe(true);
      });
    });

    test('a shape that a rolled back transaction used first is there for the next one', async () => {
      const { db, reopen } = await subject();
      await expect(
        db.write((tx) => {
          tx.store(inline).put(1, { onlyHere: 1, andHere: 2 });
          throw new Error('no');
        }),
      ).rejects.toThrow('no');
      await db.write((tx) => tx.store(inline).put(1, { onlyHere: 3, andHere: 4 }));
      const again = reopen === undefined ? db : await reopen();
      expect(await again.read((tx) => tx.store(inline).get(1))).toEqual({ onlyHere: 3, andHere: 4 });
    });

    test('objects of very many shapes are all kept', async () => {
      const { db } = await subject();
      const shapes = Array.from({ length: 600 }, (_, i) => ({ [`a${i}`]: i, [`b${i % 7}`]: `${i}` }));
      await db.write((tx) => tx.store(inline).putMany(shapes.map((value, i) => [i, value] as const)));
      expect((await db.read((tx) => tx.store(inline).range().toArray())).map((entry) => entry.value)).toEqual(shapes);
    });
  });
}
