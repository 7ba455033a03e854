/**
 * Keeping the indexes of one store while one transaction changes it.
 *
 * Invariants:
 *  1. What a change does to the indexes is worked out in full before anything is changed: a refusal or a miss leaves nothing.
 *  2. Index keys come from the stored bytes of the entry before and after (index-set.ts), and the entry before was looked up
 *     through the transaction: so two transactions that change the same entry conflict, and with them their index entries.
 *  3. A key of a unique index is looked up through the transaction before it is taken: two that take it conflict. It is given
 *     up only by the entry that has it, which matters while the index is being built.
 */
import { compareKeys, copyBytes, equalBytes, keySuccessor } from '../base/bytes.ts';
import { InvalidArgumentError, StoreMismatchError, UniqueIndexError } from '../base/errors.ts';
import { VALUE_REFERENCE_BYTES } from '../codec/cell.ts';
import { AT } from '../node/entry-cursor.ts';
import type { EngineTransaction } from '../transaction/engine-api.ts';
import { FOUND, NOT_LOADED } from '../storage/find-result.ts';
import { readIndexState } from './index-state.ts';
import { IndexedRow, type IndexSet, ownerKeyIn, type StoreIndex } from './index-set.ts';
import { isSeparate, type StoreCodec } from './store-codec.ts';

/**
 * Thrown where a change may not wait for the disk and something of its indexes is not in memory: nothing was changed;
 * `load`, look the entry up again and try again.
 */
export const INDEX_MISS: unique symbol = Symbol('something of an index is not in memory');

/** Entries that a removal of a range takes at once. */
const RANGE_PAGE = 256;
/** What stands under a changed key. */
const CHANGED = Uint8Array.of(0);

interface IndexChange {
  readonly index: StoreIndex;
  readonly key: Uint8Array;
  /** Undefined: a removal. */
  readonly cell: Uint8Array | undefined;
  readonly existed: boolean | undefined;
}

export class StoreIndexes {
  readonly set: IndexSet;
  /** False: `prepare` throws INDEX_MISS instead of waiting. */
  waits = true;
  readonly #store: string;
  readonly #etx: EngineTransaction;
  readonly #codec: StoreCodec;
  /** Where the keys of changed entries go while the store is being redefined. */
  readonly #changesId: number | undefined;
  #changedKey: Uint8Array | undefined;
  #plan: IndexChange[] = [];
  /** Changes made so far. */
  #applied = 0;
  /** A cell whose separate value is wanted; undefined: what is wanted is known to the engine's transaction. */
  #wanted: Uint8Array | undefined;
  /** A separate value read ahead, and the reference it was read by. */
  #value: Uint8Array | undefined;
  #valueReference: Uint8Array | undefined;

  constructor(store: string, etx: EngineTransaction, codec: StoreCodec, set: IndexSet, changesId: number | undefined) {
    this.#changesId = changesId;
    this.#store = store;
    this.#etx = etx;
    this.#codec = codec;
    this.set = set;
  }

