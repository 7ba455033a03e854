/**
 * Functions of the program that answer promises where nobody waits for one. What they reject with used to be nobody's, which ends
 * the process; vitest fails a run with an unhandled rejection.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InvalidArgumentError, InvalidKeyError } from '../../../src/base/errors.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { type } from '../../../src/store/standard-schema.ts';

const shape = { keySchema: type<number>(), value: type<{ n: number }>() };
const notes = defineStore('notes', shape);
const rejecting = (what: string) => async (): Promise<void> => {
  throw new Error(what);
};
/** A promise of another make. */
const foreign = (what: string) => (): object => ({
  // biome-ignore lint/suspicious/noThenProperty: it is meant to be one.
  then: (_: unknown, no: (error: Error) => void) => no(new Error(what)),
});
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('a promise that rejects is told as a background error', () => {
  let told: string[] = [];
  let db: Database;
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown) => void unhandled.push(error);

  beforeEach(async () => {
    told = [];
    process.on('unhandledRejection', onUnhandled);
    db = await Database.memory({ onBackgroundError: (error) => void told.push((error as Error).message) });
    await db.write((tx) => {
      for (let n = 0; n < 20; n++) tx.store(notes).put(n, { n });
    });
  });
  afterEach(async () => {
    await db.close();
    await settle();
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled.splice(0)).toEqual([]);
  });

  it('by what hears of the end of a transaction', async () => {
    await db.write((tx) => {
      tx.onCommit(rejecting('commit'));
      tx.onCommit(foreign('foreign'));
      tx.store(notes).put(1, { n: 2 });
    });
    const tx = await db.begin('write');
    tx.onRollback(rejecting('rollback'));
    await tx.rollback();
    await settle();
    expect(told.sort()).toEqual(['commit', 'foreign', 'rollback']);
  });

  it('by who listens to the database', async () => {
    db.on('checkpoint', foreign('thenable'));
    await db.checkpoint();
    await settle();
    expect(new Set(told)).toEqual(new Set(['thenable']));
  });

  it('by onProgress and onRetry', async () => {
    await db.checkpoint();
    await db.verify({ onProgress: rejecting('verify') });
    await db.indexReady(defineStore('notes', { ...shape, indexes: { n: ['n'] } }), 'n', {
      onProgress: rejecting('index'),
    });
    await db.redefine(notes, defineStore('notes', { ...shape, values: 'separate' }), (entry) => entry, {
      onProgress: rejecting('redefine'),
    });
    const other = defineStore('other', shape);
    await db.write(
      async (tx) => {
        const n = (await tx.store(other).get(1))?.n ?? 0;
        if (tx.attempt === 1) await db.write((inner) => void inner.store(other).put(1, { n: 1 }));
        tx.store(other).put(1, { n: n + 1 });
      },
      { onRetry: rejecting('retry') },
    );
    await settle();
    expect(new Set(told)).toEqual(new Set(['verify', 'index', 'redefine', 'retry']));
  });

  it('unless it is that of who hears of background errors', async () => {
    let heard = 0;
    const deaf = await Database.memory({
      onBackgroundError: async () => {
        heard++;
        throw new Error('deaf');
      },
    });
    deaf.on('error', rejecting('error'));
    await deaf.write((tx) => {
      tx.onCommit(rejecting('commit'));
      tx.store(notes).put(1, { n: 1 });
    });
    await settle();
    // The listener's own, and what the other one who hears of errors made of it.
    expect(heard).toBe(2);
    await deaf.close();
  });

  it('where an answer is needed at once it is refused by name', async () => {
    const slow = defineStore('slow', {
      ...shape,
      indexes: { i: { of: rejecting('of') as unknown as () => string, version: 1 } },
    });
    const many = defineStore('many', {
      ...shape,
      indexes: { i: { of: () => [rejecting('of')() as unknown as string], many: true, version: 1 } },
    });
    await db.write((tx) => {
      expect(() => tx.store(many).put(1, { n: 1 })).toThrow(InvalidKeyError);
      expect(() => tx.store(slow).put(1, { n: 1 })).toThrow(/promise/);
    });
    const where = rejecting('where') as unknown as () => boolean;
    await expect(db.read((tx) => tx.store(notes).range({ where }).toArray())).rejects.toBeInstanceOf(
      InvalidArgumentError,
    );
  });
});
