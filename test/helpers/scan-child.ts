/**
 * Scans a database in memory over and over, as a report would, and prints how many bytes an entry V8 took for long-lived. What a
 * scan hands out is dead a moment later: nothing of it belongs into the old generation.
 */
import { Database } from '../../src/store/database.ts';
import { defineStore } from '../../src/store/define-store.ts';
import { Promoted } from './promoted.ts';

const ENTRIES = 40_000;
const ROUNDS = 40;

const records = defineStore<{ group: string; at: number }, { id: number; tags: string[]; name: string }>('records', {
  key: ['group', 'at'],
});
const db = await Database.memory();
for (let from = 0; from < ENTRIES; from += 10_000) {
  await db.write((tx) => {
    const store = tx.store(records);
    for (let i = from; i < from + 10_000; i++) {
      store.put({ group: `group ${i % 7}`, at: i }, { id: i, tags: ['a', `b${i}`], name: `name ${i}` });
    }
  });
}
await db.checkpoint();

async function scan(page: number): Promise<void> {
  await db.read((tx) => {
    let sum = 0;
    for (const entries of tx.store(records).range({}).syncPages(page)) for (const { value } of entries) sum += value.id;
    if (sum !== (ENTRIES * (ENTRIES - 1)) / 2) throw new Error('a scan missed something');
  });
}

// The very first page is so long that it lives through collections: that is what V8 draws its conclusions from.
await scan(ENTRIES / 2);
await scan(1000);
const promoted = new Promoted();
promoted.begin();
for (let round = 0; round < ROUNDS; round++) await scan(1000);
console.log(promoted.end() / (ENTRIES * ROUNDS));
await db.close();
