/** The types that the calls of a store speak in. */

/** The key of a look-up: ride-on fields may be left out, and are ignored. */
export type LookupKey<K, R extends string> = [R] extends [never]
  ? K
  : K extends object
    ? Omit<K, R> & Partial<Pick<K, R & keyof K>>
    : K;

/** What batch forms take: pairs, or entries as ranges hand them out. */
export type Item<K, V> = readonly [key: K, value: V] | { readonly key: K; readonly value: V };

/** An entry of a store as reads hand it out; the caller's own. */
export interface Entry<K, V> {
  /** The key with its ride-on fields. */
  readonly key: K;
  readonly value: V;
  /** The number of the transaction that changed the entry last; 0 where that is the one that reads. */
  readonly version: number;
}
