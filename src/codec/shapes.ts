/**
 * Shapes: the ordered field names of plain objects, stored once per database instead of once per object.
 *
 * Invariants:
 *  1. A shape's id is the hash of its definition (the names in order), so equal objects have equal bytes in any
 *     database. Of two shapes with one id only the first is used; objects of the other carry their names with them.
 *  2. Which objects may have a shape depends on their names alone: 1 to 64 of them, well-formed, none integer-like (an
 *     engine moves such fields to the front), 2 KiB together. Beyond MAX_SHAPES no more are defined.
 *  3. A shape is `stored` once a committed transaction has written its definition. Until then every value that uses
 *     it says so (`ValueWriter.newShapes`), and its transaction has to write the definition too.
 *  4. A definition that is read is believed only if its id is its hash.
 */

import { CorruptionError } from '../base/errors.ts';
import { hashBytes, hashResult } from '../base/hash.ts';
import { MAX_SHAPE_FIELDS, MAX_SHAPE_NAME_BYTES, MAX_SHAPES } from '../base/limits.ts';
import { canGenerateCode } from './code-generation.ts';
import {
  type FieldSink,
  generateShapeReader,
  generateShapeWriter,
  type ShapeReader,
  type ShapeWriter,
} from './shape-code.ts';
import { isWellFormed, utf8Slice } from './text.ts';

/** Objects of one shape that are encoded or decoded field by field before code is generated for it (about 50 us). */
const USES_BEFORE_CODE = 16;
/** Shapes that get code of their own, per direction; each takes a few KiB. */
const MAX_GENERATED = 512;

export class Shape {
  readonly id: number;
  readonly names: readonly string[];
  /** What is stored under `id`: n, then for each name its length in bytes (LEB128) and its UTF-8. */
  readonly definition: Uint8Array;
  /** Whether a committed transaction has written the definition. Set by `ShapeRegistry.markStored`. */
  stored: boolean;
  /** Code for this shape; undefined until it is worth making, and where making code is forbidden. */
  writer: ShapeWriter | undefined = undefined;
  reader: ShapeReader | undefined = undefined;
  writes = 0;
  reads = 0;

  constructor(id: number, names: readonly string[], definition: Uint8Array, stored: boolean) {
    this.id = id;
    this.names = names;
    this.definition = definition;
    this.stored = stored;
  }
}

/** A step of the way from the first field name to the shape; the last child taken stands in front of the map. */
class NameNode {
  lastName: string | undefined = undefined;
  lastChild: NameNode | undefined = undefined;
  children: Map<string, NameNode> | undefined = undefined;
  shape: Shape | undefined = undefined;
}

export interface ShapeRegistryOptions {
  /** Reads a stored definition; undefined where there is none. May read other values meanwhile. */
  readonly load?: (id: number) => Uint8Array | undefined;
  /** How many shapes may be defined; MAX_SHAPES where not given. */
  readonly maxShapes?: number;
}

/** The shapes known for one database. Shared by all its transactions. */
export class ShapeRegistry {
  readonly #load: (id: number) => Uint8Array | undefined;
  readonly #maxShapes: number;
  readonly #byId = new Map<number, Shape>();
  readonly #root = new NameNode();
  #lastRead: Shape | undefined;
  #generatedWriters = 0;
  #generatedReaders = 0;

  constructor(options: ShapeRegistryOptions = {}) {
    this.#load = options.load ?? (() => undefined);
    this.#maxShapes = options.maxShapes ?? MAX_SHAPES;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** The definition of shape `id` is in a committed transaction: values need not bring it any more. */
  markStored(id: number): void {
    const shape = this.#byId.get(id);
    if (shape !== undefined) shape.stored = true;
  }

  /** Takes over definitions that are stored, at opening for example. Throws `CorruptionError` if one is not its id's. */
  addStored(id: number, definition: Uint8Array): void {
    const known = this.#byId.get(id);
    if (known === undefined) this.#adopt(parseDefinition(id, definition));
    else known.stored = true;
  }

  /** The shape of a plain object, defined now if need be; undefined where the object has to carry its names. */
  shapeOf(value: object): Shape | undefined {
    let node = this.#root;
    for (const name in value) {
      if (name === node.lastName) {
        node = node.lastChild as NameNode;
        continue;
      }
      const child = node.children?.get(name);
      if (child === undefined) return this.#shapeOfNames(Object.keys(value));
      node.lastName = name;
      node.lastChild = child;
      node = child;
    }
    // Inherited names were walked too; a way found with them is no shape of this object, and never becomes one.
    return node.shape ?? this.#shapeOfNames(Object.keys(value));
  }

  /** Code that writes objects of this shape, once it is worth it. */
  writerOf(shape: Shape): ShapeWriter | undefined {
    if (shape.writer !== undefined) return shape.writer;
    if (++shape.writes < USES_BEFORE_CODE || this.#generatedWriters >= MAX_GENERATED || !canGenerateCode()) {
      return undefined;
    }
    this.#generatedWriters++;
    shape.writer = generateShapeWriter(shape.id, shape.names);
    return shape.writer;
  }

  /** Code that reads objects of this shape, once it is worth it. */
  readerOf(shape: Shape): ShapeReader | undefined {
    if (shape.reader !== undefined) return shape.reader;
    if (++shape.reads < USES_BEFORE_CODE || this.#generatedReaders >= MAX_GENERATED || !canGenerateCode()) {
      return undefined;
    }
    this.#generatedReaders++;
    shape.reader = generateShapeReader(shape.names);
    return shape.reader;
  }

  /** The shape with this id, if that is known without loading it. */
  known(id: number): Shape | undefined {
    const last = this.#lastRead;
    if (last !== undefined && last.id === id) return last;
    const shape = this.#byId.get(id);
    if (shape !== undefined) this.#lastRead = shape;
    return shape;
  }

  /** The shape with this id, loaded if it is not known yet. Throws `CorruptionError` where there is none. */
  resolve(id: number): Shape {
    const last = this.#lastRead;
    if (last !== undefined && last.id === id) return last;
    const shape = this.#byId.get(id) ?? this.#loadShape(id);
    if (shape === undefined) {
      throw new CorruptionError(`a value has the shape ${id}, which is not defined`, { details: { shape: id } });
    }
    this.#lastRead = shape;
    return shape;
  }

  #loadShape(id: number): Shape | undefined {
    const definition = this.#load(id);
    return definition === undefined ? undefined : this.#adopt(parseDefinition(id, definition));
  }

