/**
 * A store inside a transaction: the point, change and order calls, each in an asynchronous form that never blocks the
 * thread and a synchronous one that waits for the disk where something is not in the cache. What is cached resolves at
 * once in both: no trip through the thread pool, one promise.
 */
import { ABSENT, FOUND, type FindResult, NOT_LOADED } from '../storage/find-result.ts';
import { mustBeIterable } from './arguments.ts';
import * as batch from './batch.ts';
import type { IndexParts } from './define-index.ts';
import type { NoIndexes } from './define-store.ts';
import { addIndexed, removeIndexed, updateIndexed, updateKeyIndexed } from './indexed-changes.ts';
import { openIndex } from './open-index.ts';
import { StoreCursor } from './cursor.ts';
import { type Bound, Range, type RangeBounds, type RangeOptions, removeRange, toScanOptions } from './range.ts';
import * as rank from './rank.ts';
import { HOT, type StoreCore } from './store-core.ts';
import type { Entry, IncrementBy, Item, LookupKey } from './store-types.ts';
import { TxIndex } from './tx-index.ts';

const TRUE = Promise.resolve(true);
const FALSE = Promise.resolve(false);
const NOTHING = Promise.resolve(undefined);

/**
 * Reads and changes one store for one transaction; belongs to it and ends with it.
 *
 * Every call throws (asynchronous ones: rejects with) `TransactionEndedError` after the end of the transaction,
 * `InvalidKeyError` or `InvalidValueError` for what cannot be stored, `LimitExceededError` for what is too long, and changes
 * `ReadOnlyError` where the transaction only reads. What reads hand out is the caller's own.
 */
export class TxStore<K, V, R extends string = never, I = NoIndexes> {
  readonly #core: StoreCore;

  /** Use `tx.store(definition)`. */
  constructor(core: StoreCore) {
    this.#core = core;
  }

  get name(): string {
    return this.#core.name;
  }

