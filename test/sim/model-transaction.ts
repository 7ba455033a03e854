/**
 * What the engine should be: a sequential model with versions. Committed transactions in the order of their numbers, each
 * with what it touched; a transaction is a snapshot, its own changes over it, and what it read.
 */
import { createdCell, incrementedCell } from '../../src/codec/counter.ts';

export type Content = Map<string, Uint8Array>;

export interface Range {
  readonly store: number;
  /** Undefined: unbounded. */
  readonly lower: string | undefined;
  readonly upper: string | undefined;
}

/** One change, in the order of the calls. */
export type Change =
  | { readonly kind: 'put'; readonly store: number; readonly key: string; readonly cell: Uint8Array }
  | { readonly kind: 'increment'; readonly store: number; readonly key: string; readonly increment: Uint8Array }
  | { readonly kind: 'remove'; readonly store: number; readonly key: string }
  | ({ readonly kind: 'clear' } & Range);

export interface CommittedTransaction {
  readonly number: number;
  readonly changes: readonly Change[];
  /** Its changes went through runs: conflicts with it are found by fence keys, so there may be more than there are. */
  readonly spilled: boolean;
}

export interface Row {
  readonly store: number;
  readonly key: string;
  readonly expected: Uint8Array | undefined;
  readonly orEqual: Uint8Array | undefined;
}

export function isWithin(
  key: string,
  range: { readonly lower: string | undefined; readonly upper: string | undefined },
): boolean {
  return (range.lower === undefined || key >= range.lower) && (range.upper === undefined || key < range.upper);
}

function overlap(a: Range, b: Range): boolean {
  if (a.store !== b.store) return false;
  const isBefore = (x: string | undefined, y: string | undefined): boolean =>
    x === undefined || y === undefined || x < y;
  return isBefore(a.lower, b.upper) && isBefore(b.lower, a.upper);
}

export function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function apply(stores: Map<number, Content>, change: Change): void {
  let content = stores.get(change.store);
  if (content === undefined) {
    content = new Map();
    stores.set(change.store, content);
  }
  if (change.kind === 'put') content.set(change.key, change.cell);
  else if (change.kind === 'remove') content.delete(change.key);
  else if (change.kind === 'increment') increment(content, change.key, change.increment);
  else for (const key of content.keys()) if (isWithin(key, change)) content.delete(key);
}

function increment(content: Content, key: string, by: Uint8Array): void {
  const old = content.get(key);
  const cell =
    old === undefined ? createdCell(by, 0, by.length) : incrementedCell(old, 0, old.length, by, 0, by.length);
  if (cell !== undefined) content.set(key, cell);
}

function copyOf(stores: ReadonlyMap<number, Content>): Map<number, Content> {
  return new Map([...stores].map(([store, content]) => [store, new Map(content)]));
}

/** The database: what is committed, and what it comes to. */
export class ModelDatabase {
  readonly committed: CommittedTransaction[] = [];
  readonly #content = new Map<number, Content>();

  get newest(): number {
    return this.committed[this.committed.length - 1]?.number ?? 0;
  }

