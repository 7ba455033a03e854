/**
 * Which transactions have committed, by id: (writer, counter).
 *
 *  1. A writer gives out counters densely, so its history is a floor, the highest counter committed and the few between
 *     that did not commit.
 *  2. Below the floor nothing is known: requests are refused there and `resolve` answers "too old to know".
 *  3. The list of exceptions is bounded by raising the floor, so that a row always fits a leaf.
 *  4. The floor stays below a prepared transaction, and below one that was decided late for as long as it would be below a
 *     transaction committed then; only past `MAX_HELD_EXCEPTIONS` it does not.
 *
 * A row of the transaction store: key u48 writer (big-endian); cell: flags 0, u48 floor, u48 last, u48 newest number,
 * u16 count, count x u48 counters that did not commit.
 */
import { hex48, readU16, readU48, writeU16, writeU48 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';

const WINDOW = 100_000;
/** The floor is raised by as many at once: that looks through the exceptions. */
const WINDOW_STEP = 1000;
const MAX_EXCEPTIONS = 300;
/** While transactions wait for their decision. A row of so many, 48 KB, still fits an image. */
const MAX_HELD_EXCEPTIONS = 8000;
/** Among so many, looking for those that wait is not done anew with every commit. */
const HELD_STEP = 100;
/** Decided as many counters later, or more, a transaction is a late one; so many of these are remembered as such. */
const LATE = MAX_EXCEPTIONS / 2;
const MAX_LATE = 1000;
const ROW_FIXED_BYTES = 21;

export interface TransactionId {
  readonly writer: number;
  readonly counter: number;
}

export function formatTransactionId(writer: number, counter: number): string {
  return `${hex48(writer)}-${counter}`;
}

export function parseTransactionId(text: string): TransactionId | undefined {
  const match = /^([0-9a-f]{12})-([1-9]\d{0,14})$/.exec(text);
  if (match === null) return undefined;
  return { writer: Number.parseInt(match[1] as string, 16), counter: Number(match[2]) };
}

export class WriterIds {
  floor = 0;
  last = 0;
  /** Number of the newest transaction this writer committed. */
  newest = 0;
  readonly missing = new Set<number>();
  changed = false;

  /** The lowest counter of those of this writer that are prepared, or were until lately. */
  lowestPrepared: () => number = noCounter;
  /** Those that were decided late: the newest counter at that time, by their own. */
  readonly #late = new Map<number, number>();
  /** So many exceptions are no reason to look whether the floor can be raised. */
  #room = MAX_EXCEPTIONS;

  noteCommitted(counter: number, number: number): void {
    this.changed = true;
    this.newest = number;
    if (counter <= this.last) {
      this.missing.delete(counter);
      return;
    }
    if (counter - this.last > MAX_EXCEPTIONS) {
      this.#raise(counter - MAX_EXCEPTIONS, counter - this.last + this.missing.size <= MAX_HELD_EXCEPTIONS);
    }
    for (let skipped = Math.max(this.last, this.floor) + 1; skipped < counter; skipped++) this.missing.add(skipped);
    this.last = counter;
    if (this.last - this.floor > WINDOW + WINDOW_STEP) this.#raise(this.last - WINDOW, true);
    if (this.missing.size > this.#room) this.#thinOut();
  }

  /** One that was prepared is decided, either way. */
  noteDecided(counter: number): void {
    if (this.last - counter < LATE || this.#late.size >= MAX_LATE) return;
    this.#late.set(counter, this.last);
  }

  /** Undefined: too old to know. */
  outcome(counter: number): 'committed' | 'unknown' | undefined {
    if (counter <= this.floor) return undefined;
    return counter <= this.last && !this.missing.has(counter) ? 'committed' : 'unknown';
  }

  #thinOut(): void {
    const { missing } = this;
    let excess = missing.size - MAX_EXCEPTIONS;
    for (const counter of missing) {
      if (--excess > 0) continue;
      this.#raise(counter, missing.size <= MAX_HELD_EXCEPTIONS);
      break;
    }
    this.#room = missing.size <= MAX_EXCEPTIONS ? MAX_EXCEPTIONS : missing.size + HELD_STEP;
  }

  /** To `wanted`, or less where one of those `holds` whose outcome must be known longer. */
  #raise(wanted: number, holds: boolean): void {
    const floor = holds ? Math.min(wanted, this.#lowestHeld(wanted) - 1) : wanted;
    if (floor <= this.floor) return;
    this.floor = floor;
    for (const counter of this.missing) if (counter <= floor) this.missing.delete(counter);
  }

  #lowestHeld(wanted: number): number {
    let lowest = this.lowestPrepared();
    for (const [counter, until] of this.#late) {
      if (until <= wanted) this.#late.delete(counter);
      else lowest = Math.min(lowest, counter);
    }
    return lowest;
  }
}

const noCounter = (): number => Number.POSITIVE_INFINITY;

export function encodeWriterIds(ids: WriterIds): Uint8Array {
  const cell = new Uint8Array(ROW_FIXED_BYTES + ids.missing.size * 6);
  writeU48(cell, 1, ids.floor);
  writeU48(cell, 7, ids.last);
  writeU48(cell, 13, ids.newest);
  writeU16(cell, 19, ids.missing.size);
  let at = ROW_FIXED_BYTES;
  for (const counter of ids.missing) {
    writeU48(cell, at, counter);
    at += 6;
  }
  return cell;
}

export function decodeWriterIds(cell: Uint8Array): WriterIds {
  const count = cell.length < ROW_FIXED_BYTES ? -1 : readU16(cell, 19);
  if (count < 0 || cell.length !== ROW_FIXED_BYTES + count * 6)
    throw new CorruptionError('a row of transaction ids is malformed');
  const ids = new WriterIds();
  ids.floor = readU48(cell, 1);
  ids.last = readU48(cell, 7);
  ids.newest = readU48(cell, 13);
  for (let i = 0; i < count; i++) ids.missing.add(readU48(cell, ROW_FIXED_BYTES + i * 6));
  return ids;
}

export function writerKey(writer: number): Uint8Array {
  const key = new Uint8Array(6);
  for (let i = 5, rest = writer; i >= 0; i--, rest = Math.floor(rest / 256)) key[i] = rest % 256;
  return key;
}

/** All writers of a database, rows loaded when first asked for. */
export class TransactionIds {
  readonly #writers = new Map<number, WriterIds>();
  readonly #loadRow: (writer: number) => Uint8Array | undefined;
  readonly #lowestPrepared: (writer: number) => number;

  /** `lowestPrepared`: see `WriterIds`. */
  constructor(
    loadRow: (writer: number) => Uint8Array | undefined,
    lowestPrepared: (writer: number) => number = noCounter,
  ) {
    this.#loadRow = loadRow;
    this.#lowestPrepared = lowestPrepared;
  }

  writer(writer: number): WriterIds {
    let ids = this.#writers.get(writer);
    if (ids === undefined) {
      const row = this.#loadRow(writer);
      ids = this.#know(writer, row === undefined ? new WriterIds() : decodeWriterIds(row));
    }
    return ids;
  }

  /** A writer that is known to have no row yet: its commits then never wait for the disk, nor fail with it. */
  begin(writer: number): void {
    this.#know(writer, new WriterIds());
  }

  #know(writer: number, ids: WriterIds): WriterIds {
    ids.lowestPrepared = () => this.#lowestPrepared(writer);
    this.#writers.set(writer, ids);
    return ids;
  }

  /** Undefined: too old to know. Remembers nothing of writers that never committed. */
  outcome(writer: number, counter: number): 'committed' | 'unknown' | undefined {
    const ids = this.#writers.get(writer);
    if (ids !== undefined) return ids.outcome(counter);
    const row = this.#loadRow(writer);
    return row === undefined ? 'unknown' : decodeWriterIds(row).outcome(counter);
  }

  noteCommitted(writer: number, counter: number, number: number): void {
    this.writer(writer).noteCommitted(counter, number);
  }

  noteDecided(writer: number, counter: number): void {
    this.writer(writer).noteDecided(counter);
  }

  /** After a checkpoint that was given up: what it took must be written by the next one. */
  markChanged(): void {
    for (const ids of this.#writers.values()) ids.changed = true;
  }

  /** Rows to write at a checkpoint: changed since the last call, by key order. */
  takeChanged(): { writer: number; row: Uint8Array }[] {
    const rows: { writer: number; row: Uint8Array }[] = [];
    for (const [writer, ids] of this.#writers) {
      if (!ids.changed) continue;
      ids.changed = false;
      rows.push({ writer, row: encodeWriterIds(ids) });
    }
    return rows.sort((a, b) => a.writer - b.writer);
  }
}
