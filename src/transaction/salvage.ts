/**
 * Salvage: what is readable of a damaged database is written into a new one, and what is not is named.
 *
 *  1. The damaged folder is only read. The new one must not hold a database yet.
 *  2. Only what carries its checksum and stands where it says it does is taken: nothing is invented. Trees first, as of the newest
 *     root that can be read, then what the log says after it, transaction by transaction.
 *  3. Numbers go on behind all that the old one gave out: items of stores of equal keys are named by theirs.
 *  4. Damage is passed over, however much of it there is: each piece is named once, and the rest goes on.
 */
import { copyBytes } from '../base/bytes.ts';
import { AbortedError, type ErrorCode, InvalidArgumentError, SopError } from '../base/errors.ts';
import { FIRST_USER_STORE_ID, MAX_LOG_VALUE_BYTES } from '../base/limits.ts';
import { CELL_SEPARATE, CELL_WANTS_SEPARATE, cellValueStart, VALUE_REFERENCE_BYTES } from '../codec/cell.ts';
import { decodeStoreDefinition, type StoredDefinition, storeIdsOf } from '../codec/store-definition.ts';
import type { Env } from '../env/env.ts';
import { KIND_DECIDE, KIND_MUST_UNDERSTAND, KIND_PREPARE, KIND_USER } from '../log/batch.ts';
import type { BatchCursor } from '../log/batch-cursor.ts';
import { epochPath } from '../log/epoch-file.ts';
import { AT } from '../node/entry-cursor.ts';
import type { Handle } from '../node/handle.ts';
import { ImageCache } from '../node/image-cache.ts';
import { BackupTarget } from '../storage/backup-target.ts';
import { DatabaseFolder } from '../storage/database-folder.ts';
import { decodeDecision, PreparedSet } from '../storage/prepared-set.ts';
import { EMPTY_ROOT, encodeRoot } from '../storage/root.ts';
import { type FoundBatch, type FoundLog, readBatch, walkBatch } from '../storage/salvage-log.ts';
import type { Lost } from '../storage/salvage-report.ts';
import { walkImages, walkTree } from '../storage/salvage-trees.ts';
import { Segments } from '../storage/segments.ts';
import {
  CATALOG_STORE,
  DROPPED_STORE,
  INDEX_STATE_STORE,
  PIN_STORE,
  PREPARED_STORE,
  SHAPE_STORE,
} from '../storage/system-stores.ts';
import { formatTransactionId } from '../storage/transaction-ids.ts';
import { readValueSync } from '../storage/value-log.ts';
import { openEngine } from './engine.ts';
import type { EngineApi, EngineTransaction } from './engine-api.ts';
import { wholeCell } from './prepared.ts';
import { ignoringErrors } from './running-engine.ts';
import { LoggedChanges } from './salvage-changes.ts';
import { Losses } from './salvage-losses.ts';
import { type ChosenTrees, SalvageSource } from './salvage-source.ts';
import { SystemRows } from './salvage-system.ts';

/** What a salvage has brought along so far. */
export interface SalvageProgress {
  readonly entries: number;
  readonly transactions: number;
}

/** What came of a salvage. */
export interface FloorSalvageReport {
  /** Entries taken from trees, and transactions taken from the log behind them. */
  readonly entries: number;
  readonly transactions: number;
  /** The number that the root covers whose trees were read; 0 where there is none. */
  readonly rootNumber: number;
  /** The newest root could not be used: an older one was, or none. */
  readonly olderRoot: boolean;
  /** All that could not be brought along; empty where the database was sound. */
  readonly lost: readonly Lost[];
  /** Of the stores that were met, by id. */
  readonly definitions: ReadonlyMap<number, StoredDefinition>;
}

export interface FloorSalvageOptions {
  readonly env: Env;
  /** The damaged database's folder. */
  readonly from: string;
  /** The new one's. */
  readonly to: string;
  /** The world of the damaged folder, where that is another one. */
  readonly fromEnv?: Env;
  readonly onProgress?: (progress: SalvageProgress) => void;
  /** Ends it with `AbortedError`; the new folder stays marked as incomplete. */
  readonly signal?: AbortSignal;
  /** What is to be done to the new database before it counts as whole. */
  readonly complete?: (target: EngineApi, losses: Losses) => Promise<void>;
}

