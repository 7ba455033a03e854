/**
 * The holder of the append right at work: waiting requests become batches of the log, one after another.
 *
 *  1. Requests are validated in the order they came, against everything accepted before them; accepted changes enter the
 *     active memory table in number order.
 *  2. Nobody hears "committed", and no snapshot includes a number, before the batch that holds it is durable.
 *  3. After a failed append nothing more is combined until the host has recovered; what was in flight is settled by what
 *     the recovered log says.
 *  4. `exclusive` work (freezing a table, changing the epoch) sees no batch in flight.
 *  5. The engine's own records go before what users wait for, and never wait for room in a table: they are what makes room.
 *  6. Who has to wait for somebody else's end (blockers.ts) is held out of the queue for a bounded time, and looked at
 *     again, from the beginning, whenever one of these ends.
 *  7. Room in the log is seen to before a request is accepted: a full disk refuses who needs more, and nobody beside.
 *  8. A request is given to a batch once, or refused once, whatever its end makes others do.
 *
 * Group commit: while a batch is being synced, requests gather; the next batch takes them all. A lone small request is
 * written and synced on the calling thread, since a thread hop costs as much as a fifth of a sync.
 */
import { assert } from '../base/assert.ts';
import { DatabaseFailedError, DiskFullError, LimitExceededError, OutcomeUnknownError } from '../base/errors.ts';
import { MAX_BATCH_BYTES } from '../base/limits.ts';
import type { Env } from '../env/env.ts';
import { holdsUserData, isAboutTransaction, KIND_DECIDE, KIND_PREPARE, KIND_USER } from '../log/batch.ts';
import type { BatchBuilder } from '../log/batch-builder.ts';
import type { CommitLog } from '../log/commit-log.ts';
import type { MemoryTable } from '../storage/memory-table.ts';
import { formatTransactionId } from '../storage/transaction-ids.ts';
import type { Blockers } from './blockers.ts';
import { type CommitRequest, onlyRemoves } from './commit-request.ts';
import { HeldRequests } from './held-requests.ts';
import { validate } from './validate.ts';

/** A batch takes no further request past this. */
const BATCH_TARGET_BYTES = 4 * 1024 * 1024;
/** From this size on a request does not wait for the batch before it: copying overlaps with syncing. */
const PIPELINE_BYTES = 128 * 1024;
/** Larger requests are synced by the log thread, so that entering them into the table overlaps with the disk. */
const SYNC_ON_CALLER_BYTES = 32 * 1024;
const MAX_IN_FLIGHT = 2;
/** A longer request fits no batch, its headers and directory counted. */
const LARGEST_REQUEST_BYTES = MAX_BATCH_BYTES - 4 * 1024 * 1024;
/** What transactions that only remove may use of the log's space that is held back for the engine's own records. */
const SHARE_OF_REMOVALS = 1 / 2;

/** What the combiner needs of the database around it. */
export interface CombinerHost {
  readonly env: Env;
  readonly log: CommitLog;
  /** Tables to validate against, newest first, the active one first of all. */
  readonly checkedTables: readonly MemoryTable[];
  /** The oldest number from which on `checkedTables` know every change. */
  readonly oldestChecked: number;
  readonly activeTable: MemoryTable;
  readonly blockers: Blockers;
  /** The active table cannot take `byteLength` more: make room, then call `combiner.resume()`. */
  tableFull(byteLength: number): void;
  /** The log has no room for what came: make some. */
  logFull(): void;
  /** The batch ending with `number` is durable. */
  advance(number: number): void;
  /** A request of another kind than a user's has its place in the log; `bytes[start, end)` is its record, to be copied. */
  noteAccepted(request: CommitRequest, number: number, bytes: Uint8Array, start: number, end: number): void;
  noteCommitted(request: CommitRequest, number: number): void;
  /**
   * A batch that ends with `number` is durable at `nowMs` (monotonic). It was written from `writtenMs` on, and the oldest of
   * its requests came at `sinceMs`, or later where the queue had not been emptied before.
   */
  noteBatch(
    transactions: number,
    bytes: number,
    number: number,
    sinceMs: number,
    writtenMs: number,
    nowMs: number,
  ): void;
  noteConflict(request: CommitRequest, error: unknown): void;
  /** Refuses growth past a size limit by throwing. */
  checkSize(byteLength: number): void;
  /** Rebuilds log and tables after a failed append. Afterwards `wasCommitted` tells the truth about what was in flight. */
  recover(cause: unknown): Promise<void>;
  wasCommitted(request: CommitRequest): number | undefined;
}

