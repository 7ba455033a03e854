/** A store of equal keys inside a transaction. */
import { InvalidArgumentError } from '../base/errors.ts';
import { FOUND, type FindResult, NOT_LOADED } from '../storage/find-result.ts';
import { mustBeIterable } from './arguments.ts';
import { BagCursor } from './bag-cursor.ts';
import { keyIn, valueIn } from './batch.ts';
import { ItemId } from './item-id.ts';
import { type Bound, Range, type RangeBounds, type RangeOptions, removeRange, toScanOptions } from './range.ts';
import * as rank from './rank.ts';
import type { StoreCore } from './store-core.ts';
import type { BagEntry, Item, LookupKey } from './store-types.ts';

const TRUE = Promise.resolve(true);
const FALSE = Promise.resolve(false);

/**
 * Reads and changes one store of equal keys (`unique: false`) for one transaction. Items under equal keys stand in the
 * order of their commits, those of one transaction in the order in which it added them; each has an `ItemId` of its own. Two
 * transactions that add under one key never conflict.
 *
 * Every call throws (asynchronous ones: rejects with) what those of `TxStore` do.
 */
export class TxBag<K, V, R extends string = never> {
  readonly #core: StoreCore;

  /** Use `tx.store(definition)` or `tx.bag(name)`. */
  constructor(core: StoreCore) {
    this.#core = core;
  }

  get name(): string {
    return this.#core.name;
  }

  // Point

  /** The value of the first (oldest) item under `key`; undefined where there is none. */
  async get(key: LookupKey<K, R>): Promise<V | undefined> {
    return (await this.first(key))?.value;
  }

  getSync(key: LookupKey<K, R>): V | undefined {
    return this.firstSync(key)?.value;
  }

  /** Whether there is an item under `key`; no value is read. */
  async has(key: LookupKey<K, R>): Promise<boolean> {
    return (await this.count(key)) > 0;
  }

  hasSync(key: LookupKey<K, R>): boolean {
    return this.countSync(key) > 0;
  }

