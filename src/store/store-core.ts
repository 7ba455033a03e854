/**
 * One store as one transaction sees it: what the public `TxStore` wraps. A point operation is "encode, look up, finish";
 * where the look-up misses the cache, the same finish runs after the load, on copies.
 *
 * Keys and cells are encoded into scratch memory shared by all stores, and what is found lies in a cache shared by all, so
 * nothing runs between encoding or finding and use; whoever waits in between, or runs code of the caller (schemas, functions
 * of indexes, getters), copies them first.
 */
import { copyBytes } from '../base/bytes.ts';
import { InvalidArgumentError, ReadOnlyError, StoreNotFoundError } from '../base/errors.ts';
import { MAX_LOG_VALUE_BYTES } from '../base/limits.ts';
import { PlainEntry } from '../base/young.ts';
import { cellValueStart } from '../codec/cell.ts';
import { isKeyObject } from '../codec/key-spec.ts';
import type { Env } from '../env/env.ts';
import { itemNumber, itemSequence, NUMBER_PLACEHOLDER } from '../log/placeholder.ts';
import type { EntryCursor } from '../node/entry-cursor.ts';
import { filterHash } from '../storage/point-filter.ts';
import type { EngineTransaction } from '../transaction/engine-api.ts';
import { FOUND, type FindResult, NOT_LOADED } from '../storage/find-result.ts';
import { isFlat, MAX_ROW_CELL_BYTES, type RowCache } from './row-cache.ts';
import type { IndexDefinition } from './define-index.ts';
import type { IndexSet } from './index-set.ts';
import { checkWith, type StandardSchema } from './standard-schema.ts';
import { ItemId, type ItemOrigin } from './item-id.ts';
import { isSeparate, type StoreCodec, toVersion } from './store-codec.ts';
import type { StoreIndexes } from './store-indexes.ts';

/** What a store needs of the transaction it belongs to. */
export interface StoreHost {
  readonly engine: EngineTransaction;
  readonly env: Env;
  readonly rows: RowCache;
  /** Scans that have not ended; closed before the commit, so that what they handed out is noted. */
  readonly openScans: Set<{ close(): void }>;
  /** Where ids of items that this transaction adds get their number from. */
  readonly itemOrigin: ItemOrigin;
  /** Tells apart what the transaction adds to stores of equal keys. */
  nextItemSequence(): number;
  /** Throws, saying how the transaction ended. */
  mustBeOpen(): void;
}

const NO_KEY = {};

/** The value was in the row cache; see `findValue`. */
export const HOT = 4;

export class StoreCore {
  readonly transaction: StoreHost;
  readonly etx: EngineTransaction;
  readonly name: string;
  readonly storeId: number;
  readonly codec: StoreCodec;
  /** Changes are possible, and reads are noted. */
  readonly writable: boolean;
  /** Dropped or renamed by this very transaction. */
  gone = false;
  /** After `finishUpdateKey` has answered true: the cell with the ride-on fields as they are now. */
  changedCell: Uint8Array | undefined;
  /** Its indexes that were opened for reading, each a store. */
  openIndexes: StoreCore[] | undefined;
  /** After HOT: the caller's own. */
  hotValue: unknown = undefined;
  /** What every change has to keep beside the store; undefined where it has no indexes, or nothing can change. */
  indexes: StoreIndexes | undefined;
  /** The indexes that the catalog has, and those that the program's definition has (undefined: opened by its name). */
  indexSet: IndexSet | undefined;
  indexDefinitions: readonly IndexDefinition[] | undefined;
  keySchema: StandardSchema | undefined;
  valueSchema: StandardSchema | undefined;
  #spareCursor: EntryCursor | undefined;
  /** The transaction's change count when the spare cursor was opened: after a change it would miss some. */
  #spareChangeCount = -1;

  constructor(transaction: StoreHost, name: string, storeId: number, codec: StoreCodec) {
    this.transaction = transaction;
    this.etx = transaction.engine;
    this.name = name;
    this.storeId = storeId;
    this.codec = codec;
    this.writable = transaction.engine.kind === 'write';
    if (codec.suffixBytes > 0 && this.writable) this.etx.numberItems(storeId);
  }

  /** Dropped, renamed, or there again: its indexes with it, unless they were dropped or built anew by themselves. */
  setGone(gone: boolean): void {
    this.gone = gone;
    if (this.openIndexes === undefined) return;
    const all = this.indexSet?.all ?? [];
    for (const index of this.openIndexes) index.gone = gone || !all.some(({ stored }) => stored.id === index.storeId);
  }

