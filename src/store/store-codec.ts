/**
 * Keys and cells of stores with one definition, to and from bytes (codec/cell.ts draws the cell). What is encoded lies in
 * scratch memory shared by the stores of the database and is valid until the next encoding.
 *
 * Encoding may run code of the caller (getters, proxies), which may use this or another database. What such code encodes goes
 * to scratch memory of its own, and once the outer encoding ends, key and cell are again those of the outer one.
 */
import { copyBytes, readU16, readU32, writeU16 } from '../base/bytes.ts';
import { CorruptionError, InvalidArgumentError, InvalidValueError } from '../base/errors.ts';
import {
  CELL_RIDE_ON,
  CELL_SEPARATE,
  CELL_WANTS_SEPARATE,
  cellValueStart,
  VALUE_REFERENCE_BYTES,
} from '../codec/cell.ts';
import {
  COUNTER_BYTES,
  fitsCounter,
  INCREMENT_CREATES,
  INCREMENT_HEAD_BYTES,
  readBigCounter,
  readCounter,
  writeCounter,
} from '../codec/counter.ts';
import { youngArray } from '../base/young.ts';
import { isKeyObject, type KeySpec } from '../codec/key-spec.ts';
import { describeValue } from '../codec/text.ts';
import { KeyWriter } from '../codec/tuple.ts';
import { decodeRawBytes, decodeValue, decodeValueWithin, encodeRawBytes, encodeValue } from '../codec/value.ts';
import { tooLong, type ValueWriter } from '../codec/value-writer.ts';
import { ITEM_ID_BYTES } from '../log/placeholder.ts';
import type { EntryBlock } from '../node/entry-block.ts';
import type { EntryCursor } from '../node/entry-cursor.ts';
import type { StoreDefinition } from './define-store.ts';
import { makeCopier } from './row-cache.ts';
import type { ShapeStore } from './shape-store.ts';

/** Where a value reference says how long the value is. */
const REFERENCE_LENGTH_AT = 14;
/** Bytes before the ride-on part: flags and its length. */
const RIDE_ON_AT = 3;

/** Whether the value of the cell at `start` lives elsewhere. */
export function isSeparate(cell: Uint8Array, start: number): boolean {
  return ((cell[start] as number) & CELL_SEPARATE) !== 0;
}

/** Length of the value that the separate cell ending at `end` refers to. */
export function separateLength(cell: Uint8Array, end: number): number {
  return readU32(cell, end - VALUE_REFERENCE_BYTES + REFERENCE_LENGTH_AT);
}

/** Numbers of the log are below this; what a transaction has changed itself reads as this or above. */
const OWN_VERSION = 2 ** 48;

/** The version of an entry as it is handed out: 0 for the transaction's own changes. */
export function toVersion(version: number): number {
  return version < OWN_VERSION ? version : 0;
}

/** Encodings under way, one within the other: more than one only where code of the caller encodes too. */
let depth = 0;
const outermostKeyWriter = new KeyWriter();
/** Has the key encoded last. */
let keyWriter = outermostKeyWriter;

/** Ride-on fields of a change that names none. */
export const NO_FIELDS: readonly unknown[] = [];

export class StoreCodec {
  readonly keySpec: KeySpec;
  readonly shapes: ShapeStore;
  readonly hasRideOn: boolean;
  /** Bytes behind the user's key: the item's id in stores of equal keys (log/placeholder.ts), else none. */
  readonly suffixBytes: number;
  readonly #rideOn: readonly string[];
  readonly #raw: boolean;
  readonly #flags: number;
  readonly #counter: true | 'bigint' | undefined;
  readonly #counters: readonly string[];
  /** An increment of this store, encoded into again and again; empty where there are no counters. */
  readonly #increment: Uint8Array;

  #copier: ((value: unknown) => unknown) | undefined;

