/**
 * The states of the model of the epoch order: log files as everybody sees them and as the disk has them, members at some step of
 * holding or taking, and what was promised to whom.
 *
 * Writes are seen by all at once and are durable after a sync of the member that wrote them: a sync flushes nobody else's. A
 * crash of the server keeps or loses each other write by itself. No lock and no clock keeps anybody from anything.
 */

/** A batch: which epoch's owner wrote it, and which one of its it was. */
export type RecordId = number;

export const NONE = 0;
/** Seen by all, not durable. */
export const SEEN = 1;
export const DURABLE = 2;
export type Stage = typeof NONE | typeof SEEN | typeof DURABLE;

export interface Item {
  readonly id: RecordId;
  /** NONE: its place was given, or lost in a crash, and nothing stands there. */
  readonly stage: Stage;
  /** Own batches of the epoch that it states answered; left out where it states all before it. */
  readonly stated?: number;
}

/** A batch under way, of a holder that has several. */
export interface Flight {
  readonly id: RecordId;
  readonly done: 'given' | 'written' | 'synced' | 'read';
}

export interface EpochFile {
  readonly owner: number;
  /** Of its name in the folder. */
  readonly name: Stage;
  readonly header: Stage;
  readonly seal: Stage;
  /** What the header says: the epoch before and how many records in all are taken of it. */
  readonly before: number;
  readonly taken: number;
  /** Records the header calls copied, whether they are there or not. */
  readonly copiedCount: number;
  readonly copies: readonly Item[];
  readonly own: readonly Item[];
  /** One more than the own batches that a note states durable; 0 where there is none. */
  readonly noted: number;
}

export type Phase =
  | 'idle'
  | 'viewed'
  | 'sealing'
  | 'sealed'
  | 'planned'
  | 'created'
  | 'checked'
  | 'copied'
  | 'copies synced'
  | 'header written'
  | 'header synced'
  | 'ready'
  | 'written'
  | 'synced'
  | 'following'
  | 'followed'
  | 'follow synced'
  | 'stopped';

export interface Member {
  readonly phase: Phase;
  /** The epoch it owns or makes; 0 for none. */
  readonly epoch: number;
  /** Taking: the newest epoch with a header, and the highest name. */
  readonly newest: number;
  readonly highest: number;
  readonly taken: number;
  /** Of the old epoch, to be copied: what nothing proves durable. */
  readonly copies: readonly RecordId[];
  /** Writes of its own that a crash has lost: its next sync fails. */
  readonly lost: boolean;
  /** Stopped: nobody has told it what became of these. */
  readonly unknown: readonly RecordId[];
  /** Not yet answered, in their order; of a holder that has several under way. */
  readonly flight: readonly Flight[];
  /** The epoch that it has prepared to go on in; 0 for none. */
  readonly next: number;
  /** Its name is durable, as far as its owner knows. */
  readonly nextReady: boolean;
}

export interface State {
  /** By epoch; undefined where there is no file. Index 0 is not used. */
  readonly files: readonly (EpochFile | undefined)[];
  readonly members: readonly Member[];
  /** What was acknowledged or told, in the order of numbers. */
  readonly truth: readonly RecordId[];
  /** Told to be no part of the log. */
  readonly out: readonly RecordId[];
  /** The epoch of the last acknowledgement. */
  readonly line: number;
  /** Names of files that were removed. */
  readonly removed: readonly number[];
  readonly crashes: number;
  readonly fault: string | undefined;
}

export const idOf = (epoch: number, index: number, life: number): RecordId => epoch * 8 + index * 2 + life;

export function setFile(state: State, epoch: number, file: EpochFile | undefined): State {
  const files = [...state.files];
  files[epoch] = file;
  return { ...state, files };
}

export function setMember(state: State, index: number, change: Partial<Member>): State {
  const members = [...state.members];
  members[index] = { ...(members[index] as Member), ...change };
  return { ...state, members };
}

export const IDLE: Member = {
  phase: 'idle',
  epoch: 0,
  newest: 0,
  highest: 0,
  taken: 0,
  copies: [],
  lost: false,
  unknown: [],
  flight: [],
  next: 0,
  nextReady: false,
};

/** Records up to the end of the file, counted from the first of all. */
export function endOf(file: EpochFile): number {
  return file.taken + file.copiedCount + file.own.length;
}

/**
 * A root that covers what lies before one of its epochs was adopted by a batch of that epoch, and acknowledged: files go, oldest
 * first, also where another one has taken over since. Who has one open still knows where it ended.
 */
export function removals(state: State, index: number, member: Member): (readonly [string, State])[] {
  const oldest = state.files.findIndex((one) => one !== undefined);
  if (oldest >= rootEpochOf(state, index, member)) return [];
  const file = state.files[oldest] as EpochFile;
  const owner = state.members[file.owner] as Member;
  const removed = [...state.removed.filter((epoch) => epoch !== oldest), oldest].sort();
  const gone = { ...setFile(state, oldest, undefined), removed };
  const isOpen = owner.epoch === oldest && (owner.phase === 'ready' || owner.phase === 'following');
  return [[`removes epoch ${oldest}`, isOpen ? setMember(gone, file.owner, { taken: endOf(file) }) : gone]];
}

