/**
 * Subclasses of built-in classes, and built-in objects with fields of their own, that say something else than what they hold.
 * A map whose iteration leaves out what is expired was acknowledged and could never be read again.
 */
import { describe, expect, test } from 'vitest';
import { InvalidKeyError, InvalidValueError } from '../../../src/base/errors.ts';
import { KeyWriter } from '../../../src/codec/tuple.ts';
import { KeyReader } from '../../../src/codec/tuple-reader.ts';
import { decodeValue, encodeRawBytes, encodeValue } from '../../../src/codec/value.ts';
import { ValueWriter } from '../../../src/codec/value-writer.ts';

function roundTrip(value: unknown): unknown {
  const writer = new ValueWriter();
  encodeValue(value, writer, undefined);
  return decodeValue(writer.bytes, 0, writer.length, undefined);
}

function keyRoundTrip(key: unknown): unknown {
  const writer = new KeyWriter();
  writer.writeValue(key, false);
  return new KeyReader().readValue(writer.bytes, 0, writer.length, false);
}

class PickyMap extends Map<string, number> {
  override *[Symbol.iterator](): MapIterator<[string, number]> {
    for (const entry of super.entries()) if (entry[1] > 5) yield entry;
  }
  override get size() {
    return 1;
  }
}
class PickySet extends Set<number> {
  override *[Symbol.iterator](): SetIterator<number> {
    yield* [...super.values()].slice(0, 1);
  }
  override get size() {
    return 7;
  }
}
class OddExpression extends RegExp {
  override get source() {
    return '(';
  }
  override get flags() {
    return 'zz';
  }
}
class LongBytes extends Uint8Array {
  override get length() {
    return 100;
  }
}
class HalfDate extends Date {
  override getTime() {
    return 1.5;
  }
}

function detached<T extends ArrayBufferView<ArrayBuffer>>(view: T): T {
  structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}

describe('values', () => {
  test('are what the object holds', () => {
    expect(
      roundTrip({
        cache: new PickyMap([
          ['a', 1],
          ['b', 10],
        ]),
        x: 1,
      }),
    ).toEqual({
      cache: new Map([
        ['a', 1],
        ['b', 10],
      ]),
      x: 1,
    });
    expect(roundTrip([new PickySet([1, 2, 3]), 4])).toEqual([new Set([1, 2, 3]), 4]);
    expect(roundTrip(new OddExpression('a+', 'gi'))).toEqual(/a+/gi);
    expect(roundTrip(Object.defineProperty(/a/dgimsuy, 'flags', { value: 'zz' }))).toEqual(/a/dgimsuy);
    for (const primitive of [5, 'text', true, 5n]) {
      const boxed = Object.assign(Object(primitive), { valueOf: () => ({ a: () => 1 }) });
      expect((roundTrip([boxed]) as [object])[0].valueOf()).toBe(primitive);
    }
    expect(roundTrip(new LongBytes([1, 2, 3]))).toEqual(Uint8Array.of(1, 2, 3));
    expect(roundTrip(new HalfDate(7))).toEqual(new Date(7));
  });

  test('a long array with holes and fields that look like numbers', () => {
    for (const name of ['1e9', '1500.0', '01600', '4294967295', '1e3']) {
      const list = Object.assign(new Array(2000), { [name]: 'a field' });
      list[1990] = 'element';
      const found = roundTrip({ list }) as { list: unknown[] };
      expect(found.list).toHaveLength(2000);
      expect(Object.keys(found.list)).toEqual(['1990']);
    }
    expect(roundTrip(Object.assign(new Array(2000), { '1e9': 1 }))).toEqual(new Array(2000));
  });

  test('bytes whose memory was given away are refused by path', () => {
    for (const view of [new Uint8Array(3), new Float64Array(2), new DataView(new ArrayBuffer(4))]) {
      expect(() => roundTrip({ a: [1, detached(view)] })).toThrow(InvalidValueError);
      expect(() => roundTrip({ a: [1, view] })).toThrow(/value\.a\[1\].*transferred/);
      expect(() => roundTrip(view.buffer)).toThrow(InvalidValueError);
    }
    expect(() => encodeRawBytes(detached(new Uint8Array(3)), new ValueWriter())).toThrow(InvalidValueError);
    expect(roundTrip(new Uint8Array(0))).toEqual(new Uint8Array(0));
    expect(roundTrip(new ArrayBuffer(0))).toEqual(new ArrayBuffer(0));
  });
});

describe('keys', () => {
  test('are what the object holds', () => {
    expect(keyRoundTrip(new HalfDate(7))).toEqual(new Date(7));
    expect(keyRoundTrip(new LongBytes([1, 2, 3]))).toEqual(Uint8Array.of(1, 2, 3));
  });

  test('what only looks like one is refused', () => {
    for (const key of [
      Object.create(Date.prototype),
      Object.create(Uint8Array.prototype),
      new Proxy(new Date(0), {}),
      new Proxy(new Uint8Array(2), {}),
      detached(new Uint8Array(3)),
      new Date(Number.NaN),
    ]) {
      expect(() => keyRoundTrip(key)).toThrow(InvalidKeyError);
      expect(() => keyRoundTrip([1, key])).toThrow(InvalidKeyError);
    }
    expect(() => new KeyWriter().writePrefix(detached(new Uint8Array(3)), false)).toThrow(InvalidKeyError);
  });
});
