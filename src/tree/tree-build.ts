/** Trees from sorted entries alone: runs, bulk loads, tests. */
import { assert } from '../base/assert.ts';
import { compareBytes } from '../base/bytes.ts';
import { CELL_TOMBSTONE } from '../codec/cell.ts';
import { END, type EntryCursor, MISS } from '../node/entry-cursor.ts';
import type { Handle } from '../node/handle.ts';
import { TreeWriter, type TreeWriterOptions } from './tree-writer.ts';

const TOMBSTONE_CELL = new Uint8Array([CELL_TOMBSTONE]);

/** A tree fed entry by entry in key order; `tombstones: true` allows `appendRemoved`. */
export class TreeBuilder {
  entries = 0;
  readonly #writer: TreeWriter;
  readonly #tombstones: boolean;

  constructor(options: TreeWriterOptions) {
    this.#writer = new TreeWriter(options);
    this.#tombstones = options.tombstones === true;
  }

  /** Bytes of images written so far (the last ones are held back until `finish`). */
  get bytesWritten(): number {
    return this.#writer.bytesWritten;
  }

  append(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    cell: Uint8Array,
    cellStart: number,
    cellEnd: number,
    version: number,
  ): void {
    const writer = this.#writer;
    const last = writer.lastKeyStart;
    assert(
      last < 0 || compareBytes(writer.lastKeyBytes, last, writer.lastKeyEnd, key, keyStart, keyEnd) < 0,
      'entries are handed in in key order',
    );
    writer.append(key, keyStart, keyEnd, cell, cellStart, cellEnd, version);
    this.entries++;
  }

  /** The key is absent as of this version. */
  appendRemoved(key: Uint8Array, keyStart: number, keyEnd: number, version: number): void {
    assert(this.#tombstones, 'only runs hold tombstones');
    this.append(key, keyStart, keyEnd, TOMBSTONE_CELL, 0, 1, version);
  }

  /** The root, or undefined where nothing was handed in. The builder is of no use afterwards. */
  finish(): Handle | undefined {
    return this.#writer.finish();
  }
}

/** Where a generator stops because something is not in memory: the driver loads and goes on. */
export interface LoadRequest {
  load(): Promise<void>;
}

/** Builds a tree of everything the cursor has; yields every 256 entries (undefined), or what must be loaded first. */
export function* buildTree(
  entries: EntryCursor,
  options: TreeWriterOptions,
): Generator<LoadRequest | undefined, Handle | undefined, void> {
  const builder = new TreeBuilder(options);
  let step = entries.first();
  for (;;) {
    if (step === MISS) {
      yield entries;
      step = builder.entries === 0 ? entries.first() : entries.next();
      continue;
    }
    if (step === END) return builder.finish();
    if (entries.removed) builder.appendRemoved(entries.keyBytes, entries.keyStart, entries.keyEnd, entries.version);
    else {
      builder.append(
        entries.keyBytes,
        entries.keyStart,
        entries.keyEnd,
        entries.cellBytes,
        entries.cellStart,
        entries.cellEnd,
        entries.version,
      );
    }
    if (builder.entries % 256 === 0) yield undefined;
    step = entries.next();
  }
}

/** Runs a generator of this floor to its end, loading as it asks for it. */
export async function runAsync<T>(work: Generator<LoadRequest | undefined, T, void>): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    if (value !== undefined) await value.load();
  }
}

/** Runs a generator whose sources all wait (load synchronously) to its end. */
export function runSync<T>(work: Generator<LoadRequest | undefined, T, void>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    assert(value === undefined, 'a source that waits never asks for a load');
  }
}
