/** How a database is opened, and what is refused about it before anything is touched. */
import { InvalidArgumentError } from '../base/errors.ts';
import type { EngineOptions } from '../transaction/engine-api.ts';
import { mustBeOptions } from './arguments.ts';
import { type Logger, mustBeLogger } from './logger.ts';

/** Options of `Database.memory`, and of `Database.open` beside its own. */
export interface MemoryOptions {
  /** Bytes the cache of images may take (default 256 MiB; taken only as it is needed). */
  readonly cacheBytes?: number;
  /** Bytes of recent changes kept in memory before a checkpoint moves them into the trees (default 256 MiB). */
  readonly tableBytes?: number;
  /** The database refuses to grow beyond this many bytes (`DiskFullError`); unlimited by default. */
  readonly maxSizeBytes?: number;
  /**
   * Transactions that may be open at once; beginning another is refused with `LimitExceededError`. No limit by default. This and the
   * other limits of transactions bind neither index builds nor redefinitions, nor what else the database does itself.
   */
  readonly maxOpenTransactions?: number;
  /** Bytes of keys and values that one transaction may change (`LimitExceededError`, nothing lost). No limit by default. */
  readonly maxTransactionBytes?: number;
  /** Bytes that one value may take as it is stored, ride-on fields included (`LimitExceededError`). 2 GiB by default. */
  readonly maxValueBytes?: number;
  /** From begin to the end of the commit, for transactions without a limit of their own (`TimeoutError`). None by default. */
  readonly transactionTimeoutMs?: number;
  /** Hears what goes wrong in the background, where there is no call to fail. */
  readonly onBackgroundError?: (error: unknown) => void;
  /** Where the database logs to; nowhere by default. `console` will do. See `Logger` for what is logged and at which level. */
  readonly logger?: Logger;
  /** Commits and syncs that take so many milliseconds or more are told as 'slow' (default 1000). */
  readonly slowMs?: number;
}

/** What a database is opened with, in a world of its own. */
export interface DatabaseOptions extends EngineOptions {
  readonly maxValueBytes?: number;
  readonly logger?: Logger;
}

/** Options of `Database.open`. */
export interface OpenOptions extends MemoryOptions {
  /**
   * Open without writing a byte, creating a file or taking a lock; also from read-only media. The database is seen as it was
   * when it was opened.
   */
  readonly readOnly?: boolean;
  /** Create the database where there is none (default true; never when `readOnly`). */
  readonly create?: boolean;
  /** Who may have the folder open at the same time. 'standalone', the default, is the one mode of this version. */
  readonly mode?: 'standalone';
  /** Clustered mode; not in this version. */
  readonly redis?: undefined;
}

const MEMORY_OPTIONS: readonly (keyof MemoryOptions)[] = [
  'cacheBytes',
  'tableBytes',
  'maxSizeBytes',
  'maxOpenTransactions',
  'maxTransactionBytes',
  'maxValueBytes',
  'transactionTimeoutMs',
  'onBackgroundError',
  'logger',
  'slowMs',
];

const OPEN_OPTIONS: readonly (keyof OpenOptions)[] = [...MEMORY_OPTIONS, 'readOnly', 'create', 'mode', 'redis'];
const KNOWN_OPTIONS: ReadonlySet<string> = new Set(OPEN_OPTIONS);
const KNOWN_IN_MEMORY: ReadonlySet<string> = new Set(MEMORY_OPTIONS);

/** The same for a database in memory. */
export function toMemoryOptions(folder: string, options: MemoryOptions): DatabaseOptions {
  mustBeOptions(options);
  const other = Object.keys(options).find((name) => !KNOWN_IN_MEMORY.has(name));
  if (other !== undefined) {
    throw new InvalidArgumentError(
      `a database in memory has no option '${other}'; there are: ${MEMORY_OPTIONS.join(', ')}`,
    );
  }
  return toEngineOptions(folder, options);
}

/** Throws `InvalidArgumentError` for what no database can be opened with. */
export function toEngineOptions(folder: string, options: OpenOptions): DatabaseOptions {
  mustBeFolder('a database', folder);
  mustBeOptions(options);
  for (const name of Object.keys(options)) {
    if (!KNOWN_OPTIONS.has(name)) {
      throw new InvalidArgumentError(`there is no option '${name}'; there are: ${[...KNOWN_OPTIONS].join(', ')}`);
    }
  }
  refuseOtherModes(options);
  mustBeFlag('readOnly', options.readOnly);
  mustBeFlag('create', options.create);
  mustBeBytes('cacheBytes', options.cacheBytes);
  mustBeBytes('tableBytes', options.tableBytes);
  mustBeBytes('maxSizeBytes', options.maxSizeBytes);
  mustBeBytes('maxTransactionBytes', options.maxTransactionBytes);
  mustBeBytes('maxValueBytes', options.maxValueBytes);
  mustBeCount('maxOpenTransactions', 'transactions', options.maxOpenTransactions);
  mustBeCount('transactionTimeoutMs', 'milliseconds', options.transactionTimeoutMs);
  mustBeLogger(options.logger);
  mustBeMs('slowMs', options.slowMs);
  if (options.readOnly === true && options.create === true) {
    throw new InvalidArgumentError('readOnly and create contradict each other: nothing is created when reading only');
  }
  const { mode: _mode, redis: _redis, ...rest } = options;
  return { ...rest, folder };
}

/** `of`: what the folder is that of. */
export function mustBeFolder(of: string, folder: unknown): void {
  if (typeof folder === 'string' && folder !== '') return;
  throw new InvalidArgumentError(`the folder of ${of} is a non-empty string`, { details: { found: folder } });
}

function refuseOtherModes(options: OpenOptions): void {
  const mode: string | undefined = options.mode;
  if (options.redis !== undefined) {
    throw new InvalidArgumentError('clustered databases (option redis) are not in this version');
  }
  if (mode === undefined || mode === 'standalone') return;
  if (mode === 'shared' || mode === 'clustered') {
    throw new InvalidArgumentError(`mode '${mode}' is not in this version; leave it out to open standalone`);
  }
  throw new InvalidArgumentError(`there is no mode '${mode}'; there is: 'standalone'`);
}

function mustBeFlag(name: string, value: unknown): void {
  if (value === undefined || typeof value === 'boolean') return;
  throw new InvalidArgumentError(`option ${name} is true or false`, { details: { found: value } });
}

function mustBeMs(name: string, value: unknown): void {
  if (value === undefined || (typeof value === 'number' && value > 0)) return;
  throw new InvalidArgumentError(`option ${name} is a number of milliseconds above zero`, {
    details: { found: value },
  });
}

function mustBeBytes(name: string, value: unknown): void {
  mustBeCount(name, 'bytes', value);
}

function mustBeCount(name: string, what: string, value: unknown): void {
  if (value === undefined) return;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return;
  throw new InvalidArgumentError(`option ${name} is a number of ${what} above zero`, { details: { found: value } });
}
