/** A transaction: reads as of its snapshot under its own changes, which its commit hands to the combiner. */
import {
  AbortedError,
  LimitExceededError,
  OutcomeUnknownError,
  ReadOnlyError,
  type SopError,
  TimeoutError,
  TransactionEndedError,
} from '../base/errors.ts';
import { copyBytes } from '../base/bytes.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
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
import { appendValue, readValue, readValueReference, readValueSync } from '../storage/value-log.ts';
import type { View } from '../storage/view.ts';
import { PENDING_NUMBER } from '../storage/write-buffer.ts';
import { CELL_SEPARATE, VALUE_REFERENCE_BYTES } from '../codec/cell.ts';
import { createdCell, incrementedCell, isIncrementLength } from '../codec/counter.ts';
import type { BeginOptions, EngineSavepoint, EngineTransaction, TransactionKind } from './engine-api.ts';
import { ABSENT, FOUND, type FindResult, NOT_LOADED } from '../storage/find-result.ts';
import { countByScan, seekRankOver, seekTreeRank, stepForward } from './rank.ts';
import { Listeners } from './listeners.ts';
import { loggedChanges } from './logged-changes.ts';
import { OwnValues } from './own-values.ts';
import { notOfThis, Savepoints } from './savepoints.ts';
import { type SpillContext, StoreSpill } from './spill.ts';
import { existenceFlags, removeSpilled, storesToSpill, tooMuch, type StoreChanges } from './store-changes.ts';
import { TimeLimits } from './time-limits.ts';
import type { TransactionHost } from './transaction-host.ts';

const NO_BYTES = new Uint8Array(0);
const NO_SEGMENTS: ReadonlySet<number> = new Set();
const LOWEST_KEY = new Uint8Array(0);

export class Transaction implements EngineTransaction {
  readonly kind: TransactionKind;
  readonly snapshot: number;
  readonly view: View;
  /** What others hold back for until it has ended. */
  readonly claim: Claim | undefined;
  waits = false;
  foundBytes: Uint8Array = NO_BYTES;
  foundStart = 0;
  foundEnd = 0;
  changeCount = 0;
  readonly #host: TransactionHost<Transaction>;
  readonly #reads: ReadSet | undefined;
  readonly #changes: StoreChanges[] = [];
  /** See `OpenTransactions`. */
  slot = -1;
  /** Stores whose keys end with the number of their commit. */
  #numbered: number[] | undefined;
  #foundVersion = -1;
  #ownAddress = 0;
  #savepoints: Savepoints | undefined;
  #bufferedBytes = 0;
  /** Of what it may change. */
  #bytesLeft: number;
  #counter = 0;
  #state: 'open' | 'committing' | 'prepared' | 'committed' | 'rolled back' = 'open';
  #reason: unknown;
  #values: OwnValues | undefined;
  #limits: TimeLimits | undefined;
  #listeners: Listeners | undefined;

