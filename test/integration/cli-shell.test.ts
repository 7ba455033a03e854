/** sop shell: words, commands from a pipe, and a prompt in a real terminal. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { quoteWord, splitWords } from '../../src/cli/shell-words.ts';
import { Database, defineStore } from '../../src/index.ts';
import { sop } from '../helpers/cli.ts';
import { hasTerminal, TerminalProgram } from '../helpers/terminal.ts';

const folder = mkdtempSync(join(tmpdir(), 'sop-cli-shell-'));
const data = join(folder, 'data');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const users = defineStore<string, unknown>('users');
const numbers = defineStore<number, unknown>('numbers');

beforeAll(async () => {
  await using db = await Database.open(data);
  await db.write((tx) => {
    tx.store(users).putMany([
      ['ada', { name: 'Ada' }],
      ['5', 'text'],
    ]);
    for (let i = 0; i < 20_000; i++) tx.store(numbers).put(i, 'x'.repeat(50));
  });
});

describe('words', () => {
  test('JSON stays whole, quotes hold anything', () => {
    const words = (text: string) => splitWords(text).words;
    expect(words(`put users ada {"a": "b } c", "d": [1, 2]}`)).toEqual([
      'put',
      'users',
      'ada',
      '{"a": "b } c", "d": [1, 2]}',
    ]);
    expect(words(`get 'my store' "5" name='New York' at=["a", 1] it's`)).toEqual([
      'get',
      'my store',
      '"5"',
      'name=New York',
      'at=["a", 1]',
      "it's",
    ]);
    expect(words('  ')).toEqual([]);
    for (const word of ['plain', 'with blank', '{x', '', '\\', "it's", 'a"b', 'a={'])
      expect(words(`a ${quoteWord(word)} b`)[1]).toBe(word);
  });

  test('what is not closed goes on in the next line', () => {
    for (const text of ['put a b {"x":', 'get "a', "get 'a", 'scan users \\', 'put a b [1, [2]'])
      expect(splitWords(text).open).toBe(true);
    for (const text of ['get a', '', 'put a b {"x": "["}', 'get a "\\""']) expect(splitWords(text).open).toBe(false);
  });
});

describe('from a pipe', () => {
  const shell = (input: string, ...options: string[]) => sop(['shell', data, ...options], { input });

  test('commands work in the database that is open, errors keep the shell', async () => {
    const { code, out, err } = await shell(
      'count users\nget users "5"\nnonsense\nget nothing x\nput users n {"a":\n[1]}\nget users n\n',
    );
    expect(out).toBe('2\n"text"\n{"a":[1]}\n');
    expect(err).toMatch(/no verb 'nonsense'[\s\S]*STORE_NOT_FOUND/);
    expect(code).toBe(2);
    expect((await shell('count users\n.exit\ncount users\n')).out).toBe('3\n');
    expect((await shell('count users')).code).toBe(0);
  });

  test('begin, commit and rollback make one transaction', async () => {
    const first = await shell('begin\nput users t 1\nget users t\nrollback\nget users t\n');
    expect(first.out).toBe('1\n');
    expect((await shell('begin\nput users t 1\nput users u 2\ncommit\nget users u\n')).out).toBe('2\n');
    const left = await shell('begin\nput users lost 1\n');
    expect(left.err).toMatch(/rolled back/);
    expect((await sop(['get', data, 'users', 'lost'])).code).toBe(1);
    expect((await shell('commit\n')).code).toBe(2);
  });

  test('beside a writer it reads, and says so', async () => {
    await using db = await Database.open(data);
    expect(db.readOnly).toBe(false);
    const { code, out, err } = await shell('get users ada\nput users x 1\n');
    expect(out).toBe('{"name":"Ada"}\n');
    expect(err).toMatch(/reading only[\s\S]*READ_ONLY/);
    expect(code).toBe(5);
  });

  test('standard input is not taken for a value, and the terminal not by another verb', async () => {
    expect((await shell('put users x -\n')).err).toMatch(/standard input is the shell/);
    expect((await shell('shell\n')).err).toMatch(/outside of the shell/);
    expect((await shell('drop users\n')).err).toMatch(/--yes/);
  });
});

describe.skipIf(!hasTerminal)('in a terminal', () => {
  const main = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts');
  const flags = ['--experimental-strip-types', '--disable-warning=ExperimentalWarning'];
  const state = join(folder, 'state');
  const start = () => new TerminalProgram([process.execPath, ...flags, main, 'shell', data], { XDG_STATE_HOME: state });

  test('completes, asks, goes on over lines, stops a command with Ctrl-C and keeps its history', async () => {
    const terminal = start();
    try {
      await terminal.sees(/data> /);
      // A tab completes where it is typed; within what is pasted it is a tab.
      terminal.type('cou\t');
      await terminal.sees(/nt /);
      terminal.type('use\t');
      await terminal.sees(/rs /);
      terminal.type('\r');
      await terminal.sees(/\n\d+\r\n[\s\S]*data> /);
      terminal.type('put users multi {"a":\r');
      await terminal.sees(/\.\.\.> /);
      terminal.type('[1, 2]}\r');
      await terminal.sees(/data> /);
      terminal.type('get users multi\r');
      await terminal.sees(/"a": \[[\s\S]*2[\s\S]*data> /);
      terminal.type('half a command\u0003');
      await terminal.sees(/\^C[\s\S]*data> /);
      terminal.type('begin\r');
      await terminal.sees(/data\*> /);
      terminal.type('rollback\r');
      await terminal.sees(/rolled back[\s\S]*data> /);
      terminal.type('scan numbers\r');
      await terminal.sees(/\n0\t/);
      terminal.type('\u0003');
      await terminal.sees(/interrupted[\s\S]*data> /);
      terminal.type('drop users\r');
      await terminal.sees(/Go on\? \[y\/N\] /);
      terminal.type('n\r');
      await terminal.sees(/nothing was dropped[\s\S]*data> /);
      terminal.type('\u001b[A\u001b[A');
      await terminal.sees(/scan numbers/);
      terminal.type('\u0003');
      await terminal.sees(/data> /);
      terminal.type('\u0004');
      expect(await terminal.ended()).toBe(0);
    } finally {
      terminal.kill();
    }
    expect(readFileSync(join(state, 'sop', 'history'), 'utf8')).toMatch(/^count users \nput users multi \{"a":\n/);
    expect(readdirSync(data).sort()).toEqual(['data', 'lock', 'log', 'members', 'sop.json']);
  });

  test('the history is there the next time', async () => {
    const terminal = start();
    try {
      await terminal.sees(/data> /);
      terminal.type('\u001b[A');
      await terminal.sees(/drop users/);
      terminal.type('\u0003');
      await terminal.sees(/data> /);
      terminal.type('exit\r');
      expect(await terminal.ended()).toBe(0);
    } finally {
      terminal.kill();
    }
  });
});
