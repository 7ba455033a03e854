/**
 * A client of the engine on a disk that refuses things: it takes every `SopError` as it comes, goes on, opens the database
 * again where it must, and holds the engine to what its errors say: "refused" is never seen, "unknown" is asked about.
 */
import {
  ConflictError,
  DatabaseFailedError,
  DatabaseLockedError,
  OutcomeUnknownError,
  SopError,
} from '../../src/base/errors.ts';
import type { Env } from '../../src/env/env.ts';
import type { SimulatedWorld } from '../../src/env/simulated-env.ts';
import type { SeededRandom } from '../../src/env/simulated-random.ts';
import type { EngineApi, EngineOptions } from '../../src/transaction/engine-api.ts';
import { openEngine } from '../../src/transaction/engine.ts';
import { applyTo, drawCommit, mayRead, type ModelCommit } from '../helpers/engine-model.ts';
import { backUpOnce } from './backup-system.ts';
import { Claiming, type Manner } from './claiming.ts';
import type { SystemUnderTest } from './crash-harness.ts';
import type { Oracle } from './crash-oracle.ts';
import { isExplained } from './explained.ts';
import { LivingPins } from './pin-system.ts';
import { engineSystem, expectContentOf, type IssuedCommit, type Life, SMALL } from './engine-system.ts';
import { isHeldBack, TwoPhase } from './two-phase.ts';

export interface ClientOptions {
  readonly env: Env;
  readonly oracle: Oracle<IssuedCommit>;
  readonly random: SeededRandom;
  readonly life: Life;
  readonly world?: SimulatedWorld;
  readonly engine?: EngineOptions;
}

interface Unknown {
  readonly ticket: number;
  readonly transactionId: string;
}

