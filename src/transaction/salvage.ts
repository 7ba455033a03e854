/**
 * Salvage: what is readable of a damaged database is written into a new one, and what is not is named.
 *
 *  1. The damaged folder is only read. The new one must not hold a database yet.
 *  2. Only what carries its checksum and stands where it says it does is taken: nothing is invented. Trees first, as of the newest
 *     root that can be read, then what the log says after it, transaction by transaction.
 *  3. Numbers go on behind all that the old one gave out: items of stores of equal keys are named by theirs.
 *  4. Damage is passed over, however much of it there is: each piece is named once, and the rest goes on.
 */
import { compareKeys, readU32 } from '../base/bytes.ts';
import { AbortedError, InvalidArgumentError, SopError } from '../base/errors.ts';
import { FIRST_USER_STORE_ID, MAX_LOG_VALUE_BYTES } from '../base/limits.ts';
import { CELL_SEPARATE, CELL_WANTS_SEPARATE, cellValueStart, VALUE_REFERENCE_BYTES } from '../codec/cell.ts';
import { decodeStoreDefinition, type StoredDefinition } from '../codec/store-definition.ts';
import type { Env } from '../env/env.ts';
import { KIND_DECIDE, KIND_MUST_UNDERSTAND, KIND_PREPARE, KIND_USER } from '../log/batch.ts';
import type { BatchCursor } from '../log/batch-cursor.ts';
import { epochPath } from '../log/epoch-file.ts';
import { decodeHandle, HANDLE_BYTES, type Handle } from '../node/handle.ts';
import { ImageCache } from '../node/image-cache.ts';
import { BackupTarget } from '../storage/backup-target.ts';
import { DatabaseFolder } from '../storage/database-folder.ts';
import { decodeDecision, PreparedSet } from '../storage/prepared-set.ts';
import { decodeRoot, EMPTY_ROOT, encodeRoot } from '../storage/root.ts';
import { type FoundBatch, type FoundLog, readBatch, readDamagedLog, walkBatch } from '../storage/salvage-log.ts';
import type { Lost } from '../storage/salvage-report.ts';
import { findForests, walkImages, walkTree } from '../storage/salvage-trees.ts';
import { Segments } from '../storage/segments.ts';
import {
  CATALOG_STORE,
  FOREST_STORE,
  idOfKey,
  INDEX_STATE_STORE,
  PREPARED_STORE,
  SHAPE_STORE,
} from '../storage/system-stores.ts';
import { formatTransactionId } from '../storage/transaction-ids.ts';
import { readValueSync } from '../storage/value-log.ts';
import { openEngine } from './engine.ts';
import { wholeCell } from './prepared.ts';
import { LoggedChanges } from './salvage-changes.ts';
import type { EngineApi, EngineTransaction } from './engine-api.ts';

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
}

/** Longest list of losses; a badly damaged database would fill the memory with them. */
const MOST_LOST = 10_000;
const CACHE_BYTES = 4 * 1024 * 1024;
/** Of the new one. */
const TARGET_SIZES = { cacheBytes: 16 * 1024 * 1024, tableBytes: 16 * 1024 * 1024 };
/** Of entries, in one transaction of the new database. */
const CHUNK_BYTES = 1024 * 1024;
/** A store id far above all that were given out is no store's. */
const MOST_STORES = 10_000_000;

