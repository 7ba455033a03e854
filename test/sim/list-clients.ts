/** Clients that append to lists through one engine, under whatever interleaving the scheduler brings. */
import {
  ConflictError,
  DatabaseFailedError,
  IoError,
  OutcomeUnknownError,
  SnapshotTooOldError,
} from '../../src/base/errors.ts';
import { readU32, writeU32 } from '../../src/base/bytes.ts';
import { CLAIM_MS } from '../../src/commit/claims.ts';
import type { Env } from '../../src/env/env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { AT, END, type EntryCursor, MISS, type Step } from '../../src/node/entry-cursor.ts';
import type { EngineApi, EngineClaim, EngineTransaction } from '../../src/transaction/engine-api.ts';
import { FOUND, NOT_LOADED } from '../../src/storage/find-result.ts';
import type { History, HistoryTransaction, List } from './list-history.ts';

export const LIST_STORE = 100;
const MARK_STORE = 101;
const KEYS = 12;
/** What no transaction has appended. */
const NOBODYS = 0xffff_ffff;

export interface ClientContext {
  readonly env: Env;
  readonly engine: EngineApi;
  readonly random: SeededRandom;
  readonly history: History;
  /** Errors of the disk are in order. */
  readonly disksFail?: boolean;
}

export interface ClientCounts {
  commits: number;
  refused: number;
  reads: number;
  claims: number;
}

/** One client: `transactions` of them, one after another, refused ones included. */
export async function runClient(context: ClientContext, transactions: number, counts: ClientCounts): Promise<void> {
  for (let i = 0; i < transactions; i++) {
    await pause(context);
    const writes = context.random.chance(0.75);
    if (writes) await writeOnce(context, counts);
    else await readOnce(context, counts);
  }
}

/** Who loses runs the same again, and claims what it read sooner or later; who loses too often gives up. */
async function writeOnce(context: ClientContext, counts: ClientCounts): Promise<void> {
  const { engine, random } = context;
  const program = random.below(2 ** 31);
  const losses = random.below(4);
  let claim: EngineClaim | undefined;
  for (let run = 0; run < 7; run++) {
    const lost = await runOnce(context, new SeededRandom(program), claim, counts);
    if (lost === undefined || run === losses + 3) return;
    claim = run < losses ? undefined : await engine.claim(lost);
    if (claim === undefined) continue;
    counts.claims++;
    // Some give up, and some without a word: the others go on all the same.
    const choice = random.below(10);
    if (choice < 1) return;
    if (choice < 2) return engine.endClaim(claim);
  }
}

/** Answers the transaction where it was lost to another one. */
async function runOnce(
  context: ClientContext,
  program: SeededRandom,
  claim: EngineClaim | undefined,
  counts: ClientCounts,
): Promise<EngineTransaction | undefined> {
  const { engine, history } = context;
  const transaction = engine.begin('write', { claim });
  const told = history.begin('write', transaction.snapshot);
  try {
    const count = 1 + program.below(4);
    for (let i = 0; i < count; i++) await operate(context, program, transaction, told);
    if (program.chance(0.2)) await goAstray(context, program, transaction);
    if (told.operations.some((one) => one.kind === 'write' || one.kind === 'remove' || one.kind === 'clear'))
      mark(transaction, told.id);
    history.committed(told, await committed(context, transaction));
    counts.commits++;
    return undefined;
  } catch (error) {
    told.outcome = error instanceof OutcomeUnknownError ? 'unknown' : 'refused';
    transaction.rollback();
    counts.refused++;
    if (!isInOrder(context, error)) throw error;
    return error instanceof ConflictError ? transaction : undefined;
  }
}

/** Nobody is kept out for long, however many claim. */
async function committed({ env, disksFail }: ClientContext, transaction: EngineTransaction): Promise<number> {
  const sinceMs = env.clock.monotonicMs();
  const number = await transaction.commit();
  const tookMs = env.clock.monotonicMs() - sinceMs;
  if (disksFail !== true && tookMs > CLAIM_MS * 1.5) throw new Error(`a commit took ${tookMs} ms`);
  return number;
}

