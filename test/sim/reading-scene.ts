/**
 * Read-only openings beside a writer at work, which checkpoints, compacts, closes and opens again: each sees the state as of some
 * number, none an older one than was seen before; what it may miss of the acknowledged is above that number. What was
 * reclaimed under it is too old, never damaged.
 */
import { SnapshotTooOldError } from '../../src/base/errors.ts';
import type { Env } from '../../src/env/env.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import type { EngineApi } from '../../src/transaction/engine-api.ts';
import { drawCommit, readVersionedMarks } from '../helpers/engine-model.ts';
import { Oracle, type OracleState } from './crash-oracle.ts';
import { commitOne, expectContentOf, type IssuedCommit, openSmall } from './engine-system.ts';

export interface ReadingCounts {
  commits: number;
  reads: number;
  tooOld: number;
}

export function noReadingCounts(): ReadingCounts {
  return { commits: 0, reads: 0, tooOld: 0 };
}

export async function readBeside(seed: number, counts: ReadingCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  await world.run(() => new Reading(world, seed, counts).run());
}

class Reading {
  readonly #world: SimulatedWorld;
  readonly #random: SeededRandom;
  readonly #counts: ReadingCounts;
  readonly #oracle: Oracle<IssuedCommit>;
  readonly #longest: number;
  readonly #writer: Env;
  #engine: EngineApi | undefined;
  #nextId = 1;
  #isOver = false;
  #lastSeen = 0;

  constructor(world: SimulatedWorld, seed: number, counts: ReadingCounts) {
    this.#world = world;
    this.#random = new SeededRandom(seed + 3);
    this.#counts = counts;
    this.#oracle = new Oracle<IssuedCommit>(() => world.operationCount);
    this.#longest = this.#random.pick([500, 2000, 20_000, 90_000]);
    this.#writer = world.startProcess();
  }

  async run(): Promise<void> {
    this.#engine = await openSmall(this.#writer);
    const writing = this.#write(this.#engine).finally(() => {
      this.#isOver = true;
    });
    writing.catch(() => {});
    while (!this.#isOver) {
      await this.#turns(3000);
      await this.#read();
    }
    await writing;
    await this.#engine.close();
  }

  async #write(engine: EngineApi): Promise<void> {
    for (let i = 0; i < 14; i++) {
      const choice = this.#random.below(11);
      if (choice < 5) await this.#commit(engine);
      else if (choice < 7) await Promise.all([this.#commit(engine), this.#commit(engine), this.#commit(engine)]);
      else if (choice < 9) await engine.checkpoint();
      else if (choice < 10) await engine.compact();
      else {
        await engine.close();
        engine = await openSmall(this.#writer);
        this.#engine = engine;
      }
    }
  }

  async #commit(engine: EngineApi): Promise<void> {
    const commit = drawCommit(this.#nextId++, this.#random, 60, this.#longest);
    if ((await commitOne(engine, commit, this.#oracle)) > 0) this.#counts.commits++;
  }

  async #turns(most: number): Promise<void> {
    const { timers } = this.#writer;
    for (let i = this.#random.below(most); i > 0; i--) await new Promise<void>((resolve) => timers.nextTurn(resolve));
  }

  async #read(): Promise<void> {
    const reader = await openSmall(this.#world.startProcess(), { readOnly: true });
    try {
      for (let i = this.#random.below(3); i >= 0; i--) {
        if (this.#random.chance(0.5)) await this.#turns(6000);
        this.#look(reader);
      }
    } catch (error) {
      if (!(error instanceof SnapshotTooOldError)) throw error;
      this.#counts.tooOld++;
    } finally {
      await reader.close();
    }
  }

  #look(reader: EngineApi): void {
    const transaction = reader.begin('read');
    const seen = readVersionedMarks(transaction).reduce((most, { version }) => Math.max(most, version), 0);
    transaction.rollback();
    if (seen < this.#lastSeen) throw new Error(`a reader saw number ${seen} after ${this.#lastSeen}`);
    this.#lastSeen = seen;
    expectContentOf(reader, this.#stateUpTo(seen));
    this.#counts.reads++;
  }

  /** What came later may be missing. */
  #stateUpTo(number: number): OracleState<IssuedCommit> {
    const state = this.#oracle.stateAt(Number.POSITIVE_INFINITY);
    const commits = state.commits.map((one) =>
      one.place !== undefined && one.place > number ? { ...one, outcome: 'started' as const, place: undefined } : one,
    );
    return { ...state, commits };
  }
}
