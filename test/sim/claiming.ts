/**
 * Claims in simulated lives. Somebody loses, claims what it read, and runs again beside rivals who change just that:
 *
 *  1. While its claim counts nobody makes it lose, whoever was in flight when it was made.
 *  2. The rivals get through: at once when its run has ended, one way or the other, when their patience is used up where it
 *     never ends, and with the closing of the engine. What comes after a crash waits for nobody.
 *  3. Who read what another one changed does not get through, claim or not.
 */
import { ConflictError } from '../../src/base/errors.ts';
import { CLAIM_MS } from '../../src/commit/claims.ts';
import type { Env } from '../../src/env/env.ts';
import type { EngineApi, EngineClaim, EngineTransaction } from '../../src/transaction/engine-api.ts';
import {
  bytesOf,
  type Chance,
  COUNTER_STORE,
  drawCommit,
  mayRead,
  type ModelCommit,
  type Operation,
  STORES,
} from '../helpers/engine-model.ts';
import type { Life } from './engine-system.ts';
import { type SeenValue, valueNow } from './two-phase.ts';

/** How a commit is made, where that is not the usual way. */
export interface Manner {
  readonly claim?: EngineClaim | undefined;
  /** First of all. */
  readonly read?: (transaction: EngineTransaction) => SeenValue[];
  /** Between reading and changing. */
  readonly think?: () => Promise<unknown>;
  /** A conflict is in order. */
  readonly mayLose?: boolean;
}

/** The life that claims, as far as it is anybody's business here. */
export interface ClaimingHost {
  readonly env: Env;
  readonly random: Chance;
  readonly life: Life;
  /** Nothing fails: times are kept. */
  readonly isQuiet: boolean;
  engine(): EngineApi;
  nextId(): number;
  /** False: refused, as is in order. */
  write(commit: ModelCommit, manner?: Manner): Promise<boolean>;
  reopen(): Promise<void>;
}

interface Place {
  readonly store: number;
  readonly key: string;
}

/** Nothing of a simulated disk takes so long, nor may a commit for which nobody is in the way. */
export const SHORT_WHILE_MS = CLAIM_MS / 2;

export class Claiming {
  readonly #host: ClaimingHost;

  constructor(host: ClaimingHost) {
    this.#host = host;
  }

