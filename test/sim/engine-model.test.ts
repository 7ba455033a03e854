/**
 * The engine against a sequential model with versions: random commands, several transactions at once, a cache of 16 frames.
 * SOP_SEED replays one run, SOP_RUNS multiplies their number.
 */
import { describe, expect, it } from 'vitest';
import { type RunCounts, runModel, type RunOptions } from './model-run.ts';

const only = process.env.SOP_SEED;
const scale = Number(process.env.SOP_RUNS ?? 1);
const first = only === undefined ? Date.now() % 1_000_000 : Number(only);

const SHAPES: readonly { readonly name: string; readonly runs: number; readonly options: RunOptions }[] = [
  { name: 'few keys, many conflicts', runs: 120, options: { steps: 120, keys: 12, longest: 500 } },
  { name: 'a tree larger than the cache', runs: 30, options: { steps: 400, keys: 400, longest: 4000 } },
  { name: 'spills and little else', runs: 60, options: { steps: 120, keys: 60, longest: 20_000 } },
];

describe(`an engine beside its model (SOP_SEED=${first})`, () => {
  for (const { name, runs, options } of SHAPES) {
    it(`answers as the model does: ${name}`, { timeout: 1_800_000 }, async () => {
      const counts: RunCounts = { steps: 0, commits: 0, refused: 0, tooOld: 0, spilled: 0, reopened: 0 };
      const count = only === undefined ? Math.ceil(runs * scale) : 1;
      for (let run = 0; run < count; run++) await runModel(first + run, options, counts);
      console.log(`${name}: ${count} runs, ${JSON.stringify(counts)}`);
      expect(counts.steps).toBe(count * options.steps);
    });
  }
});
