/** `db.stats()`: the engine's figures and those of the store floor. */
import type { EngineStats } from '../transaction/stats-types.ts';

/** Rows that are read again and again, kept decoded. */
export interface RowCacheStats {
  /** Reads of a key answered from rows kept decoded. */
  readonly hits: number;
  /** Reads of a key that looked there in vain. */
  readonly misses: number;
}

/** Builds of indexes over what their stores held already. */
export interface IndexBuildStats {
  /** Builds begun by this opening, those that went on with an earlier one's included. */
  readonly started: number;
  readonly ready: number;
  /** Builds that met what no index can be made of. */
  readonly failed: number;
  /** Entries of stores that were worked through. */
  readonly entries: number;
}

/** Figures of this moment. Counters count from the opening on; sizes are bytes, times milliseconds. */
export interface DatabaseStats extends EngineStats {
  readonly rows: RowCacheStats;
  /** Runs of `db.write` that were repeated after a conflict. */
  readonly retries: number;
  readonly indexBuilds: IndexBuildStats;
}