/** Changes that are taken back at once. */
async function goAstray(context: ClientContext, program: SeededRandom, transaction: EngineTransaction): Promise<void> {
  const place = transaction.savepoint();
  const [lower, upper] = drawRange(program);
  if (program.chance(0.3)) transaction.removeRange(LIST_STORE, bytesOf(lower), bytesOf(upper));
  // Enough of them to spill.
  for (let i = program.below(24); i >= 0; i--) put(transaction, drawKey(program), [NOBODYS]);
  if (program.chance(0.5)) await pause(context);
  transaction.rollbackTo(place);
}

async function readOnce(context: ClientContext, counts: ClientCounts): Promise<void> {
  const { engine, random, history } = context;
  const transaction = engine.begin('read');
  const told = history.begin('read', transaction.snapshot);
  try {
    const count = 1 + random.below(4);
    for (let i = 0; i < count; i++) {
      await look(context, random, transaction, told);
      await pause(context);
    }
    await transaction.commit();
    told.outcome = 'committed';
    counts.reads++;
  } catch (error) {
    told.outcome = 'refused';
    transaction.rollback();
    if (!isInOrder(context, error)) throw error;
  }
}

function isInOrder({ disksFail }: ClientContext, error: unknown): boolean {
  if (error instanceof ConflictError || error instanceof SnapshotTooOldError) return true;
  return (
    disksFail === true &&
    (error instanceof IoError || error instanceof DatabaseFailedError || error instanceof OutcomeUnknownError)
  );
}

/** `random` draws what is done, that of the context when. */
async function operate(
  context: ClientContext,
  random: SeededRandom,
  transaction: EngineTransaction,
  told: HistoryTransaction,
): Promise<void> {
  const choice = random.below(20);
  if (choice < 9) await append(context, random, transaction, told);
  else if (choice < 11) {
    const key = drawKey(random);
    put(transaction, key, [newElement(told)]);
    told.operations.push({ kind: 'write', key, list: [lastElement(told)] });
  } else if (choice < 13) {
    const key = drawKey(random);
    const bytes = bytesOf(key);
    transaction.remove(LIST_STORE, bytes, 0, bytes.length, undefined);
    told.operations.push({ kind: 'remove', key });
  } else if (choice < 14) {
    const [lower, upper] = drawRange(random);
    transaction.removeRange(LIST_STORE, bytesOf(lower), bytesOf(upper));
    told.operations.push({ kind: 'clear', lower, upper });
  } else await look(context, random, transaction, told);
  if (context.random.chance(0.5)) await pause(context);
}

async function append(
  context: ClientContext,
  random: SeededRandom,
  transaction: EngineTransaction,
  told: HistoryTransaction,
): Promise<void> {
  const key = drawKey(random);
  const found = await read(context, transaction, key);
  told.operations.push({ kind: 'read', key, found });
  // Lists are kept short, so that histories stay readable.
  const list = [...(found ?? []).slice(-6), newElement(told)];
  put(transaction, key, list);
  told.operations.push({ kind: 'write', key, list });
}

async function look(
  context: ClientContext,
  random: SeededRandom,
  transaction: EngineTransaction,
  told: HistoryTransaction,
): Promise<void> {
  const choice = random.below(3);
  if (choice === 0) {
    const key = drawKey(random);
    told.operations.push({ kind: 'read', key, found: await read(context, transaction, key) });
    return;
  }
  const [lower, upper] = drawRange(random);
  transaction.noteRange(LIST_STORE, bytesOf(lower), bytesOf(upper));
  if (choice === 1) {
    told.operations.push({ kind: 'scan', lower, upper, found: await scan(context, transaction, lower, upper) });
  } else told.operations.push({ kind: 'count', lower, upper, found: await count(context, transaction, lower, upper) });
}

async function read({ random }: ClientContext, transaction: EngineTransaction, key: string): Promise<List | undefined> {
  const bytes = bytesOf(key);
  for (let round = 0; ; round++) {
    transaction.waits = round > 50 || random.chance(0.1);
    const answer = transaction.find(LIST_STORE, bytes, 0, bytes.length);
    if (answer === FOUND) return listOf(transaction.foundBytes, transaction.foundStart, transaction.foundEnd);
    if (answer !== NOT_LOADED) return undefined;
    await transaction.load();
  }
}

