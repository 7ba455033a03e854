/**
 * Ranges of keys as bounds in bytes.
 *
 * `gt`, `gte`, `lt`, `lte` and `prefix` speak of the order of the store, not of the values: where a field is
 * descending, later days come first, so `gte: { day }` begins at that day and goes on to earlier ones.
 *
 * Bounds of composite keys may name leading fields only. All keys with these fields then stand together, and `gte` and
 * `lte` include them, `gt` and `lt` leave them out. A `prefix` holds the leading fields that must be equal; its last one
 * may be `{ startsWith }` for strings, bytes or arrays. For scalar keys `prefix` is what a string, bytes or an array
 * starts with.
 */

import { compareKeys, prefixSuccessor } from '../base/bytes.ts';
import { InvalidKeyError } from '../base/errors.ts';
import { isKeyObject, type KeySpec } from './key-spec.ts';
import { describeValue } from './text.ts';
import { giveBackKeyWriter, type KeyWriter, takeKeyWriter } from './tuple.ts';

export interface KeyRange {
  readonly gt?: unknown;
  readonly gte?: unknown;
  readonly lt?: unknown;
  readonly lte?: unknown;
  readonly prefix?: unknown;
}

/** Keys k with `lower <= k < upper`, as bytes; undefined is unbounded. Where `lower >= upper` there are none. */
export interface KeyBounds {
  readonly lower: Uint8Array | undefined;
  readonly upper: Uint8Array | undefined;
}

/** The bounds of a range; options that are undefined do not bind. Throws `InvalidKeyError` naming the option's field. */
export function keyBounds(spec: KeySpec, range: KeyRange): KeyBounds {
  const writer = takeKeyWriter();
  try {
    return boundsWith(writer, spec, range);
  } finally {
    giveBackKeyWriter(writer);
  }
}

function boundsWith(writer: KeyWriter, spec: KeySpec, range: KeyRange): KeyBounds {
  let lower: Uint8Array | undefined;
  let upper: Uint8Array | undefined;
  // No encoded key is a prefix of another one (tuple.ts), so what follows all keys that begin with some bytes is the
  // successor of these bytes as a prefix, for whole keys as well as for leading fields.
  if (range.gte !== undefined) lower = later(lower, encodeBound(writer, spec, range.gte, 'gte'));
  if (range.gt !== undefined) lower = later(lower, prefixSuccessor(encodeBound(writer, spec, range.gt, 'gt')));
  if (range.lt !== undefined) upper = earlier(upper, encodeBound(writer, spec, range.lt, 'lt'));
  if (range.lte !== undefined) upper = earlier(upper, prefixSuccessor(encodeBound(writer, spec, range.lte, 'lte')));
  if (range.prefix !== undefined) {
    const prefix = encodePrefix(writer, spec, range.prefix);
    if (prefix.length > 0) {
      lower = later(lower, prefix);
      upper = earlier(upper, prefixSuccessor(prefix));
    }
  }
  return { lower, upper };
}

function later(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareKeys(a, b) >= 0 ? a : b;
}

function earlier(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareKeys(a, b) <= 0 ? a : b;
}

function encodeBound(writer: KeyWriter, spec: KeySpec, bound: unknown, option: string): Uint8Array {
  const { fields } = spec.definition;
  writer.reset();
  if (fields === undefined) {
    spec.encodeKey(bound, writer);
    return writer.toBytes();
  }
  const given = leadingFields(spec, bound, option);
  if (given === 0) refuse(option, 'names no field of the key');
  const key = bound as Record<string, unknown>;
  for (const { name, descending } of fields.slice(0, given)) {
    writer.field = name;
    writer.writeValue(key[name], descending);
  }
  return writer.toBytes();
}

function encodePrefix(writer: KeyWriter, spec: KeySpec, prefix: unknown): Uint8Array {
  const { fields, descending } = spec.definition;
  writer.reset();
  if (fields === undefined) {
    writer.writePrefix(startOf(prefix) ?? prefix, descending);
    return writer.toBytes();
  }
  const given = leadingFields(spec, prefix, 'prefix');
  const key = prefix as Record<string, unknown>;
  fields.slice(0, given).forEach((field, i) => {
    writer.field = field.name;
    const value = key[field.name];
    const start = startOf(value);
    if (start === undefined) writer.writeValue(value, field.descending);
    else if (i === given - 1) writer.writePrefix(start, field.descending);
    else refuse('prefix', `has startsWith in '${field.name}', which is not its last field`);
  });
  return writer.toBytes();
}

/** The value of `{ startsWith: value }`; undefined for anything else. */
function startOf(value: unknown): unknown {
  if (!isKeyObject(value) || !Object.hasOwn(value, 'startsWith')) return undefined;
  return Object.keys(value).length === 1 ? value.startsWith : undefined;
}

/** How many leading fields of the key the object names; refuses gaps and unknown names. Ride-on fields are passed over. */
function leadingFields(spec: KeySpec, bound: unknown, option: string): number {
  const fields = spec.definition.fields ?? [];
  const names = fields.map((field) => field.name);
  if (!isKeyObject(bound))
    refuse(option, `must be an object with leading fields of the key, found ${describeValue(bound)}`);
  let given = 0;
  while (given < names.length && bound[names[given] as string] !== undefined) given++;
  for (const name of Object.keys(bound)) {
    const index = names.indexOf(name);
    if (index === -1 && !spec.definition.rideOn.includes(name)) {
      refuse(option, `has the unknown field '${name}': the key has the fields ${names.join(', ')}`);
    }
    if (index > given && bound[name] !== undefined) {
      refuse(option, `has the field '${name}' but not '${names[given]}', which sorts before it`);
    }
  }
  return given;
}

function refuse(option: string, why: string): never {
  throw new InvalidKeyError(`range option ${option} ${why}`, { details: { path: option } });
}
