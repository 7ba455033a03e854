/**
 * What the stores of one transaction share: the engine's transaction, the world, open scans, and the transaction's own view
 * of the catalog.
 *
 * Invariants:
 *  1. A write transaction that uses a store commits only if the store's catalog row is then what it was taken for
 *     (`expectRow`): by content, so creating it twice with one definition is no conflict, dropping or renaming it is.
 *  2. Its own creations, drops and renames are seen by itself at once, by others when it commits.
 */
import { keySuccessor } from '../base/bytes.ts';
import {
  AbortedError,
  ClosedError,
  ConflictError,
  LimitExceededError,
  InvalidArgumentError,
  ReadOnlyError,
  type SopError,
  StoreExistsError,
  StoreMismatchError,
  StoreNotFoundError,
  TransactionEndedError,
} from '../base/errors.ts';
import { describeDifference, type StoredNext } from '../codec/store-definition.ts';
import type { Env } from '../env/env.ts';
import { CATALOG_STORE, DROPPED_STORE, idKey } from '../storage/system-stores.ts';
import type { EngineApi, EngineSavepoint, EngineTransaction } from '../transaction/engine-api.ts';
import {
  type AnyDefinition,
  type Catalog,
  type CatalogEntry,
  indexesFor,
  toNameBytes,
  toStoredShape,
} from './catalog.ts';
import { hasIndexes, type IndexDefinition } from './define-index.ts';
import { BUILD_BEGINS, putIndexState, removeIndexState } from './index-state.ts';
import type { ItemOrigin } from './item-id.ts';
import type { RowCache } from './row-cache.ts';
import {
  commitTogether,
  decidedElsewhere,
  type Participant,
  type PreparedTransaction,
  prepareAll,
  preparedOf,
  type Report,
  tellAll,
} from './participants.ts';
import { isLostRace } from './retry.ts';
import { StoreCore, type StoreHost } from './store-core.ts';
import { StoreIndexes } from './store-indexes.ts';

/** The id of no store: what one that does not exist is read from. */
const NO_STORE = 0;
const MAX_ITEM_SEQUENCE = 0xffff_ffff;
const EMPTY_CELL = Uint8Array.of(0);
/** Up to so many are found quicker one by one than in a map. */
const FEW_STORES = 8;

interface OpenStore {
  readonly definition: AnyDefinition | undefined;
  readonly core: StoreCore;
}

/** What of a transaction's view of the catalog a savepoint comes back to. */
interface CatalogMark {
  readonly engine: EngineSavepoint;
  readonly own: ReadonlyMap<string, CatalogEntry | undefined> | undefined;
  readonly adopted: ReadonlyMap<string, CatalogEntry> | undefined;
  /** Indexes dropped before it. */
  readonly dropped: number;
}

/** A place in a transaction to come back to; see `Transaction.savepoint`. */
export class Savepoint {
  readonly #mark: CatalogMark;

  /** Use `tx.savepoint()`. */
  constructor(mark: CatalogMark) {
    this.#mark = mark;
  }

  /** For the transaction it belongs to. */
  static markOf(savepoint: unknown): CatalogMark {
    if (savepoint instanceof Savepoint) return savepoint.#mark;
    throw new InvalidArgumentError('rollbackTo takes what tx.savepoint() handed out');
  }
}

/** What a redefinition works with. */
export interface RedefinitionStores {
  readonly oldStore: StoreCore;
  readonly newStore: StoreCore;
  /** The id of the store to be. */
  readonly id: number;
  readonly mapId: number;
  readonly changesId: number;
}

const NO_REPORT: Report = () => {};

