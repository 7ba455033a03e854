/**
 * Power cuts on a real ext4: the file system is shut down without a flush while a worker commits, unmounted, mounted again.
 * The same oracle as for kills. SOP_CUTS says how many; the lane runs 50. Needs root on Linux.
 */
import { describe, expect, it } from 'vitest';
import { runCrashRounds } from '../helpers/crash-rounds.ts';
import { LoopVolume, whyNoVolume } from '../helpers/loop-volume.ts';
import { amount, chooseSeed, noteFigures, round, spread } from '../helpers/scale.ts';

const seed = chooseSeed();
const cuts = amount(5, 50, 'SOP_CUTS');
const why = whyNoVolume();

describe(`a disk whose power goes (SOP_SEED=${seed})${why === undefined ? '' : `, skipped: ${why}`}`, () => {
  it.skipIf(why !== undefined)(
    `keeps what was acknowledged and nothing half done, ${cuts} times`,
    async () => {
      using volume = new LoopVolume(512 << 20);
      const began = performance.now();
      const { openMs, ...counts } = await runCrashRounds({
        seed,
        rounds: cuts,
        folder: `${volume.path}/db`,
        crash: () => volume.cut(),
        recover: () => {
          volume.unmount();
          volume.mount();
        },
        outlived: true,
      });
      const seconds = (performance.now() - began) / 1000;
      noteFigures('power-cut', { seed, ...counts, cutsPerSecond: round(cuts / seconds), openMs: spread(openMs) });
      expect(counts.acknowledged).toBeGreaterThan(cuts);
    },
    60_000 + cuts * 10_000,
  );
});
