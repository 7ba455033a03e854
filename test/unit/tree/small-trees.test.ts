/** Many short random lives of small trees. */
import { describe, test } from 'vitest';
import { RUNS, SEED } from './model.ts';
import { treeLife } from './tree-life.ts';

describe(`trees that live shortly (SOP_SEED=${SEED})`, () => {
  test(`${400 * RUNS} small trees stay a sorted array through merges`, { timeout: 600_000 }, async () => {
    for (let run = 0; run < 400 * RUNS; run++) await treeLife(SEED * 1009 + run);
  });
});
