/**
 * A store's shape as a program declares it: once, typed, checked when it is declared. What a definition says is kept in the
 * catalog of each database it is used with; a database that holds another shape under the same name refuses it.
 */
import { InvalidArgumentError, LimitExceededError } from '../base/errors.ts';
import { MAX_STORE_NAME_BYTES } from '../base/limits.ts';
import { compileKeySpec, type KeySpec, keySpecDefinition } from '../codec/key-spec.ts';
import { describeValue } from '../codec/text.ts';
import type { KeyValue } from '../codec/tuple.ts';
import { compileIndexes, type IndexDefinition, type IndexInputs } from './define-index.ts';
import { type SchemaOutput, type StandardSchema, toCheckingSchema } from './standard-schema.ts';

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
  /** One value for a key, the default; `unique: false` keeps all: see `EqualKeys`. */
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

/**
 * Values are counters: 64-bit integers that `increment` adds to, wrapping round. `true`: they are read as numbers (beyond
 * 2 ** 53 the nearest one); 'bigint': as bigints, always exact.
 */
export type CounterOption<V> = [V] extends [number]
  ? { readonly counter?: true }
  : [V] extends [bigint]
    ? { readonly counter?: 'bigint' }
    : { readonly counter?: undefined };

/** Values are bytes (`Uint8Array`), kept as they are. */
export interface RawValues {
  readonly raw: true;
}

/** Values are anything structured-clone-like. */
export interface StructuredValues {
  readonly raw?: false;
}

/** Of a store without indexes. */
export type NoIndexes = Record<never, never>;

/** Secondary indexes by their names: kept in the same transaction as the entries, read like a store. */
export interface WithIndexes<I> {
  readonly indexes?: I;
}

/** Schemas of whatever library after https://standardschema.dev. What they make of keys and values is what is stored. */
export interface WithSchemas<KS, VS> {
  /** Checks keys of entries that are inserted, and those whose ride-on fields change; look-ups are not checked. */
  readonly keySchema?: KS;
  /** Checks values that are written. It must answer at once: one that answers with a promise is refused. */
  readonly value?: VS;
}

/** What of a definition not every store has. */
export interface DefinitionExtras {
  readonly indexes?: readonly IndexDefinition[];
  readonly keySchema?: StandardSchema | undefined;
  readonly valueSchema?: StandardSchema | undefined;
  readonly counter?: true | 'bigint' | undefined;
}

/** The types that a definition carries. */
export interface StoreTypes<K, V, R, I> {
  readonly key: K;
  readonly value: V;
  readonly rideOn: R;
  readonly indexes: I;
}

/**
 * What `defineStore` hands out, to be handed to `tx.store`. `K` is the key as it is read and written, `V` the value, `R` the
 * names of the ride-on fields, `I` the indexes. A definition holds no database: one may be used with many.
 */
export class StoreDefinition<K, V, R extends string = never, I = NoIndexes> {
  readonly name: string;
  readonly keySpec: KeySpec<K>;
  readonly values: ValuePlacement;
  readonly raw: boolean;
  /** False for stores of equal keys: see `BagDefinition`. */
  readonly unique: boolean;
  readonly indexes: readonly IndexDefinition[];
  readonly keySchema: StandardSchema | undefined;
  readonly valueSchema: StandardSchema | undefined;
  /** Whether values are counters, and how they are read; undefined where they are not. */
  readonly counter: true | 'bigint' | undefined;
  /** Carries the types alone. */
  declare readonly types: StoreTypes<K, V, R, I>;

  /** Use `defineStore`. */
  constructor(
    name: string,
    keySpec: KeySpec<K>,
    values: ValuePlacement,
    raw: boolean,
    { indexes = [], keySchema, valueSchema, counter }: DefinitionExtras = {},
    unique = true,
  ) {
    this.name = name;
    this.counter = counter;
    this.keySpec = keySpec;
    this.values = values;
    this.raw = raw;
    this.unique = unique;
    this.indexes = indexes;
    this.keySchema = keySchema;
    this.valueSchema = valueSchema;
    Object.freeze(this);
  }
}

/** Where no indexes are given, what is inferred for them is all that there could be. */
type Declared<I> = string extends keyof I ? NoIndexes : I;

/** How a key of this type is declared: one value, or fields. */
type KeyShapeOf<K, R> = [K] extends [KeyValue]
  ? Pick<ScalarStoreShape, 'key' | 'rideOn'>
  : { readonly key: readonly KeyFieldInput<SortableFieldOf<K>>[]; readonly rideOn?: readonly R[] };

