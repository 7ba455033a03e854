/**
 * Two engines on one folder, past a lock that got lost: one is in the middle of its work when another opens the folder and works too;
 * now and then the disk refuses something. However they get into each other's way: what either of them acknowledged is there, nobody calls
 * the data damaged, and what one of them is refused it is refused with an error of ours.
 */
import { SopError } from '../../src/base/errors.ts';
import type { Errno } from '../../src/env/io-error.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import type { EngineApi } from '../../src/transaction/engine-api.ts';
import { drawCommit } from '../helpers/engine-model.ts';
import { Oracle } from './crash-oracle.ts';
import { commitOne, expectPromises, type IssuedCommit, openSmall } from './engine-system.ts';

const REFUSABLE = [
  'sync',
  'write',
  'read',
  'list',
  'remove',
  'open',
  'create',
  'syncFolder',
  'truncate',
  'allocate',
] as const;
const ERRORS: readonly Errno[] = ['EIO', 'ENOSPC'];
/** Of the newcomer: an opening may meet the other one's files being removed. */
const MOST_OPENINGS = 30;

export interface OvertakenCounts {
  acknowledged: number;
  refused: number;
  /** Runs in which the newcomer got the right to write. */
  taken: number;
}

export function noOvertakenCounts(): OvertakenCounts {
  return { acknowledged: 0, refused: 0, taken: 0 };
}

export async function overtakeAmid(seed: number, counts: OvertakenCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  await world.run(() => new Overtaking(world, seed, counts).run());
}

class Overtaking {
  readonly #world: SimulatedWorld;
  readonly #random: SeededRandom;
  readonly #counts: OvertakenCounts;
  readonly #oracle: Oracle<IssuedCommit>;
  readonly #longest: number;
  readonly #hasFaults: boolean;
  #nextId = 1;

  constructor(world: SimulatedWorld, seed: number, counts: OvertakenCounts) {
    this.#world = world;
    this.#random = new SeededRandom(seed + 3);
    this.#counts = counts;
    this.#oracle = new Oracle<IssuedCommit>(() => world.operationCount);
    this.#longest = this.#random.pick([500, 2000, 20_000, 90_000]);
    this.#hasFaults = this.#random.chance(0.4);
  }

  async run(): Promise<void> {
    const random = this.#random;
    const process = this.#world.startProcess();
    const holder = await openSmall(process);
    for (let i = random.below(12); i > 0; i--) await this.#act(holder);
    if (this.#hasFaults) this.#refuseSomething();
    const rest = this.#finish(holder);
    for (let i = random.below(60); i > 0; i--) await new Promise<void>((resolve) => process.timers.nextTurn(resolve));
    const taker = await this.#open();
    for (let i = random.below(8); i > 0; i--) await this.#act(taker);
    await rest;
    this.#world.clearFaults();
    if (await this.#write(taker)) {
      this.#counts.taken++;
      if (random.chance(0.5)) await unlessRefused(taker.checkpoint());
      await this.#mustHold(taker);
    }
    this.#world.crash({ data: random.pick(['lost', 'torn', 'kept']), folders: 'prefix', seed: random.below(2 ** 31) });
    const last = await openSmall(this.#world.startProcess());
    await this.#mustHold(last);
    await last.close();
  }

  #mustHold(engine: EngineApi): Promise<unknown> {
    return expectPromises(engine, this.#oracle.stateAt(Number.POSITIVE_INFINITY));
  }

  #refuseSomething(): void {
    const random = this.#random;
    const times = random.chance(0.8) ? 1 : 5;
    const error = random.pick(ERRORS);
    this.#world.fail({ operation: random.pick(REFUSABLE), error, nth: 1 + random.below(80), times });
  }

  async #finish(holder: EngineApi): Promise<void> {
    for (let i = 0; i < 6; i++) await this.#act(holder);
    await unlessRefused(holder.close());
  }

  async #open(): Promise<EngineApi> {
    for (let tries = 1; ; tries++) {
      this.#world.loseLocks();
      try {
        return await openSmall(this.#world.startProcess());
      } catch (error) {
        mustBeRefusal(error);
        if (tries === MOST_OPENINGS) throw error;
      }
    }
  }

  #act(engine: EngineApi): Promise<unknown> {
    const choice = this.#random.below(10);
    if (choice < 5) return this.#write(engine);
    if (choice < 7) return Promise.all([this.#write(engine), this.#write(engine), this.#write(engine)]);
    return unlessRefused(choice < 9 ? engine.checkpoint() : engine.compact());
  }

  /** Answers whether it is in. */
  async #write(engine: EngineApi): Promise<boolean> {
    const commit = drawCommit(this.#nextId++, this.#random, 60, this.#longest);
    try {
      const isIn = (await commitOne(engine, commit, this.#oracle)) > 0;
      if (isIn) this.#counts.acknowledged++;
      return isIn;
    } catch (error) {
      mustBeRefusal(error);
      this.#counts.refused++;
      return false;
    }
  }
}

function unlessRefused(work: Promise<unknown>): Promise<unknown> {
  return work.catch(mustBeRefusal);
}

function mustBeRefusal(error: unknown): void {
  if (!(error instanceof SopError) || error.code === 'CORRUPTION') throw error;
}