  mustBeOpen(): void {
    if (this.etx.ended) this.transaction.mustBeOpen();
    if (this.gone) {
      throw new StoreNotFoundError(
        `'${this.name}' was dropped, renamed or changed by this transaction, or its creation undone`,
        {
          details: { store: this.name },
        },
      );
    }
  }

  mustBeWritable(): void {
    this.mustBeOpen();
    if (!this.writable) {
      const { kind } = this.etx;
      throw new ReadOnlyError(`store '${this.name}': a transaction of kind '${kind}' changes nothing; use db.write`, {
        details: { store: this.name, kind },
      });
    }
  }

  mustHaveRideOn(): void {
    this.mustBeWritable();
    if (!this.codec.hasRideOn) {
      throw new InvalidArgumentError(`store '${this.name}' has no ride-on fields: updateKey has nothing to change`);
    }
  }

  // Looking up

  /** Looks up a key whose value is wanted: a hot one's is in `hotValue` at once, and HOT is the answer. */
  findValue(key: unknown, waits: boolean): FindResult | typeof HOT {
    this.mustBeOpen();
    const { codec, etx } = this;
    codec.encodeKey(key);
    const { rows } = this.transaction;
    const { keyBytes, keyLength } = codec;
    const hash = filterHash(keyBytes, 0, keyLength);
    const token = etx.treeToken(this.storeId, hash);
    if (token < 0) return this.findEncoded(waits);
    const row = rows.find(token, keyBytes, keyLength, hash);
    if (row >= 0) {
      etx.noteKey(this.storeId, keyBytes, 0, keyLength);
      this.hotValue = codec.copyFlat(rows.value(row));
      return HOT;
    }
    const found = this.findEncoded(waits);
    if (found === FOUND && rows.wants(keyLength, hash)) this.#keepRow(token, hash);
    return found;
  }

