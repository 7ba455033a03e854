/**
 * Giving a full store another shape: its entries go through a function into a store of their own, in small transactions, and
 * one last transaction puts that in the old one's place.
 *
 * Invariants:
 *  1. From the transaction that begins it, every change of the store leaves its key in a store of changes. So a copy need not
 *     be protected against writers: what changed after it was copied is copied again.
 *  2. The switch commits only if no changed key is left at that moment (it notes the whole store of changes).
 *  3. Where a copy went is in a map (old key, new key), so that it can be taken back.
 *  4. All of it has ids that the catalog row names, and a position: after a crash it goes on, or is given up as a whole.
 */
import { assert } from '../base/assert.ts';
import { copyBytes, keySuccessor } from '../base/bytes.ts';
import {
  AbortedError,
  CorruptionError,
  DuplicateKeyError,
  InvalidArgumentError,
  SopError,
  UniqueIndexError,
} from '../base/errors.ts';
import { encodeKeyCell, keyOfCell } from '../codec/cell.ts';
import type { Env } from '../env/env.ts';
import { AT, MISS } from '../node/entry-cursor.ts';
import { FOUND, NOT_LOADED } from '../storage/find-result.ts';
import type { AnyDefinition, Catalog } from './catalog.ts';
import { putIndexState, readIndexState } from './index-state.ts';
import { patiently } from './indexed-changes.ts';
import { isLostRace, pauseAfterLoss } from './retry.ts';
import { countEntries, readRows, type Row } from './row-reader.ts';
import { isSeparate } from './store-codec.ts';
import type { StoreCore } from './store-core.ts';
import type { RedefinitionStores, TransactionCore } from './transaction-core.ts';

/** How far a redefinition is. */
export interface RedefineProgress {
  /** Entries copied, and how many there were when it began. */
  readonly done: number;
  readonly total: number;
}

/** Options of `db.redefine`. */
export interface RedefineOptions {
  readonly onProgress?: (progress: RedefineProgress) => void;
  /** Ends it with `AbortedError`; what is done stays, and the next call goes on. */
  readonly signal?: AbortSignal;
  /** Does nothing where the store's generation (how often it was redefined) is another one: it was done before. */
  readonly generation?: number;
}

/** What becomes of an entry; undefined leaves it out. */
export type Redefined = { readonly key: unknown; readonly value: unknown } | undefined;
export type RedefineFunction = (entry: unknown) => Redefined | Promise<Redefined>;

export interface RedefineHost {
  readonly env: Env;
  readonly catalog: Catalog;
  begin(kind: 'read' | 'write'): TransactionCore;
}

const FIRST_BATCH = 128;
const LARGEST_BATCH = 1024;
/** Changed keys taken at once. */
const MOST_CHANGES = 4096;
/** Where the end has lost to writers so often in a row they have to wait for it. */
const MOST_LOST = 9;
const CHANGED = Uint8Array.of(0);

export class Redefinition {
  readonly #host: RedefineHost;
  readonly #name: string;
  readonly #to: AnyDefinition;
  readonly #fn: RedefineFunction;
  readonly #options: RedefineOptions;
  /** What the function threw, whatever that is. */
  #thrown: { readonly error: unknown } | undefined;

  constructor(host: RedefineHost, name: string, to: AnyDefinition, fn: RedefineFunction, options: RedefineOptions) {
    this.#host = host;
    this.#name = name;
    this.#to = to;
    this.#fn = fn;
    this.#options = options;
  }

  /** False where it was done before (`generation`). */
  async run(from: AnyDefinition | undefined): Promise<boolean> {
    const { catalog } = this.#host;
    if (!catalog.beginRedefinition(this.#name)) {
      throw new InvalidArgumentError(`store '${this.#name}' is being redefined already`, {
        details: { store: this.#name },
      });
    }
    try {
      const { generation } = this.#options;
      const isNew = await this.#transact((core) => core.beginRedefinition(this.#name, from, this.#to, generation));
      if (!isNew) return false;
      await this.#copy();
      await this.#finish();
      return true;
    } catch (error) {
      // What the function makes of the signal is no verdict either.
      this.#mustGoOn();
      if (this.#isOfFunction(error) || isVerdict(error)) await this.#giveUp();
      throw error;
    } finally {
      catalog.endRedefinition(this.#name);
    }
  }

  #giveUp(): Promise<void> {
    this.#thrown = undefined;
    return this.#transact((core) => core.cancelRedefinition(this.#name));
  }

  #mustGoOn(): void {
    const { signal } = this.#options;
    if (signal?.aborted === true) throw new AbortedError('the signal was fired', { cause: signal.reason });
  }

  async #call(entry: unknown): Promise<Redefined> {
    try {
      return await this.#fn(entry);
    } catch (error) {
      this.#thrown = { error };
      throw error;
    }
  }

  #isOfFunction(error: unknown): boolean {
    return this.#thrown !== undefined && Object.is(this.#thrown.error, error);
  }

