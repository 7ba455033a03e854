/** Prepared transactions: durable, invisible, in the way of what conflicts with them, and decided once. */
import { describe, expect, it, vi } from 'vitest';
import {
  ConflictError,
  OutcomeUnknownError,
  ReadOnlyError,
  type SopError,
  TransactionEndedError,
} from '../../../src/base/errors.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import { Database, defineStore } from '../../../src/index.ts';
import type { EngineApi, EngineTransaction } from '../../../src/transaction/engine-api.ts';
import { Engine } from '../../../src/transaction/running-engine.ts';
import { Transaction } from '../../../src/transaction/transaction.ts';
import { bytesOf, getText, keysOf, openSmall, put, putSeparate, STORE, write } from './small-engine.ts';

async function prepare(engine: EngineApi, work: (tx: EngineTransaction) => void): Promise<string> {
  const tx = engine.begin('write');
  const { id } = tx;
  work(tx);
  await tx.prepare();
  return id;
}

function textNow(engine: EngineApi, key: string): string | undefined {
  const tx = engine.begin('read');
  try {
    return getText(tx, key);
  } finally {
    tx.rollback();
  }
}

function readThenPut(tx: EngineTransaction, read: string): void {
  getText(tx, read);
  put(tx, 'other', 'x');
}

const refusal = (work: Promise<unknown>): Promise<SopError> =>
  work.then(
    () => {
      throw new Error('it was not refused');
    },
    (error: SopError) => error,
  );

describe('a prepared transaction', () => {
  it('is seen by nobody before its decision, and whole after it', async () => {
    const engine = await openSmall();
    const id = await prepare(engine, (tx) => {
      put(tx, 'a', '1');
      put(tx, 'b', '2');
    });
    expect(textNow(engine, 'a')).toBeUndefined();
    expect(engine.prepared().map((one) => one.id)).toEqual([id]);
    expect(engine.prepared()[0]?.stores).toEqual([STORE]);
    expect(await engine.resolve(id)).toBe('prepared');
    const number = await engine.decide(id, true);
    expect(number).toBe(engine.stats().number);
    expect([textNow(engine, 'a'), textNow(engine, 'b')]).toEqual(['1', '2']);
    expect(engine.prepared()).toEqual([]);
    expect(await engine.resolve(id)).toBe('committed');
    await engine.close();
  });

  it('is remembered after hundreds of others, here and after opening again', async () => {
    const env = memoryEnv();
    const engine = await openSmall(env);
    const ids: string[] = [];
    for (let i = 0; i < 400; i++) {
      const id = await prepare(engine, (tx) => put(tx, `key ${i}`, '1'));
      await engine.decide(id, true);
      ids.push(id);
    }
    const first = ids[0] as string;
    expect(await engine.resolve(first)).toBe('committed');
    await engine.close();
    const again = await openSmall(env);
    expect(await again.resolve(first)).toBe('committed');
    await again.close();
  });

  /** Hundreds that lose between its preparing and its decision made its id one that is too old to be known. */
  it.each([true, false])('is known for long after a late decision (commit: %s)', async (isCommit) => {
    const env = memoryEnv();
    let engine = await openSmall(env);
    await write(engine, (tx) => put(tx, 'hot', '0'));
    const id = await prepare(engine, (tx) => put(tx, 'a', '1'));
    const outcome = isCommit ? 'committed' : 'aborted';
    const lose = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        const losing = engine.begin('write');
        readThenPut(losing, 'hot');
        await write(engine, (tx) => put(tx, 'hot', String(i)));
        await expect(losing.commit()).rejects.toBeInstanceOf(ConflictError);
      }
    };
    await lose(700);
    await engine.decide(id, isCommit);
    expect(await engine.resolve(id)).toBe(outcome);
    await engine.checkpoint();
    await lose(100);
    await engine.decide(id, isCommit);
    await expect(engine.decide(id, !isCommit)).rejects.toBeInstanceOf(TransactionEndedError);
    expect(await engine.resolve(id)).toBe(outcome);
    await engine.checkpoint();
    await engine.close();
    engine = await openSmall(env);
    expect(await engine.resolve(id)).toBe(outcome);
    await engine.close();
  });

  it('that is rolled back leaves nothing', async () => {
    const engine = await openSmall();
    const id = await prepare(engine, (tx) => put(tx, 'a', '1'));
    await engine.decide(id, false);
    expect(textNow(engine, 'a')).toBeUndefined();
    expect(await engine.resolve(id)).toBe('aborted');
    await engine.close();
  });

  it('is decided once: the same again is harmless, the opposite is refused', async () => {
    const engine = await openSmall();
    const yes = await prepare(engine, (tx) => put(tx, 'a', '1'));
    const no = await prepare(engine, (tx) => put(tx, 'b', '1'));
    const [one, two] = await Promise.all([engine.decide(yes, true), engine.decide(yes, true)]);
    expect(one).toBe(two);
    await engine.decide(no, false);
    await engine.decide(yes, true);
    await engine.decide(no, false);
    await expect(engine.decide(yes, false)).rejects.toBeInstanceOf(TransactionEndedError);
    await expect(engine.decide(no, true)).rejects.toBeInstanceOf(TransactionEndedError);
    await engine.checkpoint();
    await engine.decide(yes, true);
    await expect(engine.decide(yes, false)).rejects.toBeInstanceOf(TransactionEndedError);
    await engine.close();
  });

  it('tells those who listen of its decision, not of being prepared', async () => {
    const engine = await openSmall();
    const heard: string[] = [];
    const listen = (tx: EngineTransaction): void => {
      put(tx, tx.id, '1');
      tx.onCommit((number) => heard.push(`commit ${number}`));
      tx.onRollback(() => heard.push('rollback'));
    };
    const yes = await prepare(engine, listen);
    const no = await prepare(engine, listen);
    expect(heard).toEqual([]);
    const number = await engine.decide(yes, true);
    await engine.decide(no, false);
    expect(heard).toEqual([`commit ${number}`, 'rollback']);
    await engine.close();
  });

  it('is refused for a conflict before it is prepared', async () => {
    const engine = await openSmall();
    const tx = engine.begin('write');
    getText(tx, 'a');
    put(tx, 'b', '1');
    await write(engine, (other) => put(other, 'a', '1'));
    await expect(tx.prepare()).rejects.toBeInstanceOf(ConflictError);
    expect(engine.prepared()).toEqual([]);
    await engine.close();
  });
});

