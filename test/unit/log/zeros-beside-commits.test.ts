/**
 * Zeros are written ahead in the same file as batches, by another thread. Of two syncs of one file that run beside each other
 * only one may hear that a page was lost; so nothing but the appends themselves syncs the file that is being written.
 *
 * And no batch may be written where zeros are still on their way: they would come down upon it. What is given while the next
 * epoch's header waits to be written is held back for that; once it had been let go by the header alone, and zeros took away
 * what had been acknowledged.
 */
import { expect, it } from 'vitest';
import type { OpenOptions } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { open, put, readTexts, texts } from '../../helpers/log-model.ts';

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

/** Something that others wait for. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

function someTurns(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

it('a commit given while the next header waits is held back for zeros, too', async () => {
  const env = memoryEnv();
  const zeros = gate();
  const appends = gate();
  let isSlow = false;
  const openFile = env.files.open.bind(env.files);
  env.files.open = (path: string, options: OpenOptions) => {
    const file = openFile(path, options);
    const { write, append } = file;
    file.write = async (from, position) => {
      if (isSlow) await zeros.opened;
      await write.call(file, from, position);
    };
    file.append = async (from, length, position, seal) => {
      if (isSlow) await appends.opened;
      return append.call(file, from, length, position, seal);
    };
    return file;
  };
  const { log } = await open(env, { reserveBytes: 64 * 1024 });
  if (log === undefined) throw new Error('no log');
  await put(log, 'the first, which begins the epoch');
  await log.prepareNextEpoch();
  isSlow = true;
  const large = (name: string): string => name.repeat(100_000);
  // The header waits for this one. What follows goes to the new file: the second lies where zeros are being written ahead.
  const given = [put(log, 'in the old file'), log.switchEpoch(undefined), put(log, large('a')), put(log, large('b'))];
  appends.open();
  await someTurns();
  expect(log.durableNumber).toBe(2);
  zeros.open();
  await Promise.all([...given, put(log, 'after all')]);
  await log.close();
  const opening = await open(env);
  expect(readTexts(opening).map((text) => text.slice(0, 5))).toEqual(['the f', 'in th', 'aaaaa', 'bbbbb', 'after']);
  opening.close();
});
