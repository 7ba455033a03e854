/** A cursor over a store: found by key, moved entry by entry in either direction, changing what it stands at. */
import { InvalidArgumentError } from '../base/errors.ts';
import { PlainEntry } from '../base/young.ts';
import { BACKWARD, FORWARD } from '../node/entry-block.ts';
import { AT, MISS, type Step } from '../node/entry-cursor.ts';
import { CursorCore, FOUND_EXACT, FOUND_GREATER, FOUND_LESS, type FindStep, type FindTarget } from './cursor-core.ts';
import type { Bound } from './range.ts';
import type { StoreCore } from './store-core.ts';
import type { Entry } from './store-types.ts';

const TRUE = Promise.resolve(true);
const FALSE = Promise.resolve(false);
const NOTHING = Promise.resolve(undefined);

/** Options of `cursor.find`. */
export interface CursorFindOptions {
  /** Where the key is absent, go to the first greater one, or to the last less one. Nowhere where this is not given. */
  readonly nearest?: 'greater' | 'less';
}

/**
 * - 'found': the cursor stands at the key.
 * - 'greater', 'less': the key is absent; the cursor stands at the nearest one on the side that was asked for.
 * - 'none': nothing there. The cursor stands between its neighbours: `next` and `previous` lead to them.
 */
export type CursorFindAnswer = 'found' | 'greater' | 'less' | 'none';

/**
 * A place in a store, for one transaction; ends with it. A new cursor stands before the first entry, so that this walks
 * over all of them:
 *
 * ```ts
 * const cursor = tx.store(orders).cursor();
 * while (await cursor.next()) {
 *   if (isOld(cursor.key)) await cursor.remove();
 * }
 * ```
 *
 * Values are read when they are asked for: a walk that looks at keys alone touches none. "Greater" and "next" are meant in the
 * order of the store.
 *
 * The place is a key. Whatever the same transaction does meanwhile, to other entries or to this one, `next` goes to the first
 * key behind it as the store is then, `previous` to the last one before it. Past the last entry, `next` stays false and
 * `previous` leads to the last; before the first it is the other way round.
 *
 * Asynchronous calls never block the thread, and are run one after another where several are made at once; synchronous ones
 * (`nextSync`, ...) wait for the disk, and must not be mixed with asynchronous ones still under way. Errors are those of the
 * store's other calls.
 */
export class StoreCursor<K, V, R extends string = never, E extends Entry<K, V> = Entry<K, V>> implements Disposable {
  readonly #core: CursorCore;
  /** The last call that had to wait; later ones queue behind it. */
  #waiting: Promise<unknown> | undefined;

  /** Use `store.cursor()`. */
  constructor(core: StoreCore, cursor: CursorCore = new CursorCore(core)) {
    this.#core = cursor;
  }

  // Moving

