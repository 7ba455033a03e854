/** What a database tells of itself: its events, its logger, its figures. */
import { DatabaseLog } from './logger.ts';
import type { DatabaseIndexes } from './database-indexes.ts';
import type { DatabaseStats } from './database-stats.ts';
import { Events } from './events.ts';
import { type MetricLabels, metricsText, type MetricValue, metricValues } from './metrics.ts';
import type { DatabaseOptions } from './open-options.ts';
import type { EngineApi, EngineOptions } from '../transaction/engine-api.ts';
import { type LostRace, toRetryEvent } from './conflict-events.ts';
import type { Catalog } from './catalog.ts';

export class Watch {
  /** Runs of `db.write` that were repeated after a conflict. */
  retries = 0;
  readonly events: Events;
  readonly log: DatabaseLog | undefined;
  #closed = false;

  constructor(options: Partial<Pick<DatabaseOptions, 'folder' | 'logger' | 'onBackgroundError'>> = {}) {
    const { folder = '', logger, onBackgroundError } = options;
    this.events = new Events(onBackgroundError);
    if (logger === undefined) return;
    this.log = new DatabaseLog(logger, folder, (error) => this.events.report(error));
    this.log.follow(this.events);
  }

  /** A lost run is about to be repeated: as the `attempt`th, `waitedMs` after the first began. */
  readonly again = (last: LostRace | undefined, attempt: number, waitedMs: number): void => {
    this.retries++;
    if (this.events.hearsRetries && last !== undefined)
      this.events.tell('retry', toRetryEvent(last, attempt, waitedMs));
  };

  /** What the engine is opened with, so that it tells us. */
  engineOptions({ logger: _logger, maxValueBytes: _maxValueBytes, ...options }: DatabaseOptions): EngineOptions {
    return { ...options, observer: this.events, onBackgroundError: this.events.error };
  }

  opened(engine: EngineApi, ms: number): void {
    if (this.log === undefined) return;
    this.log.write('info', 'sop: database opened', { readOnly: engine.readOnly, ms });
  }

  /** Once. What waits to be told is told before this returns. */
  closed(folder: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.events.tell('closed', { folder });
    this.events.flush();
  }

  stats(engine: EngineApi, catalog: Catalog, indexes: DatabaseIndexes): DatabaseStats {
    const { retries } = this;
    return { ...engine.stats(), rows: catalog.rowCounts, retries, indexBuilds: indexes.counts };
  }
}

export function valuesOf(stats: DatabaseStats, folder: string, labels: MetricLabels | undefined): MetricValue[] {
  return metricValues(stats, { database: folder, ...labels });
}

export function textOf(stats: DatabaseStats, folder: string, labels: MetricLabels | undefined): string {
  return metricsText(valuesOf(stats, folder, labels));
}
