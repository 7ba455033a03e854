/**
 * Several clients at once through the public door: whole transactions of all kinds of calls, at any interleaving, beside
 * checkpoints and compaction. Nobody predicts an answer while they run; afterwards all that committed is run once more, in the order
 * of the commits' numbers, on a model of maps: each call must be answered as it was. That is what strictly serializable means.
 */
import { ConflictError, SnapshotTooOldError, SopError } from '../../../src/base/errors.ts';
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import type { SimulatedProcess } from '../../../src/env/simulated-process.ts';
import { SeededRandom } from '../../../src/env/simulated-random.ts';
import { Database } from '../../../src/store/database.ts';
import type { ItemId } from '../../../src/store/item-id.ts';
import type { Transaction } from '../../../src/store/transaction.ts';
import { type Call, toCall } from './mixed-calls.ts';
import { expectAll } from './mixed-checks.ts';
import { State, TxModel } from './mixed-model.ts';
import { CALLS, drawProgram, type Op } from './mixed-program.ts';
import { answerOf, catalogCall, type MixedCounts } from './mixed-run.ts';
import { FAMILIES, type Family } from './mixed-stores.ts';

const OPTIONS = { folder: '/disk/db', tableBytes: 64 * 1024, cacheBytes: 128 * 1024, logReserveBytes: 16 * 1024 };
/** Cursors need a model that goes along. */
const isCall = (kind: string): boolean => CALLS.has(kind) && !kind.startsWith('cursor');

interface Committed {
  readonly number: number;
  readonly model: TxModel;
}

export async function concurrentLife(seed: number, counts: MixedCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  world.scheduler.maxSteps = 4_000_000;
  const process = world.startProcess();
  try {
    await world.run(() => new ConcurrentRun(process, seed, counts).all());
  } catch (error) {
    throw new Error(`SOP_SEED=${seed}: ${error instanceof Error ? error.stack : String(error)}`);
  }
}

class ConcurrentRun {
  readonly #process: SimulatedProcess;
  readonly #random: SeededRandom;
  readonly #program: readonly Op[];
  readonly #counts: MixedCounts;
  readonly #committed: Committed[] = [];
  readonly #items = new Map<string, ItemId>();
  /** Roughly what there is, to draw names and items from. */
  #guess = new State();
  #at = 0;
  #calls = 0;

  constructor(process: SimulatedProcess, seed: number, counts: MixedCounts) {
    this.#process = process;
    this.#random = new SeededRandom(seed + 31);
    this.#program = drawProgram(seed, 400).filter(({ kind }) => isCall(kind) || kind === 'drop' || kind === 'rename');
    this.#counts = counts;
  }

  async all(): Promise<void> {
    if (this.#program.length === 0) return;
    const db = await Database.openWith(this.#process, OPTIONS);
    const clients = Array.from({ length: 2 + this.#random.below(4) }, () => this.#client(db));
    await Promise.all([...clients, this.#upkeep(db)]);
    const state = this.#replay();
    await db.read((tx) => expectAll(tx, state, this.#items));
    const { problems } = await db.verify();
    if (problems.length > 0) throw new Error(`verify finds ${JSON.stringify(problems.slice(0, 3))}`);
    await db.close();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#process.timers.after(this.#random.fraction() * 3, resolve));
  }

  async #upkeep(db: Database): Promise<void> {
    for (let i = this.#random.below(5); i > 0; i--) {
      await this.#pause();
      await (this.#random.chance(0.7) ? db.checkpoint() : db.compact());
    }
  }

  async #client(db: Database): Promise<void> {
    for (let i = 4 + this.#random.below(6); i > 0; i--) {
      await this.#pause();
      await this.#transaction(db);
    }
  }

  async #transaction(db: Database): Promise<void> {
    const tx = await db.begin('write');
    const model = new TxModel('write', this.#guess);
    try {
      for (let i = 1 + this.#random.below(6); i > 0; i--) {
        await this.#call(tx, model);
        if (this.#random.chance(0.4)) await this.#pause();
      }
      const number = await tx.commit();
      this.#counts.commits++;
      this.#isIn(number, model);
    } catch (error) {
      await tx.rollback();
      if (!(error instanceof ConflictError) && !(error instanceof SnapshotTooOldError)) throw error;
      this.#counts.refused++;
    }
  }

  async #call(tx: Transaction, model: TxModel): Promise<void> {
    const drawn = this.#program[this.#at++ % this.#program.length] as Op;
    // Again and again the same program: every item has a name of its own.
    const call = this.#toCall({ ...drawn, id: ++this.#calls }, model);
    if (call === undefined) return;
    this.#counts.calls++;
    const answer = await answerOf(() => call.engine(tx));
    model.calls.push({ text: call.text, call: call.model, answer });
  }

  #toCall(op: Op, model: TxModel): Call | undefined {
    const family = FAMILIES[op.s % FAMILIES.length] as Family;
    if (op.kind === 'drop' || op.kind === 'rename') return catalogCall(family, op);
    const [first, second] = Object.keys(family.definitions) as [string, string];
    const { stores } = this.#guess;
    const name = op.b % 23 === 0 || (!stores.has(first) && stores.has(second)) ? second : first;
    return toCall({ op, family, name, model, items: this.#items, cursors: new Map() });
  }

  #isIn(number: number, model: TxModel): void {
    this.#committed.push({ number, model });
    try {
      this.#guess = model.replayOn(this.#guess, number);
    } catch {
      // Out of order.
    }
  }

  #replay(): State {
    let state = new State();
    for (const { number, model } of this.#committed.sort((x, y) => x.number - y.number)) {
      try {
        state = model.replayOn(state, number);
      } catch (error) {
        const told = model.calls.map(({ text, answer }) => `${text} -> ${answer}`).join('\n  ');
        throw new Error(`transaction ${number}\n  ${told}\n${String(error instanceof SopError ? error.stack : error)}`);
      }
    }
    return state;
  }
}
