/** What the catalog says of the stores, for people and programs. */
import { copyBytes } from '../base/bytes.ts';
import { AT, MISS } from '../node/entry-cursor.ts';
import { CATALOG_STORE } from '../storage/system-stores.ts';
import type { Catalog, CatalogEntry } from './catalog.ts';
import type { ValuePlacement } from './define-store.ts';
import type { TransactionCore } from './transaction-core.ts';

/** A store's definition as the database keeps it. */
export interface StoreInfo {
  readonly name: string;
  /** The sorting fields of a composite key, most significant first; undefined where a key is one value. */
  readonly key: readonly { readonly field: string; readonly order: 'asc' | 'desc' }[] | undefined;
  /** The order of keys that are one value; 'asc' for composite ones. */
  readonly order: 'asc' | 'desc';
  readonly rideOn: readonly string[];
  readonly values: ValuePlacement;
  /** Values are bytes. */
  readonly raw: boolean;
  readonly unique: boolean;
  /** Values are counters, read as numbers (true) or bigints; left out where they are not. */
  readonly counter?: true | 'bigint';
  /** Ride-on fields that are counters; left out where there are none. */
  readonly counters?: readonly string[];
  /** The names of its indexes; left out where there are none. `db.indexes` says more. */
  readonly indexes?: readonly string[];
  /** How often it was redefined; left out where it never was. */
  readonly generation?: number;
  /** It is being redefined; left out where it is not. */
  readonly redefining?: true;
}

/** A store's definition, and its size. */
export interface StoreDescription extends StoreInfo {
  /** How many entries there are. */
  readonly count: number;
}

export function toStoreInfo(entry: CatalogEntry): StoreInfo {
  const { name, key, values, raw, unique, counter, indexes, generation, next } = entry.stored;
  return {
    name,
    key: key.fields?.map(({ name: field, descending }) => ({ field, order: descending ? 'desc' : 'asc' })),
    order: key.descending ? 'desc' : 'asc',
    rideOn: [...key.rideOn],
    values: values === 'separate' ? 'separate' : 'inline',
    raw,
    unique,
    ...(counter === undefined ? {} : { counter }),
    ...(key.counters === undefined ? {} : { counters: [...key.counters] }),
    ...(indexes.length === 0 ? {} : { indexes: indexes.map((index) => index.name) }),
    ...(generation === 0 ? {} : { generation }),
    ...(next === undefined ? {} : { redefining: true }),
  };
}

export async function listEntries(core: TransactionCore, catalog: Catalog): Promise<StoreInfo[]> {
  const stores: StoreInfo[] = [];
  await forEachSystemRow(core, CATALOG_STORE, (key, cell) => void stores.push(toStoreInfo(catalog.toEntry(key, cell))));
  return stores;
}

/** Every row of one of the engine's own stores, in order, as copies. */
export async function forEachSystemRow(
  core: TransactionCore,
  storeId: number,
  visit: (key: Uint8Array, cell: Uint8Array) => void,
): Promise<void> {
  const cursor = core.engine.cursor(storeId);
  cursor.waits = false;
  let started = false;
  for (;;) {
    core.mustBeOpen();
    const step = started ? cursor.next() : cursor.first();
    if (step === MISS) {
      await cursor.load();
      continue;
    }
    if (step !== AT) return;
    started = true;
    const { keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd } = cursor;
    visit(copyBytes(keyBytes, keyStart, keyEnd), copyBytes(cellBytes, cellStart, cellEnd));
  }
}

export async function describeEntry(core: TransactionCore, name: string): Promise<StoreDescription> {
  const entry = core.mustFind(name);
  const { engine } = core;
  for (;;) {
    core.mustBeOpen();
    engine.waits = false;
    const count = engine.count(entry.stored.id, undefined, undefined);
    if (count >= 0) return { ...toStoreInfo(entry), count };
    await engine.load();
  }
}

/** The names of all stores, by their ids. */
export async function storeNames(core: TransactionCore, catalog: Catalog): Promise<Map<number, string>> {
  const cursor = core.engine.cursor(CATALOG_STORE);
  cursor.waits = true;
  const names = new Map<number, string>();
  for (let step = cursor.first(); step === AT; step = cursor.next()) {
    const { keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd } = cursor;
    const { stored } = catalog.toEntry(copyBytes(keyBytes, keyStart, keyEnd), copyBytes(cellBytes, cellStart, cellEnd));
    names.set(stored.id, stored.name);
  }
  return names;
}
