/**
 * `cp -r` of a database that is being written: a copy shows a consistent prefix of what was committed, or somebody refuses it with
 * a typed error; it never shows anything else.
 */
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SopError } from '../../src/base/errors.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { temporaryFolder } from './folders.ts';
import { makePlan, type Plan, TOTALS } from './group-plan.ts';
import { applyPlan, type ClientState, fingerprint, type FoundState, NO_ENTRIES, readState } from './group-state.ts';
import type { Orders } from './group-worker.ts';
import { startProcess } from './processes.ts';
import { openDatabase } from './sop.ts';

export interface LiveCopyFigures {
  readonly copies: number;
  /** Shown whole. */
  readonly opened: number;
  /** Refused when opened or read, with a typed error. */
  readonly refused: number;
  readonly commits: number;
}

const run = promisify(execFile);
const WORKER = join(import.meta.dirname, 'group-worker.ts');
const KIB = 1024;

/** Copies one living database again and again. Throws where a copy shows what never was. */
export async function runLiveCopies(seed: number, copies: number): Promise<LiveCopyFigures> {
  using folder = temporaryFolder('copy');
  const random = new SeededRandom(seed);
  const worker = startProcess(WORKER);
  let opened = 0;
  let refused = 0;
  try {
    await worker.saying((line) => line === 'ready');
    const orders: Orders = {
      folder: `${folder.path}/db`,
      seed,
      round: 0,
      clients: 8,
      tableBytes: 256 * KIB,
      cacheBytes: 4096 * KIB,
      beside: random.chance(0.5) ? 'checkpoint' : 'compact',
    };
    worker.tell(JSON.stringify(orders));
    await worker.saying((line) => line.startsWith('a ') || line.startsWith('trouble '));
    for (let i = 0; i < copies; i++) {
      await new Promise((resolve) => setTimeout(resolve, random.below(200)));
      const copy = `${folder.path}/copy-${i}`;
      // Files may go while they are copied; cp says so and copies the rest.
      await run('cp', ['-r', orders.folder, copy]).catch(() => undefined);
      const found = await look(copy, random.chance(0.3));
      if (found === undefined) refused++;
      else {
        opened++;
        // The worker's words may still be on their way to us.
        await new Promise((resolve) => setTimeout(resolve, 50));
        mustBePrefix(seed, worker.lines, found, `SOP_SEED=${seed}, copy ${i}`);
      }
      rmSync(copy, { recursive: true, force: true });
    }
  } finally {
    worker.kill();
    await worker.ended;
  }
  const trouble = worker.lines.find((line) => line.startsWith('trouble '));
  if (trouble !== undefined) throw new Error(trouble.replaceAll('\\n', '\n'));
  const commits = worker.lines.filter((line) => line.startsWith('a ')).length;
  return { copies, opened, refused, commits };
}

/** What the copy shows; undefined where it is refused. */
async function look(copy: string, readOnly: boolean): Promise<FoundState | undefined> {
  try {
    const db = await openDatabase(copy, { readOnly });
    try {
      const found = await readState(db);
      const { ok } = await db.verify();
      return ok ? found : undefined;
    } finally {
      await db.close();
    }
  } catch (error) {
    if (error instanceof SopError) return undefined;
    throw error;
  }
}

interface Event {
  readonly plan: Plan;
  readonly began: number;
  ended: number;
}

function mustBePrefix(seed: number, lines: readonly string[], found: FoundState, what: string): void {
  const clients = eventsOf(seed, lines);
  const included: Event[] = [];
  const missing: Event[] = [];
  const sums = new Array<number>(TOTALS).fill(0);
  for (const [client, events] of clients) {
    const count = prefixLength(events, found.clients.get(client) ?? NO_ENTRIES);
    if (count === undefined) throw new Error(`${what}: the entries of client ${client} are those of no prefix`);
    included.push(...events.slice(0, count));
    missing.push(...events.slice(count));
  }
  for (const client of found.clients.keys()) {
    if (!clients.has(client)) throw new Error(`${what}: entries of client ${client}, which has none`);
  }
  for (const { plan } of included) if (plan.total !== undefined) (sums[plan.total] as number)++;
  if (sums.some((sum, i) => sum !== found.totals[i]))
    throw new Error(`${what}: the totals are ${found.totals}, those of the entries ${sums}`);
  const lastBegin = Math.max(-1, ...included.map(({ began }) => began));
  const early = missing.find(({ ended }) => ended < lastBegin);
  if (early !== undefined)
    throw new Error(`${what}: ${early.plan.name} is missing, and what began after its answer is there`);
}

function eventsOf(seed: number, lines: readonly string[]): Map<number, Event[]> {
  const clients = new Map<number, Event[]>();
  lines.forEach((line, at) => {
    const [word, client, place] = line.split(' ');
    const events = clients.get(Number(client)) ?? [];
    if (word === 's') {
      const plan = makePlan(seed, 0, Number(client), Number(place));
      events.push({ plan, began: at, ended: Number.POSITIVE_INFINITY });
      clients.set(Number(client), events);
    } else if (word === 'a') (events[Number(place)] as Event).ended = at;
  });
  return clients;
}

/** How many of a client's transactions make up what is there; undefined where no number does. */
function prefixLength(events: readonly Event[], state: ClientState): number | undefined {
  const wanted = fingerprint(state);
  const head = state.get('heads');
  const count = head === undefined ? 0 : events.findIndex(({ plan }) => plan.name === head) + 1;
  if (head !== undefined && count === 0) return undefined;
  const made = events.slice(0, count).reduce((before, { plan }) => applyPlan(before, plan), NO_ENTRIES);
  return fingerprint(made) === wanted ? count : undefined;
}
