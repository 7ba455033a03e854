/** The command line and what others wrote: escapes in names, files that define stores anew, fields with odd names. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, describe, expect, test } from 'vitest';
import { Output } from '../../src/cli/output.ts';
import { Database, defineStore } from '../../src/index.ts';
import { sop } from '../helpers/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'sop-cli-hostile-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let made = 0;
function newFile(text: string, name: string): string {
  const file = join(folder, `${made++}-${name}`);
  writeFileSync(file, text);
  return file;
}

function collecting(isTTY: boolean): { readonly text: () => string; readonly stream: Writable & { isTTY: boolean } } {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  return { text: () => text, stream: Object.assign(stream, { isTTY }) };
}

describe('what a terminal would obey', () => {
  const evil = 'a\x1b]0;owned\x07\x9b2Jb\rc\td\x7f';

  test.each([true, false])('is written as letters, for people only (terminal: %s)', async (isTTY) => {
    const [stdout, stderr] = [collecting(isTTY), collecting(isTTY)];
    const out = new Output({ stdout: stdout.stream, stderr: stderr.stream }, { json: false, colours: true });
    await out.line(`${out.bold('name')} ${evil}`);
    await out.flush();
    out.note(evil);
    const shown = 'a\\u001b]0;owned\\u0007\\u009b2Jb\\u000dc\td\\u007f';
    expect(stdout.text()).toBe(`\x1b[1mname\x1b[22m ${isTTY ? shown : evil}\n`);
    expect(stderr.text()).toBe(`${isTTY ? shown : evil}\n`);
  });
});

describe('importing into a store that a program uses', () => {
  interface User {
    readonly email: string;
  }
  const users = defineStore<number, User>('users', {
    indexes: { byEmail: { fields: ['email'], unique: true } },
  });

  const filled = async (): Promise<string> => {
    const data = join(folder, `db-${made++}`);
    await using db = await Database.open(data);
    await db.write((tx) => tx.store(users).put(1, { email: 'a@b' }));
    return data;
  };
  const indexesIn = async (data: string): Promise<string[]> => {
    await using db = await Database.open(data, { readOnly: true });
    return (await db.indexes('users')).map(({ name, state }) => `${name} ${state}`);
  };

  test('leaves its indexes there, and they hold for what comes in', async () => {
    const data = await filled();
    const other = await filled();
    const file = join(folder, 'users.ndjson');
    expect((await sop(['export', other, 'users', '--out', file])).code).toBe(0);
    expect((await sop(['import', data, file])).code).toBe(0);
    expect(await indexesIn(data)).toEqual(['byEmail ready']);
    const twice = newFile('{"sop":1,"store":{"name":"users"}}\n{"key":2,"value":{"email":"a@b"}}\n', 'twice.ndjson');
    const refused = await sop(['import', data, twice]);
    expect(refused.code).not.toBe(0);
    expect(refused.err).toContain('byEmail');
  });

  test('also where options or a CSV file say what its key is', async () => {
    const data = join(folder, `db-${made++}`);
    const cities = defineStore<{ country: string; name: string }, { size: number }>('cities', {
      key: ['country', 'name'],
      indexes: { bySize: ['size'] },
    });
    {
      await using db = await Database.open(data);
      await db.write((tx) => tx.store(cities).put({ country: 'de', name: 'Bonn' }, { size: 3 }));
    }
    const file = newFile('\ufeffcountry,name,size\r\nde,Ulm,1\nfr,"Ly\0on",2\r\n', 'cities.csv');
    expect((await sop(['import', data, file, '--store', 'cities', '--key', 'country,name'])).code).toBe(0);
    await using db = await Database.open(data);
    await db.read(async (tx) => {
      const sizes = await tx.store(cities).index('bySize').range({ keysOnly: true }).toArray();
      expect(sizes.map(({ key }) => key.name)).toEqual(['Ulm', 'Ly\0on', 'Bonn']);
    });
    expect((await db.verify()).problems).toEqual([]);
  });
});

test('fields named as what objects inherit are fields like others', async () => {
  const data = join(folder, `db-${made++}`);
  const lines = '{"__proto__": 7, "constructor": "c", "toString": {"__proto__": {"x": 1}}}\n';
  const byFields = ['--store', 's', '--key', '__proto__,constructor'];
  expect((await sop(['import', data, newFile(lines, 'odd.ndjson'), ...byFields])).code).toBe(0);
  const missing = await sop(['import', data, newFile('{"__proto__": 8}\n', 'less.ndjson'), ...byFields]);
  expect(missing.err).toContain("'constructor' is missing");
  const { out } = await sop(['scan', data, 's']);
  expect(out).toContain('"__proto__":7');
  expect(({} as { x?: unknown }).x).toBeUndefined();
});
