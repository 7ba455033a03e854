/**
 * Errors everywhere: runs a workload again and again on a simulated disk, each time with another operation refused, once
 * or from then on, and has the system under test open what is left. A second sweep lets the disk fill up at every level.
 *
 *   expectNoSweepFailures(await runFaultSweep(system, { seed: 7, maxPairs: 500 }));
 *   expectNoSweepFailures(await runFullDiskSweep(system, { seed: 7, levels: 40 }));
 *
 * The workload may end well or with a `SopError`: anything else (an assertion, a TypeError, an endless wait) is a failure
 * of its own. What was acknowledged before, after or in spite of the fault must be found.
 */

import { SopError } from '../../src/base/errors.ts';
import type { Errno } from '../../src/env/io-error.ts';
import type { SimulatedDisk } from '../../src/env/simulated-disk.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { describeOperation, type Operation, type OperationKind } from '../../src/env/simulated-trace.ts';
import { applyDamage, describeDamage, drawDamages } from './crash-damage.ts';
import { type CheckOptions, describeState, mixSeeds, runCheck, type SystemUnderTest } from './crash-harness.ts';
import { Oracle, type OracleState } from './crash-oracle.ts';

export interface SweepOptions extends CheckOptions {
  /** Pairs of operation and error to try, drawn by seed where there are more. Default: all. */
  readonly maxPairs?: number;
  /** Damages drawn for each pair beside the plain ones. Default 1. */
  readonly randomDamages?: number;
  /** Gives up after so many failures. Default 1. */
  readonly maxFailures?: number;
}

export interface FullDiskOptions extends CheckOptions {
  /** Levels of fullness, spread evenly over what the workload needs. Default 20. */
  readonly levels?: number;
  readonly randomDamages?: number;
  readonly maxFailures?: number;
}

export interface SweepPair {
  /** Counted from 1 over all operations of the run. */
  readonly nth: number;
  readonly error: Errno;
  readonly forEver: boolean;
}

export interface SweepReport {
  readonly seed: number;
  operations: number;
  runs: number;
  states: number;
  readonly failures: string[];
}

const ALWAYS: readonly Errno[] = ['EIO', 'ESTALE', 'EACCES'];
const SPACE: readonly Errno[] = ['ENOSPC', 'EDQUOT'];
const NEEDS_SPACE: readonly OperationKind[] = [
  'create',
  'createFolder',
  'rename',
  'write',
  'sync',
  'syncFolder',
  'truncate',
  'allocate',
];
const ALL_OPERATIONS = 10_000_000;

export async function runFaultSweep<C>(system: SystemUnderTest<C>, options: SweepOptions): Promise<SweepReport> {
  const clean = await runWorkload(system, options, () => {});
  const report = newReport(options.seed, clean.world.operationCount);
  if (clean.error !== undefined) report.failures.push(`without any fault: ${describeError(clean.error)}`);
  for (const pair of drawPairs(clean.world.trace.entries, options)) {
    if (report.failures.length >= (options.maxFailures ?? 1)) break;
    await tryPair(system, options, pair, report);
  }
  return report;
}

/** Runs one pair again. */
export async function replayPair<C>(
  system: SystemUnderTest<C>,
  options: SweepOptions,
  pair: SweepPair,
): Promise<SweepReport> {
  const report = newReport(options.seed, 0);
  await tryPair(system, options, pair, report);
  return report;
}

export async function runFullDiskSweep<C>(system: SystemUnderTest<C>, options: FullDiskOptions): Promise<SweepReport> {
  const clean = await runWorkload(system, options, () => {});
  const report = newReport(options.seed, clean.world.operationCount);
  const levels = options.levels ?? 20;
  for (let level = 0; level < levels; level++) {
    if (report.failures.length >= (options.maxFailures ?? 1)) break;
    const capacityBytes = Math.floor((clean.peakBytes * level) / levels);
    const run = await runWorkload(system, options, (world) => {
      world.disk.capacityBytes = capacityBytes;
    });
    const title = `disk of ${capacityBytes} bytes`;
    run.world.disk.capacityBytes = Number.POSITIVE_INFINITY;
    await checkRun(system, options, run, title, mixSeeds(options.seed, capacityBytes), report);
  }
  return report;
}

export function expectNoSweepFailures(report: SweepReport): void {
  if (report.failures.length > 0) throw new Error(report.failures.join('\n\n'));
}

function newReport(seed: number, operations: number): SweepReport {
  return { seed, operations, runs: 0, states: 0, failures: [] };
}

