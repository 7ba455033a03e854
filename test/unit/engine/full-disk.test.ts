/** A disk that fills up: what was acknowledged stays in sight, and the database goes on once there is room. */
import { describe, expect, it } from 'vitest';
import { DiskFullError, SopError } from '../../../src/base/errors.ts';
import type { Env, File } from '../../../src/env/env.ts';
import { ioError } from '../../../src/env/io-error.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import type { EngineApi } from '../../../src/transaction/engine-api.ts';
import { get, getText, keysOf, openSmall, put, putSeparate, within, write } from './small-engine.ts';

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
