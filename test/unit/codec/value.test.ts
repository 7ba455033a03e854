/** Values as bytes: what structuredClone keeps comes back, by generated code and without it; hostile bytes are refused. */
import { execFileSync } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { CorruptionError, InvalidValueError, LimitExceededError } from '../../../src/base/errors.ts';
import { MAX_VALUE_NESTING } from '../../../src/base/limits.ts';
import { forbidCodeGeneration } from '../../../src/codec/code-generation.ts';
import { Uuid } from '../../../src/codec/uuid.ts';
import { ShapeRegistry } from '../../../src/codec/shapes.ts';
import { decodeRawBytes, decodeValue, encodeRawBytes, encodeValue } from '../../../src/codec/value.ts';
import { ValueWriter } from '../../../src/codec/value-writer.ts';
import { anyString, anyValue, runs, withHoles } from '../../helpers/codec-arbitraries.ts';

const writer = new ValueWriter();

function encode(value: unknown, registry?: ShapeRegistry): Uint8Array {
  writer.reset();
  encodeValue(value, writer, registry);
  return writer.toBytes();
}

function decode(bytes: Uint8Array, registry?: ShapeRegistry): unknown {
  return decodeValue(bytes, 0, bytes.length, registry);
}

const there = (value: unknown, registry?: ShapeRegistry): unknown => decode(encode(value, registry), registry);
const hex = (value: unknown, registry?: ShapeRegistry): string => Buffer.from(encode(value, registry)).toString('hex');

function expectSame(actual: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toStrictEqual(expected);
}

afterEach(() => forbidCodeGeneration(false));

