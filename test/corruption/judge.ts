/**
 * Opens a damaged folder, reads everything, and judges what came back. Allowed are: exactly the right data as of the number that
 * the opening shows, which is none below what the log still states durable; or a typed error that names file and offset. All
 * else is a failure: other data, data missing in silence, an error that is no `SopError`, endless work, memory without bound.
 */
import { SopError } from '../../src/base/errors.ts';
import type { Env } from '../../src/env/env.ts';
import type { SeededRandom } from '../../src/env/simulated-random.ts';
import { openEngine } from '../../src/transaction/engine.ts';
import type { EngineApi, EngineTransaction } from '../../src/transaction/engine-api.ts';
import { FOLDER, type FolderBytes, readOnlyEnv, writableEnv } from './bytes-env.ts';
import {
  cellText,
  difference,
  type Entries,
  getText,
  isDamageError,
  readStore,
  readStoreBackwards,
  show,
} from './content.ts';
import { idOf, statedDurable } from './statements.ts';
import { contentAt, lastNumber, type Subject } from './subjects.ts';

/** What an opening of a damaged folder must not do. */
export class Misjudged extends Error {}

/** How a case ended; counted, so that a lane that only ever meets refusals shows. */
export type Outcome = 'refused' | 'unharmed' | 'shorter' | 'partly readable';

export interface Judgement {
  readonly outcome: Outcome;
}

/** Bytes of memory outside the heap that an opening may add while it reads some hundred kilobytes. */
const MEMORY_LIMIT_BYTES = 64 * 1024 * 1024;
/** Bytes read from files: openings read the log a few times over and the trees once for each way of reading. */
const READ_LIMIT_BYTES = 64 * 1024 * 1024;

const fail = (text: string): never => {
  throw new Misjudged(text);
};

/** The typed error that damage must end in. */
function mustBeDamageError(error: unknown, doing: string): SopError {
  if (!(error instanceof SopError)) {
    throw new Misjudged(`${doing} threw ${String((error as Error)?.stack ?? error)}`, { cause: error });
  }
  const { code, message, details, stack }: SopError = error;
  if (!isDamageError(error)) throw new Misjudged(`${doing} ended in ${code}: ${message}\n${stack}`, { cause: error });
  const { file, offset } = details;
  if (typeof file !== 'string' || !file.startsWith(FOLDER))
    fail(`${doing}: no file is named by ${code} ${message}\n${stack}`);
  if (code === 'CORRUPTION' && typeof offset !== 'number') fail(`${doing}: no offset in ${message}\n${stack}`);
  return error;
}

export class Judge {
  readonly #subject: Subject;
  readonly #folder: FolderBytes;
  readonly #random: SeededRandom;
  #harmed = false;

  constructor(subject: Subject, folder: FolderBytes, random: SeededRandom) {
    this.#subject = subject;
    this.#folder = folder;
    this.#random = random;
  }

