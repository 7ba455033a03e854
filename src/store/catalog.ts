/**
 * The catalog: which stores there are, kept in the engine's store 1 (key: the name's UTF-8 bytes, cell: a zero byte and the
 * stored definition), as one database object knows it.
 *
 * Invariants:
 *  1. What is remembered of a committed row holds for every snapshot from `knownAt` on: nothing is answered from memory while
 *     a transaction that drops or renames is under way, and all is forgotten when one has committed; what an older snapshot
 *     still sees is not remembered again.
 *  2. A store id belongs to one store for ever; it is not given out again after a drop.
 *  3. Transactions that create the same store at the same time agree on its id and write the same row, byte for byte.
 */
import { copyBytes } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { compileKeySpec } from '../codec/key-spec.ts';
import {
  decodeStoreDefinition,
  encodeStoreDefinition,
  type StoredDefinition,
  type StoredIndex,
  type StoredShape,
} from '../codec/store-definition.ts';
import { AT } from '../node/entry-cursor.ts';
import { CATALOG_STORE } from '../storage/system-stores.ts';
import type { EngineApi, EngineTransaction } from '../transaction/engine-api.ts';
import { findSame, type IndexDefinition, toStoredIndex } from './define-index.ts';
import { BagDefinition, StoreDefinition } from './define-store.ts';
import { RowCache } from './row-cache.ts';
import { IndexSet } from './index-set.ts';
import type { ShapeStore } from './shape-store.ts';
import { StoreCodec } from './store-codec.ts';

/** A definition of whatever types. */
export type AnyDefinition = StoreDefinition<unknown, unknown, string, unknown>;

/** A store as its catalog row says it is. */
export interface CatalogEntry {
  readonly nameBytes: Uint8Array;
  readonly stored: StoredDefinition;
  /** The whole cell. */
  readonly row: Uint8Array;
  readonly codec: StoreCodec;
  /** The definition compared with it last, which is equal. */
  matching: AnyDefinition | undefined;
  /** Its indexes as `indexesFor` answered last. */
  indexes: IndexSet | undefined;
}

interface Known {
  readonly entry: CatalogEntry;
  readonly knownAt: number;
}

interface Proposal {
  readonly entry: CatalogEntry;
  users: number;
}

/** Rows remembered; beyond that all are forgotten, and read again when used. */
const MOST_KNOWN = 20_000;

export function toNameBytes(name: string): Uint8Array {
  return new Uint8Array(Buffer.from(name, 'utf8'));
}

export function toStoredShape(definition: AnyDefinition): StoredShape {
  const { keySpec, values, raw, unique, counter } = definition;
  const indexes = definition.indexes.map((index) => toStoredIndex(index, 0));
  const shape = { key: keySpec.definition, values, raw, unique, indexes };
  return counter === undefined ? shape : { ...shape, counter };
}

/** The indexes of a store, with the functions that these definitions bring along; undefined where it has none. */
export function indexesFor(
  entry: CatalogEntry,
  definitions: readonly IndexDefinition[] | undefined,
): IndexSet | undefined {
  const { stored, codec } = entry;
  if (stored.indexes.length === 0 && stored.next === undefined) return undefined;
  if (entry.indexes === undefined || entry.indexes.definitions !== definitions) {
    entry.indexes = new IndexSet(stored, codec, definitions);
  }
  return entry.indexes;
}

export class Catalog {
  #rows: RowCache | undefined;
  readonly #engine: EngineApi;
  readonly #shapes: ShapeStore;
  readonly #known = new Map<string, Known>();
  readonly #codecs = new Map<string, StoreCodec>();
  readonly #proposals = new Map<string, Proposal>();
  /** Transactions under way that have dropped or renamed something. */
  #changing = 0;
  /** Number of the last transaction that dropped or renamed something. */
  #changedAt = 0;
  /** What makes indexes of functions, by the index's id: of the definition that opened the store last. */
  readonly #functions = new Map<number, IndexDefinition>();
  readonly #seenDefinitions = new WeakSet<AnyDefinition>();
  /** Stores that this program redefines just now. */
  readonly #redefined = new Map<string, { readonly isHeld: boolean }>();
  /** What is told that a store may have an index to build. */
  onIndexWork: ((store: string) => void) | undefined;

