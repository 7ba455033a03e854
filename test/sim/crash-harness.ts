/**
 * Crash everywhere: runs a workload once on a simulated disk, keeps the disk as it was after every operation, then lets
 * the lights go out at each of these points in several ways and has the system under test open what is left.
 *
 *   const report = await runCrashHarness(system, { seed: 7, maxPoints: 500, randomDamages: 6, second: { chance: 0.1 } });
 *   expectNoFailures(report);
 *
 * A failure names seed, point and damage; `replayCrash(system, options, failure.replay)` runs just that one again.
 *
 * What makes it exact: the workload, the damage and the check are functions of the seed. A point lies after an operation
 * that changed the disk, and is checked against what was promised until the next such operation, which is the most that
 * can have been promised with this disk.
 */

import { SimulatedWorld, type SimulatedWorldOptions } from '../../src/env/simulated-env.ts';
import type { SimulatedDisk } from '../../src/env/simulated-disk.ts';
import type { SimulatedProcess } from '../../src/env/simulated-process.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { isMutation } from '../../src/env/simulated-trace.ts';
import type { Env } from '../../src/env/env.ts';
import { applyDamage, type Damage, describeDamage, drawDamages } from './crash-damage.ts';
import { Oracle, type OracleState } from './crash-oracle.ts';

export interface RunContext {
  readonly seed: number;
  /** Chance for the workload's own choices; the same in every run of this seed. */
  readonly random: SeededRandom;
  readonly world: SimulatedWorld;
  readonly process: SimulatedProcess;
}

export interface CheckContext<C> extends RunContext {
  /** Goes on from the state handed in: what the check commits, or sees, binds a second crash. */
  readonly oracle: Oracle<C>;
  readonly damage: Damage;
}

export interface SystemUnderTest<C> {
  /** Uses the engine and tells the oracle. Ends with the engine closed or not, as it likes. */
  workload(env: Env, oracle: Oracle<C>, context: RunContext): Promise<void>;
  /** Opens what the crash left and throws where a promise is broken. */
  check(env: Env, state: OracleState<C>, context: CheckContext<C>): Promise<void>;
}

export interface CheckOptions {
  readonly seed: number;
  readonly world?: Omit<SimulatedWorldOptions, 'disk'>;
  /** No run takes more scheduler steps: what does hangs. Default 1,000,000. */
  readonly maxSteps?: number;
}

export interface CrashOptions extends CheckOptions {
  /** Points to check, drawn by seed where there are more; the last one is always in. Default: all. */
  readonly maxPoints?: number;
  /** Damages drawn per point beside the plain ones. Default 4. */
  readonly randomDamages?: number;
  /** A second crash inside the check, for this part of the states. */
  readonly second?: SecondCrashOptions;
  /** Gives up after so many failures. Default 1. */
  readonly maxFailures?: number;
  /** Stops early, with what was done so far, once the real clock passed this. */
  readonly deadlineMs?: number;
}

export interface SecondCrashOptions {
  readonly chance: number;
  /** Points per state. Default 4. */
  readonly maxPoints?: number;
  /** Damages drawn per point beside the plain ones. Default 1. */
  readonly randomDamages?: number;
}

/** Names one state: enough to have it again. */
export interface CrashReplay {
  /** Operations that had taken effect. */
  readonly operation: number;
  readonly damage: Damage;
  readonly second?: { readonly operation: number; readonly damage: Damage };
}

export interface CrashFailure {
  readonly seed: number;
  readonly replay: CrashReplay;
  readonly error: unknown;
  /** The tale for people: what was done, what was lost, what the check did. */
  readonly story: string;
}

export interface CrashReport {
  readonly seed: number;
  /** Operations of the workload that changed the disk. */
  mutations: number;
  points: number;
  /** States checked; those of a second crash are counted apart. */
  states: number;
  secondStates: number;
  /** Damages skipped because they left the same disk as another. */
  duplicates: number;
  readonly failures: CrashFailure[];
}

interface CrashPoint<C> {
  readonly operation: number;
  readonly disk: SimulatedDisk;
  /** Index of the next operation that changes the disk. */
  until: number;
  readonly oracle: Oracle<C>;
}

