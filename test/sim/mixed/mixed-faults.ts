/**
 * Mixed programs on a disk that refuses things. What an error says is held to: a call that failed changed nothing or ended its
 * transaction, a commit that was refused is not there, one whose outcome is unknown is asked about once and for all, and with a
 * sound disk everything goes on.
 */
import { OutcomeUnknownError, SopError } from '../../../src/base/errors.ts';
import type { FaultRule } from '../../../src/env/simulated-faults.ts';
import { SeededRandom } from '../../../src/env/simulated-random.ts';
import type { PreparedTransaction } from '../../../src/store/participants.ts';
import { EXPLAINED, isExplained } from '../explained.ts';
import type { Call } from './mixed-calls.ts';
import { redefined } from './mixed-checks.ts';
import type { StoreModel } from './mixed-model.ts';
import { drawProgram, type Op, type Program } from './mixed-program.ts';
import { MixedRun, type Slot, type Waiting } from './mixed-run.ts';
import { FAMILIES, type Family, toValue } from './mixed-stores.ts';

/** Changes in several steps, of which some may have been made. */
const IN_STEPS = /Many|bulk of|\.add \d+,|remove all of|cursor|^drop|^rename/;
/** Later than everything that has a number. */
const NUMBER_TO_COME = Number.MAX_SAFE_INTEGER;
const NO_NUMBER = 0;

const KINDS: readonly FaultRule['operation'][] = [
  ['write'],
  ['sync'],
  ['write', 'sync', 'create'],
  ['create', 'open'],
  ['read'],
  ['remove', 'rename', 'syncFolder'],
];
const ERRNOS = ['EIO', 'ENOSPC', 'EIO'] as const;
const TIMES = [1, 1, 3, Number.POSITIVE_INFINITY];

export function drawFaultyProgram(seed: number, length: number): Program {
  const random = new SeededRandom(seed + 77);
  const program: Op[] = [];
  for (const op of drawProgram(seed, length)) {
    const kind = random.below(10) === 0 ? 'fault' : random.below(14) === 0 ? 'heal' : undefined;
    if (kind !== undefined) program.push({ ...op, id: op.id - 0.5, kind, c: random.below(65_536) });
    program.push(op);
  }
  return program;
}

/** A step of the program could not be made, for reasons that the disk explains. */
class GivenUp extends Error {}

export class FaultyRun extends MixedRun {
  /** What may wait for its decision, or may have been decided. */
  #doubtful: Waiting | undefined;

  override async all(program: Program): Promise<void> {
    await super.all([...program, { id: -1, kind: 'heal', t: 0, s: 0, a: 0, b: 0, c: 0 }]);
  }

  protected override async step(op: Op): Promise<void> {
    if (op.kind === 'fault') return this.#break(op);
    if (op.kind === 'heal') return this.#heal();
    try {
      await super.step(op);
    } catch (error) {
      if (!isExplained(error) && !(error instanceof GivenUp)) throw error;
      this.tell(`${op.kind}: ${String(error)}`);
      await this.#goOn(error);
    }
  }

