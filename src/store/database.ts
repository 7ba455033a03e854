/** A database: opening, transactions with retries, the catalog, upkeep, closing. */
import {
  ClosedError,
  InvalidArgumentError,
  OutcomeUnknownError,
  ReadOnlyError,
  type SopError,
} from '../base/errors.ts';
import { isThenable, watchAnswer } from '../base/thenable.ts';
import type { Env } from '../env/env.ts';
import { memoryEnv } from '../env/memory-env.ts';
import { hasNativeModule, nodeEnv } from '../env/node-env.ts';
import { portableEnv } from '../env/portable-env.ts';
import { openEngine } from '../transaction/engine.ts';
import type {
  BackupProgress as EngineBackupProgress,
  BackupReport as EngineBackupReport,
  BeginOptions as EngineBeginOptions,
  EngineApi,
  EngineTransaction,
  PinInfo as EnginePinInfo,
  TransactionKind,
  TransactionOutcome,
  VerifyProgress as EngineVerifyProgress,
  VerifyReport as EngineVerifyReport,
} from '../transaction/engine-api.ts';
import { mustBeOptions, quoted } from './arguments.ts';
import { type AnyDefinition, Catalog } from './catalog.ts';
import { type ConflictEvent, type LostRace, RunLost, toConflictEvent } from './conflict-events.ts';
import { DatabaseIndexes, type IndexInfo, type IndexReadyOptions } from './database-indexes.ts';
import { checkStoreName, StoreDefinition } from './define-store.ts';
import type { DatabaseStats } from './database-stats.ts';
import type { DatabaseEvents, EventName } from './events.ts';
import { checkIndexes } from './index-check.ts';
import { checkRows } from './row-check.ts';
import { describeEntry, listEntries, storeNames, type StoreDescription, type StoreInfo } from './listing.ts';
import type { MetricLabels, MetricValue } from './metrics.ts';
import {
  type DatabaseOptions,
  type MemoryOptions,
  mustBeFolder,
  type OpenOptions,
  toEngineOptions,
  toMemoryOptions,
} from './open-options.ts';
import { type PreparedTransaction, preparedOf, type Report } from './participants.ts';
import {
  type AttemptLimits,
  checkLimits,
  DEFAULT_RETRIES,
  isLostRace,
  pauseAfterLoss,
  type RetryOptions,
  withRetries,
} from './retry.ts';
import { type RedefineFunction, type RedefineOptions, Redefinition } from './redefine.ts';
import { type SalvageOptions, type SalvageReport, salvageDatabase } from './salvage.ts';
import { ShapeStore } from './shape-store.ts';
import type { Entry } from './store-types.ts';
import { type AnyKey, Transaction } from './transaction.ts';
import { TransactionCore } from './transaction-core.ts';
import { textOf, valuesOf, Watch } from './watch.ts';

/** Limits of one transaction. */
export interface BeginOptions {
  /**
   * From begin to the end of the commit; then the transaction is rolled back with `TimeoutError`. A commit that waits (for its turn,
   * or for a prepared transaction) is given up, one that is being written is waited for. Participants are waited for so long
   * until all have prepared; what is decided then stays decided.
   */
  readonly timeoutMs?: number;
  /** Rolls the transaction back with `AbortedError`, its commit as with `timeoutMs`. */
  readonly signal?: AbortSignal;
}

/** Limits of a read transaction, and what it reads. */
export interface ReadOptions extends BeginOptions {
  /** The name of a pin: everything reads as it was when that was made. `PinNotFoundError` where there is none. */
  readonly at?: string;
}

/** Limits of `db.write`, all runs together. */
export type WriteOptions = RetryOptions;

/** What `db.verify` tells while it works. */
export type VerifyProgress = EngineVerifyProgress;
/** What `db.verify` found. */
export interface VerifyReport extends EngineVerifyReport {
  /** Indexes compared with their stores: all that are ready, but for those whose functions this program has not used. */
  readonly indexes: number;
}
/** What `db.backup` tells while it works. */
export type BackupProgress = EngineBackupProgress;
/** What `db.backup` did. */
export type BackupReport = EngineBackupReport;

/** Options of `db.backup`. */
export interface BackupOptions {
  readonly onProgress?: (progress: BackupProgress) => void;
  /** Ends the backup with `AbortedError`; the folder is then the backup it was before, or marked incomplete. */
  readonly signal?: AbortSignal;
}

