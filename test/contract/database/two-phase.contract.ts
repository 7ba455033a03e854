/** Participants, prepared transactions, and what a program sees of conflicts and retries. */
import { describe, expect, it } from 'vitest';
import { ClosedError, ConflictError, InvalidArgumentError, TransactionEndedError } from '../../../src/base/errors.ts';
import type { ConflictEvent } from '../../../src/store/conflict-events.ts';
import type { RetryEvent } from '../../../src/store/conflict-events.ts';
import type { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import type { Participant } from '../../../src/store/participants.ts';
import { fresh, type OpenSubject } from './subject.ts';

const people = defineStore<string, number>('people');

function recording(refuses?: string): Participant & { readonly heard: string[] } {
  const heard: string[] = [];
  const hear = (word: string) => (): void => {
    heard.push(word);
    if (word === refuses) throw new Error(`no ${word}`);
  };
  return { name: 'other', heard, prepare: hear('prepare'), commit: hear('commit'), rollback: hear('rollback') };
}

const ageOf = (db: Database, key: string): Promise<number | undefined> => db.read((tx) => tx.store(people).get(key));

export function twoPhaseContract(open: OpenSubject): void {
  const subject = fresh(open);

  describe('participants', () => {
    it('promise first, then hear of the decision', async () => {
      const { db } = await subject();
      const other = recording();
      let seenByOther: number | undefined = -1;
      await db.write(async (tx) => {
        tx.store(people).put('ann', 1);
        tx.join(other);
        tx.join({
          prepare: async () => {
            seenByOther = await ageOf(db, 'ann');
          },
          commit() {},
          rollback() {},
        });
      });
      expect(other.heard).toEqual(['prepare', 'commit']);
      expect(seenByOther).toBeUndefined();
      expect(await ageOf(db, 'ann')).toBe(1);
      expect(await db.prepared()).toEqual([]);
    });

    it('roll everything back where one refuses, whose error is passed on', async () => {
      const { db } = await subject();
      const others = [recording(), recording('prepare')];
      const work = db.write((tx) => {
        tx.store(people).put('ann', 1);
        for (const other of others) tx.join(other);
      });
      await expect(work).rejects.toThrow('no prepare');
      expect(others.map(({ heard }) => heard)).toEqual([
        ['prepare', 'rollback'],
        ['prepare', 'rollback'],
      ]);
      expect(await ageOf(db, 'ann')).toBeUndefined();
      expect(await db.prepared()).toEqual([]);
    });

    it('that fail after the decision undo nothing', async () => {
      const { db } = await subject();
      const others = [recording('commit'), recording()];
      await db.write((tx) => {
        tx.store(people).put('ann', 1);
        for (const other of others) tx.join(other);
      });
      expect(others[1]?.heard).toEqual(['prepare', 'commit']);
      expect(await ageOf(db, 'ann')).toBe(1);
    });

    // Limits ended when this database's part was prepared: a participant that did not answer kept it prepared for ever.
    for (const how of ['timeoutMs', 'signal'] as const) {
      it(`that do not answer are waited for until ${how} ends it; then all hear that it was rolled back`, async () => {
        const { db } = await subject();
        const other = recording();
        const heard: string[] = [];
        let answer = () => {};
        const asked = new Promise<void>((resolve) => {
          answer = resolve;
        });
        const never = new Promise<void>(() => {});
        const slow: Participant = {
          prepare: () => asked,
          commit: () => void heard.push('commit'),
          rollback: () => {
            heard.push('rollback');
            return never;
          },
        };
        const work = db.write(
          (tx) => {
            tx.store(people).put('ann', 1);
            for (const one of [slow, other]) tx.join(one);
          },
          how === 'timeoutMs' ? { timeoutMs: 50 } : { signal: AbortSignal.timeout(50) },
        );
        await expect(work).rejects.toMatchObject({ code: how === 'timeoutMs' ? 'TIMEOUT' : 'ABORTED' });
        expect(other.heard).toEqual(['rollback']);
        expect(heard).toEqual(['rollback']);
        expect(await db.prepared()).toEqual([]);
        await db.write((tx) => void tx.store(people).put('ann', 2), { retries: 0 });
        answer();
        await new Promise((resolve) => setTimeout(resolve, 5));
        expect(heard).toEqual(['rollback', 'rollback']);
      });
    }

    it('have no time limit any more once all have promised', async () => {
      const { db } = await subject();
      const other = recording();
      const tx = await db.begin('write', { timeoutMs: 60 });
      tx.store(people).put('ann', 1);
      tx.join(other);
      const prepared = await tx.prepare();
      await new Promise((resolve) => setTimeout(resolve, 80));
      await prepared.commit();
      expect(other.heard).toEqual(['prepare', 'commit']);
      expect(await ageOf(db, 'ann')).toBe(1);
    });

    it('that have not promised when the database is closed are told to roll back, and not waited for', async () => {
      for (const word of ['commit', 'prepare'] as const) {
        const { db, reopen } = await subject();
        const other = recording();
        const tx = await db.begin('write');
        tx.store(people).put('ann', 1);
        tx.join(other);
        let asked: () => void = () => {};
        const isAsked = new Promise<void>((resolve) => {
          asked = resolve;
        });
        const never = recording();
        tx.join({ ...never, prepare: () => new Promise<void>(() => asked()) });
        const work = tx[word]().catch((error: unknown) => error);
        await isAsked;
        await db.close();
        expect(await work).toBeInstanceOf(ClosedError);
        expect([other.heard, never.heard]).toEqual([['prepare', 'rollback'], ['rollback']]);
        const again = await reopen?.();
        if (again !== undefined) expect([await again.prepared(), await ageOf(again, 'ann')]).toEqual([[], undefined]);
      }
    });

    it('that have all promised when the database is closed hear of the decision first', async () => {
      const { db, reopen } = await subject();
      const other = recording();
      const tx = await db.begin('write');
      tx.store(people).put('ann', 1);
      tx.join(other);
      let closing: Promise<void> | undefined;
      const order: string[] = [];
      tx.join({
        prepare() {},
        async commit() {
          order.push('told');
          closing = db.close().then(() => void order.push('closed'));
          await Promise.resolve();
          order.push('done');
        },
        rollback() {},
      });
      expect(await tx.commit()).toBeGreaterThan(0);
      await closing;
      expect(other.heard).toEqual(['prepare', 'commit']);
      expect(order).toEqual(['told', 'done', 'closed']);
      const again = await reopen?.();
      if (again !== undefined) expect([await again.prepared(), await ageOf(again, 'ann')]).toEqual([[], 1]);
    });

    it('without the methods are refused', async () => {
      const { db } = await subject();
      const work = db.write((tx) => tx.join({ prepare() {} } as unknown as Participant));
      await expect(work).rejects.toBeInstanceOf(InvalidArgumentError);
    });
  });

  describe('a transaction that was prepared', () => {
    it('waits for its decision, and tells those who joined', async () => {
      const { db } = await subject();
      const other = recording();
      const tx = await db.begin('write');
      tx.store(people).put('ann', 1);
      tx.join(other);
      const prepared = await tx.prepare();
      expect(other.heard).toEqual(['prepare']);
      expect(prepared.id).toBe(tx.id);
      expect((await db.prepared()).map(({ id }) => id)).toEqual([tx.id]);
      expect(await db.resolve(prepared.id)).toBe('prepared');
      expect(() => tx.store(people)).toThrow(TransactionEndedError);
      await prepared.commit();
      await prepared.commit();
      await expect(prepared.rollback()).rejects.toBeInstanceOf(TransactionEndedError);
      expect(other.heard[1]).toBe('commit');
      expect(await ageOf(db, 'ann')).toBe(1);
      expect(await db.resolve(prepared.id)).toBe('committed');
    });

    /** Who cleans up what waits does not know that somebody is still promising. */
    it.each([
      ['rolled back', 'rollback'],
      ['committed', 'commit'],
    ] as const)('and is %s by somebody else before all have promised, tells all of them', async (_, word) => {
      const { db } = await subject();
      const other = recording();
      const decider: Participant = {
        async prepare() {
          for (const one of await db.prepared()) await one[word]();
        },
        commit() {},
        rollback() {},
      };
      const begin = async () => {
        const tx = await db.begin('write');
        tx.store(people).put('ann', 1);
        tx.join(other);
        tx.join(decider);
        return tx;
      };
      const first = await begin();
      const outcome = word === 'commit' ? 'committed' : 'aborted';
      await expect(first.prepare()).rejects.toMatchObject({ code: 'TRANSACTION_ENDED', details: { outcome } });
      expect(other.heard).toEqual(['prepare', word]);
      const second = await begin();
      if (word === 'commit') expect(await second.commit()).toBeGreaterThan(0);
      else await expect(second.commit()).rejects.toBeInstanceOf(TransactionEndedError);
      expect(other.heard).toEqual(['prepare', word, 'prepare', word]);
      expect(await db.resolve(second.id)).toBe(outcome);
      expect(await ageOf(db, 'ann')).toBe(word === 'commit' ? 1 : undefined);
    });

    it('and is decided by somebody else later, tells those who joined when its holder comes to decide otherwise', async () => {
      const { db } = await subject();
      for (const word of ['commit', 'rollback'] as const) {
        const others = recording();
        const tx = await db.begin('write');
        tx.store(people).put('ann', 1);
        tx.join(others);
        const prepared = await tx.prepare();
        for (const one of await db.prepared()) await one[word]();
        const opposite = word === 'commit' ? prepared.rollback() : prepared.commit();
        await expect(opposite).rejects.toBeInstanceOf(TransactionEndedError);
        expect(others.heard).toEqual(['prepare', word]);
      }
    });

    it('and is committed by somebody else while a participant refuses, tells everyone so', async () => {
      const { db } = await subject();
      const other = recording();
      const work = db.write((tx) => {
        tx.store(people).put('ann', 1);
        tx.join(other);
        tx.join({
          async prepare() {
            for (const one of await db.prepared()) await one.commit();
            throw new Error('too late');
          },
          commit() {},
          rollback() {},
        });
      });
      await expect(work).rejects.toMatchObject({ code: 'TRANSACTION_ENDED', details: { outcome: 'committed' } });
      expect(other.heard).toEqual(['prepare', 'commit']);
      expect(await ageOf(db, 'ann')).toBe(1);
    });

    it('waits in a database that is opened again', async () => {
      const { db, reopen } = await subject();
      if (reopen === undefined) return;
      await db.write((tx) => void tx.store(people).put('bob', 1));
      const tx = await db.begin('write');
      tx.store(people).put('ann', 1);
      const { id } = await tx.prepare();
      const again = await reopen();
      const [found] = await again.prepared();
      expect(found).toMatchObject({ id, stores: ['people'] });
      expect(await ageOf(again, 'ann')).toBeUndefined();
      await found?.commit();
      expect(await ageOf(again, 'ann')).toBe(1);
    });
  });

  describe('conflicts', () => {
    it('are told with store, key and run, and the next run knows what the last was lost to', async () => {
      const { db } = await subject();
      await db.write((tx) => void tx.store(people).put('ann', 1));
      const conflicts: ConflictEvent[] = [];
      const retries: RetryEvent[] = [];
      const stop = db.onConflict((event) => conflicts.push(event));
      const attempts: [number, boolean][] = [];
      const run = (options?: { onRetry: (event: RetryEvent) => void }) =>
        db.write(async (tx) => {
          attempts.push([tx.attempt, tx.lastConflict instanceof ConflictError]);
          const s = tx.store(people);
          const value = (await s.get('ann')) ?? 0;
          if (tx.attempt === 1) await db.write((other) => void other.store(people).put('ann', value + 10));
          s.put('ann', value + 1);
          return value;
        }, options);
      expect(await run()).toBe(11);
      expect(await run({ onRetry: (event) => retries.push(event) })).toBe(22);
      expect(attempts).toEqual([
        [1, false],
        [2, true],
        [1, false],
        [2, true],
      ]);
      expect(conflicts).toHaveLength(2);
      expect(retries).toMatchObject([{ attempt: 2 }]);
      stop();
      await run();
      expect(conflicts).toHaveLength(2);
    });
  });
}