const CACHE_BYTES = 4 * 1024 * 1024;
/** Of the new one. */
const TARGET_SIZES = { cacheBytes: 16 * 1024 * 1024, tableBytes: 16 * 1024 * 1024 };
/** Of entries, in one transaction of the new database. */
const CHUNK_BYTES = 1024 * 1024;
/** A store id far above all that were given out is no store's. */
const MOST_STORES = 10_000_000;

export async function salvage(options: FloorSalvageOptions): Promise<FloorSalvageReport> {
  const { env, fromEnv = env } = options;
  // Once: the working directory may change on the way.
  const to = env.files.absolute(options.to);
  const from = fromEnv.files.absolute(options.from);
  new DatabaseFolder(fromEnv, from).mustHaveNoLiveOwner();
  if (new DatabaseFolder(env, to).readIdentity() !== undefined) {
    throw new InvalidArgumentError(`${to} holds a database already; salvage writes into a new folder`);
  }
  if (env.files.status(to) !== undefined && env.files.list(to).some((name) => name !== 'lock')) {
    throw new InvalidArgumentError(`${to} is not empty; salvage writes into a new folder`);
  }
  const report = await new Salvage({ ...options, from, to }).run(async (covered) => {
    await createAt(env, to, covered);
    return openEngine(env, { folder: to, isUnfinished: true, ...TARGET_SIZES });
  });
  new DatabaseFolder(env, to).unmarkIncomplete();
  return report;
}

/** An empty database whose next transaction gets the number after `covered`; marked, so that nobody takes half a salvage for all of it. */
async function createAt(env: Env, folder: string, covered: number): Promise<void> {
  const id = new Uint8Array(16);
  env.random.fill(id);
  const target = new BackupTarget(env, folder, { id, features: [] });
  target.open();
  try {
    await target.finish(encodeRoot({ ...EMPTY_ROOT, covered }, new Segments(env, `${folder}/data`)), new Set(), true);
  } finally {
    target.close();
  }
}

class Salvage {
  readonly #options: FloorSalvageOptions;
  readonly #env: Env;
  readonly #segments: Segments;
  readonly #cache: ImageCache;
  readonly #losses = new Losses();
  readonly #definitions = new Map<number, StoredDefinition>();
  /** Those that wait for their decision at the place in the log that was come to. */
  readonly #prepared = new PreparedSet();
  readonly #system = new SystemRows();
  /** Stores that something was written to. */
  readonly #filled = new Set<number>();
  #entries = 0;
  #transactions = 0;
  #nextStoreId = FIRST_USER_STORE_ID;

  constructor(options: FloorSalvageOptions) {
    this.#options = options;
    this.#env = options.fromEnv ?? options.env;
    this.#segments = new Segments(this.#env, `${options.from}/data`);
    this.#cache = new ImageCache({ limitBytes: CACHE_BYTES, reader: this.#segments, names: this.#segments });
  }

  /** `openTarget`: the new database, where all numbers up to the one given are taken. */
  async run(openTarget: (covered: number) => Promise<EngineApi>): Promise<FloorSalvageReport> {
    try {
      const source = new SalvageSource({
        env: this.#env,
        folder: this.#options.from,
        segments: this.#segments,
        cache: this.#cache,
        losses: this.#losses,
      });
      const log = source.readLog();
      const trees = source.choose(log);
      const newest = log.batches.reduce(
        (most, { firstNumber, count }) => Math.max(most, firstNumber + count - 1),
        trees.covered,
      );
      const target = await openTarget(newest);
      try {
        await this.#fill(target, trees, log);
      } catch (error) {
        // What happened says more than what a closing after it would.
        await ignoringErrors(() => target.close());
        throw error;
      }
      await target.close();
      return {
        entries: this.#entries,
        transactions: this.#transactions,
        rootNumber: trees.covered,
        olderRoot: trees.isOlder,
        lost: this.#losses.list(),
        definitions: this.#definitions,
      };
    } finally {
      this.#segments.close();
    }
  }

  async #fill(target: EngineApi, { stores, covered, nextStoreId }: ChosenTrees, log: FoundLog): Promise<void> {
    this.#meet(nextStoreId - 1);
    // Names first: what is lost can then be told by name.
    for (const [storeId, root] of stores) await this.#copyStore(target, storeId, root);
    this.#noteMissingTrees();
    await this.#replay(target, log, covered);
    for (const name of this.#system.pins) this.#losses.note({ what: `the pin '${name}': pins are not brought along` });
    this.#noteUndefined(target);
    this.#reserveIds(target);
    await this.#options.complete?.(target, this.#losses);
  }