  /** Numbers rise from call to call. */
  commit(transaction: CommittedTransaction): void {
    if (transaction.number <= this.newest) throw new Error(`number ${transaction.number} after ${this.newest}`);
    this.committed.push(transaction);
    for (const change of transaction.changes) apply(this.#content, change);
  }

  begin(snapshot: number): ModelTransaction {
    return new ModelTransaction(snapshot, copyOf(this.#content));
  }

  /** As it is now, for transactions that begin later. */
  pin(): (snapshot: number) => ModelTransaction {
    const pinned = copyOf(this.#content);
    return (snapshot) => new ModelTransaction(snapshot, copyOf(pinned));
  }
}

export interface ModelSavepoint {
  readonly changes: number;
  readonly stores: Map<number, Content>;
}

export class ModelTransaction {
  readonly snapshot: number;
  readonly changes: Change[] = [];
  readonly readKeys: { readonly store: number; readonly key: string }[] = [];
  readonly readRanges: Range[] = [];
  /** Also those that were rolled back: reads stay. */
  readonly incremented: { readonly store: number; readonly key: string }[] = [];
  readonly rows: Row[] = [];
  #stores: Map<number, Content>;

  constructor(snapshot: number, stores: Map<number, Content>) {
    this.snapshot = snapshot;
    this.#stores = stores;
  }

  change(change: Change): void {
    this.changes.push(change);
    if (change.kind === 'increment') this.incremented.push(change);
    apply(this.#stores, change);
  }

  savepoint(): ModelSavepoint {
    return { changes: this.changes.length, stores: copyOf(this.#stores) };
  }

  rollbackTo({ changes, stores }: ModelSavepoint): void {
    this.changes.length = changes;
    this.#stores = copyOf(stores);
  }

  /** What the transaction sees of a store, own changes included. */
  content(store: number): ReadonlyMap<string, Uint8Array> {
    return this.#stores.get(store) ?? new Map();
  }

  /** Its own changes answer for the key, so that reading it is no read. */
  isOwn(store: number, key: string): boolean {
    return this.changes.some((change) => {
      if (change.store !== store || change.kind === 'increment') return false;
      return change.kind === 'clear' ? isWithin(key, change) : change.key === key;
    });
  }

  noteKey(store: number, key: string): void {
    if (!this.isOwn(store, key)) this.readKeys.push({ store, key });
  }

  /** Whether a transaction committed after the snapshot touched what this one read; `coarse`: may be taken to have. */
  conflictsWith(other: CommittedTransaction): 'no' | 'coarse' | 'yes' {
    if (other.number <= this.snapshot) return 'no';
    // What a spilled transaction incremented it has read; where nothing was there, nothing came of it.
    const isSure = (change: Change): boolean => !other.spilled || change.kind !== 'increment';
    if (other.changes.some((change) => isSure(change) && this.#isTouchedBy(change))) return 'yes';
    const stores = new Set([...this.readKeys, ...this.readRanges].map((read) => read.store));
    const meets = other.changes.some((change) => stores.has(change.store));
    return other.spilled && meets ? 'coarse' : 'no';
  }

  #isTouchedBy(change: Change): boolean {
    const keys = this.readKeys.filter((read) => read.store === change.store);
    const ranges = this.readRanges.filter((read) => read.store === change.store);
    if (change.kind === 'clear') {
      return keys.some((read) => isWithin(read.key, change)) || ranges.some((read) => overlap(read, change));
    }
    return keys.some((read) => read.key === change.key) || ranges.some((read) => isWithin(change.key, read));
  }

  /** A spilled transaction reads what it increments; of another one that spilled, any key may be meant. */
  mayHaveReadWhat(other: CommittedTransaction): boolean {
    if (other.number <= this.snapshot) return false;
    const isMeant = (change: Change, key: string): boolean =>
      other.spilled || (change.kind === 'clear' ? isWithin(key, change) : change.key === key);
    return this.incremented.some(({ store, key }) =>
      other.changes.some((change) => change.store === store && isMeant(change, key)),
    );
  }

  /** Whether the rows it expects are as expected, given what was committed after the snapshot. */
  rowsHold(committed: readonly CommittedTransaction[]): boolean {
    return this.rows.every((row) => {
      let newest: Change | undefined;
      for (const one of committed) {
        if (one.number <= this.snapshot) continue;
        for (const change of one.changes) {
          if (change.store === row.store && change.kind !== 'clear' && change.key === row.key) newest = change;
        }
      }
      if (newest === undefined) return true;
      if (newest.kind !== 'put') return row.expected === undefined;
      return isSame(newest.cell, row.expected) || (row.orEqual !== undefined && isSame(newest.cell, row.orEqual));
    });
  }
}
