/**
 * Opening a log: finds the newest epoch, where it ends, the newest root, and hands out the transactions above that root.
 *
 * Invariants:
 *  1. For writing, everything that is handed out is durable: proven by a later durable number, or copied into a new epoch
 *     of our own whose header is synced. Where the tail is proven nothing is created before the first write.
 *  2. For reading nothing is created, written or sealed. While an owner is alive only proven numbers are handed out, from
 *     the newest epoch that counts; else everything up to the last valid batch.
 *  3. Numbers are handed out dense and in order, across files; a file is read up to the end its successor names, and
 *     whatever is not valid before that end is damage.
 *  4. Opening may be interrupted anywhere and repeated: what it wrote is void, or says the same as what it read.
 */
import { CorruptionError, IoError, type SopError } from '../base/errors.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import type { Env, File } from '../env/env.ts';
import { batchSalt } from './batch.ts';
import { BatchCursor } from './batch-cursor.ts';
import {
  type EpochHeader,
  epochPath,
  isErrno,
  listEpochs,
  type LogEnd,
  logFolder,
  readEpochHeader,
  rootCovers,
} from './epoch-file.ts';
import { type EpochStart, FileCommitLog } from './file-commit-log.ts';
import { EpochReader, EpochScan, firstEnd } from './log-reader.ts';
import { closeView, type LogContext, RESERVE_BYTES, type TakenEpoch, takeOver, viewFolder } from './takeover.ts';

/** Rounds before a reader gives up on files that vanish as fast as it lists them. */
const MAX_ROUNDS = 32;

export interface OpenLogOptions {
  readonly env: Env;
  /** The database's folder; the log lives in `log/` below it. */
  readonly folder: string;
  /** 16 bytes. */
  readonly databaseId: Uint8Array;
  /** This opening's writer id, 48 bits. Not used for reading. */
  readonly writer: number;
  readonly mode: 'write' | 'read';
  /** Reading only: somebody has the log open for writing. */
  readonly ownerAlive?: boolean;
  /** A number that a member's own file states durable. */
  readonly provenNumber?: number;
  /** Throws where the folder is not the one that was opened; see `DatabaseFolder`. */
  readonly mustBeInPlace?: () => void;
  /** Space to have ready in each new epoch file, a multiple of 4096; 1 MiB by default. */
  readonly reserveBytes?: number;
}

export interface LogOpening {
  /** No epoch has a valid header: nothing was ever committed, or all of the log is lost. */
  readonly isVoid: boolean;
  /** The newest adopted root record; undefined where none was adopted yet. */
  readonly root: Uint8Array | undefined;
  /** The number that root covers, 0 where there is none. */
  readonly coveredNumber: number;
  /** The last number that `replay` hands out. */
  readonly durableNumber: number;
  /** For writing; undefined in a log opened for reading. */
  readonly log: FileCommitLog | undefined;
  /** The transactions above `coveredNumber`. Once only. */
  replay(): LogReplay;
  /** Gives back what `replay` would have read from; `replay` does so itself at its end. Not the log. */
  close(): void;
}

/** What one look at the folder found. */
interface Found {
  readonly scan: EpochScan | undefined;
  /** Nothing above this number is handed out. */
  readonly limit: number;
}

/** Opens the log. All of it happens before the promise is returned: `openLogSync` is the same. */
export function openLog(options: OpenLogOptions): Promise<LogOpening> {
  try {
    return Promise.resolve(openLogSync(options));
  } catch (error) {
    return Promise.reject(error);
  }
}

export function openLogSync(options: OpenLogOptions): LogOpening {
  const { env, folder, databaseId } = options;
  const context: LogContext = {
    env,
    folder,
    databaseId,
    salt: batchSalt(databaseId),
    writer: options.writer,
    provenNumber: options.provenNumber ?? 0,
    reserveBytes: options.reserveBytes ?? RESERVE_BYTES,
    mustBeInPlace: options.mustBeInPlace ?? (() => {}),
  };
  if (options.mode === 'write') env.files.createFolder(logFolder(folder));
  const seen: Seen = { number: -1 };
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const opening = tryOpen(context, options, seen);
    if (opening !== undefined) return opening;
  }
  throw new IoError(`the log of ${folder} changes faster than it can be read`, {
    details: { operation: 'open', path: logFolder(folder), errno: 'ENOENT' },
  });
}

