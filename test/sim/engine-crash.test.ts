/**
 * Power cuts at every operation of an engine's life: opening, commits one by one and many at once, values in segments,
 * checkpoints, compaction, reclaim, closing, opening again. What was acknowledged is there, nothing half is, a verify finds
 * nothing, and the database goes on. The lane `engine-crash` leads many more such lives.
 */
import { describe, expect, it } from 'vitest';
import { describeReport } from './crash-harness.ts';
import { crashRound } from './engine-system.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const scale = Number(process.env.SOP_RUNS ?? 1);

describe(`an engine whose power is cut (SOP_SEED=${seed})`, () => {
  for (let round = 0; round < Math.ceil(5 * scale); round++) {
    it(`keeps its promises at every point of a small life, round ${round}`, async () => {
      const report = await crashRound(seed, round, 20);
      console.log(describeReport(report));
      expect(report.points).toBeGreaterThan(10);
    });
  }
});
