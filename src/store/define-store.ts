/**
 * A store's shape as a program declares it: once, typed, checked when it is declared. What a definition says is kept in the
 * catalog of each database it is used with; a database that holds another shape under the same name refuses it.
 */
import { InvalidArgumentError, LimitExceededError } from '../base/errors.ts';
import { MAX_STORE_NAME_BYTES } from '../base/limits.ts';
import { compileKeySpec, type KeySpec, keySpecDefinition } from '../codec/key-spec.ts';
import { describeValue } from '../codec/text.ts';
import type { KeyValue } from '../codec/tuple.ts';

/** Where the values of a store live; see `StoreShape.values`. */
export type ValuePlacement = 'inline' | 'separate';

/** Names of the fields of a composite key. */
export type FieldOf<K> = Extract<keyof K, string>;

/** The fields of a composite key that can sort: ones of another type do not compile as key fields. */
export type SortableFieldOf<K> = {
  [F in FieldOf<K>]-?: K[F] extends KeyValue ? F : never;
}[FieldOf<K>];

/** One sorting field of a composite key: its name, or the name with an order ('asc' where none is given). */
export type KeyFieldInput<F extends string> = F | { readonly field: F; readonly order?: 'asc' | 'desc' };

/** What all shapes of stores have in common. */
export interface StoreShape {
  /**
   * 'inline' (the default): values stand beside their keys; long ones move out by themselves. 'separate': values live apart
   * from the keys whatever their length, so that scanning keys never passes over them.
   */
  readonly values?: ValuePlacement;
  /** One value for a key. Stores of equal keys are not in this version. */
  readonly unique?: true;
}

/** A store whose key is one value: any key type, or an array of them. */
export interface ScalarStoreShape extends StoreShape {
  /** The order of the keys, ascending where this is not given. */
  readonly key?: { readonly order: 'asc' | 'desc' };
  readonly rideOn?: undefined;
}

/** A store whose key is an object of named fields. */
export interface CompositeStoreShape<K, R extends FieldOf<K>> extends StoreShape {
  /** The fields that sort, most significant first. */
  readonly key: readonly KeyFieldInput<Exclude<SortableFieldOf<K>, R>>[];
  /** Fields kept beside the key: readable without the value, changed by `updateKey`, no part of the order. */
  readonly rideOn?: readonly R[];
}

/** Values are bytes (`Uint8Array`), kept as they are. */
export interface RawValues {
  readonly raw: true;
}

/** Values are anything structured-clone-like. */
export interface StructuredValues {
  readonly raw?: false;
}

/**
 * What `defineStore` hands out, to be handed to `tx.store`. `K` is the key as it is read and written, `V` the value, `R` the
 * names of the ride-on fields. A definition holds no database: one may be used with many.
 */
export class StoreDefinition<K, V, R extends string = never> {
  readonly name: string;
  readonly keySpec: KeySpec<K>;
  readonly values: ValuePlacement;
  readonly raw: boolean;
  readonly unique = true;
  /** Carries the types alone. */
  declare readonly types: { readonly key: K; readonly value: V; readonly rideOn: R };

  /** Use `defineStore`. */
  constructor(name: string, keySpec: KeySpec<K>, values: ValuePlacement, raw: boolean) {
    this.name = name;
    this.keySpec = keySpec;
    this.values = values;
    this.raw = raw;
    Object.freeze(this);
  }
}

/**
 * Declares a store.
 *
 * ```ts
 * const users = defineStore<string, User>('users');
 * const orders = defineStore<{ region: string; day: Date; id: number; status: string }, Order, 'status'>('orders', {
 *   key: ['region', { field: 'day', order: 'desc' }, 'id'],
 *   rideOn: ['status'],
 * });
 * const pages = defineStore<Uint8Array, Uint8Array>('pages', { raw: true });
 * ```
 *
 * The third type argument names the ride-on fields; left out beside `rideOn`, look-ups take any part of the key and a missing
 * sorting field is an `InvalidKeyError` when it is used. Throws `InvalidArgumentError` for a shape that makes no store.
 */
