/** The simulator keeps its own promises: without that, whatever the other lanes find green means nothing. */

import { describe, expect, test } from 'vitest';
import { DiskFullError, IoError } from '../../src/base/errors.ts';
import type { Env, File } from '../../src/env/env.ts';
import type { DataFate, FolderFate } from '../../src/env/simulated-crash.ts';
import { ProcessKilledError } from '../../src/env/simulated-process.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';

const SEEDS = Array.from({ length: 60 }, (_, i) => i + Number(process.env.SOP_SEED ?? 0));
const FATES: readonly DataFate[] = ['kept', 'lost', 'extended', 'prefix', 'subset', 'torn'];
const FOLDER_FATES: readonly FolderFate[] = ['kept', 'lost', 'journal', 'prefix', 'subset'];
const PAGE = 4096;

function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

function readAll(env: Env, path: string): Uint8Array | undefined {
  const status = env.files.status(path);
  if (status === undefined) return undefined;
  const file = env.files.open(path, { mode: 'read' });
  const bytes = new Uint8Array(status.sizeBytes);
  file.readSync(bytes, 0);
  file.close();
  return bytes;
}

/** A world with one synced file of two pages of ones, whose folder is synced too. */
function settledWorld(seed: number): { world: SimulatedWorld; env: Env; file: File } {
  const world = new SimulatedWorld(seed);
  const env = world.startProcess();
  env.files.createFolder('/db');
  const file = env.files.open('/db/a', { mode: 'create' });
  file.writeSync(filled(2 * PAGE, 1), 0);
  file.syncSync();
  env.files.syncFolderSync('/db');
  return { world, env, file };
}

describe('chance and time', () => {
  async function busyRun(seed: number): Promise<{ hash: number; count: number; nowMs: number }> {
    const world = new SimulatedWorld(seed, { hashContents: true });
    const hosts = [world.startProcess(), world.startProcess({ host: 'host-1' })];
    await world.run(async () => {
      hosts[0]?.files.createFolder('/db');
      await Promise.all(hosts.map((env, i) => busyWork(env, `/db/${i}`)));
    });
    return { hash: world.trace.hash, count: world.operationCount, nowMs: world.scheduler.nowMs };
  }

  async function busyWork(env: Env, path: string): Promise<void> {
    const file = env.files.open(path, { mode: 'create' });
    const word = new Uint8Array(700);
    for (let i = 0; i < 30; i++) {
      env.random.fill(word);
      await Promise.all([file.write(word, i * 100), file.write(word, i * 300), file.read(new Uint8Array(50), 0)]);
      await file.append(new Uint8Array(PAGE), PAGE, (i + 4) * PAGE, 3 * PAGE);
    }
    await new Promise<void>((resolve) => env.timers.after(10, resolve));
    file.close();
  }

  test('the same seed gives the same trace, another seed another one', async () => {
    const first = await busyRun(5);
    expect(await busyRun(5)).toEqual(first);
    expect((await busyRun(6)).hash).not.toBe(first.hash);
    expect(first.count).toBeGreaterThan(300);
  });

  test('independent calls are answered in any order, appends of a process in the order given', async () => {
    const orders = new Set<string>();
    for (const seed of SEEDS) {
      const { world, file } = settledWorld(seed);
      const order: number[] = [];
      await world.run(async () => {
        await Promise.all([0, 1, 2].map((i) => file.read(new Uint8Array(1), 0).then(() => order.push(i))));
      });
      orders.add(order.join());
    }
    expect(orders.size).toBe(6);
  });

  test('an hour passes at once, timers come in the order of their time, and a cancelled one does not', async () => {
    const world = new SimulatedWorld(1);
    const env = world.startProcess();
    const order: string[] = [];
    env.timers.after(3_600_000, () => order.push('hour'));
    env.timers.after(1000, () => order.push('second'));
    env.timers.after(10, () => order.push('never')).cancel();
    await world.advance(1500);
    expect(order).toEqual(['second']);
    expect(env.clock.monotonicMs()).toBe(1500);
    await world.advance(3_600_000);
    expect(order).toEqual(['second', 'hour']);
  });

  test('idle means that only timers are left', async () => {
    const { world, env, file } = settledWorld(1);
    let done = false;
    env.timers.after(60_000, () => {
      done = true;
    });
    const write = file.write(filled(10, 3), 0);
    await world.runUntilIdle();
    await write;
    expect(done).toBe(false);
    expect(env.clock.monotonicMs()).toBeLessThan(1000);
  });

  test('waiting for what nobody will do is an error, not a hang', async () => {
    const world = new SimulatedWorld(1);
    await expect(world.run(() => new Promise<void>(() => {}))).rejects.toThrow('nothing left to run');
  });

  test('an error in a timer reaches the driver', async () => {
    const world = new SimulatedWorld(1);
    world.startProcess().timers.nextTurn(() => {
      throw new Error('from the timer');
    });
    await expect(world.runUntilIdle()).rejects.toThrow('from the timer');
  });

  test('a wall clock may be wrong, each process by its own', () => {
    const world = new SimulatedWorld(1);
    const right = world.startProcess();
    const wrong = world.startProcess({ wallSkewMs: -86_400_000 });
    expect(right.clock.wallMs() - wrong.clock.wallMs()).toBe(86_400_000);
  });
});

