/**
 * A holder that goes on in a next epoch of its own, as steps of the model: it creates the file ahead, looks whether that was still
 * its right, makes the name durable; later, once everything it gave is answered, the header is written and synced, and the
 * seal of the new file is read.
 */
import {
  DURABLE,
  endOf,
  type EpochFile,
  type Member,
  NONE,
  SEEN,
  type Stage,
  type State,
  setFile,
  setMember,
} from './epoch-state.ts';
import { type Steps, stopped } from './pipelined-owner.ts';

export const FOLLOW_RULES = {
  'who follows itself sees its predecessor there, and nobody above': 'a name of the past taken for the next',
  'the next name is durable before the switch': 'a switch to a name that is not synced',
  'the next header is synced before the first batch': 'a switch without a sync',
  'a switch waits for what is under way': 'a header that names what is not durable',
} as const;
export type FollowRule = keyof typeof FOLLOW_RULES;

export interface FollowRules {
  readonly epochs: number;
  readonly without?: FollowRule | undefined;
}

export function followingSteps(state: State, index: number, member: Member, rules: FollowRules): Steps {
  switch (member.phase) {
    case 'ready':
      return nextSteps(state, index, member, rules);
    case 'following':
      return [['looks for predecessor and others', look(state, index, member, rules)]];
    case 'followed':
      return syncHeader(state, index, member, rules);
    case 'follow synced':
      return [[`reads the seal of epoch ${member.epoch}`, readSeal(state, index, member)]];
    default:
      return [];
  }
}

function nextSteps(state: State, index: number, member: Member, rules: FollowRules): Steps {
  const { next } = member;
  if (next === 0) return create(state, index, member, rules);
  const steps: Steps = [];
  if (!member.nextReady) {
    steps.push([`makes epoch ${next} durable`, makeDurable(state, index, member)]);
    steps.push([`fails to make epoch ${next} durable`, stopped(state, index, member)]);
  }
  const isReady = member.nextReady || rules.without === 'the next name is durable before the switch';
  // Written is the least that a header may name, by mistake.
  const isQuiet =
    rules.without === 'a switch waits for what is under way'
      ? member.flight.every(({ done }) => done !== 'given')
      : member.flight.length === 0;
  if (isReady && isQuiet) steps.push([`writes the header of epoch ${next}`, writeHeader(state, index, member)]);
  return steps;
}

function create(state: State, index: number, member: Member, rules: FollowRules): Steps {
  const next = member.epoch + 1;
  if (next > rules.epochs) return [];
  if (state.files[next] !== undefined) return [['finds its next name taken', stopped(state, index, member)]];
  const file: EpochFile = {
    owner: index,
    name: SEEN,
    header: NONE,
    seal: NONE,
    before: member.epoch,
    taken: 0,
    copiedCount: 0,
    copies: [],
    own: [],
    noted: 0,
  };
  return [[`prepares epoch ${next}`, setMember(setFile(state, next, file), index, { phase: 'following', next })]];
}

function look(state: State, index: number, member: Member, rules: FollowRules): State {
  const { next, epoch } = member;
  const mine: Partial<Member> = { phase: 'ready' };
  if (rules.without === 'who follows itself sees its predecessor there, and nobody above')
    return setMember(state, index, mine);
  if (state.files[epoch] === undefined) {
    const isOwn = owns(state, index, next);
    return stopped(isOwn ? setFile(state, next, undefined) : state, index, member);
  }
  const isBelow = state.files.some((file, at) => at > next && file !== undefined);
  return isBelow || !owns(state, index, next) ? stopped(state, index, member) : setMember(state, index, mine);
}

function makeDurable(state: State, index: number, member: Member): State {
  if (member.lost) return stopped(state, index, member);
  const files = state.files.map((file) => file && { ...file, name: DURABLE as Stage });
  return setMember({ ...state, files }, index, { nextReady: true });
}

function writeHeader(state: State, index: number, member: Member): State {
  const { next } = member;
  const file = state.files[next];
  if (file === undefined || file.owner !== index) return stopped(state, index, member);
  // It has the old file open, also where others have removed it.
  const taken = owns(state, index, member.epoch) ? endOf(state.files[member.epoch] as EpochFile) : member.taken;
  const written: EpochFile = { ...file, header: SEEN, taken, before: member.epoch };
  const change: Partial<Member> = { phase: 'followed', epoch: next, next: 0, nextReady: false, taken: 0, flight: [] };
  return setMember(setFile(state, next, written), index, change);
}

function syncHeader(state: State, index: number, member: Member, rules: FollowRules): Steps {
  const file = state.files[member.epoch];
  const failed = stopped(state, index, member);
  if (file === undefined || file.owner !== index || member.lost) return [['fails to sync the next header', failed]];
  const synced = setFile(state, member.epoch, { ...file, header: DURABLE });
  const steps: Steps = [
    ['syncs the next header', setMember(synced, index, { phase: 'follow synced' })],
    ['fails to sync the next header', failed],
  ];
  if (rules.without === 'the next header is synced before the first batch') {
    steps.push(['does not sync the next header', setMember(state, index, { phase: 'follow synced' })]);
  }
  return steps;
}

function readSeal(state: State, index: number, member: Member): State {
  const file = state.files[member.epoch];
  if (file === undefined || file.owner !== index) return stopped(state, index, member);
  return file.seal !== NONE ? stopped(state, index, member) : setMember(state, index, { phase: 'ready' });
}

function owns(state: State, index: number, epoch: number): boolean {
  return state.files[epoch]?.owner === index;
}
