/**
 * The longest commit while checkpoints run: `node longest-commit.ts [commits per second] [seconds] [records]`. Prints the
 * spread without checkpoints, with one every half second, and with one beginning as soon as the last has ended.
 */
import { temporaryFolder } from '../helpers/folders.ts';
import { load, runOpenLoop } from '../helpers/open-loop.ts';
import { noteFigures } from '../helpers/scale.ts';
import { openDatabase } from '../helpers/sop.ts';

const [, , rateText = '500', secondsText = '20', recordsText = '500000'] = process.argv;
const perSecond = Number(rateText);
const seconds = Number(secondsText);
const records = Number(recordsText);

using folder = temporaryFolder('longest');
const db = await openDatabase(folder.path);
console.log(`loading ${records} records`);
await load(db, records);
const figures: Record<string, unknown> = { perSecond, seconds, records };
const kinds = { without: undefined, everyHalfSecond: 500, withoutPause: 1 };
for (const [kind, checkpointPauseMs] of Object.entries(kinds)) {
  console.log(`${perSecond} commits a second for ${seconds} s, checkpoints: ${kind}`);
  const found = await runOpenLoop({ db, records, perSecond, seconds, checkpointPauseMs });
  console.log(JSON.stringify(found));
  figures[kind] = found;
}
noteFigures('longest-commit', figures);
await db.close();
