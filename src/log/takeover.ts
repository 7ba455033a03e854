/**
 * Taking the append right: the way from whatever is in the folder to an epoch of our own.
 *
 * The order is the protocol; each step was found necessary by leaving it out (but for step 0, which spares others):
 *  0. Who has read the log before looks whether somebody wrote to it since, and then leaves them at work, unsealed.
 *  1. Seal the newest epoch that has a valid header, and every file above it that has none; sync each. From here on their
 *     owners acknowledge nothing more. Where nothing proves that the header was synced, write the same bytes again before.
 *  2. Look again: a header that became valid meanwhile starts us anew with that epoch. Sync the folder.
 *  3. Only now read where the old epoch ends.
 *  4. Create the next file exclusively under a name greater than all that are there. Losing that race starts us anew.
 *  5. The predecessor must still be there and nobody may be above us: else we planned in the past, and start anew.
 *  6. Take the proven part as it stands; copy valid batches beyond it, because what is merely readable may be a page that a
 *     failed sync left behind. Sync.
 *  7. Write the header, sync, sync the folder. The header binds the next taker from here on.
 *  8. Read our own seal: only if it is zero may the first batch be written (and the copies be shown).
 *
 * Everything here works on the calling thread: it happens once per opening, at the latest in the first commit.
 */
import { alignUp } from '../base/bytes.ts';
import { CorruptionError, DatabaseLockedError, DiskFullError } from '../base/errors.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import type { Env, File } from '../env/env.ts';
import { BATCH_COPIED, encodeBatchHeader } from './batch.ts';
import {
  type EpochHeader,
  encodeEpochHeader,
  encodeSeal,
  epochAfter,
  epochPath,
  FIRST_BATCH_POSITION,
  HEADER_BYTES,
  isErrno,
  type LogEnd,
  listEpochs,
  logFolder,
  readEpochHeader,
  readSeal,
  SEAL_POSITION,
  SECRET_BYTES,
} from './epoch-file.ts';
import { EpochScan, hasOwnBatch } from './log-reader.ts';

/** Rounds before we say that others take the log from us as fast as we take it from them. */
const MAX_ROUNDS = 64;
/** Zeros written behind the copies of a new epoch, unless said otherwise. */
export const RESERVE_BYTES = 1024 * 1024;
const PIECE_BYTES = 256 * 1024;
/** Zeros written at once: each piece that lands makes the next sync of a batch commit what the file system noted of it. */
const MOST_ZEROS_BYTES = 1024 * 1024;

/** What the log of one database works with. */
export interface LogContext {
  readonly env: Env;
  readonly folder: string;
  readonly databaseId: Uint8Array;
  readonly salt: number;
  readonly writer: number;
  /** A number that a member's own file states durable; 0 for none. */
  readonly provenNumber: number;
  /** Space to have ready in a new epoch. */
  readonly reserveBytes: number;
  /** Throws where the folder's name is that of another one by now: asked before files are created, removed or sealed by name. */
  readonly mustBeInPlace: () => void;
}

/** An epoch of our own, ready for its first batch. */
export interface TakenEpoch {
  readonly file: File;
  readonly header: EpochHeader;
  /** Where the first batch goes, and what it follows. */
  readonly end: LogEnd;
  /** Up to here there is room in the file. */
  readonly reservedEnd: number;
}

/** The newest epoch with a valid header, and what lies above it. */
export interface NewestEpoch {
  readonly file: File;
  readonly header: EpochHeader;
}

export interface FolderView {
  readonly newest: NewestEpoch | undefined;
  /** Files above the newest epoch that have no valid header. */
  readonly headerless: { readonly epoch: number; readonly file: File }[];
  readonly highest: number;
}

export function closeView(view: FolderView): void {
  view.newest?.file.close();
  for (const { file } of view.headerless) file.close();
}

/**
 * Opens the newest epoch with a valid header and everything above it. Undefined where a file went away meanwhile: look
 * again.
 */
