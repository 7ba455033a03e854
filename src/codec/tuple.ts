/**
 * Keys as bytes whose order is the order of the keys: every key value is a tag byte and a body.
 *
 * The one order: by type, null < false < true < number < bigint < Date < string < bytes < UUID < tuple, then by value.
 *
 *   null, false, true   the tag alone
 *   number              8 bytes: the double, big-endian, sign bit flipped, or all bits where it was negative; so
 *                       -Infinity < ... < -0 < +0 < ... < Infinity < NaN (the one NaN there is)
 *   bigint              head 0x80 + n and n magnitude bytes, big-endian; beyond 100 bytes head 0xe5, u16 n, the bytes;
 *                       negative ones: the same for the absolute value, complemented
 *   Date                milliseconds since 1970, as a number's 8 bytes
 *   string              WTF-8 (UTF-8, lone surrogates in three bytes), so the order is that of code points; ends with 00
 *   bytes               the bytes; end with 00
 *   UUID                its 16 bytes
 *   tuple               its elements, then 00
 *
 * In strings and bytes 00 is written 01 01 and 01 is written 01 02. A descending field has all its bytes complemented.
 *
 * Invariants:
 *  1. Tags are never 00 or FF, nor are their complements.
 *  2. No encoded value is a prefix of another one: a key may be followed by anything without changing the order, the
 *     complement turns the order around exactly, and the keys that begin with given fields are one byte prefix.
 *  3. Equal keys have equal bytes and different keys different ones; decoding refuses what encoding cannot have written.
 */

import { types } from 'node:util';
import { InvalidKeyError, LimitExceededError } from '../base/errors.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { bytesLength, isDetached, timeOf } from './intrinsics.ts';
import { describeValue } from './text.ts';
import { Uuid } from './uuid.ts';

export const KEY_NULL = 0x08;
export const KEY_FALSE = 0x10;
export const KEY_TRUE = 0x11;
export const KEY_NUMBER = 0x20;
export const KEY_BIGINT = 0x28;
export const KEY_DATE = 0x30;
export const KEY_STRING = 0x38;
export const KEY_BYTES = 0x40;
export const KEY_UUID = 0x48;
export const KEY_TUPLE = 0x50;

/** Ends strings, bytes and tuples. */
export const KEY_END = 0x00;
export const KEY_ESCAPE = 0x01;
/** A bigint of more magnitude bytes than this has its length in two bytes of its own. */
export const BIGINT_SHORT_BYTES = 100;
export const BIGINT_LONG_HEAD = 0x80 + BIGINT_SHORT_BYTES + 1;
/** Tuples within tuples; also what stops an array that contains itself. */
export const MAX_KEY_NESTING = 128;

/** What a key, or a field of one, can be. */
export type KeyPrimitive = null | boolean | number | bigint | Date | string | Uint8Array | Uuid;
/** A key that is one value: a primitive, or a tuple of such. */
export type KeyValue = KeyPrimitive | readonly KeyValue[];

/** A double seen as two 32-bit words, most significant first, on machines of either byte order. */
const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);
const HIGH = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 1 : 0;
const LOW = 1 - HIGH;
const CANONICAL_NAN_HIGH = 0x7ff80000;

/** The writer at hand; none while one is in use: a getter of what is being encoded may encode keys itself. */
let idle: KeyWriter | undefined;

/** A writer for one synchronous use, reset; to be given back behind it. */
export function takeKeyWriter(): KeyWriter {
  const writer = idle ?? new KeyWriter();
  idle = undefined;
  writer.reset();
  return writer;
}

export function giveBackKeyWriter(writer: KeyWriter): void {
  idle = writer;
}

/**
 * Encodes one key at a time into scratch bytes that it owns and reuses: valid until the next `reset`.
 * `bytes` is replaced when it grows, so take it after writing.
 */
export class KeyWriter {
  bytes: Uint8Array = new Uint8Array(256);
  length = 0;
  /** The composite field being written, for error messages. */
  field = '';
  readonly #path: number[] = [];

