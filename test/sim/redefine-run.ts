/**
 * One random run of a store that is redefined again and again in the simulated world, to and fro between two shapes, beside
 * writers and kills. Each transaction changes a second store, which nobody redefines, in the same way: in every snapshot both
 * hold the same. A function of its seed.
 */
import { AbortedError, ConflictError, StoreMismatchError } from '../../src/base/errors.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import type { SimulatedProcess } from '../../src/env/simulated-process.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { Database } from '../../src/store/database.ts';
import { defineStore } from '../../src/store/define-store.ts';
import { type } from '../../src/store/standard-schema.ts';
import type { Transaction } from '../../src/store/transaction.ts';

const plain = defineStore('s', { keySchema: type<number>(), value: type<{ n: number; pad: string }>() });
const other = defineStore('s', {
  keySchema: type<{ group: number; id: number }>(),
  value: type<{ minus: number; pad: string }>(),
  key: ['group', { field: 'id', order: 'desc' }],
  indexes: { byMinus: ['minus'], byId: { of: (key) => key.id, unique: true, version: 1 } },
});
const shadow = defineStore('shadow', { value: type<number>() });

const OPTIONS = { folder: '/disk/db', tableBytes: 64 * 1024, cacheBytes: 128 * 1024, logReserveBytes: 16 * 1024 };
const KEYS = 300;

export interface RedefineCounts {
  writes: number;
  redefined: number;
  aborted: number;
  kills: number;
  compared: number;
}

export async function runRedefine(seed: number, steps: number, counts: RedefineCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  world.scheduler.maxSteps = 4_000_000;
  const run = new RedefineRun(seed, world, counts);
  try {
    await world.run(() => run.all(steps));
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`SOP_SEED=${seed}: ${reason}\nThe last steps:\n${run.story.slice(-20).join('\n')}`);
  }
}

class RedefineRun {
  readonly story: string[] = [];
  readonly #random: SeededRandom;
  readonly #world: SimulatedWorld;
  readonly #counts: RedefineCounts;
  #process: SimulatedProcess;
  #db: Database | undefined;
  #underWay: Promise<void> | undefined;
  #failure: unknown;

  constructor(seed: number, world: SimulatedWorld, counts: RedefineCounts) {
    this.#random = new SeededRandom(seed + 11);
    this.#world = world;
    this.#counts = counts;
    this.#process = world.startProcess();
  }

  get #database(): Database {
    return this.#db as Database;
  }

  async all(steps: number): Promise<void> {
    await this.#open();
    await this.#database.write((tx) => {
      for (let id = 0; id < KEYS; id += 2) this.#put(tx, id, id);
    });
    for (let step = 0; step < steps; step++) {
      await this.#step();
      if (this.#failure !== undefined) throw this.#failure;
    }
    await this.#underWay;
    if (this.#failure !== undefined) throw this.#failure;
    await this.#compare();
    const { problems } = await this.#database.verify();
    if (problems.length > 0) throw new Error(`verify finds ${JSON.stringify(problems.slice(0, 3))}`);
    await this.#database.close();
  }

  async #open(): Promise<void> {
    this.#db = await Database.openWith(this.#process, OPTIONS);
  }

  async #step(): Promise<void> {
    const draw = this.#random.below(30);
    if (draw < 18)
      return void (await Promise.all(Array.from({ length: 1 + this.#random.below(3) }, () => this.#write())));
    if (draw < 23) return this.#compare();
    if (draw < 26) return this.#redefine();
    if (draw < 27) return this.#underWay;
    if (draw < 28) return this.#database.checkpoint();
    this.#process.kill();
    this.#underWay = undefined;
    this.#process = this.#world.startProcess();
    await this.#open();
    this.#counts.kills++;
    this.story.push('killed');
  }

  #redefine(): void {
    if (this.#underWay !== undefined) return;
    const controller = new AbortController();
    const doomed = this.#random.chance(0.2);
    const database = this.#database;
    const options = { signal: controller.signal, onProgress: () => doomed && controller.abort() };
    const work = this.#redefineOnce(database, options)
      .then(() => {
        this.#counts.redefined++;
        this.story.push('redefined');
      })
      .catch((error: unknown) => {
        if (error instanceof AbortedError) this.#counts.aborted++;
        else if (database === this.#db) this.#failure ??= error;
      })
      .finally(() => {
        if (this.#underWay === work) this.#underWay = undefined;
      });
    this.#underWay = work;
    this.story.push('redefinition begins');
  }

  async #redefineOnce(database: Database, options: object): Promise<void> {
    if (await database.read((tx) => isPlain(tx))) {
      await database.redefine(
        plain,
        other,
        ({ key, value: { n, pad } }) => ({ key: { group: n % 3, id: key }, value: { minus: -n, pad } }),
        options,
      );
    } else {
      await database.redefine(
        other,
        plain,
        ({ key, value: { minus, pad } }) => ({ key: key.id, value: { n: -minus + 0, pad } }),
        options,
      );
    }
  }

  async #write(): Promise<void> {
    const count = 1 + this.#random.below(5);
    try {
      await this.#database.write(async (tx) => {
        for (let i = 0; i < count; i++) await this.#change(tx);
      });
      this.#counts.writes++;
    } catch (error) {
      if (!(error instanceof ConflictError || error instanceof StoreMismatchError)) throw error;
    }
  }

  async #change(tx: Transaction): Promise<void> {
    const id = this.#random.below(KEYS);
    const draw = this.#random.below(40);
    if (draw === 0) {
      if (isPlain(tx)) tx.store(plain).clear();
      else tx.store(other).clear();
      tx.store(shadow).clear();
    } else if (draw < 25) await this.#remove(tx, id).then(() => this.#put(tx, id, this.#random.below(1000)));
    else await this.#remove(tx, id);
  }

  #put(tx: Transaction, id: number, n: number): void {
    const pad = 'x'.repeat(this.#random.below(60));
    if (isPlain(tx)) tx.store(plain).put(id, { n, pad });
    else tx.store(other).put({ group: n % 3, id }, { minus: -n, pad });
    tx.store(shadow).put(id, n);
  }

  async #remove(tx: Transaction, id: number): Promise<void> {
    const n = await tx.store(shadow).get(id);
    if (n === undefined) return;
    const was = isPlain(tx) ? await tx.store(plain).remove(id) : await tx.store(other).remove({ group: n % 3, id });
    if (!was) throw new Error(`entry ${id} (${n}) is in the shadow alone`);
    await tx.store(shadow).remove(id);
  }

  async #compare(): Promise<void> {
    await this.#database.read(async (tx) => {
      const expected = new Map((await tx.store(shadow).range().toArray()).map(({ key, value }) => [key, value]));
      const found = isPlain(tx)
        ? (await tx.store(plain).range().toArray()).map(({ key, value }) => [key, value.n] as const)
        : (await tx.store(other).range().toArray()).map(({ key, value }) => [key.id, -value.minus] as const);
      if (found.length !== expected.size) throw new Error(`${found.length} entries, not ${expected.size}`);
      for (const [id, n] of found) {
        if (expected.get(id as number) !== n + 0)
          throw new Error(`entry ${id} is ${n}, not ${expected.get(id as number)}`);
      }
    });
    this.#counts.compared++;
  }
}

function isPlain(tx: Transaction): boolean {
  try {
    tx.store(plain);
    return true;
  } catch (error) {
    if (error instanceof StoreMismatchError) return false;
    throw error;
  }
}