describe('while a transaction is prepared', () => {
  const blocked: [string, (tx: EngineTransaction) => void][] = [
    ['writes a key that it read', (tx) => put(tx, 'read', 'x')],
    ['writes a key of a range that it read', (tx) => put(tx, 'range-5', 'x')],
    ['clears a range over a key that it read', (tx) => tx.removeRange(STORE, bytesOf('rea'), bytesOf('reae'))],
    ['reads a key that it writes', (tx) => readThenPut(tx, 'written')],
    ['reads a range over a key that it writes', (tx) => tx.noteRange(STORE, bytesOf('writ'), undefined)],
    ['writes a key that it writes', (tx) => put(tx, 'written', 'x')],
    ['writes a key of a range that it clears', (tx) => put(tx, 'cleared-5', 'x')],
  ];
  const harmless: [string, (tx: EngineTransaction) => void][] = [
    ['reads what it read', (tx) => readThenPut(tx, 'read')],
    ['writes beside it', (tx) => put(tx, 'range-6', 'x')],
    ['writes the same key of another store', (tx) => put(tx, 'written', 'x', STORE + 1)],
  ];

  async function withPrepared(work: (engine: EngineApi, id: string) => Promise<void>): Promise<void> {
    const engine = await openSmall();
    const id = await prepare(engine, (tx) => {
      getText(tx, 'read');
      tx.noteRange(STORE, bytesOf('range-5'), bytesOf('range-6'));
      put(tx, 'written', 'p');
      tx.removeRange(STORE, bytesOf('cleared-1'), bytesOf('cleared-9'));
    });
    await work(engine, id);
    await engine.close();
  }

  for (const [name, work] of blocked) {
    it(`one that ${name} waits and is refused by name`, async () => {
      await withPrepared(async (engine, id) => {
        const error = await refusal(write(engine, work));
        expect(error).toBeInstanceOf(ConflictError);
        expect(error.retryable).toBe(true);
        expect(error.details).toMatchObject({ prepared: id, storeId: STORE });
        await engine.decide(id, true);
        await write(engine, work);
      });
    });
  }

  for (const [name, work] of harmless) {
    it(`one that ${name} commits`, async () => {
      await withPrepared(async (engine) => void (await write(engine, work)));
    });
  }

  it('one that waits goes on as soon as it is decided', async () => {
    await withPrepared(async (engine, id) => {
      const waiting = write(engine, (tx) => put(tx, 'written', 'after'));
      await engine.decide(id, true);
      await waiting;
      expect(textNow(engine, 'written')).toBe('after');
    });
  });

  it('one that read what it writes loses to its commit, and not to its rollback', async () => {
    for (const isCommit of [true, false]) {
      await withPrepared(async (engine, id) => {
        const reading = write(engine, (tx) => readThenPut(tx, 'written'));
        const outcome = reading.then(
          () => 'committed',
          () => 'refused',
        );
        await engine.decide(id, isCommit);
        expect(await outcome).toBe(isCommit ? 'refused' : 'committed');
      });
    }
  });

  it('closing waits for nobody who waits for it', async () => {
    await withPrepared(async (engine) => {
      const waiting = refusal(write(engine, (tx) => put(tx, 'written', 'x')));
      await Promise.resolve();
      await engine.close();
      expect(await waiting).toBeInstanceOf(ConflictError);
    });
  });
});

