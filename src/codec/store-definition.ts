/**
 * The catalog row of a store as bytes: version (one byte), store id (u32), then the rest as one value without shapes, so
 * that the catalog can be read before anything else of a database.
 */

import { equalBytes, readU32, writeU32 } from '../base/bytes.ts';
import { CorruptionError, FormatUnsupportedError, SopError } from '../base/errors.ts';
import { compileKeySpec, type KeyField, type KeySpecDefinition } from './key-spec.ts';
import { decodeValue, encodeValue } from './value.ts';
import { ValueWriter } from './value-writer.ts';

export const STORE_DEFINITION_VERSION = 1;
const HEADER_BYTES = 5;

export type StoredValues = 'inline' | 'separate' | 'stream';

/** What of a store must be the same in the database and in the program. */
export interface StoredShape {
  readonly key: KeySpecDefinition;
  /** Where values live. */
  readonly values: StoredValues;
  /** Values are bytes, kept as they are. */
  readonly raw: boolean;
  readonly unique: boolean;
  /** Secondary indexes; what they are is not this floor's business. Undefined for none. */
  readonly indexes: unknown;
}

export interface StoredDefinition extends StoredShape {
  readonly id: number;
  readonly name: string;
  /** Counts redefinitions. */
  readonly generation: number;
}

export function encodeStoreDefinition(definition: StoredDefinition): Uint8Array {
  const { id, name, key, values, raw, unique, indexes, generation } = definition;
  const fields = key.fields?.map((field) => [field.name, field.descending]) ?? null;
  const row = {
    name,
    fields,
    descending: key.descending,
    rideOn: [...key.rideOn],
    values,
    raw,
    unique,
    indexes,
    generation,
  };
  const writer = new ValueWriter();
  encodeValue(row, writer, undefined);
  const bytes = new Uint8Array(HEADER_BYTES + writer.length);
  bytes[0] = STORE_DEFINITION_VERSION;
  writeU32(bytes, 1, id);
  bytes.set(writer.bytes.subarray(0, writer.length), HEADER_BYTES);
  return bytes;
}

/** The store id that a row names, without decoding the rest. */
export function storeIdOfDefinition(bytes: Uint8Array, start = 0, end = bytes.length): number {
  if (end - start < HEADER_BYTES) refuse('is too short');
  if (bytes[start] !== STORE_DEFINITION_VERSION) refuseVersion(bytes[start] as number);
  return readU32(bytes, start + 1);
}

/** Throws `CorruptionError`, or `FormatUnsupportedError` for a row that a newer version wrote. */
export function decodeStoreDefinition(bytes: Uint8Array, start = 0, end = bytes.length): StoredDefinition {
  const id = storeIdOfDefinition(bytes, start, end);
  const row = decodeValue(bytes, start + HEADER_BYTES, end, undefined);
  if (typeof row !== 'object' || row === null) refuse('is no object');
  const { name, fields, descending, rideOn, values, raw, unique, indexes, generation } = row as Record<string, unknown>;
  if (typeof name !== 'string') refuse('has no name');
  if (values !== 'inline' && values !== 'separate' && values !== 'stream') refuse('does not say where values live');
  if (typeof raw !== 'boolean' || typeof unique !== 'boolean') refuse('lacks a flag');
  if (typeof generation !== 'number' || !Number.isSafeInteger(generation)) refuse('has no generation');
  const key = mustBeKey(fields, descending, rideOn);
  return { id, name, key, values, raw, unique, indexes, generation };
}

function mustBeKey(fields: unknown, descending: unknown, rideOn: unknown): KeySpecDefinition {
  if (typeof descending !== 'boolean') refuse('lacks the direction of its key');
  if (!Array.isArray(rideOn) || !rideOn.every((name) => typeof name === 'string'))
    refuse('has no list of ride-on fields');
  const key = { fields: fields === null ? undefined : mustBeFields(fields), descending, rideOn: rideOn as string[] };
  try {
    compileKeySpec(key);
  } catch (error) {
    if (error instanceof SopError) refuse(`has no proper key: ${error.message}`);
    throw error;
  }
  return key;
}

function mustBeFields(fields: unknown): KeyField[] {
  if (!Array.isArray(fields)) refuse('has no list of key fields');
  return fields.map((field: unknown) => {
    const [name, descending]: unknown[] = Array.isArray(field) ? field : [];
    if (typeof name !== 'string' || typeof descending !== 'boolean')
      refuse('has a key field without name or direction');
    return { name, descending };
  });
}

/** A sentence that names the first difference of two shapes, what is stored first; undefined where they are the same. */
export function describeDifference(stored: StoredShape, wanted: StoredShape): string | undefined {
  return (
    describeKeyDifference(stored.key, wanted.key) ??
    describeRideOnDifference(stored.key.rideOn, wanted.key.rideOn) ??
    describePropertyDifference('raw', stored, wanted) ??
    describePropertyDifference('values', stored, wanted) ??
    describePropertyDifference('unique', stored, wanted) ??
    (sameIndexes(stored.indexes, wanted.indexes) ? undefined : 'its indexes are others in the database than here')
  );
}

function describeKeyDifference(stored: KeySpecDefinition, wanted: KeySpecDefinition): string | undefined {
  const storedForm = describeFields(stored);
  const wantedForm = describeFields(wanted);
  return storedForm === wantedForm ? undefined : `its key is ${storedForm} in the database but ${wantedForm} here`;
}

function describeFields(key: KeySpecDefinition): string {
  if (key.fields === undefined) return key.descending ? 'one value, descending' : 'one value';
  return `[${key.fields.map((field) => JSON.stringify(field.name) + (field.descending ? ' desc' : '')).join(', ')}]`;
}

function describeRideOnDifference(stored: readonly string[], wanted: readonly string[]): string | undefined {
  const show = (names: readonly string[]) =>
    names.length === 0 ? 'no ride-on fields' : `ride-on ${JSON.stringify(names)}`;
  const same = JSON.stringify(stored) === JSON.stringify(wanted);
  return same ? undefined : `it has ${show(stored)} in the database but ${show(wanted)} here`;
}

function describePropertyDifference(
  name: 'raw' | 'values' | 'unique',
  stored: StoredShape,
  wanted: StoredShape,
): string | undefined {
  const show = (value: string | boolean) => (typeof value === 'string' ? `'${value}'` : String(value));
  if (stored[name] === wanted[name]) return undefined;
  return `'${name}' is ${show(stored[name])} in the database but ${show(wanted[name])} here`;
}

function sameIndexes(a: unknown, b: unknown): boolean {
  const [first, second] = [a, b].map((indexes) => {
    const writer = new ValueWriter();
    encodeValue(indexes, writer, undefined);
    return writer.toBytes();
  });
  return equalBytes(first as Uint8Array, second as Uint8Array);
}

function refuseVersion(version: number): never {
  throw new FormatUnsupportedError(
    `a store definition has version ${version}; this program knows ${STORE_DEFINITION_VERSION}`,
  );
}

function refuse(why: string): never {
  throw new CorruptionError(`a stored store definition ${why}`);
}
