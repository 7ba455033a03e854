/**
 * Schemas of whatever library: the interface of https://standardschema.dev (version 1), which zod, valibot, arktype and others
 * implement, and checking a value with one.
 */
import { InvalidArgumentError, InvalidKeyError, InvalidValueError } from '../base/errors.ts';
import { ignore, isThenable, watchAnswer } from '../base/thenable.ts';

/** What a schema library hands out. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** A schema's answer: the value as it is to be stored, or what is wrong with it. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** What a schema has against a value, and where. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What a schema makes of what it accepts. */
export type SchemaOutput<S extends StandardSchema> = NonNullable<S['~standard']['types']>['output'];

/** A schema for the compiler alone: it says the type and accepts everything. */
export function type<T>(): StandardSchema<T> {
  return TYPE_ONLY as StandardSchema<T>;
}

const TYPE_ONLY: StandardSchema<never> = {
  '~standard': { version: 1, vendor: 'sop', validate: (value) => ({ value: value as never }) },
};

/** The schema as it is used on writing: undefined for one that accepts everything. */
export function toCheckingSchema(schema: unknown, option: string): StandardSchema | undefined {
  if (schema === undefined || schema === TYPE_ONLY) return undefined;
  const isSchema = (typeof schema === 'object' && schema !== null) || typeof schema === 'function';
  const standard: unknown = isSchema ? (schema as Record<string, unknown>)['~standard'] : undefined;
  const { version, validate } = (standard ?? {}) as { version?: unknown; validate?: unknown };
  if (version === 1 && typeof validate === 'function') return schema as StandardSchema;
  throw new InvalidArgumentError(`${option} is a schema after https://standardschema.dev, version 1`);
}

/** What the schema makes of a value. `InvalidValueError` (for keys `InvalidKeyError`) with all issues and their paths. */
export function checkWith(schema: StandardSchema, value: unknown, store: string, what: 'key' | 'value'): unknown {
  const result: unknown = schema['~standard'].validate(value);
  if (isThenable(result)) {
    watchAnswer(result, ignore);
    throw new InvalidArgumentError(
      `store '${store}': its ${what} schema validates asynchronously, which changes of a transaction cannot wait for`,
    );
  }
  const { issues: found, value: made } = (result ?? {}) as { issues?: readonly SchemaIssue[]; value?: unknown };
  if (found === undefined) {
    if (typeof result === 'object' && result !== null && 'value' in result) return made;
    throw new InvalidArgumentError(`store '${store}': its ${what} schema answers neither a value nor issues`);
  }
  const issues = found.map(({ message, path }) => ({ message, path: pathOf(path) }));
  const [first] = issues;
  const place = first === undefined || first.path === '' ? what : `${what} ${first.path}`;
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : '';
  const words = `store '${store}', ${place}: ${first?.message ?? 'refused by the schema'}${more}`;
  const Refusal = what === 'key' ? InvalidKeyError : InvalidValueError;
  throw new Refusal(words, { details: { store, path: first?.path ?? '', issues } });
}

function pathOf(path: SchemaIssue['path']): string {
  return (path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
}
