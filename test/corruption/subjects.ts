/**
 * The databases that are damaged: small, together with everything a folder can hold. Each comes with older versions of itself
 * (for stale sectors) and with what it held after every number, so that a shorter prefix can be judged too.
 *
 * They are led on memory under a seed and a clock that counts: the same bytes every time.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FIRST_BATCH_POSITION } from '../../src/log/epoch-file.ts';
import { defineStore } from '../../src/store/define-store.ts';
import { Database } from '../../src/store/database.ts';
import type { Transaction } from '../../src/store/transaction.ts';
import { DROPPED_STORE, idOfKey } from '../../src/storage/system-stores.ts';
import type { EngineApi, EngineOptions } from '../../src/transaction/engine-api.ts';
import { openEngine } from '../../src/transaction/engine.ts';
import { copyOut, FOLDER, type FolderBytes, readOnlyEnv, seededEnv, writableEnv } from './bytes-env.ts';
import { type Content, OWN_STORES, readContent } from './content.ts';

export interface Subject {
  readonly name: string;
  readonly folder: FolderBytes;
  /** Earlier versions of the same folder. */
  readonly older: readonly FolderBytes[];
  /** Ids of the stores that have or had entries, the engine's own that are compared included. */
  readonly stores: readonly number[];
  /** What it held when a number was the newest, rising; a number in between holds what the one below it did. */
  readonly states: readonly (readonly [number: number, content: Content])[];
  /** All that it ever held, older states included. */
  readonly past: readonly Content[];
  readonly options: EngineOptions;
}

export const SMALL: EngineOptions = {
  folder: FOLDER,
  tableBytes: 64 * 1024,
  cacheBytes: 1024 * 1024,
  logReserveBytes: 8192,
};

export const lastNumber = (subject: Subject): number => (subject.states.at(-1) as readonly [number, Content])[0];

/** Undefined where `number` is below all that are known. */
export function contentAt(subject: Subject, number: number): Content | undefined {
  let found: Content | undefined;
  for (const [at, content] of subject.states) if (at <= number) found = content;
  return found;
}

const people = defineStore<{ country: string; id: number; active: boolean }, { name: string; tags: Set<string> }>(
  'people',
  {
    key: ['country', { field: 'id', order: 'desc' }],
    rideOn: ['active'],
  },
);
const notes = defineStore<string, unknown>('notes');
const files = defineStore<string, Uint8Array>('files', { values: 'separate', raw: true });
const spilled = defineStore<number, string>('spilled');
const gone = defineStore<number, string>('gone');
const visits = defineStore<string, number>('visits', { counter: true });
const tasks = defineStore<number, string>('tasks', { unique: false });

class Life {
  readonly env = seededEnv(7);
  readonly older: FolderBytes[] = [];
  readonly states: [number, Content][] = [[0, new Map()]];
  #db: Database | undefined;
  #engine: EngineApi | undefined;
  #stores: readonly number[] = [];

  async open(): Promise<void> {
    const engine = await openEngine(this.env, SMALL);
    this.#engine = engine;
    this.#db = new Database(engine, this.env);
  }

  get db(): Database {
    return this.#db as Database;
  }

  get stores(): readonly number[] {
    return this.#stores;
  }

  async write(fn: (tx: Transaction) => void | Promise<void>): Promise<void> {
    await this.db.write(fn);
    await this.note();
  }

