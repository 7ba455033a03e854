/** A transaction: reads as of its snapshot under its own changes, which its commit hands to the combiner. */
import {
  AbortedError,
  OutcomeUnknownError,
  ReadOnlyError,
  type SopError,
  TimeoutError,
  TransactionEndedError,
} from '../base/errors.ts';
import { assert } from '../base/assert.ts';
import type { CommitRequest } from '../commit/commit-request.ts';
import { encodeReads } from '../commit/prepared-reads.ts';
import type { Claim } from '../commit/claims.ts';
import { ReadSet } from '../commit/read-set.ts';
import { KIND_PREPARE, KIND_USER } from '../log/batch.ts';
import { OP_INCREMENT, OP_PUT, RECORD_WORDS } from '../log/record.ts';
import { AT, type EntryCursor } from '../node/entry-cursor.ts';
import { LayeredCursor } from '../storage/layered-cursor.ts';
import { fewLayers } from '../storage/run-layers.ts';
import type { SegmentWriter } from '../storage/segment-writer.ts';
import { formatTransactionId } from '../storage/transaction-ids.ts';
import { readValue, readValueSync } from '../storage/value-log.ts';
import type { View } from '../storage/view.ts';
import { PENDING_NUMBER } from '../storage/write-buffer.ts';
import { createdCell, incrementedCell } from '../codec/counter.ts';
import type { BeginOptions, EngineSavepoint, EngineTransaction, TransactionKind } from './engine-api.ts';
import { ABSENT, FOUND, type FindResult, NOT_LOADED } from '../storage/find-result.ts';
import { countByScan, seekRankOver, seekTreeRank, stepForward } from './rank.ts';
import { Listeners } from './listeners.ts';
import { loggedChanges } from './logged-changes.ts';
import { OwnChanges } from './own-changes.ts';
import type { StoreChanges } from './store-changes.ts';
import { TimeLimits } from './time-limits.ts';
import type { TransactionHost } from './transaction-host.ts';

const NO_BYTES = new Uint8Array(0);

export class Transaction implements EngineTransaction {
  readonly kind: TransactionKind;
  readonly snapshot: number;
  readonly view: View;
  /** What others hold back for until it has ended. */
  readonly claim: Claim | undefined;
  /** Done by the database for itself. */
  readonly isUpkeep: boolean;
  waits = false;
  foundBytes: Uint8Array = NO_BYTES;
  foundStart = 0;
  foundEnd = 0;
  readonly #host: TransactionHost<Transaction>;
  readonly #reads: ReadSet | undefined;
  readonly #own: OwnChanges;
  /** See `OpenTransactions`. */
  slot = -1;
  #foundVersion = -1;
  #ownAddress = 0;
  #counter = 0;
  #state: 'open' | 'committing' | 'prepared' | 'committed' | 'rolled back' = 'open';
  #reason: unknown;
  #limits: TimeLimits | undefined;
  #onLimit: ((reason: unknown) => void) | undefined;
  /** Its commit, where a limit may end it while that waits. */
  #request: CommitRequest | undefined;
  #listeners: Listeners | undefined;

  constructor(
    host: TransactionHost<Transaction>,
    kind: TransactionKind,
    view: View,
    snapshot: number,
    options: BeginOptions,
  ) {
    this.#host = host;
    this.isUpkeep = options.isUpkeep === true;
    this.#own = new OwnChanges(host, this, this.isUpkeep ? Number.POSITIVE_INFINITY : host.maxTransactionBytes);
    this.kind = kind;
    this.view = view;
    this.snapshot = snapshot;
    this.claim = options.claim as Claim | undefined;
    this.#reads = kind === 'write' ? new ReadSet() : undefined;
    // May throw: nothing may be under way then.
    if (options.signal !== undefined || options.timeoutMs !== undefined) {
      this.#limits = new TimeLimits(host.env.timers, options, (reason) => this.#limitPassed(reason));
    }
  }

