/**
 * The batches that were given to the log and are not yet answered, in the order of their commits. Answers go out in that
 * order, whatever order the files come back in.
 */
import type { BatchBuilder } from './batch-builder.ts';

interface Pending {
  readonly batch: BatchBuilder;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  isAnswered: boolean;
  /** Called once this and all before it are answered. */
  readonly after: (() => void)[];
}

export class PendingCommits {
  readonly #pending: Pending[] = [];

  get isEmpty(): boolean {
    return this.#pending.length === 0;
  }

  add(batch: BatchBuilder, resolve: () => void, reject: (error: unknown) => void): void {
    this.#pending.push({ batch, resolve, reject, isAnswered: false, after: [] });
  }

  /**
   * The file is done with `batch`: answers it, once all before it are answered. `acknowledge` is called for each that is
   * answered, before its caller hears of it; what it answers is the error to refuse the batch with, if any.
   */
  settle(batch: BatchBuilder, acknowledge: (batch: BatchBuilder) => unknown): void {
    for (const pending of this.#pending) if (pending.batch === batch) pending.isAnswered = true;
    while (this.#pending[0]?.isAnswered) {
      const pending = this.#pending.shift() as Pending;
      const error = acknowledge(pending.batch);
      if (error === undefined) pending.resolve();
      else pending.reject(error);
      for (const after of pending.after) after();
    }
  }

  /** Calls `fn` as soon as everything that is under way now is answered: in the same turn, at once where nothing is. */
  whenAnswered(fn: () => void): void {
    const last = this.#pending.at(-1);
    if (last === undefined) fn();
    else last.after.push(fn);
  }
}
