/**
 * Reading one epoch file: batches in order, each checked before anything of it is believed, from a window that is read in
 * large aligned pieces.
 *
 * Invariants:
 *  1. A batch is valid at a place if its checksums hold, it names this epoch and this offset, and it follows the number and
 *     the checksum of the batch before it.
 *  2. Where no valid batch follows, the log ends (a torn tail), unless something states that what should be there is
 *     durable: the file's own header for copies, or the header of a later batch. Then the file is damaged.
 *  3. A number counts as proven once a valid later batch, or this file's header, states it durable. An empty batch (a note)
 *     may be unsynced for ever: it is proven by a later number only, and never the end that somebody takes.
 */
import { readU32 } from '../base/bytes.ts';
import { CorruptionError, FormatUnsupportedError } from '../base/errors.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import type { File, FileSystem } from '../env/env.ts';
import {
  BATCH_COPIED,
  BATCH_HAS_ROOT,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BatchHeader,
  decodeBatchHeader,
  HEADER_BAD,
  HEADER_UNSUPPORTED,
  KIND_ROOT,
  payloadChecksum,
} from './batch.ts';
import { BatchCursor } from './batch-cursor.ts';
import { type EpochHeader, FIRST_BATCH_POSITION, type LogEnd, MAX_ROOT_BYTES, rootCovers } from './epoch-file.ts';

/** Fresh memory costs more than another read call: the window grows only for a batch that does not fit. */
const WINDOW_BYTES = 1024 * 1024;

const EMPTY = new Uint8Array(0);

/** An aligned buffer over a part of a file. */
class Window {
  buffer: Uint8Array;
  readonly #file: File;
  readonly #allocate: (sizeBytes: number) => Uint8Array;
  #from = 0;
  #length = 0;

  constructor(file: File, files: FileSystem) {
    this.#file = file;
    this.#allocate = (sizeBytes) => files.allocate(sizeBytes);
    this.buffer = EMPTY;
  }

  /** Where the bytes from the aligned `position` on begin in `buffer`; -1 where the file has fewer than `length`. */
  view(position: number, length: number): number {
    if (position >= this.#from && position + length <= this.#from + this.#length) return position - this.#from;
    if (length > this.buffer.length) this.#grow(Math.max(length, Math.min(WINDOW_BYTES, this.#file.sizeBytes())));
    this.forget();
    this.#length = this.#file.readSync(this.buffer, position);
    this.#from = position;
    return this.#length < length ? -1 : 0;
  }

  forget(): void {
    this.#from = 0;
    this.#length = 0;
  }

  /** Gives the buffer back; the next read gets a new one. */
  release(): void {
    this.forget();
    this.buffer = EMPTY;
  }

  #grow(wanted: number): void {
    let capacity = LOG_ALIGNMENT;
    while (capacity < wanted) capacity *= 2;
    this.buffer = this.#allocate(capacity);
  }
}

/** Reads single batches of one file. `batch` and `start` tell about the last one found; good until the next call. */
export class EpochReader {
  readonly file: File;
  readonly header: EpochHeader;
  readonly batch = new BatchHeader();
  /** Where the batch begins in `bytes`. */
  start = 0;
  readonly #salt: number;
  readonly #window: Window;
  readonly #other = new BatchHeader();
  #sizeBytes: number;

  constructor(files: FileSystem, file: File, header: EpochHeader, salt: number) {
    this.file = file;
    this.header = header;
    this.#salt = salt;
    this.#window = new Window(file, files);
    this.#sizeBytes = file.sizeBytes();
  }

  get bytes(): Uint8Array {
    return this.#window.buffer;
  }

  /** Forgets what was read, so that the next read sees what others wrote since. */
  refresh(): void {
    this.#window.forget();
    this.#sizeBytes = this.file.sizeBytes();
  }

  /** Gives the memory and the file back. */
  close(): void {
    this.#window.release();
    this.file.close();
  }

