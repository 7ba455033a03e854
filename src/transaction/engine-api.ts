/**
 * What the store floor holds of the engine: transactions over byte keys and cells in numbered stores. No key type, no
 * value shape and no store name is known below this line, and nothing above it knows how bytes reach the disk.
 */
import type { Env } from '../env/env.ts';
import type { EntryCursor } from '../node/entry-cursor.ts';
import type { FindResult } from '../storage/find-result.ts';
import type { EngineObserver } from './engine-events.ts';
import type { EngineStats } from './stats-types.ts';

/** See `Transaction`. */
export type TransactionKind = 'write' | 'read' | 'noCheck';

/** What others hold back for, for a while; see `EngineApi.claim`. */
export interface EngineClaim {
  readonly endsAtMs: number;
}

export interface BeginOptions {
  /** Ends with the transaction. */
  readonly claim?: EngineClaim | undefined;
  /** From begin until the commit is being written, which is waited for; then `TimeoutError`, the transaction is rolled back. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Read as of this pin. Not for write transactions. */
  readonly at?: string;
  /** The database's own work: limits set for all transactions are not for it, and it takes nobody's place among those open. */
  readonly isUpkeep?: boolean;
}

/** Handed out by `savepoint`, handed back to `rollbackTo`. */
export interface EngineSavepoint {
  readonly transactionSnapshot: number;
}

export interface EngineTransaction {
  /** Stable text form of the transaction id, for `resolve`. */
  readonly id: string;
  readonly kind: TransactionKind;
  /** The number of the newest transaction this one sees. */
  readonly snapshot: number;
  readonly ended: boolean;
  /** Reads as of a pin: what it learns may be long outdated. */
  readonly isPinned: boolean;
  /** True: reads block the thread on a cache miss. False: they answer NOT_LOADED. Set it before each call that may miss. */
  waits: boolean;

  /**
   * Looks up `key[start, end)`; FOUND leaves the cell in `foundBytes[foundStart, foundEnd)` and its version, valid until the
   * next call or await. Notes the key in the read set (write transactions), unless the answer came from its own changes.
   */
  find(storeId: number, key: Uint8Array, start: number, end: number): FindResult;
  foundBytes: Uint8Array;
  foundStart: number;
  foundEnd: number;
  foundVersion: number;
  /** After NOT_LOADED. */
  load(): Promise<void>;
  /**
   * Names the tree that alone answers for a key with this filter hash (`filterHash`), the same for the same content; -1 where
   * changes not merged yet may know the key. A caller who then knows the answer notes the key himself.
   */
  treeToken(storeId: number, hash: number): number;
  /** Adds a key to the read set (no-op for read and noCheck transactions). */
  noteKey(storeId: number, key: Uint8Array, start: number, end: number): void;

  /** Insert or replace, blind. `existed` says what the caller knows of the key: true, false, or undefined. Bytes are copied. */
  put(
    storeId: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    cell: Uint8Array,
    cellStart: number,
    cellEnd: number,
    existed: boolean | undefined,
  ): void;
  remove(storeId: number, key: Uint8Array, start: number, end: number, existed: boolean | undefined): void;
  /**
   * Adds to counters, blind: `increment` is one of codec/counter.ts, of one length for all increments of a store. A key that
   * is absent stays so unless the increment says that it creates. Where the store's changes were spilled it is not blind: the
   * key is read and noted.
   */
  increment(storeId: number, key: Uint8Array, keyStart: number, keyEnd: number, increment: Uint8Array): void;
  /**
   * Keys of this store end with the number of the commit that adds them, then a u32 (log/placeholder.ts). From now on the
   * placeholder in a key is put in its place by the commit.
   */
  numberItems(storeId: number): void;
  /** Removes every key in [lower, upper); undefined is unbounded. Blind. */
  removeRange(storeId: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): void;

