/**
 * Builds one batch in a page-aligned buffer that is used again and again.
 *
 * A builder is handed out by `CommitLog.openBatch`, filled, given to `commit` or `commitSync` once, and given back with
 * `release` when its maker has read it for the last time. Until then its bytes stay as they are: `cursor` walks them while
 * the write is under way. Transactions are added one at a time, sections before runs before the payload.
 */
import { assert } from '../base/assert.ts';
import { alignUp, readU32, writeU16, writeU32, writeU48 } from '../base/bytes.ts';
import { LimitExceededError } from '../base/errors.ts';
import { LOG_ALIGNMENT, MAX_BATCH_BYTES } from '../base/limits.ts';
import {
  BATCH_HAS_ROOT,
  BATCH_HEADER_BYTES,
  BatchHeader,
  DIRECTORY_ENTRY_BYTES,
  encodeBatchHeader,
  holdsUserData,
  KIND_ROOT,
  payloadChecksum,
  RUN_HEADER_BYTES,
  SECTION_HEADER_BYTES,
  TRANSACTION_HEADER_BYTES,
} from './batch.ts';
import { BatchCursor } from './batch-cursor.ts';

/** What a builder starts with, and goes back to after a batch that needed more than KEPT_BYTES. */
const FIRST_BYTES = 64 * 1024;
const KEPT_BYTES = 8 * 1024 * 1024;
/** Below this a loop is faster than making a view for `set`. */
const LOOP_COPY_BYTES = 96;
/** A directory entry a section at most, its count, and the last page's padding. */
const DIRECTORY_ROOM = 4 + LOG_ALIGNMENT;

/** What the log adds to a batch when it writes it. */
export interface BatchPlace {
  readonly epoch: number;
  readonly writer: number;
  readonly position: number;
  readonly durableNumber: number;
  readonly previousCrc: number;
  readonly salt: number;
}

export type BatchState = 'open' | 'writing' | 'done' | 'free';

export class BatchBuilder {
  bytes: Uint8Array;
  firstNumber = 0;
  count = 0;
  /** Bytes in use so far; after `finish` the padded length. */
  byteLength = BATCH_HEADER_BYTES;
  /** True while it holds nothing but the engine's own records, which may use the space held back for a full disk. */
  engineOnly = true;
  /** Used by the log: it has seen to room for so many bytes. */
  reservedBytes = 0;
  state: BatchState = 'free';
  readonly header = new BatchHeader();

  readonly #allocate: (sizeBytes: number) => Uint8Array;
  readonly #first: Uint8Array;
  readonly #cursor = new BatchCursor();
  readonly #onRelease: (batch: BatchBuilder) => void;
  #released = false;
  #flags = 0;
  #sections = 0;
  #transaction = 0;
  #transactionSections = 0;
  /** As they were before the transaction begun last. */
  #flagsBefore = 0;
  #engineOnlyBefore = true;
  #runs = 0;
  #payloadLength = -1;
  #payloadEnd = 0;

  constructor(allocate: (sizeBytes: number) => Uint8Array, onRelease: (batch: BatchBuilder) => void) {
    this.#allocate = allocate;
    this.#onRelease = onRelease;
    this.#first = allocate(FIRST_BYTES);
    this.bytes = this.#first;
  }

  get lastNumber(): number {
    return this.firstNumber + this.count - 1;
  }

