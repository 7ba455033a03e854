/** All lanes that run by seeds. To add one, add its row; `scripts/lanes.mjs` says which of them CI runs, and when. */
import { runIndexes } from '../sim/index-run.ts';
import { runRedefine } from '../sim/redefine-run.ts';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { corruptionRound } from '../corruption/cases.ts';
import { runCrashRounds } from '../helpers/crash-rounds.ts';
import { fuzzRound } from '../fuzz/fuzz-round.ts';
import { temporaryFolder } from '../helpers/folders.ts';
import { runLiveCopies } from '../helpers/live-copy.ts';
import { LoopVolume, whyNoVolume } from '../helpers/loop-volume.ts';
import { runSoak } from '../helpers/soak.ts';
import { runHistory } from '../histories/history-run.ts';
import { clientSystem } from '../sim/engine-client.ts';
import { askAboutUnknown, failSync, fillDisk, takeOver } from '../sim/engine-scenes.ts';
import { noReadingCounts, readBeside } from '../sim/reading-scene.ts';
import { noOvertakenCounts, overtakeAmid } from '../sim/overtaken-scene.ts';
import { crashRound, type Life } from '../sim/engine-system.ts';
import { runFaultSweep, runFullDiskSweep } from '../sim/fault-sweep.ts';
import type { ClientCounts } from '../sim/list-clients.ts';
import { concurrentLife } from '../sim/mixed/mixed-concurrent.ts';
import { faultyLife, mixedLife } from '../sim/mixed/mixed-life.ts';
import { noCounts } from '../sim/mixed/mixed-run.ts';
import { type RunCounts, runModel, type RunOptions } from '../sim/model-run.ts';
import { runBank } from '../sim/bank-run.ts';
import { runQuietly, runWithFailingDisk, runWithPowerCuts } from '../sim/schedule-runs.ts';
import { treeLife } from '../unit/tree/tree-life.ts';
import type { Figures, LaneRow } from './lane-row.ts';

const SMALL_LIFE: Life = { steps: 14, keys: 40, longest: 3000 };
const LARGE_LIFE: Life = { steps: 20, keys: 200, longest: 80_000 };

async function crash(seed: number): Promise<Figures> {
  const { points, states, secondStates } = await crashRound(Math.floor(seed / 1000), seed % 1000, 30);
  return { points, states: states + secondStates };
}

async function faults(seed: number): Promise<Figures> {
  const system = clientSystem(seed % 4 === 3 ? LARGE_LIFE : SMALL_LIFE);
  const sweep =
    seed % 3 === 2
      ? await runFullDiskSweep(system, { seed, levels: 20 })
      : await runFaultSweep(system, { seed, maxPairs: 30 });
  if (sweep.failures.length > 0) throw new Error(`SOP_SEED=${seed}\n${sweep.failures.join('\n\n')}`);
  await failSync(seed);
  await takeOver(seed);
  for (let i = 0; i < 5; i++) await overtakeAmid(seed * 5 + i, noOvertakenCounts());
  await askAboutUnknown(seed);
  await fillDisk(seed, seed % 2 === 0 ? 2000 : 90_000);
  return { pairs: sweep.runs, states: sweep.states, scenes: 9 };
}

const MODEL_SHAPES: readonly RunOptions[] = [
  { steps: 120, keys: 12, longest: 500 },
  { steps: 120, keys: 12, longest: 500 },
  { steps: 120, keys: 60, longest: 20_000 },
  { steps: 120, keys: 12, longest: 500 },
  { steps: 120, keys: 12, longest: 500 },
  { steps: 120, keys: 60, longest: 20_000 },
  { steps: 400, keys: 400, longest: 4000 },
];

async function model(seed: number): Promise<Figures> {
  const counts: RunCounts = { steps: 0, commits: 0, refused: 0, tooOld: 0, spilled: 0, reopened: 0 };
  for (const [at, shape] of MODEL_SHAPES.entries()) await runModel(seed * MODEL_SHAPES.length + at, shape, counts);
  return { runs: MODEL_SHAPES.length, steps: counts.steps, commits: counts.commits };
}

async function mixed(seed: number): Promise<Figures> {
  const counts = noCounts();
  const runs = 10;
  for (let i = 0; i < runs; i++) await mixedLife(seed * runs + i, counts, { length: 120, tries: 300 });
  return { runs, calls: counts.calls, commits: counts.commits };
}

