/**
 * Prepared transactions of an open database: what waits, and how it is decided.
 *
 *  1. One decision at a time of one transaction: who comes second hears what became of the first.
 *  2. Listeners of a transaction that was prepared here hear of its decision once that is durable.
 *  3. Nobody is told of a decision that may still be taken back: what was accepted and is not durable is waited for, a recovery
 *     under way too. After one that failed nobody here knows: then it is not guessed.
 */
import { copyBytes } from '../base/bytes.ts';
import {
  CorruptionError,
  InvalidArgumentError,
  OutcomeUnknownError,
  ReadOnlyError,
  SnapshotTooOldError,
  TransactionEndedError,
} from '../base/errors.ts';
import type { Combiner } from '../commit/combiner.ts';
import type { CommitRequest, CommitRun, CommitSection } from '../commit/commit-request.ts';
import { KIND_DECIDE, KIND_PREPARE } from '../log/batch.ts';
import { AT } from '../node/entry-cursor.ts';
import type { DatabaseState } from '../storage/database-state.ts';
import { decodeDecision, encodeDecision, type PreparedTransaction } from '../storage/prepared-set.ts';
import type { Segments } from '../storage/segments.ts';
import type { SnapshotReader } from '../storage/snapshot-reader.ts';
import { CATALOG_STORE, PREPARED_STORE } from '../storage/system-stores.ts';
import { formatTransactionId, parseTransactionId, type TransactionId } from '../storage/transaction-ids.ts';
import { openRun } from '../storage/tree-run.ts';
import { CELL_SEPARATE } from '../codec/cell.ts';
import { readValueSync } from '../storage/value-log.ts';
import { TreeCursor } from '../tree/tree-cursor.ts';
import type { PreparedInfo, TransactionOutcome as PreparedFate } from './engine-api.ts';
import type { Transaction } from './transaction.ts';

export interface PreparedHost {
  readonly folder: string;
  readonly writer: number;
  readonly state: DatabaseState;
  readonly reader: SnapshotReader;
  readonly segments: Segments;
  nextCounter(): number;
  /** Throws where the engine is closed, and nobody is in the middle of something that needs a decision. */
  mustTakeDecisions(): void;
  noteChanges(idWriter: number, idCounter: number, number: number, runs: number): void;
  logGrew(): void;
  backgroundError(error: unknown): void;
}

/** Takes in what waited when the root was made. */
export function loadPrepared({ state, reader, segments }: Pick<PreparedHost, 'state' | 'reader' | 'segments'>): void {
  const { root } = state.view;
  const tree = root.record.hasPrepared === true ? reader.tree(root, PREPARED_STORE) : undefined;
  if (tree === undefined) return;
  const cursor = new TreeCursor(reader.cache, tree);
  cursor.waits = true;
  for (let step = cursor.first(); step === AT; step = cursor.next()) {
    const key = cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd);
    const cell = cursor.cellBytes.slice(cursor.cellStart, cursor.cellEnd);
    state.prepared.load(key, 0, key.length, wholeCell(segments, cell));
  }
}

/** A cell whose value a checkpoint moved, as it was before. */
export function wholeCell(segments: Segments, cell: Uint8Array): Uint8Array {
  if (cell.length === 0) throw new CorruptionError('a row of the prepared store is empty');
  if (((cell[0] as number) & CELL_SEPARATE) === 0) return cell;
  const value = readValueSync(segments, cell, 0, cell.length);
  const whole = new Uint8Array(1 + value.length);
  whole.set(value, 1);
  return whole;
}

interface UnderWay {
  readonly isCommit: boolean;
  readonly done: Promise<number>;
}

export class PreparedTransactions {
  /** See `EngineApi`. */
  catalogDecidedAt = 0;
  readonly #host: PreparedHost;
  readonly #combiner: Combiner | undefined;
  /** Those prepared in this opening, by id: they have listeners. */
  readonly #here = new Map<string, Transaction>();
  readonly #underWay = new Map<string, UnderWay>();

