/** An engine with some commits behind it, and one thing that goes wrong with it. */
import { OutcomeUnknownError, SopError } from '../../src/base/errors.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import type { SimulatedProcess } from '../../src/env/simulated-process.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import type { EngineApi } from '../../src/transaction/engine-api.ts';
import { drawCommit } from '../helpers/engine-model.ts';
import { Oracle, type OracleState } from './crash-oracle.ts';
import { commitOne, expectPromises, type IssuedCommit, openSmall } from './engine-system.ts';

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