  /**
   * A cursor over own changes, memory tables and tree as of the snapshot. It notes nothing: the caller names the range it
   * looked at with `noteRange`. Set `cursor.waits` as wanted; after a MISS `await cursor.load()`. It stays usable when this
   * transaction changes entries between moves only if the caller seeks again after `changeCount` moved.
   */
  cursor(storeId: number): EntryCursor;
  /** Grows with every change and every `rollbackTo`. */
  readonly changeCount: number;
  /** Adds [lower, upper) of a store to the read set (no-op for read and noCheck transactions). */
  noteRange(storeId: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): void;
  /** Entries in [lower, upper); -1 is NOT_LOADED. Notes nothing. */
  count(storeId: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): number;
  /**
   * Positions `cursor` at the entry with `rank` (from zero) counted from the first key; undefined where there are fewer. Notes
   * nothing.
   */
  seekRank(storeId: number, rank: number, cursor: EntryCursor): FindResult;

  /**
   * Refuses the commit (ConflictError) where, at commit time, the row has another cell than `expected` (undefined: absent),
   * unless it then equals `orEqual`. Used for catalog rows, so that equal definitions created twice merge. With `orEqual` it is
   * also refused where the row was there in between and has been removed: a store created, then renamed, is not made twice.
   */
  expectRow(storeId: number, key: Uint8Array, expected: Uint8Array | undefined, orEqual?: Uint8Array): void;

  /**
   * The bytes of a separately stored value whose cell is `cell[start, end)` (CELL_SEPARATE set), checked against its CRC.
   * A fresh copy, the caller's own.
   */
  readValueSync(cell: Uint8Array, start: number, end: number): Uint8Array;
  readValue(cell: Uint8Array, start: number, end: number): Promise<Uint8Array>;
  /**
   * Writes a value too long for the log (> MAX_LOG_VALUE_BYTES) to a segment and answers its 32-byte reference to put into
   * a cell. Synced before the commit.
   */
  writeValue(storeId: number, key: Uint8Array, keyStart: number, keyEnd: number, value: Uint8Array): Uint8Array;

  /** A place to come back to. Reads, expected rows and listeners are not part of it, nor are definitions of shapes. */
  savepoint(): EngineSavepoint;
  /**
   * Undoes all changes since the savepoint, which may be used again; later ones are void. `InvalidArgumentError` for one that
   * is void or another transaction's.
   */
  rollbackTo(savepoint: EngineSavepoint): void;

  /**
   * Makes the transaction durable without deciding it: nothing of it is seen, nothing that conflicts with it commits, and the
   * decision (`EngineApi.decide`) can fail for no conflict. It has ended for its holder then; `onCommit` and `onRollback`
   * wait for the decision.
   */
  prepare(): Promise<void>;
  /**
   * Runs `fn` with the reason when its time is up or its signal is fired, also once it is prepared, which that undoes no more. Called
   * before it ends; answers what ends the limits of one that was prepared.
   */
  onLimit(fn: (reason: unknown) => void): () => void;
  onCommit(fn: (number: number) => void): void;
  onRollback(fn: (reason: unknown) => void): void;
  /** Answers the transaction's number (its snapshot where nothing was written). */
  commit(): Promise<number>;
  /** Harmless where the transaction has ended. */
  rollback(reason?: unknown): void;
}

export interface VerifyProgress {
  readonly store: number;
  readonly entriesChecked: number;
  readonly entriesTotal: number;
}

/** A broken invariant, and where. */
export interface VerifyProblem {
  readonly invariant: string;
  readonly message: string;
  readonly file?: string;
  readonly offset?: number;
  readonly store?: number;
}

/** What `db.verify` found. */
export interface VerifyReport {
  readonly ok: boolean;
  readonly problems: readonly VerifyProblem[];
  readonly stores: number;
  /** Entries of the trees, and changes not merged into them yet. */
  readonly entries: number;
  readonly images: number;
  readonly values: number;
  readonly bytesChecked: number;
}

export interface PinInfo {
  readonly name: string;
  /** The number of the newest transaction that the pinned state holds. */
  readonly number: number;
  readonly pinnedAt: Date;
}

export interface BackupProgress {
  readonly filesDone: number;
  readonly filesTotal: number;
  /** Copied or found to be there already. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface EngineBackupOptions {
  readonly folder: string;
  /** The world of that folder, where it is another. */
  readonly env?: Env;
  readonly onProgress?: (progress: BackupProgress) => void;
  readonly signal?: AbortSignal;
}

/** What `db.backup` did. */
export interface BackupReport {
  /** The backup holds every transaction up to this number, and none after it. */
  readonly number: number;
  /** Segment files of the backup. */
  readonly files: number;
  readonly bytesCopied: number;
  /** In files that an earlier backup had put there. */
  readonly bytesKept: number;
}

