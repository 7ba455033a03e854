/**
 * A cell: what an entry holds behind its sort key, in the log, in memory tables and in leaves alike.
 *
 *   byte 0      flags
 *   [u16 n, n bytes]   the ride-on part, where CELL_RIDE_ON is set
 *   the rest    the encoded value, or, where CELL_SEPARATE is set, a value reference of 32 bytes:
 *
 *   0   u48 writer      6   u16 segment number        8   u48 offset of the value's first byte in the segment
 *   14  u32 value length in bytes     18  u32 CRC32C of the value     22  u32 low, u32 high: value hash (hash.ts)
 *   30  u16 length of the key, which stands in the value's record too: what the value takes in its segment is known
 *
 * CELL_WANTS_SEPARATE is a wish for checkpoint: move the value to a value record however short it is (stores whose values are
 * declared 'separate'). It changes nothing about how the cell is read.
 * CELL_TOMBSTONE stands alone (one byte): in adopted runs it says that the key was removed.
 */

export const CELL_SEPARATE = 1;
export const CELL_RIDE_ON = 2;
/** The value is inline now and wants a record of its own: checkpoint moves it out, however short it is. */
export const CELL_WANTS_SEPARATE = 4;
export const CELL_TOMBSTONE = 0x80;

export const VALUE_REFERENCE_BYTES = 32;
const KEY_AT = 3;

/**
 * A cell that holds another entry's key and nothing else. The key rides on: values are moved out of cells that are too long, and
 * this is none.
 */
export function encodeKeyCell(key: Uint8Array): Uint8Array {
  const cell = new Uint8Array(KEY_AT + key.length);
  cell[0] = CELL_RIDE_ON;
  cell[1] = key.length;
  cell[2] = key.length >>> 8;
  cell.set(key, KEY_AT);
  return cell;
}

/** A copy of the key in such a cell; undefined where it is none. */
export function keyOfCell(cell: Uint8Array, start: number, end: number): Uint8Array | undefined {
  const keyStart = start + KEY_AT;
  if (keyStart > end || cell[start] !== CELL_RIDE_ON || cellValueStart(cell, start) !== end) return undefined;
  return cell.slice(keyStart, end);
}

/** Where the value (or its reference) begins in the cell that starts at `start`. */
export function cellValueStart(bytes: Uint8Array, start: number): number {
  const flags = bytes[start] as number;
  if ((flags & CELL_RIDE_ON) === 0) return start + 1;
  return start + 3 + ((bytes[start + 1] as number) | ((bytes[start + 2] as number) << 8));
}
