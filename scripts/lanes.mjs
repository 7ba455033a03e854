/**
 * The slower lanes that `.ci/run` adds to `npm test`, in the order they run. A lane is either
 *
 *   vitest: ['test/sim/crash.test.ts']       test files, run again with `env` (SOP_RUNS scales random ones), or
 *   node: ['test/lanes/run.ts', 'kills']     a program (TypeScript too) that shows its progress and ends with 0.
 *
 * Lanes that run by seeds have their rows, and their figures, in `test/lanes/registry.ts`; they use all cores.
 *
 * One that needs a single core may run `beside` another such lane: together they take two.
 *
 * Lanes begin with the same seed each time, so that a change is judged by itself; new seeds are what `npm run audit` is for, or
 * SOP_SEED.
 *
 * `seconds` is what the lane may take at most on two cores; it is stopped and counts as failed beyond it. Together they stay
 * well under forty minutes.
 */
const seed = process.env.SOP_SEED ?? '1';
const seeded = (name, seconds, about, ...more) => ({
  name,
  about,
  seconds,
  node: ['test/lanes/run.ts', name, '--seed', seed, ...more],
});

export const lanes = [
  seeded('trees', 300, '8,000 short lives of trees against a sorted array'),
  {
    name: 'tables',
    about: 'memory tables, write buffers and layers against versioned sorted maps, 7,000 lives of the layers',
    seconds: 600,
    vitest: ['test/unit/storage'],
    env: { SOP_RUNS: '12', SOP_SEED: seed },
  },
  seeded('engine-crash', 900, '5,000 crash points and 100,000 states of the engine, second crashes included'),
  seeded('engine-model', 900, '8,000 random runs of the engine beside a sequential model with versions'),
  seeded('engine-faults', 900, '5,000 pairs of operation and error, full disks, single failures looked at closely'),
  seeded('mixed', 600, '20,000 random programs of everything the public door offers, beside a model of maps'),
  seeded(
    'mixed-clients',
    600,
    '5,000 runs of several clients with such transactions, checked in the order of their commits',
  ),
  seeded('mixed-faults', 600, '5,000 of them on a disk that refuses things and is mended again'),
  seeded('engine-schedules', 900, '20,000 interleavings of several clients of one engine, histories checked'),
  seeded('indexes', 400, '2,000 random runs of indexes and redefinitions beside writers and kills'),
  seeded('histories', 600, '100,000 transactions of killed processes, searched for cycles'),
  seeded('fuzz', 500, 'every decoder for some 4 s, led by coverage (an hour each by npm run audit)', '--jobs', '1'),
  seeded('corruption', 700, '100,000 damaged and forged databases: the right data or an error that names the place'),
  {
    name: 'salvage',
    about: 'what is readable of 1,200 damaged databases, rescued: nothing invented, every loss named',
    seconds: 300,
    vitest: ['test/corruption/salvage.test.ts'],
    env: { SOP_RUNS: '10', SOP_SEED: seed },
  },
  {
    name: 'epoch-model',
    about: 'every state of the epoch order, to 1.7 M a shape; each rule switched off once',
    seconds: 400,
    vitest: ['test/model'],
    env: { SOP_FULL: '1' },
  },
  seeded('kills', 600, '300 times kill -9 amid commits, checkpoints and compaction, judged from outside the process'),
  seeded('live-copies', 300, '20 times cp -r of a database in use: a consistent prefix, or refused'),
  { ...seeded('soak', 600, 'three minutes of mixed load: everything that was taken comes back'), beside: 'fuzz' },
  seeded('power-cuts', 400, '50 power cuts of a real ext4 (root only)'),
  {
    name: 'planted',
    about: 'every planted mistake is caught by the lane it names',
    seconds: 900,
    node: ['test/lanes/planted.ts'],
  },
  {
    name: 'bounds',
    about:
      'memory under 5,000,000 records, ten rewrites of 200,000, 20,000 stores and the drop of a big one, 64 clients',
    seconds: 500,
    vitest: [
      'test/integration/memory-bounds.test.ts',
      'test/integration/rewrite.test.ts',
      'test/integration/many-stores.test.ts',
      'test/integration/many-clients.test.ts',
    ],
    env: { SOP_FULL: '1' },
  },
  {
    name: 'longest-commit',
    about: 'commits at a fixed rate while checkpoints run; figures to read',
    seconds: 200,
    node: ['test/lanes/longest-commit.ts', '500', '15', '500000'],
  },
];
