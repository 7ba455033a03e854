/**
 * The layout of a batch: what one append writes to the log, and the only unit that is valid or not.
 *
 * Invariants:
 *  1. A batch starts on a 4096-byte boundary of its file and is padded with zeros to the next one.
 *  2. Every byte of it is under a checksum: the header's (salted with the database's id) covers the header, and the
 *     payload's checksum, which the header holds, covers everything behind it, padding included.
 *  3. The header names its own epoch and its own offset, so a stale or misdirected sector is no valid batch elsewhere.
 *  4. `previousCrc` is the header checksum of the batch before it, across files: a batch is valid behind one predecessor.
 *  5. `durableNumber` is smaller than the batch's first number: it states that everything up to it was synced and
 *     seal-checked before this batch was written. That is true for ever, whether this batch is durable or not.
 *
 *   batch header, 80 bytes                         transaction header, 32 bytes
 *   0   u32 magic 'SOPB'                           0   u32 length in bytes, this header included
 *   4   u16 format      6   u16 flags              4   u8 kind   5  u8 zero   6  u16 runs
 *   8   u48 epoch       14  u16 zero               8   u48 writer of its id      14  u16 zero
 *   16  u48 first number     22  u16 zero          16  u48 counter of its id     22  u16 zero
 *   24  u32 transactions     28  u32 length        24  u32 sections
 *   32  u48 writer      38  u16 zero               28  u32 payload length
 *   40  u48 durable number   46  u16 zero          then its sections, its runs, its payload, each padded to a word
 *   48  u48 offset in its file   54  u16 zero
 *   56  u32 offset of the directory in the batch   section header, 20 bytes
 *   60  u32 padded length                          0   u32 store id             4   u32 records
 *   64  u32 previous batch's checksum              8   u32 length in bytes      12  u32 place of its transaction
 *   68  u32 payload checksum                       16  u32 offset of the same store's next section, 0 for none
 *   72  u32 header checksum over [0, 72)           then the records (record.ts)
 *   76  u32 zero
 *                                                  run header, 8 bytes: u32 store id, u32 length; then the descriptor
 *   the directory: u32 entries, then for each store, in the order they are first met,
 *   u32 store id, u32 offset of its first section, u32 sections
 */
import { readU16, readU32, readU48, writeU16, writeU32, writeU48 } from '../base/bytes.ts';
import { crc32c } from '../base/checksum.ts';
import { LOG_ALIGNMENT, MAX_BATCH_BYTES } from '../base/limits.ts';

export const BATCH_MAGIC = 0x42504f53;
export const BATCH_FORMAT = 1;
export const BATCH_HEADER_BYTES = 80;
export const TRANSACTION_HEADER_BYTES = 32;
export const SECTION_HEADER_BYTES = 20;
export const RUN_HEADER_BYTES = 8;
export const DIRECTORY_ENTRY_BYTES = 12;

const CHECKED_HEADER_BYTES = 72;

/** The batch was written by an earlier owner and copied here by the taker, before the epoch's header was written. */
export const BATCH_COPIED = 1;
/** At least one of its transactions is a ROOT. */
export const BATCH_HAS_ROOT = 2;
/** Flags in this byte change the meaning of the batch: who does not know one must refuse. */
const BATCH_MUST_UNDERSTAND = 0xff00;

/** A user's transaction. */
export const KIND_USER = 1;
/** A checkpoint begins: everybody freezes the memory table at this number. */
export const KIND_FREEZE = 2;
/** A root is adopted; the payload is its record. */
export const KIND_ROOT = 3;
/** The payload names files that nobody may need any more; they are removed after this is durable. */
export const KIND_RECLAIM = 4;
/** A writer's segments are closed: requests that name its data are refused from here on. */
export const KIND_CLOSE_WRITER = 5;
/** A transaction id that was never seen is declared dead. */
export const KIND_DEATH = 6;

/** Unknown kinds with this bit must be understood by whoever reads the log; others may be passed over. */
export const KIND_MUST_UNDERSTAND = 0x80;
/** A transaction that waits for its decision: all that a user's has, and in the payload what it has read. */
export const KIND_PREPARE = KIND_MUST_UNDERSTAND | 1;
/** What becomes of a prepared transaction: the payload names it. */
export const KIND_DECIDE = KIND_MUST_UNDERSTAND | 2;

/** The newest of the kinds that must be understood. */
export const NEWEST_UNDERSTOOD_KIND = KIND_DECIDE;

/** Whether the record brings a user's data, which may not use the space held back for the engine's own. */
export function holdsUserData(kind: number): boolean {
  return kind === KIND_USER || kind === KIND_PREPARE;
}

/** Whether the record is about a transaction of somebody who may ask what became of it; others are the engine's own. */
export function isAboutTransaction(kind: number): boolean {
  return holdsUserData(kind) || kind === KIND_DECIDE || kind === KIND_DEATH;
}

