/** The real timers, on a clock of the test's. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemTimers } from '../../../src/env/system-world.ts';
import { Database } from '../../../src/store/database.ts';

const DAY_MS = 24 * 3600 * 1000;

// `setTimeout` takes what does not fit into 31 bits for a millisecond: a limit of 25 days, or of none, ended all work at once.
describe('timers', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  for (const days of [1, 25, 30, 60]) {
    it(`of ${days} days run once, then`, () => {
      let count = 0;
      systemTimers.after(days * DAY_MS, () => count++);
      vi.advanceTimersByTime(days * DAY_MS - 1);
      expect(count).toBe(0);
      vi.advanceTimersByTime(1);
      expect(count).toBe(1);
      vi.advanceTimersByTime(100 * DAY_MS);
      expect(count).toBe(1);
      expect(vi.getTimerCount()).toBe(0);
    });
  }

  it('are cancelled at any time', () => {
    for (const days of [1, 30]) {
      const timer = systemTimers.after(60 * DAY_MS, () => expect.unreachable());
      vi.advanceTimersByTime(days * DAY_MS);
      timer.cancel();
      expect(vi.getTimerCount()).toBe(0);
    }
  });

  it('without an end are none', () => {
    systemTimers.after(Number.POSITIVE_INFINITY, () => expect.unreachable()).cancel();
    expect(vi.getTimerCount()).toBe(0);
  });
});

it('a transaction takes a time limit of any length', async () => {
  const later = () => new Promise((resolve) => setTimeout(resolve, 10));
  const db = await Database.memory({ transactionTimeoutMs: 2 ** 31 });
  await db.write(later);
  for (const timeoutMs of [2 ** 31, 2 ** 40, Number.POSITIVE_INFINITY]) {
    await db.write(later, { timeoutMs });
    await db.read(later, { timeoutMs });
  }
  await db.close();
});
