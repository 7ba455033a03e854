/** A program for tests that need another process: `node native-program.ts <action> <path>`. */

import { Worker } from 'node:worker_threads';
import type { File } from '../../src/env/env.ts';
import { nodeEnv } from '../../src/env/node-env.ts';

const PAGE = 4096;
const [, , action, path = ''] = process.argv;

function startWork(file: File): void {
  const buffer = nodeEnv().files.allocate(1 << 20);
  const quiet = (): void => {};
  for (let i = 0; i < 20; i++) file.append(buffer, buffer.length, 2 * PAGE + i * buffer.length, PAGE).catch(quiet);
  for (let i = 0; i < 20; i++) file.write(buffer, 2 * PAGE + i * buffer.length).catch(quiet);
  for (let i = 0; i < 20; i++) file.read(nodeEnv().files.allocate(1 << 20), i * buffer.length).catch(quiet);
  file.reserve(64 << 20, 16 << 20).catch(quiet);
}

/** Keeps the lock until the process is killed or its input ends. */
function holdLock(): void {
  const file = nodeEnv().files.open(path, { mode: 'write' });
  if (!file.tryLock('exclusive', 3)) process.exit(1);
  process.stdin.resume().on('end', () => process.exit(0));
  console.log('held');
}

/** Opens, closes and dies, with everything possible under way. */
function exitWithPending(): void {
  const file = nodeEnv().files.open(path, { mode: 'create' });
  startWork(file);
  setTimeout(() => process.exit(7), 5);
}

/** The same where a worker thread is torn down and the main thread goes on. */
async function terminateWithPending(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    const worker = new Worker(new URL(import.meta.url), { argv: ['work', `${path}-${round}`] });
    await new Promise((resolve) => worker.once('message', resolve));
    await worker.terminate();
  }
  console.log('alive');
}

/** Nothing but an append is under way: the process must stay for its answer, and end after it. */
async function appendAlone(): Promise<void> {
  const file = nodeEnv().files.open(path, { mode: 'create' });
  const answer = await file.append(new Uint8Array(PAGE), PAGE, 2 * PAGE, PAGE);
  console.log(`answered ${answer}`);
}

/** Inside the worker of `terminateWithPending`. */
async function work(): Promise<void> {
  const { parentPort } = await import('node:worker_threads');
  startWork(nodeEnv().files.open(path, { mode: 'create' }));
  parentPort?.postMessage('started');
}

/** Transfers side by side, where the first direct one is refused (see `native-direct.test.ts`). */
async function transferTogether(): Promise<void> {
  const { files } = nodeEnv();
  for (let round = 0; round < 5; round++) {
    const file = files.open(`${path}-${round}`, { mode: 'create', direct: true });
    const wasDirect = file.direct;
    const each = <T>(work: (at: number) => Promise<T>) => Promise.all([0, 1, 2, 3].map((i) => work(i * PAGE)));
    await each((at) => file.write(files.allocate(PAGE).fill(1 + at / PAGE), at));
    file.close();
    const again = files.open(`${path}-${round}`, { mode: 'read', direct: true });
    const read = await each(async (at) => {
      const into = files.allocate(PAGE);
      await again.read(into, at);
      return into[PAGE - 1];
    });
    console.log(`${wasDirect} ${again.direct} ${read.join('')}`);
    again.close();
  }
}

const actions: Record<string, () => void | Promise<void>> = {
  'hold-lock': holdLock,
  'exit-with-pending': exitWithPending,
  'terminate-with-pending': terminateWithPending,
  'append-alone': appendAlone,
  'transfer-together': transferTogether,
  work,
};
await actions[action ?? '']?.();