async function mixedFaults(seed: number): Promise<Figures> {
  const counts = noCounts();
  const runs = 10;
  for (let i = 1; i < runs; i++) await faultyLife(seed * runs + i, counts, { length: 120, tries: 300 });
  await runIndexes(seed, 60, { steps: 0, writes: 0, compared: 0, built: 0, refused: 0, kills: 0 }, true);
  return { runs, calls: counts.calls, commits: counts.commits, openings: counts.reopened };
}

async function mixedClients(seed: number): Promise<Figures> {
  const counts = noCounts();
  const runs = 10;
  for (let i = 0; i < runs; i++) await concurrentLife(seed * runs + i, counts);
  return { runs, calls: counts.calls, commits: counts.commits };
}

async function schedules(seed: number): Promise<Figures> {
  const counts: ClientCounts = { commits: 0, refused: 0, reads: 0, claims: 0 };
  const kinds = [runQuietly, runWithFailingDisk, runBank, runQuietly, runWithPowerCuts];
  for (const [at, run] of kinds.entries()) {
    const one = seed * kinds.length + at;
    try {
      await run(one, counts);
    } catch (error) {
      throw new Error(`${run.name}(${one}): ${error instanceof Error ? error.stack : String(error)}`);
    }
  }
  // As long as all the others together.
  const hasReaders = seed % 3 === 0;
  if (hasReaders) await readBeside(seed, noReadingCounts());
  return { schedules: kinds.length + (hasReaders ? 1 : 0), commits: counts.commits, claims: counts.claims };
}

async function indexes(seed: number): Promise<Figures> {
  const counts = { steps: 0, writes: 0, compared: 0, built: 0, refused: 0, kills: 0 };
  await runIndexes(seed, 60, counts);
  await runRedefine(seed, 60, { writes: 0, redefined: 0, aborted: 0, kills: 0, compared: 0 });
  return { runs: 2, compared: counts.compared };
}

async function trees(seed: number): Promise<Figures> {
  const lives = 50;
  for (let i = 0; i < lives; i++) await treeLife(seed * lives + i);
  return { lives };
}

/** Test files that repeat themselves by SOP_RUNS, as a round of `runs`. */
function vitest(files: readonly string[], scale: number, figures: Figures): (seed: number) => Promise<Figures> {
  return async (seed) => {
    const root = join(import.meta.dirname, '..', '..');
    const program = join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'run', '--reporter=dot', ...files], {
      cwd: root,
      env: { ...process.env, SOP_SEED: String(seed), SOP_RUNS: String(scale) },
      encoding: 'utf8',
      maxBuffer: 64 << 20,
    });
    if (status !== 0) throw new Error(`SOP_SEED=${seed} SOP_RUNS=${scale} ${files.join(' ')}\n${stdout}\n${stderr}`);
    return figures;
  };
}

async function kills(seed: number): Promise<Figures> {
  using folder = temporaryFolder('kill');
  const rounds = 15;
  const found = await runCrashRounds({ seed, rounds, folder: `${folder.path}/db`, crash: () => {}, outlived: false });
  return { kills: rounds, commits: found.acknowledged, unanswered: found.unansweredAbsent + found.unansweredWhole };
}

async function powerCuts(seed: number): Promise<Figures> {
  using volume = new LoopVolume(512 << 20);
  const rounds = 10;
  const found = await runCrashRounds({
    seed,
    rounds,
    folder: `${volume.path}/db`,
    crash: () => volume.cut(),
    recover: () => {
      volume.unmount();
      volume.mount();
    },
    outlived: true,
  });
  return { cuts: rounds, commits: found.acknowledged };
}

async function histories(seed: number): Promise<Figures> {
  const { committed, refused, kills: killed, edges } = await runHistory({ seed, transactions: 12_000 });
  return { transactions: committed, refused, kills: killed, edges };
}

async function liveCopies(seed: number): Promise<Figures> {
  const { copies, opened, refused, commits } = await runLiveCopies(seed, 10);
  return { copies, opened, refused, commits };
}

async function soak(seed: number): Promise<Figures> {
  const { seconds, ...counts } = await runSoak(seed, Number(process.env.SOP_SOAK_SECONDS ?? 180));
  return { seconds, ...counts };
}

