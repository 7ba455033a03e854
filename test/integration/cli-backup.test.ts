/** backup, pin, pins, unpin and --at from the command line. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, defineStore } from '../../src/index.ts';
import { sop } from '../helpers/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'sop-cli-backup-'));
const data = join(folder, 'data');
const copy = join(folder, 'copy');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const people = defineStore<string, string>('people');

beforeAll(async () => {
  await using db = await Database.open(data);
  await db.write((tx) => tx.store(people).put('ada', 'then'));
});

describe('pins from the command line', () => {
  test('are made, listed, read and given up', async () => {
    expect((await sop(['pin', data, 'first'])).code).toBe(0);
    await sop(['put', data, 'people', 'ada', 'now']);
    await sop(['put', data, 'people', 'bob', 'now']);
    expect((await sop(['get', data, 'people', 'ada', '--at', 'first'])).out).toBe('"then"\n');
    expect((await sop(['get', data, 'people', 'ada'])).out).toBe('"now"\n');
    expect((await sop(['count', data, 'people', '--at', 'first'])).out).toBe('1\n');
    expect((await sop(['scan', data, 'people', '--at', 'first'])).out).toBe('"ada"\t"then"\n');
    expect((await sop(['stores', data, '--at', 'first', '--json'])).out).toContain('"count":1');
    expect((await sop(['pins', data])).out).toMatch(/first/);
    expect(JSON.parse((await sop(['pins', data, '--json'])).out)).toMatchObject({ name: 'first' });
    expect((await sop(['get', data, 'people', 'ada', '--at', 'second'])).err).toMatch(/no pin 'second'/);
    expect((await sop(['pin', data, 'first'])).err).toMatch(/already/);
    expect((await sop(['unpin', data, 'first'])).code).toBe(0);
    expect((await sop(['pins', data])).err).toMatch(/no pins/);
  });
});

describe('backup from the command line', () => {
  test('makes a database, and takes only what is new the next time', async () => {
    expect((await sop(['backup', data, copy])).code).toBe(0);
    expect((await sop(['get', copy, 'people', 'ada'])).out).toBe('"now"\n');
    const { out } = await sop(['backup', data, copy, '--json']);
    expect(JSON.parse(out)).toMatchObject({ bytesCopied: 0 });
    expect((await sop(['verify', copy])).code).toBe(0);
  });

  test('is refused by name where something else is, and not left half done when interrupted', async () => {
    expect((await sop(['backup', data, folder])).err).toMatch(/is not empty/);
    const unfinished = join(folder, 'unfinished');
    expect((await sop(['backup', data, unfinished], { signal: AbortSignal.abort() })).code).toBe(130);
    expect((await sop(['backup', data, unfinished])).code).toBe(0);
  });
});
