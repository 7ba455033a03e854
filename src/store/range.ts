/** Ranges of a store: what may be asked for, and the iterable in all its forms. */
import { InvalidArgumentError } from '../base/errors.ts';
import { youngArray } from '../base/young.ts';
import { type KeyBounds, keyBounds } from '../codec/key-bounds.ts';
import { describeValue } from '../codec/text.ts';
import type { KeyValue } from '../codec/tuple.ts';
import { KIND_PLAIN, kindOf } from '../codec/value-kinds.ts';
import { END, MISS } from '../node/entry-cursor.ts';
import { Scan, type ScanOptions } from './scan.ts';
import type { StoreCore } from './store-core.ts';

/**
 * A bound: a key, or, where keys have fields, an object of leading fields. All keys with these fields then stand together:
 * `gte` and `lte` include them, `gt` and `lt` leave them out.
 */
export type Bound<K, R extends string = never> = K extends readonly KeyValue[]
  ? readonly KeyValue[]
  : K extends KeyValue
    ? K
    : Partial<Omit<K, R>>;

/** What keys begin with: characters, bytes or elements; where keys have fields, leading fields, the last perhaps by its start. */
export type Prefix<K, R extends string = never> = K extends string
  ? string
  : K extends Uint8Array
    ? Uint8Array
    : K extends readonly KeyValue[]
      ? readonly KeyValue[]
      : K extends KeyValue
        ? never
        : { readonly [F in Exclude<keyof K, R>]?: K[F] | { readonly startsWith: K[F] } };

/**
 * Bounds of a range, in the order of the store: where a field is descending, later ones come first, and `gte` begins at the
 * given value and goes on to smaller ones. Several bounds together mean what satisfies all of them.
 */
export interface RangeBounds<K, R extends string = never> {
  readonly gt?: Bound<K, R>;
  readonly gte?: Bound<K, R>;
  readonly lt?: Bound<K, R>;
  readonly lte?: Bound<K, R>;
  readonly prefix?: Prefix<K, R>;
}

/** What `range` takes: bounds, and how to walk. */
export interface RangeOptions<K, R extends string = never> extends RangeBounds<K, R> {
  /** From the last key to the first. */
  readonly reverse?: boolean;
  /** At most this many; none where zero. */
  readonly limit?: number;
  /** Hand out keys alone; no value is read. */
  readonly keysOnly?: boolean;
  /**
   * Leaves out entries whose key (with its ride-on fields) it answers false for; their values are not read. Called in order
   * and possibly ahead of what is handed out, so it should depend on nothing but the key.
   */
  readonly where?: (key: K) => boolean;
}

const RANGE_OPTIONS: readonly string[] = ['gt', 'gte', 'lt', 'lte', 'prefix', 'reverse', 'limit', 'keysOnly', 'where'];
const BOUND_OPTIONS: readonly string[] = ['gt', 'gte', 'lt', 'lte', 'prefix'];
const DEFAULT_PAGE = 100;
/** How long an asynchronous scan over cached data keeps the event loop for itself. */
const LONGEST_TURN_MS = 8;

type LooseRange = RangeOptions<unknown, string>;

/** Removes what lies in a range: of all options the bounds alone, and there must be an object of them. */
export function removeRange(core: StoreCore, range: object): void {
  core.mustBeWritable();
  checkNames(range, BOUND_OPTIONS);
  const { lower, upper } = keyBounds(core.codec.keySpec, range);
  core.removeRange(lower, upper);
}

/** Checks and encodes the bounds alone. */
export function toBounds(core: StoreCore, range: object | undefined): KeyBounds {
  if (range === undefined) return UNBOUNDED;
  checkNames(range, BOUND_OPTIONS);
  return keyBounds(core.codec.keySpec, range);
}

const UNBOUNDED: KeyBounds = { lower: undefined, upper: undefined };

export function toScanOptions(core: StoreCore, range: object | undefined): ScanOptions {
  if (range === undefined) return WHOLE;
  checkNames(range, RANGE_OPTIONS);
  const { reverse = false, limit = Number.POSITIVE_INFINITY, keysOnly = false, where } = range as LooseRange;
  if (typeof limit !== 'number' || !(limit >= 0) || !(Number.isInteger(limit) || limit === Number.POSITIVE_INFINITY)) {
    throw new InvalidArgumentError('limit is a whole number from zero', { details: { found: limit } });
  }
  if (where !== undefined && typeof where !== 'function')
    throw new InvalidArgumentError('where is a function of the key');
  if (typeof reverse !== 'boolean') throw new InvalidArgumentError('reverse is true or false');
  if (typeof keysOnly !== 'boolean') throw new InvalidArgumentError('keysOnly is true or false');
  const { lower, upper } = keyBounds(core.codec.keySpec, range);
  return { lower, upper, reverse, limit, keysOnly, where };
}

const WHOLE: ScanOptions = {
  lower: undefined,
  upper: undefined,
  reverse: false,
  limit: Number.POSITIVE_INFINITY,
  keysOnly: false,
  where: undefined,
};

/** Refuses what is no object of options: a key where a range is wanted would have none and mean everything. */
export function mustBeRange(range: unknown): void {
  if (typeof range === 'object' && range !== null && kindOf(range) === KIND_PLAIN) return;
  throw new InvalidArgumentError(`a range is an object of options, not ${describeValue(range)}`);
}

function checkNames(range: object, names: readonly string[]): void {
  mustBeRange(range);
  for (const name in range) {
    if (!names.includes(name)) {
      throw new InvalidArgumentError(`a range has no option '${name}' here; there are: ${names.join(', ')}`);
    }
  }
}