  constructor(
    host: TransactionHost<Transaction>,
    kind: TransactionKind,
    view: View,
    snapshot: number,
    options: BeginOptions,
  ) {
    this.#host = host;
    this.#bytesLeft = host.maxTransactionBytes;
    this.kind = kind;
    this.view = view;
    this.snapshot = snapshot;
    this.claim = options.claim as Claim | undefined;
    this.#reads = kind === 'write' ? new ReadSet() : undefined;
    // May throw: nothing may be under way then.
    if (options.signal !== undefined || options.timeoutMs !== undefined) {
      this.#limits = new TimeLimits(host.env.timers, options, (reason) => this.rollback(reason));
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

  get foundVersion(): number {
    return this.#foundVersion >= 0 ? this.#foundVersion : this.#host.reader.foundVersion;
  }

  // ---- reading ----

  find(storeId: number, key: Uint8Array, start: number, end: number): FindResult {
    this.#mustBeOpen();
    const own = this.#changes.length === 0 ? undefined : this.#changesOf(storeId);
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

  load(): Promise<void> {
    return this.#host.reader.load();
  }

  treeToken(storeId: number, hash: number): number {
    this.#mustBeOpen();
    if (this.#changes.length > 0 && this.#changesOf(storeId) !== undefined) return -1;
    return this.#host.reader.treeToken(this.view, this.snapshot, storeId, hash);
  }

  noteKey(storeId: number, key: Uint8Array, start: number, end: number): void {
    this.#reads?.store(storeId).addKey(key, start, end);
  }

  cursor(storeId: number): EntryCursor {
    this.#mustBeOpen();
    const own = this.#changesOf(storeId);
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
    const own = this.#changesOf(storeId);
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
    const isTreeOnly = this.#changesOf(storeId) === undefined && reader.isTreeOnly(this.view, this.snapshot, storeId);
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
    if (this.#isFull) {
      const ownKey = copyBytes(key, keyStart, keyEnd);
      const ownCell = copyBytes(cell, cellStart, cellEnd);
      this.#spill();
      this.put(storeId, ownKey, 0, ownKey.length, ownCell, 0, ownCell.length, existed);
      return;
    }
    const bytes = keyEnd - keyStart + cellEnd - cellStart;
    const changes = this.#mustChangesOf(storeId, keyEnd - keyStart, bytes);
    if (((cell[cellStart] as number) & CELL_SEPARATE) !== 0) {
      this.#holdReference(changes, key.slice(keyStart, keyEnd), cell.slice(cellStart, cellEnd), existed);
    } else changes.buffer.put(key, keyStart, keyEnd, cell, cellStart, cellEnd, existenceFlags(existed));
    this.#changed(bytes);
  }

  /**
   * A cell that refers to a separate value, perhaps one that was found in this snapshot. Where its segment is going already
   * the value is written anew: until this transaction ends it can be read.
   */
  #holdReference(changes: StoreChanges, key: Uint8Array, cell: Uint8Array, existed?: boolean): void {
    const { segment } = readValueReference(this.#host.segments, cell, 0, cell.length);
    const values = this.#ownValues();
    let kept = cell;
    if (!values.has(segment)) {
      if (this.#host.isLeaving(segment)) {
        const value = this.readValueSync(cell, 0, cell.length);
        kept = cell.slice();
        kept.set(this.writeValue(changes.storeId, key, 0, key.length, value), cell.length - VALUE_REFERENCE_BYTES);
      } else values.held.add(segment);
    }
    changes.buffer.put(key, 0, key.length, kept, 0, kept.length, existenceFlags(existed));
  }

  remove(storeId: number, key: Uint8Array, start: number, end: number, existed: boolean | undefined): void {
    if (this.#isFull) {
      const ownKey = copyBytes(key, start, end);
      this.#spill();
      this.remove(storeId, ownKey, 0, ownKey.length, existed);
      return;
    }
    this.#mustChangesOf(storeId, end - start, end - start).buffer.remove(key, start, end, existenceFlags(existed));
    this.#changed(end - start);
  }

  increment(storeId: number, key: Uint8Array, keyStart: number, keyEnd: number, increment: Uint8Array): void {
    assert(isIncrementLength(increment.length), 'an increment has whole amounts');
    if (this.#isFull) {
      const ownKey = copyBytes(key, keyStart, keyEnd);
      this.#spill();
      this.increment(storeId, ownKey, 0, ownKey.length, increment);
      return;
    }
    const changes = this.#mustChangesOf(storeId, keyEnd - keyStart, keyEnd - keyStart + increment.length);
    if (changes.spill === undefined) changes.buffer.increment(key, keyStart, keyEnd, increment);
    else this.#incrementNow(changes, key.slice(keyStart, keyEnd), increment);
    this.#changed(keyEnd - keyStart + increment.length);
  }

  /** Over runs: they hold no increments. */
  #incrementNow(changes: StoreChanges, key: Uint8Array, increment: Uint8Array): void {
    const answer = this.#findWaiting(changes.storeId, key);
    const cell =
      answer === FOUND
        ? incrementedCell(this.foundBytes, this.foundStart, this.foundEnd, increment, 0, increment.length)
        : createdCell(increment, 0, increment.length);
    if (cell !== undefined) this.#putTotal(changes, key, cell, 0, cell.length);
  }

  #putTotal(changes: StoreChanges, key: Uint8Array, cell: Uint8Array, start: number, end: number): void {
    if (((cell[start] as number) & CELL_SEPARATE) !== 0) this.#holdReference(changes, key, cell.slice(start, end));
    else changes.buffer.put(key, 0, key.length, cell, start, end);
  }

  /** Before a spill: increments become what they come to. */
  #settleIncrements(changes: StoreChanges): void {
    const { storeId, buffer } = changes;
    const keys: Uint8Array[] = [];
    const cursor = buffer.cursor();
    for (let step = cursor.first(); step === AT; step = cursor.next()) {
      if (cursor.removed && cursor.partial) keys.push(cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd));
    }
    for (const key of keys) {
      const answer = this.#findWaiting(storeId, key);
      if (answer === FOUND) this.#putTotal(changes, key, this.foundBytes, this.foundStart, this.foundEnd);
      else buffer.remove(key, 0, key.length);
    }
  }

