/** The model led along by what members do to real files: each deed must be a step that the model allows at that moment. */
import { expect } from 'vitest';
import type { Env } from '../../src/env/env.ts';
import { batchSalt, BatchHeader, decodeBatchHeader, HEADER_GOOD } from '../../src/log/batch.ts';
import { decodeEpochHeader, epochPath, HEADER_BYTES, listEpochs, parseEpochName } from '../../src/log/epoch-file.ts';
import { databaseId, folder } from '../helpers/log-model.ts';
import { EpochModel } from './epoch-model.ts';
import { type EpochFile, IDLE, type Item, type Member, NONE, type State, setMember } from './epoch-state.ts';
import type { Deed } from './watched-env.ts';

export const MEMBERS = 3;
const LOG = `${folder}/log`;

/** The model, led along by what is done. */
export class Shadow {
  readonly model: EpochModel;
  state: State;
  readonly story: string[] = [];
  readonly isPipelined: boolean;

  /** Batches given before the epoch that they are in began: they state less than they could. */
  readonly early = new Set<number>();

  /** `pipeline`: most batches that a member has under way. */
  constructor(pipeline = 1) {
    this.isPipelined = pipeline > 1;
    this.model = new EpochModel({
      members: MEMBERS,
      epochs: 14,
      batchesPerEpoch: 4,
      crashes: 0,
      notes: true,
      pipeline,
      follows: true,
    });
    this.state = this.model.start;
  }

  /** A step of the model that must be open to the member now. */
  step(index: number, label: string): void {
    const member = this.state.members[index] as Member;
    const found = this.model.moves(this.state, index, member).find(([text]) => text.startsWith(label));
    this.story.push(`${'ABC'[index]} ${label}`);
    if (found === undefined)
      throw new Error(`the model does not allow this (${member.phase}):\n${this.story.join('\n')}`);
    this.state = found[1];
    const broken = this.state.fault ?? this.model.broken(this.state);
    if (broken !== undefined) throw new Error(`so that ${broken}:\n${this.story.join('\n')}`);
  }

  phase(index: number): string {
    return (this.state.members[index] as Member).phase;
  }

  /** Another process goes on under this member's name. */
  restart(index: number): void {
    this.state = setMember(this.state, index, IDLE);
  }
}

/** One member's operations as steps of the model. */
export class Interpreter {
  readonly #shadow: Shadow;
  readonly #index: number;
  #checksNext = false;
  readonly #ids = new Map<string, number>();
  /** What its owner has acknowledged, says the model. */
  readonly #answered = new Set<number>();
  /** By position: which one of its epoch's a batch is. */
  readonly #given = new Map<number, number>();
  /** Positions in the next epoch, of batches given to it before its header is durable. */
  #ahead: number[] = [];
  /** The next epoch was removed by others, or is theirs: its header goes nowhere. */
  #isHeaderLost = false;
  /** Steps taken; after each of them somebody else may have a turn. */
  steps = 0;

  constructor(shadow: Shadow, index: number) {
    this.#shadow = shadow;
    this.#index = index;
  }

  /** A commit was called, and its batch will stand here. To the model what is given ahead is given when its epoch begins. */
  give(epoch: number, position: number): void {
    if (this.isInVoid()) return;
    if (epoch === this.#member.epoch) this.#giveNow(position);
    else this.#ahead.push(position);
  }

  #giveNow(position: number): Item {
    this.#step('gives a batch');
    const { epoch } = this.#member;
    const own = this.#shadow.state.files[epoch]?.own ?? [];
    const item = own.at(-1) as Item;
    this.#given.set(position, own.length);
    this.#ids.set(`${epoch}:${position}`, item.id);
    return item;
  }

  #giveAhead(): void {
    for (const position of this.#ahead) this.#shadow.early.add(this.#giveNow(position).id);
    this.#ahead = [];
  }

  /** Another process under this member's name. */
  restart(): void {
    this.#ahead = [];
    this.#isHeaderLost = false;
    this.#shadow.restart(this.#index);
  }

