/**
 * The catalog row of a store as bytes: version (one byte), store id (u32), from version 2 on the highest store id that the row
 * names (u32: indexes have ids of their own), then the rest as one value without shapes, so that the catalog can be read
 * before anything else of a database. A row has the lowest version that can say what it says.
 */

import { readU32, writeU32 } from '../base/bytes.ts';
import { MAX_DEFINITION_BYTES } from '../base/limits.ts';
import { CorruptionError, FormatUnsupportedError, LimitExceededError, SopError } from '../base/errors.ts';
import { compileKeySpec, type KeyField, type KeySpecDefinition } from './key-spec.ts';
import { decodeValue, encodeValue } from './value.ts';
import { ValueWriter } from './value-writer.ts';

export const STORE_DEFINITION_VERSION = 2;
/** Stores that need nothing of later versions. */
const PLAIN_VERSION = 1;
const PLAIN_HEADER_BYTES = 5;
const HEADER_BYTES = 9;
export const MAX_INDEXES = 64;

export type StoredValues = 'inline' | 'separate' | 'stream';

/** What of a store must be the same in the database and in the program. */
export interface StoredShape {
  readonly key: KeySpecDefinition;
  /** Where values live. */
  readonly values: StoredValues;
  /** Values are bytes, kept as they are. */
  readonly raw: boolean;
  readonly unique: boolean;
  readonly indexes: readonly StoredIndex[];
  /** Values are counters, which a program reads as numbers (true) or bigints; left out where they are not. */
  readonly counter?: true | 'bigint';
}

/** A secondary index: a store of its own, of its fields or of what a function of the program made, and the primary key. */
export interface StoredIndex {
  readonly name: string;
  /** Its store. */
  readonly id: number;
  readonly unique: boolean;
  /** The fields it sorts by; undefined where a function says what it sorts by. */
  readonly fields: readonly KeyField[] | undefined;
  /** Of the function; undefined where there are fields. */
  readonly version: string | number | undefined;
  /** The function answers a list: an entry stands under each element. */
  readonly many: boolean;
}

export interface StoredDefinition extends StoredShape {
  readonly id: number;
  readonly name: string;
  /** Counts redefinitions. */
  readonly generation: number;
  /** What it is being redefined to; left out where it is not. */
  readonly next?: StoredNext;
}

/** A redefinition under way: the store to be, and two more of its own. */
export interface StoredNext {
  readonly definition: StoredDefinition;
  /** Keys of the store, and the keys they have in the store to be. */
  readonly mapId: number;
  /** Keys that have changed since they were copied, perhaps. */
  readonly changesId: number;
}

export function encodeStoreDefinition(definition: StoredDefinition): Uint8Array {
  const { id, name, key, values, raw, unique, indexes, generation, next } = definition;
  const fields = key.fields?.map((field) => [field.name, field.descending]) ?? null;
  const row = {
    name,
    fields,
    descending: key.descending,
    rideOn: [...key.rideOn],
    values,
    raw,
    unique,
    indexes: indexes.length === 0 ? undefined : indexes.map(toIndexRow),
    generation,
    ...(hasCounters(definition) ? { counter: definition.counter ?? null, counters: [...(key.counters ?? [])] } : {}),
    ...(next === undefined ? {} : { next: toNextRow(next) }),
  };
  const writer = new ValueWriter();
  encodeValue(row, writer, undefined);
  const isPlain = indexes.length === 0 && unique && !hasCounters(definition) && next === undefined;
  const header = isPlain ? PLAIN_HEADER_BYTES : HEADER_BYTES;
  const bytes = new Uint8Array(header + writer.length);
  bytes[0] = isPlain ? PLAIN_VERSION : STORE_DEFINITION_VERSION;
  writeU32(bytes, 1, id);
  if (!isPlain) writeU32(bytes, PLAIN_HEADER_BYTES, highestIdIn(definition));
  bytes.set(writer.bytes.subarray(0, writer.length), header);
  if (next === undefined) mustFitCatalog(name, bytes.length);
  return bytes;
}

