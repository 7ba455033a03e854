/** The files contract on the real file system, through the native module; skipped by name where that is missing. */

import { existsSync, linkSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Env } from '../../src/env/env.ts';
import { fileSystemContract } from './file-system.contract.ts';

/** The environment, or why there is none. A build without the module must say so in the report, not pass silently. */
async function nativeEnv(): Promise<Env | string> {
  const home = new URL('../../src/env/node-env.ts', import.meta.url);
  if (!existsSync(home)) return 'src/env/node-env.ts is not there';
  try {
    const module = (await import(home.href)) as { nodeEnv: () => Env };
    const env = module.nodeEnv();
    return env.files.readOnly ? 'no native module for this platform' : env;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const found = await nativeEnv();
const reason = typeof found === 'string' ? found : undefined;

fileSystemContract(
  'native',
  async () => {
    if (typeof found === 'string') throw new Error(found);
    const folder = mkdtempSync(join(tmpdir(), 'sop-files-'));
    return { env: found, folder, cleanup: () => rmSync(folder, { recursive: true, force: true }) };
  },
  reason,
);

test.skipIf(typeof found === 'string')('a second name shows in the number of links', () => {
  if (typeof found === 'string') return;
  const folder = mkdtempSync(join(tmpdir(), 'sop-links-'));
  try {
    found.files.open(`${folder}/a`, { mode: 'create' }).close();
    linkSync(`${folder}/a`, `${folder}/b`);
    expect(found.files.status(`${folder}/a`)?.links).toBe(2);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
