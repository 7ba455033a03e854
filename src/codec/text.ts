/**
 * Strings and bytes: the native slices and writes that Node's Buffer brings, usable on any Uint8Array, and the short
 * cuts around them. A native call costs 50-70 ns, so short strings are put together in JavaScript.
 */

import { types } from 'node:util';

interface NativeText {
  latin1Slice(start: number, end: number): string;
  utf8Slice(start: number, end: number): string;
  ucs2Slice(start: number, end: number): string;
}

const native = Buffer.prototype as unknown as NativeText;
const nativeLatin1Slice = native.latin1Slice;
const nativeUtf8Slice = native.utf8Slice;
const nativeUcs2Slice = native.ucs2Slice;

/** Each byte of `[start, end)` as one character. */
export function latin1Slice(bytes: Uint8Array, start: number, end: number): string {
  return nativeLatin1Slice.call(bytes, start, end);
}

/** UTF-8; what is not well-formed becomes U+FFFD. */
export function utf8Slice(bytes: Uint8Array, start: number, end: number): string {
  return nativeUtf8Slice.call(bytes, start, end);
}

/** Little-endian UTF-16 code units, of any alignment; lone surrogates are kept. */
export function utf16Slice(bytes: Uint8Array, start: number, end: number): string {
  return nativeUcs2Slice.call(bytes, start, end);
}

const LONGEST_SHORT = 8;

/** Like `latin1Slice`, quicker for up to eight characters. */
export function shortSlice(bytes: Uint8Array, at: number, end: number): string {
  const length = end - at;
  if (length > LONGEST_SHORT) return nativeLatin1Slice.call(bytes, at, end);
  if (length < 1) return '';
  const a = bytes[at] as number;
  if (length === 1) return String.fromCharCode(a);
  const b = bytes[at + 1] as number;
  if (length === 2) return String.fromCharCode(a, b);
  const c = bytes[at + 2] as number;
  if (length === 3) return String.fromCharCode(a, b, c);
  const d = bytes[at + 3] as number;
  if (length === 4) return String.fromCharCode(a, b, c, d);
  const e = bytes[at + 4] as number;
  if (length === 5) return String.fromCharCode(a, b, c, d, e);
  const f = bytes[at + 5] as number;
  if (length === 6) return String.fromCharCode(a, b, c, d, e, f);
  const g = bytes[at + 6] as number;
  if (length === 7) return String.fromCharCode(a, b, c, d, e, f, g);
  return String.fromCharCode(a, b, c, d, e, f, g, bytes[at + 7] as number);
}

/** Whether a string has no lone surrogates. (ES2024, in every Node we run on; the compiler's library is older.) */
export function isWellFormed(text: string): boolean {
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

/** What a value is, in words for an error message. */
export function describeValue(value: unknown): string {
  if (value === null) return 'null';
  if (value === undefined) return 'undefined';
  if (typeof value === 'function') return value.name === '' ? 'a function' : `the function ${value.name}`;
  if (typeof value === 'symbol') return String(value);
  if (typeof value !== 'object') return `a ${typeof value}`;
  if (Array.isArray(value)) return 'an array';
  const made: unknown = Reflect.get(value, 'constructor');
  const name = typeof made === 'function' ? made.name : '';
  if (name === '' || name === 'Object') return 'a plain object';
  if (types.isDate(value)) return Number.isNaN(Date.prototype.getTime.call(value)) ? 'an invalid Date' : 'a Date';
  return `an object of class ${name}`;
}
