/** Ten rewrites of every record leave a folder of at most twice its live data, once it has settled. */
import { describe, expect, it } from 'vitest';
import { folderBytes, temporaryFolder } from '../helpers/folders.ts';
import { amount, noteFigures, round } from '../helpers/scale.ts';
import { type Database, defineStore, openDatabase } from '../helpers/sop.ts';

const records = amount(20_000, 200_000);
const tableBytes = amount(1, 16) << 20;
const REWRITES = 10;
const BATCH = 1000;

interface Thing {
  readonly id: number;
  readonly round: number;
  readonly text: string;
}

const things = defineStore<number, Thing>('things');
const files = defineStore<number, Uint8Array>('files', { raw: true, values: 'separate' });

/** Every record once, in an order that jumps about; every twentieth has a value of its own place beside it. */
async function writeAll(db: Database, turn: number): Promise<void> {
  for (let from = 0; from < records; from += BATCH) {
    await db.write((tx) => {
      const [all, apart] = [tx.store(things), tx.store(files)];
      for (let i = from; i < from + BATCH; i++) {
        const id = (i * 7919) % records;
        all.put(id, { id, round: turn, text: `record ${id} as of round ${turn}, with some words to fill it up` });
        if (id % 20 === 0) apart.put(id, new Uint8Array(1000 + (id % 500)).fill(turn));
      }
    });
  }
}

/** The same content written once. */
async function sizeWhenFresh(): Promise<number> {
  using folder = temporaryFolder('fresh');
  const db = await openDatabase(folder.path, { tableBytes });
  await writeAll(db, REWRITES);
  await db.compact();
  await db.close();
  return folderBytes(folder.path);
}

describe('a database rewritten ten times', () => {
  it(`settles at no more than twice its live data (${records} records)`, async () => {
    const liveBytes = await sizeWhenFresh();
    using folder = temporaryFolder('rewrite');
    let db = await openDatabase(folder.path, { tableBytes });
    let largest = 0;
    const began = performance.now();
    for (let turn = 0; turn <= REWRITES; turn++) {
      await writeAll(db, turn);
      largest = Math.max(largest, folderBytes(folder.path));
    }
    const seconds = (performance.now() - began) / 1000;
    await db.checkpoint();
    const unsettled = folderBytes(folder.path);
    await db.compact();
    await db.close();
    const settled = folderBytes(folder.path);
    noteFigures('rewrite', {
      records,
      liveMegabytes: round(liveBytes / 1e6),
      largestMegabytes: round(largest / 1e6),
      afterCheckpointMegabytes: round(unsettled / 1e6),
      settledMegabytes: round(settled / 1e6),
      settledTimesLive: round(settled / liveBytes),
      largestTimesLive: round(largest / liveBytes),
      recordsPerSecond: Math.round((records * (REWRITES + 1)) / seconds),
    });
    db = await openDatabase(folder.path);
    await db.read(async (tx) => {
      expect(await tx.store(things).count()).toBe(records);
      let wrong = 0;
      for await (const { key, value } of tx.store(things).range())
        if (value.round !== REWRITES || value.id !== key) wrong++;
      for await (const { key, value } of tx.store(files).range()) {
        if (value.length !== 1000 + (key % 500) || value[0] !== REWRITES) wrong++;
      }
      expect(wrong).toBe(0);
    });
    expect((await db.verify()).problems).toEqual([]);
    await db.close();
    expect(settled).toBeLessThanOrEqual(2 * liveBytes);
    // While it goes on, too, garbage is bounded.
    expect(largest).toBeLessThan(6 * liveBytes + 4 * tableBytes);
  }, 900_000);
});
