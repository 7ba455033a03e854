/** What a backup promises: a database as of a moment, complete or refused by name, and quick where one was made before. */
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import {
  AbortedError,
  BackupIncompleteError,
  BackupRefusedError,
  DatabaseLockedError,
  InvalidArgumentError,
  ReadOnlyError,
} from '../../src/base/errors.ts';
import { Database } from '../../src/store/database.ts';
import { defineStore } from '../../src/store/define-store.ts';

const items = defineStore<number, string>('items');
const blobs = defineStore<number, string>('blobs', { values: 'separate' });

const folders: string[] = [];
const opened: Database[] = [];
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sop-backup-'));
  folders.push(folder);
  return folder;
}

async function open(folder: string, options: object = {}): Promise<Database> {
  const db = await Database.open(folder, options);
  opened.push(db);
  return db;
}

async function fill(db: Database, letter: string, count = 200): Promise<void> {
  await db.write((tx) => {
    tx.store(items).putMany(Array.from({ length: count }, (_, i) => [i, `${letter}${i}`] as const));
    tx.store(blobs).putMany(Array.from({ length: 20 }, (_, i) => [i, letter.repeat(3000 + i)] as const));
    tx.store(blobs).put(100, letter.repeat(150_000));
  });
}

async function expectFilled(db: Database, letter: string, count = 200, at?: string): Promise<void> {
  await db.read(
    async (tx) => {
      const all = await tx.store(items).range().toArray();
      expect(all.map(({ value }) => value)).toEqual(Array.from({ length: count }, (_, i) => `${letter}${i}`));
      for (let i = 0; i < 20; i++) expect(await tx.store(blobs).get(i)).toBe(letter.repeat(3000 + i));
      expect(await tx.store(blobs).get(100)).toBe(letter.repeat(150_000));
    },
    at === undefined ? {} : { at },
  );
  expect((await db.verify()).problems).toEqual([]);
}

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

const sources: readonly (readonly [string, () => Promise<Database>])[] = [
  ['a folder', async () => open(join(await newFolder(), 'db'))],
  [
    'memory',
    async () => {
      const db = await Database.memory();
      opened.push(db);
      return db;
    },
  ],
];

for (const [name, source] of sources) {
  describe(`a backup of a database in ${name}`, () => {
    test('is a database, for reading and for writing, with the same content and pins', async () => {
      const db = await source();
      await fill(db, 'a', 100);
      await db.pin('early');
      await fill(db, 'b');
      const folder = join(await newFolder(), 'backup');
      const seen: number[] = [];
      const report = await db.backup(folder, { onProgress: (at) => seen.push(at.bytesDone / at.bytesTotal) });
      expect(report.bytesCopied).toBeGreaterThan(300_000);
      expect(report.bytesKept).toBe(0);
      expect(report.files).toBe((await readdir(join(folder, 'data'))).length);
      expect(seen.at(-1)).toBe(1);
      await fill(db, 'c');
      const reader = await open(folder, { readOnly: true });
      expect(reader.stats().number).toBe(report.number);
      await expectFilled(reader, 'b');
      await expectFilled(reader, 'a', 100, 'early');
      await reader.close();
      const writer = await open(folder);
      const beside = await open(folder, { readOnly: true });
      await expectFilled(beside, 'b');
      await fill(writer, 'd');
      await writer.drop('blobs');
      await writer.compact();
      await expectFilled(writer, 'a', 100, 'early');
      await writer.close();
      const again = await open(folder);
      expect(await again.read((tx) => tx.store(items).get(7))).toBe('d7');
      await expectFilled(db, 'c');
    });

    test('takes only what is new the next time, and drops what is not needed any more', async () => {
      const db = await source();
      await fill(db, 'a', 5000);
      await db.write((tx) => tx.store(blobs).put(1000, 'x'.repeat(2_000_000)));
      const folder = join(await newFolder(), 'backup');
      const first = await db.backup(folder);
      const second = await db.backup(folder);
      expect(second).toEqual({ ...first, bytesCopied: 0, bytesKept: first.bytesCopied });
      await fill(db, 'b', 5000);
      await db.write((tx) => tx.store(blobs).remove(1000));
      await db.compact();
      const third = await db.backup(folder);
      const data = await readdir(join(folder, 'data'));
      expect(data).toHaveLength(third.files);
      expect(await readdir(join(folder, 'log'))).toHaveLength(1);
      const size = (await Promise.all(data.map((file) => stat(join(folder, 'data', file))))).reduce(
        (n, s) => n + s.size,
        0,
      );
      expect(size).toBe(third.bytesCopied + third.bytesKept);
      const copy = await open(folder, { readOnly: true });
      await expectFilled(copy, 'b', 5000);
      await copy.close();
    });

    test('an empty database has a backup too', async () => {
      const db = await source();
      const folder = join(await newFolder(), 'backup');
      expect(await db.backup(folder)).toEqual({ number: 0, files: 0, bytesCopied: 0, bytesKept: 0 });
      await fill(db, 'a');
      await db.backup(folder);
      await expectFilled(await open(folder), 'a');
    });
  });
}

