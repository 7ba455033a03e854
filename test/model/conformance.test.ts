/**
 * The code of the log, held against the model: what several members do to the files is told step by step, each step must be one
 * that the model allows them at that moment, and after each the files must look as the model says. One member is paused or
 * killed after every one of its steps while another takes over, commits, reclaims.
 */
import { describe, expect, it } from 'vitest';
import { SopError } from '../../src/base/errors.ts';
import type { Env } from '../../src/env/env.ts';
import { memoryEnv } from '../../src/env/memory-env.ts';
import { batchSalt, BatchHeader, decodeBatchHeader, HEADER_GOOD, KIND_ROOT } from '../../src/log/batch.ts';
import { epochPath, HEADER_BYTES, listEpochs, parseEpochName, decodeEpochHeader } from '../../src/log/epoch-file.ts';
import type { FileCommitLog } from '../../src/log/file-commit-log.ts';
import { openLogSync } from '../../src/log/log-recovery.ts';
import { batchOf, databaseId, folder, rootRecord } from '../helpers/log-model.ts';
import { EpochModel } from './epoch-model.ts';
import { type EpochFile, IDLE, type Member, NONE, type State, setMember } from './epoch-state.ts';
import { type Deed, watchedEnv } from './watched-env.ts';

class Killed extends Error {}

const MEMBERS = 3;
const LOG = `${folder}/log`;

/** The model, led along by what is done. */
class Shadow {
  readonly model = new EpochModel({ members: MEMBERS, epochs: 14, batchesPerEpoch: 4, crashes: 0, notes: true });
  state: State = this.model.start;
  readonly story: string[] = [];

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
class Interpreter {
  readonly #shadow: Shadow;
  readonly #index: number;
  #checksNext = false;
  /** Steps taken; after each of them somebody else may have a turn. */
  steps = 0;

  constructor(shadow: Shadow, index: number) {
    this.#shadow = shadow;
    this.#index = index;
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
    else if (deed.kind === 'batch written') this.#step('writes a batch');
    else if (deed.kind === 'batch synced') this.#step('syncs its batch');
    else this.#step('reads the seal');
  }

  /** Into a file of its own that others have removed: nobody will ever see it, and it may not be believed either. */
  #isIntoTheVoid(deed: Deed, phase: string): boolean {
    if (phase !== 'idle' && phase !== 'stopped') return false;
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

  #step(label: string): void {
    this.#shadow.step(this.#index, label);
  }
}

/** What the model says of the files is what lies there. */
function mustLookAlike(env: Env, shadow: Shadow): void {
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
    const batches = batchesIn(bytes, epoch);
    expect(batches, `batches of ${epoch}${story}`).toBe(modelled.copies.length + modelled.own.length);
  }
}

function batchesIn(bytes: Uint8Array, epoch: number): number {
  const header = new BatchHeader();
  let count = 0;
  for (let at = 8192; at + 4096 <= bytes.length; at += 4096) {
    if (decodeBatchHeader(bytes, at, batchSalt(databaseId), header) !== HEADER_GOOD) continue;
    // A note holds no record: it states what was acknowledged, which the model knows of the next batch.
    if (header.epoch === epoch && header.count > 0) count++;
  }
  return count;
}

interface Plan {
  /** After which step of A the other one has its turn. */
  readonly at: number;
  /** A does not go on after it. */
  readonly kills: boolean;
  /** What the other one does; 'again' twice over, so that its own epoch is taken too. */
  readonly work: 'opens' | 'commits' | 'reclaims' | 'again';
  /** The same one level deeper: after which step of B the third one commits and reclaims. */
  readonly innerAt: number;
}

const noop = (): void => {};

