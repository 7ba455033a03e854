/** A short random life of a small tree: where nodes are nearly empty, the edges of the merge are everywhere. */
import { KEY_KINDS, type KeyKind, Random } from './model.ts';
import { Merged, randomChanges, randomRemovals } from './merged-tree.ts';

export async function treeLife(seed: number): Promise<void> {
  const random = new Random(seed);
  const kind = KEY_KINDS[random.below(KEY_KINDS.length)] as KeyKind;
  const merged = new Merged(64 * 8192);
  for (let round = 0; round < 3; round++) {
    const most = kind === 'long' ? 6 : 80;
    const changes = randomChanges(kind, random.below(most), random, merged.entries, 1 + round * 100);
    const removals = random.chance(50) ? randomRemovals(kind, random, merged.entries) : [];
    merged.check(await merged.merge(changes, removals, { waits: random.chance(50), missing: 0 }));
  }
}
