/**
 * Which objects are values, and of which kind. Subclasses of the built-in kinds count as these (their class is lost, as
 * with structuredClone), and so do instances of classes that bring nothing but fields. Whatever has methods of its own,
 * runs, or can be held only by reference is no value.
 */

import { types } from 'node:util';
import { InvalidValueError } from '../base/errors.ts';
import { MAX_VALUE_NESTING } from '../base/limits.ts';
import { isDetached, mapEntries, setValues } from './intrinsics.ts';
import { describeValue } from './text.ts';
import { Uuid } from './uuid.ts';

export const KIND_NONE = 0;
export const KIND_PLAIN = 1;
export const KIND_ARRAY = 2;
export const KIND_DATE = 3;
export const KIND_BYTES = 4;
export const KIND_VIEW = 5;
export const KIND_MAP = 6;
export const KIND_SET = 7;
export const KIND_UUID = 8;
export const KIND_REGEXP = 9;
export const KIND_ERROR = 10;
export const KIND_BOXED = 11;

/** What a TAG_VIEW holds, in the order of their kind bytes. Never change one that was released. */
export const VIEW_CLASSES: readonly (new (buffer: ArrayBuffer) => ArrayBufferView)[] = [
  DataView,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
];
export const VIEW_NAMES: readonly string[] = VIEW_CLASSES.map((view) => view.name);
export const VIEW_ELEMENT_BYTES: readonly number[] = [1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8];
export const VIEW_ARRAY_BUFFER = 255;

const kindByPrototype = new Map<unknown, number>([
  [null, KIND_PLAIN],
  [Object.prototype, KIND_PLAIN],
  [Array.prototype, KIND_ARRAY],
  [Date.prototype, KIND_DATE],
  [Uint8Array.prototype, KIND_BYTES],
  [Buffer.prototype, KIND_BYTES],
  [Map.prototype, KIND_MAP],
  [Set.prototype, KIND_SET],
  [Uuid.prototype, KIND_UUID],
]);
/** Prototypes of classes that bring only fields, and of those that bring more. */
const isFieldClass = new WeakMap<object, boolean>();

export function kindOf(value: object): number {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) return KIND_PLAIN;
  const kind = kindByPrototype.get(prototype);
  // A prototype proves nothing: Object.create(Date.prototype) is no date.
  return kind !== undefined && isKind(value, kind) ? kind : kindOfOthers(value, prototype);
}

function isKind(value: object, kind: number): boolean {
  if (kind === KIND_ARRAY) return Array.isArray(value);
  if (kind === KIND_DATE) return types.isDate(value);
  if (kind === KIND_BYTES) return types.isUint8Array(value);
  if (kind === KIND_MAP) return types.isMap(value);
  if (kind === KIND_SET) return types.isSet(value);
  return true;
}

function kindOfOthers(value: object, prototype: unknown): number {
  if (Array.isArray(value)) return KIND_ARRAY;
  if (value instanceof Uuid) return KIND_UUID;
  if (types.isDate(value)) return KIND_DATE;
  if (types.isUint8Array(value)) return KIND_BYTES;
  if (ArrayBuffer.isView(value)) return viewKind(value) === -1 ? KIND_NONE : KIND_VIEW;
  if (types.isArrayBuffer(value)) return KIND_VIEW;
  if (types.isMap(value)) return KIND_MAP;
  if (types.isSet(value)) return KIND_SET;
  if (types.isRegExp(value)) return KIND_REGEXP;
  if (types.isNativeError(value) || value instanceof Error) return KIND_ERROR;
  if (types.isBoxedPrimitive(value)) return types.isSymbolObject(value) ? KIND_NONE : KIND_BOXED;
  if (isBoundToTheProcess(value)) return KIND_NONE;
  return typeof prototype === 'object' && prototype !== null && bringsOnlyFields(prototype) ? KIND_PLAIN : KIND_NONE;
}

