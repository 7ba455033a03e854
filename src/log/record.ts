/**
 * A change, as bytes: the one form in which it is encoded by a transaction, written to the log, kept in the memory
 * table's arena and read by the merge. Records are sequences of 32-bit little-endian words and begin on a word.
 *
 *   word 0   op (8 bits) | flags (8 bits) | key length in bytes (16 bits)
 *   word 1   cell length in bytes
 *   word 2   zero in the log; in a memory table: transaction number minus the table's base number
 *   word 3   zero in the log; in a memory table: word address of the next older version of the same key, 0 for none
 *   key      padded with zeros to a word
 *   cell     padded with zeros to a word
 *
 * For a RANGE_REMOVE the key is the lower bound (inclusive) and the cell the upper bound (exclusive); RANGE_UNBOUNDED
 * says that there is no upper bound and the cell is empty.
 */

export const OP_PUT = 1;
export const OP_REMOVE = 2;
export const OP_RANGE_REMOVE = 3;
/** Cell: an increment (codec/counter.ts). */
export const OP_INCREMENT = 4;
/** A record its own transaction took back: skipped by everyone. */
export const OP_NOOP = 5;

/** The writer knew whether the key was there before this change: then RECORD_EXISTED says so. */
export const RECORD_KNOWN = 1;
export const RECORD_EXISTED = 2;
export const RANGE_UNBOUNDED = 4;
/** The key ends with a placeholder for the number (placeholder.ts), which a memory table fills in. */
export const RECORD_PLACEHOLDER = 0x80;

/** Header size in words, in bytes. */
export const RECORD_WORDS = 4;
export const RECORD_HEADER_BYTES = 16;

export function recordOp(word0: number): number {
  return word0 & 0xff;
}

export function recordFlags(word0: number): number {
  return (word0 >>> 8) & 0xff;
}

export function recordKeyLength(word0: number): number {
  return word0 >>> 16;
}

export function recordWord0(op: number, flags: number, keyLength: number): number {
  return (op | (flags << 8) | (keyLength << 16)) >>> 0;
}

/** Words a record takes, padding included. */
export function recordWords(keyLength: number, cellLength: number): number {
  return RECORD_WORDS + ((keyLength + 3) >>> 2) + ((cellLength + 3) >>> 2);
}
