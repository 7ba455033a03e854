/** What can be said of the documents at once; `test/integration/docs.test.ts` compiles and runs them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { transformSync } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { brokenLinks, docPages, root } from '../helpers/doc-pages.ts';

const pages = docPages();

describe('the documents', () => {
  it('have examples that can be read, each page as one program', () => {
    const problem = (page: { path: string; program: string }): string[] => {
      try {
        transformSync(page.program, { loader: 'ts', sourcefile: page.path, logLevel: 'silent' });
        return [];
      } catch (error) {
        return [String(error)];
      }
    };
    expect(pages.flatMap(problem)).toEqual([]);
  });

  it('name every code of an error, with its class', () => {
    const text = readFileSync(join(root, 'README.md'), 'utf8');
    const source = readFileSync(join(root, 'src', 'base', 'errors.ts'), 'utf8');
    const codes = [...source.matchAll(/^ {2}\| '([A-Z_]+)'/gm)].map((match) => match[1] ?? '');
    expect(codes.length).toBeGreaterThan(30);
    expect(codes.filter((code) => !text.includes(`\`${code}\``))).toEqual([]);
    const classes = [...source.matchAll(/^export class (\w+) extends SopError/gm)].map((match) => match[1] ?? '');
    const inTable = (name: string) => text.includes(`\`${name}\``) || /^Invalid/.test(name);
    expect(classes.filter((name) => !inTable(name))).toEqual([]);
  });

  it('leave a block unrun only with a reason', () => {
    expect(pages.flatMap((page) => page.excused.filter(({ reason }) => reason === ''))).toEqual([]);
  });

  it('link to what is there, and name lanes that there are', async () => {
    expect(pages.flatMap((page) => brokenLinks(page).map((link) => `${page.path}: ${link}`))).toEqual([]);
    const { href } = pathToFileURL(join(root, 'scripts', 'lanes.mjs'));
    const { lanes } = (await import(href)) as { lanes: { name: string }[] };
    const known = lanes.map(({ name }) => name);
    const named = pages.flatMap((page) =>
      [...page.text.matchAll(/npm\s+run\s+lanes\s+--\s+([\w-]+)/g)].map((match) => match[1]),
    );
    expect(named.filter((name) => name !== undefined && !known.includes(name))).toEqual([]);
  });
});
