/**
 * Several clients of one engine under seeded interleavings: every asynchronous answer comes when the scheduler likes. The
 * histories must be strictly serializable, every snapshot a prefix, the bank's sum the same in each of them; also where syncs
 * fail in between, and where the process is killed and another one goes on. SOP_SEED replays one, SOP_RUNS multiplies them.
 */
import { describe, expect, it } from 'vitest';
import type { ClientCounts } from './list-clients.ts';
import { runBank } from './bank-run.ts';
import { noReadingCounts, readBeside } from './reading-scene.ts';
import { runQuietly, runWithFailingDisk, runWithPowerCuts } from './schedule-runs.ts';

const only = process.env.SOP_SEED;
const scale = Number(process.env.SOP_RUNS ?? 1);
const first = only === undefined ? Date.now() % 1_000_000 : Number(only);

const KINDS: readonly {
  readonly name: string;
  readonly count: number;
  readonly run: (seed: number, counts: ClientCounts) => Promise<void>;
}[] = [
  { name: 'leave histories that are strictly serializable', count: 150, run: runQuietly },
  { name: 'leave such histories also where the disk refuses things', count: 100, run: runWithFailingDisk },
  {
    name: 'leave such histories also where the power goes and another process goes on',
    count: 100,
    run: runWithPowerCuts,
  },
  { name: 'see the same sum in every snapshot of a bank, and write what they saw', count: 80, run: runBank },
];

describe(`read-only openings beside a writer (SOP_SEED=${first})`, () => {
  it('see the state as of some number, never an older one, never damage', { timeout: 1_800_000 }, async () => {
    const counts = noReadingCounts();
    const runs = only === undefined ? Math.ceil(60 * scale) : 1;
    for (let seed = first; seed < first + runs; seed++) {
      try {
        await readBeside(seed, counts);
      } catch (error) {
        throw new Error(`SOP_SEED=${seed}: ${error instanceof Error ? error.stack : String(error)}`);
      }
    }
    console.log(`${runs} writers with readers beside them, ${JSON.stringify(counts)}`);
    expect(counts.reads).toBeGreaterThan(0);
  });
});

describe(`clients of one engine under any schedule (SOP_SEED=${first})`, () => {
  for (const { name, count, run } of KINDS) {
    it(name, { timeout: 1_800_000 }, async () => {
      const counts: ClientCounts = { commits: 0, refused: 0, reads: 0, claims: 0 };
      const runs = only === undefined ? Math.ceil(count * scale) : 1;
      for (let seed = first; seed < first + runs; seed++) {
        try {
          await run(seed, counts);
        } catch (error) {
          throw new Error(`SOP_SEED=${seed}: ${error instanceof Error ? error.stack : String(error)}`);
        }
      }
      console.log(`${name}: ${runs} schedules, ${JSON.stringify(counts)}`);
      expect(counts.commits).toBeGreaterThan(0);
    });
  }
});
