/** The module's life in a process: worker threads, an end with work under way, and how it is found. */

import { execFileSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { hasNativeModule } from '../../../src/env/node-env.ts';
import { startProgram, temporaryFolder } from '../../helpers/native.ts';

const native = hasNativeModule();
const HOME = new URL('../../../src/env/', import.meta.url);

test.skipIf(!native)(
  'a process that ends with work under way ends with its own code',
  async () => {
    for (let round = 0; round < 3; round++) {
      using folder = temporaryFolder();
      const program = startProgram('exit-with-pending', `${folder.path}/a`);
      expect(await program.ended).toEqual({ code: 7, signal: null });
    }
  },
  60_000,
);

test.skipIf(!native)(
  'a worker thread torn down with work under way leaves the process alone',
  async () => {
    using folder = temporaryFolder();
    const program = startProgram('terminate-with-pending', `${folder.path}/a`);
    expect(await program.ended).toEqual({ code: 0, signal: null });
    expect(await program.output).toBe('alive\n');
  },
  60_000,
);

test.skipIf(!native)('several worker threads use the module at once, and their locks conflict', async () => {
  using folder = temporaryFolder();
  const code = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { nodeEnv } = await import(workerData.home);
    const { files } = nodeEnv();
    const lock = files.open(workerData.folder + '/lock', { mode: 'write' });
    const log = files.open(workerData.folder + '/log' + workerData.number, { mode: 'create' });
    const answers = await Promise.all([2, 3, 4].map((at) => log.append(files.allocate(4096), 4096, at * 4096, 4096)));
    parentPort.postMessage({ locked: lock.tryLock('exclusive', 0), answers });
    await new Promise((resolve) => parentPort.once('message', resolve));
  `;
  execFileSync('touch', [`${folder.path}/lock`]);
  const home = new URL('node-env.ts', HOME).href;
  const workers = [0, 1, 2, 3].map(
    (number) =>
      new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
        workerData: { home, folder: folder.path, number },
      }),
  );
  const said = await Promise.all(
    workers.map(
      (worker) =>
        new Promise<{ locked: boolean; answers: boolean[] }>((resolve, reject) => {
          worker.once('message', resolve).once('error', reject);
        }),
    ),
  );
  expect(said.filter((one) => one.locked).length).toBe(1);
  for (const one of said) expect(one.answers).toEqual([true, true, true]);
  await Promise.all(workers.map((worker) => worker.terminate()));
});

function inProcess(code: string, environment: Record<string, string>): string {
  const args = ['--no-warnings', '--experimental-strip-types', '--input-type=module', '-e', code];
  return execFileSync(process.execPath, args, { env: { ...process.env, ...environment }, encoding: 'utf8' }).trim();
}

const TRY = `
  const { nodeEnv } = await import(${JSON.stringify(new URL('node-env.ts', HOME).href)});
  try { console.log(nodeEnv().files.readOnly); } catch (error) { console.log(error.code, error.message); }
`;

test('switched off, or named wrongly, the module is missing with a message that helps', () => {
  for (const SOP_NATIVE of ['off', '/nowhere/sop.node']) {
    const said = inProcess(TRY, { SOP_NATIVE });
    expect(said).toContain('NATIVE_MISSING');
    expect(said).toContain(`${process.platform}-${process.arch}`);
  }
});

test.skipIf(!native)('a binary is taken from where the environment says', () => {
  expect(inProcess(TRY, { SOP_NATIVE: '' })).toBe('false');
});

// Out of descriptors at its first opening, a process was told for good that there is no native module.
test.skipIf(!native || process.platform !== 'linux')(
  'a module that no descriptor was left for is looked for again',
  () => {
    const program = `
    import fs from 'node:fs';
    const { hasNativeModule } = await import(${JSON.stringify(new URL('node-env.ts', HOME).href)});
    const taken = [];
    try { for (;;) taken.push(fs.openSync('/dev/null', 'r')); } catch {}
    const before = hasNativeModule();
    for (const one of taken) fs.closeSync(one);
    console.log(before, hasNativeModule());`;
    const script = 'ulimit -n 256; exec "$0" --no-warnings --input-type=module -e "$1"';
    expect(execFileSync('sh', ['-c', script, process.execPath, program], { encoding: 'utf8' })).toBe('false true\n');
  },
);
