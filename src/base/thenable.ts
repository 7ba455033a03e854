/** Answers of other people's functions that may be promises. */

/** Promises of other makes count, too. */
export function isThenable<T>(answer: T | PromiseLike<T>): answer is PromiseLike<T> {
  if (answer instanceof Promise) return true;
  return typeof answer === 'object' && answer !== null && typeof (answer as { then?: unknown }).then === 'function';
}

/** Of an answer that nobody waits for: where it is a promise that rejects, `failed` hears of it, and the process does not end. */
export function watchAnswer(answer: unknown, failed: (error: unknown) => void): void {
  if (isThenable(answer)) Promise.resolve(answer).catch(failed);
}

/** For an answer that is refused for being a promise: how that ends nobody asks. */
export function ignore(): void {}
