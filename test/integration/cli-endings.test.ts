/** How commands end whose surroundings fail: no room for the answer, nobody who reads it, nothing to read, a signal. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sop } from '../helpers/cli.ts';
import { Database, defineStore } from '../helpers/sop.ts';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');
const posix = process.platform !== 'win32';
const entries = defineStore<number, { readonly text: string }>('entries');
let root: string;
let folder: string;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'sop-endings-'));
  folder = join(root, 'data');
  await using db = await Database.open(folder);
  await db.write((tx) => {
    for (let i = 0; i < 5000; i++) tx.store(entries).put(i, { text: `entry ${i}` });
  });
  await db.compact();
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

function start(args: readonly string[], stdio: ('pipe' | 'ignore' | number)[]): ChildProcess {
  return spawn(process.execPath, ['--no-warnings', MAIN, ...args], { stdio });
}

async function ending(child: ChildProcess): Promise<{ code: number | null; err: string }> {
  let err = '';
  child.stderr?.on('data', (data) => {
    err += data;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, err };
}

describe('standard output', () => {
  // Exit code 1 is an answer: "no". An exception nobody caught had it too.
  test.skipIf(!existsSync('/dev/full'))('without room is an error of its own, said in one line', async () => {
    for (const args of [
      ['scan', folder, 'entries'],
      ['get', folder, 'entries', '1'],
    ]) {
      const { code, err } = await ending(start(args, ['ignore', openSync('/dev/full', 'w'), 'pipe']));
      expect(code).toBe(5);
      expect(err).toMatch(/^sop: .*no space left.*\(ENOSPC\)\n$/);
    }
  });

  test.skipIf(!posix)('that is not read to its end is no error, and hides no damage', async () => {
    const scan = start(['scan', folder, 'entries'], ['ignore', 'pipe', 'pipe']);
    scan.stdout?.destroy();
    expect(await ending(scan)).toEqual({ code: 0, err: '' });
    for (const name of readdirSync(join(folder, 'data'))) {
      const path = join(folder, 'data', name);
      const bytes = readFileSync(path);
      bytes.fill(1, 4096, bytes.length);
      writeFileSync(path, bytes);
    }
    const verify = start(['verify', folder], ['ignore', 'pipe', 'pipe']);
    verify.stdout?.destroy();
    expect((await ending(verify)).code).toBe(4);
  });
});

describe('a signal', () => {
  test.skipIf(!posix)('ends an import that waits for input; what came before is in, and the lock is free', async () => {
    const child = start(['import', folder, '-', '--store', 'more', '--id', 'id'], ['pipe', 'ignore', 'pipe']);
    child.stdin?.write('{"id":1,"a":2}\n{"id":2,"a":3}\n{"id":3,');
    // It is at work once it is registered; nothing tells that it has read what is there.
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    while (readdirSync(join(folder, 'members')).length === 0) await pause(20);
    await pause(1000);
    child.kill('SIGTERM');
    const { code, err } = await ending(child);
    expect(code).toBe(130);
    expect(err).toMatch(/interrupted behind line 2/);
    expect((await sop(['count', folder, 'more'])).out).toBe('2\n');
  });
});

test('a line that is no UTF-8 is refused by its number; the character that stands for such bytes is not', async () => {
  const file = join(root, 'latin1.ndjson');
  writeFileSync(
    file,
    Buffer.concat([Buffer.from('{"id":1,"a":"\ufffd"}\n{"id":2,"a":"'), Buffer.from([0xe9]), Buffer.from('"}\n')]),
  );
  const { code, err } = await sop(['import', folder, file, '--store', 'more', '--id', 'id']);
  expect(code).toBe(2);
  expect(err).toMatch(/line 2: this is not UTF-8/);
  writeFileSync(file, '{"id":1,"a":"\ufffd"}\n');
  expect((await sop(['import', folder, file, '--store', 'more', '--id', 'id'])).code).toBe(0);
  expect((await sop(['get', folder, 'more', '1'])).out).toBe('{"a":"\ufffd"}\n');
});

test('an export does not go on with a file that is none', async () => {
  const file = join(root, 'other.txt');
  for (const text of ['hello\n', '[1]\n', '{"a":1}\n']) {
    writeFileSync(file, text);
    const { code, err } = await sop(['export', folder, '--out', file, '--resume']);
    expect(code).toBe(2);
    expect(err).toMatch(/other.txt is no export of sop/);
    expect(err).not.toMatch(/SyntaxError|at /);
    expect(readFileSync(file, 'utf8')).toBe(text);
  }
});

test('what a failed command of a shell did is no part of its transaction', async () => {
  const file = join(root, 'bad.ndjson');
  writeFileSync(file, '{"id":1,"a":1}\n{"id":2,"a":2}\nno json\n');
  const input = `begin\nput entries 9999 {"text":"stays"}\nimport ${file} --store more --id id\ncommit\n`;
  expect((await sop(['shell', folder], { input })).err).toMatch(/line 3: this is no JSON/);
  expect((await sop(['stores', folder, '--json'])).out).not.toMatch(/more/);
  expect((await sop(['get', folder, 'entries', '9999'])).out).toBe('{"text":"stays"}\n');
});
