/**
 * The disk refuses the n-th operation, once or for ever, with each error; and it fills up, at every level. The engine says so
 * with a typed error and goes on where it can; what it acknowledged survives, what it refused is never seen, reads go on, and
 * the folder opens again.
 */
import { describe, expect, it } from 'vitest';
import { DiskFullError, OutcomeUnknownError, SopError } from '../../src/base/errors.ts';
import type { OracleCommit } from './crash-oracle.ts';
import { clientSystem } from './engine-client.ts';
import { failSync, onStage } from './engine-scenes.ts';
import { expectContentOf, expectPromises, type IssuedCommit, type Life, openSmall } from './engine-system.ts';
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
    for (let round = 0; round < rounds; round++) {
      await onStage(seed * 1000 + round, 2000, async ({ world, process, engine, oracle, state, write }) => {
        const nth = 1 + (round % 3);
        world.fail({
          operation: ['sync', 'write', 'read'],
          path: '/log/',
          nth,
          error: 'EIO',
          times: Number.POSITIVE_INFINITY,
        });
        const ticket = state().commits.length;
        const error = await write();
        expectContentOf(engine, state());
        world.clearFaults();
        await engine.close().catch(mustBeSopError);
        if (!(error instanceof OutcomeUnknownError)) return;
        unknown++;
        const again = await openSmall(process);
        const issued = state().commits[ticket] as OracleCommit<IssuedCommit>;
        const { transactionId } = issued.commit;
        const answer = await again.resolve(transactionId);
        if (answer === 'committed') oracle.acknowledged(issued.ticket);
        else oracle.refused(issued.ticket);
        await expectPromises(again, state());
        world.crash({ data: 'torn', folders: 'subset', seed: round });
        const last = await openSmall(world.startProcess());
        await expectPromises(last, state());
        expect(await last.resolve(transactionId)).toBe(answer);
      });
    }
    expect(unknown).toBeGreaterThan(0);
  });

  for (const [longest, what] of [
    [2000, 'small values'],
    [90_000, 'values in segments'],
  ] as const) {
    it(`goes on without a restart once a full disk has room again: ${what}`, { timeout: 600_000 }, async () => {
      let refusals = 0;
      for (let round = 0; round < rounds; round++) {
        await onStage(seed * 1000 + round, longest, async ({ world, process, engine, random, state, write }) => {
          world.disk.capacityBytes = world.disk.usedBytes + random.below(60_000);
          for (let i = 0; i < 40; i++) {
            const error = random.chance(0.1) ? await engine.checkpoint().catch((e: unknown) => e) : await write();
            if (error === undefined) continue;
            expect(error, String(error)).toBeInstanceOf(DiskFullError);
            refusals++;
            expectContentOf(engine, state());
          }
          const open = engine.begin('write');
          open.put(100, Uint8Array.of(1), 0, 1, Uint8Array.of(0), 0, 1, undefined);
          open.rollback();
          world.disk.capacityBytes = Number.POSITIVE_INFINITY;
          await new Promise<void>((resolve) => process.timers.after(2500, resolve));
          expect(await write()).toBeUndefined();
          expect(await write()).toBeUndefined();
          await engine.checkpoint();
          await engine.compact();
          await expectPromises(engine, state());
          world.crash({ data: 'lost', folders: 'lost', seed: 1 });
          await expectPromises(await openSmall(world.startProcess()), state());
        });
      }
      expect(refusals).toBeGreaterThan(0);
    });
  }
});

function mustBeSopError(error: unknown): void {
  if (!(error instanceof SopError)) throw error;
}