describe('what a power cut leaves', () => {
  test('what was synced stays, under every fate and seed', () => {
    for (const data of FATES) {
      for (const folders of FOLDER_FATES) {
        for (const seed of SEEDS.slice(0, 10)) {
          const { world } = settledWorld(seed);
          world.crash({ data, folders, seed });
          expect(readAll(world.startProcess(), '/db/a')).toEqual(filled(2 * PAGE, 1));
        }
      }
    }
  });

  test('what was not synced may be lost, kept or torn, and each happens', () => {
    const outcomes = new Set<string>();
    for (const seed of SEEDS) {
      const { world, file } = settledWorld(seed);
      file.writeSync(filled(2 * PAGE, 2), 0);
      world.crash({ data: 'torn', folders: 'kept', seed });
      const bytes = readAll(world.startProcess(), '/db/a') as Uint8Array;
      const kept = bytes.filter((byte) => byte === 2).length;
      outcomes.add(kept === 0 ? 'lost' : kept === bytes.length ? 'kept' : 'torn');
      for (let sector = 0; sector < bytes.length; sector += 512) {
        expect(new Set(bytes.subarray(sector, sector + 512)).size).toBe(1);
      }
    }
    expect([...outcomes].sort()).toEqual(['kept', 'lost', 'torn']);
  });

  test('writes to different places are reordered: the later may stay without the earlier', () => {
    const outcomes = new Set<string>();
    for (const seed of SEEDS) {
      const { world, file } = settledWorld(seed);
      file.writeSync(filled(512, 2), 0);
      file.writeSync(filled(512, 3), PAGE);
      world.crash({ data: 'subset', folders: 'kept', seed });
      const bytes = readAll(world.startProcess(), '/db/a') as Uint8Array;
      outcomes.add(`${bytes[0]}${bytes[PAGE]}`);
    }
    expect([...outcomes].sort()).toEqual(['11', '13', '21', '23']);
  });

  test('neighbouring sectors have fates of their own', () => {
    const outcomes = new Set<string>();
    for (const seed of SEEDS) {
      const { world, file } = settledWorld(seed);
      file.writeSync(filled(512, 2), 512);
      file.writeSync(filled(512, 3), 0);
      world.crash({ data: 'subset', folders: 'kept', seed });
      const bytes = readAll(world.startProcess(), '/db/a') as Uint8Array;
      outcomes.add(`${bytes[0]}${bytes[512]}`);
    }
    expect([...outcomes].sort()).toEqual(['11', '12', '31', '32']);
  });

  test('a prefix keeps no later write without the earlier ones', () => {
    const outcomes = new Set<string>();
    for (const seed of SEEDS) {
      const { world, file } = settledWorld(seed);
      file.writeSync(filled(512, 2), 0);
      file.writeSync(filled(512, 3), PAGE);
      world.crash({ data: 'prefix', folders: 'kept', seed });
      const bytes = readAll(world.startProcess(), '/db/a') as Uint8Array;
      outcomes.add(`${bytes[0]}${bytes[PAGE]}`);
    }
    expect([...outcomes].sort()).toEqual(['11', '21', '23']);
  });

  test('two writes to one sector leave one of its states, never a mix nobody saw', () => {
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const { world, file } = settledWorld(seed);
      file.writeSync(filled(256, 2), 0);
      file.writeSync(filled(256, 3), 256);
      world.crash({ data: seed % 2 === 0 ? 'subset' : 'torn', folders: 'kept', seed });
      const bytes = readAll(world.startProcess(), '/db/a') as Uint8Array;
      seen.add(`${bytes[0]}${bytes[256]}`);
    }
    expect([...seen].sort()).toEqual(['11', '21', '23']);
  });

  test('a file may be left long and empty: its size got there, its bytes did not', () => {
    const { world, file } = settledWorld(1);
    file.writeSync(filled(PAGE, 2), 2 * PAGE);
    world.crash({ data: 'extended', folders: 'kept', seed: 1 });
    const bytes = readAll(world.startProcess(), '/db/a') as Uint8Array;
    expect(bytes.length).toBe(3 * PAGE);
    expect(bytes.subarray(2 * PAGE)).toEqual(new Uint8Array(PAGE));
  });

  test('a lost truncation brings the bytes back, a kept one leaves zeros when grown again', () => {
    const { world, file } = settledWorld(1);
    file.truncateSync(100);
    const kept = world.snapshot();
    world.crash({ data: 'lost', folders: 'kept', seed: 1 });
    expect(readAll(world.startProcess(), '/db/a')).toEqual(filled(2 * PAGE, 1));
    const other = new SimulatedWorld(2, { disk: kept });
    other.crash({ data: 'kept', folders: 'kept', seed: 1 });
    const env = other.startProcess();
    env.files.open('/db/a', { mode: 'write' }).truncateSync(PAGE);
    const bytes = readAll(env, '/db/a') as Uint8Array;
    expect(bytes.indexOf(0)).toBe(100);
    expect(bytes.lastIndexOf(1)).toBe(99);
  });

  test('a killed process loses nothing of what it wrote; a power cut afterwards still may', () => {
    const { world, env, file } = settledWorld(1);
    file.writeSync(filled(PAGE, 2), 0);
    world.processes[0]?.kill();
    expect(() => env.files.list('/')).toThrow(ProcessKilledError);
    const next = world.startProcess();
    expect(readAll(next, '/db/a')?.[0]).toBe(2);
    world.crash({ data: 'lost', folders: 'lost', seed: 1 });
    expect(readAll(world.startProcess(), '/db/a')?.[0]).toBe(1);
  });

  test('a sync by another opening, or another process of the host, makes it durable too', () => {
    const { world, file } = settledWorld(1);
    file.writeSync(filled(PAGE, 2), 0);
    world.startProcess().files.open('/db/a', { mode: 'read' }).syncSync();
    world.crash({ data: 'lost', folders: 'lost', seed: 1 });
    expect(readAll(world.startProcess(), '/db/a')?.[0]).toBe(2);
  });

  test('on a shared disk each host syncs what it wrote, and loses only that', () => {
    const { world, file } = settledWorld(1);
    const other = world.startProcess({ host: 'host-1' });
    const theirs = other.files.open('/db/a', { mode: 'write' });
    file.writeSync(filled(512, 2), 0);
    theirs.writeSync(filled(512, 3), PAGE);
    theirs.syncSync();
    world.crash({ data: 'lost', folders: 'kept', seed: 1, host: 0 });
    const bytes = readAll(other, '/db/a') as Uint8Array;
    expect([bytes[0], bytes[PAGE]]).toEqual([1, 3]);
    expect(other.alive).toBe(true);
  });

  test('a host that dies leaves the unsynced writes of others as they are, and at stake', () => {
    const { world, file } = settledWorld(1);
    const other = world.startProcess({ host: 'host-1' });
    const theirs = other.files.open('/db/a', { mode: 'write' });
    theirs.writeSync(filled(512, 3), PAGE);
    file.writeSync(filled(512, 2), 0);
    world.crash({ data: 'lost', folders: 'kept', seed: 1, host: 0 });
    expect([readAll(other, '/db/a')?.[0], readAll(other, '/db/a')?.[PAGE]]).toEqual([1, 3]);
    world.crash({ data: 'lost', folders: 'kept', seed: 1 });
    expect(readAll(world.startProcess(), '/db/a')?.[PAGE]).toBe(1);
  });
});

