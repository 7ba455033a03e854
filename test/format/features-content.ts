/** What a golden folder of format 1 with all its features holds: equal keys, counters, an index, a pin, prepared transactions. */
import { Database, defineStore } from '../../src/index.ts';

interface Person {
  readonly name: string;
  readonly city: string;
}

export const people = defineStore<number, Person>('people', { indexes: { byCity: ['city', 'name'] } });
export const visits = defineStore<string, string>('visits', { unique: false });
export const hits = defineStore<string, number>('hits', { counter: true });
export const notes = defineStore<string, unknown>('notes');

export const PEOPLE = 200;
export const CITIES = ['Bonn', 'Lyon', 'Nara'];
export const VISITS = ['a0', 'a1', 'a2', 'late'];

function personOf(i: number): Person {
  return { name: `person ${i}`, city: CITIES[i % 3] as string };
}

/** Part of it goes through a checkpoint, the rest stays in the log; one transaction waits in the trees, one in the log. */
export async function writeFeatures(folder: string): Promise<void> {
  const db = await Database.open(folder, { tableBytes: 256 * 1024 });
  await db.write((tx) => {
    for (let i = 0; i < PEOPLE; i++) tx.store(people).put(i, personOf(i));
    for (let i = 0; i < 3; i++) tx.store(visits).add('anna', `a${i}`);
    tx.store(notes).put('state', 'then');
    tx.store(hits).increment('page', 40);
  });
  await db.pin('then');
  await prepare(db, 'first');
  await db.checkpoint();
  await db.write((tx) => {
    tx.store(people).put(0, { name: 'person 0', city: 'Oslo' });
    tx.store(visits).add('anna', 'late');
    tx.store(hits).increment('page', 2);
    tx.store(notes).put('state', 'now');
  });
  await prepare(db, 'second');
  await db.close();
}

async function prepare(db: Database, key: string): Promise<void> {
  const tx = await db.begin('write');
  tx.store(notes).put(key, 'decided');
  tx.store(visits).add(key, 'decided');
  await tx.prepare();
}
