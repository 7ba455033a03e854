/**
 * What the stores hold after a row of commits. Never changed: each further commit answers another content, once worked out and
 * kept with the commit, for the crash lane asks for the same rows some thousand times.
 */
import { COUNTER_BYTES, readCounter, writeCounter } from '../../src/codec/counter.ts';
import type { EngineTransaction } from '../../src/transaction/engine-api.ts';
import { bytesOf, drawnValue, type ModelCommit, type Operation, STORES } from './engine-model.ts';

interface ModelEntry {
  readonly key: string;
  readonly keyBytes: Uint8Array;
  readonly value: Uint8Array;
}

class StoreContent {
  readonly #values: ReadonlyMap<string, Uint8Array>;
  #entries: readonly ModelEntry[] | undefined;

  constructor(values: ReadonlyMap<string, Uint8Array>) {
    this.#values = values;
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  copy(): Map<string, Uint8Array> {
    return new Map(this.#values);
  }

  /** The keys are ASCII: their order as text is that of their bytes. */
  get entries(): readonly ModelEntry[] {
    this.#entries ??= [...this.#values]
      .map(([key, value]) => ({ key, keyBytes: bytesOf(key), value }))
      .sort((x, y) => (x.key < y.key ? -1 : 1));
    return this.#entries;
  }
}

const NOTHING = new StoreContent(new Map());

export class ModelContent {
  static readonly EMPTY = new ModelContent(new Map());
  readonly #stores: ReadonlyMap<number, StoreContent>;
  /** By the commit itself, not by its id: every life has its own. */
  readonly #after = new WeakMap<ModelCommit, ModelContent>();

  private constructor(stores: ReadonlyMap<number, StoreContent>) {
    this.#stores = stores;
  }

  store(id: number): StoreContent {
    return this.#stores.get(id) ?? NOTHING;
  }

  after(commit: ModelCommit): ModelContent {
    let content = this.#after.get(commit);
    if (content === undefined) {
      content = this.#apply(commit);
      this.#after.set(commit, content);
    }
    return content;
  }

  #apply(commit: ModelCommit): ModelContent {
    const changed = new Map<number, Map<string, Uint8Array>>();
    for (const operation of commit.operations) {
      let values = changed.get(operation.store);
      if (values === undefined) {
        values = this.store(operation.store).copy();
        changed.set(operation.store, values);
      }
      applyOperation(values, operation);
    }
    const stores = new Map(this.#stores);
    for (const [id, values] of changed) stores.set(id, new StoreContent(values));
    return new ModelContent(stores);
  }
}

function applyOperation(values: Map<string, Uint8Array>, operation: Operation): void {
  if (operation.kind === 'put') values.set(operation.key, drawnValue(operation));
  else if (operation.kind === 'increment') {
    const total = new Uint8Array(COUNTER_BYTES);
    const before = values.get(operation.key);
    writeCounter(total, 0, (before === undefined ? 0 : readCounter(before, 0)) + operation.amount);
    values.set(operation.key, total);
  } else if (operation.kind === 'remove') values.delete(operation.key);
  else {
    for (const key of values.keys()) {
      if (key >= operation.lower && (operation.upper === undefined || key < operation.upper)) values.delete(key);
    }
  }
}

/** Everything the engine shows is what the model has, key by key, forward, backward and by count. */
export function expectContent(transaction: EngineTransaction, content: ModelContent): void {
  transaction.waits = true;
  for (const store of STORES) expectStore(transaction, store, content.store(store).entries);
}

function expectStore(transaction: EngineTransaction, store: number, entries: readonly ModelEntry[]): void {
  const cursor = transaction.cursor(store);
  cursor.waits = true;
  let at = 0;
  for (let step = cursor.first(); step === 1; step = cursor.next(), at++) {
    const entry = entries[at];
    const { keyBytes, keyStart, keyEnd } = cursor;
    if (entry === undefined || !isSame(entry.keyBytes, keyBytes, keyStart, keyEnd))
      throw new Error(`store ${store}: entry ${at} is ${textOf(keyBytes, keyStart, keyEnd)}, not ${entry?.key}`);
    const cell = cursor.cellBytes.subarray(cursor.cellStart, cursor.cellEnd);
    const isApart = ((cell[0] as number) & 1) !== 0;
    const bytes = isApart ? transaction.readValueSync(cell.slice(), 0, cell.length) : cell.subarray(1);
    if (Buffer.compare(bytes, entry.value) !== 0) throw new Error(`store ${store}: ${entry.key} has another value`);
  }
  if (at !== entries.length) throw new Error(`store ${store}: ${at} entries, not ${entries.length}`);
  const count = transaction.count(store, undefined, undefined);
  if (count !== entries.length) throw new Error(`store ${store}: counted ${count}, not ${entries.length}`);
  for (let step = cursor.last(); step === 1; step = cursor.previous()) {
    const entry = entries[--at];
    const { keyBytes, keyStart, keyEnd } = cursor;
    if (entry === undefined || !isSame(entry.keyBytes, keyBytes, keyStart, keyEnd))
      throw new Error(
        `store ${store}, backward: entry ${at} is ${textOf(keyBytes, keyStart, keyEnd)}, not ${entry?.key}`,
      );
  }
  if (at !== 0) throw new Error(`store ${store}, backward: ${at} entries are missing`);
}

function isSame(wanted: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== wanted.length) return false;
  for (let i = 0; i < wanted.length; i++) if (bytes[start + i] !== wanted[i]) return false;
  return true;
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return new TextDecoder('latin1').decode(bytes.subarray(start, end));
}
