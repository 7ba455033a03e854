/**
 * One random run of an engine beside its model: transactions that overlap, cursors that stay open while the world changes,
 * checkpoints, compaction, spills, closing and opening again. Everything the engine answers is compared, and every refusal
 * must be one that the model explains. A function of its seed: the simulated world brings the interleavings and the misses.
 */
import { ConflictError, SnapshotTooOldError } from '../../src/base/errors.ts';
import { CELL_RIDE_ON, CELL_SEPARATE, cellValueStart } from '../../src/codec/cell.ts';
import { readCounter, writeCounter } from '../../src/codec/counter.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import type { SimulatedProcess } from '../../src/env/simulated-process.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { AT, END, type EntryCursor, MISS, type Step } from '../../src/node/entry-cursor.ts';
import { DROPPED_STORE } from '../../src/storage/system-stores.ts';
import type { EngineApi, EngineOptions, EngineSavepoint, EngineTransaction } from '../../src/transaction/engine-api.ts';
import { ABSENT, FOUND, NOT_LOADED } from '../../src/storage/find-result.ts';
import { openEngine } from '../../src/transaction/engine.ts';
import {
  type Change,
  isSame,
  isWithin,
  ModelDatabase,
  type ModelSavepoint,
  type ModelTransaction,
} from './model-transaction.ts';

/** 16 frames, so that every walk misses; tables and spills as small as they go. */
const OPTIONS: EngineOptions = {
  folder: '/disk/db',
  tableBytes: 64 * 1024,
  cacheBytes: 128 * 1024,
  logReserveBytes: 16 * 1024,
};

const SLOTS = 3;
const FIRST_STORE = 100;
const ROW_STORE = 80;
const MAX_OPEN = 5;

export interface RunOptions {
  readonly steps: number;
  readonly keys: number;
  /** The longest usual value. */
  readonly longest: number;
}

export interface RunCounts {
  steps: number;
  commits: number;
  refused: number;
  tooOld: number;
  spilled: number;
  reopened: number;
}

class Mismatch extends Error {}

interface OpenCursor {
  readonly cursor: EntryCursor;
  readonly store: number;
  readonly changes: number;
  /** The key it stands at; undefined where it is nowhere. */
  at: string | undefined;
}

interface Open {
  readonly name: number;
  readonly transaction: EngineTransaction;
  readonly model: ModelTransaction;
  readonly checkpoints: number;
  readonly savepoints: { readonly engine: EngineSavepoint; readonly model: ModelSavepoint }[];
  bytes: number;
  cursor: OpenCursor | undefined;
}

/** Entries of every other store have two counters at the head of a ride-on part; those of the others one, and it creates. */
function hasRideOn(store: number): boolean {
  return store % 2 === 1;
}

export async function runModel(seed: number, options: RunOptions, counts: RunCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  world.scheduler.maxSteps = 2_000_000;
  const process = world.startProcess();
  const run = new ModelRun(seed, process, options, counts);
  try {
    await world.run(() => run.all());
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(
      `SOP_SEED=${seed}, step ${run.step}: ${reason}\nThe last steps:\n${run.story.slice(-25).join('\n')}`,
    );
  }
}

class ModelRun {
  step = 0;
  readonly story: string[] = [];
  readonly #random: SeededRandom;
  readonly #process: SimulatedProcess;
  readonly #options: RunOptions;
  readonly #counts: RunCounts;
  readonly #database = new ModelDatabase();
  readonly #open: Open[] = [];
  readonly #stores: number[] = [];
  #engine: EngineApi | undefined;
  #background: Promise<unknown>[] = [];
  readonly #pins = new Map<string, (snapshot: number) => ModelTransaction>();
  #failure: unknown;
  #names = 0;
  #value = 0;
  #nextStore = FIRST_STORE + SLOTS;

  constructor(seed: number, process: SimulatedProcess, options: RunOptions, counts: RunCounts) {
    this.#random = new SeededRandom(seed + 7);
    this.#process = process;
    this.#options = options;
    this.#counts = counts;
  }

