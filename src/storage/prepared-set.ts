/**
 * Prepared transactions: in the log as whole as any other, in no table before their decision.
 *
 *  1. Undecided at number N are those whose PREPARE record is at or below N and whose DECIDE record is not. A root that
 *     covers N holds exactly these as rows of the prepared store; the log after it says the rest.
 *  2. So each stays here until a root covers its decision: a log that is read again begins from the root.
 *  3. One that is committed enters table and order at the number of its decision.
 *  4. The segments that its runs and values lie in are in use for as long as it is here.
 *
 * A row: key u48 writer, u48 counter (big-endian); cell: flags 0, u48 number of the PREPARE record, then the transaction
 * as it stands in the log (batch.ts). A checkpoint moves long ones to a value segment like any long cell.
 *
 * Payload of a DECIDE record: u48 writer, u16 zero, u48 counter of the prepared transaction, u8 verdict (1 commit, 2 abort), u8 zero.
 */
import { compareKeys, copyBytes, readU32, readU48, writeU48 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { CELL_SEPARATE } from '../codec/cell.ts';
import { BATCH_HEADER_BYTES } from '../log/batch.ts';
import { BatchCursor } from '../log/batch-cursor.ts';
import { OP_PUT, RECORD_HEADER_BYTES, recordKeyLength, recordOp, recordWords } from '../log/record.ts';
import { decodeHandle, type Handle, HANDLE_BYTES, type SegmentNames } from '../node/handle.ts';
import { decodeReclaim } from './reclaim.ts';

const ROW_FIXED_BYTES = 7;
const KEY_BYTES = 12;
const DECISION_BYTES = 16;

export interface Decision {
  readonly writer: number;
  readonly counter: number;
  readonly isCommit: boolean;
}

export function encodeDecision({ writer, counter, isCommit }: Decision): Uint8Array {
  const payload = new Uint8Array(DECISION_BYTES);
  writeU48(payload, 0, writer);
  writeU48(payload, 8, counter);
  payload[14] = isCommit ? 1 : 2;
  return payload;
}

export function decodeDecision(bytes: Uint8Array, start: number, length: number): Decision {
  const verdict = length === DECISION_BYTES ? bytes[start + 14] : 0;
  if (verdict !== 1 && verdict !== 2) throw new CorruptionError('a decision in the log is malformed');
  return { writer: readU48(bytes, start), counter: readU48(bytes, start + 8), isCommit: verdict === 1 };
}

export interface PreparedVisitor {
  run(storeId: number, root: Handle): void;
  separate(storeId: number, bytes: Uint8Array, start: number, end: number): void;
}

export class PreparedTransaction {
  readonly writer: number;
  readonly counter: number;
  /** Of its PREPARE record. */
  readonly number: number;
  /** The transaction as it stands in the log. */
  readonly bytes: Uint8Array;
  /** Number of its DECIDE record; 0 while it waits for one. */
  decidedAt = 0;
  committed = false;
  /** The newest root has a row of it. */
  stored = false;
  #segments: { readonly runs: number[]; readonly values: number[] } | undefined;

  constructor(writer: number, counter: number, number: number, bytes: Uint8Array) {
    this.writer = writer;
    this.counter = counter;
    this.number = number;
    this.bytes = bytes;
  }

  /** A cursor that stands on it. `CorruptionError` where it is malformed. */
  open(): BatchCursor {
    const cursor = new BatchCursor();
    const { bytes, number } = this;
    cursor.reset(bytes, -BATCH_HEADER_BYTES, number, 1, BATCH_HEADER_BYTES + bytes.length, 'a prepared transaction');
    cursor.nextTransaction();
    return cursor;
  }

  /** Ids of the stores it changes, ascending. */
  stores(): number[] {
    const ids = new Set<number>();
    const cursor = this.open();
    while (cursor.nextSection()) ids.add(cursor.storeId);
    while (cursor.nextRun()) ids.add(cursor.runStoreId);
    return [...ids].sort((a, b) => a - b);
  }

  /** Segments that its runs and its values lie in. */
  segments(names: SegmentNames): { readonly runs: readonly number[]; readonly values: readonly number[] } {
    this.#segments ??= findSegments(this.open(), names);
    return this.#segments;
  }

  /** The roots of its runs, and the cells of its records whose values are separate, which are valid during the call. */
  visit(names: SegmentNames, visitor: PreparedVisitor): void {
    const cursor = this.open();
    while (cursor.nextSection()) {
      const { storeId, bytes } = cursor;
      forEachRecord(cursor, (op, _, keyEnd, cellLength) => {
        const start = (keyEnd + 3) & ~3;
        if (op !== OP_PUT || cellLength === 0 || ((bytes[start] as number) & CELL_SEPARATE) === 0) return;
        visitor.separate(storeId, bytes, start, start + cellLength);
      });
    }
    while (cursor.nextRun()) {
      if (cursor.runLength < HANDLE_BYTES) refuseRun();
      visitor.run(cursor.runStoreId, decodeHandle(cursor.bytes, cursor.runStart, names));
    }
  }

  isUndecidedAt(number: number): boolean {
    return this.number <= number && (this.decidedAt === 0 || this.decidedAt > number);
  }
}

function findSegments(cursor: BatchCursor, names: SegmentNames): { runs: number[]; values: number[] } {
  const runs: number[] = [];
  while (cursor.nextRun()) runs.push(runSegment(cursor, names));
  const { bytes, payloadStart, payloadLength } = cursor;
  const listLength = payloadLength < 12 ? payloadLength : 4 + readU32(bytes, payloadStart + 8) * 8;
  if (8 + listLength > payloadLength) throw new CorruptionError('a prepared transaction in the log is malformed');
  return { runs, values: decodeReclaim(names, bytes, payloadStart + 8, listLength) };
}

function refuseRun(): never {
  throw new CorruptionError('the descriptor of a run is malformed');
}

function runSegment(cursor: BatchCursor, names: SegmentNames): number {
  if (cursor.runLength < HANDLE_BYTES) refuseRun();
  return decodeHandle(cursor.bytes, cursor.runStart, names).segment;
}

/** The records of the section the cursor stands on; the cell begins at the word behind the key. */
export function forEachRecord(
  { bytes, sectionStart, sectionLength, storeId }: BatchCursor,
  visit: (op: number, keyStart: number, keyEnd: number, cellLength: number, word0: number) => void,
): void {
  const end = sectionStart + sectionLength;
  for (let at = sectionStart; at < end; ) {
    const left = end - at;
    const word0 = left < RECORD_HEADER_BYTES ? 0 : readU32(bytes, at);
    const cellLength = left < RECORD_HEADER_BYTES ? left : readU32(bytes, at + 4);
    const keyLength = recordKeyLength(word0);
    const size = cellLength >= left ? left + 1 : recordWords(keyLength, cellLength) * 4;
    if (size > left) throw new CorruptionError('a section of records is malformed', { details: { storeId } });
    const keyStart = at + RECORD_HEADER_BYTES;
    visit(recordOp(word0), keyStart, keyStart + keyLength, cellLength, word0);
    at += size;
  }
}

export interface PreparedRow {
  readonly key: Uint8Array;
  /** Undefined: the row goes. */
  readonly cell: Uint8Array | undefined;
}

export class PreparedSet {
  readonly #all = new Map<string, PreparedTransaction>();
  #undecided: readonly PreparedTransaction[] = [];

  /** Those that wait for a decision, in the order of their numbers. */
  get undecided(): readonly PreparedTransaction[] {
    return this.#undecided;
  }

  /** Those that waited for a decision when `number` was the newest, in the order of their numbers. */
  undecidedAt(number: number): PreparedTransaction[] {
    const found = [...this.#all.values()].filter((one) => one.isUndecidedAt(number));
    return found.sort((a, b) => a.number - b.number);
  }

  get isEmpty(): boolean {
    return this.#all.size === 0;
  }

  /** Whether a new root would have other rows than the newest one. */
  get hasNews(): boolean {
    for (const one of this.#all.values()) if (one.stored === one.decidedAt > 0) return true;
    return false;
  }

  /** Bytes of the log that only a new root makes needless. */
  get bytesInLog(): number {
    let sum = 0;
    for (const one of this.#all.values()) if (!one.stored) sum += one.bytes.length;
    return sum;
  }

  /** The lowest counter of a writer's that are here; infinity where there is none. */
  lowestCounter(writer: number): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const one of this.#all.values()) if (one.writer === writer) lowest = Math.min(lowest, one.counter);
    return lowest;
  }

  get(writer: number, counter: number): PreparedTransaction | undefined {
    return this.#all.get(idText(writer, counter));
  }

  /** `bytes` are kept. */
  add(writer: number, counter: number, number: number, bytes: Uint8Array): PreparedTransaction {
    const one = new PreparedTransaction(writer, counter, number, bytes);
    this.#all.set(idText(writer, counter), one);
    this.#changed();
    return one;
  }

  /** The decision is in the log, at `number`. `CorruptionError` where nothing waits for it. */
  decide({ writer, counter, isCommit }: Decision, number: number): PreparedTransaction {
    const one = this.get(writer, counter);
    if (one === undefined || one.decidedAt > 0) {
      throw new CorruptionError('the log decides a transaction that does not wait for it', {
        details: { transactionId: idText(writer, counter), number },
      });
    }
    one.decidedAt = number;
    one.committed = isCommit;
    this.#changed();
    return one;
  }

  /** All segments that must stay because of prepared transactions. */
  segments(names: SegmentNames): Set<number> {
    const found = new Set<number>();
    for (const one of this.#all.values()) {
      const { runs, values } = one.segments(names);
      for (const segment of runs) found.add(segment);
      for (const segment of values) found.add(segment);
    }
    return found;
  }

  /** Takes in a row of the root. */
  load(key: Uint8Array, keyStart: number, keyEnd: number, cell: Uint8Array): void {
    if (keyEnd - keyStart !== KEY_BYTES || cell.length < ROW_FIXED_BYTES) {
      throw new CorruptionError('a row of the prepared store is malformed');
    }
    const writer = readBig48(key, keyStart);
    const counter = readBig48(key, keyStart + 6);
    const one = this.add(writer, counter, readU48(cell, 1), copyBytes(cell, ROW_FIXED_BYTES));
    one.stored = true;
    const content = one.open();
    if (content.idWriter !== writer || content.idCounter !== counter) {
      throw new CorruptionError('a row of the prepared store holds another transaction');
    }
  }

  /** Whether the root that covers `covered` has rows. */
  hasRowsAt(covered: number): boolean {
    for (const one of this.#all.values()) if (one.isUndecidedAt(covered)) return true;
    return false;
  }

  /** What the root that covers `covered` has other than the newest one, by key. */
  rowsFor(covered: number): PreparedRow[] {
    const rows: PreparedRow[] = [];
    for (const one of this.#all.values()) {
      const belongs = one.isUndecidedAt(covered);
      if (belongs !== one.stored) rows.push({ key: keyOf(one), cell: belongs ? cellOf(one) : undefined });
    }
    return rows.sort((a, b) => compareKeys(a.key, b.key));
  }

  /** The newest root covers `covered`. Answers those that it makes a thing of the past. */
  adopted(covered: number): PreparedTransaction[] {
    const past: PreparedTransaction[] = [];
    for (const [id, one] of this.#all) {
      one.stored = one.isUndecidedAt(covered);
      if (one.decidedAt === 0 || one.decidedAt > covered) continue;
      this.#all.delete(id);
      past.push(one);
    }
    return past;
  }

  /** As the root that covers `covered` knows it: the log after it is about to be read again. Answers what undoes that. */
  reset(covered: number): () => void {
    const before = [...this.#all].map(([id, one]) => {
      const { decidedAt, committed, stored } = one;
      return { id, one, was: { decidedAt, committed, stored } };
    });
    this.adopted(covered);
    for (const [id, one] of this.#all) {
      if (one.number > covered) this.#all.delete(id);
      one.decidedAt = 0;
      one.committed = false;
    }
    this.#changed();
    return () => {
      this.#all.clear();
      for (const { id, one, was } of before) this.#all.set(id, Object.assign(one, was));
      this.#changed();
    };
  }

  #changed(): void {
    this.#undecided = this.undecidedAt(Number.POSITIVE_INFINITY);
  }
}

function idText(writer: number, counter: number): string {
  return `${writer.toString(16)}-${counter}`;
}

function keyOf({ writer, counter }: PreparedTransaction): Uint8Array {
  const key = new Uint8Array(KEY_BYTES);
  for (let i = 5, rest = writer; i >= 0; i--, rest = Math.floor(rest / 256)) key[i] = rest % 256;
  for (let i = 11, rest = counter; i >= 6; i--, rest = Math.floor(rest / 256)) key[i] = rest % 256;
  return key;
}

function cellOf(one: PreparedTransaction): Uint8Array {
  const cell = new Uint8Array(ROW_FIXED_BYTES + one.bytes.length);
  writeU48(cell, 1, one.number);
  cell.set(one.bytes, ROW_FIXED_BYTES);
  return cell;
}

function readBig48(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = 0; i < 6; i++) value = value * 256 + (bytes[at + i] as number);
  return value;
}
