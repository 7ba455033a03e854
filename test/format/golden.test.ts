/** Folders that earlier versions of the format wrote open here, byte for byte: in place for reading, and as a copy for writing. */
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Database, defineStore, FormatUnsupportedError } from '../../src/index.ts';
import { decideFeatures, expectFeatures } from './golden-features.ts';
import { anything, bytes, FILES, files, PEOPLE, people, person, personKey, REMOVED, THINGS } from './golden-content.ts';

const golden = join(import.meta.dirname, 'golden');
const scratch = defineStore<string, number>('scratch');

async function expectPlain(db: Database): Promise<void> {
  await db.read(async (tx) => {
    const store = tx.store(people);
    expect(await store.count()).toBe(PEOPLE + 20 - REMOVED);
    for (let i = 0; i < PEOPLE + 20; i++) {
      const entry = await store.getEntry(personKey(i));
      if (i < REMOVED) expect(entry).toBeUndefined();
      else expect([entry?.key, entry?.value]).toEqual([personKey(i), person(i)]);
    }
    for (const [key, value] of THINGS) expect(await tx.store(anything).get(key)).toEqual(value);
    for (const length of FILES) expect(await tx.store(files).get(`file-${length}`)).toEqual(bytes(length));
  });
  expect((await db.stores()).map((store) => store.name)).toEqual(['anything', 'files', 'people']);
  expect((await db.verify()).problems).toEqual([]);
}

const CONTENT: Readonly<Record<string, (db: Database) => Promise<void>>> = {
  v1: expectPlain,
  'v1-features': expectFeatures,
};

function fingerprint(folder: string): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    hash.update(name);
    try {
      hash.update(readFileSync(join(folder, name)));
    } catch {
      hash.update('a folder');
    }
  }
  return hash.digest('hex');
}

function inCopy(version: string, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'sop-golden-'));
  cpSync(join(golden, version), folder, { recursive: true });
  return work(folder).finally(() => rmSync(folder, { recursive: true }));
}

describe.each(readdirSync(golden))('a folder of format %s', (version) => {
  const expectContent = CONTENT[version] as (db: Database) => Promise<void>;

  test('is read in place, and not a byte of it changes', async () => {
    const before = fingerprint(join(golden, version));
    const db = await Database.open(join(golden, version), { readOnly: true });
    await expectContent(db);
    await db.close();
    expect(fingerprint(join(golden, version))).toBe(before);
  });

  test('is opened for writing, goes on, and keeps what it had', () =>
    inCopy(version, async (folder) => {
      const db = await Database.open(folder);
      await expectContent(db);
      await db.write((tx) => tx.store(scratch).put('new', 1));
      await db.compact();
      await db.drop('scratch');
      await db.close();
      const again = await Database.open(folder);
      await expectContent(again);
      if (version === 'v1-features') await decideFeatures(again);
      await again.close();
    }));

  test.each([
    { format: 2, features: [] },
    { format: 1, features: ['streams'] },
  ])('is refused untouched where it says %o', (change) =>
    inCopy(version, async (folder) => {
      const path = join(folder, 'sop.json');
      writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }));
      const before = fingerprint(folder);
      await expect(Database.open(folder)).rejects.toBeInstanceOf(FormatUnsupportedError);
      await expect(Database.open(folder, { readOnly: true })).rejects.toBeInstanceOf(FormatUnsupportedError);
      expect(fingerprint(folder)).toBe(before);
    }),
  );
});
