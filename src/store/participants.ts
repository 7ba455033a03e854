/**
 * Two phases: a transaction together with others' work. First everyone promises, then one record in this database's log decides,
 * then everyone is told.
 *
 *  1. The decision in the log is the commit point: before it every promise can be taken back, after it none.
 *  2. A participant is told to commit only once the decision is durable, and after a crash finds out with `db.resolve` or
 *     `db.prepared`: what it has prepared is committed where the answer is 'committed', and not where it is 'aborted'.
 *  3. Whoever was asked to prepare is told how it ended, in this process or, after a crash, by whoever decides.
 *  4. Time limit and signal hold until all have promised. Where they end it nobody is waited for any more.
 */
import {
  InvalidArgumentError,
  OutcomeUnknownError,
  ParticipantFailedError,
  TransactionEndedError,
} from '../base/errors.ts';
import type { EngineApi, EngineTransaction } from '../transaction/engine-api.ts';
import { Asking } from './asking.ts';

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
  /** May come before `prepare` has answered: the database is being closed. What that promises afterwards counts for nothing. */
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
  const asking = new Asking(database, transaction);
  try {
    await prepareHere(transaction, participants, report);
    await askAll(asking, id, participants, report).catch(async (error: unknown) => {
      await abortAll(database, id, participants, report, asking.isOutOfTime ? tellAtOnce : tellAll);
      throw error;
    });
  } finally {
    asking.end();
  }
  return id;
}

async function prepareHere(
  transaction: EngineTransaction,
  participants: readonly Participant[],
  report: Report,
): Promise<void> {
  try {
    await transaction.prepare();
  } catch (error) {
    // What is not known to have failed may be waiting in the log: whoever finds it there decides.
    if (!(error instanceof OutcomeUnknownError)) await tellAll(participants, 'rollback', transaction.id, report);
    throw error;
  }
}

async function askAll(asking: Asking, id: string, participants: readonly Participant[], report: Report): Promise<void> {
  for (const participant of participants) {
    const onLate = (promised: Promise<void>): void => void tellLate(promised, participant, id, report);
    await asking.ask(() => participant.prepare(id), onLate);
  }
}

/** Who promises after all was rolled back has not heard of that, or heard it too early. */
async function tellLate(promised: Promise<void>, participant: Participant, id: string, report: Report): Promise<void> {
  try {
    await promised;
  } catch (cause) {
    report(failure(participant, 'prepare', id, 'rollback', cause));
    return;
  }
  await tellAll([participant], 'rollback', id, report);
}

/** The commit point, and the news of it. Answers the number of the decision. */
export async function commitAll(
  database: Decider,
  id: string,
  participants: readonly Participant[],
  report: Report,
): Promise<number> {
  return decideAll(database, id, true, participants, report);
}

/** Everyone hears how it ended, also where somebody else was first and decided otherwise: `TransactionEndedError`. */
async function decideAll(
  database: Decider,
  id: string,
  isCommit: boolean,
  participants: readonly Participant[],
  report: Report,
  tell: typeof tellAll = tellAll,
): Promise<number> {
  let number: number;
  try {
    number = await database.decide(id, isCommit);
  } catch (error) {
    if (error instanceof TransactionEndedError) {
      await tell(participants, isCommit ? 'rollback' : 'commit', id, report);
    }
    throw error;
  }
  await tell(participants, isCommit ? 'commit' : 'rollback', id, report);
  return number;
}

/** Somebody else decided it, by way of `db.prepared`, while it was still being prepared: who promised hears how. */
export async function decidedElsewhere(
  database: EngineApi,
  id: string,
  participants: readonly Participant[],
  report: Report,
): Promise<TransactionEndedError> {
  const outcome = await database.resolve(id);
  await tellAll(participants, outcome === 'committed' ? 'commit' : 'rollback', id, report);
  const how = outcome === 'committed' ? 'committed' : 'rolled back';
  return new TransactionEndedError(`transaction ${id} was ${how} by somebody else while it was being prepared`, {
    details: { transactionId: id, outcome },
  });
}

/** Both phases. A decision that could not be logged leaves everything prepared: `OutcomeUnknownError`. */
export async function commitTogether(
  database: EngineApi,
  transaction: EngineTransaction,
  participants: readonly Participant[],
  report: Report,
): Promise<number> {
  const { id } = transaction;
  // Once all have promised the decision is made, and told, though the database be closed meanwhile.
  const end = database.beginWork(() => {});
  try {
    await prepareAll(database, transaction, participants, report);
    return await decideTogether(database, id, participants, report);
  } finally {
    end();
  }
}

async function decideTogether(
  database: EngineApi,
  id: string,
  participants: readonly Participant[],
  report: Report,
): Promise<number> {
  try {
    return await commitAll(database, id, participants, report);
  } catch (cause) {
    if (cause instanceof OutcomeUnknownError || cause instanceof TransactionEndedError) throw cause;
    throw new OutcomeUnknownError(
      id,
      `transaction ${id} is prepared, but its decision could not be logged: db.prepared() has it, commit it or roll it back`,
      { cause },
    );
  }
}

/** `TransactionEndedError` where somebody else has committed it meanwhile. */
export async function abortAll(
  database: EngineApi,
  id: string,
  participants: readonly Participant[],
  report: Report,
  tell: typeof tellAll = tellAll,
): Promise<void> {
  try {
    await decideAll(database, id, false, participants, report, tell);
  } catch (error) {
    // It is in all the same: to pass on why it should not be would say otherwise.
    if (error instanceof TransactionEndedError) throw error;
    // All of them go on waiting: `db.prepared` has it, and whoever decides it there can tell the participants.
    report(error);
  }
}

/** Nobody's answer is waited for. */
async function tellAtOnce(...[participants, word, id, report]: Parameters<typeof tellAll>): Promise<void> {
  for (const participant of participants) void tellAll([participant], word, id, report);
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
      report(failure(participant, word === 'commit' ? 'commit' : 'roll back', id, word, cause));
    }
  }
}

function failure(
  { name }: Participant,
  what: string,
  id: string,
  decision: 'commit' | 'rollback',
  cause: unknown,
): ParticipantFailedError {
  const who = name === undefined ? 'a participant' : `participant '${name}'`;
  return new ParticipantFailedError(`${who} failed to ${what} transaction ${id}`, {
    cause,
    details: { transactionId: id, participant: name, decision },
  });
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
   * it. `TransactionEndedError` where it was rolled back, which its participants are told then; `ReadOnlyError` in a read-only
   * opening.
   */
  commit(): Promise<number> {
    return commitAll(this.#database, this.id, this.#participants, this.#report);
  }

  /** Rolls it back; harmless when repeated. `TransactionEndedError` where it was committed, which its participants are told then. */
  async rollback(): Promise<void> {
    await decideAll(this.#database, this.id, false, this.#participants, this.#report);
  }
}
