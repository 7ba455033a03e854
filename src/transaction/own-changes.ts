/**
 * What a transaction has changed: buffers by store, past their bound sorted runs, the values it wrote, the savepoints over all
 * of it.
 *
 * Invariants:
 *  1. A change that throws has changed nothing, or has ended the transaction. So room is made before a change, by the next one
 *     or by the commit, never after it.
 *  2. What a change is called with may lie in a buffer of this transaction: it is copied before that buffer is spilled.
 *  3. A spilled store holds no increments: they become what they come to first, which is a read.
 */
import { assert } from '../base/assert.ts';
import { copyBytes } from '../base/bytes.ts';
import { LimitExceededError } from '../base/errors.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { CELL_SEPARATE, VALUE_REFERENCE_BYTES } from '../codec/cell.ts';
import { createdCell, incrementedCell, isIncrementLength } from '../codec/counter.ts';
import { AT } from '../node/entry-cursor.ts';
import { FOUND, type FindResult } from '../storage/find-result.ts';
import type { SegmentWriter } from '../storage/segment-writer.ts';
import { appendValue, readValueReference, readValueSync } from '../storage/value-log.ts';
import type { EngineSavepoint } from './engine-api.ts';
import { OwnValues } from './own-values.ts';
import { notOfThis, Savepoints } from './savepoints.ts';
import { type SpillContext, StoreSpill } from './spill.ts';
import { existenceFlags, spilledKeys, storesToSpill, tooMuch, type StoreChanges } from './store-changes.ts';
import type { TransactionHost } from './transaction-host.ts';

const NO_SEGMENTS: ReadonlySet<number> = new Set();
/** What a record takes beside its key and its cell, about. */
const RECORD_BYTES = 24;
/** Spilled keys that a range removal looks for at a time. */
const REMOVED_AT_ONCE = 1000;
const NO_VALUES = { bytes: 0, begun: 0 };
const LOWEST_KEY = new Uint8Array(0);

/** What changes ask of the transaction they belong to. */
export interface ChangingTransaction {
  /** Blocks on a cache miss; FOUND leaves the cell in the fields below. What is found has been read. */
  findWaiting(storeId: number, key: Uint8Array): FindResult;
  readonly foundBytes: Uint8Array;
  readonly foundStart: number;
  readonly foundEnd: number;
  rollback(reason: unknown): void;
}

export class OwnChanges {
  readonly stores: StoreChanges[] = [];
  /** Grows with every change: what was found in a buffer before may not be there any more. */
  count = 0;
  readonly #host: TransactionHost;
  readonly #transaction: ChangingTransaction;
  /** Stores whose keys end with the number of their commit. */
  #numbered: number[] | undefined;
  #savepoints: Savepoints | undefined;
  #bufferedBytes = 0;
  /** Of values written to segments, since that many checkpoints have begun. */
  valueBytes = NO_VALUES;
  /** Of what it may change. */
  #bytesLeft: number;
  #values: OwnValues | undefined;

  constructor(host: TransactionHost, transaction: ChangingTransaction, maxBytes: number) {
    this.#host = host;
    this.#transaction = transaction;
    this.#bytesLeft = maxBytes;
  }