export async function salvage(options: FloorSalvageOptions): Promise<FloorSalvageReport> {
  const { env, to } = options;
  const found = new Salvage(options);
  if (new DatabaseFolder(env, to).readIdentity() !== undefined) {
    throw new InvalidArgumentError(`${to} holds a database already; salvage writes into a new folder`);
  }
  if (env.files.status(to) !== undefined && env.files.list(to).some((name) => name !== 'lock')) {
    throw new InvalidArgumentError(`${to} is not empty; salvage writes into a new folder`);
  }
  const report = await found.run(async (covered) => {
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
  readonly #lost: Lost[] = [];
  readonly #definitions = new Map<number, StoredDefinition>();
  /** Those that wait for their decision at the place in the log that was come to. */
  readonly #prepared = new PreparedSet();
  /** Changes between what was read and what follows are lost. */
  #isGapped = false;
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
    let target: EngineApi | undefined;
    try {
      const { from } = this.#options;
      const id = this.#identity();
      const log = id === undefined ? NO_LOG : readDamagedLog(this.#env, from, id, this.#note);
      const { forest, covered, isOlder } = this.#chooseRoot(log);
      this.#isGapped = isOlder;
      target = await openTarget(
        log.batches.reduce((most, { firstNumber, count }) => Math.max(most, firstNumber + count - 1), covered),
      );
      const roots = forest === undefined ? [] : this.#readForest(forest);
      // Names first: what is lost can then be told by name.
      for (const [storeId, root] of roots.sort(([a], [b]) => a - b)) await this.#copyStore(target, storeId, root);
      await this.#replay(target, log, covered);
      this.#reserveIds(target);
      const named = this.#lost.map((one) => this.#withName(one));
      const { length } = this.#lost;
      if (length >= MOST_LOST) named.push({ what: `more than ${MOST_LOST} pieces are lost; these are the first` });
      return {
        entries: this.#entries,
        transactions: this.#transactions,
        rootNumber: covered,
        olderRoot: isOlder,
        lost: named,
        definitions: this.#definitions,
      };
    } finally {
      await target?.close();
      this.#segments.close();
    }
  }

  readonly #note = (what: Lost): void => {
    if (this.#lost.length < MOST_LOST) this.#lost.push(what);
  };

  /** Whether an entry under the key may be among what is lost. */
  readonly #isUnknown = (storeId: number, key: Uint8Array): boolean => {
    if (this.#isGapped) return true;
    return this.#lost.some(({ store, key: only, lower, upper }) => {
      if (store !== storeId) return false;
      if (only !== undefined) return compareKeys(key, only) === 0;
      if (lower !== undefined && compareKeys(key, lower) < 0) return false;
      return upper === undefined || compareKeys(key, upper) < 0;
    });
  };

  #withName(lost: Lost): Lost {
    const name = lost.store === undefined ? undefined : this.#definitions.get(lost.store)?.name;
    return name === undefined ? lost : { ...lost, name };
  }

  /** From sop.json, or where that is damaged from a segment or a log file: all of them name the database. */
  #identity(): Uint8Array | undefined {
    const { from } = this.#options;
    try {
      return new DatabaseFolder(this.#env, from).mustReadIdentity().id;
    } catch (error) {
      if (!(error instanceof SopError)) throw error;
      const id = this.#idIn(`${from}/log`, 24) ?? this.#idIn(`${from}/data`, 8);
      if (id === undefined) throw error;
      this.#note({ what: `the identity: ${error.message}`, file: `${from}/sop.json`, offset: 0 });
      return id;
    }
  }

  #idIn(folder: string, at: number): Uint8Array | undefined {
    const { files } = this.#env;
    if (files.status(folder) === undefined) return undefined;
    for (const name of files.list(folder).reverse()) {
      const file = files.open(`${folder}/${name}`, { mode: 'read' });
      const id = new Uint8Array(16);
      const magic = new Uint8Array(4);
      const got = file.readSync(id, at);
      file.readSync(magic, 0);
      file.close();
      const word = readU32(magic, 0);
      if (got === 16 && (word === EPOCH_MAGIC_WORD || word === SEGMENT_MAGIC_WORD)) return id;
    }
    return undefined;
  }

  /** The newest root whose forest can be read at its top; forests that nobody names any more where there is none. */
  #chooseRoot({ roots, batches }: FoundLog): { forest: Handle | undefined; covered: number; isOlder: boolean } {
    const decoded = roots.flatMap((bytes) => {
      try {
        return [decodeRoot(bytes, this.#segments)];
      } catch (error) {
        if (!(error instanceof SopError)) throw error;
        this.#note({ what: `a root record: ${error.message}` });
        return [];
      }
    });
    decoded.sort((a, b) => b.covered - a.covered);
    for (const [at, { forest, covered }] of decoded.entries()) {
      if (forest === undefined || this.#isReadable(forest))
        return { forest, covered, isOlder: at > 0 && decoded[0]?.covered !== covered };
    }
    // All that a log from the first number on says is everything.
    const isWhole = decoded.length === 0 && batches[0]?.firstNumber === 1;
    const forest = isWhole ? undefined : findForests(this.#segments).find((one) => this.#isReadable(one));
    if (forest !== undefined) return { forest, covered: forest.newest, isOlder: true };
    if (decoded.length > 0) this.#note({ what: 'all trees: no root can be read' });
    return { forest: undefined, covered: 0, isOlder: decoded.length > 0 };
  }

  #isReadable(forest: Handle): boolean {
    let isGood = false;
    let losses = 0;
    walkTree(this.#cache, FOREST_STORE, forest, {
      entry: () => {
        isGood = true;
      },
      lost: (what) => {
        if (losses++ === 0) this.#note(what);
      },
    });
    return isGood;
  }

  #readForest(forest: Handle): [number, Handle][] {
    const stores: [number, Handle][] = [];
    walkTree(this.#cache, FOREST_STORE, forest, {
      entry: (key, cells, start, end) => {
        if (key.length !== 4 || end - start !== HANDLE_BYTES + 1)
          return this.#note({ what: 'a malformed row of the forest' });
        stores.push([idOfKey(key, 0), decodeHandle(cells, start + 1, this.#segments)]);
      },
      lost: () => {},
    });
    return stores;
  }

  /** A store's tree as of the root, in transactions of some megabytes. */
  async #copyStore(target: EngineApi, storeId: number, root: Handle): Promise<void> {
    if (storeId === PREPARED_STORE) this.#readPrepared(root);
    if (!isCopied(storeId)) return;
    this.#meet(storeId);
    let chunk: [Uint8Array, Uint8Array][] = [];
    let size = 0;
    const images = walkImages(this.#cache, storeId, root, {
      entry: (key, cells, start, end) => {
        chunk.push([key, cells.slice(start, end)]);
        size += key.length + end - start;
      },
      lost: this.#note,
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

  #readPrepared(root: Handle): void {
    walkTree(this.#cache, PREPARED_STORE, root, {
      entry: (key, cells, start, end) => {
        this.#trying('a prepared transaction', {}, () => {
          const cell = wholeCell(this.#segments, cells.slice(start, end));
          this.#prepared.load(key, 0, key.length, cell);
        });
      },
      lost: this.#note,
    });
  }

  #trying(what: string, place: { file?: string; offset?: number }, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof SopError)) throw error;
      this.#note({ what: `${what}: ${error.message}`, ...place });
    }
  }

  /** False where the value is lost. */
  #put(tx: EngineTransaction, storeId: number, key: Uint8Array, cell: Uint8Array): boolean {
    try {
      const own = ((cell[0] as number) & CELL_SEPARATE) === 0 ? cell : this.#fetch(tx, storeId, key, cell);
      if (storeId === CATALOG_STORE) this.#learnName(own);
      tx.put(storeId, key, 0, key.length, own, 0, own.length, undefined);
      return true;
    } catch (error) {
      if (!(error instanceof SopError)) throw error;
      const { file, offset } = error.details as { file?: string; offset?: number };
      const place = { ...(file === undefined ? {} : { file }), ...(offset === undefined ? {} : { offset }) };
      this.#note({ what: `an entry: ${error.message}`, store: storeId, entries: 1, key, ...place });
      return false;
    }
  }

  /** The cell with its value in place, or with a reference to where the new database keeps it. */
  #fetch(tx: EngineTransaction, storeId: number, key: Uint8Array, cell: Uint8Array): Uint8Array {
    const value = readValueSync(this.#segments, cell, 0, cell.length);
    const start = cellValueStart(cell, 0);
    const isLong = value.length > MAX_LOG_VALUE_BYTES;
    const body = isLong ? tx.writeValue(storeId, key, 0, key.length, value) : value;
    const own = new Uint8Array(start + (isLong ? VALUE_REFERENCE_BYTES : value.length));
    own.set(cell.subarray(0, start));
    own.set(body, start);
    if (!isLong) own[0] = ((cell[0] as number) & ~CELL_SEPARATE) | CELL_WANTS_SEPARATE;
    return own;
  }

  #learnName(cell: Uint8Array): void {
    const stored = decodeStoreDefinition(cell, 1);
    this.#definitions.set(stored.id, stored);
    this.#meet(stored.id);
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
        this.#isGapped = true;
        this.#note({
          what: `transactions ${expected} to ${batch.firstNumber - 1}: the log does not hold them any more`,
        });
      }
      expected = Math.max(expected, batch.firstNumber + batch.count);
      await this.#replayBatch(target, batch, covered);
    }
    for (const { writer, counter } of this.#prepared.undecided) {
      const id = formatTransactionId(writer, counter);
      this.#note({ what: `the prepared transaction ${id}: it has not been decided, and is not brought along` });
    }
  }

  async #replayBatch(target: EngineApi, batch: FoundBatch, covered: number): Promise<void> {
    const path = epochPath(this.#options.from, batch.epoch);
    this.#mustGoOn();
    const file = this.#env.files.open(path, { mode: 'read' });
    const bytes = readBatch(file, batch);
    file.close();
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
        this.#note({ what: `transaction ${number}: it is of a kind that this program does not know`, ...place });
      }
    }
  }

  /** The prepared transaction that a decision commits. */
  #decided(cursor: BatchCursor, place: { file: string; offset: number }): BatchCursor | undefined {
    let changes: BatchCursor | undefined;
    this.#trying(`transaction ${cursor.number}, the decision of a prepared one`, place, () => {
      const decision = decodeDecision(cursor.bytes, cursor.payloadStart, cursor.payloadLength);
      const isLost = !decision.isCommit && this.#prepared.get(decision.writer, decision.counter) === undefined;
      const one = isLost ? undefined : this.#prepared.decide(decision, cursor.number);
      if (one?.committed === true) changes = one.open();
    });
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
      note: this.#note,
      isUnknown: this.#isUnknown,
      put: (storeId, key, cell) => this.#put(tx, storeId, key, cell),
    });
    try {
      while (cursor.nextSection()) {
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
      await tx.commit();
      this.#transactions++;
      this.#tell();
    } catch (error) {
      tx.rollback();
      if (!(error instanceof SopError)) throw error;
      this.#note({ what: `transaction ${number}: ${error.message}`, file, offset });
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

const NO_LOG: FoundLog = { batches: [], roots: [] };
const EPOCH_MAGIC_WORD = 0x45504f53;
const SEGMENT_MAGIC_WORD = 0x47455353;

const COPIED: readonly number[] = [CATALOG_STORE, SHAPE_STORE, INDEX_STATE_STORE];

/** Users' stores, and of the engine's own those that say what is in them. */
function isCopied(storeId: number): boolean {
  return storeId >= FIRST_USER_STORE_ID || COPIED.includes(storeId);
}
