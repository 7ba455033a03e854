/**
 * Values as bytes: the door of the value codec. What is kept is what structuredClone keeps: all primitives but symbols,
 * plain objects, arrays with their holes, Date, RegExp, Map, Set, errors, bytes and the other views, boxed primitives,
 * cycles and shared objects; and Uuid. Not kept: prototypes, getters (their result is), fields of arrays that are no
 * elements, fields of errors beyond name, message, stack, cause and errors, `lastIndex`.
 */

import { types } from 'node:util';
import { InvalidValueError } from '../base/errors.ts';
import { bytesLength, isDetached } from './intrinsics.ts';
import type { ShapeRegistry } from './shapes.ts';
import { describeValue } from './text.ts';
import { ValueReader } from './value-reader.ts';
import type { ValueWriter } from './value-writer.ts';

/**
 * Appends `value` to `writer`. With a registry plain objects are stored by shape, and `writer.newShapes` lists those
 * whose definitions are not stored yet; without one the bytes explain themselves. Throws `InvalidValueError`, naming the
 * path, or `LimitExceededError`, and then leaves the writer as it was.
 */
export function encodeValue(value: unknown, writer: ValueWriter, registry: ShapeRegistry | undefined): void {
  writer.encode(value, registry);
}

/** The reader at hand; none while one is in use (a registry that loads a shape may decode other values meanwhile). */
let idle: ValueReader | undefined = new ValueReader();

/** The value in `bytes[start, end)`, the caller's own. Throws `CorruptionError` for what `encodeValue` cannot have written. */
export function decodeValue(
  bytes: Uint8Array,
  start: number,
  end: number,
  registry: ShapeRegistry | undefined,
): unknown {
  const reader = idle ?? new ValueReader();
  idle = undefined;
  try {
    return reader.decode(bytes, start, end, registry);
  } finally {
    idle = reader;
  }
}

/** As `decodeValue`, for one of many values: `text` holds the bytes from `textFrom` on as characters. */
export function decodeValueWithin(
  bytes: Uint8Array,
  start: number,
  end: number,
  registry: ShapeRegistry | undefined,
  text: string,
  textFrom: number,
): unknown {
  const reader = idle ?? new ValueReader();
  idle = undefined;
  try {
    return reader.decodeWithin(bytes, start, end, registry, text, textFrom);
  } finally {
    idle = reader;
  }
}

/** Appends the named fields of an object as one value without shapes; a missing field is kept as undefined. */
export function encodeValueList(
  names: readonly string[],
  holder: Readonly<Record<string, unknown>>,
  writer: ValueWriter,
  label: string,
): void {
  writer.encodeFields(names, holder, label);
}

/** The `count` values that `encodeValueList` wrote. */
export function decodeValueList(bytes: Uint8Array, start: number, end: number, count: number): unknown[] {
  const reader = idle ?? new ValueReader();
  idle = undefined;
  try {
    return reader.decodeList(bytes, start, end, count);
  } finally {
    idle = reader;
  }
}

/** Appends the value of a store of raw bytes: nothing but the bytes. */
export function encodeRawBytes(value: unknown, writer: ValueWriter): void {
  if (!types.isUint8Array(value) || (bytesLength(value) === 0 && isDetached(value))) {
    const found = `${describeValue(value)}${types.isUint8Array(value) ? ' whose memory was transferred' : ''}`;
    throw new InvalidValueError(`value: this store keeps raw bytes and needs a Uint8Array, found ${found}`, {
      details: { path: 'value', found },
    });
  }
  writer.appendBytes(value);
}

/** The value of a store of raw bytes, copied. */
export function decodeRawBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.subarray(start, end));
}
