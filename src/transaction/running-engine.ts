/**
 * An open database as the store floor holds it: folder, log, state, combiner and maintenance put together.
 *
 * Life of a commit: `Transaction.commit` syncs what lies outside the log, hands a request to the `Combiner`, which validates
 * it, writes it into a batch, appends and syncs the batch, enters its changes into the active memory table and answers.
 * After a failed append the log is opened anew (a new epoch) and root and tables are rebuilt from it.
 */
import { alignUp } from '../base/bytes.ts';
import {
  ClosedError,
  ConflictError,
  DatabaseLockedError,
  DiskFullError,
  InvalidArgumentError,
  LimitExceededError,
  ReadOnlyError,
  SnapshotTooOldError,
} from '../base/errors.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import { Blockers } from '../commit/blockers.ts';
import { Claims, type Claim } from '../commit/claims.ts';
import { Combiner, type CombinerHost } from '../commit/combiner.ts';
import type { CommitRequest } from '../commit/commit-request.ts';
import type { Env } from '../env/env.ts';
import { KIND_DEATH, KIND_USER } from '../log/batch.ts';
import type { CommitLog } from '../log/commit-log.ts';
import { listEpochs } from '../log/epoch-file.ts';
import { type LogOpening, type OpenLogOptions, openLog } from '../log/log-recovery.ts';
import { mustBeUnchanged } from '../log/takeover.ts';
import { ImageCache } from '../node/image-cache.ts';
import type { DatabaseFolder } from '../storage/database-folder.ts';
import { DatabaseState } from '../storage/database-state.ts';
import { loadSpace } from '../storage/load-space.ts';
import { MemoryTablePool, type MemoryTable } from '../storage/memory-table.ts';
import { PinnedRoots } from '../storage/pinned-roots.ts';
import { decodeRoot, EMPTY_ROOT, type RootRecord } from '../storage/root.ts';
import { Segments } from '../storage/segments.ts';
import { SegmentFactory, type SegmentWriter } from '../storage/segment-writer.ts';
import { SnapshotReader } from '../storage/snapshot-reader.ts';
import { ignore, watchAnswer } from '../base/thenable.ts';
import { FOUND } from '../storage/find-result.ts';
import { TRANSACTION_STORE } from '../storage/system-stores.ts';
import { parseTransactionId, writerKey } from '../storage/transaction-ids.ts';
import { verifyDatabase } from '../storage/verify.ts';
import { View } from '../storage/view.ts';
import { WriteBufferPool } from '../storage/write-buffer.ts';
import type {
  BackupReport,
  BeginOptions,
  EngineApi,
  EngineBackupOptions,
  EngineClaim,
  EngineOptions,
  EngineTransaction,
  PinInfo,
  PreparedInfo,
  TransactionKind,
  TransactionOutcome,
  VerifyProgress,
  VerifyReport,
} from './engine-api.ts';
import { backUp } from './backup.ts';
import { engineStats } from './engine-stats.ts';
import { Figures } from './figures.ts';
import { Maintenance, type MaintenanceHost } from './maintenance.ts';
import { createPin, listPins, mustFindPin, type PinsHost, removePin } from './pins.ts';
import { OpenTransactions } from './open-transactions.ts';
import { loadPrepared, PreparedTransactions } from './prepared.ts';
import type { SpillContext } from './spill.ts';
import type { EngineStats } from './stats-types.ts';
import { Transaction } from './transaction.ts';
import { UnfinishedWork } from './unfinished-work.ts';
import type { TransactionHost } from './transaction-host.ts';
import { ValueBytes } from './value-bytes.ts';

const DEFAULT_CACHE_BYTES = 256 * 1024 * 1024;
const DEFAULT_TABLE_BYTES = 64 * 1024 * 1024;
const MIN_TABLE_BYTES = 64 * 1024;
const MAX_SPILL_BYTES = 16 * 1024 * 1024;
/** What a segment's writer collects before it writes. */
const MAX_BUFFER_BYTES = 1024 * 1024;
/** A lone client's commits run on the calling thread; now and then the event loop gets its turn all the same. */
const TURN_MS = 8;
/** On closing, a log longer than this is checkpointed, so that the next opening is quick. */
const CLOSE_CHECKPOINT_BYTES = 256 * 1024;

