/**
 * What lies under a file's name and is no file. A FIFO called sop.json, or like a log file, held the thread that opened it until
 * somebody wrote to it: for ever.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Env } from '../../../src/env/env.ts';
import { hasNativeModule, nodeEnv } from '../../../src/env/node-env.ts';
import { portableEnv } from '../../../src/env/portable-env.ts';
import { Database } from '../../../src/store/database.ts';
import { temporaryFolder } from '../../helpers/native.ts';

const posix = process.platform !== 'win32';
const errno = expect.objectContaining({ code: 'IO_ERROR', details: expect.objectContaining({ errno: 'EINVAL' }) });

/** Writes to the FIFO after a while, so that a test of a thread that waits fails and does not hang. */
function rescue(path: string): { [Symbol.dispose](): void } {
  const child = spawn('sh', ['-c', 'sleep 5; echo x > "$0"', path], { stdio: 'ignore' });
  return { [Symbol.dispose]: () => void child.kill('SIGKILL') };
}

function refusesFifo(env: Env, mode: 'read' | 'write'): void {
  using folder = temporaryFolder();
  const path = `${folder.path}/fifo`;
  execFileSync('mkfifo', [path]);
  using _ = rescue(path);
  for (const direct of [false, true]) expect(() => env.files.open(path, { mode, direct })).toThrow(errno);
  expect(() => env.files.open('/dev/null', { mode })).toThrow(errno);
}

test.skipIf(!posix || !hasNativeModule())('a FIFO or a device under a name is refused at once', () => {
  refusesFifo(nodeEnv(), 'read');
  refusesFifo(nodeEnv(), 'write');
});

test.skipIf(!posix)('also without the native module', () => {
  refusesFifo(portableEnv(), 'read');
});

test.skipIf(!posix || !hasNativeModule())(
  'a database with a FIFO among its files is refused, not waited for',
  async () => {
    for (const name of ['sop.json', 'log/ffffffffffff.log']) {
      using folder = temporaryFolder();
      mkdirSync(`${folder.path}/log`);
      if (name !== 'sop.json') {
        await using db = await Database.open(folder.path);
        await db.pin('p');
      }
      execFileSync('mkfifo', [`${folder.path}/${name}`]);
      using _ = rescue(`${folder.path}/${name}`);
      await expect(Database.open(folder.path)).rejects.toEqual(errno);
      await expect(Database.open(folder.path, { readOnly: true })).rejects.toEqual(errno);
    }
  },
);
