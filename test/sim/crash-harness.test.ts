/** The crash harness on a toy: the right one passes everywhere, and every mistake is caught, told and repeatable. */

import { describe, expect, test } from 'vitest';
import { describeReport, expectNoFailures, replayCrash, runCrashHarness } from './crash-harness.ts';
import { type ToyMistakes, toySystem } from './toy-log.ts';

const seed = Number(process.env.SOP_SEED ?? 11);
const runs = Number(process.env.SOP_RUNS ?? 1);

describe(`crash harness (seed ${seed})`, () => {
  test('a right log survives every crash point, every damage and a second crash in recovery', async () => {
    for (let i = 0; i < runs; i++) {
      const report = await runCrashHarness(toySystem(12), {
        seed: seed + i,
        randomDamages: 8,
        second: { chance: 0.3, maxPoints: 6, randomDamages: 2 },
      });
      expectNoFailures(report);
      expect(report.points).toBe(report.mutations + 1);
      expect(report.states, describeReport(report)).toBeGreaterThan(50);
      expect(report.secondStates, describeReport(report)).toBeGreaterThan(100);
    }
  });

  const mistakes: readonly (keyof ToyMistakes)[] = [
    'skipSync',
    'acknowledgeEarly',
    'skipFolderSync',
    'trustFolder',
    'skipChecksum',
    'skipRecoverySync',
  ];
  for (const mistake of mistakes) {
    test(`a log with the mistake "${mistake}" is caught, and the replay finds the same`, async () => {
      const system = toySystem(6, { [mistake]: true });
      const options = { seed, randomDamages: 8, second: { chance: 1, maxPoints: 20, randomDamages: 3 } };
      const report = await runCrashHarness(system, options);
      const failure = report.failures[0];
      if (failure === undefined) throw new Error(`not caught: ${describeReport(report)}`);
      expect(failure.story).toContain(`seed ${seed}`);
      expect(failure.story).not.toContain('NOT REPEATABLE');
      expect(failure.story).toMatch(/\/db\/log/);
      expect(() => expectNoFailures(report)).toThrow('Broken promise');
      const again = await replayCrash(system, options, failure.replay);
      expect(String(again?.error)).toBe(String(failure.error));
    });
  }

  test('a draw of points keeps the first few hundred states cheap and the end in', async () => {
    const report = await runCrashHarness(toySystem(60), { seed, maxPoints: 20, randomDamages: 2 });
    expectNoFailures(report);
    expect(report.points).toBeGreaterThanOrEqual(20);
    expect(report.points).toBeLessThanOrEqual(21);
    expect(report.mutations).toBeGreaterThan(100);
  });

  test('the same seed gives the same counts', async () => {
    const options = { seed, randomDamages: 4, second: { chance: 0.2 } };
    const first = await runCrashHarness(toySystem(8), options);
    expect(await runCrashHarness(toySystem(8), options)).toEqual(first);
  });

  test('a check that hangs is a failure, not a hang', async () => {
    const system = toySystem(2);
    const report = await runCrashHarness(
      {
        workload: system.workload,
        check: (env) => new Promise(() => spin(env.timers)),
      },
      { seed, maxSteps: 1000 },
    );
    expect(String(report.failures[0]?.error)).toContain('no end after 1000 steps');
  });
});

function spin(timers: { nextTurn(fn: () => void): void }): void {
  timers.nextTurn(() => spin(timers));
}