describe('a value', () => {
  it('comes back as it was, with shapes and without, and so does what it is encoded to', () => {
    const registry = new ShapeRegistry();
    fc.assert(
      fc.property(anyValue, (value) => {
        for (const shapes of [registry, undefined]) {
          const bytes = encode(value, shapes);
          const back = decode(bytes, shapes);
          expectSame(back, value);
          expect(encode(back, shapes)).toStrictEqual(bytes);
        }
      }),
      runs(2000),
    );
    expect(registry.size).toBeGreaterThan(10);
  });

  it('has the same bytes whether code is generated or not, at the first use and at the hundredth', () => {
    fc.assert(
      fc.property(fc.array(anyValue, { minLength: 1, maxLength: 3 }), (values) => {
        const [generated, plain] = [new ShapeRegistry(), new ShapeRegistry()];
        forbidCodeGeneration(false);
        const first = values.map((value) => hex(value, generated));
        for (let i = 0; i < 20; i++) for (const value of values) there(value, generated);
        expect(values.map((value) => hex(value, generated))).toEqual(first);
        forbidCodeGeneration(true);
        expect(values.map((value) => hex(value, plain))).toEqual(first);
        for (const value of values) {
          expectSame(decode(encode(value, generated), plain), value);
          expectSame(decode(encode(value, plain), generated), value);
        }
      }),
      runs(150),
    );
  });

  it('has the bytes that the format says', () => {
    expect(hex(5)).toBe('0500');
    expect(hex(300)).toBe('892c0100');
    expect(hex(-1)).toBe('8e0000');
    expect(hex(-0)).toBe('8500');
    expect(hex(NaN)).toBe('8400');
    expect(hex(19.99)).toBe('95cf0700');
    expect(hex(-0.5)).toBe('983200');
    expect(hex(0.1 + 0.2)).toBe('86343333333333d33f00');
    expect(hex(Infinity)).toBe('870000807f00');
    expect(hex(2 ** 40)).toBe('8d00000000000100');
    expect(hex(undefined)).toBe('8300');
    expect(hex('ab')).toBe('42616202');
    expect(hex('\u00e9')).toBe('41e901');
    expect(hex('\u20ac')).toBe(`41${'ac20'}02e8`);
    expect(hex('x\u20ac')).toBe(`42${'78e282ac'}04e4`);
    expect(hex('\ud800')).toBe(`41${'00d8'}02e8`);
    expect(hex(258n)).toBe('9f02020100');
    expect(hex(new Date(1))).toBe('a10100');
    expect(hex(Uint8Array.of(1, 2))).toBe('a302010200');
    expect(hex(withHoles([1, null, 'x'], [1]))).toBe('c301a901417801');
    expect(hex({})).toBe('ab0000');
    expect(hex({ a: 1, b: 'y' })).toBe('ab024101414161627903');
    const registry = new ShapeRegistry();
    expect(hex({ a: 1, b: 'y' }, registry)).toBe(`aa${idHex(registry)}01417901`);
    const shared = {};
    expect(hex([shared, shared])).toBe('afc2ab00ae0100');
    expect(hex(new Map([[1, 2]]))).toBe('a601010200');
    expect(hex(new Float32Array([1]))).toBe('a407040000803f00');
  });

  it('takes the id of a shape from its field names alone', () => {
    const [a, b] = [new ShapeRegistry(), new ShapeRegistry()];
    encode({ other: 1 }, b);
    expect(hex({ x: 1, y: 'z' }, a)).toBe(hex({ x: 1, y: 'z' }, b));
    expect(hex({ y: 'z', x: 1 }, a)).not.toBe(hex({ x: 1, y: 'z' }, a));
  });

  it('is the own object of each caller', () => {
    const registry = new ShapeRegistry();
    const bytes = encode({ list: [1], at: new Date(1), raw: Uint8Array.of(1) }, registry);
    const [first, second] = [decode(bytes, registry), decode(bytes, registry)] as { list: number[]; raw: Uint8Array }[];
    first?.list.push(2);
    first?.raw.fill(9);
    expectSame(second, { list: [1], at: new Date(1), raw: Uint8Array.of(1) });
    bytes.fill(0);
    expectSame(second?.raw, Uint8Array.of(1));
  });

  it('keeps cycles and shared objects', () => {
    const registry = new ShapeRegistry();
    const date = new Date(3);
    const error = new Error('around');
    const root: Record<string, unknown> = { date, again: date, list: [] };
    error.cause = root;
    root.self = root;
    root.map = new Map<unknown, unknown>([[root, root.list]]);
    root.set = new Set([root.map, error]);
    (root.list as unknown[]).push(root, root.list, error);
    for (const shapes of [registry, undefined]) {
      for (let i = 0; i < 20; i++) {
        const back = there(root, shapes) as typeof root;
        expect(back.self).toBe(back);
        expect(back.again).toBe(back.date);
        const [first, second, third] = back.list as unknown[];
        expect([first, second]).toEqual([back, back.list]);
        expect((third as Error).cause).toBe(back);
        expect((back.map as Map<unknown, unknown>).get(back)).toBe(back.list);
        expect([...(back.set as Set<unknown>)]).toEqual([back.map, third]);
      }
    }
    const many = Array.from({ length: 100 }, (_, i) => ({ i }));
    const twice = there([...many, ...many], registry) as unknown[];
    expect(twice[0]).toBe(twice[100]);
    expect(twice[99]).toBe(twice[199]);
    expect(twice[0]).not.toBe(twice[1]);
  });

  it('keeps errors of the built-in classes, others as errors of their name', () => {
    class OddError extends Error {
      override name = 'OddError';
    }
    const cause = { code: 7 };
    for (const error of [new TypeError('x', { cause }), new OddError('y'), new AggregateError([new Error('z')], 'w')]) {
      const back = there(error) as Error;
      expect(back).toBeInstanceOf(error instanceof OddError ? Error : error.constructor);
      expect([back.name, back.message, back.stack]).toEqual([error.name, error.message, error.stack]);
      expect(back.cause).toEqual(error.cause);
      expect(Object.keys(back)).toEqual([]);
    }
    expect((there(new AggregateError([new Error('z')])) as AggregateError).errors[0]).toBeInstanceOf(Error);
  });

  it('keeps holes, also billions of them, and invalid dates', () => {
    const sparse: unknown[] = [];
    sparse[4_000_000_000] = 'end';
    const back = there(sparse) as unknown[];
    expect(back).toHaveLength(4_000_000_001);
    expect([Object.keys(back), back[4_000_000_000]]).toEqual([['4000000000'], 'end']);
    const holes = there(withHoles([0, 1, 0, 0, 2, 0], [0, 2, 3, 5])) as unknown[];
    expect([holes.length, Object.keys(holes)]).toEqual([6, ['1', '4']]);
    expect((there(new Date(NaN)) as Date).getTime()).toBeNaN();
  });

  it('keeps a field named __proto__ a field', () => {
    const registry = new ShapeRegistry();
    const value = JSON.parse('{"__proto__":{"polluted":1},"a":2}') as object;
    for (let i = 0; i < 20; i++) {
      for (const shapes of [registry, undefined]) {
        const back = there(value, shapes) as { polluted?: number };
        expect(Object.keys(back)).toEqual(['__proto__', 'a']);
        expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
        expect(back.polluted).toBeUndefined();
      }
    }
  });

  it('loses its class where that brings only fields', () => {
    class Point {
      x = 1;
      y = 2;
    }
    class Named extends Point {
      name = 'n';
    }
    expectSame(there(new Named()), { x: 1, y: 2, name: 'n' });
    expectSame(there(Object.assign(Object.create(null), { a: 1 })), { a: 1 });
    expectSame(there(Buffer.from('ab')), Uint8Array.of(97, 98));
  });

  it('is refused with the path to what cannot be stored, and leaves nothing behind', () => {
    class Account {
      balance = 1;
      pay(): void {}
    }
    const cycle: Record<string, unknown> = { list: [1] };
    cycle.self = cycle;
    cycle.bad = new Map([['k', { f: Symbol('s') }]]);
    const refused: [unknown, RegExp][] = [
      [() => 1, /^value: a function/],
      [{ a: { 'b c': [1, Symbol('x')] } }, /^value\.a\["b c"\]\[1\]: Symbol\(x\)/],
      [{ who: new Account() }, /^value\.who: an object of class Account/],
      [[new WeakMap()], /^value\[0\]: an object of class WeakMap/],
      [{ later: Promise.resolve() }, /^value\.later: an object of class Promise/],
      [new Set([1, () => 1]), /^value\.values\(\)\[1\]/],
      [new Error('x', { cause: () => 1 }), /^value\.cause/],
      [new SharedArrayBuffer(8), /SharedArrayBuffer/],
      [Object.create(Date.prototype), /Date/],
      [cycle, /^value\.bad\.get\("k"\)\.f: Symbol\(s\)/],
    ];
    const registry = new ShapeRegistry();
    writer.reset();
    encodeValue('kept', writer, registry);
    const before = writer.toBytes();
    for (const [value, message] of refused) {
      expect(() => encodeValue(value, writer, registry)).toThrow(InvalidValueError);
      expect(() => encodeValue(value, writer, registry)).toThrow(message);
    }
    expect(writer.toBytes()).toStrictEqual(before);
  });

  it('hands on what a getter throws, and refuses to be stored from within one', () => {
    const boom = new Error('boom');
    const thrower = {
      get x(): number {
        throw boom;
      },
    };
    expect(() => encode(thrower)).toThrow(boom);
    const nested = {
      get x(): number {
        encodeValue(1, writer, undefined);
        return 1;
      },
    };
    expect(() => encode(nested)).toThrow(/getter/);
    expect(hex(5)).toBe('0500');
  });

  it('nests up to a limit', () => {
    const nest = (depth: number, wrap: (value: unknown) => unknown): unknown => {
      let value: unknown = 1;
      for (let i = 0; i < depth; i++) value = wrap(value);
      return value;
    };
    const registry = new ShapeRegistry();
    for (const wrap of [
      (x: unknown) => [x],
      (x: unknown) => ({ x }),
      (x: unknown) => new Map([[x, x === 1 ? 2 : 3]]),
    ]) {
      expectSame(there(nest(MAX_VALUE_NESTING, wrap), registry), nest(MAX_VALUE_NESTING, wrap));
      expect(() => encode(nest(MAX_VALUE_NESTING + 1, wrap), registry)).toThrow(/nests deeper than 512/);
      expect(() => encode(nest(100_000, wrap), registry)).toThrow(InvalidValueError);
    }
  });

  it('may have long strings of any kind', () => {
    for (const part of ['a', '\u00e9', '\u20ac', '\ud83d\ude00', '\udc00', '\u4e2d']) {
      for (const length of [1, 47, 48, 49, 63, 64, 223, 224, 255, 256, 65535, 65536, 300_000]) {
        const text = 'x'.repeat(length - 1) + part;
        expect(there(text) === text).toBe(true);
        expect(there([part + text, 'b', text + part])).toEqual([part + text, 'b', text + part]);
      }
    }
    fc.assert(
      fc.property(fc.array(anyString, { maxLength: 5 }), (list) => {
        expect(there(list)).toEqual(list);
      }),
      runs(1000),
    );
  });

  it('is the same wherever the writer has to grow, and at every length that changes form', () => {
    const registry = new ShapeRegistry();
    for (let size = 900; size < 1040; size++) {
      const value = {
        raw: new Uint8Array(size),
        a: 0.1,
        b: 2 ** 47,
        c: -0.2,
        d: 'x'.repeat(size - 900),
        e: 1 / 3,
        f: 1e300,
      };
      const fresh = new ValueWriter();
      encodeValue(value, fresh, registry);
      expectSame(decodeValue(fresh.bytes, 0, fresh.length, registry), value);
    }
    for (const length of [63, 64, 65, 255, 256, 65535, 65536]) {
      const value = { text: '\u00e9'.repeat(length), more: 'y' };
      for (let i = 0; i < 20; i++) expectSame(there(value, registry), value);
    }
  });

  it('may be large', () => {
    const value = { bytes: new Uint8Array(5_000_000).fill(7), list: Array.from({ length: 50_000 }, (_, i) => ({ i })) };
    expectSame(there(value, new ShapeRegistry()), value);
  });

  it('may use the memory of others: shared buffers and views at any offset', () => {
    const bytes = encode({ name: 'a string that is long enough', list: [1.5, 'x'] });
    const shared = new Uint8Array(new SharedArrayBuffer(200), 3);
    shared.set(bytes, 5);
    expectSame(decodeValue(shared, 5, 5 + bytes.length, undefined), {
      name: 'a string that is long enough',
      list: [1.5, 'x'],
    });
  });
});

