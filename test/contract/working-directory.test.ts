/**
 * A relative folder is the one of the call that names it. It used to be looked up anew at every file: after `process.chdir`
 * commits, checkpoints and removals went to whatever database lay under the same name in the new directory, whose acknowledged
 * commits were lost.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { hasNativeModule } from '../../src/env/node-env.ts';
import { Database } from '../../src/store/database.ts';
import { defineStore } from '../../src/store/define-store.ts';

const numbers = defineStore<number, { readonly n: number }>('numbers');
const was = process.cwd();
let root: string;

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'sop-chdir-')));
  for (const name of ['a', 'b']) mkdirSync(join(root, name));
  process.chdir(join(root, 'a'));
});

afterEach(() => {
  process.chdir(was);
  rmSync(root, { recursive: true, force: true });
});

/** Every file under a folder, with its bytes. */
function contents(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) found.set(path, readFileSync(path).toString('latin1'));
  }
  return found;
}

async function fill(db: Database, from: number, count: number, sign: number): Promise<void> {
  await db.write((tx) => {
    for (let i = from; i < from + count; i++) tx.store(numbers).put(i, { n: sign * i });
  });
}

async function countIn(folder: string): Promise<number> {
  await using db = await Database.open(folder);
  return await db.read((tx) => tx.store(numbers).count());
}

test.skipIf(!hasNativeModule())('an open database stays where it is when the process goes elsewhere', async () => {
  {
    await using other = await Database.open(join(root, 'b/data'));
    for (let i = 0; i < 20; i++) await fill(other, i, 1, 1);
  }
  const before = contents(join(root, 'b'));
  {
    await using db = await Database.open('./data');
    expect(db.folder).toBe(join(root, 'a/data'));
    await fill(db, 0, 10, -1);
    process.chdir(join(root, 'b'));
    for (let k = 0; k < 3; k++) {
      await fill(db, 100 * k, 500, -1);
      await db.compact();
    }
    await db.pin('here');
  }
  expect(contents(join(root, 'b'))).toEqual(before);
  expect(await countIn(join(root, 'a/data'))).toBe(700);
  expect(await countIn(join(root, 'b/data'))).toBe(20);
});

test.skipIf(!hasNativeModule())('a backup and a salvage end in the folders they began in', async () => {
  await using db = await Database.open('data');
  await fill(db, 0, 1000, 1);
  const elsewhere = (): void => process.chdir(join(root, 'b'));
  await db.backup('backup', { onProgress: elsewhere });
  expect(readdirSync(join(root, 'b'))).toEqual([]);
  expect(await countIn(join(root, 'a/backup'))).toBe(1000);

  process.chdir(join(root, 'a'));
  const salvaging = Database.salvage('backup', 'salvaged', { onProgress: elsewhere });
  elsewhere();
  expect((await salvaging).lost).toEqual([]);
  expect(readdirSync(join(root, 'b'))).toEqual([]);
  expect(await countIn(join(root, 'a/salvaged'))).toBe(1000);
});

test.skipIf(!hasNativeModule())('what is no path is refused by name, however it is opened', async () => {
  const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
  await expect(Database.open('a\0b')).rejects.toEqual(refused);
  await expect(Database.open('a\0b', { readOnly: true })).rejects.toEqual(refused);
  await expect(Database.salvage('a\0b', 'c')).rejects.toEqual(refused);
  await expect(Database.salvage('c', 'a\0b')).rejects.toEqual(refused);
  await expect(Database.salvage('', 'c')).rejects.toEqual(refused);
  await expect(Database.salvage('c', 5 as unknown as string)).rejects.toEqual(refused);
});