function drawPairs(operations: readonly Operation[], options: SweepOptions): SweepPair[] {
  const pairs: SweepPair[] = [];
  for (const { index, kind } of operations) {
    for (const error of NEEDS_SPACE.includes(kind) ? [...ALWAYS, ...SPACE] : ALWAYS) {
      for (const forEver of [false, true]) pairs.push({ nth: index + 1, error, forEver });
    }
  }
  const wanted = options.maxPairs ?? pairs.length;
  const random = new SeededRandom(options.seed + 2);
  // A partial shuffle: the first `wanted` are a fair draw.
  for (let i = 0; i < Math.min(wanted, pairs.length); i++) {
    const other = i + random.below(pairs.length - i);
    [pairs[i], pairs[other]] = [pairs[other] as SweepPair, pairs[i] as SweepPair];
  }
  return pairs.slice(0, wanted);
}

interface WorkloadRun<C> {
  readonly world: SimulatedWorld;
  readonly state: OracleState<C>;
  readonly error: unknown;
  readonly peakBytes: number;
}

async function runWorkload<C>(
  system: SystemUnderTest<C>,
  options: CheckOptions,
  prepare: (world: SimulatedWorld) => void,
): Promise<WorkloadRun<C>> {
  const { seed } = options;
  const world = new SimulatedWorld(seed, { traceLength: ALL_OPERATIONS, ...options.world });
  world.scheduler.maxSteps = options.maxSteps ?? 1_000_000;
  let peakBytes = 0;
  world.onOperation = () => {
    if (world.disk.usedBytes > peakBytes) peakBytes = world.disk.usedBytes;
  };
  const process = world.startProcess();
  const oracle = new Oracle<C>(() => world.operationCount);
  prepare(world);
  let error: unknown;
  try {
    const context = { seed, random: new SeededRandom(seed + 1), world, process };
    await world.run(() => system.workload(process, oracle, context));
  } catch (caught) {
    error = caught;
  }
  world.onOperation = undefined;
  world.clearFaults();
  process.kill();
  return { world, state: oracle.stateAt(Number.POSITIVE_INFINITY), error, peakBytes };
}

async function tryPair<C>(
  system: SystemUnderTest<C>,
  options: SweepOptions,
  pair: SweepPair,
  report: SweepReport,
): Promise<void> {
  const { nth, error, forEver } = pair;
  const run = await runWorkload(system, options, (world) => {
    world.fail({ nth, error, times: forEver ? Number.POSITIVE_INFINITY : 1 });
  });
  const title = `${error} ${forEver ? 'from' : 'at'} operation #${nth - 1} (replay ${JSON.stringify(pair)})`;
  await checkRun(system, options, run, title, mixSeeds(options.seed, nth), report);
}

/** The run ended as it may, and every promise holds on the disk it left, whatever happens to the power then. */
async function checkRun<C>(
  system: SystemUnderTest<C>,
  options: SweepOptions,
  run: WorkloadRun<C>,
  title: string,
  seed: number,
  report: SweepReport,
): Promise<void> {
  report.runs++;
  const story = [`Seed ${options.seed}, ${title}`, run.world.trace.narrate(40)];
  if (run.error !== undefined && !(run.error instanceof SopError)) {
    report.failures.push([...story, `The workload ended with ${describeError(run.error)}`].join('\n'));
    return;
  }
  const disk: SimulatedDisk = run.world.snapshot();
  const random = new SeededRandom(seed);
  const seen = new Set<number>();
  for (const damage of drawDamages(disk, random, options.randomDamages ?? 1)) {
    const damaged = applyDamage(disk, damage);
    if (seen.has(damaged.signature)) continue;
    seen.add(damaged.signature);
    report.states++;
    const place = { operation: run.world.operationCount, damage };
    let checked: SimulatedWorld | undefined;
    const error = await runCheck(system, options, damaged.disk, run.state, place, 100, (world) => {
      checked = world;
    });
    if (error === undefined) continue;
    const ending = run.error === undefined ? 'well' : `with ${describeError(run.error)}`;
    const check = (checked?.trace.entries ?? []).map(describeOperation).join('\n');
    story.push(`The workload ended ${ending}. Then, ${describeDamage(damage)}.`, `The check:\n${check}`);
    story.push(`Promised: ${describeState(run.state)}`, describeError(error));
    report.failures.push(story.join('\n'));
    return;
  }
}

function describeError(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