function isBoundToTheProcess(value: object): boolean {
  return (
    types.isPromise(value) ||
    types.isWeakMap(value) ||
    types.isWeakSet(value) ||
    value instanceof WeakRef ||
    types.isGeneratorObject(value) ||
    types.isSharedArrayBuffer(value) ||
    types.isModuleNamespaceObject(value) ||
    types.isExternal(value)
  );
}

function bringsOnlyFields(prototype: object): boolean {
  const known = isFieldClass.get(prototype);
  if (known !== undefined) return known;
  let answer = true;
  for (let at: unknown = prototype; answer && at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    if (isForeignObjectPrototype(at as object)) break;
    answer = Reflect.ownKeys(at as object).every((name) => name === 'constructor');
  }
  isFieldClass.set(prototype, answer);
  return answer;
}

/** Object.prototype of another realm (a vm context). */
function isForeignObjectPrototype(prototype: object): boolean {
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty');
}

/** The kind byte of a view other than Uint8Array; -1 for one this format does not know. */
export function viewKind(value: ArrayBufferView): number {
  if (types.isDataView(value)) return 0;
  return VIEW_NAMES.indexOf((value as unknown as { [Symbol.toStringTag]: string })[Symbol.toStringTag]);
}

/** Finds what in `value` cannot be stored and says where it is. Only called once encoding failed, for the reason `why`. */
export function explainRefusal(value: unknown, path: string, why: string): InvalidValueError {
  const found = findRefused(value, path, new Set(), 0);
  const where = found?.path ?? path;
  const what = found?.what ?? why;
  return new InvalidValueError(`${where}: ${what}`, { details: { path: where, found: what } });
}

interface Refused {
  readonly path: string;
  readonly what: string;
}

function findRefused(value: unknown, path: string, seen: Set<unknown>, depth: number): Refused | undefined {
  if (typeof value === 'function' || typeof value === 'symbol') {
    return { path, what: `${describeValue(value)} cannot be stored` };
  }
  if (typeof value !== 'object' || value === null || seen.has(value)) return undefined;
  if (depth >= MAX_VALUE_NESTING) return { path: shorten(path), what: `nests deeper than ${MAX_VALUE_NESTING}` };
  const kind = kindOf(value);
  if (kind === KIND_NONE) return { path, what: `${describeValue(value)} cannot be stored` };
  if ((kind === KIND_BYTES || kind === KIND_VIEW) && isDetached(value as ArrayBufferView)) {
    return { path, what: `${describeValue(value)} whose memory was transferred cannot be stored` };
  }
  seen.add(value);
  for (const [name, part] of partsOf(value, kind)) {
    const found = findRefused(part, path + name, seen, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function* partsOf(value: object, kind: number): Generator<[string, unknown]> {
  if (kind === KIND_ARRAY || kind === KIND_PLAIN) {
    for (const [name, part] of Object.entries(value)) {
      yield [kind === KIND_ARRAY ? `[${name}]` : propertyPath(name), part];
    }
  } else if (kind === KIND_MAP) {
    let index = 0;
    for (const [key, part] of mapEntries(value as Map<unknown, unknown>)) {
      yield [`.keys()[${index}]`, key];
      yield [typeof key === 'string' ? `.get(${JSON.stringify(key)})` : `.values()[${index}]`, part];
      index++;
    }
  } else if (kind === KIND_SET) {
    let index = 0;
    for (const part of setValues(value as Set<unknown>)) yield [`.values()[${index++}]`, part];
  } else if (kind === KIND_ERROR) {
    if (Object.hasOwn(value, 'cause')) yield ['.cause', (value as Error).cause];
    if (Object.hasOwn(value, 'errors')) yield ['.errors', (value as AggregateError).errors];
  }
}

/** A name as a step of a path in a message. */
export function propertyPath(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
}

function shorten(path: string): string {
  return path.length <= 200 ? path : `${path.slice(0, 100)} ... ${path.slice(-60)}`;
}
