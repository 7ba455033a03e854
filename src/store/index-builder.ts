/**
 * Building indexes over what a store holds already, in the background and beside everything else.
 *
 * Invariants:
 *  1. Writers keep an index from the transaction on that adds it to the catalog row: one that did not know of it conflicts
 *     over that row. So only what stood there before has to be added.
 *  2. A batch is one write transaction that notes the range of the store it walked: where anybody changes an entry of it
 *     before the batch commits, the batch loses and is made again. Writers never wait for a build and, unique keys apart, never
 *     lose to it.
 *  3. The position moves in the transaction that adds the entries before it; the last batch notes everything up to the end of the
 *     store and takes the state row away. So a crash or a close loses nothing but the batch under way.
 */
import { equalBytes, keySuccessor } from '../base/bytes.ts';
import { ClosedError, CorruptionError, SopError, UniqueIndexError } from '../base/errors.ts';
import { describeValue } from '../codec/text.ts';
import type { Env } from '../env/env.ts';
import { FOUND, NOT_LOADED } from '../storage/find-result.ts';
import { type Catalog, indexesFor } from './catalog.ts';
import type { IndexEvent } from './events.ts';
import { IndexedRow, ownerKeyIn, type StoreIndex } from './index-set.ts';
import { putIndexState, readIndexState, removeIndexState } from './index-state.ts';
import { isLostRace, pauseAfterLoss } from './retry.ts';
import { afterPosition, countEntries, readRows, type Row } from './row-reader.ts';
import { isSeparate } from './store-codec.ts';
import type { StoreCore } from './store-core.ts';
import { refuseSecond } from './store-indexes.ts';
import type { TransactionCore } from './transaction-core.ts';

const FIRST_BATCH = 256;
const LARGEST_BATCH = 2048;

/** What the builder needs of its database. */
export interface BuilderHost {
  readonly env: Env;
  readonly catalog: Catalog;
  readonly closed: boolean;
  readonly canWrite: boolean;
  begin(kind: 'read' | 'write'): TransactionCore;
  backgroundError(error: unknown): void;
  tell(event: IndexEvent): void;
}

interface Job {
  readonly store: string;
  readonly index: string;
  readonly id: number;
  /** Where the batch under way comes to. */
  done: number;
  total: number;
  isReady: boolean;
}

interface Waiter {
  check(): void;
  fail(error: unknown): void;
}

export class IndexBuilder {
  readonly counts = { started: 0, ready: 0, failed: 0, entries: 0 };
  readonly #host: BuilderHost;
  readonly #stores = new Set<string>();
  readonly #waiters = new Set<Waiter>();
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(host: BuilderHost) {
    this.#host = host;
  }

  /** The store may have an index to build: looked at soon. */
  look(store: string): void {
    if (!this.#host.canWrite || this.#stopped) return;
    this.#stores.add(store);
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      for (const missed of this.#stores) this.look(missed);
    });
  }