export const LANES: readonly LaneRow[] = [
  {
    name: 'engine-crash',
    about: 'power cut after every operation of seeded lives, several damages each, second crashes in recovery',
    every: { points: 5000, states: 100_000 },
    demand: { points: 500_000, states: 20_000_000 },
    run: crash,
  },
  {
    name: 'engine-model',
    about: 'random runs of the engine beside a sequential model with versions',
    every: { runs: 8000 },
    demand: { runs: 700_000 },
    run: model,
  },
  {
    name: 'mixed',
    about: 'random programs of everything the public door offers, mixed, beside a model of maps',
    every: { runs: 20_000 },
    demand: { runs: 500_000 },
    run: mixed,
  },
  {
    name: 'mixed-clients',
    about:
      'several clients with such transactions at any interleaving; what committed is run again on a model, in its order',
    every: { runs: 5000 },
    demand: { runs: 200_000 },
    run: mixedClients,
  },
  {
    name: 'mixed-faults',
    about:
      'such programs, and runs of indexes, on a disk that refuses reads, writes, syncs and names, and is mended again',
    every: { runs: 5000 },
    demand: { runs: 200_000 },
    run: mixedFaults,
  },
  {
    name: 'engine-schedules',
    about:
      'interleavings of several clients of one engine, histories and sums checked; read-only openings beside a writer',
    every: { schedules: 20_000 },
    demand: { schedules: 2_000_000 },
    run: schedules,
  },
  {
    name: 'indexes',
    about: 'stores with indexes that come and go, and stores redefined to and fro, beside writers and kills',
    every: { runs: 2000 },
    demand: { runs: 200_000 },
    run: indexes,
  },
  {
    name: 'engine-faults',
    about:
      'each operation refused once or for ever with each error, disks that fill up, single failures looked at closely',
    every: { pairs: 5000 },
    demand: { pairs: 100_000 },
    run: faults,
  },
  {
    name: 'trees',
    about: 'short lives of trees against a sorted array',
    every: { lives: 8000 },
    demand: { lives: 700_000 },
    run: trees,
  },
  {
    name: 'tables',
    about: 'memory tables, write buffers, removals and layers against versioned sorted maps',
    every: { lives: 7000 },
    demand: { lives: 600_000 },
    run: vitest(['test/unit/storage'], 4, { lives: 2400 }),
    jobs: 1,
  },
  {
    name: 'histories',
    about: '64 clients of real processes killed with -9: what they saw, searched for cycles',
    every: { transactions: 100_000 },
    demand: { transactions: 5_000_000 },
    run: histories,
  },
  {
    name: 'corruption',
    about: 'damaged and forged databases: the right data or a typed error that names file and offset',
    every: { cases: 100_000 },
    demand: { cases: 5_000_000 },
    run: corruptionRound,
  },
  {
    name: 'fuzz',
    about: 'every decoder fed with bytes that are nearly right, led by coverage; a second is one of one decoder',
    every: { seconds: 208 },
    demand: { seconds: 190_000 },
    run: fuzzRound,
  },
  {
    name: 'kills',
    about: 'kill -9 amid commits, checkpoints and compaction, judged from outside the process',
    every: { kills: 300 },
    demand: { kills: 20_000 },
    run: kills,
  },
  {
    name: 'power-cuts',
    about: 'power cuts of a real ext4',
    every: { cuts: 50 },
    demand: { cuts: 1000 },
    run: powerCuts,
    jobs: 1,
    why: whyNoVolume,
  },
  {
    name: 'live-copies',
    about: 'cp -r of a database while it commits, checkpoints and compacts',
    every: { copies: 20 },
    demand: { copies: 500 },
    run: liveCopies,
  },
  {
    name: 'soak',
    about:
      'mixed load with a reader open all along; memory, descriptors, threads and files come back (SOP_SOAK_SECONDS a round)',
    every: { seconds: 180 },
    demand: { seconds: 7200 },
    run: soak,
    roundSeconds: 8000,
    jobs: 1,
    why: () => (process.platform === 'linux' ? undefined : 'needs Linux'),
  },
];

export function laneOf(name: string): LaneRow {
  const found = LANES.find((row) => row.name === name);
  if (found === undefined) throw new Error(`no lane ${name}; there are: ${LANES.map((row) => row.name).join(', ')}`);
  return found;
}
