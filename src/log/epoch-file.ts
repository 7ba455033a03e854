/**
 * One epoch of the commit log: a file that one owner writes, from its exclusive creation until a later epoch exists.
 *
 * Invariants:
 *  1. A file's name is its epoch and is never used again: a new one is greater than every name that is there, and the
 *     newest file is never removed.
 *  2. Block 0 is the header. It is written once, after the copies it speaks of were synced. A file without a valid header is
 *     void, unless it holds batches of its own owner: then its header was damaged.
 *  3. Block 1 is the seal: zero until somebody else wants the append right; the owner never writes there. Any byte that is
 *     not zero is a seal.
 *  4. What the header says of its predecessor (the end taken) and of the copies was durable before the header was.
 *  5. Batches begin at byte 8192.
 *
 *   header, 4096 bytes
 *   0    8 bytes 'SOPEPOCH'
 *   8    u16 format    10  u16 zero
 *   12   u32 features that must be understood    16  u32 features that need not    20  u32 zero
 *   24   16 bytes database id
 *   40   u48 epoch     46  u16 zero
 *   48   u48 owner     54  u16 zero
 *   56   u48 predecessor, 0 for none             62  u16 zero
 *   64   u48 end taken of it: offset             70  u16 zero
 *   72   u48 end taken of it: number             78  u16 zero
 *   80   u32 end taken of it: batch checksum     84  u32 zero
 *   88   u48 end of the copies: offset           94  u16 zero
 *   96   u48 end of the copies: number           102 u16 zero
 *   104  u32 end of the copies: batch checksum   108 u32 zero
 *   112  32 bytes secret, for messages
 *   144  u32 length of the root record           148 root record
 *   4092 u32 CRC32C of [0, 4092)
 */
import { equalBytes, hex48, readU16, readU32, readU48, writeU16, writeU32, writeU48 } from '../base/bytes.ts';
import { crc32c } from '../base/checksum.ts';
import { CorruptionError, FormatUnsupportedError, LimitExceededError, SopError } from '../base/errors.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import type { File, FileSystem } from '../env/env.ts';

export const HEADER_BYTES = LOG_ALIGNMENT;
export const SEAL_POSITION = LOG_ALIGNMENT;
export const FIRST_BATCH_POSITION = 2 * LOG_ALIGNMENT;
/** Longest root record an epoch's header can hold. */
export const MAX_ROOT_BYTES = 3072;
export const SECRET_BYTES = 32;
export const EPOCH_FORMAT = 1;

const ROOT_POSITION = 148;
const CRC_POSITION = HEADER_BYTES - 4;
const MAGIC = new Uint8Array([0x53, 0x4f, 0x50, 0x45, 0x50, 0x4f, 0x43, 0x48]);
const SEAL_MAGIC = new Uint8Array([0x53, 0x4f, 0x50, 0x53, 0x45, 0x41, 0x4c, 0x21]);
const LAST_EPOCH = 2 ** 48 - 1;

/** A place between batches: the offset where the next one begins, the last number before it, the last batch's checksum. */
export interface LogEnd {
  readonly offset: number;
  readonly number: number;
  readonly crc: number;
}

export interface EpochHeader {
  readonly databaseId: Uint8Array;
  readonly epoch: number;
  readonly owner: number;
  /** 0 for the first epoch of a database. */
  readonly predecessor: number;
  readonly predecessorEnd: LogEnd;
  readonly copiedEnd: LogEnd;
  readonly secret: Uint8Array;
  /** Newest root adopted before this epoch. */
  readonly root: Uint8Array | undefined;
}

/** The number a root record covers: its first six bytes. */
export function rootCovers(root: Uint8Array | undefined): number {
  return root === undefined ? 0 : readU48(root, 0);
}

export function checkRootLength(root: Uint8Array): void {
  if (root.length >= 6 && root.length <= MAX_ROOT_BYTES) return;
  throw new LimitExceededError(`a root record has 6 to ${MAX_ROOT_BYTES} bytes, not ${root.length}`, {
    details: { limit: 'MAX_ROOT_BYTES', allowed: MAX_ROOT_BYTES, found: root.length },
  });
}

export function epochName(epoch: number): string {
  return `${hex48(epoch)}.log`;
}

/** The epoch a name stands for; undefined where it is no name of ours. */
export function parseEpochName(name: string): number | undefined {
  if (!/^[0-9a-f]{12}\.log$/.test(name)) return undefined;
  const epoch = Number.parseInt(name.slice(0, 12), 16);
  return epoch >= 1 && epoch <= LAST_EPOCH ? epoch : undefined;
}

export function logFolder(folder: string): string {
  return `${folder}/log`;
}

/** The epoch after `epoch`. `CorruptionError` where it is the last: 2^48 were not used up, a stray file has that name. */
export function epochAfter(folder: string, epoch: number): number {
  if (epoch < LAST_EPOCH) return epoch + 1;
  const file = epochPath(folder, epoch);
  throw new CorruptionError(`${file} has the last name of all: no epoch can follow it`, {
    details: { file, offset: 0 },
  });
}

export function epochPath(folder: string, epoch: number): string {
  return `${folder}/log/${epochName(epoch)}`;
}

