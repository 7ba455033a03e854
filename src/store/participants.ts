/**
 * Two phases: a transaction together with others' work. First everyone promises, then one record in this database's log decides,
 * then everyone is told.
 *
 *  1. The decision in the log is the commit point: before it every promise can be taken back, after it none.
 *  2. A participant is told to commit only once the decision is durable, and after a crash finds out with `db.resolve` or
 *     `db.prepared`: what it has prepared is committed where the answer is 'committed', and not where it is 'aborted'.
 *  3. Whoever was asked to prepare is told how it ended, in this process or, after a crash, by whoever decides.
 */
import { InvalidArgumentError, OutcomeUnknownError, ParticipantFailedError } from '../base/errors.ts';
import type { EngineApi, EngineTransaction } from '../transaction/engine-api.ts';

/**
 * Somebody else's part of a transaction: another database, a queue, a service. `id` is the transaction's, the same in all calls;
 * `commit` and `rollback` may be called again after a crash and must then be harmless.
 */
export interface Participant {
  /** For messages. */
  readonly name?: string;
  /** Promises to be able to commit, whatever happens from here on. Throwing refuses: then nobody commits. */
  prepare(id: string): Promise<void> | void;
  commit(id: string): Promise<void> | void;
  rollback(id: string): Promise<void> | void;
}

/** Where prepared transactions are decided. */
export type Decider = Pick<EngineApi, 'prepared' | 'decide'>;

/** What a participant's failure is told to once the decision is made. */
export type Report = (error: unknown) => void;

export function checkParticipant(participant: Participant): void {
  for (const name of ['prepare', 'commit', 'rollback'] as const) {
    if (typeof (participant as Partial<Participant> | null | undefined)?.[name] === 'function') continue;
    throw new InvalidArgumentError(`a participant has a method ${name}(id)`, { details: { missing: name } });
  }
}

/** Everyone promises, this database first. Answers the transaction's id. */
export async function prepareAll(
  database: EngineApi,
  transaction: EngineTransaction,
  participants: readonly Participant[],
  report: Report,
): Promise<string> {
  const { id } = transaction;
  try {
    await transaction.prepare();
  } catch (error) {
    // What is not known to have failed may be waiting in the log: whoever finds it there decides.
    if (!(error instanceof OutcomeUnknownError)) await tellAll(participants, 'rollback', id, report);
    throw error;
  }
  for (const participant of participants) {
    try {
      await participant.prepare(id);
    } catch (error) {
      await abortAll(database, id, participants, report);
      throw error;
    }
  }
  return id;
}

/** The commit point, and the news of it. Answers the number of the decision. */
export async function commitAll(
  database: Decider,
  id: string,
  participants: readonly Participant[],
  report: Report,
): Promise<number> {
  const number = await database.decide(id, true);
  await tellAll(participants, 'commit', id, report);
  return number;
}

/** Both phases. A decision that could not be logged leaves everything prepared: `OutcomeUnknownError`. */
export async function commitTogether(
  database: EngineApi,
  transaction: EngineTransaction,
  participants: readonly Participant[],
  report: Report,
): Promise<number> {
  const id = await prepareAll(database, transaction, participants, report);
  try {
    return await commitAll(database, id, participants, report);
  } catch (cause) {
    if (cause instanceof OutcomeUnknownError) throw cause;
    throw new OutcomeUnknownError(
      id,
      `transaction ${id} is prepared, but its decision could not be logged: db.prepared() has it, commit it or roll it back`,
      { cause },
    );
  }
}

export async function abortAll(
  database: EngineApi,
  id: string,
  participants: readonly Participant[],
  report: Report,
): Promise<void> {
  try {
    await database.decide(id, false);
  } catch (error) {
    // All of them go on waiting: `db.prepared` has it, and whoever decides it there can tell the participants.
    report(error);
    return;
  }
  await tellAll(participants, 'rollback', id, report);
}

/** All are told, whatever one of them answers. */
export async function tellAll(
  participants: readonly Participant[],
  word: 'commit' | 'rollback',
  id: string,
  report: Report,
): Promise<void> {
  for (const participant of participants) {
    try {
      await participant[word](id);
    } catch (cause) {
      const who = participant.name === undefined ? 'a participant' : `participant '${participant.name}'`;
      report(
        new ParticipantFailedError(`${who} failed to ${word === 'commit' ? 'commit' : 'roll back'} transaction ${id}`, {
          cause,
          details: { transactionId: id, participant: participant.name, decision: word },
        }),
      );
    }
  }
}

/** What waits, with the stores' names where the catalog knows them. */
export function preparedOf(
  database: Decider,
  names: ReadonlyMap<number, string>,
  participants: readonly Participant[],
  report: Report,
  only?: string,
): PreparedTransaction[] {
  const found = database.prepared().filter(({ id }) => only === undefined || id === only);
  return found.map(({ id, preparedAt, stores }) => {
    const known = stores.flatMap((storeId) => names.get(storeId) ?? []);
    return new PreparedTransaction(database, { id, preparedAt, stores: known }, participants, report);
  });
}

/** A transaction that is durable and waits for its decision; of this process or, after a crash, of one before it. */
export class PreparedTransaction {
  /** See `db.resolve`. */
  readonly id: string;
  /** Its number in the log. */
  readonly preparedAt: number;
  /** Names of the stores it changes, those left out that only it would create. */
  readonly stores: readonly string[];
  readonly #database: Decider;
  readonly #participants: readonly Participant[];
  readonly #report: Report;

  /** Use `tx.prepare` or `db.prepared`. */
  constructor(
    database: Decider,
    what: { readonly id: string; readonly preparedAt: number; readonly stores: readonly string[] },
    participants: readonly Participant[] = [],
    report: Report = () => {},
  ) {
    this.id = what.id;
    this.preparedAt = what.preparedAt;
    this.stores = what.stores;
    this.#database = database;
    this.#participants = participants;
    this.#report = report;
  }

  /**
   * Commits it; answers the number of the decision (where it was committed before, possibly a later one). No conflict can refuse
   * it. `TransactionEndedError` where it was rolled back, `ReadOnlyError` in a read-only opening.
   */
  commit(): Promise<number> {
    return commitAll(this.#database, this.id, this.#participants, this.#report);
  }

  /** Rolls it back; harmless when repeated. `TransactionEndedError` where it was committed. */
  async rollback(): Promise<void> {
    await this.#database.decide(this.id, false);
    await tellAll(this.#participants, 'rollback', this.id, this.#report);
  }
}