describe('names and power cuts', () => {
  function namesAfter(folders: FolderFate, seed: number, change: (env: Env) => void): string[] {
    const { world, env } = settledWorld(seed);
    change(env);
    world.crash({ data: 'kept', folders, seed });
    return world.startProcess().files.list('/db');
  }

  test('a new file needs its folder synced, however well it was synced itself', () => {
    const create = (env: Env): void => {
      const file = env.files.open('/db/b', { mode: 'create' });
      file.writeSync(filled(10, 1), 0);
      file.syncSync();
    };
    expect(namesAfter('lost', 1, create)).toEqual(['a']);
    expect(namesAfter('kept', 1, create)).toEqual(['a', 'b']);
    const settled = (env: Env): void => {
      create(env);
      env.files.syncFolderSync('/db');
    };
    for (const folders of FOLDER_FATES) expect(namesAfter(folders, 1, settled)).toEqual(['a', 'b']);
  });

  test('a removed file may come back, with all its bytes', () => {
    const { world, env } = settledWorld(1);
    env.files.remove('/db/a');
    world.crash({ data: 'kept', folders: 'lost', seed: 1 });
    expect(readAll(world.startProcess(), '/db/a')).toEqual(filled(2 * PAGE, 1));
  });

  test('a rename happens whole or not at all', () => {
    const outcomes = new Set<string>();
    for (const seed of SEEDS) {
      outcomes.add(namesAfter('subset', seed, (env) => env.files.rename('/db/a', '/db/b')).join());
    }
    expect([...outcomes].sort()).toEqual(['a', 'b']);
  });

  test('a rename across folders never loses and never doubles the file', () => {
    for (const folders of ['prefix', 'subset', 'journal'] as const) {
      for (const seed of SEEDS) {
        const { world, env } = settledWorld(seed);
        env.files.createFolder('/other');
        env.files.open('/other/x', { mode: 'create' });
        env.files.rename('/db/a', '/other/a');
        env.files.open('/db/y', { mode: 'create' });
        world.crash({ data: 'kept', folders, seed });
        const next = world.startProcess();
        const places = ['/db/a', '/other/a'].filter((path) => next.files.status(path) !== undefined);
        expect(places.length).toBe(1);
      }
    }
  });

  test('syncing one folder of a move settles the other half', () => {
    for (const synced of ['/db', '/other']) {
      const { world, env } = settledWorld(1);
      env.files.createFolder('/other');
      env.files.rename('/db/a', '/other/a');
      env.files.syncFolderSync(synced);
      world.crash({ data: 'lost', folders: 'lost', seed: 1 });
      const next = world.startProcess();
      expect([next.files.list('/db'), next.files.list('/other')]).toEqual([[], ['a']]);
    }
  });

  test('fates differ: a journal and a prefix keep the order, a subset does not', () => {
    const outcomes = (folders: FolderFate): string[] => {
      const seen = new Set<string>();
      for (const seed of SEEDS) {
        seen.add(
          namesAfter(folders, seed, (env) => {
            env.files.open('/db/x', { mode: 'create' });
            env.files.open('/db/y', { mode: 'create' });
          }).join(),
        );
      }
      return [...seen].sort();
    };
    expect(outcomes('journal')).toEqual(['a', 'a,x', 'a,x,y']);
    expect(outcomes('prefix')).toEqual(['a', 'a,x', 'a,x,y']);
    expect(outcomes('subset')).toEqual(['a', 'a,x', 'a,x,y', 'a,y']);
  });

  test('createFolder syncs the parents of what it makes', () => {
    const { world, env } = settledWorld(1);
    env.files.createFolder('/db/x/y');
    world.crash({ data: 'lost', folders: 'lost', seed: 1 });
    expect(world.startProcess().files.status('/db/x/y')?.isFolder).toBe(true);
  });
});

