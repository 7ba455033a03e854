import { describe, expect, it } from 'vitest';
import { CorruptionError } from '../../src/base/errors.ts';
import { chooseSeed } from '../helpers/scale.ts';
import { fuzz, readCorpus, runInput, type Target } from './fuzz.ts';
import { allTargets } from './targets.ts';

const seed = chooseSeed() % 1_000_000;
const seconds = 0.4;

describe('every decoder', () => {
  it('answers all that is kept in the corpus with a value or a typed error', async () => {
    for (const target of await allTargets()) {
      for (const input of [...target.seeds, ...readCorpus(target.name)]) await runInput(target, input);
    }
  });

  it(`does the same with bytes that are nearly right (SOP_SEED=${seed})`, async () => {
    for (const target of await allTargets()) {
      const { inputs, parts } = await fuzz(target, seed, seconds);
      expect(inputs).toBeGreaterThan(100);
      expect(parts, target.name).toBeGreaterThan(2);
    }
  }, 300_000);
});

describe('the fuzzer', () => {
  const toy = (run: (bytes: Uint8Array) => unknown): Target => ({
    name: 'toy',
    seeds: [Uint8Array.of(1, 2, 3, 4)],
    run,
  });

  it('finds an error that is not ours', async () => {
    const target = toy((bytes) => (bytes.length > 6 ? (undefined as unknown as number[])[0] : 1));
    await expect(fuzz(target, 1, 1)).rejects.toThrow(/decoder toy, input .*TypeError/s);
  });

  it('finds memory taken on the word of a length', async () => {
    const kept: Uint8Array[] = [];
    const target = toy((bytes) => {
      if (bytes[0] === 0xff) kept.push(new Uint8Array(200_000_000));
      else throw new CorruptionError('fine');
    });
    await expect(fuzz(target, 2, 5)).rejects.toThrow(/200 MB/);
  });

  it('finds work without an end in sight', async () => {
    const target = toy((bytes) => {
      if (bytes.length < 6) return;
      for (const until = performance.now() + 300; performance.now() < until; );
    });
    await expect(fuzz(target, 3, 5)).rejects.toThrow(/takes 3\d\d ms/);
  });
});
