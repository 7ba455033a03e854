/** Salvage of what has its number, or its decision, elsewhere in the log: items of equal keys, prepared transactions. */
import { describe, expect, it } from 'vitest';
import { BackupIncompleteError, DatabaseNotFoundError } from '../../../src/base/errors.ts';
import type { Env } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import { isMutation } from '../../../src/env/simulated-trace.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { salvageDatabase } from '../../../src/store/salvage.ts';
import { copyOut, readOnlyEnv } from '../../corruption/bytes-env.ts';

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
  const { lost } = await salvageDatabase(env, FOLDER, RESCUED, {}, readOnlyEnv(copyOut(env)));
  return { db: await Database.openWith(env, { ...SMALL, folder: RESCUED }), lost };
}

function noDatabase(error: unknown): undefined {
  if (error instanceof BackupIncompleteError || error instanceof DatabaseNotFoundError) return undefined;
  throw error;
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

  it('leaves nothing that opens as a database where it is killed, until all is there', async () => {
    const entries = Array.from({ length: 30 }, (_, i) => `k${String(i).padStart(2, '0')}`);
    let refused = 0;
    let whole = 0;
    let mutations = Number.POSITIVE_INFINITY;
    for (let killAt = 0; killAt <= mutations; killAt++) {
      const world = new SimulatedWorld(7, { traceLength: 0 });
      await world.run(async () => {
        const process = world.startProcess();
        const db = await Database.openWith(process, { ...SMALL, folder: FOLDER });
        for (const key of entries) await db.write((tx) => void tx.store(notes).put(key, key.repeat(50)));
        await db.close();
        const rescuer = world.startProcess();
        let seen = 0;
        world.onOperation = (_, operation) => {
          if (isMutation(operation.kind) && seen++ === killAt) rescuer.kill();
        };
        // A process that was killed never answers.
        const salvaged = salvageDatabase(rescuer, FOLDER, RESCUED, {}).then(
          () => true,
          () => false,
        );
        const later = world.startProcess();
        await Promise.race([salvaged, new Promise<void>((resolve) => later.timers.after(60_000, resolve))]);
        world.onOperation = undefined;
        if (seen <= killAt) mutations = seen - 1;
        const found = await Database.openWith(later, { ...SMALL, folder: RESCUED, create: false }).catch(noDatabase);
        if (found === undefined) {
          refused++;
          return;
        }
        whole++;
        expect(await found.read((tx) => tx.store(notes).range({ keysOnly: true }).toArray())).toEqual(entries);
        await found.close();
      });
    }
    expect(refused).toBeGreaterThan(5);
    expect(whole).toBeGreaterThan(0);
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
