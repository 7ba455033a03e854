/**
 * The last step of a salvage: stores of the new database that have lost something are made consistent before anybody opens it.
 *
 *  1. An index that may differ from its store is emptied and built anew. One that can not be built here, for want of its
 *     function or because of what the store holds, is refused until it is: it never answers wrongly.
 *  2. A redefinition whose copies may differ is given up: the store stays as it was before.
 *  3. Values that can not be read because their shape is lost are counted. They stay: a shape comes back with the next value
 *     of the same fields.
 */
import { copyBytes } from '../base/bytes.ts';
import { AbortedError, SopError } from '../base/errors.ts';
import { type StoredNext, storeIdsOf } from '../codec/store-definition.ts';
import type { Env } from '../env/env.ts';
import { AT, type EntryCursor } from '../node/entry-cursor.ts';
import { CATALOG_STORE, DROPPED_STORE, idKey, INDEX_STATE_STORE, SHAPE_STORE } from '../storage/system-stores.ts';
import type { EngineApi, EngineTransaction } from '../transaction/engine-api.ts';
import type { Losses } from '../transaction/salvage-losses.ts';
import { Catalog, type CatalogEntry } from './catalog.ts';
import { DatabaseIndexes } from './database-indexes.ts';
import { Events } from './events.ts';
import { BUILD_BEGINS, putIndexState, removeIndexState } from './index-state.ts';
import { ShapeStore } from './shape-store.ts';
import { isSeparate } from './store-codec.ts';
import { TransactionCore } from './transaction-core.ts';

/** Values looked at between two turns of the event loop. */
const BETWEEN_TURNS = 500;
const EMPTY_CELL = Uint8Array.of(0);

export interface SalvagedStoresOptions {
  readonly engine: EngineApi;
  readonly env: Env;
  readonly losses: Losses;
  readonly signal: AbortSignal | undefined;
}

/** An index of a store that has lost something. */
export interface SalvagedIndex {
  readonly store: string;
  readonly index: string;
  /**
   * 'ready': it was built anew. 'building': whoever opens the store with the definition that has its function builds it.
   * 'failed': the store holds what it can not hold; `db.indexes` says why, `db.rebuildIndex` begins again.
   */
  readonly state: 'ready' | 'building' | 'failed';
}

export class SalvagedStores {
  /** By the ids of their stores. */
  readonly rebuilt = new Map<number, SalvagedIndex>();
  /** Of them, those that a function makes, which only its program has. */
  readonly #functionMade = new Set<number>();
  readonly #options: SalvagedStoresOptions;
  readonly #catalog: Catalog;

  constructor(options: SalvagedStoresOptions) {
    this.#options = options;
    this.#catalog = new Catalog(options.engine, new ShapeStore(options.engine));
  }

  async mend(): Promise<void> {
    const { losses } = this.#options;
    const entries = this.#entries();
    const isAnyStateLost = losses.mayMiss(INDEX_STATE_STORE);
    for (const entry of entries) {
      if (isAnyStateLost || storeIdsOf(entry.stored).some((id) => losses.mayMiss(id))) await this.#mendOne(entry);
    }
    if (losses.mayMiss(SHAPE_STORE)) for (const entry of entries) await this.#countUnreadable(entry);
    if (this.rebuilt.size > 0) await this.#build();
  }

  async #build(): Promise<void> {
    const { engine, env } = this.#options;
    // What was changed here went past the catalog.
    const catalog = new Catalog(engine, new ShapeStore(engine));
    const begin = (kind: 'read' | 'write') => new TransactionCore(engine, engine.begin(kind), env, catalog);
    const indexes = new DatabaseIndexes({ engine, env, catalog, begin, events: new Events() });
    try {
      for (const [id, index] of this.rebuilt) {
        if (!this.#functionMade.has(id)) this.rebuilt.set(id, await this.#buildOne(indexes, id, index));
      }
    } finally {
      await indexes.stop();
    }
  }

