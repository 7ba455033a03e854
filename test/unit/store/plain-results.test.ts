import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { PlainEntry, youngArray } from '../../../src/base/young.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';

/** Entry or transaction. With literals 54 and more; with a Set of open transactions 22 and more; now 0 to 2. */
const MOST_PROMOTED_BYTES = 8;

it('hands out objects that differ in nothing from literals', async () => {
  const db = await Database.memory();
  const store = defineStore<{ a: string; b: number }, { constructor: number; list: unknown[]; plain: { x: number } }>(
    'plain',
    { key: ['a', 'b'] },
  );
  const key = { a: 'k', b: 1 };
  const value = { constructor: 1, list: [1, ['x']], plain: { x: 1 } };
  await db.write((tx) => tx.store(store).put(key, value));
  await db.read(async (tx) => {
    const reader = tx.store(store);
    const [scanned] = reader.range({}).toArraySync();
    const got = await reader.getEntry(key);
    for (const entry of [scanned, got]) {
      if (entry === undefined) throw new Error('the entry is missing');
      expect(entry).toStrictEqual({ key, value, version: entry.version });
      expect(Object.keys(entry)).toEqual(['key', 'value', 'version']);
      for (const one of [entry, entry.key, entry.value, entry.value.plain]) {
        expect(Object.getPrototypeOf(one)).toBe(Object.prototype);
        expect(Object.getOwnPropertyDescriptors(one)).toEqual(Object.getOwnPropertyDescriptors({ ...one }));
      }
      expect((entry.key as object).constructor).toBe(Object);
    }
  });
  await db.close();
  expect(new PlainEntry(1, 2, 3)).toStrictEqual({ key: 1, value: 2, version: 3 });
  expect(youngArray()).toStrictEqual([]);
  expect(youngArray()).not.toBe(youngArray());
});

/** What a program says it took for long-lived, bytes a piece. */
function promotedBy(child: string): number {
  const file = join(import.meta.dirname, '..', '..', 'helpers', child);
  const flags = ['--no-warnings', '--experimental-strip-types', file];
  const { stdout, stderr, status } = spawnSync(process.execPath, flags, { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return Number.parseFloat(stdout);
}

it('hands out nothing that V8 takes for long-lived: scans leave no garbage in the old generation', () => {
  expect(promotedBy('scan-child.ts')).toBeLessThan(MOST_PROMOTED_BYTES);
}, 60_000);

it('keeps nothing of a transaction that has ended: commits leave no garbage there either', () => {
  expect(promotedBy('commit-child.ts')).toBeLessThan(MOST_PROMOTED_BYTES);
}, 60_000);
