/** Ranges of an index: what may be asked for, and the iterable whose entries bring the values of their store along. */
import { compareKeys, keySuccessor } from '../base/bytes.ts';
import { CorruptionError, InvalidArgumentError } from '../base/errors.ts';
import type { IndexKeyParts, IndexKeySpec } from '../codec/index-key.ts';
import { isKeyObject } from '../codec/key-spec.ts';
import { giveBackKeyWriter, takeKeyWriter } from '../codec/tuple.ts';
import { ABSENT, FOUND, NOT_LOADED } from '../storage/find-result.ts';
import { mustBeRange, Range, type RangeBounds, toScanOptions } from './range.ts';
import type { ScanOptions } from './scan.ts';
import type { StoreCore } from './store-core.ts';
import type { Entry, LookupKey } from './store-types.ts';

/** An entry of an index without the value: what it sorts by, and the key of the entry (without ride-on fields). */
export interface IndexKey<P, K, R extends string> {
  readonly index: P;
  readonly key: LookupKey<K, R>;
}

/** An entry of an index: what it sorts by, and the entry of the store. */
export interface IndexEntry<P, K, V> extends Entry<K, V> {
  readonly index: P;
}

/** Bounds speak of what the index sorts by; leading fields suffice. */
export interface IndexRangeOptions<P, K, R extends string> extends RangeBounds<P> {
  readonly reverse?: boolean;
  readonly limit?: number;
  /** Hand out index keys alone: the store is not looked at. */
  readonly keysOnly?: boolean;
  /** Go on behind this entry, which an earlier range handed out. */
  readonly after?: IndexKey<P, K, R>;
  /** Leaves out entries that it answers false for; depends on nothing but its argument. */
  readonly where?: (key: IndexKey<P, K, R>) => boolean;
}

/** How many values of a page may be on their way from the disk at once. */
const JOINED_AT_ONCE = 64;
const DEFAULT_PAGE = 100;

/** Two stores seen as one: the index, and the store whose entries it names. */
export interface IndexSource {
  readonly index: StoreCore;
  readonly owner: StoreCore;
}

export function toIndexScan({ index, owner }: IndexSource, options: object | undefined): ScanOptions {
  if (options === undefined) return toScanOptions(index, options);
  mustBeRange(options);
  const { after, ...rest } = options as { after?: unknown };
  const scan = toScanOptions(index, rest);
  if (after === undefined) return scan;
  const key = encodeAfter(index.codec.keySpec as IndexKeySpec, owner, after);
  const { lower, upper } = scan;
  if (scan.reverse) return upper === undefined || compareKeys(key, upper) < 0 ? { ...scan, upper: key } : scan;
  return lower === undefined || compareKeys(key, lower) >= 0 ? { ...scan, lower: keySuccessor(key) } : scan;
}

function encodeAfter(spec: IndexKeySpec, owner: StoreCore, after: unknown): Uint8Array {
  if (!isKeyObject(after)) throw new InvalidArgumentError('after is an entry of the index, with index and key');
  const head = encodeHead(spec, after.index);
  if (spec.hasRideOn) return head;
  owner.codec.encodeKey(withoutRideOn(owner, after.key));
  return new Uint8Array(Buffer.concat([head, owner.codec.copyKey()]));
}

function encodeHead(spec: IndexKeySpec, index: unknown): Uint8Array {
  const writer = takeKeyWriter();
  try {
    spec.encodeKey(index, writer);
    return writer.toBytes();
  } finally {
    giveBackKeyWriter(writer);
  }
}

function withoutRideOn({ codec }: StoreCore, key: unknown): unknown {
  const { fields } = codec.keySpec.definition;
  if (fields === undefined || !isKeyObject(key)) return key;
  return Object.fromEntries(fields.map(({ name }) => [name, key[name]]));
}

/**
 * A range of an index with the entries it names: nothing is read before one of its forms is iterated, each time anew. Changes
 * by the same transaction are seen: what comes next is always the next entry as the index is then.
 */
export class IndexRange<E> implements AsyncIterable<E> {
  readonly #source: IndexSource;
  readonly #options: ScanOptions;

  /** Use `index.range`. */
  constructor(source: IndexSource, options: ScanOptions) {
    this.#source = source;
    this.#options = options;
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<E> {
    const { owner } = this.#source;
    if (owner.writable) {
      // One by one: what is handed out next depends on what the transaction changes meanwhile.
      for await (const parts of this.#keys()) {
        const entry = await join(owner, parts);
        if (entry !== undefined) yield entry as E;
      }
      return;
    }
    for await (const page of this.#keys().pages(JOINED_AT_ONCE)) {
      for (const entry of await Promise.all(page.map((parts) => join(owner, parts)))) {
        owner.mustBeOpen();
        yield entry as E;
      }
    }
  }

  /** Arrays of up to `size` entries (default 100), only the last one shorter. */
  async *pages(size: number = DEFAULT_PAGE): AsyncIterableIterator<E[]> {
    checkPageSize(size);
    let page: E[] = [];
    for await (const entry of this) {
      if (page.push(entry) < size) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  /** The same entries without promises; waits for the disk on the calling thread where something is not in the cache. */
  *sync(): IterableIterator<E> {
    for (const parts of this.#keys().sync()) {
      const entry = joinSync(this.#source.owner, parts);
      if (entry !== undefined) yield entry as E;
    }
  }

  /** `pages` without promises. */
  *syncPages(size: number = DEFAULT_PAGE): IterableIterator<E[]> {
    checkPageSize(size);
    let page: E[] = [];
    for (const entry of this.sync()) {
      if (page.push(entry) < size) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  /** All of it. */
  async toArray(): Promise<E[]> {
    const entries: E[] = [];
    for await (const entry of this) entries.push(entry);
    return entries;
  }

  toArraySync(): E[] {
    return [...this.sync()];
  }

  #keys(): Range<IndexKeyParts> {
    return new Range<IndexKeyParts>(this.#source.index, { ...this.#options, keysOnly: true });
  }
}

function checkPageSize(size: number): void {
  if (!Number.isInteger(size) || size < 1) {
    throw new InvalidArgumentError('the size of a page is a whole number from one', { details: { found: size } });
  }
}

/** The entry of the store that an index key names; undefined where the transaction has removed it meanwhile. */
export async function join(owner: StoreCore, parts: IndexKeyParts): Promise<unknown> {
  const { codec } = owner;
  const found = owner.find(parts.key, false);
  if (found === ABSENT) return absent(owner);
  const entry =
    found === NOT_LOADED
      ? await owner.afterLoad((f, key) => (f === FOUND ? owner.foundEntrySoon(key, key.length) : absent(owner)))
      : await owner.foundEntrySoon(codec.keyBytes, codec.keyLength);
  return entry === undefined ? undefined : { index: parts.index, ...(entry as object) };
}

export function joinSync(owner: StoreCore, parts: IndexKeyParts): unknown {
  const { codec } = owner;
  if (owner.find(parts.key, true) !== FOUND) return absent(owner);
  return { index: parts.index, ...(owner.foundEntrySync(codec.keyBytes, codec.keyLength) as object) };
}

function absent(owner: StoreCore): undefined {
  if (owner.writable) return undefined;
  throw new CorruptionError(`store '${owner.name}': an index names an entry that is not there`, {
    details: { store: owner.name },
  });
}
