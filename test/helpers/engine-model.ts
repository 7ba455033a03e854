/**
 * A model of the engine for crash and model tests: transactions as lists of operations on a few stores, each marked by a row of
 * its own, so that what is found on disk says which transactions are in and in which order.
 */
import { writeU32 } from '../../src/base/bytes.ts';
import { COUNTER_BYTES, INCREMENT_CREATES, INCREMENT_HEAD_BYTES, writeCounter } from '../../src/codec/counter.ts';
import { SopError } from '../../src/base/errors.ts';
import { ITEM_ID_BYTES, itemNumber, itemSequence, NUMBER_PLACEHOLDER, writeItemId } from '../../src/log/placeholder.ts';
import type { EngineApi, EngineTransaction } from '../../src/transaction/engine-api.ts';

export const MARK_STORE = 99;
/** Its entries are counters: what would be put there is added instead. */
export const COUNTER_STORE = 103;
export const STORES = [100, 101, 102, COUNTER_STORE];
/** Equal keys: every commit adds items, which then stand in the order of the commits. */
const ITEM_STORE = 104;
/** Above the ids of all commits: their items' sequences have room for them. */
const GHOST_IDS = 3_000_000;

export type Operation =
  | {
      readonly kind: 'put';
      readonly store: number;
      readonly key: string;
      readonly length: number;
      readonly fill: number;
    }
  | { readonly kind: 'increment'; readonly store: number; readonly key: string; readonly amount: number }
  | { readonly kind: 'remove'; readonly store: number; readonly key: string }
  | { readonly kind: 'clear'; readonly store: number; readonly lower: string; readonly upper: string | undefined };

export interface ModelCommit {
  readonly id: number;
  readonly operations: readonly Operation[];
  /** What it does and takes back; nobody ever sees anything of it. */
  readonly detours?: readonly Detour[];
}

/** Done behind a savepoint and taken back, `times` times over. */
export interface Detour {
  /** Before this operation of its commit. */
  readonly at: number;
  readonly operations: readonly Operation[];
  /** Long puts more, so that it spills; 0 for none. */
  readonly ample: number;
  /** Of the long puts. Counters among them are settled by the spill, and so have been read. */
  readonly store: number;
  /** Behind a savepoint of its own: taken back before the rest, or together with it. */
  readonly inner: Detour | undefined;
  readonly times: number;
}

export interface Chance {
  below(limit: number): number;
}

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Random operations: short and long values, values for segments, removals, cleared ranges. */
export function drawCommit(id: number, random: Chance, keys: number, longest: number): ModelCommit {
  const operations: Operation[] = [];
  const count = 1 + random.below(8);
  for (let i = 0; i < count; i++) operations.push(drawOperation(random, keys, longest));
  return random.below(4) === 0 ? drawDetours(id, operations, random, keys, longest) : { id, operations };
}

function drawDetours(
  id: number,
  drawn: readonly Operation[],
  random: Chance,
  keys: number,
  longest: number,
): ModelCommit {
  const operations = drawn.slice();
  // What is to be there whole may have been spilled before the savepoint, or after it.
  if (random.below(4) === 0) {
    const store = STORES[random.below(3)] as number;
    operations.splice(random.below(drawn.length + 1), 0, ...amplePuts(store, 20 + random.below(8), random.below(40)));
  }
  const detours: Detour[] = [];
  for (let i = random.below(3); i >= 0; i--) detours.push(drawDetour(operations.length, random, keys, longest));
  return { id, operations, detours };
}

/** Of a commit with so many operations. */
export function drawDetour(length: number, random: Chance, keys: number, longest: number, depth = 0): Detour {
  return {
    at: random.below(length + 1),
    operations: Array.from({ length: 1 + random.below(5) }, () => drawOperation(random, keys, longest)),
    ample: random.below(3) === 0 ? 20 + random.below(30) : 0,
    store: STORES[random.below(STORES.length)] as number,
    inner: depth === 0 && random.below(3) === 0 ? drawDetour(0, random, keys, longest, 1) : undefined,
    times: random.below(4) === 0 ? 2 : 1,
  };
}

function amplePuts(store: number, count: number, from: number): Operation[] {
  return Array.from({ length: count }, (_, i) => {
    const key = `key-${(from + i).toString().padStart(5, '0')}`;
    return { kind: 'put', store, key, length: 700 + ((i * 37) % 300), fill: i };
  });
}

/** Whether its spills may read, so that others can make it lose. */
export function mayRead({ detours = [] }: ModelCommit): boolean {
  const settles = (detour: Detour | undefined): boolean =>
    detour !== undefined && ((detour.store === COUNTER_STORE && detour.ample > 0) || settles(detour.inner));
  return detours.some(settles);
}

