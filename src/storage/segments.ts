/**
 * The segment files of a database, for reading: `data/<writer>-<n>.seg`, written once by one owner, immutable after.
 *
 *  1. A segment is named by (writer, number); in memory by a small local index, given out in the order names are met.
 *  2. A segment that this process is still writing is read through its writer, which knows what is not on disk yet.
 *  3. A missing file is "too old" where its removal was logged (`noteRemoved`), damage otherwise.
 *
 * Open descriptors are bounded: the one used longest ago is closed first, never one with a read under way.
 */
import { hex48 } from '../base/bytes.ts';
import { ClosedError, CorruptionError, IoError, SnapshotTooOldError } from '../base/errors.ts';
import type { Env, File } from '../env/env.ts';
import type { ImageReader } from '../node/image-io.ts';
import type { SegmentNames } from '../node/handle.ts';

export const SEGMENT_HEADER_BYTES = 4096;
/** A segment is closed and the next one begun when it would grow past this, unless one value alone is longer. */
export const SEGMENT_TARGET_BYTES = 64 * 1024 * 1024;

const MAX_OPEN_FILES = 128;
export const NUMBERS_PER_WRITER = 0x1_0000;

/** What a writer knows of a segment that is not wholly in its file yet. */
export interface PendingSegment {
  /** End of what was appended so far. */
  endOffset(): number;
  /** Copies over `into`, which holds what the file gave from `offset`, all bytes that are still in memory. */
  overlay(offset: number, into: Uint8Array): void;
}

interface OpenSegment {
  readonly file: File;
  pending: number;
  lastUse: number;
}

export function segmentFileName(writer: number, segmentNumber: number): string {
  return `${hex48(writer)}-${segmentNumber}.seg`;
}

/** The (writer, number) in a file name, undefined where it is no segment's. */
export function parseSegmentFileName(name: string): { writer: number; segmentNumber: number } | undefined {
  const match = /^([0-9a-f]{12})-(0|[1-9]\d{0,4})\.seg$/.exec(name);
  if (match === null) return undefined;
  const segmentNumber = Number(match[2]);
  if (segmentNumber >= NUMBERS_PER_WRITER) return undefined;
  return { writer: Number.parseInt(match[1] as string, 16), segmentNumber };
}

export class Segments implements SegmentNames, ImageReader {
  readonly folder: string;
  readonly env: Env;
  readonly #writers: number[] = [];
  readonly #numbers: number[] = [];
  readonly #byName = new Map<number, Map<number, number>>();
  readonly #open = new Map<number, OpenSegment>();
  readonly #pending = new Map<number, PendingSegment>();
  readonly #removed = new Set<number>();
  /** A writer elsewhere may reclaim what this opening still reads: then a missing file is never damage. */
  missingIsTooOld: () => boolean = () => false;
  /** Asked before a segment's file is created or removed; throws where the folder's name is another one's by now. */
  mustBeInPlace: () => void = () => {};
  #uses = 0;
  #isClosed = false;

  constructor(env: Env, folder: string) {
    this.env = env;
    this.folder = folder;
  }

  indexOf(writer: number, segmentNumber: number): number {
    let numbers = this.#byName.get(writer);
    if (numbers === undefined) {
      numbers = new Map();
      this.#byName.set(writer, numbers);
    }
    let index = numbers.get(segmentNumber);
    if (index === undefined) {
      index = this.#writers.length;
      this.#writers.push(writer);
      this.#numbers.push(segmentNumber);
      numbers.set(segmentNumber, index);
    }
    return index;
  }

  writerOf(index: number): number {
    return this.#writers[index] as number;
  }

  numberOf(index: number): number {
    return this.#numbers[index] as number;
  }

  path(index: number): string {
    return `${this.folder}/${segmentFileName(this.writerOf(index), this.numberOf(index))}`;
  }

  describe(index: number): string {
    return this.path(index);
  }

  /** While a writer has bytes that are not in the file, reads ask it first. */
  setPending(index: number, pending: PendingSegment | undefined): void {
    if (pending === undefined) this.#pending.delete(index);
    else this.#pending.set(index, pending);
  }

