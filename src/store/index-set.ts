/**
 * The indexes of one store, ready for use: which index keys an entry has. They are always made from the stored bytes of the
 * entry, never from what the caller handed in, so that what an update removes is what the insert added.
 */
import { CorruptionError, InvalidKeyError, LimitExceededError, SopError } from '../base/errors.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { ignore, isThenable, watchAnswer } from '../base/thenable.ts';
import { encodeKeyCell, keyOfCell } from '../codec/cell.ts';
import { IndexKeySpec } from '../codec/index-key.ts';
import { isKeyObject, type KeyField } from '../codec/key-spec.ts';
import { isSameIndex, type StoredIndex, type StoredShape } from '../codec/store-definition.ts';
import { describeValue } from '../codec/text.ts';
import { giveBackKeyWriter, type KeyWriter, takeKeyWriter } from '../codec/tuple.ts';
import { type IndexDefinition, toStoredIndex } from './define-index.ts';
import { StoreDefinition } from './define-store.ts';
import { isSeparate, StoreCodec } from './store-codec.ts';

/** Bytes of a unique index's cell before the owner's key: flags, u16 length. */
const EMPTY_CELL = Uint8Array.of(0);
const NO_KEYS: readonly Uint8Array[] = [];

/** One entry of the owner as its bytes say; decoded when asked for. */
export class IndexedRow {
  readonly keyBytes: Uint8Array;
  readonly cell: Uint8Array;
  readonly #codec: StoreCodec;
  /** The value's bytes where they are not in the cell. */
  readonly #separate: Uint8Array | undefined;
  #key: unknown;
  #value: unknown;
  #hasValue = false;

  constructor(codec: StoreCodec, keyBytes: Uint8Array, cell: Uint8Array, separate: Uint8Array | undefined) {
    this.#codec = codec;
    this.keyBytes = keyBytes;
    this.cell = cell;
    this.#separate = separate;
  }

  get key(): unknown {
    this.#key ??= this.#codec.readRidingKey(this.keyBytes, 0, this.keyBytes.length, this.cell, 0, this.cell.length);
    return this.#key;
  }

  get value(): unknown {
    if (!this.#hasValue) {
      this.#value = this.#readValue();
      this.#hasValue = true;
    }
    return this.#value;
  }

  forget(): void {
    this.#key = undefined;
    this.#value = undefined;
    this.#hasValue = false;
  }

  #readValue(): unknown {
    if (!isSeparate(this.cell, 0)) return this.#codec.readValue(this.cell, 0, this.cell.length);
    if (this.#separate === undefined) throw new CorruptionError('a separate value was not read before its index keys');
    return this.#codec.decodeValue(this.#separate);
  }
}

type ReadField = (row: IndexedRow) => unknown;

/** One index of one store. */
export class StoreIndex {
  readonly stored: StoredIndex;
  readonly spec: IndexKeySpec;
  readonly codec: StoreCodec;
  /** Which parts of an entry its keys are made of. */
  readonly usesRideOn: boolean;
  readonly usesValue: boolean;
  /** It is made by a function that this program has not. */
  readonly lacksFunction: boolean;
  /** A snapshot at which it was ready; it then is at all later ones. */
  readySince: number | undefined;
  readonly #store: string;
  readonly #reads: readonly ReadField[];
  readonly #of: IndexDefinition['of'];

  constructor(store: string, shape: StoredShape, owner: StoreCodec, stored: StoredIndex, of: IndexDefinition['of']) {
    const { fields, unique } = stored;
    this.stored = stored;
    this.#store = store;
    this.#of = of;
    this.spec = new IndexKeySpec({ fields, descending: false, rideOn: [] }, unique, owner.keySpec);
    this.codec = new StoreCodec(new StoreDefinition(stored.name, this.spec, 'inline', true), owner.shapes);
    this.lacksFunction = fields === undefined && of === undefined;
    const inKey = new Set((shape.key.fields ?? []).map((field) => field.name));
    const { rideOn } = shape.key;
    this.#reads = (fields ?? []).map(({ name }) => readerOf(name, inKey.has(name) || rideOn.includes(name)));
    this.usesRideOn = rideOn.length > 0 && (fields?.some(({ name }) => rideOn.includes(name)) ?? true);
    this.usesValue = fields?.some(({ name }) => !inKey.has(name) && !rideOn.includes(name)) ?? true;
  }

