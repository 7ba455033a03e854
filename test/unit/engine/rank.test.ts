/** Ranks in a tree with changes above it, where it has more entries than 32-bit numbers count. */
import { afterEach, expect, it, vi } from 'vitest';
import type { EntryCursor } from '../../../src/node/entry-cursor.ts';
import type { ImageCache } from '../../../src/node/image-cache.ts';
import { seekRankOver } from '../../../src/transaction/rank.ts';
import { TreeCursor } from '../../../src/tree/tree-cursor.ts';
import type { Tree } from '../../../src/tree/tree.ts';

afterEach(() => void vi.restoreAllMocks());

it.each([1000, 2 ** 31 - 5, 2 ** 31 + 5, 3_000_000_000, 2 ** 40])('a rank among %i entries', (entries) => {
  // Nobody has such a tree here: one whose keys are their own ranks is as good.
  let probes = 0;
  vi.spyOn(TreeCursor.prototype, 'seekRank').mockImplementation(function (this: TreeCursor, rank: number) {
    if (probes++ > 100) throw new Error('it does not come to an end');
    this.keyBytes = new Uint8Array(new Float64Array([rank]).buffer);
    this.keyStart = 0;
    this.keyEnd = 8;
    return 0 as never;
  });
  const rankOf = (key: Uint8Array): number => new Float64Array(key.slice().buffer)[0] as number;
  const found: number[] = [];
  const cursor = {
    first: () => 0,
    seek: (key: Uint8Array) => {
      found.push(rankOf(key));
      return 0;
    },
  } as unknown as EntryCursor;
  const rank = Math.floor(entries * 0.63);
  const cache = { table: {} } as ImageCache;
  seekRankOver(cache, { root: { entries, level: 0 }, storeId: 100 } as Tree, rank, cursor, rankOf);
  expect(found).toEqual([rank]);
});