  /** Finds the valid batch at `end`, the one that follows what ends there; false where there is none. */
  readBatch(end: LogEnd): boolean {
    const at = this.#block(end.offset);
    if (at < 0) return false;
    const batch = this.batch;
    const found = decodeBatchHeader(this.bytes, at, this.#salt, batch);
    if (found === HEADER_BAD || batch.epoch !== this.header.epoch || batch.offset !== end.offset) return false;
    if (found === HEADER_UNSUPPORTED) this.#unsupported(end.offset);
    if (batch.firstNumber !== end.number + 1 || batch.previousCrc !== end.crc) return false;
    const isCopy = (batch.flags & BATCH_COPIED) !== 0;
    if (isCopy !== end.offset < this.header.copiedEnd.offset) return false;
    if (batch.paddedLength > this.#sizeBytes - end.offset) return false;
    this.start = this.#window.view(end.offset, batch.paddedLength);
    return this.start >= 0 && payloadChecksum(this.bytes, this.start, batch.paddedLength) === batch.payloadCrc;
  }

  /** The offset of a batch header, from `from` on, that states `number` durable; -1 where there is none. */
  findStatement(from: number, number: number): number {
    const other = this.#other;
    for (let position = from; ; position += LOG_ALIGNMENT) {
      const at = this.#block(position);
      if (at < 0) return -1;
      if (readU32(this.bytes, at) !== BATCH_MAGIC) continue;
      const found = decodeBatchHeader(this.bytes, at, this.#salt, other);
      if (found === HEADER_BAD || other.epoch !== this.header.epoch || other.offset !== position) continue;
      if (found === HEADER_UNSUPPORTED) this.#unsupported(position);
      if (other.durableNumber >= number) return position;
    }
  }

  /** True where no batch begins at `position`, not even a bad one. */
  isBlank(position: number): boolean {
    const at = this.#block(position);
    return at < 0 || readU32(this.bytes, at) === 0;
  }

  damaged(offset: number, why: string): never {
    const file = this.file.path;
    throw new CorruptionError(`damaged log ${file} at ${offset}: ${why}`, { details: { file, offset } });
  }

  #block(position: number): number {
    if (position + LOG_ALIGNMENT > this.#sizeBytes) return -1;
    return this.#window.view(position, LOG_ALIGNMENT);
  }

  #unsupported(offset: number): never {
    const file = this.file.path;
    throw new FormatUnsupportedError(`${file} holds a batch of a later format at ${offset}`, {
      details: { file, offset },
    });
  }
}

/** The end of a batch, and the durable number that proves it. */
interface Boundary {
  readonly end: LogEnd;
  readonly provenBy: number;
}

/** A root record found in the log: the number of the transaction that adopted it, and its bytes. */
export interface FoundRoot {
  readonly number: number;
  readonly root: Uint8Array;
}

/**
 * Reads an epoch to its end and keeps what recovery asks for: where it ends, how much of it is proven, which roots it
 * adopted. `extend` goes on from there.
 */
export class EpochScan {
  readonly reader: EpochReader;
  readonly header: EpochHeader;
  /** Where the last valid batch ends. */
  end: LogEnd;
  /** The last batch boundary whose numbers are all proven. */
  proven: LogEnd;
  /** Batches that the epoch's owner wrote itself: one makes the epoch count. */
  ownBatches = 0;
  readonly roots: FoundRoot[] = [];
  /** Boundaries between `proven` and `end`. */
  #unproven: Boundary[] = [];
  #stated = 0;
  readonly #cursor = new BatchCursor();

  /** Goes on from the proven end of `earlier`, a scan of the same epoch. */
  constructor(files: FileSystem, file: File, header: EpochHeader, salt: number, earlier?: EpochScan) {
    this.reader = new EpochReader(files, file, header, salt);
    this.header = header;
    this.end = firstEnd(header);
    this.proven = this.end;
    if (earlier !== undefined && earlier.header.epoch === header.epoch) this.#continue(earlier);
    this.extend();
  }

  /** Reads what follows `end`; needed again after a seal, since the owner may have written until then. */
  extend(): void {
    const reader = this.reader;
    reader.refresh();
    for (;;) {
      if (this.end.offset === this.header.copiedEnd.offset) this.#endCopies();
      if (reader.readBatch(this.end)) this.#take();
      else if (!this.#readAgain()) return;
    }
  }

  /** Whether the number is stated durable by somebody outside this file (a member's note). */
  noteProven(number: number): void {
    if (number > this.end.number)
      this.reader.damaged(this.end.offset, `a member's note states number ${number} durable`);
    this.#prove(number);
  }

  /** The newest root adopted at or below `number`: the header's where the log holds none. */
  newestRoot(number: number): Uint8Array | undefined {
    for (let i = this.roots.length - 1; i >= 0; i--) {
      const found = this.roots[i] as FoundRoot;
      if (found.number <= number) return found.root;
    }
    return this.header.root;
  }

  /** From the proven end: what lies beyond may have gone since, with a sync that failed. What was stated stays true. */
  #continue(earlier: EpochScan): void {
    this.end = earlier.proven;
    this.proven = earlier.proven;
    this.ownBatches = earlier.ownBatches;
    for (const root of earlier.roots) if (root.number <= this.proven.number) this.roots.push(root);
    this.#stated = earlier.#stated;
  }

  #take(): void {
    const { batch } = this.reader;
    this.end = { offset: batch.offset + batch.paddedLength, number: batch.lastNumber, crc: batch.headerCrc };
    if ((batch.flags & BATCH_COPIED) === 0) this.ownBatches++;
    else if (this.end.offset > this.header.copiedEnd.offset) {
      this.reader.damaged(batch.offset, 'a copied batch passes the end of the copies');
    }
    if ((batch.flags & BATCH_HAS_ROOT) !== 0) this.#takeRoots();
    this.#unproven.push({ end: this.end, provenBy: batch.count > 0 ? batch.lastNumber : batch.lastNumber + 1 });
    this.#prove(batch.durableNumber);
  }

  #takeRoots(): void {
    const { reader } = this;
    const { batch } = reader;
    const cursor = this.#cursor;
    const file = reader.file.path;
    cursor.reset(reader.bytes, reader.start, batch.firstNumber, batch.count, batch.directoryOffset, file, batch.offset);
    while (cursor.nextTransaction()) {
      if (cursor.kind !== KIND_ROOT) continue;
      const { payloadLength } = cursor;
      if (payloadLength < 6 || payloadLength > MAX_ROOT_BYTES) {
        reader.damaged(batch.offset, `number ${cursor.number} adopts a root record of ${payloadLength} bytes`);
      }
      const root = cursor.payload().slice();
      if (rootCovers(root) >= cursor.number) reader.damaged(batch.offset, 'an adopted root covers its own adoption');
      this.roots.push({ number: cursor.number, root });
    }
  }