  #break({ a, b, c }: Op): void {
    const rule = {
      operation: KINDS[a % KINDS.length],
      error: ERRNOS[b % ERRNOS.length],
      nth: 1 + (c % 7),
      times: TIMES[(c >> 4) % TIMES.length],
    } as FaultRule;
    this.world.fail(rule);
    this.tell(`from now on ${rule.operation} ${rule.error}, from the ${rule.nth}th, ${rule.times} times`);
  }

  /** The disk is sound again: a database that gave up is opened again, and everything else goes on. */
  async #heal(): Promise<void> {
    this.world.clearFaults();
    try {
      await this.database.checkpoint();
    } catch (error) {
      if (!isExplained(error)) throw error;
      await this.#revive();
    }
    this.tell('the disk is sound');
  }

  async #goOn(error: unknown): Promise<void> {
    this.world.clearFaults();
    if (error instanceof SopError && (error.code === 'DATABASE_FAILED' || error.code === 'OUTCOME_UNKNOWN')) {
      await this.#revive();
    } else await this.meetPins((await this.database.pins()).map(({ name }) => name));
  }

  #revive(): Promise<void> {
    this.world.clearFaults();
    return this.reopen(() => this.database.close().catch(mustBeExplained));
  }

  protected override async reopen(end: () => Promise<void>): Promise<void> {
    const before = this.database;
    try {
      await super.reopen(end);
    } catch (error) {
      if (!isExplained(error)) throw error;
      this.world.clearFaults();
      const isOpen = this.database !== before;
      await super.reopen(async () => (isOpen ? this.database.close().catch(mustBeExplained) : undefined));
    }
  }

  // Calls

  protected override isNoAnswer(answer: string): boolean {
    return EXPLAINED.has(answer.slice(1)) && answer.startsWith('!');
  }

  /** The call has changed nothing, so that the transaction goes on without it; or it has ended. */
  protected override async withoutAnswer(slot: Slot, call: Call, answer: string, name?: string): Promise<void> {
    this.tell(`t${slot.name} ${call.text} -> ${answer}`);
    if (name !== undefined) slot.looked.add(name);
    const mayGoOn = !IN_STEPS.test(call.text) && (name === undefined || slot.model.state.stores.has(name));
    if (slot.name === 9) {
      if (!mayGoOn || hasEnded(slot)) throw new GivenUp(`t9 ${call.text} ${answer}`);
      return;
    }
    if (mayGoOn && !hasEnded(slot)) return;
    this.slots.delete(slot.name);
    await slot.tx.rollback();
  }

  // Ends

  protected override async isRefused(slot: Slot, work: () => Promise<number>): Promise<boolean> {
    try {
      return await super.isRefused(slot, work);
    } catch (error) {
      if (!isExplained(error)) throw error;
      this.tell(`t${slot.name} ends with ${String(error)}`);
      if (error.code === 'DATABASE_FAILED') await this.#revive();
      if (!(error instanceof OutcomeUnknownError)) return true;
      await this.#revive();
      const answer = await this.database.resolve(error.transactionId);
      this.tell(`t${slot.name} is ${answer}`);
      if (answer === 'committed') await this.isIn(slot, NO_NUMBER);
      return answer !== 'committed';
    }
  }

  protected override async isIn(slot: Slot, number: number): Promise<void> {
    if (number !== NO_NUMBER) return super.isIn(slot, number);
    const found = await this.#numberOf(slot);
    await super.isIn(slot, found);
    this.numberItems(found);
  }

  /** Under which number it is in, as any entry says that it has left; 0 where there is none. */
  async #numberOf({ model }: Slot): Promise<number> {
    const state = model.replayOn(this.committed, NUMBER_TO_COME);
    for (const [name, store] of state.stores) {
      const at = store.sorted().findIndex((row) => row.version === NUMBER_TO_COME);
      if (at < 0) continue;
      return (await this.entriesOf(store.family, name))[at]?.version ?? -1;
    }
    return 0;
  }

  protected override async prepare(slot: Slot): Promise<void> {
    try {
      await super.prepare(slot);
    } catch (error) {
      if (!(error instanceof OutcomeUnknownError)) throw error;
      this.tell(`whether t${slot.name} is prepared is not known`);
      const { transactionId: id } = error;
      this.#doubtful = { handle: { id } as PreparedTransaction, slot, isInherited: true };
      await this.#revive();
    }
  }

  protected override async decideOne(one: Waiting, isCommit: boolean): Promise<void> {
    try {
      await super.decideOne(one, isCommit);
    } catch (error) {
      if (!isExplained(error)) throw error;
      this.tell(`deciding t${one.slot.name}: ${String(error)}`);
      this.#doubtful = one;
      await this.#revive();
    }
  }

  /** Its participant is told what becomes of it, or nothing where that is not known yet. */
  protected override async together(slot: Slot, agrees: boolean): Promise<void> {
    if (slot.model.kind !== 'write') return;
    this.slots.delete(slot.name);
    const heard: string[] = [];
    let asked: string | undefined;
    slot.tx.join({
      prepare: (id) => {
        asked = id;
        if (!agrees) throw new Error('not I');
      },
      commit: () => void heard.push('committed'),
      rollback: () => void heard.push('aborted'),
    });
    try {
      const number = await slot.tx.commit();
      if (heard.join() !== 'committed') throw new Error(`committed, and the participant heard ${heard}`);
      await this.isIn(slot, number);
      this.tell(`t${slot.name} commits with its participant`);
      return;
    } catch (error) {
      this.tell(`t${slot.name}, with its participant: ${String(error)}`);
      if (error instanceof OutcomeUnknownError) asked = error.transactionId;
      else if (!isExplained(error) && String(error) !== 'Error: not I') this.mustBeRefused(slot, error);
    }
    await this.#goOnAfter(slot, asked, heard);
  }

  async #goOnAfter(slot: Slot, id: string | undefined, heard: readonly string[]): Promise<void> {
    if (id !== undefined) this.#doubtful = { handle: { id } as PreparedTransaction, slot, isInherited: true };
    await this.#revive();
    const [told] = heard;
    const outcome = id === undefined ? 'aborted' : await this.database.resolve(id);
    const isWaiting = this.waiting.some(({ handle }) => handle.id === id);
    if (heard.length > 1 || (told !== undefined && (isWaiting || told !== outcome)))
      throw new Error(`the participant heard ${heard}, and t${slot.name} is ${isWaiting ? 'waiting' : outcome}`);
  }

  /** Of the doubtful one the database says now how it stands. */
  protected override async meetPrepared(found: readonly PreparedTransaction[]): Promise<void> {
    const one = this.#doubtful;
    this.#doubtful = undefined;
    if (one !== undefined) {
      const isWaiting = found.some(({ id }) => id === one.handle.id);
      const answer = await this.database.resolve(one.handle.id);
      this.tell(`t${one.slot.name} ${isWaiting ? 'waits for its decision' : `is ${answer}`}`);
      if (isWaiting) this.waiting.push(one);
      else if (answer === 'committed') await this.isIn(one.slot, NO_NUMBER);
    }
    const places = new Map(found.map(({ id }, at) => [id, at]));
    const place = ({ handle }: Waiting): number => places.get(handle.id) ?? -1;
    this.waiting = this.waiting.toSorted((x, y) => place(x) - place(y));
    await super.meetPrepared(found);
  }

  /** One that failed is through, or can be begun again: the store is the new one or the old one. */
  protected override async redefine(op: Op): Promise<void> {
    const family = FAMILIES[op.s % FAMILIES.length] as Family;
    const old = this.committed.stores.get(family.name);
    try {
      await super.redefine(op);
    } catch (error) {
      if (!isExplained(error) && !(error instanceof GivenUp)) throw error;
      this.tell(`redefine ${family.name}: ${String(error)}`);
      await this.#revive();
      if (old === undefined) return;
      const isNew = await this.#looksRedefined(family, old);
      this.tell(`it is ${isNew ? 'through' : 'not through'}`);
      if (isNew) await this.isRedefined(family, old);
      // Begun and not ended, it would make writers read.
      else await super.redefine(op);
    }
  }

  async #looksRedefined(family: Family, old: StoreModel): Promise<boolean> {
    const before = old.sorted().map(({ value }) => toValue(family, value));
    const after = before.flatMap((value) => {
      const now = redefined(family, value);
      return now === undefined ? [] : [toValue(family, now)];
    });
    const found = JSON.stringify((await this.entriesOf(family, family.name)).map(({ value }) => value));
    if (found !== JSON.stringify(before) && found !== JSON.stringify(after))
      throw new Error(`${family.name} is neither the old store nor the new one: ${found}`);
    return found === JSON.stringify(after) && found !== JSON.stringify(before);
  }

  /** One whose making or giving up failed is there or not. */
  protected override async meetPins(names: readonly string[]): Promise<void> {
    for (const name of names) if (!this.pins.has(name)) this.pins.set(name, this.committed.copy());
    for (const name of this.pins.keys()) if (!names.includes(name)) this.pins.delete(name);
    await super.meetPins(names);
  }

  protected override async expectCode(work: Promise<unknown>, code: string | undefined): Promise<void> {
    await super.expectCode(work, code).catch((error: unknown) => {
      throw EXPLAINED.has(codeIn(error)) ? new GivenUp(String(error)) : error;
    });
  }
}

function mustBeExplained(error: unknown): void {
  if (!isExplained(error)) throw error;
}

function hasEnded({ tx }: Slot): boolean {
  try {
    tx.onCommit(() => {});
    return false;
  } catch {
    return true;
  }
}

/** The code in "answered CODE, not ...". */
function codeIn(error: unknown): string {
  return /answered (\w+),/.exec(String(error))?.[1] ?? '';
}
