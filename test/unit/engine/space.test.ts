/** What the engine believes of the space in its segments, and what it does about it. */
import { describe, expect, it } from 'vitest';
import { CELL_WANTS_SEPARATE } from '../../../src/codec/cell.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { DiskFullError } from '../../../src/base/errors.ts';
import { bytesOf, FOLDER, keysOf, openSmall, put, putSeparate, STORE, write } from './small-engine.ts';

describe('the space of separate values', () => {
  it('is counted with their keys and headers, so that full segments are not taken for empty ones', async () => {
    const env = memoryEnv();
    const engine = await openSmall(env, { tableBytes: 4 * 1024 * 1024 });
    const cell = new Uint8Array(41).fill(9);
    cell[0] = CELL_WANTS_SEPARATE;
    for (let from = 0; from < 8000; from += 1000) {
      await write(engine, (tx) => {
        for (let i = from; i < from + 1000; i++) {
          const key = bytesOf(`a rather long key of a short value ${String(i).padStart(6, '0')}`);
          tx.put(STORE, key, 0, key.length, cell, 0, cell.length, undefined);
        }
      });
    }
    await engine.checkpoint();
    const { segments, live } = engine.stats().sizeBytes;
    expect(live).toBeGreaterThan(segments * 0.9);
    await engine.close();
  });
});

describe('compaction', () => {
  it('comes to an end where there is nothing to gain', async () => {
    const env = memoryEnv();
    const engine = await openSmall(env);
    await write(engine, (tx) => put(tx, 'a', '1'));
    await engine.compact();
    const before = engine.stats().checkpoints;
    await engine.compact();
    expect(engine.stats().checkpoints - before).toBeLessThan(5);
    expect(env.files.list(`${FOLDER}/data`).length).toBeLessThan(4);
    await engine.close();
  });
});

describe('a checkpoint', () => {
  it('gives back at once what it left dead, where hardly anything of it is to be copied', async () => {
    const engine = await openSmall(memoryEnv(), { tableBytes: 64 * 1024 * 1024 });
    const value = 'x'.repeat(1000);
    for (const mark of 'abc') {
      for (let from = 0; from < 20_000; from += 2000) {
        await write(engine, (tx) => {
          for (let i = from; i < from + 2000; i++) put(tx, `key-${String(i).padStart(5, '0')}`, value + mark);
        });
      }
      await engine.checkpoint();
      const { segments, live } = engine.stats().sizeBytes;
      expect(live).toBeGreaterThan(20_000_000);
      expect(segments).toBeLessThan(live * 1.01);
    }
    await engine.close();
  });
});

describe('an idle database', () => {
  it('compacts what it tolerates no longer, and then leaves its files alone', async () => {
    const real = memoryEnv();
    let nowMs = 0;
    let due: { atMs: number; fn: () => void }[] = [];
    const timers = {
      nextTurn: (fn: () => void) => real.timers.nextTurn(fn),
      after: (delayMs: number, fn: () => void) => {
        const timer = { atMs: nowMs + delayMs, fn };
        due.push(timer);
        const cancel = () => {
          due = due.filter((one) => one !== timer);
        };
        return { cancel };
      },
    };
    const clock = { wallMs: () => nowMs, monotonicMs: () => nowMs };
    const engine = await openSmall({ ...real, clock, timers }, { tableBytes: 64 * 1024 * 1024 });
    const value = 'x'.repeat(1000);
    const fill = (from: number, to: number, mark: string) =>
      write(engine, (tx) => {
        for (let i = from; i < to; i++) put(tx, `key-${String(i).padStart(5, '0')}`, value + mark);
      });
    await fill(0, 20_000, 'a');
    await engine.checkpoint();
    await fill(0, 12_000, 'b');
    await engine.checkpoint();
    const size = () => engine.stats().sizeBytes;
    expect(size().dead).toBeGreaterThan(size().live * 0.5);
    const pass = async (seconds: number): Promise<void> => {
      for (let i = 0; i < seconds * 10; i++) {
        nowMs += 100;
        for (const { atMs, fn } of due.splice(0)) {
          if (atMs <= nowMs) fn();
          else due.push({ atMs, fn });
        }
        for (let turn = 0; turn < 50; turn++) await new Promise<void>((resolve) => real.timers.nextTurn(resolve));
      }
    };
    await pass(10);
    expect(size().dead).toBeLessThan(size().live * 0.3);
    const { checkpoints } = engine.stats();
    await pass(60);
    expect(engine.stats().checkpoints).toBe(checkpoints);
    await engine.close();
  });
});

