/** Key specifications: keys with fields, their directions, ride-on fields, and ranges. */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { compareKeys } from '../../../src/base/bytes.ts';
import {
  CorruptionError,
  InvalidArgumentError,
  InvalidKeyError,
  InvalidValueError,
  LimitExceededError,
} from '../../../src/base/errors.ts';
import { forbidCodeGeneration } from '../../../src/codec/code-generation.ts';
import { type KeyBounds, type KeyRange, keyBounds } from '../../../src/codec/key-bounds.ts';
import { compileKeySpec, type KeyOption, type KeySpec, keySpecDefinition } from '../../../src/codec/key-spec.ts';
import { type KeyValue, KeyWriter } from '../../../src/codec/tuple.ts';
import { ValueWriter } from '../../../src/codec/value-writer.ts';
import { anyKey, anyValue, compareKeyValues, runs } from '../../helpers/codec-arbitraries.ts';

const keyWriter = new KeyWriter();
const valueWriter = new ValueWriter();

function specOf(key: KeyOption, rideOn: string[] = []): KeySpec {
  return compileKeySpec(keySpecDefinition(key, rideOn));
}

function encode(spec: KeySpec, key: unknown): Uint8Array {
  keyWriter.reset();
  spec.encodeKey(key, keyWriter);
  return keyWriter.toBytes();
}

function encodeRideOn(spec: KeySpec, key: unknown): Uint8Array {
  valueWriter.reset();
  spec.encodeRideOn(key, valueWriter);
  return valueWriter.toBytes();
}

function there(spec: KeySpec, key: unknown): unknown {
  const bytes = encode(spec, key);
  const rideOn = encodeRideOn(spec, key);
  return spec.decodeKey(bytes, 0, bytes.length, rideOn, 0, rideOn.length);
}

afterEach(() => forbidCodeGeneration(false));

const orders: KeyOption = ['region', { field: 'day', order: 'desc' }, 'id'];

