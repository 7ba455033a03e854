/**
 * The order in which epochs are taken and held (ENGINE.md, "The log and its epochs"), as steps of members that may stop between
 * any two of them for ever: who does not move is dead, paused, or cut off. Each rule can be switched off to see what it is for.
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
  type RecordId,
  removals,
  SEEN,
  type Stage,
  type State,
  setFile,
  setMember,
  tell,
  textOf,
} from './epoch-state.ts';
import type { Model } from './explore.ts';
import { type FollowRule, followingSteps } from './following-owner.ts';
import { lateWrites, type PipelineRule, pipelinedSteps, type Steps } from './pipelined-owner.ts';

/** The rules; each is on unless named. */
export const RULES = {
  'copies are synced before the header': 'header and copies in one sync',
  'the owner never writes the seal': 'a seal that the owner may zero',
  'a tail that is not proven is copied': 'an uncopied tail',
  'the seal is read before an acknowledgement': 'no seal check',
  'a batch is synced before an acknowledgement': 'an acknowledgement before the sync',
  'verdicts come from epochs that count': 'a verdict from a header that does not count yet',
  'the predecessor must still be there, and nobody above': 'a reclaimed name created again',
  'the folder is synced before the first batch': 'a folder not synced',
  'the end is read after the seal is durable': 'an end read before the seal was synced',
  'the seal is synced': 'a seal not synced',
  'files without a header are sealed too': 'only the newest header sealed',
  'a header that came meanwhile is seen': 'no second look for headers',
  'a header that is not proven is written again': 'a header believed that may be lost',
  'our own seal is read before the first batch': 'an own seal not read before the first batch',
} as const;
export type Rule = keyof typeof RULES;

export interface ModelOptions {
  readonly members: number;
  readonly epochs: number;
  readonly batchesPerEpoch: number;
  readonly crashes: number;
  /** Idle holders write their durable number once more. */
  readonly notes?: boolean;
  /** Most batches that a holder has under way; 1 unless given. */
  readonly pipeline?: number;
  /** Holders go on in next epochs of their own. */
  readonly follows?: boolean;
  readonly without?: Rule | PipelineRule | FollowRule | undefined;
}

export class EpochModel implements Model<State> {
  readonly start: State;
  readonly #options: ModelOptions;

  constructor(options: ModelOptions) {
    this.#options = options;
    const first: EpochFile = {
      owner: 0,
      name: DURABLE,
      header: DURABLE,
      seal: NONE,
      before: 0,
      taken: 0,
      copiedCount: 0,
      copies: [],
      own: [],
      noted: 0,
    };
    const members = Array.from({ length: options.members }, () => IDLE);
    members[0] = { ...IDLE, phase: 'ready', epoch: 1 };
    const files = Array.from({ length: options.epochs + 1 }, (_, epoch) => (epoch === 1 ? first : undefined));
    this.start = { files, members, truth: [], out: [], line: 0, removed: [], crashes: 0, fault: undefined };
  }

  key(state: State): string {
    // The first member began as the holder; the others are alike.
    let least = textOf(
      state,
      state.members.map((_, i) => i),
    );
    if (state.members.length === 3) {
      const other = textOf(state, [0, 2, 1]);
      if (other < least) least = other;
    }
    return least;
  }

