/** An index over what 64 clients change, a state that is kept under a name, and a backup taken while they write. */
import { existsSync, rmSync } from 'node:fs';
import { Database, type Transaction } from '../../src/index.ts';
import { answer, count, duration, fact, heading, mebibytes, ProgressLine, say } from './show.ts';
import { type Shipment, type Status, shipments } from './stores.ts';

const CLIENTS = 64;
const SHIPMENTS = 5000;
const STEPS: readonly Status[] = ['packed', 'sent', 'delivered'];
const PIN = 'all packed';

export async function states(db: Database, backupFolder: string): Promise<void> {
  heading('An index, a state to come back to, a backup while 64 write');
  say(`${count(SHIPMENTS)} shipments, and an index by status that changes in the same transaction`);
  await db.write((tx) => {
    for (let id = 0; id < SHIPMENTS; id++) {
      tx.store(shipments).put({ id }, { to: `customer ${id % 97}`, grams: 100 + ((id * 37) % 900), status: 'packed' });
    }
  });
  const began = performance.now();
  const pin = await db.pin(PIN);
  fact(`the state of now is kept as '${pin.name}', in ${duration(performance.now() - began)}, without a copy`);
  await moveAndBackUp(db, backupFolder);
  await askByStatus(db);
  await askThePast(db);
  await openTheBackup(backupFolder);
}

/** 64 clients send and deliver; the backup is taken in the middle of it. */
async function moveAndBackUp(db: Database, backupFolder: string): Promise<void> {
  if (existsSync(backupFolder)) rmSync(backupFolder, { recursive: true });
  const progress = new ProgressLine('shipments');
  let next = 0;
  let done = 0;
  const total = SHIPMENTS - 200;
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (next < total) {
      const id = next++;
      await step(db, id, id % 3 === 0 ? 2 : 1);
      progress.show(++done, total);
    }
  });
  while (done < total / 4) await new Promise((resolve) => setTimeout(resolve, 5));
  const before = performance.now();
  const from = done;
  const report = await db.backup(backupFolder);
  const took = performance.now() - before;
  const meanwhile = done - from;
  await Promise.all(clients);
  progress.end();
  fact(
    `a backup of ${mebibytes(report.bytesCopied)} in ${duration(took)}, while ${count(meanwhile)} of them were moved on`,
  );
}

async function step(db: Database, id: number, steps: number): Promise<void> {
  for (let i = 0; i < steps; i++) {
    await db.write(async (tx) => {
      const store = tx.store(shipments);
      const now = await store.get({ id });
      if (now === undefined) throw new Error(`shipment ${id} is missing`);
      await store.update({ id }, { ...now, status: STEPS[STEPS.indexOf(now.status) + 1] ?? 'delivered' });
    });
  }
}

async function askByStatus(db: Database): Promise<void> {
  await db.read(async (tx) => {
    const began = performance.now();
    const byStatus = tx.store(shipments).index('byStatus');
    const heaviest = await byStatus.last({ prefix: { status: 'packed' } });
    const numbers = await countByStatus(tx);
    const note = `index, ${duration(performance.now() - began)}`;
    const last = `the heaviest still here: ${heaviest?.value.grams} g, to ${heaviest?.value.to}`;
    answer('Shipments by status', [told(numbers), last], note);
    const sum = [...numbers.values()].reduce((a, b) => a + b, 0);
    if (sum !== SHIPMENTS) throw new Error(`the index has ${sum} shipments, there are ${SHIPMENTS}`);
  });
}

async function askThePast(db: Database): Promise<void> {
  const numbers = await db.read((tx) => countByStatus(tx), { at: PIN });
  if (numbers.get('packed') !== SHIPMENTS) throw new Error('the pin shows another state than the one that was pinned');
  answer(`The same at '${PIN}'`, [told(numbers)], 'read at a pin');
}

/** The backup is a database: it holds one state amid the writing, with an index that agrees with its store. */
async function openTheBackup(backupFolder: string): Promise<void> {
  const began = performance.now();
  await using copy = await Database.open(backupFolder, { readOnly: true });
  const opened = performance.now() - began;
  const [numbers, all] = await copy.read(async (tx) => [await countByStatus(tx), await byHand(tx)]);
  const report = await copy.verify();
  if (!report.ok) throw new Error(`verify found in the backup: ${report.problems[0]?.message}`);
  if (told(numbers) !== told(all)) throw new Error('the index of the backup is not that of its store');
  fact(`the backup opens in ${duration(opened)}, is sound, and has one state amid the writing`);
  say(`   ${told(numbers)}`);
}

async function countByStatus(tx: Transaction): Promise<Map<Status, number>> {
  const index = tx.store(shipments).index('byStatus');
  const numbers = new Map<Status, number>();
  for (const status of STEPS) numbers.set(status, await index.count({ prefix: { status } }));
  return numbers;
}

async function byHand(tx: Transaction): Promise<Map<Status, number>> {
  const numbers = new Map<Status, number>(STEPS.map((status) => [status, 0]));
  const add = ({ status }: Shipment) => numbers.set(status, (numbers.get(status) ?? 0) + 1);
  for await (const page of tx.store(shipments).range().pages(500)) for (const { value } of page) add(value);
  return numbers;
}

const told = (numbers: ReadonlyMap<Status, number>): string =>
  [...numbers].map(([status, number]) => `${count(number)} ${status}`).join(', ');
