/**
 * Appends to segment files of this process: checkpoint images, runs, values.
 *
 *  1. A file is created exclusively, under a name never used before, and belongs to this writer until closed.
 *  2. Bytes leave in whole 4 KiB blocks. `sync` pads to the next block, so that no block that was synced is written again.
 *  3. A file is synced, then its folder, before anything names it: `sync` answers only then.
 *  4. After a failed write or sync nothing more is written to that file: the writer is poisoned and says so. Who reads what was
 *     to be written, say the transaction that spilled it, meets the disk's error and not a file that ends too early.
 *  5. `abandon` removes, or cuts off, only what was never under a `name`. Who gives the log a record that names a file (a commit with
 *     values in it, a root) calls `name` before, after a `sync`; so no record in the log, whether it counts or its fate is
 *     unknown, and no root or pin made of such records names what goes.
 *
 * Layout of a segment: a 4096-byte header (magic, format, kind, database id, writer, number, CRC32C), then images or value
 * records one after another, each on 8 bytes. See FORMAT.md.
 */
import { alignUp, writeU16, writeU32, writeU48 } from '../base/bytes.ts';
import { crc32c } from '../base/checksum.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import type { Env, File } from '../env/env.ts';
import type { ImageAddress, ImageSink } from '../node/image-io.ts';
import { randomWriter } from './database-folder.ts';
import type { PendingSegment, Segments } from './segments.ts';
import { NUMBERS_PER_WRITER, SEGMENT_HEADER_BYTES, SEGMENT_TARGET_BYTES } from './segments.ts';

export const SEGMENT_MAGIC = 0x47455353; // 'SSEG'
export const SEGMENT_FORMAT = 1;
export const SEGMENT_IMAGES = 1;
export const SEGMENT_VALUES = 2;
export const SEGMENT_RUN = 3;
export type SegmentKind = typeof SEGMENT_IMAGES | typeof SEGMENT_VALUES | typeof SEGMENT_RUN;

const USUAL_BUFFER_BYTES = 1024 * 1024;
/**
 * Buffers being written at once by all writers together; past that the thread waits for the disk. What a transaction spills
 * without ever giving the event loop a turn must not pile up in memory.
 */
const MAX_IN_FLIGHT = 4;

/** Gives out segment numbers and write buffers; one per opening. */
export class SegmentFactory {
  readonly env: Env;
  readonly segments: Segments;
  readonly databaseId: Uint8Array;
  readonly bufferBytes: number;
  writer: number;
  /** Buffers on their way to the disk. */
  inFlight = 0;
  /** Called with the bytes by which the folder is about to grow; throws where that is not allowed. */
  beforeGrow: (bytes: number) => void = () => {};
  #nextNumber = 0;
  readonly #earlierNames = new Set<number>();
  readonly #freeBuffers: Uint8Array[] = [];

  /** `bufferBytes`: what is collected before it is written, a multiple of 4096. */
  constructor(env: Env, segments: Segments, databaseId: Uint8Array, writer: number, bufferBytes = USUAL_BUFFER_BYTES) {
    this.env = env;
    this.segments = segments;
    this.databaseId = databaseId;
    this.writer = writer;
    this.bufferBytes = bufferBytes;
  }

  /** The number of this writer's next segment. A writer that has used up its numbers goes on under another name. */
  takeNumber(): number {
    if (this.#nextNumber === NUMBERS_PER_WRITER) {
      this.#earlierNames.add(this.writer);
      this.writer = randomWriter(this.env);
      this.#nextNumber = 0;
    }
    return this.#nextNumber++;
  }

  /** Whether this opening wrote segments under the name. */
  hasName(writer: number): boolean {
    return writer === this.writer || this.#earlierNames.has(writer);
  }

  takeBuffer(): Uint8Array {
    return this.#freeBuffers.pop() ?? this.env.files.allocate(this.bufferBytes);
  }

