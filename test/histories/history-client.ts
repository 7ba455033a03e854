/** What one client of the histories does in a transaction, and how it tells of it; see `observed-history.ts` for the words. */
import type { SeededRandom } from '../../src/env/simulated-random.ts';
import type { Transaction } from '../../src/store/transaction.ts';
import { ACCOUNTS, type Account, accounts, BALANCE, lists, members, names } from './history-plan.ts';

/** Keys in use at a time; they wander, so that lists end and groups stay short. */
const LISTS = 32;
const GROUPS = 16;
const NAMES = 16;
/** How many elements are drawn until the keys in use have wandered by one. */
const PACE = 40;

export class HistoryClient {
  readonly #random: SeededRandom;
  readonly #elements: { next: number };

  constructor(random: SeededRandom, elements: { next: number }) {
    this.#random = random;
    this.#elements = elements;
  }

  /** The bank's first transaction; where it is open already, a look at it. */
  async openBank(tx: Transaction): Promise<string[]> {
    const store = tx.store(accounts);
    if ((await store.count()) > 0) return this.#report(tx);
    const told: string[] = [];
    for (let i = 0; i < ACCOUNTS; i++) {
      const element = this.#elements.next++;
      store.put(i, { balance: BALANCE, version: 1, element });
      told.push(`v b${i} 0 0`, `w b${i} 1 ${element}`);
    }
    return told;
  }

  async work(tx: Transaction, writes: boolean): Promise<string[]> {
    const told: string[] = [];
    const kind = this.#random.below(20);
    if (writes && kind < 4) return this.#transfer(tx);
    if (!writes && kind < 4) return this.#report(tx);
    const steps = 1 + this.#random.below(4);
    // A key is written once in a transaction: what follows would have to know of it.
    const done = new Set<string>();
    for (let i = 0; i < steps; i++) {
      const choice = this.#random.below(10);
      const step =
        choice < 5
          ? await this.#list(tx, writes, done)
          : choice < 8
            ? await this.#group(tx, writes, done)
            : await this.#name(tx, writes, done);
      told.push(...step);
      if (this.#random.chance(0.2)) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    return told;
  }

  #key(kind: string, count: number): string {
    const round = Math.floor(this.#elements.next / 10_000_000);
    const wandered = Math.floor((this.#elements.next % 10_000_000) / PACE);
    return `${kind}${round}.${wandered + this.#random.below(count)}`;
  }

  async #list(tx: Transaction, writes: boolean, done: Set<string>): Promise<string[]> {
    const key = this.#key('l', LISTS);
    const store = tx.store(lists);
    const list = (await store.get(key)) ?? [];
    const read = `r ${key} ${list.join(',')}`;
    if (!writes || done.has(key) || this.#random.chance(0.3)) return [read];
    done.add(key);
    const element = this.#elements.next++;
    store.put(key, [...list, element]);
    return [read, `a ${key} ${element}`];
  }

  async #group(tx: Transaction, writes: boolean, done: Set<string>): Promise<string[]> {
    const key = this.#key('g', GROUPS);
    const group = groupNumber(key);
    const store = tx.store(members);
    const range = { gte: [group, 0] as const, lt: [group + 1, 0] as const };
    const told: string[] = [];
    let count: number;
    if (this.#random.chance(0.5)) {
      count = await store.count(range);
      told.push(`n ${key} ${count}`);
    } else {
      const found = (await store.range(range).toArray()).map(({ value }) => value);
      found.sort((a, b) => a.place - b.place);
      count = found.length;
      told.push(`r ${key} ${found.map(({ element }) => element).join(',')}`);
    }
    if (!writes || done.has(key) || this.#random.chance(0.4)) return told;
    done.add(key);
    const element = this.#elements.next++;
    store.put([group, this.#random.next()], { place: count + 1, element });
    told.push(`w ${key} ${count + 1} ${element}`);
    return told;
  }

  /** Claims a name, or sees whose it is. */
  async #name(tx: Transaction, writes: boolean, done: Set<string>): Promise<string[]> {
    const key = this.#key('u', NAMES);
    const store = tx.store(names);
    const element = this.#elements.next++;
    if (writes && !done.has(key) && (await store.add(key, element))) {
      done.add(key);
      return [`n ${key} 0`, `w ${key} 1 ${element}`];
    }
    const owner = await store.get(key);
    return owner === undefined ? [`n ${key} 0`] : [`v ${key} 1 ${owner}`];
  }

  async #transfer(tx: Transaction): Promise<string[]> {
    const store = tx.store(accounts);
    const from = this.#random.below(ACCOUNTS);
    const to = (from + 1 + this.#random.below(ACCOUNTS - 1)) % ACCOUNTS;
    const [has, other] = [(await store.get(from)) as Account, (await store.get(to)) as Account];
    const told = [tell(from, has), tell(to, other)];
    const sum = this.#random.below(100);
    if (has.balance < sum) return told;
    for (const [id, old, change] of [
      [from, has, -sum],
      [to, other, sum],
    ] as const) {
      const element = this.#elements.next++;
      store.put(id, { balance: old.balance + change, version: old.version + 1, element });
      told.push(`w b${id} ${old.version + 1} ${element}`);
    }
    return told;
  }

  /** All accounts of one snapshot; throws where money was made or lost. */
  async #report(tx: Transaction): Promise<string[]> {
    const told: string[] = [];
    let sum = 0;
    for await (const { key, value } of tx.store(accounts).range()) {
      sum += value.balance;
      told.push(tell(key, value));
    }
    const expected = told.length === 0 ? 0 : ACCOUNTS * BALANCE;
    if (sum !== expected) throw new Error(`the snapshot ${tx.snapshot} shows ${sum} in the bank, not ${expected}`);
    return told;
  }
}

function tell(id: number, { version, element }: Account): string {
  return `v b${id} ${version} ${element}`;
}

/** A group's key as a number: its round and its place. */
export function groupNumber(key: string): number {
  const [round, place] = key.slice(1).split('.').map(Number) as [number, number];
  return round * 1_000_000 + place;
}

export function groupKey(group: number): string {
  return `g${Math.floor(group / 1_000_000)}.${group % 1_000_000}`;
}