describe('snapshots', () => {
  test('a snapshot stays as it was, whatever either side does then', () => {
    const { world, env, file } = settledWorld(1);
    const before = world.snapshot();
    file.writeSync(filled(PAGE, 9), 0);
    env.files.rename('/db/a', '/db/z');
    env.files.open('/db/new', { mode: 'create' });
    const other = new SimulatedWorld(2, { disk: before.fork() });
    const otherEnv = other.startProcess();
    expect(otherEnv.files.list('/db')).toEqual(['a']);
    expect(readAll(otherEnv, '/db/a')).toEqual(filled(2 * PAGE, 1));
    otherEnv.files.open('/db/a', { mode: 'write' }).writeSync(filled(PAGE, 5), PAGE);
    otherEnv.files.remove('/db/a');
    expect(readAll(env, '/db/z')?.[0]).toBe(9);
    expect(readAll(env, '/db/z')?.[PAGE]).toBe(1);
    expect(readAll(new SimulatedWorld(3, { disk: before }).startProcess(), '/db/a')).toEqual(filled(2 * PAGE, 1));
  });

  test('snapshots after every operation of a random run replay byte for byte', async () => {
    const { world, env, file } = settledWorld(4);
    const kept: { disk: ReturnType<SimulatedWorld['snapshot']>; bytes: Uint8Array }[] = [];
    const model = filled(64 * PAGE, 0);
    let size = 2 * PAGE;
    model.fill(1, 0, size);
    const draw = new Uint8Array(8);
    for (let i = 0; i < 200; i++) {
      env.random.fill(draw);
      const at = ((draw[0] as number) + (draw[1] as number) * 256) % (60 * PAGE);
      const length = 1 + (((draw[2] as number) * 37) % 9000);
      if ((draw[3] as number) < 20) {
        file.truncateSync(at);
        model.fill(0, Math.min(at, size));
        size = at;
      } else {
        file.writeSync(filled(length, i), at);
        model.fill(i & 0xff, at, at + length);
        size = Math.max(size, at + length);
      }
      if ((draw[4] as number) < 60) await world.run(() => file.sync());
      kept.push({ disk: world.snapshot(), bytes: model.slice(0, size) });
    }
    for (const { disk, bytes } of kept) {
      const found = readAll(new SimulatedWorld(1, { disk }).startProcess(), '/db/a') as Uint8Array;
      expect(Buffer.compare(found, bytes)).toBe(0);
    }
  });
});

