/** A short soak and a few live copies inside `npm test`; the lanes `soak` and `live-copies` do the same at length. */
import { describe, expect, it } from 'vitest';
import { runLiveCopies } from '../helpers/live-copy.ts';
import { chooseSeed } from '../helpers/scale.ts';
import { runSoak } from '../helpers/soak.ts';

const seed = chooseSeed();

describe(`a database in use (SOP_SEED=${seed})`, () => {
  it('is copied with cp -r, and the copy is a consistent prefix or refused', { timeout: 120_000 }, async () => {
    const found = await runLiveCopies(seed, 4);
    console.log(JSON.stringify(found));
    expect(found.opened + found.refused).toBe(4);
  });

  it.skipIf(process.platform !== 'linux')(
    'gives memory, descriptors, threads and files back, and its oldest reader sees its snapshot to the end',
    { timeout: 120_000 },
    async () => {
      const found = await runSoak(seed, 12);
      console.log(JSON.stringify(found));
      expect(found.writes).toBeGreaterThan(100);
    },
  );
});
