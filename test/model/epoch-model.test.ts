/** The epoch order, explored: with all rules no promise is broken; without any one of them there is a way to break one. */
import { describe, expect, it } from 'vitest';
import { isFull, noteFigures } from '../helpers/scale.ts';
import { EpochModel, type ModelOptions, RULES, type Rule } from './epoch-model.ts';
import { explore } from './explore.ts';
import { FOLLOW_RULES, type FollowRule } from './following-owner.ts';
import { PIPELINE_RULES, type PipelineRule } from './pipelined-owner.ts';

const config = (members: number, epochs: number, batchesPerEpoch: number, crashes: number): ModelOptions => ({
  members,
  epochs,
  batchesPerEpoch,
  crashes,
});

/** From quickly explored to slowly. */
const SMALL = [config(3, 3, 1, 0), config(2, 3, 2, 1), { ...config(2, 3, 1, 1), notes: true }];
const MIDDLE = config(3, 3, 1, 1);
/** Two batches of a holder under way at once. */
const PIPELINED = [
  { ...config(2, 2, 2, 1), pipeline: 2 },
  { ...config(2, 3, 2, 0), pipeline: 2 },
];
/** Holders that go on in next epochs of their own. */
const FOLLOWING = [
  { ...config(2, 3, 1, 1), follows: true },
  { ...config(2, 2, 2, 1), pipeline: 2, follows: true },
];
const LARGE = [
  { ...config(2, 4, 1, 1), follows: true },
  { ...config(2, 3, 2, 0), pipeline: 2, follows: true },
  { ...config(3, 3, 1, 0), follows: true },
  { ...config(2, 3, 2, 1), pipeline: 2 },
  { ...config(3, 3, 1, 0), notes: true },
  { ...config(2, 3, 2, 1), notes: true },
  config(2, 4, 2, 1),
  config(2, 3, 2, 2),
];
/** More states than the largest has: the search is meant to end by itself. */
const LIMIT = 3_000_000;

const named = ({ members, epochs, batchesPerEpoch, crashes, notes, pipeline = 1, follows }: ModelOptions): string =>
  `${follows === true ? 'holders that follow themselves, ' : ''}${notes === true ? 'with notes, ' : ''}${pipeline > 1 ? `${pipeline} batches under way, ` : ''}${members} members, ${epochs} epochs, ${batchesPerEpoch} batches each, ${crashes} crashes of the server`;

describe('the epoch order', () => {
  for (const options of [...SMALL, MIDDLE, ...PIPELINED, ...FOLLOWING, ...(isFull ? LARGE : [])]) {
    it(`keeps every promise in every state of ${named(options)}`, () => {
      const { states, complete, counterexample, steps } = explore(new EpochModel(options), LIMIT);
      expect(counterexample?.join('\n')).toBeUndefined();
      expect(complete).toBe(true);
      noteFigures(`epoch-model-${Object.values(options).join('-')}`, { states, steps });
    }, 300_000);
  }
});

describe('without the rule that', () => {
  for (const [rule, shortcut] of Object.entries(RULES)) {
    it(`${rule}, a promise is broken (${shortcut})`, () => {
      let found: readonly string[] | undefined;
      for (const options of [...SMALL, MIDDLE, config(3, 3, 2, 1)]) {
        found = explore(new EpochModel({ ...options, without: rule as Rule }), 600_000).counterexample;
        if (found !== undefined) break;
      }
      expect(found, 'a counterexample').toBeDefined();
      console.log(`${shortcut}:\n  ${(found as string[]).join('\n  ')}`);
    }, 300_000);
  }
});

describe('with several batches under way, without the rule that', () => {
  for (const [rule, shortcut] of Object.entries(PIPELINE_RULES)) {
    it(`${rule}, a promise is broken (${shortcut})`, () => {
      const options = { ...config(2, 3, 2, 0), pipeline: 2, without: rule as PipelineRule };
      const found = explore(new EpochModel(options), 600_000).counterexample;
      expect(found, 'a counterexample').toBeDefined();
      console.log(`${shortcut}:\n  ${(found as string[]).join('\n  ')}`);
    });
  }
});

describe('where holders follow themselves, without the rule that', () => {
  for (const [rule, shortcut] of Object.entries(FOLLOW_RULES)) {
    it(`${rule}, a promise is broken (${shortcut})`, () => {
      let found: readonly string[] | undefined;
      for (const options of [config(2, 3, 1, 0), config(2, 3, 1, 1), { ...config(2, 2, 1, 1), pipeline: 2 }]) {
        const model = new EpochModel({ ...options, follows: true, without: rule as FollowRule });
        found = explore(model, 600_000).counterexample;
        if (found !== undefined) break;
      }
      expect(found, 'a counterexample').toBeDefined();
      console.log(`${shortcut}:\n  ${(found as string[]).join('\n  ')}`);
    }, 300_000);
  }
});
