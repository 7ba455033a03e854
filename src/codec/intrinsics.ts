/**
 * What built-in objects hold, whatever their class makes of it: subclasses may override iteration, sizes and getters, and
 * what is written by one of these and counted by another can never be read again.
 */
import { types } from 'node:util';

const entriesOf = Map.prototype.entries;
const valuesOf = Set.prototype.values;
const getTime = Date.prototype.getTime;
const lengthOf = getterOf(Object.getPrototypeOf(Uint8Array.prototype) as object, 'length') as () => number;
const sourceOf = getterOf(RegExp.prototype, 'source') as () => string;
/** In the order in which `flags` has them. Those that this Node does not know no expression has. */
const FLAGS = (
  [
    ['d', 'hasIndices'],
    ['g', 'global'],
    ['i', 'ignoreCase'],
    ['m', 'multiline'],
    ['s', 'dotAll'],
    ['u', 'unicode'],
    ['v', 'unicodeSets'],
    ['y', 'sticky'],
  ] as const
).map(([letter, name]) => ({ letter, isSet: getterOf(RegExp.prototype, name) as () => boolean }));

function getterOf(prototype: object, name: string): () => unknown {
  return Object.getOwnPropertyDescriptor(prototype, name)?.get ?? (() => undefined);
}

export function mapEntries(map: ReadonlyMap<unknown, unknown>): [unknown, unknown][] {
  return [...entriesOf.call(map)] as [unknown, unknown][];
}

export function setValues(set: ReadonlySet<unknown>): unknown[] {
  return [...valuesOf.call(set)];
}

export function timeOf(date: Date): number {
  return getTime.call(date);
}

/** The length of a Uint8Array. */
export function bytesLength(bytes: Uint8Array): number {
  return lengthOf.call(bytes);
}

export function regExpParts(value: RegExp): { readonly source: string; readonly flags: string } {
  const flags = FLAGS.filter(({ isSet }) => isSet.call(value)).map(({ letter }) => letter);
  return { source: sourceOf.call(value), flags: flags.join('') };
}

/** The primitive in a boxed one that is no symbol. */
export function unboxed(value: object): unknown {
  if (types.isNumberObject(value)) return Number.prototype.valueOf.call(value);
  if (types.isStringObject(value)) return String.prototype.valueOf.call(value);
  if (types.isBooleanObject(value)) return Boolean.prototype.valueOf.call(value);
  return BigInt.prototype.valueOf.call(value);
}

/** Whether the memory of bytes was given away (`structuredClone` with `transfer`, `postMessage`): they look empty then. */
export function isDetached(value: ArrayBufferView | ArrayBuffer): boolean {
  const buffer = ArrayBuffer.isView(value) ? value.buffer : value;
  if (buffer.byteLength > 0) return false;
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}
