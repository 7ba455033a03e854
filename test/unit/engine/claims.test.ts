/** Fairness: who lost often has what it read for itself for a while, and nobody waits for ever. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ConflictError, DatabaseFailedError } from '../../../src/base/errors.ts';
import { CLAIM_MS, Claims } from '../../../src/commit/claims.ts';
import { Footprint } from '../../../src/commit/footprint.ts';
import { ReadSet } from '../../../src/commit/read-set.ts';
import type { Env } from '../../../src/env/env.ts';
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import { Database, defineStore } from '../../../src/index.ts';
import { get, openSmall, put, write } from './small-engine.ts';

const seed = Number(process.env.SOP_SEED ?? 20261122);
const counts = defineStore<number, number>('counts');
const KEYS = 1000;
const SMALL_WRITERS = 8;
const RETRIES = 6;

function inWorld(work: (env: Env) => Promise<void>): Promise<void> {
  const world = new SimulatedWorld(seed);
  const env = world.startProcess();
  return world.run(() => work(env));
}

const turn = (env: Env): Promise<void> => new Promise((resolve) => env.timers.nextTurn(resolve));
const wait = (env: Env, ms: number): Promise<void> =>
  new Promise((resolve) => void env.timers.after(ms, resolve, true));

/** Adds one to every key, with pauses; answers how many runs that took. */
async function addToAll(db: Database, env: Env, retries = RETRIES): Promise<number> {
  let runs = 0;
  await db.write(
    async (tx) => {
      runs++;
      const store = tx.store(counts);
      for (let key = 0; key < KEYS; key++) {
        store.put(key, ((await store.get(key)) ?? 0) + 1);
        if (key % 20 === 0) await turn(env);
      }
    },
    { retries },
  );
  return runs;
}

async function besideSmallWriters(work: (db: Database, env: Env) => Promise<void>): Promise<void> {
  await inWorld(async (env) => {
    const db = await Database.openWith(env, { folder: '/db' });
    await db.write((tx) => {
      for (let key = 0; key < KEYS; key++) tx.store(counts).put(key, 0);
    });
    let done = false;
    let small = 0;
    const writers = Array.from({ length: SMALL_WRITERS }, async (_, who) => {
      for (let i = 0; !done; i++) {
        const key = (i * SMALL_WRITERS * 7 + who * 131) % KEYS;
        await db.write(async (tx) => tx.store(counts).put(key, ((await tx.store(counts).get(key)) ?? 0) + 1));
        small++;
        // A lone commit is made on the spot: without a turn nobody else would ever get one.
        await turn(env);
      }
    });
    let long = 0;
    try {
      await work(db, env);
      const first = await db.read((tx) => tx.store(counts).get(0));
      long = first ?? 0;
    } finally {
      done = true;
      await Promise.all(writers);
    }
    expect(small).toBeGreaterThan(SMALL_WRITERS);
    expect(long).toBeGreaterThan(0);
    await db.close();
  });
}