  async #copy(): Promise<void> {
    let most = FIRST_BATCH;
    for (let goesOn = true; goesOn; ) {
      goesOn = await this.#transact((core) => this.#copyBatch(core, most));
      most = Math.min(LARGEST_BATCH, most * 2);
    }
  }

  /** False where the end was reached. */
  async #copyBatch(core: TransactionCore, most: number): Promise<boolean> {
    const stores = core.openRedefinition(this.#name, this.#to);
    const { oldStore, id } = stores;
    const state = readIndexState(core.engine, id);
    assert(state !== undefined, 'a redefinition under way has a state');
    const total = state.position === undefined ? await countEntries(oldStore) : state.total;
    const { rows, reachedEnd } = await readRows(oldStore, state.position, most);
    for (const row of rows) {
      const isDone = await this.#add(stores, row).catch(notUnique);
      // What stands there may have changed since: that is sorted out when the changes are.
      if (!isDone) core.engine.put(stores.changesId, row.key, 0, row.key.length, CHANGED, 0, 1, undefined);
    }
    const done = state.done + rows.length;
    const position = rows[rows.length - 1]?.key ?? state.position ?? new Uint8Array(0);
    putIndexState(core.engine, id, { ...state, position, done, total });
    core.engine.onCommit(() => this.#options.onProgress?.({ done, total: Math.max(total, done) }));
    return !reachedEnd;
  }

  /** Copies one entry; false where another one has its new key, `UniqueIndexError` for one of its unique index keys. */
  async #add({ oldStore, newStore, mapId }: RedefinitionStores, { key, cell }: Row): Promise<boolean> {
    const { etx } = oldStore;
    const made = await this.#call(await entryOf(oldStore, key, cell));
    if (made === undefined) return true;
    if (typeof made !== 'object' || made === null || !('key' in made) || !('value' in made)) {
      throw new InvalidArgumentError('what redefines an entry answers { key, value }, or undefined to leave it out');
    }
    newStore.encodeEntry(made.key, made.value);
    const newKey = newStore.codec.copyKey();
    const newCell = newStore.codec.copyCell();
    const isAdded = await patiently(newStore, newKey, (found) =>
      newStore.finishAdd(found, newKey, newKey.length, newCell, newCell.length),
    );
    if (isAdded) {
      const target = encodeKeyCell(newKey);
      etx.put(mapId, key, 0, key.length, target, 0, target.length, undefined);
    }
    return isAdded;
  }

  async #finish(): Promise<void> {
    const { catalog } = this.#host;
    const hold = (lost: number) => catalog.hold(this.#name, lost >= MOST_LOST);
    for (let done = false; !done; ) done = await this.#transact((core) => this.#finishStep(core), hold);
  }

  /** Copies changed entries again; true where none were left and the new store stands in the old one's place. */
  async #finishStep(core: TransactionCore): Promise<boolean> {
    const stores = core.openRedefinition(this.#name, this.#to);
    const { keys, reachedEnd } = await changedKeys(core, stores);
    if (keys.length === 0) {
      core.switchRedefinition(this.#name, this.#to);
      return true;
    }
    for (const key of keys) await takeBack(stores, key);
    let isAnyDone = false;
    for (const key of keys) {
      const cell = await cellUnder(stores.oldStore, stores.oldStore.storeId, key);
      // The other entry may be among the changes that are still to come.
      const add = async (row: Row) => (reachedEnd ? this.#add(stores, row) : this.#add(stores, row).catch(notUnique));
      if (cell !== undefined && !(await add({ key, cell }))) {
        if (!reachedEnd) continue;
        refuseDuplicate(this.#name, stores, key, cell);
      }
      isAnyDone = true;
      core.engine.remove(stores.changesId, key, 0, key.length, true);
    }
    if (!isAnyDone)
      throw new DuplicateKeyError(`store '${this.#name}': thousands of entries would have the same new key`);
    return false;
  }

  /** Runs and commits `work`, again where it lost; `onLoss` hears how often it lost to writers in a row. */
  async #transact<T>(
    work: (core: TransactionCore) => T | Promise<T>,
    onLoss: (lost: number) => void = () => {},
  ): Promise<T> {
    const { env } = this.#host;
    for (let lost = 0; ; ) {
      this.#mustGoOn();
      const core = this.#host.begin('write');
      try {
        const result = await work(core);
        if (core.engine.ended) core.mustNotHaveFailed();
        await core.commit();
        await new Promise<void>((resolve) => env.timers.nextTurn(resolve));
        return result;
      } catch (error) {
        core.rollback(error);
        if (this.#isOfFunction(error) || !isLostRace(error)) throw error;
        // One that waits for its decision is waited for, however long that takes: writers must not have to wait with us.
        lost = error.details.prepared === undefined ? lost + 1 : 0;
      }
      onLoss(lost);
      await pauseAfterLoss(env, lost);
    }
  }
}

/** Whether an error says that it cannot be done this way: whoever calls it again will have changed something. */
function isVerdict(error: unknown): boolean {
  if (!(error instanceof SopError)) return true;
  return [
    'DUPLICATE_KEY',
    'INVALID_KEY',
    'INVALID_VALUE',
    'INVALID_ARGUMENT',
    'LIMIT_EXCEEDED',
    'UNIQUE_INDEX',
  ].includes(error.code);
}

/** Another entry has the same key in a unique index, at least for now. */
function notUnique(error: unknown): false {
  if (error instanceof UniqueIndexError) return false;
  throw error;
}

async function entryOf(store: StoreCore, key: Uint8Array, cell: Uint8Array): Promise<unknown> {
  const { codec, etx } = store;
  const decoded = codec.readRidingKey(key, 0, key.length, cell, 0, cell.length);
  const value = isSeparate(cell, 0)
    ? codec.decodeValue(await etx.readValue(cell, 0, cell.length))
    : codec.readValue(cell, 0, cell.length);
  return { key: decoded, value, version: 0 };
}

async function changedKeys(core: TransactionCore, { changesId }: RedefinitionStores) {
  const cursor = core.engine.cursor(changesId);
  cursor.waits = false;
  const keys: Uint8Array[] = [];
  let step = cursor.first();
  while (keys.length < MOST_CHANGES) {
    if (step === MISS) await cursor.load();
    else if (step !== AT) break;
    else keys.push(copyBytes(cursor.keyBytes, cursor.keyStart, cursor.keyEnd));
    step = keys.length === 0 ? cursor.first() : cursor.next();
  }
  const reachedEnd = keys.length < MOST_CHANGES;
  const last = keys[keys.length - 1];
  core.engine.noteRange(changesId, undefined, reachedEnd || last === undefined ? undefined : keySuccessor(last));
  return { keys, reachedEnd };
}

/** Takes back what an entry was copied to. */
async function takeBack({ oldStore, newStore, mapId }: RedefinitionStores, key: Uint8Array): Promise<void> {
  const cell = await cellUnder(oldStore, mapId, key);
  if (cell === undefined) return;
  // As a value, not riding on, builds before 2026-11-23 wrote it.
  const newKey = cell[0] === 0 ? cell.subarray(1) : keyOfCell(cell, 0, cell.length);
  if (newKey === undefined) throw new CorruptionError('the map of a redefinition names no key');
  await patiently(newStore, newKey, (found) => newStore.finishRemove(found, newKey, newKey.length));
  oldStore.etx.remove(mapId, key, 0, key.length, true);
}

/** The cell under a key, which the transaction then has read. */
async function cellUnder({ etx }: StoreCore, storeId: number, key: Uint8Array): Promise<Uint8Array | undefined> {
  for (;;) {
    etx.waits = false;
    const found = etx.find(storeId, key, 0, key.length);
    if (found === FOUND) return copyBytes(etx.foundBytes, etx.foundStart, etx.foundEnd);
    if (found !== NOT_LOADED) return undefined;
    await etx.load();
  }
}

function refuseDuplicate(
  store: string,
  { oldStore, newStore }: RedefinitionStores,
  key: Uint8Array,
  cell: Uint8Array,
): never {
  const from = oldStore.codec.readRidingKey(key, 0, key.length, cell, 0, cell.length);
  const { keyBytes, keyLength } = newStore.codec;
  const newKey = newStore.codec.keySpec.decodeKey(copyBytes(keyBytes, 0, keyLength), 0, keyLength);
  throw new DuplicateKeyError(`store '${store}': two entries would have the same key once it is redefined`, {
    details: { store, key: newKey, from },
  });
}
