/**
 * An engine of sorted arrays for tests of the store floor: the same promises as the real one (snapshots, read sets, blind
 * changes, expected rows), nothing durable, and cache misses on demand so that the slow paths are walked too.
 */
import { compareKeys, copyBytes, equalBytes, keySuccessor } from '../../src/base/bytes.ts';
import {
  AbortedError,
  ClosedError,
  InvalidArgumentError,
  ConflictError,
  ReadOnlyError,
  SopError,
  TimeoutError,
  TransactionEndedError,
} from '../../src/base/errors.ts';
import { createdCell, incrementedCell } from '../../src/codec/counter.ts';
import { FIRST_USER_STORE_ID } from '../../src/base/limits.ts';
import { endsWithPlaceholder, setItemNumber } from '../../src/log/placeholder.ts';
import { AT, END, type EntryCursor, MISS, type Step } from '../../src/node/entry-cursor.ts';
import { DROPPED_STORE, SHAPE_STORE } from '../../src/storage/system-stores.ts';
import { memoryEnv } from '../../src/env/memory-env.ts';
import { UnfinishedWork } from '../../src/transaction/unfinished-work.ts';
import type {
  BackupReport,
  BeginOptions,
  EngineApi,
  EngineSavepoint,
  PinInfo,
  EngineTransaction,
  PreparedInfo,
  TransactionKind,
  TransactionOutcome,
  VerifyReport,
} from '../../src/transaction/engine-api.ts';
import { ABSENT, FOUND, type FindResult, NOT_LOADED } from '../../src/storage/find-result.ts';
import type { EngineStats } from '../../src/transaction/stats-types.ts';
import { NO_STATS } from './no-stats.ts';

interface Entry {
  readonly key: Uint8Array;
  readonly cell: Uint8Array;
  readonly version: number;
}

interface Range {
  readonly store: number;
  readonly lower: Uint8Array | undefined;
  readonly upper: Uint8Array | undefined;
}

interface Change extends Range {
  /** Put where there is a cell; a removal of the range else. */
  readonly cell: Uint8Array | undefined;
  /** Added to the entry instead. */
  readonly increment?: Uint8Array;
}

type Content = ReadonlyMap<number, readonly Entry[]>;

export interface FakeEngineOptions {
  readonly readOnly?: boolean;
  /** Every n-th look answers NOT_LOADED first. */
  readonly missEvery?: number;
}