function mustFitCatalog(store: string, found: number): void {
  if (found <= MAX_DEFINITION_BYTES) return;
  throw new LimitExceededError(`store '${store}': its definition with its indexes takes ${found} bytes`, {
    details: { store, limit: 'MAX_DEFINITION_BYTES', allowed: MAX_DEFINITION_BYTES, found },
  });
}

function highestIdIn({ id, indexes, next }: StoredDefinition): number {
  const highest = Math.max(id, ...indexes.map((index) => index.id));
  return next === undefined ? highest : Math.max(highest, next.mapId, next.changesId, highestIdIn(next.definition));
}

/** Ids of the stores that belong to it: its own, of its indexes, and of what it is being redefined to. */
export function storeIdsOf({ id, indexes, next }: StoredDefinition): number[] {
  const ids = [id, ...indexes.map((index) => index.id)];
  return next === undefined ? ids : [...ids, ...storeIdsOf(next.definition), next.mapId, next.changesId];
}

function toNextRow({ definition, mapId, changesId }: StoredNext): object {
  return { row: encodeStoreDefinition(definition), mapId, changesId };
}

function mustBeNext(next: unknown): StoredNext {
  const { row, mapId, changesId } = (next ?? {}) as Record<string, unknown>;
  if (!(row instanceof Uint8Array) || typeof mapId !== 'number' || typeof changesId !== 'number') {
    refuse('does not say what it is redefined to');
  }
  const definition = decodeStoreDefinition(row, 0, row.length, false);
  return { definition, mapId, changesId };
}

function hasCounters({ key, counter }: StoredShape): boolean {
  return counter !== undefined || key.counters !== undefined;
}

function toIndexRow({ name, id, unique, fields, version, many }: StoredIndex): object {
  const list = fields?.map((field) => [field.name, field.descending]) ?? null;
  return { name, id, unique, fields: list, version, many };
}

/** The highest store id that a row names, without decoding the rest: none up to it may be given out again. */
export function highestIdOfDefinition(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const header = headerBytes(bytes, start, end);
  const id = readU32(bytes, start + 1);
  return header === PLAIN_HEADER_BYTES ? id : Math.max(id, readU32(bytes, start + PLAIN_HEADER_BYTES));
}

function headerBytes(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < PLAIN_HEADER_BYTES) refuse('is too short');
  const version = bytes[start] as number;
  if (version === PLAIN_VERSION) return PLAIN_HEADER_BYTES;
  if (version !== STORE_DEFINITION_VERSION) refuseVersion(version);
  if (end - start < HEADER_BYTES) refuse('is too short');
  return HEADER_BYTES;
}

/** Throws `CorruptionError`, or `FormatUnsupportedError` for a row that a newer version wrote. */
export function decodeStoreDefinition(
  bytes: Uint8Array,
  start = 0,
  end: number = bytes.length,
  mayHaveNext = true,
): StoredDefinition {
  const header = headerBytes(bytes, start, end);
  const id = readU32(bytes, start + 1);
  const row = decodeValue(bytes, start + header, end, undefined);
  if (typeof row !== 'object' || row === null) refuse('is no object');
  const { name, fields, descending, rideOn, values, raw, unique, indexes, generation } = row as Record<string, unknown>;
  if (typeof name !== 'string') refuse('has no name');
  if (values !== 'inline' && values !== 'separate' && values !== 'stream') refuse('does not say where values live');
  if (typeof raw !== 'boolean' || typeof unique !== 'boolean') refuse('lacks a flag');
  if (typeof generation !== 'number' || !Number.isSafeInteger(generation)) refuse('has no generation');
  const { counter = null, counters = [] } = row as Record<string, unknown>;
  if (counter !== null && counter !== true && counter !== 'bigint') refuse('does not say how its counter is read');
  const key = mustBeKey(fields, descending, rideOn, counters);
  const shape = { key, values, raw, unique, indexes: mustBeIndexes(indexes), ...(counter === null ? {} : { counter }) };
  const { next } = row as Record<string, unknown>;
  if (next === undefined) return { id, name, ...shape, generation } as StoredDefinition;
  if (!mayHaveNext) refuse('is redefined to what is redefined itself');
  return { id, name, ...shape, generation, next: mustBeNext(next) } as StoredDefinition;
}

