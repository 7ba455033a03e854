/**
 * The lanes catch what they are there for: a planted mistake turns its lane red, and unplanted the lane is green. Here every
 * twelfth mistake; the lane `planted` (`npm run planted`) takes all of them.
 */
import { describe, expect, it } from 'vitest';
import type { Lane } from './planted-bug.ts';
import { catchBug, firstRed, PLANTED_BUGS, PLANTED_LANES } from './planted-lanes.ts';

describe('a planted mistake', () => {
  for (const bug of PLANTED_BUGS.filter((_, at) => at % 12 === 0)) {
    it(`is caught: ${bug.name} (${bug.lane})`, { timeout: 300_000 }, async () => {
      const red = await catchBug(bug);
      expect(red, `no seed of ${PLANTED_LANES[bug.lane].seeds} shows it`).toBeDefined();
      if (process.env.SOP_STORY !== undefined) console.log(`seed ${red?.seed}: ${red?.error.slice(0, 600)}`);
    });
  }

  it('has a name of its own', () => {
    expect(new Set(PLANTED_BUGS.map(({ name }) => name)).size).toBe(PLANTED_BUGS.length);
  });
});

describe('without a mistake', () => {
  for (const lane of Object.keys(PLANTED_LANES) as Lane[]) {
    it(`the lane is green: ${lane}`, { timeout: 300_000 }, async () => {
      expect(await firstRed(lane, 1)).toBeUndefined();
    });
  }
});
