/** Where two features of the engine meet: each was tested by itself. */
import { describe, expect, it } from 'vitest';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';

const FOLDER = '/db';
const SMALL = { folder: FOLDER, tableBytes: 64 * 1024, cacheBytes: 1024 * 1024 };
const notes = defineStore<string, string>('notes');
const tasks = defineStore<string, string>('tasks', { unique: false });

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

  it('that added items is in no way of who adds more of them, or of who reads others', async () => {
    const db = await Database.openWith(memoryEnv(), SMALL);
    await db.write((tx) => {
      tx.store(tasks).add('a', 'first');
      tx.store(tasks).add('b', 'other');
    });
    const tx = await db.begin('write');
    tx.store(tasks).add('a', 'prepared');
    const prepared = await tx.prepare();
    const another = await db.begin('write');
    another.store(tasks).add('a', 'another');
    expect(await another.store(tasks).getAll('b')).toEqual(['other']);
    await another.commit();
    const reader = await db.begin('write');
    expect(await reader.store(tasks).count('a')).toBe(2);
    reader.store(tasks).add('c', 'x');
    await expect(reader.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
    await prepared.commit();
    expect(await db.read((read) => read.store(tasks).getAll('a'))).toEqual(['first', 'another', 'prepared']);
    await db.close();
  });
});
