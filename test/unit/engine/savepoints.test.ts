/** Savepoints of transactions that spill: what was spilled before stays, what came after goes. */
import { expect, it } from 'vitest';
import { DiskFullError, IoError, TransactionEndedError } from '../../../src/base/errors.ts';
import { INCREMENT_CREATES, readCounter, writeCounter } from '../../../src/codec/counter.ts';
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import type { EngineTransaction } from '../../../src/transaction/engine-api.ts';
import { bytesOf, get, getText, keysOf, openSmall, put, STORE, write } from './small-engine.ts';

const HITS = 101;

function increment(tx: EngineTransaction, key: string, amount: number): void {
  const bytes = bytesOf(key);
  const cell = new Uint8Array(16);
  cell[0] = INCREMENT_CREATES;
  writeCounter(cell, 8, amount);
  tx.increment(HITS, bytes, 0, bytes.length, cell);
}

const hitsOf = (tx: EngineTransaction, key: string): number | undefined => {
  const found = get(tx, key, HITS);
  return found && readCounter(found, 0);
};

/** Enough to spill some times. */
function fill(tx: EngineTransaction, letter: string, count = 100): void {
  for (let i = 0; i < count; i++) put(tx, `${letter}-${String(i).padStart(4, '0')}`, letter.repeat(900));
}

it('a spill after a savepoint is undone, one before it is not', async () => {
  const engine = await openSmall();
  const tx = engine.begin('write');
  fill(tx, 'a');
  put(tx, 'middle', 'before');
  const place = tx.savepoint();
  const keys = keysOf(tx);
  for (let round = 0; round < 3; round++) {
    put(tx, 'middle', 'after');
    fill(tx, 'b');
    fill(tx, 'a', 50);
    tx.removeRange(STORE, bytesOf('a-0010'), bytesOf('a-0090'));
    expect(keysOf(tx)).not.toEqual(keys);
    tx.rollbackTo(place);
    expect(keysOf(tx)).toEqual(keys);
    expect(getText(tx, 'middle')).toBe('before');
    expect(tx.count(STORE, undefined, undefined)).toBe(101);
  }
  put(tx, 'last', 'one');
  await tx.commit();
  const reader = engine.begin('read');
  expect(keysOf(reader)).toEqual([...keys.slice(0, 100), 'last', 'middle']);
  reader.rollback();
  await engine.checkpoint();
  expect((await engine.verify()).problems).toEqual([]);
  await engine.close();
});

it('more spills behind a savepoint than a cursor has layers are merged by the commit', async () => {
  const engine = await openSmall();
  const tx = engine.begin('write');
  tx.savepoint();
  for (let i = 0; i < 40; i++) {
    put(tx, 'again', `value ${i}`);
    fill(tx, String.fromCharCode(97 + (i % 26)), 60);
  }
  await tx.commit();
  expect(keysOf(engine.begin('read'))).toHaveLength(26 * 60 + 1);
  expect(getText(engine.begin('read'), 'again')).toBe('value 39');
  await engine.close();
});

it('many spills between savepoints are each undone by themselves', async () => {
  const engine = await openSmall();
  const tx = engine.begin('write');
  const places = [];
  for (let i = 0; i < 24; i++) {
    places.push({ place: tx.savepoint(), count: i * 30 });
    fill(tx, `s${String(i).padStart(2, '0')}`, 30);
  }
  for (const at of [23, 15, 16, 7, 3]) {
    const { place, count } = places[at] as (typeof places)[number];
    if (at === 16) expect(() => tx.rollbackTo(place)).toThrow();
    else {
      tx.rollbackTo(place);
      expect(keysOf(tx)).toHaveLength(count);
    }
  }
  await tx.commit();
  await engine.checkpoint();
  const reader = engine.begin('read');
  expect(keysOf(reader)).toHaveLength(90);
  reader.rollback();
  await engine.close();
});

it('increments of a spilling transaction become what they come to, once', async () => {
  const engine = await openSmall();
  await write(engine, (tx) => increment(tx, 'old', 100));
  const tx = engine.begin('write');
  increment(tx, 'old', 1);
  increment(tx, 'new', 5);
  const place = tx.savepoint();
  for (let i = 0; i < 2000; i++) increment(tx, `k-${i}`, i);
  expect(hitsOf(tx, 'old')).toBe(101);
  increment(tx, 'old', 10);
  increment(tx, 'new', 10);
  expect(hitsOf(tx, 'k-1999')).toBe(1999);
  tx.rollbackTo(place);
  expect([hitsOf(tx, 'old'), hitsOf(tx, 'new'), hitsOf(tx, 'k-7')]).toEqual([101, 5, undefined]);
  for (let i = 0; i < 2000; i++) increment(tx, `k-${i}`, i);
  increment(tx, 'old', 1000);
  await tx.commit();
  await write(engine, (more) => increment(more, 'old', 1));
  await write(engine, (more) => increment(more, 'k-7', 1));
  const look = (): unknown => {
    const reader = engine.begin('read');
    const seen = ['old', 'new', 'k-7', 'k-8'].map((key) => hitsOf(reader, key));
    const count = reader.count(HITS, undefined, undefined);
    reader.rollback();
    return [...seen, count];
  };
  expect(look()).toEqual([1102, 5, 8, 8, 2002]);
  await engine.checkpoint();
  expect(look()).toEqual([1102, 5, 8, 8, 2002]);
  await engine.close();
});

