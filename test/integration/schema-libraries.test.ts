/** zod, valibot and arktype, used as a program would use them: their types are inferred, and what they refuse is refused. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const folder = join(import.meta.dirname, 'schema-libraries');
const isInstalled = ['zod', 'valibot', 'arktype'].every((name) => existsSync(join(root, 'node_modules', name)));

test.skipIf(!isInstalled)('a program with all three of them runs', { timeout: 60_000 }, async () => {
  const args = ['--experimental-strip-types', '--no-warnings', join(folder, 'program.ts')];
  const { stdout } = await run(process.execPath, args, { cwd: root });
  expect(stdout).toContain('all as it should be');
});

test.skipIf(!isInstalled)('and compiles, but for what is wrong in it', { timeout: 120_000 }, async () => {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  await run(process.execPath, [tsc, '-p', folder], { cwd: root });
});