  /** No more batches begin; resolves when the last one is through. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stores.clear();
    await this.#running;
    for (const waiter of [...this.#waiters]) waiter.fail(new ClosedError());
  }

  /** `check` is called whenever a batch has committed or an index has changed its state, until `remove`. */
  addWaiter(waiter: Waiter): () => void {
    if (this.#stopped) waiter.fail(new ClosedError());
    else this.#waiters.add(waiter);
    return () => this.#waiters.delete(waiter);
  }

  #tell(): void {
    for (const waiter of [...this.#waiters]) waiter.check();
  }

  async #run(): Promise<void> {
    await this.#nextTurn();
    for (const store of this.#stores) {
      this.#stores.delete(store);
      try {
        for (let job = this.#jobOf(store); job !== undefined; job = this.#jobOf(store)) await this.#build(job);
      } catch (error) {
        if (this.#stopped || this.#host.closed) return;
        for (const waiter of [...this.#waiters]) waiter.fail(error);
        this.#host.backgroundError(error);
      }
      this.#tell();
    }
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#host.env.timers.nextTurn(resolve));
  }

  /** An index of the store that is to be built and that this program can build. */
  #jobOf(store: string): Job | undefined {
    if (this.#stopped || this.#host.closed) return undefined;
    const core = this.#host.begin('read');
    try {
      const entry = core.tryFind(store);
      if (entry === undefined) return undefined;
      for (const { stored, lacksFunction } of indexesFor(entry, this.#host.catalog.functionsOf(entry))?.all ?? []) {
        if (lacksFunction || readIndexState(core.engine, stored.id)?.state !== 'building') continue;
        return { store, index: stored.name, id: stored.id, done: 0, total: 0, isReady: false };
      }
      return undefined;
    } finally {
      core.rollback();
    }
  }

  async #build(job: Job): Promise<void> {
    let most = FIRST_BATCH;
    this.counts.started++;
    this.#tellOf(job, 'begin');
    for (let lost = 0; !this.#stopped; ) {
      const core = this.#host.begin('write');
      try {
        const goesOn = await this.#batch(core, job, most);
        if (core.engine.ended) core.mustNotHaveFailed();
        await core.commit();
        lost = 0;
        most = Math.min(LARGEST_BATCH, most * 2);
        this.#tell();
        if (job.isReady) this.counts.ready++;
        if (job.isReady || goesOn) this.#tellOf(job, job.isReady ? 'ready' : 'progress');
        if (!goesOn) return;
        await this.#nextTurn();
      } catch (error) {
        core.rollback(error);
        if (isLostRace(error)) {
          most = Math.max(1, most >> 2);
          await pauseAfterLoss(this.#host.env, lost++);
        } else if (isVerdict(error)) {
          await this.#fail(job, error);
          this.counts.failed++;
          this.#tellOf(job, 'failed', problemOf(error));
          return;
        } else throw error;
      }
    }
  }

  /** False where nothing is left to do. */
  async #batch(core: TransactionCore, job: Job, most: number): Promise<boolean> {
    const store = core.openToBuild(job.store);
    const index = store?.indexSet?.all.find((one) => one.stored.id === job.id);
    const state = readIndexState(core.engine, job.id);
    if (store === undefined || index === undefined || state?.state !== 'building') return false;
    const total = state.position === undefined ? await countEntries(store) : state.total;
    const { rows, reachedEnd } = await readRows(store, state.position, most);
    const last = rows[rows.length - 1]?.key;
    const upper = reachedEnd || last === undefined ? undefined : keySuccessor(last);
    core.engine.noteRange(store.storeId, afterPosition(state.position), upper);
    for (const row of rows) await addRow(store, index, row);
    job.done = state.done + rows.length;
    job.total = total;
    job.isReady = reachedEnd;
    this.counts.entries += rows.length;
    if (reachedEnd) removeIndexState(core.engine, job.id);
    else putIndexState(core.engine, job.id, { ...state, position: last, done: state.done + rows.length, total });
    return !reachedEnd;
  }

  #tellOf({ store, index, done, total }: Job, phase: IndexEvent['phase'], problem?: string): void {
    this.#host.tell({ phase, store, index, done, total, problem });
  }

  async #fail(job: Job, error: unknown): Promise<void> {
    for (let lost = 0; ; lost++) {
      const core = this.#host.begin('write');
      try {
        const store = core.openToBuild(job.store);
        const state = readIndexState(core.engine, job.id);
        const isThere = store?.indexSet?.all.some((one) => one.stored.id === job.id) ?? false;
        if (isThere && state !== undefined)
          putIndexState(core.engine, job.id, { ...state, state: 'failed', problem: problemOf(error) });
        await core.commit();
        return;
      } catch (failure) {
        core.rollback(failure);
        if (!isLostRace(failure)) throw failure;
        await pauseAfterLoss(this.#host.env, lost);
      }
    }
  }
}

/** Of the words for what went wrong: they stand in a row of the engine's, and functions of indexes throw what they like. */
const MOST_PROBLEM_UNITS = 4000;

/** What refuses an entry its keys, whatever its function threw; not what says that the entry can not be read. */
class Unindexable {
  readonly cause: unknown;

  constructor(cause: unknown) {
    this.cause = cause;
  }
}

function problemOf(verdict: unknown): string {
  const problem = wordsFor(verdict instanceof Unindexable ? verdict.cause : verdict);
  return problem.length > MOST_PROBLEM_UNITS ? `${problem.slice(0, MOST_PROBLEM_UNITS)}...` : problem;
}

function wordsFor(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === 'string' ? error : `found ${describeValue(error)} thrown`;
  const { holder, key } = error instanceof SopError ? error.details : {};
  const keys = [key, holder].filter((one) => one !== undefined).map(show);
  return keys.length === 0 ? error.message : `${error.message} (entries ${keys.join(' and ')})`;
}

function show(key: unknown): string {
  return JSON.stringify(key, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
}

/** Whether an error says that the index cannot be built, rather than that now is not the time. */
function isVerdict(error: unknown): boolean {
  if (!(error instanceof SopError)) return true;
  return error instanceof UniqueIndexError || error.code === 'LIMIT_EXCEEDED';
}

function keysOf(index: StoreIndex, row: IndexedRow): readonly Uint8Array[] {
  try {
    return index.keysOf(row);
  } catch (error) {
    throw error instanceof CorruptionError ? error : new Unindexable(error);
  }
}

async function addRow(store: StoreCore, index: StoreIndex, { key, cell }: Row): Promise<void> {
  const { etx } = store;
  const isElsewhere = index.usesValue && isSeparate(cell, 0);
  const value = isElsewhere ? await etx.readValue(cell, 0, cell.length) : undefined;
  const row = new IndexedRow(store.codec, key, cell, value);
  const { id, unique } = index.stored;
  for (const indexKey of keysOf(index, row)) {
    if (unique) {
      const holder = await holderOf(store, id, indexKey);
      if (holder !== undefined && !equalBytes(holder, key)) refuseSecond(store.name, index, indexKey, holder, row);
    }
    const indexCell = index.cellOf(row);
    etx.put(id, indexKey, 0, indexKey.length, indexCell, 0, indexCell.length, undefined);
  }
}

async function holderOf({ etx }: StoreCore, id: number, key: Uint8Array): Promise<Uint8Array | undefined> {
  for (;;) {
    etx.waits = false;
    const found = etx.find(id, key, 0, key.length);
    if (found === FOUND) return ownerKeyIn(etx.foundBytes, etx.foundStart, etx.foundEnd);
    if (found !== NOT_LOADED) return undefined;
    await etx.load();
  }
}
