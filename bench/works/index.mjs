/**
 * All works in the order they run: what only reads comes before what changes the folder it finds.
 *
 * A work: `name`; `row` of the table; `about`; `unit`; `run(job)`, which answers `{ rate }` or `{ value }` and what else it saw
 * (`puts`: how many records it wrote). And, where they hold: `lower`, less is better; `fresh`, it makes the folder itself (`keeps`:
 * for the others); `writes`, it changes the folder; `copies`, it works on a copy; `data: 'large'`; `needs`, calls a peer must have;
 * `kind`, which variants take part; `stored`, of no sense with a yardstick that keeps nothing; `against` a peer, the ratio aimed at (`target`) and the one below which the design would be
 * wrong (`floor`); `limit`, an absolute figure aimed at.
 */
import { commitWorks } from './commits.mjs';
import { latencyWorks } from './latency.mjs';
import { loadWorks } from './loads.mjs';
import { openingWorks } from './opening.mjs';
import { readWorks } from './reads.mjs';
import { upkeepWorks } from './upkeep.mjs';
import { ycsbWorks } from './ycsb.mjs';

export const works = [
  ...loadWorks,
  ...readWorks,
  ...openingWorks,
  ...upkeepWorks,
  ...commitWorks,
  ...ycsbWorks,
  ...latencyWorks,
];

export const workOf = (name) => works.find((work) => work.name === name);
