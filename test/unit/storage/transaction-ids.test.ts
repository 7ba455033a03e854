/** Which transactions committed: what is remembered of them, and for how long. */
import { describe, expect, it } from 'vitest';
import { decodeWriterIds, encodeWriterIds, WriterIds } from '../../../src/storage/transaction-ids.ts';

/** Every second one commits. */
function losers(ids: WriterIds, from: number, count: number): number {
  for (let i = 0; i < count; i++) ids.noteCommitted(from + 2 * i + 1, 1);
  return from + 2 * count;
}

const outcomes = (ids: WriterIds, ...counters: number[]): unknown[] => counters.map((one) => ids.outcome(one));

describe('ids of transactions', () => {
  it('are known to have committed or not, until too many after them have not', () => {
    const ids = new WriterIds();
    losers(ids, 1, 300);
    expect(outcomes(ids, 1, 2, 599, 600, 601)).toEqual(['unknown', 'committed', 'unknown', 'committed', 'unknown']);
    losers(ids, 601, 1);
    expect(outcomes(ids, 1, 2, 3)).toEqual([undefined, 'committed', 'unknown']);
  });

  it('stay known while they are prepared, and after their decision as long as what committed then', () => {
    const ids = new WriterIds();
    let waiting = 2;
    ids.lowestPrepared = () => waiting;
    ids.noteCommitted(1, 1);
    let next = losers(ids, 2, 1000);
    ids.noteCommitted(2, 1);
    ids.noteDecided(2);
    waiting = Number.POSITIVE_INFINITY;
    const decidedAt = next - 1;
    next = losers(ids, next, 250);
    expect(outcomes(ids, 2, decidedAt)).toEqual(['committed', 'committed']);
    next = losers(ids, next, 300);
    expect(outcomes(ids, 2, decidedAt)).toEqual([undefined, undefined]);
    expect(ids.missing.size).toBeLessThanOrEqual(300);
  });

  it('fit a row, whatever waits', () => {
    const ids = new WriterIds();
    ids.lowestPrepared = () => 1;
    let next = 1;
    let longest = 0;
    for (let i = 0; i < 100; i++) {
      next = losers(ids, next, 173);
      const row = encodeWriterIds(ids);
      longest = Math.max(longest, row.length);
      expect([...decodeWriterIds(row).missing]).toEqual([...ids.missing]);
    }
    expect(longest).toBeGreaterThan(40_000);
    expect(longest).toBeLessThan(50_000);
    ids.noteCommitted(next + 1_000_000, 1);
    expect(ids.outcome(next + 999_999)).toBe('unknown');
    expect(encodeWriterIds(ids).length).toBeLessThan(50_000);
  });

  it('are a hundred thousand at the least where all commit', () => {
    const ids = new WriterIds();
    for (let counter = 1; counter <= 150_000; counter++) ids.noteCommitted(counter, 1);
    expect(outcomes(ids, 1, 50_001, 150_000)).toEqual([undefined, 'committed', 'committed']);
  });
});