describe('damage in a segment that compaction would empty', () => {
  it('is what compact() throws, once; checkpoints and writers go on', async () => {
    const env = memoryEnv();
    const told: unknown[] = [];
    const engine = await openSmall(env, { onBackgroundError: (error) => told.push(error) });
    const fill = (mark: string) =>
      write(engine, (tx) => {
        for (let i = 0; i < 300; i++) put(tx, `key-${String(i).padStart(4, '0')}`, mark.repeat(50));
      });
    await fill('a');
    await engine.checkpoint();
    const [first] = env.files.list(`${FOLDER}/data`).sort();
    const path = `${FOLDER}/data/${first}`;
    const file = env.files.open(path, { mode: 'write' });
    // The store id of the first image.
    file.writeSync(Uint8Array.of(77), 4096 + 16);
    file.close();
    await fill('b');
    await expect(engine.compact()).rejects.toMatchObject({ code: 'CORRUPTION', details: { file: path, offset: 4096 } });
    for (const mark of 'cdefgh') {
      await fill(mark);
      await engine.checkpoint();
    }
    expect(env.files.status(path)).toBeDefined();
    expect(told).toEqual([]);
    expect(keysOf(engine.begin('read')).length).toBe(300);
    await engine.close();
  });

  it('is told in the background, where the next try leaves it out', async () => {
    const env = memoryEnv();
    const told: { code?: string }[] = [];
    const options = {
      tableBytes: 512 * 1024,
      onBackgroundError: (error: unknown) => void told.push(error as { code?: string }),
    };
    let engine = await openSmall(env, options);
    const value = 'x'.repeat(900);
    const round = async (mark: number) => {
      for (let i = 0; i < 100; i++) await write(engine, (tx) => put(tx, `key-${i}`, value + mark));
    };
    await round(0);
    await engine.checkpoint();
    await round(1);
    await engine.checkpoint();
    // Another opening writes to another segment: all of this one is dead by and by. Its first image is already.
    await engine.close();
    const path = `${FOLDER}/data/${env.files.list(`${FOLDER}/data`).sort()[0]}`;
    const file = env.files.open(path, { mode: 'write' });
    file.writeSync(Uint8Array.of(77), 4096 + 16);
    file.close();
    engine = await openSmall(env, options);
    for (let mark = 2; mark < 40; mark++) await round(mark);
    await engine.checkpoint();
    expect(told.map(({ code }) => code)).toEqual(['CORRUPTION']);
    expect(engine.stats().checkpoints).toBeGreaterThan(5);
    expect(env.files.status(path)).toBeDefined();
    await engine.close();
  });
});

describe('a database at its size limit', () => {
  it('takes removals, becomes smaller by them, and takes changes again', async () => {
    const env = memoryEnv();
    const limits = { maxSizeBytes: 600_000 };
    let engine = await openSmall(env, limits);
    const value = 'x'.repeat(3000);
    let count = 0;
    const fill = async (): Promise<void> => {
      for (; count < 2000; count++)
        await write(engine, (tx) => put(tx, `key-${String(count).padStart(4, '0')}`, value));
    };
    await expect(fill()).rejects.toBeInstanceOf(DiskFullError);
    // The limit holds after opening as well.
    await engine.close();
    engine = await openSmall(env, limits);
    await expect(fill()).rejects.toBeInstanceOf(DiskFullError);
    await write(engine, (tx) => tx.removeRange(STORE, bytesOf('key-0010'), undefined));
    await engine.compact();
    await write(engine, (tx) => put(tx, 'new', value));
    expect(keysOf(engine.begin('read'))).toHaveLength(11);
    await engine.close();
  });

  it('takes large values again where those before were rolled back', async () => {
    const engine = await openSmall(memoryEnv(), { maxSizeBytes: 1_000_000 });
    const value = new Uint8Array(300_000);
    for (let i = 0; i < 10; i++) {
      const tx = engine.begin('write');
      putSeparate(tx, 'rolled back', value);
      tx.rollback();
    }
    await write(engine, (tx) => putSeparate(tx, 'kept', value));
    await engine.close();
  });

  it('counts the large values of who is at work beside a checkpoint', async () => {
    const engine = await openSmall(memoryEnv(), { maxSizeBytes: 1_000_000 });
    const value = new Uint8Array(300_000);
    const open = engine.begin('write');
    for (const key of ['a', 'b']) putSeparate(open, key, value);
    await write(engine, (tx) => put(tx, 'something', 'for a checkpoint'));
    await engine.checkpoint();
    const other = engine.begin('write');
    putSeparate(other, 'c', value);
    expect(() => putSeparate(other, 'd', value)).toThrow(DiskFullError);
    await open.commit();
    expect(() => putSeparate(other, 'd', value)).toThrow(DiskFullError);
    other.rollback();
    await engine.compact();
    await write(engine, (tx) => putSeparate(tx, 'e', value));
    await expect(write(engine, (tx) => putSeparate(tx, 'f', value))).rejects.toBeInstanceOf(DiskFullError);
    await engine.close();
  });
});