/** Epochs that have a file, oldest first; none where there is no folder. */
export function listEpochs(files: FileSystem, folder: string): number[] {
  let names: string[];
  try {
    names = files.list(logFolder(folder));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
  const epochs: number[] = [];
  for (const name of names) {
    const epoch = parseEpochName(name);
    if (epoch !== undefined) epochs.push(epoch);
  }
  return epochs.sort((a, b) => a - b);
}

export function isErrno(error: unknown, errno: string): boolean {
  return error instanceof SopError && error.details.errno === errno;
}

function writeEnd(bytes: Uint8Array, at: number, end: LogEnd): void {
  writeU48(bytes, at, end.offset);
  writeU48(bytes, at + 8, end.number);
  writeU32(bytes, at + 16, end.crc);
}

function readEnd(bytes: Uint8Array, at: number): LogEnd {
  return { offset: readU48(bytes, at), number: readU48(bytes, at + 8), crc: readU32(bytes, at + 16) };
}

/** Fills the 4096 bytes of `block`. */
export function encodeEpochHeader(header: EpochHeader, block: Uint8Array): void {
  block.fill(0, 0, HEADER_BYTES);
  block.set(MAGIC, 0);
  writeU16(block, 8, EPOCH_FORMAT);
  block.set(header.databaseId, 24);
  writeU48(block, 40, header.epoch);
  writeU48(block, 48, header.owner);
  writeU48(block, 56, header.predecessor);
  writeEnd(block, 64, header.predecessorEnd);
  writeEnd(block, 88, header.copiedEnd);
  block.set(header.secret, 112);
  if (header.root !== undefined) {
    checkRootLength(header.root);
    writeU32(block, 144, header.root.length);
    block.set(header.root, ROOT_POSITION);
  }
  writeU32(block, CRC_POSITION, crc32c(block, 0, CRC_POSITION));
}

/**
 * The header in `block`, undefined where there is no valid one. Throws where it is valid and of a later format, of another
 * database or of another file.
 */
export function decodeEpochHeader(
  block: Uint8Array,
  epoch: number,
  databaseId: Uint8Array,
  file: string,
): EpochHeader | undefined {
  if (!equalBytes(block.subarray(0, MAGIC.length), MAGIC)) return undefined;
  if (crc32c(block, 0, CRC_POSITION) !== readU32(block, CRC_POSITION)) return undefined;
  const format = readU16(block, 8);
  const required = readU32(block, 12);
  if (format !== EPOCH_FORMAT || required !== 0) {
    throw new FormatUnsupportedError(
      `${file} has format ${format} and features ${required}, written by a later version`,
      {
        details: { file, format, features: required },
      },
    );
  }
  const rootLength = readU32(block, 144);
  const header: EpochHeader = {
    databaseId: block.slice(24, 40),
    epoch: readU48(block, 40),
    owner: readU48(block, 48),
    predecessor: readU48(block, 56),
    predecessorEnd: readEnd(block, 64),
    copiedEnd: readEnd(block, 88),
    secret: block.slice(112, 112 + SECRET_BYTES),
    root:
      rootLength === 0 ? undefined : block.slice(ROOT_POSITION, ROOT_POSITION + Math.min(rootLength, MAX_ROOT_BYTES)),
  };
  const problem = headerProblem(header, epoch, databaseId, rootLength);
  if (problem !== undefined) {
    throw new CorruptionError(`${file}: its header ${problem}`, { details: { file, offset: 0 } });
  }
  return header;
}

function headerProblem(
  header: EpochHeader,
  epoch: number,
  databaseId: Uint8Array,
  rootLength: number,
): string | undefined {
  if (!equalBytes(header.databaseId, databaseId)) return 'belongs to another database';
  if (header.epoch !== epoch) return `is that of epoch ${header.epoch}`;
  if (header.predecessor >= epoch) return 'names a predecessor that is not older';
  if (rootLength !== 0 && (rootLength < 6 || rootLength > MAX_ROOT_BYTES))
    return 'holds a root record of no valid length';
  const { predecessorEnd, copiedEnd } = header;
  if (copiedEnd.offset < FIRST_BATCH_POSITION || copiedEnd.offset % LOG_ALIGNMENT !== 0)
    return 'ends its copies nowhere';
  if (copiedEnd.number < predecessorEnd.number) return 'ends its copies before they begin';
  if (header.predecessor !== 0 && predecessorEnd.offset < FIRST_BATCH_POSITION) return 'ends its predecessor nowhere';
  if (rootCovers(header.root) > copiedEnd.number) return 'holds a root that covers what is not in the log';
  return undefined;
}

/** The block that takes the append right away from a file's owner. Who wrote it is for people to read. */
export function encodeSeal(block: Uint8Array, taker: number): void {
  block.fill(0, 0, LOG_ALIGNMENT);
  block.set(SEAL_MAGIC, 0);
  writeU48(block, 8, taker);
}

export function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** Whether `file` is sealed; `block` is 4096 bytes to read into. */
export function readSeal(file: File, block: Uint8Array): boolean {
  const length = file.readSync(block.subarray(0, LOG_ALIGNMENT), SEAL_POSITION);
  return !isZero(block, 0, length);
}

/** The header of the open `file`, undefined where it has none. */
export function readEpochHeader(
  file: File,
  epoch: number,
  databaseId: Uint8Array,
  block: Uint8Array,
): EpochHeader | undefined {
  const length = file.readSync(block.subarray(0, HEADER_BYTES), 0);
  if (length < HEADER_BYTES) return undefined;
  return decodeEpochHeader(block, epoch, databaseId, file.path);
}
