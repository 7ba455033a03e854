/** The contract of a database on files in memory. */
import { describe } from 'vitest';
import { Database } from '../../src/store/database.ts';
import { observationContract } from './database/observation.contract.ts';
import { pinsContract } from './database/pins.contract.ts';
import { databaseContract } from './database.contract.ts';

databaseContract('a database in memory', async () => {
  const db = await Database.memory();
  return { db, dispose: () => db.close() };
});

databaseContract('a database in memory with next to no cache and small tables', async () => {
  const db = await Database.memory({ cacheBytes: 64 * 1024, tableBytes: 256 * 1024 });
  return { db, dispose: () => db.close() };
});

describe('a database in memory', () => {
  observationContract(async () => {
    const db = await Database.memory();
    return { db, dispose: () => db.close() };
  });
});

describe('a database in memory with next to no cache and small tables', () => {
  pinsContract(async () => {
    const db = await Database.memory({ cacheBytes: 64 * 1024, tableBytes: 256 * 1024 });
    return { db, dispose: () => db.close() };
  });
});
