/** The lanes as planted mistakes meet them: one seed's worth of each, and how many seeds it may take until a mistake shows. */
import { runHistory } from '../histories/history-run.ts';
import { treeLife } from '../unit/tree/tree-life.ts';
import { type CrashOptions, runCrashHarness } from './crash-harness.ts';
import { clientSystem } from './engine-client.ts';
import { failSync, takeOver } from './engine-scenes.ts';
import { engineSystem, type Life } from './engine-system.ts';
import { runFaultSweep } from './fault-sweep.ts';
import type { ClientCounts } from './list-clients.ts';
import { concurrentLife } from './mixed/mixed-concurrent.ts';
import { faultyLife, mixedLife } from './mixed/mixed-life.ts';
import { noCounts } from './mixed/mixed-run.ts';
import { type RunCounts, runModel } from './model-run.ts';
import { type Lane, PLANTED_BUGS, type PlantedBug, Undo } from './planted-bugs.ts';
import { noOvertakenCounts, overtakeAmid } from './overtaken-scene.ts';
import { runBank } from './bank-run.ts';
import { runQuietly, runWithFailingDisk } from './schedule-runs.ts';

const LIFE: Life = { steps: 20, keys: 40, longest: 3000 };
const BACKUP_LIFE: Life = { steps: 20, keys: 40, longest: 3000, favoursBackups: true };
const CLAIMING_LIFE: Life = { steps: 12, keys: 40, longest: 3000, favoursClaims: true };
const LARGE_LIFE: Life = { steps: 20, keys: 100, longest: 80_000 };

const clientCounts: ClientCounts = { commits: 0, refused: 0, reads: 0, claims: 0 };
const mixedCounts = noCounts();
const modelCounts: RunCounts = { steps: 0, commits: 0, refused: 0, tooOld: 0, spilled: 0, reopened: 0 };

async function crash(seed: number, life: Life): Promise<void> {
  const options: CrashOptions = { seed, maxPoints: 15, randomDamages: 3, second: { chance: 0.2, maxPoints: 3 } };
  const { failures } = await runCrashHarness(engineSystem(life), { world: { traceLength: 50 }, ...options });
  if (failures.length > 0) throw failures[0]?.error;
}

async function faults(seed: number): Promise<void> {
  const { failures } = await runFaultSweep(clientSystem(LIFE), { seed, maxPairs: 40 });
  if (failures.length > 0) throw new Error(failures[0]);
}

export interface PlantedLane {
  /** Its row in the registry: the lane of every run that this stands for. */
  readonly row: string;
  readonly seeds: number;
  run(seed: number, bug: PlantedBug | undefined): Promise<void>;
}

export const PLANTED_LANES: Readonly<Record<Lane, PlantedLane>> = {
  crash: { row: 'engine-crash', seeds: 60, run: (seed) => crash(seed, LIFE) },
  'crash with backups': { row: 'engine-crash', seeds: 60, run: (seed) => crash(seed, BACKUP_LIFE) },
  'crash with values': { row: 'engine-crash', seeds: 8, run: (seed) => crash(seed, LARGE_LIFE) },
  'crash with claims': { row: 'engine-crash', seeds: 30, run: (seed) => crash(seed, CLAIMING_LIFE) },
  faults: { row: 'engine-faults', seeds: 30, run: faults },
  model: {
    row: 'engine-model',
    seeds: 400,
    run: (seed) => runModel(seed, { steps: 150, keys: 30, longest: 1500 }, modelCounts),
  },
  'model with spills': {
    row: 'engine-model',
    seeds: 400,
    run: (seed) => runModel(seed, { steps: 150, keys: 30, longest: 20_000 }, modelCounts),
  },
  'model with values': {
    row: 'engine-model',
    seeds: 200,
    run: (seed) => runModel(seed, { steps: 150, keys: 20, longest: 150_000 }, modelCounts),
  },
  mixed: {
    row: 'mixed',
    seeds: 400,
    run: (seed) => mixedLife(seed, mixedCounts, { length: 120, tries: 0 }),
  },
  'mixed clients': { row: 'mixed-clients', seeds: 300, run: (seed) => concurrentLife(seed, mixedCounts) },
  'mixed with faults': {
    row: 'mixed-faults',
    seeds: 3000,
    run: (seed) => faultyLife(seed, mixedCounts, { length: 120, tries: 0 }),
  },
  schedules: { row: 'engine-schedules', seeds: 60, run: (seed) => runQuietly(seed, clientCounts) },
  'failing disk': { row: 'engine-schedules', seeds: 100, run: (seed) => runWithFailingDisk(seed, clientCounts) },
  'failed sync': { row: 'engine-faults', seeds: 60, run: failSync },
  bank: { row: 'engine-schedules', seeds: 60, run: (seed) => runBank(seed, clientCounts) },
  trees: {
    row: 'trees',
    seeds: 400,
    run: async (seed) => {
      for (let i = 0; i < 50; i++) await treeLife(seed * 50 + i);
    },
  },
  overtaken: { row: 'engine-faults', seeds: 300, run: (seed) => overtakeAmid(seed, noOvertakenCounts()) },
  zombie: { row: 'engine-faults', seeds: 30, run: takeOver },
  histories: {
    row: 'histories',
    seeds: 4,
    // The worker plants the mistake in itself.
    run: async (seed, bug) => {
      await runHistory({ seed, transactions: 3000, lifeMs: 700, ...(bug === undefined ? {} : { plant: bug.name }) });
    },
  },
};

export interface FirstRed {
  readonly seed: number;
  readonly error: string;
}

/** The first seed under which the lane is red; undefined where it never is. */
export async function firstRed(lane: Lane, seeds: number, bug?: PlantedBug): Promise<FirstRed | undefined> {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      await PLANTED_LANES[lane].run(seed, bug);
    } catch (error) {
      return { seed, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
  }
  return undefined;
}

/** Plants a mistake, runs its lane until it is red, and takes the mistake out again. */
export async function catchBug(bug: PlantedBug): Promise<FirstRed | undefined> {
  const undo = new Undo();
  try {
    bug.plant(undo);
    return await firstRed(bug.lane, PLANTED_LANES[bug.lane].seeds, bug);
  } finally {
    undo.all();
  }
}

export { PLANTED_BUGS };
