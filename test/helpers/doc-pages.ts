/**
 * The pages of the documents as programs. The `ts` blocks of a page, in their order, are one program; `// -> text` says what it
 * prints, line by line (`...` stands for anything). `ts no-run: why` is a block that is only looked at. In `sh` blocks a line
 * `$ npx sop ...` is run after the program, in the same folder; the lines under it are what it prints.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

export interface Command {
  readonly line: number;
  readonly text: string;
  readonly prints: readonly string[];
}

export interface DocPage {
  /** Its path from the root of the repository. */
  readonly path: string;
  readonly text: string;
  /** Lines stand where they stand in the page, so that what fails names the right one. */
  readonly program: string;
  readonly prints: readonly string[];
  readonly commands: readonly Command[];
  /** Blocks that are not run, and why. */
  readonly excused: readonly { readonly line: number; readonly reason: string }[];
}

export function docPages(): DocPage[] {
  const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .map((path) => `docs/${path.replaceAll('\\', '/')}`)
    .filter((path) => path.endsWith('.md') && !path.startsWith('docs/api/'));
  return ['README.md', ...pages.sort()].map(readPage);
}

function readPage(path: string): DocPage {
  const text = readFileSync(join(root, path), 'utf8');
  const program: string[] = [];
  const commands: { line: number; text: string; prints: string[] }[] = [];
  const excused: { line: number; reason: string }[] = [];
  let fence: string | undefined;
  for (const [i, line] of text.split('\n').entries()) {
    const border = /^```(.*)$/.exec(line)?.[1];
    if (border !== undefined) {
      fence = fence === undefined ? border.trim() : undefined;
      if (fence?.startsWith('ts no-run'))
        excused.push({ line: i + 1, reason: fence.slice(9).replace(/^:/, '').trim() });
    }
    const isCode = border === undefined && fence === 'ts';
    program.push(isCode ? line : '');
    if (border !== undefined || fence !== 'sh') continue;
    if (line.startsWith('$ ')) commands.push({ line: i + 1, text: line.slice(2), prints: [] });
    else commands.at(-1)?.prints.push(line);
  }
  const prints = program.flatMap((line) => /\/\/ -> (.*)$/.exec(line)?.[1]?.trimEnd() ?? []);
  return { path, text, program: `${program.join('\n')}\nexport {};\n`, prints, commands, excused };
}

/** Relative links of a page that lead to no file. */
export function brokenLinks(page: DocPage): string[] {
  const folder = join(root, page.path, '..');
  const links = [...page.text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
  return links.filter((link) => !/^\w+:/.test(link) && !isFile(join(folder, link)));
}

function isFile(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return relative(root, path).startsWith('docs/api');
  }
}

/** Whether what was printed is what the page says, `...` standing for anything. */
export function isAsSaid(said: string, printed: string): boolean {
  const pattern = said
    .split('...')
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^${pattern}$`).test(printed.trimEnd());
}