  #shapeOfNames(names: readonly string[]): Shape | undefined {
    if (names.length === 0 || names.length > MAX_SHAPE_FIELDS) return undefined;
    let node: NameNode | undefined = this.#root;
    for (const name of names) {
      node = node.children?.get(name);
      if (node === undefined) break;
    }
    return node?.shape ?? this.#define(names);
  }

  #define(names: readonly string[]): Shape | undefined {
    if (this.#byId.size >= this.#maxShapes || !mayHaveShape(names)) return undefined;
    const definition = encodeDefinition(names);
    if (definition === undefined) return undefined;
    const id = shapeId(definition);
    const known = this.#byId.get(id) ?? this.#loadShape(id);
    if (known !== undefined) return sameNames(known.names, names) ? known : undefined;
    return this.#adopt(new Shape(id, names, definition, false));
  }

  #adopt(shape: Shape): Shape {
    const known = this.#byId.get(shape.id);
    if (known !== undefined) return known;
    this.#byId.set(shape.id, shape);
    let node = this.#root;
    for (const name of shape.names) {
      node.children ??= new Map();
      let child = node.children.get(name);
      if (child === undefined) {
        child = new NameNode();
        node.children.set(name, child);
      }
      node = child;
    }
    node.shape = shape;
    return shape;
  }
}

const INTEGER_LIKE = /^(?:0|[1-9][0-9]*)$/;

function mayHaveShape(names: readonly string[]): boolean {
  return names.every((name) => !INTEGER_LIKE.test(name) && isWellFormed(name));
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, i) => name === b[i]);
}

export function shapeId(definition: Uint8Array): number {
  hashBytes(definition, 0, definition.length, 0, 0);
  return hashResult.low;
}

function encodeDefinition(names: readonly string[]): Uint8Array | undefined {
  const parts = names.map((name) => Buffer.from(name, 'utf8'));
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  if (total > MAX_SHAPE_NAME_BYTES) return undefined;
  const definition = new Uint8Array(1 + total + names.length * 2);
  let at = 0;
  definition[at++] = names.length;
  for (const part of parts) {
    if (part.length >= 0x80) definition[at++] = 0x80 | (part.length & 0x7f);
    definition[at++] = part.length >= 0x80 ? part.length >>> 7 : part.length;
    definition.set(part, at);
    at += part.length;
  }
  return definition.slice(0, at);
}

/** The shape that a stored definition describes, trusted only if it is what `id` was computed from. */
export function parseDefinition(id: number, definition: Uint8Array): Shape {
  if (shapeId(definition) !== id) refuseDefinition(id);
  const names: string[] = [];
  const count = definition[0] ?? 0;
  let at = 1;
  for (let i = 0; i < count; i++) {
    let length = definition[at++] ?? 0;
    if (length >= 0x80) length = (length & 0x7f) | ((definition[at++] ?? 0) << 7);
    if (at + length > definition.length) refuseDefinition(id);
    names.push(utf8Slice(definition, at, at + length));
    at += length;
  }
  if (count === 0 || count > MAX_SHAPE_FIELDS || new Set(names).size !== count || !mayHaveShape(names)) {
    refuseDefinition(id);
  }
  const copy = encodeDefinition(names);
  if (copy === undefined || at !== definition.length || shapeId(copy) !== id) refuseDefinition(id);
  return new Shape(id, names, copy, true);
}

function refuseDefinition(id: number): never {
  throw new CorruptionError(`the stored definition of shape ${id} is damaged`, { details: { shape: id } });
}

/** Writes an object field by field: the same bytes as generated code gives. */
export function writeShapeFields(shape: Shape, value: Readonly<Record<string, unknown>>, sink: FieldSink): void {
  sink.writeShapeHeader(shape.id);
  for (const name of shape.names) sink.writeAny(value[name]);
}
