/** Keys as bytes: they come back as they were, and their bytes sort as the keys do. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareKeys } from '../../../src/base/bytes.ts';
import { CorruptionError, InvalidKeyError, LimitExceededError } from '../../../src/base/errors.ts';
import { MAX_KEY_BYTES } from '../../../src/base/limits.ts';
import { type KeyValue, KeyWriter, MAX_KEY_NESTING } from '../../../src/codec/tuple.ts';
import { KeyReader } from '../../../src/codec/tuple-reader.ts';
import { Uuid } from '../../../src/codec/uuid.ts';
import { anyKey, compareKeyValues, keyPrimitive, runs } from '../../helpers/codec-arbitraries.ts';

const writer = new KeyWriter();
const reader = new KeyReader();

function encode(key: unknown, descending = false): Uint8Array {
  writer.reset();
  writer.writeValue(key, descending);
  return writer.toBytes();
}

function decode(bytes: Uint8Array, descending = false): KeyValue {
  const value = reader.readValue(bytes, 0, bytes.length, descending);
  expect(reader.position).toBe(bytes.length);
  return value;
}

const hex = (key: unknown, descending = false): string => Buffer.from(encode(key, descending)).toString('hex');

describe('a key', () => {
  it('comes back as it was, ascending and descending', () => {
    fc.assert(
      fc.property(anyKey, fc.boolean(), (key, descending) => {
        expect(decode(encode(key, descending), descending)).toStrictEqual(key);
      }),
      runs(3000),
    );
  });

  it('sorts as bytes where it sorts as a key', () => {
    fc.assert(
      fc.property(anyKey, anyKey, (a, b) => {
        expect(Math.sign(compareKeys(encode(a), encode(b)))).toBe(Math.sign(compareKeyValues(a, b)));
        expect(Math.sign(compareKeys(encode(b, true), encode(a, true)))).toBe(Math.sign(compareKeyValues(a, b)));
      }),
      runs(5000),
    );
  });

  it('sorts among keys of its own type, which are often close to one another', () => {
    const near = fc.oneof(keyPrimitive).chain((key) => fc.tuple(fc.constant(key), neighbourOf(key)));
    fc.assert(
      fc.property(near, ([a, b]) => {
        expect(Math.sign(compareKeys(encode(a), encode(b)))).toBe(Math.sign(compareKeyValues(a, b)));
        expect(Math.sign(compareKeys(encode(b, true), encode(a, true)))).toBe(Math.sign(compareKeyValues(a, b)));
      }),
      runs(3000),
    );
  });

  it('is never the beginning of another key', () => {
    fc.assert(
      fc.property(anyKey, anyKey, fc.boolean(), (a, b, descending) => {
        const [first, second] = [encode(a, descending), encode(b, descending)];
        if (first.length >= second.length) return;
        expect(compareKeys(first, second.subarray(0, first.length))).not.toBe(0);
      }),
      runs(2000),
    );
  });

  it('has the bytes that the format says', () => {
    expect(hex(null)).toBe('08');
    expect(hex(false)).toBe('10');
    expect(hex(true)).toBe('11');
    expect(hex(0)).toBe('208000000000000000');
    expect(hex(-0)).toBe('207fffffffffffffff');
    expect(hex(1)).toBe('20bff0000000000000');
    expect(hex(-1)).toBe('20400fffffffffffff');
    expect(hex(NaN)).toBe('20fff8000000000000');
    expect(hex(0n)).toBe('2880');
    expect(hex(258n)).toBe('28820102');
    expect(hex(-258n)).toBe('287dfefd');
    expect(hex(256n ** 100n)).toBe(`28e50065${'01'}${'00'.repeat(100)}`);
    expect(hex(new Date(0))).toBe('308000000000000000');
    expect(hex('ab')).toBe('38616200');
    expect(hex('a\0\x01\u00e9\u20ac')).toBe('386101010102c3a9e282ac00');
    expect(hex('\ud83d\ude00\ud83d')).toBe('38f09f9880eda0bd00');
    expect(hex(Uint8Array.of(0, 1, 2, 255))).toBe('400101010202ff00');
    expect(hex(Uuid.parse('00112233-4455-6677-8899-aabbccddeeff'))).toBe('4800112233445566778899aabbccddeeff');
    expect(hex(['a', [], null])).toBe('503861005000' + '08' + '00');
    expect(hex('ab', true)).toBe('c79e9dff');
  });

  it('takes Buffers as bytes and hands out plain byte arrays', () => {
    const value = decode(encode(Buffer.from('abc')));
    expect(value).toStrictEqual(Uint8Array.of(97, 98, 99));
    expect(Object.getPrototypeOf(value)).toBe(Uint8Array.prototype);
  });

  it('is refused, with its place, where it is of no key type', () => {
    const refused: [unknown, RegExp][] = [
      [undefined, /^key: undefined is no key value/],
      [{ a: 1 }, /^key: a plain object is no key value/],
      [() => 1, /^key: a function/],
      [Symbol('x'), /^key: Symbol\(x\)/],
      [new Date(NaN), /^key: an invalid Date/],
      [new Map(), /^key: an object of class Map/],
      [new Uint16Array(2), /^key: an object of class Uint16Array/],
      [['a', [1, undefined]], /^key\[1\]\[1\]: undefined/],
    ];
    for (const [key, message] of refused) {
      expect(() => encode(key)).toThrow(InvalidKeyError);
      expect(() => encode(key)).toThrow(message);
    }
  });

  it('is refused where it is too long or nests too deep, itself included', () => {
    expect(encode('x'.repeat(MAX_KEY_BYTES - 2)).length).toBe(MAX_KEY_BYTES);
    for (const key of ['x'.repeat(MAX_KEY_BYTES - 1), 'x'.repeat(1e7), new Uint8Array(3000), 2n ** 40_000n]) {
      expect(() => encode(key)).toThrow(LimitExceededError);
    }
    const endless: unknown[] = [];
    endless.push(endless);
    expect(() => encode(endless)).toThrow(LimitExceededError);
    let deep: KeyValue = 1;
    for (let i = 0; i < MAX_KEY_NESTING; i++) deep = [deep];
    expect(decode(encode(deep))).toStrictEqual(deep);
    expect(() => encode([deep])).toThrow(LimitExceededError);
  });

  it('can be written after one that was refused', () => {
    expect(() => encode([[undefined]])).toThrow(InvalidKeyError);
    expect(hex('a')).toBe('386100');
    expect(() => encode([1, undefined])).toThrow(/^key\[1\]:/);
  });
});

describe('a decoder of keys', () => {
  it('answers hostile bytes with a key whose bytes they are, or with CorruptionError', () => {
    const tags = [0x08, 0x10, 0x11, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50];
    const hostile = fc
      .tuple(fc.constantFrom(...tags), fc.uint8Array({ maxLength: 24 }))
      .map(([tag, rest]) => Uint8Array.of(tag, ...rest));
    fc.assert(
      fc.property(fc.oneof(hostile, fc.uint8Array({ maxLength: 12 })), fc.boolean(), checkHostile),
      runs(20_000),
    );
  });

  it('notices what damage can be noticed in keys that were right', () => {
    const mutated = fc.tuple(anyKey, fc.nat(), fc.nat(255), fc.nat(3)).map(([key, at, byte, cut]) => {
      const bytes = encode(key);
      bytes[at % bytes.length] = byte;
      return cut === 0 ? bytes.slice(0, at % bytes.length) : bytes;
    });
    fc.assert(fc.property(mutated, fc.constant(false), checkHostile), runs(10_000));
  });

  it('refuses second forms of what has one form', () => {
    const forms = [
      ['38eda0bdedb88000', 'a surrogate pair in two halves'],
      ['38c08000', 'a zero character in two bytes'],
      ['38f08282ac00', 'a euro sign in four bytes'],
      ['38f490808000', 'a code point that there is not'],
      ['38010300', 'an escape of nothing'],
      ['387f', 'a string without end'],
      ['307fffffffffffffff', 'a Date at -0'],
      ['30bfe0000000000000', 'a Date at half a millisecond'],
      ['20fff8000000000001', 'another NaN'],
      ['200007ffffffffffff', 'a negative NaN'],
      ['28820001', 'a bigint with a leading zero'],
      ['287f', 'a negative zero'],
      ['28e5000101', 'a short bigint with a long head'],
      ['28e6000101', 'a head beyond all heads'],
      ['4001', 'bytes that end in an escape'],
      ['5008', 'a tuple without end'],
      ['00', 'no value at all'],
    ];
    for (const [bytes, what] of forms) {
      expect(() => decode(new Uint8Array(Buffer.from(bytes as string, 'hex'))), what).toThrow(CorruptionError);
    }
  });

  it('refuses to nest without end', () => {
    expect(() => decode(new Uint8Array(1_000_000).fill(0x50))).toThrow(CorruptionError);
    expect(decode(encode(['still', 'works']))).toEqual(['still', 'works']);
  });
});

/** What is not refused must be the one form of that key: no two encodings of one value. */
function checkHostile(bytes: Uint8Array, descending: boolean): void {
  try {
    const value = reader.readValue(bytes, 0, bytes.length, descending);
    expect(reader.position).toBeLessThanOrEqual(bytes.length);
    expect(encode(value, descending)).toStrictEqual(bytes.slice(0, reader.position));
  } catch (error) {
    expect(error).toBeInstanceOf(CorruptionError);
  }
}

