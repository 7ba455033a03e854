/** salvage from the command line: real folders, damaged in a leaf, in a value and in the log. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, defineStore } from '../../src/index.ts';
import { FIRST_USER_STORE_ID } from '../../src/base/limits.ts';
import { itemsIn } from '../corruption/forge.ts';
import { sop } from '../helpers/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'sop-cli-salvage-'));
const sound = join(folder, 'sound');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const people = defineStore<number, string>('people');
const photos = defineStore<string, Uint8Array>('photos', { values: 'separate' });
const PEOPLE = 3000;
const LATE = 20;

beforeAll(async () => {
  const working = join(folder, 'working');
  await using db = await Database.open(working);
  await db.write((tx) => {
    for (let i = 0; i < PEOPLE; i++) tx.store(people).put(i, `person ${i} ${'x'.repeat(60)}`);
  });
  await db.write((tx) => {
    for (const name of ['a', 'b', 'c']) tx.store(photos).put(name, new Uint8Array(30_000).fill(name.charCodeAt(0)));
  });
  await db.checkpoint();
  for (let i = 0; i < LATE; i++) await db.write((tx) => tx.store(people).put(PEOPLE + i, `late ${i}`));
  // As a crash leaves it: the late ones are in the log alone.
  cpSync(working, sound, { recursive: true });
});

let made = 0;
const newPath = (): string => join(folder, `path-${made++}`);

/** Every file of a folder with its bytes. */
function bytesIn(path: string): Map<string, Buffer> {
  const all = new Map<string, Buffer>();
  for (const name of readdirSync(path, { recursive: true }) as string[]) {
    if (statSync(join(path, name)).isFile()) all.set(name, readFileSync(join(path, name)));
  }
  return all;
}

/** A copy with one byte changed; answers where it is. */
function damagedCopy(find: (name: string, bytes: Buffer) => number | undefined): { path: string; name: string } {
  const path = newPath();
  cpSync(sound, path, { recursive: true });
  for (const [name, bytes] of bytesIn(path)) {
    const at = find(name, bytes);
    if (at === undefined) continue;
    bytes[at] = (bytes[at] as number) ^ 0x40;
    writeFileSync(join(path, name), bytes);
    return { path, name };
  }
  throw new Error('nothing to damage');
}

/** In the middle of the second leaf of `people`. */
function inLeaf(name: string, bytes: Buffer): number | undefined {
  if (!name.startsWith('data')) return undefined;
  const leaves = itemsIn(bytes).filter(
    ({ at, isImage }) => isImage && bytes[at + 3] === 0 && bytes.readUInt32LE(at + 16) === FIRST_USER_STORE_ID,
  );
  const second = leaves[1];
  return second && second.at + (second.length >>> 1);
}

function inPhotoB(name: string, bytes: Buffer): number | undefined {
  const at = name.startsWith('data') ? bytes.indexOf('b'.repeat(1000)) : -1;
  return at === -1 ? undefined : at;
}

/** In the tenth of the commits that only the log has. */
function inLog(name: string, bytes: Buffer): number | undefined {
  const at = name.startsWith('log') ? bytes.indexOf('late 9') : -1;
  return at === -1 ? undefined : at;
}

async function mustBeSound(path: string): Promise<void> {
  expect(await sop(['verify', path])).toMatchObject({ code: 0 });
  await using db = await Database.open(path);
  await db.write((tx) => tx.store(people).put(-1, 'goes on'));
  expect(await db.read((tx) => tx.store(people).get(-1))).toBe('goes on');
}

interface Report {
  readonly entries: number;
  readonly transactions: number;
  readonly rootNumber: number;
  readonly olderRoot: boolean;
  readonly lost: readonly Record<string, unknown>[];
}

