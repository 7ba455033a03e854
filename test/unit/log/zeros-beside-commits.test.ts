/**
 * Zeros are written ahead, and synced, in the same file as batches, by another thread. Of two syncs of one file that run beside
 * each other only one may hear that a page was lost: so no batch is answered well before the other one has answered too.
 */
import { expect, it } from 'vitest';
import { IoError } from '../../../src/base/errors.ts';
import type { Env, OpenOptions } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { batchOf, open } from '../../helpers/log-model.ts';

interface Held {
  readonly env: Env;
  /** How the zeros under way end; undefined while none are. */
  end: ((error: Error | undefined) => void) | undefined;
}

/** Files whose zeros end when the test says so. */
function holdZeros(): Held {
  const env = memoryEnv();
  const held: Held = { env, end: undefined };
  const openFile = env.files.open.bind(env.files);
  env.files.open = (path: string, options: OpenOptions) => {
    const file = openFile(path, options);
    file.reserve = () =>
      new Promise<void>((resolve, reject) => {
        held.end = (error) => (error === undefined ? resolve() : reject(error));
      });
    return file;
  };
  return held;
}

async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

it.each([undefined, new IoError('the sync of the zeros failed')])(
  'a commit waits for the zeros beside it: %s',
  async (error) => {
    const held = holdZeros();
    const { log } = await open(held.env, { reserveBytes: 16 * 1024 });
    if (log === undefined) throw new Error('no log');
    let outcome = '';
    let done: Promise<void> = Promise.resolve();
    // Until one of them comes so near the end of the zeros that more are written.
    for (let i = 0; i < 8 && held.end === undefined; i++) {
      await done;
      outcome = 'none';
      const batch = batchOf(log, [`text ${i}`]);
      done = log.commit(batch).then(
        () => {
          outcome = 'committed';
        },
        () => {
          outcome = 'refused';
        },
      );
      batch.release();
    }
    await turns();
    expect(held.end).toBeDefined();
    expect(log.quiet).toBe(false);
    expect(outcome).toBe('none');
    held.end?.(error);
    await done;
    expect(outcome).toBe(error === undefined ? 'committed' : 'refused');
    expect(log.failed === undefined).toBe(error === undefined);
  },
);