function drawOperation(random: Chance, keys: number, longest: number): Operation {
  const store = STORES[random.below(STORES.length)] as number;
  const key = `key-${random.below(keys).toString().padStart(5, '0')}`;
  const choice = random.below(20);
  if (choice < 13 && store === COUNTER_STORE) {
    // Few keys, so that totals grow over tables, checkpoints and openings.
    const hot = `key-${random.below(3).toString().padStart(5, '0')}`;
    return { kind: 'increment', store, key: random.below(2) === 0 ? hot : key, amount: random.below(1000) - 400 };
  }
  if (choice < 13) {
    const length = random.below(8) === 0 ? random.below(longest) : random.below(200);
    return { kind: 'put', store, key, length, fill: random.below(255) };
  }
  if (choice < 18) return { kind: 'remove', store, key };
  const upper = random.below(10) === 0 ? undefined : `key-${random.below(keys).toString().padStart(5, '0')}`;
  return { kind: 'clear', store, lower: key, upper };
}

/** The cell of a put: flags and the bytes of its value. */
export function drawnValue({ length, fill }: { readonly length: number; readonly fill: number }): Uint8Array {
  // 7 times 183 is 1 modulo 256: so far into the ramp it has the byte wanted.
  const start = (fill * 183) % 256;
  if (ramp.length < start + length) ramp = makeRamp(2 * (start + length));
  return ramp.slice(start, start + length);
}

let ramp = makeRamp(1 << 17);

function makeRamp(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i * 7);
}

export function markKey(id: number): Uint8Array {
  return Uint8Array.of(id >>> 24, id >>> 16, id >>> 8, id);
}

/** `mayFail`: on a disk that refuses things; what a detour meets is forgotten with it, and what can be repeated is. */
export function applyTo(transaction: EngineTransaction, commit: ModelCommit, mayFail = false): void {
  const { operations, detours = [] } = commit;
  for (let at = 0; at <= operations.length; at++) {
    for (const detour of detours) if (detour.at === at) takeDetour(transaction, commit.id, detour, mayFail);
    const operation = operations[at];
    if (operation !== undefined) applyStubbornly(transaction, operation, mayFail);
  }
  addMark(transaction, commit.id, operations.length);
}

function addMark(transaction: EngineTransaction, id: number, operations: number): void {
  const mark = new Uint8Array(5);
  writeU32(mark, 1, operations);
  const key = markKey(id);
  transaction.put(MARK_STORE, key, 0, key.length, mark, 0, mark.length, undefined);
  addItems(transaction, id);
}

/** A refused change is not there: whoever repeats it has it once, increments too. */
function applyStubbornly(transaction: EngineTransaction, operation: Operation, mayFail: boolean): void {
  try {
    applyOperation(transaction, operation);
  } catch (error) {
    if (!mayFail || !(error instanceof SopError)) throw error;
    applyOperation(transaction, operation);
  }
}

function applyOperation(transaction: EngineTransaction, operation: Operation): void {
  if (operation.kind === 'put') put(transaction, operation.store, bytesOf(operation.key), drawnValue(operation));
  else if (operation.kind === 'increment') {
    const key = bytesOf(operation.key);
    const increment = new Uint8Array(INCREMENT_HEAD_BYTES + COUNTER_BYTES);
    increment[0] = INCREMENT_CREATES;
    writeCounter(increment, INCREMENT_HEAD_BYTES, operation.amount);
    transaction.increment(operation.store, key, 0, key.length, increment);
  } else if (operation.kind === 'remove') {
    const key = bytesOf(operation.key);
    transaction.remove(operation.store, key, 0, key.length, undefined);
  } else {
    transaction.removeRange(
      operation.store,
      bytesOf(operation.lower),
      operation.upper === undefined ? undefined : bytesOf(operation.upper),
    );
  }
}

/** Its mark and items are those of a commit that never was: who sees them says so. */
function takeDetour(transaction: EngineTransaction, id: number, detour: Detour, mayFail: boolean): void {
  const place = transaction.savepoint();
  const before = mayFail ? '' : digestOf(transaction);
  for (let round = 0; round < detour.times; round++) {
    try {
      for (const operation of detour.operations) applyOperation(transaction, operation);
      if (detour.inner !== undefined) goAstray(transaction, id, detour.inner, round);
      for (const operation of amplePuts(detour.store, detour.ample, round * 7)) applyOperation(transaction, operation);
      addMark(transaction, GHOST_IDS + id, 0);
    } catch (error) {
      if (!mayFail || !(error instanceof SopError)) throw error;
    }
    transaction.rollbackTo(place);
  }
  if (!mayFail && digestOf(transaction) !== before)
    throw new Error(`commit ${id} sees what it took back, or not what was before`);
}

