/**
 * What a history says about each key: which element wrote its first version, its second, and so on; and everything that
 * contradicts itself on the way there: two writers of one version, a version nobody wrote, one that was refused, one written
 * half way, one that disappeared.
 */
import type { Observation, ObservedTransaction } from './observed-history.ts';

export interface Anomaly {
  /** A short name: 'lost write', 'aborted read', 'G1b', 'G-single', ... */
  readonly name: string;
  readonly words: string;
}

/** A read: the key as it was before the transaction's own writes. */
export interface KeyRead {
  readonly transaction: number;
  readonly key: string;
  readonly version: number;
}

/** Where an element was written. */
interface Written {
  readonly transaction: number;
  readonly key: string;
  /** The transaction writes the key once more behind it. */
  isPassing: boolean;
}

export class VersionOrders {
  readonly anomalies: Anomaly[] = [];
  readonly reads: KeyRead[] = [];
  /** The elements of a key, by version; position 0 is version 1. */
  readonly orders = new Map<string, (number | undefined)[]>();
  readonly #transactions: readonly ObservedTransaction[];
  readonly #written = new Map<number, Written>();
  readonly #seen = new Set<number>();

  constructor(transactions: readonly ObservedTransaction[]) {
    this.#transactions = transactions;
    transactions.forEach((one, at) => {
      this.#noteWrites(one, at);
    });
    transactions.forEach((one, at) => {
      if (one.outcome === 'ok') this.#look(one, at);
    });
    this.#noteUnknown();
    this.#checkElements();
    this.#checkLost();
  }

  /** Took effect: was answered so, or was seen. */
  isIn(at: number): boolean {
    const { outcome, observations } = this.#transactions[at] as ObservedTransaction;
    if (outcome === 'ok') return true;
    return observations.some((one) => one.kind === 'append' && this.#seen.has(one.element));
  }

  writerOf(element: number): number | undefined {
    return this.#written.get(element)?.transaction;
  }

  #complain(name: string, words: string): void {
    this.anomalies.push({ name, words });
  }

  #noteWrites(transaction: ObservedTransaction, at: number): void {
    const last = new Map<string, Written>();
    for (const one of transaction.observations) {
      if (one.kind !== 'append') continue;
      if (this.#written.has(one.element))
        throw new Error(`element ${one.element} is written twice: a mistake of the test`);
      const before = last.get(one.key);
      if (before !== undefined) before.isPassing = true;
      const written = { transaction: at, key: one.key, isPassing: false };
      this.#written.set(one.element, written);
      last.set(one.key, written);
    }
  }

