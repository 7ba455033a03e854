/** Running work again: what is tried again, how long the pauses are, what ends it. The clock is the test's own. */
import { describe, expect, test } from 'vitest';
import {
  AbortedError,
  ConflictError,
  DiskFullError,
  InvalidArgumentError,
  SnapshotTooOldError,
  TimeoutError,
} from '../../../src/base/errors.ts';
import type { Env } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { withRetries } from '../../../src/store/retry.ts';

interface World {
  readonly env: Env;
  readonly pauses: number[];
  now: number;
}

/** Timers fire at once and move the clock; chance answers the largest number each time. */
function world(): World {
  const made: { now: number; pauses: number[] } = { now: 0, pauses: [] };
  const env = memoryEnv({
    clock: { wallMs: () => made.now, monotonicMs: () => made.now },
    random: { fill: (bytes) => bytes.fill(255) },
    timers: {
      after(delayMs, fn) {
        made.pauses.push(delayMs);
        made.now += delayMs;
        queueMicrotask(fn);
        return { cancel: () => {} };
      },
      nextTurn(fn) {
        made.pauses.push(0);
        queueMicrotask(fn);
      },
    },
  });
  return Object.assign(made, { env });
}

const conflict = () => new ConflictError('lost');

describe('running work again', () => {
  test('work that succeeds runs once', async () => {
    const { env, pauses } = world();
    expect(await withRetries(env, {}, async () => 7)).toBe(7);
    expect(pauses).toEqual([]);
  });

  test('conflicts and snapshots too old are tried again, with pauses that double up to a bound', async () => {
    const { env, pauses } = world();
    let runs = 0;
    const work = async () => {
      runs++;
      if (runs <= 12) throw runs % 2 === 0 ? conflict() : new SnapshotTooOldError('old');
      return runs;
    };
    expect(await withRetries(env, {}, work)).toBe(13);
    const rounded = pauses.map((pause) => Math.round(pause));
    expect(rounded).toEqual([0, 0, 2, 4, 8, 16, 32, 50, 50, 50, 50, 50]);
  });

  test('other errors are passed on at once, retryable or not', async () => {
    const { env } = world();
    for (const error of [new DiskFullError('full'), new Error('mine'), 'a text']) {
      let runs = 0;
      const work = async () => {
        runs++;
        throw error;
      };
      await expect(withRetries(env, {}, work)).rejects.toBe(error);
      expect(runs).toBe(1);
    }
  });

  test('the last conflict is thrown when the retries are used up', async () => {
    const { env } = world();
    const errors: ConflictError[] = [];
    const work = async () => {
      errors.push(conflict());
      throw errors.at(-1);
    };
    await expect(withRetries(env, { retries: 3 }, work)).rejects.toSatisfy((error) => error === errors[3]);
    expect(errors.length).toBe(4);
    errors.length = 0;
    await expect(withRetries(env, { retries: 0 }, work)).rejects.toThrow('lost');
    expect(errors.length).toBe(1);
  });

  test('a time limit holds for all runs together, and each run is told what is left', async () => {
    const { env } = world();
    const left: (number | undefined)[] = [];
    const work = async (limits: { readonly timeoutMs?: number }) => {
      left.push(limits.timeoutMs);
      throw conflict();
    };
    const lost = withRetries(env, { timeoutMs: 10, retries: 1000 }, work);
    await expect(lost).rejects.toThrow(TimeoutError);
    await expect(lost).rejects.toMatchObject({ cause: { code: 'CONFLICT' } });
    expect(left[0]).toBe(10);
    expect(left.length).toBeLessThan(8);
    for (let i = 1; i < left.length; i++) expect(left[i]).toBeLessThanOrEqual(left[i - 1] as number);
  });

  test('a signal ends it, before the first run, between runs and during a pause', async () => {
    const { env } = world();
    const fired = AbortSignal.abort();
    let runs = 0;
    const count = async () => ++runs;
    await expect(withRetries(env, { signal: fired }, count)).rejects.toThrow(AbortedError);
    expect(runs).toBe(0);
    const stop = new AbortController();
    const losing = async () => {
      runs++;
      if (runs === 3) stop.abort();
      throw conflict();
    };
    await expect(withRetries(env, { signal: stop.signal }, losing)).rejects.toThrow(AbortedError);
    expect(runs).toBe(3);
    const slow = new AbortController();
    const waiting: Env = {
      ...env,
      timers: { ...env.timers, after: () => ({ cancel: () => runs++ }), nextTurn: (fn) => fn() },
    };
    const paused = withRetries(waiting, { signal: slow.signal }, async () => {
      throw conflict();
    });
    setTimeout(() => slow.abort(), 5);
    await expect(paused).rejects.toThrow(AbortedError);
    expect(runs).toBe(4);
  });

  test('limits that make no sense are refused', async () => {
    const { env } = world();
    const bad = [
      { retries: -1 },
      { retries: 1.5 },
      { timeoutMs: 0 },
      { timeoutMs: Number.NaN },
      { signal: {} as AbortSignal },
    ];
    for (const options of bad) {
      await expect(withRetries(env, options, async () => 1)).rejects.toThrow(InvalidArgumentError);
    }
  });
});
