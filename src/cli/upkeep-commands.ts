/** Verbs about the upkeep of a database: compact, drop, rename. */
import type { Database, DatabaseStats } from '../index.ts';
import {
  type Command,
  confirm,
  EXIT_DONE,
  EXIT_INTERRUPTED,
  EXIT_NO,
  type Invocation,
  takePositionals,
} from './command.ts';
import { writing } from './open.ts';
import { formatBytes, formatCount, formatDuration } from './output.ts';
import { Progress } from './progress.ts';

const LOOK_MS = 200;

export const compactCommand: Command = {
  name: 'compact',
  summary: 'rewrite what is mostly dead, give back space',
  usage: '<folder>',
  details:
    'Space is given back by itself while a program runs; this does it at once and until nothing more is to be gained. An ' +
    'interruption loses nothing: what was rewritten stays so.',
  options: {},
  examples: [
    ['sop compact ./data', 'with the size before and after'],
    ['sop compact ./data --json', 'the same figures, for programs'],
  ],
  async run(call) {
    const [folder] = takePositionals(call, '<folder>') as [string];
    return writing(folder, false, async (db) => {
      const before = db.stats();
      const progress = new Progress(call.out, 'compacting');
      const look = setInterval(() => progress.say(`${formatBytes(filesOf(db.stats()))} in files`), LOOK_MS);
      let done: boolean;
      try {
        done = await untilDone(db.compact(), call.signal);
      } finally {
        clearInterval(look);
        progress.end();
      }
      if (!done) {
        call.out.note('interrupted; what was rewritten until now stays');
        return EXIT_INTERRUPTED;
      }
      await tellCompacted(call, before, db.stats(), progress.elapsedMs);
      return EXIT_DONE;
    });
  },
};

/** False where the user interrupts first. */
async function untilDone(work: Promise<void>, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false;
  let stop = () => {};
  const stopped = new Promise<false>((resolve) => {
    stop = () => resolve(false);
    signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([work.then(() => true), stopped]);
  } finally {
    signal.removeEventListener('abort', stop);
    // Closing the database ends what is still under way; how, nobody asks any more.
    work.catch(() => {});
  }
}

function filesOf(stats: DatabaseStats): number {
  return stats.sizeBytes.log + stats.sizeBytes.segments;
}

async function tellCompacted(
  call: Invocation,
  before: DatabaseStats,
  after: DatabaseStats,
  elapsedMs: number,
): Promise<void> {
  const { out } = call;
  if (out.json) {
    const figures = (stats: DatabaseStats) => ({ sizeBytes: stats.sizeBytes, segments: stats.segments });
    await out.line(
      JSON.stringify({ before: figures(before), after: figures(after), elapsedMs: Math.round(elapsedMs) }),
    );
    return;
  }
  const saved = filesOf(before) - filesOf(after);
  const change = saved > 0 ? `${formatBytes(saved)} given back` : 'there was nothing to gain';
  await out.line(`files     ${formatBytes(filesOf(before))} -> ${formatBytes(filesOf(after))}`);
  await out.line(`segments  ${formatCount(before.segments)} -> ${formatCount(after.segments)}`);
  await out.line(`live data ${formatBytes(after.sizeBytes.live)}`);
  out.note(`${change} in ${formatDuration(elapsedMs)}`);
}

export const dropCommand: Command = {
  name: 'drop',
  summary: 'remove stores with everything in them',
  usage: '<folder> <store>...',
  details:
    'Asks before it does so; --yes does not ask, and is needed where nobody sits at a terminal. Several stores go in one ' +
    'transaction. Their space is given back by later upkeep, at once by sop compact. Exit code 1 where the answer was no.',
  options: { yes: { type: 'boolean', short: 'y', help: 'do not ask' } },
  examples: [
    ['sop drop ./data old', 'asks first'],
    ['sop drop ./data old older --yes && sop compact ./data', 'both, and their space'],
  ],
  async run(call) {
    const [folder, store, ...more] = call.positionals;
    if (folder === undefined || store === undefined) takePositionals(call, '<folder>', '<store>');
    const names = [store as string, ...more];
    return writing(folder as string, false, async (db) => {
      const counts: number[] = [];
      for (const name of names) counts.push((await db.describe(name)).count);
      const total = counts.reduce((sum, count) => sum + count, 0);
      const what = `${names.length === 1 ? `store '${store}'` : `${names.length} stores`} with ${entries(total)}`;
      if (!(await confirm(call, `this drops ${what}`))) {
        call.out.note('nothing was dropped');
        return EXIT_NO;
      }
      await dropAll(db, names);
      if (call.out.json) await call.out.line(JSON.stringify({ dropped: names, entries: total }));
      else call.out.note(`${what} dropped`);
      return EXIT_DONE;
    });
  },
};

function dropAll(db: Database, names: readonly string[]): Promise<void> {
  return db.write(async (tx) => {
    for (const name of names) await tx.drop(name);
  });
}

function entries(count: number): string {
  return count === 1 ? '1 entry' : `${formatCount(count)} entries`;
}

export const renameCommand: Command = {
  name: 'rename',
  summary: 'give a store another name',
  usage: '<folder> <store> <new-name>',
  details: 'Nothing is copied. Refused where the new name is taken.',
  options: {},
  examples: [['sop rename ./data users people', 'at once, whatever its size']],
  async run(call) {
    const [folder, from, to] = takePositionals(call, '<folder>', '<store>', '<new-name>') as [string, string, string];
    return writing(folder, false, async (db) => {
      await db.write((tx) => tx.rename(from, to));
      if (call.out.json) await call.out.line(JSON.stringify({ renamed: from, to }));
      else call.out.note(`store '${from}' is named '${to}' now`);
      return EXIT_DONE;
    });
  },
};
