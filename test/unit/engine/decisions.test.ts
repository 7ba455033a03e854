/**
 * What is said of a decision that may not be in the log: nothing, until that is known.
 *
 * A decision was taken for made as soon as it had its place in a batch. Where that batch then failed, who asked again was told
 * 'committed', or given a number, of what was still prepared after opening again, or could be rolled back next.
 */
import { describe, expect, it } from 'vitest';
import { DiskFullError, OutcomeUnknownError, TransactionEndedError } from '../../../src/base/errors.ts';
import { ioError } from '../../../src/env/io-error.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import type { EngineApi } from '../../../src/transaction/engine-api.ts';
import { getText, openSmall, put, within, write } from './small-engine.ts';

const EVERYTHING = { operation: ['write', 'sync', 'read', 'create'] as const, times: Number.POSITIVE_INFINITY };

async function prepareOne(engine: EngineApi, bytes = 1): Promise<string> {
  const tx = engine.begin('write');
  const { id } = tx;
  for (let i = 0; i < bytes; i += 1000) put(tx, `prepared-${i}`, 'v'.repeat(Math.min(1000, bytes)));
  await tx.prepare();
  return id;
}

function isSeen(engine: EngineApi): boolean {
  const tx = engine.begin('read');
  try {
    return getText(tx, 'prepared-0') !== undefined;
  } finally {
    tx.rollback();
  }
}

describe('a decision that the log failed to take', () => {
  it.each([true, false])('is neither made nor not made while nobody knows (commit: %s)', async (isCommit) => {
    const world = new SimulatedWorld(1);
    await world.run(async () => {
      const engine = await openSmall(world.startProcess());
      const id = await prepareOne(engine);
      world.fail({ ...EVERYTHING, operation: [...EVERYTHING.operation], error: 'EIO' });
      await expect(engine.decide(id, isCommit)).rejects.toBeInstanceOf(OutcomeUnknownError);
      for (const again of [true, false]) {
        await expect(engine.decide(id, again)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN', transactionId: id });
      }
      await expect(engine.resolve(id)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN', transactionId: id });
      expect(engine.prepared().map((one) => one.id)).toEqual([id]);
      world.clearFaults();
      await engine.close().catch(() => {});
      const reopened = await openSmall(world.startProcess());
      const found = await reopened.resolve(id);
      expect(['prepared', isCommit ? 'committed' : 'aborted']).toContain(found);
      await reopened.close();
    });
  });

  it('leaves alone what was decided before', async () => {
    const world = new SimulatedWorld(2);
    await world.run(async () => {
      const engine = await openSmall(world.startProcess());
      const yes = await prepareOne(engine);
      const number = await engine.decide(yes, true);
      const open = await prepareOne(engine);
      world.fail({ ...EVERYTHING, operation: [...EVERYTHING.operation], error: 'EIO' });
      await write(engine, (tx) => put(tx, 'a', '1')).catch(() => {});
      expect(await engine.decide(yes, true)).toBe(number);
      await expect(engine.decide(yes, false)).rejects.toBeInstanceOf(TransactionEndedError);
      expect(await engine.resolve(yes)).toBe('committed');
      expect(await engine.resolve(open)).toBe('prepared');
      await expect(engine.decide(open, true)).rejects.toMatchObject({ code: 'DATABASE_FAILED' });
      world.clearFaults();
      await engine.close().catch(() => {});
    });
  });
});

/** An engine whose log is about to be full, and slow once told so; `k` commits fit. */
async function almostFull(room: number) {
  const env = memoryEnv();
  const disk = { full: false, slow: false };
  const open = env.files.open.bind(env.files);
  env.files.open = (path, options) => {
    const file = open(path, options);
    if (!path.endsWith('.log')) return file;
    const allocateSync = file.allocateSync.bind(file);
    const append = file.append.bind(file);
    file.allocateSync = (...about: Parameters<typeof allocateSync>) => {
      if (disk.full) throw ioError('allocate', path, 'ENOSPC');
      allocateSync(...about);
    };
    file.append = async (...about: Parameters<typeof append>) => {
      if (disk.slow) await new Promise((resolve) => setTimeout(resolve, 30));
      return append(...about);
    };
    return file;
  };
  const engine = await openSmall(env, { tableBytes: 8 * 1024 * 1024, logReserveBytes: 64 * 1024 });
  const id = await prepareOne(engine, 300_000);
  disk.full = true;
  let commits = 0;
  while (commits < room) {
    try {
      await write(engine, (tx) => put(tx, `fills-${commits}`, '1'));
    } catch {
      break;
    }
    commits++;
  }
  return { disk, engine, id, commits };
}

it('a decision that shares its batch with a commit the log has no room for is made, and the commit refused', async () => {
  const probe = await almostFull(1000);
  probe.disk.full = false;
  await probe.engine.close();
  const { disk, engine, id } = await almostFull(probe.commits - 1);
  disk.slow = true;
  // Nobody is alone: commits go by way of the log's thread.
  engine.begin('write');
  const inFlight = write(engine, (tx) => put(tx, 'in flight', '1'));
  await new Promise((resolve) => setTimeout(resolve, 5));
  const decision = engine.decide(id, true);
  await Promise.resolve();
  await Promise.resolve();
  const beside = write(engine, (tx) => put(tx, 'beside', '1')).catch((error: unknown) => error);
  const number = await within(2000, 'the decision', decision);
  const others = within(2000, 'the others', Promise.all([inFlight, beside]));
  expect(await others).toEqual([expect.any(Number), expect.any(DiskFullError)]);
  Object.assign(disk, { full: false, slow: false });
  expect(isSeen(engine)).toBe(true);
  await expect(engine.decide(id, false)).rejects.toBeInstanceOf(TransactionEndedError);
  expect(await engine.decide(id, true)).toBe(number);
  expect(await engine.resolve(id)).toBe('committed');
  await engine.close();
});