  reset(): void {
    this.length = 0;
    this.field = '';
    // Setting the length of an array is a call into the engine, needed only after an error.
    if (this.#path.length > 0) this.#path.length = 0;
  }

  /** A copy of what was written. */
  toBytes(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }

  /** Appends one key value. Throws `InvalidKeyError` or `LimitExceededError`; what was written then is undefined. */
  writeValue(value: unknown, descending: boolean): void {
    const start = this.length;
    if (typeof value === 'string') this.#writeString(value, true);
    else if (typeof value === 'number') this.#writeNumber(KEY_NUMBER, value);
    else this.#writeOther(value);
    if (descending) this.#complement(start);
    if (this.length > MAX_KEY_BYTES) this.#tooLong(this.length);
  }

  /**
   * Appends the leading part of a string, bytes or tuple: what all values that start with it have in common.
   * Throws `InvalidKeyError` for other types.
   */
  writePrefix(value: unknown, descending: boolean): void {
    const start = this.length;
    if (typeof value === 'string') this.#writeString(value, false);
    else if (types.isUint8Array(value)) this.#writeBytes(value, false);
    else if (Array.isArray(value)) this.#writeTuple(value, false);
    else this.#refuse(value, 'is no prefix: only strings, bytes and arrays have leading parts');
    if (descending) this.#complement(start);
    if (this.length > MAX_KEY_BYTES) this.#tooLong(this.length);
  }

  #writeOther(value: unknown): void {
    if (value === null) this.#writeByte(KEY_NULL);
    else if (typeof value === 'boolean') this.#writeByte(value ? KEY_TRUE : KEY_FALSE);
    else if (typeof value === 'bigint') this.#writeBigint(value);
    else if (Array.isArray(value)) this.#writeTuple(value, true);
    else if (value instanceof Uuid) this.#writeUuid(value);
    else if (types.isDate(value)) this.#writeDate(value);
    else if (types.isUint8Array(value)) this.#writeBytes(value, true);
    else this.#refuse(value, 'is no key value');
  }

