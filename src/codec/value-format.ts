/**
 * The tags of encoded values, and how numbers are written.
 *
 * A value is `body | text | trailer`. The body is one tagged item (items within it follow one another); strings in the
 * body are only lengths, their characters stand together in the text, in order, so that a reader makes one string of
 * it and cuts all others from that: 25 ns a string instead of 60. The trailer, at the very end, says how long the text
 * is and how it is written: one byte below TEXT_LONG is the length of a Latin-1 text; else that byte is
 * TEXT_LONG + 4 * form + (bytes of the length - 1), and the length stands before it.
 *
 * Lengths of strings are in UTF-16 code units, those of the text in bytes. Numbers are little-endian; *n* is a LEB128.
 */

/** 0x00-0x3f: the integers 0 to 63. 0x40-0x7f: a string of 0 to 63 code units. */
export const TAG_STRING = 0x40;
export const TAG_NULL = 0x80;
export const TAG_FALSE = 0x81;
export const TAG_TRUE = 0x82;
export const TAG_UNDEFINED = 0x83;
export const TAG_NAN = 0x84;
export const TAG_NEGATIVE_ZERO = 0x85;
/** 8 bytes. */
export const TAG_DOUBLE = 0x86;
/** 4 bytes: a double that is exact as a single. */
export const TAG_FLOAT = 0x87;
/** 0x88-0x8d: an integer in 1 to 6 bytes. */
export const TAG_INTEGER = 0x88;
/** 0x8e-0x93: -1 minus an integer in 1 to 6 bytes. */
export const TAG_NEGATIVE = 0x8e;
/** 0x94-0x97: an integer in 1 to 4 bytes, divided by 100: prices and the like. */
export const TAG_HUNDREDTHS = 0x94;
/** 0x98-0x9b: the same, negated. */
export const TAG_NEGATIVE_HUNDREDTHS = 0x98;
/** A string whose length follows in 1, 2 or 4 bytes. */
export const TAG_STRING_8 = 0x9c;
export const TAG_STRING_16 = 0x9d;
export const TAG_STRING_32 = 0x9e;
/** n, n magnitude bytes. */
export const TAG_BIGINT = 0x9f;
export const TAG_NEGATIVE_BIGINT = 0xa0;
/** A number item: milliseconds since 1970, NaN for an invalid date. */
export const TAG_DATE = 0xa1;
export const TAG_UUID = 0xa2;
/** n, n bytes: a Uint8Array. */
export const TAG_BYTES = 0xa3;
/** Kind (one byte), n, n bytes: other views and ArrayBuffers. */
export const TAG_VIEW = 0xa4;
/** Two string items: source and flags. */
export const TAG_REGEXP = 0xa5;
/** n, n pairs of items. */
export const TAG_MAP = 0xa6;
/** n, n items. */
export const TAG_SET = 0xa7;
/** n, items for n elements. 0xc0-0xcf: the same for 0 to 15 elements. */
export const TAG_ARRAY = 0xa8;
export const TAG_SHORT_ARRAY = 0xc0;
/** In arrays only: n missing elements. */
export const TAG_HOLES = 0xa9;
/** u32 shape id, then an item for each field. */
export const TAG_SHAPE = 0xaa;
/** n, n times a string item (the name) and an item. */
export const TAG_OBJECT = 0xab;
/** Flags (one byte), name and message as string items, then what the flags say: stack, cause, errors. */
export const TAG_ERROR = 0xac;
/** A primitive item: Object(primitive). */
export const TAG_BOXED = 0xad;
/** n: the object that was the n-th to begin in this value, counting from zero. Only behind TAG_REFERENCES. */
export const TAG_REFERENCE = 0xae;
/** At the start of the body: objects in this value are met more than once. */
export const TAG_REFERENCES = 0xaf;

export const ERROR_STACK = 1;
export const ERROR_CAUSE = 2;
export const ERROR_LIST = 4;

export const TEXT_LONG = 0xe0;
export const TEXT_LATIN1 = 0;
export const TEXT_UTF8 = 1;
export const TEXT_UTF16 = 2;

/** The most bytes `putNumber` and `putStringLength` write. */
export const MAX_SCALAR_BYTES = 9;

export const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

const double = new Float64Array(1);
const doubleWords = new Uint32Array(double.buffer);
const float = new Float32Array(1);
const floatWord = new Uint32Array(float.buffer);
const LOW = LITTLE_ENDIAN ? 0 : 1;
const HIGH = 1 - LOW;

/** Writes a number at `at`, in the shortest form that is exact; returns where it ends. There must be room for 9 bytes. */
export function putNumber(bytes: Uint8Array, at: number, value: number): number {
  if ((value | 0) !== value) return putLargeNumber(bytes, at, value);
  if (value < 0) return putUnsigned(bytes, at, -1 - value, TAG_NEGATIVE);
  if (value >= 64) return putUnsigned(bytes, at, value, TAG_INTEGER);
  bytes[at] = value === 0 && 1 / value < 0 ? TAG_NEGATIVE_ZERO : value;
  return at + 1;
}