/** Inside of a detour: taken back at once, or with what is around it. */
function goAstray(transaction: EngineTransaction, id: number, inner: Detour, round: number): void {
  const place = transaction.savepoint();
  for (const operation of inner.operations) applyOperation(transaction, operation);
  for (const operation of amplePuts(inner.store, inner.ample, 3)) applyOperation(transaction, operation);
  addMark(transaction, GHOST_IDS * 2 + id, 0);
  if (round === 0) transaction.rollbackTo(place);
}

/** What the transaction sees, in short: looking like this is no read. */
function digestOf(transaction: EngineTransaction): string {
  let hash = 0;
  let entries = 0;
  for (const store of [MARK_STORE, ...STORES, ITEM_STORE]) {
    const cursor = transaction.cursor(store);
    cursor.waits = true;
    for (let step = cursor.first(); step === 1; step = cursor.next(), entries++) {
      const { keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd } = cursor;
      hash = (Math.imul(hash, 31) + store + cellEnd - cellStart) | 0;
      for (let i = keyStart; i < keyEnd; i++) hash = (Math.imul(hash, 31) + (keyBytes[i] as number)) | 0;
      for (let i = cellStart; i < Math.min(cellEnd, cellStart + 48); i++)
        hash = (Math.imul(hash, 31) + (cellBytes[i] as number)) | 0;
    }
  }
  return `${entries} entries, ${hash}`;
}

/** One in seven commits adds so many that they spill. */
function itemsOf(id: number): number {
  return id % 7 === 3 ? 30 : 1;
}

function addItems(transaction: EngineTransaction, id: number): void {
  const cell = new Uint8Array(itemsOf(id) > 1 ? 700 : 2);
  transaction.numberItems(ITEM_STORE);
  for (let i = 0; i < itemsOf(id); i++) {
    const key = new Uint8Array(1 + ITEM_ID_BYTES);
    writeItemId(key, 1, NUMBER_PLACEHOLDER, id * 32 + i);
    transaction.put(ITEM_STORE, key, 0, key.length, cell, 0, cell.length, false);
  }
}

/** The items of all commits, in their order, under their numbers. */
function expectItems(transaction: EngineTransaction, marks: readonly Mark[]): void {
  const cursor = transaction.cursor(ITEM_STORE);
  cursor.waits = true;
  let step = cursor.first();
  for (const { id, version } of marks) {
    for (let i = 0; i < itemsOf(id); i++, step = cursor.next()) {
      if (step !== 1) throw new Error(`item ${i} of commit ${id} is missing`);
      const number = itemNumber(cursor.keyBytes, cursor.keyEnd);
      const sequence = itemSequence(cursor.keyBytes, cursor.keyEnd);
      if (number === version && sequence === id * 32 + i && cursor.version === version) continue;
      throw new Error(`instead of item ${i} of commit ${id}, number ${version}: ${sequence}, number ${number}`);
    }
  }
  if (step === 1) throw new Error('there are items of no commit');
}

function put(transaction: EngineTransaction, store: number, key: Uint8Array, value: Uint8Array): void {
  if (value.length > 65_536) {
    const reference = transaction.writeValue(store, key, 0, key.length, value);
    const cell = new Uint8Array(1 + reference.length);
    cell[0] = 1;
    cell.set(reference, 1);
    transaction.put(store, key, 0, key.length, cell, 0, cell.length, undefined);
    return;
  }
  const cell = new Uint8Array(1 + value.length);
  cell.set(value, 1);
  transaction.put(store, key, 0, key.length, cell, 0, cell.length, undefined);
}

export interface Mark {
  readonly id: number;
  /** The number under which it is in. */
  readonly version: number;
}

/** Which commits are in, oldest first, by their marks. */
export function readVersionedMarks(transaction: EngineTransaction): Mark[] {
  const marks: Mark[] = [];
  const cursor = transaction.cursor(MARK_STORE);
  cursor.waits = true;
  for (let step = cursor.first(); step === 1; step = cursor.next()) {
    marks.push({ id: readU32Big(cursor.keyBytes, cursor.keyStart), version: cursor.version });
  }
  marks.sort((x, y) => x.version - y.version);
  expectItems(transaction, marks);
  return marks;
}

export function readMarks(transaction: EngineTransaction): number[] {
  return readVersionedMarks(transaction).map((mark) => mark.id);
}

function readU32Big(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

export async function expectSound(engine: EngineApi): Promise<void> {
  const { problems } = await engine.verify();
  if (problems.length > 0) throw new Error(`verify finds: ${JSON.stringify(problems.slice(0, 5))}`);
}
