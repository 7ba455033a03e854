/**
 * A round of the lane: one decoder for some seconds; the next seed takes the next one. `node test/fuzz/fuzz-round.ts [decoder] [seconds]`
 * fuzzes by hand and keeps what runs new parts in the corpus.
 */
import { chooseSeed } from '../helpers/scale.ts';
import { fuzz } from './fuzz.ts';
import { allTargets } from './targets.ts';

const SECONDS_PER_ROUND = 4;

export async function fuzzRound(seed: number): Promise<Record<string, number>> {
  const targets = await allTargets();
  const target = targets[seed % targets.length] as (typeof targets)[0];
  const { inputs, kept } = await fuzz(target, seed, SECONDS_PER_ROUND);
  return { seconds: SECONDS_PER_ROUND, inputs, kept };
}

async function byHand(which: string | undefined, seconds: number): Promise<void> {
  for (const target of await allTargets()) {
    if (which !== undefined && which !== 'all' && target.name !== which) continue;
    console.log(target.name, await fuzz(target, chooseSeed(), seconds, true));
  }
}

if (process.argv[1] === import.meta.filename) await byHand(process.argv[2], Number(process.argv[3] ?? 60));
