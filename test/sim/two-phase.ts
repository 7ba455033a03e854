/**
 * Two-phase transactions in the lanes: prepared, left waiting over checkpoints, crashes and openings, decided some time. What
 * each has read is remembered: when its changes come, that must still be so, or something got past it.
 */
import { ConflictError, OutcomeUnknownError, SopError } from '../../src/base/errors.ts';
import type { EngineApi, EngineTransaction } from '../../src/transaction/engine-api.ts';
import { applyTo, bytesOf, drawCommit, STORES } from '../helpers/engine-model.ts';
import type { ModelContent } from '../helpers/model-content.ts';
import type { Oracle, OracleCommit, OracleState } from './crash-oracle.ts';
import type { IssuedCommit, Life } from './engine-system.ts';

/** A key that was read, and the value it had. */
export interface SeenValue {
  readonly store: number;
  readonly key: string;
  readonly value: Uint8Array | undefined;
}

interface Chance {
  below(limit: number): number;
}

interface Waiting {
  readonly ticket: number;
  readonly transactionId: string;
  /** What was asked for, once it was: it may be so already. */
  verdict: boolean | undefined;
}

/** Whether an error says that a prepared transaction was in the way: a no like any other. */
export function isHeldBack(error: unknown): boolean {
  return error instanceof ConflictError && error.details.prepared !== undefined;
}

export class TwoPhase {
  readonly #oracle: Oracle<IssuedCommit>;
  readonly #random: Chance;
  readonly #life: Life;
  readonly #waiting: Waiting[] = [];
  /** Prepared, perhaps. */
  readonly #unknown: Waiting[] = [];

  constructor(oracle: Oracle<IssuedCommit>, random: Chance, life: Life) {
    this.#oracle = oracle;
    this.#random = random;
    this.#life = life;
  }

  /** Prepares one, or decides one. */
  async step(engine: EngineApi, nextId: () => number): Promise<void> {
    await this.#ask(engine);
    const choice = this.#random.below(2);
    if (this.#waiting.length < 1 || (this.#waiting.length < 3 && choice === 0)) await this.#prepare(engine, nextId());
    else await this.decideOne(engine);
  }

  async #prepare(engine: EngineApi, id: number): Promise<void> {
    const { keys, longest } = this.#life;
    const drawn = drawCommit(id, this.#random, keys, longest);
    // Few operations: most of what the others do goes on beside it.
    const operations = drawn.operations.filter((one) => one.kind !== 'clear').slice(0, 2);
    const detours = (drawn.detours ?? []).map((one) => ({ ...one, at: Math.min(one.at, operations.length) }));
    const commit = { id, operations, detours };
    const transaction = engine.begin('write');
    const transactionId = transaction.id;
    const reads = this.#read(transaction);
    const ticket = this.#oracle.started({ commit, transactionId, isTwoPhase: true, reads });
    const waiting: Waiting = { ticket, transactionId, verdict: undefined };
    try {
      applyTo(transaction, commit);
      await transaction.prepare();
      this.#oracle.prepared(ticket);
      this.#waiting.push(waiting);
    } catch (error) {
      if (error instanceof OutcomeUnknownError) this.#unknown.push(waiting);
      else if (error instanceof SopError) this.#oracle.refused(ticket);
      if (!(error instanceof ConflictError)) throw error;
    } finally {
      transaction.rollback();
    }
  }

  #read(transaction: EngineTransaction): SeenValue[] {
    const store = STORES[this.#random.below(STORES.length)] as number;
    const key = `key-${this.#random.below(this.#life.keys).toString().padStart(5, '0')}`;
    return [{ store, key, value: valueNow(transaction, store, key) }];
  }

  async decideOne(engine: EngineApi): Promise<void> {
    const at = this.#random.below(Math.max(1, this.#waiting.length));
    const waiting = this.#waiting[at];
    if (waiting === undefined) return;
    if (waiting.verdict === undefined) {
      waiting.verdict = this.#random.below(4) !== 0;
      this.#oracle.deciding(waiting.ticket, waiting.verdict);
    }
    await engine.decide(waiting.transactionId, waiting.verdict);
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    if (waiting.verdict) this.#oracle.acknowledged(waiting.ticket);
    else this.#oracle.refused(waiting.ticket);
  }

  async #ask(engine: EngineApi): Promise<void> {
    for (let one = this.#unknown[0]; one !== undefined; one = this.#unknown[0]) {
      const answer = await engine.resolve(one.transactionId);
      if (answer === 'committed') throw new Error(`${one.transactionId} was never decided and is committed`);
      if (answer === 'aborted') this.#oracle.refused(one.ticket);
      else {
        this.#oracle.prepared(one.ticket);
        this.#waiting.push(one);
      }
      this.#unknown.shift();
    }
  }
}