export class TransactionCore implements StoreHost {
  readonly engine: EngineTransaction;
  readonly env: Env;
  readonly #database: EngineApi;
  readonly #catalog: Catalog;
  readonly #open: OpenStore[] = [];
  /** The same by definition, once there are many. */
  #openByDefinition: Map<AnyDefinition, StoreCore> | undefined;
  /** Names whose row this transaction has changed, and what it is now (undefined: none). */
  #own: Map<string, CatalogEntry | undefined> | undefined;
  /** Stores that others have created since the snapshot, and that this transaction has met: for it they are there. */
  #adopted: Map<string, CatalogEntry> | undefined;
  /** Names whose committed row is already expected. */
  #expected: Set<string> | undefined;
  #expectedFirst: string | undefined;
  #openScans: Set<{ close(): void }> | undefined;
  #itemOrigin: ItemOrigin | undefined;
  #itemSequence = 0;
  #changesCatalog = false;
  #droppedIndexes: number[] | undefined;
  #endedByCaller = false;
  #participants: Participant[] | undefined;
  /** Which run of the same work this is, and what the one before it was lost to. */
  attempt = 1;
  lastConflict: SopError | undefined = undefined;
  /** Hears of a commit that was refused for another transaction; set where somebody listens. */
  onConflict: ((core: TransactionCore, error: SopError) => void) | undefined = undefined;
  /** Hears of participants that fail once all is decided. */
  report: Report = NO_REPORT;

  constructor(database: EngineApi, engine: EngineTransaction, env: Env, catalog: Catalog) {
    this.#database = database;
    this.engine = engine;
    this.env = env;
    this.#catalog = catalog;
  }

  get rows(): RowCache {
    return this.#catalog.rows;
  }

  get itemOrigin(): ItemOrigin {
    if (this.#itemOrigin === undefined) {
      const origin: ItemOrigin = { number: undefined };
      this.engine.onCommit((number) => {
        origin.number = number;
      });
      this.#itemOrigin = origin;
    }
    return this.#itemOrigin;
  }