  /** The encoded keys under which an entry stands in this index; none where it lacks a field. */
  keysOf(row: IndexedRow): readonly Uint8Array[] {
    if (this.stored.fields === undefined) return this.#functionKeys(row);
    const writer = takeKeyWriter();
    try {
      for (const [i, field] of this.stored.fields.entries()) {
        const value = (this.#reads[i] as ReadField)(row);
        if (value === undefined) return NO_KEYS;
        this.#write(writer, value, field, row);
      }
      return [this.#finish(writer, row)];
    } finally {
      giveBackKeyWriter(writer);
    }
  }

  #functionKeys(row: IndexedRow): readonly Uint8Array[] {
    const made = this.#made(row);
    if (made === undefined) return NO_KEYS;
    if (!this.stored.many || isThenable(made)) return [this.#oneKey(made, row)];
    if (!Array.isArray(made)) {
      throw new InvalidKeyError(`${this.#name} answers a list (many), found ${describeValue(made)}`, {
        details: this.#details(row),
      });
    }
    const keys = new Map<string, Uint8Array>();
    for (const one of made as unknown[]) {
      if (one === undefined) continue;
      const key = this.#oneKey(one, row);
      keys.set(Buffer.from(key).toString('latin1'), key);
    }
    return [...keys.values()];
  }

  #made(row: IndexedRow): unknown {
    try {
      return (this.#of as NonNullable<IndexDefinition['of']>)(row.key, row.value);
    } finally {
      // It may have sorted a list in place: what other indexes see is decoded anew.
      row.forget();
    }
  }

  #oneKey(value: unknown, row: IndexedRow): Uint8Array {
    if (isThenable(value)) {
      watchAnswer(value, ignore);
      throw new InvalidKeyError(`${this.#name}: its function answers a promise, which no change can wait for`, {
        details: this.#details(row),
      });
    }
    const writer = takeKeyWriter();
    try {
      this.#write(writer, value, undefined, row);
      return this.#finish(writer, row);
    } finally {
      giveBackKeyWriter(writer);
    }
  }

  #write(writer: KeyWriter, value: unknown, field: KeyField | undefined, row: IndexedRow): void {
    try {
      writer.field = field?.name ?? '';
      writer.writeValue(value, field?.descending ?? false);
    } catch (cause) {
      if (!(cause instanceof SopError)) throw cause;
      const words = `${this.#name} cannot sort this entry: ${cause.message}`;
      const details = { ...cause.details, ...this.#details(row) };
      if (cause instanceof LimitExceededError) throw new LimitExceededError(words, { cause, details });
      throw new InvalidKeyError(words, { cause, details });
    }
  }

  #finish(writer: KeyWriter, row: IndexedRow): Uint8Array {
    const head = writer.length;
    const tail = this.stored.unique ? 0 : row.keyBytes.length;
    if (head + tail > MAX_KEY_BYTES) {
      throw new LimitExceededError(
        `${this.#name}: its key of this entry takes ${head + tail} bytes, more than ${MAX_KEY_BYTES}`,
        { details: { ...this.#details(row), limit: 'MAX_KEY_BYTES', allowed: MAX_KEY_BYTES, found: head + tail } },
      );
    }
    const key = new Uint8Array(head + tail);
    key.set(writer.bytes.subarray(0, head));
    if (tail > 0) key.set(row.keyBytes, head);
    return key;
  }

  /** What the index holds under a key of the entry. */
  cellOf(row: IndexedRow): Uint8Array {
    if (!this.stored.unique) return EMPTY_CELL;
    return encodeKeyCell(row.keyBytes);
  }

  get #name(): string {
    return `store '${this.#store}', index '${this.stored.name}'`;
  }

  #details(row: IndexedRow): Record<string, unknown> {
    return { store: this.#store, index: this.stored.name, key: row.key };
  }
}

/** The owner's key in a cell of a unique index. */
export function ownerKeyIn(cell: Uint8Array, start: number, end: number): Uint8Array {
  const key = keyOfCell(cell, start, end);
  if (key === undefined) throw new CorruptionError('an entry of a unique index does not name a key');
  return key;
}

export class IndexSet {
  readonly all: readonly StoreIndex[];
  /** What brought the functions. */
  readonly definitions: readonly IndexDefinition[] | undefined;
  /** An index whose function this program has not; entries cannot change then. */
  readonly unmaintainable: string | undefined;
  readonly usesValue: boolean;

  constructor(
    shape: StoredShape & { readonly name: string },
    owner: StoreCodec,
    definitions: readonly IndexDefinition[] | undefined,
  ) {
    this.definitions = definitions;
    this.all = shape.indexes.map((stored) => {
      const same = definitions?.find((one) => isSameIndex(toStoredIndex(one, 0), stored));
      return new StoreIndex(shape.name, shape, owner, stored, same?.of);
    });
    this.unmaintainable = this.all.find((index) => index.lacksFunction)?.stored.name;
    this.usesValue = this.all.some((index) => index.usesValue);
  }

  find(name: string): StoreIndex | undefined {
    return this.all.find((index) => index.stored.name === name);
  }
}

function readerOf(name: string, inKey: boolean): ReadField {
  if (inKey) return (row) => (row.key as Record<string, unknown>)[name];
  if (!name.includes('.')) return (row) => fieldOf(row.value, name);
  const path = name.split('.');
  return (row) => {
    // A field whose very name has dots comes first.
    const whole = fieldOf(row.value, name);
    if (whole !== undefined) return whole;
    let value = row.value;
    for (const part of path) value = fieldOf(value, part);
    return value;
  };
}

function fieldOf(value: unknown, name: string): unknown {
  return isKeyObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}