function idHex(registry: ShapeRegistry): string {
  expect(registry.size).toBe(1);
  const shape = registry.shapeOf({ a: 1, b: 1 });
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(shape?.id ?? 0);
  return bytes.toString('hex');
}

describe('raw bytes', () => {
  it('are kept as they are, copied in and out', () => {
    const value = Uint8Array.of(1, 2, 3);
    writer.reset();
    encodeRawBytes(value, writer);
    const back = decodeRawBytes(writer.bytes, 0, writer.length);
    value.fill(0);
    writer.bytes.fill(0);
    expectSame(back, Uint8Array.of(1, 2, 3));
    expect(() => encodeRawBytes('abc', writer)).toThrow(/needs a Uint8Array, found a string/);
  });
});

describe('a process that forbids making code from strings', () => {
  it('writes and reads the same bytes', () => {
    const program = `
      import { ShapeRegistry } from './src/codec/shapes.ts';
      import { encodeValue, decodeValue } from './src/codec/value.ts';
      import { ValueWriter } from './src/codec/value-writer.ts';
      import { canGenerateCode } from './src/codec/code-generation.ts';
      import { compileKeySpec, keySpecDefinition } from './src/codec/key-spec.ts';
      import { KeyWriter } from './src/codec/tuple.ts';
      const registry = new ShapeRegistry();
      const writer = new ValueWriter();
      let hex = '';
      for (let i = 0; i < 40; i++) {
        writer.reset();
        encodeValue({ id: i * 77, name: 'n' + i, __proto: [{ x: i / 100 }], ok: i % 2 === 0 }, writer, registry);
        if (decodeValue(writer.bytes, 0, writer.length, registry).id !== i * 77) throw new Error('not the same');
        hex += Buffer.from(writer.toBytes()).toString('hex');
      }
      const keys = new KeyWriter();
      compileKeySpec(keySpecDefinition(['a', { field: 'b', order: 'desc' }])).encodeKey({ a: 1, b: 'x' }, keys);
      process.stdout.write(canGenerateCode() + ' ' + hex + Buffer.from(keys.toBytes()).toString('hex'));`;
    const run = (...flags: string[]) =>
      execFileSync(
        process.execPath,
        [...flags, '--no-warnings', '--experimental-strip-types', '--input-type=module', '-e', program],
        { encoding: 'utf8', cwd: new URL('../../..', import.meta.url) },
      );
    const [allowed, forbidden] = [run(), run('--disallow-code-generation-from-strings')];
    expect(allowed.startsWith('true ')).toBe(true);
    expect(forbidden).toBe(allowed.replace('true ', 'false '));
  });
});