describe('faults', () => {
  function errnoOf(fn: () => unknown): unknown {
    try {
      fn();
    } catch (error) {
      return (error as IoError).details.errno;
    }
    return undefined;
  }

  test('the n-th operation of a kind fails, once or for ever, with the error asked for', async () => {
    const { world, env, file } = settledWorld(1);
    world.fail({ operation: 'read', nth: 2, error: 'EIO' });
    const byte = new Uint8Array(1);
    expect([0, 1, 2].map(() => errnoOf(() => file.readSync(byte, 0)))).toEqual([undefined, 'EIO', undefined]);
    const fault = world.fail({ operation: ['list', 'create'], times: Number.POSITIVE_INFINITY, error: 'ESTALE' });
    expect([0, 1].map(() => errnoOf(() => env.files.list('/db')))).toEqual(['ESTALE', 'ESTALE']);
    expect(errnoOf(() => env.files.open('/db/n', { mode: 'create' }))).toBe('ESTALE');
    expect(fault.hits).toBe(3);
    world.clearFaults();
    expect(env.files.list('/db')).toEqual(['a']);
    world.fail({ path: '/db/a', error: 'EACCES' });
    await expect(world.run(() => file.read(byte, 0))).rejects.toBeInstanceOf(IoError);
  });

  test('every kind of operation can be made to fail', () => {
    const { world, env, file } = settledWorld(1);
    const calls = {
      open: () => env.files.open('/db/a', { mode: 'read' }),
      create: () => env.files.open('/db/n', { mode: 'create' }),
      status: () => env.files.status('/db/a'),
      list: () => env.files.list('/db'),
      createFolder: () => env.files.createFolder('/db/new'),
      remove: () => env.files.remove('/db/a'),
      removeFolder: () => env.files.removeFolder('/db'),
      rename: () => env.files.rename('/db/a', '/db/b'),
      syncFolder: () => env.files.syncFolderSync('/db'),
      read: () => file.readSync(new Uint8Array(1), 0),
      write: () => file.writeSync(new Uint8Array(1), 0),
      sync: () => file.syncSync(),
      truncate: () => file.truncateSync(0),
      allocate: () => file.allocateSync(0, PAGE),
      lock: () => file.tryLock('shared', 0),
    } as const;
    for (const [operation, call] of Object.entries(calls)) {
      world.fail({ operation: operation as keyof typeof calls, error: 'EACCES' });
      expect(errnoOf(call), operation).toBe('EACCES');
    }
    expect(env.files.list('/db')).toEqual(['a']);
    expect(file.sizeBytes()).toBe(2 * PAGE);
  });

  test('a refused write may have written a part of itself', () => {
    const parts = new Set<number>();
    for (const seed of SEEDS) {
      const { world, env, file } = settledWorld(seed);
      world.fail({ operation: 'write', error: 'EIO' });
      expect(() => file.writeSync(filled(2 * PAGE, 2), 0)).toThrow(IoError);
      parts.add((readAll(env, '/db/a') as Uint8Array).filter((byte) => byte === 2).length);
    }
    expect(parts.size).toBeGreaterThan(5);
    expect(parts.has(0)).toBe(true);
  });

  test('after a failed sync a second one answers well, and the data is gone all the same', () => {
    const outcomes = new Set<string>();
    for (const seed of SEEDS) {
      const { world, file } = settledWorld(seed);
      file.writeSync(filled(PAGE, 2), 0);
      world.fail({ operation: 'sync', error: 'EIO' });
      expect(() => file.syncSync()).toThrow(IoError);
      file.syncSync();
      const shown = new Uint8Array(1);
      file.readSync(shown, 0);
      world.crash({ data: 'kept', folders: 'kept', seed });
      outcomes.add(`shown ${shown[0]}, left ${readAll(world.startProcess(), '/db/a')?.[0]}`);
    }
    expect([...outcomes].sort()).toEqual(['shown 1, left 1', 'shown 2, left 1', 'shown 2, left 2']);
  });

  test('what is written and synced after a failed sync is durable', () => {
    for (const seed of SEEDS) {
      const { world, file } = settledWorld(seed);
      file.writeSync(filled(PAGE, 2), 0);
      world.fail({ operation: 'sync', error: 'EIO' });
      expect(() => file.syncSync()).toThrow(IoError);
      file.writeSync(filled(PAGE, 3), PAGE);
      file.syncSync();
      world.crash({ data: 'lost', folders: 'lost', seed });
      const bytes = readAll(world.startProcess(), '/db/a') as Uint8Array;
      expect(bytes.subarray(PAGE)).toEqual(filled(PAGE, 3));
    }
  });

  test('a full disk refuses what does not fit, keeps the rest, and takes more once something went', () => {
    const { world, env, file } = settledWorld(1);
    world.disk.capacityBytes = 8 * PAGE;
    expect(env.files.freeBytes('/')).toBe(6 * PAGE);
    expect(() => file.writeSync(filled(10 * PAGE, 2), 0)).toThrow(DiskFullError);
    const other = env.files.open('/db/b', { mode: 'create' });
    expect(() => other.writeSync(filled(PAGE, 1), 0)).toThrow(DiskFullError);
    file.writeSync(filled(PAGE, 3), 0);
    env.files.remove('/db/a');
    other.writeSync(filled(6 * PAGE, 1), 0);
    expect(env.files.freeBytes('/')).toBe(2 * PAGE);
  });

  test('flips, zeros, stale and misdirected sectors are read where they were ordered', () => {
    const { world, env, file } = settledWorld(3);
    file.writeSync(filled(2 * PAGE, 2), 0);
    file.syncSync();
    const read = (readDamage: 'flip' | 'zero' | 'stale' | 'misdirected'): Uint8Array => {
      world.fail({ operation: 'read', readDamage });
      const into = new Uint8Array(2 * PAGE);
      file.readSync(into, 0);
      return into;
    };
    expect(read('flip').filter((byte) => byte !== 2).length).toBe(1);
    expect(read('zero').filter((byte) => byte === 0).length).toBe(512);
    expect(read('stale')).toEqual(filled(2 * PAGE, 1));
    file.writeSync(filled(PAGE, 4), PAGE);
    expect(readAll(env, '/db/a')?.[PAGE]).toBe(4);
    world.flipBit('/db/a', 100);
    expect(readAll(env, '/db/a')?.filter((byte) => byte !== 2 && byte !== 4).length).toBe(1);
  });

  test('a lost write and a lying sync answer well and do nothing', () => {
    const { world, env, file } = settledWorld(1);
    world.fail({ operation: 'write', writeDamage: 'lost' });
    file.writeSync(filled(PAGE, 2), 0);
    expect(readAll(env, '/db/a')?.[0]).toBe(1);
    world.fail({ operation: 'sync', syncLies: true });
    file.writeSync(filled(512, 2), 0);
    file.syncSync();
    world.crash({ data: 'lost', folders: 'lost', seed: 1 });
    expect(readAll(world.startProcess(), '/db/a')?.[0]).toBe(1);
  });

  test('direct I/O demands alignment of positions, lengths and buffers', () => {
    const { env } = settledWorld(1);
    const file = env.files.open('/db/a', { mode: 'write', direct: true });
    expect(file.direct).toBe(true);
    const buffer = env.files.allocate(2 * PAGE);
    expect(errnoOf(() => file.writeSync(buffer, 100))).toBe('EINVAL');
    expect(errnoOf(() => file.writeSync(buffer.subarray(0, 100), 0))).toBe('EINVAL');
    expect(errnoOf(() => file.writeSync(new Uint8Array(PAGE), 0))).toBe('EINVAL');
    expect(errnoOf(() => file.writeSync(buffer.subarray(PAGE), 0))).toBe(undefined);
  });
});

