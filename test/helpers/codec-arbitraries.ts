/** Random keys and values for fast-check, rich in extremes, and the plain model of the order of keys. */

import fc from 'fast-check';
import type { KeyValue } from '../../src/codec/tuple.ts';
import { Uuid } from '../../src/codec/uuid.ts';

/** SOP_SEED replays a run, SOP_RUNS scales it; the seed stands in fast-check's report of a failure. */
export function runs(count: number): fc.Parameters<unknown> {
  const scale = Number(process.env.SOP_RUNS ?? '1');
  const seed = process.env.SOP_SEED === undefined ? Date.now() % 1_000_000_007 : Number(process.env.SOP_SEED);
  return { numRuns: Math.ceil(count * scale), seed };
}

const doubleBits = fc.tuple(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff)).map(([high, low]) => {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, high);
  view.setUint32(4, low);
  return view.getFloat64(0);
});

export const anyNumber: fc.Arbitrary<number> = fc.oneof(
  fc.double(),
  doubleBits,
  fc.integer(),
  fc.integer({ min: -300, max: 300 }),
  fc.integer({ min: -100_000, max: 100_000 }).map((cents) => cents / 100),
  fc.constantFrom(
    0,
    -0,
    NaN,
    Infinity,
    -Infinity,
    Number.MAX_VALUE,
    Number.MIN_VALUE,
    -Number.MIN_VALUE,
    2 ** 31,
    -(2 ** 31),
    2 ** 32,
    2 ** 48,
    2 ** 48 - 1,
    -(2 ** 48),
    -(2 ** 48) - 1,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
    0.5,
    42949672.95,
    42949672.96,
    1e21,
    63,
    64,
    255,
    256,
    65535,
    65536,
    2 ** 24,
  ),
);

const unit = fc.oneof(
  fc.nat(0x7f),
  fc.nat(3),
  fc.constantFrom(0x7f, 0x80, 0xff, 0x100, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xffff),
  fc.nat(0xffff),
);

/** Strings of any code units, lone surrogates and zero characters included. */
export const anyString: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.array(unit, { maxLength: 12 }).map((units) => String.fromCharCode(...units)),
  fc.string({ minLength: 40, maxLength: 300 }),
  fc.constantFrom(
    '',
    '\0',
    '\x01',
    'a\0',
    'a\x01',
    'a\x02',
    '__proto__',
    'constructor',
    '\ud83d\ude00',
    '\ud83d',
    '\ude00',
  ),
);

export const anyBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 20 }),
  fc.array(fc.constantFrom(0, 1, 2, 254, 255), { maxLength: 8 }).map((list) => Uint8Array.from(list)),
);

export const anyBigint: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
  fc.bigInt({ min: -(2n ** 900n), max: 2n ** 900n }),
  fc.bigInt({ min: -3n, max: 3n }),
  fc.constantFrom(0n, 255n, 256n, -255n, -256n, 2n ** 800n - 1n, 2n ** 800n, -(2n ** 800n), -(2n ** 800n) - 1n),
);

export const anyUuid: fc.Arbitrary<Uuid> = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Uuid.fromBytes(bytes));

export const validDate: fc.Arbitrary<Date> = fc.oneof(
  fc.date({ noInvalidDate: true }),
  fc.constantFrom(0, -1, 1, 8.64e15, -8.64e15).map((time) => new Date(time)),
);

export const keyPrimitive: fc.Arbitrary<KeyValue> = fc.oneof(
  fc.constantFrom(null, false, true),
  anyNumber,
  anyBigint,
  validDate,
  anyString,
  anyBytes,
  anyUuid,
);

export const anyKey: fc.Arbitrary<KeyValue> = fc.letrec<{ key: KeyValue }>((tie) => ({
  key: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    { arbitrary: keyPrimitive, weight: 5 },
    { arbitrary: fc.array(tie('key'), { maxLength: 4 }), weight: 2 },
  ),
})).key;

const TYPES = ['null', 'false', 'true', 'number', 'bigint', 'date', 'string', 'bytes', 'uuid', 'tuple'];

function typeRank(key: KeyValue): number {
  if (key === null || typeof key === 'boolean') return TYPES.indexOf(String(key));
  if (typeof key !== 'object') return TYPES.indexOf(typeof key);
  if (Array.isArray(key)) return TYPES.indexOf('tuple');
  if (key instanceof Date) return TYPES.indexOf('date');
  return TYPES.indexOf(key instanceof Uuid ? 'uuid' : 'bytes');
}

