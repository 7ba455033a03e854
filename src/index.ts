/** The public door of SOP: every name that a program can import. */

export {
  AbortedError,
  BackupIncompleteError,
  BackupRefusedError,
  ClosedError,
  ConflictError,
  CorruptionError,
  DatabaseFailedError,
  DatabaseLockedError,
  DatabaseNotFoundError,
  DiskFullError,
  DuplicateKeyError,
  type ErrorCode,
  FormatUnsupportedError,
  IndexNotReadyError,
  InvalidArgumentError,
  InvalidKeyError,
  InvalidValueError,
  IoError,
  LimitExceededError,
  NativeMissingError,
  OutcomeUnknownError,
  ParticipantFailedError,
  PinExistsError,
  PinNotFoundError,
  ReadOnlyError,
  SnapshotTooOldError,
  SopError,
  StoreExistsError,
  StoreMismatchError,
  StoreNotFoundError,
  TimeoutError,
  TransactionEndedError,
  UniqueIndexError,
} from './base/errors.ts';
export {
  MAX_KEY_BYTES,
  MAX_PIN_NAME_BYTES,
  MAX_RIDE_ON_BYTES,
  MAX_STORE_NAME_BYTES,
  MAX_VALUE_BYTES,
  MAX_VALUE_NESTING,
} from './base/limits.ts';
export type { KeyPrimitive, KeyValue } from './codec/tuple.ts';
export { Uuid } from './codec/uuid.ts';
export { TxBag } from './store/bag.ts';
export { BagCursor } from './store/bag-cursor.ts';
export { type CursorFindAnswer, type CursorFindOptions, StoreCursor } from './store/cursor.ts';
export {
  type AnyStore,
  type BackupOptions,
  type BackupProgress,
  type BackupReport,
  type BeginOptions,
  Database,
  type RedefinedAs,
  type PinInfo,
  type ReadOptions,
  type VerifyOptions,
  type VerifyProgress,
  type VerifyReport,
  type WriteOptions,
} from './store/database.ts';
export type { DatabaseStats, IndexBuildStats, RowCacheStats } from './store/database-stats.ts';
export type { ClosedEvent, DatabaseEvents, ErrorEvent, EventName, IndexEvent } from './store/events.ts';
export type { Logger } from './store/logger.ts';
export type { MetricLabels, MetricValue } from './store/metrics.ts';
export type {
  CheckpointEvent,
  CompactionEvent,
  ReclaimedEvent,
  RecoveredEvent,
  SlowEvent,
} from './transaction/engine-events.ts';
export type {
  BackupStats,
  CacheStats,
  CheckpointStats,
  CommitStats,
  CompactionStats,
  ConflictStats,
  LogStats,
  MemoryTableStats,
  SizeStats,
  SpillStats,
} from './transaction/stats-types.ts';
export type { IndexInfo, IndexProgress, IndexReadyOptions } from './store/database-indexes.ts';
export type {
  FieldIndex,
  FunctionIndex,
  IndexDefinition,
  IndexFieldInput,
  IndexFieldOf,
  IndexInput,
  IndexInputs,
  IndexParts,
  ValuePath,
} from './store/define-index.ts';
export {
  BagDefinition,
  type CompositeStoreShape,
  type CounterOption,
  defineStore,
  type EqualKeys,
  type KeyFieldInput,
  type NoIndexes,
  type RawValues,
  type ScalarStoreShape,
  StoreDefinition,
  type StoreShape,
  type StructuredValues,
  type ValuePlacement,
  type WithIndexes,
  type WithSchemas,
} from './store/define-store.ts';
export { type IndexEntry, type IndexKey, IndexRange, type IndexRangeOptions } from './store/index-range.ts';
export { ItemId } from './store/item-id.ts';
export type { StoreDescription, StoreInfo } from './store/listing.ts';
export type { MemoryOptions, OpenOptions } from './store/open-options.ts';
export { type Bound, type Prefix, Range, type RangeBounds, type RangeOptions } from './store/range.ts';
export type { RedefineOptions, RedefineProgress } from './store/redefine.ts';
export {
  type SchemaIssue,
  type SchemaOutput,
  type SchemaResult,
  type StandardSchema,
  type,
} from './store/standard-schema.ts';
export type { SalvageLoss, SalvageOptions, SalvageReport } from './store/salvage.ts';
export type { SalvagedIndex } from './store/salvaged-stores.ts';
export type { SalvageProgress } from './transaction/salvage.ts';
export { TxStore } from './store/store.ts';
export type { BagEntry, Entry, IncrementBy, Item, LookupKey } from './store/store-types.ts';
export { type AnyKey, Transaction } from './store/transaction.ts';
export { Savepoint } from './store/transaction-core.ts';
export { TxIndex } from './store/tx-index.ts';
export type { TransactionKind, TransactionOutcome, VerifyProblem } from './transaction/engine-api.ts';
export { type Participant, PreparedTransaction } from './store/participants.ts';
export type { ConflictEvent, LostRace, RetryEvent } from './store/conflict-events.ts';