export function defineStore<K extends KeyValue, V>(
  name: string,
  shape?: ScalarStoreShape & (V extends Uint8Array ? RawValues | StructuredValues : StructuredValues),
): StoreDefinition<K, V>;
export function defineStore<K extends object, V>(
  name: string,
  shape: CompositeStoreShape<K, never> & { readonly rideOn?: undefined } & (V extends Uint8Array
      ? RawValues | StructuredValues
      : StructuredValues),
): StoreDefinition<K, V>;
export function defineStore<K extends object, V, R extends FieldOf<K> = FieldOf<K>>(
  name: string,
  shape: {
    readonly key: readonly KeyFieldInput<SortableFieldOf<K>>[];
    readonly rideOn: readonly R[];
  } & StoreShape &
    (V extends Uint8Array ? RawValues | StructuredValues : StructuredValues),
): StoreDefinition<K, V, R>;
export function defineStore(name: string, shape: unknown = {}): StoreDefinition<unknown, unknown, string> {
  checkStoreName(name);
  const given = mustBeShape(shape, name);
  const { values = 'inline', raw = false, unique = true } = given;
  if (values === 'stream') refuse(name, "values: 'stream' is not in this version");
  if (values !== 'inline' && values !== 'separate')
    refuse(name, `values is 'inline' or 'separate', not ${show(values)}`);
  if (typeof raw !== 'boolean') refuse(name, `raw is true or false, not ${show(raw)}`);
  if (unique === false) refuse(name, 'stores with equal keys (unique: false) are not in this version');
  if (unique !== true) refuse(name, `unique is true, not ${show(unique)}`);
  if (given.indexes !== undefined) refuse(name, 'secondary indexes are not in this version');
  const keySpec = compileKey(name, given.key, given.rideOn);
  return new StoreDefinition<unknown, unknown, string>(name, keySpec, values, raw);
}

/** Throws `InvalidArgumentError` or `LimitExceededError` for what cannot name a store. */
export function checkStoreName(name: unknown): asserts name is string {
  if (typeof name !== 'string' || name === '') {
    throw new InvalidArgumentError(`the name of a store is a non-empty string, found ${describeValue(name)}`);
  }
  if (/\p{Surrogate}/u.test(name)) throw new InvalidArgumentError('the name of a store has a lone surrogate');
  const found = Buffer.byteLength(name);
  if (found > MAX_STORE_NAME_BYTES) {
    throw new LimitExceededError(`the name of a store takes at most ${MAX_STORE_NAME_BYTES} bytes of UTF-8`, {
      details: { limit: 'MAX_STORE_NAME_BYTES', allowed: MAX_STORE_NAME_BYTES, found },
    });
  }
}

interface LooseShape {
  readonly key?: unknown;
  readonly rideOn?: unknown;
  readonly values?: unknown;
  readonly raw?: unknown;
  readonly unique?: unknown;
  readonly indexes?: unknown;
}

const SHAPE_OPTIONS: readonly string[] = ['key', 'rideOn', 'values', 'raw', 'unique', 'indexes'];

function mustBeShape(shape: unknown, name: string): LooseShape {
  if (typeof shape !== 'object' || shape === null || Array.isArray(shape)) {
    refuse(name, `the shape is an object, found ${describeValue(shape)}`);
  }
  for (const option of Object.keys(shape)) {
    if (!SHAPE_OPTIONS.includes(option)) {
      refuse(name, `there is no option '${option}'; there are: ${SHAPE_OPTIONS.join(', ')}`);
    }
  }
  return shape;
}

function compileKey(name: string, key: unknown, rideOn: unknown): KeySpec {
  const isOrder = typeof key === 'object' && key !== null && !Array.isArray(key) && 'order' in key;
  if (key !== undefined && !Array.isArray(key) && !isOrder) {
    refuse(name, `key is a list of fields (or { order } for a key of one value), found ${describeValue(key)}`);
  }
  for (const field of Array.isArray(key) ? (key as unknown[]) : []) mustBeField(name, field);
  if (rideOn !== undefined && !(Array.isArray(rideOn) && rideOn.every((field) => typeof field === 'string'))) {
    refuse(name, 'rideOn is a list of field names');
  }
  try {
    const definition = keySpecDefinition(
      key as Parameters<typeof keySpecDefinition>[0],
      rideOn as string[] | undefined,
    );
    return compileKeySpec(definition);
  } catch (error) {
    if (error instanceof InvalidArgumentError) refuse(name, error.message);
    throw error;
  }
}

function mustBeField(name: string, field: unknown): void {
  if (typeof field === 'string') return;
  if (typeof field !== 'object' || field === null || !('field' in field) || typeof field.field !== 'string') {
    refuse(name, `a key field is a name or { field, order }, found ${describeValue(field)}`);
  }
  const unknown = Object.keys(field).find((option) => option !== 'field' && option !== 'order');
  if (unknown !== undefined) refuse(name, `key field '${field.field}' has no option '${unknown}'`);
}

function show(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : describeValue(value);
}

function refuse(name: string, why: string): never {
  throw new InvalidArgumentError(`store '${name}': ${why}`, { details: { store: name } });
}
