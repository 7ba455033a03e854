/**
 * A program that opens a database, tells what it finds, then commits planned transactions with many clients at once until it
 * is killed. Hears one line, the orders (JSON); says
 *
 *   ready | open <ms> | state <JSON of fingerprints and totals> | s <client> <place> | a <client> <place> | trouble <what>
 */
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { makePlan } from './group-plan.ts';
import { commitPlan, fingerprint, readState } from './group-state.ts';
import { type Database, openDatabase } from './sop.ts';
import { hear, say } from './speaking.ts';

export interface Orders {
  readonly folder: string;
  readonly seed: number;
  readonly round: number;
  readonly clients: number;
  readonly tableBytes: number;
  readonly cacheBytes: number;
  /** What runs beside the commits. */
  readonly beside: 'nothing' | 'checkpoint' | 'compact' | 'verify' | 'backup';
}

/** Where the backups of a database go. */
function backupOf(folder: string): string {
  return `${folder}-backup`;
}

async function work(orders: Orders): Promise<void> {
  const { folder, tableBytes, cacheBytes } = orders;
  const began = performance.now();
  const onBackgroundError = (error: unknown): void => trouble('in the background', error);
  const db = await openDatabase(folder, { tableBytes, cacheBytes, onBackgroundError });
  say(`open ${(performance.now() - began).toFixed(2)}`);
  const { clients, totals } = await readState(db);
  const fingerprints = [...clients].map(([client, state]) => [client, fingerprint(state)]);
  say(`state ${JSON.stringify({ fingerprints, totals })}`);
  for (let client = 0; client < orders.clients; client++) void runClient(db, orders, client);
  if (orders.beside !== 'nothing') void runBeside(db, orders);
}

async function runClient(db: Database, { seed, round }: Orders, client: number): Promise<void> {
  const chance = new SeededRandom(seed + client);
  try {
    for (let place = 0; ; place++) {
      const plan = makePlan(seed, round, client, place);
      say(`s ${client} ${place}`);
      await commitPlan(db, plan);
      say(`a ${client} ${place}`);
      if (chance.below(16) === 0) await new Promise((resolve) => setTimeout(resolve, chance.below(3)));
    }
  } catch (error) {
    trouble(`client ${client}`, error);
  }
}

async function runBeside(db: Database, { beside, folder }: Orders): Promise<void> {
  try {
    for (;;) {
      if (beside === 'verify') {
        const { ok, problems } = await db.verify();
        if (!ok) say(`trouble verify beside commits: ${JSON.stringify(problems.slice(0, 3))}`);
      } else if (beside === 'backup') await db.backup(backupOf(folder));
      else if (beside === 'compact') await db.compact();
      else await db.checkpoint();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  } catch (error) {
    trouble(beside, error);
  }
}

function trouble(where: string, error: unknown): void {
  const { stack, code, cause } = error as { stack?: string; code?: string; cause?: Error };
  say(
    `trouble ${where}: ${JSON.stringify(`${code} ${stack ?? String(error)}${cause === undefined ? '' : `\ncaused by ${cause.stack ?? String(cause)}`}`)}`,
  );
}

process.on('uncaughtException', (error) => trouble('uncaught', error));
process.on('unhandledRejection', (error) => trouble('unhandled', error));
hear((line) => {
  work(JSON.parse(line) as Orders).catch((error: unknown) => trouble('opening', error));
});
say('ready');
