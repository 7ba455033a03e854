/**
 * One random run of a store with indexes in the simulated world: writers at once with every kind of change, definitions that
 * come and go, so that indexes are dropped and built beside the writers, kills and openings. In every snapshot looked at, each
 * index that is ready holds exactly what the store of the same snapshot says. A function of its seed.
 *
 * With `faults` the disk refuses things for a while: writers take that as it comes, some go on with the transaction in which it
 * happened, and with a sound disk every index is built all the same.
 */
import {
  ConflictError,
  IndexNotReadyError,
  SopError,
  TransactionEndedError,
  UniqueIndexError,
} from '../../src/base/errors.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import type { SimulatedProcess } from '../../src/env/simulated-process.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { Database } from '../../src/store/database.ts';
import { defineStore } from '../../src/store/define-store.ts';
import { type } from '../../src/store/standard-schema.ts';
import type { Transaction } from '../../src/store/transaction.ts';
import { isExplained } from './explained.ts';

interface Key {
  readonly region: string;
  readonly id: number;
  readonly status?: string | null | undefined;
}
interface Value {
  readonly mail?: string | undefined;
  readonly tags?: readonly number[] | undefined;
  readonly pad: string;
}

const shape = {
  keySchema: type<Key>(),
  value: type<Value>(),
  key: ['region', { field: 'id', order: 'desc' }],
  rideOn: ['status'],
} as const;
const byStatus = [{ field: 'status', order: 'desc' }, 'id'] as const;
const byTag = { of: (_: Key, value: Value) => value.tags ?? [], many: true, version: 1 } as const;
const byMail = { fields: ['mail'], unique: true } as const;
const byPad = { of: (key: Key, value: Value) => [key.region, value.pad.length], version: 1 } as const;

const DEFINITIONS = [
  defineStore('orders', { ...shape, indexes: { byStatus, byTag } }),
  defineStore('orders', { ...shape, indexes: { byStatus, byMail, byTag, byPad } }),
  defineStore('orders', { ...shape, indexes: { byMail } }),
  defineStore('orders', {
    ...shape,
    indexes: { byPad: { ...byPad, of: (key: Key) => key.region, version: 2 }, byStatus },
  }),
  defineStore('orders', shape),
] as unknown as readonly ReturnType<typeof narrow>[];

/** For its type: every definition read as one with any indexes. */
function narrow() {
  return defineStore<Key, Value, 'status'>('orders', { ...shape, keySchema: undefined, value: undefined });
}

type Definition = ReturnType<typeof narrow>;

/** Written to see whether that is possible. */
const PROBE = defineStore<number, number>('probe');
const OPTIONS = { folder: '/disk/db', tableBytes: 64 * 1024, cacheBytes: 128 * 1024, logReserveBytes: 16 * 1024 };

export interface IndexRunCounts {
  steps: number;
  writes: number;
  compared: number;
  built: number;
  refused: number;
  kills: number;
}

export async function runIndexes(seed: number, steps: number, counts: IndexRunCounts, faults = false): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  world.scheduler.maxSteps = 4_000_000;
  const run = new IndexRun(seed, world, steps, counts, faults);
  try {
    await world.run(() => run.all());
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`SOP_SEED=${seed}: ${reason}\nThe last steps:\n${run.story.slice(-20).join('\n')}`);
  }
}

class IndexRun {
  readonly story: string[] = [];
  readonly #random: SeededRandom;
  readonly #world: SimulatedWorld;
  readonly #steps: number;
  readonly #counts: IndexRunCounts;
  readonly #hasFaults: boolean;
  #process: SimulatedProcess;
  #db: Database | undefined;
  #definition = DEFINITIONS[0] as Definition;

  constructor(seed: number, world: SimulatedWorld, steps: number, counts: IndexRunCounts, faults: boolean) {
    this.#hasFaults = faults;
    this.#random = new SeededRandom(seed + 3);
    this.#world = world;
    this.#steps = steps;
    this.#counts = counts;
    this.#process = world.startProcess();
  }

