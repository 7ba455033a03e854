/**
 * The state of an open database: the newest view, the tables still remembered for checking commits, the ids that committed,
 * the space in segments. It changes in three ways only: a commit enters the active table, a freeze begins a new table, an
 * adopted root takes the place of the tables it covers.
 *
 *  1. `checkedTables` reach back without a gap from the newest change to `oldestChecked`.
 *  2. A table's memory is used again only when no view and no check can reach it.
 *  3. What the log holds after the root is in the view's tables; nothing else is.
 */
import { assert } from '../base/assert.ts';
import { copyBytes } from '../base/bytes.ts';
import { KIND_DECIDE, KIND_PREPARE, KIND_RECLAIM, KIND_USER } from '../log/batch.ts';
import type { BatchCursor } from '../log/batch-cursor.ts';
import type { Handle } from '../node/handle.ts';
import type { MemoryTable, MemoryTablePool } from './memory-table.ts';
import { decodeDecision, PreparedSet } from './prepared-set.ts';
import { decodeReclaim, ReclaimQueue } from './reclaim.ts';
import type { RootRecord } from './root.ts';
import type { Segments } from './segments.ts';
import { Space } from './space.ts';
import { highestStoreId } from './store-ids.ts';
import { TransactionIds } from './transaction-ids.ts';
import { openRun, type RunContext } from './tree-run.ts';
import { Tree } from '../tree/tree.ts';
import { makeRoot, View, Views } from './view.ts';

const LARGEST_REPLAY_TABLE_BYTES = 512 * 1024 * 1024;

/** What a log says after its root, one transaction at a time. */
export interface Replay {
  readonly transaction: BatchCursor;
  /** False at the end. */
  next(): boolean;
}

export interface StateOptions {
  readonly pool: MemoryTablePool;
  readonly segments: Segments;
  readonly runs: RunContext;
  readonly root: RootRecord;
  /** A row of the transaction store, as of the root. */
  readonly loadIds: (writer: number) => Uint8Array | undefined;
}

export class DatabaseState {
  readonly views: Views;
  readonly ids: TransactionIds;
  space: Space;
  readonly prepared = new PreparedSet();
  readonly reclaims = new ReclaimQueue();
  /** Everything up to here is durable and visible. */
  durable: number;
  nextStoreId: number;
  /** The newest merged table with changes in it, which checks may still need. */
  #history: MemoryTable | undefined = undefined;
  /** Every change above this number and up to the oldest table of the view is in `#history`. */
  #historyFrom = 0;
  readonly #options: StateOptions;
  readonly #released = new WeakSet<MemoryTable>();
  #checked: readonly MemoryTable[] = [];

  constructor(options: StateOptions) {
    this.#options = options;
    const table = options.pool.acquire(options.root.covered);
    this.views = new Views(new View(makeRoot(options.root, new Map()), [table]));
    this.ids = new TransactionIds(options.loadIds, (writer) => this.prepared.lowestCounter(writer));
    this.space = new Space(options.segments);
    this.durable = options.root.covered;
    this.nextStoreId = options.root.nextStoreId;
    this.#historyFrom = options.root.covered;
    this.#tablesChanged();
  }

  get view(): View {
    return this.views.current;
  }

  get active(): MemoryTable {
    return this.views.current.active;
  }

  get checkedTables(): readonly MemoryTable[] {
    return this.#checked;
  }

  get oldestChecked(): number {
    return this.#historyFrom;
  }

  get hasHistory(): boolean {
    return this.#history !== undefined;
  }

  get frozen(): readonly MemoryTable[] {
    return this.view.tables.slice(1);
  }

