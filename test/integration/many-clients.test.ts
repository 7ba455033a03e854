/**
 * Many at once in one process: a reader that stays open beside ten thousand writers, and 64 clients who move money whose sum
 * every snapshot must show unchanged. Small tables, so that checkpoints and compaction go on underneath.
 */
import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { temporaryFolder } from '../helpers/folders.ts';
import { amount, chooseSeed, noteFigures, round } from '../helpers/scale.ts';
import { type Database, defineStore, openDatabase } from '../helpers/sop.ts';

const seed = chooseSeed();
const KIB = 1024;
const smallTables = { tableBytes: 256 * KIB, cacheBytes: 2048 * KIB };

interface Thing {
  readonly version: number;
  readonly text: string;
}

const things = defineStore<number, Thing>('things');
const accounts = defineStore<number, number>('accounts');
const transfers = defineStore<string, { readonly from: number; readonly to: number; readonly sum: number }>(
  'transfers',
);

const THINGS = 2000;
const writers = amount(10_000, 10_000);

describe('a reader open for long', () => {
  it(`sees its snapshot beside ${writers} writers, and blocks none of them`, async () => {
    using folder = temporaryFolder('reader');
    const db = await openDatabase(folder.path, smallTables);
    const thing = (i: number, version: number): Thing => ({
      version,
      text: `thing ${i} in version ${version}`.padEnd(60),
    });
    await db.write((tx) => {
      for (let i = 0; i < THINGS; i++) tx.store(things).put(i, thing(i, 0));
    });
    const reader = await db.begin('read');
    const began = performance.now();
    const chance = new SeededRandom(seed);
    let done = 0;
    const write = async (client: number): Promise<void> => {
      for (let n = client; n < writers; n += 64) {
        const key = chance.below(THINGS);
        await db.write(async (tx) => {
          const store = tx.store(things);
          const what = n % 10;
          if (what === 0) await store.remove(key);
          else if (what === 1) store.put(THINGS + n, thing(THINGS + n, n));
          else store.put(key, thing(key, n));
        });
        done++;
      }
    };
    const look = async (): Promise<void> => {
      const store = reader.store(things);
      expect(await store.count()).toBe(THINGS);
      let i = 0;
      for await (const { key, value } of store.range()) {
        expect(key).toBe(i);
        expect(value).toEqual(thing(i, 0));
        i++;
      }
      expect(i).toBe(THINGS);
      const key = chance.below(THINGS);
      expect(await store.get(key)).toEqual(thing(key, 0));
      expect((await store.at(key))?.key).toBe(key);
    };
    const clients = Promise.all(Array.from({ length: 64 }, (_, client) => write(client)));
    let looks = 0;
    while (done < writers) {
      await look();
      looks++;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await clients;
    await look();
    const seconds = (performance.now() - began) / 1000;
    const { checkpoints } = db.stats();
    await db.compact();
    await look();
    await reader.rollback();
    noteFigures('long-reader', { writers, looks, checkpoints, writesPerSecond: Math.round(writers / seconds) });
    expect(checkpoints).toBeGreaterThan(1);
    expect((await db.verify()).problems).toEqual([]);
    await db.close();
  }, 120_000);
});

const ACCOUNTS = 100;
const START = 1000;
const CLIENTS = 64;
const transfersEach = amount(25, 250);

describe(`${CLIENTS} clients who move money (SOP_SEED=${seed})`, () => {
  it('keep its sum in every snapshot, and every transfer stands in the book exactly once', async () => {
    using folder = temporaryFolder('bank');
    let db = await openDatabase(folder.path, smallTables);
    await db.write((tx) => {
      for (let i = 0; i < ACCOUNTS; i++) tx.store(accounts).put(i, START);
    });
    let running = true;
    const began = performance.now();
    const watching = watchSums(db, () => running);
    const moved = await Promise.all(Array.from({ length: CLIENTS }, (_, client) => moveMoney(db, client)));
    running = false;
    const snapshots = await watching;
    const seconds = (performance.now() - began) / 1000;
    const { conflicts } = db.stats();
    await checkBooks(db, moved.flat());
    await db.close();
    db = await openDatabase(folder.path);
    await checkBooks(db, moved.flat());
    expect((await db.verify()).problems).toEqual([]);
    await db.close();
    const count = moved.flat().length;
    noteFigures('bank', {
      clients: CLIENTS,
      transfers: count,
      snapshots,
      conflicts,
      transfersPerSecond: round(count / seconds),
    });
    expect(snapshots).toBeGreaterThan(2);
  }, 180_000);
});

/** One client's transfers; answers their names. Two of three read balances first, one of three is refused by its own check. */
async function moveMoney(db: Database, client: number): Promise<string[]> {
  const chance = new SeededRandom(seed * 64 + client);
  const done: string[] = [];
  for (let i = 0; i < transfersEach; i++) {
    const from = chance.below(ACCOUNTS);
    const to = (from + 1 + chance.below(ACCOUNTS - 1)) % ACCOUNTS;
    const sum = chance.below(400);
    const name = `${client}/${i}`;
    const moved = await db.write(async (tx) => {
      const store = tx.store(accounts);
      const [has, other] = [(await store.get(from)) as number, (await store.get(to)) as number];
      if (has < sum) return false;
      store.put(from, has - sum);
      store.put(to, other + sum);
      return tx.store(transfers).add(name, { from, to, sum });
    });
    if (moved) done.push(name);
  }
  return done;
}

async function watchSums(db: Database, running: () => boolean): Promise<number> {
  let snapshots = 0;
  while (running()) {
    await db.read(async (tx) => {
      const before = await sumOf(tx.store(accounts).range());
      // Time passes, others commit: the snapshot stays what it was.
      await new Promise((resolve) => setTimeout(resolve, 2));
      expect([before, await sumOf(tx.store(accounts).range({ reverse: true }))]).toEqual([
        ACCOUNTS * START,
        ACCOUNTS * START,
      ]);
    });
    snapshots++;
  }
  return snapshots;
}

async function sumOf(entries: AsyncIterable<{ readonly value: number }>): Promise<number> {
  let sum = 0;
  for await (const { value } of entries) {
    if (value < 0) throw new Error('an account is overdrawn');
    sum += value;
  }
  return sum;
}

/** Balances follow from the book, which holds what was answered and nothing else. */
async function checkBooks(db: Database, moved: readonly string[]): Promise<void> {
  const balances = new Array<number>(ACCOUNTS).fill(START);
  await db.read(async (tx) => {
    const names: string[] = [];
    for await (const { key, value } of tx.store(transfers).range()) {
      names.push(key);
      (balances[value.from] as number) -= value.sum;
      (balances[value.to] as number) += value.sum;
    }
    expect(names).toEqual([...moved].sort());
    const found = (await tx.store(accounts).range().toArray()).map(({ value }) => value);
    expect(found).toEqual(balances);
  });
}
