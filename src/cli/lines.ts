/** Lines of a file or stream with the byte position behind each, so that reading can go on there another time. */
import { isUtf8 } from 'node:buffer';
import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { crc32c } from '../base/checksum.ts';
import { AbortedError } from '../base/errors.ts';
import { UsageError } from './command.ts';

export interface Line {
  readonly text: string;
  /** Position of the byte behind the line and its end mark. */
  readonly end: number;
  /** Counted from one. */
  readonly number: number;
  /** Its bytes are no UTF-8: what they stand for is lost in `text`. */
  readonly isBroken?: boolean;
}

/** Longest line that is taken: what is longer is no NDJSON. */
const MAX_LINE_BYTES = 512 * 1024 * 1024;
/** What stands before a position tells whether the file is still what was read then. */
const TAIL_BYTES = 256;

/** Lines of a stream of bytes, a batch at a time: all that a chunk completes. */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  start = 0,
  firstNumber = 1,
): AsyncGenerator<Line[], void, undefined> {
  let parts: Buffer[] = [];
  let partBytes = 0;
  let end = start;
  let number = firstNumber;
  for await (const chunk of source) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const lines: Line[] = [];
    let from = 0;
    for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, from)) {
      const piece = bytes.subarray(from, at);
      const whole = parts.length === 0 ? piece : Buffer.concat([...parts, piece]);
      end += whole.length + 1;
      lines.push(toLine(whole, end, number++));
      parts = [];
      partBytes = 0;
      from = at + 1;
    }
    if (from < bytes.length) parts.push(bytes.subarray(from));
    partBytes += bytes.length - from;
    if (partBytes > MAX_LINE_BYTES) throw new UsageError(`line ${number} is longer than ${MAX_LINE_BYTES} bytes`);
    if (lines.length > 0) yield lines;
  }
  if (partBytes > 0) yield [toLine(Buffer.concat(parts), end + partBytes, number)];
}

function toLine(bytes: Buffer, end: number, number: number): Line {
  const text = bytes.toString('utf8');
  // That character may also be written there.
  const isBroken = text.includes('\ufffd') && !isUtf8(bytes);
  return isBroken ? { text, end, number, isBroken } : { text, end, number };
}

/**
 * What comes until the signal: then `AbortedError`, also while nothing comes. Who waits for a pipe or a terminal could not be
 * ended otherwise.
 */
export async function* untilAborted(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = source[Symbol.asyncIterator]();
  let stop = (): void => {};
  const onAbort = (): void => stop();
  signal.addEventListener('abort', onAbort);
  try {
    for (;;) {
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        stop = () => reject(new AbortedError('interrupted while waiting for input'));
        if (signal.aborted) stop();
        else chunks.next().then(resolve, reject);
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    // It would keep the process alive. Not by `return`, which waits for the chunk that does not come.
    if (source instanceof Readable) source.destroy();
  }
}

export interface SourceFile {
  /** Names the file, for finding out how far it was read before. */
  readonly identity: string;
  readonly sizeBytes: number;
  /** A checksum of what stands right before a position. */
  tailChecksum(end: number): number;
  read(start: number): AsyncIterable<Uint8Array>;
  close(): void;
}

export function openSource(path: string): SourceFile {
  const full = resolve(path);
  const file = openSync(full, 'r');
  const sizeBytes = fstatSync(file).size;
  const readAt = (start: number, end: number) => {
    const bytes = Buffer.alloc(Math.max(0, end - start));
    const got = readSync(file, bytes, 0, bytes.length, start);
    return bytes.subarray(0, got);
  };
  return {
    identity: full,
    sizeBytes,
    tailChecksum: (end) => crc32c(readAt(Math.max(0, end - TAIL_BYTES), end)),
    read: (start) => createReadStream(full, { start, highWaterMark: 1024 * 1024 }),
    close: () => closeSync(file),
  };
}
