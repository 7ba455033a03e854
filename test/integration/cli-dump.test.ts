/** sop dump: what it draws of a sound database, beside a live writer, and of damaged files. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, defineStore } from '../../src/index.ts';
import { sop } from '../helpers/cli.ts';
import { chooseSeed } from '../helpers/scale.ts';

const folder = mkdtempSync(join(tmpdir(), 'sop-cli-dump-'));
const data = join(folder, 'data');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cities = defineStore<{ country: string; size: number }, unknown>('cities', {
  key: ['country', { field: 'size', order: 'desc' }],
});
const notes = defineStore<string, unknown>('notes');
const pages = defineStore<number, unknown>('pages', { values: 'separate' });

beforeAll(async () => {
  await using db = await Database.open(data);
  await db.write((tx) => {
    for (let i = 0; i < 3000; i++) tx.store(cities).put({ country: i % 2 === 0 ? 'DE' : 'FR', size: i }, { at: i / 7 });
    for (let i = 0; i < 5; i++) tx.store(pages).put(i, 'x'.repeat(4000));
  });
  await db.checkpoint();
  await db.write((tx) => tx.store(notes).put('a', { first: true }));
  await db.write((tx) => tx.store(notes).put('a', { second: '\u001b[31m\u009b' }));
});

async function dump(...args: string[]): Promise<string> {
  const { code, out, err } = await sop(['dump', data, ...args]);
  expect([code, err], args.join(' ')).toEqual([0, '']);
  return out;
}

describe('of a sound database', () => {
  test('root names the trees', async () => {
    expect(await dump('root')).toMatch(/cities +3,000 +2 .* ok/);
    expect(await dump('tree', 'cities')).toMatch(/0 +leaves +\d+ .* ok/);
    const rows = (await dump('root', '--json'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows).toContainEqual(expect.objectContaining({ name: 'cities', entries: 3000, checksum: 'ok' }));
  });

  test('node goes down to a key; a leaf can be named by its place', async () => {
    const out = await dump('node', 'cities', '--key', 'country=DE', '--key', 'size=2', '--limit', '500');
    expect(out).toMatch(/inner image, level 1[\s\S]*leaf at[\s\S]*country="DE" size=2 /);
    const place = /leaf at (\S+)/.exec(out)?.[1] as string;
    expect(await dump('node', place)).toMatch(/store +64 cities/);
    expect(await dump('node', 'cities')).toMatch(/children[\s\S]*country="FR"/);
    expect(await dump('node', 'notes')).toMatch(/no tree yet/);
    expect(await dump('node', 'catalog')).toMatch(/"cities" .* id 64, key country, size desc, inline/);
  });

  test('log, batch and table show changes, and nothing that a terminal would obey', async () => {
    const epoch = String(
      (JSON.parse((await dump('log', '--json')).split('\n')[0] as string) as { epoch: number }).epoch,
    );
    expect(await dump('log')).toMatch(/\.\.5 .* ok/);
    expect(await dump('log', epoch)).toMatch(/offset +numbers[\s\S]* ok/);
    const batch = await dump('batch', '5');
    expect(batch).toMatch(/notes +put +"a" +\{"second":"\\u001b\[31m\\u009b"\}/);
    expect(await dump('log', `${epoch}:5`)).toBe(batch);
    expect(await dump('table')).toMatch(/notes +2 +0 +0/);
    expect(await dump('table', 'notes')).toMatch(/ 5 +put +"a".*\n.*└ +4 +put +"a" +\{"first":true\}/);
    for (const out of [batch, await dump('table', 'notes')]) expect(out).not.toMatch(/[^\P{Cc}\n]/u);
  });

  test('segments and single files', async () => {
    expect(await dump('segments')).toMatch(/images .* ok[\s\S]*values .* ok/);
    expect(await dump('file', 'sop.json')).toMatch(/"sop": "database"/);
    expect(await dump('file', 'lock')).toMatch(/\(empty\)/);
    for (const name of readdirSync(join(data, 'data'))) expect(await dump('file', name)).toMatch(/ 0 BAD/);
    for (const name of readdirSync(join(data, 'log')))
      expect(await dump('file', join(data, 'log', name))).toMatch(/batches/);
  });

  test('it works beside a writer, and touches nothing', async () => {
    await using db = await Database.open(data);
    await db.write((tx) => tx.store(notes).put('b', 1));
    const before = filesOf(data).map((file) => [file, statSync(file).mtimeMs, statSync(file).size]);
    for (const args of SUBJECTS.filter(([what]) => what !== 'batch')) await dump(...args);
    expect(filesOf(data).map((file) => [file, statSync(file).mtimeMs, statSync(file).size])).toEqual(before);
    expect(await dump('table', 'notes')).toMatch(/"b"/);
  });

  test('prepared transactions, increments, items, pins and definitions are said in words', async () => {
    const golden = join(import.meta.dirname, '..', 'format', 'golden', 'v1-features');
    const copy = join(folder, 'features');
    cpSync(golden, copy, { recursive: true });
    const dumped = async (...args: string[]) => (await sop(['dump', copy, ...args])).out;
    expect(await dumped('batch', '9')).toMatch(/ prepare .*snapshot 8, read[\s\S]*put +"second" #own number\.0/);
    expect(await dumped('batch', '8')).toMatch(/hits +increment +"page" {2}\+2/);
    expect(await dumped('node', 'catalog')).toMatch(/"people" .* index byCity \(65\)[\s\S]*equal keys/);
    expect(await dumped('node', 'pins')).toMatch(/"then" .*pinned 2026-11-22T.*root covers 2/);
    expect(await dumped('node', 'prepared')).toMatch(/prepared as number \d+, \d+ bytes/);
  });

  test('what is not understood is named', async () => {
    expect((await sop(['dump', data])).err).toMatch(/root, log, batch/);
    expect((await sop(['dump', data, 'batch', 'x'])).err).toMatch(/no number/);
    expect((await sop(['dump', data, 'batch', '999999'])).err).toMatch(/no batch in the log/);
    expect((await sop(['dump', data, 'tree', 'nothing'])).err).toMatch(/no store 'nothing'/);
    expect((await sop(['dump', join(folder, 'nowhere'), 'root'])).code).toBe(3);
  });
});

const SUBJECTS = [
  ['root'],
  ['log'],
  ['batch', '5'],
  ['node', 'cities'],
  ['tree', 'cities'],
  ['table'],
  ['table', 'notes'],
  ['segments'],
];

function filesOf(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe('of a damaged database', () => {
  test('a damaged leaf is named, and all others are drawn', async () => {
    const copy = join(folder, 'leaf');
    cpSync(data, copy, { recursive: true });
    const out = (await sop(['dump', copy, 'node', 'cities', '--key', 'country=DE', '--key', 'size=2'])).out;
    const [, segment, offset] = /leaf at ([0-9a-f]+-\d+):(\d+)/.exec(out) as unknown as [string, string, string];
    const file = join(copy, 'data', `${segment}.seg`);
    const bytes = readFileSync(file);
    bytes[Number(offset) + 100] = (bytes[Number(offset) + 100] as number) ^ 1;
    writeFileSync(file, bytes);
    expect((await sop(['dump', copy, 'tree', 'cities'])).out).toMatch(/1 BAD[\s\S]*damage[\s\S]*checksum differs/);
    expect((await sop(['dump', copy, 'file', `${segment}.seg`, '-n', '1000'])).out).toMatch(
      / 1 BAD[\s\S]*leaf[\s\S]*BAD[\s\S]*leaf/,
    );
  });

  test('whatever bytes are wrong, it draws what it can and never breaks', async () => {
    const seed = chooseSeed();
    console.log(`SOP_SEED=${seed}`);
    let state = seed;
    const chance = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    for (let round = 0; round < 6; round++) {
      const copy = join(folder, `damage-${round}`);
      cpSync(data, copy, { recursive: true });
      const files = filesOf(copy);
      for (let i = 0; i < 3; i++) {
        const file = files[chance(files.length)] as string;
        const bytes = readFileSync(file);
        if (bytes.length === 0) continue;
        const at = chance(Math.min(bytes.length, 200_000));
        bytes.fill(chance(256), at, Math.min(bytes.length, at + 1 + chance(64)));
        writeFileSync(file, chance(8) === 0 ? bytes.subarray(0, at) : bytes);
      }
      for (const args of [...SUBJECTS, ...files.map((file) => ['file', file])]) {
        const { err } = await sop(['dump', copy, ...args]);
        expect(err, `SOP_SEED=${seed} round ${round}: ${args.join(' ')}`).not.toMatch(
          /UNEXPECTED|TypeError|RangeError|ERR_/,
        );
      }
      rmSync(copy, { recursive: true });
    }
  });
});