  of(storeId: number): StoreChanges | undefined {
    for (let i = 0; i < this.stores.length; i++) {
      const changes = this.stores[i] as StoreChanges;
      if (changes.storeId === storeId) return changes;
    }
    return undefined;
  }

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
      this.makeRoom();
      this.put(storeId, ownKey, 0, ownKey.length, ownCell, 0, ownCell.length, existed);
      return;
    }
    const bytes = keyEnd - keyStart + cellEnd - cellStart;
    const changes = this.#mustHave(storeId, keyEnd - keyStart, bytes);
    if (((cell[cellStart] as number) & CELL_SEPARATE) !== 0) {
      this.#holdReference(changes, key.slice(keyStart, keyEnd), cell.slice(cellStart, cellEnd), existed);
    } else changes.buffer.put(key, keyStart, keyEnd, cell, cellStart, cellEnd, existenceFlags(existed));
    this.#changed(bytes);
  }

  remove(storeId: number, key: Uint8Array, start: number, end: number, existed: boolean | undefined): void {
    if (this.#isFull) {
      const ownKey = copyBytes(key, start, end);
      this.makeRoom();
      this.remove(storeId, ownKey, 0, ownKey.length, existed);
      return;
    }
    this.#mustHave(storeId, end - start, end - start).buffer.remove(key, start, end, existenceFlags(existed));
    this.#changed(end - start);
  }

  increment(storeId: number, key: Uint8Array, keyStart: number, keyEnd: number, increment: Uint8Array): void {
    assert(isIncrementLength(increment.length), 'an increment has whole amounts');
    if (this.#isFull) {
      const ownKey = copyBytes(key, keyStart, keyEnd);
      this.makeRoom();
      this.increment(storeId, ownKey, 0, ownKey.length, increment);
      return;
    }
    const changes = this.#mustHave(storeId, keyEnd - keyStart, keyEnd - keyStart + increment.length);
    if (changes.spill === undefined) changes.buffer.increment(key, keyStart, keyEnd, increment);
    else this.#incrementNow(changes, key.slice(keyStart, keyEnd), increment);
    this.#changed(keyEnd - keyStart + increment.length);
  }

  removeRange(storeId: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    this.makeRoom();
    const bytes = (lower?.length ?? 0) + (upper?.length ?? 0);
    const changes = this.#mustHave(storeId, lower?.length ?? 0, bytes);
    const { spill } = changes;
    changes.buffer.clearRange(lower ?? LOWEST_KEY, upper, spill !== undefined);
    if (spill !== undefined) {
      spill.dropWithin(lower, upper, (run) => this.#savepoints?.holdRun(changes, run) === true);
      this.#removeSpilled(changes, lower, upper);
    }
    this.#changed(bytes);
  }

  /**
   * Entries of spilled runs in a removed range get explicit removals: a run's records count over range removals. There may be
   * more than memory holds: they are spilled in their turn. A disk that refuses to read or to write leaves half of a removal,
   * which must not be committed.
   */
  #removeSpilled(changes: StoreChanges, lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    try {
      for (let from = lower; ; this.makeRoom()) {
        const keys = spilledKeys(changes, from, upper, REMOVED_AT_ONCE);
        for (const key of keys) {
          changes.buffer.remove(key, 0, key.length);
          this.#bufferedBytes += key.length + RECORD_BYTES;
        }
        if (keys.length < REMOVED_AT_ONCE) return;
        from = keys[keys.length - 1];
      }
    } catch (error) {
      this.#transaction.rollback(error);
      throw error;
    }
  }

  writeValue(storeId: number, key: Uint8Array, keyStart: number, keyEnd: number, value: Uint8Array): Uint8Array {
    if (value.length > this.#bytesLeft) throw tooMuch(this.#host.maxTransactionBytes);
    const begun = this.#host.checkValueSize(value.length);
    const before = this.valueBytes.begun === begun ? this.valueBytes.bytes : 0;
    this.valueBytes = { bytes: before + value.length, begun };
    this.#bytesLeft -= value.length;
    const reference = new Uint8Array(VALUE_REFERENCE_BYTES);
    const { writer, written } = this.#ownValues();
    appendValue(writer, this.#host.segments, storeId, key, keyStart, keyEnd, value, 0, value.length, reference, 0);
    written.add(writer.currentSegment);
    return reference;
  }

  numberItems(storeId: number): void {
    this.#numbered ??= [];
    if (!this.#numbered.includes(storeId)) this.#numbered.push(storeId);
    const changes = this.of(storeId);
    if (changes !== undefined) changes.buffer.numbered = true;
  }

  /**
   * A cell that refers to a separate value, perhaps one that was found in this snapshot. Where its segment is going already
   * the value is written anew: until this transaction ends it can be read.
   */
  #holdReference(changes: StoreChanges, key: Uint8Array, cell: Uint8Array, existed?: boolean): void {
    const { segments } = this.#host;
    const { segment } = readValueReference(segments, cell, 0, cell.length);
    const values = this.#ownValues();
    let kept = cell;
    if (!values.has(segment)) {
      if (this.#host.isLeaving(segment)) {
        const value = readValueSync(segments, cell, 0, cell.length);
        kept = cell.slice();
        kept.set(this.writeValue(changes.storeId, key, 0, key.length, value), cell.length - VALUE_REFERENCE_BYTES);
      } else values.held.add(segment);
    }
    changes.buffer.put(key, 0, key.length, kept, 0, kept.length, existenceFlags(existed));
  }

  /** Over runs: they hold no increments. */
  #incrementNow(changes: StoreChanges, key: Uint8Array, increment: Uint8Array): void {
    const found = this.#transaction;
    const cell =
      found.findWaiting(changes.storeId, key) === FOUND
        ? incrementedCell(found.foundBytes, found.foundStart, found.foundEnd, increment, 0, increment.length)
        : createdCell(increment, 0, increment.length);
    if (cell !== undefined) this.#putTotal(changes, key, cell, 0, cell.length);
  }

  #putTotal(changes: StoreChanges, key: Uint8Array, cell: Uint8Array, start: number, end: number): void {
    if (((cell[start] as number) & CELL_SEPARATE) !== 0) this.#holdReference(changes, key, cell.slice(start, end));
    else changes.buffer.put(key, 0, key.length, cell, start, end);
  }

  // ---- room ----

  #changed(bytes: number): void {
    this.count++;
    this.#bytesLeft -= bytes;
    this.#bufferedBytes += bytes + RECORD_BYTES;
  }

  get #isFull(): boolean {
    return this.#bufferedBytes > this.#host.spillBytes;
  }

  /** Where there is too much: spills what is long, and of many short ones the longest until the rest is within the bound. */
  makeRoom(): void {
    if (!this.#isFull) return;
    for (const changes of storesToSpill(this.stores, this.#host.spillBytes)) {
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
      this.count++;
    }
    this.#bufferedBytes = 0;
  }

  /** Before a spill: increments become what they come to. */
  #settleIncrements(changes: StoreChanges): void {
    const { storeId, buffer } = changes;
    const keys: Uint8Array[] = [];
    const cursor = buffer.cursor();
    for (let step = cursor.first(); step === AT; step = cursor.next()) {
      if (cursor.removed && cursor.partial) keys.push(cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd));
    }
    const found = this.#transaction;
    for (const key of keys) {
      if (found.findWaiting(storeId, key) !== FOUND) buffer.remove(key, 0, key.length);
      else this.#putTotal(changes, key, found.foundBytes, found.foundStart, found.foundEnd);
    }
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

  #mustHave(storeId: number, keyLength: number, bytes: number): StoreChanges {
    if (bytes > this.#bytesLeft) throw tooMuch(this.#host.maxTransactionBytes);
    if (keyLength > MAX_KEY_BYTES) {
      throw new LimitExceededError(`a key of ${keyLength} encoded bytes is longer than ${MAX_KEY_BYTES}`, {
        details: { limit: 'MAX_KEY_BYTES', allowed: MAX_KEY_BYTES, found: keyLength },
      });
    }
    const known = this.of(storeId);
    if (known !== undefined) return known;
    const changes: StoreChanges = { storeId, buffer: this.#host.buffers.acquire(storeId), spill: undefined };
    if (this.#numbered?.includes(storeId) === true) changes.buffer.numbered = true;
    this.stores.push(changes);
    return changes;
  }

  // ---- savepoints ----

  savepoint(snapshot: number): EngineSavepoint {
    this.#savepoints ??= new Savepoints(this.#host.buffers);
    const counts = { bufferedBytes: this.#bufferedBytes, bytesLeft: this.#bytesLeft };
    return this.#savepoints.make(snapshot, this.stores, counts);
  }

  rollbackTo(savepoint: EngineSavepoint): void {
    if (this.#savepoints === undefined) throw notOfThis();
    const { bufferedBytes, bytesLeft } = this.#savepoints.rollbackTo(savepoint, this.stores);
    this.#bufferedBytes = bufferedBytes;
    this.#bytesLeft = bytesLeft;
    this.count++;
  }

  // ---- the end ----

  /** Segments that its commit may refer to, runs apart. */
  get valueSegments(): ReadonlySet<number> {
    return this.#values?.segments ?? NO_SEGMENTS;
  }

  isWritingValuesTo(writer: SegmentWriter): boolean {
    return this.#values?.writer === writer && this.#hasWrittenValues;
  }

  /** Whether all of it is in the buffers. */
  get isInMemory(): boolean {
    return !this.#hasWrittenValues && this.stores.every(({ spill }) => spill === undefined);
  }

  get #hasWrittenValues(): boolean {
    return this.#values !== undefined && this.#values.written.size > 0;
  }

  /** What lies outside of the log becomes durable. */
  async sync(): Promise<void> {
    const { writer } = this.#values ?? {};
    if (writer !== undefined && this.#hasWrittenValues) {
      await writer.sync();
      // The request that comes next names them.
      writer.name();
    }
    for (const { spill } of this.stores) await spill?.finish();
  }

  /** Removes its runs: it did not commit. */
  discard(): void {
    for (const { spill } of this.stores) spill?.discard();
  }

  /** Gives its buffers back. */
  release(): void {
    for (const { buffer } of this.stores.splice(0)) this.#host.buffers.release(buffer);
  }
}