describe(`claims (SOP_SEED=${seed})`, () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('a long read-modify-write gets through beside small writers of the same keys', async () => {
    await besideSmallWriters(async (db, env) => {
      expect(await addToAll(db, env)).toBeLessThanOrEqual(6);
    });
  });

  it('which it would not without claims', async () => {
    vi.spyOn(Claims.prototype, 'add').mockReturnValue(undefined);
    await besideSmallWriters(async (db, env) => {
      await expect(addToAll(db, env)).rejects.toBeInstanceOf(ConflictError);
    });
  });

  it("several long ones in each other's way all get through", async () => {
    await besideSmallWriters(async (db, env) => {
      const runs = await Promise.all([1, 2, 3].map(() => addToAll(db, env, 15)));
      expect(Math.max(...runs)).toBeLessThanOrEqual(12);
    });
  });

  it('a claim nobody ends holds others back for its time and no longer, and what it did not read not at all', async () => {
    await inWorld(async (env) => {
      const engine = await openSmall(env);
      await write(engine, (tx) => put(tx, 'a', '1'));
      const reader = engine.begin('write');
      get(reader, 'a');
      reader.rollback();
      expect(await engine.claim(reader)).toBeDefined();
      const begun = env.clock.monotonicMs();
      await write(engine, (tx) => put(tx, 'b', '1'));
      expect(env.clock.monotonicMs() - begun).toBeLessThan(CLAIM_MS / 2);
      await write(engine, (tx) => put(tx, 'a', '2'));
      const waited = env.clock.monotonicMs() - begun;
      expect(waited).toBeGreaterThan(CLAIM_MS / 2);
      expect(waited).toBeLessThan(CLAIM_MS * 2);
      await engine.close();
    });
  });

  it('who has waited for one claim does not wait for the next one too', async () => {
    await inWorld(async (env) => {
      const engine = await openSmall(env);
      await write(engine, (tx) => put(tx, 'a', '1'));
      const reader = engine.begin('write');
      get(reader, 'a');
      reader.rollback();
      await engine.claim(reader);
      const begun = env.clock.monotonicMs();
      const written = write(engine, (tx) => put(tx, 'a', '2'));
      await wait(env, CLAIM_MS / 2);
      await engine.claim(reader);
      await written;
      expect(env.clock.monotonicMs() - begun).toBeLessThan(CLAIM_MS * 1.3);
      await engine.close();
    });
  });

  it('closing lets go who is held back', async () => {
    await inWorld(async (env) => {
      const engine = await openSmall(env);
      const reader = engine.begin('write');
      get(reader, 'a');
      reader.rollback();
      await engine.claim(reader);
      const tx = engine.begin('write');
      put(tx, 'a', '2');
      const committed = tx.commit();
      await turn(env);
      await engine.close();
      expect(await committed).toBeGreaterThan(0);
    });
  });

  it('a database that fails under who claims answers those who wait for it', async () => {
    const world = new SimulatedWorld(seed);
    await world.run(async () => {
      const env = world.startProcess();
      const engine = await openSmall(env);
      await write(engine, (tx) => put(tx, 'a', '1'));
      const reader = engine.begin('write');
      get(reader, 'a');
      reader.rollback();
      const claimant = engine.begin('write', { claim: await engine.claim(reader) });
      put(claimant, 'a', '2');
      const heldBack = write(engine, (tx) => put(tx, 'a', '3'));
      await turn(env);
      world.fail({ operation: ['write', 'sync', 'read', 'create'], error: 'EIO', times: Number.POSITIVE_INFINITY });
      // In flight, so that the claimant stands in the queue when the log fails.
      const inFlight = [1, 2, 3].map((n) => write(engine, (tx) => put(tx, `b-${n}`, '1')));
      await turn(env);
      const ends = await Promise.allSettled([claimant.commit(), ...inFlight, heldBack]);
      expect(ends.map(({ status }) => status)).toEqual(Array(5).fill('rejected'));
      expect((ends.at(-1) as PromiseRejectedResult).reason).toBeInstanceOf(DatabaseFailedError);
      await engine.close().catch(() => {});
    });
  });

  it('of many keys a claim holds the span', () => {
    const reads = new ReadSet();
    const key = (n: number): Uint8Array => Uint8Array.of(n >> 8, n & 255);
    for (let n = 100; n < 200; n += 2) reads.store(7).addKey(key(n), 0, 2);
    const touches = (footprint: Footprint, n: number): boolean => footprint.touchesKey(7, key(n), 0, 2, 1);
    const exact = Footprint.ofReads(reads, 50);
    const span = Footprint.ofReads(reads, 49);
    expect([99, 100, 101, 198, 199].map((n) => touches(exact, n))).toEqual([false, true, false, true, false]);
    expect([99, 100, 101, 198, 199].map((n) => touches(span, n))).toEqual([false, true, true, true, false]);
  });
});