/** A pin: a state of the database that is kept for reading. */
export type PinInfo = EnginePinInfo;

/** Options of `db.verify`. */
export interface VerifyOptions {
  readonly onProgress?: (progress: VerifyProgress) => void;
  readonly signal?: AbortSignal;
}

/** Whatever `defineStore` hands out. */
export type AnyStore = Pick<StoreDefinition<unknown, unknown, string, unknown>, 'name' | 'values' | 'raw' | 'unique'>;

/** What a redefinition makes of an entry; undefined leaves it out. */
export type RedefinedAs<K, V> = MaybePromise<{ readonly key: K; readonly value: V } | undefined>;
type MaybePromise<T> = T | Promise<T>;

/** Runs lost before the next one claims what it reads. */
const LOSSES_BEFORE_CLAIM = 3;
const MEMORY_FOLDER = 'memory';
const KINDS: readonly string[] = ['write', 'read', 'noCheck'];

/**
 * An open database. One object per folder and process; safe to use from any number of asynchronous tasks at once. It keeps no
 * process alive by itself. Every call after `close` throws `ClosedError`.
 */
export class Database implements AsyncDisposable {
  readonly #engine: EngineApi;
  readonly #env: Env;
  readonly #catalog: Catalog;
  readonly #indexes: DatabaseIndexes;
  readonly #report: Report;
  readonly #watch: Watch;
  /** Files are in memory alone: backups go to the disk. */
  #inMemory = false;

  /** Use `Database.open` or `Database.memory`. */
  constructor(engine: EngineApi, env: Env, watch = new Watch(), maxValueBytes?: number) {
    this.#watch = watch;
    this.#engine = engine;
    this.#env = env;
    this.#report = watch.events.error;
    this.#catalog = new Catalog(engine, new ShapeStore(engine, maxValueBytes));
    const begin = (kind: 'read' | 'write') => this.#begin(kind, UPKEEP);
    this.#indexes = new DatabaseIndexes({ engine, env, catalog: this.#catalog, begin, events: watch.events });
  }

  /**
   * Opens the database in a folder, creating both where there is none. A relative folder is that of the working directory at
   * this call, whatever that is later. Errors: `DatabaseLockedError` (naming pid, host and
   * since when) where it is open already, in this process or another; `DatabaseNotFoundError` with `readOnly` or
   * `create: false`; `FormatUnsupportedError`; `CorruptionError`; `IoError`; `NativeMissingError` where this platform can only
   * read; `InvalidArgumentError` for options that make no sense.
   */
  static async open(folder: string, options: OpenOptions = {}): Promise<Database> {
    const engineOptions = toEngineOptions(folder, options);
    const env = options.readOnly === true && !hasNativeModule() ? portableEnv() : nodeEnv();
    return Database.openWith(env, engineOptions);
  }

  /** A new database whose files are in memory: the same engine, gone when it is closed. */
  static async memory(options: MemoryOptions = {}): Promise<Database> {
    const db = await Database.openWith(memoryEnv(), toMemoryOptions(MEMORY_FOLDER, options));
    db.#inMemory = true;
    return db;
  }

  /**
   * Writes what is readable of a damaged database into a new folder `to`, and lists what is lost. The damaged folder is only read.
   * Indexes of stores that have lost something are built anew. Errors: `DatabaseLockedError` where `from` is open for writing;
   * `InvalidArgumentError` where `to` holds a database; `DatabaseNotFoundError` where nothing in `from` tells whose it is;
   * `IoError` and `DiskFullError` of the new folder; `AbortedError`. Some megabytes of what is copied are in memory at a time.
   */
  static async salvage(from: string, to: string, options: SalvageOptions = {}): Promise<SalvageReport> {
    mustBeFolder('the damaged database', from);
    mustBeFolder('the new database', to);
    return salvageDatabase(nodeEnv(), from, to, options);
  }

  /** For database builders and tests: a database in a world of their own. */
  static async openWith(env: Env, given: DatabaseOptions): Promise<Database> {
    const options = { ...given, folder: env.files.absolute(given.folder) };
    const beganMs = env.clock.monotonicMs();
    const watch = new Watch(options);
    const engine = await openEngine(env, watch.engineOptions(options));
    watch.opened(engine, env.clock.monotonicMs() - beganMs);
    return new Database(engine, env, watch, options.maxValueBytes);
  }

