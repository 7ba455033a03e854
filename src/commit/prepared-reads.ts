/**
 * The payload of a PREPARE record: where the transaction's values lie (its runs refer to some as well) and what it has read.
 *
 *   u48 snapshot, u16 zero, the segments its values lie in (u32 count; u48 writer, u16 number each)
 *   u32 stores; per store: u32 store id, u32 keys, u32 ranges, then the keys (u32 length, bytes)
 *   and the ranges (lower, upper); u32 rows; per row: u32 store id, key, expected cell, cell that is as good
 *
 * A bound or cell is u32 length and its bytes; the length ffffffff says that there is none.
 */
import { readU32, readU48, writeU32, writeU48 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import type { SegmentNames } from '../node/handle.ts';
import { encodeReclaim } from '../storage/reclaim.ts';
import { ReadSet, type StoreReads } from './read-set.ts';

const NONE = 0xffff_ffff;

/** `segments`: local indexes. */
export function encodeReads(
  snapshot: number,
  segments: ReadonlySet<number>,
  names: SegmentNames,
  reads: ReadSet,
): Uint8Array {
  const out = new Out();
  const list = encodeReclaim(names, [...segments]);
  out.room(8 + list.length);
  writeU48(out.bytes, 0, snapshot);
  out.bytes.set(list, 8);
  out.length = 8 + list.length;
  out.u32(reads.stores.length);
  for (const store of reads.stores) encodeStore(out, store);
  out.u32(reads.rows.length);
  for (const row of reads.rows) {
    out.u32(row.storeId);
    out.text(row.key);
    out.text(row.expected);
    out.text(row.orEqual);
  }
  return out.bytes.subarray(0, out.length);
}

function encodeStore(out: Out, store: StoreReads): void {
  out.u32(store.storeId);
  out.u32(store.keyCount);
  out.u32(store.ranges.length);
  let start = 0;
  for (let i = 0; i < store.keyCount; i++) {
    const end = store.keyEnds[i] as number;
    out.text(store.keyBytes.subarray(start, end));
    start = end;
  }
  for (const range of store.ranges) {
    out.text(range.lower);
    out.text(range.upper);
  }
}

/** Reads the payload in `bytes[start, start + length)`. `CorruptionError` where it is malformed. */
export function decodeReads(bytes: Uint8Array, start: number, length: number): { snapshot: number; reads: ReadSet } {
  const segments = length < 20 ? length : 12 + readU32(bytes, start + 8) * 8;
  if (segments > length) throw malformed();
  const input = new In(bytes, start + segments, start + length);
  const reads = new ReadSet();
  for (let stores = input.u32(); stores > 0; stores--) decodeStore(input, reads);
  for (let rows = input.u32(); rows > 0; rows--) {
    const storeId = input.u32();
    const key = input.text();
    if (key === undefined) throw malformed();
    reads.rows.push({ storeId, key, expected: input.text(), orEqual: input.text() });
  }
  return { snapshot: readU48(bytes, start), reads };
}

function decodeStore(input: In, reads: ReadSet): void {
  const store = reads.store(input.u32());
  const keys = input.u32();
  const ranges = input.u32();
  for (let i = 0; i < keys; i++) {
    const key = input.text();
    if (key === undefined) throw malformed();
    store.addKey(key, 0, key.length);
  }
  for (let i = 0; i < ranges; i++) store.addRange(input.text(), input.text());
}

function malformed(): CorruptionError {
  return new CorruptionError('the read set of a prepared transaction is malformed');
}

class Out {
  bytes = new Uint8Array(256);
  length = 0;

  room(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.length + more, this.bytes.length * 2));
    grown.set(this.bytes);
    this.bytes = grown;
  }

  u32(value: number): void {
    this.room(4);
    writeU32(this.bytes, this.length, value);
    this.length += 4;
  }

  text(bytes: Uint8Array | undefined): void {
    this.u32(bytes === undefined ? NONE : bytes.length);
    if (bytes === undefined) return;
    this.room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }
}

/** Every count is used up by items of four bytes at least, so none is looped over for longer than there are bytes. */
class In {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  u32(): number {
    if (this.#at + 4 > this.#end) throw malformed();
    this.#at += 4;
    return readU32(this.#bytes, this.#at - 4);
  }

  text(): Uint8Array | undefined {
    const length = this.u32();
    if (length === NONE) return undefined;
    if (length > this.#end - this.#at) throw malformed();
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }
}
