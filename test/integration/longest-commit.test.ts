/** Commits go on while checkpoints run. The figures are for reading (`npm run lanes longest-commit`); the bound is for stalls. */
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../helpers/folders.ts';
import { load, runOpenLoop } from '../helpers/open-loop.ts';
import { noteFigures } from '../helpers/scale.ts';
import { openDatabase } from '../helpers/sop.ts';

describe('commits at a fixed rate', () => {
  it('are answered while one checkpoint after the other runs', async () => {
    using folder = temporaryFolder('longest');
    const db = await openDatabase(folder.path);
    await load(db, 50_000);
    const found = await runOpenLoop({ db, records: 50_000, perSecond: 200, seconds: 3, checkpointPauseMs: 100 });
    noteFigures('longest-commit-short', { ...found });
    await db.close();
    expect(found.checkpoints).toBeGreaterThan(1);
    // A busy machine adds its own waits; a commit that waited for a whole merge would add up to far more.
    expect(found.ms.p50).toBeLessThan(250);
    expect(found.ms.max).toBeLessThan(2500);
  }, 60_000);
});
