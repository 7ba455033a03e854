/**
 * The disk refuses the n-th operation, once or for ever, with each error; and it fills up, at every level. The engine says so
 * with a typed error and goes on where it can; what it acknowledged survives, what it refused is never seen, reads go on, and
 * the folder opens again.
 */
import { describe, expect, it } from 'vitest';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import type { SystemUnderTest } from './crash-harness.ts';
import { EngineClient } from './engine-client.ts';
import { engineSystem, type IssuedCommit, type Life } from './engine-system.ts';
import { runFaultSweep, runFullDiskSweep, type SweepReport } from './fault-sweep.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const scale = Number(process.env.SOP_RUNS ?? 1);

const SMALL_LIFE: Life = { steps: 14, keys: 40, longest: 3000 };
const LARGE_LIFE: Life = { steps: 20, keys: 200, longest: 80_000 };

function clientSystem(life: Life): SystemUnderTest<IssuedCommit> {
  return {
    ...engineSystem(life),
    async workload(env, oracle, { random, world }) {
      await new EngineClient({ env, oracle, random, life, world }).live();
    },
  };
}

function expectWell(report: SweepReport): void {
  console.log(`seed ${report.seed}: ${report.operations} operations, ${report.runs} runs, ${report.states} states`);
  expect(report.failures.join('\n\n')).toBe('');
  expect(report.runs).toBeGreaterThan(0);
}

describe(`an engine on a disk that refuses things (SOP_SEED=${seed})`, () => {
  for (let round = 0; round < Math.ceil(4 * scale); round++) {
    it(`keeps its promises whatever is refused, round ${round}`, { timeout: 600_000 }, async () => {
      const system = clientSystem(round % 4 === 3 ? LARGE_LIFE : SMALL_LIFE);
      expectWell(await runFaultSweep(system, { seed: seed * 1000 + round, maxPairs: 60 }));
    });
  }

  for (let round = 0; round < Math.ceil(2 * scale); round++) {
    it(`keeps its promises on a disk that fills up, round ${round}`, { timeout: 600_000 }, async () => {
      const system = clientSystem(round % 2 === 1 ? LARGE_LIFE : SMALL_LIFE);
      expectWell(await runFullDiskSweep(system, { seed: seed * 1000 + 700 + round, levels: 20 }));
    });
  }
});
