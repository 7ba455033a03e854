/** Salvage of what has its number, or its decision, elsewhere in the log: items of equal keys, prepared transactions. */
import { describe, expect, it } from 'vitest';
import type { Env } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { salvageDatabase } from '../../../src/store/salvage.ts';

const FOLDER = '/db';
const RESCUED = '/rescued';
const SMALL = { tableBytes: 64 * 1024, cacheBytes: 1024 * 1024 };
const tasks = defineStore<string, string>('tasks', { unique: false });
const notes = defineStore<string, string>('notes');

async function itemsOf(db: Database): Promise<string[]> {
  const entries = await db.read((tx) => tx.store(tasks).range().toArray());
  return entries.map(({ key, value, id }) => `${key} ${value.slice(0, 20)} ${id}`);
}

/** The database as a salvage brings it along. */
async function rescue(env: Env): Promise<{ db: Database; lost: readonly unknown[] }> {
  const { lost } = await salvageDatabase(env, FOLDER, RESCUED, {});
  return { db: await Database.openWith(env, { ...SMALL, folder: RESCUED }), lost };
}

describe('salvage', () => {
  it('brings items along under the ids they have, from trees, from the log and from runs', async () => {
    const env = memoryEnv();
    const db = await Database.openWith(env, { ...SMALL, folder: FOLDER });
    for (let i = 0; i < 5; i++) await db.write((tx) => void tx.store(tasks).add('a', `tree ${i}`));
    await db.checkpoint();
    for (let i = 0; i < 5; i++) await db.write((tx) => void tx.store(tasks).add('a', `log ${i}`));
    await db.write((tx) => {
      for (let i = 0; i < 400; i++) tx.store(tasks).add('a', `run ${i}`.padEnd(100, '.'));
    });
    await db.write((tx) => void tx.store(tasks).add('a', 'last'));
    const before = await itemsOf(db);
    expect(before.length).toBe(411);
    const rescued = await rescue(env);
    expect(rescued.lost).toEqual([]);
    expect(await itemsOf(rescued.db)).toEqual(before);
    await rescued.db.close();
    await db.close();
  });

  it('gives out no item id again', async () => {
    const env = memoryEnv();
    const db = await Database.openWith(env, { ...SMALL, folder: FOLDER });
    for (let i = 0; i < 30; i++) await db.write((tx) => void tx.store(tasks).add('a', `old ${i}`));
    await db.close();
    const { db: next } = await rescue(env);
    for (let i = 0; i < 30; i++) await next.write((tx) => void tx.store(tasks).add('a', `new ${i}`));
    const values = (await next.read((tx) => tx.store(tasks).getAll('a'))).map((value) => value);
    expect(values).toEqual([
      ...Array.from({ length: 30 }, (_, i) => `old ${i}`),
      ...Array.from({ length: 30 }, (_, i) => `new ${i}`),
    ]);
    await next.close();
  });

  it.each([
    ['in the log', false],
    ['of a root', true],
  ])('brings along what a prepared transaction %s did once it was committed', async (_, isMerged) => {
    const env = memoryEnv();
    const db = await Database.openWith(env, { ...SMALL, folder: FOLDER });
    await db.write((tx) => tx.store(notes).put('first', 'x'));
    const prepared = [];
    for (const what of ['committed', 'rolled back', 'undecided']) {
      const tx = await db.begin('write');
      tx.store(notes).put(what, 'y'.repeat(3000));
      tx.store(tasks).add('a', what);
      prepared.push(await tx.prepare());
    }
    if (isMerged) await db.checkpoint();
    await prepared[0]?.commit();
    await prepared[1]?.rollback();
    const before = await itemsOf(db);
    const { db: next, lost } = await rescue(env);
    expect(await next.read((tx) => tx.store(notes).range({ keysOnly: true }).toArray())).toEqual([
      'committed',
      'first',
    ]);
    expect(await itemsOf(next)).toEqual(before);
    expect(lost).toMatchObject([{ what: expect.stringContaining('it has not been decided') }]);
    await next.close();
    await db.close();
  });
});
