/** CSV into stores and out of them. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { csvLine, readCsv } from '../../src/cli/csv.ts';
import { readLines } from '../../src/cli/lines.ts';
import { Database, defineStore, Uuid } from '../../src/index.ts';
import { sop } from '../helpers/cli.ts';
import { chooseSeed } from '../helpers/scale.ts';

const folder = mkdtempSync(join(tmpdir(), 'sop-cli-csv-'));
const seed = chooseSeed();
const runs = (few: number) => Math.ceil(few * Number(process.env.SOP_RUNS ?? 1));
const path = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let made = 0;
function newFile(text: string, name = 'file.csv'): string {
  const file = path(`${made++}-${name}`);
  writeFileSync(file, text);
  return file;
}
const newDatabase = () => path(`db-${made++}`);

async function readAll(data: string, store: string): Promise<unknown[]> {
  await using db = await Database.open(data, { readOnly: true });
  return await db.read(async (tx) => {
    const found: unknown[] = [];
    for await (const { key, value } of tx.store(store).range() as AsyncIterable<{ key: unknown; value: unknown }>) {
      found.push([key, value]);
    }
    return found;
  });
}

async function rowsOf(text: string, delimiter = ',', pieces = 3): Promise<(string | undefined)[][]> {
  const bytes = Buffer.from(text);
  async function* source() {
    for (let at = 0; at < bytes.length; at += pieces) yield bytes.subarray(at, at + pieces);
  }
  const rows: (string | undefined)[][] = [];
  for await (const some of readCsv(readLines(source()), delimiter)) for (const { cells } of some) rows.push([...cells]);
  return rows;
}

describe('rows', () => {
  test('quotes, doubled quotes, line ends and delimiters within cells', async () => {
    expect(await rowsOf('a,b\r\n"x, ""y""","two\r\nlines"\n\n,""\nlast 5" pipe,z')).toEqual([
      ['a', 'b'],
      ['x, "y"', 'two\r\nlines'],
      [undefined, ''],
      ['last 5" pipe', 'z'],
    ]);
    expect(await rowsOf('a;b;\n', ';')).toEqual([['a', 'b', undefined]]);
  });

  test('what is malformed is named by line and column', async () => {
    await expect(rowsOf('a,b\n1,"x" y\n')).rejects.toThrow(/line 2, column 3.*closing quote/);
    await expect(rowsOf('a,b\n1,"x\n3\n')).rejects.toThrow(/line 2, column 2.*never ends/);
    await expect(rowsOf('a,\ufffd\n')).rejects.toThrow(/line 1.*UTF-8/);
  });

  test('any cells, written and read, are the same cells', async () => {
    const cell = fc.oneof(
      fc.constant(undefined),
      fc.string({ unit: fc.constantFrom('a', '"', ',', ';', '\n', '\r', ' ', 'ä', '\t') }),
      fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\ufffd')),
    );
    const rows = fc.array(fc.array(cell, { minLength: 2, maxLength: 5 }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(
        rows,
        fc.constantFrom(',', ';', '\t'),
        fc.integer({ min: 1, max: 9 }),
        async (cells, mark, pieces) => {
          const text = cells.map((row) => `${csvLine(row, mark)}\n`).join('');
          expect(await rowsOf(text, mark, pieces)).toEqual(cells);
        },
      ),
      { numRuns: runs(100), seed },
    );
  });
});

describe('import', () => {
  const people =
    'id,name,height,member,born,ref,zip,big,note\n' +
    '1,Ada,1.65,true,1815-12-10,123e4567-e89b-42d3-a456-426614174000,01234,9007199254740993,\n' +
    '2,"Bob ""B""",2,FALSE,1970-01-01T00:00:00Z,123e4567-e89b-42d3-a456-426614174001,12345,1,""\n';

  test('types are guessed from the rows', async () => {
    const data = newDatabase();
    const { code, err } = await sop(['import', data, newFile(people), '--store', 'people', '--id', 'id']);
    expect([code, err]).toEqual([
      0,
      expect.stringMatching(
        /columns: id integer, name text, height number, member boolean, born date, ref uuid, zip text, big bigint, note text/,
      ),
    ]);
    expect(await readAll(data, 'people')).toEqual([
      [
        1,
        {
          name: 'Ada',
          height: 1.65,
          member: true,
          born: new Date('1815-12-10'),
          ref: Uuid.parse('123e4567-e89b-42d3-a456-426614174000'),
          zip: '01234',
          big: 9007199254740993n,
          note: null,
        },
      ],
      [2, expect.objectContaining({ name: 'Bob "B"', member: false, born: new Date(0), note: '' })],
    ]);
  });

  test('types, delimiter, columns and keys are taken as given', async () => {
    const data = newDatabase();
    const file = newFile('DE;Bonn;1;2020-02-29\nFR;Paris;2;\n', 'plain.txt');
    const options = ['--csv', '-d', ';', '--columns', 'country,name,n,day', '--types', 'n:text', '--omit-empty'];
    expect((await sop(['import', data, file, '--store', 's', '--key', 'country,name:desc', ...options])).code).toBe(0);
    expect(await readAll(data, 's')).toEqual([
      [
        { country: 'DE', name: 'Bonn' },
        { n: '1', day: new Date('2020-02-29') },
      ],
      [{ country: 'FR', name: 'Paris' }, { n: '2' }],
    ]);
  });

  test('a byte order mark, tabs and semicolons are found out', async () => {
    const data = newDatabase();
    expect((await sop(['import', data, newFile('\ufeffid;v\n1;a\n'), '--store', 'a', '--id', 'id'])).code).toBe(0);
    expect((await sop(['import', data, newFile('id\tv\n1\ta,b\n', 'x.tsv'), '--store', 'b', '--id', 'id'])).code).toBe(
      0,
    );
    expect(await readAll(data, 'a')).toEqual([[1, { v: 'a' }]]);
    expect(await readAll(data, 'b')).toEqual([[1, { v: 'a,b' }]]);
  });

  test('a wrong cell is named; batches before it are in, and the mended file goes on behind them', async () => {
    const data = newDatabase();
    const rows = Array.from({ length: 6000 }, (_, i) => `${i},${i * 2}`);
    rows[5500] = '5500,many';
    const file = newFile(`id,n\n${rows.join('\n')}\n`);
    const wrong = await sop(['import', data, file, '--store', 'n', '--id', 'id']);
    expect(wrong.code).toBe(2);
    expect(wrong.err).toMatch(/line 5502, column 2 'n': "many" is no whole number.*--types n:text/);
    expect(wrong.err).toMatch(/4,000 records up to line 4,001 are in/);
    expect((await sop(['count', data, 'n'])).out).toBe('4000\n');
    writeFileSync(file, readFileSync(file, 'utf8').replace('many', '1'));
    expect((await sop(['import', data, file, '--store', 'n', '--id', 'id', '--json'])).out).toMatch(
      /"imported":2000,"records":6000/,
    );
    appendFileSync(file, '6000,"1"\n');
    expect((await sop(['import', data, file, '--store', 'n', '--id', 'id', '--json'])).out).toMatch(/"imported":1,/);
  });

  test('what cannot be right is refused before anything is in', async () => {
    const data = newDatabase();
    for (const [text, options, message] of [
      ['a,b\n1\n', [], /line 2 has 1 cells, but there are 2 columns/],
      ['a,a\n1,2\n', [], /two columns are named 'a'/],
      ['a,\n1,2\n', [], /column 2 has no name/],
      ['a,b\n1,2\n', ['--types', 'c:text'], /--types names 'c'/],
      ['a,b\n1,2\n', ['--types', 'a:color'], /with one of text/],
      ['a,b\n1,2\n', ['--delimiter', '::'], /one character/],
      ['a,b\n1,2\n', [], /no key is named/],
      ['a,b\n2026-02-30,2\n', ['--types', 'a:date'], /"2026-02-30" is no ISO date/],
    ] as const) {
      const { code, err } = await sop(['import', data, newFile(text), '--store', 'x', ...options]);
      expect([code, err]).toEqual([2, expect.stringMatching(message)]);
      expect(err).toMatch(/nothing was imported|--delimiter|no column and type/);
    }
  });
});

describe('export', () => {
  test('needs one store, and has no --resume', async () => {
    const data = newDatabase();
    await sop(['put', data, 'a', '1', '{"x": 1}', '--create']);
    expect(await sop(['export', data, '--csv'])).toMatchObject({ code: 2, err: expect.stringMatching(/one store/) });
    expect((await sop(['export', data, 'a', '--csv', '--resume', '--out', path('o.csv')])).code).toBe(2);
    expect((await sop(['export', data, 'a', '--csv'])).out).toBe('key,x\n1,1\n');
    expect((await sop(['export', data, 'a', '--csv', '--no-header', '-d', 'tab'])).out).toBe('1\t1\n');
  });

  test('any records come back the same under the types that it names', async () => {
    const items = defineStore<{ k: string; n: number; tag?: string | undefined }, unknown, 'tag'>('items', {
      key: ['k', { field: 'n', order: 'desc' }],
      rideOn: ['tag'],
    });
    const scalar = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.double(),
      fc.integer(),
      fc.bigInt(),
      fc.boolean(),
      fc.date({ noInvalidDate: true }),
      fc.constant(null),
      fc.array(fc.integer()),
    );
    const value = fc.record({
      a: scalar,
      b: fc.string(),
      c: fc.option(fc.integer()),
      'd e': fc.dictionary(fc.string(), scalar),
    });
    const key = fc.record({ k: fc.string(), n: fc.integer(), tag: fc.option(fc.string(), { nil: undefined }) });
    const records = fc.uniqueArray(fc.tuple(key, value), {
      selector: ([{ k, n }]) => `${n} ${k}`,
      minLength: 1,
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(records, async (entries) => {
        const data = newDatabase();
        {
          await using db = await Database.open(data);
          await db.write((tx) => tx.store(items).putMany(entries as never));
        }
        const file = path(`${made++}.csv`);
        const { err } = await sop(['export', data, 'items', '--out', file]);
        const types = /--types ('[^']*'|\S+)/.exec(err)?.[1]?.replaceAll("'", '') as string;
        const copy = newDatabase();
        const options = ['--store', 'items', '--key', 'k,n:desc', '--ride-on', 'tag', '--types', types];
        expect(await sop(['import', copy, file, ...options])).toMatchObject({ code: 0 });
        expect(await readAll(copy, 'items')).toEqual(await readAll(data, 'items'));
      }),
      { numRuns: runs(4), seed },
    );
  });

  test('scalar keys and values without fields have the columns key and value', async () => {
    const data = newDatabase();
    await sop(['put', data, 'words', 'a', 'x', '--create']);
    await sop(['put', data, 'words', 'b', '5']);
    const file = path('words.csv');
    const { err } = await sop(['export', data, 'words', '--out', file]);
    expect(readFileSync(file, 'utf8')).toBe('key,value\na,"""x"""\nb,5\n');
    expect(err).toMatch(/--types key:text,value:json/);
    const copy = newDatabase();
    await sop(['import', copy, file, '--store', 'words', '--types', 'key:text,value:json']);
    expect(await readAll(copy, 'words')).toEqual([
      ['a', 'x'],
      ['b', 5],
    ]);
  });
});
