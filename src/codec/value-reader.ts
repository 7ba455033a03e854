/**
 * Decoding values (value-format.ts draws the bytes). The bytes are hostile: what encoding cannot have written ends in a
 * `CorruptionError`, possibly only once the whole value was read.
 *
 * Invariants:
 *  1. Every item consumes at least one byte, every count is checked against the bytes that remain, so the work is bounded
 *     by the length of the value and nothing is allocated for elements that are not there.
 *  2. A value is handed out only if its items end exactly where the text begins, and its strings use the whole text.
 *  3. What is handed out belongs to the caller: no object of it is used twice.
 */

import { copyBytes } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { MAX_VALUE_NESTING } from '../base/limits.ts';
import { youngArray } from '../base/young.ts';
import { setOwn } from './code-generation.ts';
import type { Shape, ShapeRegistry } from './shapes.ts';
import { shortSlice } from './text.ts';
import { UUID_BYTES, Uuid } from './uuid.ts';
import {
  ERROR_CAUSE,
  ERROR_LIST,
  ERROR_STACK,
  LITTLE_ENDIAN,
  readDouble,
  readFloat,
  readUnsigned,
  TAG_ARRAY,
  TAG_BIGINT,
  TAG_BOXED,
  TAG_BYTES,
  TAG_DATE,
  TAG_DOUBLE,
  TAG_ERROR,
  TAG_FALSE,
  TAG_FLOAT,
  TAG_HOLES,
  TAG_HUNDREDTHS,
  TAG_INTEGER,
  TAG_MAP,
  TAG_NAN,
  TAG_NEGATIVE,
  TAG_NEGATIVE_BIGINT,
  TAG_NEGATIVE_HUNDREDTHS,
  TAG_NEGATIVE_ZERO,
  TAG_NULL,
  TAG_OBJECT,
  TAG_REFERENCE,
  TAG_REFERENCES,
  TAG_REGEXP,
  TAG_SET,
  TAG_SHAPE,
  TAG_SHORT_ARRAY,
  TAG_STRING,
  TAG_STRING_8,
  TAG_STRING_16,
  TAG_STRING_32,
  TAG_TRUE,
  TAG_UNDEFINED,
  TAG_UUID,
  TAG_VIEW,
  TEXT_LONG,
} from './value-format.ts';
import { VIEW_ARRAY_BUFFER, VIEW_CLASSES, VIEW_ELEMENT_BYTES } from './value-kinds.ts';
import { longText, readLongText } from './value-text.ts';
import { swapped } from './value-writer.ts';

const NO_BYTES = new Uint8Array(0);
const LAST_TIME = 8.64e15;
const ERROR_CLASSES = new Map<string, new (message: string) => Error>(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((type) => [type.name, type]),
);

export class ValueReader {
  bytes: Uint8Array = NO_BYTES;
  position = 0;
  text = '';
  textAt = 0;
  /** Where the body ends and the text begins. */
  #limit = 0;
  /** Where the value's text ends in `text`. */
  #textEnd = 0;
  #depth = 0;
  #registry: ShapeRegistry | undefined;
  /** The objects of this value in the order in which they began; only behind TAG_REFERENCES. */
  #objects: unknown[] | undefined;

  /** The value in `bytes[start, end)`. */
  decode(bytes: Uint8Array, start: number, end: number, registry: ShapeRegistry | undefined): unknown {
    this.#open(bytes, start, end, registry);
    const value = this.readAny();
    this.#close();
    return value;
  }

  /**
   * As `decode`, for one of many values: `text` holds the bytes from `textFrom` on as characters, so that a Latin-1 text need
   * not be made for each value alone (50 ns).
   */
  decodeWithin(
    bytes: Uint8Array,
    start: number,
    end: number,
    registry: ShapeRegistry | undefined,
    text: string,
    textFrom: number,
  ): unknown {
    const size = bytes[end - 1] as number;
    if (size >= TEXT_LONG || bytes[start] !== TAG_SHAPE) return this.decode(bytes, start, end, registry);
    const limit = end - 1 - size;
    if (limit <= start || start < 0 || end > bytes.length) corrupt('the text of a value is longer than the value');
    this.bytes = bytes;
    this.position = start + 1;
    this.text = text;
    this.textAt = limit - textFrom;
    this.#textEnd = end - 1 - textFrom;
    this.#limit = limit;
    this.#registry = registry;
    this.#depth = 0;
    this.#objects = undefined;
    const value = this.#readShape();
    this.#close();
    return value;
  }

