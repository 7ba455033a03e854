/**
 * What is written in vain is given back. Files that no root names were removed by the first root of the next opening alone: on a
 * full disk that is what found no room, so one large value or one checkpoint that did not fit filled the disk for good.
 */
import { describe, expect, it } from 'vitest';
import { CorruptionError, DiskFullError } from '../../../src/base/errors.ts';
import type { Env, File } from '../../../src/env/env.ts';
import { ioError } from '../../../src/env/io-error.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import type { EngineApi } from '../../../src/transaction/engine-api.ts';
import { FOLDER, get, getText, openSmall, put, putSeparate, write } from './small-engine.ts';

const KB = 1024;
const DISK_BYTES = 4096 * KB;
const OPTIONS = { logReserveBytes: 16 * KB };

function dataBytes(env: Env): number {
  const { files } = env;
  return files
    .list(`${FOLDER}/data`)
    .reduce((sum, name) => sum + (files.status(`${FOLDER}/data/${name}`)?.sizeBytes ?? 0), 0);
}

/** Takes room, until about `keep` bytes are left; answers how to give `bytes` of it back. */
function fill(env: Env, keep: number): { leave(bytes: number): void } {
  const piece = new Uint8Array(16 * KB);
  const paths: string[] = [];
  while (env.files.freeBytes('/') >= keep + piece.length) {
    const path = `/ballast-${paths.length}`;
    const file = env.files.open(path, { mode: 'create' });
    file.writeSync(piece, 0);
    file.close();
    paths.push(path);
  }
  return {
    leave(bytes) {
      for (const path of paths.splice(0, Math.ceil(bytes / piece.length))) env.files.remove(path);
    },
  };
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise<void>((resolve) => setImmediate(resolve));
};

async function expectWhole(engine: EngineApi): Promise<void> {
  expect((await engine.verify()).problems).toEqual([]);
}

const filled = (byte: number, length = 100 * KB): Uint8Array => new Uint8Array(length).fill(byte);

describe('a large value for which there is no room', () => {
  it('leaves nothing behind, and the same opening goes on', async () => {
    const env = memoryEnv({ capacityBytes: DISK_BYTES });
    let engine = await openSmall(env, OPTIONS);
    await write(engine, (tx) => put(tx, 'small', '1'));
    await engine.checkpoint();
    const before = dataBytes(env);
    for (let round = 0; round < 3; round++) {
      const work = write(engine, (tx) => {
        try {
          putSeparate(tx, 'large', filled(1, 2 * DISK_BYTES));
        } catch (error) {
          tx.rollback(error);
          throw error;
        }
      });
      await expect(work).rejects.toBeInstanceOf(DiskFullError);
      await turns();
      expect(dataBytes(env)).toBe(before);
    }
    await write(engine, (tx) => putSeparate(tx, 'fits', filled(2)));
    await engine.checkpoint();
    await engine.compact();
    await expectWhole(engine);
    await engine.close();
    engine = await openSmall(env, OPTIONS);
    expect(get(engine.begin('read'), 'fits')).toEqual(filled(2));
    await engine.close();
  });

  it('takes nothing along that is committed, prepared, or held by an open transaction in the same file', async () => {
    const env = memoryEnv({ capacityBytes: DISK_BYTES });
    let engine = await openSmall(env, OPTIONS);
    await write(engine, (tx) => putSeparate(tx, 'merged', filled(1)));
    await engine.checkpoint();
    await write(engine, (tx) => putSeparate(tx, 'committed', filled(2)));
    const prepared = engine.begin('write');
    putSeparate(prepared, 'prepared', filled(3));
    const { id } = prepared;
    await prepared.prepare();
    const open = engine.begin('write');
    putSeparate(open, 'open', filled(4));
    const failing = engine.begin('write');
    expect(() => {
      for (let i = 0; i < 100; i++) putSeparate(failing, `too much ${i}`, filled(9));
    }).toThrow(DiskFullError);
    failing.rollback();
    await turns();
    // It can not commit any more, but it reads what it wrote.
    const full = dataBytes(env);
    expect(get(open, 'open')).toEqual(filled(4));
    await expect(open.commit()).rejects.toBeInstanceOf(DiskFullError);
    await turns();
    expect(dataBytes(env)).toBeLessThan(full - 1000 * KB);
    expect(dataBytes(env)).toBeLessThan(400 * KB);
    await write(engine, (tx) => putSeparate(tx, 'after', filled(5)));
    const expectAll = async (): Promise<void> => {
      const reading = engine.begin('read');
      for (const [key, byte] of Object.entries({ merged: 1, committed: 2, prepared: 3, after: 5 })) {
        expect(get(reading, key), key).toEqual(filled(byte));
      }
      expect(get(reading, 'open')).toBeUndefined();
      reading.rollback();
      await expectWhole(engine);
    };
    // As the log has it, before any root knows of them.
    await engine.close();
    engine = await openSmall(env, OPTIONS);
    await engine.decide(id, true);
    await expectAll();
    await engine.checkpoint();
    await engine.compact();
    await expectAll();
    await engine.close();
    engine = await openSmall(env, OPTIONS);
    await expectAll();
    await engine.close();
  });

  it('leaves files that compaction can walk', async () => {
    const env = memoryEnv({ capacityBytes: DISK_BYTES });
    const errors: unknown[] = [];
    const engine = await openSmall(env, { ...OPTIONS, onBackgroundError: (error) => errors.push(error) });
    await write(engine, (tx) => {
      for (let i = 0; i < 5; i++) putSeparate(tx, `kept ${i}`, filled(i));
    });
    const failing = engine.begin('write');
    expect(() => putSeparate(failing, 'large', filled(9, 2 * DISK_BYTES))).toThrow(DiskFullError);
    failing.rollback();
    for (let i = 1; i < 5; i++) await write(engine, (tx) => putSeparate(tx, `kept ${i}`, filled(9, 10)));
    await engine.checkpoint();
    await engine.compact();
    expect(get(engine.begin('read'), 'kept 0')).toEqual(filled(0));
    expect(dataBytes(env)).toBeLessThan(200 * KB);
    expect(errors).toEqual([]);
    await expectWhole(engine);
    await engine.close();
  });
});

