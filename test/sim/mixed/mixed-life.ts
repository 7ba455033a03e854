/** Runs mixed programs by seed; one that fails is made short before it is told. */
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import { drawFaultyProgram, FaultyRun } from './mixed-faults.ts';
import { drawProgram, type Program, showProgram, shrink } from './mixed-program.ts';
import { type MixedCounts, MixedRun, noCounts } from './mixed-run.ts';

interface Failure {
  readonly error: string;
  readonly story: readonly string[];
}

type Runner = new (world: SimulatedWorld, counts: MixedCounts) => MixedRun;

async function failureOf(
  Run: Runner,
  seed: number,
  program: Program,
  counts: MixedCounts,
): Promise<Failure | undefined> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  world.scheduler.maxSteps = 4_000_000;
  const run = new Run(world, counts);
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
export function mixedLife(seed: number, counts: MixedCounts, options: LifeOptions): Promise<void> {
  return lifeOf(MixedRun, seed, drawProgram(seed, options.length), counts, options.tries);
}

/** The same on a disk that refuses things now and then. */
export function faultyLife(seed: number, counts: MixedCounts, options: LifeOptions): Promise<void> {
  return lifeOf(FaultyRun, seed, drawFaultyProgram(seed, options.length), counts, options.tries);
}

async function lifeOf(Run: Runner, seed: number, program: Program, counts: MixedCounts, tries: number): Promise<void> {
  const failure = await failureOf(Run, seed, program, counts);
  if (failure === undefined) return;
  const fails = async (shorter: Program) => (await failureOf(Run, seed, shorter, noCounts())) !== undefined;
  const shortest = await shrink(program, fails, tries);
  const last = (await failureOf(Run, seed, shortest, noCounts())) ?? failure;
  throw new Error(
    `SOP_SEED=${seed}: ${last.error}\nof ${program.length} operations these fail:\n${showProgram(shortest)}\n${last.story.slice(-40).join('\n')}`,
  );
}