interface Accepted {
  readonly request: CommitRequest;
  readonly number: number;
}

interface Refused {
  readonly request: CommitRequest;
  readonly refusal: unknown;
}

export class Combiner {
  readonly #host: CombinerHost;
  readonly #held: HeldRequests;
  #queue: CommitRequest[] = [];
  /** When the queue ceased to be empty. */
  #queuedMs = 0;
  #inFlight = 0;
  /** Batches sent off by way of `#inFlight`. */
  #begun = 0;
  #scheduled = false;
  #exclusive = false;
  #exclusiveWaiting = 0;
  #waitingForIdle: (() => void)[] = [];
  #stopped: unknown;
  #unsettled: CommitRequest[] = [];
  /** Refused, and to hear of it once the tables are as if they had never been. */
  #notIn: Refused[] = [];
  /** Somebody is refused for want of room in the log. */
  #isLogFull = false;
  /** What failed in the log while the batch at hand was being made. */
  #broken: unknown;
  #recovering = false;

  constructor(host: CombinerHost) {
    this.#host = host;
    const refuse = (request: CommitRequest, error: unknown): void => {
      host.noteConflict(request, error);
      fail(request, error);
      this.#wake();
    };
    const goOn = (request: CommitRequest): void => {
      this.#enqueue(request);
      this.#schedule();
    };
    this.#held = new HeldRequests(host.env, refuse, goOn);
  }

  get busy(): boolean {
    return this.#queue.length > 0 || this.#inFlight > 0 || this.#recovering || this.#held.size > 0;
  }

  /** Refuses everything for good. What was in flight when that began may be in the log or not. */
  get isStopped(): boolean {
    return this.#stopped !== undefined;
  }

  /** Whether the fate of what was accepted is still being found out: see `landed`. */
  get isSettling(): boolean {
    return this.#recovering || this.#inFlight > 0;
  }

