/**
 * Pins in simulated lives: they are told to the oracle like commits, and what a crash left must have every pin that was
 * acknowledged, none that was given up, and each must read exactly as its number says.
 */
import type { EngineApi, EngineTransaction } from '../../src/transaction/engine-api.ts';
import { readVersionedMarks } from '../helpers/engine-model.ts';
import { expectContent, ModelContent } from '../helpers/model-content.ts';
import type { Oracle, OracleState } from './crash-oracle.ts';
import type { IssuedCommit } from './engine-system.ts';

export const NO_COMMIT = { id: -1, operations: [] };

/** The pins that a life knows to be there. */
export class LivingPins {
  readonly #names: string[] = [];
  #made = 0;

  /** A new pin, or one less where there are some. */
  async step(engine: EngineApi, oracle: Oracle<IssuedCommit>, draw: number): Promise<void> {
    const [oldest] = this.#names;
    if (oldest === undefined || (this.#names.length < 3 && draw % 3 !== 0)) {
      const name = `pin-${++this.#made}`;
      const ticket = oracle.started({ commit: NO_COMMIT, transactionId: '', pin: name });
      const { number } = await engine.pin(name);
      oracle.acknowledged(ticket, number);
      this.#names.push(name);
      return;
    }
    this.#names.shift();
    const ticket = oracle.started({ commit: NO_COMMIT, transactionId: '', unpin: oldest });
    await engine.unpin(oldest);
    oracle.acknowledged(ticket);
  }
}

/** `inBackup`: the pins are those of an earlier moment. */
export function expectPins(engine: EngineApi, state: OracleState<IssuedCommit>, inBackup = false): void {
  const listed = new Map(engine.pins().map((pin) => [pin.name, pin]));
  const known = new Set<string>();
  const given = new Map(
    state.commits.flatMap(({ commit, outcome }) => (commit.unpin ? [[commit.unpin, outcome]] : [])),
  );
  for (const { commit, outcome, place } of state.commits) {
    const name = commit.pin;
    if (name === undefined) continue;
    known.add(name);
    const pin = listed.get(name);
    if (pin === undefined) {
      if (outcome === 'acknowledged' && !inBackup && !given.has(name))
        throw new Error(`pin ${name} was acknowledged and is gone`);
      continue;
    }
    if (given.get(name) === 'acknowledged' && !inBackup) throw new Error(`pin ${name} was given up and is there`);
    if (place !== undefined && place !== pin.number)
      throw new Error(`pin ${name} was acknowledged at ${place} and is at ${pin.number}`);
    expectAt(engine, name, pin.number, state);
  }
  for (const name of listed.keys()) if (!known.has(name)) throw new Error(`pin ${name} was never made`);
}

function expectAt(engine: EngineApi, name: string, number: number, state: OracleState<IssuedCommit>): void {
  const transaction = engine.begin('read', { at: name });
  try {
    expectPrefix(transaction, number, state);
  } catch (error) {
    throw new Error(`at pin ${name} (${number}): ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  } finally {
    transaction.rollback();
  }
}

/** What is shown is exactly what the commits up to `number` come to. */
export function expectPrefix(transaction: EngineTransaction, number: number, state: OracleState<IssuedCommit>): void {
  const marks = readVersionedMarks(transaction);
  const found = new Set(marks.map(({ id }) => id));
  const issued = new Map(state.commits.map((one) => [one.commit.commit.id, one.commit.commit]));
  for (const { commit, outcome, place } of state.commits) {
    const { id } = commit.commit;
    if (id < 0) continue;
    if (outcome === 'refused' && found.has(id)) throw new Error(`commit ${id} was refused and is there`);
    if (place !== undefined && place <= number !== found.has(id))
      throw new Error(`commit ${id}, number ${place}, is ${found.has(id) ? '' : 'not '}there`);
  }
  let model = ModelContent.EMPTY;
  for (const { id, version } of marks) {
    const commit = issued.get(id);
    if (commit === undefined) throw new Error(`commit ${id} was never issued`);
    if (version > number) throw new Error(`commit ${id} is later: ${version}`);
    model = model.after(commit);
  }
  expectContent(transaction, model);
}
