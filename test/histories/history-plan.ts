/** The stores that the histories of real processes are made of, and how their contents read as versions of keys. */
import { defineStore } from '../helpers/sop.ts';

/** List-append: a value is the whole list. */
export const lists = defineStore<string, readonly number[]>('lists');

export interface Account {
  readonly balance: number;
  readonly version: number;
  /** Who wrote this version. */
  readonly element: number;
}

/** A bank: the sum of all balances is the same in every snapshot. */
export const accounts = defineStore<number, Account>('accounts');
export const ACCOUNTS = 48;
export const BALANCE = 1000;

export interface Member {
  readonly place: number;
  readonly element: number;
}

/** Groups that only grow: who joins has counted them first, and says which place it takes. Keys are random within the group. */
export const members = defineStore<readonly [number, number], Member>('members');

/** Names that are claimed once. */
export const names = defineStore<string, number>('names');

export interface HistoryOrders {
  readonly folder: string;
  readonly seed: number;
  readonly round: number;
  readonly clients: number;
  readonly tableBytes: number;
  readonly cacheBytes: number;
  readonly beside: 'nothing' | 'checkpoint' | 'compact';
  /** A planted mistake, by name. */
  readonly plant: string | undefined;
}

/** Elements of one round are apart from those of all others. */
export const ELEMENTS_PER_ROUND = 10_000_000;