  /** `count` values that were written as one (`ValueWriter.encodeFields`). */
  decodeList(bytes: Uint8Array, start: number, end: number, count: number): unknown[] {
    this.#open(bytes, start, end, undefined);
    const values = youngArray<unknown>();
    for (let i = 0; i < count; i++) values.push(this.readAny());
    this.#close();
    return values;
  }

  #open(bytes: Uint8Array, start: number, end: number, registry: ShapeRegistry | undefined): void {
    if (end - start < 2 || start < 0 || end > bytes.length) corrupt('a value is shorter than any can be');
    this.bytes = bytes;
    this.position = start;
    this.textAt = 0;
    this.#registry = registry;
    this.#depth = 0;
    this.#objects = undefined;
    const size = bytes[end - 1] as number;
    if (size < TEXT_LONG) {
      this.#limit = end - 1 - size;
      if (this.#limit <= start) corrupt('the text of a value is longer than the value');
      this.text = size === 0 ? '' : shortSlice(bytes, this.#limit, end - 1);
    } else {
      this.text = readLongText(bytes, start, end);
      this.#limit = longText.start;
    }
    this.#textEnd = this.text.length;
    if (bytes[start] === TAG_REFERENCES) {
      this.#objects = [];
      this.position = start + 1;
    }
  }

  #close(): void {
    if (this.position !== this.#limit || this.textAt !== this.#textEnd) corrupt('a value ends in the wrong place');
    this.text = '';
    this.bytes = NO_BYTES;
    this.#objects = undefined;
    this.#registry = undefined;
  }

  readAny(): unknown {
    if (this.position >= this.#limit) corrupt('a value ends too early');
    return this.readTagged(this.bytes[this.position++] as number);
  }

  /** The item whose tag was just passed. Generated code may come here past the end: then that is noticed here or at the end. */
  readTagged(tag: number): unknown {
    if (tag < TAG_STRING) return tag;
    if (tag < TAG_NULL) return this.#readText(tag - TAG_STRING);
    if (tag >= TAG_INTEGER && tag < TAG_STRING_8) return this.#readNumber(tag);
    switch (tag) {
      case TAG_NULL:
        return null;
      case TAG_FALSE:
        return false;
      case TAG_TRUE:
        return true;
      case TAG_UNDEFINED:
        return undefined;
      case TAG_NAN:
        return Number.NaN;
      case TAG_NEGATIVE_ZERO:
        return -0;
      case TAG_DOUBLE:
        return readDouble(this.bytes, this.#take(8));
      case TAG_FLOAT:
        return readFloat(this.bytes, this.#take(4));
      case TAG_STRING_8:
        return this.#readText(this.#unsigned(1));
      case TAG_STRING_16:
        return this.#readText(this.#unsigned(2));
      case TAG_STRING_32:
        return this.#readText(this.#unsigned(4));
      case TAG_BIGINT:
        return this.#readBigint();
      case TAG_NEGATIVE_BIGINT:
        return -this.#readBigint();
      default:
        return this.#readObject(tag);
    }
  }

  #readNumber(tag: number): number {
    if (tag < TAG_NEGATIVE) return this.#unsigned(tag - TAG_INTEGER + 1);
    if (tag < TAG_HUNDREDTHS) return -1 - this.#unsigned(tag - TAG_NEGATIVE + 1);
    if (tag < TAG_NEGATIVE_HUNDREDTHS) return this.#unsigned(tag - TAG_HUNDREDTHS + 1) / 100;
    return -this.#unsigned(tag - TAG_NEGATIVE_HUNDREDTHS + 1) / 100;
  }

  #unsigned(count: number): number {
    return readUnsigned(this.bytes, this.#take(count), count);
  }

  /** Passes `count` bytes and answers where they begin. */
  #take(count: number): number {
    const at = this.position;
    if (count > this.#limit - at) corrupt('a value ends too early');
    this.position = at + count;
    return at;
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; scale <= 0x80 ** 6; scale *= 0x80) {
      const byte = this.bytes[this.#take(1)] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return corrupt('a count in a value is too long');
  }

  /** A count of things that take at least `each` bytes. */
  #count(each: number): number {
    const count = this.#varint();
    if (count * each > this.#limit - this.position) corrupt('a count in a value is larger than the value');
    return count;
  }

  #readText(length: number): string {
    const at = this.textAt;
    this.textAt = at + length;
    if (this.textAt > this.#textEnd) corrupt('a string of a value lies beyond its text');
    return this.text.substring(at, at + length);
  }

  #readString(): string {
    const value = this.readAny();
    return typeof value === 'string' ? value : corrupt('a string is missing in a value');
  }

  #readBigint(): bigint {
    const count = this.#count(1);
    const at = this.#take(count);
    if (count === 0) return 0n;
    const digits = Buffer.from(this.bytes.subarray(at, at + count))
      .reverse()
      .toString('hex');
    try {
      return BigInt(`0x${digits}`);
    } catch (error) {
      throw new CorruptionError('a bigint in a value is larger than any can be', { cause: error });
    }
  }

  #readObject(tag: number): unknown {
    if (tag === TAG_SHAPE && this.#objects === undefined) return this.#readShape();
    if (++this.#depth > MAX_VALUE_NESTING) corrupt(`a value nests deeper than ${MAX_VALUE_NESTING}`);
    const value = this.#readOther(tag);
    this.#depth--;
    return value;
  }

  #readShape(): object {
    if (this.#registry === undefined) corrupt('a value has a shape where none can be');
    if (++this.#depth > MAX_VALUE_NESTING) corrupt(`a value nests deeper than ${MAX_VALUE_NESTING}`);
    const shape = this.#resolveShape(this.#registry);
    const read = this.#registry.readerOf(shape);
    let value: object;
    if (read === undefined) {
      value = this.#readFields({}, shape.names);
    } else {
      value = read(this);
      if (this.position > this.#limit) corrupt('a value ends too early');
    }
    this.#depth--;
    return value;
  }

  #resolveShape(registry: ShapeRegistry): Shape {
    const id = readUnsigned(this.bytes, this.#take(4), 4);
    const shape = registry.known(id);
    if (shape !== undefined) return shape;
    // Loading a shape reads other trees, perhaps into the memory that these bytes lie in.
    this.bytes = copyBytes(this.bytes, this.position, this.#limit);
    this.#limit -= this.position;
    this.position = 0;
    return registry.resolve(id);
  }

  #readFields(value: Record<string, unknown>, names: readonly string[]): object {
    for (const name of names) setOwn(value, name, this.readAny());
    return value;
  }

  #readOther(tag: number): unknown {
    switch (tag) {
      case TAG_SHAPE:
        return this.#readSharedShape();
      case TAG_OBJECT:
        return this.#readNamedFields();
      case TAG_ARRAY:
        return this.#readArray(this.#varint());
      case TAG_DATE:
        return this.#begun(this.#readDate());
      case TAG_BYTES:
        return this.#begun(this.#readBytes());
      case TAG_UUID:
        return this.#begun(Uuid.fromBytes(this.bytes, this.#take(UUID_BYTES)));
      case TAG_MAP:
        return this.#readMap();
      case TAG_SET:
        return this.#readSet();
      case TAG_VIEW:
        return this.#begun(this.#readView());
      case TAG_REGEXP:
        return this.#begun(this.#readRegExp());
      case TAG_ERROR:
        return this.#readError();
      case TAG_BOXED:
        return this.#begun(this.#readBoxed());
      case TAG_REFERENCE:
        return this.#readReference();
      default:
        if (tag >= TAG_SHORT_ARRAY && tag < TAG_SHORT_ARRAY + 16) return this.#readArray(tag - TAG_SHORT_ARRAY);
        return corrupt(`no item of a value begins with byte ${tag}`);
    }
  }

  /** Takes note of an object, so that references can name it. */
  #begun<T>(value: T): T {
    this.#objects?.push(value);
    return value;
  }

  #readReference(): unknown {
    const index = this.#varint();
    const objects = this.#objects;
    if (objects === undefined || index >= objects.length) corrupt('a reference in a value names no object');
    return objects[index];
  }

  /** The object stands in the table before its fields are read: they may refer to it. */
  #readSharedShape(): object {
    if (this.#registry === undefined) corrupt('a value has a shape where none can be');
    const shape = this.#resolveShape(this.#registry);
    return this.#readFields(this.#begun({}), shape.names);
  }

  #readNamedFields(): object {
    const count = this.#count(2);
    const value: Record<string, unknown> = this.#begun({});
    for (let i = 0; i < count; i++) {
      const name = this.#readString();
      setOwn(value, name, this.readAny());
    }
    return value;
  }

  #readArray(count: number): unknown[] {
    const value = this.#begun(youngArray<unknown>());
    if (count > 0xffff_ffff) corrupt('an array in a value is longer than any can be');
    for (let i = 0; i < count; ) {
      if (this.position < this.#limit && this.bytes[this.position] === TAG_HOLES) {
        this.position++;
        const holes = this.#varint();
        if (holes === 0 || holes > count - i) corrupt('missing elements in a value are more than its array has');
        i += holes;
        value.length = i;
      } else {
        value[i++] = this.readAny();
      }
    }
    return value;
  }

