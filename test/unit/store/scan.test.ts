/** Ranges in all their forms against a sorted array: bounds × direction × limit × page size × what lies over the tree. */
import { describe, expect, test } from 'vitest';
import { Database } from '../../../src/store/database.ts';
import { defineStore, type StoreDefinition } from '../../../src/store/define-store.ts';
import type { Entry } from '../../../src/store/store-types.ts';
import type { Transaction } from '../../../src/store/transaction.ts';
import type { TxStore } from '../../../src/store/store.ts';

const SEED = Number(process.env.SOP_SEED ?? Date.now() % 1_000_000);
const RUNS = Number(process.env.SOP_RUNS ?? 1);

let state = SEED;
const below = (limit: number) => {
  state = (state + 0x9e3779b9) >>> 0;
  let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return ((z ^ (z >>> 15)) >>> 0) % limit;
};
const chance = (percent: number) => below(100) < percent;
const pick = <T>(items: readonly T[]) => items[below(items.length)] as T;

interface Kind<K> {
  readonly name: string;
  readonly store: StoreDefinition<K, unknown, never>;
  readonly key: (n: number) => K;
  readonly descending: boolean;
}

const KINDS: readonly Kind<unknown>[] = [
  {
    name: 'plain strings',
    store: defineStore('plain') as never,
    key: (n) => `key:${String(n).padStart(8, '0')}`,
    descending: false,
  },
  {
    name: 'strings with zeros and beyond ASCII',
    store: defineStore('odd') as never,
    key: (n) => String(n).padStart(8, '0') + pick4(n, ['é', '\0', '\u{1f600}', '\x7f']),
    descending: false,
  },
  {
    name: 'descending strings',
    store: defineStore('down', { key: { order: 'desc' } }) as never,
    key: (n) => String(n).padStart(8, '0'),
    descending: true,
  },
  { name: 'numbers', store: defineStore('numbers') as never, key: (n) => n, descending: false },
  {
    name: 'fields',
    store: defineStore('fields', { key: ['a', { field: 'b', order: 'desc' }, 'c'] }) as never,
    key: (n) => ({
      a: String(Math.floor(n / 64)).padStart(6, '0'),
      b: 64 - (n % 64),
      c: pick4(n, ['', 'x', 'ÿ', 'z\0']),
    }),
    descending: false,
  },
];

function pick4(n: number, items: readonly [string, string, string, string]): string {
  return items[n % 4] as string;
}

/** Values of several shapes, sizes and texts; some too long to stay in the tree. */
function makeValue(n: number, round: number): unknown {
  const text = pick4(n, ['plain', 'Grüße', 'κόσμε', '']);
  const shape = below(6);
  if (shape === 0) return { id: n, round, text, tags: ['a', text] };
  if (shape === 1) return { id: n, nested: { round, text: text.repeat(below(40)) } };
  if (shape === 2) return text + round;
  if (shape === 3) return { [`field${below(30)}`]: n, round };
  if (chance(3)) return 'long'.repeat(2000) + n;
  return { id: n, name: `name ${n}`, email: `${n}@example.org`, active: chance(50), score: below(1000) / 10, round };
}

class Fixture {
  readonly db: Database;
  readonly kind: Kind<unknown>;
  readonly model = new Map<number, unknown>();

  constructor(db: Database, kind: Kind<unknown>) {
    this.db = db;
    this.kind = kind;
  }

  get sorted(): number[] {
    const sorted = [...this.model.keys()].sort((a, b) => a - b);
    return this.kind.descending ? sorted.reverse() : sorted;
  }

  change(store: TxStore<unknown, unknown>, changes: number, round: number): void {
    for (let i = 0; i < changes; i++) {
      const n = below(6000);
      if (chance(25)) {
        store.removeSync(this.kind.key(n) as never);
        this.model.delete(n);
      } else {
        const value = makeValue(n, round);
        store.put(this.kind.key(n), value);
        this.model.set(n, value);
      }
    }
  }

  async write(changes: number, round: number): Promise<void> {
    await this.db.write((tx) => this.change(tx.store(this.kind.store), changes, round));
  }

