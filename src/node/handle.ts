/**
 * A handle: what a parent keeps of a child image, and what the forest keeps of each store's root. 40 bytes:
 *
 *   0   u48 writer          6   u16 segment number      8   u32 offset          12  u32 length of the image
 *   16  u48 entries under it     22  u8 level (0 is a leaf)     23  u8 flags (bit 0: sums inexact below)
 *   24  u32, u32 digest (low, high lane)     32  u48 newest number under it     38  u16 zero
 *
 * In memory a segment is a small local index (see `SegmentNames`), so that an address is two small numbers.
 */
import { readU16, readU32, readU48, writeU16, writeU32, writeU48 } from '../base/bytes.ts';

export const HANDLE_BYTES = 40;

export interface Handle {
  /** Local index of the segment, given by `SegmentNames`. */
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  readonly level: number;
  /** Entries under this handle; exact unless `inexact`. */
  readonly entries: number;
  readonly digestLow: number;
  readonly digestHigh: number;
  /** Newest transaction number under this handle. */
  readonly newest: number;
  readonly inexact: boolean;
}

/** Segment (writer, number) pairs as small local indexes, given out in the order they are first met. */
export interface SegmentNames {
  indexOf(writer: number, segmentNumber: number): number;
  writerOf(index: number): number;
  numberOf(index: number): number;
}

export function encodeHandle(handle: Handle, names: SegmentNames, bytes: Uint8Array, at: number): void {
  writeU48(bytes, at, names.writerOf(handle.segment));
  writeU16(bytes, at + 6, names.numberOf(handle.segment));
  writeU32(bytes, at + 8, handle.offset);
  writeU32(bytes, at + 12, handle.length);
  writeU48(bytes, at + 16, handle.entries);
  bytes[at + 22] = handle.level;
  bytes[at + 23] = handle.inexact ? 1 : 0;
  writeU32(bytes, at + 24, handle.digestLow);
  writeU32(bytes, at + 28, handle.digestHigh);
  writeU48(bytes, at + 32, handle.newest);
  writeU16(bytes, at + 38, 0);
}

export function decodeHandle(bytes: Uint8Array, at: number, names: SegmentNames): Handle {
  return {
    segment: names.indexOf(readU48(bytes, at), readU16(bytes, at + 6)),
    offset: readU32(bytes, at + 8),
    length: readU32(bytes, at + 12),
    entries: readU48(bytes, at + 16),
    level: bytes[at + 22] as number,
    inexact: ((bytes[at + 23] as number) & 1) !== 0,
    digestLow: readU32(bytes, at + 24),
    digestHigh: readU32(bytes, at + 28),
    newest: readU48(bytes, at + 32),
  };
}
