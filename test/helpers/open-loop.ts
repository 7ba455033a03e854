/**
 * Commits at a fixed rate, whether or not the earlier ones were answered, and how long each took from the moment it was due:
 * a database that stalls for a second is charged for every commit that was due in that second.
 */
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { type Spread, spread } from './scale.ts';
import { type Database, defineStore } from './sop.ts';

const accounts = defineStore<number, string>('accounts');

export interface OpenLoopOptions {
  readonly db: Database;
  /** Records there are; each commit puts two of them. */
  readonly records: number;
  readonly perSecond: number;
  readonly seconds: number;
  /** Time from the end of one forced checkpoint to the beginning of the next; none are forced where this is undefined. */
  readonly checkpointPauseMs?: number;
}

export interface OpenLoopFigures {
  readonly ms: Spread;
  readonly checkpoints: number;
  readonly longestCheckpointMs: number;
}

export async function load(db: Database, records: number): Promise<void> {
  for (let from = 0; from < records; from += 5000) {
    await db.write((tx) => {
      const store = tx.store(accounts);
      for (let i = from; i < Math.min(records, from + 5000); i++) store.put(i, `account ${i} `.padEnd(100, '.'));
    });
  }
  await db.checkpoint();
}

export async function runOpenLoop(options: OpenLoopOptions): Promise<OpenLoopFigures> {
  const { db, records, perSecond, seconds } = options;
  const chance = new SeededRandom(1);
  const latencies: number[] = [];
  const total = Math.round(perSecond * seconds);
  const commits: Promise<unknown>[] = [];
  let over = false;
  const { checkpointPauseMs: pauseMs } = options;
  const upkeep =
    pauseMs === undefined ? Promise.resolve({ count: 0, longestMs: 0 }) : checkpointUntil(db, pauseMs, () => over);
  const began = performance.now();
  for (let next = 0; next < total; ) {
    const now = performance.now() - began;
    for (; next < total && (next * 1000) / perSecond <= now; next++) {
      const due = began + (next * 1000) / perSecond;
      const one = chance.below(records);
      const other = chance.below(records);
      const commit = db.write((tx) => {
        const store = tx.store(accounts);
        store.put(one, `account ${one} `.padEnd(100, '+'));
        store.put(other, `account ${other} `.padEnd(100, '-'));
      });
      commits.push(commit.then(() => latencies.push(performance.now() - due)));
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(commits);
  over = true;
  const { count, longestMs } = await upkeep;
  return { ms: spread(latencies), checkpoints: count, longestCheckpointMs: longestMs };
}

async function checkpointUntil(
  db: Database,
  pauseMs: number,
  over: () => boolean,
): Promise<{ count: number; longestMs: number }> {
  let count = 0;
  let longestMs = 0;
  while (!over()) {
    const began = performance.now();
    await db.checkpoint();
    longestMs = Math.max(longestMs, performance.now() - began);
    count++;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return { count, longestMs: Math.round(longestMs) };
}
