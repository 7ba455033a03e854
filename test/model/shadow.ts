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
  /** Steps taken; after each of them somebody else may have a turn. */
  steps = 0;

  constructor(shadow: Shadow, index: number) {
    this.#shadow = shadow;
    this.#index = index;
  }

  /** A commit was called, and its batch will stand here. */
  give(position: number): void {
    if (this.isInVoid()) return;
    this.#step('gives a batch');
    const { epoch } = this.#shadow.state.members[this.#index] as Member;
    const own = this.#shadow.state.files[epoch]?.own ?? [];
    this.#given.set(position, own.length);
    this.#ids.set(`${epoch}:${position}`, (own.at(-1) as Item).id);
  }

  /** The code has answered the batch at this place, or refused it: the model must say so too. */
  mustBe(epoch: number, position: number, isAnswered: boolean): void {
    const { story } = this.#shadow;
    const id = this.#ids.get(`${epoch}:${position}`);
    if (id === undefined || this.#answered.has(id) === isAnswered) return;
    throw new Error(`${isAnswered ? 'answers' : 'refuses'} a batch against the model:\n${story.join('\n')}`);
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
    if (this.#checksNext) {
      this.#checksNext = false;
      this.#step('looks for predecessor');
    }
    this.#interpret(deed);
    const isStep = this.#shadow.story.length > before;
    if (isStep) this.steps++;
    return isStep;
  }

  #interpret(deed: Deed): void {
    const phase = this.#shadow.phase(this.#index);
    const own = (this.#shadow.state.members[this.#index] as Member).epoch;
    const isOwn = own > 0 && deed.path === epochPath(folder, own);
    if (this.#isIntoTheVoid(deed, phase)) return;
    if (deed.kind === 'write') this.#write(deed, phase, isOwn);
    else if (deed.kind === 'create') this.#created(deed.path);
    else if (deed.kind === 'sync') {
      if (isOwn && phase === 'checked') this.#step('writes copies');
    } else if (deed.kind === 'sync-folder') this.#syncedFolder(deed.path, phase);
    else if (deed.kind === 'remove') this.#removed(deed.path, phase);
    else if (deed.kind === 'batch written') this.#step('writes a batch', 'writes batch', deed.position);
    else if (deed.kind === 'batch synced') this.#step('syncs its batch', 'syncs batch', deed.position);
    else if (deed.kind === 'seal read') this.#step('reads the seal', 'reads the seal for batch', deed.position);
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
    const isBatch = deed.kind === 'batch written' || deed.kind === 'batch synced' || deed.kind === 'seal read';
    if (deed.kind === 'seal read' && deed.isZero) {
      throw new Error(`acknowledges in a file that is gone:\n${this.#shadow.story.join('\n')}`);
    }
    return isBatch;
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
    if (phase !== 'idle') this.#shadow.restart(this.#index);
    this.#step('looks for the newest header');
    this.#step('writes seals');
  }

  #created(path: string): void {
    if (!path.startsWith(`${LOG}/`)) return;
    this.#step('reads where the old epoch ends');
    this.#step(`creates epoch ${parseEpochName(path.slice(LOG.length + 1))}`);
    this.#checksNext = true;
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
    if (phase === 'idle') return;
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
      const stated = modelled.own.filter(({ stage }) => stage !== NONE).map((one) => ahead + (one.stated ?? 0));
      expect(statedIn(bytes, epoch).slice(modelled.copies.length), `durable numbers of ${epoch}${story}`).toEqual(
        stated,
      );
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