export class EngineClient {
  /** Errors met. */
  errors = 0;
  readonly #options: ClientOptions;
  #engine: EngineApi | undefined;
  #nextId = 1;
  readonly #pins = new LivingPins();
  readonly #unknown: Unknown[] = [];
  readonly #twoPhase: TwoPhase;
  readonly #claiming: Claiming;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#claiming = new Claiming({
      env: options.env,
      random: options.random,
      life: options.life,
      isQuiet: false,
      engine: () => this.#api,
      nextId: () => this.#nextId++,
      write: (commit, manner) => this.#commit(commit, manner),
      reopen: () => this.#reopen(),
    });
    this.#twoPhase = new TwoPhase(options.oracle, options.random, options.life);
  }

  /** A life of so many steps. Ends early where the database does not open any more. */
  async live(): Promise<void> {
    const { steps } = this.#options.life;
    for (let step = 0; step < steps; step++) {
      if (!(await this.#tryStep())) return;
    }
    await this.close();
  }

  async close(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    await this.#forgiving(async () => engine?.close());
  }

  /** False where it makes no sense to go on. */
  async #tryStep(): Promise<boolean> {
    const opened = await this.#forgiving(() => this.#open());
    if (!opened) return false;
    const well = await this.#forgiving(() => this.#step());
    if (!well && this.#engine !== undefined) await this.#afterError(this.#engine);
    return true;
  }

  async #open(): Promise<void> {
    this.#engine ??= await openEngine(this.#options.env, this.#options.engine ?? SMALL);
  }

  get #api(): EngineApi {
    return this.#engine as EngineApi;
  }

  async #step(): Promise<void> {
    const { random } = this.#options;
    const choice = random.below(42);
    if (choice >= 39) return this.#claiming.step();
    if (choice >= 35) return this.#twoPhase.step(this.#api, () => this.#nextId++);
    if (choice === 33) return backUpOnce(this.#api, this.#options.oracle);
    if (choice === 34) return allOf([backUpOnce(this.#api, this.#options.oracle), this.write(), this.write()]);
    if (choice >= 30) await this.#pins.step(this.#api, this.#options.oracle, choice);
    else if (choice < 15) await this.write();
    else if (choice < 19) await allOf(Array.from({ length: 2 + random.below(5) }, () => this.write()));
    else if (choice < 21) await this.#rollback();
    else if (choice < 24) await this.#api.checkpoint();
    else if (choice < 25) await this.#api.compact();
    else if (choice < 26) await this.#reopen();
    else if (choice < 27) expectContentOf(this.#api, this.#state());
    else await allOf([this.#api.checkpoint(), this.write(), this.write()]);
  }

  async write(): Promise<void> {
    const { random, life } = this.#options;
    await this.#commit(drawCommit(this.#nextId++, random, life.keys, life.longest));
  }

  /** One commit. Whatever is not "unknown" is a no, and stays one; false where such a no is in order. */
  async #commit(commit: ModelCommit, { claim, read, think, mayLose }: Manner = {}): Promise<boolean> {
    const { oracle } = this.#options;
    const transaction = this.#api.begin('write', { claim });
    const transactionId = transaction.id;
    let ticket = -1;
    try {
      const reads = read?.(transaction);
      ticket = oracle.started({ commit, transactionId, reads });
      if (think !== undefined) await think();
      applyTo(transaction, commit, true);
      oracle.acknowledged(ticket, await transaction.commit());
      return true;
    } catch (error) {
      transaction.rollback();
      if (ticket < 0) throw error;
      if (error instanceof OutcomeUnknownError) this.#unknown.push({ ticket, transactionId });
      else if (error instanceof SopError) oracle.refused(ticket);
      const mayConflict = mayLose === true || mayRead(commit);
      if (!isHeldBack(error) && !(mayConflict && error instanceof ConflictError)) throw error;
      return false;
    }
  }

  async #rollback(): Promise<void> {
    const { oracle, random, life } = this.#options;
    const commit = drawCommit(this.#nextId++, random, life.keys, life.longest);
    const transaction = this.#api.begin('write');
    const ticket = oracle.started({ commit, transactionId: transaction.id });
    try {
      applyTo(transaction, commit, true);
    } finally {
      transaction.rollback();
      oracle.refused(ticket);
    }
  }

  async #reopen(): Promise<void> {
    await this.#api.close();
    this.#engine = undefined;
    await this.#open();
  }

  /** Reads go on, an open transaction can be given up, and what is unknown gets its answer. */
  async #afterError(engine: EngineApi): Promise<void> {
    if (this.#options.random.chance(0.3)) await this.#rollbackIn(engine);
    this.#readOn(engine);
    await this.#forgiving(() => this.#ask(engine));
  }

  async #rollbackIn(engine: EngineApi): Promise<void> {
    const transaction = engine.begin('write');
    transaction.put(100, Uint8Array.of(1), 0, 1, Uint8Array.of(0), 0, 1, undefined);
    transaction.rollback();
  }

  async #ask(engine: EngineApi): Promise<void> {
    const { oracle } = this.#options;
    for (let one = this.#unknown[0]; one !== undefined; one = this.#unknown[0]) {
      const answer = await engine.resolve(one.transactionId);
      if (answer === 'committed') oracle.acknowledged(one.ticket);
      else oracle.refused(one.ticket);
      this.#unknown.shift();
    }
  }

  /** Everything is shown as promised, unless the disk refuses to be read. */
  #readOn(engine: EngineApi, hasFailed = false): void {
    try {
      expectContentOf(engine, this.#state(), hasFailed);
    } catch (error) {
      mustBeExplained(error);
    }
  }

  #state() {
    return this.#options.oracle.stateAt(Number.POSITIVE_INFINITY);
  }

  /** False where `work` ended with a `SopError` that a failing disk explains; everything else is thrown. */
  async #forgiving(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (!isInOrder(error)) throw error;
      this.errors++;
      if (error instanceof DatabaseFailedError || error instanceof OutcomeUnknownError) await this.#giveUp();
      return false;
    }
  }

  /** The engine says that it writes no more: reads go on until it is closed. */
  async #giveUp(): Promise<void> {
    const engine = this.#engine;
    if (engine === undefined) return;
    this.#readOn(engine, true);
    this.#engine = undefined;
    await engine.close().catch(mustBeExplained);
  }
}

/** Waits for all, then throws the first error: nothing goes on behind our back. */
async function allOf(works: readonly Promise<unknown>[]): Promise<void> {
  const outcomes = await Promise.allSettled(works);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

function isInOrder(error: unknown): boolean {
  return isExplained(error) || error instanceof DatabaseLockedError;
}

export function clientSystem(life: Life): SystemUnderTest<IssuedCommit> {
  return {
    ...engineSystem(life),
    async workload(env, oracle, { random, world }) {
      await new EngineClient({ env, oracle, random, life, world }).live();
    },
  };
}

export function mustBeExplained(error: unknown): void {
  if (!isInOrder(error)) throw error;
}
