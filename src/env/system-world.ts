/**
 * The real clock, chance, timers and process. One home for each of them: no other file of the engine asks the machine
 * for the time, for random bytes or for a later turn.
 */

import { randomFillSync } from 'node:crypto';
import { hostname } from 'node:os';
import type { Clock, ProcessInfo, Random, Timer, Timers } from './env.ts';

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

export const systemRandom: Random = {
  fill: (bytes: Uint8Array): void => {
    randomFillSync(bytes);
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
  return { pid: process.pid, host: hostname() };
}
