/**
 * Runs of several clients on one engine under one seed's interleaving: the bodies of the schedule tests, each of which throws
 * where a promise is broken.
 */
import { ConflictError, SnapshotTooOldError } from '../../src/base/errors.ts';
import type { Env } from '../../src/env/env.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { AT, MISS } from '../../src/node/entry-cursor.ts';
import type { EngineApi, EngineTransaction } from '../../src/transaction/engine-api.ts';
import { FOUND, NOT_LOADED } from '../../src/storage/find-result.ts';
import { openSmall } from './engine-system.ts';
import { type ClientCounts, readAll, runClient, runUpkeep } from './list-clients.ts';
import { History } from './list-history.ts';

/** Owner of events that are nobody's. */
const UNTOUCHED = { alive: true, paused: false };

const CACHE = { cacheBytes: 128 * 1024 };

async function clientsOf(
  env: Env,
  engine: EngineApi,
  random: SeededRandom,
  history: History,
  counts: ClientCounts,
  disksFail: boolean,
): Promise<void> {
  const context = (): Parameters<typeof runClient>[0] => ({ env, engine, random: random.fork(), history, disksFail });
  const clients = Array.from({ length: 2 + random.below(4) }, () => runClient(context(), 4 + random.below(6), counts));
  await Promise.all([...clients, runUpkeep(context(), random.below(5))]);
}

/** Nothing fails. */
export async function runQuietly(seed: number, counts: ClientCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  const process = world.startProcess();
  const history = new History();
  await world.run(async () => {
    const engine = await openSmall(process, CACHE);
    await clientsOf(process, engine, new SeededRandom(seed + 5), history, counts, false);
    const { marks, lists } = readAll(engine);
    history.check(marks, lists);
    await engine.close();
  });
}

/** The disk refuses a sync or a write now and then. */
export async function runWithFailingDisk(seed: number, counts: ClientCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  const process = world.startProcess();
  const history = new History();
  await world.run(async () => {
    const engine = await openSmall(process, CACHE);
    world.fail({ operation: ['sync', 'write'], error: 'EIO', chance: 0.02, times: 1 + (seed % 3) });
    await clientsOf(process, engine, new SeededRandom(seed + 5), history, counts, true);
    world.clearFaults();
    await engine.close().catch(() => {});
  });
  await checkAfterwards(world, history);
}

/** The power goes, twice, and another process goes on. */
export async function runWithPowerCuts(seed: number, counts: ClientCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  const random = new SeededRandom(seed + 5);
  const history = new History();
  for (let life = 0; life < 2; life++) {
    const process = world.startProcess();
    // Between two events: nothing that runs notices, and nothing of it runs on.
    world.scheduler.schedule(1 + random.fraction() * 20, UNTOUCHED, true, () => process.kill());
    await world.runUnlessKilled(process, async () => {
      const engine = await openSmall(process, CACHE);
      await clientsOf(process, engine, random, history, counts, false);
    });
    for (const one of history.transactions) if (one.outcome === 'open') one.outcome = 'unknown';
    world.crash({ data: 'torn', folders: 'prefix', seed: seed + life });
  }
  await checkAfterwards(world, history);
}

/** A bank whose sum is the same in every snapshot. */
export async function runBank(seed: number): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  const process = world.startProcess();
  await world.run(async () => {
    const engine = await openSmall(process, CACHE);
    await bank(process, engine, new SeededRandom(seed + 9));
    await engine.close();
  });
}

async function checkAfterwards(world: SimulatedWorld, history: History): Promise<void> {
  for (const process of world.processes) process.kill();
  await world.run(async () => {
    const engine = await openSmall(world.startProcess(), CACHE);
    const { marks, lists } = readAll(engine);
    history.check(marks, lists);
    await engine.close();
  });
}

// ---- the bank

const ACCOUNT_STORE = 110;
const LEDGER_STORE = 111;
const GUARD_STORE = 112;
const ACCOUNTS = 40;
const TOTAL = ACCOUNTS * 100;

const keyOf = (account: number): Uint8Array => Uint8Array.of(account >>> 8, account);

function putBalance(transaction: EngineTransaction, account: number, balance: number): void {
  const cell = new Uint8Array(900);
  cell[1] = balance >>> 8;
  cell[2] = balance;
  const key = keyOf(account);
  transaction.put(ACCOUNT_STORE, key, 0, 2, cell, 0, cell.length, undefined);
}

async function balanceOf(transaction: EngineTransaction, account: number): Promise<number | undefined> {
  const key = keyOf(account);
  for (;;) {
    const answer = transaction.find(ACCOUNT_STORE, key, 0, 2);
    if (answer === NOT_LOADED) await transaction.load();
    else if (answer === FOUND) return balanceIn(transaction.foundBytes, transaction.foundStart);
    else return undefined;
  }
}

function balanceIn(cell: Uint8Array, start: number): number {
  return ((cell[start + 1] as number) << 8) | (cell[start + 2] as number);
}

