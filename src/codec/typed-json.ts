/**
 * Typed JSON: any key or value as JSON without loss, for people, files and the network.
 *
 * What JSON holds without loss is plain JSON. Everything else is an object with one key that starts with `$`:
 *
 *   {"$undefined": true}            {"$number": "NaN" | "Infinity" | "-Infinity" | "-0"}
 *   {"$bigint": "-12"}              {"$string": "d83d0061"}     four hex digits a code unit, for lone surrogates
 *   {"$date": "2026-01-31T..."}     {"$date": null}             an invalid date
 *   {"$bytes": "base64"}            {"$view": ["Int16Array", "base64"]}   also "DataView" and "ArrayBuffer"
 *   {"$uuid": "8-4-4-4-12"}         {"$regexp": ["source", "flags"]}
 *   {"$map": [[key, value], ...]}   {"$set": [...]}             {"$boxed": primitive}
 *   {"$hole": 3}                    in arrays only: three missing elements
 *   {"$error": {"name": ..., "message": ..., "stack"?: ..., "cause"?: ..., "errors"?: [...]}}
 *   {"$object": {...}}              a plain object whose only key starts with `$`
 *
 * Objects met more than once are written each time; cycles are refused. Reading is in typed-json-read.ts.
 */

import { InvalidValueError } from '../base/errors.ts';
import { MAX_VALUE_NESTING } from '../base/limits.ts';
import { setOwn } from './code-generation.ts';
import { isWellFormed } from './text.ts';
import type { Uuid } from './uuid.ts';
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
  VIEW_NAMES,
  viewKind,
} from './value-kinds.ts';

export type JsonValue = null | boolean | number | string | JsonValue[] | { [name: string]: JsonValue };

/** A key or value as a tree that JSON holds. Throws `InvalidValueError`, naming the path, for what cannot be stored. */
export function toTypedJson(value: unknown): JsonValue {
  try {
    return convert(value, []);
  } catch (error) {
    if (error === REFUSED) throw explainRefusal(value, 'value', 'cannot be written as JSON');
    throw error;
  }
}

/** The same as text; `indent` as with JSON.stringify. */
export function stringifyTypedJson(value: unknown, indent?: number): string {
  return JSON.stringify(toTypedJson(value), undefined, indent);
}

const REFUSED = { name: 'something cannot be stored' };

function convert(value: unknown, within: object[]): JsonValue {
  switch (typeof value) {
    case 'string':
      return isWellFormed(value) ? value : { $string: hexUnits(value) };
    case 'number':
      return convertNumber(value);
    case 'boolean':
      return value;
    case 'undefined':
      return { $undefined: true };
    case 'bigint':
      return { $bigint: value.toString() };
    case 'object':
      return value === null ? null : convertWithin(value, within);
    default:
      throw REFUSED;
  }
}

function convertNumber(value: number): JsonValue {
  if (Number.isFinite(value) && !Object.is(value, -0)) return value;
  return { $number: Object.is(value, -0) ? '-0' : String(value) };
}

function hexUnits(text: string): string {
  let digits = '';
  for (let i = 0; i < text.length; i++) digits += text.charCodeAt(i).toString(16).padStart(4, '0');
  return digits;
}

function convertWithin(value: object, within: object[]): JsonValue {
  if (within.includes(value)) throw new InvalidValueError('value: contains itself, which JSON cannot say');
  if (within.length >= MAX_VALUE_NESTING) {
    throw new InvalidValueError(`value: nests deeper than ${MAX_VALUE_NESTING}`);
  }
  within.push(value);
  const json = convertObject(value, kindOf(value), within);
  within.pop();
  return json;
}

function convertObject(value: object, kind: number, within: object[]): JsonValue {
  switch (kind) {
    case KIND_PLAIN:
      return convertPlain(value as Record<string, unknown>, within);
    case KIND_ARRAY:
      return convertArray(value as unknown[], within);
    case KIND_DATE: {
      const date = value as Date;
      return { $date: Number.isNaN(date.getTime()) ? null : date.toISOString() };
    }
    case KIND_BYTES:
      return { $bytes: base64(value as Uint8Array) };
    case KIND_UUID:
      return { $uuid: (value as Uuid).toString() };
    case KIND_VIEW:
      return convertView(value as ArrayBufferView | ArrayBuffer);
    case KIND_MAP: {
      const pairs = [...(value as Map<unknown, unknown>)];
      return { $map: pairs.map(([key, element]) => [convert(key, within), convert(element, within)]) };
    }
    case KIND_SET:
      return { $set: [...(value as Set<unknown>)].map((element) => convert(element, within)) };
    case KIND_REGEXP:
      return { $regexp: [(value as RegExp).source, (value as RegExp).flags] };
    case KIND_ERROR:
      return { $error: convertError(value as Error, within) };
    case KIND_BOXED:
      return { $boxed: convert((value as { valueOf(): unknown }).valueOf(), within) };
    default:
      throw REFUSED;
  }
}

function convertPlain(value: Record<string, unknown>, within: object[]): JsonValue {
  const names = Object.keys(value);
  const json: Record<string, JsonValue> = {};
  for (const name of names) setOwn(json, name, convert(value[name], within));
  return names.length === 1 && (names[0] as string).startsWith('$') ? { $object: json } : json;
}

function convertArray(value: readonly unknown[], within: object[]): JsonValue {
  const json: JsonValue[] = [];
  let next = 0;
  // Object.keys: of billions of missing elements only those that are there.
  for (const name of Object.keys(value)) {
    const index = Number(name);
    if (!(index < value.length) || !Number.isInteger(index)) continue;
    if (index > next) json.push({ $hole: index - next });
    json.push(convert(value[index], within));
    next = index + 1;
  }
  if (value.length > next) json.push({ $hole: value.length - next });
  return json;
}

function convertView(value: ArrayBufferView | ArrayBuffer): JsonValue {
  if (!ArrayBuffer.isView(value)) return { $view: ['ArrayBuffer', base64(new Uint8Array(value))] };
  const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return { $view: [VIEW_NAMES[viewKind(value)] as string, base64(bytes)] };
}

function convertError(value: Error, within: object[]): JsonValue {
  const json: Record<string, JsonValue> = {
    name: convert(String(value.name), within),
    message: convert(String(value.message), within),
  };
  if (typeof value.stack === 'string') json.stack = convert(value.stack, within);
  if (Object.hasOwn(value, 'cause')) json.cause = convert(value.cause, within);
  const errors: unknown = Object.hasOwn(value, 'errors') ? (value as AggregateError).errors : undefined;
  if (Array.isArray(errors)) json.errors = convert(errors, within);
  return json;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
