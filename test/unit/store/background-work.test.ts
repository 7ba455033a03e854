/** What the database does by itself beside its users: index builds and redefinitions, under limits and in others' way. */
import { describe, expect, it } from 'vitest';
import { TimeoutError } from '../../../src/base/errors.ts';
import type { Env } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import type { MemoryOptions } from '../../../src/store/open-options.ts';
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

interface Note {
  readonly n: number;
  readonly text: string;
}
const notes = defineStore('notes', { keySchema: type<number>(), value: type<Note>() });
const byText = defineStore('notes', {
  keySchema: type<number>(),
  value: type<Note>(),
  indexes: { byText: ['text'] },
});
const apart = defineStore('notes', { keySchema: type<number>(), value: type<Note>(), values: 'separate' });

// Batches were refused by limits meant for users: a build then ended as failed, or was forgotten, a redefinition never got through.
describe('limits of transactions do not bind what the database does itself', () => {
  async function filled(limits: MemoryOptions): Promise<Database> {
    const db = await Database.memory(limits);
    for (let i = 0; i < 1000; i += 100) {
      await db.write((tx) => {
        for (let j = i; j < i + 100; j++) tx.store(notes).put(j, { n: j, text: 't'.repeat(500) + j });
      });
    }
    return db;
  }

  it('how much one may change', async () => {
    const db = await filled({ maxTransactionBytes: 100_000 });
    await db.indexReady(byText, 'byText');
    await db.redefine(byText, apart, (entry) => entry);
    expect((await db.describe('notes')).count).toBe(1000);
    await expect(db.write((tx) => tx.store(apart).put(0, { n: 0, text: 'x'.repeat(200_000) }))).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
    await db.close();
  });

  it('how many may be open, of which none is taken', async () => {
    const db = await filled({ maxOpenTransactions: 2 });
    const one = await db.begin('read');
    await db.write((tx) => void tx.store(byText));
    const two = await db.begin('read');
    await db.indexReady('notes', 'byText');
    let most = 0;
    await one.rollback();
    await db.redefine(byText, apart, async (entry) => {
      most = Math.max(most, await db.read((tx) => tx.store(byText).count()));
      return entry;
    });
    expect(most).toBe(1000);
    expect((await db.verify()).ok).toBe(true);
    await two.rollback();
    await db.close();
  });

  it('how long one may take', async () => {
    const db = await filled({ transactionTimeoutMs: 40 });
    let slow = 0;
    await db.redefine(notes, apart, async (entry) => {
      if (slow++ < 8) await new Promise((resolve) => setTimeout(resolve, 10));
      return entry;
    });
    const tx = await db.begin('write');
    await new Promise((resolve) => setTimeout(resolve, 60));
    await expect(tx.commit()).rejects.toBeInstanceOf(TimeoutError);
    await db.close();
  });
});

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
