/**
 * `sop top`: live figures of a database, looked at from outside. A writer's own counters are in its memory; what can be seen
 * of it is what it has committed, how large its files are and who it is.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { Database } from '../index.ts';
import {
  type Command,
  EXIT_DONE,
  flagOption,
  type Invocation,
  numberOption,
  takePositionals,
  textOption,
  UsageError,
} from './command.ts';
import { clip, printable } from './dump-draw.ts';
import { formatBytes, formatCount, type Output } from './output.ts';

const BARS = '▁▂▃▄▅▆▇█';
const MOST_POINTS = 500;
/** Looking costs an opening for reading: never more than this part of the time. */
const MOST_LOOKING = 0.2;

interface Look {
  readonly atMs: number;
  readonly tookMs: number;
  readonly number: number;
  readonly rootNumber: number;
  readonly stores: number;
  readonly logBytes: number;
  readonly dataBytes: number;
  readonly segments: number;
  readonly members: readonly string[];
}

interface Figures extends Look {
  readonly seconds: number;
  readonly commitsPerSecond: number;
  readonly logBytesPerSecond: number;
  readonly dataBytesPerSecond: number;
  /** Since `top` began. */
  readonly checkpoints: number;
}

export const topCommand: Command = {
  name: 'top',
  summary: 'live figures of a database, also beside its writer',
  usage: '<folder>',
  details:
    'Seen from outside: transactions committed, growth of the files, checkpoints, who has it open. q leaves. Where standard ' +
    'output is no terminal, a line for every look. Numbers are given to checkpoints too, so an idle database may move.',
  options: {
    once: { type: 'boolean', help: 'one look over one interval, then end' },
    interval: { type: 'string', short: 'i', value: 'seconds', help: 'between two looks (1)' },
    count: { type: 'string', short: 'n', value: 'count', help: 'end after so many looks' },
  },
  examples: [
    ['sop top ./data', 'until q is pressed'],
    ['sop top ./data --once --json', 'one look, for scripts'],
    ['sop top ./data --interval 10 > figures.txt', 'a line every ten seconds'],
  ],
  async run(call) {
    const [folder] = takePositionals(call, '<folder>') as [string];
    const interval = Number(textOption(call.options, 'interval') ?? 1) * 1000;
    if (!(interval >= 50 && interval <= 86_400_000)) throw new UsageError('--interval takes seconds, from 0.05');
    const count = flagOption(call.options, 'once')
      ? 1
      : (numberOption(call.options, 'count') ?? Number.POSITIVE_INFINITY);
    const { terminal } = call.out;
    if (terminal === undefined || flagOption(call.options, 'once'))
      return watch(call, folder, interval, count, call.signal, tellLine);
    return onScreen(call, folder, interval, count, terminal);
  },
};

type Tell = (out: Output, folder: string, figures: Figures, past: readonly number[]) => Promise<void>;

async function watch(
  call: Invocation,
  folder: string,
  interval: number,
  count: number,
  signal: AbortSignal,
  tell: Tell,
): Promise<number> {
  let last = await look(folder);
  let checkpoints = 0;
  const past: number[] = [];
  for (let done = 0; done < count && !signal.aborted; done++) {
    const pause = Math.max(interval, last.tookMs / MOST_LOOKING);
    if (!(await wait(pause, true, { signal }).catch(() => false))) break;
    const next = await look(folder);
    const seconds = (next.atMs - last.atMs) / 1000;
    if (next.rootNumber !== last.rootNumber) checkpoints++;
    const figures: Figures = {
      ...next,
      seconds,
      commitsPerSecond: (next.number - last.number) / seconds,
      logBytesPerSecond: (next.logBytes - last.logBytes) / seconds,
      dataBytesPerSecond: (next.dataBytes - last.dataBytes) / seconds,
      checkpoints,
    };
    past.push(figures.commitsPerSecond);
    if (past.length > MOST_POINTS) past.shift();
    await tell(call.out, folder, figures, past);
    await call.out.flush();
    last = next;
  }
  return EXIT_DONE;
}

async function look(folder: string): Promise<Look> {
  const began = performance.now();
  await using db = await Database.open(folder, { readOnly: true });
  const { number, rootNumber } = db.stats();
  const stores = (await db.stores()).length;
  const data = sizesIn(join(folder, 'data'));
  const atMs = performance.now();
  return {
    atMs,
    tookMs: atMs - began,
    number,
    rootNumber,
    stores,
    logBytes: sum(sizesIn(join(folder, 'log'))),
    dataBytes: sum(data),
    segments: data.length,
    members: membersOf(folder),
  };
}