/** What `defineStore` hands out for `unique: false`: a store that keeps equal keys, in the order of their commits. */
export class BagDefinition<K, V, R extends string = never> extends StoreDefinition<K, V, R> {
  declare readonly unique: false;

  /** Use `defineStore`. */
  constructor(name: string, keySpec: KeySpec<K>, values: ValuePlacement, raw: boolean, extras: DefinitionExtras = {}) {
    super(name, keySpec, values, raw, extras, false);
  }
}

/** Equal keys are kept, in the order of their commits: the store is read and changed as a `TxBag`. */
export interface EqualKeys {
  readonly unique: false;
  readonly indexes?: undefined;
}

type RawOrNot<V> = V extends Uint8Array ? RawValues | StructuredValues : StructuredValues;
/** No schemas: key and value types were given by name. */
interface NoSchemas {
  readonly keySchema?: undefined;
  readonly value?: undefined;
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
 * sorting field is an `InvalidKeyError` when it is used.
 *
 * Handed schemas (`keySchema`, `value`; `type<T>()` for types that nothing checks), it infers all types, those of indexes too:
 *
 * ```ts
 * const orders = defineStore('orders', {
 *   keySchema: type<{ region: string; day: Date; id: number; status: string }>(),
 *   value: z.object({ customer: z.string(), total: z.number() }),
 *   key: ['region', { field: 'day', order: 'desc' }, 'id'],
 *   rideOn: ['status'],
 *   indexes: { byStatus: ['status', 'day'], byCustomer: ['customer'] },
 * });
 * ```
 *
 * With the types given by name instead, indexes are checked against them where they are declared, but read under any name.
 * Throws `InvalidArgumentError` for a shape that makes no store.
 */
export function defineStore<K extends KeyValue, V>(
  name: string,
  shape: Omit<ScalarStoreShape, 'unique'> & EqualKeys & NoSchemas & RawOrNot<V>,
): BagDefinition<K, V>;
export function defineStore<K extends object, V>(
  name: string,
  shape: Omit<CompositeStoreShape<K, never>, 'unique' | 'rideOn'> & { readonly rideOn?: undefined } & EqualKeys &
    NoSchemas &
    RawOrNot<V>,
): BagDefinition<K, V>;
export function defineStore<K extends object, V, R extends FieldOf<K> = FieldOf<K>>(
  name: string,
  shape: {
    readonly key: readonly KeyFieldInput<SortableFieldOf<K>>[];
    readonly rideOn: readonly R[];
  } & Omit<StoreShape, 'unique'> &
    EqualKeys &
    NoSchemas &
    RawOrNot<V>,
): BagDefinition<K, V, R>;
export function defineStore<
  VS extends StandardSchema,
  // Without a default: the parameters of index functions would be inferred from it.
  const I extends IndexInputs<SchemaOutput<KS>, SchemaOutput<VS>>,
  KS extends StandardSchema = StandardSchema<KeyValue>,
  R extends FieldOf<SchemaOutput<KS>> = never,
>(
  name: string,
  shape: { readonly keySchema?: KS; readonly value: VS } & KeyShapeOf<SchemaOutput<KS>, R> &
    StoreShape &
    WithIndexes<I> &
    RawOrNot<SchemaOutput<VS>>,
): StoreDefinition<SchemaOutput<KS>, SchemaOutput<VS>, R, Declared<I>>;
export function defineStore<K extends KeyValue, V>(
  name: string,
  shape?: ScalarStoreShape & NoSchemas & CounterOption<V> & WithIndexes<IndexInputs<K, V>> & RawOrNot<V>,
): StoreDefinition<K, V, never, IndexInputs<K, V>>;
export function defineStore<K extends object, V>(
  name: string,
  shape: CompositeStoreShape<K, never> & { readonly rideOn?: undefined } & NoSchemas &
    CounterOption<V> &
    WithIndexes<IndexInputs<K, V>> &
    RawOrNot<V>,
): StoreDefinition<K, V, never, IndexInputs<K, V>>;
export function defineStore<K extends object, V, R extends FieldOf<K> = FieldOf<K>>(
  name: string,
  shape: {
    readonly key: readonly KeyFieldInput<SortableFieldOf<K>>[];
    readonly rideOn: readonly R[];
    /** Ride-on fields that are counters: integers that `increment` adds to; 0 where a key does not give them. */
    readonly counters?: readonly R[];
  } & StoreShape &
    NoSchemas &
    WithIndexes<IndexInputs<K, V>> &
    RawOrNot<V>,
): StoreDefinition<K, V, R, IndexInputs<K, V>>;
export function defineStore(name: string, shape: unknown = {}): StoreDefinition<unknown, unknown, string, unknown> {
  checkStoreName(name);
  const given = mustBeShape(shape, name);
  const { values = 'inline', raw = false, unique = true } = given;
  if (values === 'stream') refuse(name, "values: 'stream' is not in this version");
  if (values !== 'inline' && values !== 'separate')
    refuse(name, `values is 'inline' or 'separate', not ${show(values)}`);
  if (typeof raw !== 'boolean') refuse(name, `raw is true or false, not ${show(raw)}`);
  if (typeof unique !== 'boolean') refuse(name, `unique is true or false, not ${show(unique)}`);
  if (!unique) mustBeBag(name, given);
  const keySpec = compileKey(name, given.key, given.rideOn, given.counters);
  const counter = mustBeCounter(name, given, values, raw);
  const extras = { ...compileExtras(name, given, keySpec), counter };
  if (!unique) return new BagDefinition<unknown, unknown, string>(name, keySpec, values, raw, extras);
  return new StoreDefinition<unknown, unknown, string, unknown>(name, keySpec, values, raw, extras);
}

function mustBeBag(name: string, given: LooseShape): void {
  for (const option of ['indexes', 'counter', 'counters'] as const) {
    if (given[option] === undefined) continue;
    refuse(name, `stores of equal keys (unique: false) have no ${option} in this version`);
  }
}

function mustBeCounter(name: string, given: LooseShape, values: unknown, raw: boolean): true | 'bigint' | undefined {
  const { counter, rideOn } = given;
  if (counter === undefined) return undefined;
  if (counter !== true && counter !== 'bigint') refuse(name, `counter is true or 'bigint', not ${show(counter)}`);
  if (raw) refuse(name, 'counter and raw do not go together: values are counters or bytes');
  if (values === 'separate') refuse(name, "counter and values: 'separate' do not go together: counters stand in place");
  if (rideOn !== undefined) {
    refuse(name, 'counter and rideOn do not go together: name ride-on fields that are counters in counters');
  }
  if (given.indexes !== undefined) refuse(name, 'counter and indexes do not go together: increments are blind');
  return counter;
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
  readonly keySchema?: unknown;
  readonly value?: unknown;
  readonly counter?: unknown;
  readonly counters?: unknown;
}

const SHAPE_OPTIONS: readonly string[] = [
  'key',
  'rideOn',
  'values',
  'raw',
  'unique',
  'indexes',
  'keySchema',
  'value',
  'counter',
  'counters',
];

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

function compileExtras(name: string, given: LooseShape, keySpec: KeySpec): DefinitionExtras {
  try {
    return {
      indexes: compileIndexes(given.indexes, keySpec, given.raw === true),
      keySchema: toCheckingSchema(given.keySchema, 'keySchema'),
      valueSchema: toCheckingSchema(given.value, 'value'),
    };
  } catch (error) {
    if (error instanceof InvalidArgumentError) refuse(name, error.message);
    throw error;
  }
}

function compileKey(name: string, key: unknown, rideOn: unknown, counters: unknown): KeySpec {
  const isOrder = typeof key === 'object' && key !== null && !Array.isArray(key) && 'order' in key;
  if (key !== undefined && !Array.isArray(key) && !isOrder) {
    refuse(name, `key is a list of fields (or { order } for a key of one value), found ${describeValue(key)}`);
  }
  for (const field of Array.isArray(key) ? (key as unknown[]) : []) mustBeField(name, field);
  if (rideOn !== undefined && !(Array.isArray(rideOn) && rideOn.every((field) => typeof field === 'string'))) {
    refuse(name, 'rideOn is a list of field names');
  }
  if (counters !== undefined && !(Array.isArray(counters) && counters.every((field) => typeof field === 'string'))) {
    refuse(name, 'counters is a list of names of ride-on fields');
  }
  try {
    const definition = keySpecDefinition(
      key as Parameters<typeof keySpecDefinition>[0],
      rideOn as string[] | undefined,
      counters as string[] | undefined,
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
