/**
 * The shapes of values of one database: the codec's registry over the engine's store 2 (key: shape id as u32 big-endian,
 * cell: a zero byte and the definition).
 *
 * A shape's definition is put by every transaction that uses it, blind and the same bytes each time, until one of them has
 * committed; so a value is never durable without its shape.
 */
import { type Shape, ShapeRegistry } from '../codec/shapes.ts';
import { ValueWriter } from '../codec/value-writer.ts';
import { idKey, SHAPE_STORE } from '../storage/system-stores.ts';
import type { EngineApi, EngineTransaction } from '../transaction/engine-api.ts';

export class ShapeStore {
  readonly registry: ShapeRegistry;
  /** Has the value encoded last. Encoding is synchronous, so one is enough but for what getters of a value encode. */
  writer = new ValueWriter();
  readonly #outermost = this.writer;

  /** The transaction that definitions were attached to last, and which: each is attached to it once. */
  #attachedTo: EngineTransaction | undefined;
  readonly #attached = new Set<Shape>();

  /** `maxCellBytes`: what a value and the ride-on fields of its key may take. */
  constructor(engine: EngineApi, maxCellBytes = Number.POSITIVE_INFINITY) {
    this.writer.maxLength = maxCellBytes;
    this.registry = new ShapeRegistry({ load: (id) => engine.readRow(SHAPE_STORE, idKey(id))?.subarray(1) });
  }

  /** The writer for an encoding so deep within others. */
  writerAt(depth: number): ValueWriter {
    if (depth === 0) return this.#outermost;
    const writer = new ValueWriter();
    writer.maxLength = this.#outermost.maxLength;
    return writer;
  }

  /** Whether what was encoded since the last `attach` uses shapes that are not stored yet. */
  get hasNews(): boolean {
    return this.writer.newShapes.length > 0;
  }

  /** Makes the definitions of these shapes part of the transaction. */
  attach(etx: EngineTransaction): void {
    if (this.#attachedTo !== etx) this.#begin(etx);
    for (const shape of this.writer.newShapes.splice(0)) if (!this.#attached.has(shape)) this.#attachOne(etx, shape);
  }

  #begin(etx: EngineTransaction): void {
    this.#attachedTo = etx;
    this.#attached.clear();
    const forget = (): void => {
      if (this.#attachedTo === etx) this.#attachedTo = undefined;
    };
    etx.onCommit(forget);
    etx.onRollback(forget);
  }

  #attachOne(etx: EngineTransaction, shape: Shape): void {
    const key = idKey(shape.id);
    const cell = new Uint8Array(1 + shape.definition.length);
    cell.set(shape.definition, 1);
    etx.put(SHAPE_STORE, key, 0, key.length, cell, 0, cell.length, undefined);
    etx.onCommit(() => this.registry.markStored(shape.id));
    this.#attached.add(shape);
  }
}
