/**
 * The large figures: `npm run audit -- [lane ...] [--for 10m] [--target n] [--share 0.1] [--jobs n] [--fresh]`. All lanes, or those named,
 * share the time of all cores evenly, until each has done its figure on demand (or `--target`, of its first unit; or that
 * share of it), the time is up, or Ctrl-C. What was done stands in `.sop-setup/audit`, seed by seed: the next call goes on there.
 * Failures are told at once, with their seed, and kept; a lane goes on after one, and stops after twenty: then it is not about
 * a seed. Processes begin anew now and then and read the sources again: leave the folder alone meanwhile, or run a copy of it.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Crew, type Round, type RoundAnswer } from './crew.ts';
import { addFigures, isEnough, parseSeconds, shareOf, showFigures, showSeconds } from './figures.ts';
import type { Figures, LaneRow } from './lane-row.ts';
import { LANES, laneOf } from './registry.ts';

interface State {
  /** All seeds below are done or in `unfinished`. */
  next: number;
  unfinished: number[];
  figures: Record<string, number>;
  /** Of all processes together. */
  seconds: number;
  failures: { seed: number; words: string; at: string }[];
}

const FOLDER = join(import.meta.dirname, '..', '..', '.sop-setup', 'audit');
const REPORT_SECONDS = 15;
/** Of one call. */
const MOST_FAILURES = 20;

class LaneAudit {
  readonly row: LaneRow;
  readonly target: Figures;
  readonly state: State;
  readonly underWay = new Set<number>();
  readonly #file: string;
  /** Done since this call began: what rates are made of. */
  readonly now: Record<string, number> = {};
  nowSeconds = 0;
  #rounds = 0;
  #failures = 0;

  constructor(row: LaneRow, target: Figures, isFresh: boolean) {
    this.row = row;
    this.target = target;
    this.#file = join(FOLDER, `${row.name}.json`);
    if (isFresh) rmSync(this.#file, { force: true });
    this.state = readState(this.#file);
  }

  get isDone(): boolean {
    return isEnough(this.state.figures, this.target);
  }

  /** Core seconds of this call, those under way guessed. */
  get timeTaken(): number {
    const each = this.#rounds === 0 ? 1 : this.nowSeconds / this.#rounds;
    return this.nowSeconds + this.underWay.size * each;
  }

  take(): Round | undefined {
    if (this.isDone || this.#failures >= MOST_FAILURES) return undefined;
    if (this.underWay.size >= (this.row.jobs ?? Number.POSITIVE_INFINITY)) return undefined;
    const seed = this.state.unfinished.pop() ?? this.state.next++;
    this.underWay.add(seed);
    return { lane: this.row.name, seed, roundSeconds: this.row.roundSeconds ?? 300 };
  }

  done({ seed }: Round, { figures, failure, seconds }: RoundAnswer): void {
    this.underWay.delete(seed);
    addFigures(this.state.figures, figures);
    addFigures(this.now, figures);
    this.state.seconds += seconds;
    this.nowSeconds += seconds;
    this.#rounds++;
    if (failure !== undefined) {
      this.#failures++;
      this.state.failures.push({ seed, words: failure.slice(0, 4000), at: new Date().toISOString() });
      console.error(
        `\n${this.row.name}, seed ${seed} FAILS; again with: node test/lanes/run.ts ${this.row.name} --seed ${seed} --rounds 1\n${failure}\n`,
      );
    }
    this.save();
  }

  /** What is under way now counts as not done. */
  save(): void {
    const state = { ...this.state, unfinished: [...this.state.unfinished, ...this.underWay] };
    writeFileSync(`${this.#file}.new`, `${JSON.stringify(state, undefined, 2)}\n`);
    renameSync(`${this.#file}.new`, this.#file);
  }
}

function readState(file: string): State {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as State;
  } catch {
    return { next: 1, unfinished: [], figures: {}, seconds: 0, failures: [] };
  }
}

function targetOf(row: LaneRow, target: string | undefined, share: string | undefined): Figures {
  const [unit] = Object.keys(row.demand) as [string];
  if (target !== undefined) return { [unit]: Number(target) };
  const part = Number(share ?? 1);
  return Object.fromEntries(Object.entries(row.demand).map(([name, count]) => [name, count * part]));
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    for: { type: 'string' },
    target: { type: 'string' },
    share: { type: 'string' },
    jobs: { type: 'string' },
    fresh: { type: 'boolean' },
  },
});
mkdirSync(FOLDER, { recursive: true });
const rows = positionals.length > 0 ? positionals.map(laneOf) : [...LANES];
const audits: LaneAudit[] = [];
for (const row of rows) {
  const why = row.why?.();
  if (why !== undefined) console.log(`${row.name} is skipped: ${why}`);
  else audits.push(new LaneAudit(row, targetOf(row, values.target, values.share), values.fresh === true));
}
const jobs = Number(values.jobs ?? availableParallelism());
const began = performance.now();
const ends = values.for === undefined ? Number.POSITIVE_INFINITY : began + parseSeconds(values.for) * 1000;

const crew = new Crew(
  () => {
    if (performance.now() >= ends) return undefined;
    // Who had least of the time goes first.
    for (const audit of [...audits].sort((a, b) => a.timeTaken - b.timeTaken)) {
      const round = audit.take();
      if (round !== undefined) return round;
    }
    return undefined;
  },
  (round, answer) => audits.find(({ row }) => row.name === round.lane)?.done(round, answer),
);
const reporting = setInterval(report, REPORT_SECONDS * 1000);
const late = Number.isFinite(ends) ? setTimeout(() => crew.dismiss(), ends - began) : undefined;
process.on('SIGINT', () => {
  console.log('\nstopping; what was done is kept, the next call goes on there');
  crew.dismiss();
});
await crew.work(jobs);
clearInterval(reporting);
clearTimeout(late);
for (const audit of audits) audit.save();
showTable();
process.exitCode = audits.some(({ state }) => state.failures.length > 0) ? 1 : 0;

function report(): void {
  const seconds = (performance.now() - began) / 1000;
  console.log(`after ${showSeconds(seconds)}:`);
  for (const audit of audits) {
    const { row, state, target } = audit;
    const [unit] = Object.keys(target) as [string];
    const share = shareOf(state.figures, target);
    const rate = (audit.now[unit] ?? 0) / Math.max(1e-9, audit.nowSeconds);
    const gained = shareOf(audit.now, target);
    const left = gained === 0 ? Number.POSITIVE_INFINITY : ((1 - share) / gained) * seconds;
    const words = `${(100 * share).toFixed(1)} % ${showFigures(state.figures)}; ${rate.toFixed(1)} ${unit}/s a core, ${showSeconds(left)} left`;
    console.log(
      `  ${row.name.padEnd(18)} ${words}${state.failures.length > 0 ? `; ${state.failures.length} FAILURES` : ''}`,
    );
  }
}

function showTable(): void {
  const table = ['', '| lane | done | of its target | core time | failures |', '|---|---|---|---|---|'];
  for (const { row, state, target } of audits) {
    const share = `${(100 * shareOf(state.figures, target)).toFixed(1)} % of ${showFigures(target)}`;
    const seeds = state.failures.map(({ seed }) => seed).slice(0, 5);
    const failures = seeds.length === 0 ? 'none' : `${state.failures.length}: seeds ${seeds.join(', ')}`;
    table.push(
      `| ${row.name} | ${showFigures(state.figures)} | ${share} | ${showSeconds(state.seconds)} | ${failures} |`,
    );
  }
  console.log(table.join('\n'));
}
