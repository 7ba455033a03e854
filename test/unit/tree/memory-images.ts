/** Images in plain memory: reader, sink and names for tests of the node and tree floors. */
import { CorruptionError } from '../../../src/base/errors.ts';
import type { SegmentNames } from '../../../src/node/handle.ts';
import type { ImageAddress, ImageReader, ImageSink } from '../../../src/node/image-io.ts';

const SEGMENT_BYTES = 4 * 1024 * 1024;

export class MemoryImages implements ImageReader, ImageSink, SegmentNames {
  readonly segments: Uint8Array[] = [];
  readonly lengths: number[] = [];
  reads = 0;
  readonly #address: ImageAddress = { segment: 0, offset: 0 };
  readonly #names = new Map<string, number>();
  readonly #pairs: [number, number][] = [];

  append(bytes: Uint8Array, start: number, length: number): ImageAddress {
    let segment = this.segments.length - 1;
    if (segment < 0 || (this.lengths[segment] as number) + length > SEGMENT_BYTES) {
      segment = this.startSegment();
    }
    const offset = this.lengths[segment] as number;
    (this.segments[segment] as Uint8Array).set(bytes.subarray(start, start + length), offset);
    this.lengths[segment] = offset + length;
    this.#address.segment = segment;
    this.#address.offset = offset;
    return this.#address;
  }

  /** What is appended from now on goes to a new segment. */
  startSegment(): number {
    this.segments.push(new Uint8Array(SEGMENT_BYTES));
    this.lengths.push(0);
    return this.indexOf(0xabcdef012345, this.segments.length);
  }

  readSync(segment: number, offset: number, into: Uint8Array): void {
    this.reads++;
    const bytes = this.segments[segment];
    if (bytes === undefined || offset + into.length > (this.lengths[segment] as number)) {
      throw new CorruptionError(`${this.describe(segment)} ends before offset ${offset + into.length}`);
    }
    into.set(bytes.subarray(offset, offset + into.length));
  }

  async read(segment: number, offset: number, into: Uint8Array): Promise<void> {
    await Promise.resolve();
    this.readSync(segment, offset, into);
  }

  describe(segment: number): string {
    return `memory-${segment}.seg`;
  }

  indexOf(writer: number, segmentNumber: number): number {
    const name = `${writer}-${segmentNumber}`;
    let index = this.#names.get(name);
    if (index === undefined) {
      index = this.#pairs.length;
      this.#names.set(name, index);
      this.#pairs.push([writer, segmentNumber]);
    }
    return index;
  }

  writerOf(index: number): number {
    return (this.#pairs[index] as [number, number])[0];
  }

  numberOf(index: number): number {
    return (this.#pairs[index] as [number, number])[1];
  }
}