  constructor(engine: EngineApi, shapes: ShapeStore) {
    this.#engine = engine;
    this.#shapes = shapes;
  }

  /** What was read of hot rows so far; none where nothing was. */
  get rowCounts(): { readonly hits: number; readonly misses: number } {
    return { hits: this.#rows?.hits ?? 0, misses: this.#rows?.misses ?? 0 };
  }

  /** Hot rows of all stores. */
  get rows(): RowCache {
    this.#rows ??= new RowCache();
    return this.#rows;
  }

  /** The store of this name as of a snapshot, where it is remembered. */
  recall(name: string, snapshot: number): CatalogEntry | undefined {
    if (this.#changing > 0) return undefined;
    const known = this.#known.get(name);
    // Whoever prepared a transaction that an earlier opening left behind is not here to say that it changed the catalog.
    if (known === undefined || known.knownAt < this.#engine.catalogDecidedAt) return undefined;
    return known.knownAt <= snapshot ? known.entry : undefined;
  }

  remember(entry: CatalogEntry, knownAt: number): void {
    if (this.#changing > 0 || knownAt < this.#changedAt || knownAt < this.#engine.catalogDecidedAt) return;
    if (this.#known.size >= MOST_KNOWN) this.#known.clear();
    this.#known.set(entry.stored.name, { entry, knownAt });
  }

  /** As a transaction sees it, its own changes included; notes nothing. Blocks on a cache miss. */
  read(etx: EngineTransaction, nameBytes: Uint8Array): CatalogEntry | undefined {
    const cursor = etx.cursor(CATALOG_STORE);
    cursor.waits = true;
    if (cursor.seek(nameBytes, 0, nameBytes.length) !== AT) return undefined;
    const key = cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd);
    if (Buffer.compare(key, nameBytes) !== 0) return undefined;
    return this.toEntry(nameBytes, copyBytes(cursor.cellBytes, cursor.cellStart, cursor.cellEnd));
  }

  /** The name under which a transaction sees the store with this id; notes nothing. Looks through all of the catalog. */
  nameOf(etx: EngineTransaction, id: number): string | undefined {
    const cursor = etx.cursor(CATALOG_STORE);
    cursor.waits = true;
    for (let step = cursor.first(); step === AT; step = cursor.next()) {
      const { cellBytes, cellStart, cellEnd } = cursor;
      const stored = decodeStoreDefinition(copyBytes(cellBytes, cellStart, cellEnd), 1);
      if (stored.id === id) return stored.name;
    }
    return undefined;
  }

  /** As it is committed now. */
  readCommitted(nameBytes: Uint8Array): CatalogEntry | undefined {
    const row = this.#engine.readRow(CATALOG_STORE, nameBytes);
    return row === undefined ? undefined : this.toEntry(nameBytes, row);
  }

  toEntry(nameBytes: Uint8Array, row: Uint8Array): CatalogEntry {
    const stored = decodeStoreDefinition(row, 1);
    if (stored.name !== Buffer.from(nameBytes).toString('utf8')) {
      throw new CorruptionError(`the catalog row of store '${stored.name}' stands under another name`);
    }
    return { nameBytes, stored, row, codec: this.#codecOf(stored), matching: undefined, indexes: undefined };
  }

  /** The row that a store under this definition gets. */
  newEntry(stored: StoredDefinition): CatalogEntry {
    const definition = encodeStoreDefinition(stored);
    const row = new Uint8Array(1 + definition.length);
    row.set(definition, 1);
    return {
      nameBytes: toNameBytes(stored.name),
      stored,
      row,
      codec: this.#codecOf(stored),
      matching: undefined,
      indexes: undefined,
    };
  }

  /** A store to be created: the same entry for all that create it at the same time. `release` it at the transaction's end. */
  propose(definition: AnyDefinition): CatalogEntry {
    const fingerprint = this.#fingerprint(definition.name, toStoredShape(definition));
    let proposal = this.#proposals.get(fingerprint);
    if (proposal === undefined) {
      proposal = { entry: this.newStore(definition), users: 0 };
      this.#proposals.set(fingerprint, proposal);
    }
    proposal.users++;
    return proposal.entry;
  }

  /**
   * `committed`: from now on the store is found, and not created together any more. Whoever creates it once it has been dropped
   * gets another id, although transactions that created it with this one may still be open.
   */
  release(entry: CatalogEntry, committed: boolean): void {
    const fingerprint = this.#fingerprint(entry.stored.name, entry.stored);
    const proposal = this.#proposals.get(fingerprint);
    if (proposal === undefined || proposal.entry !== entry) return;
    proposal.users--;
    if (proposal.users === 0 || committed) this.#proposals.delete(fingerprint);
  }

  /** A store under an id that no other transaction shares. */
  newStore(definition: AnyDefinition): CatalogEntry {
    const id = this.#engine.newStoreId();
    const indexes = definition.indexes.map((index) => toStoredIndex(index, this.#engine.newStoreId()));
    return this.newEntry({ ...toStoredShape(definition), id, name: definition.name, generation: 0, indexes });
  }

  /** The store with the indexes of a definition: those it has already stay, the others get ids of their own. */
  withIndexesOf(entry: CatalogEntry, definition: AnyDefinition): CatalogEntry {
    const indexes = definition.indexes.map(
      (index) => findSame(entry.stored.indexes, index) ?? toStoredIndex(index, this.#engine.newStoreId()),
    );
    return this.newEntry({ ...entry.stored, indexes });
  }

  /** The store with one of its indexes under a new id. */
  withNewIndex(entry: CatalogEntry, name: string): CatalogEntry {
    const indexes = entry.stored.indexes.map((index) => (index.name === name ? this.#anew(index) : index));
    return this.newEntry({ ...entry.stored, indexes });
  }

  #anew(index: StoredIndex): StoredIndex {
    const id = this.#engine.newStoreId();
    const made = this.#functions.get(index.id);
    if (made !== undefined) this.#functions.set(id, made);
    return { ...index, id };
  }

  /**
   * A definition with indexes was used for this store. Its functions are known by the ids of the indexes: another store of the name,
   * or the same one redefined, has others, though they be called and numbered alike.
   */
  definitionUsed(definition: AnyDefinition, { stored }: CatalogEntry): void {
    let isNews = !this.#seenDefinitions.has(definition);
    this.#seenDefinitions.add(definition);
    for (const one of definition.indexes) {
      const same = one.of === undefined ? undefined : findSame(stored.indexes, one);
      if (same === undefined) continue;
      isNews ||= !this.#functions.has(same.id);
      this.#functions.set(same.id, one);
    }
    if (isNews) this.onIndexWork?.(stored.name);
  }

  /** What is needed to build those indexes of a store whose functions the program has shown. */
  functionsOf({ stored, indexes }: CatalogEntry): readonly IndexDefinition[] {
    const known = stored.indexes.flatMap(({ id }) => this.#functions.get(id) ?? []);
    const last = indexes?.definitions;
    // The same list again where it can be: what was made with it is then used again.
    return last?.length === known.length && known.every((one, i) => one === last[i]) ? last : known;
  }

  /** These indexes are no more. */
  forgetFunctions(ids: readonly number[]): void {
    for (const id of ids) this.#functions.delete(id);
  }

  /** A transaction that changed the indexes of a store has committed, or the store with its indexes goes by another name. */
  indexesChanged(name: string): void {
    this.onIndexWork?.(name);
  }

  /** The store with a redefinition begun, under ids of its own. */
  withNext(entry: CatalogEntry, to: AnyDefinition): CatalogEntry {
    const { name, generation } = entry.stored;
    const id = this.#engine.newStoreId();
    const indexes = to.indexes.map((index) => toStoredIndex(index, this.#engine.newStoreId()));
    const definition = { ...toStoredShape(to), id, name, generation: generation + 1, indexes };
    const next = { definition, mapId: this.#engine.newStoreId(), changesId: this.#engine.newStoreId() };
    return this.newEntry({ ...entry.stored, next });
  }

  withoutNext(entry: CatalogEntry): CatalogEntry {
    const { next: _, ...stored } = entry.stored;
    return this.newEntry(stored);
  }

  /** False where the store is being redefined already. */
  beginRedefinition(name: string): boolean {
    if (this.#redefined.has(name)) return false;
    this.#redefined.set(name, { isHeld: false });
    return true;
  }

  endRedefinition(name: string): void {
    this.#redefined.delete(name);
  }

  /** Whether nobody may change the store from now on, until its redefinition has ended. */
  hold(name: string, isHeld: boolean): void {
    this.#redefined.set(name, { isHeld });
  }

  isHeld(name: string): boolean {
    return this.#redefined.get(name)?.isHeld ?? false;
  }

  /** From a transaction's first drop or rename to its end. */
  changeBegins(): void {
    this.#changing++;
  }

  /** `number`: of the transaction, where it committed. */
  changeEnds(number?: number): void {
    this.#changing--;
    if (number !== undefined) this.#changedAt = Math.max(this.#changedAt, number);
    this.#known.clear();
  }

  /** Around what may commit a transaction of an earlier opening, which nobody here listens to. */
  async whileChanging(work: () => Promise<number>): Promise<number> {
    this.changeBegins();
    let number: number | undefined;
    try {
      number = await work();
      return number;
    } finally {
      this.changeEnds(number);
    }
  }

  #codecOf(stored: StoredShape): StoreCodec {
    const fingerprint = this.#fingerprint('', stored);
    let codec = this.#codecs.get(fingerprint);
    if (codec === undefined) {
      codec = new StoreCodec(toPlainDefinition('', stored), this.#shapes);
      if (this.#codecs.size >= MOST_KNOWN) this.#codecs.clear();
      this.#codecs.set(fingerprint, codec);
    }
    return codec;
  }

  /** Equal for equal shapes of the same name. */
  #fingerprint(name: string, shape: StoredShape): string {
    const { key, values, raw, unique, counter } = shape;
    const beside = counter === undefined ? {} : { counter };
    const indexes = shape.indexes.map((index) => ({ ...index, id: 0 }));
    const plain = encodeStoreDefinition({ key, values, raw, unique, indexes, ...beside, name, id: 0, generation: 0 });
    return Buffer.from(plain).toString('latin1');
  }
}

/** The definition that a program would have written for this store; it lacks the functions of indexes. */
export function toDefinition(name: string, stored: StoredShape): AnyDefinition {
  const indexes = stored.indexes.map(
    ({ name: index, unique, fields, version, many }): IndexDefinition => ({
      name: index,
      unique,
      fields,
      version,
      many,
      of: undefined,
    }),
  );
  return toPlainDefinition(name, stored, indexes);
}

function toPlainDefinition(name: string, stored: StoredShape, indexes: readonly IndexDefinition[] = []): AnyDefinition {
  const values = stored.values === 'separate' ? 'separate' : 'inline';
  const keySpec = compileKeySpec(stored.key);
  if (!stored.unique) return new BagDefinition<unknown, unknown, string>(name, keySpec, values, stored.raw);
  return new StoreDefinition<unknown, unknown, string, unknown>(name, keySpec, values, stored.raw, {
    indexes,
    counter: stored.counter,
  });
}
