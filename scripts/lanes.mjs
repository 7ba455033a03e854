/**
 * The slower lanes that `.ci/run` adds to `npm test`, in the order they run. A lane is either
 *
 *   vitest: ['test/sim/crash.test.ts']   test files, run again with `env` (SOP_RUNS scales random ones), or
 *   node: ['test/lanes/kill.ts', '300']  a program (TypeScript too) that shows its progress and ends with 0.
 *
 * `seconds` is what the lane may take at most on two cores; it is stopped and counts as failed beyond it. Together they stay
 * well under forty minutes.
 */
export const lanes = [
  {
    name: 'trees',
    about: '20,000 short lives of trees against a sorted array',
    seconds: 400,
    vitest: ['test/unit/tree/small-trees.test.ts'],
    env: { SOP_RUNS: '50' },
  },
  {
    name: 'tables',
    about: 'memory tables, write buffers and layers against versioned sorted maps, 20,000 runs of the layers',
    seconds: 600,
    vitest: ['test/unit/storage'],
    env: { SOP_RUNS: '50' },
  },
  {
    name: 'engine-crash',
    about: '5,000 crash points and 100,000 states of the engine, second crashes included, on all cores',
    seconds: 900,
    node: ['test/lanes/engine-crash.ts', '5000', '100000'],
  },
  {
    name: 'engine-model',
    about: '20,000 random runs of the engine beside a sequential model with versions',
    seconds: 900,
    vitest: ['test/sim/engine-model.test.ts'],
    env: { SOP_RUNS: '96' },
  },
  {
    name: 'engine-faults',
    about: '5,000 pairs of operation and error, full disks, single failures looked at closely',
    seconds: 900,
    vitest: ['test/sim/engine-faults.test.ts'],
    env: { SOP_RUNS: '42' },
  },
  {
    name: 'engine-schedules',
    about: '20,000 interleavings of several clients of one engine, histories checked',
    seconds: 900,
    vitest: ['test/sim/engine-schedules.test.ts'],
    env: { SOP_RUNS: '47' },
  },
  {
    name: 'kills',
    about: '300 times kill -9 amid commits, checkpoints and compaction, judged from outside the process',
    seconds: 900,
    vitest: ['test/integration/kill-loop.test.ts'],
    env: { SOP_FULL: '1' },
  },
  {
    name: 'power-cuts',
    about: '50 power cuts of a real ext4 (root only)',
    seconds: 400,
    vitest: ['test/integration/power-cut.test.ts'],
    env: { SOP_FULL: '1' },
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