  /** Everything up to `number` is proven: moves the boundary as far as that allows. */
  #prove(number: number): void {
    if (number > this.#stated) this.#stated = number;
    let taken = 0;
    for (const boundary of this.#unproven) {
      if (boundary.provenBy > this.#stated) break;
      this.proven = boundary.end;
      taken++;
    }
    if (taken > 0) this.#unproven.splice(0, taken);
  }

  #endCopies(): void {
    const { copiedEnd } = this.header;
    if (this.end.number !== copiedEnd.number || this.end.crc !== copiedEnd.crc) {
      this.reader.damaged(copiedEnd.offset, 'its copied batches are not those its header names');
    }
    this.#prove(copiedEnd.number);
  }

  /**
   * No valid batch follows. Answers whether there is one after all (an owner may have written while we read, a bit may have
   * flipped on its way to us); throws where something states that there was.
   */
  #readAgain(): boolean {
    const reader = this.reader;
    const { end } = this;
    const missing = end.number + 1;
    const isCopy = end.offset < this.header.copiedEnd.offset;
    if (!isCopy && reader.isBlank(end.offset) && reader.findStatement(end.offset, missing) < 0) return false;
    reader.refresh();
    if (reader.readBatch(end)) {
      this.#take();
      return true;
    }
    if (isCopy) reader.damaged(end.offset, 'a copied batch is not valid');
    const stated = reader.findStatement(end.offset, missing);
    if (stated < 0) return false;
    return reader.damaged(end.offset, `number ${missing} is missing, which the batch at ${stated} states durable`);
  }
}

/** Where the first batch of a file belongs, and what it follows. */
export function firstEnd(header: EpochHeader): LogEnd {
  const { number, crc } = header.predecessorEnd;
  return { offset: FIRST_BATCH_POSITION, number, crc };
}

/** True where the file, whose header is not valid, holds a batch written by its own owner: then it once had a header. */
export function hasOwnBatch(files: FileSystem, file: File, epoch: number, salt: number): boolean {
  const window = new Window(file, files);
  const batch = new BatchHeader();
  for (let position = FIRST_BATCH_POSITION; ; position += LOG_ALIGNMENT) {
    const at = window.view(position, BATCH_HEADER_BYTES);
    if (at < 0) return false;
    if (decodeBatchHeader(window.buffer, at, salt, batch) === HEADER_BAD) continue;
    if (batch.epoch === epoch && batch.offset === position && (batch.flags & BATCH_COPIED) === 0) return true;
  }
}