export function viewFolder(context: LogContext, mode: 'read' | 'write', block: Uint8Array): FolderView | undefined {
  const { env, folder, databaseId, salt } = context;
  const epochs = listEpochs(env.files, folder);
  const headerless: { epoch: number; file: File }[] = [];
  let newest: NewestEpoch | undefined;
  const highest = epochs.at(-1) ?? 0;
  let opened: File | undefined;
  try {
    while (newest === undefined && epochs.length > 0) {
      const epoch = epochs.pop() as number;
      opened = env.files.open(epochPath(folder, epoch), { mode, direct: true });
      let header = readEpochHeader(opened, epoch, databaseId, block);
      if (header === undefined && hasOwnBatch(env.files, opened, epoch, salt)) {
        // Its owner may have begun between our two looks.
        header = readEpochHeader(opened, epoch, databaseId, block) ?? headerDamaged(opened);
      }
      if (header === undefined) headerless.push({ epoch, file: opened });
      else newest = { file: opened, header };
      opened = undefined;
    }
  } catch (error) {
    opened?.close();
    closeView({ newest, headerless, highest });
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  return { newest, headerless, highest };
}

function headerDamaged(file: File): never {
  throw new CorruptionError(`damaged log ${file.path} at 0: it holds batches, but its header is not valid`, {
    details: { file: file.path, offset: 0 },
  });
}

/**
 * Takes the append right. `expected` is the last number the caller has shown to anybody; undefined where it has read nothing
 * yet. `earlier` is a scan of the newest epoch, so that it need not be read again.
 */
export function takeOver(context: LogContext, expected: number | undefined, earlier?: EpochScan): TakenEpoch {
  const { env, folder } = context;
  context.mustBeInPlace();
  // Asked before anything is created: a name once taken is never given back.
  mustHaveSpace(env, logFolder(folder), context.reserveBytes);
  const block = env.files.allocate(LOG_ALIGNMENT);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const taken = tryTakeOver(context, expected, earlier, block);
    if (taken !== undefined) return taken;
  }
  throw new DatabaseLockedError(`the log of ${folder} is being taken over by others without end`, {
    details: { folder },
  });
}

/** Numbers of last transactions: known to who opened the log, and found in it now. */
export function mustBeUnchanged(folder: string, expected: number, found: number): void {
  if (found === expected) return;
  throw new DatabaseLockedError(`somebody else wrote to the log of ${folder} since it was opened`, {
    details: { folder, expected, found },
  });
}

function tryTakeOver(
  context: LogContext,
  expected: number | undefined,
  earlier: EpochScan | undefined,
  block: Uint8Array,
): TakenEpoch | undefined {
  const view = viewFolder(context, 'write', block);
  if (view === undefined) return undefined;
  try {
    const { newest, highest } = view;
    const epoch = epochAfter(context.folder, highest);
    if (expected !== undefined) earlier = mustEndWhereItDid(context, expected, newest, earlier);
    if (newest !== undefined && !isHeaderProven(newest.header, earlier)) rewriteHeader(newest, block);
    if (!sealAll(context, view, block)) return undefined;
    const scan = newest && new EpochScan(context.env.files, newest.file, newest.header, context.salt, earlier);
    if (scan !== undefined && context.provenNumber > 0) scan.noteProven(context.provenNumber);
    const lastNumber = scan === undefined ? 0 : scan.end.number;
    if (expected !== undefined) mustBeUnchanged(context.folder, expected, lastNumber);
    const file = createNext(context, newest?.header.epoch, epoch);
    return file && completeOrClose(context, file, epoch, scan, block);
  } finally {
    closeView(view);
  }
}

/** Step 0. What it has read is read again behind the seal, from the proven end on. */
function mustEndWhereItDid(
  context: LogContext,
  expected: number,
  newest: NewestEpoch | undefined,
  earlier: EpochScan | undefined,
): EpochScan | undefined {
  const scan = newest && new EpochScan(context.env.files, newest.file, newest.header, context.salt, earlier);
  mustBeUnchanged(context.folder, expected, scan === undefined ? 0 : scan.end.number);
  return scan;
}

