/** Indexes agree with their stores in every snapshot, whatever is changed, built, dropped and killed meanwhile. */
import { afterEach, describe, expect, it } from 'vitest';
import { StoreIndexes } from '../../src/store/store-indexes.ts';
import { Transaction } from '../../src/transaction/transaction.ts';
import { type IndexRunCounts, runIndexes } from './index-run.ts';
import { Undo } from './planted-bugs.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const scale = Number(process.env.SOP_RUNS ?? 1);
const undo = new Undo();
afterEach(() => undo.all());

const none = (): IndexRunCounts => ({ steps: 0, writes: 0, compared: 0, built: 0, refused: 0, kills: 0 });

describe(`indexes in a simulated world (SOP_SEED=${seed})`, () => {
  it('hold what their stores say', { timeout: 300_000 }, async () => {
    const counts = none();
    for (let run = 0; run < Math.ceil(12 * scale); run++) await runIndexes(seed + run, 60, counts);
    console.log(JSON.stringify(counts));
    expect(counts.compared).toBeGreaterThan(50);
    expect(counts.built).toBeGreaterThan(20);
    expect(counts.refused).toBeGreaterThan(0);
  });

  it('hold it also where the disk refuses things, and are built once it is sound', { timeout: 300_000 }, async () => {
    const counts = none();
    for (let run = 0; run < Math.ceil(12 * scale); run++) await runIndexes(seed + run, 60, counts, true);
    console.log(JSON.stringify(counts));
    expect(counts.compared).toBeGreaterThan(20);
    expect(counts.built).toBeGreaterThan(10);
  });
});

async function firstRed(): Promise<string | undefined> {
  for (let run = 1; run <= 30; run++) {
    try {
      await runIndexes(run, 60, none());
    } catch (error) {
      return String(error);
    }
  }
  return undefined;
}

describe('a planted mistake is caught', { timeout: 300_000 }, () => {
  it('an update leaves the index entry of the old value', async () => {
    undo.method(StoreIndexes.prototype, 'prepare', (original) => {
      return function (this: StoreIndexes, key: Uint8Array, _: unknown, after: Uint8Array | undefined, only?: boolean) {
        original.call(this, key, undefined, after, only);
      };
    });
    expect(await firstRed()).toBeDefined();
  });

  it('a build that notes nothing misses what changes meanwhile', async () => {
    undo.method(Transaction.prototype, 'noteRange', () => () => {});
    expect(await firstRed()).toBeDefined();
  });

  it('a removal of a range leaves the indexes alone', async () => {
    undo.method(StoreIndexes.prototype, 'clearRange', () => () => {});
    expect(await firstRed()).toBeDefined();
  });
});
