/** The store floor alone: the contract over an engine of sorted arrays, with and without cache misses. */
import { memoryEnv } from '../../src/env/memory-env.ts';
import { Database } from '../../src/store/database.ts';
import { FakeEngine } from '../helpers/fake-engine.ts';
import { databaseContract } from './database.contract.ts';

for (const missEvery of [0, 1.5, 3]) {
  const name =
    missEvery === 0 ? 'an engine that has everything in memory' : `an engine that misses, every ${missEvery}`;
  databaseContract(name, async () => {
    const db = new Database(new FakeEngine({ missEvery }), memoryEnv());
    return { db, dispose: () => db.close() };
  });
}