/** Rows over many leaves; `longest` of a cell's values lie in value segments once merged. */
async function load(engine: EngineApi, round: number): Promise<void> {
  for (let batch = 0; batch < 10; batch++) {
    await write(engine, (tx) => {
      for (let i = 0; i < 20; i++) put(tx, `key ${batch * 20 + i}`, filled(round, i === 0 ? 20 * KB : 1000));
    });
  }
}

function expectLoaded(engine: EngineApi, round: number): void {
  const reading = engine.begin('read');
  for (let i = 0; i < 200; i++) expect(get(reading, `key ${i}`)?.[0], `key ${i}`).toBe(round);
  reading.rollback();
}

const BIG_TABLE = { ...OPTIONS, tableBytes: 1024 * KB };

describe('a checkpoint for which there is no room', () => {
  it('leaves nothing behind, and succeeds once there is room', async () => {
    const env = memoryEnv({ capacityBytes: DISK_BYTES });
    let engine = await openSmall(env, BIG_TABLE);
    await load(engine, 1);
    await engine.checkpoint();
    const before = dataBytes(env);
    await load(engine, 2);
    const ballast = fill(env, 300 * KB);
    // The first takes a file of the log, and files in memory do not shrink by bytes.
    await expect(engine.checkpoint()).rejects.toBeInstanceOf(DiskFullError);
    const free = env.files.freeBytes('/');
    for (let i = 0; i < 3; i++) {
      await expect(engine.checkpoint()).rejects.toBeInstanceOf(DiskFullError);
      expect(dataBytes(env)).toBe(before);
    }
    expect(env.files.freeBytes('/')).toBe(free);
    expectLoaded(engine, 2);
    await engine.close();
    engine = await openSmall(env, BIG_TABLE);
    expectLoaded(engine, 2);
    await expect(engine.checkpoint()).rejects.toBeInstanceOf(DiskFullError);
    expect(dataBytes(env)).toBe(before);
    ballast.leave(1000 * KB);
    await engine.checkpoint();
    await engine.compact();
    expect(dataBytes(env)).toBeLessThan(before * 1.2);
    expectLoaded(engine, 2);
    await expectWhole(engine);
    await engine.close();
  });

  it('gives back what it moved when it compacts', async () => {
    const env = memoryEnv({ capacityBytes: DISK_BYTES });
    const engine = await openSmall(env, BIG_TABLE);
    await write(engine, (tx) => {
      for (let i = 0; i < 10; i++) putSeparate(tx, `value ${i}`, filled(i));
    });
    await engine.checkpoint();
    for (let i = 0; i < 7; i++) await write(engine, (tx) => put(tx, `value ${i}`, 'short'));
    const ballast = fill(env, 200 * KB);
    for (let i = 0; i < 3; i++) await engine.compact().catch(() => {});
    expect(env.files.freeBytes('/')).toBeGreaterThan(50 * KB);
    ballast.leave(1000 * KB);
    await engine.compact();
    expect(dataBytes(env)).toBeLessThan(400 * KB);
    for (let i = 7; i < 10; i++) expect(get(engine.begin('read'), `value ${i}`)).toEqual(filled(i));
    await expectWhole(engine);
    await engine.close();
  });
});

