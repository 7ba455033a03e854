/**
 * Encoding values (value-format.ts draws the bytes).
 *
 * Invariants:
 *  1. Equal values give equal bytes, whether by generated code or field by field, and whatever was encoded before; the
 *     order of fields, map entries and set elements counts as part of the value.
 *  2. A value that is refused leaves nothing behind: `length` is what it was.
 *  3. Objects met more than once, and cycles, keep their identity: the first try assumes there are none and takes note of
 *     each object; when it meets one again, the value is written anew behind TAG_REFERENCES.
 */

import { InvalidValueError, LimitExceededError } from '../base/errors.ts';
import { MAX_VALUE_BYTES, MAX_VALUE_NESTING } from '../base/limits.ts';
import { bytesLength, isDetached, mapEntries, regExpParts, setValues, unboxed } from './intrinsics.ts';
import { type Shape, type ShapeRegistry, writeShapeFields } from './shapes.ts';
import { Uuid } from './uuid.ts';
import {
  ERROR_CAUSE,
  ERROR_LIST,
  ERROR_STACK,
  LITTLE_ENDIAN,
  putNumber,
  putStringLength,
  TAG_ARRAY,
  TAG_BIGINT,
  TAG_BOXED,
  TAG_BYTES,
  TAG_DATE,
  TAG_ERROR,
  TAG_FALSE,
  TAG_HOLES,
  TAG_MAP,
  TAG_NEGATIVE_BIGINT,
  TAG_NULL,
  TAG_OBJECT,
  TAG_REFERENCE,
  TAG_REFERENCES,
  TAG_REGEXP,
  TAG_SET,
  TAG_SHAPE,
  TAG_SHORT_ARRAY,
  TAG_TRUE,
  TAG_UNDEFINED,
  TAG_UUID,
  TAG_VIEW,
} from './value-format.ts';
import {
  explainRefusal,
  KIND_ARRAY,
  KIND_BOXED,
  KIND_BYTES,
  KIND_DATE,
  KIND_ERROR,
  KIND_MAP,
  KIND_PLAIN,
  KIND_REGEXP,
  KIND_SET,
  KIND_UUID,
  KIND_VIEW,
  kindOf,
  VIEW_ARRAY_BUFFER,
  VIEW_ELEMENT_BYTES,
  viewKind,
} from './value-kinds.ts';
import { writeText } from './value-text.ts';

/** Thrown and caught here: an object was met a second time. */
const MET_AGAIN = { name: 'an object was met again' };
/** Thrown and caught here: something in the value cannot be stored. */
const REFUSED = { name: 'something cannot be stored' };
const TOO_DEEP = { name: 'too deep' };

/** Objects noted in a plain list before a Set takes over. */
const SEEN_LIST_LENGTH = 16;
/** Scratch bytes kept between values; what a larger value took is let go. */
const KEPT_BYTES = 16 * 1024 * 1024;
/** By so much at most is more reserved than is written then. */
const RESERVED_AHEAD = 1024;
/** Strings kept for reuse between values; more are let go. */
const KEPT_TEXTS = 64;

/**
 * Encodes values one after another into scratch bytes that it owns: `bytes[..length)`, replaced when they grow. Whoever
 * holds it may set `length` back. Not for use from within a value's own getters.
 */
export class ValueWriter {
  bytes: Uint8Array = Buffer.allocUnsafeSlow(1024);
  length = 0;
  /** What is certain to be longer is refused before memory is taken for it; whoever sets it looks at `length` afterwards. */
  maxLength = Number.POSITIVE_INFINITY;
  /** Shapes that the values since the last `newShapes.length = 0` use and that are not stored yet; no shape twice. */
  readonly newShapes: Shape[] = [];
  /** The strings of the value being written, in order. For generated code. */
  texts: string[] = [];
  textCount = 0;
  #registry: ShapeRegistry | undefined;
  #start = 0;
  #depth = 0;
  #busy = false;
  #references: Map<object, number> | undefined;
  readonly #seen: (object | undefined)[] = new Array(SEEN_LIST_LENGTH).fill(undefined);
  #seenCount = 0;
  #seenMore: Set<object> | undefined;

  reset(): void {
    this.length = 0;
  }

  /** What was written is not needed any more. */
  letGo(): void {
    this.#shrink(0);
  }