describe('a decoder of values', () => {
  const registry = new ShapeRegistry();

  /** Anything goes but an error of another kind, and what is handed out must be a value again. */
  function checkHostile(bytes: Uint8Array): void {
    let value: unknown;
    try {
      value = decode(bytes, registry);
    } catch (error) {
      expect(error).toBeInstanceOf(CorruptionError);
      return;
    }
    encode(value, registry);
  }

  it('answers random bytes with a value or CorruptionError', () => {
    const tagged = fc
      .tuple(fc.integer({ min: 0x80, max: 0xd0 }), fc.uint8Array({ maxLength: 20 }), fc.nat(8))
      .map(([tag, rest, text]) => Uint8Array.of(tag, ...rest, text));
    const nested = fc
      .array(fc.oneof(fc.integer({ min: 0x80, max: 0xc4 }), fc.nat(4), fc.integer({ min: 0x40, max: 0x43 })), {
        maxLength: 24,
      })
      .map((list) => Uint8Array.of(...list, 0));
    fc.assert(fc.property(fc.oneof(tagged, nested, fc.uint8Array({ maxLength: 16 })), checkHostile), runs(30_000));
  });

  it('answers damaged values with a value or CorruptionError', () => {
    fc.assert(
      fc.property(
        anyValue,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }),
        fc.nat(),
        (value, flips, cut) => {
          const bytes = encode(value, registry);
          for (const [at, byte] of flips) bytes[at % bytes.length] = byte;
          checkHostile(bytes);
          checkHostile(bytes.subarray(0, cut % bytes.length));
        },
      ),
      runs(6000),
    );
  });

  it('answers damage in the fields of a shape that has code of its own', () => {
    const value = { id: 70_000, name: 'abc', far: 1.5, list: [1, 2], ok: true };
    for (let i = 0; i < 40; i++) there(value, registry);
    const good = encode(value, registry);
    for (let at = 0; at < good.length; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const bytes = good.slice();
        bytes[at] = byte;
        checkHostile(bytes);
      }
      checkHostile(good.slice(0, at));
    }
  });

  it('neither hangs nor allocates for counts that are not there', () => {
    const claims = [
      'a8ffffffff0f00', // an array of 2^32 elements
      'a8ffffffffffffffff7f00', // a count without end
      'a6ffffff7f00',
      'a7ffffff7f00',
      'abffffff7f00',
      'a3ffffff7f00',
      'a404ffffff7f00',
      '9fffffff7f00',
      '9effffffff00',
      'c1a9ffffffff0f00',
      'a8808080800101a90000',
      'af' + 'c1'.repeat(600) + '00',
      'afae0500',
      'ae0000',
      'aa0102030400',
      'a54161416100',
      '00ff',
      '0000e4',
    ];
    for (const claim of claims) {
      expect(() => decode(new Uint8Array(Buffer.from(claim, 'hex')), registry), claim).toThrow(CorruptionError);
    }
    expect(() => decode(new Uint8Array(100_000).fill(0xc1), registry)).toThrow(/deeper/);
    expect(() => decode(new Uint8Array(0), registry)).toThrow(CorruptionError);
    expect(() => decodeValue(new Uint8Array(4), 2, 6, registry)).toThrow(CorruptionError);
  });

  it('refuses text that is not UTF-8', () => {
    const bytes = encode('x\u20acy\ufffd');
    expect(decode(bytes)).toBe('x\u20acy\ufffd');
    bytes[3] = 0x20;
    expect(() => decode(bytes)).toThrow(CorruptionError);
    // Damage after which the text is as long as before: a pair becomes U+FFFD and a blank.
    const pair = encode('x\ud83d\ude00');
    expect(pair[5]).toBe(0x80);
    pair[5] = 0x20;
    expect(() => decode(pair)).toThrow(/not UTF-8/);
  });
});

describe('limits', () => {
  it('hold for the characters of a value', () => {
    const text = 'x'.repeat(260_000_000);
    expect(() => encode([text, text])).toThrow(LimitExceededError);
    expect(() => encode(new Uuid(1, 2, 3, 4))).not.toThrow();
  });
});
