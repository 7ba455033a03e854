/** The files contract on files in memory, and what only they have. */

import { expect, test } from 'vitest';
import { DiskFullError } from '../../src/base/errors.ts';
import { memoryEnv } from '../../src/env/memory-env.ts';
import { fileSystemContract } from './file-system.contract.ts';

fileSystemContract('memory', async () => {
  const env = memoryEnv();
  env.files.createFolder('/contract');
  return { env, folder: '/contract', cleanup: () => {} };
});

test('two memory environments share nothing', () => {
  const first = memoryEnv();
  first.files.open('a', { mode: 'create' });
  expect(memoryEnv().files.list('/')).toEqual([]);
});

test('a bounded memory refuses what does not fit and gives back what was removed', () => {
  const { files } = memoryEnv({ capacityBytes: 256 * 1024 });
  const file = files.open('a', { mode: 'create' });
  file.writeSync(new Uint8Array(200 * 1024), 0);
  expect(() => file.writeSync(new Uint8Array(200 * 1024), 200 * 1024)).toThrow(DiskFullError);
  files.remove('a');
  expect(files.freeBytes('/')).toBeLessThan(256 * 1024);
  file.close();
  expect(files.freeBytes('/')).toBe(256 * 1024);
});

test('thousands of small files stay small', () => {
  const { files } = memoryEnv({ capacityBytes: 1000 * 4096 });
  for (let i = 0; i < 1000; i++) {
    const file = files.open(`f${i}`, { mode: 'create' });
    file.writeSync(new Uint8Array(100), 0);
    file.close();
  }
  expect(files.list('/').length).toBe(1000);
});