  async check(tx: Transaction, entries: number[]): Promise<void> {
    const store = tx.store(this.kind.store);
    const { kind } = this;
    const from = chance(70) ? below(6200) : undefined;
    const to = chance(70) ? below(6200) : undefined;
    const limit = chance(50) ? pick([0, 1, 5, 31, 32, 33, 100, 257, 1000]) : undefined;
    const options = {
      ...(from === undefined ? {} : { [pick(['gte', 'gt'])]: kind.key(from) }),
      ...(to === undefined ? {} : { [pick(['lte', 'lt'])]: kind.key(to) }),
      ...(limit === undefined ? {} : { limit }),
      reverse: chance(50),
    } as { gt?: never; gte?: never; lt?: never; lte?: never; limit?: number; reverse: boolean };
    const place = (n: number) => (kind.descending ? -n : n);
    let want = entries.filter((n) => {
      if (from !== undefined && (place(n) < place(from) || ('gt' in options && n === from))) return false;
      return !(to !== undefined && (place(n) > place(to) || ('lt' in options && n === to)));
    });
    if (options.reverse) want.reverse();
    if (chance(10)) {
      const odd = new Set(want.filter((n) => n % 3 === 1).map((n) => JSON.stringify(kind.key(n))));
      (options as { where?: (key: unknown) => boolean }).where = (key) => odd.has(JSON.stringify(key));
      want = want.filter((n) => n % 3 === 1);
    }
    want = want.slice(0, limit);
    await this.#compare(store, options, want);
  }

  async #compare(store: TxStore<unknown, unknown>, options: object, want: readonly number[]): Promise<void> {
    const keysOnly = chance(40);
    const range = store.range({ ...options, keysOnly });
    const size = pick([1, 7, 100, 1000]);
    const found: unknown[] = [];
    const form = below(6);
    if (form === 0) for (const page of range.syncPages(size)) found.push(...page);
    else if (form === 1) for await (const page of range.pages(size)) found.push(...page);
    else if (form === 2) for (const item of range.sync()) found.push(item);
    else if (form === 3) for await (const item of range) found.push(item);
    else if (form === 4) found.push(...range.toArraySync());
    else found.push(...(await range.toArray()));
    expect(found.map((item) => (keysOnly ? item : (item as Entry<unknown, unknown>).key))).toEqual(
      want.map((n) => this.kind.key(n)),
    );
    if (keysOnly) return;
    expect(found.map((item) => (item as Entry<unknown, unknown>).value)).toEqual(want.map((n) => this.model.get(n)));
  }
}

async function live(kind: Kind<unknown>, cacheBytes: number): Promise<void> {
  const db = await Database.memory({ cacheBytes, tableBytes: 1024 * 1024 });
  const fixture = new Fixture(db, kind);
  try {
    for (let round = 0; round < 5; round++) {
      await fixture.write(pick([3, 200, 2500]), round);
      if (chance(50)) await db.checkpoint();
      if (chance(60)) await fixture.write(pick([1, 50, 1000]), round + 100);
      const entries = fixture.sorted;
      await db.read(async (tx) => {
        for (let i = 0; i < 12; i++) await fixture.check(tx, entries);
      });
      const own = new Map(fixture.model);
      const tx = await db.begin('write');
      for (let i = 0; i < 6; i++) {
        if (i === 3) fixture.change(tx.store(kind.store), 20, round);
        await fixture.check(tx, fixture.sorted);
      }
      await tx.rollback();
      fixture.model.clear();
      for (const [n, value] of own) fixture.model.set(n, value);
    }
  } finally {
    await db.close();
  }
}

describe(`ranges (SOP_SEED=${SEED})`, () => {
  for (const kind of KINDS) {
    test(`of ${kind.name} are what a sorted array says, whatever lies over the tree`, async () => {
      for (let run = 0; run < RUNS; run++) {
        await live(kind, 8 * 1024 * 1024);
        await live(kind, 64 * 1024);
      }
    }, 60_000);
  }

  test('a conflict is what was handed out of a page, not what was fetched with it', async () => {
    const db = await Database.memory();
    const store = defineStore<string, number>('store');
    const key = (n: number) => `key${String(n).padStart(4, '0')}`;
    await db.write((tx) => {
      for (let i = 0; i < 1000; i++) tx.store(store).put(key(i), i);
    });
    for (const overlaid of [false, true]) {
      if (!overlaid) await db.checkpoint();
      else await db.write((tx) => tx.store(store).put(key(40), 41));
      for (const [changed, conflicts] of [
        [19, true],
        [20, false],
        [900, false],
      ] as const) {
        const tx = await db.begin('write');
        const pages = tx.store(store).range().syncPages(20);
        pages.next();
        pages.return?.();
        await db.write((other) => other.store(store).put(key(changed), -1));
        tx.store(store).put('result', 1);
        if (conflicts) await expect(tx.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
        else await tx.commit();
      }
    }
    await db.close();
  });
});
