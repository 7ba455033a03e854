/**
 * Those who lost so often that the others hold back for a while: what each read last stays as it is until its next run has
 * ended.
 *
 *  1. A claim counts for `CLAIM_MS` at most, whatever becomes of who made it.
 *  2. Of several that are in each other's way the first comes first: a claim holds back those who claimed after it, never
 *     those before it, so nobody waits in a circle.
 *  3. What a claim knows is bounded: of a store of which more was read it holds the span.
 *
 * What the others read does not count, nor what the claimant only writes: neither makes it lose.
 */
import type { Env, Timer } from '../env/env.ts';
import type { ClaimMark, CommitRequest } from './commit-request.ts';
import { changesOf, Footprint, runFences } from './footprint.ts';
import type { ReadSet } from './read-set.ts';

/** How long the others hold back at the most. */
export const CLAIM_MS = 250;
/** Whoever comes when so many are claiming goes without. */
const MAX_CLAIMS = 16;
/** Keys, and ranges, that a claim holds one by one in a store. */
const MAX_EXACT = 4096;

export class Claim implements ClaimMark {
  readonly reads: Footprint;
  readonly endsAtMs: number;
  readonly timer: Timer;

  constructor(reads: Footprint, endsAtMs: number, timer: Timer) {
    this.reads = reads;
    this.endsAtMs = endsAtMs;
    this.timer = timer;
  }
}

export class Claims {
  /** In the order in which they were made. */
  readonly #claims: Claim[] = [];
  readonly #env: Env;
  readonly #onEnded: () => void;

  /** `onEnded`: somebody whom others may be waiting for is gone. */
  constructor(env: Env, onEnded: () => void) {
    this.#env = env;
    this.#onEnded = onEnded;
  }

  get isEmpty(): boolean {
    return this.#claims.length === 0;
  }

  /** Undefined where there is nothing to hold, or too many claim already. */
  add(reads: ReadSet): Claim | undefined {
    if (reads.isEmpty || this.#claims.length >= MAX_CLAIMS) return undefined;
    const endsAtMs = this.#env.clock.monotonicMs() + CLAIM_MS;
    const timer = this.#env.timers.after(CLAIM_MS, () => this.end(claim));
    const claim = new Claim(Footprint.ofReads(reads, MAX_EXACT), endsAtMs, timer);
    this.#claims.push(claim);
    return claim;
  }

  /** Harmless where it has ended. */
  end(claim: Claim): void {
    const at = this.#claims.indexOf(claim);
    if (at < 0) return;
    claim.timer.cancel();
    this.#claims.splice(at, 1);
    this.#onEnded();
  }

  /** For how long the request has to hold back; 0: not at all. */
  holdMs(request: CommitRequest): number {
    for (const claim of this.#claims) {
      if (claim === request.claim) return 0;
      if (isInTheWay(request, claim.reads)) return Math.max(1, claim.endsAtMs - this.#env.clock.monotonicMs());
    }
    return 0;
  }
}

function isInTheWay({ sections, runs }: CommitRequest, reads: Footprint): boolean {
  for (const section of sections) if (changesOf(section, reads) !== undefined) return true;
  for (const { storeId, descriptor } of runs) {
    const { lower, upper } = runFences(descriptor);
    if (reads.touchesRange(storeId, lower, upper)) return true;
  }
  return false;
}
