/** compact, drop, rename from the command line. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, defineStore } from '../../src/index.ts';
import { sop } from '../helpers/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'sop-cli-upkeep-'));
const data = join(folder, 'data');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const people = defineStore<number, string>('people');
const old = defineStore<number, string>('old');

beforeAll(async () => {
  await using db = await Database.open(data);
  for (let round = 0; round < 4; round++) {
    await db.write((tx) => {
      for (let i = 0; i < 2000; i++) tx.store(people).put(i, `${round} ${'x'.repeat(200)}`);
    });
    await db.checkpoint();
  }
  await db.write((tx) => tx.store(old).put(1, 'a'));
});

describe('upkeep', () => {
  test('compact gives figures before and after, and keeps everything', async () => {
    const { code, out } = await sop(['compact', data, '--json']);
    expect(code).toBe(0);
    const { before, after } = JSON.parse(out);
    expect(after.sizeBytes.segments).toBeLessThan(before.sizeBytes.segments);
    expect(await sop(['compact', data])).toMatchObject({ code: 0, out: expect.stringMatching(/files .* -> /) });
    expect((await sop(['count', data, 'people'])).out).toBe('2000\n');
  });

  test('compact stops when interrupted, and the database is whole', async () => {
    const interrupt = AbortSignal.abort();
    expect((await sop(['compact', data], { signal: interrupt })).code).toBe(130);
    expect((await sop(['verify', data])).code).toBe(0);
  });

  test('rename moves a store, and refuses a name that is taken', async () => {
    expect((await sop(['rename', data, 'old', 'older'])).code).toBe(0);
    expect((await sop(['get', data, 'older', '1'])).out).toBe('"a"\n');
    expect(await sop(['rename', data, 'older', 'people'])).toMatchObject({
      code: 5,
      err: expect.stringMatching(/STORE_EXISTS/),
    });
    expect((await sop(['rename', data, 'nothing', 'x'])).code).toBe(3);
  });

  test('drop needs --yes where nobody can be asked, and drops nothing of a list with a wrong name', async () => {
    expect(await sop(['drop', data, 'older'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/drops store 'older' with 1 entry.*--yes/),
    });
    expect((await sop(['drop', data, 'older', 'nothing', '--yes'])).code).toBe(3);
    expect((await sop(['count', data, 'older'])).out).toBe('1\n');
    const { code, out } = await sop(['drop', data, 'older', '--yes', '--json']);
    expect([code, JSON.parse(out)]).toEqual([0, { dropped: ['older'], entries: 1 }]);
    expect((await sop(['count', data, 'older'])).code).toBe(3);
  });
});
