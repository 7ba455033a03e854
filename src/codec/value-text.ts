/** The text of a value: the characters of all its strings behind its items, and the trailer behind these. */

import { isUtf8 } from 'node:buffer';
import { CorruptionError, LimitExceededError } from '../base/errors.ts';
import { MAX_VALUE_TEXT_UNITS } from '../base/limits.ts';
import { isWellFormed, latin1Slice, utf8Slice, utf16Slice } from './text.ts';
import { readUnsigned, TEXT_LATIN1, TEXT_LONG, TEXT_UTF8, TEXT_UTF16 } from './value-format.ts';

/** Strings from this length on are written by a native call, which costs about 60 ns. */
const NATIVE_LENGTH = 48;
const MAX_TRAILER_BYTES = 8;

export interface TextSink {
  bytes: Uint8Array;
  length: number;
  reserve(count: number): void;
}

/** Appends the first `count` of `texts` and the trailer. */
export function writeText(sink: TextSink, texts: readonly string[], count: number): void {
  let units = 0;
  for (let i = 0; i < count; i++) units += (texts[i] as string).length;
  if (units > MAX_VALUE_TEXT_UNITS) refuseLength(units);
  sink.reserve(units + MAX_TRAILER_BYTES);
  const { bytes } = sink;
  const start = sink.length;
  let at = start;
  let all = 0;
  for (let i = 0; i < count && all < 0x100; i++) {
    const text = texts[i] as string;
    const { length } = text;
    if (length < NATIVE_LENGTH) {
      for (let j = 0; j < length; j++) {
        const unit = text.charCodeAt(j);
        all |= unit;
        bytes[at++] = unit;
      }
    } else {
      all |= writeAscii(bytes, at, text) ? 0 : 0x100;
      at += length;
    }
  }
  if (all < 0x100) {
    sink.length = at;
    writeTrailer(sink, units, TEXT_LATIN1);
  } else {
    writeWideText(sink, texts.slice(0, count).join(''));
  }
}

/**
 * Writes a string that is ASCII; answers false, having written rubbish, if it is not. There must be 4 spare bytes behind:
 * any character beyond ASCII takes more bytes than units, also where it is the last that fits.
 */
function writeAscii(bytes: Uint8Array, at: number, text: string): boolean {
  return (bytes as Buffer).write(text, at, text.length + 4, 'utf8') === text.length;
}

/** Text that may not be Latin-1: else whichever of UTF-8 and UTF-16 is shorter. */
function writeWideText(sink: TextSink, text: string): void {
  let form = TEXT_UTF16;
  let size = text.length * 2;
  if (!/[^\0-\xff]/.test(text)) {
    form = TEXT_LATIN1;
    size = text.length;
  } else if (isWellFormed(text)) {
    const utf8 = Buffer.byteLength(text, 'utf8');
    if (utf8 <= size) {
      form = TEXT_UTF8;
      size = utf8;
    }
  }
  sink.reserve(size + MAX_TRAILER_BYTES);
  const encoding = form === TEXT_LATIN1 ? 'latin1' : form === TEXT_UTF8 ? 'utf8' : 'utf16le';
  (sink.bytes as Buffer).write(text, sink.length, size, encoding);
  sink.length += size;
  writeTrailer(sink, size, form);
}

function writeTrailer(sink: TextSink, size: number, form: number): void {
  const { bytes } = sink;
  let at = sink.length;
  if (size < TEXT_LONG && form === TEXT_LATIN1) {
    bytes[at++] = size;
  } else {
    let count = 0;
    for (let rest = size; rest > 0; rest = Math.floor(rest / 0x100)) {
      bytes[at++] = rest;
      count++;
    }
    bytes[at++] = TEXT_LONG + 4 * form + count - 1;
  }
  sink.length = at;
}

/** Where the text that was read last begins. */
export const longText = { start: 0 };

/** The text of the value in `bytes[start, end)`, whose last byte is at least TEXT_LONG; `longText.start` says where it began. */
export function readLongText(bytes: Uint8Array, start: number, end: number): string {
  const code = (bytes[end - 1] as number) - TEXT_LONG;
  const count = (code & 3) + 1;
  const form = code >> 2;
  const textEnd = end - 1 - count;
  if (form > TEXT_UTF16 || textEnd <= start) corrupt('the text of a value has a wrong trailer');
  const size = readUnsigned(bytes, textEnd, count);
  const at = textEnd - size;
  if (size === 0 || (form === TEXT_LATIN1 && size < TEXT_LONG)) corrupt('the text of a value has a wrong trailer');
  if (at <= start) corrupt('the text of a value is longer than the value');
  if (size > MAX_VALUE_TEXT_UNITS * (form === TEXT_LATIN1 ? 1 : 2))
    corrupt('the text of a value is longer than any can be');
  longText.start = at;
  if (form === TEXT_LATIN1) return latin1Slice(bytes, at, textEnd);
  if (form === TEXT_UTF8) return readUtf8(bytes, at, textEnd);
  if (size % 2 === 1) corrupt('the text of a value is UTF-16 of an odd length');
  return utf16Slice(bytes, at, textEnd);
}

function readUtf8(bytes: Uint8Array, start: number, end: number): string {
  const text = utf8Slice(bytes, start, end);
  // The native slice puts U+FFFD in place of what is not UTF-8; only then is it worth looking closely.
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, end))) corrupt('the text of a value is not UTF-8');
  return text;
}

function refuseLength(found: number): never {
  throw new LimitExceededError(`the strings of a value have ${found} characters, more than ${MAX_VALUE_TEXT_UNITS}`, {
    details: { limit: 'MAX_VALUE_TEXT_UNITS', allowed: MAX_VALUE_TEXT_UNITS, found },
  });
}

function corrupt(message: string): never {
  throw new CorruptionError(message);
}
