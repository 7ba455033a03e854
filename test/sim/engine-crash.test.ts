/**
 * Power cuts at every operation of an engine's life: opening, commits one by one and many at once, values in segments,
 * checkpoints, compaction, reclaim, closing, opening again. What was acknowledged is there, nothing half is, a verify finds
 * nothing, and the database goes on.
 */
import { describe, expect, it } from 'vitest';
import { type CrashOptions, describeReport, runCrashHarness } from './crash-harness.ts';
import { engineSystem, type Life } from './engine-system.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const scale = Number(process.env.SOP_RUNS ?? 1);

const SMALL_LIFE: Life = { steps: 25, keys: 40, longest: 3000 };
const LARGE_LIFE: Life = { steps: 40, keys: 300, longest: 90_000 };

const sum = { points: 0, states: 0 };

async function crash(life: Life, options: CrashOptions): Promise<void> {
  const report = await runCrashHarness(engineSystem(life), { world: { traceLength: 2000 }, ...options });
  const story = report.failures.map((one) => `${one.story}\n${(one.error as Error).stack ?? String(one.error)}`).join('\n');
  expect(story, `seed ${report.seed}`).toBe('');
  expect(report.points).toBeGreaterThan(10);
  sum.points += report.points;
  sum.states += report.states + report.secondStates;
  console.log(describeReport(report));
}

describe(`an engine whose power is cut (SOP_SEED=${seed})`, () => {
  for (let round = 0; round < Math.ceil(4 * scale); round++) {
    it(`keeps its promises at every point of a small life, round ${round}`, async () => {
      const second = { chance: 0.05, maxPoints: 2 };
      await crash(SMALL_LIFE, { seed: seed * 1000 + round, maxPoints: 60, randomDamages: 6, second });
    });
    it(`keeps its promises with large values and many changes, round ${round}`, async () => {
      await crash(LARGE_LIFE, { seed: seed * 1000 + 500_000 + round, maxPoints: 40, randomDamages: 3 });
    });
  }
});
