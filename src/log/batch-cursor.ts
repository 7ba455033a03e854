/**
 * Walks the transactions of a batch, in a builder's buffer or in a reader's, without an object per item. Every length is
 * held against the bytes that are there: what passes the checksum is still not believed.
 *
 * The fields describe the transaction after `nextTransaction`, the section after `nextSection`, the run after `nextRun`.
 * Sections may be left out; runs are found whether sections were walked or not.
 */
import { readU16, readU32, readU48 } from '../base/bytes.ts';
import { CorruptionError, FormatUnsupportedError } from '../base/errors.ts';
import {
  BATCH_HEADER_BYTES,
  KIND_MUST_UNDERSTAND,
  NEWEST_UNDERSTOOD_KIND,
  RUN_HEADER_BYTES,
  SECTION_HEADER_BYTES,
  TRANSACTION_HEADER_BYTES,
} from './batch.ts';

function padded(length: number): number {
  return (length + 3) & ~3;
}

export class BatchCursor {
  bytes: Uint8Array = new Uint8Array(0);
  /** The transaction's number. */
  number = 0;
  kind = 0;
  idWriter = 0;
  idCounter = 0;
  /** Of the transaction, all that it holds. */
  byteLength = 0;
  sectionCount = 0;
  runCount = 0;
  payloadStart = 0;
  payloadLength = 0;

  storeId = 0;
  recordCount = 0;
  sectionStart = 0;
  sectionLength = 0;

  runStoreId = 0;
  runStart = 0;
  runLength = 0;

  #source = '';
  #fileOffset = 0;
  #batchStart = 0;
  #left = 0;
  #next = 0;
  #end = 0;
  #item = 0;
  #sectionsLeft = 0;
  #runsLeft = 0;

  /**
   * Starts on the batch at `bytes[start]` whose transactions end at `start + directoryOffset`; `source` and `fileOffset`
   * say in errors where it came from.
   */
  reset(
    bytes: Uint8Array,
    start: number,
    firstNumber: number,
    count: number,
    directoryOffset: number,
    source = '',
    fileOffset = 0,
  ): void {
    this.bytes = bytes;
    this.number = firstNumber - 1;
    this.#batchStart = start;
    this.#left = count;
    this.#next = start + BATCH_HEADER_BYTES;
    this.#end = start + directoryOffset;
    this.#source = source;
    this.#fileOffset = fileOffset;
    this.#sectionsLeft = 0;
    this.#runsLeft = 0;
  }

  /** Where the transaction's bytes begin: `byteLength` of them. */
  get transactionStart(): number {
    return this.#next - this.byteLength;
  }

  nextTransaction(): boolean {
    if (this.#left === 0) return false;
    const bytes = this.bytes;
    const at = this.#next;
    if (at + TRANSACTION_HEADER_BYTES > this.#end) this.#damaged('a transaction begins behind the last', at);
    const length = readU32(bytes, at);
    if (length < TRANSACTION_HEADER_BYTES || length % 4 !== 0 || at + length > this.#end) {
      this.#damaged('a transaction is longer than its batch', at);
    }
    this.byteLength = length;
    this.kind = bytes[at + 4] as number;
    this.runCount = readU16(bytes, at + 6);
    this.idWriter = readU48(bytes, at + 8);
    this.idCounter = readU48(bytes, at + 16);
    this.sectionCount = readU32(bytes, at + 24);
    this.payloadLength = readU32(bytes, at + 28);
    const room = length - TRANSACTION_HEADER_BYTES;
    const least = this.sectionCount * SECTION_HEADER_BYTES + this.runCount * RUN_HEADER_BYTES + this.payloadLength;
    if (least > room) this.#damaged('a transaction is shorter than what it claims to hold', at);
    this.#checkKind(at);
    this.#next = at + length;
    this.payloadStart = this.#next - padded(this.payloadLength);
    this.#item = at + TRANSACTION_HEADER_BYTES;
    this.#sectionsLeft = this.sectionCount;
    this.#runsLeft = this.runCount;
    this.#left--;
    this.number++;
    return true;
  }

  nextSection(): boolean {
    if (this.#sectionsLeft === 0) return false;
    const at = this.#item;
    if (at + SECTION_HEADER_BYTES > this.payloadStart) this.#damaged('a section begins behind its transaction', at);
    const length = readU32(this.bytes, at + 8);
    if (length % 4 !== 0 || length > this.payloadStart - at - SECTION_HEADER_BYTES) {
      this.#damaged('a section is longer than its transaction', at);
    }
    this.storeId = readU32(this.bytes, at);
    this.recordCount = readU32(this.bytes, at + 4);
    this.sectionStart = at + SECTION_HEADER_BYTES;
    this.sectionLength = length;
    this.#item = this.sectionStart + length;
    this.#sectionsLeft--;
    return true;
  }

  nextRun(): boolean {
    while (this.#sectionsLeft > 0) this.nextSection();
    if (this.#runsLeft === 0) return false;
    const at = this.#item;
    if (at + RUN_HEADER_BYTES > this.payloadStart) this.#damaged('a run begins behind its transaction', at);
    const length = readU32(this.bytes, at + 4);
    if (length > this.payloadStart - at - RUN_HEADER_BYTES) this.#damaged('a run is longer than its transaction', at);
    this.runStoreId = readU32(this.bytes, at);
    this.runStart = at + RUN_HEADER_BYTES;
    this.runLength = length;
    this.#item = this.runStart + padded(length);
    this.#runsLeft--;
    return true;
  }

  /** The payload, as a view that is good until the next read. */
  payload(): Uint8Array {
    return this.bytes.subarray(this.payloadStart, this.payloadStart + this.payloadLength);
  }

  #checkKind(at: number): void {
    if (this.kind === 0) this.#damaged('a transaction has no kind', at);
    if (this.kind > NEWEST_UNDERSTOOD_KIND || this.kind === KIND_MUST_UNDERSTAND) {
      throw new FormatUnsupportedError(`the log holds a transaction of kind ${this.kind}, written by a later version`, {
        details: { file: this.#source, offset: this.#fileOffset, kind: this.kind },
      });
    }
  }

  #damaged(what: string, at: number): never {
    const offset = this.#fileOffset + at - this.#batchStart;
    throw new CorruptionError(`damaged log ${this.#source} at ${offset}: ${what}`, {
      details: { file: this.#source, offset },
    });
  }
}