  giveBuffer(buffer: Uint8Array): void {
    if (this.#freeBuffers.length < 8) this.#freeBuffers.push(buffer);
  }
}

export function encodeSegmentHeader(
  into: Uint8Array,
  kind: SegmentKind,
  databaseId: Uint8Array,
  writer: number,
  segmentNumber: number,
): void {
  into.fill(0, 0, SEGMENT_HEADER_BYTES);
  writeU32(into, 0, SEGMENT_MAGIC);
  writeU16(into, 4, SEGMENT_FORMAT);
  writeU16(into, 6, kind);
  into.set(databaseId, 8);
  writeU48(into, 24, writer);
  writeU16(into, 30, segmentNumber);
  writeU32(into, 32, crc32c(into, 0, 32));
}

interface InFlight {
  readonly buffer: Uint8Array;
  readonly position: number;
  readonly length: number;
}

/** A segment file being written: what was sent and has not landed, and the buffer being filled. */
class SegmentFile implements PendingSegment {
  readonly file: File;
  readonly index: number;
  /** Position of `buffer`'s first byte in the file. */
  base = 0;
  fill = 0;
  buffer: Uint8Array | undefined;
  readonly inFlight: InFlight[] = [];
  /** Bytes from the start that are durable. */
  synced = 0;
  /** What the disk refused to write or to sync: it may be anywhere, and whoever reads it is told why. */
  readonly #refused: { readonly position: number; readonly end: number; readonly error: unknown }[] = [];

  constructor(file: File, index: number) {
    this.file = file;
    this.index = index;
  }

  endOffset(): number {
    return this.base + this.fill;
  }

  /** Nobody need ask it before reading the file. */
  get isInFile(): boolean {
    return this.inFlight.length === 0 && this.#refused.length === 0;
  }

  refuse(position: number, end: number, error: unknown): void {
    if (position < end) this.#refused.push({ position, end, error });
  }

  overlay(offset: number, into: Uint8Array): void {
    for (const { position, end, error } of this.#refused) {
      if (position < offset + into.length && offset < end) throw error;
    }
    for (const flight of this.inFlight) copyOverlap(flight.buffer, flight.position, flight.length, offset, into);
    if (this.buffer !== undefined) copyOverlap(this.buffer, this.base, this.fill, offset, into);
  }
}

export class SegmentWriter implements ImageSink {
  readonly kind: SegmentKind;
  /** Local indexes of the segments this writer has written, in order; see `forget`. */
  readonly written: number[] = [];
  readonly #factory: SegmentFactory;
  readonly #targetBytes: number;
  readonly #address: ImageAddress = { segment: 0, offset: 0 };
  #current: SegmentFile | undefined;
  readonly #writes = new Set<Promise<void>>();
  readonly #unsynced: SegmentFile[] = [];
  #lastSync: Promise<void> = Promise.resolve();
  #folderChanged = false;
  #failure: unknown;
  /** Of files that have such: where the bytes begin that nothing durable can name. */
  #unnamed = new Map<number, number>();

  constructor(factory: SegmentFactory, kind: SegmentKind, targetBytes = SEGMENT_TARGET_BYTES) {
    this.#factory = factory;
    this.kind = kind;
    this.#targetBytes = targetBytes;
  }

  /** Poisoned: nothing more is written, a sync fails. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Local index of the segment being written; -1 before the first append. */
  get currentSegment(): number {
    return this.#current?.index ?? -1;
  }

  /** A segment that no root names any more: it is not this writer's to report, long before its file can go. */
  forget(index: number): void {
    const at = this.written.indexOf(index);
    if (at >= 0) this.written.splice(at, 1);
  }

  /** Where the next byte goes in the current segment. */
  get currentOffset(): number {
    return this.#current?.endOffset() ?? 0;
  }

  append(bytes: Uint8Array, start: number, length: number): ImageAddress {
    this.begin(length);
    this.#address.segment = this.currentSegment;
    this.#address.offset = this.currentOffset;
    this.add(bytes, start, length);
    this.padTo(8);
    return this.#address;
  }

