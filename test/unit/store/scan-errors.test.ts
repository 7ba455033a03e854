/**
 * A range that meets a value it cannot read. Once it had told the error its iterators went on, handing out the entries that
 * had been fetched with it, with `undefined` where the values should have been.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CorruptionError } from '../../../src/base/errors.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';

const apart = defineStore<number, string>('apart', { values: 'separate' });
let folder: string;

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'sop-scan-'));
  const db = await Database.open(folder);
  await db.write((tx) => {
    for (let i = 0; i < 20; i++) tx.store(apart).put(i, `value-${i}-${'v'.repeat(2000)}`);
  });
  await db.checkpoint();
  await db.close();
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    if (name.endsWith('.seg')) damage(path.join(folder, name));
  }
});

afterEach(() => rmSync(folder, { recursive: true }));

function damage(file: string): void {
  const bytes = readFileSync(file);
  const at = bytes.indexOf('value-3-');
  if (at < 0) return;
  bytes[at] = 0;
  writeFileSync(file, bytes);
}

for (const kind of ['read', 'write'] as const) {
  test(`an iterator ends with its first error (${kind})`, async () => {
    const db = await Database.open(folder);
    const tx = await db.begin(kind);
    const range = tx.store(apart).range();
    const entries = range[Symbol.asyncIterator]();
    await expect(entries.next()).rejects.toThrow(CorruptionError);
    expect(await entries.next()).toEqual({ value: undefined, done: true });
    const pages = range.pages(5);
    await expect(pages.next()).rejects.toThrow(CorruptionError);
    expect(await pages.next()).toEqual({ value: undefined, done: true });
    const sync = range.sync();
    expect(() => sync.next()).toThrow(CorruptionError);
    expect(sync.next()).toEqual({ value: undefined, done: true });
    await tx.rollback();
    await db.close();
  });
}