  /** Stores of the catalog whose roots stood in a part of the forest that is lost. */
  #noteMissingTrees(): void {
    for (const { id } of this.#definitions.values()) {
      if (this.#losses.isTreeMissing(id)) {
        this.#losses.note({ what: 'the tree of a store: what names it is lost', store: id });
      }
    }
  }

  /** Stores with entries that no definition is left for. */
  #noteUndefined(target: EngineApi): void {
    const tx = target.begin('read');
    try {
      const cursor = tx.cursor(CATALOG_STORE);
      cursor.waits = true;
      const known = new Set<number>();
      for (let step = cursor.first(); step === AT; step = cursor.next()) {
        const row = decodeStoreDefinition(copyBytes(cursor.cellBytes, cursor.cellStart, cursor.cellEnd), 1);
        for (const id of storeIdsOf(row)) known.add(id);
      }
      tx.waits = true;
      for (const store of [...this.#filled].sort((a, b) => a - b)) {
        if (store < FIRST_USER_STORE_ID || known.has(store) || this.#system.dropped.has(store)) continue;
        const entries = tx.count(store, undefined, undefined);
        const what = 'the definition of a store or an index: its entries were brought along, but nobody can reach them';
        if (entries > 0) this.#losses.note({ what, store, entries });
      }
    } finally {
      tx.rollback();
    }
  }

  /** A store's tree as of the root, in transactions of some megabytes. */
  async #copyStore(target: EngineApi, storeId: number, root: Handle): Promise<void> {
    if (storeId === PREPARED_STORE) this.#readPrepared(root);
    if (storeId === PIN_STORE || storeId === DROPPED_STORE) this.#readSystem(storeId, root);
    if (!isCopied(storeId) || this.#system.dropped.has(storeId)) return;
    this.#meet(storeId);
    let chunk: [Uint8Array, Uint8Array][] = [];
    let size = 0;
    const images = walkImages(this.#cache, storeId, root, {
      entry: (key, cells, start, end) => {
        chunk.push([key, cells.slice(start, end)]);
        size += key.length + end - start;
      },
      lost: this.#losses.note,
    });
    for (let isThrough = false; !isThrough; ) {
      isThrough = images.next().done === true;
      if (size < CHUNK_BYTES && !isThrough) continue;
      await this.#copyChunk(target, storeId, chunk);
      chunk = [];
      size = 0;
    }
  }

  async #copyChunk(target: EngineApi, storeId: number, entries: readonly [Uint8Array, Uint8Array][]): Promise<void> {
    this.#mustGoOn();
    if (entries.length === 0) return;
    const tx = target.begin('write');
    for (const [key, cell] of entries) if (this.#put(tx, storeId, key, cell)) this.#entries++;
    await tx.commit();
    this.#tell();
  }

  #readSystem(storeId: number, root: Handle): void {
    walkTree(this.#cache, storeId, root, {
      entry: (key) => this.#system.put(storeId, key),
      lost: this.#losses.note,
    });
  }

  #readPrepared(root: Handle): void {
    walkTree(this.#cache, PREPARED_STORE, root, {
      entry: (key, cells, start, end) => {
        this.#trying('a prepared transaction', {}, () => {
          const cell = wholeCell(this.#segments, cells.slice(start, end));
          this.#prepared.load(key, 0, key.length, cell);
        });
      },
      lost: this.#losses.note,
    });
  }

  /** False where it failed, which is noted. */
  #trying(what: string, place: { file?: string; offset?: number }, work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (!(error instanceof SopError)) throw error;
      this.#losses.note({ what: `${what}: ${error.message}`, ...place });
      return false;
    }
  }

  /** False where the value is lost. */
  #put(tx: EngineTransaction, storeId: number, key: Uint8Array, cell: Uint8Array): boolean {
    const own = this.#readEntry(storeId, key, cell);
    if (own === undefined) return false;
    const { value } = own;
    try {
      const placed = value === undefined ? own.cell : this.#place(tx, storeId, key, own.cell, value);
      tx.put(storeId, key, 0, key.length, placed, 0, placed.length, undefined);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#noteEntry(storeId, key, error);
      return false;
    }
    this.#filled.add(storeId);
    return true;
  }

  /** The cell, and its value where that stands elsewhere; undefined where it is lost. */
  #readEntry(
    store: number,
    key: Uint8Array,
    cell: Uint8Array,
  ): { cell: Uint8Array; value: Uint8Array | undefined } | undefined {
    try {
      const isElsewhere = ((cell[0] as number) & CELL_SEPARATE) !== 0;
      const value = isElsewhere ? readValueSync(this.#segments, cell, 0, cell.length) : undefined;
      if (store === CATALOG_STORE) this.#learnName(value === undefined ? cell : joined(cell, value));
      return { cell, value };
    } catch (error) {
      if (!(error instanceof SopError)) throw error;
      this.#noteEntry(store, key, error);
      return undefined;
    }
  }

  #noteEntry(store: number, key: Uint8Array, error: SopError): void {
    const { file, offset } = error.details as { file?: string; offset?: number };
    const place = { ...(file === undefined ? {} : { file }), ...(offset === undefined ? {} : { offset }) };
    this.#losses.note({ what: `an entry: ${error.message}`, store, entries: 1, key, ...place });
  }

  /** The cell with its value in place, or with a reference to where the new database keeps it. */
  #place(tx: EngineTransaction, storeId: number, key: Uint8Array, cell: Uint8Array, value: Uint8Array): Uint8Array {
    if (value.length <= MAX_LOG_VALUE_BYTES) return joined(cell, value);
    const start = cellValueStart(cell, 0);
    const own = new Uint8Array(start + VALUE_REFERENCE_BYTES);
    own.set(cell.subarray(0, start));
    own.set(tx.writeValue(storeId, key, 0, key.length, value), start);
    return own;
  }

  #learnName(cell: Uint8Array): void {
    const stored = decodeStoreDefinition(cell, 1);
    this.#definitions.set(stored.id, stored);
    for (const id of storeIdsOf(stored)) this.#meet(id);
  }

  #meet(storeId: number): void {
    this.#nextStoreId = Math.max(this.#nextStoreId, storeId + 1);
  }

  /** What the log says after the root, one transaction of the new database for each. */
  async #replay(target: EngineApi, { batches }: FoundLog, covered: number): Promise<void> {
    let expected = covered + 1;
    for (const batch of batches) {
      if (batch.firstNumber + batch.count - 1 <= covered) continue;
      if (batch.firstNumber > expected) {
        this.#losses.gap();
        this.#losses.note({
          what: `transactions ${expected} to ${batch.firstNumber - 1}: the log does not hold them any more`,
        });
      }
      expected = Math.max(expected, batch.firstNumber + batch.count);
      await this.#replayBatch(target, batch, covered);
    }
    for (const { writer, counter } of this.#prepared.undecided) {
      const id = formatTransactionId(writer, counter);
      this.#losses.note({ what: `the prepared transaction ${id}: it has not been decided, and is not brought along` });
    }
  }

  #readBatch(path: string, batch: FoundBatch): Uint8Array | undefined {
    const { firstNumber, count, offset } = batch;
    let bytes: Uint8Array | undefined;
    const what = `transactions ${firstNumber} to ${firstNumber + count - 1}`;
    const isRead = this.#trying(what, { file: path, offset }, () => {
      const file = this.#env.files.open(path, { mode: 'read' });
      try {
        bytes = readBatch(file, batch);
      } finally {
        file.close();
      }
    });
    if (!isRead) this.#losses.gap();
    return bytes;
  }

  async #replayBatch(target: EngineApi, batch: FoundBatch, covered: number): Promise<void> {
    const path = epochPath(this.#options.from, batch.epoch);
    this.#mustGoOn();
    const bytes = this.#readBatch(path, batch);
    if (bytes === undefined) return;
    const cursor = walkBatch(bytes, batch, path);
    while (cursor.nextTransaction()) {
      if (cursor.number <= covered) continue;
      const { kind, number, idWriter, idCounter, transactionStart } = cursor;
      const place = { file: path, offset: batch.offset };
      if (kind === KIND_USER) await this.#replayOne(target, cursor, number, path, batch.offset);
      else if (kind === KIND_PREPARE) {
        const record = bytes.slice(transactionStart, transactionStart + cursor.byteLength);
        this.#prepared.add(idWriter, idCounter, number, record);
      } else if (kind === KIND_DECIDE) {
        const changes = this.#decided(cursor, place);
        if (changes !== undefined) await this.#replayOne(target, changes, number, path, batch.offset);
      } else if ((kind & KIND_MUST_UNDERSTAND) !== 0) {
        this.#losses.note({ what: `transaction ${number}: it is of a kind that this program does not know`, ...place });
        this.#losses.gap();
      }
    }
  }

  /** The prepared transaction that a decision commits. */
  #decided(cursor: BatchCursor, place: { file: string; offset: number }): BatchCursor | undefined {
    let changes: BatchCursor | undefined;
    const isRead = this.#trying(`transaction ${cursor.number}, the decision of a prepared one`, place, () => {
      const decision = decodeDecision(cursor.bytes, cursor.payloadStart, cursor.payloadLength);
      const isLost = !decision.isCommit && this.#prepared.get(decision.writer, decision.counter) === undefined;
      const one = isLost ? undefined : this.#prepared.decide(decision, cursor.number);
      if (one?.committed === true) changes = one.open();
    });
    if (!isRead) this.#losses.gap();
    return changes;
  }

  /** `number`: under which its changes count. */
  async #replayOne(
    target: EngineApi,
    cursor: BatchCursor,
    number: number,
    file: string,
    offset: number,
  ): Promise<void> {
    const tx = target.begin('write');
    const changes = new LoggedChanges({
      number,
      cache: this.#cache,
      segments: this.#segments,
      note: this.#losses.note,
      isUnknown: this.#losses.isUnknown,
      put: (storeId, key, cell) => this.#put(tx, storeId, key, cell),
    });
    try {
      const dropped: number[] = [];
      while (cursor.nextSection()) {
        dropped.push(...this.#system.take(cursor));
        if (!isCopied(cursor.storeId)) continue;
        this.#meet(cursor.storeId);
        const { bytes, sectionStart, sectionLength } = cursor;
        // A record of a key counts over the range removals of its transaction.
        changes.applyRecords(tx, cursor.storeId, bytes, sectionStart, sectionLength, true);
        changes.applyRecords(tx, cursor.storeId, bytes, sectionStart, sectionLength, false);
      }
      while (cursor.nextRun()) {
        if (!isCopied(cursor.runStoreId)) continue;
        this.#meet(cursor.runStoreId);
        changes.applyRun(tx, cursor);
      }
      for (const id of dropped) tx.removeRange(id, undefined, undefined);
      await tx.commit();
      this.#transactions++;
      this.#tell();
    } catch (error) {
      tx.rollback();
      if (!isDamage(error)) throw error;
      this.#losses.note({ what: `transaction ${number}: ${error.message}`, file, offset });
      this.#losses.gap();
    }
  }

  /** No id that was met is given out again. */
  #reserveIds(target: EngineApi): void {
    if (this.#nextStoreId > MOST_STORES) return;
    while (target.newStoreId() < this.#nextStoreId);
  }

  #mustGoOn(): void {
    const { signal } = this.#options;
    if (signal?.aborted === true) throw new AbortedError('the salvage was aborted', { cause: signal.reason });
  }

  #tell(): void {
    this.#options.onProgress?.({ entries: this.#entries, transactions: this.#transactions });
  }
}

const DAMAGE: readonly ErrorCode[] = ['CORRUPTION', 'FORMAT_UNSUPPORTED', 'LIMIT_EXCEEDED', 'INVALID_ARGUMENT'];

/** Whether an error comes of what was read. A full or broken disk of the new database is no damage of the old one. */
function isDamage(error: unknown): error is SopError {
  return error instanceof SopError && DAMAGE.includes(error.code);
}

/** The cell with its value in place. */
function joined(cell: Uint8Array, value: Uint8Array): Uint8Array {
  const start = cellValueStart(cell, 0);
  const own = new Uint8Array(start + value.length);
  own.set(cell.subarray(0, start));
  own.set(value, start);
  own[0] = ((cell[0] as number) & ~CELL_SEPARATE) | CELL_WANTS_SEPARATE;
  return own;
}

const COPIED: readonly number[] = [CATALOG_STORE, SHAPE_STORE, INDEX_STATE_STORE];

/** Users' stores, and of the engine's own those that say what is in them. */
function isCopied(storeId: number): boolean {
  return storeId >= FIRST_USER_STORE_ID || COPIED.includes(storeId);
}
