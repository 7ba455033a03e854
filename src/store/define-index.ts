/**
 * Secondary indexes as a program declares them: fields of the key (ride-on ones included) or of the value, or a function of
 * both; checked when they are declared.
 */
import { InvalidArgumentError } from '../base/errors.ts';
import { isKeyObject, type KeyField, type KeySpec } from '../codec/key-spec.ts';
import { isSameIndex, MAX_INDEXES, type StoredIndex } from '../codec/store-definition.ts';
import { describeValue } from '../codec/text.ts';
import type { KeyPrimitive, KeyValue } from '../codec/tuple.ts';

type Depth = readonly unknown[];
type Within<T> = Exclude<T, undefined>;
/** `F` where values of type `T` can sort (or are not known to the compiler), else never. */
type IfSortable<T, F> = unknown extends T
  ? F
  : [Within<T>] extends [never]
    ? never
    : Within<T> extends KeyValue
      ? F
      : never;

/** The fields of a value that can sort, fields within fields with a dot between them (three levels are spelled out). */
export type ValuePath<V, D extends Depth = []> = unknown extends V
  ? string
  : D['length'] extends 3
    ? never
    : V extends KeyPrimitive | readonly unknown[] | undefined
      ? never
      : V extends object
        ? {
            [F in keyof V & string]-?:
              | IfSortable<V[F], F>
              | (unknown extends V[F] ? never : `${F}.${ValuePath<Exclude<V[F], undefined | null>, [...D, 0]>}`);
          }[keyof V & string]
        : never;

type ValueAt<V, P> = unknown extends V
  ? KeyValue
  : V extends unknown
    ? P extends keyof V
      ? V[P]
      : P extends `${infer F}.${infer Rest}`
        ? F extends keyof V
          ? ValueAt<Exclude<V[F], undefined | null>, Rest>
          : never
        : never
    : never;

/** The fields of a key object that can sort, ride-on fields included; none where a key is one value. */
type KeyPath<K> = unknown extends K
  ? string
  : K extends KeyValue
    ? never
    : { [F in keyof K & string]-?: IfSortable<K[F], F> }[keyof K & string];

/** Names of fields that an index may have. Where key and value have a field of the same name, the key's is meant. */
export type IndexFieldOf<K, V> = KeyPath<K> | ValuePath<V>;

type FieldAt<K, V, P> = Within<K extends KeyValue ? ValueAt<V, P> : P extends keyof K ? K[P] : ValueAt<V, P>>;

/** One field of an index: its name, or the name with an order. */
export type IndexFieldInput<F extends string> = F | { readonly field: F; readonly order?: 'asc' | 'desc' };

/** An index of fields. Entries that lack one of them are not in it. */
export interface FieldIndex<F extends string> {
  readonly fields: readonly IndexFieldInput<F>[];
  /** No two entries of the store have the same fields (`UniqueIndexError`). */
  readonly unique?: boolean;
}

/**
 * An index of what a function makes of an entry. The function must depend on nothing else, and change nothing; `version` is
 * to be changed with it: the index is then built anew. Only programs that have the definition can change such a store.
 */
export interface FunctionIndex<K, V> {
  /** Undefined: the entry is not in the index. With `many`: a list, the entry stands under each of its elements. */
  readonly of: (key: K, value: V) => KeyValue | undefined;
  readonly version: string | number;
  readonly many?: boolean;
  readonly unique?: boolean;
}

/** An index as it is declared: a list of fields, an object with options, or a function. */
export type IndexInput<K, V> =
  | readonly IndexFieldInput<IndexFieldOf<K, V>>[]
  | FieldIndex<IndexFieldOf<K, V>>
  | FunctionIndex<K, V>;

/** The indexes of a store by their names. */
export type IndexInputs<K, V> = { readonly [name: string]: IndexInput<K, V> };

type NameIn<F> = F extends { readonly field: infer N } ? N : F;
/** Of a list whose length is not known, any of the fields may be meant: which ones, the definition at hand says. */
type Parts<K, V, L extends readonly unknown[]> = number extends L['length']
  ? { readonly [P in NameIn<L[number]> & string]?: FieldAt<K, V, P> }
  : { readonly [P in NameIn<L[number]> & string]: FieldAt<K, V, P> };

/** What an index sorts by: an object of its fields, or what its function makes. */
export type IndexParts<K, V, D> = D extends readonly unknown[]
  ? Parts<K, V, D>
  : D extends { readonly fields: infer L extends readonly unknown[] }
    ? Parts<K, V, L>
    : D extends { readonly many: true; readonly of: (...args: never[]) => infer T }
      ? T extends readonly (infer E)[]
        ? E
        : never
      : D extends { readonly of: (...args: never[]) => infer T }
        ? Within<T>
        : never;

