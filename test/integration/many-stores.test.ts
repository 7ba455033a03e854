/** 20,000 stores: creating one is a row, opening stays in milliseconds, dropping a big one takes no longer than a small one. */
import { describe, expect, it } from 'vitest';
import { folderBytes, temporaryFolder } from '../helpers/folders.ts';
import { amount, noteFigures, round } from '../helpers/scale.ts';
import { defineStore, openDatabase } from '../helpers/sop.ts';

const STORES = 20_000;
const BATCH = 500;
const bigRecords = amount(30_000, 1_000_000);

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; answer: T }> {
  const began = performance.now();
  const answer = await work();
  return { ms: round(performance.now() - began), answer };
}

describe('many stores', () => {
  it(`are rows: ${STORES} created, opened in milliseconds, a big one dropped at once`, async () => {
    using folder = temporaryFolder('stores');
    let db = await openDatabase(folder.path);
    const name = (i: number): string => `store ${String(i).padStart(5, '0')}`;
    const creating = await timed(async () => {
      for (let from = 0; from < STORES; from += BATCH) {
        await db.write((tx) => {
          for (let i = from; i < from + BATCH; i++) tx.store(defineStore<number, number>(name(i))).put(i, i);
        });
      }
    });
    const big = defineStore<number, string>('the big one');
    for (let from = 0; from < bigRecords; from += 10_000) {
      await db.write((tx) => {
        const store = tx.store(big);
        for (let i = from; i < from + 10_000; i++) store.put(i, `value ${i} of the store that goes`);
      });
    }
    const closing = await timed(() => db.close());
    const before = folderBytes(folder.path);

    const opening = await timed(() => openDatabase(folder.path));
    db = opening.answer;
    const first = await timed(() => db.read((tx) => tx.store(defineStore<number, number>(name(12_345))).get(12_345)));
    expect(first.answer).toBe(12_345);
    const listing = await timed(() => db.stores());
    expect(listing.answer).toHaveLength(STORES + 1);
    expect((await db.describe(name(777))).name).toBe(name(777));

    const dropping = await timed(() => db.drop('the big one'));
    expect(await db.stores()).toHaveLength(STORES);
    await db.compact();
    expect((await db.verify()).problems).toEqual([]);
    await db.close();
    const after = folderBytes(folder.path);
    const reopening = await timed(() => openDatabase(folder.path));
    expect(await reopening.answer.stores()).toHaveLength(STORES);
    await reopening.answer.close();

    noteFigures('many-stores', {
      stores: STORES,
      createdPerSecond: Math.round(STORES / (creating.ms / 1000)),
      closeMs: closing.ms,
      openMs: opening.ms,
      firstReadMs: first.ms,
      listMs: listing.ms,
      bigRecords,
      dropMs: dropping.ms,
      reopenMs: reopening.ms,
      megabytesBeforeDrop: round(before / 1e6),
      megabytesAfter: round(after / 1e6),
    });
    // Generous: the machine may be busy. The figures tell more.
    expect(opening.ms).toBeLessThan(1000);
    expect(dropping.ms).toBeLessThan(1000);
    expect(after).toBeLessThan(before);
  }, 600_000);
});