/** The end that an earlier look found, when a file behind it was gone: the second time it is damage. */
interface Seen {
  number: number;
}

/** Undefined where a file vanished while we looked. */
function tryOpen(context: LogContext, options: OpenLogOptions, seen: Seen): LogOpening | undefined {
  const isReading = options.mode === 'read';
  let found = isReading && options.ownerAlive === true ? findCounting(context) : findNewest(context);
  if (found === undefined) return undefined;
  let taken: TakenEpoch | undefined;
  try {
    if (!isReading && found.scan !== undefined && found.scan.end.number > found.scan.proven.number) {
      taken = takeOver(context, undefined, found.scan);
      found.scan.reader.close();
      found = undefined;
      found = findNewest(context);
      if (found?.scan?.header.epoch !== taken.header.epoch) throw lostRace(context.folder);
    }
    const { scan, limit } = found;
    const root = scan?.newestRoot(limit);
    const chain = openChain(context, scan, rootCovers(root), seen);
    if (chain === undefined) {
      scan?.reader.close();
      return undefined;
    }
    const log = isReading
      ? undefined
      : new FileCommitLog(context, { lastNumber: limit, root, epochs: chain.map(startOf), scan, taken });
    const replay = new LogReplay(chain, rootCovers(root), limit);
    return {
      isVoid: scan === undefined,
      root,
      coveredNumber: rootCovers(root),
      durableNumber: limit,
      log,
      replay: () => replay,
      close: () => replay.close(),
    };
  } catch (error) {
    found?.scan?.reader.close();
    taken?.file.close();
    throw error;
  }
}

function lostRace(folder: string): SopError {
  return new IoError(`the log of ${folder} was taken over by somebody else while it was opened`, {
    details: { operation: 'open', path: logFolder(folder), errno: 'EAGAIN' },
  });
}

function startOf(reader: EpochReader): EpochStart {
  return { epoch: reader.header.epoch, firstNumber: reader.header.predecessorEnd.number + 1 };
}

/** The newest epoch with a valid header, to its last valid batch. */
function findNewest(context: LogContext): Found | undefined {
  const view = viewFolder(context, 'read', context.env.files.allocate(LOG_ALIGNMENT));
  if (view === undefined) return undefined;
  const { newest } = view;
  try {
    if (newest === undefined) return { scan: undefined, limit: 0 };
    const scan = new EpochScan(context.env.files, newest.file, newest.header, context.salt);
    if (context.provenNumber > 0) scan.noteProven(context.provenNumber);
    return { scan, limit: scan.end.number };
  } catch (error) {
    newest?.file.close();
    throw error;
  } finally {
    closeView({ ...view, newest: undefined });
  }
}

