/**
 * Real processes with 64 clients on a real folder, killed again and again: what they saw of each other is strictly
 * serializable. The lane `histories` does the same at length.
 */
import { describe, expect, it } from 'vitest';
import { amount, chooseSeed } from '../helpers/scale.ts';
import { runHistory } from './history-run.ts';

const seed = chooseSeed();

describe(`histories of processes that are killed (SOP_SEED=${seed})`, () => {
  it('are strictly serializable', { timeout: 120_000 }, async () => {
    const found = await runHistory({ seed, transactions: amount(5000, 20_000), lifeMs: 700 });
    console.log(JSON.stringify({ seed, ...found }));
    expect(found.committed).toBeGreaterThan(100);
  });

  for (const plant of ['ranges that were read are not validated', 'keys that were read are not validated']) {
    it(`are not where ${plant}`, { timeout: 120_000 }, async () => {
      await expect(runHistory({ seed, transactions: 3000, lifeMs: 700, plant })).rejects.toThrow(
        /anomalies|in the bank|two members/,
      );
    });
  }
});