  /** After a checkpoint that was given up: what it counted is forgotten. Load the rows again. */
  forgetSpace(): void {
    this.space = new Space(this.#options.segments);
    this.ids.markChanged();
  }

  /**
   * After the log was opened anew: root and tables as it has them. Answers the numbers of `writer`'s transactions above
   * the number that was durable before, by counter. Who reads an older view goes on reading it.
   */
  rebuild(root: RootRecord, log: Replay, writer: number): Map<number, number> {
    const before = this.view;
    const durable = this.durable;
    const isSameRoot = root.covered === before.root.record.covered;
    const table = this.#options.pool.acquire(root.covered);
    this.views.replace(new View(isSameRoot ? before.root : makeRoot(root, new Map()), [table]));
    this.durable = root.covered;
    const restorePrepared = this.prepared.reset(root.covered);
    const found = new Map<number, number>();
    try {
      this.replay(log, (cursor) => {
        if (cursor.number > durable && cursor.idWriter === writer) found.set(cursor.idCounter, cursor.number);
      });
    } catch (error) {
      // Reads go on with what was durable before.
      restorePrepared();
      this.views.replace(before);
      this.durable = durable;
      this.#tablesChanged();
      throw error;
    }
    // Over the same root the rebuilt tables begin where the old ones did: what was merged before them still joins on.
    if (!isSameRoot) this.#remember(undefined, root.covered);
    this.#tablesChanged();
    for (const old of before.tables) this.#releaseIfUnused(old);
    return found;
  }

  /** Enters what the log holds after the root. Tables are cut where one is full. */
  replay(log: Replay, look?: (cursor: BatchCursor) => void): void {
    while (log.next()) {
      const cursor = log.transaction;
      look?.(cursor);
      if (cursor.kind === KIND_USER) this.#replayUser(cursor);
      else if (cursor.kind === KIND_RECLAIM) this.#replayReclaim(cursor);
      else if (cursor.kind === KIND_PREPARE) this.#replayPrepare(cursor);
      else if (cursor.kind === KIND_DECIDE) this.#replayDecision(cursor);
      this.durable = cursor.number;
    }
  }

  #replayPrepare(cursor: BatchCursor): void {
    const { bytes, transactionStart, byteLength, idWriter, idCounter, number } = cursor;
    const record = copyBytes(bytes, transactionStart, transactionStart + byteLength);
    this.prepared.add(idWriter, idCounter, number, record);
    // Its stores' ids are given out, though nobody sees them yet.
    while (cursor.nextSection()) {
      const highest = highestStoreId(cursor.storeId, bytes, cursor.sectionStart, cursor.sectionLength);
      this.nextStoreId = Math.max(this.nextStoreId, highest + 1);
    }
    while (cursor.nextRun()) this.nextStoreId = Math.max(this.nextStoreId, cursor.runStoreId + 1);
  }

