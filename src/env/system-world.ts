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

export const systemTimers: Timers = {
  after(delayMs: number, fn: () => void, keepAlive = false): Timer {
    const timer = setTimeout(fn, delayMs);
    if (!keepAlive) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  nextTurn: (fn: () => void): void => {
    setImmediate(fn);
  },
};

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
