/** The sweeps on the toy: refusals and full disks break no promise of a right log, and a retried sync is caught. */

import { describe, expect, test } from 'vitest';
import { expectNoSweepFailures, replayPair, runFaultSweep, runFullDiskSweep } from './fault-sweep.ts';
import { toySystem } from './toy-log.ts';

const seed = Number(process.env.SOP_SEED ?? 21);

describe(`fault sweeps (seed ${seed})`, () => {
  test('a right log survives every error at every operation', async () => {
    const report = await runFaultSweep(toySystem(6), { seed });
    expectNoSweepFailures(report);
    expect(report.runs).toBeGreaterThan(100);
    expect(report.states).toBeGreaterThanOrEqual(report.runs);
  });

  test('a log that tries a failed sync again is caught, and the pair can be had again', async () => {
    const system = toySystem(6, { retrySync: true });
    // What a failed sync loses is drawn: not every seed loses something that the retry then vouches for.
    let report = await runFaultSweep(system, { seed });
    for (let other = seed + 1; report.failures.length === 0 && other < seed + 30; other++) {
      report = await runFaultSweep(system, { seed: other });
    }
    expect(report.failures[0]).toContain('lost');
    const pair = /replay (\{[^}]*\})/.exec(report.failures[0] as string)?.[1] as string;
    const again = await replayPair(system, { seed: report.seed }, JSON.parse(pair) as never);
    expect(again.failures[0]).toBe(report.failures[0]);
  });

  test('a programming error set off by a refusal is a failure', async () => {
    const right = toySystem(3);
    const report = await runFaultSweep(
      {
        check: right.check,
        workload: async (env, oracle, context) => {
          try {
            await right.workload(env, oracle, context);
          } catch {
            throw new TypeError('handled badly');
          }
        },
      },
      { seed, maxPairs: 20 },
    );
    expect(report.failures[0]).toContain('handled badly');
  });

  test('a right log survives a disk that fills up at any level', async () => {
    const report = await runFullDiskSweep(toySystem(8), { seed, levels: 20 });
    expectNoSweepFailures(report);
    expect(report.runs).toBe(20);
  });
});