  /** The code has answered the batch at this place, or refused it: the model must say so too. */
  mustBe(epoch: number, position: number, isAnswered: boolean): void {
    const { story } = this.#shadow;
    const id = this.#ids.get(`${epoch}:${position}`);
    if (id === undefined || this.#answered.has(id) === isAnswered) return;
    throw new Error(`${isAnswered ? 'answers' : 'refuses'} a batch against the model:\n${story.join('\n')}`);
  }

  /** It has created a file and is about to look around, on the calling thread. The model knows nothing of others of its threads then. */
  get isAboutToLook(): boolean {
    return this.#checksNext;
  }

  /** Its epoch is gone, or it was told that others have taken over: what it writes nobody will see. */
  isInVoid(): boolean {
    const { state } = this.#shadow;
    const { phase, epoch } = state.members[this.#index] as Member;
    return phase === 'idle' || phase === 'stopped' || (phase === 'ready' && state.files[epoch]?.owner !== this.#index);
  }

  /** Whether the operation ends a step of the model. */
  take(deed: Deed): boolean {
    const before = this.#shadow.story.length;
    if (deed.kind === 'list' && !this.#seesPredecessor()) return false;
    if (this.#checksNext) {
      this.#checksNext = false;
      this.#step('looks for predecessor');
    }
    this.#interpret(deed);
    const isStep = this.#shadow.story.length > before;
    if (isStep) this.steps++;
    return isStep;
  }

  /** Where it is gone what was created is removed again, with nothing of others between: the look is taken with that. */
  #seesPredecessor(): boolean {
    const { files } = this.#shadow.state;
    const { phase, newest, epoch } = this.#member;
    return files[phase === 'following' ? epoch : newest] !== undefined;
  }

  #interpret(deed: Deed): void {
    const phase = this.#shadow.phase(this.#index);
    const own = (this.#shadow.state.members[this.#index] as Member).epoch;
    const isOwn = own > 0 && deed.path === epochPath(folder, own);
    if ('position' in deed && deed.position === 0 && deed.kind !== 'write') {
      this.#writesNextHeader(deed.kind, deed.kind === 'seal read' && deed.isZero);
      return;
    }
    if (this.#isIntoTheVoid(deed, phase)) return;
    if (deed.kind === 'write') this.#write(deed, phase, isOwn);
    else if (deed.kind === 'create') this.#created(deed.path);
    else if (deed.kind === 'sync') {
      if (isOwn && phase === 'checked') this.#step('writes copies');
    } else if (deed.kind === 'sync-folder') this.#syncedFolder(deed.path, phase);
    else if (deed.kind === 'remove') this.#removed(deed.path, phase);
    else if (deed.kind === 'folder synced') this.#nextDurable('makes');
    else if (deed.kind === 'folder not synced') this.#nextDurable('fails to make');
    else if (deed.kind === 'batch not written') this.#step('', 'fails to write batch', deed.position);
    else if (deed.kind === 'batch not synced') this.#step('', 'fails to sync batch', deed.position);
    else if (deed.kind === 'batch written') this.#step('writes a batch', 'writes batch', deed.position);
    else if (deed.kind === 'batch synced') this.#step('syncs its batch', 'syncs batch', deed.position);
    else if (deed.kind === 'seal read') this.#step('reads the seal', 'reads the seal for batch', deed.position);
  }

  #nextDurable(word: string): void {
    const { next, phase } = this.#member;
    if (phase === 'ready' && next > 0) this.#step(`${word} epoch ${next} durable`);
  }

  /** The header of the epoch that it follows itself into: written, synced, followed by a look at the seal. */
  #writesNextHeader(kind: Deed['kind'], isZero: boolean): void {
    const { state, story } = this.#shadow;
    const { next, epoch, phase } = this.#member;
    if (kind === 'batch written') {
      this.#isHeaderLost = phase !== 'ready' || state.files[next]?.owner !== this.#index;
      if (!this.#isHeaderLost) this.#step(`writes the header of epoch ${next}`);
      return;
    }
    // Others may have removed it since.
    this.#isHeaderLost ||= state.files[epoch]?.owner !== this.#index;
    if (kind === 'batch synced' && !this.#isHeaderLost) this.#step('syncs the next header');
    if (kind !== 'seal read') return;
    if (!this.#isHeaderLost) this.#step(`reads the seal of epoch ${epoch}`);
    const goesOn = !this.#isHeaderLost && this.#member.phase === 'ready';
    if (goesOn !== isZero) throw new Error(`a seal that the model has not seen so:\n${story.join('\n')}`);
    if (goesOn) this.#giveAhead();
  }

  /** Its write was under way when its owner stopped. */
  #mayComeLate(position: number): boolean {
    const { state } = this.#shadow;
    const { phase, epoch, flight } = state.members[this.#index] as Member;
    const id = this.#ids.get(`${epoch}:${position}`);
    const isOwn = state.files[epoch]?.owner === this.#index;
    return phase === 'stopped' && isOwn && flight.some((one) => one.id === id && one.done === 'given');
  }

  /** Into a file of its own that others have removed: nobody will ever see it, and it may not be believed either. */
  #isIntoTheVoid(deed: Deed, phase: string): boolean {
    if (deed.kind === 'batch written' && this.#mayComeLate(deed.position)) return false;
    if (this.#shadow.isPipelined ? !this.isInVoid() : phase !== 'idle' && phase !== 'stopped') return false;
    const isBatch = 'position' in deed && deed.kind !== 'write';
    // Of what a refused write or sync has ended nothing is answered any more, whatever the seals say.
    if (deed.kind === 'seal read' && deed.isZero && !this.#hasFailed) {
      throw new Error(`acknowledges in a file that is gone:\n${this.#shadow.story.join('\n')}`);
    }
    return isBatch;
  }

  get #hasFailed(): boolean {
    const { phase, epoch } = this.#member;
    return phase === 'stopped' && this.#shadow.state.files[epoch]?.owner === this.#index;
  }

  #write(deed: Deed & { kind: 'write' }, phase: string, isOwn: boolean): void {
    if (isOwn) {
      if (deed.position === 0 && !deed.isZero) this.#step('writes its header');
      if (deed.position > 4096 && !deed.isZero && phase === 'checked') this.#step('writes copies');
      if (deed.position > 4096 && !deed.isZero && phase === 'ready') this.#step('writes a note');
      // Nobody writes the seal of an epoch of its own, not even zeros.
      if (deed.position === 4096 && phase !== 'idle')
        throw new Error(`an owner writes its seal:\n${this.#shadow.story.join('\n')}`);
      return;
    }
    if (deed.position !== 4096 || phase === 'sealing') return;
    if (phase !== 'idle') this.restart();
    this.#step('looks for the newest header');
    this.#step('writes seals');
  }

  #created(path: string): void {
    if (!path.startsWith(`${LOG}/`)) return;
    this.#checksNext = true;
    if (this.#member.phase === 'ready') {
      this.#step(`prepares epoch ${parseEpochName(path.slice(LOG.length + 1))}`);
      return;
    }
    this.#step('reads where the old epoch ends');
    this.#step(`creates epoch ${parseEpochName(path.slice(LOG.length + 1))}`);
  }

  #syncedFolder(path: string, phase: string): void {
    if (path !== LOG) return;
    if (phase === 'sealing') this.#step('syncs seals and folder');
    else if (phase === 'copied') this.#step('syncs copies');
    else if (phase === 'header written') {
      this.#step('syncs its header');
      if (this.#shadow.phase(this.#index) === 'header synced') this.#step('reads its own seal');
    }
  }

  #removed(path: string, phase: string): void {
    // A name of the past, taken back by who took it: the look that came before said so.
    if (phase === 'idle' || phase === 'stopped') return;
    this.#step(`removes epoch ${parseEpochName(path.slice(LOG.length + 1))}`);
  }

  /** `ofOne`: its name where it is about one of several batches under way. */
  #step(label: string, ofOne = label, position = 0): void {
    const isOfOne = this.#shadow.isPipelined && ofOne !== label;
    const before = this.#member.flight;
    this.#shadow.step(this.#index, isOfOne ? `${ofOne} ${this.#given.get(position)}` : label);
    const { phase, flight } = this.#member;
    if (phase !== 'ready') return;
    for (const { id } of before) if (!flight.some((one) => one.id === id)) this.#answered.add(id);
  }

  get #member(): Member {
    return this.#shadow.state.members[this.#index] as Member;
  }
}

