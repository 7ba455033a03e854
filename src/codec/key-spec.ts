/**
 * Key specifications: what the keys of a store look like, compiled into functions that encode and decode them.
 *
 * A *scalar* key is any one key value (an array is a tuple). A *composite* key is a plain object: its fields are
 * encoded one after another, each ascending or descending; ride-on fields travel beside the key, in the cell, and do
 * not sort. A key handed in must have every sorting field, may have ride-on fields, and nothing else.
 */

import { CorruptionError, InvalidArgumentError, InvalidKeyError, LimitExceededError } from '../base/errors.ts';
import { MAX_RIDE_ON_BYTES } from '../base/limits.ts';
import { canGenerateCode, generate, nameLiteral, objectOf, setOwn } from './code-generation.ts';
import { COUNTER_BYTES, readCounter, writeCounter } from './counter.ts';
import { describeValue, latin1Slice } from './text.ts';
import { KEY_END, KEY_STRING, type KeyWriter } from './tuple.ts';
import { KeyReader } from './tuple-reader.ts';
import { decodeValueList, encodeValueList } from './value.ts';
import type { ValueWriter } from './value-writer.ts';

export interface KeyField {
  readonly name: string;
  readonly descending: boolean;
}

/** The plain form of a key specification, as the catalog keeps it. */
export interface KeySpecDefinition {
  /** The sorting fields of a composite key; undefined for a scalar key. */
  readonly fields: readonly KeyField[] | undefined;
  /** The direction of a scalar key; false for composite ones. */
  readonly descending: boolean;
  readonly rideOn: readonly string[];
  /** Ride-on fields that are counters, in the order of their slots (codec/counter.ts); left out where there are none. */
  readonly counters?: readonly string[];
}

/** How users write a field of a composite key. */
export type KeyFieldOption = string | { readonly field: string; readonly order?: 'asc' | 'desc' };
/** How users write a key: fields, or nothing (or a direction) for a scalar key. */
export type KeyOption = readonly KeyFieldOption[] | { readonly order: 'asc' | 'desc' } | undefined;

export const MAX_KEY_FIELDS = 64;

export interface KeySpec<K = unknown> {
  readonly definition: KeySpecDefinition;
  readonly hasRideOn: boolean;
  /** Appends the sort key to `writer` (reset it first). `InvalidKeyError` names the field that is wrong. */
  encodeKey(key: unknown, writer: KeyWriter): void;
  /** Appends the ride-on part of `key` to `writer`; a missing field is kept as undefined. Nothing without ride-on fields. */
  encodeRideOn(key: unknown, writer: ValueWriter): void;
  /** The ride-on fields in this part of a cell, in the order of the definition. */
  decodeRideOn(bytes: Uint8Array, start: number, end: number): readonly unknown[];
  /**
   * The key in `bytes[start, end)`, with its ride-on fields from `rideBytes[rideStart, rideEnd)`, or undefined ones where
   * that is not given. What it returns is the caller's own.
   */
  decodeKey(
    bytes: Uint8Array,
    start: number,
    end: number,
    rideBytes?: Uint8Array,
    rideStart?: number,
    rideEnd?: number,
  ): K;
  /**
   * Appends to `into` the keys that stand one after another from `bytes[0]` on and end at `ends`, without ride-on fields.
   * `plain`: each byte but the last of each key is in 02..7f.
   */
  decodeKeys(bytes: Uint8Array, ends: Int32Array, count: number, plain: boolean, into: unknown[]): void;
}

/** The plain form of what a user wrote. Throws `InvalidArgumentError` where that makes no key. */
export function keySpecDefinition(
  key: KeyOption,
  rideOn: readonly string[] = [],
  counters: readonly string[] = [],
): KeySpecDefinition {
  const beside = { rideOn: [...rideOn], ...(counters.length > 0 ? { counters: [...counters] } : {}) };
  if (key === undefined) return { fields: undefined, descending: false, ...beside };
  if (!Array.isArray(key)) {
    const { order } = key as { order?: unknown };
    return { fields: undefined, descending: isDescending(order), ...beside };
  }
  const fields = key.map((field: KeyFieldOption): KeyField => {
    if (typeof field === 'string') return { name: field, descending: false };
    return { name: field.field, descending: isDescending(field.order) };
  });
  return { fields, descending: false, ...beside };
}