  /**
   * Goes to a key; where keys have fields, leading ones will do: then to the first key that begins with them. Of keys that
   * match equally it is the first, or, with `nearest: 'less'`, the last.
   */
  find(key: Bound<K, R>, options: CursorFindOptions = {}): Promise<CursorFindAnswer> {
    try {
      const target = this.#core.target(key, options);
      const step = this.#waiting === undefined ? this.#core.find(target, false) : MISS;
      return step === MISS ? this.#findSlowly(target) : Promise.resolve(answer(step));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  findSync(key: Bound<K, R>, options: CursorFindOptions = {}): CursorFindAnswer {
    return answer(this.#core.find(this.#core.target(key, options), true));
  }

  #findSlowly(target: FindTarget): Promise<CursorFindAnswer> {
    return this.queued(async () => {
      for (;;) {
        const step = this.#core.find(target, false);
        if (step !== MISS) return answer(step);
        await this.#core.load();
      }
    });
  }

  /** To the first entry; false where the store is empty. */
  first(): Promise<boolean> {
    return this.soon(() => this.#core.goToEnd(FORWARD, false));
  }

  firstSync(): boolean {
    return this.#core.goToEnd(FORWARD, true) === AT;
  }

  /** To the last entry; false where the store is empty. */
  last(): Promise<boolean> {
    return this.soon(() => this.#core.goToEnd(BACKWARD, false));
  }

  lastSync(): boolean {
    return this.#core.goToEnd(BACKWARD, true) === AT;
  }

  /** To the following entry; false past the last one. */
  next(): Promise<boolean> {
    return this.#move(FORWARD);
  }

  nextSync(): boolean {
    return this.#core.step(FORWARD, true) === AT;
  }

  /** To the entry before; false before the first one. */
  previous(): Promise<boolean> {
    return this.#move(BACKWARD);
  }

  previousSync(): boolean {
    return this.#core.step(BACKWARD, true) === AT;
  }

  /** As `soon`, without a function for each step. */
  #move(direction: typeof FORWARD | typeof BACKWARD): Promise<boolean> {
    try {
      const step = this.#waiting === undefined ? this.#core.step(direction, false) : MISS;
      if (step !== MISS) return step === AT ? TRUE : FALSE;
    } catch (error) {
      return Promise.reject(error);
    }
    return this.soon(() => this.#core.step(direction, false));
  }

  // Reading

  /**
   * The key it stands at, with its ride-on fields as they were when it came here or changed them; undefined where it stands at
   * none: before the first, past the last, where `find` found nothing, or after `remove`.
   */
  get key(): K | undefined {
    this.#core.mustBeUsable();
    return this.#core.isOn ? (this.#core.key as K) : undefined;
  }

  /** The value of the entry as it is now; undefined where the cursor stands at none, or it was removed by other means. */
  value(): Promise<V | undefined> {
    return this.#read(this.#nowValue, () => this.#loadValue());
  }

  valueSync(): V | undefined {
    return this.#core.look(true) === AT ? (this.#valueSync() as V) : undefined;
  }

  /** Key, value and version of the entry as it is now; undefined as for `value`. */
  entry(): Promise<E | undefined> {
    return this.#read(this.#nowEntry, () => this.#loadEntry());
  }

  entrySync(): E | undefined {
    return this.#core.look(true) === AT ? this.#toEntry(this.#valueSync()) : undefined;
  }

  #nowValue = (): V => this.#inlineValue() as V;
  #nowEntry = (): E => this.#toEntry(this.#inlineValue());

  #read<T>(now: () => T, later: () => Promise<T>): Promise<T | undefined> {
    try {
      const step = this.#waiting === undefined ? this.#core.look(false) : MISS;
      if (step === AT && !this.#core.isSeparate) return Promise.resolve(now());
      if (step !== AT && step !== MISS) return NOTHING;
      if (step === AT) return later();
    } catch (error) {
      return Promise.reject(error);
    }
    return this.queued(async () => {
      for (;;) {
        const step = this.#core.look(false);
        if (step === AT) return this.#core.isSeparate ? later() : now();
        if (step !== MISS) return undefined;
        await this.#core.load();
      }
    });
  }

  #inlineValue(): unknown {
    return this.#core.core.codec.readValue(this.#core.cell, 0, this.#core.cellLength);
  }

  #valueSync(): unknown {
    if (!this.#core.isSeparate) return this.#inlineValue();
    const { etx, codec } = this.#core.core;
    return codec.decodeValue(etx.readValueSync(this.#core.cell, 0, this.#core.cellLength));
  }

  async #loadValue(): Promise<V> {
    const { etx, codec } = this.#core.core;
    const cell = this.#core.copyCell();
    return codec.decodeValue(await etx.readValue(cell, 0, cell.length)) as V;
  }

  async #loadEntry(): Promise<E> {
    // The cursor may have moved on when the value is there.
    const entry = this.#toEntry(undefined);
    return { ...entry, value: await this.#loadValue() };
  }

  #toEntry(value: unknown): E {
    const entry = new PlainEntry(this.#core.key, value, this.#core.version);
    return this.#core.withItemId(entry) as unknown as E;
  }

  // Changing

  /** Replaces the value, ride-on fields stay; false where the cursor stands at no entry (any more). */
  update(value: V): Promise<boolean> {
    try {
      const cell = this.#core.encode(value);
      return this.soon(() => this.#core.update(cell, false));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  updateSync(value: V): boolean {
    return this.#core.update(this.#core.encode(value), true) === AT;
  }

  /**
   * Replaces the ride-on fields given here; the value is neither read nor moved. False where the cursor stands at no entry (any
   * more). `InvalidArgumentError` for fields that do not ride on.
   */
  updateKey(fields: Partial<Pick<K, R & keyof K>>): Promise<boolean> {
    try {
      const given = this.#checkRideOn(fields);
      return this.soon(() => this.#core.updateKey(given, false));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  updateKeySync(fields: Partial<Pick<K, R & keyof K>>): boolean {
    return this.#core.updateKey(this.#checkRideOn(fields), true) === AT;
  }

  #checkRideOn(fields: unknown): readonly unknown[] {
    const { core } = this.#core;
    core.mustHaveRideOn();
    const { rideOn } = core.codec.keySpec.definition;
    if (typeof fields !== 'object' || fields === null) {
      throw new InvalidArgumentError('updateKey of a cursor takes an object of ride-on fields');
    }
    for (const name of Object.keys(fields)) {
      if (rideOn.includes(name)) continue;
      throw new InvalidArgumentError(`'${name}' is no ride-on field; there are: ${rideOn.join(', ')}`, {
        details: { store: core.name, field: name },
      });
    }
    return core.codec.rideOnOf(fields);
  }

  /** Removes the entry; the cursor then stands between its neighbours. False where it stands at none (any more). */
  remove(): Promise<boolean> {
    return this.soon(() => this.#core.remove(false));
  }

  removeSync(): boolean {
    return this.#core.remove(true) === AT;
  }

  // Ending

  /** Lets go of what it holds; it ends with its transaction anyway. Calls after it throw `InvalidArgumentError`. */
  close(): void {
    this.#core.close();
  }

  [Symbol.dispose](): void {
    this.#core.close();
  }

  /** @internal At once where nothing has to be loaded and nobody waits. */
  protected soon(attempt: () => Step): Promise<boolean> {
    try {
      const step = this.#waiting === undefined ? attempt() : MISS;
      if (step !== MISS) return step === AT ? TRUE : FALSE;
    } catch (error) {
      return Promise.reject(error);
    }
    return this.queued(async () => {
      for (;;) {
        const step = attempt();
        if (step !== MISS) return step === AT;
        await this.#core.load();
      }
    });
  }

  /** @internal */
  protected queued<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#waiting === undefined ? work() : this.#waiting.then(work, work);
    this.#waiting = turn;
    const done = (): void => {
      if (this.#waiting === turn) this.#waiting = undefined;
    };
    turn.then(done, done);
    return turn;
  }
}

function answer(step: FindStep): CursorFindAnswer {
  if (step === FOUND_EXACT) return 'found';
  if (step === FOUND_GREATER) return 'greater';
  return step === FOUND_LESS ? 'less' : 'none';
}