interface Recording<C> {
  readonly points: CrashPoint<C>[];
  readonly mutations: number;
  readonly world: SimulatedWorld;
}

export async function runCrashHarness<C>(system: SystemUnderTest<C>, options: CrashOptions): Promise<CrashReport> {
  const report: CrashReport = {
    seed: options.seed,
    mutations: 0,
    points: 0,
    states: 0,
    secondStates: 0,
    duplicates: 0,
    failures: [],
  };
  const recording = await recordWorkload(system, options, options.maxPoints ?? Number.POSITIVE_INFINITY);
  report.mutations = recording.mutations;
  for (const point of recording.points) {
    if (isOver(report, options)) break;
    report.points++;
    await checkPoint(system, options, recording, point, report);
  }
  return report;
}

/** Runs one state again, with both traces kept. Answers the failure, or undefined where the check passes. */
export async function replayCrash<C>(
  system: SystemUnderTest<C>,
  options: CrashOptions,
  replay: CrashReplay,
): Promise<CrashFailure | undefined> {
  const recording = await recordWorkload(system, options, Number.POSITIVE_INFINITY, replay.operation);
  const point = recording.points.find((candidate) => candidate.operation === replay.operation);
  if (point === undefined) throw new Error(`no crash point after operation ${replay.operation} under this seed`);
  const state = point.oracle.stateAt(point.until);
  const first = { operation: point.operation, damage: replay.damage };
  const damaged = applyDamage(point.disk, replay.damage).disk;
  if (replay.second === undefined) {
    const error = await runCheck(system, options, damaged.fork(), state, first, 10_000);
    return error === undefined ? undefined : failureOf(system, options, recording, state, damaged, replay, error);
  }
  const inner = await recordCheck(system, options, damaged.fork(), state, first, Number.POSITIVE_INFINITY);
  const wanted = replay.second;
  const innerPoint = inner.points.find((candidate) => candidate.operation === wanted.operation);
  if (innerPoint === undefined) throw new Error(`no second crash point after operation ${wanted.operation}`);
  const innerState = innerPoint.oracle.stateAt(innerPoint.until);
  const twice = applyDamage(innerPoint.disk, wanted.damage).disk;
  const error = await runCheck(system, options, twice.fork(), innerState, wanted, 10_000);
  if (error === undefined) return undefined;
  return failureOf(system, options, recording, innerState, twice, replay, error, inner.world);
}

/** Throws with every story where there is a failure. */
export function expectNoFailures(report: CrashReport): void {
  if (report.failures.length === 0) return;
  throw new Error(report.failures.map((failure) => failure.story).join('\n\n'));
}

export function describeReport(report: CrashReport): string {
  const { seed, mutations, points, states, secondStates, duplicates, failures } = report;
  const counts = `${points} of ${mutations} points, ${states} + ${secondStates} states, ${duplicates} alike`;
  return `seed ${seed}: ${counts}, ${failures.length} failures`;
}

function isOver(report: CrashReport, options: CrashOptions): boolean {
  if (report.failures.length >= (options.maxFailures ?? 1)) return true;
  return options.deadlineMs !== undefined && Date.now() > options.deadlineMs;
}

async function recordWorkload<C>(
  system: SystemUnderTest<C>,
  options: CrashOptions,
  maxPoints: number,
  only?: number,
): Promise<Recording<C>> {
  const world = new SimulatedWorld(options.seed, options.world);
  const process = world.startProcess();
  const oracle = new Oracle<C>(() => world.operationCount);
  const recorder = new Recorder(world, oracle, maxPoints, only);
  const random = new SeededRandom(options.seed + 1);
  await world.run(() => system.workload(process, oracle, { seed: options.seed, random, world, process }));
  return recorder.finish();
}

/** Keeps the disk after each operation that changed it, or a fair draw of them. */
class Recorder<C> {
  readonly #world: SimulatedWorld;
  readonly #oracle: Oracle<C>;
  readonly #maxPoints: number;
  readonly #random: SeededRandom;
  #points: CrashPoint<C>[] = [];
  #last: CrashPoint<C>;
  #mutations = 0;