  /** Goes through a transaction in its order: what it reads behind its own writes must end with these. */
  #look(transaction: ObservedTransaction, at: number): void {
    const own = new Map<string, number[]>();
    const first = new Map<string, number>();
    for (const one of transaction.observations) {
      const mine = own.get(one.key) ?? [];
      if (one.kind === 'append') {
        mine.push(one.element);
        own.set(one.key, mine);
        if (one.version !== undefined) this.#put(one.key, one.version, one.element, transaction.name);
        continue;
      }
      const before = this.#readBefore(one, mine, transaction);
      if (before < 0) continue;
      const known = first.get(one.key);
      if (known === undefined) {
        first.set(one.key, before);
        this.reads.push({ transaction: at, key: one.key, version: before });
      } else if (known !== before)
        this.#complain('internal', `${transaction.name} read ${one.key} at version ${known} and then at ${before}`);
    }
  }

  /** The version a read saw before the transaction's own writes; -1 where it contradicts them. */
  #readBefore(
    one: Exclude<Observation, { kind: 'append' }>,
    mine: readonly number[],
    { name }: ObservedTransaction,
  ): number {
    const version = one.kind === 'all' ? one.elements.length : one.version;
    const before = version - mine.length;
    const element = one.kind === 'all' ? one.elements[version - 1] : one.kind === 'at' ? one.element : undefined;
    const isOwn = mine.length === 0 || element === undefined || element === mine[mine.length - 1];
    if (before < 0 || !isOwn) {
      this.#complain('internal', `${name} does not read its own writes of ${one.key}: version ${version}`);
      return -1;
    }
    if (one.kind === 'all') {
      for (let i = 0; i < before; i++) this.#place(one.key, i + 1, one.elements[i] as number, name);
    } else if (one.kind === 'at' && mine.length === 0 && version > 0) this.#place(one.key, version, one.element, name);
    return before;
  }

  #place(key: string, version: number, element: number, by: string): void {
    this.#seen.add(element);
    this.#put(key, version, element, by);
  }

  #put(key: string, version: number, element: number, by: string): void {
    let order = this.orders.get(key);
    if (order === undefined) {
      order = [];
      this.orders.set(key, order);
    }
    const known = order[version - 1];
    if (known === undefined) order[version - 1] = element;
    else if (known !== element)
      this.#complain('incompatible order', `version ${version} of ${key} is ${known} to some and ${element} to ${by}`);
  }

  /** The writes of what took effect without an answer say versions as well, and their reads were true. */
  #noteUnknown(): void {
    // One may only be seen through another: until nothing is new.
    const done = new Set<number>();
    for (let isNew = true; isNew; ) {
      isNew = false;
      this.#transactions.forEach((one, at) => {
        if (one.outcome !== 'unknown' || done.has(at) || !this.isIn(at)) return;
        done.add(at);
        isNew = true;
        this.#look(one, at);
      });
    }
  }

  #checkElements(): void {
    for (const [key, order] of this.orders) {
      const found = new Set<number>();
      for (let i = 0; i < order.length; i++) {
        const element = order[i];
        if (element === undefined) continue;
        if (found.has(element)) this.#complain('duplicate', `${element} is in ${key} twice`);
        found.add(element);
        const written = this.#written.get(element);
        if (written === undefined || written.key !== key)
          this.#complain('garbage read', `${key} holds ${element}, which nobody wrote there`);
        else if ((this.#transactions[written.transaction] as ObservedTransaction).outcome === 'fail')
          this.#complain(
            'G1a: aborted read',
            `${key} holds ${element} of ${this.#name(written.transaction)}, which was refused`,
          );
      }
    }
    for (const { transaction, key, version } of this.reads) {
      const element = this.orders.get(key)?.[version - 1];
      const written = element === undefined ? undefined : this.#written.get(element);
      if (written?.isPassing && written.transaction !== transaction)
        this.#complain(
          'G1b: intermediate read',
          `${this.#name(transaction)} read ${key} at ${element}, in the middle of ${this.#name(written.transaction)}`,
        );
    }
  }

  /** Every write that was answered must be somewhere, in a key that was looked at after it. */
  #checkLost(): void {
    this.#transactions.forEach((one, at) => {
      if (one.outcome !== 'ok') return;
      for (const { kind, key, ...rest } of one.observations) {
        const element = (rest as { element: number }).element;
        if (kind !== 'append' || this.#seen.has(element) || !this.#wasReadAfter(key, at)) continue;
        this.#complain('lost write', `${one.name} wrote ${element} to ${key}, and nobody who looked later saw it`);
      }
    });
  }

  #lastLook: Map<string, number> | undefined;

  #wasReadAfter(key: string, at: number): boolean {
    if (this.#lastLook === undefined) {
      this.#lastLook = new Map();
      for (const read of this.reads) {
        const { began } = this.#transactions[read.transaction] as ObservedTransaction;
        if (began > (this.#lastLook.get(read.key) ?? -1)) this.#lastLook.set(read.key, began);
      }
    }
    return (this.#lastLook.get(key) ?? -1) > (this.#transactions[at] as ObservedTransaction).ended;
  }

  #name(at: number): string {
    return (this.#transactions[at] as ObservedTransaction).name;
  }
}
