/** Time limits and signals of a transaction whose commit waits: nothing of it is in, and nobody waits for the rest. */
import { describe, expect, it } from 'vitest';
import { AbortedError, TimeoutError } from '../../../src/base/errors.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import type { EngineApi } from '../../../src/transaction/engine-api.ts';
import { keysOf, openSmall, put, putSeparate, within, write } from './small-engine.ts';

function keysNow(engine: EngineApi): string[] {
  const tx = engine.begin('read');
  try {
    return keysOf(tx);
  } finally {
    tx.rollback();
  }
}

/** An engine whose appends to the log, or syncs of segments, take `ms` once told so. */
async function slowEngine(ms: number) {
  const env = memoryEnv();
  const slow = { appends: false, syncs: false };
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const open = env.files.open.bind(env.files);
  env.files.open = (path, options) => {
    const file = open(path, options);
    const append = file.append.bind(file);
    const sync = file.sync.bind(file);
    file.append = async (...about: Parameters<typeof append>) => {
      if (slow.appends && path.endsWith('.log')) await pause();
      return append(...about);
    };
    file.sync = async (...about: Parameters<typeof sync>) => {
      if (slow.syncs && path.endsWith('.seg')) await pause();
      return sync(...about);
    };
    return file;
  };
  return { engine: await openSmall(env), slow };
}

describe('a limit that comes while the commit', () => {
  it.each(['commit', 'prepare'] as const)('waits for a prepared transaction ends the %s at once', async (word) => {
    const world = new SimulatedWorld(5);
    await world.run(async () => {
      const env = world.startProcess();
      const engine = await openSmall(env);
      const holder = engine.begin('write');
      const { id } = holder;
      put(holder, 'a', '1');
      await holder.prepare();
      const signal = new AbortController();
      for (const limit of [{ timeoutMs: 50 }, { signal: signal.signal }]) {
        const tx = engine.begin('write', limit);
        const heard: unknown[] = [];
        tx.onRollback((reason) => heard.push(reason));
        put(tx, 'a', '2');
        put(tx, 'b', '2');
        const begunMs = env.clock.monotonicMs();
        const ended = tx[word]().catch((error: unknown) => error);
        if ('signal' in limit) env.timers.after(20, () => signal.abort(), true);
        const error = await ended;
        expect(error).toBeInstanceOf('signal' in limit ? AbortedError : TimeoutError);
        expect(env.clock.monotonicMs() - begunMs).toBeLessThan(80);
        expect(heard).toEqual([error]);
        expect(() => put(tx, 'c', '3')).toThrow(error as Error);
      }
      await engine.decide(id, true);
      expect(keysNow(engine)).toEqual(['a']);
      await engine.close();
    });
  });

  it('waits for its turn ends it at once; one that is being written is waited for', async () => {
    const { engine, slow } = await slowEngine(60);
    engine.begin('write');
    slow.appends = true;
    const written = engine.begin('write', { timeoutMs: 20 });
    put(written, 'written', '1');
    const writing = written.commit();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const late = engine.begin('write', { timeoutMs: 20 });
    put(late, 'late', '1');
    const others = write(engine, (tx) => put(tx, 'other', '1'));
    let isWritten = false;
    void writing.then(() => {
      isWritten = true;
    });
    await expect(late.commit()).rejects.toBeInstanceOf(TimeoutError);
    expect(isWritten).toBe(false);
    expect(await within(2000, 'the others', Promise.all([writing, others]))).toEqual([1, 2]);
    expect(keysNow(engine)).toEqual(['other', 'written']);
    await within(2000, 'the end', engine.close());
  });

  it('has its values synced ends it before it is written', async () => {
    const { engine, slow } = await slowEngine(60);
    slow.syncs = true;
    const tx = engine.begin('write', { timeoutMs: 20 });
    putSeparate(tx, 'large', new Uint8Array(200_000));
    await expect(tx.commit()).rejects.toBeInstanceOf(TimeoutError);
    slow.syncs = false;
    expect(keysNow(engine)).toEqual([]);
    expect(engine.stats().number).toBe(0);
    await engine.close();
  });
});
