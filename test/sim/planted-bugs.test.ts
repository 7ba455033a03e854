/** The lanes catch what they are there for: every planted mistake turns its lane red, and unplanted the lane is green. */
import { afterEach, describe, expect, it } from 'vitest';
import { type CrashOptions, runCrashHarness } from './crash-harness.ts';
import { clientSystem } from './engine-client.ts';
import { failSync } from './engine-scenes.ts';
import { engineSystem, type Life } from './engine-system.ts';
import { runFaultSweep } from './fault-sweep.ts';
import type { ClientCounts } from './list-clients.ts';
import { type RunCounts, runModel } from './model-run.ts';
import { type Lane, PLANTED_BUGS, Undo } from './planted-bugs.ts';
import { runBank, runQuietly, runWithFailingDisk } from './schedule-runs.ts';

const undo = new Undo();
afterEach(() => undo.all());

const LIFE: Life = { steps: 20, keys: 40, longest: 3000 };
const LARGE_LIFE: Life = { steps: 20, keys: 100, longest: 80_000 };

const clientCounts: ClientCounts = { commits: 0, refused: 0, reads: 0 };
const modelCounts: RunCounts = { steps: 0, commits: 0, refused: 0, tooOld: 0, spilled: 0, reopened: 0 };

async function crash(seed: number, life: Life): Promise<void> {
  const options: CrashOptions = { seed, maxPoints: 15, randomDamages: 3, second: { chance: 0.2, maxPoints: 3 } };
  const { failures } = await runCrashHarness(engineSystem(life), { world: { traceLength: 50 }, ...options });
  if (failures.length > 0) throw failures[0]?.error;
}

async function faults(seed: number): Promise<void> {
  const { failures } = await runFaultSweep(clientSystem(LIFE), { seed, maxPairs: 40 });
  if (failures.length > 0) throw new Error(failures[0]);
}

/** One seed's worth of each lane, and how many seeds it may take until a mistake shows. */
const LANES: Readonly<Record<Lane, { readonly seeds: number; run(seed: number): Promise<void> }>> = {
  crash: { seeds: 8, run: (seed) => crash(seed, LIFE) },
  'crash with values': { seeds: 8, run: (seed) => crash(seed, LARGE_LIFE) },
  faults: { seeds: 30, run: faults },
  model: { seeds: 60, run: (seed) => runModel(seed, { steps: 150, keys: 30, longest: 1500 }, modelCounts) },
  'model with spills': {
    seeds: 60,
    run: (seed) => runModel(seed, { steps: 150, keys: 30, longest: 20_000 }, modelCounts),
  },
  schedules: { seeds: 60, run: (seed) => runQuietly(seed, clientCounts) },
  'failing disk': { seeds: 100, run: (seed) => runWithFailingDisk(seed, clientCounts) },
  'failed sync': { seeds: 60, run: failSync },
  bank: { seeds: 60, run: runBank },
};

/** The first seed under which the lane is red; undefined where it never is. */
async function firstRed(lane: Lane, seeds: number): Promise<{ seed: number; error: string } | undefined> {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      await LANES[lane].run(seed);
    } catch (error) {
      return { seed, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
  }
  return undefined;
}

describe('a planted mistake', () => {
  for (const bug of PLANTED_BUGS) {
    it(`is caught: ${bug.name} (${bug.lane})`, { timeout: 300_000 }, async () => {
      bug.plant(undo);
      const red = await firstRed(bug.lane, LANES[bug.lane].seeds);
      expect(red, `no seed of ${LANES[bug.lane].seeds} shows it`).toBeDefined();
      if (process.env.SOP_STORY !== undefined) console.log(`seed ${red?.seed}: ${red?.error.slice(0, 600)}`);
    });
  }
});

describe('without a mistake', () => {
  for (const lane of Object.keys(LANES) as Lane[]) {
    it(`the lane is green: ${lane}`, { timeout: 300_000 }, async () => {
      expect(await firstRed(lane, Math.ceil(LANES[lane].seeds / 30))).toBeUndefined();
    });
  }
});
