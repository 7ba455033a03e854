/**
 * Reading keys back from their bytes (tuple.ts). The bytes are hostile: whatever encoding cannot have written is a
 * `CorruptionError`, and nothing is read at or beyond `end`.
 */

import { CorruptionError } from '../base/errors.ts';
import { youngArray } from '../base/young.ts';
import { shortSlice } from './text.ts';
import {
  BIGINT_LONG_HEAD,
  BIGINT_SHORT_BYTES,
  KEY_BIGINT,
  KEY_BYTES,
  KEY_DATE,
  KEY_END,
  KEY_ESCAPE,
  KEY_FALSE,
  KEY_NULL,
  KEY_NUMBER,
  KEY_STRING,
  KEY_TRUE,
  KEY_TUPLE,
  KEY_UUID,
  type KeyValue,
  MAX_KEY_NESTING,
} from './tuple.ts';
import { Uuid } from './uuid.ts';

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);
const HIGH = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 1 : 0;
const LOW = 1 - HIGH;
/** The last moment a Date can hold, and the negative of the first. */
const LAST_TIME = 8.64e15;

/** Reads key values one after another; `position` says where the last one ended. What it returns is the caller's own. */
export class KeyReader {
  position = 0;
  /**
   * The bytes from `textFrom` on as characters, or nothing: for a reader of many keys, so that a string need not be made for
   * each of them alone (50 ns).
   */
  text = '';
  textFrom = 0;
  #scratch = new Uint8Array(64);
  #units = new Uint16Array(64);
  #depth = 0;

  /** The value that starts at `at` and ends before `end`. */
  readValue(bytes: Uint8Array, at: number, end: number, descending: boolean): KeyValue {
    if (!descending) return this.#read(bytes, at, end);
    // The rest of the key is turned around into scratch: keys are short, and one decoder is enough.
    const count = end - at;
    if (this.#scratch.length < count) this.#scratch = new Uint8Array(count * 2);
    const scratch = this.#scratch;
    for (let i = 0; i < count; i++) scratch[i] = ~(bytes[at + i] as number);
    const text = this.text;
    this.text = '';
    const value = this.#read(scratch, 0, count);
    this.text = text;
    this.position += at;
    return value;
  }

  #read(bytes: Uint8Array, at: number, end: number): KeyValue {
    if (at >= end) corrupt('a key ends where a value should begin');
    const tag = bytes[at];
    switch (tag) {
      case KEY_STRING:
        return this.#readString(bytes, at + 1, end);
      case KEY_NUMBER:
        return this.#readNumber(bytes, at + 1, end);
      case KEY_NULL:
        this.position = at + 1;
        return null;
      case KEY_FALSE:
        this.position = at + 1;
        return false;
      case KEY_TRUE:
        this.position = at + 1;
        return true;
      case KEY_BIGINT:
        return this.#readBigint(bytes, at + 1, end);
      case KEY_DATE:
        return this.#readDate(bytes, at + 1, end);
      case KEY_BYTES:
        return this.#readBytes(bytes, at + 1, end);
      case KEY_UUID:
        if (at + 17 > end) corrupt('a UUID in a key is cut short');
        this.position = at + 17;
        return Uuid.fromBytes(bytes, at + 1);
      case KEY_TUPLE:
        return this.#readTuple(bytes, at + 1, end);
      default:
        return corrupt(`no key value begins with byte ${tag}`);
    }
  }