/** An index as its definition says it is. */
export interface IndexDefinition {
  readonly name: string;
  readonly unique: boolean;
  readonly fields: readonly KeyField[] | undefined;
  readonly version: string | number | undefined;
  readonly many: boolean;
  readonly of: ((key: unknown, value: unknown) => unknown) | undefined;
}

const FIELD_OPTIONS: readonly string[] = ['fields', 'unique'];
const FUNCTION_OPTIONS: readonly string[] = ['of', 'version', 'many', 'unique'];
const NO_INDEXES: readonly IndexDefinition[] = [];

/** Throws `InvalidArgumentError` for what makes no index; `raw`: values have no fields. */
export function compileIndexes(indexes: unknown, keySpec: KeySpec, raw: boolean): readonly IndexDefinition[] {
  if (indexes === undefined) return NO_INDEXES;
  if (!isKeyObject(indexes)) refuse(`indexes is an object of indexes by name, found ${describeValue(indexes)}`);
  const names = Object.keys(indexes);
  if (names.length > MAX_INDEXES) refuse(`a store has at most ${MAX_INDEXES} indexes, found ${names.length}`);
  return names.map((name) => {
    if (name === '') refuse('an index needs a name');
    return compileIndex(name, indexes[name], keySpec, raw);
  });
}

function compileIndex(name: string, input: unknown, keySpec: KeySpec, raw: boolean): IndexDefinition {
  const given = Array.isArray(input) ? { fields: input as unknown[] } : input;
  if (!isKeyObject(given)) refuse(`index '${name}' is a list of fields, { fields } or { of, version }`);
  const isFunction = given.of !== undefined;
  const known = isFunction ? FUNCTION_OPTIONS : FIELD_OPTIONS;
  const unknown = Object.keys(given).find((option) => !known.includes(option));
  if (unknown !== undefined) refuse(`index '${name}' has no option '${unknown}'; there are: ${known.join(', ')}`);
  const { unique = false, many = false, of, version } = given;
  if (typeof unique !== 'boolean') refuse(`index '${name}': unique is true or false`);
  if (!isFunction) {
    const fields = compileFields(name, given.fields, keySpec, raw);
    return { name, unique, fields, version: undefined, many: false, of: undefined };
  }
  if (typeof of !== 'function') refuse(`index '${name}': of is a function of key and value`);
  if (typeof many !== 'boolean') refuse(`index '${name}': many is true or false`);
  if (typeof version !== 'string' && !(typeof version === 'number' && Number.isFinite(version))) {
    refuse(`index '${name}' needs a version (a string or a number), to be changed with its function`);
  }
  return { name, unique, fields: undefined, version, many, of: of as IndexDefinition['of'] };
}

function compileFields(name: string, fields: unknown, keySpec: KeySpec, raw: boolean): KeyField[] {
  if (!Array.isArray(fields) || fields.length === 0) refuse(`index '${name}' needs a list of fields`);
  const { definition } = keySpec;
  const inKey = new Set([...(definition.fields ?? []).map((field) => field.name), ...definition.rideOn]);
  const list = fields.map((field: unknown) => compileField(name, field));
  list.forEach((field, i) => {
    if (list.findIndex((other) => other.name === field.name) !== i)
      refuse(`index '${name}' names the field '${field.name}' twice`);
    if (raw && !inKey.has(field.name)) refuse(`index '${name}': values are bytes and have no field '${field.name}'`);
  });
  return list;
}

function compileField(index: string, input: unknown): KeyField {
  if (typeof input === 'string' && input !== '') return { name: input, descending: false };
  const { field, order = 'asc', ...rest } = isKeyObject(input) ? input : {};
  if (typeof field !== 'string' || field === '' || Object.keys(rest).length > 0) {
    refuse(`index '${index}': a field is a name or { field, order }, found ${describeValue(input)}`);
  }
  if (order !== 'asc' && order !== 'desc') refuse(`index '${index}': the order of a field is 'asc' or 'desc'`);
  return { name: field, descending: order === 'desc' };
}

/** The same index as the catalog keeps it, in the store `id`. */
export function toStoredIndex(index: IndexDefinition, id: number): StoredIndex {
  const { name, unique, fields, version, many } = index;
  return { name, id, unique, fields, version, many };
}

/** Whether the catalog has exactly the indexes that a definition wants. */
export function hasIndexes(stored: readonly StoredIndex[], wanted: readonly IndexDefinition[]): boolean {
  return stored.length === wanted.length && wanted.every((index) => findSame(stored, index) !== undefined);
}

/** The index of the catalog that is the one of a definition. */
export function findSame(stored: readonly StoredIndex[], wanted: IndexDefinition): StoredIndex | undefined {
  const index = toStoredIndex(wanted, 0);
  return stored.find((one) => isSameIndex(one, index));
}

function refuse(why: string): never {
  throw new InvalidArgumentError(why);
}
