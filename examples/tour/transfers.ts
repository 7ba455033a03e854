/** 64 clients move amounts between accounts at once; readers add all of them up meanwhile. */
import type { Database } from '../../src/index.ts';
import { count, duration, fact, heading, ProgressLine, say } from './show.ts';
import { accounts } from './stores.ts';

const CLIENTS = 64;
const TRANSFERS = 250;
const ACCOUNTS = 1000;
const EACH = 1000;

export async function transfers(db: Database): Promise<void> {
  heading(`${CLIENTS} clients at once`);
  say(`${count(ACCOUNTS)} accounts of ${count(EACH)}; a transfer reads two and writes two, durably`);
  await db.write((tx) => {
    for (let i = 0; i < ACCOUNTS; i++) tx.store(accounts).put(i, { owner: `owner ${i}`, amount: EACH });
  });
  const before = db.stats();
  const progress = new ProgressLine('transfers');
  let done = 0;
  let looking = true;
  const looks = lookOn(db, () => looking);
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let i = 0; i < TRANSFERS; i++) {
        await transfer(db);
        progress.show(++done, CLIENTS * TRANSFERS);
      }
    }),
  );
  looking = false;
  const took = progress.end();
  const sums = await looks;
  const after = db.stats();
  const syncs = after.batches - before.batches;
  fact(
    `${count(done)} transfers in ${duration(took)} (${count((done / took) * 1000)}/s) with ${count(syncs)} writes to the disk`,
  );
  fact(`${count(after.conflicts - before.conflicts)} met a conflict and ran again by themselves`);
  const sum = await total(db);
  if (sum !== ACCOUNTS * EACH) throw new Error(`the sum is ${sum}, it should be ${ACCOUNTS * EACH}`);
  if (sums.some((one) => one !== sum)) throw new Error('a reader saw a transfer half done');
  fact(`the sum is ${count(sum)}, as it was; ${count(sums.length)} readers in between saw the same`);
}

async function transfer(db: Database): Promise<void> {
  const from = Math.floor(Math.random() * ACCOUNTS);
  const to = (from + 1 + Math.floor(Math.random() * (ACCOUNTS - 1))) % ACCOUNTS;
  const amount = 1 + Math.floor(Math.random() * 100);
  await db.write(async (tx) => {
    const store = tx.store(accounts);
    const [giver, taker] = await store.getMany([from, to]);
    if (giver === undefined || taker === undefined) throw new Error('an account is missing');
    store.put(from, { ...giver, amount: giver.amount - amount });
    store.put(to, { ...taker, amount: taker.amount + amount });
  });
}

function total(db: Database): Promise<number> {
  return db.read(async (tx) => {
    let sum = 0;
    for await (const page of tx.store(accounts).range().pages()) for (const { value } of page) sum += value.amount;
    return sum;
  });
}

async function lookOn(db: Database, goesOn: () => boolean): Promise<number[]> {
  const sums: number[] = [];
  while (goesOn()) {
    sums.push(await total(db));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return sums;
}