  /** Remembers what it holds now. */
  async note(): Promise<void> {
    const engine = this.#engine as EngineApi;
    const highest = engine.newStoreId();
    this.#stores = [...OWN_STORES, ...Array.from({ length: Math.min(40, highest - 64) }, (_, i) => 64 + i)];
    this.states.push([engine.stats().number, readContent(engine, this.#stores)]);
    this.older.push(copyOut(this.env));
  }

  async checkpoint(): Promise<void> {
    await this.db.checkpoint();
    await this.note();
  }

  get root(): number {
    return (this.#engine as EngineApi).stats().rootNumber;
  }

  /** As a kill leaves it: the same files in a world where nobody has them open. */
  killed(): FolderBytes {
    return copyOut(this.env);
  }

  /** States below the newest root's number are gone for good: what shows one has lost data. */
  subject(name: string, folder: FolderBytes, root: number): Subject {
    const atRoot = this.states.findLast(([number]) => number <= root) as [number, Content];
    const states = [[root, atRoot[1]] as [number, Content], ...this.states.filter(([number]) => number > root)];
    const older = [1, 0.75, 0.5, 0.25].map((at) => this.older[Math.floor(at * (this.older.length - 1))] as FolderBytes);
    return {
      name,
      folder,
      older,
      stores: this.#stores,
      states,
      past: this.states.map(([, content]) => content),
      options: SMALL,
    };
  }
}

const person = (i: number): { name: string; tags: Set<string> } => ({
  name: `person ${i}`,
  tags: new Set([`t${i % 5}`]),
});
const personKey = (i: number): { country: string; id: number; active: boolean } => ({
  country: ['DE', 'FR', 'JP'][i % 3] as string,
  id: i,
  active: i % 2 === 0,
});

function putPeople(tx: Transaction, from: number, to: number): void {
  for (let i = from; i < to; i++) tx.store(people).put(personKey(i), person(i));
}

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + length) & 0xff);

/** Two checkpoints, values of all lengths, removals, a cleared range, a dropped store; a log tail of several batches. */
async function mixed(): Promise<Life> {
  const life = new Life();
  await life.open();
  await life.write((tx) => putPeople(tx, 0, 220));
  await life.write((tx) => {
    for (const length of [0, 1, 300, 5000]) tx.store(files).put(`file-${length}`, bytes(length));
    for (let i = 0; i < 12; i++) tx.store(notes).put(`note ${i}`, { at: i, text: 'x'.repeat(i * 9), more: [i, null] });
    tx.store(gone).put(1, 'gone soon');
  });
  await life.checkpoint();
  await life.write(async (tx) => {
    for (let i = 0; i < 40; i++) await tx.store(people).remove(personKey(i));
    tx.store(files).put('file-long', bytes(70_000));
  });
  await life.write((tx) => tx.drop('gone'));
  await life.checkpoint();
  await life.write((tx) => putPeople(tx, 220, 240));
  await life.write((tx) => {
    tx.store(notes).put('note 3', new Map([['changed', new Date(5)]]));
    tx.store(files).put('file-new', bytes(700));
  });
  await life.write(async (tx) => {
    await tx.store(notes).remove('note 4');
  });
  await life.write((tx) => tx.store(people).put(personKey(500), person(500)));
  return life;
}

async function closed(): Promise<Subject> {
  const life = await mixed();
  const { root } = life;
  await life.db.close();
  return life.subject('closed', life.killed(), root);
}

async function killed(): Promise<Subject> {
  const life = await mixed();
  const folder = life.killed();
  const { root } = life;
  await life.db.close();
  return life.subject('killed', folder, root);
}

/** Runs in the log that no checkpoint has merged. */
async function withRuns(): Promise<Subject> {
  const life = new Life();
  await life.open();
  await life.write((tx) => {
    for (let i = 0; i < 300; i++) tx.store(spilled).put(i * 2, `value ${i} `.repeat(3));
  });
  await life.checkpoint();
  await life.write((tx) => {
    for (let i = 100; i < 500; i++) tx.store(spilled).put(i * 3, `run ${i} ${'y'.repeat(40)}`);
  });
  await life.write(async (tx) => {
    for (let i = 120; i < 130; i++) await tx.store(spilled).remove(i * 3);
    for (let i = 600; i < 1000; i++) tx.store(spilled).put(i, `second run ${i} ${'z'.repeat(30)}`);
  });
  await life.write((tx) => tx.store(notes).put('last', 'word'));
  const folder = life.killed();
  const { root } = life;
  await life.db.close();
  return life.subject('runs', folder, root);
}

/** Killed twice and opened again: a chain of epochs behind the root, with copied batches. */
async function chained(): Promise<Subject> {
  let life = new Life();
  await life.open();
  await life.write((tx) => putPeople(tx, 0, 60));
  await life.checkpoint();
  for (let round = 0; round < 2; round++) {
    await life.write((tx) => putPeople(tx, 100 * round + 60, 100 * round + 90));
    await life.write((tx) => tx.store(notes).put(`round ${round}`, { round }));
    const next = new Life();
    const before = life;
    (next as { env: typeof next.env }).env = writableEnv(life.killed(), 20 + round);
    next.states.length = 0;
    next.states.push(...before.states);
    next.older.push(...before.older);
    await before.db.close();
    life = next;
    await life.open();
    await life.write((tx) => tx.store(notes).put(`after ${round}`, [round]));
  }
  const folder = life.killed();
  const { root } = life;
  await life.db.close();
  return life.subject('chained', folder, root);
}

/** Counters, items of equal keys, and transactions that wait for their decision, in a root and in the log behind it. */
async function waiting(): Promise<Subject> {
  const life = new Life();
  await life.open();
  const prepare = async (fn: (tx: Transaction) => void) => {
    const tx = await life.db.begin('write');
    fn(tx);
    return tx.prepare();
  };
  await life.write((tx) => {
    for (let i = 0; i < 40; i++) tx.store(visits).increment(`page ${i}`, i);
    for (let i = 0; i < 40; i++) tx.store(tasks).add(i % 7, `task ${i}`);
    putPeople(tx, 0, 40);
  });
  const early = await prepare((tx) => tx.store(people).put(personKey(800), person(800)));
  await prepare((tx) => tx.store(tasks).add(99, 'x'.repeat(3000)));
  await life.checkpoint();
  await life.write((tx) => {
    for (let i = 20; i < 60; i++) tx.store(visits).increment(`page ${i}`, 1000);
    for (let i = 0; i < 10; i++) tx.store(tasks).add(i % 7, `later task ${i}`);
  });
  await life.write((tx) => {
    for (let i = 0; i < 300; i++) tx.store(tasks).add(i % 7, `task of a run ${i} ${'y'.repeat(40)}`);
  });
  await early.commit();
  await life.note();
  await prepare((tx) => {
    tx.store(visits).increment('page 1', 5);
    tx.store(tasks).add(1, 'waits');
  });
  await life.note();
  await life.write((tx) => tx.store(notes).put('last', 'word'));
  const folder = life.killed();
  const { root } = life;
  await life.db.close();
  return life.subject('waiting', folder, root);
}

/** Never checkpointed: all of it is in one log file. */
async function young(): Promise<Subject> {
  const life = new Life();
  await life.open();
  await life.write((tx) => putPeople(tx, 0, 30));
  await life.write((tx) => tx.store(files).put('a', bytes(2000)));
  await life.write((tx) => tx.store(notes).put('b', 'c'));
  await life.db.close();
  return life.subject('young', life.killed(), 0);
}

/** A golden folder. What it held at shorter prefixes is what it holds when its log is cut there. */
async function golden(version: string): Promise<Subject> {
  const root = join(import.meta.dirname, '..', 'format', 'golden', version);
  const folder = new Map<string, Uint8Array>();
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const path = join(root, name);
    if (statSync(path).isFile()) folder.set(name.replaceAll('\\', '/'), Uint8Array.from(readFileSync(path)));
  }
  const stores = [...OWN_STORES, DROPPED_STORE, ...Array.from({ length: 10 }, (_, i) => 64 + i)];
  const states: [number, Content][] = [];
  const newest = [...folder]
    .filter(([name, { length }]) => name.startsWith('log/') && length > FIRST_BATCH_POSITION)
    .at(-1);
  const [path, whole] = newest as [string, Uint8Array];
  for (let cut = FIRST_BATCH_POSITION; cut <= whole.length; cut += 4096) {
    const shorter = new Map(folder).set(path, whole.slice(0, cut));
    try {
      const engine = await openEngine(readOnlyEnv(shorter), { ...SMALL, readOnly: true });
      states.push([engine.stats().number, readContent(engine, stores)]);
      await engine.close();
    } catch {
      // Cut amid a batch that a later one states durable.
    }
  }
  const dropped = droppedIn((states.at(-1) as [number, Content])[1]);
  const judged = stores.filter((storeId) => storeId !== DROPPED_STORE && !dropped.has(storeId));
  const compared = states.map(
    ([number, content]) =>
      [number, new Map([...content].filter(([storeId]) => judged.includes(storeId)))] as [number, Content],
  );
  return {
    name: `golden ${version}`,
    folder,
    older: [],
    stores: judged,
    states: compared,
    past: states.map(([, content]) => content),
    options: SMALL,
  };
}

/** Stores that a checkpoint may unlink at any time. */
function droppedIn(content: Content): ReadonlySet<number> {
  return new Set((content.get(DROPPED_STORE) ?? []).map(([key]) => idOfKey(Buffer.from(key, 'latin1'), 0)));
}

/** All of them. */
export async function makeSubjects(): Promise<readonly Subject[]> {
  const versions = readdirSync(join(import.meta.dirname, '..', 'format', 'golden'));
  const goldens: Subject[] = [];
  for (const version of versions) goldens.push(await golden(version));
  return [
    await closed(),
    await killed(),
    await withRuns(),
    await chained(),
    await waiting(),
    await young(),
    ...goldens,
  ];
}
