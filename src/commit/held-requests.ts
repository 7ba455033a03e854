/** Requests that wait for somebody else's end, each for a bounded time. */
import type { Env, Timer } from '../env/env.ts';
import type { Block } from './blockers.ts';
import type { CommitRequest } from './commit-request.ts';

interface Held {
  readonly timer: Timer;
  readonly refusal: unknown;
}

export class HeldRequests {
  readonly #env: Env;
  readonly #onRefused: (request: CommitRequest, error: unknown) => void;
  readonly #held = new Map<CommitRequest, Held>();
  /** Held before: what is left of a request's patience does not begin anew. */
  readonly #deadlines = new WeakMap<CommitRequest, number>();

  /** `onRefused` refuses a request that has waited long enough. */
  constructor(env: Env, onRefused: (request: CommitRequest, error: unknown) => void) {
    this.#env = env;
    this.#onRefused = onRefused;
  }

  get size(): number {
    return this.#held.size;
  }

  hold(request: CommitRequest, { holdMs, refusal }: Block): void {
    const now = this.#env.clock.monotonicMs();
    const deadline = this.#deadlines.get(request) ?? now + holdMs;
    this.#deadlines.set(request, deadline);
    const refuse = (): void => {
      this.#held.delete(request);
      this.#onRefused(request, refusal);
    };
    this.#held.set(request, { timer: this.#env.timers.after(Math.max(1, deadline - now), refuse, true), refusal });
  }

  /** Takes out all of them, to be looked at again. */
  release(): CommitRequest[] {
    const requests = [...this.#held.keys()];
    for (const { timer } of this.#held.values()) timer.cancel();
    this.#held.clear();
    return requests;
  }

  /** Nobody waits any longer: each is refused with `error`, or where there is none for the reason it waited. */
  refuse(error?: unknown): void {
    for (const [request, { timer, refusal }] of [...this.#held]) {
      this.#held.delete(request);
      timer.cancel();
      this.#onRefused(request, error ?? refusal);
    }
  }
}