  get #api(): EngineApi {
    return this.#engine as EngineApi;
  }

  async all(): Promise<void> {
    await this.#start();
    for (let slot = 0; slot < SLOTS; slot++) this.#stores.push(FIRST_STORE + slot);
    for (; this.step < this.#options.steps; this.step++) {
      await this.#one();
      if (this.#failure !== undefined) throw this.#failure;
      this.#counts.steps++;
    }
    for (const open of [...this.#open]) await this.#commit([open]);
    await this.#reopen();
    await this.#verify();
    await this.#api.close();
  }

  async #start(): Promise<void> {
    this.#engine = await openEngine(this.#process, {
      ...OPTIONS,
      onBackgroundError: (error) => {
        this.#failure ??= error;
      },
    });
  }

  #tell(text: string): void {
    this.story.push(`${this.step}: ${text}`);
  }

  async #one(): Promise<void> {
    // Where transactions spill, they are to meet those that have read: chance alone brings it about once in a hundred runs.
    if (this.#options.longest > 10_000 && this.#random.chance(0.03)) return this.#meetLarge();
    const draw = this.#random.below(117);
    if (this.#open.length === 0 || (draw < 12 && this.#open.length < MAX_OPEN)) return this.#begin();
    const open = this.#random.pick(this.#open);
    if (draw < 27) return this.#find(open);
    if (draw < 43) return this.#put(open, 1);
    if (draw < 49) return this.#remove(open);
    if (draw < 53) return this.#clear(open);
    if (draw < 65) return this.#walk(open);
    if (draw < 69) return this.#count(open);
    if (draw < 72) return this.#rank(open);
    if (draw < 75) return this.#noteRange(open);
    if (draw < 77) return this.#row(open);
    if (draw < 78) return this.#put(open, 12);
    if (draw < 88) return this.#commit([open]);
    if (draw < 90) return this.#commit([...this.#open]);
    if (draw < 92) return this.#rollback(open);
    if (draw < 95) return this.#checkpoint(this.#random.chance(0.5));
    if (draw < 96) return this.#compact();
    if (draw < 97) return this.#drop();
    if (draw < 98) return this.#verify();
    if (draw < 99) return this.#reopen();
    if (draw >= 114) return this.#pinOrRead();
    if (draw >= 112) return this.#rollbackTo(open);
    if (draw >= 109) return this.#savepoint(open);
    if (draw >= 100) return this.#increment(open);
    await Promise.all(this.#background.splice(0));
  }

  // ---- transactions ----

  /** One has looked at ranges, another one commits more than its memory takes; the first goes on some time. */
  async #meetLarge(): Promise<void> {
    if (this.#open.length + 2 > MAX_OPEN) return this.#commit([...this.#open]);
    await this.#begin();
    await this.#begin();
    const [looking, large] = this.#open.slice(-2) as [Open, Open];
    for (let i = 0; i < 2; i++) await this.#noteRange(looking);
    if (!isWriter(large)) return;
    for (let i = 0; i < 2; i++) await this.#put(large, 12);
    await this.#commit([large]);
  }

  async #begin(): Promise<void> {
    const kind = this.#random.chance(0.8) ? 'write' : 'read';
    const transaction = this.#api.begin(kind);
    const model = this.#database.begin(transaction.snapshot);
    if (transaction.snapshot < this.#database.newest) {
      throw new Mismatch(`snapshot ${transaction.snapshot} lacks the acknowledged ${this.#database.newest}`);
    }
    const { checkpoints } = this.#api.stats();
    this.#open.push({
      name: ++this.#names,
      transaction,
      model,
      checkpoints,
      savepoints: [],
      bytes: 0,
      cursor: undefined,
    });
    this.#tell(`t${this.#names} begins (${kind}) at ${transaction.snapshot}`);
  }

  /** Commits all of them at once: they go into one batch, or wait for each other. */
  async #commit(all: readonly Open[]): Promise<void> {
    for (const open of all) this.#forget(open);
    const outcomes = await Promise.all(all.map((open) => this.#outcome(open)));
    const accepted: { open: Open; number: number }[] = [];
    all.forEach((open, i) => {
      const number = outcomes[i];
      if (typeof number === 'number' && isWriter(open)) accepted.push({ open, number });
    });
    for (const { open, number } of accepted.sort((a, b) => a.number - b.number)) this.#accept(open, number);
    all.forEach((open, i) => {
      if (typeof outcomes[i] !== 'number') this.#refuse(open, outcomes[i]);
    });
  }

  async #outcome(open: Open): Promise<unknown> {
    try {
      return await open.transaction.commit();
    } catch (error) {
      return error;
    }
  }

  #accept(open: Open, number: number): void {
    this.#tell(`t${open.name} commits as ${number}`);
    this.#counts.commits++;
    for (const other of this.#database.committed) {
      if (open.model.conflictsWith(other) === 'yes') {
        throw new Mismatch(
          `t${open.name} (snapshot ${open.model.snapshot}) committed over ${other.number}, which it should have seen`,
        );
      }
    }
    if (!open.model.rowsHold(this.#database.committed))
      throw new Mismatch(`t${open.name} committed over a row that had changed`);
    const spilled = open.bytes > 10_000;
    if (spilled) this.#counts.spilled++;
    if (open.model.changes.length > 0) this.#database.commit({ number, changes: open.model.changes, spilled });
  }

  #refuse(open: Open, error: unknown): void {
    this.#tell(`t${open.name} is refused: ${String(error)}`);
    if (error instanceof SnapshotTooOldError) {
      this.#counts.tooOld++;
      const passed = this.#api.stats().checkpoints - open.checkpoints;
      if (passed < 2) throw new Mismatch(`t${open.name} is too old after ${passed} checkpoints`);
      return;
    }
    if (!(error instanceof ConflictError)) throw error;
    this.#counts.refused++;
    const may = this.#database.committed.some(
      (other) => open.model.conflictsWith(other) !== 'no' || (open.bytes > 10_000 && open.model.mayHaveReadWhat(other)),
    );
    if (!may && open.model.rowsHold(this.#database.committed)) {
      throw new Mismatch(
        `t${open.name} (snapshot ${open.model.snapshot}) was refused, and nothing it read has changed`,
      );
    }
  }

  async #rollback(open: Open): Promise<void> {
    this.#forget(open);
    open.transaction.rollback();
    this.#tell(`t${open.name} rolls back`);
  }

  #forget(open: Open): void {
    this.#open.splice(this.#open.indexOf(open), 1);
  }

  // ---- changing ----

  async #put(open: Open, count: number): Promise<void> {
    if (!isWriter(open)) return this.#find(open);
    const store = this.#random.pick(this.#stores);
    for (let i = 0; i < count; i++) {
      const key = this.#drawKey();
      const cell = this.#cellAgain(open, store, key) ?? this.#drawCell(open, store, key);
      const bytes = bytesOf(key);
      const existed = this.#existed(open, store, key);
      open.transaction.put(store, bytes, 0, bytes.length, cell, 0, cell.length, existed);
      open.model.change({ kind: 'put', store, key, cell });
      open.bytes += cell.length + bytes.length + 24;
      this.#tell(`t${open.name} puts ${store}/${key} (${cell.length} bytes, existed ${existed})`);
    }
  }

  /** Mostly of few keys, so that totals grow. */
  async #increment(open: Open): Promise<void> {
    if (!isWriter(open)) return this.#find(open);
    const store = this.#random.pick(this.#stores);
    for (let count = this.#random.chance(0.1) ? 30 : 1; count > 0; count--) {
      const key = this.#random.chance(0.7) ? `key-000${this.#random.below(4)}` : this.#drawKey();
      const bytes = bytesOf(key);
      const increment = new Uint8Array(hasRideOn(store) ? 24 : 16);
      if (!hasRideOn(store)) increment[0] = 1;
      for (let at = 8; at < increment.length; at += 8) writeCounter(increment, at, this.#random.below(2000) - 900);
      open.transaction.increment(store, bytes, 0, bytes.length, increment);
      open.model.change({ kind: 'increment', store, key, increment });
      open.bytes += increment.length + bytes.length + 24;
      this.#tell(`t${open.name} increments ${store}/${key} by ${readCounter(increment, 8)}`);
    }
  }

  async #savepoint(open: Open): Promise<void> {
    if (!isWriter(open)) return this.#find(open);
    open.savepoints.push({ engine: open.transaction.savepoint(), model: open.model.savepoint() });
    this.#tell(`t${open.name} makes savepoint ${open.savepoints.length}`);
  }

  async #rollbackTo(open: Open): Promise<void> {
    const at = this.#random.below(open.savepoints.length + 1);
    const savepoint = open.savepoints[at];
    if (savepoint === undefined) return this.#count(open);
    open.savepoints.length = at + 1;
    open.transaction.rollbackTo(savepoint.engine);
    open.model.rollbackTo(savepoint.model);
    this.#tell(`t${open.name} rolls back to savepoint ${at + 1}`);
  }

  /** What the caller knows: nothing, or what a find of its own told it. */
  #existed(open: Open, store: number, key: string): boolean | undefined {
    if (this.#random.chance(0.6)) return undefined;
    const found = open.model.content(store).has(key);
    open.model.noteKey(store, key);
    const bytes = bytesOf(key);
    open.transaction.waits = true;
    const answer = open.transaction.find(store, bytes, 0, bytes.length);
    if ((answer === FOUND) !== found)
      throw new Mismatch(`t${open.name} finds ${store}/${key}: ${answer}, not ${found}`);
    return found;
  }

  /** Now and then the cell that is there, as `updateKey` puts it again: with the reference of a separate value. */
  #cellAgain(open: Open, store: number, key: string): Uint8Array | undefined {
    if (!hasRideOn(store) || !this.#random.chance(0.3)) return undefined;
    const bytes = bytesOf(key);
    open.transaction.waits = true;
    open.model.noteKey(store, key);
    if (open.transaction.find(store, bytes, 0, bytes.length) !== FOUND) return undefined;
    const { foundBytes, foundStart, foundEnd } = open.transaction;
    this.#tell(`t${open.name} puts ${store}/${key} again`);
    return foundBytes.slice(foundStart, foundEnd);
  }

  #drawCell(open: Open, store: number, key: string): Uint8Array {
    const value = ++this.#value;
    const rideOn = hasRideOn(store) ? 18 : 0;
    if (rideOn > 0 && this.#random.chance(0.06)) {
      const bytes = bytesOf(key);
      const content = new Uint8Array(100 + this.#random.below(3000)).fill(value);
      const reference = open.transaction.writeValue(store, bytes, 0, bytes.length, content);
      const cell = new Uint8Array(1 + rideOn + reference.length);
      cell[0] = CELL_SEPARATE | CELL_RIDE_ON;
      cell[1] = 16;
      cell.set(reference, 1 + rideOn);
      return cell;
    }
    const drawn = this.#random.chance(0.2) ? this.#random.below(this.#options.longest) : this.#random.below(60);
    // A value that is a counter is never moved out of its cell.
    const length = rideOn > 0 ? drawn : Math.min(drawn, 400);
    const cell = new Uint8Array(1 + rideOn + 8 + length).fill(value, 9);
    cell[0] = rideOn > 0 ? CELL_RIDE_ON : 0;
    if (rideOn > 0) cell[1] = 16;
    if (rideOn > 0) cell[2] = 0;
    writeCounter(cell, rideOn > 0 ? 3 : 1, value);
    return cell;
  }

  async #remove(open: Open): Promise<void> {
    if (!isWriter(open)) return this.#count(open);
    const store = this.#random.pick(this.#stores);
    const key = this.#drawKey();
    const bytes = bytesOf(key);
    open.transaction.remove(store, bytes, 0, bytes.length, this.#existed(open, store, key));
    open.model.change({ kind: 'remove', store, key });
    open.bytes += bytes.length + 24;
    this.#tell(`t${open.name} removes ${store}/${key}`);
  }

  async #clear(open: Open): Promise<void> {
    if (!isWriter(open)) return this.#rank(open);
    const store = this.#random.pick(this.#stores);
    const { lower, upper } = this.#drawRange();
    open.transaction.removeRange(store, optionalBytes(lower), optionalBytes(upper));
    // An empty range is no change to anybody.
    if (lower === undefined || upper === undefined || lower < upper)
      open.model.change({ kind: 'clear', store, lower, upper });
    open.bytes += 40;
    this.#tell(`t${open.name} clears ${store}/[${lower}, ${upper})`);
  }

  async #row(open: Open): Promise<void> {
    const key = `row-${this.#random.below(3)}`;
    const bytes = bytesOf(key);
    if (!isWriter(open)) return;
    const mine = Uint8Array.of(0, this.#random.below(2));
    const expected = open.model.content(ROW_STORE).get(key);
    if (open.model.isOwn(ROW_STORE, key)) return;
    const orEqual = this.#random.chance(0.5) ? mine : undefined;
    open.transaction.expectRow(ROW_STORE, bytes, expected, orEqual);
    if (!open.model.rows.some((row) => row.key === key))
      open.model.rows.push({ store: ROW_STORE, key, expected, orEqual });
    open.transaction.put(ROW_STORE, bytes, 0, bytes.length, mine, 0, mine.length, undefined);
    open.model.change({ kind: 'put', store: ROW_STORE, key, cell: mine });
    this.#tell(`t${open.name} expects ${key} to be ${expected} or ${orEqual}`);
  }

  // ---- reading ----

  async #find(open: Open): Promise<void> {
    const store = this.#random.pick(this.#stores);
    const key = this.#drawKey();
    const bytes = bytesOf(key);
    const { transaction } = open;
    this.#tell(`t${open.name} finds ${store}/${key}`);
    const waits = this.#random.chance(0.3);
    let answer = NOT_LOADED as number;
    for (let round = 0; answer === NOT_LOADED; round++) {
      if (round > 40) throw new Mismatch('a find misses for ever');
      if (round > 0) await transaction.load();
      transaction.waits = waits || round > 20;
      answer = transaction.find(store, bytes, 0, bytes.length);
    }
    if (isWriter(open)) open.model.noteKey(store, key);
    const expected = open.model.content(store).get(key);
    if ((answer === FOUND) !== (expected !== undefined)) {
      throw new Mismatch(`t${open.name} finds ${store}/${key}: ${answer}, but the model has ${expected?.length} bytes`);
    }
    if (expected === undefined) return;
    const cell = transaction.foundBytes.slice(transaction.foundStart, transaction.foundEnd);
    await this.#expectCell(open, cell, expected, `${store}/${key}`);
  }

  /** A checkpoint may have moved a value: then the cells differ, and what they stand for is the same. */
  async #expectCell(open: Open, found: Uint8Array, expected: Uint8Array, what: string): Promise<void> {
    if (isSame(found, expected)) return;
    const head = cellValueStart(expected, 0);
    if (!isSame(found.subarray(1, head), expected.subarray(1, head)))
      throw new Mismatch(`t${open.name} reads another ride-on part at ${what}`);
    const value = await this.#valueOf(open, found);
    if (!isApart(expected)) {
      if (isSame(value, expected.subarray(head))) return;
      throw new Mismatch(`t${open.name} reads another value at ${what}`);
    }
    // Both apart: length and checksum in the references tell.
    if (!isSame(found.subarray(head + 14, head + 22), expected.subarray(head + 14, head + 22))) {
      throw new Mismatch(`t${open.name} reads another separate value at ${what}`);
    }
  }

  async #valueOf(open: Open, cell: Uint8Array): Promise<Uint8Array> {
    if (!isApart(cell)) return cell.subarray(cellValueStart(cell, 0));
    if (this.#random.chance(0.5)) return open.transaction.readValue(cell, 0, cell.length);
    return open.transaction.readValueSync(cell, 0, cell.length);
  }

  /** Some moves of a cursor that may have been open for long. */
  async #walk(open: Open): Promise<void> {
    const { transaction } = open;
    let held = open.cursor;
    if (held === undefined || held.changes !== transaction.changeCount || this.#random.chance(0.2)) {
      const store = this.#random.pick(this.#stores);
      held = { cursor: transaction.cursor(store), store, changes: transaction.changeCount, at: undefined };
      open.cursor = held;
      this.#tell(`t${open.name} opens a cursor over ${store}`);
    }
    const keys = [...open.model.content(held.store).keys()].sort();
    const moves = 1 + this.#random.below(12);
    const straight = this.#random.chance(0.5) ? this.#random.pick(['next', 'previous']) : undefined;
    for (let i = 0; i < moves; i++) await this.#move(open, held, keys, straight);
  }

  async #move(open: Open, held: OpenCursor, keys: readonly string[], straight: string | undefined): Promise<void> {
    const { cursor } = held;
    const move =
      held.at === undefined
        ? this.#random.pick(['first', 'last', 'seek', 'seekBefore'])
        : (straight ?? this.#random.pick(['next', 'next', 'previous', 'seek', 'seekBefore', 'first', 'last']));
    const key = this.#drawKey();
    const bytes = bytesOf(key);
    const at = held.at === undefined ? -1 : keys.indexOf(held.at);
    const call: Record<string, () => [Step, number]> = {
      first: () => [cursor.first(), 0],
      last: () => [cursor.last(), keys.length - 1],
      next: () => [cursor.next(), at + 1],
      previous: () => [cursor.previous(), at - 1],
      seek: () => [cursor.seek(bytes, 0, bytes.length), lowerBound(keys, key)],
      seekBefore: () => [cursor.seekBefore(bytes, 0, bytes.length), lowerBound(keys, key) - 1],
    };
    cursor.waits = this.#random.chance(0.3);
    const make = call[move] as () => [Step, number];
    let [step, index] = make();
    for (let round = 0; step === MISS; round++) {
      if (round > 60) throw new Mismatch(`${move} misses for ever`);
      await cursor.load();
      if (round > 30) cursor.waits = true;
      [step, index] = make();
    }
    const expected = keys[index];
    const found = step === END ? undefined : textOf(cursor.keyBytes, cursor.keyStart, cursor.keyEnd);
    if (found !== expected) {
      throw new Mismatch(
        `t${open.name}: ${move} ${key} over ${held.store} from ${held.at} comes to ${found}, not ${expected}`,
      );
    }
    held.at = found;
    if (found === undefined) return;
    const cell = cursor.cellBytes.slice(cursor.cellStart, cursor.cellEnd);
    await this.#expectCell(open, cell, open.model.content(held.store).get(found) as Uint8Array, found);
  }

  async #count(open: Open): Promise<void> {
    const { transaction } = open;
    const store = this.#random.pick(this.#stores);
    const { lower, upper } = this.#drawRange();
    transaction.waits = this.#random.chance(0.3);
    let count = transaction.count(store, optionalBytes(lower), optionalBytes(upper));
    for (let round = 0; count < 0; round++) {
      if (round > 300) throw new Mismatch('a count misses for ever');
      await transaction.load();
      transaction.waits = round > 100;
      count = transaction.count(store, optionalBytes(lower), optionalBytes(upper));
    }
    const expected = [...open.model.content(store).keys()].filter((key) => isWithin(key, { lower, upper })).length;
    this.#tell(`t${open.name} counts ${store}/[${lower}, ${upper}): ${count}`);
    if (count !== expected)
      throw new Mismatch(`t${open.name} counts ${count} in ${store}/[${lower}, ${upper}), not ${expected}`);
  }

  async #rank(open: Open): Promise<void> {
    const { transaction } = open;
    const store = this.#random.pick(this.#stores);
    const keys = [...open.model.content(store).keys()].sort();
    const rank = this.#random.below(keys.length + 2);
    const cursor = transaction.cursor(store);
    let answer = transaction.seekRank(store, rank, cursor);
    for (let round = 0; answer === NOT_LOADED && round < 200; round++) {
      await transaction.load();
      answer = transaction.seekRank(store, rank, cursor);
    }
    const found = answer === ABSENT ? undefined : textOf(cursor.keyBytes, cursor.keyStart, cursor.keyEnd);
    this.#tell(`t${open.name} seeks rank ${rank} in ${store}: ${found}`);
    if (found !== keys[rank])
      throw new Mismatch(`t${open.name}: rank ${rank} of ${store} is ${found}, not ${keys[rank]}`);
  }

  async #noteRange(open: Open): Promise<void> {
    if (!isWriter(open)) return this.#walk(open);
    const store = this.#random.pick(this.#stores);
    const { lower, upper } = this.#drawRange();
    open.transaction.noteRange(store, optionalBytes(lower), optionalBytes(upper));
    if (lower === undefined || upper === undefined || lower < upper)
      open.model.readRanges.push({ store, lower, upper });
    this.#tell(`t${open.name} has looked at ${store}/[${lower}, ${upper})`);
  }

  // ---- upkeep ----

  async #checkpoint(waits: boolean): Promise<void> {
    this.#tell(waits ? 'checkpoint' : 'checkpoint begins');
    const done = this.#api.checkpoint();
    if (waits) await done;
    else this.#background.push(done);
  }

  async #compact(): Promise<void> {
    this.#tell('compact');
    await this.#api.compact();
  }

  /** A new pin, a transaction at one, or one less. */
  async #pinOrRead(): Promise<void> {
    const names = [...this.#pins.keys()];
    const draw = this.#random.below(6);
    if (names.length === 0 || (draw < 2 && names.length < 4)) {
      const name = `pin-${this.step}`;
      // Nothing commits meanwhile; what is being compacted may be what the pin names.
      if (this.#random.chance(0.6)) this.#background.push(this.#api.compact());
      const { number } = await this.#api.pin(name);
      this.#pins.set(name, this.#database.pin());
      this.#tell(`${name} at ${number}`);
      return;
    }
    const name = this.#random.pick(names);
    if (draw === 5) {
      await this.#api.unpin(name);
      this.#pins.delete(name);
      this.#tell(`${name} is given up`);
      return;
    }
    const transaction = this.#api.begin('read', { at: name });
    const model = (this.#pins.get(name) as (snapshot: number) => ModelTransaction)(transaction.snapshot);
    const { checkpoints } = this.#api.stats();
    const open: Open = {
      name: ++this.#names,
      transaction,
      model,
      checkpoints,
      savepoints: [],
      bytes: 0,
      cursor: undefined,
    };
    this.#tell(`t${this.#names} begins at ${name}`);
    for (const store of this.#stores) await this.#readAll(open, store);
    if (this.#open.length < MAX_OPEN) this.#open.push(open);
    else transaction.rollback();
  }

  /** A store is dropped: nobody looks at it again, and its content must not be in anyone's way. */
  async #drop(): Promise<void> {
    const slot = this.#random.below(SLOTS);
    const old = this.#stores[slot] as number;
    const key = Uint8Array.of(old >>> 24, old >>> 16, old >>> 8, old);
    const transaction = this.#api.begin('write');
    transaction.put(DROPPED_STORE, key, 0, 4, Uint8Array.of(0), 0, 1, undefined);
    const number = await transaction.commit();
    const change: Change = { kind: 'put', store: DROPPED_STORE, key: String(old), cell: Uint8Array.of(0) };
    this.#database.commit({ number, changes: [change], spilled: false });
    this.#stores[slot] = this.#nextStore++;
    // Whoever still works in the dropped store would see what the store floor forbids.
    for (const open of [...this.#open]) if (open.cursor?.store === old) open.cursor = undefined;
    this.#tell(`store ${old} is dropped, ${this.#stores[slot]} takes its place`);
  }

  async #verify(): Promise<void> {
    const { problems } = await this.#api.verify();
    if (problems.length > 0) throw new Mismatch(`verify finds ${JSON.stringify(problems.slice(0, 3))}`);
    this.#tell('verify');
  }

  async #reopen(): Promise<void> {
    await Promise.allSettled(this.#background.splice(0));
    await this.#api.close();
    this.#open.length = 0;
    await this.#start();
    this.#counts.reopened++;
    this.#tell('closed and opened again');
    await this.#begin();
    const open = this.#open.pop() as Open;
    for (const store of this.#stores) await this.#readAll(open, store);
    open.transaction.rollback();
  }

  async #readAll(open: Open, store: number): Promise<void> {
    const keys = [...open.model.content(store).keys()].sort();
    const cursor = open.transaction.cursor(store);
    cursor.waits = true;
    let at = 0;
    for (let step = cursor.first(); step === AT; step = cursor.next(), at++) {
      const found = textOf(cursor.keyBytes, cursor.keyStart, cursor.keyEnd);
      if (found !== keys[at]) throw new Mismatch(`entry ${at} of ${store} is ${found}, not ${keys[at]}`);
    }
    if (at !== keys.length) throw new Mismatch(`${at} entries in ${store}, not ${keys.length}`);
  }

  // ---- chance ----

  #drawKey(): string {
    const number = this.#random.below(this.#options.keys);
    const text = `key-${String(number).padStart(4, '0')}`;
    return number % 7 === 0 ? `${text}-${'long'.repeat(number % 40)}` : text;
  }

  #drawRange(): { lower: string | undefined; upper: string | undefined } {
    const a = this.#random.chance(0.15) ? undefined : this.#drawKey();
    if (this.#random.chance(0.15)) return { lower: a, upper: undefined };
    // Often short ranges, sometimes empty ones.
    const b = this.#random.chance(0.5) && a !== undefined ? `${a.slice(0, 8)}~` : this.#drawKey();
    return { lower: a, upper: b };
  }
}

function isApart(cell: Uint8Array): boolean {
  return ((cell[0] as number) & CELL_SEPARATE) !== 0;
}

function isWriter(open: Open): boolean {
  return open.transaction.kind === 'write';
}

function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function optionalBytes(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : bytesOf(text);
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i] as number);
  return text;
}

function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