async function reportOf(from: string, to: string, code: number): Promise<Report> {
  const before = bytesIn(from);
  const answer = await sop(['salvage', from, to, '--json']);
  expect([answer.code, answer.err]).toEqual([code, '']);
  expect(bytesIn(from), 'the damaged folder').toEqual(before);
  expect(answer.out.trimEnd().split('\n').length).toBe(1);
  await mustBeSound(to);
  return JSON.parse(answer.out) as Report;
}

describe('sop salvage', () => {
  test('of a sound database brings all along, says so and exits with 0', async () => {
    const to = newPath();
    const before = bytesIn(sound);
    const { code, out, err } = await sop(['salvage', sound, to]);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^3,?\d{3} entries of trees and 20 transactions of the log are in .* nothing is lost\n$/);
    expect(bytesIn(sound)).toEqual(before);
    expect((await sop(['count', to, 'people'])).out).toBe(`${PEOPLE + LATE}\n`);
    await mustBeSound(to);
    const report = await reportOf(sound, newPath(), 0);
    expect(report).toMatchObject({ transactions: LATE, olderRoot: false, lost: [] });
    expect(report.entries).toBeGreaterThanOrEqual(PEOPLE + 3);
  });

  test('names file, offset, store and keys of a leaf that is lost, and exits with 4', async () => {
    const { path, name } = damagedCopy(inLeaf);
    expect((await sop(['verify', path])).code).toBe(4);
    const to = newPath();
    const { lost, transactions } = await reportOf(path, to, 4);
    expect(transactions).toBe(LATE);
    expect(lost.length).toBe(1);
    const [loss] = lost as [Record<string, unknown>];
    expect(loss).toMatchObject({ file: join(path, name), store: FIRST_USER_STORE_ID, name: 'people' });
    expect(loss.offset).toBeGreaterThan(0);
    expect(loss.offset).toBeLessThan(statSync(join(path, name)).size);
    const [lower, upper] = [Number(loss.lower), Number(loss.upper)];
    expect(lower).toBeGreaterThan(0);
    expect(upper - lower).toBe(loss.entries);
    await using db = await Database.open(to, { readOnly: true });
    const keys = await db.read((tx) => tx.store(people).range({ gte: 0 }).toArray());
    const expected = Array.from({ length: PEOPLE + LATE }, (_, i) => i).filter((i) => i < lower || i >= upper);
    expect(keys.map(({ key }) => key)).toEqual(expected);
    expect((await db.read((tx) => tx.store(photos).get('b')))?.length).toBe(30_000);
  });

  test('says it in words too', async () => {
    const { path, name } = damagedCopy(inLeaf);
    const { code, out } = await sop(['salvage', path, newPath()]);
    expect(code).toBe(4);
    const [loss, verdict] = out.split('\n') as [string, string];
    expect(loss).toMatch(
      /^lost: a leaf: .* at offset \d+: checksum differs; store 'people'; [\d,]+ entries; keys from \d+ to \d+$/,
    );
    expect(loss).toContain(join(path, name));
    expect(verdict).toMatch(/; 1 piece is lost$/);
  });

  test('names the key of a long value that is lost, that key alone', async () => {
    const { path, name } = damagedCopy(inPhotoB);
    const to = newPath();
    const { lost } = await reportOf(path, to, 4);
    expect(lost).toMatchObject([{ file: join(path, name), name: 'photos', entries: 1, key: '"b"' }]);
    expect(Object.keys(lost[0] as object)).not.toContain('lower');
    expect((await sop(['count', to, 'photos'])).out).toBe('2\n');
    const { out } = await sop(['salvage', path, newPath()]);
    expect(out).toMatch(/^lost: .*; store 'photos'; 1 entry; key "b"$/m);
  });

  test('passes over a damaged batch of the log and names file, offset and the numbers that are gone', async () => {
    const { path, name } = damagedCopy(inLog);
    const to = newPath();
    const { lost, transactions } = await reportOf(path, to, 4);
    expect(transactions).toBe(LATE - 1);
    expect(lost).toMatchObject([
      { what: expect.stringMatching(/bytes of the log/), file: join(path, name), offset: expect.any(Number) },
      { what: expect.stringMatching(/^transactions? \d+/) },
    ]);
    expect((await sop(['get', to, 'people', String(PEOPLE + 9)])).code).not.toBe(0);
    expect((await sop(['get', to, 'people', String(PEOPLE + 10)])).out).toBe('"late 10"\n');
    expect((await sop(['count', to, 'people'])).out).toBe(`${PEOPLE + LATE}\n`);
  });

  test('refuses a new folder that holds a database or anything else, and touches neither', async () => {
    const taken = newPath();
    expect((await sop(['salvage', sound, taken])).code).toBe(0);
    const filled = newPath();
    mkdirSync(filled);
    writeFileSync(join(filled, 'letter.txt'), 'dear');
    for (const to of [taken, filled, sound]) {
      const before = [bytesIn(sound), bytesIn(to)];
      const answer = await sop(['salvage', sound, to]);
      expect([answer.code, answer.out]).toEqual([5, '']);
      expect(answer.err).toMatch(/salvage writes into a new folder \(INVALID_ARGUMENT\)/);
      expect([bytesIn(sound), bytesIn(to)]).toEqual(before);
    }
    const json = await sop(['salvage', sound, filled, '--json']);
    expect(JSON.parse(json.err)).toMatchObject({ error: { code: 'INVALID_ARGUMENT' } });
  });

  test('refuses its own damaged folder as the new one, though nothing says any more that it is a database', async () => {
    const path = newPath();
    cpSync(sound, path, { recursive: true });
    rmSync(join(path, 'sop.json'));
    const before = bytesIn(path);
    expect((await sop(['salvage', path, path])).code).toBe(5);
    expect(bytesIn(path)).toEqual(before);
    const { lost } = await reportOf(path, newPath(), 4);
    expect(lost).toMatchObject([{ file: join(path, 'sop.json') }]);
  });

  test('builds indexes of a store anew that has lost entries, and says so', async () => {
    const path = newPath();
    const indexed = defineStore<number, { readonly city: string }>('indexed', { indexes: { byCity: ['city'] } });
    await using db = await Database.open(path);
    await db.write((tx) => {
      for (let i = 0; i < 2000; i++) tx.store(indexed).put(i, { city: `city ${i}` });
    });
    await db.checkpoint();
    await db.close();
    for (const [name, bytes] of bytesIn(path)) {
      const at = inLeaf(name, bytes);
      if (at === undefined) continue;
      bytes[at] = (bytes[at] as number) ^ 0x40;
      writeFileSync(join(path, name), bytes);
    }
    const to = newPath();
    const { code, out } = await sop(['salvage', path, to]);
    expect(code).toBe(4);
    expect(out).toContain("index 'byCity' of 'indexed': built anew\n");
    expect((await sop(['verify', to])).code).toBe(0);
  });

  test('refuses a folder that is open for writing', async () => {
    const path = newPath();
    await using db = await Database.open(path);
    await db.write((tx) => tx.store(people).put(1, 'x'));
    const answer = await sop(['salvage', path, newPath()]);
    expect(answer.code).not.toBe(0);
    expect(answer.err).toContain('DATABASE_LOCKED');
  });

  test('takes an empty folder, needs both folders, and makes none where there is no database', async () => {
    const empty = newPath();
    mkdirSync(empty);
    expect((await sop(['salvage', sound, empty])).code).toBe(0);
    expect((await sop(['salvage', sound])).code).toBe(2);
    const nowhere = newPath();
    const answer = await sop(['salvage', join(folder, 'nothing'), nowhere]);
    expect([answer.code, answer.out]).toEqual([3, '']);
    expect(answer.err).toContain('DATABASE_NOT_FOUND');
    expect(readdirSync(folder)).not.toContain(nowhere.slice(folder.length + 1));
  });
});
