/**
 * Scans a database in memory over and over, as a report would, and prints by how many bytes the old generation grew at most from one
 * look to a later one. What a scan hands out is dead a moment later: none of it belongs there.
 */
import { getHeapSpaceStatistics } from 'node:v8';
import { Database } from '../../src/store/database.ts';
import { defineStore } from '../../src/store/define-store.ts';

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
const oldBytes = (): number =>
  getHeapSpaceStatistics().find((one) => one.space_name === 'old_space')?.space_used_size ?? 0;
let lowest = Number.POSITIVE_INFINITY;
let growth = 0;
await db.read((tx) => {
  for (let round = 0; round < ROUNDS; round++) {
    let sum = 0;
    // The very first page is so long that it lives through collections: that is what V8 draws its conclusions from.
    for (const page of tx
      .store(records)
      .range({})
      .syncPages(round === 0 ? ENTRIES / 2 : 1000))
      for (const { value } of page) sum += value.id;
    if (sum !== (ENTRIES * (ENTRIES - 1)) / 2) throw new Error('a scan missed something');
    const now = oldBytes();
    // What the first rounds compile and cache counts for nobody.
    if (round < 3) continue;
    lowest = Math.min(lowest, now);
    growth = Math.max(growth, now - lowest);
  }
});
await db.close();
console.log(growth);