  constructor(definition: StoreDefinition<unknown, unknown, string, unknown>, shapes: ShapeStore) {
    this.keySpec = definition.keySpec;
    this.shapes = shapes;
    this.hasRideOn = definition.keySpec.hasRideOn;
    this.suffixBytes = definition.unique ? 0 : ITEM_ID_BYTES;
    this.#rideOn = definition.keySpec.definition.rideOn;
    this.#raw = definition.raw;
    this.#counter = definition.counter;
    this.#counters = definition.keySpec.definition.counters ?? [];
    const slots = this.#counter === undefined ? this.#counters.length : 1;
    this.#increment = new Uint8Array(slots === 0 ? 0 : INCREMENT_HEAD_BYTES + slots * COUNTER_BYTES);
    this.#flags = (this.hasRideOn ? CELL_RIDE_ON : 0) | (definition.values === 'separate' ? CELL_WANTS_SEPARATE : 0);
  }

  /** Copies a value of this store that `isFlat`. */
  copyFlat(value: unknown): unknown {
    this.#copier ??= makeCopier();
    return this.#copier(value);
  }

  /** The encoded key is `keyBytes[0, keyLength)`. */
  encodeKey(key: unknown): void {
    const { shapes } = this;
    const { writer } = shapes;
    const own = depth === 0 ? outermostKeyWriter : new KeyWriter();
    depth++;
    try {
      own.reset();
      this.keySpec.encodeKey(key, own);
    } finally {
      depth--;
    }
    keyWriter = own;
    shapes.writer = writer;
  }

  /** Makes room for the item's id behind the key encoded last; answers where it goes. */
  appendItemId(): number {
    const at = keyWriter.length;
    if (keyWriter.bytes.length - at < ITEM_ID_BYTES) {
      const larger = new Uint8Array((at + ITEM_ID_BYTES) * 2);
      larger.set(keyWriter.bytes);
      keyWriter.bytes = larger;
    }
    keyWriter.length = at + ITEM_ID_BYTES;
    return at;
  }

  get keyBytes(): Uint8Array {
    return keyWriter.bytes;
  }

  get keyLength(): number {
    return keyWriter.length;
  }

  copyKey(): Uint8Array {
    return keyWriter.toBytes();
  }

  /** The encoded cell is `cellBytes[0, cellLength)`. */
  encodeCell(key: unknown, value: unknown): void {
    const { shapes } = this;
    const keys = keyWriter;
    const writer = shapes.writerAt(depth);
    depth++;
    try {
      this.#writeCell(key, value, writer);
    } finally {
      depth--;
    }
    keyWriter = keys;
    shapes.writer = writer;
  }

  #writeCell(key: unknown, value: unknown, writer: ValueWriter): void {
    let rideEnd = 0;
    if (this.hasRideOn) {
      writer.length = RIDE_ON_AT;
      this.keySpec.encodeRideOn(key, writer);
      rideEnd = writer.length;
    } else {
      writer.length = 1;
    }
    if (this.#counter !== undefined) writer.appendBytes(counterBytes(value, this.#counter));
    else if (this.#raw) encodeRawBytes(value, writer);
    else encodeValue(value, writer, this.shapes.registry);
    writer.bytes[0] = this.#flags;
    if (this.hasRideOn) writeU16(writer.bytes, 1, rideEnd - RIDE_ON_AT);
    if (writer.length > writer.maxLength) throw tooLong(writer.length, writer.maxLength);
  }

  /**
   * The increment by an amount (1 where it is not given) or, in a store whose counters are ride-on fields, by amounts under
   * their names. Valid until the next one that is not made within an encoding.
   */
  encodeIncrement(by: unknown): Uint8Array {
    const increment = depth === 0 ? this.#increment : new Uint8Array(this.#increment.length);
    depth++;
    try {
      return this.#writeIncrement(by, increment);
    } finally {
      depth--;
    }
  }

  #writeIncrement(by: unknown, increment: Uint8Array): Uint8Array {
    if (this.#counter !== undefined) {
      increment[0] = INCREMENT_CREATES;
      writeCounter(increment, INCREMENT_HEAD_BYTES, mustBeAmount(by === undefined ? 1 : by, 'amount'));
      return increment;
    }
    const counters = this.#counters;
    if (counters.length === 0) throw new InvalidArgumentError('increment: the store has no counters');
    const amounts = mustBeAmounts(by, counters);
    for (const [i, name] of counters.entries()) {
      const amount = amounts[name];
      const at = INCREMENT_HEAD_BYTES + i * COUNTER_BYTES;
      writeCounter(increment, at, amount === undefined ? 0 : mustBeAmount(amount, `amount of '${name}'`));
    }
    return increment;
  }

