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
    await new Promise((resolve) => setTimeout(resolve, 1500));
    child.kill('SIGTERM');
    const { code, err } = await ending(child);
    expect(code).toBe(130);
    expect(err).toMatch(/interrupted behind line 2/);
    expect((await sop(['count', folder, 'more'])).out).toBe('2\n');
  });
});