function position(entries: readonly Entry[], key: Uint8Array): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys((entries[middle] as Entry).key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

function inRange(key: Uint8Array, range: Range): boolean {
  if (range.lower !== undefined && compareKeys(key, range.lower) < 0) return false;
  return range.upper === undefined || compareKeys(key, range.upper) < 0;
}

function overlap(a: Range, b: Range): boolean {
  if (a.store !== b.store) return false;
  if (a.upper !== undefined && b.lower !== undefined && compareKeys(b.lower, a.upper) >= 0) return false;
  return !(b.upper !== undefined && a.lower !== undefined && compareKeys(a.lower, b.upper) >= 0);
}

/** Puts the number where the key of a change has a placeholder. */
function fillNumber({ lower, upper }: Change, number: number): void {
  if (lower === undefined || upper === undefined || !endsWithPlaceholder(lower, 0, lower.length)) return;
  setItemNumber(lower, lower.length, number);
  setItemNumber(upper, upper.length - 1, number);
}

function apply(entries: Entry[], change: Change, version: number): void {
  const { increment } = change;
  if (increment !== undefined) {
    const key = change.lower as Uint8Array;
    const entry = entries[position(entries, key)];
    const old = entry !== undefined && equalBytes(entry.key, key) ? entry.cell : undefined;
    const cell = old
      ? incrementedCell(old, 0, old.length, increment, 0, increment.length)
      : createdCell(increment, 0, increment.length);
    if (cell !== undefined) apply(entries, { ...change, increment: undefined, cell } as Change, version);
    return;
  }
  if (change.cell === undefined) {
    for (let i = entries.length - 1; i >= 0; i--) if (inRange((entries[i] as Entry).key, change)) entries.splice(i, 1);
    return;
  }
  const key = change.lower as Uint8Array;
  const at = position(entries, key);
  const there = at < entries.length && equalBytes((entries[at] as Entry).key, key);
  entries.splice(at, there ? 1 : 0, { key, cell: change.cell, version });
}

export class FakeEngine implements EngineApi {
  readonly folder = 'fake';
  readonly readOnly: boolean;
  closed = false;
  readonly catalogDecidedAt = 0;
  content: Content = new Map();
  number = 0;
  readonly history: { readonly number: number; readonly changes: readonly Change[] }[] = [];
  readonly values = new Map<number, Uint8Array>();
  readonly missEvery: number;
  readonly open = new Set<FakeTransaction>();
  looks = 0;
  conflicts = 0;
  #nextStore = FIRST_USER_STORE_ID;
  #nextValue = 1;
  #nextTransaction = 1;
  readonly #unfinished = new UnfinishedWork();
  readonly outcomes = new Map<string, TransactionOutcome>();
  readonly waiting = new Map<string, FakeTransaction>();

  constructor(options: FakeEngineOptions = {}) {
    this.readOnly = options.readOnly ?? false;
    this.missEvery = options.missEvery ?? 0;
  }

  begin(kind: TransactionKind, options: BeginOptions = {}): EngineTransaction {
    if (this.closed) throw new ClosedError();
    if (kind === 'write' && this.readOnly) throw new ReadOnlyError('the database is open for reading only');
    const transaction = new FakeTransaction(this, kind, `t${this.#nextTransaction++}`, options);
    this.open.add(transaction);
    return transaction;
  }

  readRow(storeId: number, key: Uint8Array): Uint8Array | undefined {
    const entries = this.content.get(storeId) ?? [];
    const entry = entries[position(entries, key)];
    return entry !== undefined && equalBytes(entry.key, key) ? entry.cell.slice() : undefined;
  }

  claim(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  endClaim(): void {}

  newStoreId(): number {
    return this.#nextStore++;
  }

  saveValue(value: Uint8Array): Uint8Array {
    const reference = new Uint8Array(32);
    new DataView(reference.buffer).setUint32(8, this.#nextValue, true);
    new DataView(reference.buffer).setUint32(14, value.length, true);
    this.values.set(this.#nextValue++, copyBytes(value));
    return reference;
  }

  async checkpoint(): Promise<void> {}
  async compact(): Promise<void> {}

  async verify(): Promise<VerifyReport> {
    let entries = 0;
    for (const list of this.content.values()) entries += list.length;
    return { ok: true, problems: [], stores: this.content.size, entries, images: 0, values: 0, bytesChecked: 0 };
  }

  stats(): EngineStats {
    return {
      ...NO_STATS,
      number: this.number,
      commits: this.history.length,
      conflicts: this.conflicts,
      batches: this.history.length,
      openTransactions: this.open.size,
      oldestSnapshot: Math.min(this.number, ...[...this.open].map((t) => t.snapshot)),
    };
  }

  async pin(): Promise<PinInfo> {
    throw new InvalidArgumentError('there are no pins here');
  }

  async unpin(): Promise<void> {
    throw new InvalidArgumentError('there are no pins here');
  }

  async backup(): Promise<BackupReport> {
    throw new InvalidArgumentError('there are no backups here');
  }

  pins(): PinInfo[] {
    return [];
  }

  async resolve(id: string): Promise<TransactionOutcome> {
    return this.outcomes.get(id) ?? 'aborted';
  }

  prepared(): PreparedInfo[] {
    return [...this.waiting].map(([id, transaction]) => ({
      id,
      preparedAt: this.number,
      stores: transaction.stores(),
    }));
  }

  async decide(id: string, isCommit: boolean): Promise<number> {
    const transaction = this.waiting.get(id);
    this.waiting.delete(id);
    if (transaction === undefined) {
      const outcome = await this.resolve(id);
      if ((outcome === 'committed') !== isCommit) {
        throw new TransactionEndedError('decided otherwise', { details: { outcome } });
      }
    } else if (isCommit) return transaction.apply();
    else transaction.forget(undefined);
    return this.number;
  }

  beginWork(onClosing: () => void): () => void {
    return this.#unfinished.begin(onClosing);
  }

  async close(): Promise<void> {
    for (const transaction of this.open) transaction.rollback(new ClosedError());
    this.closed = true;
    await this.#unfinished.close(memoryEnv().timers);
  }
}

interface FakeSavepoint extends EngineSavepoint {
  readonly changes: number;
  readonly content: Map<number, Entry[]>;
}

class FakeTransaction implements EngineTransaction {
  readonly snapshot: number;
  readonly isPinned = false;
  ended = false;
  waits = false;
  changeCount = 0;
  foundBytes: Uint8Array = new Uint8Array(0);
  foundStart = 0;
  foundEnd = 0;
  foundVersion = 0;
  content: Map<number, Entry[]>;
  readonly #savepoints: FakeSavepoint[] = [];
  readonly engine: FakeEngine;
  readonly kind: TransactionKind;
  readonly id: string;
  readonly reads: Range[] = [];
  #state = 'open';
  #reason: unknown;
  #onLimit: ((reason: unknown) => void) | undefined;
  readonly #numbered = new Set<number>();
  readonly #own = new Set<number>();
  readonly #changes: Change[] = [];
  readonly #expected: { store: number; key: Uint8Array; rows: (Uint8Array | undefined)[] }[] = [];
  readonly #committed: ((number: number) => void)[] = [];
  readonly #rolledBack: ((reason: unknown) => void)[] = [];

  constructor(engine: FakeEngine, kind: TransactionKind, id: string, options: BeginOptions) {
    this.engine = engine;
    this.kind = kind;
    this.id = id;
    this.snapshot = engine.number;
    this.content = new Map(engine.content as Map<number, Entry[]>);
    const { signal, timeoutMs } = options;
    const end = (reason: unknown) => {
      this.rollback(reason);
      this.#onLimit?.(reason);
    };
    signal?.addEventListener('abort', () => end(new AbortedError('the signal was fired')), { once: true });
    if (timeoutMs !== undefined) setTimeout(() => end(new TimeoutError('out of time')), timeoutMs).unref();
  }

  onLimit(fn: (reason: unknown) => void): () => void {
    this.#onLimit = fn;
    return () => {
      this.#onLimit = undefined;
    };
  }

  entries(storeId: number): readonly Entry[] {
    return this.content.get(storeId) ?? [];
  }

  missNow(waits: boolean): boolean {
    if (this.engine.missEvery === 0 || waits) return false;
    return ++this.engine.looks % this.engine.missEvery < 1;
  }

  treeToken(): number {
    this.#mustBeOpen();
    return -1;
  }

  noteKey(): void {}

  find(storeId: number, key: Uint8Array, start: number, end: number): FindResult {
    this.#mustBeOpen();
    if (this.missNow(this.waits)) return NOT_LOADED;
    const copy = copyBytes(key, start, end);
    if (this.kind === 'write') this.reads.push({ store: storeId, lower: copy, upper: after(copy) });
    const entries = this.entries(storeId);
    const entry = entries[position(entries, copy)];
    if (entry === undefined || !equalBytes(entry.key, copy)) return ABSENT;
    this.foundBytes = entry.cell;
    this.foundStart = 0;
    this.foundEnd = entry.cell.length;
    this.foundVersion = entry.version;
    return FOUND;
  }

  async load(): Promise<void> {}

  put(
    store: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    cell: Uint8Array,
    cellStart: number,
    cellEnd: number,
  ): void {
    const lower = copyBytes(key, keyStart, keyEnd);
    this.#change({ store, lower, upper: after(lower), cell: copyBytes(cell, cellStart, cellEnd) });
  }

  remove(store: number, key: Uint8Array, start: number, end: number): void {
    const lower = copyBytes(key, start, end);
    this.#change({ store, lower, upper: after(lower), cell: undefined });
  }

  numberItems(store: number): void {
    this.#numbered.add(store);
  }

  removeRange(store: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    this.#change({ store, lower: lower?.slice(), upper: upper?.slice(), cell: undefined });
  }

  increment(store: number, key: Uint8Array, keyStart: number, keyEnd: number, increment: Uint8Array): void {
    const lower = copyBytes(key, keyStart, keyEnd);
    this.#change({ store, lower, upper: after(lower), cell: undefined, increment: increment.slice() });
  }

  savepoint(): EngineSavepoint {
    this.#mustChange();
    const savepoint = { transactionSnapshot: this.snapshot, changes: this.#changes.length, content: new Map() };
    for (const [store, entries] of this.content) savepoint.content.set(store, entries.slice());
    this.#savepoints.push(savepoint);
    return savepoint;
  }

  rollbackTo(savepoint: EngineSavepoint): void {
    this.#mustChange();
    const at = this.#savepoints.indexOf(savepoint as FakeSavepoint);
    if (at < 0) throw new InvalidArgumentError('the savepoint is void');
    this.#savepoints.length = at + 1;
    const { changes, content } = savepoint as FakeSavepoint;
    const shapes = this.#changes.splice(changes).filter((change) => change.store === SHAPE_STORE);
    this.content = new Map([...content].map(([store, entries]) => [store, entries.slice()]));
    for (const change of shapes) this.#change(change);
    this.changeCount++;
  }

  cursor(storeId: number): EntryCursor {
    this.#mustBeOpen();
    return new FakeCursor(this, storeId);
  }

  noteRange(store: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): void {
    this.#mustBeOpen();
    if (this.kind === 'write') this.reads.push({ store, lower: lower?.slice(), upper: upper?.slice() });
  }

  count(store: number, lower: Uint8Array | undefined, upper: Uint8Array | undefined): number {
    this.#mustBeOpen();
    if (this.missNow(this.waits)) return -1;
    const entries = this.entries(store);
    const from = lower === undefined ? 0 : position(entries, lower);
    const to = upper === undefined ? entries.length : position(entries, upper);
    return Math.max(0, to - from);
  }

  seekRank(storeId: number, rank: number, cursor: EntryCursor): FindResult {
    this.#mustBeOpen();
    if (this.missNow(this.waits)) return NOT_LOADED;
    return (cursor as FakeCursor).goTo(this.entries(storeId), rank) === AT ? FOUND : ABSENT;
  }

  expectRow(store: number, key: Uint8Array, expected: Uint8Array | undefined, orEqual?: Uint8Array): void {
    this.#expected.push({ store, key: copyBytes(key), rows: orEqual === undefined ? [expected] : [expected, orEqual] });
  }

  readValueSync(cell: Uint8Array, start: number, end: number): Uint8Array {
    const at = end - 32;
    if (at < start) throw new Error('no reference in this cell');
    const id = new DataView(cell.buffer, cell.byteOffset + at, 32).getUint32(8, true);
    return (this.engine.values.get(id) as Uint8Array).slice();
  }

  async readValue(cell: Uint8Array, start: number, end: number): Promise<Uint8Array> {
    return this.readValueSync(cell, start, end);
  }

  writeValue(_store: number, _key: Uint8Array, _start: number, _end: number, value: Uint8Array): Uint8Array {
    this.#mustBeOpen();
    return this.engine.saveValue(value);
  }

  onCommit(fn: (number: number) => void): void {
    this.#mustBeOpen();
    this.#committed.push(fn);
  }

  onRollback(fn: (reason: unknown) => void): void {
    this.#rolledBack.push(fn);
  }

  async commit(): Promise<number> {
    this.#mustBeOpen();
    await Promise.resolve();
    this.#mustBeOpen();
    this.#mustValidate();
    return this.apply();
  }

  async prepare(): Promise<void> {
    this.#mustBeOpen();
    await Promise.resolve();
    this.#mustValidate();
    this.#end('prepared');
    this.engine.waiting.set(this.id, this);
  }

  stores(): number[] {
    return [...this.#own];
  }

  #mustValidate(): void {
    try {
      this.#validate();
    } catch (error) {
      this.engine.conflicts++;
      this.rollback(error);
      throw error;
    }
  }

  apply(): number {
    this.#end('committed');
    if (this.#changes.length === 0) {
      for (const fn of this.#committed) fn(this.snapshot);
      return this.snapshot;
    }
    const number = ++this.engine.number;
    const next = new Map(this.engine.content as Map<number, Entry[]>);
    const copied = new Set<number>();
    for (const change of this.#changes) {
      if (!copied.has(change.store)) next.set(change.store, (next.get(change.store) ?? []).slice());
      copied.add(change.store);
      if (this.#numbered.has(change.store)) fillNumber(change, number);
      apply(next.get(change.store) as Entry[], change, number);
      if (change.store === DROPPED_STORE) next.delete(new DataView((change.lower as Uint8Array).buffer).getUint32(0));
    }
    this.engine.content = next;
    this.engine.history.push({ number, changes: this.#changes });
    for (const fn of this.#committed) fn(number);
    return number;
  }

  rollback(reason?: unknown): void {
    if (this.ended) return;
    if (reason instanceof AbortedError || reason instanceof TimeoutError) this.#reason = reason;
    this.forget(reason);
  }

  forget(reason: unknown): void {
    this.#end('aborted');
    for (const fn of this.#rolledBack) fn(reason);
  }

  #end(outcome: TransactionOutcome): void {
    this.ended = true;
    this.#state = outcome === 'aborted' ? 'rolled back' : outcome;
    this.engine.open.delete(this);
    this.engine.outcomes.set(this.id, outcome);
  }

  #wasChanged(store: number, key: Uint8Array): boolean {
    const isIt = (change: Change) =>
      change.store === store && overlap({ store, lower: key, upper: keySuccessor(key) }, change);
    return this.engine.history.some(({ number, changes }) => number > this.snapshot && changes.some(isIt));
  }

  #validate(): void {
    for (const { store, key, rows } of this.#expected) {
      const found = this.engine.readRow(store, key);
      const equal = (row: Uint8Array | undefined) =>
        row === undefined || found === undefined ? row === found : equalBytes(row, found);
      // With two of them it may not have come and gone either.
      const wasThere = rows.length > 1 && found === undefined && this.#wasChanged(store, key);
      if (wasThere || !rows.some(equal)) throw new ConflictError(`store ${store}: a row is not as expected`);
    }
    for (const { number, changes } of this.engine.history) {
      if (number <= this.snapshot) continue;
      for (const change of changes) {
        const range = this.reads.find((read) => overlap(read, change));
        if (range !== undefined)
          throw new ConflictError(`store ${change.store} changed since`, { details: { number } });
      }
    }
  }

  #mustChange(): void {
    this.#mustBeOpen();
    if (this.kind !== 'write') throw new ReadOnlyError('the transaction is for reading only');
  }

  #change(change: Change): void {
    this.#mustChange();
    if (!this.#own.has(change.store) || !this.content.has(change.store))
      this.content.set(change.store, this.entries(change.store).slice());
    this.#own.add(change.store);
    apply(this.content.get(change.store) as Entry[], change, 0);
    this.#changes.push(change);
    this.changeCount++;
  }

  #mustBeOpen(): void {
    if (this.engine.closed) throw new ClosedError();
    if (this.#reason instanceof SopError) throw this.#reason;
    if (this.ended) throw new TransactionEndedError(`the transaction is ${this.#state}`);
  }
}

class FakeCursor implements EntryCursor {
  waits = false;
  keyBytes: Uint8Array = new Uint8Array(0);
  keyStart = 0;
  keyEnd = 0;
  cellBytes: Uint8Array = new Uint8Array(0);
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  removed = false;
  readonly #transaction: FakeTransaction;
  readonly #store: number;
  #entries: readonly Entry[] = [];
  #at = -1;

  constructor(transaction: FakeTransaction, store: number) {
    this.#transaction = transaction;
    this.#store = store;
  }

  goTo(entries: readonly Entry[], at: number): Step {
    this.#entries = entries;
    this.#at = at;
    const entry = entries[at];
    if (entry === undefined) return END;
    this.keyBytes = entry.key;
    this.keyEnd = entry.key.length;
    this.cellBytes = entry.cell;
    this.cellEnd = entry.cell.length;
    this.version = entry.version;
    return AT;
  }

  seek(key: Uint8Array, start: number, end: number): Step {
    if (this.#miss()) return MISS;
    const entries = this.#transaction.entries(this.#store).slice();
    return this.goTo(entries, position(entries, copyBytes(key, start, end)));
  }

  seekBefore(key: Uint8Array, start: number, end: number): Step {
    if (this.#miss()) return MISS;
    const entries = this.#transaction.entries(this.#store).slice();
    return this.goTo(entries, position(entries, copyBytes(key, start, end)) - 1);
  }

  first(): Step {
    if (this.#miss()) return MISS;
    return this.goTo(this.#transaction.entries(this.#store).slice(), 0);
  }

  last(): Step {
    if (this.#miss()) return MISS;
    const entries = this.#transaction.entries(this.#store).slice();
    return this.goTo(entries, entries.length - 1);
  }

  next(): Step {
    return this.#miss() ? MISS : this.goTo(this.#entries, this.#at + 1);
  }

  previous(): Step {
    return this.#miss() ? MISS : this.goTo(this.#entries, this.#at - 1);
  }

  async load(): Promise<void> {}

  #miss(): boolean {
    return this.#transaction.missNow(this.waits);
  }
}