  /** True once a ROOT was begun in it. */
  get hasRoot(): boolean {
    return (this.#flags & BATCH_HAS_ROOT) !== 0;
  }

  /** Bytes that still fit in this batch; a transaction needs 32, each section 20 and 12 for the directory, each run 8. */
  get remainingBytes(): number {
    return MAX_BATCH_BYTES - this.byteLength - this.#directoryBytes();
  }

  /** Used by the log: an empty batch whose first transaction will have `firstNumber`. */
  open(firstNumber: number): void {
    assert(this.state === 'free', 'a batch is opened while in use');
    this.state = 'open';
    this.firstNumber = firstNumber;
    this.#released = false;
    this.clear();
  }

  /** Takes everything out again. */
  clear(): void {
    assert(this.state === 'open', 'a batch is cleared while being written');
    this.count = 0;
    this.byteLength = BATCH_HEADER_BYTES;
    this.engineOnly = true;
    this.reservedBytes = 0;
    this.#flags = 0;
    this.#sections = 0;
    this.#transaction = 0;
  }

  /** Begins a transaction and answers its number. */
  beginTransaction(kind: number, idWriter: number, idCounter: number): number {
    assert(
      this.state === 'open' && this.#transaction === 0,
      'a transaction begins inside another or in a closed batch',
    );
    this.#room(TRANSACTION_HEADER_BYTES);
    const at = this.byteLength;
    const bytes = this.bytes;
    bytes[at + 4] = kind;
    bytes[at + 5] = 0;
    writeU48(bytes, at + 8, idWriter);
    writeU16(bytes, at + 14, 0);
    writeU48(bytes, at + 16, idCounter);
    writeU16(bytes, at + 22, 0);
    this.#flagsBefore = this.#flags;
    this.#engineOnlyBefore = this.engineOnly;
    if (kind === KIND_ROOT) this.#flags |= BATCH_HAS_ROOT;
    if (holdsUserData(kind)) this.engineOnly = false;
    this.byteLength = at + TRANSACTION_HEADER_BYTES;
    this.#transaction = at;
    this.#transactionSections = 0;
    this.#runs = 0;
    this.#payloadLength = -1;
    return this.firstNumber + this.count;
  }

  /**
   * Copies the records `from[start, start + byteLength)` of one store; whole words. Answers where they begin in `bytes`
   * (good until the buffer grows with the next addition).
   */
  addSection(storeId: number, recordCount: number, from: Uint8Array, start: number, byteLength: number): number {
    assert(this.#transaction !== 0 && this.#runs === 0 && this.#payloadLength < 0, 'a section out of order');
    assert(byteLength % 4 === 0, 'records end on a word');
    this.#room(SECTION_HEADER_BYTES + byteLength + DIRECTORY_ENTRY_BYTES);
    const at = this.byteLength;
    const bytes = this.bytes;
    writeU32(bytes, at, storeId);
    writeU32(bytes, at + 4, recordCount);
    writeU32(bytes, at + 8, byteLength);
    writeU32(bytes, at + 12, this.count);
    writeU32(bytes, at + 16, 0);
    const recordsAt = at + SECTION_HEADER_BYTES;
    this.#copy(from, start, byteLength, recordsAt);
    this.byteLength = recordsAt + byteLength;
    this.#sections++;
    this.#transactionSections++;
    return recordsAt;
  }

  addRun(storeId: number, descriptor: Uint8Array): void {
    assert(this.#transaction !== 0 && this.#payloadLength < 0, 'a run out of order');
    assert(this.#runs < 0xffff, 'too many runs in a transaction');
    this.#room(RUN_HEADER_BYTES + descriptor.length + 4);
    const at = this.byteLength;
    writeU32(this.bytes, at, storeId);
    writeU32(this.bytes, at + 4, descriptor.length);
    this.#copyPadded(descriptor, at + RUN_HEADER_BYTES);
    this.#runs++;
  }

  /** The payload of the engine's own kinds: once, last. */
  addPayload(payload: Uint8Array): void {
    assert(this.#transaction !== 0 && this.#payloadLength < 0, 'a second payload, or one outside a transaction');
    this.#room(payload.length + 4);
    this.#copyPadded(payload, this.byteLength);
    this.#payloadLength = payload.length;
    this.#payloadEnd = this.byteLength;
  }

  endTransaction(): void {
    const at = this.#transaction;
    assert(at !== 0, 'no transaction to end');
    assert(this.#payloadLength < 0 || this.#payloadEnd === this.byteLength, 'something follows the payload');
    const bytes = this.bytes;
    writeU32(bytes, at, this.byteLength - at);
    writeU16(bytes, at + 6, this.#runs);
    writeU32(bytes, at + 24, this.#transactionSections);
    writeU32(bytes, at + 28, this.#payloadLength < 0 ? 0 : this.#payloadLength);
    this.count++;
    this.#transaction = 0;
  }

  /** Takes the transaction begun last, and not yet ended, out again. */
  dropTransaction(): void {
    assert(this.#transaction !== 0, 'no transaction to drop');
    this.byteLength = this.#transaction;
    this.#sections -= this.#transactionSections;
    this.#flags = this.#flagsBefore;
    this.engineOnly = this.#engineOnlyBefore;
    this.#transaction = 0;
  }

  /** Walks what is inside. One cursor a builder: a second call starts the same one anew. */
  cursor(): BatchCursor {
    const end = this.state === 'open' ? this.byteLength : this.header.directoryOffset;
    this.#cursor.reset(this.bytes, 0, this.firstNumber, this.count, end, 'batch in memory');
    return this.#cursor;
  }

  /** Used by the log: the length `finish` will answer at most. */
  paddedLengthBound(): number {
    return alignUp(this.byteLength + this.#directoryBytes(), LOG_ALIGNMENT);
  }

  /** Used by the log: directory, padding, checksums and header. Answers the padded length. */
  finish(place: BatchPlace): number {
    assert(this.state === 'open' && this.#transaction === 0, 'a batch is finished twice or inside a transaction');
    const header = this.header;
    header.directoryOffset = this.byteLength;
    const end = this.#writeDirectory();
    const paddedLength = alignUp(end, LOG_ALIGNMENT);
    this.bytes.fill(0, end, paddedLength);
    header.flags = this.#flags;
    header.epoch = place.epoch;
    header.firstNumber = this.firstNumber;
    header.count = this.count;
    header.byteLength = end;
    header.paddedLength = paddedLength;
    header.writer = place.writer;
    header.durableNumber = place.durableNumber;
    header.offset = place.position;
    header.previousCrc = place.previousCrc;
    header.payloadCrc = payloadChecksum(this.bytes, 0, paddedLength);
    encodeBatchHeader(header, this.bytes, 0, place.salt);
    this.byteLength = paddedLength;
    this.state = 'writing';
    return paddedLength;
  }

  /** Used by the log: nobody writes from the buffer any more. */
  written(): void {
    this.state = 'done';
    if (this.#released) this.#recycle();
  }

  /** Its maker is done with it. An open batch is given up: its numbers are given out again. */
  release(): void {
    if (this.state === 'free' || this.#released) return;
    this.#released = true;
    if (this.state !== 'writing') this.#recycle();
  }

  #recycle(): void {
    this.state = 'free';
    if (this.bytes.length > KEPT_BYTES) this.bytes = this.#first;
    this.#onRelease(this);
  }

  #directoryBytes(): number {
    return 4 + this.#sections * DIRECTORY_ENTRY_BYTES;
  }

  /** Links each store's sections and lists the stores behind the last transaction; answers the end. */
  #writeDirectory(): number {
    const bytes = this.bytes;
    const directory = this.byteLength;
    const lastSection: number[] = [];
    const placeOf = new Map<number, number>();
    let at = directory + 4;
    for (let tx = BATCH_HEADER_BYTES; tx < directory; tx += readU32(bytes, tx)) {
      let section = tx + TRANSACTION_HEADER_BYTES;
      for (let left = readU32(bytes, tx + 24); left > 0; left--) {
        const storeId = readU32(bytes, section);
        const place = placeOf.get(storeId);
        if (place === undefined) {
          placeOf.set(storeId, lastSection.length);
          lastSection.push(section);
          writeU32(bytes, at, storeId);
          writeU32(bytes, at + 4, section);
          writeU32(bytes, at + 8, 1);
          at += DIRECTORY_ENTRY_BYTES;
        } else {
          writeU32(bytes, (lastSection[place] as number) + 16, section);
          lastSection[place] = section;
          const count = directory + 4 + place * DIRECTORY_ENTRY_BYTES + 8;
          writeU32(bytes, count, readU32(bytes, count) + 1);
        }
        section += SECTION_HEADER_BYTES + readU32(bytes, section + 8);
      }
    }
    writeU32(bytes, directory, lastSection.length);
    return at;
  }

  #copy(from: Uint8Array, start: number, length: number, to: number): void {
    const bytes = this.bytes;
    if (length > LOOP_COPY_BYTES) bytes.set(from.subarray(start, start + length), to);
    else for (let i = 0; i < length; i++) bytes[to + i] = from[start + i] as number;
  }

  #copyPadded(from: Uint8Array, to: number): void {
    this.bytes.set(from, to);
    const end = to + from.length;
    const paddedEnd = (end + 3) & ~3;
    this.bytes.fill(0, end, paddedEnd);
    this.byteLength = paddedEnd;
  }

  /** Makes room for `more` bytes, the directory and the padding; grows in powers of two. */
  #room(more: number): void {
    const needed = this.byteLength + more + this.#directoryBytes() + DIRECTORY_ROOM;
    if (needed <= this.bytes.length) return;
    if (needed > MAX_BATCH_BYTES) {
      throw new LimitExceededError(`a batch of the log may not pass ${MAX_BATCH_BYTES} bytes`, {
        details: { limit: 'MAX_BATCH_BYTES', allowed: MAX_BATCH_BYTES, found: needed },
      });
    }
    let capacity = this.bytes.length;
    while (capacity < needed) capacity *= 2;
    const grown = this.#allocate(capacity);
    grown.set(this.bytes.subarray(0, this.byteLength));
    this.bytes = grown;
  }
}
