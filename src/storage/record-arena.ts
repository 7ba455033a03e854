/**
 * Records (log/record.ts) one behind another in one flat buffer, addressed by word.
 *
 * Invariants:
 *  1. Address 0 names no record: the first one begins at word 4.
 *  2. A record's header and key never move and never change their meaning once appended; only the op and the flags of
 *     word 0, the words 2 and 3 and the amounts of a cell's counters may be rewritten. Whoever holds an address may hold it until `reset` or `truncate`.
 *  3. `bytes` and `words` are views of one buffer. A growable arena replaces both when it grows: never keep them over an
 *     append.
 *
 * Words are read in the machine's order; every platform Node runs on is little-endian, as the log is.
 */
import { assert } from '../base/assert.ts';
import { CopySource, copyInto, viewOf } from '../base/copy.ts';
import { RECORD_WORDS, recordWord0, recordWords } from '../log/record.ts';

/** The first address handed out. */
export const FIRST_ADDRESS = 4;

const EMPTY = new Uint8Array(0);

export class RecordArena {
  bytes: Uint8Array;
  words: Uint32Array;
  #view: DataView;
  readonly #keySource = new CopySource();
  readonly #cellSource = new CopySource();
  usedWords = FIRST_ADDRESS;
  readonly growable: boolean;

  /** `buffer` is taken over as it is; memory of a fresh one is touched by the system only as records arrive. */
  constructor(buffer: ArrayBufferLike, growable: boolean) {
    assert(buffer.byteLength >= 64 && buffer.byteLength % 4 === 0, 'an arena is whole words');
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.#view = viewOf(this.bytes);
    this.growable = growable;
  }

  get capacityBytes(): number {
    return this.bytes.length;
  }

  get usedBytes(): number {
    return this.usedWords * 4;
  }

  /** Whether `byteLength` more bytes fit without growing. */
  hasRoom(byteLength: number): boolean {
    return this.usedWords * 4 + byteLength <= this.bytes.length;
  }

  /** Appends a record; answers its address. Words 2 and 3 are zero. */
  appendRecord(
    op: number,
    flags: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    cell: Uint8Array,
    cellStart: number,
    cellEnd: number,
  ): number {
    const keyLength = keyEnd - keyStart;
    const cellLength = cellEnd - cellStart;
    const address = this.reserve(recordWords(keyLength, cellLength));
    copyInto(this.#keySource, key, keyStart, keyEnd, this.bytes, this.#view, (address + RECORD_WORDS) * 4);
    const cellAt = (address + RECORD_WORDS + ((keyLength + 3) >>> 2)) * 4;
    copyInto(this.#cellSource, cell, cellStart, cellEnd, this.bytes, this.#view, cellAt);
    this.finish(address, op, flags, keyLength, cellLength);
    return address;
  }

  /**
   * Makes room for `wordCount` words and answers the address at which a record may be written in place: the key to
   * `keyStart(address)`, then the cell to `cellStartFor(address, keyLength)`, then `finish`.
   */
  reserve(wordCount: number): number {
    if (this.usedWords + wordCount > this.words.length) this.#grow(this.usedWords + wordCount);
    return this.usedWords;
  }

  /** Seals the record that was written in place at `address` (the end of the arena): header, padding, length. */
  finish(address: number, op: number, flags: number, keyLength: number, cellLength: number): void {
    const words = this.words;
    words[address] = recordWord0(op, flags, keyLength);
    words[address + 1] = cellLength;
    words[address + 2] = 0;
    words[address + 3] = 0;
    const cellAt = address + RECORD_WORDS + ((keyLength + 3) >>> 2);
    const end = cellAt + ((cellLength + 3) >>> 2);
    const bytes = this.bytes;
    for (let i = (address + RECORD_WORDS) * 4 + keyLength; i < cellAt * 4; i++) bytes[i] = 0;
    for (let i = cellAt * 4 + cellLength; i < end * 4; i++) bytes[i] = 0;
    this.usedWords = end;
  }

  /** Copies whole records in; answers the address of the first. The caller walks and checks them. */
  appendSection(from: Uint8Array, start: number, byteLength: number): number {
    assert(byteLength % 4 === 0, 'a section is whole words');
    const address = this.reserve(byteLength >>> 2);
    this.bytes.set(from.subarray(start, start + byteLength), address * 4);
    this.usedWords = address + (byteLength >>> 2);
    return address;
  }

  keyStart(address: number): number {
    return (address + RECORD_WORDS) * 4;
  }

  keyEnd(address: number): number {
    return (address + RECORD_WORDS) * 4 + ((this.words[address] as number) >>> 16);
  }

  cellStart(address: number): number {
    return (address + RECORD_WORDS + ((((this.words[address] as number) >>> 16) + 3) >>> 2)) * 4;
  }

  cellStartFor(address: number, keyLength: number): number {
    return (address + RECORD_WORDS + ((keyLength + 3) >>> 2)) * 4;
  }

  cellLength(address: number): number {
    return this.words[address + 1] as number;
  }

  /** Address behind the record. */
  after(address: number): number {
    return address + recordWords((this.words[address] as number) >>> 16, this.words[address + 1] as number);
  }

  /** A copy of the record's key. */
  copyKey(address: number): Uint8Array {
    return this.bytes.slice(this.keyStart(address), this.keyEnd(address));
  }

  /** Forgets what came after `usedWords`; addresses from there on are void. */
  truncate(usedWords: number): void {
    assert(usedWords >= FIRST_ADDRESS && usedWords <= this.usedWords, 'an arena is only cut back');
    this.usedWords = usedWords;
  }

  /** Empty again, memory kept. Every address is void. */
  reset(): void {
    this.usedWords = FIRST_ADDRESS;
  }

  #grow(neededWords: number): void {
    assert(this.growable, 'a fixed arena was asked for more than it has: ask hasRoom first');
    let byteLength = this.bytes.length * 2;
    while (byteLength < neededWords * 4) byteLength *= 2;
    const buffer = new ArrayBuffer(byteLength);
    const bytes = new Uint8Array(buffer);
    bytes.set(this.usedWords * 4 === this.bytes.length ? this.bytes : this.bytes.subarray(0, this.usedWords * 4));
    this.bytes = bytes;
    this.words = new Uint32Array(buffer);
    this.#view = viewOf(bytes);
  }
}

/** For records that carry no cell. */
export const NO_CELL: Uint8Array = EMPTY;