  /** The values of all items under `key`, oldest first. */
  async getAll(key: LookupKey<K, R>): Promise<V[]> {
    return (await this.#equal(key).toArray()).map((entry) => entry.value);
  }

  getAllSync(key: LookupKey<K, R>): V[] {
    return this.#equal(key)
      .toArraySync()
      .map((entry) => entry.value);
  }

  /** The item with this id under `key`; undefined where it is not (any more). */
  getItem(key: LookupKey<K, R>, id: ItemId): Promise<BagEntry<K, V> | undefined> {
    try {
      const core = this.#core;
      this.#encodeItem(key, id);
      const found = core.findEncoded(false);
      const finish = (f: FindResult, bytes: Uint8Array) =>
        f === FOUND ? core.foundEntrySoon(bytes, bytes.length) : undefined;
      const entry = found === NOT_LOADED ? core.afterLoad(finish) : finish(found, core.codec.copyKey());
      return Promise.resolve(entry) as Promise<BagEntry<K, V> | undefined>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  getItemSync(key: LookupKey<K, R>, id: ItemId): BagEntry<K, V> | undefined {
    const core = this.#core;
    this.#encodeItem(key, id);
    if (core.findEncoded(true) !== FOUND) return undefined;
    return core.foundEntrySync(core.codec.keyBytes, core.codec.keyLength) as BagEntry<K, V>;
  }

  // Change

  /** Adds an item behind those under equal keys, blind: it never conflicts. What is wrong is thrown at once. */
  add(key: K, value: V): ItemId {
    return this.#core.addItem(key, value);
  }

  /** `add` for each item, in order. */
  addMany(items: Iterable<Item<K, V>>): ItemId[] {
    mustBeIterable(items, 'items');
    return Array.from(items, (item) => this.add(keyIn(item), valueIn(item)));
  }

  /** Replaces the value of one item, its place and ride-on fields stay; false where it is not (any more). */
  updateItem(key: LookupKey<K, R>, id: ItemId, value: V): Promise<boolean> {
    try {
      const core = this.#core;
      const fields = core.codec.rideOnOf(key);
      core.encodeValueCell(value);
      this.#encodeItem(key, id);
      const found = core.findEncoded(false);
      const finish = (f: FindResult, k: Uint8Array, c: Uint8Array) => core.finishUpdate(f, k, c, fields);
      if (found === NOT_LOADED) return core.afterLoadWithCell(finish);
      return finish(found, core.codec.copyKey(), core.codec.copyCell()) ? TRUE : FALSE;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  updateItemSync(key: LookupKey<K, R>, id: ItemId, value: V): boolean {
    const core = this.#core;
    const fields = core.codec.rideOnOf(key);
    core.encodeValueCell(value);
    this.#encodeItem(key, id);
    const found = core.findEncoded(true);
    return core.finishUpdate(found, core.codec.copyKey(), core.codec.copyCell(), fields);
  }

  /** Replaces the ride-on fields of one item that `key` names; false where it is not (any more). */
  updateItemKey(key: LookupKey<K, R>, id: ItemId): Promise<boolean> {
    try {
      const core = this.#core;
      core.mustHaveRideOn();
      const fields = core.codec.rideOnOf(key);
      this.#encodeItem(key, id);
      const found = core.findEncoded(false);
      if (found === NOT_LOADED) return core.afterLoad((f, bytes) => core.finishUpdateKey(f, bytes, fields));
      return core.finishUpdateKey(found, core.codec.copyKey(), fields) ? TRUE : FALSE;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  updateItemKeySync(key: LookupKey<K, R>, id: ItemId): boolean {
    const core = this.#core;
    core.mustHaveRideOn();
    const fields = core.codec.rideOnOf(key);
    this.#encodeItem(key, id);
    return core.finishUpdateKey(core.findEncoded(true), core.codec.copyKey(), fields);
  }

  /** Removes one item; false where it is not (any more). */
  removeItem(key: LookupKey<K, R>, id: ItemId): Promise<boolean> {
    try {
      const core = this.#core;
      core.mustBeWritable();
      this.#encodeItem(key, id);
      const found = core.findEncoded(false);
      if (found === NOT_LOADED) return core.afterLoad((f, bytes) => core.finishRemove(f, bytes, bytes.length));
      return core.finishRemove(found, core.codec.keyBytes, core.codec.keyLength) ? TRUE : FALSE;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  removeItemSync(key: LookupKey<K, R>, id: ItemId): boolean {
    const core = this.#core;
    core.mustBeWritable();
    this.#encodeItem(key, id);
    return core.finishRemove(core.findEncoded(true), core.codec.keyBytes, core.codec.keyLength);
  }

  /** Removes all items under `key`, in one step whatever their number; answers how many there were. */
  async remove(key: LookupKey<K, R>): Promise<number> {
    this.#core.mustBeWritable();
    const there = await this.count(key);
    if (there > 0) removeRange(this.#core, this.#equalBounds(key));
    return there;
  }

  removeSync(key: LookupKey<K, R>): number {
    this.#core.mustBeWritable();
    const there = this.countSync(key);
    if (there > 0) removeRange(this.#core, this.#equalBounds(key));
    return there;
  }

  /** Removes everything, blind, in one step. */
  clear(): void {
    this.#core.removeRange(undefined, undefined);
  }

  /** Removes every item of a range of keys, blind, in one step. */
  clearRange(range: RangeBounds<K, R>): void {
    removeRange(this.#core, range);
  }

  // Order

  /** The first (oldest) item under `key`; without a key, the first of all. */
  first(key?: LookupKey<K, R>): Promise<BagEntry<K, V> | undefined>;
  async first(...keys: readonly LookupKey<K, R>[]): Promise<BagEntry<K, V> | undefined> {
    return rank.oneOf(this.#core, this.#keyRange(keys), false) as Promise<BagEntry<K, V> | undefined>;
  }

  firstSync(key?: LookupKey<K, R>): BagEntry<K, V> | undefined;
  firstSync(...keys: readonly LookupKey<K, R>[]): BagEntry<K, V> | undefined {
    return rank.oneOfSync(this.#core, this.#keyRange(keys), false) as BagEntry<K, V> | undefined;
  }

  /** The last (newest) item under `key`; without a key, the last of all. */
  last(key?: LookupKey<K, R>): Promise<BagEntry<K, V> | undefined>;
  async last(...keys: readonly LookupKey<K, R>[]): Promise<BagEntry<K, V> | undefined> {
    return rank.oneOf(this.#core, this.#keyRange(keys), true) as Promise<BagEntry<K, V> | undefined>;
  }

  lastSync(key?: LookupKey<K, R>): BagEntry<K, V> | undefined;
  lastSync(...keys: readonly LookupKey<K, R>[]): BagEntry<K, V> | undefined {
    return rank.oneOfSync(this.#core, this.#keyRange(keys), true) as BagEntry<K, V> | undefined;
  }

  /** The keys of a range in order, each as often as there are items under it. */
  range(options: RangeOptions<K, R> & { readonly keysOnly: true }): Range<K>;
  /** The items of a range in order; of the whole store where no options are given. */
  range(options?: RangeOptions<K, R> & { readonly keysOnly?: false }): Range<BagEntry<K, V>>;
  range(options: RangeOptions<K, R>): Range<K> | Range<BagEntry<K, V>>;
  range(options?: RangeOptions<K, R>): Range<K> | Range<BagEntry<K, V>> {
    this.#core.mustBeOpen();
    return new Range<BagEntry<K, V>>(this.#core, toScanOptions(this.#core, options));
  }

  /** How many items there are under `key`, or in all; not by walking over them. */
  count(key?: LookupKey<K, R>): Promise<number>;
  async count(...keys: readonly LookupKey<K, R>[]): Promise<number> {
    return rank.count(this.#core, this.#keyRange(keys));
  }

  countSync(key?: LookupKey<K, R>): number;
  countSync(...keys: readonly LookupKey<K, R>[]): number {
    return rank.countSync(this.#core, this.#keyRange(keys));
  }

  /** How many items there are in a range. */
  countRange(range: RangeBounds<K, R>): Promise<number> {
    return rank.count(this.#core, range);
  }

  countRangeSync(range: RangeBounds<K, R>): number {
    return rank.countSync(this.#core, range);
  }

  /** A place among the items that moves both ways; `find` goes to the first of equal keys. */
  cursor(): BagCursor<K, V, R> {
    return new BagCursor<K, V, R>(this.#core);
  }

  /** Items whose key is this one. */
  #equal(key: LookupKey<K, R>): Range<BagEntry<K, V>> {
    return new Range<BagEntry<K, V>>(this.#core, toScanOptions(this.#core, this.#equalBounds(key)));
  }

  /** Without a key: everything. A key that happens to be undefined is refused, as everywhere. */
  #keyRange(keys: readonly LookupKey<K, R>[]): object | undefined {
    return keys.length === 0 ? undefined : this.#equalBounds(keys[0] as LookupKey<K, R>);
  }

  /** Of a whole key: encoding it checks that nothing is missing. */
  #equalBounds(key: LookupKey<K, R>): RangeBounds<K, R> {
    this.#core.mustBeOpen();
    this.#core.codec.encodeKey(key);
    const bound = key as unknown as Bound<K, R>;
    return { gte: bound, lte: bound };
  }

  #encodeItem(key: LookupKey<K, R>, id: ItemId): void {
    this.#core.mustBeOpen();
    if (!(id instanceof ItemId)) throw new InvalidArgumentError('an item is found by its key and its ItemId');
    this.#core.encodeItemKey(key, id);
  }
}
