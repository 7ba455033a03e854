/** Work of several steps that closing lets come to its end, for a bounded time. */
import type { Timers } from '../env/env.ts';

/** After so long what has not ended is left alone: somebody outside of this process does not answer. */
const LONGEST_MS = 5000;

export class UnfinishedWork {
  readonly #all = new Set<() => void>();
  #isClosing = false;
  #onEmpty: (() => void) | undefined;

  get isEmpty(): boolean {
    return this.#all.size === 0;
  }

  /** `onClosing` is called once closing has begun, perhaps now. Answers what ends it. */
  begin(onClosing: () => void): () => void {
    const work = (): void => onClosing();
    this.#all.add(work);
    if (this.#isClosing) work();
    return () => {
      this.#all.delete(work);
      if (this.isEmpty) this.#onEmpty?.();
    };
  }

  /** Tells all of it that closing has begun, and waits for its end. */
  async close(timers: Timers): Promise<void> {
    this.#isClosing = true;
    for (const work of this.#all) work();
    if (this.isEmpty) return;
    await new Promise<void>((resolve) => {
      const timer = timers.after(LONGEST_MS, resolve, true);
      this.#onEmpty = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}
