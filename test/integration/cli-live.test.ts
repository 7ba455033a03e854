/** top, bench and completions; colours and help on a terminal. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, defineStore } from '../../src/index.ts';
import { sop } from '../helpers/cli.ts';
import { hasTerminal, TerminalProgram } from '../helpers/terminal.ts';

const folder = mkdtempSync(join(tmpdir(), 'sop-cli-live-'));
const data = join(folder, 'data');
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const items = defineStore<number, number>('items');
const main = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts');
const program = [process.execPath, '--experimental-strip-types', '--disable-warning=ExperimentalWarning', main];

const [DRAWN, RETURNED, SEQUENCES] = [
  'commits a second, most[\\s\\S]*\\x1b\\[J',
  '\\x1b\\[\\?1049l',
  '\\x1b\\[[?\\d]*[a-zA-Z]',
].map((source) => new RegExp(source)) as [RegExp, RegExp, RegExp];

beforeAll(async () => {
  await using db = await Database.open(data);
  await db.write((tx) => tx.store(items).put(1, 1));
});

describe('top', () => {
  test('sees what a writer commits, from outside', async () => {
    await using db = await Database.open(data);
    let working = true;
    const work = (async () => {
      for (let i = 0; working; i++) await db.write((tx) => tx.store(items).put(i, i));
    })();
    const { code, out } = await sop(['top', data, '--once', '--json', '--interval', '0.2']);
    working = false;
    await work;
    const figures = JSON.parse(out);
    expect(code).toBe(0);
    expect(figures.commitsPerSecond).toBeGreaterThan(0);
    expect(figures).toMatchObject({ stores: 1, members: [expect.stringContaining(`process ${process.pid} `)] });
  });

  test('writes a line for every look where nobody watches', async () => {
    const { code, out } = await sop(['top', data, '-n', '2', '-i', '0.05']);
    expect([code, out]).toEqual([0, expect.stringMatching(/^(number .* commits\/s .* checkpoints \d+\n){2}$/)]);
    expect((await sop(['top', data, '-i', 'x'])).code).toBe(2);
    expect((await sop(['top', join(folder, 'nothing')])).code).toBe(3);
  });

  test.skipIf(!hasTerminal)('draws within a terminal, and q gives it back as it was', async () => {
    const terminal = new TerminalProgram([...program, 'top', data, '-i', '0.1'], {});
    try {
      const drawn = await terminal.sees(DRAWN);
      expect(drawn).toContain('\x1b[?1049h');
      for (const line of drawn.split(SEQUENCES).join('').split('\r\n')) expect(line.length).toBeLessThanOrEqual(80);
      terminal.type('q');
      await terminal.sees(RETURNED);
      expect(await terminal.ended()).toBe(0);
    } finally {
      terminal.kill();
    }
  });
});

describe('bench', () => {
  test('measures, and leaves nothing behind', async () => {
    const where = join(folder, 'bench');
    mkdirSync(where);
    const { code, out } = await sop(['bench', where, '--seconds', '1']);
    expect(code).toBe(0);
    expect(out).toMatch(
      /measure +a second[\s\S]*1 client +[\d,]+ +commits[\s\S]*64 clients[\s\S]*get at random[\s\S]*scan/,
    );
    expect((await sop(['bench', where, '--seconds', '1'], { signal: AbortSignal.abort() })).code).toBe(130);
    expect(readdirSync(where)).toEqual([]);
    expect((await sop(['bench', where, '--seconds', '0'])).code).toBe(2);
  });
});

describe('completions', () => {
  const at = async (...words: string[]) =>
    (await sop(['completions', 'at', '--', ...words])).out.split('\n').filter(Boolean);

  test('know verbs, options, stores and what dump draws', async () => {
    expect(await at('co')).toEqual(['count', 'compact', 'completions']);
    expect(await at('count', data, '')).toEqual(['items']);
    expect(await at('count', data, 'items', '')).toEqual([]);
    expect(await at('scan', data, '--limit', '5', 'i')).toEqual(['items']);
    expect(await at('scan', data, 'items', '--li')).toEqual(['--limit']);
    expect(await at('dump', data, 't')).toEqual(['table', 'tree']);
    expect(await at('dump', data, 'tree', '')).toEqual(['items']);
    expect(await at('count', join(folder, 'nothing'), '')).toEqual([]);
    expect(await at('help', 'dum')).toEqual(['dump']);
    expect((await sop(['completions', 'tcsh'])).code).toBe(2);
  });

  const hasBash = spawnSync('bash', ['--version']).status === 0;
  test.skipIf(!hasBash)('work in bash', async () => {
    const { out } = await sop(['completions', 'bash']);
    const line = `sop() { ${program.map((word) => `'${word}'`).join(' ')} "$@"; }\n${out}\nCOMP_WORDS=(sop count '${data}' ''); COMP_CWORD=3; _sop; echo "\${COMPREPLY[*]}"`;
    expect(spawnSync('bash', ['-c', line], { encoding: 'utf8' })).toMatchObject({ status: 0, stdout: 'items\n' });
  });

  const shells = (['zsh', 'fish'] as const).filter((shell) => spawnSync(shell, ['--version']).status === 0);
  test.skipIf(shells.length === 0)('are understood by zsh and fish', async () => {
    for (const shell of shells) {
      const { out } = await sop(['completions', shell]);
      expect(spawnSync(shell, ['-n'], { input: out }).status).toBe(0);
    }
  });
});

describe('help', () => {
  test('fits 80 columns, verb by verb, and every example begins with a verb that is there', async () => {
    const { out } = await sop(['--help']);
    const verbs = [...out.matchAll(/^ {2}(\w+) {2,}\S/gm)].map((match) => match[1] as string);
    expect(verbs.length).toBeGreaterThan(15);
    for (const line of out.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    for (const verb of verbs) {
      const help = (await sop(['help', verb])).out;
      expect(help).toMatch(new RegExp(`\\bsop ${verb}\\b[\\s\\S]*Examples[\\s\\S]*Options`));
    }
    expect(await sop(['help', 'nonsense'])).toMatchObject({ code: 2 });
  });

  test.skipIf(!hasTerminal)('has colours on a terminal that wants them, none with NO_COLOR', async () => {
    for (const [wish, isColoured] of [
      ['', true],
      ['1', false],
    ] as const) {
      const terminal = new TerminalProgram([...program, 'help', 'get'], { NO_COLOR: wish });
      const drawn = await terminal.sees(/Options/);
      await terminal.ended();
      expect(drawn.includes('\x1b[1m')).toBe(isColoured);
    }
  });
});