  #readMap(): Map<unknown, unknown> {
    const count = this.#count(2);
    const value = this.#begun(new Map<unknown, unknown>());
    for (let i = 0; i < count; i++) {
      const key = this.readAny();
      value.set(key, this.readAny());
    }
    if (value.size !== count) corrupt('a map in a value has a key twice');
    return value;
  }

  #readSet(): Set<unknown> {
    const count = this.#count(1);
    const value = this.#begun(new Set<unknown>());
    for (let i = 0; i < count; i++) value.add(this.readAny());
    if (value.size !== count) corrupt('a set in a value has an element twice');
    return value;
  }

  #readDate(): Date {
    const time = this.readAny();
    const valid =
      typeof time === 'number' && (Number.isNaN(time) || (Number.isInteger(time) && Math.abs(time) <= LAST_TIME));
    if (!valid) corrupt('a Date in a value holds no time');
    return new Date(time as number);
  }

  #readBytes(): Uint8Array {
    const count = this.#count(1);
    const at = this.#take(count);
    // Not slice: a Buffer's would share its memory.
    return new Uint8Array(this.bytes.subarray(at, at + count));
  }

  #readView(): ArrayBufferView | ArrayBuffer {
    const kind = this.bytes[this.#take(1)] as number;
    const raw = this.#readBytes();
    if (kind === VIEW_ARRAY_BUFFER) return raw.buffer as ArrayBuffer;
    const View = VIEW_CLASSES[kind];
    const elementBytes = VIEW_ELEMENT_BYTES[kind] ?? 1;
    if (View === undefined || raw.length % elementBytes !== 0)
      corrupt('a typed array in a value has a wrong kind or length');
    return new View((LITTLE_ENDIAN ? raw : swapped(raw, elementBytes)).buffer as ArrayBuffer);
  }

  #readRegExp(): RegExp {
    const source = this.#readString();
    const flags = this.#readString();
    try {
      return new RegExp(source, flags);
    } catch (error) {
      throw new CorruptionError('a regular expression in a value is none', { cause: error });
    }
  }

  #readError(): Error {
    const flags = this.bytes[this.#take(1)] as number;
    const index = this.#objects?.length ?? 0;
    this.#begun(undefined);
    const name = this.#readString();
    const message = this.#readString();
    const stack = (flags & ERROR_STACK) !== 0 ? this.#readString() : undefined;
    const error = makeError(name, message, stack);
    if (this.#objects !== undefined) this.#objects[index] = error;
    if ((flags & ERROR_CAUSE) !== 0) hide(error, 'cause', this.readAny());
    if ((flags & ERROR_LIST) !== 0) hide(error, 'errors', this.readAny());
    return error;
  }

  #readBoxed(): object {
    const value = this.readAny();
    const boxable = typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string';
    return boxable || typeof value === 'bigint' ? Object(value) : corrupt('a boxed primitive in a value is none');
  }
}

/** An error of the built-in class with that name; of `Error`, and called so, for any other name. */
export function makeError(name: string, message: string, stack: string | undefined): Error {
  const Type = ERROR_CLASSES.get(name) ?? Error;
  const error = name === 'AggregateError' ? new AggregateError([], message) : new Type(message);
  hide(error, 'stack', stack);
  if (error.name !== name) hide(error, 'name', name);
  return error;
}

function hide(error: Error, name: string, value: unknown): void {
  Object.defineProperty(error, name, { value, writable: true, enumerable: false, configurable: true });
}

function corrupt(message: string): never {
  throw new CorruptionError(message);
}
