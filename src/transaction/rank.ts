/** Counting and finding by rank where sums alone do not answer: over runs, and over trees with changes above them. */
import { compareBytes } from '../base/bytes.ts';
import { AT, type EntryCursor } from '../node/entry-cursor.ts';
import type { ImageCache } from '../node/image-cache.ts';
import type { Tree } from '../tree/tree.ts';
import { TreeCursor } from '../tree/tree-cursor.ts';
import { ABSENT, FOUND, type FindResult } from '../storage/find-result.ts';

export function isAtOrAfter(cursor: EntryCursor, bound: Uint8Array): boolean {
  return compareBytes(cursor.keyBytes, cursor.keyStart, cursor.keyEnd, bound, 0, bound.length) >= 0;
}

/** Entries of [lower, upper), one by one: for stores with runs, whose layers keep no sums. The cursor waits for the disk. */
export function countByScan(cursor: EntryCursor, lower: Uint8Array | undefined, upper: Uint8Array | undefined): number {
  cursor.waits = true;
  let count = 0;
  let step = lower === undefined ? cursor.first() : cursor.seek(lower, 0, lower.length);
  for (; step === AT; step = cursor.next()) {
    if (upper !== undefined && isAtOrAfter(cursor, upper)) break;
    count++;
  }
  return count;
}

/** Goes on by `steps` entries from where the cursor is, if it is anywhere. */
export function stepForward(cursor: EntryCursor, isAt: boolean, steps: number): FindResult {
  let at = isAt;
  for (let left = steps; at && left > 0; left--) at = cursor.next() === AT;
  return at ? FOUND : ABSENT;
}

/** Positions `cursor` at the tree's entry number `rank`: nothing but the tree speaks for the store. */
export function seekTreeRank(cache: ImageCache, tree: Tree, rank: number, cursor: EntryCursor): FindResult {
  if (rank >= tree.root.entries) return ABSENT;
  const at = new TreeCursor(cache, tree);
  at.waits = true;
  if (at.seekRank(rank) !== AT) return ABSENT;
  const key = at.keyBytes.slice(at.keyStart, at.keyEnd);
  return cursor.seek(key, 0, key.length) === AT ? FOUND : ABSENT;
}

/**
 * The same with changes above the tree: halves the tree's ranks to the last key that has no more than `rank` entries before
 * it, as `countBefore` counts them, then goes on by steps.
 */
export function seekRankOver(
  cache: ImageCache,
  tree: Tree,
  rank: number,
  cursor: EntryCursor,
  countBefore: (key: Uint8Array) => number,
): FindResult {
  const at = new TreeCursor(cache, tree);
  at.waits = true;
  let low = 0;
  let high = tree.root.entries;
  let before = 0;
  let from: Uint8Array | undefined;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    at.seekRank(middle);
    const key = at.keyBytes.slice(at.keyStart, at.keyEnd);
    const count = countBefore(key);
    if (count <= rank) {
      low = middle + 1;
      before = count;
      from = key;
    } else high = middle;
  }
  const step = from === undefined ? cursor.first() : cursor.seek(from, 0, from.length);
  return stepForward(cursor, step === AT, rank - before);
}