function neighbourOf(key: KeyValue): fc.Arbitrary<KeyValue> {
  if (typeof key === 'number') return fc.constantFrom(key + 1, key - 1, -key, key * (1 + Number.EPSILON), key / 2);
  if (typeof key === 'bigint') return fc.constantFrom(key + 1n, key - 1n, -key, key * 256n, key / 256n);
  if (typeof key === 'string') {
    return fc.constantFrom(
      ...['\0', '\x01', '\x02', '\ud800', '\udc00', '\uffff', '\u{10ffff}'].map((c) => key + c),
      key.slice(0, -1),
    );
  }
  if (key instanceof Uint8Array) {
    return fc.constantFrom(...[0, 1, 2, 255].map((byte) => Uint8Array.of(...key, byte)), key.slice(0, -1));
  }
  return keyPrimitive;
}

describe('a UUID', () => {
  it('is read and shown in the usual form, and compares by what it is', () => {
    const text = '01234567-89ab-cdef-fedc-ba9876543210';
    expect(Uuid.parse(text.toUpperCase()).toString()).toBe(text);
    expect(Uuid.parse(text).equals(Uuid.fromBytes(Uuid.parse(text).toBytes()))).toBe(true);
    expect(Uuid.parse(text).equals(Uuid.parse(text.replace('0', '1')))).toBe(false);
    expect(JSON.stringify(Uuid.parse(text))).toBe(`"${text}"`);
    for (const wrong of ['', 'x', text.slice(1), `${text}0`, text.replace('-', '')]) {
      expect(() => Uuid.parse(wrong)).toThrow(/not a UUID/);
    }
  });

  it('is of version 4 where it is made of random bytes', () => {
    expect(Uuid.random(new Uint8Array(16).fill(255)).toString()).toBe('ffffffff-ffff-4fff-bfff-ffffffffffff');
    expect(Uuid.random(new Uint8Array(16)).toString()).toBe('00000000-0000-4000-8000-000000000000');
    expect(() => Uuid.random(new Uint8Array(15))).toThrow(/16 bytes/);
  });
});