  /** Throws where the program lacks the function of an index: it can not keep it. */
  mustMaintain(): void {
    const { unmaintainable } = this.set;
    if (unmaintainable === undefined) return;
    throw new StoreMismatchError(
      `store '${this.#store}' has the index '${unmaintainable}', which a function makes: only a program that opens the store ` +
        'with the definition that has this function can change it',
      { details: { store: this.#store, index: unmaintainable } },
    );
  }

  /**
   * Works out what becomes of the indexes where the entry under `key` goes from one cell to another (undefined: absent). All
   * bytes are the caller's own copies. `rideOnOnly`: the cells differ in ride-on fields alone. Throws where the function of an
   * index changes this very store: what was worked out might not be true any more.
   */
  prepare(key: Uint8Array, before: Uint8Array | undefined, after: Uint8Array | undefined, rideOnOnly = false): void {
    this.mustMaintain();
    this.#plan.length = 0;
    this.#changedKey = key;
    let needsValue = false;
    for (const index of this.set.all) if (index.usesValue && (!rideOnOnly || index.usesRideOn)) needsValue = true;
    const old = before === undefined ? undefined : this.#rowOf(key, before, needsValue);
    const next = after === undefined ? undefined : this.#rowOf(key, after, needsValue);
    const applied = this.#applied;
    for (const index of this.set.all) {
      if (rideOnOnly && !index.usesRideOn) continue;
      this.#prepareOne(index, old, next);
    }
    if (this.#applied !== applied) this.#refuseChange();
  }

  #refuseChange(): never {
    throw new InvalidArgumentError(`store '${this.#store}': the function of an index must not change the store`, {
      details: { store: this.#store },
    });
  }

  /** Does what `prepare` worked out. */
  apply(): void {
    const etx = this.#etx;
    this.#applied++;
    if (this.#changesId !== undefined) this.noteChange(this.#changedKey as Uint8Array);
    for (const { index, key, cell, existed } of this.#plan) {
      const { id } = index.stored;
      if (cell === undefined) etx.remove(id, key, 0, key.length, existed);
      else etx.put(id, key, 0, key.length, cell, 0, cell.length, existed);
    }
    this.#plan.length = 0;
  }

  /** An entry changes blindly in a way that no index sees. */
  noteChange(key: Uint8Array): void {
    if (this.#changesId !== undefined) this.#etx.put(this.#changesId, key, 0, key.length, CHANGED, 0, 1, undefined);
  }

  /** After INDEX_MISS. */
  async load(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted === undefined) return this.#etx.load();
    this.#wanted = undefined;
    this.#value = await this.#etx.readValue(wanted, 0, wanted.length);
    this.#valueReference = referenceIn(wanted);
  }

  /** The store is emptied: without a walk, unless it is being redefined. */
  clear(storeId: number): void {
    this.mustMaintain();
    if (this.#changesId !== undefined) {
      this.clearRange(storeId, undefined, undefined);
      return;
    }
    this.#applied++;
    for (const { stored } of this.set.all) this.#etx.removeRange(stored.id, undefined, undefined);
  }

  /** The entries in [lower, upper) of the store are about to be removed: they are walked, waiting for the disk. */
  clearRange(storeId: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    this.mustMaintain();
    this.#etx.noteRange(storeId, lower, upper);
    let from = lower;
    for (;;) {
      const page = this.#pageFrom(storeId, from, upper);
      for (const { key, cell } of page) {
        this.prepare(key, cell, undefined);
        this.apply();
      }
      const last = page[page.length - 1];
      if (last === undefined || page.length < RANGE_PAGE) return;
      from = keySuccessor(last.key);
    }
  }

  #pageFrom(storeId: number, from: Uint8Array | undefined, upper: Uint8Array | undefined) {
    const cursor = this.#etx.cursor(storeId);
    cursor.waits = true;
    const page: { readonly key: Uint8Array; readonly cell: Uint8Array }[] = [];
    let step = from === undefined ? cursor.first() : cursor.seek(from, 0, from.length);
    for (; step === AT && page.length < RANGE_PAGE; step = cursor.next()) {
      const key = copyBytes(cursor.keyBytes, cursor.keyStart, cursor.keyEnd);
      if (upper !== undefined && compareKeys(key, upper) >= 0) return page;
      page.push({ key, cell: copyBytes(cursor.cellBytes, cursor.cellStart, cursor.cellEnd) });
    }
    return page;
  }

  #prepareOne(index: StoreIndex, old: IndexedRow | undefined, next: IndexedRow | undefined): void {
    const before = old === undefined ? NONE : this.#keysBefore(index, old);
    const after = next === undefined ? NONE : index.keysOf(next);
    for (const key of before) if (!hasKey(after, key)) this.#planRemoval(index, key, (old as IndexedRow).keyBytes);
    for (const key of after) if (!hasKey(before, key)) this.#planAddition(index, key, next as IndexedRow);
  }

  /** An entry that an index cannot sort has no key in it; such an index is not ready, and the entry can be mended. */
  #keysBefore(index: StoreIndex, old: IndexedRow): readonly Uint8Array[] {
    try {
      return index.keysOf(old);
    } catch (error) {
      if (readIndexState(this.#etx, index.stored.id) === undefined) throw error;
      return NONE;
    }
  }

  #planRemoval(index: StoreIndex, key: Uint8Array, owner: Uint8Array): void {
    let existed: boolean | undefined;
    if (index.stored.unique) {
      const holder = this.#holderOf(index, key);
      if (holder === undefined || !equalBytes(holder, owner)) return;
      existed = true;
    }
    this.#plan.push({ index, key, cell: undefined, existed });
  }

  #planAddition(index: StoreIndex, key: Uint8Array, row: IndexedRow): void {
    let existed: boolean | undefined;
    if (index.stored.unique) {
      const holder = this.#holderOf(index, key);
      if (holder !== undefined && !equalBytes(holder, row.keyBytes)) refuseSecond(this.#store, index, key, holder, row);
      existed = holder !== undefined;
    }
    this.#plan.push({ index, key, cell: index.cellOf(row), existed });
  }

  /** The entry that has this key of a unique index. */
  #holderOf(index: StoreIndex, key: Uint8Array): Uint8Array | undefined {
    const etx = this.#etx;
    etx.waits = this.waits;
    const found = etx.find(index.stored.id, key, 0, key.length);
    if (found === NOT_LOADED) {
      this.#wanted = undefined;
      throw INDEX_MISS;
    }
    return found === FOUND ? ownerKeyIn(etx.foundBytes, etx.foundStart, etx.foundEnd) : undefined;
  }

  #rowOf(key: Uint8Array, cell: Uint8Array, needsValue: boolean): IndexedRow {
    const value = needsValue && isSeparate(cell, 0) ? this.#separateValue(cell) : undefined;
    return new IndexedRow(this.#codec, key, cell, value);
  }

  #separateValue(cell: Uint8Array): Uint8Array {
    const reference = referenceIn(cell);
    if (this.#value !== undefined && equalBytes(reference, this.#valueReference as Uint8Array)) return this.#value;
    if (!this.waits) {
      this.#wanted = cell;
      throw INDEX_MISS;
    }
    return this.#etx.readValueSync(cell, 0, cell.length);
  }
}

const NONE: readonly Uint8Array[] = [];

function hasKey(keys: readonly Uint8Array[], key: Uint8Array): boolean {
  for (const one of keys) if (equalBytes(one, key)) return true;
  return false;
}

function referenceIn(cell: Uint8Array): Uint8Array {
  return cell.subarray(cell.length - VALUE_REFERENCE_BYTES);
}

/** Throws `UniqueIndexError`: `holder` is the encoded key of the entry that stands there. */
export function refuseSecond(
  store: string,
  index: StoreIndex,
  key: Uint8Array,
  holder: Uint8Array,
  row: IndexedRow,
): never {
  const parts = index.spec.decodeKey(key, 0, key.length, holder, 0, holder.length);
  const { name } = index.stored;
  throw new UniqueIndexError(`store '${store}': another entry has the same key in the unique index '${name}'`, {
    details: { store, index: name, indexKey: parts.index, key: row.key, holder: parts.key },
  });
}