describe.each([
  ['generated code', false],
  ['code generation forbidden', true],
])('a composite key with %s', (_, forbidden) => {
  const compile = (key: KeyOption, rideOn: string[] = []) => {
    forbidCodeGeneration(forbidden);
    return specOf(key, rideOn);
  };

  it('comes back with its fields in the order of the specification', () => {
    const spec = compile(orders, ['status', 'note']);
    const key = { note: { a: [1] }, id: 7, day: new Date(5), region: 'EU', status: 'open' };
    const back = there(spec, key) as object;
    expect(back).toStrictEqual({ region: 'EU', day: new Date(5), id: 7, status: 'open', note: { a: [1] } });
    expect(Object.keys(back)).toEqual(['region', 'day', 'id', 'status', 'note']);
  });

  it('keeps ride-on values of any kind, and missing ones as undefined', () => {
    const spec = compile(['id'], ['extra', 'more']);
    fc.assert(
      fc.property(anyValue, (extra) => {
        const key = { id: 1, extra };
        try {
          expect(there(spec, key)).toEqual({ id: 1, extra, more: undefined });
        } catch (error) {
          if (!(error instanceof LimitExceededError)) throw error;
        }
      }),
      runs(300),
    );
    const bytes = encode(spec, { id: 1 });
    expect(spec.decodeKey(bytes, 0, bytes.length)).toStrictEqual({ id: 1, extra: undefined, more: undefined });
  });

  it('survives field names made to break source text', () => {
    const evil = ['__proto__', 'constructor', '"];process.exit(1)//', '\u2028', "'`$\u007b1}\\", 'a b', '0'];
    const key = JSON.parse(`{${evil.map((name, i) => `${JSON.stringify(name)}:${i}`).join(',')},"ride":9}`) as object;
    const back = there(compile(evil, ['ride']), key) as Record<string, unknown>;
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
    expect(Object.getOwnPropertyNames(back).sort()).toEqual([...evil, 'ride'].sort());
    evil.forEach((name, i) => {
      expect(Object.getOwnPropertyDescriptor(back, name)?.value).toBe(i);
    });
  });

  it('names the field that is missing, unknown or no key value', () => {
    const spec = compile(orders, ['status']);
    const good = { region: 'EU', day: new Date(5), id: 7 };
    expect(() => encode(spec, { region: 'EU', id: 7 })).toThrow(/key field 'day' is missing/);
    expect(() => encode(spec, { ...good, dya: 1 })).toThrow(/key field 'dya' is unknown.*region, day, id, status/);
    expect(() => encode(spec, { ...good, id: [1, () => 1] })).toThrow(/key field 'id'\[1\]: a function/);
    expect(() => encode(spec, { ...good, id: undefined })).toThrow(/key field 'id' is missing/);
    for (const wrong of [undefined, null, 'x', 5, ['EU', 1, 2], new Date(0)]) {
      expect(() => encode(spec, wrong)).toThrow(InvalidKeyError);
      expect(() => encode(spec, wrong)).toThrow(/an object with the fields region, day, id/);
    }
    expect(() => encodeRideOn(spec, { ...good, status: () => 1 })).toThrow(InvalidValueError);
    expect(() => encodeRideOn(spec, { ...good, status: { x: [() => 1] } })).toThrow(/ride-on field 'status'\.x\[0\]/);
    expect(() => encodeRideOn(spec, { ...good, status: 'x'.repeat(2000) })).toThrow(LimitExceededError);
    expect(valueWriter.length).toBe(0);
  });

  it('sorts field by field, each in its direction', () => {
    const field = (descending: boolean) => ({ field: `f${descending}`, order: descending ? 'desc' : 'asc' }) as const;
    for (const [first, second] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const) {
      const spec = compile([field(first), { ...field(second), field: 'second' }]);
      const keyOf = (a: KeyValue, b: KeyValue) => ({ [`f${first}`]: a, second: b });
      const small = fc.oneof(anyKey, fc.constantFrom('a', 'a\0', 'a\x01', '', 'b', 0, 1));
      fc.assert(
        fc.property(small, small, small, small, (a, b, c, d) => {
          const order = compareKeyValues(a, c) * (first ? -1 : 1) || compareKeyValues(b, d) * (second ? -1 : 1);
          const bytes = encode(spec, keyOf(a, b));
          expect(Math.sign(compareKeys(bytes, encode(spec, keyOf(c, d))))).toBe(Math.sign(order + 0));
          expect(spec.decodeKey(bytes, 0, bytes.length)).toStrictEqual(keyOf(a, b));
        }),
        runs(500),
      );
    }
  });

  it('refuses bytes that are no such key', () => {
    const spec = compile(['a', 'b'], ['r']);
    const bytes = encode(spec, { a: 1, b: 2 });
    expect(() => spec.decodeKey(bytes, 0, bytes.length - 1)).toThrow(CorruptionError);
    expect(() => spec.decodeKey(bytes, 0, 9)).toThrow(CorruptionError);
    const longer = Uint8Array.of(...bytes, 8);
    expect(() => spec.decodeKey(longer, 0, longer.length)).toThrow(CorruptionError);
    expect(() => spec.decodeKey(bytes, 0, bytes.length, bytes, 0, bytes.length)).toThrow(CorruptionError);
  });
});

describe('a specification', () => {
  it('is refused where it makes no key', () => {
    expect(() => specOf([])).toThrow(InvalidArgumentError);
    expect(() => specOf(['a', 'a'])).toThrow(/'a' is named twice/);
    expect(() => specOf(['a'], ['a'])).toThrow(/'a' is named twice/);
    expect(() => specOf([''])).toThrow(InvalidArgumentError);
    expect(() => specOf(undefined, ['a'])).toThrow(/ride-on/);
    expect(() => specOf([{ field: 'a', order: 'down' as 'desc' }])).toThrow(/'asc' or 'desc'/);
    expect(() => specOf(Array.from({ length: 65 }, (_, i) => `f${i}`))).toThrow(LimitExceededError);
  });
});

function contains({ lower, upper }: KeyBounds, bytes: Uint8Array): boolean {
  if (lower !== undefined && compareKeys(bytes, lower) < 0) return false;
  return upper === undefined || compareKeys(bytes, upper) < 0;
}

