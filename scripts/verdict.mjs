/**
 * Running the checks and counting what they say: every step ends in a tally `{ passed, failed, skipped }`, and where
 * something failed `failures`, a text for each.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run, seconds } from './process.mjs';
import { root, setupFolder } from './setup.mjs';

const reports = join(setupFolder, 'reports');
const tool = (path) => join(root, 'node_modules', path);

export const addUp = (tallies) =>
  tallies.reduce(
    (sum, tally) => ({
      passed: sum.passed + tally.passed,
      failed: sum.failed + tally.failed,
      skipped: sum.skipped + tally.skipped,
      failures: [...sum.failures, ...(tally.failures ?? [])],
    }),
    { passed: 0, failed: 0, skipped: 0, failures: [] },
  );

/** The part of a text that usually says what went wrong, in not more than 3,000 characters. */
export const endOf = (text) => text.slice(-3000).trim();

/** One line, alone, last: what CI reads. */
export function printTotal({ passed, failed, skipped }) {
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
}

/** A tool that only says yes or no counts as one test; its words are shown where it says no. */
async function yesOrNo(what, args) {
  const start = Date.now();
  const { code, output } = await run(process.execPath, args, { cwd: root, capture: true });
  if (code !== 0) console.error(output);
  console.log(`${what}: ${code === 0 ? 'good' : 'NOT GOOD'} (${seconds(start)})`);
  const failures = code === 0 ? [] : [`${what}\n${endOf(output)}`];
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0, failures };
}

export const runTypes = () => yesOrNo('types', [tool('typescript/bin/tsc'), '--noEmit', '-p', root]);

/** Warnings are shown by `npx biome check`, errors count. */
export const runLint = () =>
  yesOrNo('lint', [tool('@biomejs/biome/bin/biome'), 'check', '--diagnostic-level=error', '.']);

/** Formats every file and mends what the linter can mend; answers an exit code. */
export async function formatAll() {
  return (await run(process.execPath, [tool('@biomejs/biome/bin/biome'), 'check', '--write', '.'], { cwd: root })).code;
}

/** Runs vitest over the files that match `filters`; answers its numbers, read from its own report. */
export async function runVitest(name, filters, options = {}) {
  mkdirSync(reports, { recursive: true });
  const file = join(reports, `vitest-${name}.json`);
  rmSync(file, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const args = [tool('vitest/vitest.mjs'), 'run', '--passWithNoTests', ...reporters, ...filters];
  const { code, timedOut } = await run(process.execPath, args, { cwd: root, ...options });
  const tally = vitestTally(file, code);
  if (timedOut) say(tally, `${name}: stopped, it took longer than its time`);
  return tally;
}

function vitestTally(file, code) {
  const tally = { passed: 0, failed: 0, skipped: 0, failures: [] };
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    tally.passed = report.numPassedTests;
    tally.failed = report.numFailedTests;
    tally.skipped = report.numPendingTests + report.numTodoTests;
    // A file that did not even load has no failed test in it, and counts as one.
    tally.failed += report.testResults.filter((r) => r.status === 'failed' && !hasFailedTest(r)).length;
    tally.failures.push(...report.testResults.filter((r) => r.status === 'failed').map(failuresOf));
  } catch {
    say(tally, 'vitest left no report');
  }
  if (code !== 0 && tally.failed === 0) {
    tally.failed = 1;
    say(tally, `vitest ended with code ${code} although no test failed`);
  }
  return tally;
}

/** For what no test's own report has said. */
function say(tally, failure) {
  console.error(failure);
  tally.failures.push(failure);
}

function failuresOf({ name, message, assertionResults }) {
  const tests = assertionResults.filter((test) => test.status === 'failed');
  const texts = tests.map((test) => `${test.fullName}\n${test.failureMessages.join('\n').slice(0, 2000)}`);
  return [relative(root, name), message.slice(0, 2000), ...texts].filter((text) => text !== '').join('\n');
}

const hasFailedTest = (result) => result.assertionResults.some((test) => test.status === 'failed');

export function clearReports(name) {
  rmSync(join(reports, `${name}.json`), { force: true });
}

export function writeReport(name, tally) {
  mkdirSync(reports, { recursive: true });
  writeFileSync(join(reports, `${name}.json`), JSON.stringify(tally));
}

export function readReports(names) {
  return names.map((name) => {
    try {
      return JSON.parse(readFileSync(join(reports, `${name}.json`), 'utf8'));
    } catch {
      return { passed: 0, failed: 1, skipped: 0, failures: [`${name} did not come to its end`] };
    }
  });
}
