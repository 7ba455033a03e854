/** Every example of the documents is compiled strictly and run, and prints what its page says. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, transformSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DocPage, docPages, isAsSaid, root } from '../helpers/doc-pages.ts';

const pages = docPages();
const work = mkdtempSync(join(tmpdir(), 'sop-docs-'));
const command = join(work, 'node_modules', 'sop', 'cli.mjs');

beforeAll(async () => {
  // Once, in one file each: loading the source for every page would take longer than all of them.
  await build({
    entryPoints: { index: join(root, 'src', 'index.ts'), cli: join(root, 'src', 'cli', 'main.ts') },
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'node22.12',
    format: 'esm',
    outdir: join(work, 'node_modules', 'sop'),
    outExtension: { '.js': '.mjs' },
    external: ['ioredis', 'cassandra-driver'],
    define: { 'import.meta.dirname': JSON.stringify(join(root, 'src', 'env')) },
    logLevel: 'error',
  });
  writeFileSync(join(work, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  const names = { name: 'sop', type: 'module', exports: './index.mjs' };
  writeFileSync(join(work, 'node_modules', 'sop', 'package.json'), JSON.stringify(names));
});

afterAll(() => rmSync(work, { recursive: true, force: true }));

const folderOf = (page: DocPage): string => join(work, page.path.replace(/\.md$/, '').replaceAll('/', '-'));

/** A program in the folder of its page; what it printed, line by line. */
function printed(program: string, args: readonly string[], cwd: string): string[] {
  const env = { ...process.env, NO_COLOR: '1' };
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, env, encoding: 'utf8', timeout: 30_000 });
  expect(`${stderr}${status === 0 ? '' : `\nended with ${status}\n${stdout}`}`.trim()).toBe('');
  return stdout.split('\n').slice(0, -1);
}

function expectPrinted(said: readonly string[], lines: readonly string[]): void {
  const told = lines.map((line, i) => (isAsSaid(said[i] ?? '', line) ? said[i] : line.trimEnd()));
  expect(told).toEqual(said);
}

describe('the documents', () => {
  it.each(pages.filter((page) => page.program.trim() !== 'export {};').map((page) => [page.path, page] as const))(
    '%s does what it says',
    (_path, page) => {
      const folder = folderOf(page);
      mkdirSync(folder, { recursive: true });
      const { code } = transformSync(page.program, { loader: 'ts', target: 'node22.12', sourcefile: page.path });
      writeFileSync(join(folder, 'main.mjs'), code);
      expectPrinted(page.prints, printed(process.execPath, ['--enable-source-maps', 'main.mjs'], folder));
      const sop = `sop() { "${process.execPath}" "${command}" "$@"; }`;
      for (const { text, prints } of page.commands) {
        const line = `${sop}; { ${text.replace(/\bnpx sop\b/g, 'sop')}; } 2>&1`;
        expectPrinted(prints, printed('sh', ['-c', line], folder));
      }
    },
    40_000,
  );

  it('compile under strict settings', () => {
    const source = join(work, 'source');
    mkdirSync(source);
    const names = pages.map((page) => `${page.path.replace(/\.md$/, '').replaceAll('/', '-')}.ts`);
    for (const [i, page] of pages.entries()) writeFileSync(join(source, names[i] ?? ''), page.program);
    const compilerOptions = {
      rootDir: '/',
      paths: { sop: [join(root, 'src', 'index.ts')] },
      typeRoots: [join(root, 'node_modules', '@types')],
    };
    const project = { extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files: names };
    writeFileSync(join(source, 'tsconfig.json'), JSON.stringify(project));
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { stdout } = spawnSync(process.execPath, [tsc, '-p', source], { encoding: 'utf8', cwd: source });
    expect(stdout).toBe('');
  }, 120_000);
});
