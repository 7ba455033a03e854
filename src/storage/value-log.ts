/**
 * Values that live outside the leaves: one record each in a value segment, named by a 32-byte reference in the cell.
 *
 *   0  u32 magic 'SVAL'   4  u32 store id   8  u32 value length   12  u32 CRC32C of the value
 *   16 u16 key length     18 u16 zero       20 u32 CRC32C of bytes 0-19 and the key       24  key, value, zeros up to 8 bytes
 *
 * A record says to which store and key it belongs, so that compaction can ask whether it is still current by walking a
 * segment alone. A reference names the value's first byte, so that reading needs one read and no header.
 */
import { alignUp, readU16, readU32, readU48, writeU16, writeU32, writeU48 } from '../base/bytes.ts';
import { crc32c } from '../base/checksum.ts';
import { CorruptionError } from '../base/errors.ts';
import { hashBytes, hashResult } from '../base/hash.ts';
import { MAX_VALUE_BYTES } from '../base/limits.ts';
import { cellValueStart, VALUE_REFERENCE_BYTES } from '../codec/cell.ts';
import { SEGMENT_HEADER_BYTES, type Segments } from './segments.ts';
import type { SegmentWriter } from './segment-writer.ts';

export const VALUE_MAGIC = 0x4c415653; // 'SVAL'
export const VALUE_HEADER_BYTES = 24;

export interface ValueReference {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  readonly crc: number;
  readonly keyLength: number;
}

/** Reads the reference in a cell whose CELL_SEPARATE flag is set. `CorruptionError` where it cannot be one. */
export function readValueReference(segments: Segments, cell: Uint8Array, start: number, end: number): ValueReference {
  const at = cellValueStart(cell, start);
  if (at + VALUE_REFERENCE_BYTES > end) throw new CorruptionError('a value reference is cut short');
  return {
    segment: segments.indexOf(readU48(cell, at), readU16(cell, at + 6)),
    offset: readU48(cell, at + 8),
    length: readU32(cell, at + 14),
    crc: readU32(cell, at + 18),
    keyLength: readU16(cell, at + 30),
  };
}

/** Space a value takes in its segment, its record's header and key included. */
export function valueBytes(reference: ValueReference): number {
  return alignUp(VALUE_HEADER_BYTES + reference.keyLength + reference.length, 8);
}

const header = new Uint8Array(VALUE_HEADER_BYTES);

/** Appends a value record and writes its 32-byte reference to `into[at...]`. */
export function appendValue(
  writer: SegmentWriter,
  segments: Segments,
  storeId: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  value: Uint8Array,
  start: number,
  end: number,
  into: Uint8Array,
  at: number,
): void {
  const keyLength = keyEnd - keyStart;
  const length = end - start;
  const crc = crc32c(value, start, end);
  writeU32(header, 0, VALUE_MAGIC);
  writeU32(header, 4, storeId);
  writeU32(header, 8, length);
  writeU32(header, 12, crc);
  writeU16(header, 16, keyLength);
  writeU16(header, 18, 0);
  writeU32(header, 20, crc32c(key, keyStart, keyEnd, crc32c(header, 0, 20)));
  writer.begin(VALUE_HEADER_BYTES + keyLength + length);
  const segment = writer.currentSegment;
  const offset = writer.currentOffset + VALUE_HEADER_BYTES + keyLength;
  writer.add(header, 0, VALUE_HEADER_BYTES);
  writer.add(key, keyStart, keyLength);
  writer.add(value, start, length);
  writer.padTo(8);
  hashBytes(value, start, end, 0, 0);
  writeU48(into, at, segments.writerOf(segment));
  writeU16(into, at + 6, segments.numberOf(segment));
  writeU48(into, at + 8, offset);
  writeU32(into, at + 14, length);
  writeU32(into, at + 18, crc);
  writeU32(into, at + 22, hashResult.low);
  writeU32(into, at + 26, hashResult.high);
  writeU16(into, at + 30, keyLength);
}

function checkedBuffer(segments: Segments, reference: ValueReference): Uint8Array {
  const end = reference.offset + reference.length;
  const plausible = reference.offset >= SEGMENT_HEADER_BYTES && reference.length <= MAX_VALUE_BYTES;
  // Small values are allocated on trust: the read itself finds a short file. Large ones ask for the file's size first.
  if (!plausible || (reference.length > 1024 * 1024 && end > segments.endOf(reference.segment))) {
    throw damaged(segments, reference, 'the value reference points outside its segment');
  }
  return new Uint8Array(reference.length);
}

function checkValue(segments: Segments, reference: ValueReference, value: Uint8Array): Uint8Array {
  if (crc32c(value, 0, value.length) !== reference.crc)
    throw damaged(segments, reference, 'a value fails its checksum');
  return value;
}

function damaged(segments: Segments, reference: ValueReference, message: string): CorruptionError {
  const file = segments.path(reference.segment);
  return new CorruptionError(`${message} (${file} at ${reference.offset}, ${reference.length} bytes)`, {
    details: { file, offset: reference.offset, length: reference.length },
  });
}

/** A fresh copy of the value, checked against its CRC. */
export function readValueSync(segments: Segments, cell: Uint8Array, start: number, end: number): Uint8Array {
  const reference = readValueReference(segments, cell, start, end);
  const value = checkedBuffer(segments, reference);
  segments.readSync(reference.segment, reference.offset, value);
  return checkValue(segments, reference, value);
}

export async function readValue(segments: Segments, cell: Uint8Array, start: number, end: number): Promise<Uint8Array> {
  const reference = readValueReference(segments, cell, start, end);
  const value = checkedBuffer(segments, reference);
  await segments.read(reference.segment, reference.offset, value);
  return checkValue(segments, reference, value);
}