  #replayDecision({ bytes, payloadStart, payloadLength, number, idWriter, idCounter }: BatchCursor): void {
    const decision = decodeDecision(bytes, payloadStart, payloadLength);
    this.ids.noteCommitted(idWriter, idCounter, number);
    const prepared = this.prepared.decide(decision, number);
    if (decision.isCommit) this.#replayUser(prepared.open(), number);
    this.ids.noteDecided(decision.writer, decision.counter);
  }

  #replayUser(cursor: BatchCursor, number = cursor.number): void {
    // All of a transaction goes to one table: a table between two others holds whole numbers.
    const { byteLength } = cursor;
    if (!this.active.hasRoom(byteLength)) this.freeze(number - 1, this.#roomAfter(byteLength));
    for (let more = cursor.nextSection(); more; more = cursor.nextSection()) {
      this.active.applySection(cursor.storeId, cursor.bytes, cursor.sectionStart, cursor.sectionLength, number);
      this.nextStoreId = Math.max(
        this.nextStoreId,
        highestStoreId(cursor.storeId, cursor.bytes, cursor.sectionStart, cursor.sectionLength) + 1,
      );
    }
    for (let more = cursor.nextRun(); more; more = cursor.nextRun()) {
      const descriptor = cursor.bytes.slice(cursor.runStart, cursor.runStart + cursor.runLength);
      this.active.adoptRun(openRun(this.#options.runs, cursor.runStoreId, descriptor, number));
      this.nextStoreId = Math.max(this.nextStoreId, cursor.runStoreId + 1);
    }
    this.ids.noteCommitted(cursor.idWriter, cursor.idCounter, number);
  }

  /** For a table in a replay: larger ones the longer the log is, so that there are never many to look through. */
  #roomAfter(byteLength: number): number {
    let before = 0;
    for (const table of this.view.tables) before += table.capacityBytes;
    return Math.max(byteLength, Math.min(before, LARGEST_REPLAY_TABLE_BYTES));
  }

  #replayReclaim(cursor: BatchCursor): void {
    const { segments } = this.#options;
    for (const index of decodeReclaim(segments, cursor.bytes, cursor.payloadStart, cursor.payloadLength)) {
      segments.noteRemoved(index);
    }
  }

  /** Shares of the memory that tables have for what is not merged yet. */
  get tableBytes(): number {
    let used = 0;
    for (const table of this.view.tables) used += table.usedBytes;
    return used;
  }

  /** Begins a new active table for the numbers above `number`; the active one is frozen. */
  freeze(number: number, leastBytes = 0): void {
    const table = this.#options.pool.acquire(number, leastBytes);
    this.views.replace(new View(this.view.root, [table, ...this.view.tables]));
    this.#tablesChanged();
  }

  /** The root is durable in the log: it takes the place of the frozen tables it covers. */
  adopt(record: RootRecord, roots: ReadonlyMap<number, Handle | undefined>): void {
    assert(record.builtOn === this.view.root.record.covered, 'a root is adopted over another than it was built on');
    const kept: MemoryTable[] = [];
    const covered: MemoryTable[] = [];
    for (const table of this.view.tables) (table.baseNumber >= record.covered ? kept : covered).push(table);
    assert(kept.length > 0 && covered.every((t) => t.newestNumber <= record.covered), 'a root cuts through a table');
    const trees = new Map(this.view.root.trees);
    for (const [storeId, handle] of roots) trees.set(storeId, handle && new Tree(handle, storeId));
    const before = this.view;
    this.views.replace(new View(makeRoot(record, trees), kept));
    for (const one of this.prepared.adopted(record.covered)) {
      const { covered } = record;
      if (!one.committed) this.reclaims.add({ covered, segments: one.segments(this.#options.segments).runs });
    }
    // One merged table is remembered for checks. Empty ones have nothing to say: the one before them still joins on.
    const remembered = covered.find((table) => !table.isEmpty);
    if (remembered !== undefined) this.#remember(remembered, remembered.baseNumber);
    this.#tablesChanged();
    for (const table of before.tables) this.#releaseIfUnused(table);
  }

  /** Forgets the merged table where every snapshot to be checked, none older than `oldestSnapshot`, is above it. */
  forgetHistory(oldestSnapshot: number): void {
    const above = (this.view.tables[this.view.tables.length - 1] as MemoryTable).baseNumber;
    if (this.#history === undefined || oldestSnapshot < above) return;
    this.#remember(undefined, above);
    this.#tablesChanged();
  }

  #remember(table: MemoryTable | undefined, from: number): void {
    const forgotten = this.#history;
    this.#history = table;
    this.#historyFrom = from;
    if (forgotten !== undefined) this.#releaseIfUnused(forgotten);
  }

  /** After a view lost its last user. */
  viewReleased(view: View): void {
    if (view === this.view) return;
    for (const table of view.tables) this.#releaseIfUnused(table);
  }

  #releaseIfUnused(table: MemoryTable): void {
    if (this.#released.has(table) || this.#history === table || this.views.isTableUsed(table)) return;
    this.#released.add(table);
    this.#options.pool.release(table);
  }

  #tablesChanged(): void {
    this.#checked = this.#history === undefined ? this.view.tables : [...this.view.tables, this.#history];
  }
}