  #keepRow(token: number, hash: number): void {
    const { codec, etx } = this;
    if (this.foundSeparate || etx.foundEnd - etx.foundStart > MAX_ROW_CELL_BYTES) return;
    const value = this.foundValue();
    if (isFlat(value)) this.transaction.rows.keep(token, codec.keyBytes, codec.keyLength, hash, value);
  }

  find(key: unknown, waits: boolean): FindResult {
    this.mustBeOpen();
    this.codec.encodeKey(key);
    return this.findEncoded(waits);
  }

  /** Looks up the key that the codec holds. */
  findEncoded(waits: boolean): FindResult {
    const { codec, etx } = this;
    etx.waits = waits;
    return etx.find(this.storeId, codec.keyBytes, 0, codec.keyLength);
  }

  /** After NOT_LOADED: `finish` runs once the key encoded last was looked up, in the same turn. */
  async afterLoad<T>(finish: (found: FindResult, key: Uint8Array) => T | Promise<T>): Promise<T> {
    const key = this.codec.copyKey();
    for (;;) {
      await this.etx.load();
      this.mustBeOpen();
      this.etx.waits = false;
      const found = this.etx.find(this.storeId, key, 0, key.length);
      if (found !== NOT_LOADED) return finish(found, key);
    }
  }

  /** The same, with the cell encoded last. */
  afterLoadWithCell<T>(finish: (found: FindResult, key: Uint8Array, cell: Uint8Array) => T): Promise<T> {
    const cell = this.codec.copyCell();
    return this.afterLoad((found, key) => finish(found, key, cell));
  }

  get foundSeparate(): boolean {
    return isSeparate(this.etx.foundBytes, this.etx.foundStart);
  }

  /** The value just found, which is not separate. */
  foundValue(): unknown {
    const { foundBytes, foundStart, foundEnd } = this.etx;
    return this.codec.readValue(foundBytes, foundStart, foundEnd);
  }

  foundValueSync(): unknown {
    const { foundBytes, foundStart, foundEnd } = this.etx;
    if (!isSeparate(foundBytes, foundStart)) return this.codec.readValue(foundBytes, foundStart, foundEnd);
    return this.codec.decodeValue(this.etx.readValueSync(foundBytes, foundStart, foundEnd));
  }

  foundValueSoon(): Promise<unknown> {
    return this.foundSeparate ? this.foundSeparateValue() : Promise.resolve(this.foundValue());
  }

  async foundSeparateValue(): Promise<unknown> {
    const { foundBytes, foundStart, foundEnd } = this.etx;
    // The bytes found may be reused while the value is read.
    const cell = copyBytes(foundBytes, foundStart, foundEnd);
    return this.codec.decodeValue(await this.etx.readValue(cell, 0, cell.length));
  }

  foundEntrySync(key: Uint8Array, keyLength: number): unknown {
    const version = toVersion(this.etx.foundVersion);
    const decoded = this.#foundKey(key, keyLength);
    return this.withItemId(new PlainEntry(decoded, this.foundValueSync(), version), key, keyLength);
  }

  async foundEntrySoon(key: Uint8Array, keyLength: number): Promise<unknown> {
    const version = toVersion(this.etx.foundVersion);
    const decoded = this.#foundKey(key, keyLength);
    const entry = this.withItemId(new PlainEntry(decoded, undefined, version), key, keyLength);
    entry.value = await this.foundValueSoon();
    return entry;
  }

  #foundKey(key: Uint8Array, keyLength: number): unknown {
    const { foundBytes, foundStart, foundEnd } = this.etx;
    return this.codec.readRidingKey(key, 0, keyLength, foundBytes, foundStart, foundEnd);
  }

  entryAtSync(at: EntryCursor): unknown {
    const { cellBytes, cellStart, cellEnd } = at;
    const version = toVersion(at.version);
    const entry = this.withItemId(new PlainEntry(this.codec.readKey(at), undefined, version), at.keyBytes, at.keyEnd);
    if (isSeparate(cellBytes, cellStart)) {
      entry.value = this.codec.decodeValue(this.etx.readValueSync(cellBytes, cellStart, cellEnd));
    } else entry.value = this.codec.readValue(cellBytes, cellStart, cellEnd);
    return entry;
  }

  async entryAt(at: EntryCursor): Promise<unknown> {
    const { cellBytes, cellStart, cellEnd } = at;
    const version = toVersion(at.version);
    if (!isSeparate(cellBytes, cellStart)) return this.entryAtSync(at);
    const entry = this.withItemId(new PlainEntry(this.codec.readKey(at), undefined, version), at.keyBytes, at.keyEnd);
    const cell = copyBytes(cellBytes, cellStart, cellEnd);
    entry.value = this.codec.decodeValue(await this.etx.readValue(cell, 0, cell.length));
    return entry;
  }

  // Items of stores of equal keys

  /** The id at the end of a key. */
  itemIdOf(key: Uint8Array, keyEnd: number): ItemId {
    const number = itemNumber(key, keyEnd);
    const origin = number === NUMBER_PLACEHOLDER ? this.transaction.itemOrigin : undefined;
    return new ItemId(number, itemSequence(key, keyEnd), origin);
  }

  /** The entry of a key that ends at `keyEnd`, with its id where it is an item. */
  withItemId<E extends object>(entry: E, key: Uint8Array, keyEnd: number): E {
    if (this.codec.suffixBytes > 0) (entry as { id?: ItemId }).id = this.itemIdOf(key, keyEnd);
    return entry;
  }

  encodeItemKey(key: unknown, id: ItemId): void {
    const { codec } = this;
    codec.encodeKey(key);
    const at = codec.appendItemId();
    id.write(codec.keyBytes, at, this.transaction.itemOrigin);
  }

  addItem(key: unknown, value: unknown): ItemId {
    const { codec, transaction } = this;
    this.encodeEntry(key, value);
    const id = new ItemId(NUMBER_PLACEHOLDER, transaction.nextItemSequence(), transaction.itemOrigin);
    const at = codec.appendItemId();
    id.write(codec.keyBytes, at, transaction.itemOrigin);
    this.#putCell(codec.keyBytes, codec.keyLength, codec.cellBytes, codec.cellLength, false);
    return id;
  }

  /** Encodes the cell of a value alone: its ride-on fields are taken from the entry it replaces. */
  encodeValueCell(value: unknown): void {
    const { codec } = this;
    this.mustBeWritable();
    const checked = this.valueSchema === undefined ? value : checkWith(this.valueSchema, value, this.name, 'value');
    codec.encodeCell(NO_KEY, checked);
    if (this.gone) this.mustBeOpen();
    if (codec.shapes.hasNews) codec.shapes.attach(this.etx);
  }

  // Changing

  /** Encodes cell and key of a change; what the value's shapes need becomes part of the transaction. */
  encode(key: unknown, value: unknown): void {
    const { codec } = this;
    this.mustBeWritable();
    const checked = this.valueSchema === undefined ? value : checkWith(this.valueSchema, value, this.name, 'value');
    codec.encodeKey(key);
    codec.encodeCell(key, checked);
    // A getter may have dropped the store.
    if (this.gone) this.mustBeOpen();
    if (codec.shapes.hasNews) codec.shapes.attach(this.etx);
  }

  /** `encode` of an entry whose key is given in full. */
  encodeEntry(key: unknown, value: unknown): void {
    this.encode(this.keySchema === undefined ? key : checkWith(this.keySchema, key, this.name, 'key'), value);
  }

  put(key: unknown, value: unknown): void {
    const { codec } = this;
    this.encodeEntry(key, value);
    if (this.indexes === undefined) {
      this.#putCell(codec.keyBytes, codec.keyLength, codec.cellBytes, codec.cellLength, undefined);
      return;
    }
    const keyBytes = codec.copyKey();
    const cell = codec.copyCell();
    this.#putWithIndexes(keyBytes, this.#cellNow(keyBytes), cell, this.indexes);
  }

  /** Takes copies: what makes index keys may be the caller's code, which may use the scratch memory. */
  #putWithIndexes(key: Uint8Array, before: Uint8Array | undefined, cell: Uint8Array, indexes: StoreIndexes): void {
    indexes.prepare(key, before, cell);
    this.#putAndApply(key, cell, before !== undefined, indexes);
  }

  /** A limit or the disk stopped a change between the entry and its indexes: nothing of it may ever be committed. */
  #failHalfWay(changeCount: number, error: unknown): never {
    if (this.etx.changeCount !== changeCount) this.etx.rollback(error);
    throw error;
  }

  #copyFound(): Uint8Array {
    const { foundBytes, foundStart, foundEnd } = this.etx;
    return copyBytes(foundBytes, foundStart, foundEnd);
  }

  /** Adds to counters, blind. */
  increment(key: unknown, by: unknown): void {
    const { codec } = this;
    this.mustBeWritable();
    const increment = codec.encodeIncrement(by);
    if (this.indexSet !== undefined) this.#mustNotBeIndexed(this.indexSet);
    codec.encodeKey(key);
    this.indexes?.noteChange(codec.copyKey());
    this.etx.increment(this.storeId, codec.keyBytes, 0, codec.keyLength, increment);
  }

  /** A blind change cannot keep an index of what it changes. */
  #mustNotBeIndexed({ all }: IndexSet): void {
    const counters = this.codec.keySpec.definition.counters ?? [];
    for (const { stored } of all) {
      if (stored.fields?.every((field) => !counters.includes(field.name)) === true) continue;
      throw new InvalidArgumentError(
        `store '${this.name}': increment is blind, and index '${stored.name}' may be made of its counters; use updateKey`,
      );
    }
  }

  finishAddEncoded(found: FindResult): boolean {
    const { codec } = this;
    return this.finishAdd(found, codec.keyBytes, codec.keyLength, codec.cellBytes, codec.cellLength);
  }

  finishAdd(found: FindResult, key: Uint8Array, keyLength: number, cell: Uint8Array, cellLength: number): boolean {
    if (found === FOUND) return false;
    if (this.indexes === undefined) this.#putCell(key, keyLength, cell, cellLength, false);
    else this.#putWithIndexes(copyBytes(key, 0, keyLength), undefined, copyBytes(cell, 0, cellLength), this.indexes);
    return true;
  }

  finishUpdateEncoded(found: FindResult, fields: readonly unknown[]): boolean {
    const { codec } = this;
    if (!codec.hasRideOn)
      return this.#replace(found, codec.keyBytes, codec.keyLength, codec.cellBytes, codec.cellLength);
    return this.finishUpdate(found, codec.copyKey(), codec.copyCell(), fields);
  }

  /** `fields` are the ride-on fields to replace; the others stay. */
  finishUpdate(found: FindResult, key: Uint8Array, cell: Uint8Array, fields: readonly unknown[]): boolean {
    if (found !== FOUND || !this.codec.hasRideOn) return this.#replace(found, key, key.length, cell, cell.length);
    const { foundBytes, foundStart, foundEnd, changeCount } = this.etx;
    const before = this.indexes === undefined ? undefined : this.#copyFound();
    const given = this.codec.withRideOn(foundBytes, foundStart, foundEnd, fields, cell);
    const next = this.keySchema === undefined ? given : this.#checkedCell(this.keySchema, key, given);
    const isAsFound = this.etx.changeCount === changeCount;
    if (this.indexes === undefined) this.#putCell(key, key.length, next, next.length, isAsFound ? true : undefined);
    else this.#putWithIndexes(key, isAsFound ? before : this.#cellNow(key), next, this.indexes);
    return true;
  }

  finishUpdateKey(found: FindResult, key: Uint8Array, fields: readonly unknown[]): boolean {
    if (found !== FOUND) return false;
    const { foundBytes, foundStart, foundEnd, changeCount } = this.etx;
    const foundCell = this.indexes === undefined ? undefined : this.#copyFound();
    const given = this.codec.withRideOn(foundBytes, foundStart, foundEnd, fields, undefined);
    const cell = this.keySchema === undefined ? given : this.#checkedCell(this.keySchema, key, given);
    this.changedCell = cell;
    const isAsFound = this.etx.changeCount === changeCount;
    const { indexes } = this;
    if (indexes === undefined) {
      this.etx.put(this.storeId, key, 0, key.length, cell, 0, cell.length, isAsFound ? true : undefined);
      return true;
    }
    const before = isAsFound ? foundCell : this.#cellNow(key);
    indexes.prepare(copyBytes(key), before, cell, isAsFound);
    this.#putAndApply(key, cell, before !== undefined, indexes);
    return true;
  }

  #putAndApply(key: Uint8Array, cell: Uint8Array, existed: boolean, indexes: StoreIndexes): void {
    const { changeCount } = this.etx;
    try {
      this.#putCell(key, key.length, cell, cell.length, existed);
      indexes.apply();
    } catch (error) {
      this.#failHalfWay(changeCount, error);
    }
  }

  /** What stands under a key now. Also after code of the caller has changed something: perhaps this very entry. */
  #cellNow(key: Uint8Array): Uint8Array | undefined {
    this.etx.waits = true;
    return this.etx.find(this.storeId, key, 0, key.length) === FOUND ? this.#copyFound() : undefined;
  }

  /** The cell of a key whose ride-on fields have changed, with what the schema makes of them. */
  #checkedCell(schema: StandardSchema, key: Uint8Array, cell: Uint8Array): Uint8Array {
    const changed = this.codec.readRidingKey(key, 0, key.length, cell, 0, cell.length);
    const made = checkWith(schema, changed, this.name, 'key');
    if (!isKeyObject(made)) return cell;
    return this.codec.withRideOn(cell, 0, cell.length, this.codec.rideOnOf(made), undefined);
  }

  finishRemove(found: FindResult, key: Uint8Array, keyLength: number): boolean {
    if (found !== FOUND) return false;
    const { indexes } = this;
    if (indexes === undefined) {
      this.etx.remove(this.storeId, key, 0, keyLength, true);
      return true;
    }
    const own = copyBytes(key, 0, keyLength);
    indexes.prepare(own, this.#copyFound(), undefined);
    const { changeCount } = this.etx;
    try {
      this.etx.remove(this.storeId, own, 0, keyLength, true);
      indexes.apply();
    } catch (error) {
      this.#failHalfWay(changeCount, error);
    }
    return true;
  }

  removeRange(lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    this.mustBeWritable();
    const { changeCount } = this.etx;
    try {
      if (lower === undefined && upper === undefined) this.indexes?.clear(this.storeId);
      else this.indexes?.clearRange(this.storeId, lower, upper);
      this.etx.removeRange(this.storeId, lower, upper);
    } catch (error) {
      this.#failHalfWay(changeCount, error);
    }
  }

  #replace(found: FindResult, key: Uint8Array, keyLength: number, cell: Uint8Array, cellLength: number): boolean {
    if (found !== FOUND) return false;
    if (this.indexes === undefined) this.#putCell(key, keyLength, cell, cellLength, true);
    else {
      const copy = copyBytes(cell, 0, cellLength);
      this.#putWithIndexes(copyBytes(key, 0, keyLength), this.#copyFound(), copy, this.indexes);
    }
    return true;
  }

  #putCell(
    key: Uint8Array,
    keyLength: number,
    cell: Uint8Array,
    cellLength: number,
    existed: boolean | undefined,
  ): void {
    const { etx, storeId } = this;
    if (cellLength <= MAX_LOG_VALUE_BYTES || isSeparate(cell, 0)) {
      etx.put(storeId, key, 0, keyLength, cell, 0, cellLength, existed);
      return;
    }
    const value = cell.subarray(cellValueStart(cell, 0), cellLength);
    const short = this.codec.withReference(cell, etx.writeValue(storeId, key, 0, keyLength, value));
    this.codec.shapes.writer.letGo();
    etx.put(storeId, key, 0, keyLength, short, 0, short.length, existed);
  }

  // Cursors

  /** A cursor that sees all changes so far, perhaps one used before; give it back when it is done with. */
  takeCursor(): EntryCursor {
    const spare = this.#spareCursor;
    this.#spareCursor = undefined;
    const { changeCount } = this.etx;
    if (spare !== undefined && this.#spareChangeCount === changeCount) return spare;
    return this.etx.cursor(this.storeId);
  }

  /** `changeCount` as it was when the cursor was taken. */
  giveBackCursor(cursor: EntryCursor, changeCount: number): void {
    this.#spareCursor = cursor;
    this.#spareChangeCount = changeCount;
  }
}