  get id(): string {
    return formatTransactionId(this.#host.writer, this.#mustCounter());
  }

  /** Whether this is its id, without giving it one. */
  hasId(id: string): boolean {
    return this.#counter !== 0 && formatTransactionId(this.#host.writer, this.#counter) === id;
  }

  /** Resolves when it has ended, one way or the other, or is prepared. */
  settled(): Promise<void> {
    if (this.#state !== 'open' && this.#state !== 'committing') return Promise.resolve();
    return new Promise((resolve) => this.#listening().onSettled(resolve));
  }

  /** What it has read, whether it has ended or not. */
  get reads(): ReadSet | undefined {
    return this.#reads;
  }

  get isPrepared(): boolean {
    return this.#state === 'prepared';
  }

  get ended(): boolean {
    return this.#state !== 'open';
  }

  get isPinned(): boolean {
    return this.view.tables.length === 0;
  }

  get changeCount(): number {
    return this.#own.count;
  }

  get foundVersion(): number {
    return this.#foundVersion >= 0 ? this.#foundVersion : this.#host.reader.foundVersion;
  }

  // ---- reading ----

  find(storeId: number, key: Uint8Array, start: number, end: number): FindResult {
    this.#mustBeOpen();
    const own = this.#own.of(storeId);
    if (own !== undefined) {
      const answer = this.#findOwn(own, key, start, end);
      if (answer === OWN_INCREMENT) return this.#findTotal(own, this.#ownAddress, key, start, end);
      if (answer !== NOT_OWN) return answer;
    }
    return this.#findBelow(storeId, key, start, end);
  }

  #findBelow(storeId: number, key: Uint8Array, start: number, end: number): FindResult {
    const { reader } = this.#host;
    const answer = reader.find(this.view, this.snapshot, storeId, key, start, end, this.waits);
    if (answer === NOT_LOADED) return NOT_LOADED;
    this.#reads?.store(storeId).addKey(key, start, end);
    if (answer === FOUND) {
      this.foundBytes = reader.cellBytes;
      this.foundStart = reader.cellStart;
      this.foundEnd = reader.cellEnd;
      this.#foundVersion = -1;
    }
    return answer;
  }

  /** An own increment added to what was there before the transaction: that is a read. */
  #findTotal(own: StoreChanges, address: number, key: Uint8Array, start: number, end: number): FindResult {
    const answer = this.#findBelow(own.storeId, key, start, end);
    if (answer === NOT_LOADED) return NOT_LOADED;
    const { arena } = own.buffer;
    const from = arena.cellStart(address);
    const to = from + arena.cellLength(address);
    const cell =
      answer === FOUND
        ? incrementedCell(this.foundBytes, this.foundStart, this.foundEnd, arena.bytes, from, to)
        : createdCell(arena.bytes, from, to);
    if (cell === undefined) return ABSENT;
    this.foundBytes = cell;
    this.foundStart = 0;
    this.foundEnd = cell.length;
    this.#foundVersion = PENDING_NUMBER;
    return FOUND;
  }

  #findOwn(
    own: StoreChanges,
    key: Uint8Array,
    start: number,
    end: number,
  ): FindResult | typeof NOT_OWN | typeof OWN_INCREMENT {
    const { buffer, spill } = own;
    const address = buffer.find(key, start, end);
    if (address !== 0) {
      const words = buffer.arena.words;
      const word0 = words[address] as number;
      if ((word0 & 0xff) !== OP_PUT) {
        this.#ownAddress = address;
        return (word0 & 0xff) === OP_INCREMENT ? OWN_INCREMENT : ABSENT;
      }
      this.foundBytes = buffer.arena.bytes;
      this.foundStart = (address + RECORD_WORDS + (((word0 >>> 16) + 3) >>> 2)) * 4;
      this.foundEnd = this.foundStart + (words[address + 1] as number);
      this.#foundVersion = PENDING_NUMBER;
      return FOUND;
    }
    if (spill !== undefined) {
      const answer = spill.find(key, start, end, this.waits);
      if (answer === FOUND) {
        this.foundBytes = spill.found.cellBytes;
        this.foundStart = spill.found.cellStart;
        this.foundEnd = spill.found.cellEnd;
        this.#foundVersion = PENDING_NUMBER;
      }
      if (answer !== undefined) return answer;
    }
    return buffer.covers(key, start, end) ? ABSENT : NOT_OWN;
  }