describe('a checkpoint that meets damage', () => {
  it('leaves nothing behind, however often it is tried', async () => {
    const env = memoryEnv();
    let engine = await openSmall(env, BIG_TABLE);
    await load(engine, 1);
    await engine.checkpoint();
    await engine.close();
    damageLastLeaf(env);
    engine = await openSmall(env, BIG_TABLE);
    await load(engine, 2);
    const before = dataBytes(env);
    for (let i = 0; i < 3; i++) {
      await expect(engine.checkpoint()).rejects.toBeInstanceOf(CorruptionError);
      expect(dataBytes(env)).toBe(before);
    }
    await write(engine, (tx) => put(tx, 'more', '1'));
    await engine.close();
    expect(dataBytes(env)).toBe(before);
    engine = await openSmall(env, BIG_TABLE);
    await expect(engine.checkpoint()).rejects.toBeInstanceOf(CorruptionError);
    expect(dataBytes(env)).toBe(before);
    expect(getText(engine.begin('read'), 'more')).toBe('1');
    await engine.close();
  });
});

/** Of the images of store 100 on level 0, the last. */
function damageLastLeaf(env: Env): void {
  for (const name of env.files.list(`${FOLDER}/data`)) {
    const file = env.files.open(`${FOLDER}/data/${name}`, { mode: 'write' });
    const bytes = new Uint8Array(file.sizeBytes());
    file.readSync(bytes, 0);
    const view = new DataView(bytes.buffer);
    let last = -1;
    for (let at = 4096; at + 32 < bytes.length; at += 8) {
      const isImage = view.getUint16(at, true) === 0x4953 && bytes[at + 3] === 0;
      if (isImage && view.getUint32(at + 16, true) === 100) last = at;
    }
    if (last >= 0) file.writeSync(Uint8Array.of((bytes[last + 500] as number) ^ 0xff), last + 500);
    file.close();
  }
}

/** Which appends to the log fail, counted from when it is set: the first is 1. A checkpoint makes four: header, FREEZE, ROOT, RECLAIM. */
interface FailingLog {
  readonly env: Env;
  /** Undefined: none. */
  fails: ((nth: number) => boolean) | undefined;
  /** Nothing of it is written then. Otherwise it is, though its sync fails. */
  refuses: boolean;
  /** Nor can files of the log be opened, from the first failure on. */
  isLost: boolean;
}

const HEADER_TO_RECLAIM = [1, 2, 3, 4];
const ROOT = 3;

function failingLog(): FailingLog {
  const env = memoryEnv();
  const log: FailingLog = { env, fails: undefined, refuses: false, isLost: false };
  const open = env.files.open.bind(env.files);
  let count = 0;
  let hasFailed = false;
  env.files.open = (path, options): File => {
    if (!path.endsWith('.log')) return open(path, options);
    if (log.isLost && hasFailed) throw ioError('open', path, 'EIO');
    const file = open(path, options);
    const { appendSync } = file;
    // Asynchronous ones end up there as well.
    file.appendSync = (from, length, position, seal) => {
      if (log.fails === undefined) count = 0;
      hasFailed = log.fails?.(++count) === true;
      if (!hasFailed) return appendSync.call(file, from, length, position, seal);
      if (!log.refuses) appendSync.call(file, from, length, position, seal);
      throw ioError('sync', path, 'EIO');
    };
    return file;
  };
  return log;
}

async function expectAllInNextOpening(env: Env): Promise<void> {
  const engine = await openSmall(env, BIG_TABLE);
  expectLoaded(engine, 2);
  await expectWhole(engine);
  await engine.checkpoint();
  expectLoaded(engine, 2);
  await engine.close();
}