function mustBeIndexes(indexes: unknown): StoredIndex[] {
  if (indexes === undefined) return [];
  if (!Array.isArray(indexes) || indexes.length > MAX_INDEXES) refuse('has no proper list of indexes');
  return indexes.map((index: unknown) => {
    if (typeof index !== 'object' || index === null) refuse('has an index that is no object');
    const { name, id, unique, fields, version, many } = index as Record<string, unknown>;
    if (typeof name !== 'string' || typeof unique !== 'boolean' || typeof many !== 'boolean') {
      refuse('has an index without name or flags');
    }
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > 0xffff_ffff)
      refuse(`has no id of index '${name}'`);
    const isFunction = fields === null;
    if (isFunction !== (typeof version === 'string' || typeof version === 'number')) {
      refuse(`does not say what index '${name}' is made of`);
    }
    const list = isFunction ? undefined : mustBeFields(fields);
    return { name, id, unique, fields: list, version: isFunction ? (version as string | number) : undefined, many };
  });
}

function mustBeKey(fields: unknown, descending: unknown, rideOn: unknown, counters: unknown): KeySpecDefinition {
  if (typeof descending !== 'boolean') refuse('lacks the direction of its key');
  if (!Array.isArray(rideOn) || !rideOn.every((name) => typeof name === 'string'))
    refuse('has no list of ride-on fields');
  if (!Array.isArray(counters) || !counters.every((name) => typeof name === 'string'))
    refuse('has no list of counters');
  const key = {
    fields: fields === null ? undefined : mustBeFields(fields),
    descending,
    rideOn: rideOn as string[],
    ...(counters.length > 0 ? { counters: counters as string[] } : {}),
  };
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

/**
 * A sentence that names the first difference of two shapes, what is stored first; undefined where they are the same. Indexes
 * do not count: they come and go (`isSameIndex`).
 */
export function describeDifference(stored: StoredShape, wanted: StoredShape): string | undefined {
  return (
    describeKeyDifference(stored.key, wanted.key) ??
    describeRideOnDifference(stored.key.rideOn, wanted.key.rideOn) ??
    describeCounterDifference(stored, wanted) ??
    describePropertyDifference('raw', stored, wanted) ??
    describePropertyDifference('values', stored, wanted) ??
    describePropertyDifference('unique', stored, wanted)
  );
}

/** Whether both hold the same entries in the same order; their stores may be others. */
export function isSameIndex(a: StoredIndex, b: StoredIndex): boolean {
  const plain = ({ name, unique, fields, version, many }: StoredIndex) =>
    JSON.stringify([name, unique, fields?.map((field) => [field.name, field.descending]), version, many]);
  return plain(a) === plain(b);
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

function describeCounterDifference(stored: StoredShape, wanted: StoredShape): string | undefined {
  const show = ({ counter, key: { counters = [] } }: StoredShape) => {
    const values = counter === undefined ? 'no counter' : `counter ${counter === true ? 'true' : `'${counter}'`}`;
    return counters.length === 0 ? values : `counters ${JSON.stringify(counters)}`;
  };
  const [storedForm, wantedForm] = [show(stored), show(wanted)];
  return storedForm === wantedForm ? undefined : `it has ${storedForm} in the database but ${wantedForm} here`;
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

function refuseVersion(version: number): never {
  throw new FormatUnsupportedError(
    `a store definition has version ${version}; this program knows ${STORE_DEFINITION_VERSION}`,
  );
}

function refuse(why: string): never {
  throw new CorruptionError(`a stored store definition ${why}`);
}