/**
 * A range of a store: nothing is read before one of its forms is iterated, each time anew. Iterating while the same
 * transaction changes the store is safe: what is handed out next is always the next key as the store is then.
 *
 * In the order of their cost for an item: `syncPages`, `sync`, `pages`, `for await` over the range itself.
 */
export class Range<T> implements AsyncIterable<T> {
  readonly #core: StoreCore;
  readonly #options: ScanOptions;

  /** Use `store.range`. */
  constructor(core: StoreCore, options: ScanOptions) {
    this.#core = core;
    this.#options = options;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    return new AsyncScanIterator<T>(this.#core, new Scan<T>(this.#core, this.#options));
  }

  /** Arrays of up to `size` items (default 100), only the last one shorter. */
  pages(size: number = DEFAULT_PAGE): AsyncIterableIterator<T[]> {
    checkPageSize(size);
    return asyncPages(new AsyncScanIterator<T>(this.#core, new Scan<T>(this.#core, this.#options)), size);
  }

  /** The same items without promises; waits for the disk on the calling thread where something is not in the cache. */
  sync(): IterableIterator<T> {
    return new SyncScanIterator<T>(new Scan<T>(this.#core, this.#options));
  }

  /** `pages` without promises. */
  syncPages(size: number = DEFAULT_PAGE): IterableIterator<T[]> {
    checkPageSize(size);
    return syncPages(new Scan<T>(this.#core, this.#options), size);
  }

  /** All of it. */
  async toArray(): Promise<T[]> {
    const scan = new AsyncScanIterator<T>(this.#core, new Scan<T>(this.#core, this.#options));
    const items = youngArray<T>();
    while (await scan.takeMany(items, Number.POSITIVE_INFINITY));
    return items;
  }

  toArraySync(): T[] {
    const scan = new Scan<T>(this.#core, this.#options);
    const items = youngArray<T>();
    while (scan.takeIntoSync(items, Number.POSITIVE_INFINITY) > 0);
    return items;
  }
}

function checkPageSize(size: number): void {
  if (!Number.isInteger(size) || size < 1) {
    throw new InvalidArgumentError('the size of a page is a whole number from one', { details: { found: size } });
  }
}

class SyncScanIterator<T> implements IterableIterator<T> {
  readonly #scan: Scan<T>;

  constructor(scan: Scan<T>) {
    this.#scan = scan;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<T, undefined> {
    const value = this.#scan.takeSync();
    return value === undefined ? { value: undefined, done: true } : { value, done: false };
  }

  return(): IteratorResult<T, undefined> {
    this.#scan.close();
    return { value: undefined, done: true };
  }
}

function* syncPages<T>(scan: Scan<T>, size: number): IterableIterator<T[]> {
  try {
    for (;;) {
      const page = youngArray<T>();
      while (page.length < size && scan.takeIntoSync(page, size - page.length) > 0);
      if (page.length > 0) yield page;
      if (page.length < size) return;
    }
  } finally {
    scan.close();
  }
}

/** Hand-made, not an async generator: 69 ns an item instead of 155. */
class AsyncScanIterator<T> implements AsyncIterableIterator<T> {
  readonly #core: StoreCore;
  readonly #scan: Scan<T>;
  /** The last call that had to wait; later ones queue behind it. */
  #waiting: Promise<unknown> | undefined;
  #turnBegan: number;

  constructor(core: StoreCore, scan: Scan<T>) {
    this.#core = core;
    this.#scan = scan;
    this.#turnBegan = core.transaction.env.clock.monotonicMs();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#waiting === undefined) {
      try {
        const value = this.#scan.take();
        if (value !== undefined) return Promise.resolve({ value, done: false });
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return this.#queue(() => this.#nextSlowly());
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#scan.close();
    return { value: undefined, done: true };
  }

  /** Appends what is at hand, at most `most`, to `items`; answers false at the end. */
  async takeMany(items: T[], most: number): Promise<boolean> {
    const first = await this.#nextSlowly();
    if (first.done === true) return false;
    items.push(first.value);
    if (most > 1) this.#scan.takeInto(items, most - 1);
    return true;
  }

  close(): void {
    this.#scan.close();
  }

  #queue<U>(work: () => Promise<U>): Promise<U> {
    const turn = this.#waiting === undefined ? work() : this.#waiting.then(work, work);
    this.#waiting = turn;
    const done = () => {
      if (this.#waiting === turn) this.#waiting = undefined;
    };
    turn.then(done, done);
    return turn;
  }

  async #nextSlowly(): Promise<IteratorResult<T, undefined>> {
    const scan = this.#scan;
    for (;;) {
      const value = scan.take();
      if (value !== undefined) return { value, done: false };
      await this.#breathe();
      const step = scan.fetch(false);
      if (step === END) return { value: undefined, done: true };
      if (step === MISS) await scan.load();
      if (scan.settling) await scan.settle();
    }
  }

  /** Leaves the event loop to others now and then: cached data makes no promise wait by itself. */
  #breathe(): Promise<void> | undefined {
    const { clock, timers } = this.#core.transaction.env;
    if (clock.monotonicMs() - this.#turnBegan < LONGEST_TURN_MS) return undefined;
    return new Promise((resolve) => {
      timers.nextTurn(() => {
        this.#turnBegan = clock.monotonicMs();
        resolve();
      });
    });
  }
}

async function* asyncPages<T>(scan: AsyncScanIterator<T>, size: number): AsyncIterableIterator<T[]> {
  try {
    for (;;) {
      const page = youngArray<T>();
      while (page.length < size && (await scan.takeMany(page, size - page.length)));
      if (page.length > 0) yield page;
      if (page.length < size) return;
    }
  } finally {
    scan.close();
  }
}
