/** A disk that fills up: what was acknowledged stays in sight, and the database goes on once there is room. */
import { describe, expect, it } from 'vitest';
import { DiskFullError, SopError } from '../../../src/base/errors.ts';
import type { Env, File } from '../../../src/env/env.ts';
import { ioError } from '../../../src/env/io-error.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import type { EngineApi } from '../../../src/transaction/engine-api.ts';
import { bytesOf, get, getText, keysOf, openSmall, put, putSeparate, STORE, within, write } from './small-engine.ts';

/** An environment where files find no more room while `isFull` says so: to allocate, and to write where nothing was allocated. */
function fillable(isFull: (path: string) => boolean): Env {
  const env = memoryEnv();
  const { files } = env;
  const open = files.open.bind(files);
  files.open = (path, options): File => {
    const file = open(path, options);
    const isLog = path.endsWith('.log');
    const refuse = (): void => {
      if (isFull(path)) throw ioError('write', path, 'ENOSPC');
    };
    const { allocateSync, write: writeLater, writeSync } = file;
    file.allocateSync = (position, length) => {
      refuse();
      allocateSync.call(file, position, length);
    };
    file.writeSync = (from, position) => {
      if (!isLog) refuse();
      writeSync.call(file, from, position);
    };
    file.write = async (from, position) => {
      if (!isLog) refuse();
      await writeLater.call(file, from, position);
    };
    return file;
  };
  return env;
}

async function fillUp(engine: EngineApi, value: string): Promise<number> {
  for (let i = 0; i < 5000; i++) {
    try {
      await within(
        5000,
        `commit ${i}`,
        write(engine, (tx) => put(tx, `key-${i}`, value)),
      );
    } catch (error) {
      expect(error).toBeInstanceOf(SopError);
      return i;
    }
  }
  throw new Error('the disk never filled up');
}

