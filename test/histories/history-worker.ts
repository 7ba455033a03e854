/**
 * A program whose clients work on lists, a bank, growing groups and unique names, and say everything they see and do, until the
 * program is killed. Hears one line, the orders (JSON); says `ready`, `opened`, the lines of `HistoryListener`, and
 *
 *   trouble <what>
 */
import { ConflictError, OutcomeUnknownError, SnapshotTooOldError } from '../../src/base/errors.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import type { Transaction } from '../../src/store/transaction.ts';
import { type Database, openDatabase } from '../helpers/sop.ts';
import { hear, say } from '../helpers/speaking.ts';
import { HistoryClient } from './history-client.ts';
import type { HistoryOrders } from './history-plan.ts';
import { ELEMENTS_PER_ROUND } from './history-plan.ts';

async function work(orders: HistoryOrders): Promise<void> {
  if (orders.plant !== undefined) await plant(orders.plant);
  const { folder, tableBytes, cacheBytes } = orders;
  const onBackgroundError = (error: unknown): void => trouble('in the background', error);
  const db = await openDatabase(folder, { tableBytes, cacheBytes, onBackgroundError });
  say('opened');
  const elements = { next: orders.round * ELEMENTS_PER_ROUND + 1 };
  const first = new HistoryClient(new SeededRandom(orders.seed), elements);
  await attempt(db, 'setup', true, (tx) => first.openBank(tx));
  for (let client = 0; client < orders.clients; client++) void runClient(db, orders, client, elements);
  if (orders.beside !== 'nothing') void runBeside(db, orders.beside);
}

async function plant(name: string): Promise<void> {
  const { PLANTED_BUGS, Undo } = await import('../sim/planted-bugs.ts');
  const bug = PLANTED_BUGS.find((one) => one.name === name);
  if (bug === undefined) throw new Error(`no planted bug ${name}`);
  bug.plant(new Undo());
}

async function runClient(
  db: Database,
  orders: HistoryOrders,
  client: number,
  elements: { next: number },
): Promise<void> {
  const random = new SeededRandom(orders.seed * 1000 + client);
  const hands = new HistoryClient(random, elements);
  try {
    for (;;) {
      const writes = random.chance(0.8);
      await attempt(db, String(client), writes, (tx) => hands.work(tx, writes));
      if (random.below(16) === 0) await new Promise((resolve) => setTimeout(resolve, random.below(3)));
    }
  } catch (error) {
    trouble(`client ${client}`, error);
  }
}

/** One transaction, told from its first moment to its last. */
async function attempt(
  db: Database,
  client: string,
  writes: boolean,
  fn: (tx: Transaction) => Promise<string[]>,
): Promise<void> {
  say(`i ${client} ${writes ? 'w' : 'r'}`);
  const tx = await db.begin(writes ? 'write' : 'read');
  let asked = false;
  try {
    const told = await fn(tx);
    say(`c ${client} ${told.join(';')}`);
    asked = true;
    const { snapshot } = tx;
    const number = await tx.commit();
    say(`o ${client} ${snapshot} ${number}`);
  } catch (error) {
    await tx.rollback();
    if (!asked) say(`c ${client} `);
    say(`${error instanceof OutcomeUnknownError ? 'u' : 'f'} ${client}`);
    const isInOrder = error instanceof ConflictError || error instanceof SnapshotTooOldError;
    if (!isInOrder) throw error;
  }
}

async function runBeside(db: Database, beside: 'checkpoint' | 'compact'): Promise<void> {
  try {
    for (;;) {
      await (beside === 'compact' ? db.compact() : db.checkpoint());
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  } catch (error) {
    trouble(beside, error);
  }
}

function trouble(where: string, error: unknown): void {
  const { stack, code } = error as { stack?: string; code?: string };
  say(`trouble ${where}: ${JSON.stringify(`${code} ${stack ?? String(error)}`)}`);
}

process.on('uncaughtException', (error) => trouble('uncaught', error));
process.on('unhandledRejection', (error) => trouble('unhandled', error));
hear((line) => {
  work(JSON.parse(line) as HistoryOrders).catch((error: unknown) => trouble('opening', error));
});
say('ready');