/** Files may go while they are looked at. */
function sizesIn(folder: string): number[] {
  try {
    return readdirSync(folder).flatMap((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? []);
  } catch {
    return [];
  }
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all + size, 0);
}

/** A few words for every program that has it open, as it says itself. */
function membersOf(folder: string): string[] {
  let names: string[] = [];
  try {
    names = readdirSync(join(folder, 'members'));
  } catch {}
  return names.flatMap((name) => {
    try {
      const { pid, host, since } = JSON.parse(
        readFileSync(join(folder, 'members', name), 'utf8').slice(0, 4096),
      ) as Record<string, unknown>;
      return [printable(`process ${pid} on ${host}, since ${since}`)];
    } catch {
      return [];
    }
  });
}

const tellLine: Tell = async (out, _folder, figures) => {
  if (out.json) {
    const { atMs: _at, tookMs: _took, ...rest } = figures;
    await out.line(JSON.stringify(rest));
    return;
  }
  const { number, commitsPerSecond, logBytes, dataBytes, checkpoints } = figures;
  await out.line(
    `number ${formatCount(number)}  ${rate(commitsPerSecond)} commits/s  log ${formatBytes(logBytes)}  ` +
      `data ${formatBytes(dataBytes)}  checkpoints ${checkpoints}`,
  );
};

function rate(perSecond: number): string {
  return perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : formatCount(Math.max(0, perSecond));
}

type Screen = NonNullable<Output['terminal']>;

async function onScreen(
  call: Invocation,
  folder: string,
  interval: number,
  count: number,
  terminal: Screen,
): Promise<number> {
  const stop = new AbortController();
  const quit = () => stop.abort();
  call.signal.addEventListener('abort', quit);
  const input =
    call.input instanceof Readable ? (call.input as Readable & { setRawMode?(raw: boolean): void }) : undefined;
  const onKey = (key: Buffer | string) => {
    // Ctrl-C and Ctrl-D come as bytes in raw mode.
    if (['q', 'Q', '\x03', '\x04'].some((one) => String(key).includes(one))) quit();
  };
  // The other screen, no cursor; both are given back however this ends.
  terminal.write('\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J looking ...');
  input?.setRawMode?.(true);
  input?.on('data', onKey);
  try {
    return await watch(call, folder, interval, count, stop.signal, async (_out, path, figures, past) => {
      const lines = draw(path, figures, past, terminal.columns ?? 80).slice(0, (terminal.rows ?? 24) - 1);
      terminal.write(`\x1b[H${lines.map((line) => `${line}\x1b[K\r\n`).join('')}\x1b[J`);
    });
  } finally {
    input?.off('data', onKey);
    input?.setRawMode?.(false);
    input?.pause();
    call.signal.removeEventListener('abort', quit);
    terminal.write('\x1b[?25h\x1b[?1049l');
  }
}

function draw(folder: string, figures: Figures, past: readonly number[], columns: number): string[] {
  const growth = (perSecond: number) =>
    Math.abs(perSecond) < 1 ? '' : `${perSecond < 0 ? '-' : '+'}${formatBytes(Math.round(Math.abs(perSecond)))}/s`;
  const behind = figures.number - figures.rootNumber;
  const lines = [
    `sop top  ${folder}   q leaves`,
    '',
    `  commits      ${rate(figures.commitsPerSecond)}/s`,
    `  number       ${formatCount(figures.number)}, ${formatCount(behind)} behind the newest checkpoint`,
    `  checkpoints  ${formatCount(figures.checkpoints)} since this began`,
    `  log          ${formatBytes(figures.logBytes).padEnd(12)} ${growth(figures.logBytesPerSecond)}`,
    `  data         ${formatBytes(figures.dataBytes).padEnd(12)} ${growth(figures.dataBytesPerSecond)}`,
    `  holds        ${formatCount(figures.stores)} stores in ${formatCount(figures.segments)} segments`,
    ...(figures.members.length === 0
      ? ['  open         by nobody']
      : figures.members.map((who) => `  open         ${who}`)),
    '',
    `  commits a second, most ${rate(Math.max(...past))}`,
    `  ${bars(past.slice(-(columns - 4)))}`,
  ];
  return lines.map((line) => clip(line, columns));
}

function bars(values: readonly number[]): string {
  const most = Math.max(1e-9, ...values);
  return values.map((value) => BARS[Math.round((Math.max(0, value) / most) * (BARS.length - 1))]).join('');
}