  async all(): Promise<void> {
    await this.#open();
    for (let step = 0; step < this.#steps; step++) {
      this.#counts.steps++;
      if (this.#hasFaults) await this.#riskyStep();
      else await this.#step();
    }
    if (this.#hasFaults) await this.#heal();
    await this.#settle();
    await this.#mustAgree();
    await this.#mustVerify();
    await (this.#db as Database).close();
  }

  get #database(): Database {
    return this.#db as Database;
  }

  async #open(): Promise<void> {
    this.#db = await Database.openWith(this.#process, {
      ...OPTIONS,
      onBackgroundError: (error) => {
        this.story.push(`background: ${String(error)}`);
      },
    });
  }

  /** What a disk explains is taken as it comes. */
  async #riskyStep(): Promise<void> {
    const draw = this.#random.below(8);
    if (draw === 0) this.#break();
    else if (draw === 1) await this.#heal();
    try {
      await this.#step();
    } catch (error) {
      if (!isInOrder(error)) throw error;
      this.story.push(String(error));
      await this.#heal();
    }
  }

  #break(): void {
    const rule = {
      operation: this.#random.pick(FAULTY_OPERATIONS),
      error: this.#random.chance(0.3) ? 'ENOSPC' : 'EIO',
      nth: 1 + this.#random.below(12),
      times: this.#random.pick([1, 1, 3, Number.POSITIVE_INFINITY]),
    } as const;
    this.#world.fail(rule);
    this.story.push(`${rule.operation} ${rule.error}, from the ${rule.nth}th, ${rule.times} times`);
  }

  /** The disk is sound again; a database that gave up is opened again. */
  async #heal(): Promise<void> {
    this.#world.clearFaults();
    try {
      await this.#database.write((tx) => tx.store(PROBE).put(0, 0));
    } catch (error) {
      if (!isInOrder(error)) throw error;
      await this.#database.close().catch(() => {});
      await this.#open();
    }
    this.story.push('the disk is sound');
  }

  async #step(): Promise<void> {
    const draw = this.#random.below(40);
    if (draw < 20) return this.#write(1);
    if (draw < 27) return this.#write(2 + this.#random.below(3));
    if (draw < 33) return this.#mustAgree();
    if (draw < 36) return this.#change();
    if (draw < 37) return this.#database.checkpoint();
    if (draw < 38) return this.#settle();
    if (draw < 39) return this.#kill();
    await this.#database.close().catch((error: unknown) => {
      if (!isInOrder(error)) throw error;
    });
    this.#world.clearFaults();
    await this.#open();
    this.story.push('opened again');
  }

  #change(): void {
    const index = this.#random.below(DEFINITIONS.length);
    this.#definition = DEFINITIONS[index] as Definition;
    this.story.push(`definition ${index}`);
  }

  async #kill(): Promise<void> {
    const writes = Array.from({ length: 3 }, () => this.#writeOne());
    for (const write of writes) write.catch(() => {});
    for (let i = this.#random.below(4); i > 0; i--) await Promise.resolve();
    this.#process.kill();
    this.#process = this.#world.startProcess();
    this.#world.clearFaults();
    await this.#open();
    this.#counts.kills++;
    this.story.push('killed');
  }

  async #write(writers: number): Promise<void> {
    await Promise.all(Array.from({ length: writers }, () => this.#writeOne()));
  }

  async #writeOne(): Promise<void> {
    const definition = this.#definition;
    const operations = 1 + this.#random.below(6);
    try {
      await this.#database.write(async (tx) => {
        for (let i = 0; i < operations; i++) await this.#operation(tx, definition);
        if (this.#random.chance(0.3)) await compare(tx, definition);
      });
      this.#counts.writes++;
    } catch (error) {
      // Two definitions at once undo each other's indexes until one gives up.
      if (error instanceof ConflictError || error instanceof IndexNotReadyError) return;
      // The others of the same moment go on.
      if (!this.#hasFaults || !isInOrder(error)) throw error;
      this.story.push(`a writer: ${String(error)}`);
    }
  }

  async #operation(tx: Transaction, definition: Definition): Promise<void> {
    const store = tx.store(definition);
    const key = this.#key();
    try {
      switch (this.#random.below(12)) {
        case 0:
          await store.add(key, this.#value());
          break;
        case 1:
          store.addSync(key, this.#value());
          break;
        case 2:
        case 3:
        case 4:
          store.put(key, this.#value());
          break;
        case 5:
          await store.update(key, this.#value());
          break;
        case 6:
          store.updateSync(key, this.#value());
          break;
        case 7:
          await store.updateKey(key);
          break;
        case 8:
          await store.remove(key);
          break;
        case 9:
          store.removeSync(key);
          break;
        case 10:
          await Promise.all([
            store.add(key, this.#value()),
            store.update(this.#key(), this.#value()),
            store.remove(this.#key()),
          ]);
          break;
        default:
          this.#clear(tx, definition);
      }
    } catch (error) {
      const mayGoOn = error instanceof UniqueIndexError || (isInOrder(error) && this.#random.chance(0.6));
      if (!mayGoOn) throw error;
      this.#counts.refused++;
    }
  }

  #clear(tx: Transaction, definition: Definition): void {
    const store = tx.store(definition);
    if (this.#random.chance(0.15)) store.clear();
    else
      store.clearRange({ gte: { region: this.#region() }, lt: { region: this.#region(), id: this.#random.below(30) } });
  }

  #region(): string {
    return `r${this.#random.below(4)}`;
  }

  #key(): Key {
    const status = this.#random.below(6);
    const key = { region: this.#region(), id: this.#random.below(30) };
    if (status === 0) return key;
    return { ...key, status: status === 1 ? null : `s${status}` };
  }

  #value(): Value {
    const tags = Array.from({ length: this.#random.below(4) }, () => this.#random.below(5));
    const pad = 'x'.repeat(this.#random.chance(0.05) ? 3000 + this.#random.below(70_000) : this.#random.below(20));
    return {
      ...(this.#random.chance(0.5) ? { mail: `m${this.#random.below(200)}` } : {}),
      ...(this.#random.chance(0.5) ? { tags } : {}),
      pad,
    };
  }

  async #mustAgree(): Promise<void> {
    this.#counts.compared += await this.#database.read((tx) => compare(tx, this.#definition));
  }

  async #mustVerify(): Promise<void> {
    const { problems } = await this.#database.verify();
    if (problems.length > 0) throw new Error(`verify finds ${JSON.stringify(problems.slice(0, 3))}`);
  }

  /** Waits until everything is built that can be. */
  async #settle(): Promise<void> {
    if (this.#hasFaults) await this.#heal();
    await this.#database.write((tx) => void tx.store(this.#definition));
    for (const { name } of this.#definition.indexes) {
      try {
        await this.#database.indexReady(this.#definition, name);
        this.#counts.built++;
      } catch (error) {
        if (!(error instanceof IndexNotReadyError) || !/another entry/.test(error.message)) throw error;
        await this.#mustHaveDuplicates();
      }
    }
    await this.#mustAgree();
    this.story.push('all built');
  }

  async #mustHaveDuplicates(): Promise<void> {
    // They may have been mended since, so that only a build anew can tell.
    await this.#database.rebuildIndex('orders', 'byMail');
    await this.#database.indexReady('orders', 'byMail').catch((error: unknown) => {
      if (!(error instanceof SopError)) throw error;
    });
    const state = (await this.#database.indexes('orders')).find((one) => one.name === 'byMail')?.state;
    const mails = await this.#database.read((tx) => tx.store(this.#definition).range().toArray());
    const list = mails.map(({ value }) => value.mail).filter((mail) => mail !== undefined);
    const isUnique = new Set(list).size === list.length;
    if (isUnique !== (state === 'ready')) throw new Error(`byMail is ${state} where unique is ${isUnique}`);
  }
}

const FAULTY_OPERATIONS = [
  ['write'],
  ['sync'],
  ['write', 'sync', 'create'],
  ['create', 'open'],
  ['read'],
  ['remove'],
] as const;

/** A failing disk explains it, or it follows from such an error that the transaction went on after. */
function isInOrder(error: unknown): boolean {
  return isExplained(error) || error instanceof TransactionEndedError;
}

/** Compares every index that can be read with what the store says; answers how many. */
async function compare(tx: Transaction, definition: Definition): Promise<number> {
  const store = tx.store(definition);
  const entries = await store.range().toArray();
  let compared = 0;
  for (const index of definition.indexes) {
    let found: { readonly index: unknown; readonly key: unknown; readonly value: unknown }[];
    try {
      found = await store.index(index.name).range().toArray();
    } catch (error) {
      if (error instanceof IndexNotReadyError) continue;
      throw error;
    }
    const expected = entries.flatMap(({ key, value }) => {
      const made = index.fields === undefined ? [index.of?.(key, value)] : [fieldsOf(index.fields, key, value)];
      const list = index.many ? [...new Set(made[0] as number[])] : made;
      return list.filter((one) => one !== undefined).map((one) => show(one, key, value));
    });
    const actual = found.map((one) => show(one.index, one.key, one.value));
    const missing = expected.filter((one) => !actual.includes(one));
    const extra = actual.filter((one) => !expected.includes(one));
    if (missing.length > 0 || extra.length > 0 || actual.length !== expected.length) {
      throw new Error(
        `index ${index.name} of ${tx.kind}: missing ${missing.slice(0, 3)}, too many ${extra.slice(0, 3)}`,
      );
    }
    const count = await store.index(index.name).count();
    if (count !== actual.length) throw new Error(`index ${index.name} counts ${count}, not ${actual.length}`);
    compared++;
  }
  return compared;
}

function fieldsOf(fields: readonly { readonly name: string }[], key: Key, value: Value): unknown {
  const parts = fields.map(({ name }) => [name, { ...value, ...key }[name as 'id']] as const);
  return parts.some(([, part]) => part === undefined) ? undefined : Object.fromEntries(parts);
}

function show(index: unknown, key: unknown, value: unknown): string {
  return JSON.stringify([index, key, (value as Value).pad.length, (value as Value).mail]);
}
