/**
 * How background work shares one thread with commits: in slices, longer ones the more the active table outruns the merge,
 * so that the merge ends before the table is full and no commit ever waits for more than a slice.
 */
import type { Env } from '../env/env.ts';

const SHORT_SLICE_MS = 0.5;
const LONG_SLICE_MS = 4;

/** A resumable piece of work: yields when it may be interrupted, or with something to load first. */
export type Work<T> = Generator<{ load(): Promise<void> } | undefined, T, void>;

export class Pacer {
  readonly #env: Env;
  /** Share of the active table that is used, 0 to 1. */
  readonly #fill: () => number;
  /** Share of the merge that is done, 0 to 1; set by whoever merges. */
  progress = 0;
  /** Nobody waits for anything else: run without pausing. */
  urgent = false;
  /** The longest time for which the thread was held. */
  longestSliceMs = 0;

  constructor(env: Env, fill: () => number) {
    this.#env = env;
    this.#fill = fill;
  }

  /** True where commits come faster than the merge can afford: they should let it run between them. */
  get isBehind(): boolean {
    return this.#fill() > this.progress + 0.05;
  }

  async run<T>(work: Work<T>, mustStop: () => void): Promise<T> {
    for (;;) {
      mustStop();
      let began = this.#env.clock.monotonicMs();
      const until = began + this.#sliceMs();
      let now: number;
      do {
        const { done, value } = work.next();
        if (done === true) return value;
        now = this.#env.clock.monotonicMs();
        if (now - began > this.longestSliceMs) this.longestSliceMs = now - began;
        if (value !== undefined) {
          await value.load();
          mustStop();
          // Others had their turn meanwhile.
          began = this.#env.clock.monotonicMs();
        }
      } while (now < until);
      await new Promise<void>((resolve) => this.#env.timers.nextTurn(resolve));
    }
  }

  #sliceMs(): number {
    if (this.urgent) return LONG_SLICE_MS;
    const ahead = this.#fill() - this.progress;
    if (ahead <= 0) return SHORT_SLICE_MS;
    return Math.min(LONG_SLICE_MS, SHORT_SLICE_MS + ahead * 2 * LONG_SLICE_MS);
  }
}