/** What opening found. */
export interface Opened {
  readonly env: Env;
  readonly options: EngineOptions;
  readonly folder: DatabaseFolder;
  readonly databaseId: Uint8Array;
  readonly writer: number;
  readonly opening: LogOpening;
  readonly ownerAlive: boolean;
}

/** Whether a writer has been at work beside a reader, or since it opened: what it misses then was reclaimed. */
function changedSince({ env, folder, ownerAlive }: Opened): () => boolean {
  const isNewer = hasNewerEpoch(env, folder);
  return () => ownerAlive || folder.hasLiveOwner() || isNewer();
}

function hasNewerEpoch(env: Env, folder: DatabaseFolder): () => boolean {
  const newest = (): number | undefined => listEpochs(env.files, folder.path).at(-1);
  const before = newest();
  return () => newest() !== before;
}

/** A disk that does not say is asked again by whoever writes next. */
function isSealed(log: CommitLog): boolean {
  try {
    return log.isSealed();
  } catch {
    return false;
  }
}

/** For what is done after an error that counts more. */
export async function ignoringErrors(work: () => Promise<void> | undefined | void): Promise<void> {
  try {
    await work();
  } catch {
    // The first error is the one to tell.
  }
}

export function logOptions({ logReserveBytes }: EngineOptions): { reserveBytes?: number } {
  return logReserveBytes === undefined ? {} : { reserveBytes: logReserveBytes };
}

function tooManyOpen(allowed: number): LimitExceededError {
  return new LimitExceededError(`there are ${allowed} open transactions already`, {
    details: { limit: 'maxOpenTransactions', allowed, found: allowed + 1 },
  });
}

export class Engine implements EngineApi, CombinerHost, TransactionHost<Transaction>, MaintenanceHost, PinsHost {
  readonly env: Env;
  readonly readOnly: boolean;
  readonly databaseId: Uint8Array;
  readonly writer: number;
  readonly segments: Segments;
  readonly cache: ImageCache;
  readonly reader: SnapshotReader;
  readonly state: DatabaseState;
  readonly pinnedRoots: PinnedRoots;
  readonly buffers = new WriteBufferPool();
  readonly factory: SegmentFactory;
  readonly spillBytes: number;
  readonly blockers: Blockers;
  readonly figures: Figures;
  readonly #claims: Claims;
  generation = 0;
  readonly #options: EngineOptions;
  readonly #folder: DatabaseFolder;
  readonly #combiner: Combiner | undefined;
  readonly #maintenance: Maintenance | undefined;
  readonly #prepared: PreparedTransactions;
  readonly #open = new OpenTransactions<Transaction>();
  readonly #unfinished = new UnfinishedWork();
  #log: CommitLog | undefined;
  #recovered = new Map<number, number>();
  #openWrites = 0;
  #openUpkeep = 0;
  #counter = 0;
  readonly #valueBytes = new ValueBytes();
  #lastTurnMs: number;
  #turnAsked = false;
  #closing: Promise<void> | undefined;
  #spaceLoaded = false;