  /**
   * A secondary index of the store, to be read like a store. `IndexNotReadyError` while it is being built or where that has
   * failed, `InvalidArgumentError` where the store has no such index.
   */
  index<N extends keyof I & string>(name: N): TxIndex<IndexParts<K, V, I[N]>, K, V, R> {
    return new TxIndex(name, openIndex(this.#core, name));
  }

  // Point

  /** The value under `key`; undefined where there is none. */
  get(key: LookupKey<K, R>): Promise<V | undefined> {
    try {
      const core = this.#core;
      const found = core.findValue(key, false);
      if (found === HOT) return Promise.resolve(core.hotValue) as Promise<V>;
      if (found === ABSENT) return NOTHING;
      if (found === FOUND) return core.foundValueSoon() as Promise<V>;
      return core.afterLoad((f) => (f === FOUND ? core.foundValueSoon() : undefined)) as Promise<V | undefined>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  getSync(key: LookupKey<K, R>): V | undefined {
    const core = this.#core;
    const found = core.findValue(key, true);
    if (found === HOT) return core.hotValue as V;
    return found === FOUND ? (core.foundValueSync() as V) : undefined;
  }

  /** Whether there is an entry under `key`; its value is not read. */
  has(key: LookupKey<K, R>): Promise<boolean> {
    try {
      const found = this.#core.find(key, false);
      if (found === NOT_LOADED) return this.#core.afterLoad((f) => f === FOUND);
      return found === FOUND ? TRUE : FALSE;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  hasSync(key: LookupKey<K, R>): boolean {
    return this.#core.find(key, true) === FOUND;
  }

  /** Key with ride-on fields, value and version under `key`; undefined where there is none. */
  getEntry(key: LookupKey<K, R>): Promise<Entry<K, V> | undefined> {
    try {
      const core = this.#core;
      const found = core.find(key, false);
      if (found === ABSENT) return NOTHING;
      if (found === FOUND)
        return core.foundEntrySoon(core.codec.keyBytes, core.codec.keyLength) as Promise<Entry<K, V>>;
      const finish = (f: FindResult, bytes: Uint8Array) =>
        f === FOUND ? core.foundEntrySoon(bytes, bytes.length) : undefined;
      return core.afterLoad(finish) as Promise<Entry<K, V> | undefined>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  getEntrySync(key: LookupKey<K, R>): Entry<K, V> | undefined {
    const core = this.#core;
    if (core.find(key, true) !== FOUND) return undefined;
    return core.foundEntrySync(core.codec.keyBytes, core.codec.keyLength) as Entry<K, V>;
  }

  /** The values under `keys`, in their order; undefined where there is none. */
  getMany(keys: Iterable<LookupKey<K, R>>): Promise<(V | undefined)[]> {
    return batch.getMany(this.#core, keys) as Promise<(V | undefined)[]>;
  }

  getManySync(keys: Iterable<LookupKey<K, R>>): (V | undefined)[] {
    mustBeIterable(keys, 'keys');
    return Array.from(keys, (key) => this.getSync(key));
  }

  // Change

  /** Inserts; false, and nothing changed, where the key is there already. */
  add(key: K, value: V): Promise<boolean> {
    try {
      const core = this.#core;
      if (core.indexes !== undefined) return addIndexed(core, key, value);
      core.encodeEntry(key, value);
      const found = core.findEncoded(false);
      if (found === NOT_LOADED) return core.afterLoadWithCell((f, k, c) => core.finishAdd(f, k, k.length, c, c.length));
      return core.finishAddEncoded(found) ? TRUE : FALSE;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  addSync(key: K, value: V): boolean {
    this.#core.encodeEntry(key, value);
    return this.#core.finishAddEncoded(this.#core.findEncoded(true));
  }

  /**
   * Inserts or replaces, blind: it reads nothing, so it never conflicts, and answers nothing. There is nothing to await; what
   * is wrong is thrown at once. In a store with indexes it has to look up what it replaces: it may then wait for the disk on
   * the calling thread, and conflict, where `add` and `update` only wait.
   */
  put(key: K, value: V): void {
    this.#core.put(key, value);
  }

  /**
   * Adds to counters, blind: it reads nothing, so it never conflicts with another increment, and answers nothing. In a store
   * of counters (`counter`) an absent key gets an entry with the amount; where ride-on fields are counters it stays absent.
   * Sums wrap round at 64 bits. In a transaction so large that this store's changes were spilled, the key is read after all.
   * `InvalidArgumentError` in a store without counters, or for an amount that is no integer.
   */
  increment(key: LookupKey<K, R>, ...by: IncrementBy<K, V, R>): void {
    this.#core.increment(key, by[0]);
  }

  /** Replaces the value; false, and nothing changed, where the key is absent. Ride-on fields not given stay as they are. */
  update(key: LookupKey<K, R>, value: V): Promise<boolean> {
    try {
      const core = this.#core;
      if (core.indexes !== undefined) return updateIndexed(core, key, value);
      const fields = core.codec.rideOnOf(key);
      core.encode(key, value);
      const found = core.findEncoded(false);
      if (found !== NOT_LOADED) return core.finishUpdateEncoded(found, fields) ? TRUE : FALSE;
      return core.afterLoadWithCell((f, k, c) => core.finishUpdate(f, k, c, fields));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  updateSync(key: LookupKey<K, R>, value: V): boolean {
    const core = this.#core;
    const fields = core.codec.rideOnOf(key);
    core.encode(key, value);
    return core.finishUpdateEncoded(core.findEncoded(true), fields);
  }

  /**
   * Replaces the ride-on fields that `key` names; the value is neither read nor moved. False where the key is absent.
   * `InvalidArgumentError` in stores without ride-on fields.
   */
  updateKey(key: LookupKey<K, R>): Promise<boolean> {
    try {
      const core = this.#core;
      if (core.indexes !== undefined) return updateKeyIndexed(core, key);
      core.mustHaveRideOn();
      const fields = core.codec.rideOnOf(key);
      const found = core.find(key, false);
      if (found !== NOT_LOADED) return core.finishUpdateKey(found, core.codec.copyKey(), fields) ? TRUE : FALSE;
      return core.afterLoad((f, bytes) => core.finishUpdateKey(f, bytes, fields));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  updateKeySync(key: LookupKey<K, R>): boolean {
    const core = this.#core;
    core.mustHaveRideOn();
    const fields = core.codec.rideOnOf(key);
    const found = core.find(key, true);
    return core.finishUpdateKey(found, core.codec.copyKey(), fields);
  }

  /** Removes; false where the key is absent. */
  remove(key: LookupKey<K, R>): Promise<boolean> {
    try {
      const core = this.#core;
      if (core.indexes !== undefined) return removeIndexed(core, key);
      core.mustBeWritable();
      const found = core.find(key, false);
      if (found === NOT_LOADED) return core.afterLoad((f, bytes) => core.finishRemove(f, bytes, bytes.length));
      return core.finishRemove(found, core.codec.keyBytes, core.codec.keyLength) ? TRUE : FALSE;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  removeSync(key: LookupKey<K, R>): boolean {
    const core = this.#core;
    core.mustBeWritable();
    const found = core.find(key, true);
    return core.finishRemove(found, core.codec.keyBytes, core.codec.keyLength);
  }

  /**
   * `add` for each item, in order; answers for each what `add` would have answered. Where an item is refused with an error,
   * `details.index` says which; those before it are part of the transaction.
   */
  addMany(items: Iterable<Item<K, V>>): Promise<boolean[]> {
    return batch.changeMany(items, (key, value) => this.add(key as K, value as V));
  }

  addManySync(items: Iterable<Item<K, V>>): boolean[] {
    return batch.changeManySync(items, (key, value) => this.addSync(key as K, value as V));
  }

  /** `put` for each item; answers nothing. */
  putMany(items: Iterable<Item<K, V>>): void {
    batch.putMany(this.#core, items);
  }

  /** `update` for each item, as `addMany`. */
  updateMany(items: Iterable<Item<LookupKey<K, R>, V>>): Promise<boolean[]> {
    return batch.changeMany(items, (key, value) => this.update(key as LookupKey<K, R>, value as V));
  }

  updateManySync(items: Iterable<Item<LookupKey<K, R>, V>>): boolean[] {
    return batch.changeManySync(items, (key, value) => this.updateSync(key as LookupKey<K, R>, value as V));
  }

  /** `updateKey` for each key, as `addMany`. */
  updateKeyMany(keys: Iterable<LookupKey<K, R>>): Promise<boolean[]> {
    return batch.forKeys(keys, (key) => this.updateKey(key));
  }

  updateKeyManySync(keys: Iterable<LookupKey<K, R>>): boolean[] {
    return batch.forKeysSync(keys, (key) => this.updateKeySync(key));
  }

  /** `remove` for each key, as `addMany`. */
  removeMany(keys: Iterable<LookupKey<K, R>>): Promise<boolean[]> {
    return batch.forKeys(keys, (key) => this.remove(key));
  }

  removeManySync(keys: Iterable<LookupKey<K, R>>): boolean[] {
    return batch.forKeysSync(keys, (key) => this.removeSync(key));
  }

  /** Removes every entry, blind, in one step whatever their number. */
  clear(): void {
    this.#core.removeRange(undefined, undefined);
  }

  /**
   * Removes every entry of a range, blind, in one step whatever their number. In a store with indexes the range is walked
   * instead, waiting for the disk on the calling thread. `InvalidArgumentError` for other options than bounds.
   */
  clearRange(range: RangeBounds<K, R>): void {
    removeRange(this.#core, range);
  }

  // Order

  /** The first entry, of all or of a range; undefined where there is none. */
  first(range?: RangeOptions<K, R> & { readonly keysOnly?: false }): Promise<Entry<K, V> | undefined> {
    return rank.oneOf(this.#core, range, false) as Promise<Entry<K, V> | undefined>;
  }

  firstSync(range?: RangeOptions<K, R> & { readonly keysOnly?: false }): Entry<K, V> | undefined {
    return rank.oneOfSync(this.#core, range, false) as Entry<K, V> | undefined;
  }

  /** The last entry, of all or of a range; undefined where there is none. */
  last(range?: RangeOptions<K, R> & { readonly keysOnly?: false }): Promise<Entry<K, V> | undefined> {
    return rank.oneOf(this.#core, range, true) as Promise<Entry<K, V> | undefined>;
  }

  lastSync(range?: RangeOptions<K, R> & { readonly keysOnly?: false }): Entry<K, V> | undefined {
    return rank.oneOfSync(this.#core, range, true) as Entry<K, V> | undefined;
  }

  /** The keys of a range, in order. */
  range(options: RangeOptions<K, R> & { readonly keysOnly: true }): Range<K>;
  /** The entries of a range, in order; of the whole store where no options are given. */
  range(options?: RangeOptions<K, R> & { readonly keysOnly?: false }): Range<Entry<K, V>>;
  range(options: RangeOptions<K, R>): Range<K> | Range<Entry<K, V>>;
  range(options?: RangeOptions<K, R>): Range<K> | Range<Entry<K, V>> {
    this.#core.mustBeOpen();
    return new Range<Entry<K, V>>(this.#core, toScanOptions(this.#core, options));
  }

  /** How many entries there are, in all or in a range; not by walking over them. */
  count(range?: RangeBounds<K, R>): Promise<number> {
    return rank.count(this.#core, range);
  }

  countSync(range?: RangeBounds<K, R>): number {
    return rank.countSync(this.#core, range);
  }

  /** The entry at a position counted from zero, or from the end where negative (-1 is the last); undefined where there is none. */
  at(position: number): Promise<Entry<K, V> | undefined> {
    return rank.at(this.#core, position) as Promise<Entry<K, V> | undefined>;
  }

  atSync(position: number): Entry<K, V> | undefined {
    return rank.atSync(this.#core, position) as Entry<K, V> | undefined;
  }

  /** How many keys come before `key`, whether it is there or not: its position, counted from zero. */
  rank(key: Bound<K, R>): Promise<number> {
    return rank.rank(this.#core, key);
  }

  rankSync(key: Bound<K, R>): number {
    return rank.rankSync(this.#core, key);
  }

  /** A place in the store that moves both ways and changes what it stands at; see `StoreCursor`. */
  cursor(): StoreCursor<K, V, R> {
    return new StoreCursor<K, V, R>(this.#core);
  }
}
