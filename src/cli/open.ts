/** Opening the database a verb works on, or taking the one that a shell holds open. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { resolve } from 'node:path';
import { Database, type ReadOptions, type StoreInfo } from '../index.ts';

interface Held {
  readonly folder: string;
  readonly db: Database;
}

const held = new AsyncLocalStorage<Held>();

/** Within `work` the verbs that name this folder work in `db`, which stays open. */
export function holding<T>(db: Database, folder: string, work: () => Promise<T>): Promise<T> {
  return held.run({ folder: resolve(folder), db }, work);
}

function heldDatabase(folder: string): Database | undefined {
  const found = held.getStore();
  return found?.folder === resolve(folder) ? found.db : undefined;
}

/** Reading verbs: nothing is written, nobody is waited for; works beside a running program. */
export async function reading<T>(folder: string, work: (db: Database) => Promise<T>): Promise<T> {
  const open = heldDatabase(folder);
  if (open !== undefined) return work(open);
  await using db = await Database.open(folder, { readOnly: true });
  return await work(db);
}

export async function writing<T>(folder: string, create: boolean, work: (db: Database) => Promise<T>): Promise<T> {
  const open = heldDatabase(folder);
  if (open !== undefined) return work(open);
  await using db = await Database.open(folder, { create });
  return await work(db);
}

/** What the database says of a store; `StoreNotFoundError` where there is none. */
export async function mustDescribe(db: Database, store: string, options: ReadOptions = {}): Promise<StoreInfo> {
  return db.read((tx) => tx.describe(store), options);
}