  #shrink(length: number): void {
    this.length = length;
    if (this.bytes.length <= KEPT_BYTES || length > KEPT_BYTES) return;
    const smaller = Buffer.allocUnsafeSlow(Math.max(1024, length));
    smaller.set(this.bytes.subarray(0, length));
    this.bytes = smaller;
  }

  /** A copy of what was written. */
  toBytes(): Uint8Array {
    return new Uint8Array(this.bytes.subarray(0, this.length));
  }

  /** Appends a value; see `encodeValue`. */
  encode(value: unknown, registry: ShapeRegistry | undefined): void {
    this.#begin(registry);
    try {
      this.writeAny(value);
      this.#writeText();
    } catch (error) {
      if (error !== MET_AGAIN) throw this.#explain(error, value, 'value');
      this.#encodeAgain(() => this.writeAny(value), value, 'value');
    } finally {
      this.#end();
    }
  }

  /** Appends the named fields of `holder`, as one value without shapes; a missing one is undefined. */
  encodeFields(names: readonly string[], holder: Readonly<Record<string, unknown>>, label: string): void {
    this.#begin(undefined);
    let last = '';
    const writeFields = () => {
      for (const name of names) {
        last = name;
        this.writeAny(holder[name]);
      }
    };
    try {
      writeFields();
      this.#writeText();
    } catch (error) {
      if (error !== MET_AGAIN) throw this.#explain(error, holder[last], `${label} '${last}'`);
      this.#encodeAgain(writeFields, holder, label);
    } finally {
      this.#end();
    }
  }

  /** Appends bytes as they are: the value of a store of raw bytes. */
  appendBytes(value: Uint8Array): void {
    const count = bytesLength(value);
    this.#start = this.length;
    this.reserve(count);
    this.bytes.set(value, this.length);
    this.length += count;
  }

  #encodeAgain(write: () => void, value: unknown, path: string): void {
    this.#forget();
    this.length = this.#start;
    this.#references = new Map();
    try {
      this.#writeByte(TAG_REFERENCES);
      write();
      this.#writeText();
    } catch (error) {
      throw this.#explain(error, value, path);
    }
  }

  #begin(registry: ShapeRegistry | undefined): void {
    if (this.#busy) throw new InvalidValueError('a getter of a value being stored must not store values itself');
    this.#busy = true;
    this.#registry = registry;
    this.#start = this.length;
    this.#depth = 0;
  }

  #end(): void {
    this.#forget();
    this.#references = undefined;
    this.#busy = false;
  }

  #forget(): void {
    if (this.textCount > KEPT_TEXTS) this.texts = [];
    this.textCount = 0;
    for (let i = 0; i < this.#seenCount; i++) this.#seen[i] = undefined;
    this.#seenCount = 0;
    this.#seenMore = undefined;
  }

  #explain(error: unknown, value: unknown, path: string): unknown {
    this.#shrink(this.#start);
    if (error === REFUSED) return explainRefusal(value, path, 'cannot be stored');
    if (error === TOO_DEEP) return explainRefusal(value, path, `nests deeper than ${MAX_VALUE_NESTING}`);
    return error;
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.length + count > this.bytes.length) this.#grow(count);
  }

  #grow(count: number): void {
    const needed = this.length + count;
    if (needed - this.#start > MAX_VALUE_BYTES) {
      throw new LimitExceededError(`a value takes more than ${MAX_VALUE_BYTES} bytes encoded`, {
        details: { limit: 'MAX_VALUE_BYTES', allowed: MAX_VALUE_BYTES, found: needed - this.#start },
      });
    }
    if (needed - RESERVED_AHEAD > this.maxLength) throw tooLong(needed, this.maxLength);
    const larger = Buffer.allocUnsafeSlow(
      Math.max(Math.min(this.bytes.length * 2, this.bytes.length + 2 ** 28), needed),
    );
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  /** One item of the body. For generated code, not for users. */
  writeAny(value: unknown): void {
    this.reserve(16);
    switch (typeof value) {
      case 'string':
        this.#writeString(value);
        return;
      case 'number':
        this.length = putNumber(this.bytes, this.length, value);
        return;
      case 'boolean':
        this.bytes[this.length++] = value ? TAG_TRUE : TAG_FALSE;
        return;
      case 'undefined':
        this.bytes[this.length++] = TAG_UNDEFINED;
        return;
      case 'object':
        if (value === null) this.bytes[this.length++] = TAG_NULL;
        else this.#writeObject(value);
        return;
      case 'bigint':
        this.#writeBigint(value);
        return;
      default:
        throw REFUSED;
    }
  }

  writeShapeHeader(id: number): void {
    this.reserve(5);
    const { bytes, length } = this;
    bytes[length] = TAG_SHAPE;
    bytes[length + 1] = id;
    bytes[length + 2] = id >>> 8;
    bytes[length + 3] = id >>> 16;
    bytes[length + 4] = id >>> 24;
    this.length = length + 5;
  }

  #writeString(value: string): void {
    this.texts[this.textCount++] = value;
    this.length = putStringLength(this.bytes, this.length, value.length);
  }

  #writeByte(byte: number): void {
    this.reserve(1);
    this.bytes[this.length++] = byte;
  }

  #writeVarint(value: number): void {
    this.reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.length++] = rest;
  }

  #writeRaw(raw: Uint8Array): void {
    const count = bytesLength(raw);
    this.#writeVarint(count);
    this.reserve(count);
    this.bytes.set(raw, this.length);
    this.length += count;
  }

  #writeObject(value: object): void {
    if (this.#references !== undefined) {
      if (this.#wroteReference(value, this.#references)) return;
    } else {
      this.#note(value);
    }
    if (++this.#depth > MAX_VALUE_NESTING) throw TOO_DEEP;
    const kind = kindOf(value);
    if (kind === KIND_PLAIN) this.#writePlain(value as Record<string, unknown>);
    else if (kind === KIND_ARRAY) this.#writeArray(value as unknown[]);
    else this.#writeOther(value, kind);
    this.#depth--;
  }

  /** First try: no object may be met twice. */
  #note(value: object): void {
    const count = this.#seenCount;
    if (this.#seenMore === undefined) {
      const seen = this.#seen;
      for (let i = 0; i < count; i++) if (seen[i] === value) throw MET_AGAIN;
      if (count < SEEN_LIST_LENGTH) {
        seen[count] = value;
        this.#seenCount = count + 1;
        return;
      }
      this.#seenMore = new Set(seen as object[]);
    }
    const before = this.#seenMore.size;
    if (this.#seenMore.add(value).size === before) throw MET_AGAIN;
  }

  #wroteReference(value: object, references: Map<object, number>): boolean {
    const index = references.get(value);
    if (index === undefined) {
      references.set(value, references.size);
      return false;
    }
    this.#writeByte(TAG_REFERENCE);
    this.#writeVarint(index);
    return true;
  }

  #writePlain(value: Record<string, unknown>): void {
    const registry = this.#registry;
    const shape = registry?.shapeOf(value);
    if (registry === undefined || shape === undefined) {
      this.#writeNamedFields(value);
      return;
    }
    if (!shape.stored && !this.newShapes.includes(shape)) this.newShapes.push(shape);
    const write = registry.writerOf(shape);
    if (write !== undefined) write(value, this);
    else writeShapeFields(shape, value, this);
  }

  #writeNamedFields(value: Record<string, unknown>): void {
    const names = Object.keys(value);
    this.#writeByte(TAG_OBJECT);
    this.#writeVarint(names.length);
    for (const name of names) {
      this.reserve(16);
      this.#writeString(name);
      this.writeAny(value[name]);
    }
  }

  #writeArray(value: readonly unknown[]): void {
    // A proxy may say anything.
    const count = value.length >>> 0;
    if (count < 16) {
      this.#writeByte(TAG_SHORT_ARRAY + count);
    } else {
      this.#writeByte(TAG_ARRAY);
      this.#writeVarint(count);
    }
    for (let i = 0; i < count; i++) {
      const element = value[i];
      if (element === undefined && !(i in value)) i = this.#writeHoles(value, i, count) - 1;
      else this.writeAny(element);
    }
  }

  /** Writes the run of missing elements that begins at `from`; returns where it ends. */
  #writeHoles(value: readonly unknown[], from: number, count: number): number {
    let end = from + 1;
    while (end < count && end < from + 1024 && !(end in value)) end++;
    // A long run: ask which elements there are instead of trying billions.
    if (end === from + 1024) end = nextIndex(value, end, count);
    this.#writeByte(TAG_HOLES);
    this.#writeVarint(end - from);
    return end;
  }

  #writeOther(value: object, kind: number): void {
    switch (kind) {
      case KIND_DATE:
        this.#writeByte(TAG_DATE);
        this.writeAny(Date.prototype.getTime.call(value));
        return;
      case KIND_BYTES:
        this.#writeByte(TAG_BYTES);
        this.#writeBytes(value as Uint8Array);
        return;
      case KIND_UUID:
        this.reserve(17);
        this.bytes[this.length] = TAG_UUID;
        Uuid.prototype.writeTo.call(value as Uuid, this.bytes, this.length + 1);
        this.length += 17;
        return;
      case KIND_MAP:
        this.#writeMap(value as Map<unknown, unknown>);
        return;
      case KIND_SET:
        this.#writeSet(value as Set<unknown>);
        return;
      case KIND_VIEW:
        this.#writeView(value as ArrayBufferView | ArrayBuffer);
        return;
      case KIND_REGEXP:
        this.#writeRegExp(value as RegExp);
        return;
      case KIND_ERROR:
        this.#writeError(value as Error);
        return;
      case KIND_BOXED:
        this.#writeByte(TAG_BOXED);
        this.writeAny(unboxed(value));
        return;
      default:
        throw REFUSED;
    }
  }

  #writeMap(value: ReadonlyMap<unknown, unknown>): void {
    // A copy, so that a getter that changes the map cannot make the count wrong.
    const entries = mapEntries(value);
    this.#writeByte(TAG_MAP);
    this.#writeVarint(entries.length);
    for (const [key, element] of entries) {
      this.writeAny(key);
      this.writeAny(element);
    }
  }

  #writeSet(value: ReadonlySet<unknown>): void {
    const elements = setValues(value);
    this.#writeByte(TAG_SET);
    this.#writeVarint(elements.length);
    for (const element of elements) this.writeAny(element);
  }

  #writeRegExp(value: RegExp): void {
    const { source, flags } = regExpParts(value);
    this.#writeByte(TAG_REGEXP);
    this.writeAny(source);
    this.writeAny(flags);
  }

  #writeBytes(value: Uint8Array): void {
    if (bytesLength(value) === 0 && isDetached(value)) throw REFUSED;
    this.#writeRaw(value);
  }

  #writeView(value: ArrayBufferView | ArrayBuffer): void {
    const isView = ArrayBuffer.isView(value);
    const kind = isView ? viewKind(value) : VIEW_ARRAY_BUFFER;
    if (kind === -1) throw REFUSED;
    const raw = bytesWithin(value);
    this.#writeByte(TAG_VIEW);
    this.#writeByte(kind);
    this.#writeRaw(LITTLE_ENDIAN ? raw : swapped(raw, VIEW_ELEMENT_BYTES[kind] ?? 1));
  }

  #writeError(value: Error): void {
    const { stack, cause } = value;
    const errors: unknown = Object.hasOwn(value, 'errors') ? (value as AggregateError).errors : undefined;
    const hasCause = Object.hasOwn(value, 'cause');
    const hasStack = typeof stack === 'string';
    this.#writeByte(TAG_ERROR);
    this.#writeByte(
      (hasStack ? ERROR_STACK : 0) | (hasCause ? ERROR_CAUSE : 0) | (Array.isArray(errors) ? ERROR_LIST : 0),
    );
    this.writeAny(String(value.name));
    this.writeAny(String(value.message));
    if (hasStack) this.writeAny(stack);
    if (hasCause) this.writeAny(cause);
    if (Array.isArray(errors)) this.writeAny(errors);
  }

  #writeBigint(value: bigint): void {
    const negative = value < 0n;
    let digits = value === 0n ? '' : (negative ? -value : value).toString(16);
    if (digits.length % 2 === 1) digits = `0${digits}`;
    this.#writeByte(negative ? TAG_NEGATIVE_BIGINT : TAG_BIGINT);
    this.#writeRaw(Buffer.from(digits, 'hex').reverse());
  }

  /** The text of all strings and its trailer; the end of every value. */
  #writeText(): void {
    writeText(this, this.texts, this.textCount);
    const found = this.length - this.#start;
    if (found <= MAX_VALUE_BYTES) return;
    throw new LimitExceededError(`a value takes ${found} bytes encoded, more than ${MAX_VALUE_BYTES}`, {
      details: { limit: 'MAX_VALUE_BYTES', allowed: MAX_VALUE_BYTES, found },
    });
  }
}