describe('processes', () => {
  test('a killed process answers nothing any more and its locks are free', async () => {
    const { world, env, file } = settledWorld(1);
    expect(file.tryLock('exclusive', 0)).toBe(true);
    let answered = false;
    const outcome = await world.runUnlessKilled(world.processes[0] as never, async () => {
      env.timers.nextTurn(() => world.processes[0]?.kill());
      await file.write(filled(PAGE, 2), 0);
      answered = true;
      return 'done';
    });
    expect(outcome).toBeUndefined();
    await world.runUntilIdle();
    expect(answered).toBe(false);
    const next = world.startProcess();
    expect(readAll(next, '/db/a')?.[0]).toBe(1);
    expect(next.files.open('/db/a', { mode: 'write' }).tryLock('exclusive', 0)).toBe(true);
  });

  test('a process may be killed in the middle of its own operation', async () => {
    const { world, file } = settledWorld(1);
    const victim = world.processes[0];
    world.onOperation = (_index, operation) => {
      if (operation.kind === 'write' && operation.position === PAGE) victim?.kill();
    };
    expect(() => file.writeSync(filled(512, 2), PAGE)).toThrow(ProcessKilledError);
    expect(() => file.writeSync(filled(512, 2), 0)).toThrow(ProcessKilledError);
    world.onOperation = undefined;
    const bytes = readAll(world.startProcess(), '/db/a') as Uint8Array;
    expect([bytes[0], bytes[PAGE]]).toEqual([1, 2]);
  });

  test('a paused process keeps its locks and goes on where it was', async () => {
    const { world, file } = settledWorld(1);
    const sleeper = world.processes[0];
    file.tryLock('exclusive', 0);
    let answered = 0;
    const write = file.write(filled(512, 2), 0).then(() => answered++);
    sleeper?.pause();
    await world.advance(60_000);
    const other = world.startProcess();
    expect(answered).toBe(0);
    expect(other.files.open('/db/a', { mode: 'read' }).isLockedByOther(0)).toBe(true);
    sleeper?.resume();
    await world.run(() => write);
    expect(answered).toBe(1);
  });

  test('locks can be lost under a living holder', () => {
    const { world, file } = settledWorld(1);
    const other = world.startProcess({ host: 'host-1' }).files.open('/db/a', { mode: 'write' });
    expect(file.tryLock('exclusive', 0)).toBe(true);
    expect(other.tryLock('exclusive', 0)).toBe(false);
    world.loseLocks('/db/a');
    expect(other.tryLock('exclusive', 0)).toBe(true);
  });

  test('another process comes in between the three parts of an append', async () => {
    const outcomes = new Set<string>();
    for (let seed = SEEDS[0] as number; seed < (SEEDS[0] as number) + 400; seed++) {
      const { world, file } = settledWorld(seed);
      file.truncateSync(0);
      const other = world.startProcess({ host: 'host-1' });
      const log = other.files.open('/db/a', { mode: 'write' });
      await world.run(async () => {
        const append = file.append(filled(PAGE, 7), PAGE, 2 * PAGE, PAGE);
        await log.write(Uint8Array.of(1), PAGE);
        const seen = new Uint8Array(1);
        log.readSync(seen, 2 * PAGE);
        outcomes.add(`${(await append) ? 'in' : 'sealed'}, ${seen[0] === 7 ? 'written' : 'not yet'}`);
      });
    }
    expect([...outcomes].sort()).toEqual(['in, written', 'sealed, not yet', 'sealed, written']);
  });

  test('closing a file with a call pending is our own bug and said so', async () => {
    const { world, file } = settledWorld(1);
    const write = file.write(filled(1, 1), 0);
    expect(() => file.close()).toThrow('no call is pending');
    await world.run(() => write);
    file.close();
  });

  test('a read-only process writes nothing', () => {
    const { world } = settledWorld(1);
    const env = world.startProcess({ readOnly: true });
    expect(env.files.readOnly).toBe(true);
    expect(() => env.files.open('/db/a', { mode: 'write' })).toThrow('EROFS');
    expect(() => env.files.remove('/db/a')).toThrow('EROFS');
    expect(readAll(env, '/db/a')?.[0]).toBe(1);
  });

  test('the trace tells what happened, with the fault', () => {
    const { world, file } = settledWorld(1);
    world.fail({ operation: 'write', error: 'ENOSPC' });
    expect(() => file.writeSync(filled(512, 1), 1024)).toThrow(DiskFullError);
    expect(world.trace.narrate(1)).toMatch(/^#\d+ p0 write \/db\/a 1024 \+ 512 !ENOSPC$/);
  });
});
