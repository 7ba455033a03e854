/** Running a piece of work again after a conflict: jittered, growing pauses, bounded in number and in time. */
import { AbortedError, InvalidArgumentError, SopError, TimeoutError } from '../base/errors.ts';
import type { Env } from '../env/env.ts';
import { mustBeOptions } from './arguments.ts';
import { type LostRace, type RetryEvent, RunLost, toRetryEvent } from './conflict-events.ts';

export interface RetryOptions {
  /** How often the work may be run again after a conflict (default 100); 0 runs it once. */
  readonly retries?: number;
  /** For all runs and pauses together; then `TimeoutError`. No limit by default. */
  readonly timeoutMs?: number;
  /** Ends the work with `AbortedError`. */
  readonly signal?: AbortSignal;
  /** Hears before each further run what the last one was lost to. */
  readonly onRetry?: (event: RetryEvent) => void;
  /** Whether `OutcomeUnknownError` is resolved here, and the work run again where nothing of it is in (default true). */
  readonly resolveUnknown?: boolean;
}

/** What one run of the work may take. */
export interface AttemptLimits {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Reads as of this pin. */
  readonly at?: string;
}

export const DEFAULT_RETRIES = 100;
const FIRST_PAUSE_MS = 0.5;
const LONGEST_PAUSE_MS = 50;

/** Whether the same work can succeed when it is run again from the beginning: another transaction was quicker. */
export function isLostRace(error: unknown): error is SopError {
  return error instanceof SopError && (error.code === 'CONFLICT' || error.code === 'TOO_OLD');
}

/**
 * Runs `attempt` until it succeeds, fails with something other than a lost race, or the limits are used up; then the last
 * error is thrown. `again` hears before each further run.
 */
export async function withRetries<T>(
  env: Env,
  options: RetryOptions,
  attempt: (limits: AttemptLimits, lost: number, last: LostRace | undefined) => Promise<T>,
  again?: (last: LostRace | undefined, attempt: number, waitedMs: number) => void,
): Promise<T> {
  checkLimits(options);
  const { timeoutMs, signal } = options;
  const retries = retriesOf(options);
  const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : env.clock.monotonicMs() + timeoutMs;
  const begunMs = env.clock.monotonicMs();
  let last: LostRace | undefined;
  for (let lost = 0; ; lost++) {
    const leftMs = deadline - env.clock.monotonicMs();
    try {
      const limits = timeoutMs === undefined ? { signal } : { timeoutMs: Math.max(1, leftMs), signal };
      return await attempt(limits, lost, last);
    } catch (thrown) {
      last = thrown instanceof RunLost ? thrown : undefined;
      const error = last?.error ?? thrown;
      if ((last === undefined && !isLostRace(error)) || lost >= retries) throw error;
      throwIfAborted(signal);
      const pauseMs = pauseMsAfter(env, lost);
      if (env.clock.monotonicMs() + pauseMs >= deadline) throw outOfTime(timeoutMs as number, lost, error);
      await pause(env, pauseMs, signal);
      const waitedMs = env.clock.monotonicMs() - begunMs;
      again?.(last, lost + 2, waitedMs);
      if (last !== undefined) options.onRetry?.(toRetryEvent(last, lost + 2, waitedMs));
    }
  }
}

/** The pause before the next try, `lost` tries having been lost before this one. */
export function pauseAfterLoss(env: Env, lost: number): Promise<void> {
  return pause(env, pauseMsAfter(env, lost), undefined);
}

function retriesOf(options: RetryOptions): number {
  const { retries = DEFAULT_RETRIES } = options;
  if (Number.isInteger(retries) && retries >= 0) return retries;
  throw new InvalidArgumentError('retries is a whole number from zero', { details: { found: retries } });
}

export function checkLimits(limits: AttemptLimits): void {
  mustBeOptions(limits);
  const { timeoutMs, signal, at } = limits;
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs > 0)) {
    throw new InvalidArgumentError('timeoutMs is a number of milliseconds above zero', {
      details: { found: timeoutMs },
    });
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidArgumentError('signal is an AbortSignal');
  }
  if (at !== undefined && typeof at !== 'string') throw new InvalidArgumentError('at is the name of a pin');
  throwIfAborted(signal);
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new AbortedError('the signal was fired', { cause: signal.reason });
}

/** Full jitter: anything from nothing to a bound that doubles with each loss. */
function pauseMsAfter(env: Env, lost: number): number {
  const word = new Uint32Array(1);
  env.random.fill(new Uint8Array(word.buffer));
  return ((word[0] as number) / 2 ** 32) * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(lost, 30));
}

function outOfTime(timeoutMs: number, lost: number, cause: unknown): TimeoutError {
  return new TimeoutError(`no success in ${timeoutMs} ms, ${lost + 1} times lost to other transactions`, { cause });
}

function pause(env: Env, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    // Below a timer's resolution a turn of the event loop is pause enough.
    if (delayMs < 1) {
      env.timers.nextTurn(resolve);
      return;
    }
    const onAbort = () => {
      timer.cancel();
      reject(new AbortedError('the signal was fired', { cause: signal?.reason }));
    };
    const onTime = () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    };
    const timer = env.timers.after(delayMs, onTime, true);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
