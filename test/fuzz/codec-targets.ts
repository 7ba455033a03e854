/** Decoders of values and keys, as targets of the fuzzer. */
import { compileKeySpec, keySpecDefinition } from '../../src/codec/key-spec.ts';
import { parseDefinition, ShapeRegistry, shapeId } from '../../src/codec/shapes.ts';
import { KeyReader } from '../../src/codec/tuple-reader.ts';
import { KeyWriter } from '../../src/codec/tuple.ts';
import { Uuid } from '../../src/codec/uuid.ts';
import { decodeValue, decodeValueList, encodeValue } from '../../src/codec/value.ts';
import { ValueWriter } from '../../src/codec/value-writer.ts';
import type { Target } from './fuzz.ts';

function encoded(value: unknown, registry?: ShapeRegistry): Uint8Array {
  const writer = new ValueWriter();
  encodeValue(value, writer, registry);
  return writer.toBytes();
}

const VALUES: readonly unknown[] = [
  1,
  'text ż',
  withHole(),
  { a: 1, b: { c: [true, null] } },
  new Map<unknown, unknown>([['a', new Set([1n, -5n])]]),
  new Date(5),
  /x+/gi,
  new Uint8Array(20),
  new Float64Array([1, 2]),
  new TypeError('no', { cause: 'why' }),
  Object(7),
  Uuid.parse('00112233-4455-6677-8899-aabbccddeeff'),
  'a long text '.repeat(40),
];

function cyclic(): unknown {
  const one: Record<string, unknown> = { name: 'x' };
  one.self = [one, one];
  return one;
}

const REGISTRY = new ShapeRegistry();

export function valueTargets(): Target[] {
  const plain = [...VALUES, cyclic()].map((value) => encoded(value));
  const shaped = [
    ...VALUES,
    [
      { a: 1, b: 2 },
      { a: 'x', b: [] },
    ],
    cyclic(),
  ].map((value) => encoded(value, REGISTRY));
  const list = new ValueWriter();
  list.encodeFields(['a', 'b', 'c'], { a: 1, b: 'two', c: null }, 'x');
  return [
    { name: 'value', seeds: plain, run: (bytes) => decodeValue(bytes, 0, bytes.length, undefined) },
    { name: 'shaped-value', seeds: shaped, run: (bytes) => decodeValue(bytes, 0, bytes.length, REGISTRY) },
    { name: 'value-list', seeds: [list.toBytes()], run: (bytes) => decodeValueList(bytes, 0, bytes.length, 3) },
    {
      name: 'shape',
      seeds: [Uint8Array.of(1, 1, 97), Uint8Array.of(2, 1, 97, 2, 98, 99)],
      run: (bytes) => parseDefinition(shapeId(bytes), bytes),
    },
  ];
}

export function keyTargets(): Target[] {
  const scalar = compileKeySpec(keySpecDefinition(undefined));
  const falling = compileKeySpec(keySpecDefinition({ order: 'desc' } as never));
  const fields = compileKeySpec(keySpecDefinition(['a', { field: 'b', order: 'desc' }, 'c']));
  const writer = new KeyWriter();
  const keyOf = (spec: typeof scalar, key: unknown): Uint8Array => {
    writer.reset();
    spec.encodeKey(key, writer);
    return writer.bytes.slice(0, writer.length);
  };
  const scalars: unknown[] = ['x', 1, -0.5, 10n ** 40n, -(2n ** 900n), null, true, new Date(1), new Uint8Array(3)];
  const reader = new KeyReader();
  return [
    {
      name: 'key',
      seeds: [...scalars, ['a', [1, ['deep']]]].map((key) => keyOf(scalar, key)),
      run: (bytes) => {
        scalar.decodeKey(bytes, 0, bytes.length);
        for (let at = 0; at < bytes.length; at = reader.position) reader.readValue(bytes, at, bytes.length, false);
      },
    },
    {
      name: 'key-descending',
      seeds: scalars.map((key) => keyOf(falling, key)),
      run: (bytes) => falling.decodeKey(bytes, 0, bytes.length),
    },
    {
      name: 'key-fields',
      seeds: [keyOf(fields, { a: 'x', b: 5, c: null }), keyOf(fields, { a: 1, b: 'y', c: [2n, 'z'] })],
      run: (bytes) => fields.decodeKey(bytes, 0, bytes.length),
    },
  ];
}

function withHole(): unknown[] {
  const list: unknown[] = [1];
  list[2] = 3;
  return list;
}
