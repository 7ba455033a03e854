/**
 * Removing files nobody needs: first a RECLAIM record in the log, then the files.
 *
 * Payload of the record: u32 count, then per file u48 writer and u16 segment number.
 */
import { readU16, readU32, readU48, writeU16, writeU32, writeU48 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import type { SegmentNames } from '../node/handle.ts';

export function encodeReclaim(names: SegmentNames, segments: readonly number[]): Uint8Array {
  const payload = new Uint8Array(4 + segments.length * 8);
  writeU32(payload, 0, segments.length);
  segments.forEach((segment, i) => {
    writeU48(payload, 4 + i * 8, names.writerOf(segment));
    writeU16(payload, 10 + i * 8, names.numberOf(segment));
  });
  return payload;
}

export function decodeReclaim(names: SegmentNames, bytes: Uint8Array, start: number, length: number): number[] {
  const count = length < 4 ? -1 : readU32(bytes, start);
  if (length !== 4 + count * 8) throw new CorruptionError('a reclaim record is malformed');
  return Array.from({ length: count }, (_, i) => {
    const at = start + 4 + i * 8;
    return names.indexOf(readU48(bytes, at), readU16(bytes, at + 6));
  });
}

/** Segments that the root covering `covered` names no more. */
export interface DeadSegments {
  readonly covered: number;
  readonly segments: readonly number[];
}

/** What waits for the last reader of an older root. */
export class ReclaimQueue {
  readonly #waiting: DeadSegments[] = [];

  add(dead: DeadSegments): void {
    if (dead.segments.length > 0) this.#waiting.push(dead);
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  has(segment: number): boolean {
    return this.#waiting.some(({ segments }) => segments.includes(segment));
  }

  /** Takes what may go when `oldestRoot` is the oldest root that anyone reads. */
  take(oldestRoot: number): number[] {
    const free: number[] = [];
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const dead = this.#waiting[i] as DeadSegments;
      if (dead.covered > oldestRoot) continue;
      free.push(...dead.segments);
      this.#waiting.splice(i, 1);
    }
    return free;
  }
}