/** The newest epoch that counts, to its last proven number: what a live owner can not take back. */
function findCounting(context: LogContext): Found | undefined {
  const { env, folder, databaseId, salt } = context;
  const block = env.files.allocate(LOG_ALIGNMENT);
  for (const epoch of listEpochs(env.files, folder).reverse()) {
    let file: File | undefined;
    try {
      file = env.files.open(epochPath(folder, epoch), { mode: 'read', direct: true });
      const header = readEpochHeader(file, epoch, databaseId, block);
      if (header === undefined) {
        file.close();
        continue;
      }
      const scan = new EpochScan(env.files, file, header, salt);
      // A backup's epoch has no owner whose right to it could be in doubt: what it begins with counts.
      const isBackup = header.owner === 0 && header.predecessor === 0;
      if (scan.ownBatches > 0 || isBackup) {
        // Who holds the right itself knows more than its log states: the last batch before a full disk was met.
        if (context.provenNumber > 0) scan.noteProven(context.provenNumber);
        return { scan, limit: scan.proven.number };
      }
      file.close();
    } catch (error) {
      file?.close();
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  }
  return { scan: undefined, limit: 0 };
}

/**
 * Readers of the files that hold the numbers above `covered`, oldest first. Undefined where one is gone that was there.
 * All are opened now, so that files removed later do not matter any more.
 */
function openChain(
  context: LogContext,
  scan: EpochScan | undefined,
  covered: number,
  seen: Seen,
): EpochReader[] | undefined {
  if (scan === undefined) return [];
  const { env, folder, databaseId, salt } = context;
  const block = env.files.allocate(LOG_ALIGNMENT);
  const chain = [scan.reader];
  let header = scan.header;
  try {
    while (header.predecessor !== 0 && header.predecessorEnd.number > covered) {
      const epoch = header.predecessor;
      const file = env.files.open(epochPath(folder, epoch), { mode: 'read', direct: true });
      const older = readOrClose(file, epoch, databaseId, block);
      chain.unshift(new EpochReader(env.files, file, older, salt));
      header = older;
    }
  } catch (error) {
    for (const reader of chain) if (reader !== scan.reader) reader.close();
    if (!isErrno(error, 'ENOENT')) throw error;
    // The owner adopts a root and removes what it covers; whoever looks again finds that root.
    if (seen.number !== scan.end.number) {
      seen.number = scan.end.number;
      return undefined;
    }
    throw new CorruptionError(`${epochPath(folder, header.predecessor)} is missing, which the log needs`, {
      cause: error,
      details: { file: epochPath(folder, header.predecessor), offset: 0 },
    });
  }
  return chain;
}

function readOrClose(file: File, epoch: number, databaseId: Uint8Array, block: Uint8Array): EpochHeader {
  try {
    const header = readEpochHeader(file, epoch, databaseId, block);
    if (header !== undefined) return header;
    throw new CorruptionError(`damaged log ${file.path} at 0: its header is not valid, but a later epoch follows it`, {
      details: { file: file.path, offset: 0 },
    });
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Walks the transactions of several files in order. `transaction` tells about the one that `next` found. */
export class LogReplay {
  readonly transaction = new BatchCursor();
  /** Transactions handed out so far. */
  count = 0;
  readonly #readers: EpochReader[];
  readonly #covered: number;
  readonly #limit: number;
  #reader: EpochReader | undefined;
  #at: LogEnd | undefined;
  #isInBatch = false;

  constructor(readers: EpochReader[], covered: number, limit: number) {
    this.#readers = [...readers];
    this.#covered = covered;
    this.#limit = limit;
  }

  /** Goes to the next transaction; false at the end. Its bytes are good until the next call. */
  next(): boolean {
    const { transaction } = this;
    for (;;) {
      while (this.#isInBatch && transaction.nextTransaction()) {
        if (transaction.number <= this.#covered) continue;
        if (transaction.number > this.#limit) break;
        this.count++;
        return true;
      }
      this.#isInBatch = false;
      if (!this.#nextBatch()) return false;
    }
  }

  close(): void {
    this.#reader?.close();
    this.#reader = undefined;
    for (const reader of this.#readers.splice(0)) reader.close();
  }

  #nextBatch(): boolean {
    for (;;) {
      if (this.#reader === undefined && !this.#nextFile()) return false;
      const reader = this.#reader as EpochReader;
      const at = this.#at as LogEnd;
      if (this.#isAtEnd(at)) this.#endFile(at);
      else if (!reader.readBatch(at)) reader.damaged(at.offset, `number ${at.number + 1} is missing`);
      else {
        const { batch } = reader;
        this.#at = { offset: batch.offset + batch.paddedLength, number: batch.lastNumber, crc: batch.headerCrc };
        if (batch.lastNumber <= this.#covered || batch.count === 0) continue;
        this.#enter(reader);
        return true;
      }
    }
  }

  #enter(reader: EpochReader): void {
    const { batch } = reader;
    const { path } = reader.file;
    const { firstNumber, count, directoryOffset, offset } = batch;
    this.transaction.reset(reader.bytes, reader.start, firstNumber, count, directoryOffset, path, offset);
    this.#isInBatch = true;
  }

  #nextFile(): boolean {
    this.#reader = this.#readers.shift();
    if (this.#reader === undefined) return false;
    this.#at = firstEnd(this.#reader.header);
    return true;
  }

  /** The next file names the end of this one; the newest ends with the last number that is handed out. */
  #isAtEnd(at: LogEnd): boolean {
    const next = this.#readers[0];
    return next === undefined ? at.number >= this.#limit : at.offset >= next.header.predecessorEnd.offset;
  }

  #endFile(at: LogEnd): void {
    const reader = this.#reader as EpochReader;
    const expected = this.#readers[0]?.header.predecessorEnd;
    if (expected !== undefined && !isSame(at, expected)) {
      reader.damaged(at.offset, 'it does not end as the epoch after it says');
    }
    reader.close();
    this.#reader = undefined;
  }
}

function isSame(a: LogEnd, b: LogEnd): boolean {
  return a.offset === b.offset && a.number === b.number && a.crc === b.crc;
}
