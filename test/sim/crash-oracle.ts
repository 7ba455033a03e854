/**
 * What a run promised so far. The workload tells the oracle when a commit starts and when it is acknowledged or refused;
 * the harness asks what was promised at any moment of the run.
 */

/**
 * 'prepared': it waits for a decision, for certain; 'committing' and 'aborting': that decision was asked for, and may be in.
 */
export type CommitOutcome = 'started' | 'prepared' | 'committing' | 'aborting' | 'acknowledged' | 'refused';

export interface OracleCommit<C> {
  readonly ticket: number;
  readonly commit: C;
  readonly outcome: CommitOutcome;
  /** Where the engine told a place in the order (its commit number). */
  readonly place: number | undefined;
}

/** Commits in the order of their starts. */
export interface OracleState<C> {
  readonly commits: readonly OracleCommit<C>[];
}

interface OracleEvent {
  readonly stamp: number;
  readonly ticket: number;
  readonly outcome: CommitOutcome;
  readonly place: number | undefined;
}

export class Oracle<C> {
  readonly #now: () => number;
  readonly #base: readonly OracleCommit<C>[];
  readonly #commits: C[] = [];
  readonly #events: OracleEvent[] = [];

  /** `now` is the number of operations of the world so far; `base` what was promised before this run. */
  constructor(now: () => number, base: OracleState<C> = { commits: [] }) {
    this.#now = now;
    this.#base = base.commits;
  }

  /** Before the engine is asked to commit: from here on it may be found on disk. */
  started(commit: C): number {
    this.#commits.push(commit);
    const ticket = this.#base.length + this.#commits.length - 1;
    this.#note(ticket, 'started', undefined);
    return ticket;
  }

  /** The engine said that it is prepared: from here on it waits until it is decided. */
  prepared(ticket: number): void {
    this.#note(ticket, 'prepared', undefined);
  }

  /** Before the engine is asked to decide. */
  deciding(ticket: number, isCommit: boolean): void {
    this.#note(ticket, isCommit ? 'committing' : 'aborting', undefined);
  }

  /** The engine said yes, or showed it to a reader: from here on it must be found. */
  acknowledged(ticket: number, place?: number): void {
    this.#note(ticket, 'acknowledged', place);
  }

  /** The engine said no for certain (a conflict, a rollback): it must never be found. */
  refused(ticket: number): void {
    this.#note(ticket, 'refused', undefined);
  }

  /** What was promised before operation `stamp` took effect. */
  stateAt(stamp: number): OracleState<C> {
    const commits: OracleCommit<C>[] = this.#base.slice();
    for (const event of this.#events) {
      if (event.stamp > stamp) break;
      const { ticket, outcome } = event;
      const known = commits[ticket];
      const commit = known === undefined ? (this.#commits[ticket - this.#base.length] as C) : known.commit;
      const place = event.place ?? known?.place;
      commits[ticket] = { ticket, commit, outcome, place };
    }
    return { commits };
  }

  #note(ticket: number, outcome: CommitOutcome, place: number | undefined): void {
    this.#events.push({ stamp: this.#now(), ticket, outcome, place });
  }
}

/** Those that must be found. */
export function acknowledgedOf<C>(state: OracleState<C>): C[] {
  return state.commits.filter((commit) => commit.outcome === 'acknowledged').map((commit) => commit.commit);
}

/** Those that may be found: everything that was not refused. */
export function possibleOf<C>(state: OracleState<C>): C[] {
  return state.commits.filter((commit) => commit.outcome !== 'refused').map((commit) => commit.commit);
}
