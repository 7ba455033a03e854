/**
 * One program of everything that the public door offers, mixed, beside a model of maps: several transactions of every kind at
 * once, pins, two phases, upkeep, redefinitions, kills, power cuts and openings, in a world where tables, cache and buffers are
 * so small that checkpoints, spills and merges never end.
 *
 * Every answer is compared with the model's. When a transaction commits, all its calls are run once more on what is committed by
 * then: had one been answered otherwise, its commit should have been refused. One that is refused must have met another.
 */
import { ConflictError, SopError, SnapshotTooOldError } from '../../../src/base/errors.ts';
import type { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import type { SimulatedProcess } from '../../../src/env/simulated-process.ts';
import { Database } from '../../../src/store/database.ts';
import { ItemId } from '../../../src/store/item-id.ts';
import type { PreparedTransaction } from '../../../src/store/participants.ts';
import type { Transaction } from '../../../src/store/transaction.ts';
import type { Savepoint } from '../../../src/store/transaction-core.ts';
import { type AnyCursor, type Call, type Context, toCall } from './mixed-calls.ts';
import { expectAll, redefined } from './mixed-checks.ts';
import { type ModelCall, Refused, State, type StoreModel, TxModel } from './mixed-model.ts';
import { CALLS, type Op, type Program } from './mixed-program.ts';
import { FAMILIES, type Family, toValue } from './mixed-stores.ts';

const OPTIONS = { folder: '/disk/db', tableBytes: 64 * 1024, cacheBytes: 256 * 1024, logReserveBytes: 16 * 1024 };
const BACKUP = '/disk/backup';
/** Beyond this a transaction may have spilled, and its increments may have looked. */
const MAY_SPILL_BYTES = 12_000;

export interface MixedCounts {
  calls: number;
  commits: number;
  refused: number;
  prepared: number;
  reopened: number;
}

export const noCounts = (): MixedCounts => ({ calls: 0, commits: 0, refused: 0, prepared: 0, reopened: 0 });

/** A transaction, and what it saw. */
export interface Slot {
  readonly name: number;
  readonly tx: Transaction;
  readonly model: TxModel;
  readonly cursors: Map<number, AnyCursor>;
  readonly savepoints: Savepoint[];
  /** How many commits there were when it began. */
  readonly since: number;
  readonly looked: Set<string>;
}

export interface Waiting {
  handle: PreparedTransaction;
  /** By another process than the one that will decide it. */
  isInherited: boolean;
  readonly slot: Slot;
}

export class MixedRun {
  readonly story: string[] = [];
  protected readonly world: SimulatedWorld;
  readonly #counts: MixedCounts;
  protected process: SimulatedProcess;
  #db: Database | undefined;
  protected committed = new State();
  /** What each commit changed. */
  readonly #commits: ReadonlySet<string>[] = [];
  protected readonly slots = new Map<number, Slot>();
  protected readonly pins = new Map<string, State>();
  protected waiting: Waiting[] = [];
  readonly #items = new Map<string, ItemId>();

  constructor(world: SimulatedWorld, counts: MixedCounts) {
    this.world = world;
    this.#counts = counts;
    this.process = world.startProcess();
  }

  async all(program: Program): Promise<void> {
    await this.#open();
    for (const op of program) await this.step(op);
    for (const slot of [...this.slots.values()]) await this.#rollback(slot);
    while (this.waiting.length > 0) await this.#decide(this.waiting.length % 2 === 0);
    await this.#expectState();
    const { problems } = await this.database.verify();
    if (problems.length > 0) throw new Error(`verify finds ${JSON.stringify(problems.slice(0, 3))}`);
    await this.database.close();
  }

  protected get database(): Database {
    return this.#db as Database;
  }

  protected tell(text: string): void {
    this.story.push(text);
  }

  async #open(): Promise<void> {
    const onBackgroundError = (error: unknown) => this.tell(`background: ${String(error)}`);
    this.#db = await Database.openWith(this.process, { ...OPTIONS, onBackgroundError });
  }

  protected async step(op: Op): Promise<void> {
    let slot = this.slots.get(op.t);
    if (slot === undefined && CALLS.has(op.kind)) {
      await this.#begin(op);
      slot = this.slots.get(op.t);
    }
    switch (op.kind) {
      case 'beginAt':
        return slot === undefined ? this.#beginAt(op) : undefined;
      case 'commit':
        return slot === undefined ? undefined : this.#commit(slot);
      case 'rollback':
        return slot === undefined ? undefined : this.#rollback(slot);
      case 'prepare':
        return slot === undefined ? undefined : this.prepare(slot);
      case 'decide':
        return this.#decide(op.a % 4 !== 0, op.b);
      case 'together':
        return slot === undefined ? undefined : this.together(slot, op.a % 3 !== 0);
      case 'write':
        return this.#write(op);
      case 'compare':
        return this.#expectState();
      case 'savepoint':
        return slot === undefined ? undefined : this.#savepoint(slot);
      case 'rollbackTo':
        return slot === undefined ? undefined : this.#rollbackTo(slot, op.b % 3 === 0 ? op.a : -1);
      case 'drop':
      case 'rename':
        return slot?.model.kind === 'write' ? this.#catalog(slot, op) : undefined;
      default:
        return (await this.#upkeep(op)) || slot === undefined ? undefined : this.#call(slot, op);
    }
  }

  /** True where it was one of the operations of the whole database. */
  async #upkeep(op: Op): Promise<boolean> {
    const db = this.database;
    const pin = `pin ${op.a % 2}`;
    switch (op.kind) {
      case 'checkpoint':
        await db.checkpoint();
        break;
      case 'compact':
        await db.compact();
        break;
      case 'pin':
        await this.expectCode(db.pin(pin), this.pins.has(pin) ? 'PIN_EXISTS' : undefined);
        if (!this.pins.has(pin)) this.pins.set(pin, this.committed.copy());
        break;
      case 'unpin':
        await this.expectCode(db.unpin(pin), this.pins.has(pin) ? undefined : 'PIN_NOT_FOUND');
        this.pins.delete(pin);
        break;
      case 'reopen':
        await this.reopen(() => db.close());
        break;
      case 'kill':
        await this.reopen(async () => this.process.kill());
        break;
      case 'cut':
        await this.reopen(async () => this.world.crash({ data: 'lost', folders: 'lost', seed: op.a }));
        break;
      case 'backup':
        await this.#backup();
        break;
      case 'redefine':
        await this.redefine(op);
        break;
      default:
        return false;
    }
    this.tell(op.kind);
    return true;
  }

  protected async expectCode(work: Promise<unknown>, code: string | undefined): Promise<void> {
    const found = await codeOf(work);
    if (found !== code) throw new Error(`answered ${found}, not ${code}`);
  }

  // Transactions

  async #begin({ t, a }: Op): Promise<void> {
    const kind = a % 9 === 0 ? 'read' : a % 9 === 1 ? 'noCheck' : 'write';
    const tx = await this.database.begin(kind);
    this.slots.set(t, this.#slot(t, tx, new TxModel(kind, this.committed.copy())));
    this.tell(`t${t} begins: ${kind}`);
  }

  async #beginAt({ t, a }: Op): Promise<void> {
    const pin = `pin ${a % 2}`;
    const state = this.pins.get(pin);
    if (state === undefined) return this.expectCode(this.database.begin('read', { at: pin }), 'PIN_NOT_FOUND');
    const tx = await this.database.begin('read', { at: pin });
    this.slots.set(t, this.#slot(t, tx, new TxModel('read', state.copy())));
    this.tell(`t${t} begins at ${pin}`);
  }

  #slot(name: number, tx: Transaction, model: TxModel): Slot {
    const since = this.#commits.length;
    return { name, tx, model, cursors: new Map(), savepoints: [], since, looked: new Set() };
  }

  async #call(slot: Slot, op: Op): Promise<void> {
    const context = this.#context(slot.model, slot.cursors, op);
    const call = toCall(context);
    if (call === undefined) return;
    try {
      await this.run(slot, call, context.name);
    } catch (error) {
      if (error instanceof ConflictError && slot.name !== 9) {
        // It learned before its end that it has lost.
        this.mustBeRefused(slot, error);
        return this.#rollback(slot);
      }
      // What it saw was reclaimed: it ends.
      if (!(error instanceof SnapshotTooOldError) || slot.model.kind !== 'noCheck') throw error;
      this.slots.delete(slot.name);
      await slot.tx.rollback();
    }
  }

  #context(model: TxModel, cursors: Map<number, AnyCursor>, op: Op): Context {
    const family = FAMILIES[op.s % FAMILIES.length] as Family;
    const [first, second] = Object.keys(family.definitions) as [string, string];
    const has = (name: string): boolean => model.state.stores.has(name);
    const usual = !has(first) && has(second) ? second : first;
    const name = op.b % 37 === 0 && !op.kind.startsWith('cursor') ? second : usual;
    return { op, family, name, model, items: this.#items, cursors };
  }

  protected async run(slot: Slot, { text, reads, engine, model }: Call, name?: string): Promise<void> {
    this.#counts.calls++;
    if (name !== undefined) slot.looked.add(`@${name}`);
    const answer = await answerOf(() => engine(slot.tx));
    if (this.isNoAnswer(answer)) return this.withoutAnswer(slot, { text, reads, engine, model }, answer, name);
    const expected = slot.model.run(model);
    this.tell(`t${slot.name} ${text} -> ${answer}`);
    if (name !== undefined && (reads || slot.model.bytes > MAY_SPILL_BYTES)) slot.looked.add(name);
    if (answer !== expected) throw new Error(`t${slot.name} ${text} answers\n  ${answer}\nand not\n  ${expected}`);
    slot.model.calls.push({ text, call: model, answer });
  }

  /** Whether the call failed, so that the model has nothing to say of it. */
  protected isNoAnswer(_answer: string): boolean {
    return false;
  }

  protected withoutAnswer(_slot: Slot, call: Call, answer: string, _name?: string): Promise<void> | void {
    throw new Error(`${call.text} answers ${answer}`);
  }

  #catalog(slot: Slot, op: Op): Promise<void> {
    const family = FAMILIES[op.s % FAMILIES.length] as Family;
    const { from, to } = namesOf(family, op);
    for (const name of [`@${from}`, `@${to}`, from]) slot.looked.add(name);
    return this.run(slot, catalogCall(family, op));
  }

  #savepoint(slot: Slot): Promise<void> {
    const engine = (tx: Transaction): string => {
      slot.savepoints.push(tx.savepoint());
      return '';
    };
    const model: ModelCall = (tx) => {
      tx.savepoints.push(tx.state.copy());
      return '';
    };
    if (slot.model.kind !== 'write') return Promise.resolve();
    return this.run(slot, { text: `savepoint ${slot.savepoints.length}`, reads: false, engine, model });
  }

  async #rollbackTo(slot: Slot, draw: number): Promise<void> {
    const at = draw < 0 ? slot.savepoints.length - 1 : draw % Math.max(1, slot.savepoints.length);
    const savepoint = slot.savepoints[at];
    if (savepoint === undefined) return;
    slot.savepoints.length = at + 1;
    const model: ModelCall = (tx) => {
      tx.savepoints.length = at + 1;
      tx.state = (tx.savepoints[at] as State).copy();
      return 'undefined';
    };
    const engine = (tx: Transaction): string => String(tx.rollbackTo(savepoint));
    await this.run(slot, { text: `rollbackTo ${at}`, reads: false, engine, model });
  }

  async #commit(slot: Slot): Promise<void> {
    this.slots.delete(slot.name);
    if (await this.isRefused(slot, () => slot.tx.commit())) return;
    this.tell(`t${slot.name} commits`);
  }

  /** Ends it in one of several ways; what comes of it is committed in the model too. */
  protected async isRefused(slot: Slot, work: () => Promise<number>): Promise<boolean> {
    let number: number;
    try {
      number = await work();
    } catch (error) {
      this.mustBeRefused(slot, error);
      return true;
    }
    if (slot.model.kind === 'write') await this.isIn(slot, number);
    return false;
  }

  protected async isIn({ model }: Slot, number: number): Promise<void> {
    this.committed = model.replayOn(this.committed, number);
    this.#commits.push(model.touched);
    this.#counts.commits++;
  }

  protected mustBeRefused(slot: Slot, error: unknown): void {
    this.tell(`t${slot.name} is refused: ${String(error)}`);
    this.#counts.refused++;
    const meets = (touched: ReadonlySet<string>): boolean => [...slot.looked].some((name) => touched.has(name));
    // Its snapshot is older than what is remembered of changes: allowed whenever checkpoints go on.
    if (error instanceof SnapshotTooOldError) return;
    if (error instanceof ConflictError) {
      if (error.details.prepared !== undefined && this.waiting.some((one) => isNear(one.slot, slot))) return;
      if (this.#commits.slice(slot.since).some(meets)) return;
    }
    throw error;
  }

  async #rollback(slot: Slot): Promise<void> {
    this.slots.delete(slot.name);
    await slot.tx.rollback();
    this.tell(`t${slot.name} rolls back`);
  }

  protected async prepare(slot: Slot): Promise<void> {
    if (slot.model.kind !== 'write' || slot.model.touched.size === 0 || this.waiting.length > 1) return;
    this.slots.delete(slot.name);
    try {
      const handle = await slot.tx.prepare();
      this.waiting.push({ handle, slot, isInherited: false });
      this.#counts.prepared++;
      this.tell(`t${slot.name} is prepared`);
    } catch (error) {
      this.mustBeRefused(slot, error);
    }
  }

  async #decide(isCommit: boolean, draw = 0): Promise<void> {
    const at = draw % Math.max(1, this.waiting.length);
    const one = this.waiting[at];
    if (one === undefined) return;
    this.waiting.splice(at, 1);
    await this.decideOne(one, isCommit);
  }

  protected async decideOne(one: Waiting, isCommit: boolean): Promise<void> {
    if (isCommit) {
      const number = await one.handle.commit();
      await this.isIn(one.slot, number);
      if (one.isInherited) this.numberItems(number);
    } else await one.handle.rollback();
    this.tell(`t${one.slot.name}, prepared, ${isCommit ? 'commits' : 'is rolled back'}`);
    if ((await this.database.resolve(one.handle.id)) !== (isCommit ? 'committed' : 'aborted')) {
      throw new Error(`resolve does not know of ${one.handle.id}`);
    }
  }

  /** The ids that died with their process are those that their items have got. */
  protected numberItems(number: number): void {
    for (const store of this.committed.stores.values()) {
      for (const row of store.rows.values()) {
        const id = this.#items.get(row.token);
        if (id !== undefined && row.number === number) this.#items.set(row.token, new ItemId(number, id.sequence));
      }
    }
  }

  protected async together(slot: Slot, agrees: boolean): Promise<void> {
    if (slot.model.kind !== 'write') return;
    this.slots.delete(slot.name);
    const heard: string[] = [];
    slot.tx.join({
      prepare: () => {
        heard.push('prepare');
        if (!agrees) throw new Error('not I');
      },
      commit: () => void heard.push('commit'),
      rollback: () => void heard.push('rollback'),
    });
    const committing = slot.tx.commit();
    if (!agrees) {
      const error = await committing.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error instanceof ConflictError || error instanceof SnapshotTooOldError)
        return this.mustBeRefused(slot, error);
      if (String(error) !== 'Error: not I') throw new Error(`a participant refused, and commit says ${String(error)}`);
      if (heard.join() !== 'prepare,rollback') throw new Error(`the participant heard ${heard}`);
      this.tell(`t${slot.name} rolls back with its participant`);
      return;
    }
    if (await this.isRefused(slot, () => committing)) return;
    if (heard.join() !== 'prepare,commit') throw new Error(`the participant heard ${heard}`);
    this.tell(`t${slot.name} commits with its participant`);
  }

  async #write(op: Op): Promise<void> {
    const kinds = ['put', 'add', 'remove', 'increment', 'update', 'clearRange'];
    const kind = kinds[op.c % kinds.length] as string;
    const ops = [
      { ...op, kind },
      { ...op, kind: 'put', a: op.b, b: op.a, s: op.s + 1, id: op.id + 0.5 },
    ];
    let slot: Slot | undefined;
    let number = 0;
    const work = this.database.write(
      async (tx) => {
        slot = this.#slot(9, tx, new TxModel('write', this.committed.copy()));
        tx.onCommit((given) => {
          number = given;
        });
        for (const one of ops) await this.#call(slot, one);
      },
      { retries: 1 },
    );
    const written = work.then(() => number);
    await written.catch(() => {});
    // It may not even have begun.
    if (slot === undefined) return void (await written);
    if (!(await this.isRefused(slot, () => written))) this.tell('t9 is written');
  }

  // The whole database

  protected async reopen(end: () => Promise<void>): Promise<void> {
    await end();
    this.slots.clear();
    if (!this.process.alive) this.process = this.world.startProcess();
    await this.#open();
    this.#counts.reopened++;
    await this.meetPrepared(await this.database.prepared());
    await this.meetPins((await this.database.pins()).map(({ name }) => name));
  }

  /** Those that an earlier opening has left. */
  protected async meetPrepared(found: readonly PreparedTransaction[]): Promise<void> {
    const ids = (list: readonly PreparedTransaction[]): string => list.map(({ id }) => id).join();
    const expected = this.waiting.map(({ handle }) => handle);
    if (ids(found) !== ids(expected)) throw new Error(`prepared are ${ids(found)}, not ${ids(expected)}`);
    for (const [at, handle] of found.entries()) {
      const one = this.waiting[at] as Waiting;
      one.handle = handle;
      one.isInherited = true;
    }
  }

  protected async meetPins(names: readonly string[]): Promise<void> {
    if (names.join() !== [...this.pins.keys()].sort().join()) throw new Error(`pins are ${names}`);
  }

  async #expectState(): Promise<void> {
    await this.database.read((tx) => expectAll(tx, this.committed, this.#items));
    for (const [name, state] of this.pins) {
      await this.database.read((tx) => expectAll(tx, state, this.#items), { at: name });
    }
    this.tell('all is as it should be');
  }

  async #backup(): Promise<void> {
    await this.database.backup(BACKUP);
    const copy = await Database.openWith(this.process, { ...OPTIONS, folder: BACKUP, readOnly: true });
    try {
      await copy.read((tx) => expectAll(tx, this.committed, this.#items));
      for (const [name, state] of this.pins) {
        await copy.read((tx) => expectAll(tx, state, this.#items), { at: name });
      }
    } finally {
      await copy.close();
    }
  }

  protected async redefine(op: Op): Promise<void> {
    const family = FAMILIES[op.s % FAMILIES.length] as Family;
    const { name } = family;
    const definition = family.definitions[name] as (typeof family.definitions)[string];
    const old = this.committed.stores.get(name);
    if (family.isBag || family.isCounter || this.waiting.length > 0) return;
    const work = this.database.redefine(definition, definition, ({ key, value }) => {
      const now = redefined(family, value);
      return now === undefined ? undefined : { key, value: toValue(family, now) };
    });
    await this.expectCode(work, old === undefined ? 'STORE_NOT_FOUND' : undefined);
    if (old !== undefined) await this.isRedefined(family, old);
  }

  /** What is committed now that a redefinition is through. */
  protected async isRedefined(family: Family, old: StoreModel): Promise<void> {
    const { name } = family;
    const entries = await this.entriesOf(family, name);
    this.committed = this.committed.copy();
    const made = new TxModel('write', new State()).open(name);
    for (const row of old.sorted()) {
      const value = redefined(family, toValue(family, row.value));
      if (value === undefined) continue;
      made.set({ ...row, value, version: entries[made.rows.size]?.version ?? -1 });
    }
    this.committed.stores.set(name, made);
    this.#commits.push(new Set([`@${name}`, name]));
  }

  /** What the database has in a store, in its order. */
  protected entriesOf({ definitions }: Family, name: string): Promise<Entries> {
    return this.database.read((tx) =>
      (tx.store(definitions[name] as never) as unknown as { range(): { toArray(): Promise<Entries> } })
        .range()
        .toArray(),
    );
  }
}

type Entries = readonly { readonly value: unknown; readonly version: number }[];

function namesOf({ definitions }: Family, { a }: Op): { readonly from: string; readonly to: string } {
  const [first, second] = Object.keys(definitions) as [string, string];
  return a % 2 === 0 ? { from: first, to: second } : { from: second, to: first };
}

/** Drops or renames a store, or learns that it can not. */
export function catalogCall(family: Family, op: Op): Call {
  const { from, to } = namesOf(family, op);
  const isDrop = op.kind === 'drop';
  const model: ModelCall = (tx) => {
    const store = tx.state.stores.get(from);
    if (store === undefined) throw new Refused('STORE_NOT_FOUND');
    if (!isDrop && tx.state.stores.has(to)) throw new Refused('STORE_EXISTS');
    tx.state.stores.delete(from);
    for (const name of isDrop ? [from] : [from, to]) tx.touched.add(`@${name}`);
    tx.touched.add(from);
    if (!isDrop) tx.state.stores.set(to, store);
    // What was opened under the old name is void for good, also where the store gets that name back.
    if (!isDrop) for (const [at, { name }] of tx.cursors) if (name === from) tx.cursors.delete(at);
    return 'undefined';
  };
  const engine = (tx: Transaction) => String(isDrop ? tx.drop(from) : tx.rename(from, to));
  return { text: isDrop ? `drop ${from}` : `rename ${from} ${to}`, reads: true, engine, model };
}

function isNear(one: Slot, other: Slot): boolean {
  const names = new Set([...one.looked, ...one.model.touched]);
  return [...other.looked, ...other.model.touched].some((name) => names.has(name));
}

/** Errors that are no answers to a call. */
const THROWN: ReadonlySet<string> = new Set(['TOO_OLD', 'CORRUPTION', 'CONFLICT']);

export async function answerOf(work: () => Promise<string> | string): Promise<string> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SopError && !THROWN.has(error.code)) {
      return `!${error.code}`;
    }
    throw error;
  }
}

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    const found = await work;
    await (found as { rollback?(): Promise<void> } | undefined)?.rollback?.();
    return undefined;
  } catch (error) {
    if (error instanceof SopError) return error.code;
    throw error;
  }
}
