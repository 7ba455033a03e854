/** Opening the database a verb works on. */
import { Database, type StoreInfo } from '../index.ts';

/** Reading verbs: nothing is written, nobody is waited for; works beside a running program. */
export async function reading<T>(folder: string, work: (db: Database) => Promise<T>): Promise<T> {
  await using db = await Database.open(folder, { readOnly: true });
  return await work(db);
}

export async function writing<T>(folder: string, create: boolean, work: (db: Database) => Promise<T>): Promise<T> {
  await using db = await Database.open(folder, { create });
  return await work(db);
}

/** What the database says of a store; `StoreNotFoundError` where there is none. */
export async function mustDescribe(db: Database, store: string): Promise<StoreInfo> {
  return db.read((tx) => tx.describe(store));
}