function isDescending(order: unknown): boolean {
  if (order !== undefined && order !== 'asc' && order !== 'desc') {
    throw new InvalidArgumentError(
      `the order of a key is 'asc' or 'desc', not ${typeof order === 'string' ? JSON.stringify(order) : describeValue(order)}`,
    );
  }
  return order === 'desc';
}

export function compileKeySpec<K = unknown>(definition: KeySpecDefinition): KeySpec<K> {
  checkDefinition(definition);
  if (definition.fields === undefined) return new ScalarKeySpec<K>(definition);
  return new CompositeKeySpec<K>(definition, definition.fields);
}

function checkDefinition(definition: KeySpecDefinition): void {
  const { fields, rideOn } = definition;
  if (fields === undefined && rideOn.length > 0) {
    throw new InvalidArgumentError('ride-on fields need a composite key: a scalar key has no fields');
  }
  if (fields !== undefined && fields.length === 0) throw new InvalidArgumentError('a composite key needs a field');
  const names = [...(fields ?? []).map((field) => field.name), ...rideOn];
  if (names.length > MAX_KEY_FIELDS) {
    throw new LimitExceededError(`a key has at most ${MAX_KEY_FIELDS} fields, found ${names.length}`, {
      details: { limit: 'MAX_KEY_FIELDS', allowed: MAX_KEY_FIELDS, found: names.length },
    });
  }
  const seen = new Set<string>();
  for (const name of names) {
    if (typeof name !== 'string' || name === '') throw new InvalidArgumentError('a key field needs a name');
    if (seen.has(name)) throw new InvalidArgumentError(`key field '${name}' is named twice`);
    seen.add(name);
  }
  checkCounters(definition);
}

function checkCounters({ rideOn, counters = [] }: KeySpecDefinition): void {
  for (const [i, name] of counters.entries()) {
    if (!rideOn.includes(name)) throw new InvalidArgumentError(`counter '${name}' is not one of the ride-on fields`);
    if (counters.indexOf(name) !== i) throw new InvalidArgumentError(`counter '${name}' is named twice`);
  }
}

/** One reader for all: reading a key calls nothing that reads keys. */
const reader = new KeyReader();

class ScalarKeySpec<K> implements KeySpec<K> {
  readonly definition: KeySpecDefinition;
  readonly hasRideOn = false;
  readonly #descending: boolean;

  constructor(definition: KeySpecDefinition) {
    this.definition = definition;
    this.#descending = definition.descending;
  }

