/** Ages of snapshots are right to an eighth, with few marks. */
import { expect, it } from 'vitest';
import { SnapshotAges } from '../../../src/transaction/snapshot-ages.ts';

it('an age is right to an eighth, from tenths of a second to days', () => {
  const ages = new SnapshotAges();
  const madeAt: number[] = [0];
  let nowMs = 0;
  let stepMs = 1;
  // Commits come ever more slowly: a hundred thousand of them over a month.
  for (let number = 1; number <= 100_000; number++) {
    nowMs += stepMs;
    stepMs *= 1.00009;
    madeAt[number] = nowMs;
    ages.note(number, nowMs);
  }
  for (let snapshot = 0; snapshot < 99_000; snapshot += 37) {
    const really = nowMs - (madeAt[snapshot + 1] as number);
    const found = ages.ageMs(snapshot, nowMs);
    expect(found).toBeLessThanOrEqual(really);
    expect(found).toBeGreaterThanOrEqual(really * (7 / 8) - 8000);
  }
  expect(ages.ageMs(100_000, nowMs)).toBe(0);
});

it('nothing noted, nothing old', () => {
  expect(new SnapshotAges().ageMs(5, 1000)).toBe(0);
});
