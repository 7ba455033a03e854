/**
 * Keys, values, ranges and store shapes as people write them on a command line.
 *
 * A key or value is typed JSON where it can be read as such, else a string: `5` is a number, `"5"` and `five` are strings.
 * A key with fields is `field=value`, several of them, or a JSON object; `field^=start` in a prefix says what a string
 * begins with.
 */
import { readFileSync } from 'node:fs';
import { SopError } from '../base/errors.ts';
import { parseTypedJson } from '../codec/typed-json-read.ts';
import {
  type AnyKey,
  defineStore,
  type RangeOptions,
  StoreDefinition,
  type StoreInfo,
  type Transaction,
} from '../index.ts';
import {
  flagOption,
  listOption,
  numberOption,
  type OptionConfig,
  type OptionValues,
  textOption,
  UsageError,
} from './command.ts';

export type AnyStoreDefinition = ReturnType<Transaction['definitionOf']>;
export type AnyRange = RangeOptions<Record<string, unknown>>;

export const RANGE_OPTIONS: Readonly<Record<string, OptionConfig>> = {
  gt: { type: 'string', multiple: true, value: 'key', help: 'keys behind this one' },
  gte: { type: 'string', multiple: true, value: 'key', help: 'keys from this one on' },
  lt: { type: 'string', multiple: true, value: 'key', help: 'keys before this one' },
  lte: { type: 'string', multiple: true, value: 'key', help: 'keys up to this one' },
  prefix: {
    type: 'string',
    multiple: true,
    short: 'p',
    value: 'start',
    help: 'keys that begin with this (field=value, field^=start)',
  },
};

export const SCAN_OPTIONS: Readonly<Record<string, OptionConfig>> = {
  ...RANGE_OPTIONS,
  reverse: { type: 'boolean', short: 'r', help: 'from the last key to the first' },
  limit: { type: 'string', short: 'n', value: 'count', help: 'at most so many' },
  'keys-only': { type: 'boolean', short: 'k', help: 'keys alone; no value is read' },
};

export const SHAPE_OPTIONS: Readonly<Record<string, OptionConfig>> = {
  key: { type: 'string', value: 'fields', help: 'the fields of the key, as in country,population:desc,name' },
  'ride-on': { type: 'string', value: 'fields', help: 'fields that travel with the key and do not sort' },
  values: { type: 'string', value: 'where', help: "'inline' (the default) or 'separate'" },
  raw: { type: 'boolean', help: 'values are bytes' },
  define: {
    type: 'string',
    value: 'json',
    help: 'what defineStore takes, as {"unique":false}, for what the others can not say',
  },
};