/** Answers how many steps A took. */
function race(plan: Plan): number {
  const env = memoryEnv();
  env.files.createFolder(folder);
  const shadow = new Shadow();
  let watching = false;
  const actors = Array.from({ length: MEMBERS }, (_, index) => {
    const interpreter = new Interpreter(shadow, index);
    const actor = {
      index,
      interpreter,
      log: undefined as FileCommitLog | undefined,
      after: noop as (steps: number) => void,
    };
    const tell = (deed: Deed): void => {
      if (!watching || !interpreter.take(deed)) return;
      mustLookAlike(env, shadow);
      actor.after(interpreter.steps);
    };
    return {
      ...actor,
      env: watchedEnv(env, tell),
      set: (after: (steps: number) => void) => {
        actor.after = after;
      },
    };
  });
  let nextWriter = 1;
  const [a, b, c] = actors as [(typeof actors)[0], (typeof actors)[0], (typeof actors)[0]];
  const open = (actor: typeof a): void => {
    if (watching) shadow.restart(actor.index);
    const options = {
      env: actor.env,
      folder,
      databaseId,
      writer: nextWriter++,
      mode: 'write',
      reserveBytes: 16384,
    } as const;
    actor.log = openLogSync(options).log;
  };
  const put = (actor: typeof a): void => {
    const batch = batchOf(actor.log as FileCommitLog, ['x']);
    try {
      (actor.log as FileCommitLog).commitSync(batch);
    } finally {
      batch.release();
    }
  };
  const reclaim = (actor: typeof a): void => {
    const log = actor.log as FileCommitLog;
    const batch = log.openBatch();
    batch.beginTransaction(KIND_ROOT, 0, 0);
    batch.addPayload(rootRecord(log.durableNumber, ''));
    batch.endTransaction();
    try {
      log.commitSync(batch);
    } finally {
      batch.release();
    }
    log.removeEpochsBefore(Number.MAX_SAFE_INTEGER);
  };
  const works: Record<Plan['work'], (actor: typeof a) => void> = {
    opens: open,
    commits: (actor) => {
      open(actor);
      put(actor);
    },
    reclaims: (actor) => {
      open(actor);
      put(actor);
      reclaim(actor);
    },
    again: (actor) => {
      open(actor);
      put(actor);
      open(actor);
      put(actor);
      reclaim(actor);
    },
  };

  // The model begins where the first epoch is there; its first batch is what makes it.
  open(a);
  put(a);
  for (const label of ['writes a batch', 'syncs its batch', 'reads the seal']) shadow.step(0, label);
  shadow.story.length = 0;
  watching = true;
  mustLookAlike(env, shadow);

  a.set((steps) => {
    if (steps !== plan.at) return;
    a.set(noop);
    unlessRefused(() => works[plan.work](b));
    if (plan.kills) throw new Killed();
  });
  b.set((steps) => {
    if (steps !== plan.innerAt) return;
    b.set(noop);
    unlessRefused(() => works.reclaims(c));
  });
  unlessRefused(() => {
    put(a);
    open(a);
    put(a);
    reclaim(a);
    put(a);
  });
  for (const actor of [b, c]) if (actor.log !== undefined) unlessRefused(() => put(actor));
  return a.interpreter.steps;
}

function unlessRefused(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (error instanceof Killed || (error instanceof SopError && error.code !== 'CORRUPTION')) return;
    throw error;
  }
}

describe('the code of the log', () => {
  for (const work of ['opens', 'commits', 'reclaims', 'again'] as const) {
    it(`does what the model allows when another one ${work} after any of its steps, and it goes on or is dead`, () => {
      const total = race({ at: -1, kills: false, work, innerAt: -1 });
      expect(total).toBeGreaterThan(10);
      for (let at = 1; at <= total; at++) for (const kills of [false, true]) race({ at, kills, work, innerAt: -1 });
    });
  }

  it('does so too when a third one comes after any step of the second', () => {
    for (let at = 1; at <= 24; at++) {
      for (let innerAt = 1; innerAt <= 26; innerAt++) race({ at, kills: innerAt % 2 === 0, work: 'again', innerAt });
    }
  });

  it('is seen where it does what the model does not allow', () => {
    const shadow = new Shadow();
    const owner = new Interpreter(shadow, 0);
    expect(() => owner.take({ kind: 'seal read', path: epochPath(folder, 1), isZero: true })).toThrow(/does not allow/);
    const zeroing = new Interpreter(new Shadow(), 0);
    const seal = { kind: 'write', path: epochPath(folder, 1), position: 4096, isZero: true } as const;
    expect(() => zeroing.take(seal)).toThrow(/an owner writes its seal/);
  });
});