  readSync(index: number, offset: number, into: Uint8Array): void {
    const open = this.#acquire(index);
    const got = open.file.readSync(into, offset);
    const pending = this.#pending.get(index);
    if (pending !== undefined && offset + into.length <= pending.endOffset()) pending.overlay(offset, into);
    else if (got !== into.length) throw this.#tooShort(index, offset, into.length, got);
  }

  async read(index: number, offset: number, into: Uint8Array): Promise<void> {
    // A write that lands between an asynchronous read and its overlay would be missed: read such a segment at once.
    if (this.#pending.has(index)) return this.readSync(index, offset, into);
    const open = this.#acquire(index);
    open.pending++;
    let got: number;
    try {
      got = await open.file.read(into, offset);
    } finally {
      open.pending--;
      if (open.pending === 0 && (this.#isClosed || this.#removed.has(index))) this.#closeFile(index, open);
    }
    if (got !== into.length) throw this.#tooShort(index, offset, into.length, got);
  }

  /** End of the segment's bytes, those still in memory included. */
  endOf(index: number): number {
    return this.#pending.get(index)?.endOffset() ?? this.#acquire(index).file.sizeBytes();
  }

  /** From now on a read of this segment is "too old", not damage. */
  noteRemoved(index: number): void {
    this.#removed.add(index);
  }

  isRemoved(index: number): boolean {
    return this.#removed.has(index);
  }

  /** Closes the descriptor and removes the file; harmless where it is gone. */
  removeFile(index: number): void {
    this.#removed.add(index);
    this.#pending.delete(index);
    const open = this.#open.get(index);
    if (open !== undefined && open.pending === 0) this.#closeFile(index, open);
    this.mustBeInPlace();
    try {
      this.env.files.remove(this.path(index));
    } catch (error) {
      if (!(error instanceof IoError) || error.details.errno !== 'ENOENT') throw error;
    }
  }

  /** Whoever reads from now on meets a `ClosedError`; a file with a read under way is closed after it. */
  close(): void {
    this.#isClosed = true;
    for (const [index, open] of this.#open) if (open.pending === 0) this.#closeFile(index, open);
  }

  #closeFile(index: number, open: OpenSegment): void {
    this.#open.delete(index);
    open.file.close();
  }

  #acquire(index: number): OpenSegment {
    if (this.#isClosed) throw new ClosedError();
    let open = this.#open.get(index);
    if (open === undefined) {
      if (this.#open.size >= MAX_OPEN_FILES) this.#closeOldest();
      open = { file: this.#openFile(index), pending: 0, lastUse: 0 };
      this.#open.set(index, open);
    }
    open.lastUse = ++this.#uses;
    return open;
  }

  #openFile(index: number): File {
    const path = this.path(index);
    try {
      return this.env.files.open(path, { mode: 'read' });
    } catch (error) {
      if (!(error instanceof IoError) || error.details.errno !== 'ENOENT') throw error;
      if (this.missingIsTooOld() || this.#removed.has(index)) {
        throw new SnapshotTooOldError('the snapshot needs data that was reclaimed since; begin a new transaction', {
          cause: error,
          details: { file: path },
        });
      }
      throw new CorruptionError(`segment file ${path} is missing`, {
        cause: error,
        details: { file: path, offset: 0 },
      });
    }
  }

  #closeOldest(): void {
    let oldest = -1;
    let oldestUse = Number.POSITIVE_INFINITY;
    for (const [index, open] of this.#open) {
      if (open.pending === 0 && open.lastUse < oldestUse) {
        oldest = index;
        oldestUse = open.lastUse;
      }
    }
    if (oldest >= 0) this.#closeFile(oldest, this.#open.get(oldest) as OpenSegment);
  }

  #tooShort(index: number, offset: number, wanted: number, got: number): CorruptionError {
    const file = this.path(index);
    return new CorruptionError(
      `${file} ends before offset ${offset + wanted}: ${wanted} bytes expected, ${got} found`,
      {
        details: { file, offset, expected: wanted, found: got },
      },
    );
  }
}
