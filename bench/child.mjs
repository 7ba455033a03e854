/** One work with one peer, in a process of its own. Takes the job as JSON, answers with a line that starts with RESULT. */
import { mkdirSync } from 'node:fs';
import { makeRecords } from './records.mjs';
import { residentMiB, works } from './works.mjs';

const { peer: name, work: workName, count, seed, folder, seconds } = JSON.parse(process.argv[2]);
const work = works.find((candidate) => candidate.name === workName);
const records = makeRecords({ count, seed });
const harnessMiB = residentMiB();
let peer;
if (!work.closed) {
  mkdirSync(folder, { recursive: true });
  peer = await (await import(`./peers/${name}.mjs`)).open(folder);
}
const result =
  work.needs !== undefined && peer[work.needs] === undefined
    ? { missing: true }
    : await work.run({ peer, records, folder, seconds, harnessMiB });
await peer?.close();
console.log(`RESULT ${JSON.stringify(result)}`);