/** Typed JSON, or the text itself where it is none. */
export function readScalar(text: string): unknown {
  try {
    return parseTypedJson(text);
  } catch (error) {
    // What was meant as JSON is not silently taken for a string.
    if (error instanceof SopError && /^\s*[[{"]/.test(text)) {
      throw new UsageError(`'${text}' is no typed JSON: ${error.message}`);
    }
    return text;
  }
}

/** A key as one or several arguments say it. */
export function readKey(texts: readonly string[], info: StoreInfo): AnyKey {
  if (info.key === undefined) {
    if (texts.length !== 1) throw new UsageError(`store '${info.name}' has keys of one value; found ${texts.length}`);
    return readScalar(texts[0] as string) as AnyKey;
  }
  return readFields(texts, info) as AnyKey;
}

function readFields(texts: readonly string[], info: StoreInfo): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const text of texts) {
    if (text.trimStart().startsWith('{')) {
      Object.assign(fields, readScalar(text));
      continue;
    }
    const match = /^([^=^]+)(\^?=)([\s\S]*)$/.exec(text);
    if (match === null) {
      const names = (info.key ?? []).map(({ field }) => `${field}=...`).join(' ');
      throw new UsageError(`'${text}' is no field of a key; store '${info.name}' takes ${names}, or a JSON object`);
    }
    const [, name, sign, value] = match as unknown as [string, string, string, string];
    fields[name] = sign === '^=' ? { startsWith: value } : readScalar(value);
  }
  return fields;
}

export function readRange(options: OptionValues, info: StoreInfo): AnyRange {
  const range: Record<string, unknown> = {};
  for (const name of ['gt', 'gte', 'lt', 'lte', 'prefix']) {
    const texts = listOption(options, name);
    if (texts.length === 0) continue;
    if (info.key === undefined && texts.length > 1) throw new UsageError(`--${name} is given twice`);
    // What a string begins with is a string, whatever it looks like.
    const isText = name === 'prefix' && info.key === undefined && !/^\s*[[{"]/.test(texts[0] as string);
    range[name] = isText ? texts[0] : readKey(texts, info);
  }
  if (flagOption(options, 'reverse')) range.reverse = true;
  if (flagOption(options, 'keys-only')) range.keysOnly = true;
  const limit = numberOption(options, 'limit');
  if (limit !== undefined) range.limit = limit;
  return range as AnyRange;
}

/** A key without the ride-on fields that nobody set: written down they say nothing. */
export function withoutGaps(key: unknown): unknown {
  if (typeof key !== 'object' || key === null || Object.getPrototypeOf(key) !== Object.prototype) return key;
  return Object.fromEntries(Object.entries(key).filter(([, value]) => value !== undefined));
}

/** Whether any bound is given. */
export function hasBounds(options: OptionValues): boolean {
  return Object.keys(RANGE_OPTIONS).some((name) => options[name] !== undefined);
}

/** The bytes of a value for a store of raw bytes. */
export function readRawValue(text: string): Uint8Array {
  if (/^\s*\{/.test(text)) {
    const value = readScalar(text);
    if (value instanceof Uint8Array) return value;
  }
  return new TextEncoder().encode(text);
}

export function readFile(path: string): Uint8Array {
  return readFileSync(path);
}

/** A definition from the options --key, --ride-on, --values and --raw. */
export function readShape(name: string, options: OptionValues): StoreDefinition<AnyKey, unknown, string> {
  const shape: Record<string, unknown> = { ...readDefinition(textOption(options, 'define')) };
  const key = textOption(options, 'key');
  if (key !== undefined && key !== '') shape.key = key.split(',').map(readKeyField);
  const rideOn = textOption(options, 'ride-on');
  if (rideOn !== undefined) shape.rideOn = rideOn.split(',').map((field) => field.trim());
  const values = textOption(options, 'values');
  if (values !== undefined) shape.values = values;
  if (flagOption(options, 'raw')) shape.raw = true;
  return defineAny(name, shape);
}

function readDefinition(text: string | undefined): object {
  if (text === undefined) return {};
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--define takes JSON: ${(error as Error).message}`);
  }
  if (typeof found === 'object' && found !== null && !Array.isArray(found)) return found;
  throw new UsageError('--define takes a JSON object');
}

function readKeyField(text: string): { field: string; order: string } {
  const [field = '', order = 'asc', ...rest] = text.trim().split(':');
  if (field === '' || rest.length > 0 || (order !== 'asc' && order !== 'desc')) {
    throw new UsageError(`'${text}' is no key field; write name, name:asc or name:desc`);
  }
  return { field, order };
}

/** A definition that is only known at run time. */
export function defineAny(name: string, shape: object): StoreDefinition<AnyKey, unknown, string> {
  const define = defineStore as unknown as (n: string, s: object) => StoreDefinition<AnyKey, unknown, string>;
  return define(name, shape);
}

/** The definition of a store as the catalog has it, indexes included; undefined where there is none. */
export function definedBefore(tx: Transaction, store: string): AnyStoreDefinition | undefined {
  try {
    return tx.definitionOf(store);
  } catch (error) {
    if (error instanceof SopError && error.code === 'STORE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** Opens or creates a store under a definition that says nothing of indexes: those that it has stay. */
export function defineAgain(tx: Transaction, definition: StoreDefinition<AnyKey, unknown, string>): void {
  const { name, keySpec, values, raw, unique, counter } = definition;
  const { indexes } = definedBefore(tx, name) ?? definition;
  if (indexes.length === 0 || definition.indexes.length > 0 || !unique) tx.store(definition);
  else tx.store(new StoreDefinition<AnyKey, unknown, string>(name, keySpec, values, raw, { indexes, counter }));
}

/** The shape that `defineStore` takes, from what a database says of a store. */
export function shapeOf(
  info: Pick<StoreInfo, 'key' | 'order' | 'rideOn' | 'values' | 'raw' | 'counter' | 'counters'> & {
    readonly unique?: boolean;
  },
): object {
  return {
    ...(info.key !== undefined ? { key: info.key } : info.order === 'desc' ? { key: { order: 'desc' } } : {}),
    ...(info.rideOn.length > 0 ? { rideOn: info.rideOn } : {}),
    ...(info.values === 'separate' ? { values: 'separate' } : {}),
    ...(info.raw ? { raw: true } : {}),
    ...(info.unique === false ? { unique: false } : {}),
    ...(info.counter === undefined ? {} : { counter: info.counter }),
    ...(info.counters === undefined ? {} : { counters: info.counters }),
  };
}

/** The fields of a key in words: `country, population desc, name`. */
export function describeKey(info: Pick<StoreInfo, 'key' | 'order'>): string {
  if (info.key === undefined) return info.order === 'desc' ? 'one value, desc' : 'one value';
  return info.key.map(({ field, order }) => (order === 'desc' ? `${field} desc` : field)).join(', ');
}