/** A tag counted up from `tag` by the bytes that follow, less one, and the integer below 2^32 in as few as it takes. */
function putUnsigned(bytes: Uint8Array, at: number, value: number, tag: number): number {
  bytes[at + 1] = value;
  if (value < 0x100) {
    bytes[at] = tag;
    return at + 2;
  }
  bytes[at + 2] = value >>> 8;
  if (value < 0x1_0000) {
    bytes[at] = tag + 1;
    return at + 3;
  }
  bytes[at + 3] = value >>> 16;
  if (value < 0x100_0000) {
    bytes[at] = tag + 2;
    return at + 4;
  }
  bytes[at + 4] = value >>> 24;
  bytes[at] = tag + 3;
  return at + 5;
}

function putLargeNumber(bytes: Uint8Array, at: number, value: number): number {
  if (Number.isInteger(value)) {
    const magnitude = value < 0 ? -1 - value : value;
    if (magnitude < 0x1_0000_0000_0000) return putWide(bytes, at, magnitude, value < 0 ? TAG_NEGATIVE : TAG_INTEGER);
  } else {
    // n / 100 is the double nearest to the decimal, which is what the literal means: 19.99 is 1999 / 100, exactly.
    const hundredths = Math.round(value * 100);
    if (hundredths / 100 === value) {
      if (hundredths > 0 && hundredths <= 0xffff_ffff) return putUnsigned(bytes, at, hundredths, TAG_HUNDREDTHS);
      if (hundredths < 0 && hundredths >= -0xffff_ffff) {
        return putUnsigned(bytes, at, -hundredths, TAG_NEGATIVE_HUNDREDTHS);
      }
    }
    if (Number.isNaN(value)) {
      bytes[at] = TAG_NAN;
      return at + 1;
    }
  }
  if (Math.fround(value) === value) {
    float[0] = value;
    bytes[at] = TAG_FLOAT;
    return putWord(bytes, at + 1, floatWord[0] as number);
  }
  double[0] = value;
  bytes[at] = TAG_DOUBLE;
  putWord(bytes, at + 1, doubleWords[LOW] as number);
  return putWord(bytes, at + 5, doubleWords[HIGH] as number);
}

/** An integer below 2^48. */
function putWide(bytes: Uint8Array, at: number, value: number, tag: number): number {
  if (value <= 0xffff_ffff) return putUnsigned(bytes, at, value, tag);
  const high = Math.floor(value / 0x1_0000_0000);
  putWord(bytes, at + 1, value >>> 0);
  bytes[at + 5] = high;
  if (high < 0x100) {
    bytes[at] = tag + 4;
    return at + 6;
  }
  bytes[at + 6] = high >>> 8;
  bytes[at] = tag + 5;
  return at + 7;
}

function putWord(bytes: Uint8Array, at: number, word: number): number {
  bytes[at] = word;
  bytes[at + 1] = word >>> 8;
  bytes[at + 2] = word >>> 16;
  bytes[at + 3] = word >>> 24;
  return at + 4;
}

/** Writes the item of a string of `length` code units; returns where it ends. */
export function putStringLength(bytes: Uint8Array, at: number, length: number): number {
  if (length < 64) {
    bytes[at] = TAG_STRING + length;
    return at + 1;
  }
  if (length < 0x100) {
    bytes[at] = TAG_STRING_8;
    bytes[at + 1] = length;
    return at + 2;
  }
  if (length < 0x1_0000) {
    bytes[at] = TAG_STRING_16;
    bytes[at + 1] = length;
    bytes[at + 2] = length >>> 8;
    return at + 3;
  }
  bytes[at] = TAG_STRING_32;
  return putWord(bytes, at + 1, length);
}

/** The little-endian integer in `count` bytes at `at`, one to six of them. */
export function readUnsigned(bytes: Uint8Array, at: number, count: number): number {
  let value = bytes[at] as number;
  if (count > 1) value |= (bytes[at + 1] as number) << 8;
  if (count > 2) value |= (bytes[at + 2] as number) << 16;
  if (count > 3) value = (value | ((bytes[at + 3] as number) << 24)) >>> 0;
  if (count > 4) value += (bytes[at + 4] as number) * 0x1_0000_0000;
  if (count > 5) value += (bytes[at + 5] as number) * 0x100_0000_0000;
  return value;
}

export function readFloat(bytes: Uint8Array, at: number): number {
  floatWord[0] = readUnsigned(bytes, at, 4);
  return float[0] as number;
}

export function readDouble(bytes: Uint8Array, at: number): number {
  doubleWords[LOW] = readUnsigned(bytes, at, 4);
  doubleWords[HIGH] = readUnsigned(bytes, at + 4, 4);
  return double[0] as number;
}
