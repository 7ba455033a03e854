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
];
