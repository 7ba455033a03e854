/**
 * A bank under one seed's interleaving: money moves between accounts, guards come and go, auditors write down what they see. The sum
 * is the same in every snapshot, and somebody always guards. Who loses runs again, and claims what it read sooner or later.
 */
import { ConflictError, SnapshotTooOldError } from '../../src/base/errors.ts';
import type { Env } from '../../src/env/env.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { AT, MISS } from '../../src/node/entry-cursor.ts';
import { FOUND, NOT_LOADED } from '../../src/storage/find-result.ts';
import type { EngineApi, EngineClaim, EngineTransaction } from '../../src/transaction/engine-api.ts';
import { openSmall } from './engine-system.ts';
import type { ClientCounts } from './list-clients.ts';

const ACCOUNT_STORE = 110;
const LEDGER_STORE = 111;
const GUARD_STORE = 112;
const ACCOUNTS = 40;
const TOTAL = ACCOUNTS * 100;

export async function runBank(seed: number, counts: ClientCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  const process = world.startProcess();
  await world.run(async () => {
    const engine = await openSmall(process, { cacheBytes: 128 * 1024 });
    await new Bank(process, engine, new SeededRandom(seed + 9), counts).live();
    await engine.close();
  });
}

class Bank {
  readonly #env: Env;
  readonly #engine: EngineApi;
  readonly #random: SeededRandom;
  readonly #counts: ClientCounts;

  constructor(env: Env, engine: EngineApi, random: SeededRandom, counts: ClientCounts) {
    this.#env = env;
    this.#engine = engine;
    this.#random = random;
    this.#counts = counts;
  }

  async live(): Promise<void> {
    const opening = this.#engine.begin('write');
    for (let account = 0; account < ACCOUNTS; account++) putBalance(opening, account * 3, 100);
    for (let guard = 0; guard < 3; guard++) putGuard(opening, guard);
    await opening.commit();
    const tellers = Array.from({ length: 4 }, () => this.#teller());
    const auditors = Array.from({ length: 2 }, () => this.#auditor());
    await Promise.all([...tellers, ...auditors, this.#upkeep()]);
    this.#expectLedger();
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#env.timers.after(this.#random.fraction(), resolve));
  }

  async #teller(): Promise<void> {
    for (let i = 0; i < 12; i++) {
      await this.#turn();
      if (this.#random.chance(0.3)) await this.#write((transaction) => this.#changeGuard(transaction));
      else await this.#write((transaction) => this.#transfer(transaction));
    }
  }

  async #auditor(): Promise<void> {
    for (let i = 0; i < 6; i++) {
      await this.#turn();
      await this.#write(audit);
      const reading = this.#engine.begin('read');
      const sum = await sumOf(reading);
      if (sum !== TOTAL) throw new Error(`a snapshot at ${reading.snapshot} shows ${sum}`);
      if (guardsIn(reading) < 1) throw new Error(`nobody guards the bank at ${reading.snapshot}`);
      reading.rollback();
    }
  }

  async #upkeep(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      await this.#turn();
      await this.#engine.checkpoint();
    }
  }

  #expectLedger(): void {
    const reading = this.#engine.begin('read');
    const cursor = reading.cursor(LEDGER_STORE);
    cursor.waits = true;
    for (let step = cursor.first(); step === AT; step = cursor.next()) {
      const written = balanceIn(cursor.cellBytes, cursor.cellStart);
      if (written !== TOTAL) throw new Error(`an auditor wrote ${written}`);
    }
    reading.rollback();
  }

  /** Again where it loses; after some losses with a claim, which some then leave to end by itself. */
  async #write(work: (transaction: EngineTransaction) => Promise<void>): Promise<void> {
    const patience = this.#random.below(5);
    let claim: EngineClaim | undefined;
    for (let attempt = 0; attempt < 8; attempt++) {
      const transaction = this.#engine.begin('write', { claim });
      try {
        await work(transaction);
        this.#counts.commits++;
        return;
      } catch (error) {
        if (!(error instanceof ConflictError) && !(error instanceof SnapshotTooOldError)) throw error;
        this.#counts.refused++;
      } finally {
        transaction.rollback();
      }
      if (attempt < patience) continue;
      claim = await this.#engine.claim(transaction);
      if (claim === undefined) continue;
      this.#counts.claims++;
      if (this.#random.chance(0.1)) return;
    }
  }

  /** Moves money, sometimes the whole account to a new key: who counts accounts one by one would miss it. */
  async #transfer(transaction: EngineTransaction): Promise<void> {
    const random = this.#random;
    const from = random.below(ACCOUNTS * 3);
    const to = random.below(ACCOUNTS * 3);
    const has = await balanceOf(transaction, from);
    if (has === undefined || from === to) return;
    await this.#turn();
    const receives = (await balanceOf(transaction, to)) ?? 0;
    const amount = random.chance(0.3) ? has : random.below(has + 1);
    if (amount === has) {
      const key = keyOf(from);
      transaction.remove(ACCOUNT_STORE, key, 0, 2, true);
    } else putBalance(transaction, from, has - amount);
    putBalance(transaction, to, receives + amount);
    await transaction.commit();
  }

  /** A guard leaves only where another one stays: two who leave at once would each count on the other. */
  async #changeGuard(transaction: EngineTransaction): Promise<void> {
    transaction.noteRange(GUARD_STORE, undefined, undefined);
    if (guardsIn(transaction) > 1) {
      const cursor = transaction.cursor(GUARD_STORE);
      transaction.seekRank(GUARD_STORE, this.#random.below(guardsIn(transaction)), cursor);
      transaction.remove(GUARD_STORE, cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd), 0, 2, true);
    } else putGuard(transaction, this.#random.below(100));
    await this.#turn();
    await transaction.commit();
  }
}

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

function putGuard(transaction: EngineTransaction, guard: number): void {
  transaction.put(GUARD_STORE, keyOf(guard), 0, 2, Uint8Array.of(0), 0, 1, undefined);
}

function guardsIn(transaction: EngineTransaction): number {
  transaction.waits = true;
  return transaction.count(GUARD_STORE, undefined, undefined);
}

/** Sums up in a writing transaction and writes it down: the commit says that nothing changed meanwhile. */
async function audit(transaction: EngineTransaction): Promise<void> {
  transaction.noteRange(ACCOUNT_STORE, undefined, undefined);
  const sum = await sumOf(transaction);
  const key = Uint8Array.of(transaction.snapshot >>> 8, transaction.snapshot);
  transaction.put(LEDGER_STORE, key, 0, 2, Uint8Array.of(0, sum >>> 8, sum), 0, 3, undefined);
  await transaction.commit();
}