  findWaiting(storeId: number, key: Uint8Array): FindResult {
    const { waits } = this;
    this.waits = true;
    try {
      return this.find(storeId, key, 0, key.length);
    } finally {
      this.waits = waits;
    }
  }

  load(): Promise<void> {
    return this.#host.reader.load();
  }

  treeToken(storeId: number, hash: number): number {
    this.#mustBeOpen();
    if (this.#own.of(storeId) !== undefined) return -1;
    return this.#host.reader.treeToken(this.view, this.snapshot, storeId, hash);
  }

  noteKey(storeId: number, key: Uint8Array, start: number, end: number): void {
    this.#reads?.store(storeId).addKey(key, start, end);
  }

  cursor(storeId: number): EntryCursor {
    this.#mustBeOpen();
    const own = this.#own.of(storeId);
    if (own === undefined) return this.#host.reader.cursor(this.view, this.snapshot, storeId);
    const layers = this.#host.reader.layers(this.view, this.snapshot, storeId);
    const runs = own.spill?.runs.map((run) => ({ cursor: run.cursor(), snapshot: PENDING_NUMBER })) ?? [];
    layers.unshift(...fewLayers(runs));
    if (!own.buffer.isEmpty) {
      layers.unshift({ cursor: own.buffer.cursor(), removals: own.buffer.removals, snapshot: PENDING_NUMBER });
    }
    return new LayeredCursor(layers);
  }

  noteRange(storeId: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    this.#reads?.store(storeId).addRange(lower, upper);
  }

  count(storeId: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): number {
    this.#mustBeOpen();
    const { reader } = this.#host;
    const own = this.#own.of(storeId);
    if (own?.spill !== undefined || reader.hasRuns(this.view, storeId))
      return countByScan(this.cursor(storeId), lower, upper);
    const below = reader.count(this.view, this.snapshot, storeId, lower, upper, this.waits);
    if (below < 0 || own === undefined || own.buffer.isEmpty) return below;
    const index = own.buffer.index;
    return reader.countOver(
      index,
      this.view,
      this.snapshot,
      storeId,
      lower,
      upper,
      this.waits,
      0,
      below,
      PENDING_NUMBER,
    );
  }

  seekRank(storeId: number, rank: number, cursor: EntryCursor): FindResult {
    this.#mustBeOpen();
    const { reader } = this.#host;
    const tree = reader.tree(this.view.root, storeId);
    cursor.waits = true;
    if (tree === undefined) return stepForward(cursor, cursor.first() === AT, rank);
    const isTreeOnly = this.#own.of(storeId) === undefined && reader.isTreeOnly(this.view, this.snapshot, storeId);
    if (isTreeOnly) return seekTreeRank(reader.cache, tree, rank, cursor);
    const waits = this.waits;
    this.waits = true;
    try {
      return seekRankOver(reader.cache, tree, rank, cursor, (key) => this.count(storeId, undefined, key));
    } finally {
      this.waits = waits;
    }
  }

  readValueSync(cell: Uint8Array, start: number, end: number): Uint8Array {
    return readValueSync(this.#host.segments, cell, start, end);
  }

  readValue(cell: Uint8Array, start: number, end: number): Promise<Uint8Array> {
    return readValue(this.#host.segments, cell, start, end);
  }

  // ---- changing ----

  put(
    storeId: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    cell: Uint8Array,
    cellStart: number,
    cellEnd: number,
    existed: boolean | undefined,
  ): void {
    this.#mustBeWritable();
    this.#own.put(storeId, key, keyStart, keyEnd, cell, cellStart, cellEnd, existed);
  }

  remove(storeId: number, key: Uint8Array, start: number, end: number, existed: boolean | undefined): void {
    this.#mustBeWritable();
    this.#own.remove(storeId, key, start, end, existed);
  }

  increment(storeId: number, key: Uint8Array, keyStart: number, keyEnd: number, increment: Uint8Array): void {
    this.#mustBeWritable();
    this.#own.increment(storeId, key, keyStart, keyEnd, increment);
  }

  removeRange(storeId: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    this.#mustBeWritable();
    this.#own.removeRange(storeId, lower, upper);
  }

  writeValue(storeId: number, key: Uint8Array, keyStart: number, keyEnd: number, value: Uint8Array): Uint8Array {
    this.#mustBeWritable();
    return this.#own.writeValue(storeId, key, keyStart, keyEnd, value);
  }

  expectRow(storeId: number, key: Uint8Array, expected: Uint8Array | undefined, orEqual?: Uint8Array): void {
    this.#reads?.expectRow({ storeId, key, expected, orEqual });
  }

  numberItems(storeId: number): void {
    this.#own.numberItems(storeId);
  }

  savepoint(): EngineSavepoint {
    this.#mustBeWritable();
    return this.#own.savepoint(this.snapshot);
  }

  rollbackTo(savepoint: EngineSavepoint): void {
    this.#mustBeWritable();
    this.#own.rollbackTo(savepoint);
  }

  /** Bytes of values that it has written to segments since a checkpoint began, and how many had then. */
  get values(): { readonly bytes: number; readonly begun: number } {
    return this.#own.valueBytes;
  }

  /** Of one that has ended: it is in the log, or may be. */
  get mayBeIn(): boolean {
    return this.#state !== 'rolled back' || this.#reason instanceof OutcomeUnknownError;
  }

  /** Segments that its commit may refer to, runs apart. */
  get valueSegments(): ReadonlySet<number> {
    return this.#own.valueSegments;
  }

  isWritingValuesTo(writer: SegmentWriter): boolean {
    return this.#own.isWritingValuesTo(writer);
  }

  // ---- ending ----

  onCommit(fn: (number: number) => void): void {
    this.#mustBeOpen();
    this.#listening().onCommit(fn);
  }

  onRollback(fn: (reason: unknown) => void): void {
    this.#mustBeOpen();
    this.#listening().onRollback(fn);
  }

  onLimit(fn: (reason: unknown) => void): () => void {
    this.#onLimit = fn;
    return () => this.#limits?.cancel();
  }

  #limitPassed(reason: unknown): void {
    this.#giveUp(reason);
    this.#onLimit?.(reason);
  }

  #listening(): Listeners {
    this.#listeners ??= new Listeners((error) => this.#host.backgroundError(error));
    return this.#listeners;
  }

  commit(): Promise<number> {
    this.#mustBeOpen();
    if (this.#reads === undefined || (this.#own.stores.length === 0 && this.#reads.isEmpty)) {
      this.#end('committed');
      return Promise.resolve(this.snapshot);
    }
    return this.#synced(KIND_USER);
  }

  prepare(): Promise<void> {
    this.#mustBeWritable();
    return this.#synced(KIND_PREPARE).then(() => {});
  }

  /** Logs what it did, once all that lies outside of the log is durable. */
  #synced(kind: number): Promise<number> {
    const own = this.#own;
    try {
      own.makeRoom();
    } catch (error) {
      this.#finishRollback(error);
      return Promise.reject(error);
    }
    this.#state = 'committing';
    if (own.isInMemory) return this.#submit(kind);
    return own.sync().then(
      () => this.#submit(kind),
      (error: unknown) => {
        this.#finishRollback(error);
        throw error;
      },
    );
  }

