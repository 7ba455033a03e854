/** The types that the calls of a store speak in. */
import type { ItemId } from './item-id.ts';

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

/**
 * What `increment` takes behind the key: an amount in a store of counters (1 where it is left out), amounts by name where
 * ride-on fields are counters.
 */
export type IncrementBy<K, V, R extends string> = unknown extends V
  ? [by?: number | bigint | Readonly<Record<string, number | bigint>>]
  : [R] extends [never]
    ? [V] extends [number | bigint]
      ? [amount?: number | bigint]
      : [never]
    : [amounts: { readonly [F in CounterFieldOf<K, R>]?: number | bigint }];

/** Ride-on fields that may be counters. */
type CounterFieldOf<K, R extends string> = {
  [F in R & keyof K]: [K[F]] extends [number | undefined] ? F : never;
}[R & keyof K];

/** An item of a store of equal keys as reads hand it out; the caller's own. */
export interface BagEntry<K, V> extends Entry<K, V> {
  readonly id: ItemId;
}
