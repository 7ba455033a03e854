/**
 * Segments that a transaction's cells refer to: those its values were written to, and those of values that it found and put
 * again.
 *
 *  1. A held segment must not go before the entry is where compaction looks for values, which is not before the commit.
 *  2. Values go to one writer to the end, since what was written there is what the commit must sync.
 */
import type { SegmentWriter } from '../storage/segment-writer.ts';

export class OwnValues {
  readonly written = new Set<number>();
  readonly held = new Set<number>();
  readonly writer: SegmentWriter;

  constructor(writer: SegmentWriter) {
    this.writer = writer;
  }

  has(segment: number): boolean {
    return this.written.has(segment) || this.held.has(segment);
  }

  /** All of them, runs apart. */
  get segments(): ReadonlySet<number> {
    return this.held.size === 0 ? this.written : new Set([...this.written, ...this.held]);
  }
}