describe('a checkpoint whose root was sent when the log failed', () => {
  it('keeps what the root names where the log has it after all', async () => {
    for (const failing of HEADER_TO_RECLAIM) {
      const log = failingLog();
      const engine = await openSmall(log.env, BIG_TABLE);
      await load(engine, 1);
      await engine.checkpoint();
      await load(engine, 2);
      log.fails = (nth) => nth === failing;
      await engine.checkpoint().catch(() => {});
      expectLoaded(engine, 2);
      await expectWhole(engine);
      await write(engine, (tx) => put(tx, 'more', '1'));
      await engine.close();
      await expectAllInNextOpening(log.env);
    }
  });

  it('keeps it where nobody can find out', async () => {
    for (const failing of HEADER_TO_RECLAIM) {
      const log = failingLog();
      const engine = await openSmall(log.env, BIG_TABLE);
      await load(engine, 1);
      await engine.checkpoint();
      await load(engine, 2);
      log.isLost = true;
      log.fails = (nth) => nth >= failing;
      await engine.checkpoint().catch(() => {});
      await engine.close().catch(() => {});
      log.fails = undefined;
      log.isLost = false;
      await expectAllInNextOpening(log.env);
    }
  });

  it('gives it back where the log is known not to have it', async () => {
    const log = failingLog();
    const engine = await openSmall(log.env, BIG_TABLE);
    await load(engine, 1);
    await engine.checkpoint();
    const before = dataBytes(log.env);
    await load(engine, 2);
    log.refuses = true;
    log.fails = (nth) => nth === ROOT;
    await expect(engine.checkpoint()).rejects.toMatchObject({ code: 'DATABASE_FAILED' });
    log.fails = undefined;
    expect(dataBytes(log.env)).toBe(before);
    expectLoaded(engine, 2);
    await engine.checkpoint();
    expectLoaded(engine, 2);
    await expectWhole(engine);
    await engine.close();
  });
});

describe('a disk that a crash left full', () => {
  /** As a process leaves it that was killed while it wrote. */
  function leaveTorn(env: Env, name: string, bytes: number): void {
    const file = env.files.open(`${FOLDER}/data/${name}`, { mode: 'create' });
    file.writeSync(new Uint8Array(bytes).fill(0xee), 0);
    file.close();
  }

  it('is emptied of what nobody names when the first checkpoint has no room, and of nothing else', async () => {
    const env = memoryEnv({ capacityBytes: 2 * DISK_BYTES });
    const options = { ...OPTIONS, tableBytes: 256 * KB };
    let engine = await openSmall(env, options);
    await write(engine, (tx) => putSeparate(tx, 'merged', filled(1)));
    await engine.checkpoint();
    await engine.pin('kept');
    await engine.close();
    // Each opening has a file of its own: overridden, in the log, in a run, prepared.
    for (const [key, byte] of [
      ['overridden', 2],
      ['logged', 3],
    ] as const) {
      engine = await openSmall(env, options);
      await write(engine, (tx) => putSeparate(tx, key, filled(byte)));
      await engine.close();
    }
    engine = await openSmall(env, { ...options, tableBytes: 64 * KB });
    await write(engine, (tx) => {
      putSeparate(tx, 'in a run', filled(4));
      for (let i = 0; i < 400; i++) put(tx, `run ${i}`, filled(4, 100));
    });
    await engine.close();
    engine = await openSmall(env, options);
    const prepared = engine.begin('write');
    putSeparate(prepared, 'prepared', filled(5));
    const { id } = prepared;
    await prepared.prepare();
    await engine.close();
    leaveTorn(env, '00000000abcd-0.seg', 1500 * KB);
    leaveTorn(env, '00000000abcd-1.seg', 500 * KB);

    engine = await openSmall(env, options);
    const before = engine.begin('read');
    await write(engine, (tx) => {
      put(tx, 'overridden', 'short');
      for (let i = 0; i < 100; i++) put(tx, `key ${i}`, filled(6, 1000));
    });
    fill(env, 130 * KB);
    const full = dataBytes(env);
    await engine.checkpoint();
    expect(dataBytes(env)).toBeLessThan(full - 1500 * KB);
    // What its reader saw when the files went, an older version included.
    const expectOld = (): void => {
      for (const [key, byte] of [
        ['merged', 1],
        ['overridden', 2],
        ['logged', 3],
        ['in a run', 4],
      ] as const) {
        expect(get(before, key), key).toEqual(filled(byte));
      }
    };
    expectOld();
    before.rollback();
    await engine.decide(id, true);
    for (let i = 0; i < 2; i++) {
      const reading = engine.begin('read');
      expect(get(reading, 'prepared')).toEqual(filled(5));
      expect(get(reading, 'in a run')).toEqual(filled(4));
      expect(getText(reading, 'overridden')).toBe('short');
      reading.rollback();
      await expectWhole(engine);
      await engine.close();
      engine = await openSmall(env, options);
      await engine.checkpoint();
    }
    await engine.close();
  });
});