  constructor(host: PreparedHost, combiner: Combiner | undefined) {
    this.#host = host;
    this.#combiner = combiner;
  }

  /** As of what is durable. */
  list(): PreparedInfo[] {
    const { prepared, durable } = this.#host.state;
    return prepared.undecidedAt(durable).map((one) => ({
      id: formatTransactionId(one.writer, one.counter),
      preparedAt: one.number,
      stores: one.stores(),
    }));
  }

  /** Its holder can decide it from here on. */
  prepared(transaction: Transaction): void {
    this.#here.set(transaction.id, transaction);
  }

  /**
   * What became of one that was prepared and is remembered as such; undefined for any other. `OutcomeUnknownError` where that is
   * not known here any more.
   */
  async fate({ writer, counter }: TransactionId): Promise<PreparedFate | undefined> {
    const id = formatTransactionId(writer, counter);
    let one: PreparedTransaction | undefined;
    for (;;) {
      const underWay = this.#underWay.get(id);
      one = this.#host.state.prepared.get(writer, counter);
      if (underWay !== undefined) await underWay.done.catch(() => {});
      else if (one !== undefined && !this.#isDurable(one) && this.#combiner?.isSettling === true) {
        await this.#combiner.landed();
      } else break;
    }
    if (one === undefined) return undefined;
    this.#mustBeDurable(one);
    return one.decidedAt === 0 ? 'prepared' : one.committed ? 'committed' : 'aborted';
  }

  /** `TransactionEndedError` where it was decided otherwise or never was prepared. */
  async decide(transactionId: string, isCommit: boolean): Promise<number> {
    this.#host.mustTakeDecisions();
    const id = parseTransactionId(transactionId);
    if (id === undefined) throw new InvalidArgumentError(`${JSON.stringify(transactionId)} is no transaction id`);
    const fate = await this.fate(id);
    // Somebody else may have waited for the same.
    if (this.#underWay.has(transactionId)) return this.decide(transactionId, isCommit);
    if (fate === 'prepared') return this.#decide(transactionId, id, isCommit);
    return this.#decidedBefore(transactionId, id, isCommit);
  }

  /** Whether what is known of it can not be taken back any more. */
  #isDurable({ number, decidedAt }: PreparedTransaction): boolean {
    const { durable } = this.#host.state;
    return number <= durable && decidedAt <= durable;
  }

  /** What is accepted, and neither durable nor on its way: the log failed, and so did finding out what is in it. */
  #mustBeDurable(one: PreparedTransaction): void {
    if (this.#isDurable(one)) return;
    const id = formatTransactionId(one.writer, one.counter);
    throw new OutcomeUnknownError(
      id,
      `how transaction ${id} ended is not known: the database failed meanwhile; open it again and ask there`,
    );
  }

  #decide(transactionId: string, { writer, counter }: TransactionId, isCommit: boolean): Promise<number> {
    const host = this.#host;
    if (this.#combiner === undefined) {
      throw new ReadOnlyError(
        `${host.folder} was opened with readOnly: a prepared transaction can not be decided here`,
      );
    }
    const combiner = this.#combiner;
    const one = host.state.prepared.get(writer, counter) as PreparedTransaction;
    // Now, while it may fail: who settles a batch must not wait for the disk.
    host.state.ids.writer(writer);
    const done = new Promise<number>((committed, failed) => {
      const { sections, runs, byteLength } = isCommit ? this.#changesOf(one) : NOTHING;
      combiner.submit(
        {
          kind: KIND_DECIDE,
          idWriter: host.writer,
          idCounter: host.nextCounter(),
          snapshot: 0,
          reads: undefined,
          claim: undefined,
          sections,
          runs,
          payload: encodeDecision({ writer, counter, isCommit }),
          byteLength,
          isTaken: false,
          committed,
          failed,
        },
        false,
      );
    })
      .catch((error: unknown) => {
        throw error instanceof OutcomeUnknownError ? undecided(transactionId, error) : error;
      })
      .finally(() => this.#underWay.delete(transactionId));
    this.#underWay.set(transactionId, { isCommit, done });
    return done.then((number) => {
      this.#here.get(transactionId)?.decided(isCommit ? number : undefined);
      this.#here.delete(transactionId);
      return number;
    });
  }

