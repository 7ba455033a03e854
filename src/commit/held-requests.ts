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
  readonly #onWaited: (request: CommitRequest) => void;
  readonly #held = new Map<CommitRequest, Held>();
  /** Held before: what is left of a request's patience does not begin anew. */
  readonly #deadlines = new WeakMap<CommitRequest, number>();

  /** Of requests that have waited long enough: `onRefused` refuses them, `onWaited` lets those go on that may. */
  constructor(
    env: Env,
    onRefused: (request: CommitRequest, error: unknown) => void,
    onWaited: (request: CommitRequest) => void,
  ) {
    this.#env = env;
    this.#onRefused = onRefused;
    this.#onWaited = onWaited;
  }

  get size(): number {
    return this.#held.size;
  }

  hold(request: CommitRequest, { holdMs, refusal }: Block): void {
    const now = this.#env.clock.monotonicMs();
    const deadline = this.#deadlines.get(request) ?? now + holdMs;
    this.#deadlines.set(request, deadline);
    const timer = this.#env.timers.after(Math.max(1, deadline - now), () => this.#end(request, refusal), true);
    this.#held.set(request, { timer, refusal });
  }

  /** Whether its patience is used up. */
  hasWaited(request: CommitRequest): boolean {
    const deadline = this.#deadlines.get(request);
    return deadline !== undefined && deadline <= this.#env.clock.monotonicMs();
  }

  #end(request: CommitRequest, refusal: unknown): void {
    this.#held.delete(request);
    this.#deadlines.set(request, 0);
    if (refusal === undefined) this.#onWaited(request);
    else this.#onRefused(request, refusal);
  }

  /** Takes one out; false where it is not here. */
  remove(request: CommitRequest): boolean {
    this.#held.get(request)?.timer.cancel();
    return this.#held.delete(request);
  }

  /** Takes out all of them, to be looked at again. */
  release(): CommitRequest[] {
    const requests = [...this.#held.keys()];
    for (const { timer } of this.#held.values()) timer.cancel();
    this.#held.clear();
    return requests;
  }

  /** Nobody waits any longer: each ends as if its time were up. */
  refuse(): void {
    for (const request of this.#held.keys()) this.#deadlines.set(request, 0);
    // The map itself and no copy: the end of one may let others go on (`release`), which are not held any more then.
    for (const [request, { timer, refusal }] of this.#held) {
      timer.cancel();
      this.#end(request, refusal);
    }
  }
}
