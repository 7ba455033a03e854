/**
 * Zeros are written ahead in the same file as batches, by another thread. Of two syncs of one file that run beside each other
 * only one may hear that a page was lost; so nothing but the appends themselves syncs the file that is being written.
 */
import { expect, it } from 'vitest';
import type { OpenOptions } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { open, put, texts } from '../../helpers/log-model.ts';

it('zeros are written ahead, and synced by nobody but the batches', async () => {
  const env = memoryEnv();
  const calls: string[] = [];
  const openFile = env.files.open.bind(env.files);
  env.files.open = (path: string, options: OpenOptions) => {
    const file = openFile(path, options);
    for (const name of ['write', 'sync', 'syncSync', 'reserve'] as const) {
      const original = file[name].bind(file) as (...args: unknown[]) => unknown;
      Object.assign(file, {
        [name]: (...args: unknown[]) => {
          calls.push(name);
          return original(...args);
        },
      });
    }
    return file;
  };
  const { log } = await open(env, { reserveBytes: 16 * 1024 });
  if (log === undefined) throw new Error('no log');
  await put(log, 'the first, which begins the epoch');
  calls.length = 0;
  await Promise.all(texts(0, 40).map((text) => put(log, text)));
  await log.close();
  expect(new Set(calls)).toEqual(new Set(['write']));
});
