/**
 * Every error a caller can meet, and the stable code each carries.
 *
 * What can happen in a healthy program (a conflict, a full disk, damage, a closed database) is a `SopError`; what must
 * not happen is an assertion (`assert.ts`) or, for a wrong argument, a `TypeError` / `RangeError` with a `code`.
 * Codes are a contract: they are listed in the README and never change their meaning.
 */

export type ErrorCode =
  | 'CONFLICT'
  | 'TOO_OLD'
  | 'OUTCOME_UNKNOWN'
  | 'DATABASE_LOCKED'
  | 'DATABASE_NOT_FOUND'
  | 'DATABASE_FAILED'
  | 'CLOSED'
  | 'READ_ONLY'
  | 'TRANSACTION_ENDED'
  | 'STORE_NOT_FOUND'
  | 'STORE_EXISTS'
  | 'STORE_MISMATCH'
  | 'PIN_NOT_FOUND'
  | 'PIN_EXISTS'
  | 'BACKUP_REFUSED'
  | 'BACKUP_INCOMPLETE'
  | 'UNIQUE_INDEX'
  | 'DUPLICATE_KEY'
  | 'INDEX_NOT_READY'
  | 'INVALID_KEY'
  | 'INVALID_VALUE'
  | 'INVALID_ARGUMENT'
  | 'LIMIT_EXCEEDED'
  | 'CORRUPTION'
  | 'FORMAT_UNSUPPORTED'
  | 'IO_ERROR'
  | 'DISK_FULL'
  | 'NATIVE_MISSING'
  | 'PARTICIPANT_FAILED'
  | 'TIMEOUT'
  | 'ABORTED';

export interface SopErrorOptions {
  /** What failed beneath this error. */
  readonly cause?: unknown;
  /** The datum that helps: file and offset, store and key, limit and found. Plain data only. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The base of everything SOP throws for a condition a program can meet. */
export class SopError extends Error {
  readonly code: ErrorCode;
  /** True where the same work may be tried again as it is and can succeed. */
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, retryable: boolean, options: SopErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = retryable;
    this.details = options.details ?? {};
  }
}

/** Another transaction changed what this one read. Retry with a new snapshot (`db.write` does so by itself). */
export class ConflictError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('CONFLICT', message, true, options);
  }
}

/** The snapshot is older than what the engine still remembers. Retry with a new snapshot. */
export class SnapshotTooOldError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('TOO_OLD', message, true, options);
  }
}

/** The commit was sent but its outcome is not known: ask with `db.resolve(error.transactionId)`. */
export class OutcomeUnknownError extends SopError {
  readonly transactionId: string;
  constructor(transactionId: string, message: string, options?: SopErrorOptions) {
    super('OUTCOME_UNKNOWN', message, false, { ...options, details: { ...options?.details, transactionId } });
    this.transactionId = transactionId;
  }
}

/** Somebody else has the folder open; `details` names pid, host and since when. */
export class DatabaseLockedError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('DATABASE_LOCKED', message, true, options);
  }
}

/** The folder holds no database, and none was to be made (`readOnly`, or `create: false`). */
export class DatabaseNotFoundError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('DATABASE_NOT_FOUND', message, false, options);
  }
}

/** The database met an I/O failure it could not recover from; reads of what is in memory may go on, reopen to write. */
export class DatabaseFailedError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('DATABASE_FAILED', message, false, options);
  }
}

/** The database was closed, or the transaction ended with it. */
export class ClosedError extends SopError {
  constructor(message = 'the database is closed', options?: SopErrorOptions) {
    super('CLOSED', message, false, options);
  }
}

/** A change through a transaction or a database that was opened for reading. */
export class ReadOnlyError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('READ_ONLY', message, false, options);
  }
}

/** A call on a transaction that was committed, rolled back or timed out. */
export class TransactionEndedError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('TRANSACTION_ENDED', message, false, options);
  }
}

