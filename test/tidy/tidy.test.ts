/**
 * What keeps the source in order: floors import only downward, nothing goes in circles, nothing lies dead, and time,
 * chance, disk and environment have one home.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');

/** Lowest first. Names in one row are neighbours, which do not know each other. */
const floors = [
  ['base'],
  ['env'],
  ['codec'],
  ['node'],
  ['tree'],
  ['log'],
  ['storage'],
  ['commit'],
  ['transaction'],
  ['store'],
  ['cluster'],
  ['features'],
  ['index.ts', 'engine.ts'],
  ['server', 'console', 'bridge', 'cli'],
];

const doors = ['src/index.ts', 'src/engine.ts', 'src/cli/main.ts'];

/** Files no door reaches, each with the reason why it stands all the same (the start of their path). */
const allowedDead: Record<string, string> = {
  'src/env/simulated-': 'the failing disk and the clock of the tests; the engine never asks for them',
  'src/env/file-image': 'a file of the simulated disk',
  'src/tree/tree-dump': 'a drawing of an image for tests that know no store; `sop dump` draws with names and keys',
};

/** What must not be named outside its home. Doors of the top row serve people and programs, not the engine: exempt. */
const homes: { what: string; pattern: RegExp; home: string }[] = [
  { what: 'disk', pattern: /['"](node:)?fs(\/promises)?['"]/, home: 'src/env/' },
  {
    what: 'system',
    pattern: /['"](node:)?(os|child_process|worker_threads|perf_hooks|timers(\/promises)?)['"]/,
    home: 'src/env/',
  },
  { what: 'time', pattern: /\bDate\.now\b|\bnew Date\(\s*\)|\bperformance\.|\bprocess\.hrtime\b/, home: 'src/env/' },
  {
    what: 'chance',
    pattern: /\bMath\.random\b|['"](node:)?crypto['"]|\bcrypto\.(get|random|subtle)/,
    home: 'src/env/',
  },
  { what: 'timers', pattern: /\bset(Timeout|Immediate|Interval)\b/, home: 'src/env/' },
  { what: 'environment', pattern: /\bprocess\.(env|argv|cwd|exit)\b/, home: 'src/env/' },
  { what: 'console', pattern: /\bconsole\./, home: 'src/env/' },
];

type Source = { path: string; text: string; code: string; imports: string[] };

const withoutComments = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');

function readSource(path: string): Source {
  const text = readFileSync(join(root, path), 'utf8');
  const code = withoutComments(text);
  const named = code.matchAll(/\b(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g);
  return { path, text, code, imports: [...named].map((match) => posix.join(posix.dirname(path), match[1] ?? '')) };
}

const sources = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => readSource(relative(root, join(entry.parentPath, entry.name)).split(sep).join('/')));
const byPath = new Map(sources.map((source) => [source.path, source]));

const roomOf = (path: string): string => path.split('/')[1] ?? '';
const floorOf = (path: string): number => floors.findIndex((names) => names.includes(roomOf(path)));
const topFloor = floors.length - 1;

describe('the source', () => {
  it('has only known floors, and every relative import names a file', () => {
    expect(sources.filter((s) => floorOf(s.path) < 0).map((s) => s.path)).toEqual([]);
    const lost = sources.flatMap((s) => s.imports.filter((to) => !byPath.has(to)).map((to) => `${s.path} -> ${to}`));
    expect(lost).toEqual([]);
  });

  it('imports only downward', () => {
    const upward = sources.flatMap((from) =>
      from.imports
        .filter(
          (to) =>
            floorOf(to) > floorOf(from.path) ||
            (floorOf(to) === floorOf(from.path) && roomOf(to) !== roomOf(from.path)),
        )
        .map((to) => `${from.path} -> ${to}`),
    );
    expect(upward).toEqual([]);
  });

  it('has no circles of imports, types included', () => {
    const state = new Map<string, 'open' | 'done'>();
    const circles: string[] = [];
    const walk = (path: string, way: string[]): void => {
      if (state.get(path) === 'done') return;
      if (state.get(path) === 'open') {
        circles.push([...way.slice(way.indexOf(path)), path].join(' -> '));
        return;
      }
      state.set(path, 'open');
      for (const to of byPath.get(path)?.imports ?? []) walk(to, [...way, path]);
      state.set(path, 'done');
    };
    for (const source of sources) walk(source.path, []);
    expect(circles).toEqual([]);
  });

  it.skipIf(!existsSync(join(root, 'src/index.ts')))('has no file that no door reaches', () => {
    const reached = new Set<string>();
    const walk = (path: string): void => {
      if (reached.has(path)) return;
      reached.add(path);
      for (const to of byPath.get(path)?.imports ?? []) walk(to);
    };
    for (const door of doors) walk(door);
    const allowed = (path: string): boolean => Object.keys(allowedDead).some((start) => path.startsWith(start));
    expect(sources.map((s) => s.path).filter((path) => !reached.has(path) && !allowed(path))).toEqual([]);
  });

  it.each(homes)('keeps $what in $home', ({ pattern, home }) => {
    const strays = sources.filter(
      (s) => floorOf(s.path) < topFloor && !s.path.startsWith(home) && pattern.test(s.code),
    );
    expect(strays.map((s) => s.path)).toEqual([]);
  });

  it('re-exports only in doors', () => {
    const reExports = sources.filter((s) => /^export\s[^;='"]*\bfrom\s*['"]/m.test(s.code));
    expect(reExports.map((s) => s.path).filter((path) => !doors.includes(path))).toEqual([]);
  });

  it('has files one can read in one sitting', () => {
    const lengths = sources.map((s) => ({ path: s.path, lines: s.text.split('\n').length - 1 }));
    for (const { path, lines } of lengths) if (lines > 400) console.warn(`long: ${path} has ${lines} lines`);
    expect(lengths.filter(({ lines }) => lines > 800)).toEqual([]);
  });
});
