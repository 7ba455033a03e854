/**
 * Which lane catches which planted mistake, and how fast: `npm run planted -- [part of a name ...] [--write]`. Each mistake is planted in
 * a process of its own, its lane runs seed after seed until its first red. Prints the table; with `--write` puts it into
 * TESTING.md. Ends with 1 where a mistake went unnoticed.
 */
import { fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { round } from '../helpers/scale.ts';
import { catchBug, PLANTED_BUGS, PLANTED_LANES } from '../sim/planted-lanes.ts';
import type { PlantedBug } from '../sim/planted-bug.ts';

/** A mistake that makes the engine turn in circles is seen as well: by who waits for it. */
const PATIENCE_SECONDS = Number(process.env.SOP_PATIENCE ?? 500);
const BEGIN = '<!-- planted: begin -->';
const END = '<!-- planted: end -->';

interface Caught {
  readonly bug: PlantedBug;
  readonly seeds: number | undefined;
  readonly seconds: number;
  readonly words: string;
}

if (process.send !== undefined) {
  process.on('message', (name: string) => {
    const bug = PLANTED_BUGS.find((one) => one.name === name) as PlantedBug;
    void catchBug(bug).then((red) => process.send?.({ seed: red?.seed, error: red?.error }));
  });
} else await lead();

async function lead(): Promise<void> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { write: { type: 'boolean' } } });
  if (values.write === true && positionals.length > 0)
    throw new Error('--write writes the whole table: name no mistake');
  const isWanted = ({ name, lane }: PlantedBug): boolean =>
    positionals.length === 0 || positionals.some((part) => name.includes(part) || lane === part);
  const left = PLANTED_BUGS.filter(isWanted);
  const caught = new Map<PlantedBug, Caught>();
  const member = async (): Promise<void> => {
    for (let bug = left.shift(); bug !== undefined; bug = left.shift()) {
      const found = await plantAndWait(bug);
      caught.set(bug, found);
      const how = found.seeds === undefined ? 'NOT CAUGHT' : `caught after ${found.seeds} runs`;
      console.log(`${how}, ${round(found.seconds)} s, lane ${bug.lane}: ${bug.name}\n    ${found.words}`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, member));
  const rows = PLANTED_BUGS.flatMap((bug) => caught.get(bug) ?? []);
  const table = tableOf(rows);
  console.log(`\n${table}`);
  if (values.write === true) writeTable(table);
  const missed = rows.filter(({ seeds }) => seeds === undefined).length;
  console.log(`\n${rows.length - missed} of ${rows.length} planted mistakes caught`);
  process.exitCode = missed > 0 ? 1 : 0;
}

function plantAndWait(bug: PlantedBug): Promise<Caught> {
  return new Promise((resolve) => {
    const child = fork(import.meta.filename, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    const began = performance.now();
    const settle = (seeds: number | undefined, words: string): void => {
      clearTimeout(timer);
      child.removeAllListeners();
      child.kill('SIGKILL');
      resolve({ bug, seeds, seconds: (performance.now() - began) / 1000, words: words.slice(0, 160) });
    };
    const timer = setTimeout(() => settle(undefined, `no end in ${PATIENCE_SECONDS} s`), PATIENCE_SECONDS * 1000);
    child.on('message', (answer: unknown) => {
      const { seed, error } = answer as { seed?: number; error?: string };
      settle(seed, firstWords(error ?? ''));
    });
    child.on('exit', (code, signal) => settle(1, `the process ended with ${signal ?? code}`));
    child.send(bug.name);
  });
}

/** The line that says what is wrong. */
function firstWords(error: string): string {
  const lines = error.split('\n').map((line) => line.trim());
  return lines.find((line) => /Error|Mismatch|anomalies/.test(line)) ?? lines[0] ?? '';
}

function tableOf(rows: readonly Caught[]): string {
  const lines = ['| planted mistake | lane | caught after |', '|---|---|---|'];
  for (const { bug, seeds, seconds } of rows) {
    const runs = seeds === 1 ? 'run' : 'runs';
    const how =
      seeds === undefined
        ? 'NOT CAUGHT'
        : `${seeds} ${runs}, ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
    lines.push(`| ${bug.name} | ${PLANTED_LANES[bug.lane].row} (${bug.lane}) | ${how} |`);
  }
  return lines.join('\n');
}

function writeTable(table: string): void {
  const file = join(import.meta.dirname, '..', '..', 'TESTING.md');
  const text = readFileSync(file, 'utf8');
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error('TESTING.md has no place for the table');
  writeFileSync(file, `${text.slice(0, from + BEGIN.length)}\n${table}\n${text.slice(to)}`);
}
