/** The command line, verb by verb: what it prints, what it changes, what it exits with. */
import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, defineStore, Uuid } from '../../src/index.ts';
import { sop } from '../helpers/cli.ts';
import { parseMetrics } from '../helpers/prometheus.ts';

const folder = mkdtempSync(join(tmpdir(), 'sop-cli-'));
const data = join(folder, 'data');
const path = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface CityKey {
  readonly country: string;
  readonly population: number;
  readonly name: string;
  readonly tag?: string | undefined;
}
const cities = defineStore<CityKey, { lat: number }, 'tag'>('cities', {
  key: ['country', { field: 'population', order: 'desc' }, 'name'],
  rideOn: ['tag'],
});
const users = defineStore<string, unknown>('users');
const numbers = defineStore<number, string>('numbers');
const blobs = defineStore<string, Uint8Array>('blobs', { raw: true });
const odd = {
  date: new Date(0),
  big: 2n ** 70n,
  bytes: Uint8Array.of(1, 2),
  map: new Map([[1, 'a']]),
  set: new Set(['x']),
  nan: Number.NaN,
  uuid: Uuid.parse('123e4567-e89b-42d3-a456-426614174000'),
  lone: '\ud800',
};

beforeAll(async () => {
  await using db = await Database.open(data);
  await db.write((tx) => {
    tx.store(cities).putMany([
      [{ country: 'DE', population: 3_600_000, name: 'Berlin', tag: 'capital' }, { lat: 52.5 }],
      [{ country: 'DE', population: 320_000, name: 'Bonn' }, { lat: 50.7 }],
      [{ country: 'FR', population: 2_100_000, name: 'Paris', tag: 'capital' }, { lat: 48.9 }],
    ]);
    tx.store(users).putMany([
      ['ada', { name: 'Ada' }],
      ['bob', { name: 'Bob' }],
      ['odd', odd],
      ['5', 'a string key'],
    ]);
    tx.store(numbers).putMany(Array.from({ length: 100 }, (_, i) => [i - 50, `v${i}`] as const));
    tx.store(blobs).put('b', Uint8Array.of(0, 255, 10));
  });
});

