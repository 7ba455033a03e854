/**
 * The hash of one entry: key, ride-on part and value, never the version and never where the value lives. Digests are
 * sums of it, lane by lane modulo 2^32, so that taking one entry out and putting another in is two additions.
 */
import { hashResult, hashView } from '../base/hash.ts';
import { CELL_RIDE_ON, CELL_SEPARATE, CELL_TOMBSTONE, VALUE_REFERENCE_BYTES } from '../codec/cell.ts';

/** The last entry hash, low and high lane, both unsigned 32 bits. */
export const entryHash = { low: 0, high: 0 };

const KEY_SEED_LOW = 0x5bd1e995;
const KEY_SEED_HIGH = 0x27d4eb2f;

/** Hashes the entry into `entryHash`. A cell too short for what its flags say is hashed as far as it goes. */
export function hashEntry(
  key: DataView,
  keyStart: number,
  keyEnd: number,
  cell: DataView,
  cellStart: number,
  cellEnd: number,
): void {
  hashView(key, keyStart, keyEnd, KEY_SEED_LOW, KEY_SEED_HIGH);
  let low = hashResult.low;
  let high = hashResult.high;
  const flags = cellStart < cellEnd ? cell.getUint8(cellStart) : CELL_TOMBSTONE;
  let valueStart = cellStart + 1 < cellEnd ? cellStart + 1 : cellEnd;
  if ((flags & CELL_RIDE_ON) !== 0 && cellStart + 3 <= cellEnd) {
    valueStart = Math.min(cellStart + 3 + cell.getUint16(cellStart + 1, true), cellEnd);
    if (valueStart > cellStart + 3) {
      hashView(cell, cellStart + 3, valueStart, low, high);
      low = hashResult.low;
      high = hashResult.high;
    }
  }
  if ((flags & CELL_SEPARATE) !== 0 && cellEnd - valueStart === VALUE_REFERENCE_BYTES) {
    hashResult.low = cell.getUint32(valueStart + 22, true);
    hashResult.high = cell.getUint32(valueStart + 26, true);
  } else {
    hashView(cell, valueStart, cellEnd, 0, 0);
  }
  if ((flags & CELL_TOMBSTONE) !== 0) low ^= 0x80000000;
  entryHash.low = mix(low, hashResult.low);
  entryHash.high = mix(high, hashResult.high);
}

/** Not symmetric, so that key and value swapped are another entry. */
function mix(keyLane: number, valueLane: number): number {
  let h = Math.imul(keyLane, 0x9e3779b1) + Math.imul(valueLane ^ (valueLane >>> 15), 0x85ebca77);
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}