  nextItemSequence(): number {
    if (this.#itemSequence > MAX_ITEM_SEQUENCE) {
      throw new LimitExceededError('a transaction adds at most 2 ** 32 items to stores of equal keys', {
        details: { limit: 'MAX_ITEM_SEQUENCE', allowed: MAX_ITEM_SEQUENCE + 1, found: this.#itemSequence + 1 },
      });
    }
    return this.#itemSequence++;
  }

  get openScans(): Set<{ close(): void }> {
    this.#openScans ??= new Set();
    return this.#openScans;
  }

  mustBeOpen(): void {
    if (!this.engine.ended) return;
    if (this.#database.closed) throw new ClosedError();
    // The engine knows how it ended, and says so.
    this.engine.onCommit(() => {});
    throw new TransactionEndedError('the transaction has ended');
  }

  /** Once its function is through: throws where the transaction ended without its caller's doing (time limit, signal). */
  mustNotHaveFailed(): void {
    if (!this.#endedByCaller) this.mustBeOpen();
  }

  commit(): Promise<number> {
    try {
      this.#finish();
      if (this.#participants === undefined && this.onConflict === undefined) return this.engine.commit();
      return this.#commitAndTell();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #commitAndTell(): Promise<number> {
    try {
      if (this.#participants === undefined) return await this.engine.commit();
      return await commitTogether(this.#database, this.engine, this.#participants, this.report);
    } catch (error) {
      if (isLostRace(error)) this.onConflict?.(this, error);
      throw error;
    }
  }

  /** The same work was begun before, and lost. */
  isRunAgain(attempt: number, last: SopError): void {
    this.attempt = attempt;
    this.lastConflict = last;
  }

  join(participant: Participant): void {
    this.#mustWriteCatalog();
    this.#participants ??= [];
    this.#participants.push(participant);
  }

  /** Where the commit itself did not know, and it was found out since. */
  async tellParticipants(outcome: 'committed' | 'aborted'): Promise<void> {
    const word = outcome === 'committed' ? 'commit' : 'rollback';
    await tellAll(this.#participants ?? [], word, this.engine.id, this.report);
  }

  async prepare(): Promise<PreparedTransaction> {
    this.#mustWriteCatalog();
    this.#finish();
    const names = new Map(this.#open.map(({ core }) => [core.storeId, core.name]));
    const participants = this.#participants ?? [];
    try {
      const id = await prepareAll(this.#database, this.engine, participants, this.report);
      const [prepared] = preparedOf(this.#database, names, participants, this.report, id);
      if (prepared === undefined) throw await decidedElsewhere(this.#database, id, participants, this.report);
      return prepared;
    } catch (error) {
      if (isLostRace(error)) this.onConflict?.(this, error);
      throw error;
    }
  }

  /** The store with this id, where this transaction has it open. */
  storeWith(id: number): StoreCore | undefined {
    return this.#open.find(({ core }) => core.storeId === id)?.core;
  }

  #finish(): void {
    this.mustBeOpen();
    if (this.#openScans !== undefined) for (const scan of this.#openScans) scan.close();
    this.#endedByCaller = true;
  }

  rollback(reason?: unknown): void {
    if (this.engine.ended) return;
    this.#endedByCaller = true;
    this.engine.rollback(reason);
  }

  savepoint(): Savepoint {
    this.mustBeOpen();
    return new Savepoint({
      engine: this.engine.savepoint(),
      own: this.#own && new Map(this.#own),
      adopted: this.#adopted && new Map(this.#adopted),
      dropped: this.#droppedIndexes?.length ?? 0,
    });
  }

  rollbackTo(savepoint: Savepoint): void {
    this.mustBeOpen();
    const { engine, own, adopted, dropped } = Savepoint.markOf(savepoint);
    this.engine.rollbackTo(engine);
    if (this.#own === undefined && this.#adopted === undefined) return;
    this.#own = own && new Map(own);
    this.#adopted = adopted && new Map(adopted);
    if (this.#droppedIndexes !== undefined) this.#droppedIndexes.length = dropped;
    // Stores that were created or adopted since are no more, those that were dropped or renamed are back.
    for (const { core, definition } of this.#open) {
      const entry = this.#find(core.name);
      const gone = entry?.stored.id !== core.storeId;
      if (entry !== undefined && !gone) this.#bindIndexes(core, entry, definition?.indexes);
      core.setGone(gone);
    }
  }

  /** The store of a definition; a write transaction creates it where there is none. */
  openDefined(definition: AnyDefinition): StoreCore {
    this.mustBeOpen();
    const open = this.#openUnder(definition);
    if (open !== undefined && !open.gone) return open;
    const { name } = definition;
    const found = this.#find(name);
    if (found === undefined) return this.#keep(definition, this.#openMissing(definition));
    if (found.matching !== definition) {
      const difference = describeDifference(found.stored, toStoredShape(definition));
      if (difference !== undefined) {
        this.#expect(found);
        throw new StoreMismatchError(`store '${name}': ${difference}`, { details: { store: name, difference } });
      }
      if (definition.indexes.length > 0) this.#catalog.definitionUsed(definition, found);
      if (!hasIndexes(found.stored.indexes, definition.indexes)) return this.#openWithOtherIndexes(found, definition);
      found.matching = definition;
    }
    if (found.stored.next !== undefined) this.#mustNotBeHeld(name);
    this.#expect(found);
    return this.#keep(definition, this.#coreOf(found, definition));
  }

  /** A store whose indexes are not those of the definition: a write transaction changes them, others take what there is. */
  #openWithOtherIndexes(found: CatalogEntry, definition: AnyDefinition): StoreCore {
    const entry = this.engine.kind === 'write' ? this.#changeIndexes(found, definition) : found;
    return this.#keep(definition, this.#coreOf(entry, definition));
  }

  #changeIndexes(entry: CatalogEntry, definition: AnyDefinition): CatalogEntry {
    const altered = this.#replaceIndexes(entry, this.#catalog.withIndexesOf(entry, definition));
    this.#usesOnCommit(definition, altered);
    return altered;
  }

  /** Indexes with ids of this transaction's are there once it has committed. */
  #usesOnCommit(definition: AnyDefinition, entry: CatalogEntry): void {
    if (definition.indexes.length === 0) return;
    this.engine.onCommit(() => this.#catalog.definitionUsed(definition, entry));
  }

  /** Gives an index a new store, to be built. */
  rebuildIndex(name: string, index: string): void {
    this.#mustWriteCatalog();
    const entry = this.mustFind(name);
    if (!entry.stored.indexes.some((one) => one.name === index)) {
      throw new InvalidArgumentError(`store '${name}' has no index '${index}'`, { details: { store: name, index } });
    }
    this.#replaceIndexes(entry, this.#catalog.withNewIndex(entry, index));
  }

  #replaceIndexes(entry: CatalogEntry, altered: CatalogEntry): CatalogEntry {
    const { name } = entry.stored;
    this.#expect(entry);
    this.#beginCatalogChange();
    const ids = new Set(entry.stored.indexes.map((index) => index.id));
    for (const { id } of altered.stored.indexes) if (!ids.delete(id)) putIndexState(this.engine, id, BUILD_BEGINS);
    for (const id of ids) this.#dropIndex(id);
    this.#putRow(altered, true);
    this.#own?.set(name, altered);
    this.#bindAgain(name, altered);
    this.engine.onCommit(() => this.#catalog.indexesChanged(name));
    return altered;
  }

  #dropIndex(id: number): void {
    this.#droppedIndexes ??= [];
    this.#droppedIndexes.push(id);
    removeIndexState(this.engine, id);
    this.#dropId(id);
  }

  #dropId(id: number): void {
    const key = idKey(id);
    this.engine.put(DROPPED_STORE, key, 0, key.length, EMPTY_CELL, 0, 1, false);
  }

  /**
   * Begins to redefine a store, or goes on where the same redefinition was begun before (another one is given up). False where
   * the store has another generation than the one named.
   */
  beginRedefinition(
    name: string,
    from: AnyDefinition | undefined,
    to: AnyDefinition,
    generation: number | undefined,
  ): boolean {
    this.#mustWriteCatalog();
    const entry = this.mustFind(name);
    const { stored } = entry;
    if (generation !== undefined && stored.generation !== generation) return false;
    const difference = from === undefined ? undefined : describeDifference(stored, toStoredShape(from));
    if (difference !== undefined) {
      throw new StoreMismatchError(`store '${name}': ${difference}`, { details: { store: name, difference } });
    }
    if (!stored.unique || !to.unique) throw new InvalidArgumentError('only stores of unique keys can be redefined');
    const { next } = stored;
    const isBegun = next !== undefined && hasIndexes(next.definition.indexes, to.indexes);
    if (isBegun && describeDifference(next.definition, toStoredShape(to)) === undefined) return true;
    this.#expect(entry);
    this.#beginCatalogChange();
    if (next !== undefined) this.#dropNext(next);
    const altered = this.#catalog.withNext(entry, to);
    putIndexState(this.engine, (altered.stored.next as StoredNext).definition.id, BUILD_BEGINS);
    this.#putRow(altered, true);
    this.#own?.set(name, altered);
    this.#bindAgain(name, altered);
    return true;
  }

  /** The stores of a redefinition under way; `AbortedError` where there is none any more. */
  openRedefinition(name: string, to: AnyDefinition): RedefinitionStores {
    this.mustBeOpen();
    const entry = this.mustFind(name);
    const next = mustHaveNext(entry);
    this.#expect(entry);
    return {
      oldStore: new StoreCore(this, name, entry.stored.id, entry.codec),
      newStore: this.#coreOf(this.#catalog.newEntry(next.definition), to),
      id: next.definition.id,
      mapId: next.mapId,
      changesId: next.changesId,
    };
  }

  /** Puts the redefined store in the old one's place. */
  switchRedefinition(name: string, to: AnyDefinition): void {
    const entry = this.mustFind(name);
    const { definition, mapId, changesId } = mustHaveNext(entry);
    this.#expect(entry);
    this.#beginCatalogChange();
    const switched = this.#catalog.newEntry({ ...definition, name });
    for (const id of [entry.stored.id, mapId, changesId]) this.#dropId(id);
    for (const { id } of entry.stored.indexes) this.#dropIndex(id);
    removeIndexState(this.engine, definition.id);
    this.#putRow(switched, true);
    this.#own?.set(name, switched);
    this.#retire(name);
    this.#usesOnCommit(to, switched);
  }

  /** Gives up a redefinition. Harmless where there is none. */
  cancelRedefinition(name: string): void {
    this.#mustWriteCatalog();
    const entry = this.mustFind(name);
    const { next } = entry.stored;
    if (next === undefined) return;
    this.#expect(entry);
    this.#beginCatalogChange();
    this.#dropNext(next);
    const altered = this.#catalog.withoutNext(entry);
    this.#putRow(altered, true);
    this.#own?.set(name, altered);
    this.#bindAgain(name, altered);
  }

  #dropNext({ definition, mapId, changesId }: StoredNext): void {
    this.#dropIndex(definition.id);
    for (const id of [mapId, changesId, ...definition.indexes.map((index) => index.id)]) this.#dropId(id);
  }

  #mustNotBeHeld(name: string): void {
    if (this.engine.kind !== 'write' || !this.#catalog.isHeld(name)) return;
    throw new ConflictError(`store '${name}' is about to be redefined: its writers wait for that`, {
      details: { store: name },
    });
  }

  /** A store that exists, by its name. */
  openNamed(name: string): StoreCore {
    this.mustBeOpen();
    const found = this.mustFind(name);
    if (found.stored.next !== undefined) this.#mustNotBeHeld(name);
    this.#expect(found);
    return this.#keep(undefined, this.#coreOf(found, undefined));
  }

  /** The catalog entry of a store, where there is one. */
  tryFind(name: string): CatalogEntry | undefined {
    return this.#find(name);
  }

  /** A store as the catalog has it, with all functions of indexes that the program has shown; undefined where there is none. */
  openToBuild(name: string): StoreCore | undefined {
    this.mustBeOpen();
    const found = this.#find(name);
    if (found === undefined) return undefined;
    this.#expect(found);
    return this.#coreOf(found, undefined, this.#catalog.functionsOf(found));
  }

  /** The catalog entry of a store; `StoreNotFoundError` where there is none. */
  mustFind(name: string): CatalogEntry {
    const found = this.#find(name);
    if (found !== undefined) return found;
    const nameBytes = toNameBytes(name);
    this.engine.noteRange(CATALOG_STORE, nameBytes, keySuccessor(nameBytes));
    throw new StoreNotFoundError(`there is no store '${name}'`, { details: { store: name } });
  }

  drop(name: string): void {
    this.#mustWriteCatalog();
    const entry = this.mustFind(name);
    this.#expect(entry);
    this.#beginCatalogChange();
    this.engine.remove(CATALOG_STORE, entry.nameBytes, 0, entry.nameBytes.length, true);
    this.#dropId(entry.stored.id);
    for (const { id } of entry.stored.indexes) this.#dropIndex(id);
    if (entry.stored.next !== undefined) this.#dropNext(entry.stored.next);
    this.#own?.set(name, undefined);
    this.#retire(name);
  }

  rename(from: string, to: string): void {
    this.#mustWriteCatalog();
    const entry = this.mustFind(from);
    this.#expect(entry);
    const other = this.#find(to);
    if (other !== undefined) {
      // Told no, it may commit all the same: then the answer must still be right.
      this.#expect(other);
      throw new StoreExistsError(`there is a store '${to}' already`, { details: { store: to } });
    }
    this.#beginCatalogChange();
    const renamed = this.#catalog.newEntry({ ...entry.stored, name: to });
    this.#expectAbsent(renamed, undefined);
    this.engine.remove(CATALOG_STORE, entry.nameBytes, 0, entry.nameBytes.length, true);
    this.#putRow(renamed, false);
    this.#own?.set(from, undefined);
    this.#own?.set(to, renamed);
    this.#retire(from);
    // One that is being built goes on under the new name.
    if (renamed.stored.indexes.length > 0) this.engine.onCommit(() => this.#catalog.indexesChanged(to));
  }

  #find(name: string): CatalogEntry | undefined {
    if (this.#own?.has(name)) return this.#own.get(name);
    const adopted = this.#adopted?.get(name);
    if (adopted !== undefined) return adopted;
    if (this.engine.isPinned) return this.#catalog.read(this.engine, toNameBytes(name));
    const recalled = this.#catalog.recall(name, this.engine.snapshot);
    if (recalled !== undefined) return recalled;
    const found = this.#catalog.read(this.engine, toNameBytes(name));
    if (found !== undefined) this.#catalog.remember(found, this.engine.snapshot);
    return found;
  }

  #openMissing(definition: AnyDefinition): StoreCore {
    const { name } = definition;
    const core = (entry: CatalogEntry) => this.#coreOf(entry, definition);
    if (this.engine.kind !== 'write') {
      const stored = { ...toStoredShape(definition), id: NO_STORE, name, generation: 0 };
      return core(this.#catalog.newEntry(stored));
    }
    if (this.#own?.has(name)) return core(this.#recreate(definition));
    // Another transaction may have created it since this one's snapshot.
    const committed = this.#catalog.readCommitted(toNameBytes(name));
    if (committed === undefined) return core(this.#create(definition));
    const wanted = toStoredShape(definition);
    const isSame = hasIndexes(committed.stored.indexes, definition.indexes);
    if (!isSame || describeDifference(committed.stored, wanted) !== undefined) {
      throw new ConflictError(`store '${name}' was created with another definition meanwhile`, {
        details: { store: name },
      });
    }
    const { id } = committed.stored;
    const other = this.storeWith(id)?.name ?? this.#catalog.nameOf(this.engine, id);
    if (other !== undefined && other !== name) {
      throw new ConflictError(`store '${other}' was renamed '${name}' meanwhile`, { details: { store: name } });
    }
    this.#expect(committed);
    this.#adopted ??= new Map();
    this.#adopted.set(name, committed);
    if (definition.indexes.length > 0) this.#catalog.definitionUsed(definition, committed);
    return core(committed);
  }

  /** Creates a store that nobody has committed yet; perhaps together with others. */
  #create(definition: AnyDefinition): CatalogEntry {
    const entry = this.#catalog.propose(definition);
    const { engine } = this;
    this.#expectAbsent(entry, entry.row);
    // The row may come and go, created and dropped by others, before this commit: then the id is used up.
    engine.expectRow(DROPPED_STORE, idKey(entry.stored.id), undefined);
    this.#putRow(entry, undefined);
    this.#own ??= new Map();
    this.#own.set(definition.name, entry);
    engine.onCommit((number) => {
      this.#catalog.release(entry, true);
      if (this.#own?.get(definition.name) === entry) this.#catalog.remember(entry, number);
    });
    this.#usesOnCommit(definition, entry);
    engine.onRollback(() => this.#catalog.release(entry, false));
    return entry;
  }

  /** Creates a store under a name that this transaction has freed itself. */
  #recreate(definition: AnyDefinition): CatalogEntry {
    const entry = this.#catalog.newStore(definition);
    this.#usesOnCommit(definition, entry);
    this.#putRow(entry, false);
    this.#own?.set(definition.name, entry);
    return entry;
  }

  #coreOf(entry: CatalogEntry, definition: AnyDefinition | undefined, indexes = definition?.indexes): StoreCore {
    const core = new StoreCore(this, entry.stored.name, entry.stored.id, entry.codec);
    if (definition !== undefined) {
      core.keySchema = definition.keySchema;
      core.valueSchema = definition.valueSchema;
    }
    this.#bindIndexes(core, entry, indexes);
    return core;
  }

  /** The indexes of a store are others now: for all that are open under its name. */
  #bindAgain(name: string, altered: CatalogEntry): void {
    for (const { core, definition } of this.#open) {
      if (core.name === name) this.#bindIndexes(core, altered, definition?.indexes);
    }
  }

  #bindIndexes(core: StoreCore, entry: CatalogEntry, definitions: readonly IndexDefinition[] | undefined): void {
    core.indexDefinitions = definitions;
    core.indexSet = indexesFor(entry, definitions);
    if (core.indexSet === undefined || !core.writable) core.indexes = undefined;
    else {
      const changesId = entry.stored.next?.changesId;
      core.indexes = new StoreIndexes(core.name, this.engine, entry.codec, core.indexSet, changesId);
    }
    if (core.openIndexes !== undefined) core.setGone(core.gone);
  }

  #openUnder(definition: AnyDefinition): StoreCore | undefined {
    if (this.#openByDefinition !== undefined) return this.#openByDefinition.get(definition);
    // From the last: a definition opened again after a drop stands behind its first opening.
    for (let i = this.#open.length - 1; i >= 0; i--) {
      const open = this.#open[i] as OpenStore;
      if (open.definition === definition) return open.core;
    }
    return undefined;
  }

  #keep(definition: AnyDefinition | undefined, core: StoreCore): StoreCore {
    const open = this.#open;
    open.push({ definition, core });
    if (open.length > FEW_STORES) {
      this.#openByDefinition ??= new Map(open.flatMap((one) => (one.definition ? [[one.definition, one.core]] : [])));
      if (definition !== undefined) this.#openByDefinition.set(definition, core);
    }
    return core;
  }

  #retire(name: string): void {
    for (const { core } of this.#open) if (core.name === name) core.setGone(true);
  }

  /** The committed row of a store in use; its own rows need no expectation. */
  #expect(entry: CatalogEntry): void {
    const { name } = entry.stored;
    if (this.engine.kind !== 'write' || !this.#expectsAnew(name)) return;
    this.engine.expectRow(CATALOG_STORE, entry.nameBytes, entry.row);
  }

  /**
   * A name that is taken. Also where something is expected of it: that may have been left behind by what a rollback to a savepoint
   * undid, and allow a store that is not this one.
   */
  #expectAbsent(entry: CatalogEntry, orEqual: Uint8Array | undefined): void {
    const { name } = entry.stored;
    if (this.#own?.has(name)) return;
    this.#expectsAnew(name);
    this.engine.expectRow(CATALOG_STORE, entry.nameBytes, undefined, orEqual);
  }

  #expectsAnew(name: string): boolean {
    if (this.#own?.has(name) || this.#expectedFirst === name || this.#expected?.has(name)) return false;
    if (this.#expectedFirst === undefined) {
      this.#expectedFirst = name;
      return true;
    }
    this.#expected ??= new Set();
    this.#expected.add(name);
    return true;
  }

  #putRow(entry: CatalogEntry, existed: boolean | undefined): void {
    const { nameBytes, row } = entry;
    this.engine.put(CATALOG_STORE, nameBytes, 0, nameBytes.length, row, 0, row.length, existed);
  }

  #mustWriteCatalog(): void {
    this.mustBeOpen();
    if (this.engine.kind !== 'write') {
      throw new ReadOnlyError(`a transaction of kind '${this.engine.kind}' changes nothing; use db.write`);
    }
  }

  #beginCatalogChange(): void {
    this.#own ??= new Map();
    if (this.#changesCatalog) return;
    this.#changesCatalog = true;
    this.#catalog.changeBegins();
    this.engine.onCommit((number) => {
      this.#catalog.changeEnds(number);
      this.#catalog.forgetFunctions(this.#droppedIndexes ?? []);
    });
    this.engine.onRollback(() => this.#catalog.changeEnds());
  }
}

function mustHaveNext({ stored }: CatalogEntry): StoredNext {
  if (stored.next !== undefined) return stored.next;
  throw new AbortedError(`store '${stored.name}': its redefinition was given up meanwhile`, {
    details: { store: stored.name },
  });
}