  /** The folder as an absolute path, as it was at opening; 'memory' for a database in memory. */
  get folder(): string {
    return this.#engine.folder;
  }

  get readOnly(): boolean {
    return this.#engine.readOnly;
  }

  get closed(): boolean {
    return this.#engine.closed;
  }

  /**
   * Runs `fn` in a write transaction and commits it; answers what `fn` answered, once that is durable. Where the commit loses
   * to another transaction, `fn` runs again from the beginning, with a new snapshot, after a short random pause; so it should
   * change nothing but the database. An error thrown by `fn` rolls back and is passed on. The default of 100 retries and no
   * time limit can be set; when they are used up, the last `ConflictError` is thrown.
   */
  write<T>(fn: (tx: Transaction) => T | Promise<T>, options?: WriteOptions): Promise<T> {
    try {
      this.#mustBeWritable();
      mustBeFunction(fn);
    } catch (error) {
      return Promise.reject(error);
    }
    if (options === undefined) return this.#writeUntilDone(fn);
    const attempt = (limits: AttemptLimits, lost: number, last: LostRace | undefined) =>
      this.#attempt(fn, limits, lost, last, options.resolveUnknown !== false);
    return withRetries(this.#env, this.#watched('onRetry', options), attempt, this.#watch.again);
  }

  /** Runs `fn` on a snapshot; answers what it answered. It never conflicts, blocks nobody and is blocked by nobody. */
  async read<T>(fn: (tx: Transaction) => T | Promise<T>, options: ReadOptions = NO_LIMITS): Promise<T> {
    this.#mustBeOpen();
    mustBeFunction(fn);
    if (options !== NO_LIMITS) checkLimits(options);
    return this.#run('read', fn, options);
  }

  /**
   * A transaction that the caller ends, with `at` as of a pin (not for 'write'); see `Transaction` for the kinds. `await using` rolls
   * back what is left open.
   */
  async begin(kind: TransactionKind, options: ReadOptions = NO_LIMITS): Promise<Transaction> {
    this.#mustBeOpen();
    if (!KINDS.includes(kind)) {
      throw new InvalidArgumentError(`a transaction is of kind 'write', 'read' or 'noCheck', not ${quoted(kind)}`);
    }
    checkLimits(options);
    return new Transaction(this.#begin(kind, options));
  }

  /** All stores, in the order of their names' bytes; with `at` as of a pin. */
  async stores(options: ReadOptions = NO_LIMITS): Promise<StoreInfo[]> {
    return this.#inside('read', (core) => listEntries(core, this.#catalog), options);
  }

  /** The definition of a store and how many entries it has. `StoreNotFoundError` where there is none. */
  async describe(name: string, options: ReadOptions = NO_LIMITS): Promise<StoreDescription> {
    checkStoreName(name);
    return this.#inside('read', (core) => describeEntry(core, name), options);
  }

  /** Drops a store at once, whatever its size; its space is given back later. `StoreNotFoundError` where there is none. */
  async drop(name: string): Promise<void> {
    return this.write((tx) => tx.drop(name));
  }

  /** Gives a store another name. `StoreNotFoundError` where there is none, `StoreExistsError` where the new name is taken. */
  async rename(from: string, to: string): Promise<void> {
    return this.write((tx) => tx.rename(from, to));
  }

  /**
   * Keeps the state as of now under a name (up to 512 bytes in UTF-8), durably, to be read with `{ at: name }`: stores since
   * dropped, renamed or defined anew are there as they were. It holds everything committed before the call. What it keeps
   * takes space until `unpin`. `PinExistsError` where there is a pin of that name.
   */
  async pin(name: string): Promise<PinInfo> {
    this.#mustBeWritable();
    return this.#engine.pin(name);
  }

  /**
   * Gives up a pin; its space is given back once nobody reads at it, by and by or with `compact`. `PinNotFoundError` where
   * there is none of that name.
   */
  async unpin(name: string): Promise<void> {
    this.#mustBeWritable();
    return this.#engine.unpin(name);
  }

  /** All pins, in the order of their names' bytes. */
  async pins(): Promise<PinInfo[]> {
    this.#mustBeOpen();
    return this.#engine.pins().sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  }

  /** The indexes of a store, and how far those are that are being built. `StoreNotFoundError` where there is none. */
  async indexes(store: string): Promise<IndexInfo[]> {
    checkStoreName(store);
    return this.#inside('read', (core) => this.#indexes.list(core, store));
  }

  /**
   * Resolves once an index can be read. Rejects with `IndexNotReadyError` where it could not be built (or is not, in a read-only opening), `InvalidArgumentError`
   * where the store has no such index, `StoreNotFoundError`, `AbortedError`. An index that a function makes is built by a
   * program that has used the definition; handed the definition, this adds the index first where the store has it not.
   */
  async indexReady(store: AnyStore | string, index: string, options: IndexReadyOptions = {}): Promise<void> {
    this.#mustBeOpen();
    const name = store instanceof StoreDefinition ? store.name : store;
    checkStoreName(name);
    mustBeOptions(options);
    const { signal } = options;
    const limits = signal === undefined ? {} : { signal };
    checkLimits(limits);
    if (typeof store !== 'string' && !this.readOnly)
      await this.write((tx) => void tx.store(store as AnyDefinition), limits);
    return this.#indexes.ready(name, index, this.#watched('onProgress', options));
  }

  /** Builds an index anew whose building has failed, or any other. The index cannot be read until that is done. */
  async rebuildIndex(store: string, index: string): Promise<void> {
    checkStoreName(store);
    this.#mustBeWritable();
    return this.write((tx) => tx.rebuildIndex(store, index));
  }

  /**
   * Makes a backup in a folder while everything goes on: a database that opens by itself and holds everything committed before
   * the call, pins included. In a folder that holds an earlier backup only what is new is copied; until the new backup is
   * durable the folder is the earlier one. `BackupRefusedError` where the folder holds anything else, or a backup that was
   * written to since. After a crash in a first backup the folder is refused with `BackupIncompleteError` until it is backed up
   * into again. A database in memory is backed up to the disk.
   */
  async backup(folder: string, options: BackupOptions = {}): Promise<BackupReport> {
    this.#mustBeOpen();
    mustBeFolder('a backup', folder);
    mustBeOptions(options);
    const { onProgress, signal } = options;
    if (onProgress !== undefined && typeof onProgress !== 'function') {
      throw new InvalidArgumentError('onProgress is a function');
    }
    checkLimits({ ...(signal === undefined ? {} : { signal }) });
    const env = this.#inMemory ? { env: nodeEnv() } : {};
    return this.#engine.backup({ folder, ...env, ...this.#watched('onProgress', options) });
  }

  /**
   * Gives a full store another key or other values, in the background of everything else: each entry goes through `fn` (undefined
   * leaves it out) into a new store, and one last transaction puts that in the old one's place under the definition `to`. Until
   * then the store is read and changed as it was; `put`, `clear` and `clearRange` look at what they replace meanwhile, and if
   * writers are too many for the end to come they wait for it (retried by `db.write`). Then a program's old definition is a
   * `StoreMismatchError`, or where only values changed shape, finds the new values.
   *
   * After a crash, or when `signal` has fired, the same call goes on where it was (with the same `fn`, please); a call with
   * another `to` begins anew. Refused with nothing changed: `DuplicateKeyError`, `UniqueIndexError`, what `to` refuses, what `fn`
   * throws. `generation` makes it harmless to call again: answers false, and does nothing, where the store is another one.
   */
  redefine<K, V, R extends string, I, K2, V2, R2 extends string, I2>(
    from: StoreDefinition<K, V, R, I>,
    to: StoreDefinition<K2, V2, R2, I2>,
    fn: (entry: Entry<K, V>) => RedefinedAs<K2, V2>,
    options?: RedefineOptions,
  ): Promise<boolean>;
  redefine<K2, V2, R2 extends string, I2>(
    from: string,
    to: StoreDefinition<K2, V2, R2, I2>,
    fn: (entry: Entry<AnyKey, unknown>) => RedefinedAs<K2, V2>,
    options?: RedefineOptions,
  ): Promise<boolean>;
  async redefine(from: unknown, to: unknown, fn: unknown, options: RedefineOptions = {}): Promise<boolean> {
    this.#mustBeWritable();
    mustBeFunction(fn);
    mustBeOptions(options);
    const name = from instanceof StoreDefinition ? from.name : from;
    checkStoreName(name);
    if (!(to instanceof StoreDefinition)) throw new InvalidArgumentError('redefine takes what defineStore hands out');
    if (to.name !== name) throw new InvalidArgumentError(`store '${name}' keeps its name when it is redefined`);
    mustBeRedefineOptions(options);
    const host = {
      env: this.#env,
      catalog: this.#catalog,
      begin: (kind: 'read' | 'write') => this.#begin(kind, UPKEEP),
    };
    const redefinition = new Redefinition(host, name, to as AnyDefinition, fn as RedefineFunction, options);
    return redefinition.run(from instanceof StoreDefinition ? (from as AnyDefinition) : undefined);
  }

  /** Gives up a redefinition that was begun and has not ended; the store stays as it is. Harmless where there is none. */
  async cancelRedefine(store: string): Promise<void> {
    checkStoreName(store);
    this.#mustBeWritable();
    return this.write((tx) => tx.cancelRedefine(store));
  }

  /** Figures of this moment: space, cache, log, checkpoints, conflicts. Cheap enough for once a second. */
  stats(): DatabaseStats {
    this.#mustBeOpen();
    return this.#watch.stats(this.#engine, this.#catalog, this.#indexes);
  }

  /**
   * The same as text that Prometheus reads (exposition format 0.0.4, `text/plain; version=0.0.4`), to be answered as it is or
   * after the text of another registry. `labels` go with every sample; `database` is the folder unless it is among them.
   */
  metrics(labels?: MetricLabels): string {
    return textOf(this.stats(), this.folder, labels);
  }

  /**
   * The same as plain objects, for a client library to collect. With prom-client:
   *
   * ```ts
   * const metrics = new Map<string, Counter | Gauge>();
   * // First, so that the others hold what it has read when their turn comes.
   * new Gauge({ name: 'sop_up', help: 'Figures were read.', collect() {
   *   for (const metric of metrics.values()) metric.reset();
   *   for (const { name, labels, value } of db.metricValues()) metrics.get(name)?.inc(labels, value);
   *   this.set(1);
   * } });
   * for (const { name, type, help, labels } of db.metricValues()) {
   *   if (metrics.has(name)) continue;
   *   const options = { name, help, labelNames: Object.keys(labels) };
   *   metrics.set(name, type === 'counter' ? new Counter(options) : new Gauge(options));
   * }
   * ```
   */
  metricValues(labels?: MetricLabels): MetricValue[] {
    return valuesOf(this.stats(), this.folder, labels);
  }

  /**
   * Calls `listener` whenever `name` happens, soon after it did; see `DatabaseEvents`. Answers the function that ends it. What a
   * listener throws is told as a background error. `InvalidArgumentError` for an event that there is not.
   */
  on<Name extends EventName>(name: Name, listener: (event: DatabaseEvents[Name]) => void): () => void {
    this.#mustBeOpen();
    return this.#watch.events.on(name, listener);
  }

  /**
   * Walks the whole database and names every broken invariant. It runs beside everything else. What is no damage ends it:
   * `SnapshotTooOldError` in a read-only opening beside a writer who reclaimed what it saw (open again), `IoError`, `AbortedError`.
   */
  async verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    this.#mustBeOpen();
    checkLimits(options);
    const report = await this.#engine.verify(this.#watched('onProgress', options));
    // Damage below would only be met again.
    if (!report.ok) return { ...report, indexes: 0 };
    const rows = await this.#inside('read', checkRows);
    if (rows.length > 0) return { ...report, ok: false, problems: rows, indexes: 0 };
    const check = await this.#inside('read', (core) => checkIndexes(core, this.#catalog, options.signal));
    return { ...report, ok: check.problems.length === 0, ...check };
  }

  /** Moves recent changes into the trees now. It happens by itself; there is no need to call this. */
  async checkpoint(): Promise<void> {
    this.#mustBeWritable();
    return this.#engine.checkpoint();
  }

  /** Rewrites what is mostly dead and gives back space, until nothing more is to be gained. Runs beside everything else. */
  async compact(): Promise<void> {
    this.#mustBeWritable();
    return this.#engine.compact();
  }

  /** What became of a transaction whose commit ended in `OutcomeUnknownError`, by its id: one answer, for ever. */
  async resolve(transactionId: string): Promise<TransactionOutcome> {
    this.#mustBeOpen();
    if (typeof transactionId !== 'string') throw new InvalidArgumentError('a transaction id is a string');
    return this.#engine.resolve(transactionId);
  }

  /**
   * Transactions that are durable and wait for their decision (`tx.prepare`, or a commit with participants that a crash cut
   * short), in the order in which they were prepared. Read-only openings list them and can not decide them.
   */
  async prepared(): Promise<PreparedTransaction[]> {
    this.#mustBeOpen();
    if (this.#engine.prepared().length === 0) return [];
    const names = await this.#inside('read', (core) => storeNames(core, this.#catalog));
    const { prepared, decide } = this.#engine;
    const decider = {
      prepared: prepared.bind(this.#engine),
      // Its changes of the catalog, if any, must not be overlooked by what is remembered of it.
      decide: (id: string, commits: boolean) =>
        this.#catalog.whileChanging(() => decide.call(this.#engine, id, commits)),
    };
    return preparedOf(decider, names, [], this.#report);
  }

  /** Hears of every commit that is refused because of another transaction: `on('conflict', listener)`. */
  onConflict(listener: (event: ConflictEvent) => void): () => void {
    return this.on('conflict', listener);
  }

  readonly #tellConflict = (core: TransactionCore, error: SopError): void =>
    this.#watch.events.tell('conflict', toConflictEvent(core, error));

  /**
   * Waits for commits under way, rolls back everything else, and lets go of the folder. Harmless when repeated. Participants that
   * have not all promised yet are told to roll back, and none is waited for longer than some seconds.
   */
  async close(): Promise<void> {
    const stopped = this.#indexes.stop();
    try {
      await this.#engine.close();
      await stopped;
    } finally {
      this.#watch.closed(this.folder);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #begin(kind: TransactionKind, limits: EngineBeginOptions): TransactionCore {
    const core = new TransactionCore(this.#engine, this.#engine.begin(kind, limits), this.#env, this.#catalog);
    core.report = this.#report;
    if (this.#watch.events.hearsConflicts) core.onConflict = this.#tellConflict;
    return core;
  }

  /** After some losses the others hold back from what the last run read, so that long ones get through. */
  async #beginClaiming(limits: AttemptLimits, lost: EngineTransaction): Promise<TransactionCore> {
    const claim = await this.#engine.claim(lost);
    try {
      return this.#begin('write', { ...limits, claim });
    } catch (error) {
      if (claim !== undefined) this.#engine.endClaim(claim);
      throw error;
    }
  }

  /** `withRetries` without limits, in one function: each layer of promises costs a transaction 50 ns and more. */
  async #writeUntilDone<T>(fn: (tx: Transaction) => T | Promise<T>): Promise<T> {
    let last: SopError | undefined;
    let lostRun: RunLost | undefined;
    let begunMs = this.#watch.events.hearsRetries ? this.#env.clock.monotonicMs() : -1;
    let lostTo: EngineTransaction | undefined;
    for (let lost = 0; ; lost++) {
      const core: TransactionCore =
        lost < LOSSES_BEFORE_CLAIM || lostTo === undefined
          ? this.#begin('write', NO_LIMITS)
          : await this.#beginClaiming(NO_LIMITS, lostTo);
      if (last !== undefined) core.isRunAgain(lost + 1, last);
      let result: T | undefined;
      try {
        const answer = fn(new Transaction(core));
        result = isThenable(answer) ? await answer : answer;
        if (core.engine.ended) core.mustNotHaveFailed();
        else await core.commit();
        return result;
      } catch (error) {
        const ending = await this.#endingOf(core, error, true);
        // What a commit answers 'unknown' and the log 'committed' to has run to its end.
        if (ending === 'committed') return result as T;
        if (ending !== 'lost' || lost >= DEFAULT_RETRIES) throw error;
        last = error as SopError;
        if (this.#watch.events.hearsRetries) lostRun = new RunLost(core, last);
        // Somebody began to listen in the middle of it.
        if (begunMs < 0) begunMs = this.#env.clock.monotonicMs();
        lostTo = core.engine;
      }
      await pauseAfterLoss(this.#env, lost);
      this.#watch.again(lostRun, lost + 2, lostRun === undefined ? 0 : this.#env.clock.monotonicMs() - begunMs);
    }
  }

  /** One run of a write with limits; a lost race is thrown as `RunLost`. */
  async #attempt<T>(
    fn: (tx: Transaction) => T | Promise<T>,
    limits: AttemptLimits,
    lost: number,
    last: LostRace | undefined,
    resolves: boolean,
  ): Promise<T> {
    const core =
      lost < LOSSES_BEFORE_CLAIM || last === undefined
        ? this.#begin('write', limits)
        : await this.#beginClaiming(limits, last.engine);
    if (last !== undefined) core.isRunAgain(lost + 1, last.error);
    let result: T | undefined;
    try {
      result = await fn(new Transaction(core));
      if (core.engine.ended) core.mustNotHaveFailed();
      else await core.commit();
      return result;
    } catch (error) {
      const ending = await this.#endingOf(core, error, resolves);
      if (ending === 'lost') throw new RunLost(core, error as SopError);
      if (ending === 'committed') return result as T;
      throw error;
    }
  }

  /** How a run ended that threw `error`; 'lost' where it can be run again. What its commit could not say is asked for, where wanted. */
  async #endingOf(core: TransactionCore, error: unknown, resolves: boolean): Promise<'lost' | 'committed' | undefined> {
    core.rollback(error);
    if (isLostRace(error)) return 'lost';
    const { id } = core.engine;
    // `fn` may throw another transaction's, or another database's: that says nothing of this one.
    if (!resolves || !(error instanceof OutcomeUnknownError) || error.transactionId !== id) return undefined;
    let outcome: TransactionOutcome;
    try {
      outcome = await this.#engine.resolve(id);
    } catch {
      // It stays unknown, as the error that is there already says.
      return undefined;
    }
    if (outcome === 'prepared') return undefined;
    await core.tellParticipants(outcome);
    return outcome === 'committed' ? 'committed' : 'lost';
  }

  async #run<T>(kind: TransactionKind, fn: (tx: Transaction) => T | Promise<T>, limits: AttemptLimits): Promise<T> {
    const core = this.#begin(kind, limits);
    try {
      const answer = await fn(new Transaction(core));
      if (core.engine.ended) core.mustNotHaveFailed();
      else if (kind === 'write') await core.commit();
      else void core.commit();
      return answer;
    } catch (error) {
      core.rollback(error);
      throw error;
    }
  }

  /** Options whose listener, should it answer a promise that rejects, is told of as a background error. */
  #watched<Name extends string, O extends { readonly [N in Name]?: (word: never) => unknown }>(
    name: Name,
    options: O,
  ): O {
    // What is no object is refused where the options are looked at.
    const listener: unknown = typeof options === 'object' && options !== null ? options[name] : undefined;
    if (typeof listener !== 'function') return options;
    const watched = (word: unknown): void => watchAnswer(listener.call(options, word), this.#watch.events.error);
    return { ...options, [name]: watched };
  }

  /** For the database's own reads. */
  async #inside<T>(
    kind: 'read',
    fn: (core: TransactionCore) => T | Promise<T>,
    options: AttemptLimits = NO_LIMITS,
  ): Promise<T> {
    this.#mustBeOpen();
    if (options !== NO_LIMITS) checkLimits(options);
    const core = this.#begin(kind, { ...options, ...UPKEEP });
    try {
      return await fn(core);
    } finally {
      core.rollback();
    }
  }

  #mustBeOpen(): void {
    if (this.#engine.closed) throw new ClosedError();
  }

  #mustBeWritable(): void {
    this.#mustBeOpen();
    if (this.readOnly)
      throw new ReadOnlyError('the database is open for reading only', { details: { folder: this.folder } });
  }
}

const NO_LIMITS: AttemptLimits = {};
const UPKEEP: EngineBeginOptions = { isUpkeep: true };

function mustBeRedefineOptions({ generation, onProgress, signal }: RedefineOptions): void {
  if (generation !== undefined && !(Number.isSafeInteger(generation) && generation >= 0)) {
    throw new InvalidArgumentError('generation is a whole number from zero', { details: { found: generation } });
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new InvalidArgumentError('onProgress is a function');
  }
  checkLimits({ ...(signal === undefined ? {} : { signal }) });
}

function mustBeFunction(fn: unknown): void {
  if (typeof fn === 'function') return;
  throw new InvalidArgumentError('a function of the transaction is needed');
}
