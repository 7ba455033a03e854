/** Ends a transaction from outside: its time is up, or its signal was fired. */
import { AbortedError, TimeoutError } from '../base/errors.ts';
import type { Timers } from '../env/env.ts';
import type { BeginOptions } from './engine-api.ts';

export class TimeLimits {
  readonly #cancel: (() => void)[] = [];

  /** `end` is called with the reason. `AbortedError` where the signal was fired before. */
  constructor(timers: Timers, { timeoutMs, signal }: BeginOptions, end: (reason: unknown) => void) {
    if (signal !== undefined) this.#obey(signal, end);
    if (timeoutMs === undefined || timeoutMs === Number.POSITIVE_INFINITY) return;
    const timer = timers.after(timeoutMs, () => {
      end(new TimeoutError(`the transaction took longer than its ${timeoutMs} ms`, { details: { timeoutMs } }));
    });
    this.#cancel.push(() => timer.cancel());
  }

  #obey(signal: AbortSignal, end: (reason: unknown) => void): void {
    if (signal.aborted)
      throw new AbortedError('the signal was aborted before the transaction began', { cause: signal.reason });
    const abort = (): void =>
      end(new AbortedError('the transaction was aborted by its signal', { cause: signal.reason }));
    signal.addEventListener('abort', abort, { once: true });
    this.#cancel.push(() => signal.removeEventListener('abort', abort));
  }

  cancel(): void {
    for (const cancel of this.#cancel) cancel();
  }
}
