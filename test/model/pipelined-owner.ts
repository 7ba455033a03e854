/**
 * A holder with several batches under way, as steps of the model: each is given its place in order; then it is written, synced and
 * followed by a look at the seal on its own, in any order with the others. Answers are given in the order of places. A batch
 * states how many of its epoch's were answered when it was given.
 */
import {
  DURABLE,
  type EpochFile,
  historyOf,
  IDLE,
  type Item,
  idOf,
  type Member,
  NONE,
  removals,
  SEEN,
  type State,
  setFile,
  setMember,
  tell,
} from './epoch-state.ts';

export type Steps = (readonly [string, State])[];

export interface PipelineRules {
  readonly batchesPerEpoch: number;
  /** Most batches under way. */
  readonly pipeline: number;
  readonly notes: boolean;
  /** A rule that is off: what it is for is seen then. */
  readonly without?: PipelineRule | undefined;
}

export const PIPELINE_RULES = {
  'answers are given in the order of places': 'an answer before those in front of it',
  'a batch states only what was answered when it was given': 'a batch that states what was given',
  'a failure fails everything behind it': 'an answer after a failure',
} as const;
export type PipelineRule = keyof typeof PIPELINE_RULES;

export function pipelinedSteps(state: State, index: number, member: Member, rules: PipelineRules): Steps {
  const file = state.files[member.epoch];
  if (file === undefined || file.owner !== index) return [['finds its file gone', stopped(state, index, member)]];
  const { flight } = member;
  const steps: Steps = [];
  if (file.own.length < rules.batchesPerEpoch && flight.length < rules.pipeline) {
    steps.push(['gives a batch', give(state, index, member, file, rules)]);
  }
  for (const [at, { id, done }] of flight.entries()) {
    const number = file.own.findIndex((one) => one.id === id) + 1;
    if (done === 'given') {
      steps.push([`writes batch ${number}`, write(state, index, member, file, at)]);
      steps.push([`fails to write batch ${number}`, stopped(state, index, member)]);
    } else if (done === 'written') steps.push(...sync(state, index, member, file, at, number));
    else if (done === 'synced')
      steps.push([`reads the seal for batch ${number}`, look(state, index, member, at, rules)]);
  }
  if (rules.notes && flight.length === 0 && file.noted <= file.own.length) {
    steps.push(['writes a note', setFile(state, member.epoch, { ...file, noted: file.own.length + 1 })]);
  }
  steps.push(...removals(state, index, member));
  return steps;
}

/** Writes that were under way when the holder stopped. */
export function lateWrites(state: State, index: number, member: Member): Steps {
  const file = state.files[member.epoch];
  if (file === undefined || file.owner !== index) return [];
  return member.flight.flatMap(({ id, done }, at) => {
    const number = file.own.findIndex((one) => one.id === id) + 1;
    return done === 'given' ? [[`writes batch ${number}`, write(state, index, member, file, at)] as const] : [];
  });
}

function give(state: State, index: number, member: Member, file: EpochFile, rules: PipelineRules): State {
  const id = idOf(member.epoch, file.own.length, state.removed.includes(member.epoch) ? 1 : 0);
  const isHonest = rules.without !== 'a batch states only what was answered when it was given';
  const stated = isHonest ? file.own.length - member.flight.length : file.own.length;
  const given = setFile(state, member.epoch, { ...file, own: [...file.own, { id, stage: NONE, stated }] });
  return setMember(given, index, { flight: [...member.flight, { id, done: 'given' }] });
}

/** The one at `at` has come so far. */
function advance(member: Member, at: number, done: Member['flight'][0]['done']): Partial<Member> {
  return { flight: member.flight.map((one, i) => (i === at ? { ...one, done } : one)) };
}

function write(state: State, index: number, member: Member, file: EpochFile, at: number): State {
  const id = member.flight[at]?.id;
  const own = file.own.map((one): Item => (one.id === id ? { ...one, stage: SEEN } : one));
  return setMember(setFile(state, member.epoch, { ...file, own }), index, advance(member, at, 'written'));
}

/** All that is written of the file by then. */
function sync(state: State, index: number, member: Member, file: EpochFile, at: number, number: number): Steps {
  const failed: Steps[0] = [`fails to sync batch ${number}`, stopped(state, index, member)];
  if (member.lost) return [failed];
  const own = file.own.map((one): Item => (one.stage === SEEN ? { ...one, stage: DURABLE } : one));
  const synced = setMember(setFile(state, member.epoch, { ...file, own }), index, advance(member, at, 'synced'));
  return [[`syncs batch ${number}`, synced], failed];
}

function look(state: State, index: number, member: Member, at: number, rules: PipelineRules): State {
  const file = state.files[member.epoch] as EpochFile;
  if (file.seal !== NONE) {
    const rest = member.flight.filter((_, i) => i !== at);
    const goesOn = rules.without === 'a failure fails everything behind it' && rest.some(({ done }) => done === 'read');
    return goesOn ? answer(setMember(state, index, { flight: rest }), index, rules) : stopped(state, index, member);
  }
  return answer(setMember(state, index, advance(member, at, 'read')), index, rules);
}

/** From the first on, as far as all is well. */
function answer(state: State, index: number, rules: PipelineRules): State {
  let now = state;
  for (;;) {
    const member = now.members[index] as Member;
    const isOrdered = rules.without !== 'answers are given in the order of places';
    const at = isOrdered
      ? member.flight[0]?.done === 'read'
        ? 0
        : -1
      : member.flight.findIndex(({ done }) => done === 'read');
    if (at < 0) return now;
    const { id } = member.flight[at] as Member['flight'][0];
    const all = historyOf(now, member.epoch, SEEN, true);
    const end = all.records.indexOf(id) + 1;
    const doing = `the owner of epoch ${member.epoch} acknowledges`;
    const told = tell(now, { from: all.from, records: all.records.slice(0, end) }, doing);
    const isBehind = member.epoch < now.line;
    const late = isBehind ? `epoch ${member.epoch} acknowledges after epoch ${now.line}` : undefined;
    const hole = end === 0 ? `${doing} what stands behind a hole` : undefined;
    now = setMember({ ...told, fault: told.fault ?? late ?? hole, line: member.epoch }, index, {
      flight: member.flight.filter((_, i) => i !== at),
    });
  }
}

/** Nothing of it is answered any more; what was under way is unknown, and what was not written yet may still be. */
export function stopped(state: State, index: number, member: Member): State {
  if (member.flight.length === 0) return setMember(state, index, IDLE);
  const unknown = member.flight.map(({ id }) => id);
  const flight = member.flight.filter(({ done }) => done === 'given');
  return setMember(state, index, { ...IDLE, phase: 'stopped', epoch: member.epoch, unknown, flight });
}
