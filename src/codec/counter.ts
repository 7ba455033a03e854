/**
 * Counters as bytes: two's-complement 64-bit integers, little-endian, in fixed slots of a cell, and the increments that are
 * added to them. Addition wraps round, so it is associative: in which order increments are folded never matters.
 *
 * The slots of a cell stand at the head of its ride-on part where it has one, else at the head of its value. An increment has
 * an amount for every slot of its store:
 *
 *   byte 0   1: a key that is absent gets an entry whose value is the amounts; 0: it stays absent
 *   1-3      zero
 *   4-7      zero in the log; in a memory table: what it is added to there (storage/increments.ts)
 *   8        one amount after another, 8 bytes each
 */
import { readU32, writeU32 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { CELL_RIDE_ON, CELL_SEPARATE } from './cell.ts';

export const COUNTER_BYTES = 8;
export const INCREMENT_HEAD_BYTES = 8;
/** In byte 0 of an increment. */
export const INCREMENT_CREATES = 1;

const TWO_32 = 2 ** 32;
const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;

/** Whether an increment can be so long: at least one amount, nothing but whole ones. */
export function isIncrementLength(byteLength: number): boolean {
  return byteLength > INCREMENT_HEAD_BYTES && byteLength % COUNTER_BYTES === 0;
}

export function fitsCounter(value: bigint): boolean {
  return value >= LEAST && value <= MOST;
}

export function writeCounter(bytes: Uint8Array, at: number, value: number | bigint): void {
  if (typeof value === 'bigint') {
    const wrapped = BigInt.asUintN(64, value);
    writeU32(bytes, at, Number(wrapped & 0xffff_ffffn));
    writeU32(bytes, at + 4, Number(wrapped >> 32n));
    return;
  }
  const high = Math.floor(value / TWO_32);
  writeU32(bytes, at, value - high * TWO_32);
  writeU32(bytes, at + 4, high >>> 0);
}

/** The nearest number; exact up to 2 ** 53. */
export function readCounter(bytes: Uint8Array, at: number): number {
  return (readU32(bytes, at + 4) | 0) * TWO_32 + readU32(bytes, at);
}

export function readBigCounter(bytes: Uint8Array, at: number): bigint {
  return (BigInt(readU32(bytes, at + 4) | 0) << 32n) | BigInt(readU32(bytes, at));
}

/** Adds the amounts of the increment at `from[start, end)` to as many slots from `at` on. */
export function addAmounts(into: Uint8Array, at: number, from: Uint8Array, start: number, end: number): void {
  let to = at;
  for (let i = start + INCREMENT_HEAD_BYTES; i < end; i += COUNTER_BYTES, to += COUNTER_BYTES) {
    const low = readU32(into, to) + readU32(from, i);
    const carry = low >= TWO_32 ? 1 : 0;
    writeU32(into, to, low >>> 0);
    writeU32(into, to + 4, (readU32(into, to + 4) + readU32(from, i + 4) + carry) >>> 0);
  }
}

/** Where the slots of the cell at `start` begin. `CorruptionError` where it has no room for so many bytes of them. */
export function slotsOfCell(cell: Uint8Array, start: number, end: number, byteLength: number): number {
  const flags = cell[start] as number;
  const hasRideOn = (flags & CELL_RIDE_ON) !== 0;
  const at = start + (hasRideOn ? 3 : 1);
  const room =
    hasRideOn && start + 3 <= end ? (cell[start + 1] as number) | ((cell[start + 2] as number) << 8) : end - at;
  const isApart = !hasRideOn && (flags & CELL_SEPARATE) !== 0;
  if (start >= end || isApart || byteLength > room || at + room > end) {
    throw new CorruptionError('an increment meets an entry without its counters', {
      details: { cellBytes: end - start, counters: byteLength / COUNTER_BYTES },
    });
  }
  return at;
}

/** A new cell: that of an entry with an increment added to it. */
export function incrementedCell(
  cell: Uint8Array,
  cellStart: number,
  cellEnd: number,
  increment: Uint8Array,
  start: number,
  end: number,
): Uint8Array {
  const slots = slotsOfCell(cell, cellStart, cellEnd, end - start - INCREMENT_HEAD_BYTES);
  const sum = cell.slice(cellStart, cellEnd);
  addAmounts(sum, slots - cellStart, increment, start, end);
  return sum;
}

/** The cell of the entry that an increment of an absent key makes; undefined where it stays absent. */
export function createdCell(increment: Uint8Array, start: number, end: number): Uint8Array | undefined {
  if (((increment[start] as number) & INCREMENT_CREATES) === 0) return undefined;
  const cell = new Uint8Array(1 + end - start - INCREMENT_HEAD_BYTES);
  cell.set(increment.subarray(start + INCREMENT_HEAD_BYTES, end), 1);
  return cell;
}