  #submit(kind: number): Promise<number> {
    return new Promise<number>((resolve, reject) => {
      const failed = (error: unknown): void => {
        this.#finishRollback(error);
        reject(error as SopError);
      };
      const committed = (number: number): void => {
        this.#end(kind === KIND_PREPARE ? 'prepared' : 'committed', number);
        resolve(number);
      };
      // A limit that came while what it wrote was being synced.
      if (this.#reason !== undefined) return failed(this.#reason);
      try {
        const request = this.#makeRequest(kind, committed, failed);
        if (this.#limits !== undefined) this.#request = request;
        this.#host.submit(request);
      } catch (cause) {
        // Nobody knows how far it came; whoever closes the database must not wait for it.
        failed(
          new OutcomeUnknownError(this.id, `committing transaction ${this.id} failed half way; ask with resolve`, {
            cause,
          }),
        );
      }
    });
  }

  #makeRequest(kind: number, committed: (number: number) => void, failed: (error: unknown) => void): CommitRequest {
    const { sections, runs, byteLength } = loggedChanges(this.#own.stores);
    const payload = kind === KIND_PREPARE ? this.#preparedPayload() : undefined;
    return {
      kind,
      idWriter: this.#host.writer,
      idCounter: this.#mustCounter(),
      snapshot: this.snapshot,
      reads: this.#reads,
      claim: this.claim,
      sections,
      runs,
      payload,
      byteLength: byteLength + (payload?.length ?? 0),
      isTaken: false,
      committed,
      failed,
    };
  }

  #preparedPayload(): Uint8Array {
    return encodeReads(this.snapshot, this.valueSegments, this.#host.segments, this.#reads as ReadSet);
  }

  rollback(reason?: unknown): void {
    if (this.#state !== 'open') return;
    this.#finishRollback(reason);
  }

  /** A limit: what is in no batch yet goes no further, what is in one has to be waited for. */
  #giveUp(reason: unknown): void {
    if (this.#state === 'open') this.#finishRollback(reason);
    if (this.#state !== 'committing') return;
    if (this.#request === undefined) this.#reason = reason;
    else this.#host.withdraw(this.#request, reason);
  }

  #finishRollback(reason: unknown): void {
    this.#reason = reason;
    // Whose commit may be in the log needs its runs.
    if (!(reason instanceof OutcomeUnknownError)) this.#own.discard();
    this.#end('rolled back');
  }

  /** A prepared one was decided: those who listen hear of it. */
  decided(number: number | undefined): void {
    this.#state = number === undefined ? 'rolled back' : 'committed';
    this.#tellAll(number ?? this.snapshot);
  }

  #end(state: 'prepared' | 'committed' | 'rolled back', number = this.snapshot): void {
    assert(this.#state === 'open' || this.#state === 'committing', 'a transaction ends once');
    this.#state = state;
    if (state !== 'prepared' || this.#onLimit === undefined) this.#limits?.cancel();
    this.#request = undefined;
    this.#own.release();
    this.#host.ended(this);
    if (state !== 'prepared') this.#tellAll(number);
    this.#listeners?.settled();
  }

  #tellAll(number: number): void {
    if (this.#state === 'committed') this.#listeners?.committed(number);
    else this.#listeners?.rolledBack(this.#reason);
  }

  // ---- state ----

  #mustCounter(): number {
    if (this.#counter === 0) this.#counter = this.#host.nextCounter();
    return this.#counter;
  }

  #mustBeOpen(): void {
    if (this.#state === 'open') {
      this.#host.mustBeUsable();
      return;
    }
    if (this.#reason instanceof TimeoutError || this.#reason instanceof AbortedError) throw this.#reason;
    throw new TransactionEndedError(`the transaction is ${this.#state}; begin a new one`, {
      details: { state: this.#state },
      cause: this.#reason,
    });
  }

  #mustBeWritable(): void {
    this.#mustBeOpen();
    if (this.kind !== 'write') {
      throw new ReadOnlyError(`a '${this.kind}' transaction changes nothing; begin('write') does`);
    }
  }
}

/** Own changes say nothing about the key. */
const NOT_OWN = 3;
/** The own record at `#ownAddress` is an increment. */
const OWN_INCREMENT = 4;