describe('a prepared transaction after opening again', () => {
  for (const before of ['nothing', 'a checkpoint', 'two checkpoints']) {
    it(`still waits and blocks, ${before} before the end`, async () => {
      const env = memoryEnv();
      let engine = await openSmall(env);
      await write(engine, (tx) => put(tx, 'old', '1'));
      const value = new Uint8Array(100_000).fill(7);
      const id = await prepare(engine, (tx) => {
        put(tx, 'a', '1');
        getText(tx, 'read');
        putSeparate(tx, 'long', value);
        for (let i = 0; i < 100; i++) put(tx, `many-${i}`, 'x'.repeat(100));
      });
      if (before !== 'nothing') await engine.checkpoint();
      if (before === 'two checkpoints') {
        await write(engine, (tx) => put(tx, 'old', '2'));
        await engine.compact();
      }
      for (let round = 0; round < 2; round++) {
        await engine.close();
        engine = await openSmall(env);
        expect(engine.prepared().map((one) => one.id)).toEqual([id]);
        expect(textNow(engine, 'a')).toBeUndefined();
        await expect(write(engine, (tx) => put(tx, 'read', '1'))).rejects.toBeInstanceOf(ConflictError);
        expect(await engine.resolve(id)).toBe('prepared');
        await write(engine, (tx) => put(tx, `round ${round}`, '1'));
        await engine.compact();
      }
      await engine.decide(id, true);
      expect(textNow(engine, 'a')).toBe('1');
      await engine.compact();
      await engine.close();
      engine = await openSmall(env);
      expect(engine.prepared()).toEqual([]);
      expect(await engine.resolve(id)).toBe('committed');
      expect(textNow(engine, 'long')).toHaveLength(100_000);
      expect(keysOf(engine.begin('read'))).toHaveLength(105);
      expect((await engine.verify()).problems).toEqual([]);
      await engine.close();
    });
  }

  it('with spilled runs commits whole, and a rolled back one leaves no file', async () => {
    for (const isCommit of [true, false]) {
      const env = memoryEnv();
      let engine = await openSmall(env);
      const id = await prepare(engine, (tx) => {
        for (let i = 0; i < 2000; i++) put(tx, `key-${i}`, 'x'.repeat(100));
      });
      await engine.checkpoint();
      await engine.close();
      engine = await openSmall(env);
      await write(engine, (tx) => put(tx, 'other', '1'));
      await engine.compact();
      await engine.decide(id, isCommit);
      await engine.compact();
      expect(keysOf(engine.begin('read'))).toHaveLength(isCommit ? 2001 : 1);
      expect((await engine.verify()).problems).toEqual([]);
      await engine.close();
      if (!isCommit) expect(env.files.list('/db/data').length).toBeLessThanOrEqual(4);
    }
  });

  it('is listed by a read-only opening, which can not decide it', async () => {
    const env = memoryEnv();
    const engine = await openSmall(env);
    const id = await prepare(engine, (tx) => put(tx, 'a', '1'));
    await engine.close();
    const reading = await openSmall(env, { readOnly: true });
    expect(reading.prepared().map((one) => one.id)).toEqual([id]);
    expect(await reading.resolve(id)).toBe('prepared');
    await expect(reading.decide(id, true)).rejects.toBeInstanceOf(ReadOnlyError);
    await reading.close();
  });

  it('whose decision is unknown is asked about by its own id, not by that of the decision', async () => {
    const world = new SimulatedWorld(1);
    await world.run(async () => {
      const engine = await openSmall(world.startProcess());
      const id = await prepare(engine, (tx) => put(tx, 'a', '1'));
      world.fail({ operation: ['write', 'sync', 'read', 'create'], error: 'EIO', times: Number.POSITIVE_INFINITY });
      const error = await refusal(engine.decide(id, true));
      expect(error).toBeInstanceOf(OutcomeUnknownError);
      expect((error as OutcomeUnknownError).transactionId).toBe(id);
      world.clearFaults();
      await engine.close().catch(() => {});
      const again = await openSmall(world.startProcess());
      expect(['prepared', 'committed']).toContain(await again.resolve(id));
      await again.decide(id, true);
      expect(textNow(again, 'a')).toBe('1');
      await again.close();
    });
  });

  it('is not made again by who runs a transaction whose decision is unknown', async () => {
    const world = new SimulatedWorld(1);
    const counts = defineStore<string, number>('counts');
    await world.run(async () => {
      const db = await Database.openWith(world.startProcess(), { folder: '/disk/db' });
      await db.write((tx) => tx.store(counts).put('payments', 0));
      const asked: string[] = [];
      let runs = 0;
      const paid = db.write(async (tx) => {
        runs++;
        tx.store(counts).put('payments', ((await tx.store(counts).get('payments')) ?? 0) + 1);
        tx.join({
          prepare: (id) => {
            asked.push(id);
            world.fail({
              operation: ['write', 'sync', 'read', 'create'],
              error: 'EIO',
              times: Number.POSITIVE_INFINITY,
            });
          },
          commit: () => {},
          rollback: () => {},
        });
      });
      const error = await refusal(paid);
      expect(error).toBeInstanceOf(OutcomeUnknownError);
      expect([runs, asked]).toEqual([1, [(error as OutcomeUnknownError).transactionId]]);
      world.clearFaults();
      await db.close().catch(() => {});
      const again = await Database.openWith(world.startProcess(), { folder: '/disk/db' });
      expect(['prepared', 'committed']).toContain(await again.resolve(asked[0] as string));
      await (await again.prepared())[0]?.commit();
      expect(await again.read((tx) => tx.store(counts).get('payments'))).toBe(1);
      await again.close();
    });
  });

  /** Of a decision whose record is on its way: the database is told to close in the middle of that. */
  it('is decided before the database is closed, and a participant that does not answer keeps it open for a while only', async () => {
    const world = new SimulatedWorld(3);
    const numbers = defineStore<string, number>('numbers');
    await world.run(async () => {
      const env = world.startProcess();
      const db = await Database.openWith(env, { folder: '/disk/db' });
      await db.write((tx) => tx.store(numbers).put('a', 0));
      const heard: string[] = [];
      let closing: Promise<void> | undefined;
      const decide = vi.spyOn(Engine.prototype, 'decide').mockImplementationOnce(function (this: Engine, id, isCommit) {
        closing = db.close();
        return this.decide(id, isCommit);
      });
      void db.write((tx) => {
        tx.store(numbers).put('a', 1);
        tx.join({
          prepare() {},
          commit: () => {
            heard.push('commit');
            return new Promise<void>(() => {});
          },
          rollback() {},
        });
      });
      while (closing === undefined) await new Promise<void>((resolve) => env.timers.nextTurn(resolve));
      decide.mockRestore();
      const begunMs = env.clock.monotonicMs();
      await closing;
      expect(env.clock.monotonicMs() - begunMs).toBeLessThan(10_000);
      expect(heard).toEqual(['commit']);
      const again = await Database.openWith(world.startProcess(), { folder: '/disk/db' });
      expect(await again.prepared()).toEqual([]);
      expect(await again.read((tx) => tx.store(numbers).get('a'))).toBe(1);
      await again.close();
    });
  });

  it.each([
    ['committed', 'decide', ['prepare', 'commit']],
    ['aborted', 'prepare', ['rollback', 'prepare', 'commit']],
  ] as const)(
    'whose answer got lost is found out about by db.write, and its participant too: %s',
    async (_, lost, expected) => {
      const numbers = defineStore<string, number>('numbers');
      const db = await Database.openWith(memoryEnv(), { folder: '/db' });
      await db.write((tx) => tx.store(numbers).put('a', 0));
      const spied =
        lost === 'decide'
          ? vi.spyOn(Engine.prototype, 'decide').mockImplementationOnce(async function (this: Engine, id, isCommit) {
              await this.decide(id, isCommit);
              throw new OutcomeUnknownError(id, 'the answer got lost');
            })
          : vi.spyOn(Transaction.prototype, 'prepare').mockImplementationOnce(function (this: Transaction) {
              this.rollback();
              return Promise.reject(new OutcomeUnknownError(this.id, 'the answer got lost'));
            });
      const heard: string[] = [];
      const note = (word: string) => () => void heard.push(word);
      await db.write((tx) => {
        tx.store(numbers).put('a', 1);
        tx.join({ prepare: note('prepare'), commit: note('commit'), rollback: note('rollback') });
      });
      spied.mockRestore();
      expect(heard).toEqual(expected);
      expect(await db.read((tx) => tx.store(numbers).get('a'))).toBe(1);
      expect(await db.prepared()).toEqual([]);
      await db.close();
    },
  );
});