it('a spill that a disk refuses loses nothing of what was there before it, savepoint or not', async () => {
  const world = new SimulatedWorld(1);
  await world.run(async () => {
    const engine = await openSmall(world.startProcess());
    for (const marks of [false, true]) {
      const letter = marks ? 'b' : 'a';
      const tx = engine.begin('write');
      put(tx, `${letter}-first`, '1');
      if (marks) tx.savepoint();
      put(tx, `${letter}-second`, '2');
      world.fail({ operation: ['create', 'write'], error: 'ENOSPC', times: Number.POSITIVE_INFINITY });
      expect(() => fill(tx, letter)).toThrow(DiskFullError);
      world.clearFaults();
      expect(keysOf(tx).filter((key) => key.startsWith(letter)).length).toBeGreaterThan(10);
      await tx.commit();
      const reader = engine.begin('read');
      expect([getText(reader, `${letter}-first`), getText(reader, `${letter}-second`)]).toEqual(['1', '2']);
      reader.rollback();
    }
    await engine.close();
  });
});

it('a change for which a disk refuses to make room is not there: repeated, it counts once', async () => {
  const world = new SimulatedWorld(1);
  await world.run(async () => {
    const engine = await openSmall(world.startProcess());
    const tx = engine.begin('write');
    world.fail({ operation: ['create', 'write'], error: 'ENOSPC', times: Number.POSITIVE_INFINITY });
    let made = 0;
    const refused: string[] = [];
    for (; refused.length < 3; made++) {
      try {
        increment(tx, `k-${made}`, 1);
      } catch (error) {
        expect(error).toBeInstanceOf(DiskFullError);
        refused.push(`k-${made}`);
        expect(hitsOf(tx, `k-${made}`)).toBeUndefined();
      }
    }
    expect(made).toBeLessThan(1000);
    world.clearFaults();
    for (const key of refused) increment(tx, key, 1);
    await tx.commit();
    const reader = engine.begin('read');
    expect(Array.from({ length: made }, (_, i) => hitsOf(reader, `k-${i}`))).toEqual(Array(made).fill(1));
    reader.rollback();
    await engine.close();
  });
});

it('a commit for which a disk refuses to make room is refused as a whole', async () => {
  const world = new SimulatedWorld(1);
  await world.run(async () => {
    const engine = await openSmall(world.startProcess());
    const tx = engine.begin('write');
    put(tx, 'first', 'a'.repeat(9000));
    put(tx, 'second', 'b'.repeat(9000));
    world.fail({ operation: ['create', 'write'], error: 'ENOSPC', times: Number.POSITIVE_INFINITY });
    await expect(tx.commit()).rejects.toThrow(DiskFullError);
    expect(() => put(tx, 'third', 'c')).toThrow(TransactionEndedError);
    world.clearFaults();
    await write(engine, (more) => put(more, 'other', 'd'));
    const reader = engine.begin('read');
    expect(keysOf(reader)).toEqual(['other']);
    reader.rollback();
    await engine.close();
  });
});

it('a removed range whose spilled part can not be read ends its transaction', async () => {
  const world = new SimulatedWorld(1);
  await world.run(async () => {
    const env = world.startProcess();
    const engine = await openSmall(env, { cacheBytes: 128 * 1024 });
    const tx = engine.begin('write');
    fill(tx, 'a', 400);
    await new Promise<void>((resolve) => env.timers.after(50, resolve));
    world.fail({ operation: 'read', error: 'EIO', times: Number.POSITIVE_INFINITY });
    // What lies within the range is not looked at: a run that goes on outside of it is.
    expect(() => tx.removeRange(STORE, bytesOf('a-0001'), undefined)).toThrow(IoError);
    world.clearFaults();
    expect(() => tx.commit()).toThrow(TransactionEndedError);
    const reader = engine.begin('read');
    expect(keysOf(reader)).toEqual([]);
    reader.rollback();
    await engine.close();
  });
});
