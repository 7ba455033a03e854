/** Shapes: what is defined when, what is stored, and that a definition is believed only if it is the right one. */
import { describe, expect, it } from 'vitest';
import { CorruptionError } from '../../../src/base/errors.ts';
import { TAG_OBJECT, TAG_SHAPE } from '../../../src/codec/value-format.ts';
import { type Shape, ShapeRegistry, shapeId } from '../../../src/codec/shapes.ts';
import { decodeValue, encodeValue } from '../../../src/codec/value.ts';
import { ValueWriter } from '../../../src/codec/value-writer.ts';

/** A database's shapes as a map, and registries over it. */
class Shapes {
  readonly stored = new Map<number, Uint8Array>();
  loads = 0;

  registry(): ShapeRegistry {
    return new ShapeRegistry({
      load: (id) => {
        this.loads++;
        return this.stored.get(id);
      },
    });
  }

  commit(registry: ShapeRegistry, writer: ValueWriter): void {
    for (const shape of writer.newShapes) {
      this.stored.set(shape.id, shape.definition);
      registry.markStored(shape.id);
    }
    writer.newShapes.length = 0;
  }
}

function encode(value: unknown, registry: ShapeRegistry, writer: ValueWriter): Uint8Array {
  writer.reset();
  encodeValue(value, writer, registry);
  return writer.toBytes();
}

const decode = (bytes: Uint8Array, registry: ShapeRegistry): unknown => decodeValue(bytes, 0, bytes.length, registry);

describe('a new shape', () => {
  it('is named by every value that uses it until it is stored, once for each', () => {
    const shapes = new Shapes();
    const registry = shapes.registry();
    const writer = new ValueWriter();
    const value = { a: 1, list: [{ b: 1 }, { b: 2 }] };
    encode(value, registry, writer);
    expect(writer.newShapes.map((shape) => shape.names)).toEqual([['a', 'list'], ['b']]);
    writer.newShapes.length = 0; // The transaction was rolled back.
    encode({ b: 3 }, registry, writer);
    expect(writer.newShapes.map((shape) => shape.names)).toEqual([['b']]);
    shapes.commit(registry, writer);
    encode(value, registry, writer);
    expect(writer.newShapes.map((shape) => shape.names)).toEqual([['a', 'list']]);
    shapes.commit(registry, writer);
    for (let i = 0; i < 40; i++) encode(value, registry, writer);
    expect(writer.newShapes).toEqual([]);
  });

  it('is understood by another process once it is stored, which then knows that it is', () => {
    const shapes = new Shapes();
    const [first, second] = [shapes.registry(), shapes.registry()];
    const writer = new ValueWriter();
    const bytes = encode({ name: 'x', n: 1 }, first, writer);
    expect(() => decode(bytes, second)).toThrow(CorruptionError);
    shapes.commit(first, writer);
    expect(decode(bytes, second)).toStrictEqual({ name: 'x', n: 1 });
    shapes.loads = 0;
    encode({ name: 'y', n: 2 }, second, writer);
    expect([writer.newShapes, shapes.loads]).toEqual([[], 0]);
    encode({ name: 'y', n: 2 }, shapes.registry(), writer);
    expect(writer.newShapes).toEqual([]);
  });

  it('may be loaded while another value is decoded', () => {
    const shapes = new Shapes();
    const first = shapes.registry();
    const writer = new ValueWriter();
    const plain = encode(['another', 'value'], first, writer);
    const bytes = encode({ a: 'one', b: { c: 'two' } }, first, writer);
    shapes.commit(first, writer);
    const second: ShapeRegistry = new ShapeRegistry({
      load: (id) => {
        expect(decode(plain, second)).toEqual(['another', 'value']);
        return shapes.stored.get(id);
      },
    });
    expect(decode(bytes, second)).toStrictEqual({ a: 'one', b: { c: 'two' } });
  });

  it('is taken over at opening', () => {
    const shapes = new Shapes();
    const first = shapes.registry();
    const writer = new ValueWriter();
    encode({ q: 1 }, first, writer);
    shapes.commit(first, writer);
    const second = new ShapeRegistry();
    for (const [id, definition] of shapes.stored) second.addStored(id, definition);
    encode({ q: 2 }, second, writer);
    expect(writer.newShapes).toEqual([]);
  });
});

