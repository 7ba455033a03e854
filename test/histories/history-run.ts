/**
 * Histories of real processes: workers on one folder are killed with -9 one after another, now and then stopped for a while
 * before; what they said is kept here, outside; at the end everything is read, and the whole history is checked.
 */
import { join } from 'node:path';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { temporaryFolder } from '../helpers/folders.ts';
import { type LineProcess, startProcess } from '../helpers/processes.ts';
import { type Database, openDatabase } from '../helpers/sop.ts';
import { expectSerializable, type HistoryReport } from './cycle-search.ts';
import { groupKey } from './history-client.ts';
import { ACCOUNTS, accounts, BALANCE, type HistoryOrders, lists, members, names } from './history-plan.ts';
import { HistoryListener, type Observation } from './observed-history.ts';
import { printObservation } from './observed-history.ts';

export interface HistoryRun extends HistoryReport {
  readonly kills: number;
  readonly unknown: number;
  readonly refused: number;
}

export interface HistoryOptions {
  readonly seed: number;
  /** At least so many, refused ones included. */
  readonly transactions: number;
  readonly clients?: number;
  /** Milliseconds that a worker lives at most. */
  readonly lifeMs?: number;
  /** A planted mistake, by name. */
  readonly plant?: string;
}

const WORKER = join(import.meta.dirname, 'history-worker.ts');
const PATIENCE_MS = 60_000;
const KIB = 1024;

/** One database's history. Throws with everything that is wrong. */
export async function runHistory(options: HistoryOptions): Promise<HistoryRun> {
  using folder = temporaryFolder('history');
  const random = new SeededRandom(options.seed);
  const listener = new HistoryListener();
  let kills = 0;
  let next = startProcess(WORKER);
  try {
    while (listener.transactions.length < options.transactions) {
      const worker = next;
      next = startProcess(WORKER);
      await live(worker, makeOrders(random, options, `${folder.path}/db`, kills), random, options.lifeMs ?? 1500);
      listen(listener, worker);
      kills++;
    }
  } finally {
    next.kill();
    await next.ended;
  }
  const transactions = [...listener.transactions];
  await lookAtAll(listener, `${folder.path}/db`);
  const count = (outcome: string): number => transactions.filter((one) => one.outcome === outcome).length;
  try {
    return { ...expectSerializable(listener.transactions), kills, unknown: count('unknown'), refused: count('fail') };
  } catch (error) {
    throw new Error(`SOP_SEED=${options.seed}: ${(error as Error).message}`);
  }
}

function makeOrders(random: SeededRandom, options: HistoryOptions, folder: string, round: number): HistoryOrders {
  const pick = <T>(...choices: readonly T[]): T => choices[random.below(choices.length)] as T;
  return {
    folder,
    seed: random.next(),
    round,
    clients: options.clients ?? 64,
    tableBytes: pick(256, 512, 4096) * KIB,
    cacheBytes: pick(1024, 4096) * KIB,
    beside: pick('nothing', 'nothing', 'checkpoint', 'compact'),
    plant: options.plant,
  };
}

/** Lets a worker go, stops it for a moment now and then, kills it. */
async function live(worker: LineProcess, orders: HistoryOrders, random: SeededRandom, lifeMs: number): Promise<void> {
  const late = setTimeout(() => worker.kill(), PATIENCE_MS);
  try {
    await worker.saying((line) => line === 'ready');
    worker.tell(JSON.stringify(orders));
    if (random.chance(0.1)) return await pause(random.below(60));
    await worker.saying((line) => line.startsWith('o ') || line.startsWith('trouble '));
    await pause(random.below(lifeMs));
    if (random.chance(0.2)) {
      worker.kill('SIGSTOP');
      await pause(random.below(100));
      worker.kill('SIGCONT');
      await pause(random.below(100));
    }
  } finally {
    clearTimeout(late);
    worker.kill();
    await worker.ended;
  }
}

function listen(listener: HistoryListener, worker: LineProcess): void {
  for (const line of worker.lines) {
    if (line.startsWith('trouble ')) throw new Error(line.replaceAll('\\n', '\n'));
    if (line === 'opened') listener.processOpened();
    else listener.hear(line);
  }
  listener.processEnded();
}

/** The last transaction of every history: it reads everything there is. */
async function lookAtAll(listener: HistoryListener, folder: string): Promise<void> {
  const db = await openDatabase(folder);
  try {
    listener.processOpened();
    listener.hear('i end r');
    const told = await readEverything(db);
    listener.hear(`c end ${told.map(printObservation).join(';')}`);
    listener.hear('o end NaN NaN');
    const { ok, problems } = await db.verify();
    if (!ok) throw new Error(`verify: ${JSON.stringify(problems.slice(0, 5))}`);
  } finally {
    await db.close();
  }
}

function readEverything(db: Database): Promise<Observation[]> {
  return db.read(async (tx) => {
    const told: Observation[] = [];
    for await (const { key, value } of tx.store(lists).range()) told.push({ kind: 'all', key, elements: value });
    let sum = 0;
    for await (const { key, value } of tx.store(accounts).range()) {
      sum += value.balance;
      told.push({ kind: 'at', key: `b${key}`, version: value.version, element: value.element });
    }
    if (sum !== ACCOUNTS * BALANCE) throw new Error(`${sum} is left in the bank, not ${ACCOUNTS * BALANCE}`);
    const groups = new Map<number, number[]>();
    for await (const { key, value } of tx.store(members).range()) {
      const group = groups.get(key[0]) ?? [];
      if (group[value.place - 1] !== undefined)
        throw new Error(`two members at place ${value.place} of group ${key[0]}`);
      group[value.place - 1] = value.element;
      groups.set(key[0], group);
    }
    for (const [group, elements] of groups) told.push({ kind: 'all', key: groupKey(group), elements });
    for await (const { key, value } of tx.store(names).range())
      told.push({ kind: 'at', key, version: 1, element: value });
    return told;
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