async function sumOf(transaction: EngineTransaction): Promise<number> {
  const cursor = transaction.cursor(ACCOUNT_STORE);
  let sum = 0;
  let started = false;
  for (;;) {
    const step = started ? cursor.next() : cursor.first();
    if (step === MISS) {
      await cursor.load();
      continue;
    }
    if (step !== AT) return sum;
    started = true;
    sum += balanceIn(cursor.cellBytes, cursor.cellStart);
  }
}

async function bank(env: Env, engine: EngineApi, random: SeededRandom): Promise<void> {
  const opening = engine.begin('write');
  for (let account = 0; account < ACCOUNTS; account++) putBalance(opening, account * 3, 100);
  for (let guard = 0; guard < 3; guard++) putGuard(opening, guard);
  await opening.commit();
  const turn = (): Promise<void> => new Promise((resolve) => env.timers.after(random.fraction(), resolve));
  const tellers = Array.from({ length: 4 }, async () => {
    for (let i = 0; i < 12; i++) {
      await turn();
      await retry(() => (random.chance(0.3) ? changeGuard(engine, random, turn) : transfer(engine, random, turn)));
    }
  });
  const auditors = Array.from({ length: 2 }, async () => {
    for (let i = 0; i < 6; i++) {
      await turn();
      await retry(() => audit(engine));
      const reading = engine.begin('read');
      const sum = await sumOf(reading);
      if (sum !== TOTAL) throw new Error(`a snapshot at ${reading.snapshot} shows ${sum}`);
      if (guardsIn(reading) < 1) throw new Error(`nobody guards the bank at ${reading.snapshot}`);
      reading.rollback();
    }
  });
  const upkeep = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      await turn();
      await engine.checkpoint();
    }
  };
  await Promise.all([...tellers, ...auditors, upkeep()]);
  const reading = engine.begin('read');
  const cursor = reading.cursor(LEDGER_STORE);
  cursor.waits = true;
  for (let step = cursor.first(); step === AT; step = cursor.next()) {
    const written = balanceIn(cursor.cellBytes, cursor.cellStart);
    if (written !== TOTAL) throw new Error(`an auditor wrote ${written}`);
  }
  reading.rollback();
}

/** Moves money, sometimes the whole account to a new key: who counts accounts one by one would miss it. */
async function transfer(engine: EngineApi, random: SeededRandom, turn: () => Promise<void>): Promise<void> {
  const transaction = engine.begin('write');
  try {
    const from = random.below(ACCOUNTS * 3);
    const to = random.below(ACCOUNTS * 3);
    const has = await balanceOf(transaction, from);
    if (has === undefined || from === to) return;
    await turn();
    const receives = (await balanceOf(transaction, to)) ?? 0;
    const amount = random.chance(0.3) ? has : random.below(has + 1);
    if (amount === has) {
      const key = keyOf(from);
      transaction.remove(ACCOUNT_STORE, key, 0, 2, true);
    } else putBalance(transaction, from, has - amount);
    putBalance(transaction, to, receives + amount);
    await transaction.commit();
  } finally {
    transaction.rollback();
  }
}

function putGuard(transaction: EngineTransaction, guard: number): void {
  transaction.put(GUARD_STORE, keyOf(guard), 0, 2, Uint8Array.of(0), 0, 1, undefined);
}

function guardsIn(transaction: EngineTransaction): number {
  transaction.waits = true;
  return transaction.count(GUARD_STORE, undefined, undefined);
}

/** A guard leaves only where another one stays: two who leave at once would each count on the other. */
async function changeGuard(engine: EngineApi, random: SeededRandom, turn: () => Promise<void>): Promise<void> {
  const transaction = engine.begin('write');
  try {
    transaction.noteRange(GUARD_STORE, undefined, undefined);
    if (guardsIn(transaction) > 1) {
      const cursor = transaction.cursor(GUARD_STORE);
      transaction.seekRank(GUARD_STORE, random.below(guardsIn(transaction)), cursor);
      transaction.remove(GUARD_STORE, cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd), 0, 2, true);
    } else putGuard(transaction, random.below(100));
    await turn();
    await transaction.commit();
  } finally {
    transaction.rollback();
  }
}

/** Sums up in a writing transaction and writes it down: the commit says that nothing changed meanwhile. */
async function audit(engine: EngineApi): Promise<void> {
  const transaction = engine.begin('write');
  try {
    transaction.noteRange(ACCOUNT_STORE, undefined, undefined);
    const sum = await sumOf(transaction);
    const key = Uint8Array.of(transaction.snapshot >>> 8, transaction.snapshot);
    transaction.put(LEDGER_STORE, key, 0, 2, Uint8Array.of(0, sum >>> 8, sum), 0, 3, undefined);
    await transaction.commit();
  } finally {
    transaction.rollback();
  }
}

async function retry(work: () => Promise<void>): Promise<void> {
  for (let attempt = 0; attempt < 8; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ConflictError) && !(error instanceof SnapshotTooOldError)) throw error;
    }
  }
}