/** The newest epoch in which the holder can have adopted a root: it may have followed itself since. 0: none. */
function rootEpochOf(state: State, index: number, member: Member): number {
  let { epoch } = member;
  let unanswered = member.flight.length;
  for (;;) {
    const file = state.files[epoch];
    if (file === undefined || file.owner !== index) return 0;
    if (file.own.length > unanswered) return epoch;
    if (file.copiedCount > 0) return 0;
    epoch = file.before;
    unanswered = 0;
  }
}

export interface History {
  /** Records below this number are in a root, their files reclaimed. */
  readonly from: number;
  readonly records: readonly RecordId[];
  /** A file or a batch on the way is not there. */
  readonly torn: boolean;
}

/** The records up to the end of an epoch's copies, and its own behind them; `least`: only what is at least so durable. */
export function historyOf(state: State, epoch: number, least: Stage, withOwn: boolean): History {
  const file = state.files[epoch];
  if (file === undefined) return { from: 0, records: [], torn: true };
  if (file.name < least || file.header < least) return { from: 0, records: [], torn: true };
  const good = (items: readonly Item[]): RecordId[] => {
    const end = items.findIndex(({ stage }) => stage < least);
    return (end < 0 ? items : items.slice(0, end)).map(({ id }) => id);
  };
  const before = historyBefore(state, file, least);
  const copies = good(file.copies);
  const torn = before.torn || copies.length < file.copiedCount;
  return { from: before.from, records: [...before.records, ...copies, ...(withOwn ? good(file.own) : [])], torn };
}

function historyBefore(state: State, file: EpochFile, least: Stage): History {
  if (file.before === 0) return { from: 0, records: [], torn: false };
  if (state.removed.includes(file.before)) return { from: file.taken, records: [], torn: false };
  const all = historyOf(state, file.before, least, true);
  const records = all.records.slice(0, Math.max(0, file.taken - all.from));
  return { from: all.from, records, torn: all.torn || all.from + records.length < file.taken };
}

/** What was told before must be the beginning of what is told now, or the other way round. */
export function tell(
  state: State,
  history: { readonly from: number; readonly records: readonly RecordId[] },
  doing: string,
): State {
  const { truth } = state;
  const told = [...truth];
  for (const [at, id] of history.records.entries()) {
    const number = history.from + at;
    if (number < truth.length && truth[number] !== id) {
      return { ...state, fault: `${doing}, but number ${number + 1} was another record before` };
    }
    told[number] = id;
  }
  if (doing.startsWith('the owner') && history.from + history.records.length < truth.length + 1) {
    return { ...state, fault: `${doing} number ${history.from + history.records.length} for the second time` };
  }
  return { ...state, truth: told };
}

const PHASES: readonly Phase[] = [
  'idle',
  'viewed',
  'sealing',
  'sealed',
  'planned',
  'created',
  'checked',
  'copied',
  'copies synced',
  'header written',
  'header synced',
  'ready',
  'written',
  'synced',
  'following',
  'followed',
  'follow synced',
  'stopped',
];

const FLIGHTS: readonly Flight['done'][] = ['given', 'written', 'synced', 'read'];

/** One string for a state; members in the order given. */
export function textOf(state: State, order: readonly number[]): string {
  const codes: number[] = [state.line, state.crashes, state.fault === undefined ? 0 : 1];
  for (const file of state.files) {
    if (file === undefined) {
      codes.push(0);
      continue;
    }
    const stages = file.name + 3 * file.header + 9 * file.seal;
    codes.push(1 + stages, order.indexOf(file.owner), file.before, file.taken, file.copiedCount, file.copies.length);
    for (const { id, stage } of file.copies) codes.push(id * 3 + stage);
    codes.push(file.own.length, file.noted);
    for (const { id, stage, stated } of file.own) codes.push(id * 3 + stage, ...(stated === undefined ? [] : [stated]));
  }
  for (const index of order) {
    const m = state.members[index] as Member;
    codes.push(PHASES.indexOf(m.phase), m.epoch, m.newest, m.highest, m.taken, m.lost ? 1 : 0);
    codes.push(m.next * 2 + (m.nextReady ? 1 : 0));
    codes.push(m.copies.length, ...m.copies, m.unknown.length, ...m.unknown, m.flight.length);
    for (const { id, done } of m.flight) codes.push(id * 4 + FLIGHTS.indexOf(done));
  }
  codes.push(state.truth.length, ...state.truth, state.out.length, ...state.out, ...state.removed);
  return String.fromCharCode(...codes);
}
