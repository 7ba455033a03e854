/** Where two features of the engine meet: each was tested by itself. */
import { describe, expect, it } from 'vitest';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';

const FOLDER = '/db';
const SMALL = { folder: FOLDER, tableBytes: 64 * 1024, cacheBytes: 1024 * 1024 };
const notes = defineStore<string, string>('notes');

/** Leaves a transaction undecided behind: closed and opened again, nobody in the process remembers it. */
async function preparedBefore(
  env: ReturnType<typeof memoryEnv>,
  work: (tx: Awaited<ReturnType<Database['begin']>>) => void | Promise<void>,
) {
  const db = await Database.openWith(env, SMALL);
  await db.write((tx) => tx.store(notes).put('before', 'x'));
  const tx = await db.begin('write');
  await work(tx);
  await tx.prepare();
  await db.close();
}

describe('a prepared transaction of an earlier opening', () => {
  it('that drops a store is seen by the catalog that knows the store', async () => {
    const env = memoryEnv();
    await preparedBefore(env, (tx) => tx.drop('notes'));
    const db = await Database.openWith(env, SMALL);
    expect(await db.read((tx) => tx.store(notes).get('before'))).toBe('x');
    await (await db.prepared())[0]?.commit();
    expect(await db.read((tx) => tx.store(notes).get('before'))).toBeUndefined();
    await db.write((tx) => tx.store(notes).put('after', 'y'));
    await db.checkpoint();
    expect(await db.read((tx) => tx.store(notes).get('after'))).toBe('y');
    await db.close();
  });
});