/** Steps 1 and 2; false where the world moved. */
function sealAll(context: LogContext, view: FolderView, block: Uint8Array): boolean {
  const { env, folder, databaseId, writer } = context;
  if (view.newest !== undefined) seal(view.newest.file, writer, block);
  for (const { file } of view.headerless) seal(file, writer, block);
  for (const { epoch, file } of view.headerless) {
    if (readEpochHeader(file, epoch, databaseId, block) !== undefined) return false;
  }
  if (view.highest > 0) env.files.syncFolderSync(logFolder(folder));
  return true;
}

/** Also where somebody else wrote one: their sync may have failed, and another sync of the same page would say nothing. */
function seal(file: File, taker: number, block: Uint8Array): void {
  encodeSeal(block, taker);
  file.writeSync(block, SEAL_POSITION);
  file.syncSync();
}

/** An own batch that is proven was written after the header's sync. */
function isHeaderProven(header: EpochHeader, earlier: EpochScan | undefined): boolean {
  return earlier?.header.epoch === header.epoch && earlier.proven.number > header.copiedEnd.number;
}

/**
 * A header without a proven batch behind it may be only in a cache: of an owner whose sync failed, of another host that is
 * about to lose power. Since we build on it, the same bytes are written once more; the sync of the seal covers them.
 */
function rewriteHeader(newest: NewestEpoch, block: Uint8Array): void {
  encodeEpochHeader(newest.header, block);
  newest.file.writeSync(block, 0);
}

/** Steps 4 and 5; undefined where the world moved. */
function createNext(context: LogContext, predecessor: number | undefined, epoch: number): File | undefined {
  const file = createFile(context, epoch);
  let mayFollow = false;
  try {
    mayFollow = file !== undefined && keepsIfNext(context, predecessor, epoch);
  } finally {
    if (!mayFollow) file?.close();
  }
  return mayFollow ? file : undefined;
}

/** Step 4, for who takes over and for a holder who follows itself; undefined where somebody else has the name. */
export function createFile({ env, folder, mustBeInPlace }: LogContext, epoch: number): File | undefined {
  mustBeInPlace();
  try {
    return env.files.open(epochPath(folder, epoch), { mode: 'create', direct: true });
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return undefined;
    throw error;
  }
}

/**
 * Step 5: whether the file just created is the one after `predecessor`. That its name was free says too little: it may be one of
 * the past, whose file others had and removed.
 */
export function keepsIfNext({ env, folder }: LogContext, predecessor: number | undefined, epoch: number): boolean {
  const epochs = listEpochs(env.files, folder);
  const isGone = predecessor !== undefined && !epochs.includes(predecessor);
  // Others went on without us and removed what we wanted to follow. Where the predecessor is still there and others are above,
  // ours stays, void, and goes when its turn comes: files are removed oldest first.
  if (isGone) env.files.remove(epochPath(folder, epoch));
  return !isGone && epochs.at(-1) === epoch;
}

function completeOrClose(
  context: LogContext,
  file: File,
  epoch: number,
  scan: EpochScan | undefined,
  block: Uint8Array,
): TakenEpoch | undefined {
  let taken: TakenEpoch | undefined;
  try {
    taken = complete(context, file, epoch, scan, block);
    return taken;
  } finally {
    if (taken === undefined) file.close();
  }
}

/** Steps 6 to 8; undefined where somebody sealed us before we began. */
function complete(
  context: LogContext,
  file: File,
  epoch: number,
  scan: EpochScan | undefined,
  block: Uint8Array,
): TakenEpoch | undefined {
  const { env, folder, databaseId, writer } = context;
  const copies = scan === undefined ? 0 : scan.end.offset - scan.proven.offset;
  const reservedEnd = alignUp(FIRST_BATCH_POSITION + copies + context.reserveBytes, LOG_ALIGNMENT);
  file.allocateSync(0, reservedEnd);
  const end = scan === undefined ? NOTHING : copyTail(context, scan, file, epoch);
  writeZeros(env, file, end.offset, reservedEnd);
  file.syncSync();
  env.files.syncFolderSync(logFolder(folder));
  // The first file of all: the log's own folder may have been made by somebody who never came to sync it.
  if (scan === undefined) env.files.syncFolderSync(folder);

  const secret = new Uint8Array(SECRET_BYTES);
  env.random.fill(secret);
  const header: EpochHeader = {
    databaseId,
    epoch,
    owner: writer,
    predecessor: scan === undefined ? 0 : scan.header.epoch,
    predecessorEnd: scan === undefined ? { offset: 0, number: 0, crc: 0 } : scan.proven,
    copiedEnd: end,
    secret,
    root: scan?.newestRoot(scan.end.number),
  };
  encodeEpochHeader(header, block);
  file.writeSync(block.subarray(0, HEADER_BYTES), 0);
  file.syncSync();
  env.files.syncFolderSync(logFolder(folder));
  return readSeal(file, block) ? undefined : { file, header, end, reservedEnd };
}

