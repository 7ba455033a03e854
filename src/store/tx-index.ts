/** A secondary index inside a transaction: read like a store; what it hands out are the entries of the store, in its own order. */
import type { IndexKeyParts } from '../codec/index-key.ts';
import {
  type IndexEntry,
  type IndexKey,
  IndexRange,
  type IndexRangeOptions,
  type IndexSource,
  join,
  joinSync,
  toIndexScan,
} from './index-range.ts';
import { type Bound, Range, type RangeBounds } from './range.ts';
import * as rank from './rank.ts';
import type { ScanOptions } from './scan.ts';

/**
 * `P` is what the index sorts by: an object of its fields, or what its function makes. Entries with equal ones stand in the
 * order of their keys. Belongs to its transaction and ends with it; errors as those of `TxStore`.
 */
export class TxIndex<P, K, V, R extends string = never> {
  readonly name: string;
  readonly #source: IndexSource;

  /** Use `store.index(name)`. */
  constructor(name: string, source: IndexSource) {
    this.name = name;
    this.#source = source;
  }

  /** The entry under these fields, the first of them where there are several; undefined where there is none. */
  async get(index: P): Promise<IndexEntry<P, K, V> | undefined> {
    return this.first(this.#exactly(index));
  }

  getSync(index: P): IndexEntry<P, K, V> | undefined {
    return this.firstSync(this.#exactly(index));
  }

  /** Whether there is an entry under these fields; the store is not looked at. */
  async has(index: P): Promise<boolean> {
    return (await this.#firstKey(this.#exactly(index), false)) !== undefined;
  }

  hasSync(index: P): boolean {
    return this.#firstKeySync(this.#exactly(index), false) !== undefined;
  }

  /** The first entry, of all or of a range; undefined where there is none. */
  first(range?: IndexRangeOptions<P, K, R>): Promise<IndexEntry<P, K, V> | undefined> {
    return this.#joined(this.#firstKey(range, false));
  }

  firstSync(range?: IndexRangeOptions<P, K, R>): IndexEntry<P, K, V> | undefined {
    return this.#joinedSync(this.#firstKeySync(range, false));
  }

  /** The last entry, of all or of a range; undefined where there is none. */
  last(range?: IndexRangeOptions<P, K, R>): Promise<IndexEntry<P, K, V> | undefined> {
    return this.#joined(this.#firstKey(range, true));
  }

  lastSync(range?: IndexRangeOptions<P, K, R>): IndexEntry<P, K, V> | undefined {
    return this.#joinedSync(this.#firstKeySync(range, true));
  }

  /** The index keys of a range, in the order of the index; the store is not looked at. */
  range(options: IndexRangeOptions<P, K, R> & { readonly keysOnly: true }): Range<IndexKey<P, K, R>>;
  /** The entries of a range, in the order of the index; all of them where no options are given. */
  range(options?: IndexRangeOptions<P, K, R> & { readonly keysOnly?: false }): IndexRange<IndexEntry<P, K, V>>;
  range(options?: IndexRangeOptions<P, K, R>): Range<IndexKey<P, K, R>> | IndexRange<IndexEntry<P, K, V>> {
    this.#source.index.mustBeOpen();
    const scan = toIndexScan(this.#source, options);
    if (scan.keysOnly) return new Range<IndexKey<P, K, R>>(this.#source.index, scan);
    return new IndexRange<IndexEntry<P, K, V>>(this.#source, scan);
  }

  /** How many entries there are, in all or in a range; not by walking over them. */
  count(range?: RangeBounds<P>): Promise<number> {
    return rank.count(this.#source.index, range);
  }

  countSync(range?: RangeBounds<P>): number {
    return rank.countSync(this.#source.index, range);
  }

  /** The entry at a position counted from zero, or from the end where negative; undefined where there is none. */
  at(position: number): Promise<IndexEntry<P, K, V> | undefined> {
    return this.#joined(rank.at(this.#source.index, position).then(partsOf));
  }

  atSync(position: number): IndexEntry<P, K, V> | undefined {
    return this.#joinedSync(partsOf(rank.atSync(this.#source.index, position)));
  }

  /** How many entries come before these fields: their position, counted from zero. */
  rank(index: Bound<P>): Promise<number> {
    return rank.rank(this.#source.index, index);
  }

  rankSync(index: Bound<P>): number {
    return rank.rankSync(this.#source.index, index);
  }

  /** All of the fields: encoding them checks that none is missing. */
  #exactly(index: P): { readonly gte: Bound<P>; readonly lte: Bound<P> } {
    const { index: store } = this.#source;
    store.mustBeOpen();
    store.codec.encodeKey(index);
    return { gte: index as Bound<P>, lte: index as Bound<P> };
  }

  async #firstKey(range: object | undefined, flip: boolean): Promise<IndexKeyParts | undefined> {
    const keys = new Range<IndexKeyParts>(this.#source.index, this.#oneKey(range, flip));
    for await (const key of keys) return key;
    return undefined;
  }

  #firstKeySync(range: object | undefined, flip: boolean): IndexKeyParts | undefined {
    return new Range<IndexKeyParts>(this.#source.index, this.#oneKey(range, flip)).toArraySync()[0];
  }

  #oneKey(range: object | undefined, flip: boolean): ScanOptions {
    this.#source.index.mustBeOpen();
    const scan = toIndexScan(this.#source, range);
    return { ...scan, reverse: scan.reverse !== flip, limit: Math.min(1, scan.limit), keysOnly: true };
  }

  async #joined(found: Promise<IndexKeyParts | undefined>): Promise<IndexEntry<P, K, V> | undefined> {
    const parts = await found;
    if (parts === undefined) return undefined;
    return (await join(this.#source.owner, parts)) as IndexEntry<P, K, V> | undefined;
  }

  #joinedSync(parts: IndexKeyParts | undefined): IndexEntry<P, K, V> | undefined {
    return parts === undefined ? undefined : (joinSync(this.#source.owner, parts) as IndexEntry<P, K, V> | undefined);
  }
}

function partsOf(entry: unknown): IndexKeyParts | undefined {
  return (entry as { readonly key: IndexKeyParts } | undefined)?.key;
}