  async step(): Promise<void> {
    const { random, env } = this.#host;
    const places = this.#drawPlaces();
    const lost = await this.#lose(places);
    const engine = this.#host.engine();
    // Some are in flight when the claim is made: the run that comes sees them.
    const thought = this.#turn();
    const early = all(Array.from({ length: random.below(4) }, () => this.#rival(places, () => thought)));
    for (let i = random.below(4); i > 0; i--) await this.#turn();
    const claim = await engine.claim(lost);
    const sinceMs = env.clock.monotonicMs();
    const rivals = all(Array.from({ length: 1 + random.below(3) }, () => this.#rival(places)));
    const choice = random.below(8);
    const ending = thought.then(() => this.#end(choice, places, claim, sinceMs));
    let throughMs = 0;
    let endedMs = 0;
    void rivals.then(() => (throughMs = env.clock.monotonicMs())).catch(() => {});
    void all<unknown>([early, ending])
      .then(() => (endedMs = env.clock.monotonicMs()))
      .catch(() => {});
    const [, isIn] = await all<unknown>([early, rivals, ending]);
    if (choice === 7) this.#mustBeQuick(isIn as boolean[], throughMs - sinceMs, CLAIM_MS + SHORT_WHILE_MS);
    else this.#mustBeQuick(isIn as boolean[], throughMs - endedMs, SHORT_WHILE_MS);
  }

  async #end(choice: number, places: readonly Place[], claim: EngineClaim | undefined, sinceMs: number): Promise<void> {
    if (choice < 4) await this.#run(places, claim, sinceMs);
    else if (choice < 6) await this.#giveUp(claim, choice === 4);
    else if (choice < 7) await this.#host.reopen();
  }

  /** Those that had to wait for a prepared transaction are refused, in its own time. */
  #mustBeQuick(isIn: readonly boolean[], tookMs: number, allowedMs: number): void {
    if (!this.#host.isQuiet || isIn.includes(false) || tookMs < allowedMs) return;
    throw new Error(`a claim that had ended kept others out for ${tookMs} ms`);
  }

  /** Runs again, and gets through. */
  async #run(places: readonly Place[], claim: EngineClaim | undefined, sinceMs: number): Promise<void> {
    const { env, random, write } = this.#host;
    const read = (transaction: EngineTransaction): SeenValue[] => this.#read(transaction, places);
    const think = async (): Promise<void> => {
      if (random.below(3) === 0) await this.#host.engine().checkpoint();
      await new Promise<void>((resolve) => void env.timers.after(random.below(20), resolve));
    };
    try {
      await write(this.#drawPlain(), { claim, read, think });
    } catch (error) {
      // With a failed sync in between its time may have run out.
      const isOver = env.clock.monotonicMs() - sinceMs >= CLAIM_MS;
      if (!(error instanceof ConflictError)) throw error;
      if (claim !== undefined && !isOver) throw new Error('a change got past a claim', { cause: error });
    }
  }

  async #giveUp(claim: EngineClaim | undefined, isBegun: boolean): Promise<void> {
    const { env, random } = this.#host;
    await new Promise<void>((resolve) => void env.timers.after(random.below(20), resolve));
    if (claim === undefined) return;
    if (isBegun) this.#host.engine().begin('write', { claim }).rollback();
    else this.#host.engine().endClaim(claim);
  }

  /** A transaction that has read the places, and has lost them in one of two cases. */
  async #lose(places: readonly Place[]): Promise<EngineTransaction> {
    const { random, write } = this.#host;
    if (random.below(2) === 0) {
      const transaction = this.#host.engine().begin('write');
      try {
        this.#read(transaction, places);
      } finally {
        transaction.rollback();
      }
      return transaction;
    }
    let lost: EngineTransaction | undefined;
    let isChanged = false;
    const read = (transaction: EngineTransaction): SeenValue[] => {
      lost = transaction;
      return this.#read(transaction, places);
    };
    const think = async (): Promise<void> => {
      isChanged = await this.#rival(places);
    };
    const isIn = await write(this.#drawPlain(), { read, think, mayLose: true });
    if (isIn && isChanged) throw new Error('a commit got through though what it had read was changed');
    return lost as EngineTransaction;
  }

  /** Changes one of the places. */
  #rival(places: readonly Place[], think?: () => Promise<void>): Promise<boolean> {
    const { random, life } = this.#host;
    const drawn = drawCommit(this.#host.nextId(), random, life.keys, life.longest);
    const { store, key } = places[random.below(places.length)] as Place;
    const change: Operation =
      store === COUNTER_STORE
        ? { kind: 'increment', store, key, amount: 1 + random.below(9) }
        : { kind: 'put', store, key, length: random.below(100), fill: random.below(255) };
    const manner = think === undefined ? {} : { think };
    return this.#host.write({ ...drawn, operations: [...drawn.operations, change] }, manner);
  }

  readonly #turn = (): Promise<void> => new Promise((resolve) => this.#host.env.timers.nextTurn(resolve));

  /** Reads nothing by itself. */
  #drawPlain(): ModelCommit {
    const { random, life } = this.#host;
    const drawn = drawCommit(this.#host.nextId(), random, life.keys, life.longest);
    return mayRead(drawn) ? { id: drawn.id, operations: drawn.operations } : drawn;
  }

  #read(transaction: EngineTransaction, places: readonly Place[]): SeenValue[] {
    const seen = places.map(({ store, key }) => ({ store, key, value: valueNow(transaction, store, key) }));
    const [{ store, key } = seen[0] as Place] = places;
    transaction.noteRange(store, bytesOf(key), bytesOf(`${key}~`));
    return seen;
  }

  #drawPlaces(): Place[] {
    const { random, life } = this.#host;
    return Array.from({ length: 1 + random.below(3) }, () => ({
      store: STORES[random.below(STORES.length)] as number,
      key: `key-${random.below(life.keys).toString().padStart(5, '0')}`,
    }));
  }
}

/** Waits for all, then throws the first error; nobody needs to be listening yet. */
function all<T>(works: readonly Promise<T>[]): Promise<T[]> {
  const done = Promise.allSettled(works).then((outcomes) =>
    outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    }),
  );
  done.catch(() => {});
  return done;
}