  /** Takes a request; `lone` says that nobody else is about to commit, so that there is nothing to wait for. */
  submit(request: CommitRequest, lone: boolean): void {
    if (this.#stopped !== undefined) {
      fail(request, this.#stopped);
      return;
    }
    this.#enqueue(request);
    if (lone && this.#queue.length === 1 && this.#mayCombine() && this.#inFlight === 0) {
      this.#combine(request.byteLength <= SYNC_ON_CALLER_BYTES);
    } else {
      this.#schedule();
    }
  }

  /** Refuses a request that still waits. Harmless where it does not: what is in a batch goes its way. */
  withdraw(request: CommitRequest, error: unknown): void {
    if (request.isTaken) return;
    const at = this.#queue.indexOf(request);
    if (at >= 0) this.#queue.splice(at, 1);
    else if (!this.#held.remove(request)) return;
    fail(request, error);
    this.#wake();
  }

  #enqueue(request: CommitRequest): void {
    const queue = this.#queue;
    if (queue.length === 0) this.#queuedMs = this.#host.env.clock.monotonicMs();
    if (waitsInLine(request)) {
      queue.push(request);
      return;
    }
    let at = 0;
    while (at < queue.length && !waitsInLine(queue[at] as CommitRequest)) at++;
    queue.splice(at, 0, request);
  }

  /** Runs `work` with no batch in flight and none begun until it has ended. */
  async exclusive<T>(work: () => Promise<T>): Promise<T> {
    // Who waits here holds new batches back, else a busy queue would keep it waiting for ever.
    this.#exclusiveWaiting++;
    try {
      // Not at once: who asks for room may be in the middle of a batch.
      await undefined;
      while (this.#exclusive || this.#inFlight > 0 || this.#recovering) {
        await new Promise<void>((resolve) => this.#waitingForIdle.push(resolve));
      }
      if (this.#stopped !== undefined) throw this.#stopped;
      this.#exclusive = true;
    } finally {
      this.#exclusiveWaiting--;
    }
    try {
      return await work();
    } finally {
      this.#exclusive = false;
      this.#wake();
    }
  }

  /** Commits a record of the engine's own; answers its number. */
  control(kind: number, payload: Uint8Array, idWriter: number, idCounter: number): Promise<number> {
    return new Promise((committed, failed) => {
      const byteLength = payload.length + 64;
      const nothing = { reads: undefined, claim: undefined, sections: [], runs: [], snapshot: 0 };
      const request = { ...nothing, kind, idWriter, idCounter, payload, byteLength, isTaken: false, committed, failed };
      this.submit(request, false);
    });
  }

  /** The log failed outside of a commit: recover. */
  logFailed(cause: unknown): void {
    this.#fail(cause, []);
  }

  /** Room in a table cannot be made: what waits for it is refused, later requests may try again. */
  refuseWaiting(error: unknown): void {
    if (this.#queue.every((request) => this.#fitsTable(request))) return;
    for (const request of this.#queue.splice(0)) fail(request, error);
    this.#wake();
  }

  /** Somebody whom requests were waiting for is gone. */
  releaseHeld(): void {
    if (this.#held.size === 0) return;
    for (const request of this.#held.release()) this.#enqueue(request);
    this.#schedule();
  }

  /** Nobody waits any longer for somebody else's end. */
  refuseHeld(): void {
    this.#held.refuse();
  }

  /** Goes on after the host made room. */
  resume(): void {
    this.#schedule();
  }

  /** Refuses everything from now on; what waits is refused too. */
  stop(error: unknown): void {
    this.#stopped ??= error;
    // Who fails may have claimed something, and lets others go on: until nobody is left.
    while (this.#queue.length > 0 || this.#held.size > 0) {
      for (const request of [...this.#queue.splice(0), ...this.#held.release()]) fail(request, this.#stopped);
    }
    this.#wake();
  }

  /** Resolves when nothing is queued or in flight. */
  async drained(): Promise<void> {
    while (this.busy) await new Promise<void>((resolve) => this.#waitingForIdle.push(resolve));
  }

  /** Resolves when what is in flight now is durable, or known to have failed. */
  async landed(): Promise<void> {
    const begun = this.#begun;
    while (this.#recovering || (this.#inFlight > 0 && this.#begun - this.#inFlight < begun)) {
      await new Promise<void>((resolve) => this.#waitingForIdle.push(resolve));
    }
  }

  #mayCombine(): boolean {
    return !this.#exclusive && this.#exclusiveWaiting === 0 && !this.#recovering && this.#stopped === undefined;
  }

  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0) return;
    this.#scheduled = true;
    this.#host.env.timers.nextTurn(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  #wake(): void {
    for (const resolve of this.#waitingForIdle.splice(0)) resolve();
    this.#schedule();
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#mayCombine()) {
      if (this.#inFlight >= MAX_IN_FLIGHT) return;
      if (this.#inFlight > 0 && (this.#queue[0] as CommitRequest).byteLength < PIPELINE_BYTES) return;
      if (!this.#combine(false)) return;
    }
  }

  /** Makes one batch of what waits and sends it off. False where nothing can go on for now. */
  #combine(onCaller: boolean): boolean {
    const host = this.#host;
    const first = this.#queue[0] as CommitRequest;
    if (!this.#fitsTable(first)) {
      host.tableFull(first.byteLength);
      return false;
    }
    let batch: BatchBuilder;
    try {
      batch = host.log.openBatch();
    } catch (error) {
      this.#fail(error, []);
      return false;
    }
    const accepted: Accepted[] = [];
    const refused: Refused[] = [];
    const entered = this.#fill(batch, accepted, refused, onCaller);
    if (accepted.length === 0) batch.release();
    else if (this.#broken !== undefined) this.#refuseBroken(batch, accepted);
    else {
      const sinceMs = this.#queuedMs;
      const nowMs = host.env.clock.monotonicMs();
      this.#queuedMs = nowMs;
      if (onCaller && host.log.takesNow(batch)) this.#appendNow(batch, accepted, entered, sinceMs, nowMs);
      else this.#appendLater(batch, accepted, entered, sinceMs, nowMs);
    }
    if (this.#isLogFull) {
      this.#isLogFull = false;
      host.logFull();
    }
    for (const { request, refusal } of refused) request.failed(refusal);
    return true;
  }

  /**
   * Moves requests from the queue into the batch. Answers how many of the accepted are in the table already: all but the
   * last, which nobody needs to see before the write has been started. Who is refused hears of it afterwards: its end may put
   * others into the queue, in front of those just looked at.
   */
  #fill(batch: BatchBuilder, accepted: Accepted[], refused: Refused[], onCaller: boolean): number {
    const host = this.#host;
    let taken = 0;
    let entered = 0;
    let last: CommitRequest | undefined;
    while (taken < this.#queue.length && this.#broken === undefined) {
      const request = this.#queue[taken] as CommitRequest;
      if (taken > 0 && batch.byteLength + request.byteLength > BATCH_TARGET_BYTES) break;
      for (; entered < accepted.length; entered++) this.#enter(accepted[entered] as Accepted);
      if (taken > 0 && !this.#fitsTable(request)) break;
      taken++;
      last = request;
      if (request.isTaken) continue;
      const block = host.blockers.isActive ? host.blockers.find(request, this.#held.hasWaited(request)) : undefined;
      if (block !== undefined) {
        this.#held.hold(request, block);
        continue;
      }
      request.isTaken = true;
      const start = batch.byteLength;
      const number = batch.firstNumber + batch.count;
      const refusal = this.#refusal(request) ?? this.#write(batch, request, onCaller);
      if (refusal === undefined) {
        accepted.push({ request, number });
        if (request.kind !== KIND_USER) host.noteAccepted(request, number, batch.bytes, start, batch.byteLength);
      } else {
        host.noteConflict(request, refusal);
        refused.push({ request, refusal });
      }
    }
    assert(last === undefined || this.#queue[taken - 1] === last, 'nobody gets in front while a batch is filled');
    this.#queue.splice(0, taken);
    return entered;
  }

  /** What can never be written is let through, to be refused. */
  #fitsTable({ kind, sections, byteLength }: CommitRequest): boolean {
    if (kind === KIND_PREPARE) return true;
    const isRefused = byteLength > LARGEST_REQUEST_BYTES && kind !== KIND_DECIDE;
    return sections.length === 0 || isRefused || this.#host.activeTable.hasRoom(byteLength);
  }

  #refusal(request: CommitRequest): unknown {
    const host = this.#host;
    // What a decision lets in is in the log already.
    if (request.byteLength > LARGEST_REQUEST_BYTES && request.kind !== KIND_DECIDE) return tooLong(request);
    const refusal = validate(request, host.checkedTables, host.oldestChecked);
    if (refusal !== undefined || !holdsUserData(request.kind)) return refusal;
    try {
      host.checkSize(request.byteLength);
      return undefined;
    } catch (error) {
      // How else would a full database ever get smaller?
      return onlyRemoves(request) ? undefined : error;
    }
  }

  /** Writes a request into the batch; where the log has no room for it the batch is as it was, and that is answered. */
  #write(batch: BatchBuilder, request: CommitRequest, onCaller: boolean): unknown {
    write(batch, request);
    try {
      this.#reserve(batch, request, onCaller);
    } catch (error) {
      if (error instanceof DiskFullError) {
        batch.dropTransaction();
        this.#isLogFull = true;
        return error;
      }
      this.#broken = error;
    }
    batch.endTransaction();
    return undefined;
  }

  #reserve(batch: BatchBuilder, request: CommitRequest, onCaller: boolean): void {
    const { log } = this.#host;
    try {
      log.reserve(batch, holdsUserData(request.kind) ? 0 : 1, onCaller);
    } catch (error) {
      if (!(error instanceof DiskFullError && holdsUserData(request.kind) && onlyRemoves(request))) throw error;
      log.reserve(batch, SHARE_OF_REMOVALS, onCaller);
    }
  }

  /** Puts an accepted request's changes into the active table. */
  #enter({ request, number }: Accepted): void {
    if (request.kind === KIND_PREPARE) return;
    const table = this.#host.activeTable;
    for (const section of request.sections) {
      table.applySection(section.storeId, section.bytes, section.start, section.byteLength, number);
    }
    for (const run of request.runs) table.adoptRun(run.adopt(number));
  }

  #appendNow(batch: BatchBuilder, accepted: Accepted[], entered: number, sinceMs: number, nowMs: number): void {
    const { log } = this.#host;
    try {
      log.commitSync(batch);
    } catch (error) {
      batch.release();
      if (log.nextNumber > lastNumber(accepted)) this.#fail(error, accepted);
      else this.#refuse(error, accepted);
      return;
    }
    const durableMs = this.#host.env.clock.monotonicMs();
    const { paddedLength } = batch.header;
    for (let i = entered; i < accepted.length; i++) this.#enter(accepted[i] as Accepted);
    batch.release();
    this.#settle(accepted, paddedLength, sinceMs, nowMs, durableMs);
  }

  #appendLater(batch: BatchBuilder, accepted: Accepted[], entered: number, sinceMs: number, nowMs: number): void {
    this.#inFlight++;
    this.#begun++;
    const { log } = this.#host;
    const written = log.commit(batch);
    const isGiven = log.nextNumber > lastNumber(accepted);
    // Refused at once, its numbers are the next one's: nothing may follow before the tables are made anew.
    if (!isGiven) this.#recovering = true;
    for (let i = entered; isGiven && i < accepted.length; i++) this.#enter(accepted[i] as Accepted);
    written.then(
      () => {
        this.#inFlight--;
        const { paddedLength } = batch.header;
        batch.release();
        if (this.#recovering) this.#unsettled.push(...accepted.map((one) => one.request));
        else this.#settle(accepted, paddedLength, sinceMs, nowMs, this.#host.env.clock.monotonicMs());
        this.#wake();
        this.#pump();
      },
      (error: unknown) => {
        this.#inFlight--;
        batch.release();
        if (isGiven) this.#fail(error, accepted);
        else this.#refuse(error, accepted);
      },
    );
  }

  #settle(accepted: readonly Accepted[], bytes: number, sinceMs: number, writtenMs: number, durableMs: number): void {
    const host = this.#host;
    const last = lastNumber(accepted);
    host.advance(last);
    host.noteBatch(accepted.length, bytes, last, sinceMs, writtenMs, durableMs);
    for (const { request, number } of accepted) {
      host.noteCommitted(request, number);
      request.committed(number);
    }
  }

  /** The log failed while a batch was being made. */
  #refuseBroken(batch: BatchBuilder, accepted: readonly Accepted[]): void {
    const cause = this.#broken;
    this.#broken = undefined;
    batch.release();
    this.#refuse(cause, accepted);
  }

  /**
   * Nothing of a batch was given to the log: its requests are not in, whatever comes. Some are in the table, or noted as
   * decided, and who hears of it may ask again at once: not before that is undone.
   */
  #refuse(cause: unknown, accepted: readonly Accepted[]): void {
    for (const { request } of accepted) this.#notIn.push({ request, refusal: cause });
    this.#recovering = false;
    this.#fail(cause, []);
  }

  #answerNotIn(): void {
    for (const { request, refusal } of this.#notIn.splice(0)) request.failed(refusal);
  }

  /** An append failed: its requests wait for the truth, which the recovered log tells. */
  #fail(cause: unknown, accepted: readonly Accepted[]): void {
    for (const { request } of accepted) this.#unsettled.push(request);
    if (this.#recovering) return;
    if (this.#stopped !== undefined) {
      this.#giveUp(cause, cause);
      return;
    }
    this.#recovering = true;
    void this.#recover(cause);
  }

  async #recover(cause: unknown): Promise<void> {
    const host = this.#host;
    while (this.#inFlight > 0) await new Promise<void>((resolve) => host.env.timers.nextTurn(resolve));
    try {
      await host.recover(cause);
    } catch (error) {
      this.#recovering = false;
      this.#giveUp(cause, error);
      return;
    }
    this.#recovering = false;
    for (const request of this.#unsettled.splice(0)) {
      const number = host.wasCommitted(request);
      if (number === undefined) request.failed(cause);
      else request.committed(number);
    }
    this.#answerNotIn();
    this.releaseHeld();
    this.#wake();
  }

  #giveUp(cause: unknown, error: unknown): void {
    const failure = new DatabaseFailedError(
      'the database can no longer write: an append failed and recovery failed too; reads go on, reopen to write',
      { cause: error },
    );
    // First: who hears of it may come with more, which is not to be tried any more.
    this.#stopped ??= failure;
    for (const request of this.#unsettled.splice(0)) {
      request.failed(isAboutTransaction(request.kind) ? outcomeUnknown(request, cause) : failure);
    }
    this.#answerNotIn();
    this.stop(failure);
  }
}

/** Refuses a request that waits. */
function fail(request: CommitRequest, error: unknown): void {
  if (request.isTaken) return;
  request.isTaken = true;
  request.failed(error);
}

function outcomeUnknown({ idWriter, idCounter }: CommitRequest, cause: unknown): OutcomeUnknownError {
  const id = formatTransactionId(idWriter, idCounter);
  return new OutcomeUnknownError(
    id,
    `writing transaction ${id} failed and so did finding out whether it is in; ask with resolve`,
    { cause },
  );
}

function lastNumber(accepted: readonly Accepted[]): number {
  return (accepted[accepted.length - 1] as Accepted).number;
}

function tooLong({ byteLength }: CommitRequest): LimitExceededError {
  return new LimitExceededError(
    `the transaction needs ${byteLength} bytes of the log, more than fits one batch; split it`,
    {
      details: { limit: 'MAX_BATCH_BYTES', allowed: LARGEST_REQUEST_BYTES, found: byteLength },
    },
  );
}

/** Users' transactions, and decisions that bring their changes: the engine's other records overtake them. */
function waitsInLine({ kind }: CommitRequest): boolean {
  return holdsUserData(kind) || kind === KIND_DECIDE;
}

/** Writes a request into the batch; the transaction is not ended. */
function write(batch: BatchBuilder, request: CommitRequest): void {
  batch.beginTransaction(request.kind, request.idWriter, request.idCounter);
  // What a decision lets into the tables is in the log already.
  const isInLog = request.kind === KIND_DECIDE;
  for (const section of isInLog ? [] : request.sections) {
    batch.addSection(section.storeId, section.recordCount, section.bytes, section.start, section.byteLength);
  }
  for (const run of isInLog ? [] : request.runs) batch.addRun(run.storeId, run.descriptor);
  if (request.payload !== undefined) batch.addPayload(request.payload);
}