describe('the folder of a backup', () => {
  test('keeps what earlier openings of the source wrote', async () => {
    const place = join(await newFolder(), 'db');
    const db = await open(place);
    await fill(db, 'a', 5000);
    const folder = join(await newFolder(), 'backup');
    const first = await db.backup(folder);
    await db.close();
    const again = await open(place);
    await again.write((tx) => tx.store(items).put(0, 'changed'));
    const second = await again.backup(folder);
    expect(second.bytesKept).toBe(first.bytesCopied);
    expect(second.bytesCopied).toBeGreaterThan(0);
    expect(second.bytesCopied).toBeLessThan(first.bytesCopied / 5);
    expect(await (await open(folder)).read((tx) => tx.store(items).get(0))).toBe('changed');
  });

  test('is refused, untouched, where it holds anything else', async () => {
    const db = await open(join(await newFolder(), 'db'));
    await fill(db, 'a');
    const other = await newFolder();
    await writeFile(join(other, 'letter.txt'), 'dear');
    await expect(db.backup(other)).rejects.toThrow(BackupRefusedError);
    expect(await readdir(other)).toEqual(['letter.txt']);
    const strange = await open(join(await newFolder(), 'strange'));
    await fill(strange, 'b');
    await strange.close();
    const before = await filesOf(strange.folder);
    await expect(db.backup(strange.folder)).rejects.toThrow(/another database/);
    expect(await filesOf(strange.folder)).toEqual(before);
    await expect(db.backup(db.folder)).rejects.toThrow(BackupRefusedError);
    const copy = join(await newFolder(), 'copy');
    await db.close();
    await cp(db.folder, copy, { recursive: true });
    const again = await open(db.folder);
    await expect(again.backup(copy)).rejects.toThrow(/no backup/);
    await expect(again.backup('')).rejects.toThrow(InvalidArgumentError);
  });

  test('is refused once somebody wrote to the backup, and not where it was only opened', async () => {
    const db = await open(join(await newFolder(), 'db'));
    await fill(db, 'a');
    const folder = join(await newFolder(), 'backup');
    await db.backup(folder);
    const copy = await open(folder);
    await expectFilled(copy, 'a');
    await expect(db.backup(folder)).rejects.toThrow(DatabaseLockedError);
    await copy.close();
    await db.backup(folder);
    const writer = await open(folder);
    await writer.write((tx) => tx.store(items).put(1, 'own'));
    await writer.close();
    await expect(db.backup(folder)).rejects.toThrow(/written to since/);
    expect(await (await open(folder)).read((tx) => tx.store(items).get(1))).toBe('own');
  });

  test('is refused by name while a first backup is unfinished, and taken up by the next one', async () => {
    const db = await open(join(await newFolder(), 'db'));
    await fill(db, 'a');
    const folder = join(await newFolder(), 'backup');
    const stop = new AbortController();
    const options = { signal: stop.signal, onProgress: () => stop.abort() };
    await expect(db.backup(folder, options)).rejects.toThrow(AbortedError);
    await expect(open(folder)).rejects.toThrow(BackupIncompleteError);
    await expect(open(folder, { readOnly: true })).rejects.toThrow(BackupIncompleteError);
    const other = await open(join(await newFolder(), 'other'));
    await fill(other, 'b');
    await expect(other.backup(folder)).rejects.toThrow(/another database/);
    await db.backup(folder);
    await expectFilled(await open(folder, { readOnly: true }), 'a');
  });

  test('stays the earlier backup where a later one is given up', async () => {
    const db = await open(join(await newFolder(), 'db'));
    await fill(db, 'a');
    const folder = join(await newFolder(), 'backup');
    await db.backup(folder);
    await fill(db, 'b');
    const stop = new AbortController();
    await expect(db.backup(folder, { signal: stop.signal, onProgress: () => stop.abort() })).rejects.toThrow(
      AbortedError,
    );
    const copy = await open(folder, { readOnly: true });
    await expectFilled(copy, 'a');
    await copy.close();
    await db.backup(folder);
    await expectFilled(await open(folder, { readOnly: true }), 'b');
  });

  test('can be filled by who only reads, where everything is in the trees', async () => {
    const place = join(await newFolder(), 'db');
    const db = await open(place);
    await fill(db, 'a');
    await db.checkpoint();
    await db.close();
    const reader = await open(place, { readOnly: true });
    const folder = join(await newFolder(), 'backup');
    await reader.backup(folder);
    await expectFilled(await open(folder, { readOnly: true }), 'a');
    await reader.close();
    const writer = await open(place);
    await writer.write((tx) => tx.store(items).put(1, 'new'));
    await writer.close();
    await expect((await open(place, { readOnly: true })).backup(folder)).rejects.toThrow(ReadOnlyError);
  });

  test('holds the files it needs though the source is changed, compacted and closed meanwhile', async () => {
    const db = await open(join(await newFolder(), 'db'));
    await fill(db, 'a');
    const folder = join(await newFolder(), 'backup');
    let disturbed: Promise<unknown> | undefined;
    const done = db.backup(folder, {
      onProgress: () => {
        disturbed ??= fill(db, 'b').then(() => db.compact());
      },
    });
    expect(db.stats().backups).toEqual({ count: 0, running: 1, bytesCopied: 0 });
    const { number, bytesCopied } = await done;
    expect(db.stats().backups).toEqual({ count: 1, running: 0, bytesCopied });
    await disturbed;
    const copy = await open(folder, { readOnly: true });
    expect(copy.stats().number).toBe(number);
    await expectFilled(copy, 'a');
    expect((await readFile(join(folder, 'sop.json'), 'utf8')).length).toBeGreaterThan(10);
  });
});
