/** The contract of a database on files in memory. */
import { Database } from '../../src/store/database.ts';
import { databaseContract } from './database.contract.ts';

databaseContract('a database in memory', async () => {
  const db = await Database.memory();
  return { db, dispose: () => db.close() };
});

databaseContract('a database in memory with next to no cache and small tables', async () => {
  const db = await Database.memory({ cacheBytes: 64 * 1024, tableBytes: 256 * 1024 });
  return { db, dispose: () => db.close() };
});
