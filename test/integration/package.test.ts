/**
 * The package as a user meets it: packed, installed in an empty folder elsewhere without a network, used from ESM, from
 * CommonJS, from TypeScript and from the command line.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const hasDoor = existsSync(join(root, 'src', 'index.ts'));
const hasCommand = existsSync(join(root, 'src', 'cli', 'main.ts'));
const execute = promisify(execFile);

/** Runs a program to its end; what it printed is the answer, and part of the error where it fails. */
async function run(program: string, args: string[], cwd: string): Promise<string> {
  try {
    return (await execute(program, args, { cwd, env: { ...process.env, NODE_PATH: '' } })).stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}

const node = (args: string[], cwd: string): Promise<string> => run(process.execPath, args, cwd);

function npm(args: string[], cwd: string): Promise<string> {
  const cli = process.env.npm_execpath?.replace(/npx-cli/, 'npm-cli');
  return cli?.endsWith('npm-cli.js') ? node([cli, ...args], cwd) : run('npm', args, cwd);
}

/** The same little program for both module systems: a commit in a folder, read back after opening it again. */
const program = `
async function main() {
  const people = defineStore('people', { key: ['id'] });
  const db = await Database.open('data');
  await db.write(async (tx) => { await tx.store(people).put({ id: 1 }, { name: 'Ada' }); });
  await db.close();
  const again = await Database.open('data', { readOnly: true });
  const name = await again.read(async (tx) => (await tx.store(people).get({ id: 1 })).name);
  await again.close();
  console.log(name + ' ' + (typeof SopError));
}
main().catch((error) => { console.error(error); process.exitCode = 1; });
`;

const typed = `
interface Person { name: string }
const people = defineStore<{ id: number }, Person>('people', { key: ['id'] });
export async function nameOf(id: number): Promise<string | undefined> {
  const db = await Database.open('data', { readOnly: true });
  try {
    return await db.read(async (tx) => (await tx.store(people).get({ id }))?.name);
  } catch (error) {
    if (error instanceof SopError) return error.code;
    throw error;
  } finally {
    await db.close();
  }
}
`;

describe.skipIf(!hasDoor)('the package', () => {
  let work = '';
  let app = '';

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'sop-package-'));
    app = join(work, 'app');
    await mkdir(app);
    await node([join(root, 'scripts', 'run.mjs'), 'prepack'], root);
    await npm(['pack', '--ignore-scripts', '--silent', '--pack-destination', work], root);
    const tarball = (await readdir(work)).find((name) => name.endsWith('.tgz')) ?? '';
    await writeFile(join(app, 'package.json'), '{ "private": true }');
    await npm(['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', join(work, tarball)], app);
  });

  afterAll(() => rm(work, { recursive: true, force: true }));

  it('runs from an ES module', async () => {
    await writeFile(join(app, 'esm.mjs'), `import { Database, defineStore, SopError } from 'sop';\n${program}`);
    expect(await node(['esm.mjs'], app)).toBe('Ada function\n');
  });

  it('runs from a CommonJS module', async () => {
    await writeFile(join(app, 'cjs.cjs'), `const { Database, defineStore, SopError } = require('sop');\n${program}`);
    expect(await node(['cjs.cjs'], app)).toBe('Ada function\n');
  });

  it('is one engine for a program that both imports and requires it', async () => {
    await writeFile(
      join(app, 'both.mjs'),
      `import { createRequire } from 'node:module';\nimport { SopError } from 'sop';\n` +
        `console.log(createRequire(import.meta.url)('sop').SopError === SopError);\n`,
    );
    expect(await node(['both.mjs'], app)).toBe('true\n');
  });

  it.each([
    ['nodenext', ['use.mts', 'use.cts']],
    ['node16', ['use.mts', 'use.cts']],
    ['bundler', ['use.mts']],
  ])('has strict types for %s', async (moduleResolution, files) => {
    for (const file of files) {
      await writeFile(join(app, file), `import { Database, defineStore, SopError } from 'sop';\n${typed}`);
    }
    const config = {
      compilerOptions: {
        strict: true,
        noEmit: true,
        target: 'es2023',
        lib: ['es2023', 'esnext.disposable', 'esnext.iterator'],
        module: moduleResolution === 'bundler' ? 'esnext' : moduleResolution,
        moduleResolution,
        types: ['node'],
        typeRoots: [join(root, 'node_modules', '@types')],
      },
      files,
    };
    await writeFile(join(app, 'tsconfig.json'), JSON.stringify(config));
    await node([join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.'], app);
  });

  it.skipIf(!hasCommand)('has the command sop', async () => {
    expect(await run(join(app, 'node_modules', '.bin', 'sop'), ['--help'], app)).toMatch(/sop/);
  });

  it('ships what a user needs and nothing else', async () => {
    const shipped = await readdir(join(app, 'node_modules', 'sop'));
    expect(shipped).toEqual(expect.arrayContaining(['dist', 'prebuilds', 'LICENSE', 'CHANGELOG.md', 'package.json']));
    expect(shipped.filter((name) => ['src', 'test', 'node_modules', 'build', 'bench'].includes(name))).toEqual([]);
  });
});