  async #buildOne(indexes: DatabaseIndexes, id: number, one: SalvagedIndex): Promise<SalvagedIndex> {
    const { losses, signal } = this.#options;
    try {
      await indexes.ready(one.store, one.index, signal === undefined ? {} : { signal });
      return { ...one, state: 'ready' };
    } catch (error) {
      const isFailed = error instanceof SopError && error.code === 'INDEX_NOT_READY';
      // Values whose shape is lost may come back, and the index with them.
      const isHeldUp = error instanceof SopError && error.code === 'CORRUPTION';
      if (!isFailed && !isHeldUp) throw error;
      losses.note({ what: `the index: ${error.message}`, store: id });
      return { ...one, state: isFailed ? 'failed' : 'building' };
    }
  }

  #entries(): CatalogEntry[] {
    const found: CatalogEntry[] = [];
    const tx = this.#options.engine.begin('read');
    try {
      const cursor = tx.cursor(CATALOG_STORE);
      cursor.waits = true;
      for (let step = cursor.first(); step === AT; step = cursor.next()) {
        const entry = this.#entryAt(cursor);
        if (entry !== undefined) found.push(entry);
      }
    } finally {
      tx.rollback();
    }
    return found;
  }

  #entryAt(cursor: EntryCursor): CatalogEntry | undefined {
    const { keyBytes, keyStart, keyEnd } = cursor;
    try {
      return this.#catalog.toEntry(copyBytes(keyBytes, keyStart, keyEnd), cellOf(cursor));
    } catch (error) {
      // Nobody can open such a store.
      if (!(error instanceof SopError)) throw error;
      this.#options.losses.note({ what: `the definition of a store: ${error.message}`, store: CATALOG_STORE });
      return undefined;
    }
  }

  async #mendOne(entry: CatalogEntry): Promise<void> {
    const { id: store, name, indexes, next } = entry.stored;
    if (indexes.length === 0 && next === undefined) return;
    const tx = this.#options.engine.begin('write');
    try {
      for (const index of indexes) {
        tx.removeRange(index.id, undefined, undefined);
        putIndexState(tx, index.id, BUILD_BEGINS);
        this.rebuilt.set(index.id, { store: name, index: index.name, state: 'building' });
        if (index.fields === undefined) this.#functionMade.add(index.id);
      }
      if (next !== undefined) this.#giveUp(tx, entry, next);
      await tx.commit();
    } catch (error) {
      tx.rollback();
      throw error;
    }
    if (next === undefined) return;
    this.#options.losses.note({ what: 'a redefinition under way: it is given up, the store is as before it', store });
  }

  #giveUp(tx: EngineTransaction, entry: CatalogEntry, { definition, mapId, changesId }: StoredNext): void {
    for (const id of [...storeIdsOf(definition), mapId, changesId]) {
      const key = idKey(id);
      tx.removeRange(id, undefined, undefined);
      tx.put(DROPPED_STORE, key, 0, key.length, EMPTY_CELL, 0, EMPTY_CELL.length, undefined);
      removeIndexState(tx, id);
    }
    const { nameBytes, row } = this.#catalog.withoutNext(entry);
    tx.put(CATALOG_STORE, nameBytes, 0, nameBytes.length, row, 0, row.length, true);
  }

  async #countUnreadable(entry: CatalogEntry): Promise<void> {
    const { id: store, raw, counter } = entry.stored;
    if (raw || counter !== undefined) return;
    const { engine, env, losses } = this.#options;
    const tx = engine.begin('read');
    let unreadable = 0;
    try {
      const cursor = tx.cursor(store);
      cursor.waits = true;
      let seen = 0;
      for (let step = cursor.first(); step === AT; step = cursor.next()) {
        if (!canRead(entry, tx, cellOf(cursor))) unreadable++;
        if (++seen % BETWEEN_TURNS === 0) {
          this.#mustGoOn();
          await new Promise<void>((resolve) => env.timers.nextTurn(resolve));
        }
      }
    } finally {
      tx.rollback();
    }
    if (unreadable === 0) return;
    const what = 'the shape of values: reading them fails until a program writes a value with the same fields';
    losses.note({ what, store, entries: unreadable });
  }

  #mustGoOn(): void {
    const { signal } = this.#options;
    if (signal?.aborted === true) throw new AbortedError('the salvage was aborted', { cause: signal.reason });
  }
}

function cellOf({ cellBytes, cellStart, cellEnd }: EntryCursor): Uint8Array {
  return copyBytes(cellBytes, cellStart, cellEnd);
}

function canRead({ codec }: CatalogEntry, tx: EngineTransaction, cell: Uint8Array): boolean {
  try {
    if (isSeparate(cell, 0)) codec.decodeValue(tx.readValueSync(cell, 0, cell.length));
    else codec.readValue(cell, 0, cell.length);
    return true;
  } catch (error) {
    if (!(error instanceof SopError) || error.code !== 'CORRUPTION') throw error;
    return false;
  }
}