describe('reading', () => {
  test('info says what the database is, for people and for programs', async () => {
    const { out, code } = await sop(['info', data]);
    expect(code).toBe(0);
    expect(out).toMatch(/stores\s+4/);
    expect(JSON.parse((await sop(['info', data, '--json'])).out)).toMatchObject({ stores: 4, folder: data });
  });

  test('stores lists names, keys and counts', async () => {
    const { out } = await sop(['stores', data]);
    expect(out).toMatch(/cities\s+3\s+country, population desc, name\s+tag\s+inline/);
    expect(out).toMatch(/blobs\s+1\s+one value\s+inline, raw/);
    const lines = (await sop(['stores', data, '--json'])).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => [line.name, line.count])).toEqual([
      ['blobs', 1],
      ['cities', 3],
      ['numbers', 100],
      ['users', 4],
    ]);
    expect((await sop(['stores', data, '--no-count'])).code).toBe(0);
  });

  test('get prints a value, and exits with 1 where there is none', async () => {
    expect(await sop(['get', data, 'users', 'ada'])).toMatchObject({ code: 0, out: '{"name":"Ada"}\n' });
    expect(await sop(['get', data, 'users', 'eve'])).toMatchObject({ code: 1, out: '' });
    expect((await sop(['get', data, 'users', '"5"'])).out).toBe('"a string key"\n');
    expect((await sop(['get', data, 'numbers', '-50'])).out).toBe('"v0"\n');
    expect((await sop(['get', data, 'cities', 'country=DE', 'population=320000', 'name=Bonn'])).out).toBe(
      '{"lat":50.7}\n',
    );
    const json = await sop(['get', data, 'cities', '{"country":"DE","population":3600000,"name":"Berlin"}', '--json']);
    expect(JSON.parse(json.out)).toMatchObject({ key: { name: 'Berlin', tag: 'capital' }, value: { lat: 52.5 } });
    expect((await sop(['get', data, 'blobs', 'b'])).bytes).toEqual(Buffer.from([0, 255, 10]));
  });

  test('typed JSON loses nothing', async () => {
    const { out } = await sop(['get', data, 'users', 'odd']);
    expect(JSON.parse(out)).toMatchObject({
      date: { $date: '1970-01-01T00:00:00.000Z' },
      big: { $bigint: '1180591620717411303424' },
      nan: { $number: 'NaN' },
      lone: { $string: 'd800' },
    });
  });

  test('scan takes bounds, prefixes, a direction and a limit', async () => {
    const keys = async (...args: string[]) =>
      (await sop(['scan', data, ...args, '-k'])).out.trim().split('\n').filter(Boolean);
    expect(await keys('numbers', '--gte', '-2', '--lt', '2')).toEqual(['-2', '-1', '0', '1']);
    expect(await keys('numbers', '--gt', '47', '--reverse')).toEqual(['49', '48']);
    expect(await keys('numbers', '-n', '2')).toEqual(['-50', '-49']);
    expect(await keys('users', '--prefix', 'a')).toEqual(['"ada"']);
    expect(await keys('users', '--prefix', '5')).toEqual(['"5"']);
    expect(await keys('cities', '-p', 'country=DE')).toEqual([
      '{"country":"DE","population":3600000,"name":"Berlin","tag":"capital"}',
      '{"country":"DE","population":320000,"name":"Bonn"}',
    ]);
    expect(await keys('cities', '-p', 'country=DE', '-p', 'population=320000', '-p', 'name^=Bo')).toHaveLength(1);
    expect(await keys('numbers', '--gt', '1000')).toEqual([]);
    expect((await sop(['scan', data, 'users', '--lt', 'b'])).out).toBe('"5"\t"a string key"\n"ada"\t{"name":"Ada"}\n');
    const json = await sop(['scan', data, 'numbers', '-n', '1', '--json']);
    expect(JSON.parse(json.out)).toMatchObject({ key: -50, value: 'v0', version: 1 });
  });

  test('count counts all and ranges', async () => {
    expect((await sop(['count', data, 'numbers'])).out).toBe('100\n');
    expect((await sop(['count', data, 'cities', '-p', 'country=DE'])).out).toBe('2\n');
    expect(JSON.parse((await sop(['count', data, 'numbers', '--gte', '0', '--json'])).out)).toEqual({ count: 50 });
  });

  test('verify and stats work beside a program that has the database open', async () => {
    await using db = await Database.open(data);
    expect(db.closed).toBe(false);
    expect(await sop(['verify', data])).toMatchObject({ code: 0, out: expect.stringMatching(/^sound: /) });
    expect(JSON.parse((await sop(['verify', data, '--json'])).out)).toMatchObject({ ok: true, problems: [] });
    expect((await sop(['stats', data])).out).toMatch(/newest transaction\s+1/);
    expect(JSON.parse((await sop(['stats', data, '--json'])).out)).toMatchObject({ number: 1 });
  });

  test('stats fit a terminal, and metrics are what Prometheus reads', async () => {
    const lines = (await sop(['stats', data])).out.split('\n');
    for (const group of ['database', 'space', 'memory']) expect(lines).toContain(group);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    const families = parseMetrics((await sop(['metrics', data])).out);
    expect(families.get('sop_last_transaction_number')?.samples[0]?.value).toBe(1);
  });
});