  #readNumber(bytes: Uint8Array, at: number, end: number): number {
    if (at + 8 > end) corrupt('a number in a key is cut short');
    let high = readWord(bytes, at);
    let low = readWord(bytes, at + 4);
    if (high < 0) {
      high &= 0x7fff_ffff;
    } else {
      high = ~high;
      low = ~low;
    }
    words[HIGH] = high;
    words[LOW] = low;
    this.position = at + 8;
    const value = double[0] as number;
    if (Number.isNaN(value) && (high !== 0x7ff8_0000 || low !== 0)) corrupt('a number in a key is a strange NaN');
    return value;
  }

  #readDate(bytes: Uint8Array, at: number, end: number): Date {
    const time = this.#readNumber(bytes, at, end);
    if (!(time >= -LAST_TIME && time <= LAST_TIME) || !Number.isInteger(time) || Object.is(time, -0)) {
      corrupt(`a Date in a key holds ${time}`);
    }
    return new Date(time);
  }

  #readString(bytes: Uint8Array, at: number, end: number): string {
    let i = at;
    for (; i < end; i++) {
      const byte = bytes[i] as number;
      if ((byte - 2) >>> 0 > 0x7d) break;
    }
    if (i < end && bytes[i] === KEY_END) {
      this.position = i + 1;
      if (this.text.length > 0) return this.text.substring(at - this.textFrom, i - this.textFrom);
      return shortSlice(bytes, at, i);
    }
    return this.#readLongWay(bytes, at, end);
  }

  /** Strings with anything but plain ASCII: escapes undone, WTF-8 checked. */
  #readLongWay(bytes: Uint8Array, start: number, end: number): string {
    if (this.#units.length < end - start) this.#units = new Uint16Array((end - start) * 2);
    const units = this.#units;
    let count = 0;
    let at = start;
    for (;;) {
      if (at >= end) corrupt('a string in a key has no end');
      const byte = bytes[at++] as number;
      if (byte === KEY_END) break;
      if (byte === KEY_ESCAPE) {
        units[count++] = readEscaped(bytes, at++, end);
      } else if (byte < 0x80) {
        units[count++] = byte;
      } else {
        const size = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
        const point = readCodePoint(bytes, byte, at, end, size);
        at += size;
        if (point < 0x1_0000) {
          const before = count > 0 ? (units[count - 1] as number) : 0;
          const joins = (point & 0xfc00) === 0xdc00 && (before & 0xfc00) === 0xd800;
          // Two halves that belong together are one code point in four bytes; apart, equal strings would differ.
          if (joins) corrupt('a surrogate pair in a key is cut in two');
          units[count++] = point;
        } else {
          units[count++] = 0xd7c0 + (point >>> 10);
          units[count++] = 0xdc00 + (point & 0x3ff);
        }
      }
    }
    this.position = at;
    return stringFromUnits(units, count);
  }

  #readBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
    let escapes = 0;
    let at = start;
    for (; ; at++) {
      if (at >= end) corrupt('bytes in a key have no end');
      const byte = bytes[at] as number;
      if (byte === KEY_END) break;
      if (byte === KEY_ESCAPE) {
        escapes++;
        at++;
      }
    }
    this.position = at + 1;
    const value = new Uint8Array(at - start - escapes);
    for (let i = start, to = 0; i < at; i++) {
      const byte = bytes[i] as number;
      value[to++] = byte === KEY_ESCAPE ? readEscaped(bytes, ++i, at) : byte;
    }
    return value;
  }

  #readBigint(bytes: Uint8Array, start: number, end: number): bigint {
    if (start >= end) corrupt('a bigint in a key is cut short');
    const first = bytes[start] as number;
    const flip = first < 0x80 ? 0xff : 0;
    const head = first ^ flip;
    let at = start + 1;
    let count = head - 0x80;
    if (head === BIGINT_LONG_HEAD) {
      if (at + 2 > end) corrupt('a bigint in a key is cut short');
      count = (((bytes[at] as number) ^ flip) << 8) | ((bytes[at + 1] as number) ^ flip);
      at += 2;
      if (count <= BIGINT_SHORT_BYTES) corrupt('a bigint in a key says its length in the wrong form');
    } else if (head > BIGINT_LONG_HEAD) {
      corrupt(`a bigint in a key has the head ${first}`);
    }
    if (at + count > end) corrupt('a bigint in a key is cut short');
    this.position = at + count;
    if (count === 0) return flip === 0 ? 0n : corrupt('a negative zero among the bigints of a key');
    if (((bytes[at] as number) ^ flip) === 0) corrupt('a bigint in a key begins with a zero byte');
    let digits = '0x';
    for (let i = 0; i < count; i++) digits += (((bytes[at + i] as number) ^ flip) + 0x100).toString(16).slice(1);
    const magnitude = BigInt(digits);
    return flip === 0 ? magnitude : -magnitude;
  }

  #readTuple(bytes: Uint8Array, start: number, end: number): KeyValue[] {
    if (this.#depth >= MAX_KEY_NESTING) corrupt(`tuples in a key nest deeper than ${MAX_KEY_NESTING}`);
    const elements = youngArray<KeyValue>();
    this.#depth++;
    try {
      let at = start;
      for (;;) {
        if (at >= end) corrupt('a tuple in a key has no end');
        if (bytes[at] === KEY_END) break;
        elements.push(this.#read(bytes, at, end));
        at = this.position;
      }
      this.position = at + 1;
    } finally {
      this.#depth--;
    }
    return elements;
  }
}

function readWord(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

function readEscaped(bytes: Uint8Array, at: number, end: number): number {
  const byte = at < end ? (bytes[at] as number) : 0;
  if (byte !== 1 && byte !== 2) corrupt(`an escape in a key is followed by ${byte}`);
  return byte - 1;
}

function readCodePoint(bytes: Uint8Array, first: number, at: number, end: number, size: number): number {
  if (first < 0xc2 || first > 0xf4) corrupt(`a string in a key holds the byte ${first}`);
  if (at + size > end) corrupt('a string in a key has no end');
  let point = first & (size === 3 ? 0x07 : size === 2 ? 0x0f : 0x1f);
  for (let i = 0; i < size; i++) {
    const byte = bytes[at + i] as number;
    if ((byte & 0xc0) !== 0x80) corrupt(`a string in a key holds the byte ${byte}`);
    point = (point << 6) | (byte & 0x3f);
  }
  const smallest = size === 3 ? 0x1_0000 : size === 2 ? 0x800 : 0x80;
  if (point < smallest || point > 0x10_ffff) corrupt(`a string in a key holds the code point ${point}`);
  return point;
}

const UNITS_AT_ONCE = 4096;

function stringFromUnits(units: Uint16Array, count: number): string {
  let text = '';
  for (let at = 0; at < count; at += UNITS_AT_ONCE) {
    const part = units.subarray(at, Math.min(count, at + UNITS_AT_ONCE));
    text += String.fromCharCode.apply(null, part as unknown as number[]);
  }
  return text;
}

function corrupt(message: string): never {
  throw new CorruptionError(message);
}