export function valueNow(transaction: EngineTransaction, store: number, key: string): Uint8Array | undefined {
  const bytes = bytesOf(key);
  transaction.waits = true;
  if (transaction.find(store, bytes, 0, bytes.length) !== 1) return undefined;
  const cell = transaction.foundBytes.slice(transaction.foundStart, transaction.foundEnd);
  return ((cell[0] as number) & 1) === 0 ? cell.slice(1) : transaction.readValueSync(cell, 0, cell.length);
}

/** Its changes are about to come: what it read must be as it was. */
export function expectReadsHold(content: ModelContent, { commit, reads }: IssuedCommit): void {
  for (const { store, key, value } of reads ?? []) {
    const now = content.store(store).get(key);
    const isSame = now === undefined || value === undefined ? now === value : Buffer.compare(now, value) === 0;
    if (!isSame)
      throw new Error(`commit ${commit.id} read ${key} of store ${store}, which changed before its decision`);
  }
}

/** What waits, and what is seen of it, is what was promised. */
export function expectWaiting(
  { commit, outcome }: OracleCommit<IssuedCommit>,
  isIn: boolean,
  listed: ReadonlySet<string>,
  hasFailed: boolean,
): void {
  // Whether a decision on its way is in, an engine whose disk has failed can not say: the next opening does.
  if (hasFailed && !isIn && (outcome === 'committing' || outcome === 'aborting')) return;
  const isListed = listed.has(commit.transactionId);
  const problem = isListed ? listedProblem(outcome, isIn) : missingProblem(outcome, isIn);
  if (problem !== undefined) throw new Error(`two-phase commit ${commit.commit.id} (${outcome}) ${problem}`);
}

function listedProblem(outcome: string, isIn: boolean): string | undefined {
  if (isIn) return 'waits for its decision and is seen';
  return outcome === 'acknowledged' || outcome === 'refused' ? 'was decided and waits again' : undefined;
}

function missingProblem(outcome: string, isIn: boolean): string | undefined {
  if (outcome === 'prepared') return 'was prepared and is forgotten';
  if (outcome === 'committing' && !isIn) return 'was prepared and is gone, though it was to commit';
  if (outcome === 'acknowledged' && !isIn) return 'was committed and is gone';
  const mayBeIn = outcome === 'committing' || outcome === 'acknowledged';
  return isIn && !mayBeIn ? 'is seen without a decision' : undefined;
}

/** Decides one that was found waiting; answers whether something was. */
export async function decideFound(
  engine: EngineApi,
  state: OracleState<IssuedCommit>,
  oracle: Oracle<IssuedCommit>,
  draw: number,
): Promise<boolean> {
  const found = engine.prepared();
  const one = found[draw % Math.max(1, found.length)];
  if (one === undefined) return false;
  const known = state.commits.find(({ commit }) => commit.transactionId === one.id);
  if (known === undefined) throw new Error(`${one.id} waits for a decision and was never prepared`);
  if ((await engine.resolve(one.id)) !== 'prepared') throw new Error(`${one.id} waits, and resolve does not say so`);
  const isCommit = known.outcome === 'committing' || (known.outcome !== 'aborting' && draw % 3 !== 0);
  oracle.deciding(known.ticket, isCommit);
  await engine.decide(one.id, isCommit);
  if (isCommit) oracle.acknowledged(known.ticket);
  else oracle.refused(known.ticket);
  const wanted = isCommit ? 'committed' : 'aborted';
  if ((await engine.resolve(one.id)) !== wanted) throw new Error(`${one.id} is not ${wanted}`);
  return true;
}