  async readOnly(): Promise<Judgement> {
    const memory = process.memoryUsage().arrayBuffers;
    const env = readOnlyEnv(this.#folder, READ_LIMIT_BYTES);
    const engine = await this.#open(env, true);
    if (engine === undefined) return this.#end(memory, 'refused');
    try {
      const number = this.#mustShowEnough(engine);
      this.#judgeReads(engine, number);
      await this.#judgeVerify(engine);
      if (this.#harmed) return this.#end(memory, 'partly readable');
      return this.#end(memory, number < lastNumber(this.#subject) ? 'shorter' : 'unharmed');
    } finally {
      await engine.close();
    }
  }

  /** Opens for writing, adds something, lets upkeep run over it, and looks again after closing. */
  async writable(): Promise<Judgement> {
    const memory = process.memoryUsage().arrayBuffers;
    const env = writableEnv(this.#folder, 99);
    const engine = await this.#open(env, false);
    if (engine === undefined) return this.#end(memory, 'refused');
    let number: number;
    let added: string | undefined;
    try {
      number = this.#mustShowEnough(engine);
      this.#judgeReads(engine, number);
      added = await this.#addSomething(engine);
      await this.#attempt('a checkpoint', () => engine.checkpoint());
      if (this.#random.below(4) === 0) await this.#attempt('compaction', () => engine.compact());
      this.#judgeReads(engine, number, added);
    } finally {
      await this.#attempt('closing', () => engine.close());
    }
    await this.#again(env, number, added);
    if (this.#harmed) return this.#end(memory, 'partly readable');
    return this.#end(memory, number < lastNumber(this.#subject) ? 'shorter' : 'unharmed');
  }

  async #again(env: Env, number: number, added: string | undefined): Promise<void> {
    const engine = await this.#open(env, true);
    if (engine === undefined) return;
    try {
      this.#judgeReads(engine, number, added);
    } finally {
      await engine.close();
    }
  }

  async #open(env: Env, readOnly: boolean): Promise<EngineApi | undefined> {
    try {
      return await openEngine(env, { ...this.#subject.options, readOnly });
    } catch (error) {
      const isIdentityGone = !this.#folder.has('sop.json');
      if (isIdentityGone && error instanceof SopError && error.code === 'DATABASE_NOT_FOUND') return undefined;
      mustBeDamageError(error, 'opening');
      return undefined;
    }
  }

  /** The number shown; nothing stated durable may be missing. */
  #mustShowEnough(engine: EngineApi): number {
    const { number } = engine.stats();
    const stated = statedDurable(this.#folder, idOf(this.#folder));
    if (number < stated) fail(`shows number ${number}, but the log states ${stated} durable`);
    if (number > lastNumber(this.#subject)) fail(`shows number ${number}, which never was`);
    if (contentAt(this.#subject, number) === undefined) fail(`shows number ${number}, before the first`);
    return number;
  }

  #judgeReads(engine: EngineApi, number: number, added?: string): void {
    const content = contentAt(this.#subject, number) as ReadonlyMap<number, Entries>;
    const tx = engine.begin('read');
    try {
      for (const storeId of this.#subject.stores) this.#judgeStore(tx, storeId, content.get(storeId) ?? []);
      if (added !== undefined) this.#judgeGet(tx, ADDED_STORE, added, `|${added}`);
    } finally {
      tx.rollback();
    }
  }

  #judgeStore(tx: EngineTransaction, storeId: number, expected: Entries): void {
    const found = this.#try(`a scan of store ${storeId}`, () => readStore(tx, storeId));
    if (found !== undefined) this.#mustEqual(found, expected, `a scan of store ${storeId}`);
    if (this.#random.below(4) === 0) {
      const back = this.#try(`a scan back of store ${storeId}`, () => readStoreBackwards(tx, storeId));
      if (back !== undefined) this.#mustEqual(back, expected, `a scan back of store ${storeId}`);
      tx.waits = true;
      const count = this.#try(`a count of store ${storeId}`, () => tx.count(storeId, undefined, undefined));
      if (count !== undefined && count !== expected.length)
        fail(`store ${storeId} counts ${count}, not ${expected.length}`);
    }
    if (expected.length === 0) return;
    for (let i = 0; i < 3; i++) {
      const [key, value] = this.#random.pick(expected);
      this.#judgeGet(tx, storeId, key, value);
      if (!expected.some(([other]) => other === `${key}\0`)) this.#judgeGet(tx, storeId, `${key}\0`, undefined);
    }
    this.#judgeSeek(tx, storeId, expected);
  }

  #judgeGet(tx: EngineTransaction, storeId: number, key: string, expected: string | undefined): void {
    const doing = `a get of ${show(key)} in store ${storeId}`;
    const found = this.#try(doing, () => ({ text: getText(tx, storeId, key) }));
    if (found === undefined || found.text === expected) return;
    fail(`${doing} answered ${found.text && show(found.text)} instead of ${expected && show(expected)}`);
  }

  /** From a key in the middle on. */
  #judgeSeek(tx: EngineTransaction, storeId: number, expected: Entries): void {
    const at = this.#random.below(expected.length);
    const [key, value] = expected[at] as readonly [string, string];
    const bytes = Buffer.from(key, 'latin1');
    const found = this.#try(`a seek in store ${storeId}`, () => {
      const cursor = tx.cursor(storeId);
      cursor.waits = true;
      cursor.seek(bytes, 0, bytes.length);
      return cellText(tx, cursor.cellBytes, cursor.cellStart, cursor.cellEnd);
    });
    if (found !== undefined && found !== value) fail(`a seek in store ${storeId} to ${show(key)} found ${show(found)}`);
  }

  #mustEqual(found: Entries, expected: Entries, doing: string): void {
    const different = difference(found, expected);
    if (different !== undefined) fail(`${doing}: ${different}`);
  }

  /** Undefined where it ended in an error that damage may end in. */
  #try<T>(doing: string, work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      mustBeDamageError(error, doing);
      this.#harmed = true;
      return undefined;
    }
  }

  async #attempt(doing: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      mustBeDamageError(error, doing);
      this.#harmed = true;
    }
  }

  /** Commits one entry of a store of its own; answers it, or undefined where damage was in the way. */
  async #addSomething(engine: EngineApi): Promise<string | undefined> {
    const text = `added ${this.#random.below(1000)}`;
    const key = Buffer.from(text);
    const cell = Buffer.from(`\0${text}`);
    const tx = engine.begin('write');
    try {
      tx.put(ADDED_STORE, key, 0, key.length, cell, 0, cell.length, undefined);
      await tx.commit();
      return text;
    } catch (error) {
      tx.rollback();
      mustBeDamageError(error, 'a commit');
      this.#harmed = true;
      return undefined;
    }
  }

  /** What could not be read must be known to the checker. */
  async #judgeVerify(engine: EngineApi): Promise<void> {
    let ok: boolean;
    try {
      ok = (await engine.verify()).ok;
    } catch (error) {
      mustBeDamageError(error, 'verify');
      ok = false;
    }
    if (ok && this.#harmed) fail('verify finds nothing, but not everything can be read');
  }

  #end(memoryBefore: number, outcome: Outcome): Judgement {
    const grown = process.memoryUsage().arrayBuffers - memoryBefore;
    if (grown > MEMORY_LIMIT_BYTES) fail(`took ${Math.round(grown / 1e6)} MB of memory`);
    return { outcome };
  }
}

/** A store that no subject has. */
const ADDED_STORE = 5000;
