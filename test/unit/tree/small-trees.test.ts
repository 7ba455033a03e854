/** Many short random lives of small trees: where nodes are nearly empty, the edges of the merge are everywhere. */
import { describe, test } from 'vitest';
import { KEY_KINDS, type KeyKind, Random, RUNS, SEED } from './model.ts';
import { Merged, randomChanges, randomRemovals } from './merged-tree.ts';

describe(`trees that live shortly (SOP_SEED=${SEED})`, () => {
  test(`${400 * RUNS} small trees stay a sorted array through merges`, { timeout: 600_000 }, async () => {
    for (let run = 0; run < 400 * RUNS; run++) {
      const random = new Random(SEED * 1009 + run);
      const kind = KEY_KINDS[random.below(KEY_KINDS.length)] as KeyKind;
      const merged = new Merged(64 * 8192);
      for (let round = 0; round < 3; round++) {
        const changes = randomChanges(
          kind,
          random.below(kind === 'long' ? 6 : 80),
          random,
          merged.entries,
          1 + round * 100,
        );
        const removals = random.chance(50) ? randomRemovals(kind, random, merged.entries) : [];
        merged.check(await merged.merge(changes, removals, { waits: random.chance(50), missing: 0 }));
      }
    }
  });
});
