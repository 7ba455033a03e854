/** An engine with some commits behind it, and one thing that goes wrong with it. */
import { DiskFullError, OutcomeUnknownError, SopError } from '../../src/base/errors.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import type { SimulatedProcess } from '../../src/env/simulated-process.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import type { EngineApi } from '../../src/transaction/engine-api.ts';
import { drawCommit } from '../helpers/engine-model.ts';
import { Oracle, type OracleCommit, type OracleState } from './crash-oracle.ts';
import { commitOne, expectContentOf, expectPromises, type IssuedCommit, openSmall } from './engine-system.ts';

export interface Scene {
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
export async function onStage(
  sceneSeed: number,
  longest: number,
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
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

/** A sync of the log fails: the same engine goes on, and what it says then survives a power cut. */
export function failSync(sceneSeed: number): Promise<void> {
  return onStage(sceneSeed, 2000, async ({ world, engine, random, state, write }) => {
    const { epoch } = engine.stats();
    world.fail({ operation: 'sync', path: '/log/', error: 'EIO' });
    await Promise.all(Array.from({ length: 1 + random.below(6) }, write));
    if ((await write()) !== undefined) throw new Error('the engine does not go on');
    if (engine.stats().epoch <= epoch) throw new Error('the engine goes on in the epoch that failed');
    await expectPromises(engine, state());
    // What a failed sync left readable is not what is on the disk.
    world.crash({ data: 'lost', folders: 'lost', seed: 1 });
    await expectPromises(await openSmall(world.startProcess()), state());
  });
}

/** The locks of a living writer get lost and another process takes over: the old one is refused and leaves nothing behind. */
export function takeOver(sceneSeed: number): Promise<void> {
  return onStage(sceneSeed, 2000, async ({ world, engine, oracle, random, state, write }) => {
    world.loseLocks();
    const taker = await openSmall(world.startProcess());
    await expectPromises(taker, state());
    if (random.chance(0.5)) await commitOne(taker, drawCommit(500_000, random, 60, 2000), oracle);
    // Others have come and gone since: the names of their log files are free again.
    const isLongGone = random.chance(0.5);
    for (let i = 0; isLongGone && i < 3; i++) {
      await commitOne(taker, drawCommit(500_010 + i, random, 60, 2000), oracle);
      await taker.checkpoint();
    }
    // The one that was overtaken knows of nothing.
    if (isLongGone || random.chance(0.3)) await engine.checkpoint().catch(mustBeSopError);
    for (let i = 0; i < 1 + random.below(3); i++) {
      await write();
      // Refused, also as too old: what it would read may be reclaimed.
      if (state().commits.at(-1)?.outcome !== 'acknowledged') continue;
      throw new Error('a writer that was overtaken was told that its commit is in');
    }
    if (random.chance(0.5)) await engine.close().catch(mustBeSopError);
    await commitOne(taker, drawCommit(500_001, random, 60, 2000), oracle);
    await taker.checkpoint();
    await expectPromises(taker, state());
    world.crash({ data: 'torn', folders: 'prefix', seed: sceneSeed });
    await expectPromises(await openSmall(world.startProcess()), state());
  });
}

/** The log fails under a commit: of one that is unknown there is one answer, for ever. True where there was one. */
export async function askAboutUnknown(sceneSeed: number): Promise<boolean> {
  let isUnknown = false;
  await onStage(sceneSeed, 2000, async ({ world, process, engine, oracle, state, write }) => {
    const nth = 1 + (sceneSeed % 3);
    const times = Number.POSITIVE_INFINITY;
    world.fail({ operation: ['sync', 'write', 'read'], path: '/log/', nth, error: 'EIO', times });
    const ticket = state().commits.length;
    const error = await write();
    expectContentOf(engine, state());
    world.clearFaults();
    await engine.close().catch(mustBeSopError);
    if (!(error instanceof OutcomeUnknownError)) return;
    isUnknown = true;
    const again = await openSmall(process);
    const issued = state().commits[ticket] as OracleCommit<IssuedCommit>;
    const { transactionId } = issued.commit;
    const answer = await again.resolve(transactionId);
    if (answer === 'committed') oracle.acknowledged(issued.ticket);
    else oracle.refused(issued.ticket);
    await expectPromises(again, state());
    world.crash({ data: 'torn', folders: 'subset', seed: sceneSeed });
    const last = await openSmall(world.startProcess());
    await expectPromises(last, state());
    const later = await last.resolve(transactionId);
    if (later !== answer) throw new Error(`a commit was ${answer} and later ${later}`);
  });
  return isUnknown;
}

/** A disk fills up and has room again: the same engine refuses, reads on, and goes on. Answers how often it refused. */
export async function fillDisk(sceneSeed: number, longest: number): Promise<number> {
  let refusals = 0;
  await onStage(sceneSeed, longest, async ({ world, process, engine, random, state, write }) => {
    world.disk.capacityBytes = world.disk.usedBytes + random.below(60_000);
    for (let i = 0; i < 40; i++) {
      const error = random.chance(0.1) ? await engine.checkpoint().catch((e: unknown) => e) : await write();
      if (error === undefined) continue;
      if (!(error instanceof DiskFullError)) throw error;
      refusals++;
      expectContentOf(engine, state());
    }
    const open = engine.begin('write');
    open.put(100, Uint8Array.of(1), 0, 1, Uint8Array.of(0), 0, 1, undefined);
    open.rollback();
    world.disk.capacityBytes = Number.POSITIVE_INFINITY;
    await new Promise<void>((resolve) => process.timers.after(2500, resolve));
    for (let i = 0; i < 2; i++) {
      const error = await write();
      if (error !== undefined) throw error;
    }
    await engine.checkpoint();
    await engine.compact();
    await expectPromises(engine, state());
    world.crash({ data: 'lost', folders: 'lost', seed: 1 });
    await expectPromises(await openSmall(world.startProcess()), state());
  });
  return refusals;
}

function mustBeSopError(error: unknown): void {
  if (!(error instanceof SopError)) throw error;
}