async function scan(
  context: ClientContext,
  transaction: EngineTransaction,
  lower: string,
  upper: string,
): Promise<(readonly [string, List])[]> {
  const cursor = transaction.cursor(LIST_STORE);
  const found: (readonly [string, List])[] = [];
  const from = bytesOf(lower);
  let step = await moved(cursor, () => cursor.seek(from, 0, from.length));
  while (step === AT) {
    const key = textOf(cursor.keyBytes, cursor.keyStart, cursor.keyEnd);
    if (key >= upper) break;
    found.push([key, listOf(cursor.cellBytes, cursor.cellStart, cursor.cellEnd)]);
    if (context.random.chance(0.2)) await pause(context);
    step = await moved(cursor, () => cursor.next());
  }
  return found;
}

async function moved(cursor: EntryCursor, move: () => Step): Promise<Step> {
  for (let round = 0; ; round++) {
    cursor.waits = round > 50;
    const step = move();
    if (step !== MISS) return step;
    await cursor.load();
  }
}

async function count(
  context: ClientContext,
  transaction: EngineTransaction,
  lower: string,
  upper: string,
): Promise<number> {
  for (let round = 0; ; round++) {
    transaction.waits = round > 50 || context.random.chance(0.1);
    const answer = transaction.count(LIST_STORE, bytesOf(lower), bytesOf(upper));
    if (answer >= 0) return answer;
    await transaction.load();
  }
}

/** Checkpoints and compaction beside the clients. */
export async function runUpkeep(context: ClientContext, rounds: number): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    await pause(context);
    await pause(context);
    const work = context.random.chance(0.8) ? context.engine.checkpoint() : context.engine.compact();
    await work.catch((error: unknown) => {
      if (!isInOrder(context, error)) throw error;
    });
  }
}

/** Which transactions are in, and as what numbers; and the lists as they are. */
export function readAll(engine: EngineApi): { marks: Map<number, number>; lists: Map<string, List> } {
  const transaction = engine.begin('read');
  const marks = new Map<number, number>();
  const lists = new Map<string, List>();
  const cursor = transaction.cursor(MARK_STORE);
  cursor.waits = true;
  for (let step = cursor.first(); step !== END; step = cursor.next())
    marks.set(readU32(cursor.keyBytes, cursor.keyStart), cursor.version);
  const over = transaction.cursor(LIST_STORE);
  over.waits = true;
  for (let step = over.first(); step !== END; step = over.next()) {
    lists.set(textOf(over.keyBytes, over.keyStart, over.keyEnd), listOf(over.cellBytes, over.cellStart, over.cellEnd));
  }
  transaction.rollback();
  return { marks, lists };
}

function mark(transaction: EngineTransaction, id: number): void {
  const key = new Uint8Array(4);
  writeU32(key, 0, id);
  transaction.put(MARK_STORE, key, 0, 4, Uint8Array.of(0), 0, 1, false);
}

function put(transaction: EngineTransaction, key: string, list: List): void {
  // Some weight, so that trees have more leaves than the cache has frames.
  const cell = new Uint8Array(5 + list.length * 4 + 1200);
  writeU32(cell, 1, list.length);
  for (let i = 0; i < list.length; i++) writeU32(cell, 5 + i * 4, list[i] as number);
  const bytes = bytesOf(key);
  transaction.put(LIST_STORE, bytes, 0, bytes.length, cell, 0, cell.length, undefined);
}

function listOf(cell: Uint8Array, start: number, _end: number): List {
  return Array.from({ length: readU32(cell, start + 1) }, (_, i) => readU32(cell, start + 5 + i * 4));
}

let elements = 0;

/** Unique, and tells who wrote it. */
function newElement(told: HistoryTransaction): number {
  elements = (elements + 1) % 64;
  return told.id * 64 + elements;
}

function lastElement(told: HistoryTransaction): number {
  return told.id * 64 + elements;
}

function drawKey(random: SeededRandom): string {
  return `list-${String(random.below(KEYS)).padStart(2, '0')}`;
}

function drawRange(random: SeededRandom): [string, string] {
  const a = drawKey(random);
  const b = drawKey(random);
  return a < b ? [a, b] : [b, `${a}~`];
}

function pause({ env, random }: ClientContext): Promise<void> {
  if (random.chance(0.3)) return new Promise((resolve) => env.timers.nextTurn(resolve));
  return new Promise((resolve) => env.timers.after(random.fraction() * 2, resolve));
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return new TextDecoder().decode(bytes.subarray(start, end));
}
