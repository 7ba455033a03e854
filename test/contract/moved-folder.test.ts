/**
 * Somebody moves the folder of an open database away and puts another one in its place, as one does who restores a backup and
 * forgets that the service is up. The process that still had it open went on by name: it made and removed log files in the
 * restored copy and wrote into its log, and what both had acknowledged was lost.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { hasNativeModule } from '../../src/env/node-env.ts';
import { Database } from '../../src/store/database.ts';
import { defineStore } from '../../src/store/define-store.ts';

const numbers = defineStore<number, { readonly n: number }>('numbers');
let root: string;
let folder: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sop-moved-'));
  folder = join(root, 'data');
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

function contents(of: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(of, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) found.set(path, readFileSync(path).toString('latin1'));
  }
  return found;
}

async function fill(db: Database, n: number): Promise<void> {
  await db.write((tx) => {
    for (let i = 0; i < 1000; i++) tx.store(numbers).put(i, { n });
  });
}

async function read(at: string, key: number): Promise<number | undefined> {
  await using db = await Database.open(at);
  return (await db.read((tx) => tx.store(numbers).get(key)))?.n;
}

const replaced = expect.objectContaining({
  code: 'DATABASE_FAILED',
  details: expect.objectContaining({ reason: 'replaced' }),
});

/** Opens, copies, and puts the copy in the place of what is open. */
async function replacedUnder(db: Database, write: boolean): Promise<void> {
  if (write) {
    for (let n = 0; n < 3; n++) {
      await fill(db, n);
      await db.compact();
    }
  }
  cpSync(folder, join(root, 'backup'), { recursive: true });
  if (write) await db.write((tx) => tx.store(numbers).put(5000, { n: 1 }));
  renameSync(folder, join(root, 'old'));
  cpSync(join(root, 'backup'), folder, { recursive: true });
}

test.skipIf(!hasNativeModule())('a folder in the place of the one that is open is not touched', async () => {
  const db = await Database.open(folder);
  await replacedUnder(db, true);
  const before = contents(folder);
  // Into the file that is open, which went along.
  await db.write((tx) => tx.store(numbers).put(5001, { n: 2 }));
  await expect(db.compact()).rejects.toEqual(replaced);
  await expect(db.write((tx) => tx.store(numbers).put(1, { n: 9 }))).rejects.toEqual(replaced);
  await expect(db.pin('p')).rejects.toEqual(replaced);
  await db.close();
  expect(contents(folder)).toEqual(before);
  expect(await read(folder, 1)).toBe(2);
  expect(await read(join(root, 'old'), 5000)).toBe(1);
  expect(await read(join(root, 'old'), 5001)).toBe(2);
});

test.skipIf(!hasNativeModule())('nor does who has only read take over the log in it', async () => {
  {
    await using db = await Database.open(folder);
    await fill(db, 7);
  }
  const db = await Database.open(folder);
  await replacedUnder(db, false);
  const before = contents(folder);
  await expect(db.write((tx) => tx.store(numbers).put(1, { n: 9 }))).rejects.toEqual(replaced);
  expect((await db.read((tx) => tx.store(numbers).get(1)))?.n).toBe(7);
  await db.close();
  expect(contents(folder)).toEqual(before);
});

test.skipIf(!hasNativeModule())(
  'a folder that was only moved goes on being written until a file has to be made',
  async () => {
    const db = await Database.open(folder);
    await fill(db, 1);
    renameSync(folder, join(root, 'old'));
    await fill(db, 2);
    await expect(db.compact()).rejects.toEqual(replaced);
    await db.close();
    expect(await read(join(root, 'old'), 1)).toBe(2);
  },
);