  encodeKey(key: unknown, writer: KeyWriter): void {
    writer.writeValue(key, this.#descending);
  }

  encodeRideOn(_key: unknown, _writer: ValueWriter): void {}

  decodeRideOn(): readonly unknown[] {
    return NOTHING;
  }

  decodeKey(bytes: Uint8Array, start: number, end: number): K {
    const key = reader.readValue(bytes, start, end, this.#descending);
    if (reader.position !== end) refuseTrailing();
    return key as K;
  }

  decodeKeys(bytes: Uint8Array, ends: Int32Array, count: number, plain: boolean, into: unknown[]): void {
    if (!plain || this.#descending) {
      decodeKeysOneByOne(this, bytes, ends, count, into);
      return;
    }
    // Strings, probably: all of them are cut from one.
    const text = latin1Slice(bytes, 0, ends[count - 1] as number);
    let start = 0;
    for (let i = 0; i < count; i++) {
      const end = ends[i] as number;
      const isString = end - start > 1 && bytes[start] === KEY_STRING && bytes[end - 1] === KEY_END;
      if (isString) into.push(text.substring(start + 1, end - 1));
      else into.push(this.decodeKey(bytes, start, end));
      start = end;
    }
  }
}

function decodeKeysOneByOne(
  spec: KeySpec<unknown>,
  bytes: Uint8Array,
  ends: Int32Array,
  count: number,
  into: unknown[],
): void {
  reader.text = count > 1 ? latin1Slice(bytes, 0, ends[count - 1] as number) : '';
  reader.textFrom = 0;
  try {
    let start = 0;
    for (let i = 0; i < count; i++) {
      const end = ends[i] as number;
      into.push(spec.decodeKey(bytes, start, end));
      start = end;
    }
  } finally {
    reader.text = '';
  }
}

type EncodeFields = (key: Record<string, unknown>, writer: KeyWriter) => void;
type DecodeFields<K> = (bytes: Uint8Array, start: number, end: number, rideOn: readonly unknown[]) => K;

class CompositeKeySpec<K> implements KeySpec<K> {
  readonly definition: KeySpecDefinition;
  readonly hasRideOn: boolean;
  readonly #rideOn: readonly string[];
  /** Ride-on fields that are no counters. */
  readonly #plain: readonly string[];
  readonly #counters: readonly string[];
  readonly #encode: EncodeFields;
  readonly #decode: DecodeFields<K>;

  constructor(definition: KeySpecDefinition, fields: readonly KeyField[]) {
    this.definition = definition;
    this.#rideOn = definition.rideOn;
    this.hasRideOn = definition.rideOn.length > 0;
    const { counters = NO_NAMES } = definition;
    this.#counters = counters;
    this.#plain = counters.length === 0 ? definition.rideOn : definition.rideOn.filter((n) => !counters.includes(n));
    const check = namesChecker(fields, definition.rideOn);
    const generated = canGenerateCode();
    this.#encode = generated ? generateEncode(fields, check) : plainEncode(fields, check);
    this.#decode = generated ? generateDecode<K>(fields, definition.rideOn) : plainDecode<K>(fields, definition.rideOn);
  }

  encodeKey(key: unknown, writer: KeyWriter): void {
    if (!isKeyObject(key)) refuseKey(key, this.definition);
    this.#encode(key, writer);
  }

  encodeRideOn(key: unknown, writer: ValueWriter): void {
    if (!this.hasRideOn) return;
    if (!isKeyObject(key)) refuseKey(key, this.definition);
    const start = writer.length;
    for (const name of this.#counters) writer.appendBytes(counterBytes(name, key[name]));
    encodeValueList(this.#plain, key, writer, 'ride-on field');
    const found = writer.length - start;
    if (found <= MAX_RIDE_ON_BYTES) return;
    writer.length = start;
    throw new LimitExceededError(`the ride-on part of a key takes ${found} bytes, more than ${MAX_RIDE_ON_BYTES}`, {
      details: { limit: 'MAX_RIDE_ON_BYTES', allowed: MAX_RIDE_ON_BYTES, found },
    });
  }

  decodeKey(bytes: Uint8Array, start: number, end: number, rideBytes?: Uint8Array, rideStart = 0, rideEnd = 0): K {
    const rideOn =
      rideBytes === undefined || !this.hasRideOn ? NOTHING : this.decodeRideOn(rideBytes, rideStart, rideEnd);
    return this.#decode(bytes, start, end, rideOn);
  }

  decodeRideOn(bytes: Uint8Array, start: number, end: number): readonly unknown[] {
    const counters = this.#counters;
    if (counters.length === 0) return decodeValueList(bytes, start, end, this.#plain.length);
    const from = start + counters.length * COUNTER_BYTES;
    if (from > end) throw new CorruptionError('a ride-on part ends before its counters');
    const plain =
      this.#plain.length === 0 ? noneLeft(bytes, from, end) : decodeValueList(bytes, from, end, this.#plain.length);
    let next = 0;
    return this.#rideOn.map((name) => {
      const slot = counters.indexOf(name);
      return slot < 0 ? plain[next++] : readCounter(bytes, start + slot * COUNTER_BYTES);
    });
  }

  decodeKeys(bytes: Uint8Array, ends: Int32Array, count: number, _plain: boolean, into: unknown[]): void {
    decodeKeysOneByOne(this, bytes, ends, count, into);
  }
}

const NOTHING: readonly unknown[] = [];

/** A list of no values, which `decodeValueList` takes for damage: the length of its text alone. */
function noneLeft(bytes: Uint8Array, from: number, end: number): readonly unknown[] {
  if (end - from === 1 && bytes[from] === 0) return NOTHING;
  throw new CorruptionError('a ride-on part goes on behind its counters');
}

const NO_NAMES: readonly string[] = [];
const slot = new Uint8Array(COUNTER_BYTES);

/** One counter's slot, until the next call; one that is not given is 0. */
function counterBytes(name: string, value: unknown = 0): Uint8Array {
  if (!Number.isSafeInteger(value)) {
    const found = describeValue(value);
    throw new InvalidKeyError(`key field '${name}' is a counter and needs a safe integer; found ${found}`, {
      details: { path: name, found },
    });
  }
  writeCounter(slot, 0, value as number);
  return slot;
}

export function isKeyObject(key: unknown): key is Record<string, unknown> {
  if (typeof key !== 'object' || key === null) return false;
  return !Array.isArray(key) && !(key instanceof Date) && !(key instanceof Uint8Array);
}

function refuseKey(key: unknown, definition: KeySpecDefinition): never {
  const names = (definition.fields ?? []).map((field) => field.name).join(', ');
  const found = describeValue(key);
  throw new InvalidKeyError(`key: expected an object with the fields ${names}; found ${found}`, {
    details: { path: 'key', found },
  });
}

type CheckNames = (key: Record<string, unknown>) => void;

/** Says which field is missing or unknown; returns if all is well. */
function namesChecker(fields: readonly KeyField[], rideOn: readonly string[]): CheckNames {
  const known = new Set([...fields.map((field) => field.name), ...rideOn]);
  const list = [...known].join(', ');
  return (key) => {
    for (const { name } of fields) {
      if (key[name] === undefined) {
        throw new InvalidKeyError(`key field '${name}' is missing`, { details: { path: name, found: 'undefined' } });
      }
    }
    for (const name in key) {
      if (!known.has(name)) {
        throw new InvalidKeyError(`key field '${name}' is unknown: the key has the fields ${list}`, {
          details: { path: name, found: describeValue(key[name]) },
        });
      }
    }
  };
}

function plainEncode(fields: readonly KeyField[], check: CheckNames): EncodeFields {
  return (key, writer) => {
    check(key);
    for (const { name, descending } of fields) {
      writer.field = name;
      writer.writeValue(key[name], descending);
    }
  };
}

/** As `plainEncode`, each field read by its name: 77 ns instead of 130 for three fields. The names are only counted if they fit. */
function generateEncode(fields: readonly KeyField[], check: CheckNames): EncodeFields {
  const reads = fields.map(({ name }, i) => `const f${i} = key[${nameLiteral(name)}];`).join('\n');
  const missing = fields.map((_, i) => `f${i} === undefined`).join(' || ');
  const writes = fields.map(
    ({ name, descending }, i) => `writer.field = ${nameLiteral(name)}; writer.writeValue(f${i}, ${descending});`,
  );
  const source = `return function encodeKey(key, writer) {
    ${reads}
    let count = 0;
    for (const name in key) count++;
    if (count !== ${fields.length} || ${missing}) check(key);
    ${writes.join('\n')}
  };`;
  return generate(source, { check }) as EncodeFields;
}

function plainDecode<K>(fields: readonly KeyField[], rideOn: readonly string[]): DecodeFields<K> {
  return (bytes, start, end, rideValues) => {
    const key: Record<string, unknown> = {};
    let at = start;
    for (const { name, descending } of fields) {
      setOwn(key, name, reader.readValue(bytes, at, end, descending));
      at = reader.position;
    }
    if (at !== end) refuseTrailing();
    rideOn.forEach((name, i) => {
      setOwn(key, name, rideValues[i]);
    });
    return key as K;
  };
}

function generateDecode<K>(fields: readonly KeyField[], rideOn: readonly string[]): DecodeFields<K> {
  const reads = fields.map(({ descending }, i) => {
    return `const f${i} = reader.readValue(bytes, ${i === 0 ? 'start' : 'reader.position'}, end, ${descending});`;
  });
  const names = [...fields.map(({ name }) => name), ...rideOn];
  const values = [...fields.map((_, i) => `f${i}`), ...rideOn.map((_, i) => `rideOn[${i}]`)];
  const { declaration, expression } = objectOf(names, values);
  const source = `${declaration}
  return function decodeKey(bytes, start, end, rideOn) {
    ${reads.join('\n')}
    if (reader.position !== end) refuseTrailing();
    return ${expression};
  };`;
  return generate(source, { reader, refuseTrailing }) as DecodeFields<K>;
}

function refuseTrailing(): never {
  throw new CorruptionError('bytes follow where a key should end');
}