/** A transaction that waits for its decision. */
export interface PreparedInfo {
  readonly id: string;
  /** Its number in the log. */
  readonly preparedAt: number;
  /** Ids of the stores it changes. */
  readonly stores: readonly number[];
}

/** What became of a transaction; see `db.resolve`. */
export type TransactionOutcome = 'committed' | 'aborted' | 'prepared';

export interface EngineApi {
  readonly folder: string;
  readonly readOnly: boolean;
  readonly closed: boolean;
  begin(kind: TransactionKind, options?: BeginOptions): EngineTransaction;
  /**
   * From now on commits hold back, each for a bounded time, that would change what `lost` has read, a transaction which has
   * ended. Resolves once all that is in flight is durable: the transaction begun with the claim sees it. Undefined where
   * there is nothing to claim, or too many do.
   */
  claim(lost: EngineTransaction): Promise<EngineClaim | undefined>;
  /** For a claim that no transaction was begun with. Harmless where it has ended. */
  endClaim(claim: EngineClaim): void;
  /** A committed row as of now, bypassing transactions; blocks on a miss. For shapes and the like. A copy. */
  readRow(storeId: number, key: Uint8Array): Uint8Array | undefined;
  /** Gives out a store id never used before in this database. */
  newStoreId(): number;
  checkpoint(): Promise<void>;
  /** Checkpoint, rewrite what is mostly dead, reclaim, until the folder has settled. */
  compact(): Promise<void>;
  verify(options?: { onProgress?: (progress: VerifyProgress) => void; signal?: AbortSignal }): Promise<VerifyReport>;
  stats(): EngineStats;
  /** Keeps the state as of now under a name, durably. `PinExistsError` where there is such a pin. */
  pin(name: string): Promise<PinInfo>;
  /** `PinNotFoundError` where there is no such pin. */
  unpin(name: string): Promise<void>;
  /** As of now, by name. */
  pins(): PinInfo[];
  backup(options: EngineBackupOptions): Promise<BackupReport>;
  resolve(transactionId: string): Promise<TransactionOutcome>;
  /** Transactions that wait for their decision, in the order in which they were prepared. */
  prepared(): PreparedInfo[];
  /**
   * Decides a prepared transaction: answers the number of the decision (where it was made before and its number is not known
   * any more, the newest number). Deciding the same again is harmless; `TransactionEndedError` where it was decided otherwise.
   */
  decide(transactionId: string, isCommit: boolean): Promise<number>;
  /** Number of the newest decision that let changes of the catalog in, perhaps an earlier opening's; 0 where there is none. */
  readonly catalogDecidedAt: number;
  /**
   * Announces work that `close` lets end first, within some seconds; `decide` goes on answering until then. `onClosing` hears when
   * closing has begun. Answers what is to be called at the end.
   */
  beginWork(onClosing: () => void): () => void;
  /** Waits for commits under way, rolls the rest back, releases the lock. Idempotent. */
  close(): Promise<void>;
}

export interface EngineOptions {
  readonly folder: string;
  readonly readOnly?: boolean;
  /** Create the folder and database where there is none (default true; never when readOnly). */
  readonly create?: boolean;
  readonly cacheBytes?: number;
  /** Bytes a memory table may take before a checkpoint starts. */
  readonly tableBytes?: number;
  readonly maxSizeBytes?: number;
  /** Transactions open at once; more are refused with `LimitExceededError`. */
  readonly maxOpenTransactions?: number;
  /** What a transaction may change, keys and values in bytes; more is refused with `LimitExceededError`. */
  readonly maxTransactionBytes?: number;
  /** For transactions begun without a time limit of their own. */
  readonly transactionTimeoutMs?: number;
  /** Space kept ready ahead in the log, a multiple of 4096 (default 1 MiB). Less where disks are small. */
  readonly logReserveBytes?: number;
  readonly onBackgroundError?: (error: unknown) => void;
  /** Hears of checkpoints, slow commits and the like. */
  readonly observer?: EngineObserver;
  /** The folder is marked as one that nobody may open yet, and this is who fills it. */
  readonly isUnfinished?: boolean;
  /** Commits and syncs that take so many milliseconds or more are told as slow. */
  readonly slowMs?: number;
}
