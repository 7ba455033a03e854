/** What the database does by itself beside its users: index builds and redefinitions, under limits and in others' way. */
import { describe, expect, it } from 'vitest';
import type { Env } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { type } from '../../../src/store/standard-schema.ts';

const shape = { keySchema: type<string>(), value: type<number>() };
const from = defineStore('s', shape);
const to = defineStore('s', { ...shape, values: 'separate' });

function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Waits are a millisecond long. */
function hastyEnv(): Env {
  const env = memoryEnv();
  const { after, nextTurn } = env.timers;
  return { ...env, timers: { after: (_, fn, keepAlive) => after(1, fn, keepAlive), nextTurn } };
}

describe('a redefinition', () => {
  // Its end lost to the prepared transaction again and again, took that for a crowd of writers and made all of them wait for it:
  // until somebody decided, nobody could write.
  it('waits for a prepared transaction, and makes nobody else wait', async () => {
    const db = await Database.openWith(hastyEnv(), { folder: '/db' });
    await db.write((tx) => void tx.store(from).put('a', 1));
    const begun = gate();
    const held = gate();
    const redefined = db.redefine(from, to, async (entry) => {
      begun.open();
      await held.opened;
      return entry;
    });
    await begun.opened;
    const tx = await db.begin('write');
    tx.store(from).put('prepared', 2);
    const prepared = await tx.prepare();
    let lost = 0;
    db.onConflict((event) => {
      if (event.prepared === prepared.id) lost++;
    });
    held.open();
    for (let i = 0; lost < 30; i++) await db.write((w) => void w.store(from).put(`other${i % 10}`, i), { retries: 0 });
    expect((await db.describe('s')).redefining).toBe(true);
    await prepared.commit();
    expect(await redefined).toBe(true);
    expect(await db.read((r) => r.store(to).getMany(['a', 'prepared']))).toEqual([1, 2]);
    expect(await db.read((r) => r.store(to).get('other0'))).toBeDefined();
    await db.close();
  });
});