describe('an object without a shape', () => {
  const registry = new ShapeRegistry();
  const writer = new ValueWriter();

  it('carries its names: none, too many, too long ones, integer-like ones, lone surrogates', () => {
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`f${i}`, i]));
    const long = { ['n'.repeat(2049)]: 1 };
    for (const value of [{}, many, long, { 7: 1, a: 2 }, { '\ud800': 1 }]) {
      expect(decode(encode(value, registry, writer), registry)).toStrictEqual(value);
    }
    expect(registry.size).toBe(0);
    const most = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`f${i}`, i]));
    const longest = { ['n'.repeat(2048)]: 1, '-1': 2, '01': 3 };
    expect(decode(encode(most, registry, writer), registry)).toStrictEqual(most);
    expect(registry.size).toBe(1);
    expect(decode(encode(longest, registry, writer), registry)).toStrictEqual(longest);
    expect(registry.size).toBe(1);
  });

  it('is one beyond the shapes that may be defined', () => {
    const small = new ShapeRegistry({ maxShapes: 2 });
    for (const value of [{ a: 1 }, { b: 1 }, { c: 1 }, { a: 2 }, { d: 1 }]) {
      expect(decode(encode(value, small, writer), small)).toStrictEqual(value);
    }
    expect(small.size).toBe(2);
  });

  it('is one whose id belongs to another shape, whichever was first', () => {
    const names = ['f1ba3', 'f355k'];
    expect(new Set(names.map((name) => new ShapeRegistry().shapeOf({ [name]: 1 })?.id)).size).toBe(1);
    for (const order of [names, names.toReversed()]) {
      const shapes = new Shapes();
      const registry = shapes.registry();
      const values = order.map((name) => ({ [name]: 1 }));
      const encoded = values.map((value) => encode(value, registry, writer));
      expect(encoded.map((bytes) => bytes[0])).toEqual([TAG_SHAPE, TAG_OBJECT]);
      shapes.commit(registry, writer);
      // A new process that meets the other one first finds the id taken, too.
      const later = shapes.registry();
      expect([...values].reverse().map((value) => encode(value, later, writer)[0])).toEqual([TAG_OBJECT, TAG_SHAPE]);
      expect(encoded.map((bytes) => decode(bytes, later))).toStrictEqual(values);
    }
  });

  it('is no different where Object.prototype was changed', () => {
    const fresh = new ShapeRegistry();
    Object.defineProperty(Object.prototype, 'polluted', {
      value: 1,
      enumerable: true,
      configurable: true,
      writable: true,
    });
    try {
      expect(decode(encode({ a: 1 }, fresh, writer), fresh)).toStrictEqual({ a: 1 });
      expect(fresh.shapeOf({ a: 1 })?.names).toEqual(['a']);
    } finally {
      Reflect.deleteProperty(Object.prototype, 'polluted');
    }
    expect(fresh.shapeOf({ a: 5 })?.names).toEqual(['a']);
    expect(fresh.size).toBe(1);
  });
});

describe('a stored definition', () => {
  it('is refused where it is damaged in any byte, or names what no shape can have', () => {
    const shape = new ShapeRegistry().shapeOf({ first: 1, ['n'.repeat(200)]: 2 }) as Shape;
    for (let at = 0; at < shape.definition.length; at++) {
      const damaged = shape.definition.slice();
      damaged[at] = (damaged[at] as number) ^ 0x21;
      expect(() => new ShapeRegistry().addStored(shape.id, damaged)).toThrow(CorruptionError);
    }
    const wrong = [
      Uint8Array.of(),
      Uint8Array.of(0),
      Uint8Array.of(1),
      Uint8Array.of(1, 5, 97),
      Uint8Array.of(1, 1, 97, 97),
      Uint8Array.of(2, 1, 97, 1, 97),
      Uint8Array.of(1, 1, 0x37),
      Uint8Array.of(1, 1, 0xff),
      Uint8Array.of(1, 0x81, 0, 97),
      Uint8Array.of(200, ...new Uint8Array(400)),
    ];
    for (const definition of wrong) {
      expect(() => new ShapeRegistry().addStored(shapeId(definition), definition)).toThrow(CorruptionError);
    }
  });

  it('has the bytes that the format says', () => {
    const shape = new ShapeRegistry().shapeOf({ id: 1, '\u00e9': 2 }) as Shape;
    expect(Buffer.from(shape.definition).toString('hex')).toBe('0202696402c3a9');
    expect(shape.id.toString(16)).toBe('e93dea52');
  });
});
