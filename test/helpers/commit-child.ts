/**
 * Many clients commit small transactions over and over; prints how many bytes a transaction V8 took for long-lived. It is dead a
 * moment after its answer: nothing of it belongs into the old generation.
 */
import { Database } from '../../src/store/database.ts';
import { defineStore } from '../../src/store/define-store.ts';
import { Promoted } from './promoted.ts';

const CLIENTS = 64;
const TRANSACTIONS = 500;

const records = defineStore<number, { id: number; name: string }>('records', {});
const db = await Database.memory();

async function client(number: number): Promise<void> {
  for (let i = 0; i < TRANSACTIONS; i++) {
    await db.write((tx) => {
      const store = tx.store(records);
      const id = number * 20 + (i % 20);
      const before = store.getSync(id);
      store.put(id, { id: (before?.id ?? 0) + 1, name: `name ${id}` });
    });
  }
}

const round = (): Promise<unknown> => Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
// What is compiled and cached first counts for nobody.
await round();
const promoted = new Promoted();
promoted.begin();
await round();
console.log(promoted.end() / (CLIENTS * TRANSACTIONS));
await db.close();
