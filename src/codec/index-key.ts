/**
 * Keys of secondary indexes: the index fields (or the one value that a function made), encoded as in any key, and behind
 * them the owner's encoded key as it is. No encoded value is a prefix of another one, so the order is that of the fields, then
 * that of the owner's keys, and where the fields end is known from reading them.
 *
 * In unique indexes the owner's key stands in the cell instead, in the place of the ride-on part, so that equal fields are one
 * key.
 */
import { CorruptionError } from '../base/errors.ts';
import { isKeyObject, type KeySpec, type KeySpecDefinition } from './key-spec.ts';
import { setOwn } from './code-generation.ts';
import { describeValue } from './text.ts';
import type { KeyWriter } from './tuple.ts';
import { KeyReader } from './tuple-reader.ts';
import type { ValueWriter } from './value-writer.ts';
import { InvalidKeyError } from '../base/errors.ts';

/** What an index knows by itself: its fields (or the value its function made), and the key of the entry in the store. */
export interface IndexKeyParts {
  readonly index: unknown;
  readonly key: unknown;
}

/** One reader for all; the owner's key is read by a reader of its own. */
const reader = new KeyReader();

export class IndexKeySpec implements KeySpec {
  readonly definition: KeySpecDefinition;
  /** Unique indexes: the owner's key is in the cell. */
  readonly hasRideOn: boolean;
  readonly #owner: KeySpec;

  constructor(definition: KeySpecDefinition, unique: boolean, owner: KeySpec) {
    this.definition = definition;
    this.hasRideOn = unique;
    this.#owner = owner;
  }

  /** The fields alone, as an object; or the one value. All of them are needed. */
  encodeKey(index: unknown, writer: KeyWriter): void {
    const { fields, descending } = this.definition;
    if (fields === undefined) {
      writer.writeValue(index, descending);
      return;
    }
    if (!isKeyObject(index)) refuse(`expected an object with the index fields; found ${describeValue(index)}`);
    for (const { name, descending: isDescending } of fields) {
      if (index[name] === undefined) refuse(`index field '${name}' is missing`);
      writer.field = name;
      writer.writeValue(index[name], isDescending);
    }
  }

  encodeRideOn(_key: unknown, _writer: ValueWriter): void {}

  decodeRideOn(): readonly unknown[] {
    return [];
  }

  decodeKey(
    bytes: Uint8Array,
    start: number,
    end: number,
    rideBytes?: Uint8Array,
    rideStart = 0,
    rideEnd = 0,
  ): IndexKeyParts {
    const index = this.#readIndex(bytes, start, end);
    const at = reader.position;
    if (!this.hasRideOn) return { index, key: this.#owner.decodeKey(bytes, at, end) };
    if (at !== end) throw new CorruptionError('bytes follow where the key of a unique index should end');
    if (rideBytes === undefined) throw new CorruptionError('an entry of a unique index names no key');
    return { index, key: this.#owner.decodeKey(rideBytes, rideStart, rideEnd) };
  }

  decodeKeys(bytes: Uint8Array, ends: Int32Array, count: number, _plain: boolean, into: unknown[]): void {
    let start = 0;
    for (let i = 0; i < count; i++) {
      const end = ends[i] as number;
      into.push(this.decodeKey(bytes, start, end));
      start = end;
    }
  }

  #readIndex(bytes: Uint8Array, start: number, end: number): unknown {
    const { fields, descending } = this.definition;
    if (fields === undefined) return reader.readValue(bytes, start, end, descending);
    const index: Record<string, unknown> = {};
    let at = start;
    for (const field of fields) {
      setOwn(index, field.name, reader.readValue(bytes, at, end, field.descending));
      at = reader.position;
    }
    return index;
  }
}

function refuse(why: string): never {
  throw new InvalidKeyError(`key: ${why}`, { details: { path: 'key' } });
}
