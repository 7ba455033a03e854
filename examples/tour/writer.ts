/**
 * The process that is killed: writes transactions as fast as it can and says of each, on standard output, when it was told
 * that it is durable. `node writer.ts <folder> <run>`
 */
import { writeSync } from 'node:fs';
import { Database } from '../../src/index.ts';
import { orders, receipts } from './stores.ts';

const [folder = '', run = '0'] = process.argv.slice(2);
const CLIENTS = 16;
const db = await Database.open(folder);
let next = 0;

async function client(): Promise<void> {
  for (;;) {
    const key = { run: Number(run), id: next++ };
    await db.write((tx) => {
      tx.store(orders).put(key, { item: `item ${key.id}`, at: new Date() });
      tx.store(receipts).put(key, { text: `receipt for ${key.id}`.padEnd(200, '.') });
    });
    // Written at once: what was said before the kill has been said.
    writeSync(1, `${key.id}\n`);
  }
}

await Promise.all(Array.from({ length: CLIENTS }, client));