/** No store has this name (any more). */
export class StoreNotFoundError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('STORE_NOT_FOUND', message, false, options);
  }
}

/** There is a store of this name already. */
export class StoreExistsError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('STORE_EXISTS', message, false, options);
  }
}

/** The store in the database has another shape than the definition handed in; the message names the difference. */
export class StoreMismatchError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('STORE_MISMATCH', message, false, options);
  }
}

/** No pin has this name (any more). */
export class PinNotFoundError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('PIN_NOT_FOUND', message, false, options);
  }
}

/** There is a pin of this name already; `unpin` it, or choose another one. */
export class PinExistsError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('PIN_EXISTS', message, false, options);
  }
}

/** The folder can not take this backup: it holds something else; `details` has `folder` and `reason`. Nothing was touched. */
export class BackupRefusedError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('BACKUP_REFUSED', message, false, options);
  }
}

/** The folder holds a backup or salvage that never came to its end: back up into it again, or remove it and salvage anew. */
export class BackupIncompleteError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('BACKUP_INCOMPLETE', message, false, options);
  }
}

/**
 * Two entries would have the same key in a unique index. `details`: store, index, indexKey (what both have), key (of the
 * entry that was refused), holder (the key of the entry that stands there).
 */
export class UniqueIndexError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('UNIQUE_INDEX', message, false, options);
  }
}

/** Two entries would have the same key in a store that is redefined. `details`: store, key (the new one), from (the old one). */
export class DuplicateKeyError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('DUPLICATE_KEY', message, false, options);
  }
}

/**
 * The index that was to be read is not built. `details`: store, index, state ('missing', 'building', 'failed'), done and total
 * (entries), problem. Retryable while it is being built; `db.indexReady` waits for it.
 */
export class IndexNotReadyError extends SopError {
  constructor(message: string, retryable: boolean, options?: SopErrorOptions) {
    super('INDEX_NOT_READY', message, retryable, options);
  }
}

/** What was given is no key of the store; `details.path` names the field. */
export class InvalidKeyError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('INVALID_KEY', message, false, options);
  }
}

/** What was given cannot be stored, or its schema refuses it; `details.path` names the place. */
export class InvalidValueError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('INVALID_VALUE', message, false, options);
  }
}

/** An argument makes no sense; the message says which one, what was expected and what was found. Nothing has changed. */
export class InvalidArgumentError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('INVALID_ARGUMENT', message, false, options);
  }
}

/** A named limit (see `limits.ts`) would be passed; `details` has `limit`, `allowed` and `found`. */
export class LimitExceededError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('LIMIT_EXCEEDED', message, false, options);
  }
}

/** Stored bytes are not what was written; `details` names file and offset. */
export class CorruptionError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('CORRUPTION', message, false, options);
  }
}

/** The folder was written by a newer version, or is no database of ours; nothing in it was touched. */
export class FormatUnsupportedError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('FORMAT_UNSUPPORTED', message, false, options);
  }
}

/** The operating system refused; `details` has `operation`, `path` and `errno`. */
export class IoError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('IO_ERROR', message, false, options);
  }
}

/** No space left (ENOSPC, EDQUOT, or the database's own `maxSizeBytes`). Nothing of the refused work is kept. */
export class DiskFullError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('DISK_FULL', message, true, options);
  }
}

/** No native module for this platform; the message says what to install. */
export class NativeMissingError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('NATIVE_MISSING', message, false, options);
  }
}

/** A time limit of the caller or of the database was reached; nothing of the transaction is kept. */
export class TimeoutError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('TIMEOUT', message, true, options);
  }
}

/** The caller's `AbortSignal` fired. */
export class AbortedError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('ABORTED', message, false, options);
  }
}

/** A participant did not do what was decided; the decision stands. The cause is its own error. */
export class ParticipantFailedError extends SopError {
  constructor(message: string, options?: SopErrorOptions) {
    super('PARTICIPANT_FAILED', message, false, options);
  }
}
