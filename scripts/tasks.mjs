/**
 * What the npm scripts do once set-up is through. A task answers its exit code; `needs` names the parts of set-up it
 * rests on (all by default).
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { lanes } from './lanes.mjs';
import { run, Stop, seconds } from './process.mjs';
import { root } from './setup.mjs';
import {
  addUp,
  clearReports,
  endOf,
  formatAll,
  printTotal,
  readReports,
  runLint,
  runTypes,
  runVitest,
  writeReport,
} from './verdict.mjs';

/** Node takes TypeScript files as they are from 22.18 and 23.6 on; before, a flag says so. */
export function typeScriptFlags() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const stripsTypes = major > 23 || (major === 23 && minor >= 6) || (major === 22 && minor >= 18);
  return stripsTypes ? [] : ['--experimental-strip-types', '--disable-warning=ExperimentalWarning'];
}

async function runNode(file, args = [], options = {}) {
  if (!existsSync(join(root, file))) throw new Stop(`${file} is not there yet.`);
  return run(process.execPath, [...typeScriptFlags(), join(root, file), ...args], { cwd: root, ...options });
}

const exitCode = (tally) => (tally.failed > 0 ? 1 : 0);

/** `npm start`: the tour on real data. */
const start = {
  run: async (args) => (await runNode('examples/tour/main.ts', args)).code,
};

/** `npm test`: everything, lanes at their short size; with arguments, only the test files that match them. */
const test = {
  run: async (args) => {
    clearReports('test');
    if (args.length > 0) {
      const only = await runVitest('test', args);
      printTotal(only);
      return exitCode(only);
    }
    const [types, lint] = await Promise.all([runTypes(), runLint()]);
    const total = addUp([types, lint, await runVitest('test', [])]);
    writeReport('test', total);
    printTotal(total);
    return exitCode(total);
  },
};

/** `npm run check`: what one runs before every commit; seconds. */
const check = {
  run: async () => {
    const [types, lint, unit] = await Promise.all([
      runTypes(),
      runLint(),
      runVitest('check', ['test/tidy', 'test/unit']),
    ]);
    const total = addUp([types, lint, unit]);
    printTotal(total);
    return exitCode(total);
  },
};

/** The slower lanes (`.ci/run`), all or those named. */
const laneTask = {
  run: async (names) => {
    const unknown = names.filter((name) => !lanes.some((lane) => lane.name === name));
    if (unknown.length > 0)
      throw new Stop(`no lane ${unknown.join(', ')}; there are: ${lanes.map((l) => l.name).join(', ')}`, 2);
    const chosen = names.length > 0 ? lanes.filter((lane) => names.includes(lane.name)) : lanes;
    const tallies = [];
    const isBeside = (lane) => chosen.some((other) => other.name === lane.beside);
    for (const lane of chosen.filter((one) => !isBeside(one))) {
      const together = [lane, ...chosen.filter((one) => one.beside === lane.name)];
      tallies.push(...(await Promise.all(together.map(runLane))));
    }
    const total = addUp(tallies);
    writeReport('lanes', total);
    printTotal(total);
    return exitCode(total);
  },
};

async function runLane(lane) {
  console.log(`\nlane ${lane.name}: ${lane.about} (at most ${lane.seconds} s)`);
  const began = Date.now();
  const options = { env: { ...process.env, ...lane.env }, timeoutMs: lane.seconds * 1000 };
  const tally = lane.vitest
    ? await runVitest(`lane-${lane.name}`, lane.vitest, options)
    : await runScriptLane(lane, options);
  console.log(`lane ${lane.name}: ${tally.failed > 0 ? 'FAILED' : 'passed'} (${seconds(began)})`);
  return tally;
}

async function runScriptLane(lane, options) {
  const [file, ...args] = lane.node;
  const { code, timedOut, output } = await runNode(file, args, { ...options, keepEnd: true });
  if (code === 0) return { passed: 1, failed: 0, skipped: 0 };
  const why = timedOut ? `stopped, it took longer than ${lane.seconds} s` : `ended with code ${code}`;
  console.error(`lane ${lane.name}: ${why}`);
  return { passed: 0, failed: 1, skipped: 0, failures: [`lane ${lane.name} ${why}\n${endOf(output)}`] };
}

/**
 * The last word of `.ci/run`: the sum of what the named runs reported; a run that left no report counts as failed. What
 * failed is said once more here: of a log of forty minutes people are shown the end.
 */
const total = {
  needs: [],
  run: (names) => {
    const sum = addUp(readReports(names));
    for (const failure of sum.failures) console.log(`\nFAILED: ${failure}`);
    printTotal(sum);
    return exitCode(sum);
  },
};

/** `npm run bench -- quick ...`: SOP beside its peers, measured as what is shipped. */
const bench = {
  needs: ['dependencies', 'native', 'bench'],
  run: async (args) => {
    if (existsSync(join(root, 'src', 'index.ts'))) await (await import('./bundle.mjs')).bundle();
    return (await runNode('bench/run.mjs', args)).code;
  },
};

/** `npm run audit -- engine-crash --for 10m`: the large figures of the lanes, resumable. */
const audit = { run: async (args) => (await runNode('test/lanes/audit.ts', args)).code };

/** `npm run planted`: which lane catches which planted mistake, and how fast. */
const planted = { run: async (args) => (await runNode('test/lanes/planted.ts', args)).code };

/** `npm run docs`: the reference of every public name, into docs/api; a name without a docstring fails. */
const docs = {
  needs: ['dependencies'],
  run: async () => (await runNode('node_modules/typedoc/bin/typedoc')).code,
};

const script = (file) => ({ run: async (args) => (await runNode(file, args)).code });

export const tasks = {
  start,
  test,
  check,
  lanes: laneTask,
  audit,
  planted,
  docs,
  total,
  setup: { run: () => 0 },
  build: { ...script('scripts/bundle.mjs'), needs: ['dependencies'] },
  prebuilds: { ...script('scripts/build-prebuilds.mjs'), needs: ['dependencies'] },
  prepack: { run: async () => (await import('./package.mjs')).prepare() },
  'pack-check': { run: async () => exitCode(await runVitest('pack-check', ['test/integration/package.test.ts'])) },
  format: { needs: ['dependencies'], run: () => formatAll() },
  bench,
};