  #findWaiting(storeId: number, key: Uint8Array): FindResult {
    const { waits } = this;
    this.waits = true;
    try {
      return this.find(storeId, key, 0, key.length);
    } finally {
      this.waits = waits;
    }
  }

  removeRange(storeId: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    if (this.#isFull) this.#spill();
    const bytes = (lower?.length ?? 0) + (upper?.length ?? 0);
    const changes = this.#mustChangesOf(storeId, lower?.length ?? 0, bytes);
    changes.buffer.clearRange(lower ?? LOWEST_KEY, upper);
    // Afterwards: a range removal takes back the removals of single keys before it.
    if (changes.spill !== undefined) this.#removeSpilled(changes, changes.spill, lower, upper);
    this.#changed(bytes);
  }

  /** Reads the runs: a disk that refuses that leaves half of a removal, which must not be committed. */
  #removeSpilled(changes: StoreChanges, spill: StoreSpill, lower?: Uint8Array, upper?: Uint8Array): void {
    try {
      removeSpilled(changes, spill, lower, upper);
    } catch (error) {
      this.rollback(error);
      throw error;
    }
  }

  writeValue(storeId: number, key: Uint8Array, keyStart: number, keyEnd: number, value: Uint8Array): Uint8Array {
    this.#mustBeWritable();
    if (value.length > this.#bytesLeft) throw tooMuch(this.#host.maxTransactionBytes);
    this.#host.checkValueSize(value.length);
    this.#bytesLeft -= value.length;
    const reference = new Uint8Array(VALUE_REFERENCE_BYTES);
    const { writer, written } = this.#ownValues();
    appendValue(writer, this.#host.segments, storeId, key, keyStart, keyEnd, value, 0, value.length, reference, 0);
    written.add(writer.currentSegment);
    return reference;
  }

  expectRow(storeId: number, key: Uint8Array, expected: Uint8Array | undefined, orEqual?: Uint8Array): void {
    this.#reads?.expectRow({ storeId, key, expected, orEqual });
  }

  numberItems(storeId: number): void {
    this.#numbered ??= [];
    if (!this.#numbered.includes(storeId)) this.#numbered.push(storeId);
    const changes = this.#changesOf(storeId);
    if (changes !== undefined) changes.buffer.numbered = true;
  }

  #changed(bytes: number): void {
    this.changeCount++;
    this.#bytesLeft -= bytes;
    this.#bufferedBytes += bytes + 24;
  }

  /**
   * Then the next change spills before it does anything: where the disk refuses that, it has changed nothing. What it was
   * called with may lie in the buffer that is spilled.
   */
  get #isFull(): boolean {
    return this.#bufferedBytes > this.#host.spillBytes && this.#state === 'open';
  }

  /** Spills what is long, and of many short ones the longest until the rest is within the bound. */
  #spill(): void {
    for (const changes of storesToSpill(this.#changes, this.#host.spillBytes)) {
      this.#settleIncrements(changes);
      changes.spill ??= this.#newSpill(changes.storeId, changes.buffer.numbered);
      const { buffer } = changes;
      let rest = buffer;
      if (this.#savepoints?.holdBuffer(changes) === true) {
        rest = this.#host.buffers.acquire(changes.storeId);
        rest.numbered = buffer.numbered;
      }
      this.#host.figures.noteSpill(buffer.sectionLength);
      changes.spill.spill(buffer, rest, this.#savepoints === undefined);
      // Not before: where the disk refuses the run, the changes stay where they are.
      changes.buffer = rest;
      // What was found in the buffer is not there any more.
      this.changeCount++;
    }
    this.#bufferedBytes = 0;
  }

  #newSpill(storeId: number, numbered: boolean): StoreSpill {
    const { writer, written } = this.#ownValues();
    const context = { ...(this.#host.spill as SpillContext), values: writer };
    return new StoreSpill(context, storeId, (segment) => written.add(segment), numbered);
  }

  #ownValues(): OwnValues {
    this.#values ??= new OwnValues(this.#host.values as SegmentWriter);
    return this.#values;
  }

  /** Segments that its commit may refer to, runs apart. */
  get valueSegments(): ReadonlySet<number> {
    return this.#values?.segments ?? NO_SEGMENTS;
  }

  // ---- savepoints ----

  savepoint(): EngineSavepoint {
    this.#mustBeWritable();
    this.#savepoints ??= new Savepoints(this.#host.buffers);
    return this.#savepoints.make(this.snapshot, this.#changes, this.#bufferedBytes);
  }

  rollbackTo(savepoint: EngineSavepoint): void {
    this.#mustBeWritable();
    if (this.#savepoints === undefined) throw notOfThis();
    this.#bufferedBytes = this.#savepoints.rollbackTo(savepoint, this.#changes);
    this.changeCount++;
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

  #listening(): Listeners {
    this.#listeners ??= new Listeners((error) => this.#host.backgroundError(error));
    return this.#listeners;
  }

  commit(): Promise<number> {
    this.#mustBeOpen();
    if (this.#reads === undefined || (this.#changes.length === 0 && this.#reads.isEmpty)) {
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
    try {
      if (this.#isFull) this.#spill();
    } catch (error) {
      this.#finishRollback(error);
      return Promise.reject(error);
    }
    this.#state = 'committing';
    if (!this.#hasWrittenValues && this.#changes.every((one) => one.spill === undefined)) return this.#submit(kind);
    return this.#syncData().then(
      () => this.#submit(kind),
      (error: unknown) => {
        this.#finishRollback(error);
        throw error;
      },
    );
  }

  get #hasWrittenValues(): boolean {
    return this.#values !== undefined && this.#values.written.size > 0;
  }

  async #syncData(): Promise<void> {
    if (this.#hasWrittenValues) await this.#values?.writer.sync();
    for (const changes of this.#changes) await changes.spill?.finish();
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
      try {
        this.#host.submit(this.#makeRequest(kind, committed, failed));
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
    const { sections, runs, byteLength } = loggedChanges(this.#changes);
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

  #finishRollback(reason: unknown): void {
    this.#reason = reason;
    // Whose commit may be in the log needs its runs.
    if (!(reason instanceof OutcomeUnknownError)) for (const changes of this.#changes) changes.spill?.discard();
    this.#end('rolled back');
  }

  /** A prepared one was decided: those who listen hear of it. */
  decided(number: number | undefined): void {
    this.#state = number === undefined ? 'rolled back' : 'committed';
    this.#tellAll(number ?? this.snapshot);
  }

  #end(state: 'prepared' | 'committed' | 'rolled back', number = this.snapshot): void {
    this.#state = state;
    this.#limits?.cancel();
    for (const changes of this.#changes.splice(0)) this.#host.buffers.release(changes.buffer);
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

  /** `bytes`: what is about to be changed. */
  #mustChangesOf(storeId: number, keyLength: number, bytes: number): StoreChanges {
    this.#mustBeWritable();
    if (bytes > this.#bytesLeft) throw tooMuch(this.#host.maxTransactionBytes);
    if (keyLength > MAX_KEY_BYTES) {
      throw new LimitExceededError(`a key of ${keyLength} encoded bytes is longer than ${MAX_KEY_BYTES}`, {
        details: { limit: 'MAX_KEY_BYTES', allowed: MAX_KEY_BYTES, found: keyLength },
      });
    }
    const known = this.#changesOf(storeId);
    if (known !== undefined) return known;
    const changes: StoreChanges = { storeId, buffer: this.#host.buffers.acquire(storeId), spill: undefined };
    if (this.#numbered?.includes(storeId) === true) changes.buffer.numbered = true;
    this.#changes.push(changes);
    return changes;
  }

  #changesOf(storeId: number): StoreChanges | undefined {
    for (let i = 0; i < this.#changes.length; i++) {
      const changes = this.#changes[i] as StoreChanges;
      if (changes.storeId === storeId) return changes;
    }
    return undefined;
  }
}

/** Own changes say nothing about the key. */
const NOT_OWN = 3;
/** The own record at `#ownAddress` is an increment. */
const OWN_INCREMENT = 4;