describe('a disk that is full when a commit comes', () => {
  it('keeps every acknowledged commit in sight', async () => {
    let full = false;
    const env = fillable((path) => full && path.endsWith('.log'));
    let engine = await openSmall(env, { tableBytes: 8 * 1024 * 1024, logReserveBytes: 16 * 1024 });
    await write(engine, (tx) => put(tx, 'first', '1'));
    full = true;
    const done = await fillUp(engine, 'x'.repeat(1000));
    const reading = engine.begin('read');
    expect(getText(reading, 'first')).toBe('1');
    for (let i = 0; i < done; i++) expect(getText(reading, `key-${i}`), `key-${i} of ${done}`).toBeDefined();
    expect(getText(reading, `key-${done}`)).toBeUndefined();
    full = false;
    const number = await write(engine, (tx) => put(tx, 'last', '1'));
    expect(number).toBeGreaterThan(done + 1);
    await engine.close();
    engine = await openSmall(env);
    const again = engine.begin('read');
    for (let i = 0; i < done; i++) expect(getText(again, `key-${i}`), `key-${i} of ${done}`).toBeDefined();
    expect(getText(again, 'last')).toBe('1');
    await engine.close();
  });

  it('refuses large commits that wait together, and goes on', async () => {
    let full = false;
    const env = fillable((path) => full && path.endsWith('.log'));
    const engine = await openSmall(env, { tableBytes: 8 * 1024 * 1024, logReserveBytes: 16 * 1024 });
    await write(engine, (tx) => put(tx, 'first', '1'));
    full = true;
    // Above what one batch takes with others: each is a batch of its own, and the next may be given while one is under way.
    const large = 'x'.repeat(300 * 1024);
    const works = Array.from({ length: 5 }, (_, i) => write(engine, (tx) => put(tx, `large-${i}`, large)));
    for (const one of await within(5000, 'refusals', Promise.allSettled(works))) {
      expect(one).toMatchObject({ status: 'rejected', reason: expect.any(DiskFullError) });
    }
    full = false;
    await write(engine, (tx) => put(tx, 'last', '1'));
    const again = engine.begin('read');
    expect(keysOf(again)).toEqual(['first', 'last']);
    await engine.close();
  });

  /** A log on a volume with no room left, and with its next epoch's file ready. */
  async function openFull(onBackgroundError?: (error: unknown) => void) {
    const disk = { isFull: false, areSegmentsFull: false };
    const env = fillable((path) => (path.endsWith('.log') ? disk.isFull : disk.areSegmentsFull));
    const sizes = { tableBytes: 8 * 1024 * 1024, logReserveBytes: 64 * 1024 };
    const engine = await openSmall(env, { ...sizes, ...(onBackgroundError && { onBackgroundError }) });
    await write(engine, (tx) => put(tx, 'first', '1'));
    await engine.checkpoint();
    return { engine, disk };
  }

  it('has refusals answered by nothing but the refusal: the log and the tables are as they were', async () => {
    const errors: unknown[] = [];
    const { engine, disk } = await openFull((error) => errors.push(error));
    disk.isFull = true;
    const { view } = engine.begin('read') as unknown as { view: unknown };
    const large = 'x'.repeat(1024 * 1024);
    const works = Array.from({ length: 3 }, (_, i) => write(engine, (tx) => put(tx, `large-${i}`, large)));
    for (const one of await Promise.allSettled(works)) expect(one).toMatchObject({ reason: expect.any(DiskFullError) });
    expect(engine.stats().log.recoveries).toBe(0);
    expect((engine.begin('read') as unknown as { view: unknown }).view).toBe(view);
    expect(errors).toEqual([]);
    await engine.close();
  });

  it.each([1, 4])('makes checkpoints beside %i who write on and on', async (writers) => {
    const { engine, disk } = await openFull();
    for (let i = 0; i < 50; i++) await write(engine, (tx) => put(tx, `key-${i}`, 'x'.repeat(1000)));
    const before = engine.stats().rootNumber;
    disk.isFull = true;
    let isOver = false;
    let refused = 0;
    const goOn = async (writer: number): Promise<void> => {
      while (!isOver) {
        await write(engine, (tx) => put(tx, `writer-${writer}`, 'x'.repeat(1000))).catch((error: unknown) => {
          expect(error).toBeInstanceOf(DiskFullError);
          refused++;
        });
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    const all = Array.from({ length: writers }, (_, i) => goOn(i));
    while (refused < writers) await new Promise((resolve) => setTimeout(resolve, 1));
    // One that a writer's refusal asked for may have been quicker, and have used the file of the next epoch.
    await within(5000, 'a checkpoint', engine.checkpoint()).catch((error: unknown) => {
      expect(error).toBeInstanceOf(DiskFullError);
    });
    isOver = true;
    await Promise.all(all);
    expect(engine.stats().rootNumber).toBeGreaterThan(before);
    expect(engine.stats().log.recoveries).toBe(0);
    await engine.close();
  });

  it('merges what is frozen where there is no room for the next epoch', async () => {
    const { engine, disk } = await openFull();
    await write(engine, (tx) => put(tx, 'second', '2'));
    Object.assign(disk, { isFull: true, areSegmentsFull: true });
    await expect(engine.checkpoint()).rejects.toBeInstanceOf(DiskFullError);
    const before = engine.stats().rootNumber;
    await write(engine, (tx) => put(tx, 'third', '3'));
    disk.areSegmentsFull = false;
    // Not all of it was merged, and that is said. But a log file could go, and this is how there is room one day.
    await expect(engine.checkpoint()).rejects.toBeInstanceOf(DiskFullError);
    expect(engine.stats().rootNumber).toBeGreaterThan(before);
    disk.isFull = false;
    await engine.checkpoint();
    expect(keysOf(engine.begin('read'))).toEqual(['first', 'second', 'third']);
    expect((await engine.verify()).problems).toEqual([]);
    await engine.close();
  });

  it('lets a decision through beside users who are refused', async () => {
    const { engine, disk } = await openFull();
    const prepared = engine.begin('write');
    put(prepared, 'prepared', 'p');
    await prepared.prepare();
    disk.isFull = true;
    // Requests that are in one batch with the decision, and more than there is room for.
    const users = Array.from({ length: 40 }, (_, i) => write(engine, (tx) => put(tx, `u-${i}`, 'x'.repeat(3000))));
    const decided = engine.decide(prepared.id, true);
    const outcomes = await Promise.allSettled(users);
    expect(outcomes.some(({ status }) => status === 'rejected')).toBe(true);
    await decided;
    expect(getText(engine.begin('read'), 'prepared')).toBe('p');
    expect(engine.prepared()).toEqual([]);
    await engine.close();
  });

  it('removes what is there, for a while', async () => {
    const { engine, disk } = await openFull();
    disk.isFull = true;
    const refused = async (work: () => Promise<number>): Promise<boolean> => {
      try {
        await work();
        return false;
      } catch (error) {
        expect(error).toBeInstanceOf(DiskFullError);
        return true;
      }
    };
    while (!(await refused(() => write(engine, (tx) => put(tx, 'more', 'x'.repeat(1000)))))) {
      // Until there is no room.
    }
    const key = bytesOf('first');
    expect(await refused(() => write(engine, (tx) => tx.remove(STORE, key, 0, key.length, undefined)))).toBe(false);
    expect(getText(engine.begin('read'), 'first')).toBeUndefined();
    await engine.close();
  });

  it('writes values to segments again once there is room', async () => {
    let full = false;
    const env = fillable((path) => full && path.endsWith('.seg'));
    const engine = await openSmall(env);
    const value = new Uint8Array(100_000).fill(7);
    await write(engine, (tx) => putSeparate(tx, 'before', value));
    full = true;
    await expect(write(engine, (tx) => putSeparate(tx, 'full', value))).rejects.toBeInstanceOf(DiskFullError);
    await expect(write(engine, (tx) => putSeparate(tx, 'fuller', value))).rejects.toBeInstanceOf(DiskFullError);
    full = false;
    await write(engine, (tx) => putSeparate(tx, 'after', value));
    await engine.checkpoint();
    const reading = engine.begin('read');
    expect(get(reading, 'before')).toEqual(value);
    expect(get(reading, 'full')).toBeUndefined();
    expect(get(reading, 'after')).toEqual(value);
    expect((await engine.verify()).problems).toEqual([]);
    await engine.close();
  });
});