  #writeByte(byte: number): void {
    this.#reserve(1);
    this.bytes[this.length++] = byte;
  }

  #writeNumber(tag: number, value: number): void {
    this.#reserve(9);
    const { bytes, length } = this;
    double[0] = value;
    let high = words[HIGH] as number;
    let low = words[LOW] as number;
    if (Number.isNaN(value)) {
      high = CANONICAL_NAN_HIGH;
      low = 0;
    }
    if (high >= 0x8000_0000) {
      high = ~high;
      low = ~low;
    } else {
      high |= 0x8000_0000;
    }
    bytes[length] = tag;
    bytes[length + 1] = high >>> 24;
    bytes[length + 2] = high >>> 16;
    bytes[length + 3] = high >>> 8;
    bytes[length + 4] = high;
    bytes[length + 5] = low >>> 24;
    bytes[length + 6] = low >>> 16;
    bytes[length + 7] = low >>> 8;
    bytes[length + 8] = low;
    this.length = length + 9;
  }

  #writeDate(value: Date): void {
    const time = timeOf(value);
    if (Number.isNaN(time)) this.#refuse(value, 'is no key value');
    this.#writeNumber(KEY_DATE, time);
  }

  #writeUuid(value: Uuid): void {
    this.#reserve(17);
    this.bytes[this.length] = KEY_UUID;
    Uuid.prototype.writeTo.call(value, this.bytes, this.length + 1);
    this.length += 17;
  }

  #writeBigint(value: bigint): void {
    const negative = value < 0n;
    let digits = value === 0n ? '' : (negative ? -value : value).toString(16);
    if (digits.length % 2 === 1) digits = `0${digits}`;
    const count = digits.length / 2;
    if (count > MAX_KEY_BYTES) this.#tooLong(count);
    this.#reserve(count + 4);
    const { bytes } = this;
    bytes[this.length++] = KEY_BIGINT;
    const start = this.length;
    if (count <= BIGINT_SHORT_BYTES) {
      bytes[this.length++] = 0x80 + count;
    } else {
      bytes[this.length++] = BIGINT_LONG_HEAD;
      bytes[this.length++] = count >>> 8;
      bytes[this.length++] = count;
    }
    for (let i = 0; i < count; i++) {
      bytes[this.length++] = Number.parseInt(digits.slice(i * 2, i * 2 + 2), 16);
    }
    if (negative) this.#complement(start);
  }

  #writeString(value: string, ends: boolean): void {
    const count = value.length;
    if (count > MAX_KEY_BYTES) this.#tooLong(count);
    this.#reserve(count + 2);
    const { bytes } = this;
    let at = this.length;
    bytes[at++] = KEY_STRING;
    for (let i = 0; i < count; i++) {
      const unit = value.charCodeAt(i);
      // Everything but 02..7f (ASCII without the two bytes that are escaped) takes the long way.
      if ((unit - 2) >>> 0 > 0x7d) {
        this.length = at;
        this.#writeRestOfString(value, i);
        at = this.length;
        break;
      }
      bytes[at++] = unit;
    }
    if (ends) this.bytes[at++] = KEY_END;
    this.length = at;
  }

  #writeRestOfString(value: string, from: number): void {
    // At most three bytes for a code unit; a pair takes four for its two.
    this.#reserve((value.length - from) * 3 + 1);
    const { bytes } = this;
    let at = this.length;
    for (let i = from; i < value.length; i++) {
      const point = value.codePointAt(i) as number;
      if (point < 2) {
        bytes[at++] = KEY_ESCAPE;
        bytes[at++] = point + 1;
      } else if (point < 0x80) {
        bytes[at++] = point;
      } else if (point < 0x800) {
        bytes[at++] = 0xc0 | (point >>> 6);
        bytes[at++] = 0x80 | (point & 0x3f);
      } else if (point < 0x1_0000) {
        bytes[at++] = 0xe0 | (point >>> 12);
        bytes[at++] = 0x80 | ((point >>> 6) & 0x3f);
        bytes[at++] = 0x80 | (point & 0x3f);
      } else {
        i++;
        bytes[at++] = 0xf0 | (point >>> 18);
        bytes[at++] = 0x80 | ((point >>> 12) & 0x3f);
        bytes[at++] = 0x80 | ((point >>> 6) & 0x3f);
        bytes[at++] = 0x80 | (point & 0x3f);
      }
    }
    this.length = at;
  }

  #writeBytes(value: Uint8Array, ends: boolean): void {
    const count = bytesLength(value);
    if (count === 0 && isDetached(value)) this.#refuse(value, 'whose memory was transferred is no key value');
    if (count > MAX_KEY_BYTES) this.#tooLong(count);
    this.#reserve(count * 2 + 2);
    const { bytes } = this;
    let at = this.length;
    bytes[at++] = KEY_BYTES;
    for (let i = 0; i < count; i++) {
      const byte = value[i] as number;
      if (byte > 1) {
        bytes[at++] = byte;
      } else {
        bytes[at++] = KEY_ESCAPE;
        bytes[at++] = byte + 1;
      }
    }
    if (ends) bytes[at++] = KEY_END;
    this.length = at;
  }

  #writeTuple(value: readonly unknown[], ends: boolean): void {
    if (this.#path.length >= MAX_KEY_NESTING) {
      throw new LimitExceededError(`${this.#place()}: tuples nest deeper than ${MAX_KEY_NESTING}`, {
        details: { limit: 'MAX_KEY_NESTING', allowed: MAX_KEY_NESTING },
      });
    }
    this.#writeByte(KEY_TUPLE);
    const depth = this.#path.length;
    for (let i = 0; i < value.length; i++) {
      this.#path[depth] = i;
      this.writeValue(value[i], false);
    }
    this.#path.length = depth;
    if (ends) this.#writeByte(KEY_END);
  }

  #complement(start: number): void {
    const { bytes, length } = this;
    for (let i = start; i < length; i++) bytes[i] = ~(bytes[i] as number);
  }

  #reserve(count: number): void {
    if (this.length + count > this.bytes.length) this.#grow(count);
  }

  #grow(count: number): void {
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  #place(): string {
    const indexes = this.#path.map((index) => `[${index}]`).join('');
    return this.field === '' ? `key${indexes}` : `key field '${this.field}'${indexes}`;
  }

  #refuse(value: unknown, why: string): never {
    const path = this.#place();
    const found = describeValue(value);
    this.#path.length = 0;
    throw new InvalidKeyError(`${path}: ${found} ${why}`, { details: { path, found } });
  }

  #tooLong(found: number): never {
    const path = this.#place();
    this.#path.length = 0;
    throw new LimitExceededError(`${path}: the key is longer than ${MAX_KEY_BYTES} bytes encoded`, {
      details: { limit: 'MAX_KEY_BYTES', allowed: MAX_KEY_BYTES, found },
    });
  }
}
