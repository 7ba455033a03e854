/**
 * kill -9 at random moments, with an oracle that lives in another process than the one that dies. SOP_KILLS says how many
 * kills; the lane runs 300.
 */
import { describe, expect, it } from 'vitest';
import { runCrashRounds } from '../helpers/crash-rounds.ts';
import { folderBytes, temporaryFolder } from '../helpers/folders.ts';
import { amount, chooseSeed, noteFigures, round, spread } from '../helpers/scale.ts';
import { openDatabase } from '../helpers/sop.ts';

const seed = chooseSeed();
const kills = amount(20, 300, 'SOP_KILLS');

describe(`a process killed again and again (SOP_SEED=${seed})`, () => {
  it(
    `loses nothing it answered and leaves nothing half done, ${kills} times`,
    async () => {
      using folder = temporaryFolder('kill');
      const path = `${folder.path}/db`;
      const began = performance.now();
      const found = await runCrashRounds({ seed, rounds: kills, folder: path, crash: () => {}, outlived: false });
      const seconds = (performance.now() - began) / 1000;
      const left = await settle(path);
      const { openMs, ...counts } = found;
      noteFigures('kill-loop', {
        seed,
        ...counts,
        killsPerSecond: round(kills / seconds),
        openMs: spread(openMs),
        ...left,
      });
      expect(found.acknowledged).toBeGreaterThan(kills);
      expect(spread(openMs).p50).toBeLessThan(500);
      // What dead processes left behind is gone as well.
      expect(left.settledBytes).toBeLessThan(1.5 * left.freshBytes + (1 << 20));
    },
    30_000 + kills * 5_000,
  );
});

/** The folder's size once compacted, beside that of the same entries written once. */
async function settle(
  path: string,
): Promise<{ beforeBytes: number; settledBytes: number; freshBytes: number; files: number }> {
  const beforeBytes = folderBytes(path);
  const db = await openDatabase(path);
  await db.compact();
  const { live } = db.stats().sizeBytes;
  const { segments } = db.stats();
  await db.close();
  return { beforeBytes, settledBytes: folderBytes(path), freshBytes: live, files: segments };
}