  get cellBytes(): Uint8Array {
    return this.shapes.writer.bytes;
  }

  get cellLength(): number {
    return this.shapes.writer.length;
  }

  copyCell(): Uint8Array {
    return this.shapes.writer.toBytes();
  }

  /** `cell` with a reference in place of its value. */
  withReference(cell: Uint8Array, reference: Uint8Array): Uint8Array {
    const valueStart = cellValueStart(cell, 0);
    const short = new Uint8Array(valueStart + reference.length);
    short.set(cell.subarray(0, valueStart));
    short.set(reference, valueStart);
    short[0] = ((cell[0] as number) & ~CELL_WANTS_SEPARATE) | CELL_SEPARATE;
    return short;
  }

  /**
   * The ride-on fields that a key names, in the order of the definition and undefined where it does not. Asked for by their
   * names: a key may have them from its class. May run code of the caller, so it comes before encoding and looking up.
   */
  rideOnOf(key: unknown): readonly unknown[] {
    if (!this.hasRideOn || !isKeyObject(key)) return NO_FIELDS;
    return this.#rideOn.map((name) => key[name]);
  }

  /**
   * The cell `old[start, end)` with the ride-on fields that `fields` has (`rideOnOf`) replaced, and with the value of `cell`
   * where one is given, else its own.
   */
  withRideOn(
    old: Uint8Array,
    start: number,
    end: number,
    fields: readonly unknown[],
    cell: Uint8Array | undefined,
  ): Uint8Array {
    const merged: Record<string, unknown> = Object.create(null);
    const before = this.#readRideOn(old, start, end);
    for (const [i, name] of this.#rideOn.entries()) merged[name] = fields[i] === undefined ? before[i] : fields[i];
    // The getters of an object may have something loaded over the old cell.
    const value = cell ?? (fields.some(isObject) ? copyBytes(old, start, end) : old.subarray(start, end));
    const writer = this.shapes.writerAt(depth);
    writer.length = 0;
    depth++;
    try {
      this.keySpec.encodeRideOn(merged, writer);
    } finally {
      depth--;
    }
    const valueStart = cellValueStart(value, 0);
    const rideOn = writer.bytes.subarray(0, writer.length);
    const next = new Uint8Array(RIDE_ON_AT + rideOn.length + value.length - valueStart);
    next[0] = value[0] as number;
    writeU16(next, 1, rideOn.length);
    next.set(rideOn, RIDE_ON_AT);
    next.set(value.subarray(valueStart), RIDE_ON_AT + rideOn.length);
    return next;
  }

  /** The key of the entry at the cursor, with its ride-on fields; the caller's own. */
  readKey(at: EntryCursor): unknown {
    if (!this.hasRideOn) return this.keySpec.decodeKey(at.keyBytes, at.keyStart, at.keyEnd - this.suffixBytes);
    return this.readRidingKey(at.keyBytes, at.keyStart, at.keyEnd, at.cellBytes, at.cellStart, at.cellEnd);
  }

  readRidingKey(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    cell: Uint8Array,
    cellStart: number,
    cellEnd: number,
  ): unknown {
    const end = keyEnd - this.suffixBytes;
    if (!this.hasRideOn) return this.keySpec.decodeKey(key, keyStart, end);
    const rideEnd = this.#rideOnEnd(cell, cellStart, cellEnd);
    return this.keySpec.decodeKey(key, keyStart, end, cell, cellStart + RIDE_ON_AT, rideEnd);
  }

  /** The value within a cell that is not separate; the caller's own. */
  readValue(cell: Uint8Array, start: number, end: number): unknown {
    const valueStart = cellValueStart(cell, start);
    if (valueStart > end) throw new CorruptionError('a cell ends before its value');
    if (this.#counter !== undefined) return readCounterValue(cell, valueStart, end, this.#counter);
    return this.#raw ? decodeRawBytes(cell, valueStart, end) : decodeValue(cell, valueStart, end, this.shapes.registry);
  }

  /** The keys of the first `count` entries of a block. */
  readKeys(block: EntryBlock, count: number): unknown[] {
    const keys = youngArray<unknown>();
    const { suffixBytes } = this;
    if (!this.hasRideOn && suffixBytes > 0) {
      for (let i = 0; i < count; i++) {
        const end = (block.keyEnds[i] as number) - suffixBytes;
        keys.push(this.keySpec.decodeKey(block.keys, block.keyStart(i), end));
      }
      return keys;
    }
    if (!this.hasRideOn) {
      this.keySpec.decodeKeys(block.keys, block.keyEnds, count, block.hasPlainKeys, keys);
      return keys;
    }
    for (let i = 0; i < count; i++) {
      const cell = block.sources[block.sourceOf[i] as number] as Uint8Array;
      const cellEnd = block.cellEnds[i] as number;
      const keyEnd = block.keyEnds[i] as number;
      const key = this.readRidingKey(
        block.keys,
        block.keyStart(i),
        keyEnd,
        cell,
        block.cellStarts[i] as number,
        cellEnd,
      );
      keys.push(key);
    }
    return keys;
  }

  /** As `readValue`, for one of many cells: `text` holds the bytes from `textFrom` on as characters. */
  readValueWithin(cell: Uint8Array, start: number, end: number, text: string, textFrom: number): unknown {
    const valueStart = cellValueStart(cell, start);
    if (valueStart > end) throw new CorruptionError('a cell ends before its value');
    if (this.#counter !== undefined) return readCounterValue(cell, valueStart, end, this.#counter);
    if (this.#raw) return decodeRawBytes(cell, valueStart, end);
    return decodeValueWithin(cell, valueStart, end, this.shapes.registry, text, textFrom);
  }

  /** A separate value once it was read; `bytes` are the caller's own. */
  decodeValue(bytes: Uint8Array): unknown {
    return this.#raw ? bytes : decodeValue(bytes, 0, bytes.length, this.shapes.registry);
  }

  #readRideOn(cell: Uint8Array, start: number, end: number): readonly unknown[] {
    const rideEnd = this.#rideOnEnd(cell, start, end);
    return this.keySpec.decodeRideOn(cell, start + RIDE_ON_AT, rideEnd);
  }

  #rideOnEnd(cell: Uint8Array, start: number, end: number): number {
    const rideEnd = start + RIDE_ON_AT <= end ? start + RIDE_ON_AT + readU16(cell, start + 1) : end + 1;
    if (rideEnd > end || ((cell[start] as number) & CELL_RIDE_ON) === 0) {
      throw new CorruptionError('a cell ends before its ride-on part');
    }
    return rideEnd;
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

const counterSlot = new Uint8Array(COUNTER_BYTES);

/** A counter's value as bytes, until the next call. */
function counterBytes(value: unknown, form: true | 'bigint'): Uint8Array {
  const fits = form === true ? Number.isSafeInteger(value) : typeof value === 'bigint' && fitsCounter(value);
  if (!fits) {
    const found = describeValue(value);
    const wanted = form === true ? 'a safe integer' : 'a bigint of 64 bits';
    throw new InvalidValueError(`value: this store keeps counters and needs ${wanted}, found ${found}`, {
      details: { path: 'value', found },
    });
  }
  writeCounter(counterSlot, 0, value as number | bigint);
  return counterSlot;
}

function readCounterValue(cell: Uint8Array, start: number, end: number, form: true | 'bigint'): number | bigint {
  if (end - start !== COUNTER_BYTES) throw new CorruptionError('the value of a counter is not 8 bytes long');
  return form === true ? readCounter(cell, start) : readBigCounter(cell, start);
}

function mustBeAmount(amount: unknown, what: string): number | bigint {
  if (typeof amount === 'bigint' ? fitsCounter(amount) : Number.isSafeInteger(amount)) return amount as number | bigint;
  throw new InvalidArgumentError(
    `increment: the ${what} is a safe integer or a bigint of 64 bits, not ${typeof amount === 'number' ? amount : describeValue(amount)}`,
  );
}

function mustBeAmounts(by: unknown, counters: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof by !== 'object' || by === null || Array.isArray(by)) {
    throw new InvalidArgumentError(`increment: amounts under the names of counters are needed: ${counters.join(', ')}`);
  }
  for (const name of Object.keys(by)) {
    if (!counters.includes(name)) {
      throw new InvalidArgumentError(`increment: there is no counter '${name}'; there are: ${counters.join(', ')}`);
    }
  }
  return by as Record<string, unknown>;
}