function compareNumbers(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  if (a === 0 && b === 0) return Number(Object.is(b, -0)) - Number(Object.is(a, -0));
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareLists<T>(a: ArrayLike<T>, b: ArrayLike<T>, compare: (x: T, y: T) => number): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const order = compare(a[i] as T, b[i] as T);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** The order of keys as it is documented, written down without a byte. */
export function compareKeyValues(a: KeyValue, b: KeyValue): number {
  const rank = typeRank(a);
  if (rank !== typeRank(b)) return rank - typeRank(b);
  if (typeof a === 'number') return compareNumbers(a, b as number);
  if (typeof a === 'bigint') return a < (b as bigint) ? -1 : a > (b as bigint) ? 1 : 0;
  if (typeof a === 'string') {
    const points = (text: string) => [...text].map((character) => character.codePointAt(0) as number);
    return compareLists(points(a), points(b as string), (x, y) => x - y);
  }
  if (a instanceof Date) return a.getTime() - (b as Date).getTime();
  if (a instanceof Uint8Array) return compareLists(a, b as Uint8Array, (x, y) => x - y);
  if (a instanceof Uuid) return compareLists(a.toBytes(), (b as Uuid).toBytes(), (x, y) => x - y);
  if (Array.isArray(a)) return compareLists<KeyValue>(a, b as KeyValue[], compareKeyValues);
  return 0;
}

const viewClasses = [
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
];

const anyView = fc
  .tuple(fc.constantFrom(...viewClasses), fc.nat(5), fc.uint8Array({ minLength: 40, maxLength: 40 }))
  .map(([View, count, bytes]) => new (View as DataViewConstructor)(bytes.slice(0, count * 8).buffer));

const anyError = fc
  .tuple(fc.constantFrom(Error, TypeError, RangeError, SyntaxError), anyString)
  .map(([Type, message]) => new Type(message));

const valuePrimitive: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(null, undefined, false, true),
  anyNumber,
  anyBigint,
  anyString,
);

const valueLeaf: fc.Arbitrary<unknown> = fc.oneof(
  { arbitrary: valuePrimitive, weight: 10 },
  fc.oneof(
    validDate,
    fc.constant(null).map(() => new Date(NaN)),
  ),
  anyBytes,
  anyView,
  anyUuid,
  anyError,
  fc.constantFrom('a+', '[b-d]', '(?<x>y)', '/').map((source) => new RegExp(source, 'gi')),
  fc.uint8Array({ maxLength: 9 }).map((bytes) => bytes.slice().buffer),
  fc.oneof(fc.boolean(), anyNumber, anyString, anyBigint).map((value) => Object(value) as object),
);

const fieldName = fc.oneof(
  fc.constantFrom(
    'id',
    'name',
    'email',
    'a',
    'b',
    'c',
    '__proto__',
    'constructor',
    'toString',
    '0',
    '12',
    '-1',
    '$date',
  ),
  anyString,
);

function objectOf(entries: [string, unknown][]): object {
  const object = {};
  for (const [name, value] of entries) {
    Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
  }
  return object;
}

export function withHoles(elements: unknown[], holes: number[]): unknown[] {
  for (const hole of holes) if (hole < elements.length) delete elements[hole];
  return elements;
}

/** Values of every kind, nested; no cycles and nothing shared. */
export const anyValue: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    { arbitrary: valueLeaf, weight: 6 },
    { arbitrary: fc.array(fc.tuple(fieldName, tie('value')), { maxLength: 6 }).map(objectOf), weight: 4 },
    { arbitrary: fc.array(tie('value'), { maxLength: 20 }), weight: 2 },
    {
      arbitrary: fc
        .tuple(fc.array(tie('value'), { maxLength: 6 }), fc.array(fc.nat(5), { maxLength: 3 }))
        .map(([elements, holes]) => withHoles(elements, holes)),
      weight: 1,
    },
    {
      arbitrary: fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 4 }).map((pairs) => new Map(pairs)),
      weight: 1,
    },
    { arbitrary: fc.array(tie('value'), { maxLength: 4 }).map((elements) => new Set(elements)), weight: 1 },
  ),
})).value;