  #changesOf(one: PreparedTransaction): Changes {
    const sections: CommitSection[] = [];
    const runs: CommitRun[] = [];
    const cursor = one.open();
    const { bytes } = cursor;
    while (cursor.nextSection()) {
      const { storeId, recordCount, sectionStart: start, sectionLength: byteLength } = cursor;
      sections.push({ storeId, recordCount, bytes, start, byteLength });
    }
    while (cursor.nextRun()) {
      const storeId = cursor.runStoreId;
      const descriptor = bytes.slice(cursor.runStart, cursor.runStart + cursor.runLength);
      const { runContext } = this.#host.reader;
      runs.push({ storeId, descriptor, adopt: (number) => openRun(runContext, storeId, descriptor, number) });
    }
    return { sections, runs, byteLength: bytes.length + NOTHING.byteLength };
  }

  #decidedBefore(transactionId: string, { writer, counter }: TransactionId, isCommit: boolean): number {
    const { state } = this.#host;
    const known = state.prepared.get(writer, counter);
    if (known !== undefined) this.#mustBeDurable(known);
    const outcome =
      known === undefined ? state.ids.outcome(writer, counter) : known.committed ? 'committed' : 'unknown';
    if (outcome === undefined) {
      throw new SnapshotTooOldError(
        `transaction ${transactionId} is too old: how it was decided is not known any more`,
      );
    }
    if ((outcome === 'committed') === isCommit) return known?.decidedAt ?? state.durable;
    const found =
      outcome === 'committed' ? 'was committed' : 'does not wait for a decision: it was rolled back, or never prepared';
    throw new TransactionEndedError(`transaction ${transactionId} ${found}`, {
      details: { transactionId, outcome: outcome === 'committed' ? 'committed' : 'aborted' },
    });
  }

  /** A record of this engine's own has its place in the log: nothing behind it may overlook it. */
  noteAccepted(request: CommitRequest, number: number, bytes: Uint8Array, start: number, end: number): void {
    const { prepared } = this.#host.state;
    if (request.kind === KIND_PREPARE) {
      prepared.add(request.idWriter, request.idCounter, number, copyBytes(bytes, start, end));
    } else if (request.kind === KIND_DECIDE) {
      const payload = request.payload as Uint8Array;
      const decided = prepared.decide(decodeDecision(payload, 0, payload.length), number);
      if (decided.committed && decided.stores().includes(CATALOG_STORE)) this.catalogDecidedAt = number;
      this.#combiner?.releaseHeld();
    }
  }

  noteCommitted(request: CommitRequest, number: number): void {
    if (request.kind === KIND_PREPARE) this.#host.logGrew();
    if (request.kind !== KIND_DECIDE) return;
    const payload = request.payload as Uint8Array;
    const { writer, counter, isCommit } = decodeDecision(payload, 0, payload.length);
    // Its own id too: among those that never commit, hundreds of decisions would push out what is still asked for.
    this.#host.state.ids.noteCommitted(request.idWriter, request.idCounter, number);
    if (isCommit) this.#host.noteChanges(writer, counter, number, request.runs.length);
    this.#host.state.ids.noteDecided(writer, counter);
  }
}

/** Whoever asks does so by the id of what was to be decided, not of the record that says how. */
function undecided(transactionId: string, cause: OutcomeUnknownError): OutcomeUnknownError {
  return new OutcomeUnknownError(
    transactionId,
    `deciding transaction ${transactionId} failed and so did finding out whether that is in; ask with resolve`,
    { cause },
  );
}

interface Changes {
  readonly sections: readonly CommitSection[];
  readonly runs: readonly CommitRun[];
  readonly byteLength: number;
}

const NOTHING: Changes = { sections: [], runs: [], byteLength: 128 };
