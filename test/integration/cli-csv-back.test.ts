/**
 * What `sop export` suggests for reading its CSV back brings everything back, or says what not. It left out that a store keeps equal
 * keys (all but the last were lost), that values are bytes or counters, and gave commands that failed.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Database, defineStore } from '../../src/index.ts';
import { sop } from '../helpers/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'sop-cli-back-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let made = 0;
const path = (name: string) => join(folder, `${made++}-${name}`);
const newDatabase = () => path('db');

function splitAsShell(command: string): string[] {
  return execFileSync('sh', ['-c', `printf '%s\\0' ${command}`], { encoding: 'utf8' })
    .split('\0')
    .slice(0, -1);
}

describe.skipIf(process.platform === 'win32')('the command that an export suggests', () => {
  /** Exports a store as CSV and runs what is suggested, as a shell would; answers both sides, and what was said. */
  async function thereAndBack(
    fill: (db: Database) => Promise<void>,
    name: string,
  ): Promise<{ before: unknown; after: unknown; err: string }> {
    const from = newDatabase();
    {
      await using db = await Database.open(from);
      await fill(db);
    }
    const file = path('items.csv');
    const { err } = await sop(['export', from, name, '--out', file]);
    const command = /sop import <folder> <file> (.*)/.exec(err)?.[1] as string;
    const to = newDatabase();
    expect(await sop(['import', to, file, ...splitAsShell(command)])).toMatchObject({ code: 0 });
    return { before: await everythingIn(from, name), after: await everythingIn(to, name), err };
  }

  async function everythingIn(folder: string, name: string): Promise<unknown> {
    await using db = await Database.open(folder, { readOnly: true });
    return await db.read(async (tx) => {
      const { entries: _, id: __, ...info } = (await db.describe(name)) as unknown as Record<string, unknown>;
      const found: unknown[] = [];
      const range = info.unique === true ? tx.store(name).range() : tx.bag(name).range();
      for await (const { key, value } of range) found.push([key, value]);
      return {
        unique: info.unique,
        raw: info.raw,
        counter: info.counter,
        counters: info.counters,
        values: info.values,
        key: info.key,
        found,
      };
    });
  }

  type Row = readonly [key: unknown, value: unknown];
  const shapes: Record<string, { readonly shape: object; readonly rows: readonly Row[] }> = {
    'equal keys': {
      shape: { unique: false },
      rows: [
        ['k', { n: 1 }],
        ['k', { n: 2 }],
        ['l', { n: 3 }],
      ],
    },
    bytes: { shape: { raw: true }, rows: [['a', new Uint8Array([0, 255])]] },
    counters: { shape: { counter: true }, rows: [['a', 5]] },
    'descending keys': {
      shape: { key: { order: 'desc' } },
      rows: [
        [1, 'a'],
        [2, 'b'],
      ],
    },
    'separate values': { shape: { values: 'separate' }, rows: [[1, { a: 1 }]] },
    'a field named value beside plain values': {
      shape: {},
      rows: [
        [1, { value: 1, other: 2 }],
        [2, 'plain'],
        [3, undefined],
      ],
    },
    'records of a field named value': { shape: {}, rows: [[1, { value: 1 }]] },
    'a key null and an empty record': { shape: {}, rows: [[null, {}]] },
    'names with blanks, commas and colons': { shape: {}, rows: [[1, { ' a': 1, 'b,c': 2, 'd:e': new Date(5) }]] },
    'key fields with commas': { shape: { key: ['a,b'] }, rows: [[{ 'a,b': 1 }, { n: 1 }]] },
  };
  for (const [what, { shape, rows }] of Object.entries(shapes)) {
    test(`brings everything back: ${what}`, async () => {
      const fill = async (db: Database): Promise<void> => {
        const store = defineStore('items', shape as never) as never;
        await db.write((tx) => {
          for (const [key, value] of rows) {
            const into = tx.store(store) as unknown as {
              add?(k: unknown, v: unknown): void;
              put(k: unknown, v: unknown): void;
            };
            if ('unique' in shape) into.add?.(key, value);
            else into.put(key, value);
          }
        });
      };
      const { before, after } = await thereAndBack(fill, 'items');
      expect(after).toEqual(before);
    });
  }

  test('says what does not come back as it was', async () => {
    const fill = async (db: Database): Promise<void> => {
      const store = defineStore<{ id: number }, { id: number; n: number }>('items', {
        key: ['id'],
        indexes: { byN: ['n'] },
      });
      await db.write((tx) => tx.store(store).put({ id: 1 }, { id: 2, n: 3 }));
    };
    const { err } = await thereAndBack(fill, 'items');
    expect(err).toMatch(/'id' of the values comes back as field 'value.id'; NDJSON keeps them/);
    expect(err).toMatch(/indexes are not exported \(of items\)/);
  });

  test('rows with the key of others take their place, and that is told', async () => {
    const file = path('twice.csv');
    writeFileSync(file, 'key,n\na,1\na,2\nb,3\n');
    const { err } = await sop(['import', newDatabase(), file, '--store', 'items']);
    expect(err).toMatch(/3 records imported/);
    const lines = path('records.ndjson');
    writeFileSync(lines, '{"id":1}\n{"id":2}\n');
    const told = await sop(['import', newDatabase(), lines, '--store', 'items', '--id', 'id']);
    expect(told.err).not.toMatch(/took the place/);
    expect(err).toMatch(/1 of them took the place of others with the same key/);
  });
});
