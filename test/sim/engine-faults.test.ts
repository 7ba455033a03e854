/**
 * The disk refuses the n-th operation, once or for ever, with each error; and it fills up, at every level. The engine says so
 * with a typed error and goes on where it can; what it acknowledged survives, what it refused is never seen, reads go on, and
 * the folder opens again.
 */
import { describe, expect, it } from 'vitest';
import { DiskFullError, OutcomeUnknownError, SopError } from '../../src/base/errors.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import type { SimulatedProcess } from '../../src/env/simulated-process.ts';
import type { EngineApi } from '../../src/transaction/engine-api.ts';
import { drawCommit } from '../helpers/engine-model.ts';
import type { SystemUnderTest } from './crash-harness.ts';
import { Oracle, type OracleState } from './crash-oracle.ts';
import { EngineClient } from './engine-client.ts';
import { commitOne, engineSystem, expectContentOf, expectPromises, type IssuedCommit, type Life, openSmall } from './engine-system.ts';
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

interface Scene {
  readonly world: SimulatedWorld;
  readonly process: SimulatedProcess;
  readonly engine: EngineApi;
  readonly oracle: Oracle<IssuedCommit>;
  readonly random: SeededRandom;
  state(): OracleState<IssuedCommit>;
  /** One commit, told to the oracle; answers its error. */
  write(): Promise<SopError | undefined>;
}

/** An engine with some commits behind it. */
async function onStage(sceneSeed: number, longest: number, play: (scene: Scene) => Promise<void>): Promise<void> {
  const world = new SimulatedWorld(sceneSeed, { traceLength: 0 });
  const process = world.startProcess();
  const random = new SeededRandom(sceneSeed + 3);
  const oracle = new Oracle<IssuedCommit>(() => world.operationCount);
  let nextId = 1;
  await world.run(async () => {
    const engine = await openSmall(process);
    const write = async (): Promise<SopError | undefined> => {
      const ticket = oracle.stateAt(Number.POSITIVE_INFINITY).commits.length;
      try {
        await commitOne(engine, drawCommit(nextId++, random, 60, longest), oracle);
        return undefined;
      } catch (error) {
        if (!(error instanceof SopError)) throw error;
        if (!(error instanceof OutcomeUnknownError)) oracle.refused(ticket);
        return error;
      }
    };
    for (let i = 0; i < 12; i++) await write();
    const state = (): OracleState<IssuedCommit> => oracle.stateAt(Number.POSITIVE_INFINITY);
    await play({ world, process, engine, oracle, random, state, write });
  });
}

describe(`an engine that meets one failure (SOP_SEED=${seed})`, () => {
  const rounds = Math.ceil(20 * scale);

  it('goes on in a new epoch after a sync of the log that failed', async () => {
    for (let round = 0; round < rounds; round++) {
      await onStage(seed * 1000 + round, 2000, async ({ world, engine, random, state, write, process }) => {
        const { epoch } = engine.stats();
        world.fail({ operation: 'sync', path: '/log/', error: 'EIO' });
        await Promise.all(Array.from({ length: 1 + random.below(6) }, write));
        expect(await write()).toBeUndefined();
        expect(engine.stats().epoch).toBeGreaterThan(epoch);
        await expectPromises(engine, state());
        // What a failed sync left readable is not what is on the disk.
        world.crash({ data: 'lost', folders: 'lost', seed: 1 });
        expect(process.alive).toBe(false);
        await expectPromises(await openSmall(world.startProcess()), state());
      });
    }
  });

  it('gives one answer about a commit of which it had to say that it does not know', async () => {
    let unknown = 0;
    for (let round = 0; round < rounds; round++) {
      await onStage(seed * 1000 + round, 2000, async ({ world, process, engine, oracle, state, write }) => {
        const nth = 1 + (round % 3);
        world.fail({ operation: ['sync', 'write', 'read'], path: '/log/', nth, error: 'EIO', times: Number.POSITIVE_INFINITY });
        const ticket = state().commits.length;
        const error = await write();
        expectContentOf(engine, state());
        world.clearFaults();
        await engine.close().catch(mustBeSopError);
        if (!(error instanceof OutcomeUnknownError)) return;
        unknown++;
        const again = await openSmall(process);
        const issued = state().commits[ticket] as OracleState<IssuedCommit>['commits'][number];
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
    it(`goes on without a restart once a full disk has room again: ${what}`, async () => {
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