  constructor(world: SimulatedWorld, oracle: Oracle<C>, maxPoints: number, only?: number) {
    this.#world = world;
    this.#oracle = oracle;
    this.#maxPoints = maxPoints;
    this.#random = new SeededRandom(world.seed ^ 0x7e57);
    this.#last = this.#point();
    this.#points.push(this.#last);
    world.onOperation = (index, operation) => {
      if (!isMutation(operation.kind)) return;
      if (this.#last.until === Number.POSITIVE_INFINITY) this.#last.until = index;
      this.#mutations++;
      if (only === undefined || only === index + 1) this.#keep(this.#point());
    };
  }

  finish(): Recording<C> {
    this.#world.onOperation = undefined;
    if (!this.#points.includes(this.#last)) this.#points.push(this.#last);
    const points = this.#points.sort((a, b) => a.operation - b.operation);
    return { points, mutations: this.#mutations, world: this.#world };
  }

  #point(): CrashPoint<C> {
    const { operationCount } = this.#world;
    const disk = this.#world.snapshot();
    return { operation: operationCount, disk, until: Number.POSITIVE_INFINITY, oracle: this.#oracle };
  }

  /** Every point is in the draw with the same chance, however many come (reservoir sampling). */
  #keep(point: CrashPoint<C>): void {
    this.#last = point;
    if (this.#points.length < this.#maxPoints) {
      this.#points.push(point);
      return;
    }
    const at = this.#random.below(this.#mutations + 1);
    if (at < this.#maxPoints) this.#points[at] = point;
  }
}

async function checkPoint<C>(
  system: SystemUnderTest<C>,
  options: CrashOptions,
  recording: Recording<C>,
  point: CrashPoint<C>,
  report: CrashReport,
): Promise<void> {
  const random = new SeededRandom(mixSeeds(options.seed, point.operation));
  const state = point.oracle.stateAt(point.until);
  const seen = new Set<number>();
  for (const damage of drawDamages(point.disk, random, options.randomDamages ?? 4)) {
    if (isOver(report, options)) return;
    const { disk, signature } = applyDamage(point.disk, damage);
    if (seen.has(signature)) {
      report.duplicates++;
      continue;
    }
    seen.add(signature);
    report.states++;
    const replay: CrashReplay = { operation: point.operation, damage };
    const twice = options.second !== undefined && random.chance(options.second.chance);
    const error = await runCheck(system, options, twice ? disk.fork() : disk, state, replay, 0);
    if (error !== undefined) {
      const again = applyDamage(point.disk, damage).disk;
      report.failures.push(await failureOf(system, options, recording, state, again, replay, error));
    } else if (twice) {
      await checkSecond(system, options, recording, disk, state, replay, random, report);
    }
  }
}

/** Crashes again while the check opens, repairs and uses what the first crash left. */
async function checkSecond<C>(
  system: SystemUnderTest<C>,
  options: CrashOptions,
  recording: Recording<C>,
  disk: SimulatedDisk,
  state: OracleState<C>,
  first: CrashReplay,
  random: SeededRandom,
  report: CrashReport,
): Promise<void> {
  const { maxPoints = 4, randomDamages = 1 } = options.second as SecondCrashOptions;
  const inner = await recordCheck(system, options, disk, state, first, maxPoints);
  for (const point of inner.points) {
    const innerState = point.oracle.stateAt(point.until);
    const seen = new Set<number>();
    for (const damage of drawDamages(point.disk, random, randomDamages)) {
      if (isOver(report, options)) return;
      const { disk: twice, signature } = applyDamage(point.disk, damage);
      if (seen.has(signature)) continue;
      seen.add(signature);
      report.secondStates++;
      const second = { operation: point.operation, damage };
      const error = await runCheck(system, options, twice, innerState, second, 0);
      if (error === undefined) continue;
      const again = applyDamage(point.disk, damage).disk;
      const replay = { ...first, second };
      report.failures.push(await failureOf(system, options, recording, innerState, again, replay, error, inner.world));
    }
  }
}

export interface CheckPlace {
  readonly operation: number;
  readonly damage: Damage;
}

/** Runs the check on `disk`, which it takes over; answers what it threw. */
export async function runCheck<C>(
  system: SystemUnderTest<C>,
  options: CheckOptions,
  disk: SimulatedDisk,
  state: OracleState<C>,
  place: CheckPlace,
  traceLength: number,
  withWorld?: (world: SimulatedWorld, oracle: Oracle<C>) => void,
): Promise<unknown> {
  // The check after a second crash must not draw what the first one drew, such as the name of its writer.
  const commits = state.commits.length;
  const seed = mixSeeds(
    options.seed,
    place.operation,
    place.damage.kind === 'kill' ? 1 : place.damage.seed + 2,
    commits,
  );
  const world = new SimulatedWorld(seed, { ...options.world, disk, traceLength });
  world.scheduler.maxSteps = options.maxSteps ?? 1_000_000;
  const process = world.startProcess();
  const oracle = new Oracle<C>(() => world.operationCount, state);
  withWorld?.(world, oracle);
  const context = { seed, random: new SeededRandom(seed), world, process, oracle, damage: place.damage };
  try {
    await world.run(() => system.check(process, state, context));
    return undefined;
  } catch (error) {
    return error ?? new Error('the check threw nothing');
  }
}

async function recordCheck<C>(
  system: SystemUnderTest<C>,
  options: CrashOptions,
  disk: SimulatedDisk,
  state: OracleState<C>,
  place: CheckPlace,
  maxPoints: number,
): Promise<Recording<C>> {
  let recorder: Recorder<C> | undefined;
  const error = await runCheck(system, options, disk, state, place, 1000, (world, oracle) => {
    recorder = new Recorder(world, oracle, maxPoints);
  });
  if (error !== undefined) throw new Error('a check that passed once fails when repeated', { cause: error });
  return (recorder as Recorder<C>).finish();
}

/** Has the failed check once more, with its trace, for the story. */
async function failureOf<C>(
  system: SystemUnderTest<C>,
  options: CrashOptions,
  recording: Recording<C>,
  state: OracleState<C>,
  disk: SimulatedDisk,
  replay: CrashReplay,
  error: unknown,
  between?: SimulatedWorld,
): Promise<CrashFailure> {
  let checkWorld: SimulatedWorld | undefined;
  const again = await runCheck(system, options, disk, state, replay.second ?? replay, 10_000, (world) => {
    checkWorld = world;
  });
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const lines = [
    `Broken promise under seed ${options.seed} (replay ${JSON.stringify(replay)})`,
    `The workload, before the crash:\n${recording.world.trace.narrate(40, replay.operation)}`,
    `Then, ${describeDamage(replay.damage)}.`,
  ];
  if (replay.second !== undefined && between !== undefined) {
    lines.push(`Recovery:\n${between.trace.narrate(40, replay.second.operation)}`);
    lines.push(`Then again, ${describeDamage(replay.second.damage)}.`);
  }
  lines.push(`The check:\n${checkWorld?.trace.narrate(40) ?? ''}`);
  lines.push(`Promised: ${describeState(state)}`);
  if (again === undefined) lines.push('NOT REPEATABLE: the same state passed when checked again.');
  lines.push(reason);
  return { seed: options.seed, replay, error, story: lines.join('\n') };
}

export function describeState<C>(state: OracleState<C>): string {
  const counts = { started: 0, prepared: 0, committing: 0, aborting: 0, acknowledged: 0, refused: 0 };
  for (const commit of state.commits) counts[commit.outcome]++;
  return `${counts.acknowledged} acknowledged, ${counts.started} under way, ${counts.refused} refused`;
}

export function mixSeeds(...seeds: number[]): number {
  let mixed = 0x9e3779b9;
  for (const seed of seeds) {
    mixed = Math.imul(mixed ^ (seed | 0) ^ Math.floor(seed / 0x1_0000_0000), 0x85ebca6b);
    mixed = (mixed ^ (mixed >>> 13)) >>> 0;
  }
  return mixed;
}