describe('a range of scalar keys', () => {
  it('holds what the order of the store says, in either direction', () => {
    for (const order of ['asc', 'desc'] as const) {
      const spec = specOf({ order });
      const sign = order === 'desc' ? -1 : 1;
      fc.assert(
        fc.property(anyKey, anyKey, (key, bound) => {
          const bytes = encode(spec, key);
          const position = compareKeyValues(key, bound) * sign;
          expect(contains(keyBounds(spec, { gt: bound }), bytes)).toBe(position > 0);
          expect(contains(keyBounds(spec, { gte: bound }), bytes)).toBe(position >= 0);
          expect(contains(keyBounds(spec, { lt: bound }), bytes)).toBe(position < 0);
          expect(contains(keyBounds(spec, { lte: bound }), bytes)).toBe(position <= 0);
        }),
        runs(1000),
      );
    }
  });

  it('holds what starts with a prefix', () => {
    for (const order of ['asc', 'desc'] as const) {
      const spec = specOf({ order });
      const has = (prefix: unknown, key: unknown) => contains(keyBounds(spec, { prefix }), encode(spec, key));
      for (const key of ['ab', 'abc', 'ab\0', 'ab\uffff', 'ab\u{10ffff}']) expect(has('ab', key)).toBe(true);
      for (const key of ['a', 'aa', 'ac', 'b', '', 5, ['ab']]) expect(has('ab', key)).toBe(false);
      expect(has('', '')).toBe(true);
      expect(has('', Uint8Array.of())).toBe(false);
      expect(has(Uint8Array.of(255), Uint8Array.of(255, 255))).toBe(true);
      expect(has(Uint8Array.of(0), Uint8Array.of(1))).toBe(false);
      expect(has(['a', 1], ['a', 1, null])).toBe(true);
      expect(has(['a', 1], ['a', 1])).toBe(true);
      expect(has(['a', 1], ['a', 2])).toBe(false);
      expect(has(['a'], ['a\0'])).toBe(false);
      expect(() => keyBounds(spec, { prefix: 5 })).toThrow(InvalidKeyError);
    }
  });

  it('is all keys where no option binds', () => {
    expect(keyBounds(specOf(undefined), {})).toEqual({ lower: undefined, upper: undefined });
  });
});

describe('a range of composite keys', () => {
  const keys = ['a', 'a\0', 'b'].flatMap((region) =>
    [1, 2].flatMap((day) => [1, 2].map((id) => ({ region, day: new Date(day), id }))),
  );
  const spec = specOf(orders, ['status']);
  const inOrder = [...keys].sort((x, y) => compareKeys(encode(spec, x), encode(spec, y)));
  const show = (key: { region: string; day: Date; id: number }) => `${key.region}/${key.day.getTime()}/${key.id}`;
  const select = (range: KeyRange) => {
    const bounds = keyBounds(spec, range);
    return inOrder.filter((key) => contains(bounds, encode(spec, key))).map(show);
  };

  it('takes leading fields as bounds: gte and lte include all keys that have them, gt and lt none', () => {
    const a = ['a/2/1', 'a/2/2', 'a/1/1', 'a/1/2'];
    expect(inOrder.slice(0, 4).map(show)).toEqual(a);
    expect(select({ gte: { region: 'a' }, lte: { region: 'a' } })).toEqual(a);
    expect(select({ prefix: { region: 'a' } })).toEqual(a);
    expect(select({ gt: { region: 'a' } })).toEqual(inOrder.slice(4).map(show));
    expect(select({ lt: { region: 'a' } })).toEqual([]);
    expect(select({ lt: { region: 'b' } })).toEqual(inOrder.slice(0, 8).map(show));
    expect(select({ prefix: {} })).toHaveLength(12);
  });

  it('goes in the order of the store where a field descends', () => {
    expect(select({ prefix: { region: 'a' }, gt: { region: 'a', day: new Date(2) } })).toEqual(['a/1/1', 'a/1/2']);
    expect(select({ gte: { region: 'a', day: new Date(2) }, lt: { region: 'a', day: new Date(1) } })).toEqual([
      'a/2/1',
      'a/2/2',
    ]);
    expect(
      select({ gt: { region: 'a', day: new Date(2), id: 1 }, lte: { region: 'a', day: new Date(1), id: 1 } }),
    ).toEqual(['a/2/2', 'a/1/1']);
  });

  it('takes the start of the last field of a prefix', () => {
    expect(select({ prefix: { region: { startsWith: 'a' } } })).toHaveLength(8);
    expect(select({ prefix: { region: { startsWith: '' } } })).toHaveLength(12);
    expect(() => select({ prefix: { region: { startsWith: 'a' }, day: new Date(1) } })).toThrow(/not its last field/);
  });

  it('passes over ride-on fields and refuses gaps, unknown names and bounds that bind nothing', () => {
    expect(select({ gte: { region: 'b', status: 'x' } })).toHaveLength(4);
    expect(() => select({ gte: { day: new Date(1) } })).toThrow(/has the field 'day' but not 'region'/);
    expect(() => select({ lt: { regoin: 'b' } })).toThrow(/unknown field 'regoin'/);
    expect(() => select({ gt: {} })).toThrow(/names no field/);
    expect(() => select({ gt: 'b' })).toThrow(InvalidKeyError);
    expect(() => select({ gte: { region: 'a', day: 'x', id: undefined, more: 1 } })).toThrow(InvalidKeyError);
  });
});