  next(state: State): Steps {
    if (state.fault !== undefined) return [];
    const steps: Steps = [];
    for (const [index, member] of state.members.entries()) {
      for (const [label, reached] of this.moves(state, index, member))
        steps.push([`${'ABCDE'[index]} ${label}`, reached]);
    }
    if (state.crashes < this.#options.crashes) steps.push(...crashesOf(state));
    return steps;
  }

  broken(state: State): string | undefined {
    if (state.fault !== undefined) return state.fault;
    if (state.out.some((id) => state.truth.includes(id))) return 'a record that was told to be out is in';
    if (state.line === 0) return undefined;
    const kept = historyOf(state, state.line, DURABLE, true);
    for (const [at, id] of state.truth.entries()) {
      if (at >= kept.from && kept.records[at - kept.from] !== id) return `acknowledged number ${at + 1} is not durable`;
    }
    return undefined;
  }

  /** What one member can do now. */
  moves(state: State, index: number, member: Member): Steps {
    switch (member.phase) {
      case 'idle':
        return [['looks for the newest header', this.#view(state, index)]];
      case 'viewed':
        return [['writes seals', this.#seal(state, index, member)]];
      case 'sealing':
        return [['syncs seals and folder', this.#syncSeals(state, index, member)]];
      case 'sealed':
        return [['reads where the old epoch ends', this.#plan(state, index, member)]];
      case 'planned':
        return this.#create(state, index, member);
      case 'created':
        return [['looks for predecessor and others', this.#check(state, index, member)]];
      case 'checked':
        return [['writes copies', this.#copy(state, index, member)]];
      case 'copied':
        return [['syncs copies', this.#syncOwn(state, index, member, 'copies synced')]];
      case 'copies synced':
        return [['writes its header', this.#writeHeader(state, index, member)]];
      case 'header written':
        return [['syncs its header', this.#syncOwn(state, index, member, 'header synced')]];
      case 'header synced':
        return [['reads its own seal', this.#begin(state, index, member)]];
      case 'ready':
        return [
          ...(this.#isPipelined
            ? pipelinedSteps(state, index, member, this.#pipeline)
            : this.#hold(state, index, member)),
          ...this.#follow(state, index, member),
        ];
      case 'following':
      case 'followed':
      case 'follow synced':
        return this.#follow(state, index, member);
      case 'written':
        return this.#syncBatch(state, index, member);
      case 'synced':
        return [['reads the seal', this.#answer(state, index, member)]];
      case 'stopped':
        return [...this.#verdict(state, index, member), ...lateWrites(state, index, member)];
    }
  }

  get #isPipelined(): boolean {
    return (this.#options.pipeline ?? 1) > 1;
  }

  get #pipeline() {
    const { batchesPerEpoch, pipeline = 1, notes = false, without } = this.#options;
    return { batchesPerEpoch, pipeline, notes, without: without as PipelineRule };
  }

  #follow(state: State, index: number, member: Member): Steps {
    const { follows = false, epochs, without } = this.#options;
    return follows ? followingSteps(state, index, member, { epochs, without: without as FollowRule }) : [];
  }

  #has(rule: Rule): boolean {
    return this.#options.without !== rule;
  }

  #view(state: State, index: number): State {
    let newest = 0;
    let highest = 0;
    for (const [epoch, file] of state.files.entries()) {
      if (file === undefined) continue;
      highest = epoch;
      if (file.header >= SEEN) newest = epoch;
    }
    const viewed = setMember(state, index, { ...IDLE, phase: 'viewed', newest, highest });
    if (this.#has('the end is read after the seal is durable')) return viewed;
    return this.#readEnd(viewed, index, viewed.members[index] as Member, 'viewed');
  }

  #seal(state: State, index: number, member: Member): State {
    // A file that it has open is gone.
    if (member.lost) return setMember(state, index, IDLE);
    let sealed = state;
    for (let epoch = member.newest; epoch <= member.highest; epoch++) {
      const file = sealed.files[epoch];
      if (file === undefined) continue;
      if (epoch > member.newest && !this.#has('files without a header are sealed too')) continue;
      const rewrites = epoch === member.newest && this.#has('a header that is not proven is written again');
      const header = rewrites && file.header === NONE ? SEEN : file.header;
      sealed = setFile(sealed, epoch, { ...file, header, seal: file.seal === DURABLE ? DURABLE : SEEN });
    }
    return setMember(sealed, index, { phase: 'sealing' });
  }

  #syncSeals(state: State, index: number, member: Member): State {
    if (member.lost) return setMember(state, index, IDLE);
    let synced = state;
    for (let epoch = member.newest; epoch <= member.highest; epoch++) {
      const file = synced.files[epoch];
      if (file === undefined) continue;
      // Sealed by us or not at all: where files went away and came again, we seal what is there.
      const seal = file.seal === SEEN && this.#has('the seal is synced') ? DURABLE : file.seal;
      const rewrites = epoch === member.newest && this.#has('a header that is not proven is written again');
      const header = rewrites && file.header === SEEN ? DURABLE : file.header;
      synced = setFile(synced, epoch, { ...file, seal, header });
    }
    const isNew = synced.files.some(
      (file, epoch) => epoch > member.newest && epoch <= member.highest && (file?.header ?? 0) >= SEEN,
    );
    if (isNew && this.#has('a header that came meanwhile is seen')) return setMember(synced, index, IDLE);
    return setMember(syncFolder(synced), index, { phase: 'sealed' });
  }

  #plan(state: State, index: number, member: Member): State {
    if (!this.#has('the end is read after the seal is durable')) return setMember(state, index, { phase: 'planned' });
    return this.#readEnd(state, index, member, 'planned');
  }

  /** All but the last batch of an owner is proven by the one behind it; copies are proven by the header. */
  #readEnd(state: State, index: number, member: Member, phase: Member['phase']): State {
    const file = state.files[member.newest];
    // It has the file open and reads on in it; that others removed it is what the look after the creation is for.
    if (file === undefined) return setMember(state, index, { phase, taken: 0, copies: [] });
    const all = historyOf(state, member.newest, SEEN, true);
    const hole = file.own.findIndex(({ stage }) => stage === NONE);
    const seen = hole < 0 ? file.own : file.own.slice(0, hole);
    const proven = seen.reduce((most, { stated }, at) => Math.max(most, stated ?? at), Math.max(0, file.noted - 1));
    const tail = this.#has('a tail that is not proven is copied') ? Math.max(0, seen.length - proven) : 0;
    const taken = all.from + all.records.length - tail;
    return setMember(state, index, { phase, taken, copies: all.records.slice(all.records.length - tail) });
  }

  #create(state: State, index: number, member: Member): Steps {
    const epoch = member.highest + 1;
    if (epoch > this.#options.epochs) return [];
    if (state.files[epoch] !== undefined) return [['finds its name taken', setMember(state, index, IDLE)]];
    const file: EpochFile = {
      owner: index,
      name: SEEN,
      header: NONE,
      seal: NONE,
      before: member.newest,
      taken: member.taken,
      copiedCount: member.copies.length,
      copies: [],
      own: [],
      noted: 0,
    };
    return [[`creates epoch ${epoch}`, setMember(setFile(state, epoch, file), index, { phase: 'created', epoch })]];
  }

  #check(state: State, index: number, member: Member): State {
    if (!this.#owns(state, index, member)) return setMember(state, index, IDLE);
    if (!this.#has('the predecessor must still be there, and nobody above'))
      return setMember(state, index, { phase: 'checked' });
    const isGone = state.files[member.newest] === undefined;
    const isBelow = state.files.some((file, epoch) => epoch > member.epoch && file !== undefined);
    if (isGone) return setMember(setFile(state, member.epoch, undefined), index, IDLE);
    return setMember(state, index, isBelow ? IDLE : { phase: 'checked' });
  }

  #copy(state: State, index: number, member: Member): State {
    const file = this.#owns(state, index, member);
    if (file === undefined) return setMember(state, index, IDLE);
    const copies: Item[] = member.copies.map((id) => ({ id, stage: SEEN }));
    const inOneSync = !this.#has('copies are synced before the header');
    const phase = inOneSync ? 'header written' : 'copied';
    return setMember(setFile(state, member.epoch, { ...file, copies, header: inOneSync ? SEEN : file.header }), index, {
      phase,
    });
  }

  #writeHeader(state: State, index: number, member: Member): State {
    const file = this.#owns(state, index, member);
    if (file === undefined) return setMember(state, index, IDLE);
    return setMember(setFile(state, member.epoch, { ...file, header: SEEN }), index, { phase: 'header written' });
  }

  /** File and folder. */
  #syncOwn(state: State, index: number, member: Member, phase: Member['phase']): State {
    const file = this.#owns(state, index, member);
    if (file === undefined || member.lost) return setMember(state, index, IDLE);
    const copies = file.copies.map(({ id }) => ({ id, stage: DURABLE }) as Item);
    const header: Stage = file.header === SEEN ? DURABLE : file.header;
    let synced = setFile(state, member.epoch, { ...file, copies, header });
    if (this.#has('the folder is synced before the first batch')) synced = syncFolder(synced);
    return setMember(synced, index, { phase });
  }

  #begin(state: State, index: number, member: Member): State {
    const file = this.#owns(state, index, member);
    if (file === undefined) return setMember(state, index, IDLE);
    const isSealed = file.seal !== NONE && this.#has('our own seal is read before the first batch');
    return setMember(state, index, isSealed ? IDLE : { ...IDLE, phase: 'ready', epoch: member.epoch });
  }

  #hold(state: State, index: number, member: Member): Steps {
    const file = this.#owns(state, index, member);
    if (file === undefined) return [['finds its file gone', setMember(state, index, IDLE)]];
    const steps: Steps = [];
    if (file.own.length < this.#options.batchesPerEpoch) {
      const life = state.removed.includes(member.epoch) ? 1 : 0;
      const id = idOf(member.epoch, file.own.length, life);
      const own = [...file.own, { id, stage: SEEN } as Item];
      steps.push([
        'writes a batch',
        setMember(setFile(state, member.epoch, { ...file, own }), index, { phase: 'written' }),
      ]);
    }
    if (this.#options.notes === true && file.noted <= file.own.length) {
      steps.push(['writes a note', setFile(state, member.epoch, { ...file, noted: file.own.length + 1 })]);
    }
    if (!this.#has('the owner never writes the seal') && file.seal !== NONE) {
      steps.push(['writes zeros over the seal', setFile(state, member.epoch, { ...file, seal: NONE })]);
    }
    steps.push(...removals(state, index, member));
    return steps;
  }

  #syncBatch(state: State, index: number, member: Member): Steps {
    const file = this.#owns(state, index, member);
    const unknown = [file?.own.at(-1)?.id ?? 0];
    const failed = setMember(state, index, { ...IDLE, phase: 'stopped', epoch: member.epoch, unknown });
    if (file === undefined || member.lost) return [['fails to sync its batch', failed]];
    const steps: Steps = [];
    if (!this.#has('a batch is synced before an acknowledgement')) {
      steps.push(['does not sync its batch', setMember(state, index, { phase: 'synced' })]);
    }
    const own = file.own.map(({ id }) => ({ id, stage: DURABLE }) as Item);
    steps.push([
      'syncs its batch',
      setMember(setFile(state, member.epoch, { ...file, own }), index, { phase: 'synced' }),
    ]);
    steps.push(['fails to sync its batch', failed]);
    return steps;
  }

  #answer(state: State, index: number, member: Member): State {
    const file = this.#owns(state, index, member);
    const unknown = [file?.own.at(-1)?.id ?? 0];
    const isSealed = file === undefined || file.seal !== NONE;
    if (isSealed && this.#has('the seal is read before an acknowledgement')) {
      return setMember(state, index, { ...IDLE, phase: 'stopped', epoch: member.epoch, unknown });
    }
    if (file === undefined) return setMember(state, index, IDLE);
    const told = tell(
      state,
      historyOf(state, member.epoch, SEEN, true),
      `the owner of epoch ${member.epoch} acknowledges`,
    );
    const fault =
      told.fault ??
      (member.epoch < state.line ? `epoch ${member.epoch} acknowledges after epoch ${state.line}` : undefined);
    return setMember({ ...told, fault, line: member.epoch }, index, { phase: 'ready' });
  }

  /** What became of a batch that was not acknowledged: the newest epoch that counts says it. */
  #verdict(state: State, index: number, member: Member): Steps {
    let newest = 0;
    for (const [epoch, file] of state.files.entries()) {
      if (file === undefined || file.header === NONE || epoch <= member.epoch) continue;
      if ((file.own[0]?.stage ?? NONE) >= SEEN || file.noted > 0 || !this.#has('verdicts come from epochs that count'))
        newest = epoch;
    }
    if (newest === 0) return [];
    const history = historyOf(state, newest, SEEN, false);
    const [unknown = 0, ...others] = member.unknown;
    const isReclaimed = history.from > 0 && !history.records.includes(unknown);
    // The root that the files went for holds its number; ids say whether it is in.
    const isIn = isReclaimed ? state.truth.includes(unknown) : history.records.includes(unknown);
    const done = setMember(state, index, others.length === 0 ? IDLE : { unknown: others });
    if (!isIn)
      return [['is told that its batch is out', { ...done, out: [...state.out, unknown].sort((a, b) => a - b) }]];
    const line = Math.max(state.line, newest);
    return [['is told that its batch is in', { ...tell(done, history, 'a verdict is given'), line }]];
  }

  #owns(state: State, index: number, member: Member): EpochFile | undefined {
    const file = state.files[member.epoch];
    return file?.owner === index ? file : undefined;
  }
}

function syncFolder(state: State): State {
  return {
    ...state,
    files: state.files.map((file) => file && (file.name === DURABLE ? file : { ...file, name: DURABLE as Stage })),
  };
}

/** All that a crash of the server can leave. */
function crashesOf(state: State): Steps {
  let results: State[] = [{ ...state, crashes: state.crashes + 1 }];
  const fork = (change: (s: State) => State): void => {
    results = results.flatMap((one) => [one, change(one)]);
  };
  for (const [epoch, file] of state.files.entries()) {
    if (file === undefined) continue;
    const lose = (s: State, changed: Partial<EpochFile>): State => {
      const now = s.files[epoch];
      return now === undefined ? s : markLost(setFile(s, epoch, { ...now, ...changed }), file.owner);
    };
    if (file.name === SEEN) fork((s) => loseSeal(markLost(setFile(s, epoch, undefined), file.owner), epoch));
    if (file.header === SEEN) fork((s) => loseHeader(lose(s, { header: NONE }), epoch));
    if (file.seal === SEEN) fork((s) => loseSeal(s, epoch));
    if (file.copies.some(({ stage }) => stage === SEEN)) fork((s) => lose(s, { copies: [] }));
    // Never synced, and true all the same.
    if (file.noted > 0)
      fork((s) => ({ ...s, files: s.files.map((one, at) => (at === epoch && one ? { ...one, noted: 0 } : one)) }));
    // Of several under way each by itself; their places stay.
    for (const { id, stage, stated } of file.own) {
      if (stage === SEEN && stated !== undefined) fork((s) => loseOwn(s, epoch, id));
    }
    if (file.own.some(({ stage, stated }) => stage === SEEN && stated === undefined)) {
      fork((s) => lose(s, { own: (s.files[epoch]?.own ?? []).filter(({ stage }) => stage === DURABLE) }));
    }
  }
  return results.map((one) => ['the server crashes', one] as const);
}

function loseOwn(state: State, epoch: number, id: RecordId): State {
  const file = state.files[epoch];
  if (file === undefined) return state;
  const own = file.own.map((one) => (one.id === id ? ({ ...one, stage: NONE } as Item) : one));
  return markLost(setFile(state, epoch, { ...file, own }), file.owner);
}

function markLost(state: State, owner: number): State {
  const member = state.members[owner] as Member;
  return member.phase === 'idle' || member.phase === 'stopped' ? state : setMember(state, owner, { lost: true });
}

/** Who has written the header once more has lost that write too. */
function loseHeader(state: State, epoch: number): State {
  let lost = state;
  for (const [index, member] of lost.members.entries()) {
    if (member.phase === 'sealing' && member.newest === epoch) lost = setMember(lost, index, { lost: true });
  }
  return lost;
}

/** Whoever has just written a seal there, or into a file that is gone, has lost it. */
function loseSeal(state: State, epoch: number): State {
  const file = state.files[epoch];
  let lost = file === undefined ? state : setFile(state, epoch, { ...file, seal: NONE });
  for (const [index, member] of lost.members.entries()) {
    const hasIt = member.phase === 'sealing' || (file === undefined && member.phase === 'viewed');
    if (hasIt && member.newest <= epoch && epoch <= member.highest) lost = setMember(lost, index, { lost: true });
  }
  return lost;
}
