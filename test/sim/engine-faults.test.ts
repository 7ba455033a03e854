/**
 * The disk refuses the n-th operation, once or for ever, with each error; and it fills up, at every level. The engine says so
 * with a typed error and goes on where it can; what it acknowledged survives, what it refused is never seen, reads go on, and
 * the folder opens again.
 */
import { describe, expect, it } from 'vitest';
import { clientSystem } from './engine-client.ts';
import { askAboutUnknown, failSync, fillDisk, takeOver } from './engine-scenes.ts';
import type { Life } from './engine-system.ts';
import { noOvertakenCounts, overtakeAmid } from './overtaken-scene.ts';
import { runFaultSweep, runFullDiskSweep, type SweepReport } from './fault-sweep.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const scale = Number(process.env.SOP_RUNS ?? 1);

const SMALL_LIFE: Life = { steps: 14, keys: 40, longest: 3000 };
const LARGE_LIFE: Life = { steps: 20, keys: 200, longest: 80_000 };

function expectWell(report: SweepReport): void {
  console.log(`seed ${report.seed}: ${report.operations} operations, ${report.runs} runs, ${report.states} states`);
  expect(report.failures.join('\n\n')).toBe('');
  expect(report.runs).toBeGreaterThan(0);
}

describe(`an engine on a disk that refuses things (SOP_SEED=${seed})`, () => {
  for (let round = 0; round < Math.ceil(4 * scale); round++) {
    it(`keeps its promises whatever is refused, round ${round}`, { timeout: 600_000 }, async () => {
      const system = clientSystem(round % 4 === 3 ? LARGE_LIFE : SMALL_LIFE);
      expectWell(await runFaultSweep(system, { seed: seed * 1000 + round, maxPairs: 30 }));
    });
  }

  for (let round = 0; round < Math.ceil(2 * scale); round++) {
    it(`keeps its promises on a disk that fills up, round ${round}`, { timeout: 600_000 }, async () => {
      const system = clientSystem(round % 2 === 1 ? LARGE_LIFE : SMALL_LIFE);
      expectWell(await runFullDiskSweep(system, { seed: seed * 1000 + 700 + round, levels: 20 }));
    });
  }
});

describe(`an engine that meets one failure (SOP_SEED=${seed})`, () => {
  const rounds = Math.ceil(20 * scale);

  it('goes on in a new epoch after a sync of the log that failed', { timeout: 600_000 }, async () => {
    for (let round = 0; round < rounds; round++) {
      await failSync(seed * 1000 + round);
    }
  });

  it('gives one answer about a commit of which it had to say that it does not know', { timeout: 600_000 }, async () => {
    let unknown = 0;
    for (let round = 0; round < rounds; round++) if (await askAboutUnknown(seed * 1000 + round)) unknown++;
    expect(unknown).toBeGreaterThan(0);
  });

  it('keeps its promises where another one opens its folder past a lost lock', { timeout: 600_000 }, async () => {
    for (let round = 0; round < rounds; round++) await takeOver(seed * 1000 + round);
    const counts = noOvertakenCounts();
    for (let round = 0; round < 4 * rounds; round++) await overtakeAmid(seed * 1000 + round, counts);
    expect(counts.taken).toBeGreaterThan(rounds);
    expect(counts.refused).toBeGreaterThan(rounds);
  });

  for (const [longest, what] of [
    [2000, 'small values'],
    [90_000, 'values in segments'],
  ] as const) {
    it(`goes on without a restart once a full disk has room again: ${what}`, { timeout: 600_000 }, async () => {
      let refusals = 0;
      for (let round = 0; round < rounds; round++) refusals += await fillDisk(seed * 1000 + round, longest);
      expect(refusals).toBeGreaterThan(0);
    });
  }
});