/** The first index at or after `from` that holds an element; `count` where there is none. */
function nextIndex(value: readonly unknown[], from: number, count: number): number {
  for (const name of Object.keys(value)) {
    const index = Number(name);
    // '1e3' is a field of the array, not its element 1000.
    if (index >= from && index < count && String(index) === name) return index;
  }
  return count;
}

/** The bytes of a view or buffer; refused where they were given away or cut off. */
function bytesWithin(value: ArrayBufferView | ArrayBuffer): Uint8Array {
  if (isDetached(value)) throw REFUSED;
  if (!ArrayBuffer.isView(value)) return new Uint8Array(value);
  try {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  } catch {
    // A view beyond the end of a buffer that was made smaller.
    throw REFUSED;
  }
}

/** The bytes of each element turned around: views are stored little-endian. */
export function swapped(raw: Uint8Array, elementBytes: number): Uint8Array {
  const copy = raw.slice();
  for (let at = 0; at + elementBytes <= copy.length; at += elementBytes) copy.subarray(at, at + elementBytes).reverse();
  return copy;
}

/** For a value past the limit of its database. */
export function tooLong(found: number, allowed: number): LimitExceededError {
  return new LimitExceededError(`a value takes ${found} bytes encoded, more than maxValueBytes (${allowed})`, {
    details: { limit: 'maxValueBytes', allowed, found },
  });
}
