/** Everything at once through the public door, beside a model; the lane `mixed` runs many more of these programs. */
import { describe, expect, it } from 'vitest';
import { concurrentLife } from './mixed/mixed-concurrent.ts';
import { faultyLife, mixedLife } from './mixed/mixed-life.ts';
import { drawProgram, shrink } from './mixed/mixed-program.ts';
import { noCounts } from './mixed/mixed-run.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const scale = Number(process.env.SOP_RUNS ?? 1);

describe(`programs of all calls, mixed (SOP_SEED=${seed})`, () => {
  it('are answered as the model answers', { timeout: 600_000 }, async () => {
    const counts = noCounts();
    for (let run = 0; run < Math.ceil(200 * scale); run++) {
      await mixedLife(seed + run, counts, { length: 120, tries: 300 });
    }
    console.log(JSON.stringify(counts));
    expect(counts.commits).toBeGreaterThan(5 * 200 * scale);
    expect(counts.refused).toBeGreaterThan(0);
    expect(counts.prepared).toBeGreaterThan(0);
    expect(counts.reopened).toBeGreaterThan(0);
  });

  it('of several clients come to what they come to one after another', { timeout: 600_000 }, async () => {
    const counts = noCounts();
    for (let run = 0; run < Math.ceil(100 * scale); run++) await concurrentLife(seed + run, counts);
    console.log(JSON.stringify(counts));
    expect(counts.commits).toBeGreaterThan(10 * 100 * scale);
    expect(counts.refused).toBeGreaterThan(100 * scale);
  });

  it('hold to what errors say on a disk that refuses things', { timeout: 600_000 }, async () => {
    const counts = noCounts();
    for (let run = 0; run < Math.ceil(100 * scale); run++) {
      await faultyLife(seed + run, counts, { length: 120, tries: 300 });
    }
    console.log(JSON.stringify(counts));
    expect(counts.commits).toBeGreaterThan(2 * 100 * scale);
    expect(counts.reopened).toBeGreaterThan(0.5 * 100 * scale);
  });

  it('are made as short as they go where they fail', async () => {
    const program = drawProgram(seed, 100);
    const guilty = [program[17], program[60]];
    const shortest = await shrink(program, async (shorter) => guilty.every((op) => op && shorter.includes(op)), 400);
    expect(shortest).toEqual(guilty);
  });
});
