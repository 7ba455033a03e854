/**
 * What `syncs.mjs` traces: lone transactions one after the other, then 64 clients. Before each part a file that does not exist is
 * asked for, which the trace shows. Arguments: peer, folder.
 */
import { openSync } from 'node:fs';
import { makeRecords } from './records.mjs';

const LONE = 200;
const CLIENTS = 64;
const EACH = 10;
const [name, folder] = process.argv.slice(2);

function mark(word) {
  try {
    openSync(`/sop-bench-mark/${word}`);
  } catch {
    // It is only there to be seen.
  }
}

const records = makeRecords({ count: LONE + CLIENTS * EACH, seed: 1 });
const { open } = await import(`./peers/${name}.mjs`);
const peer = await open(folder, { cacheMb: 64 });
mark('lone');
for (let i = 0; i < LONE; i++) await peer.put(records.keys[i], records.valueOf(i), 1);
mark('many');
const client = async (number) => {
  for (let i = 0; i < EACH; i++) {
    const record = LONE + number * EACH + i;
    await peer.put(records.keys[record], records.valueOf(record), CLIENTS);
  }
};
await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
mark('end');
await peer.close();
console.log(`RESULT ${JSON.stringify({ lone: LONE, many: CLIENTS * EACH })}`);
