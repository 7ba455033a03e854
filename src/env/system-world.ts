/**
 * The real clock, chance, timers and process. One home for each of them: no other file of the engine asks the machine
 * for the time, for random bytes or for a later turn.
 */

import { fillFromCrypto, hostName } from './builtin.ts';
import type { Clock, ProcessInfo, Random, Timer, Timers } from './env.ts';

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

export const systemRandom: Random = {
  // Loaded at the first need: it takes 3 ms, and the environment over the native module never asks.
  fill: (bytes: Uint8Array): void => {
    fillFromCrypto(bytes);
  },
};

/** What `setTimeout` can wait: longer delays end at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

export const systemTimers: Timers = {
  after(delayMs: number, fn: () => void, keepAlive = false): Timer {
    if (delayMs > LONGEST_DELAY_MS) return afterLong(delayMs, fn, keepAlive);
    const timer = setTimeout(fn, delayMs);
    if (!keepAlive) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  nextTurn: (fn: () => void): void => {
    setImmediate(fn);
  },
};

/** More than 24 days: one timer after the other. */
function afterLong(delayMs: number, fn: () => void, keepAlive: boolean): Timer {
  if (delayMs === Number.POSITIVE_INFINITY) return { cancel: () => {} };
  const rest = (): void => {
    timer = systemTimers.after(delayMs - LONGEST_DELAY_MS, fn, keepAlive);
  };
  let timer = systemTimers.after(LONGEST_DELAY_MS, rest, keepAlive);
  return { cancel: () => timer.cancel() };
}

export function systemProcess(): ProcessInfo {
  let host: string | undefined;
  return {
    pid: process.pid,
    // Asked for when first wanted: it costs half a millisecond.
    get host() {
      host ??= hostName();
      return host;
    },
  };
}
