/**
 * Making the objects and arrays that readers hand out by the million. V8 watches the places of object and array literals: where
 * those few it looked at were all alive when it collected (a page of a scan just being filled is), it makes whatever comes from
 * that place in the old generation, for good. Dead pages there then keep alive all that they name until the next full collection:
 * scans spent half of their time so. Constructors and copies are not watched.
 */

/** An entry as scans and `getEntry` hand it out: in nothing different from a literal, its prototype is Object.prototype. */
export interface PlainEntry {
  key: unknown;
  value: unknown;
  version: number;
}

export const PlainEntry = function (this: PlainEntry, key: unknown, value: unknown, version: number): void {
  this.key = key;
  this.value = value;
  this.version = version;
} as unknown as new (
  key: unknown,
  value: unknown,
  version: number,
) => PlainEntry;
(PlainEntry as { prototype: object }).prototype = Object.prototype;

/** It has held an object once, so that V8 has its copies ready for objects. */
const EMPTY: object[] = [{}];
EMPTY.pop();

/** A new empty array. */
export function youngArray<T>(): T[] {
  return EMPTY.slice() as T[];
}
