/**
 * The id of a store is given out once. Found by the mixed programs: a store created and dropped by one transaction stood only
 * among the dropped ones; after the next opening its id went to another store, which the checkpoint then unlinked.
 */
import { expect, it } from 'vitest';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { Database, defineStore } from '../../../src/index.ts';

const passing = defineStore<number, string>('passing');
const staying = defineStore<number, string>('staying');
const folder = '/db';

it('a store created and dropped by one transaction uses its id up, also for the next opening', async () => {
  const env = memoryEnv();
  const first = await Database.openWith(env, { folder });
  await first.write(async (tx) => {
    await tx.store(passing).add(1, 'gone');
    tx.drop('passing');
  });
  await first.close();
  const second = await Database.openWith(env, { folder });
  await second.write((tx) => tx.store(staying).put(2, 'kept'));
  await second.checkpoint();
  expect(await second.read((tx) => tx.store(staying).get(2))).toBe('kept');
  await second.close();
});