  constructor(opened: Opened) {
    const { env, options, folder, opening } = opened;
    this.env = env;
    this.readOnly = options.readOnly === true;
    this.databaseId = opened.databaseId;
    this.writer = opened.writer;
    this.#options = options;
    this.#folder = folder;
    this.#log = opening.log;
    this.#lastTurnMs = env.clock.monotonicMs();
    this.figures = new Figures(options.observer, options.slowMs);
    const tableBytes = Math.max(MIN_TABLE_BYTES, options.tableBytes ?? DEFAULT_TABLE_BYTES);
    this.spillBytes = Math.min(MAX_SPILL_BYTES, tableBytes / 4);
    this.segments = new Segments(env, folder.data);
    this.segments.missingIsTooOld = this.readOnly ? changedSince(opened) : this.#takenOver(opened);
    const bufferBytes = Math.min(MAX_BUFFER_BYTES, alignUp(tableBytes / 4, LOG_ALIGNMENT));
    this.factory = new SegmentFactory(env, this.segments, opened.databaseId, opened.writer, bufferBytes);
    this.cache = new ImageCache({
      limitBytes: options.cacheBytes ?? DEFAULT_CACHE_BYTES,
      reader: this.segments,
      names: this.segments,
    });
    this.reader = new SnapshotReader(this.cache);
    this.#claims = new Claims(env, () => this.#combiner?.releaseHeld());
    try {
      this.state = new DatabaseState({
        pool: new MemoryTablePool({ arenaBytes: tableBytes }),
        segments: this.segments,
        runs: this.reader.runContext,
        root: this.#rootOf(opening),
        loadIds: (writer) => this.#readRootRow(TRANSACTION_STORE, writerKey(writer)),
      });
      this.state.ids.begin(this.writer);
      loadPrepared(this);
      this.state.replay(opening.replay());
      this.blockers = new Blockers(this.state.prepared, this.#claims);
      this.blockers.check();
      this.state.prepared.segments(this.segments);
    } catch (error) {
      this.segments.close();
      throw error;
    }
    opening.close();
    this.pinnedRoots = new PinnedRoots(this);
    if (opening.log !== undefined) {
      const combiner = new Combiner(this);
      this.#combiner = combiner;
      this.segments.mustBeInPlace = () => folder.mustBeInPlace();
      // Not amid what it is doing: it may be the one that looked.
      folder.onReplaced = (failure) => queueMicrotask(() => combiner.stop(failure));
      this.#maintenance = new Maintenance(this, combiner);
    }
    this.#prepared = new PreparedTransactions(this, this.#combiner);
    this.figures.logBytesAtRoot = -this.state.tableBytes;
    if (this.state.frozen.length > 0) this.#maintenance?.request();
  }

  get folder(): string {
    return this.#folder.path;
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  get log(): CommitLog {
    return this.#log as CommitLog;
  }

  // ---- transactions ----

  begin(kind: TransactionKind, options: BeginOptions = {}): Transaction {
    this.mustBeUsable();
    if (kind === 'write' && this.readOnly) {
      throw new ReadOnlyError(`${this.folder} was opened with readOnly: only read transactions can begin`);
    }
    const isUpkeep = options.isUpkeep === true;
    if (!isUpkeep) options = this.#limited(options);
    if (options.at !== undefined) return this.#beginAt(kind, options, options.at);
    const transaction = new Transaction(this, kind, this.state.view, this.state.durable, options);
    this.state.views.acquire();
    this.#open.add(transaction);
    this.figures.begun++;
    if (isUpkeep) this.#openUpkeep++;
    if (kind === 'write') this.#openWrites++;
    return transaction;
  }

  /** The same with the limits that all transactions have; `LimitExceededError` where there are too many. */
  #limited(options: BeginOptions): BeginOptions {
    const { maxOpenTransactions = Number.POSITIVE_INFINITY, transactionTimeoutMs } = this.#options;
    if (this.#open.size - this.#openUpkeep >= maxOpenTransactions) throw tooManyOpen(maxOpenTransactions);
    if (options.timeoutMs !== undefined || transactionTimeoutMs === undefined) return options;
    return { ...options, timeoutMs: transactionTimeoutMs };
  }

  async claim(lost: EngineTransaction): Promise<EngineClaim | undefined> {
    const { reads } = lost as Transaction;
    const claim = reads === undefined ? undefined : this.#claims.add(reads);
    if (claim !== undefined) await this.#combiner?.landed();
    return claim;
  }

  endClaim(claim: EngineClaim): void {
    this.#claims.end(claim as Claim);
  }

  #beginAt(kind: TransactionKind, options: BeginOptions, pin: string): Transaction {
    const kept = mustFindPin(this.pinnedRoots, kind, pin);
    const transaction = new Transaction(this, kind, kept.view, kept.view.root.record.covered, options);
    this.pinnedRoots.use(kept);
    this.#open.add(transaction);
    this.figures.begun++;
    if (transaction.isUpkeep) this.#openUpkeep++;
    return transaction;
  }

  ended(transaction: Transaction): void {
    if (transaction.isPrepared) this.#prepared.prepared(transaction);
    this.#open.delete(transaction);
    if (transaction.isUpkeep) this.#openUpkeep--;
    const { bytes, begun } = transaction.values;
    if (bytes > 0 && !transaction.mayBeIn) this.#valueBytes.giveBack(bytes, begun);
    if (transaction.claim !== undefined) this.#claims.end(transaction.claim);
    if (transaction.isPinned) {
      if (this.pinnedRoots.release(transaction.view)) this.reclaim();
      return;
    }
    if (transaction.kind === 'write') {
      this.#openWrites--;
      this.#maintenance?.noteEnd();
    }
    const { state } = this;
    if (state.views.release(transaction.view)) {
      state.viewReleased(transaction.view);
      this.#maintenance?.reclaim();
    }
    if (state.hasHistory) state.forgetHistory(this.#oldestWriteSnapshot());
  }

  #oldestWriteSnapshot(): number {
    let oldest = this.state.durable;
    for (const transaction of this.#open.all)
      if (transaction.kind === 'write') oldest = Math.min(oldest, transaction.snapshot);
    return oldest;
  }

  mustBeUsable(): void {
    if (this.#closing !== undefined) throw new ClosedError();
  }

  mustTakeDecisions(): void {
    if (this.#unfinished.isEmpty) this.mustBeUsable();
  }

  beginWork(onClosing: () => void): () => void {
    return this.#unfinished.begin(onClosing);
  }

  get maxTransactionBytes(): number {
    return this.#options.maxTransactionBytes ?? Number.POSITIVE_INFINITY;
  }

  nextCounter(): number {
    return ++this.#counter;
  }

  segmentsInUse(): Set<number> {
    const inUse = this.state.prepared.segments(this.segments);
    for (const transaction of this.#open.all) for (const segment of transaction.valueSegments) inUse.add(segment);
    return inUse;
  }

  isWritingValuesTo(writer: SegmentWriter): boolean {
    return this.#open.all.some((transaction) => transaction.isWritingValuesTo(writer));
  }

  isLeaving(segment: number): boolean {
    if (this.#maintenance?.victims.has(segment) === true) return true;
    return this.state.reclaims.has(segment) || this.segments.isRemoved(segment);
  }

  get values(): SegmentWriter | undefined {
    return this.#maintenance?.values;
  }

  get spill(): SpillContext | undefined {
    const values = this.values;
    return values && { cache: this.cache, factory: this.factory, runs: this.reader.runContext, values };
  }

  submit(request: CommitRequest): void {
    (this.#combiner as Combiner).submit(request, this.#openWrites === 1 && !this.#loopNeedsTurn());
  }

  withdraw(request: CommitRequest, error: unknown): void {
    this.#combiner?.withdraw(request, error);
  }

  /** Whether the event loop, or a merge that falls behind, must get a turn before the next commit. */
  #loopNeedsTurn(): boolean {
    if ((this.#maintenance as Maintenance).isBehind) return true;
    const now = this.env.clock.monotonicMs();
    if (now - this.#lastTurnMs < TURN_MS) return false;
    if (!this.#turnAsked) {
      this.#turnAsked = true;
      this.env.timers.nextTurn(() => {
        this.#turnAsked = false;
        this.#lastTurnMs = this.env.clock.monotonicMs();
      });
    }
    return true;
  }

  // ---- what the combiner asks ----

  get checkedTables(): readonly MemoryTable[] {
    return this.state.checkedTables;
  }

  get oldestChecked(): number {
    return this.state.oldestChecked;
  }

  get activeTable(): MemoryTable {
    return this.state.active;
  }

  tableFull(byteLength: number): void {
    (this.#maintenance as Maintenance).request(byteLength);
  }

  logFull(): void {
    (this.#maintenance as Maintenance).request();
  }

  advance(number: number): void {
    this.state.durable = number;
  }

  noteAccepted(request: CommitRequest, number: number, bytes: Uint8Array, start: number, end: number): void {
    this.#prepared.noteAccepted(request, number, bytes, start, end);
  }

  /** A transaction's changes are in the tables, at `number`. */
  noteChanges(idWriter: number, idCounter: number, number: number, runs: number): void {
    this.state.ids.noteCommitted(idWriter, idCounter, number);
    this.figures.commits++;
    if (runs > 0) (this.#maintenance as Maintenance).noteRuns();
  }

  noteCommitted(request: CommitRequest, number: number): void {
    if (request.kind === KIND_USER) {
      this.figures.commitBytes += request.byteLength;
      this.noteChanges(request.idWriter, request.idCounter, number, request.runs.length);
    } else this.#prepared.noteCommitted(request, number);
  }

  noteBatch(
    transactions: number,
    bytes: number,
    number: number,
    sinceMs: number,
    writtenMs: number,
    nowMs: number,
  ): void {
    this.figures.noteBatch(transactions, bytes, number, sinceMs, writtenMs, nowMs);
    (this.#maintenance as Maintenance).noteCommit(nowMs);
  }

  noteConflict(_request: CommitRequest, error: unknown): void {
    if (error instanceof ConflictError) this.figures.conflicts++;
    else if (error instanceof SnapshotTooOldError) this.figures.tooOld++;
    else this.figures.refused++;
  }

  checkSize(byteLength: number): void {
    const limit = this.#options.maxSizeBytes;
    if (limit === undefined) return;
    const maintenance = this.#maintenance as Maintenance;
    maintenance.loadSpace();
    const inSegments = this.state.space.totalBytes + this.pinnedRoots.heldBytes(this.state.space);
    const values = this.#valueBytes.beside(this.figures.checkpointCounted);
    const size = inSegments + this.state.tableBytes + values + byteLength;
    if (size <= limit) return;
    maintenance.request();
    throw new DiskFullError(`the database would grow past its maxSizeBytes of ${limit}`, {
      details: { limit: 'maxSizeBytes', allowed: limit, found: size },
    });
  }

  /** A value is about to be written to a segment, which no row counts before the next checkpoint. */
  checkValueSize(byteLength: number): number {
    this.checkSize(byteLength);
    const { checkpointsBegun } = this.figures;
    this.#valueBytes.add(byteLength, checkpointsBegun);
    return checkpointsBegun;
  }

  async recover(cause: unknown): Promise<void> {
    this.generation++;
    const beganMs = this.env.clock.monotonicMs();
    const log = this.log;
    // Somebody got past our lock. Theirs is the right now: two that take it from each other would remove each other's data.
    if (isSealed(log) || cause instanceof DatabaseLockedError) throw log.failed ?? cause;
    const isLogSound = log.failed === undefined;
    this.#folder.mustBeInPlace();
    const provenNumber = log.durableNumber;
    if (!isLogSound) await log.close().catch(() => {});
    const opening = isLogSound ? await this.readLog() : await this.#openLog({ mode: 'write', provenNumber });
    try {
      if (isLogSound) mustBeUnchanged(this.folder, provenNumber, opening.durableNumber);
      this.#recovered = this.state.rebuild(this.#rootOf(opening), opening.replay(), this.writer);
    } catch (error) {
      await ignoringErrors(() => opening.log?.close());
      throw error;
    } finally {
      opening.close();
    }
    if (opening.log !== undefined) this.#log = opening.log;
    const ms = this.env.clock.monotonicMs() - beganMs;
    this.figures.noteRecovered(cause, log.epoch, this.state.durable, ms);
    this.backgroundError(cause);
  }

  /** All that the log holds above its root, up to what is durable now. To be closed. */
  readLog(): Promise<LogOpening> {
    return this.#openLog({ mode: 'read', ownerAlive: true, provenNumber: this.log.durableNumber });
  }

  #openLog(options: Pick<OpenLogOptions, 'mode' | 'ownerAlive' | 'provenNumber'>): Promise<LogOpening> {
    const { env, folder, databaseId, writer } = this;
    const mustBeInPlace = () => this.#folder.mustBeInPlace();
    return openLog({ env, folder, databaseId, writer, mustBeInPlace, ...logOptions(this.#options), ...options });
  }

  /** Whether somebody got past our lock and goes on without us: what we miss then was reclaimed. */
  #takenOver({ env, folder }: Opened): () => boolean {
    const isNewer = hasNewerEpoch(env, folder);
    return () => (this.log.epoch === 0 ? isNewer() : isSealed(this.log));
  }

  wasCommitted(request: CommitRequest): number | undefined {
    return this.#recovered.get(request.idCounter);
  }

  readonly backgroundError = (error: unknown): void => {
    try {
      const answer: unknown = this.#options.onBackgroundError?.(error);
      watchAnswer(answer, ignore);
    } catch {
      // Who was to be told of errors makes some: there is nobody left to tell.
    }
  };

  #rootOf(opening: LogOpening): RootRecord {
    return opening.root === undefined ? EMPTY_ROOT : decodeRoot(opening.root, this.segments);
  }

  // ---- rows, ids ----

  readRow(storeId: number, key: Uint8Array): Uint8Array | undefined {
    const { reader, state } = this;
    if (reader.find(state.view, state.durable, storeId, key, 0, key.length, true) !== FOUND) return undefined;
    return reader.cellBytes.slice(reader.cellStart, reader.cellEnd);
  }

  /** A row as of the root alone: what the log says after it is being replayed. */
  #readRootRow(storeId: number, key: Uint8Array): Uint8Array | undefined {
    const { root } = this.state.view;
    const { reader } = this;
    const found = reader.find(new View(root, []), root.record.covered, storeId, key, 0, key.length, true);
    return found === FOUND ? reader.cellBytes.slice(reader.cellStart, reader.cellEnd) : undefined;
  }

  newStoreId(): number {
    return this.state.nextStoreId++;
  }

  prepared(): PreparedInfo[] {
    this.mustBeUsable();
    return this.#prepared.list();
  }

  decide(transactionId: string, isCommit: boolean): Promise<number> {
    return this.#prepared.decide(transactionId, isCommit);
  }

  get catalogDecidedAt(): number {
    return this.#prepared.catalogDecidedAt;
  }

  /** More waits in the log than a table may hold: a new root makes the log needless. */
  logGrew(): void {
    if (this.state.prepared.bytesInLog > this.state.active.capacityBytes) (this.#maintenance as Maintenance).request();
  }

  async resolve(transactionId: string): Promise<TransactionOutcome> {
    this.mustBeUsable();
    const id = parseTransactionId(transactionId);
    if (id === undefined) throw new InvalidArgumentError(`${JSON.stringify(transactionId)} is no transaction id`);
    if (id.writer === this.writer) {
      if (id.counter > this.#counter)
        throw new InvalidArgumentError(`${transactionId} was given to no transaction yet`);
      await this.#settled(transactionId);
    }
    const fate = await this.#prepared.fate(id);
    if (fate !== undefined) return fate;
    const outcome = this.state.ids.outcome(id.writer, id.counter);
    if (outcome === undefined) {
      throw new SnapshotTooOldError(
        `transaction ${transactionId} is too old: whether it committed is not known any more`,
      );
    }
    if (outcome === 'committed') return 'committed';
    // Who can not log the death can not promise that it stays dead: its writer may be about to commit it.
    if (this.#combiner === undefined) {
      throw new ReadOnlyError(
        `transaction ${transactionId} is not seen here; only an opening for writing can settle that it never will be`,
      );
    }
    await this.#combiner.control(KIND_DEATH, new Uint8Array(0), id.writer, id.counter);
    return 'aborted';
  }

  /** A transaction still open is rolled back, so that its answer can be one for ever; one on its way is waited for. */
  async #settled(transactionId: string): Promise<void> {
    for (const transaction of [...this.#open.all]) {
      if (!transaction.hasId(transactionId)) continue;
      if (!transaction.ended) transaction.rollback();
      else await transaction.settled();
    }
  }

  // ---- upkeep ----

  async checkpoint(): Promise<void> {
    this.mustBeUsable();
    await this.#mustMaintenance().checkpoint();
  }

  async compact(): Promise<void> {
    this.mustBeUsable();
    await this.#mustMaintenance().compact();
  }

  #mustMaintenance(): Maintenance {
    if (this.#maintenance === undefined) throw new ReadOnlyError(`${this.folder} was opened with readOnly`);
    return this.#maintenance;
  }

  async pin(name: string): Promise<PinInfo> {
    this.mustBeUsable();
    this.#mustMaintenance();
    return createPin(this, this.#folder, name);
  }

  async unpin(name: string): Promise<void> {
    this.mustBeUsable();
    this.#mustMaintenance();
    return removePin(this, name);
  }

  pins(): PinInfo[] {
    this.mustBeUsable();
    return listPins(this.pinnedRoots);
  }

  async backup(options: EngineBackupOptions): Promise<BackupReport> {
    this.mustBeUsable();
    return this.figures.countBackup(backUp(this, this.#folder, options));
  }

  /** Removes what nobody reads any more. */
  reclaim(): void {
    this.#maintenance?.reclaim();
  }

  async verify(
    options: { onProgress?: (progress: VerifyProgress) => void; signal?: AbortSignal } = {},
  ): Promise<VerifyReport> {
    this.mustBeUsable();
    // No transaction: limits of time are for those of users.
    const { state } = this;
    const view = state.views.acquire();
    const pinned = this.pinnedRoots.list();
    for (const kept of pinned) this.pinnedRoots.use(kept);
    try {
      return await verifyDatabase({
        pinned,
        env: this.env,
        view,
        snapshot: state.durable,
        prepared: () => state.prepared.undecided,
        mustGoOn: () => this.mustBeUsable(),
        cache: this.cache,
        segments: this.segments,
        reader: this.reader,
        ...options,
      });
    } finally {
      if (state.views.release(view)) state.viewReleased(view);
      for (const { view } of pinned) if (this.pinnedRoots.release(view)) this.reclaim();
    }
  }

  stats(): EngineStats {
    this.mustBeUsable();
    const { env, databaseId, folder, readOnly, state, cache, pinnedRoots, figures } = this;
    let oldestSnapshot = state.durable;
    for (const transaction of this.#open.all) oldestSnapshot = Math.min(oldestSnapshot, transaction.snapshot);
    return engineStats({
      ...{ env, databaseId, folder, readOnly, state, cache, pinnedRoots, figures, oldestSnapshot },
      dataFolder: this.#folder.data,
      epoch: this.#log?.epoch ?? 0,
      longestSliceMs: this.#maintenance?.pacer.longestSliceMs ?? 0,
      openTransactions: this.#open.size,
      segmentsInUse: () => this.segmentsInUse(),
      loadSpace: () => this.#loadSpace(),
    });
  }

  #loadSpace(): void {
    if (this.#maintenance !== undefined) this.#maintenance.loadSpace();
    else if (!this.#spaceLoaded) loadSpace(this.state.space, this.state.view.root, this.reader, this.cache);
    this.#spaceLoaded = true;
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      let closes: (done: Promise<void>) => void = () => {};
      // First: who hears of a transaction's end may try to begin another one, or to close once more.
      this.#closing = new Promise((resolve) => {
        closes = resolve;
      });
      closes(this.#close());
    }
    return this.#closing;
  }

  async #close(): Promise<void> {
    const reason = new ClosedError('the database was closed while the transaction was open');
    for (const transaction of [...this.#open.all]) transaction.rollback(reason);
    // Whatever goes wrong on the way: files and lock are given back, and the first error is told.
    const errors: unknown[] = [];
    const attempt = async (work: () => Promise<void> | void): Promise<void> => {
      try {
        await work();
      } catch (error) {
        errors.push(error);
      }
    };
    if (this.#combiner !== undefined && this.#maintenance !== undefined) {
      await this.#finishCommits(this.#combiner, this.#maintenance);
      await attempt(() => (this.#maintenance as Maintenance).stop());
      this.#combiner.stop(new ClosedError());
      await attempt(() => this.log.close());
      await attempt(() => this.#folder.unregisterMember(this.writer));
    }
    await attempt(() => this.segments.close());
    await attempt(() => this.#folder.unlock());
    if (errors.length > 0) throw errors[0];
  }

  /** Lets what is being committed end, data being synced before it included. A long log is merged, for a quick opening. */
  async #finishCommits(combiner: Combiner, maintenance: Maintenance): Promise<void> {
    combiner.refuseHeld();
    await this.#unfinished.close(this.env.timers);
    await Promise.all([...this.#open.all].map((transaction) => transaction.settled()));
    await combiner.drained();
    if (this.state.active.usedBytes <= CLOSE_CHECKPOINT_BYTES || this.log.failed !== undefined) return;
    await maintenance.checkpoint().catch((error: unknown) => this.backgroundError(error));
  }
}
