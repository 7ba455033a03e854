/** What a database writes to a logger of its program, and at which level. */
import { InvalidArgumentError, SopError } from '../base/errors.ts';
import { watchAnswer } from '../base/thenable.ts';
import type { DatabaseEvents, EventName, Events } from './events.ts';

/**
 * Where a database logs to; by default nowhere. Each method takes a message, which never varies, and a plain object of fields;
 * `console` is one as it is. What lacks is not logged. For loggers that take the fields first, such as pino:
 *
 * ```ts
 * const logger = {
 *   debug: (message, fields) => log.debug(fields, message),
 *   info: (message, fields) => log.info(fields, message),
 *   warn: (message, fields) => log.warn(fields, message),
 *   error: (message, fields) => log.error(fields, message),
 * };
 * await Database.open('./data', { logger });
 * ```
 *
 * Levels: `debug`: checkpoints, compaction, files reclaimed, conflicts and runs after them, progress of index builds, details of errors. `info`: opened, closed,
 * an index ready. `warn`: a slow commit or sync, a log opened anew after a failed append. `error`: whatever goes wrong in the
 * background, an index that can not be built. Keys and values of the program are logged at `debug` only. What a logger throws is told to
 * `onBackgroundError`.
 */
export interface Logger {
  debug?(message: string, fields: object): void;
  info?(message: string, fields: object): void;
  warn?(message: string, fields: object): void;
  error?(message: string, fields: object): void;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export function mustBeLogger(logger: unknown): void {
  if (logger === undefined) return;
  if (typeof logger !== 'object' || logger === null) throw new InvalidArgumentError('option logger is an object');
  for (const level of LEVELS) {
    const method: unknown = (logger as Record<string, unknown>)[level];
    if (method === undefined || typeof method === 'function') continue;
    throw new InvalidArgumentError(`logger.${level} is a function of message and fields`);
  }
}

/** Writes what happens to `logger`. */
export class DatabaseLog {
  readonly #logger: Logger;
  readonly #database: string;
  readonly #failed: (error: unknown) => void;

  constructor(logger: Logger, database: string, failed: (error: unknown) => void) {
    this.#logger = logger;
    this.#database = database;
    this.#failed = failed;
  }

  write(level: LogLevel, message: string, fields: object): void {
    try {
      const answer: unknown = this.#logger[level]?.(message, { database: this.#database, ...fields });
      watchAnswer(answer, this.#failed);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Listens to everything that is logged. */
  follow(events: Events): void {
    const { debug, info, warn, error } = this.#logger;
    const listen = <Name extends EventName>(
      isWanted: unknown,
      name: Name,
      tell: (event: DatabaseEvents[Name]) => void,
    ): void => {
      if (isWanted !== undefined) events.on(name, tell);
    };
    listen(debug, 'checkpoint', (event) => this.write('debug', 'sop: checkpoint', event));
    listen(debug, 'compaction', (event) => this.write('debug', 'sop: compaction', event));
    listen(debug, 'conflict', (event) => this.write('debug', 'sop: conflict', event));
    listen(debug, 'retry', (event) => this.write('debug', 'sop: run again', event));
    listen(debug, 'reclaimed', (event) => this.write('debug', 'sop: segments reclaimed', event));
    listen(info, 'closed', () => this.write('info', 'sop: database closed', {}));
    listen(warn, 'slow', (event) => this.write('warn', 'sop: slow', event));
    listen(warn, 'recovered', ({ cause, ...event }) =>
      this.write('warn', 'sop: log opened anew', { ...event, ...withoutDetails(cause) }),
    );
    listen(error ?? debug, 'error', (event) => this.#error(event.error));
    listen(error ?? info ?? debug, 'index', (event) => this.#index(event));
  }

  #error(error: unknown): void {
    this.write('error', 'sop: background error', withoutDetails(error));
    this.write('debug', 'sop: background error, details', { error });
  }

  #index(event: DatabaseEvents['index']): void {
    const { phase, store, index, done, total } = event;
    const fields = { store, index, done, total };
    if (phase === 'ready') this.write('info', 'sop: index ready', fields);
    else if (phase === 'failed') this.write('error', 'sop: index can not be built', fields);
    if (phase !== 'ready') this.write('debug', 'sop: index build', event);
  }
}

/** What may be said of an error above debug: details and causes may hold keys, and so may messages of others than ourselves. */
function withoutDetails(error: unknown): object {
  if (error instanceof SopError) return { code: error.code, problem: error.message };
  return { problem: error instanceof Error ? error.name : typeof error };
}
