/** Single cases of damage by number: drawn, judged, and, where one fails, cut down to the damage that is to blame. */
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { type Damage, damaged, drawDamage } from './damage.ts';
import { drawForgery } from './forge.ts';
import { Judge, Misjudged, type Outcome } from './judge.ts';
import { makeSubjects, type Subject } from './subjects.ts';
import { walkHostile } from './walk.ts';

export interface CaseResult {
  readonly outcome: Outcome | 'forged, refused' | 'forged, opened';
  readonly writable: boolean;
}

interface Case {
  readonly subject: Subject;
  readonly damages: readonly Damage[];
  readonly forged: boolean;
  readonly writable: boolean;
  /** Of the judge's own choices. */
  readonly judgeSeed: number;
}

function drawCase(subjects: readonly Subject[], seed: number, index: number): Case {
  const random = new SeededRandom(seed * 1_000_003 + index);
  const subject = random.pick(subjects);
  if (random.below(4) === 0) {
    const damages = [drawForgery(random, subject)];
    return { subject, damages, forged: true, writable: random.below(4) === 0, judgeSeed: random.next() };
  }
  const count = random.below(12) === 0 ? 2 + random.below(3) : 1;
  const damages = Array.from({ length: count }, () => drawDamage(random, subject));
  return { subject, damages, forged: false, writable: random.below(6) === 0, judgeSeed: random.next() };
}

async function judge(found: Case, damages: readonly Damage[]): Promise<CaseResult['outcome']> {
  const { subject, writable, judgeSeed } = found;
  if (found.forged) {
    const opened = await walkHostile(subject, damaged(subject.folder, damages), writable);
    return opened ? 'forged, opened' : 'forged, refused';
  }
  const one = new Judge(subject, damaged(subject.folder, damages), new SeededRandom(judgeSeed));
  const { outcome } = await (writable ? one.writable() : one.readOnly());
  return outcome;
}

/** Judges case `index` of `seed`; throws what is to be reported, damage and replay named. */
export async function runCase(subjects: readonly Subject[], seed: number, index: number): Promise<CaseResult> {
  const found = drawCase(subjects, seed, index);
  try {
    return { outcome: await judge(found, found.damages), writable: found.writable };
  } catch (error) {
    const { damages, message } = await smallest(found, error as Error);
    const how = found.writable ? 'opened for writing' : 'opened for reading';
    const what = damages.map(({ text }) => `  ${text}`).join('\n');
    throw new Misjudged(
      `case ${index} of SOP_SEED=${seed}, database '${found.subject.name}' ${how}:\n${what}\n${message}`,
    );
  }
}

/** One of the damages alone where one is enough. */
async function smallest(found: Case, first: Error): Promise<{ damages: readonly Damage[]; message: string }> {
  const all = { damages: found.damages, message: messageOf(first) };
  if (found.damages.length === 1) return all;
  for (const damage of found.damages) {
    try {
      await judge(found, [damage]);
    } catch (error) {
      return { damages: [damage], message: messageOf(error as Error) };
    }
  }
  return all;
}

function messageOf(error: Error): string {
  return error instanceof Misjudged ? error.message : String(error.stack);
}

const CASES_PER_ROUND = 500;
let made: readonly Subject[] | undefined;

/** A round of a lane; answers how many cases ended in what way. */
export async function corruptionRound(seed: number): Promise<Record<string, number>> {
  made ??= await makeSubjects();
  const counts: Record<string, number> = { cases: CASES_PER_ROUND };
  for (let index = 0; index < CASES_PER_ROUND; index++) {
    const { outcome } = await runCase(made, seed, index);
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}