const NOTHING: LogEnd = { offset: FIRST_BATCH_POSITION, number: 0, crc: 0 };

/** Copies the batches between the proven end and the end of `scan`; answers where the copies end. */
function copyTail(context: LogContext, scan: EpochScan, to: File, epoch: number): LogEnd {
  const { reader, proven } = scan;
  const piece = context.env.files.allocate(PIECE_BYTES);
  let from = proven;
  let end: LogEnd = { offset: FIRST_BATCH_POSITION, number: proven.number, crc: proven.crc };
  while (from.offset < scan.end.offset) {
    if (!reader.readBatch(from)) reader.damaged(from.offset, 'a batch that was valid a moment ago is not any more');
    const { batch } = reader;
    from = { offset: batch.offset + batch.paddedLength, number: batch.lastNumber, crc: batch.headerCrc };
    if (batch.count === 0) continue;
    const { offset } = end;
    batch.epoch = epoch;
    batch.offset = offset;
    batch.flags |= BATCH_COPIED;
    batch.durableNumber = Math.min(batch.durableNumber, proven.number);
    batch.previousCrc = end.crc;
    encodeBatchHeader(batch, reader.bytes, reader.start, context.salt);
    writePieces(reader.bytes, reader.start, batch.paddedLength, to, offset, piece);
    // The window holds a changed header now.
    reader.refresh();
    end = { offset: offset + batch.paddedLength, number: batch.lastNumber, crc: batch.headerCrc };
  }
  return end;
}

function writePieces(
  bytes: Uint8Array,
  start: number,
  length: number,
  to: File,
  position: number,
  piece: Uint8Array,
): void {
  for (let done = 0; done < length; done += piece.length) {
    const size = Math.min(piece.length, length - done);
    piece.set(bytes.subarray(start + done, start + done + size));
    to.writeSync(piece.subarray(0, size), position + done);
  }
}

/**
 * DiskFullError where the volume has less. Asked beside allocating, which not every file system does when it is told to; what
 * is not there should be known before a write meets it.
 */
export function mustHaveSpace(env: Env, path: string, sizeBytes: number): void {
  if (env.files.freeBytes(path) >= sizeBytes) return;
  throw new DiskFullError('no space for the log', { details: { operation: 'freeBytes', path, sizeBytes } });
}

const zerosOf = new WeakMap<Env, Uint8Array>();

/** Zeros to write from: as many as asked for, up to a bound. */
function zerosFor(env: Env, sizeBytes: number): Uint8Array {
  const wanted = Math.min(sizeBytes, MOST_ZEROS_BYTES);
  let zeros = zerosOf.get(env);
  if (zeros === undefined || zeros.length < wanted) {
    zeros = env.files.allocate(wanted);
    zerosOf.set(env, zeros);
  }
  return zeros;
}

/** As `writeZeros`, in the background. */
export async function writeZerosLater(env: Env, file: File, from: number, to: number): Promise<void> {
  const zeros = zerosFor(env, to - from);
  for (let position = from; position < to; position += zeros.length) {
    await file.write(zeros.subarray(0, Math.min(zeros.length, to - position)), position);
  }
}

/** Zeros in `[from, to)`, so that appends there change neither allocation nor size. Not synced. */
export function writeZeros(env: Env, file: File, from: number, to: number): void {
  const zeros = zerosFor(env, to - from);
  for (let position = from; position < to; position += zeros.length) {
    file.writeSync(zeros.subarray(0, Math.min(zeros.length, to - position)), position);
  }
}
