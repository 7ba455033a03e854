/** Runs mixed programs by seed; one that fails is made short before it is told. */
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import { drawProgram, type Program, showProgram, shrink } from './mixed-program.ts';
import { type MixedCounts, MixedRun, noCounts } from './mixed-run.ts';

interface Failure {
  readonly error: string;
  readonly story: readonly string[];
}

async function failureOf(seed: number, program: Program, counts: MixedCounts): Promise<Failure | undefined> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  world.scheduler.maxSteps = 4_000_000;
  const run = new MixedRun(world, counts);
  try {
    await world.run(() => run.all(program));
    return undefined;
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error), story: run.story };
  }
}

export interface LifeOptions {
  readonly length: number;
  /** How often a failing program is run again to make it shorter. */
  readonly tries: number;
}

/** One program of the seed. Throws with the shortest program found that fails, its error and its story. */
export async function mixedLife(seed: number, counts: MixedCounts, { length, tries }: LifeOptions): Promise<void> {
  const program = drawProgram(seed, length);
  const failure = await failureOf(seed, program, counts);
  if (failure === undefined) return;
  const fails = async (shorter: Program) => (await failureOf(seed, shorter, noCounts())) !== undefined;
  const shortest = await shrink(program, fails, tries);
  const last = (await failureOf(seed, shortest, noCounts())) ?? failure;
  throw new Error(
    `SOP_SEED=${seed}: ${last.error}\nof ${program.length} operations these fail:\n${showProgram(shortest)}\n${last.story.slice(-40).join('\n')}`,
  );
}