  /** Makes sure that `length` bytes following now go to one segment. */
  begin(length: number): void {
    this.#check();
    if (this.#current !== undefined) {
      const size = this.#current.endOffset();
      if (size === SEGMENT_HEADER_BYTES || size + length <= this.#targetBytes) return;
      this.finish();
    }
    this.#startFile();
  }

  /** Appends raw bytes to the current segment. */
  add(bytes: Uint8Array, start: number, length: number): void {
    const current = this.#current as SegmentFile;
    let from = start;
    const end = start + length;
    while (from < end) {
      if (current.buffer === undefined) current.buffer = this.#factory.takeBuffer();
      const piece = Math.min(this.#factory.bufferBytes - current.fill, end - from);
      current.buffer.set(bytes.subarray(from, from + piece), current.fill);
      current.fill += piece;
      from += piece;
      if (current.fill === this.#factory.bufferBytes) this.#send(current);
    }
  }

  padTo(alignment: number): void {
    const current = this.#current;
    if (current?.buffer === undefined) return;
    const padded = alignUp(current.fill, alignment);
    current.buffer.fill(0, current.fill, padded);
    current.fill = padded;
    if (current.fill === this.#factory.bufferBytes) this.#send(current);
  }

  /** Everything appended before the call is durable and may be named when this answers. Calls queue up. */
  sync(): Promise<void> {
    const synced = this.#lastSync.then(() => this.#sync());
    this.#lastSync = synced.catch(() => {});
    return synced;
  }

  async #sync(): Promise<void> {
    this.#check();
    this.#flushPartial();
    // As it is now: what others append meanwhile may end, and fail, in the middle of a value.
    const finished = this.#unsynced.length;
    const files = [...this.#unsynced];
    if (this.#current !== undefined) files.push(this.#current);
    const ends = files.map((segment) => segment.base);
    while (this.#writes.size > 0) await Promise.all(this.#writes);
    this.#check();
    try {
      for (const [i, segment] of files.entries()) {
        await segment.file.sync();
        segment.synced = ends[i] as number;
      }
      // Only what was finished before: a file that came to its end while it was synced has bytes to sync still.
      for (const segment of this.#unsynced.splice(0, finished)) segment.file.close();
      if (this.#folderChanged) {
        this.#folderChanged = false;
        await this.#factory.env.files.syncFolder(this.#factory.segments.folder);
      }
    } catch (error) {
      this.#failure ??= error;
      // A disk that refuses a sync may have lost what it had taken, and never says so again.
      for (const segment of files) {
        segment.refuse(segment.synced, segment.base, error);
        if (!segment.isInFile) this.#factory.segments.setPending(segment.index, segment);
      }
      throw error;
    }
  }

  /**
   * What was synced may be named from now on: it stays whatever becomes of this writer. Answers how it was before, for `unname`
   * where it is certain that nothing came to name it; then nothing may have been appended since.
   */
  name(): ReadonlyMap<number, number> {
    const before = this.#unnamed;
    this.#unnamed = new Map();
    for (const [index, from] of before) {
      const open = this.#current?.index === index ? this.#current : this.#unsynced.find((one) => one.index === index);
      // One that is not open any more was synced to its end.
      if (open !== undefined) this.#unnamed.set(index, Math.max(from, open.synced));
    }
    return before;
  }

  unname(before: ReadonlyMap<number, number>): void {
    this.#unnamed = new Map(before);
  }

  /**
   * Ends it and gives back what nobody can name: whole files, and the ends of files whose beginning may be named. Nobody reads that
   * any more. `mayCut`: false where somebody copies the file as it is.
   */
  async abandon(mayCut: (index: number) => boolean): Promise<void> {
    await this.close();
    const { segments } = this.#factory;
    for (const [index, from] of this.#unnamed) {
      // Nobody walks it where what lies behind the last name could not be cut off: that may be torn.
      this.forget(index);
      if (from === 0) segments.removeFile(index);
      else if (mayCut(index)) {
        this.#cut(index, from);
        this.written.push(index);
      }
    }
    this.#unnamed.clear();
  }

  #cut(index: number, from: number): void {
    const { env, segments } = this.#factory;
    const file = env.files.open(segments.path(index), { mode: 'write' });
    try {
      if (file.sizeBytes() > from) file.truncateSync(from);
    } finally {
      file.close();
    }
    // What the disk refused lay behind that.
    segments.setPending(index, undefined);
  }

  /** Files of a writer that ended: the next root says of them what it says of this one's. */
  inherit(written: readonly number[]): void {
    this.written.push(...written);
  }

  /** Ends the current file; the next append begins a new one. It is synced and closed by the next `sync`. */
  finish(): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#flushPartial();
    this.#unsynced.push(current);
    this.#current = undefined;
    if (current.isInFile) this.#factory.segments.setPending(current.index, undefined);
  }

  /** Waits for writes and syncs under way and closes; nothing more is synced. */
  async close(): Promise<void> {
    await this.#lastSync;
    while (this.#writes.size > 0) await Promise.all(this.#writes);
    if (this.#current !== undefined) this.#unsynced.push(this.#current);
    this.#current = undefined;
    for (const segment of this.#unsynced.splice(0)) {
      segment.file.close();
      if (segment.isInFile) this.#factory.segments.setPending(segment.index, undefined);
      if (segment.buffer !== undefined) this.#factory.giveBuffer(segment.buffer);
    }
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #startFile(): void {
    const segmentNumber = this.#factory.takeNumber();
    const { env, segments, databaseId, writer } = this.#factory;
    const index = segments.indexOf(writer, segmentNumber);
    segments.mustBeInPlace();
    const current = new SegmentFile(env.files.open(segments.path(index), { mode: 'create', direct: true }), index);
    this.#folderChanged = true;
    this.written.push(index);
    this.#unnamed.set(index, 0);
    current.fill = SEGMENT_HEADER_BYTES;
    current.buffer = this.#factory.takeBuffer();
    encodeSegmentHeader(current.buffer, this.kind, databaseId, writer, segmentNumber);
    segments.setPending(index, current);
    this.#current = current;
  }

  /** Sends a partly filled buffer, padded to whole blocks; what follows begins on the next block. */
  #flushPartial(): void {
    this.padTo(LOG_ALIGNMENT);
    const current = this.#current;
    if (current?.buffer !== undefined && current.fill > 0) this.#send(current);
  }

  #send(current: SegmentFile): void {
    const buffer = current.buffer as Uint8Array;
    const flight: InFlight = { buffer, position: current.base, length: current.fill };
    const bytes = buffer.subarray(0, flight.length);
    this.#factory.beforeGrow(flight.length);
    if (this.#factory.inFlight >= MAX_IN_FLIGHT) {
      this.#writeNow(current.file, bytes, flight.position);
      this.#factory.giveBuffer(buffer);
    } else {
      current.inFlight.push(flight);
      this.#writeLater(current, flight, bytes);
    }
    current.base += flight.length;
    current.fill = 0;
    current.buffer = undefined;
  }

  #writeNow(file: File, bytes: Uint8Array, position: number): void {
    try {
      file.writeSync(bytes, position);
    } catch (error) {
      this.#failure ??= error;
      throw error;
    }
  }

  #writeLater(current: SegmentFile, flight: InFlight, bytes: Uint8Array): void {
    const sent = current.file.write(bytes, flight.position);
    this.#factory.inFlight++;
    const write: Promise<void> = sent
      .catch((error: unknown) => {
        this.#failure ??= error;
        current.refuse(flight.position, flight.position + flight.length, error);
      })
      .then(() => {
        this.#factory.inFlight--;
        this.#writes.delete(write);
        current.inFlight.splice(current.inFlight.indexOf(flight), 1);
        this.#factory.giveBuffer(flight.buffer);
        if (current !== this.#current && current.isInFile) {
          this.#factory.segments.setPending(current.index, undefined);
        }
      });
    this.#writes.add(write);
  }
}

function copyOverlap(from: Uint8Array, position: number, length: number, offset: number, into: Uint8Array): void {
  const start = Math.max(position, offset);
  const end = Math.min(position + length, offset + into.length);
  if (start < end) into.set(from.subarray(start - position, end - position), start - offset);
}