/** A batch header, decoded into fields that are reused. */
export class BatchHeader {
  format = 0;
  flags = 0;
  epoch = 0;
  firstNumber = 0;
  count = 0;
  /** Bytes in use, header and directory included. */
  byteLength = 0;
  paddedLength = 0;
  writer = 0;
  durableNumber = 0;
  offset = 0;
  directoryOffset = 0;
  previousCrc = 0;
  payloadCrc = 0;
  headerCrc = 0;

  get lastNumber(): number {
    return this.firstNumber + this.count - 1;
  }
}

/** What the header checksums of a database's batches start from: two databases' batches are never valid in each other. */
export function batchSalt(databaseId: Uint8Array): number {
  return crc32c(databaseId);
}

/** Writes everything but the checksums of `header` at `at`. */
function encodeFields(header: BatchHeader, bytes: Uint8Array, at: number): void {
  bytes.fill(0, at, at + BATCH_HEADER_BYTES);
  writeU32(bytes, at, BATCH_MAGIC);
  writeU16(bytes, at + 4, BATCH_FORMAT);
  writeU16(bytes, at + 6, header.flags);
  writeU48(bytes, at + 8, header.epoch);
  writeU48(bytes, at + 16, header.firstNumber);
  writeU32(bytes, at + 24, header.count);
  writeU32(bytes, at + 28, header.byteLength);
  writeU48(bytes, at + 32, header.writer);
  writeU48(bytes, at + 40, header.durableNumber);
  writeU48(bytes, at + 48, header.offset);
  writeU32(bytes, at + 56, header.directoryOffset);
  writeU32(bytes, at + 60, header.paddedLength);
  writeU32(bytes, at + 64, header.previousCrc);
}

/** Writes `header` at `at` with the payload checksum it holds already, and answers the header's own. */
export function encodeBatchHeader(header: BatchHeader, bytes: Uint8Array, at: number, salt: number): number {
  encodeFields(header, bytes, at);
  writeU32(bytes, at + 68, header.payloadCrc);
  header.headerCrc = crc32c(bytes, at, at + CHECKED_HEADER_BYTES, salt);
  writeU32(bytes, at + 72, header.headerCrc);
  return header.headerCrc;
}

export function payloadChecksum(bytes: Uint8Array, at: number, paddedLength: number): number {
  return crc32c(bytes, at + BATCH_HEADER_BYTES, at + paddedLength, 0);
}

/** There is no valid batch header at this place. */
export const HEADER_BAD = 0;
export const HEADER_GOOD = 1;
/** A valid header of a later format, or with flags that must be understood and are not. */
export const HEADER_UNSUPPORTED = 2;

/** Decodes the header in `bytes[at, at + 80)` into `header`; its lengths are sane where it answers HEADER_GOOD. */
export function decodeBatchHeader(bytes: Uint8Array, at: number, salt: number, header: BatchHeader): number {
  if (at + BATCH_HEADER_BYTES > bytes.length || readU32(bytes, at) !== BATCH_MAGIC) return HEADER_BAD;
  header.headerCrc = readU32(bytes, at + 72);
  if (crc32c(bytes, at, at + CHECKED_HEADER_BYTES, salt) !== header.headerCrc) return HEADER_BAD;
  header.format = readU16(bytes, at + 4);
  header.flags = readU16(bytes, at + 6);
  header.epoch = readU48(bytes, at + 8);
  header.offset = readU48(bytes, at + 48);
  if (header.format !== BATCH_FORMAT || (header.flags & BATCH_MUST_UNDERSTAND) !== 0) return HEADER_UNSUPPORTED;
  header.firstNumber = readU48(bytes, at + 16);
  header.count = readU32(bytes, at + 24);
  header.byteLength = readU32(bytes, at + 28);
  header.writer = readU48(bytes, at + 32);
  header.durableNumber = readU48(bytes, at + 40);
  header.directoryOffset = readU32(bytes, at + 56);
  header.paddedLength = readU32(bytes, at + 60);
  header.previousCrc = readU32(bytes, at + 64);
  header.payloadCrc = readU32(bytes, at + 68);
  return isSane(header) ? HEADER_GOOD : HEADER_BAD;
}

function isSane(header: BatchHeader): boolean {
  const { byteLength, paddedLength, directoryOffset } = header;
  if (byteLength < BATCH_HEADER_BYTES || paddedLength > MAX_BATCH_BYTES) return false;
  if (paddedLength % LOG_ALIGNMENT !== 0 || byteLength > paddedLength) return false;
  if (paddedLength - byteLength >= LOG_ALIGNMENT) return false;
  if (directoryOffset < BATCH_HEADER_BYTES || directoryOffset + 4 > byteLength) return false;
  if (header.count * TRANSACTION_HEADER_BYTES > directoryOffset - BATCH_HEADER_BYTES) return false;
  return header.firstNumber >= 1 && header.durableNumber < header.firstNumber;
}