describe('changing', () => {
  const mine = path('mine');

  test('put makes database and store only where that is asked for', async () => {
    expect(await sop(['put', mine, 'notes', 'a', '1'])).toMatchObject({
      code: 3,
      err: expect.stringContaining('DATABASE_NOT_FOUND'),
    });
    expect((await sop(['put', mine, 'notes', 'a', '{"n": 1}', '--create'])).code).toBe(0);
    expect(await sop(['put', mine, 'other', 'a', '1'])).toMatchObject({
      code: 3,
      err: expect.stringContaining('no store'),
    });
    expect((await sop(['get', mine, 'notes', 'a'])).out).toBe('{"n":1}\n');
    const composite = [
      'put',
      mine,
      'deep',
      'a=1',
      'b=2',
      'flag=x',
      'v',
      '--create',
      '--key',
      'a,b:desc',
      '--ride-on',
      'flag',
    ];
    expect((await sop(composite)).code).toBe(0);
    expect((await sop(['scan', mine, 'deep'])).out).toBe('{"a":1,"b":2,"flag":"x"}\t"v"\n');
  });

  test('--add and --update change only what they are for', async () => {
    expect((await sop(['put', mine, 'notes', 'a', '2', '--add'])).code).toBe(1);
    expect((await sop(['put', mine, 'notes', 'new', '2', '--update'])).code).toBe(1);
    expect((await sop(['put', mine, 'notes', 'a', '3', '--update'])).code).toBe(0);
    expect(JSON.parse((await sop(['put', mine, 'notes', 'b', '4', '--add', '--json'])).out)).toEqual({ done: true });
    expect((await sop(['scan', mine, 'notes'])).out).toBe('"a"\t3\n"b"\t4\n');
  });

  test('values come from standard input and from files', async () => {
    await sop(['put', mine, 'notes', 'piped', '-'], { input: '{"from": "a pipe"}' });
    writeFileSync(path('value.json'), '[1, {"$bigint": "2"}]');
    await sop(['put', mine, 'notes', 'filed', '--file', path('value.json')]);
    await sop(['put', mine, 'raw', 'r', 'text', '--create', '--raw']);
    expect((await sop(['get', mine, 'notes', 'piped'])).out).toBe('{"from":"a pipe"}\n');
    expect((await sop(['get', mine, 'notes', 'filed'])).out).toBe('[1,{"$bigint":"2"}]\n');
    expect((await sop(['get', mine, 'raw', 'r'])).out).toBe('text');
  });

  test('rm removes entries, and ranges only with --yes', async () => {
    expect((await sop(['rm', mine, 'notes', 'nothing'])).code).toBe(1);
    expect((await sop(['rm', mine, 'notes', 'piped'])).code).toBe(0);
    expect(await sop(['rm', mine, 'notes', '--gte', 'a'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--yes'),
    });
    expect(JSON.parse((await sop(['rm', mine, 'notes', '--gte', 'a', '--yes', '--json'])).out)).toEqual({ removed: 3 });
    expect((await sop(['count', mine, 'notes'])).out).toBe('0\n');
  });

  test('a database that a program has open is not written', async () => {
    await using db = await Database.open(mine);
    expect(db.readOnly).toBe(false);
    expect(await sop(['put', mine, 'notes', 'a', '1'])).toMatchObject({
      code: 3,
      err: expect.stringMatching(new RegExp(`${process.pid}[\\s\\S]*DATABASE_LOCKED`)),
    });
  });
});

describe('import and export', () => {
  test('stores of equal keys keep their order on the way, and other verbs refuse them by name', async () => {
    const [from, to, file] = [path('bag'), path('bag copy'), path('bag.ndjson')];
    {
      await using db = await Database.open(from);
      const events = defineStore<string, number>('events', { unique: false });
      for (const n of [1, 2, 3])
        await db.write((tx) => void tx.store(events).addMany([...'ba'].map((key) => [key, n])));
    }
    writeFileSync(file, (await sop(['export', from])).out);
    expect(await sop(['import', to, file])).toMatchObject({ code: 0 });
    expect((await sop(['export', to])).out).toBe(readFileSync(file, 'utf8'));
    await using db = await Database.open(to, { readOnly: true });
    expect(await db.read((tx) => tx.bag('events').getAll('b'))).toEqual([1, 2, 3]);
    expect(await sop(['get', from, 'events', 'b'])).toMatchObject({ err: expect.stringMatching(/keeps equal keys/) });
  });

  test('what is exported and imported is the same, of every type', async () => {
    const file = path('all.ndjson');
    writeFileSync(file, (await sop(['export', data])).out);
    const copy = path('copy');
    expect(await sop(['import', copy, file])).toMatchObject({
      code: 0,
      err: expect.stringMatching(/^108 records imported/),
    });
    expect((await sop(['export', copy])).out).toBe(readFileSync(file, 'utf8'));
    await using db = await Database.open(copy, { readOnly: true });
    expect(await db.read((tx) => tx.store(users).get('odd'))).toStrictEqual(odd);
    expect(await db.read((tx) => tx.store(cities).first())).toMatchObject({ key: { name: 'Berlin', tag: 'capital' } });
    expect(await db.read((tx) => tx.store(blobs).get('b'))).toEqual(Uint8Array.of(0, 255, 10));
  });

  test('records become entries: --key and --id say which fields make the key', async () => {
    const file = path('records.ndjson');
    const lines = [
      { id: 7, a: 'x', n: 1 },
      { id: 8, a: 'y', n: 2 },
    ].map((line) => JSON.stringify(line));
    writeFileSync(file, `${lines.join('\n')}\n\n`);
    const mine = path('records');
    expect((await sop(['import', mine, file])).err).toMatch(/line 1: --store is needed/);
    expect((await sop(['import', mine, file, '--store', 's', '--key', 'a:desc,id'])).code).toBe(0);
    expect((await sop(['scan', mine, 's'])).out).toBe('{"a":"y","id":8}\t{"n":2}\n{"a":"x","id":7}\t{"n":1}\n');
    expect((await sop(['import', mine, file, '--store', 'byId', '--id', 'id', '--again'])).code).toBe(0);
    expect((await sop(['scan', mine, 'byId'])).out).toBe('7\t{"a":"x","n":1}\n8\t{"a":"y","n":2}\n');
  });

  test('what is in is not imported twice; what was added to the file is', async () => {
    const file = path('growing.ndjson');
    const mine = path('growing');
    const line = (i: number) => `{"key": ${i}, "value": "v${i}"}\n`;
    writeFileSync(file, Array.from({ length: 10 }, (_, i) => line(i)).join(''));
    const again = ['import', mine, file, '--store', 's'];
    expect((await sop(again)).err).toMatch(/10 records imported/);
    await sop(['rm', mine, 's', '3']);
    expect((await sop(again)).err).toMatch(/all 10 records are in already/);
    expect((await sop(['get', mine, 's', '3'])).code).toBe(1);
    appendFileSync(file, line(10) + line(11));
    expect(JSON.parse((await sop([...again, '--json'])).out)).toEqual({
      imported: 2,
      records: 12,
      lines: 12,
      complete: true,
    });
    expect((await sop(['count', mine, 's'])).out).toBe('11\n');
    expect((await sop([...again, '--again'])).err).toMatch(/12 records imported/);
    writeFileSync(file, Array.from({ length: 20 }, (_, i) => line(i + 100)).join(''));
    expect((await sop(again)).err).toMatch(/20 records imported/);
  });

  test('an interrupted import goes on where it was', async () => {
    const file = path('long.ndjson');
    const mine = path('long');
    writeFileSync(
      file,
      Array.from({ length: 30_000 }, (_, i) => `{"key": ${i}, "value": {"text": "value ${i}"}}\n`).join(''),
    );
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 60);
    const command = ['import', mine, file, '--store', 's', '--json'];
    const first = await sop(command, { signal: stop.signal });
    const before = JSON.parse(first.out) as { records: number; complete: boolean };
    expect([first.code, before.complete]).toEqual([130, false]);
    const second = await sop(command);
    expect(JSON.parse(second.out)).toEqual({
      imported: 30_000 - before.records,
      records: 30_000,
      lines: 30_000,
      complete: true,
    });
    expect((await sop(['count', mine, 's'])).out).toBe('30000\n');
  });

  test('standard input is gone on with under a name', async () => {
    const mine = path('piped');
    const lines = (n: number) => Array.from({ length: n }, (_, i) => `{"key": ${i}, "value": 1}\n`).join('');
    const command = ['import', mine, '-', '--store', 's', '--source', 'mine', '--json'];
    expect(JSON.parse((await sop(command, { input: lines(5) })).out)).toMatchObject({ imported: 5 });
    expect(JSON.parse((await sop(command, { input: lines(8) })).out)).toMatchObject({ imported: 3, records: 8 });
  });

  test('a bad line is named, and what came before it in whole transactions is in', async () => {
    const file = path('bad.ndjson');
    const good = Array.from({ length: 4500 }, (_, i) => `{"key": ${i}, "value": 1}\n`).join('');
    writeFileSync(file, `${good}{"key": 1, "value"\n`);
    const mine = path('bad');
    expect(await sop(['import', mine, file, '--store', 's'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/line 4501: this is no JSON/),
    });
    expect((await sop(['count', mine, 's'])).out).toBe('4000\n');
    truncateSync(file, good.length);
    expect((await sop(['import', mine, file, '--store', 's'])).err).toMatch(/500 records imported/);
    writeFileSync(path('newer.ndjson'), '{"sop": 2, "store": {"name": "x"}}\n');
    expect((await sop(['import', mine, path('newer.ndjson')])).err).toMatch(/version 2/);
  });

  test('an export into a file goes on behind its last whole line', async () => {
    const file = path('export.ndjson');
    expect((await sop(['export', data, '--out', file])).code).toBe(0);
    const whole = readFileSync(file, 'utf8');
    for (const cut of [1, 10, 300, Math.floor(whole.length / 2), whole.length - 200, whole.length - 1]) {
      writeFileSync(file, whole.slice(0, cut));
      expect((await sop(['export', data, '--out', file, '--resume'])).code).toBe(0);
      expect(readFileSync(file, 'utf8')).toBe(whole);
    }
    expect((await sop(['export', data, '--resume'])).code).toBe(2);
    expect((await sop(['export', data, 'numbers', '-o', file])).code).toBe(0);
    expect(statSync(file).size).toBeLessThan(whole.length);
  });

  test('progress is drawn on a terminal only', async () => {
    const file = path('progress.ndjson');
    writeFileSync(file, Array.from({ length: 20_000 }, (_, i) => `{"key": ${i}, "value": 1}\n`).join(''));
    const drawn = await sop(['import', path('p1'), file, '--store', 's'], { terminal: true });
    expect(drawn.err).toMatch(/\r.*importing {2}\[[#.]{24}\] +\d+% {2}[\d,]+ records {2}[\d,]+\/s/);
    expect((await sop(['import', path('p2'), file, '--store', 's'])).err).not.toContain('\r');
  });
});

describe('being understood', () => {
  test('every verb has help with examples', async () => {
    const { out } = await sop(['--help']);
    const verbs = [...out.matchAll(/^ {2}(\w+) {2,}\S/gm)].map((match) => match[1] as string);
    expect(verbs).toEqual(
      expect.arrayContaining(['info', 'get', 'put', 'scan', 'import', 'verify', 'compact', 'drop']),
    );
    expect(new Set(verbs).size).toBe(verbs.length);
    for (const verb of verbs) {
      const help = await sop([verb, '--help']);
      expect(help.code).toBe(0);
      expect(help.out).toMatch(new RegExp(`Examples\\n.*\\bsop ${verb}\\b`));
      expect((await sop(['help', verb])).out).toBe(help.out);
    }
    expect((await sop([])).code).toBe(2);
    expect((await sop(['--version'])).out).toBe('1.2.3\n');
  });

  test('what is not understood exits with 2 and says what would be', async () => {
    for (const [args, message] of [
      [['stroes', data], /did you mean 'stores'/],
      [['get', data], /<store> is missing/],
      [['get', data, 'users'], /<key> is missing/],
      [['scan', data, 'users', 'x'], /bounds are options/],
      [['scan', data, 'users', '--limit', 'x'], /whole number/],
      [['scan', data, 'users', '--limt', '1'], /unknown option '--limt'/],
      [['get', data, 'cities', 'Berlin'], /country=\.\.\. population=\.\.\./],
      [['get', data, 'users', '{"a'], /no typed JSON/],
      [['info'], /<folder> is missing/],
    ] as const) {
      const { code, err, out } = await sop(args);
      expect([code, out], args.join(' ')).toEqual([2, '']);
      expect(err).toMatch(message);
    }
  });

  test('failures have their code, a hint, and with --json a form for programs', async () => {
    const missing = await sop(['info', path('nothing')]);
    expect(missing).toMatchObject({
      code: 3,
      out: '',
      err: expect.stringMatching(/DATABASE_NOT_FOUND[\s\S]*check the folder/),
    });
    const json = await sop(['get', data, 'nothing', 'x', '--json']);
    expect(json.code).toBe(3);
    expect(JSON.parse(json.err)).toMatchObject({ error: { code: 'STORE_NOT_FOUND', details: { store: 'nothing' } } });
    expect((await sop(['get', data, 'cities', 'country=DE'])).err).toMatch(/'population' is missing/);
  });
});

describe('as a process', () => {
  const main = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts');
  const flags = ['--experimental-strip-types', '--disable-warning=ExperimentalWarning'];

  test('exit code, output and errors reach the shell', () => {
    const run = (...args: string[]) => spawnSync(process.execPath, [...flags, main, ...args], { encoding: 'utf8' });
    expect(run('count', data, 'numbers')).toMatchObject({ status: 0, stdout: '100\n', stderr: '' });
    expect(run('get', data, 'users', 'eve').status).toBe(1);
    expect(run('--version').stdout).toMatch(/^\d+\.\d+\.\d+/);
  });

  test('a reader that goes away early is no failure', async () => {
    const child = spawn(process.execPath, [...flags, main, 'scan', data, 'numbers'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    const errors: Buffer[] = [];
    child.stderr.on('data', (part) => errors.push(part));
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect([code, Buffer.concat(errors).toString()]).toEqual([0, '']);
  });
});