/** What the model says of the files is what lies there. */
export function mustLookAlike(env: Env, shadow: Shadow): void {
  const story = `\n${shadow.story.join('\n')}`;
  const epochs = shadow.state.files.flatMap((file, epoch) => (file === undefined ? [] : [epoch]));
  expect(listEpochs(env.files, folder), story).toEqual(epochs);
  for (const epoch of epochs) {
    const file = env.files.open(epochPath(folder, epoch), { mode: 'read' });
    const bytes = new Uint8Array(file.sizeBytes());
    file.readSync(bytes, 0);
    file.close();
    const modelled = shadow.state.files[epoch] as EpochFile;
    const hasHeader =
      bytes.length >= HEADER_BYTES &&
      decodeEpochHeader(bytes.subarray(0, HEADER_BYTES), epoch, databaseId, '') !== undefined;
    expect(hasHeader, `header of ${epoch}${story}`).toBe(modelled.header !== NONE);
    // Several files are sealed one after another, in one step of the model.
    const isSealing = shadow.state.members.some((m) => m.phase === 'sealing' && m.newest < epoch && epoch <= m.highest);
    if (!isSealing)
      expect(
        bytes.subarray(4096, 8192).some((byte) => byte !== 0),
        `seal of ${epoch}${story}`,
      ).toBe(modelled.seal !== NONE);
    // Several copies are written one after another, in one step of the model too.
    if (shadow.state.members.some((m) => m.phase === 'copied' && m.epoch === epoch)) continue;
    const batches = batchesIn(bytes, epoch);
    if (shadow.isPipelined) {
      const ahead = modelled.taken + modelled.copiedCount;
      const found = statedIn(bytes, epoch).slice(modelled.copies.length);
      const stated = modelled.own
        .filter(({ stage }) => stage !== NONE)
        .map(({ id, stated = 0 }, at) => (shadow.early.has(id) ? Math.min(ahead, found[at] ?? ahead) : ahead + stated));
      expect(found, `durable numbers of ${epoch}${story}`).toEqual(stated);
    }
    expect(batches, `batches of ${epoch}${story}`).toBe(
      modelled.copies.length + modelled.own.filter(({ stage }) => stage !== NONE).length,
    );
  }
}

function batchesIn(bytes: Uint8Array, epoch: number): number {
  return statedIn(bytes, epoch).length;
}

/** What each batch says is durable. */
function statedIn(bytes: Uint8Array, epoch: number): number[] {
  const header = new BatchHeader();
  const stated: number[] = [];
  for (let at = 8192; at + 4096 <= bytes.length; at += 4096) {
    if (decodeBatchHeader(bytes, at, batchSalt(databaseId), header) !== HEADER_GOOD) continue;
    // A note holds no record: it states what was acknowledged, which the model knows of the next batch.
    if (header.epoch === epoch && header.count > 0) stated.push(header.durableNumber);
  }
  return stated;
}
