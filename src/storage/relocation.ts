/**
 * Compaction: what is still current in mostly dead segments is written anew by the next checkpoint.
 *
 * Images are found by walking the segment: each says its store, level and first key, and the merge of that store rewrites
 * every image on the paths to those keys that lies in a victim. Values are found likewise; a current one is copied at once
 * and its entry's new cell joins the merge as one more, lowest, layer of changes, under its old version. Values that the
 * root does not know yet, but a frozen table does, are copied when the merge comes by (cell-mover.ts).
 */
import { compareBytes, compareKeys } from '../base/bytes.ts';
import { CELL_SEPARATE, cellValueStart, VALUE_REFERENCE_BYTES } from '../codec/cell.ts';
import type { RewriteTarget } from '../tree/rewrite-targets.ts';
import { endsWithPlaceholder, ITEM_ID_BYTES, itemSequence } from '../log/placeholder.ts';
import { AT, END, type EntryCursor, type Step } from '../node/entry-cursor.ts';
import { SEGMENT_VALUES, type SegmentWriter } from './segment-writer.ts';
import type { Segments } from './segments.ts';
import { scanImages, scanValues } from './segment-scan.ts';
import type { SnapshotReader } from './snapshot-reader.ts';
import { FOUND } from './find-result.ts';
import type { Space } from './space.ts';
import { appendValue, readValue, readValueReference } from './value-log.ts';
import { View, type Root } from './view.ts';

export interface RelocatedCell {
  readonly key: Uint8Array;
  readonly cell: Uint8Array;
  readonly version: number;
}

/** What a checkpoint has to rewrite beside its changes. */
export interface Relocations {
  readonly victims: ReadonlySet<number>;
  /** Per store: images to look at, in key order. */
  readonly images: ReadonlyMap<number, RewriteTarget[]>;
  /** Per store, sorted by key. */
  readonly cells: ReadonlyMap<number, RelocatedCell[]>;
}

export const NO_RELOCATIONS: Relocations = { victims: new Set(), images: new Map(), cells: new Map() };

export interface RelocationContext {
  readonly segments: Segments;
  readonly reader: SnapshotReader;
  readonly space: Space;
  readonly values: SegmentWriter;
  readonly root: Root;
}

/** Walks the victims. Values that are current are copied to the value writer here. */
export async function findRelocations(context: RelocationContext, victims: readonly number[]): Promise<Relocations> {
  const images = new Map<number, RewriteTarget[]>();
  const cells = new Map<number, RelocatedCell[]>();
  for (const victim of victims) {
    const row = context.space.segments.get(victim);
    const end = row?.totalBytes ?? 0;
    if (row?.kind === SEGMENT_VALUES) await relocateValues(context, victim, end, cells);
    else await scanImages(context.segments, victim, end, (image) => push(images, image.storeId, image));
  }
  for (const list of images.values()) list.sort((a, b) => compareKeys(a.key, b.key));
  for (const list of cells.values()) list.sort((a, b) => compareKeys(a.key, b.key));
  return { victims: new Set(victims), images, cells };
}

async function relocateValues(
  context: RelocationContext,
  victim: number,
  end: number,
  cells: Map<number, RelocatedCell[]>,
): Promise<void> {
  const { segments, reader, root, values } = context;
  const view = new View(root, []);
  const numbered = new NumberedItems(context, view, victim);
  await scanValues(segments, victim, end, async (scanned) => {
    const { storeId, offset } = scanned;
    const key = numbered.keyOf(storeId, scanned.key, offset);
    if (reader.find(view, root.record.covered, storeId, key, 0, key.length, true) !== FOUND) return;
    const { cellBytes, cellStart, cellEnd } = reader;
    if (((cellBytes[cellStart] as number) & CELL_SEPARATE) === 0) return;
    const reference = readValueReference(segments, cellBytes, cellStart, cellEnd);
    if (reference.segment !== victim || reference.offset !== offset) return;
    const version = reader.foundVersion;
    const cell = cellBytes.slice(cellStart, cellEnd);
    const value = await readValue(segments, cell, 0, cell.length);
    const head = cellValueStart(cell, 0);
    const moved = new Uint8Array(head + VALUE_REFERENCE_BYTES);
    moved.set(cell.subarray(0, head));
    appendValue(values, segments, storeId, key, 0, key.length, value, 0, value.length, moved, head);
    push(cells, storeId, { key, cell: moved, version });
  });
}

/**
 * Values that a transaction wrote before it had a number stand under keys with a placeholder. Whether they are current is
 * asked of the items under the same user key: the one that refers to the value.
 */
class NumberedItems {
  readonly #context: RelocationContext;
  readonly #view: View;
  readonly #victim: number;
  #storeId = -1;
  #prefix: Uint8Array = new Uint8Array(0);
  /** Of the user key asked for last: keys of items by the offset of their value in the victim. */
  #keys = new Map<number, Uint8Array>();

  constructor(context: RelocationContext, view: View, victim: number) {
    this.#context = context;
    this.#view = view;
    this.#victim = victim;
  }

  /** The key of the entry whose value is at `offset`; the record's own where there is none. */
  keyOf(storeId: number, key: Uint8Array, offset: number): Uint8Array {
    if (!endsWithPlaceholder(key, 0, key.length)) return key;
    const prefix = key.slice(0, key.length - ITEM_ID_BYTES);
    if (storeId !== this.#storeId || compareKeys(prefix, this.#prefix) !== 0) this.#read(storeId, prefix);
    const item = this.#keys.get(offset);
    return item !== undefined && itemSequence(item, item.length) === itemSequence(key, key.length) ? item : key;
  }

  #read(storeId: number, prefix: Uint8Array): void {
    this.#storeId = storeId;
    this.#prefix = prefix;
    this.#keys = new Map();
    const { reader, root, segments } = this.#context;
    const cursor = reader.cursor(this.#view, root.record.covered, storeId);
    cursor.waits = true;
    for (let step = cursor.seek(prefix, 0, prefix.length); step === AT; step = cursor.next()) {
      const { keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd } = cursor;
      const prefixEnd = keyStart + prefix.length;
      if (keyEnd < prefixEnd || compareBytes(keyBytes, keyStart, prefixEnd, prefix, 0, prefix.length) !== 0) return;
      if (keyEnd - prefixEnd !== ITEM_ID_BYTES || ((cellBytes[cellStart] as number) & CELL_SEPARATE) === 0) continue;
      const reference = readValueReference(segments, cellBytes, cellStart, cellEnd);
      if (reference.segment === this.#victim) this.#keys.set(reference.offset, keyBytes.slice(keyStart, keyEnd));
    }
  }
}

function push<T>(map: Map<number, T[]>, storeId: number, item: T): void {
  const list = map.get(storeId);
  if (list === undefined) map.set(storeId, [item]);
  else list.push(item);
}

/** Sorted cells as a layer of changes: forward only. A removed entry has an undefined cell. */
export class ListCursor implements EntryCursor {
  waits = false;
  keyBytes = new Uint8Array(0);
  keyStart = 0;
  keyEnd = 0;
  cellBytes = new Uint8Array(0);
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  removed = false;
  readonly #cells: readonly { key: Uint8Array; cell: Uint8Array | undefined; version: number }[];
  #at = -1;

  constructor(cells: readonly { key: Uint8Array; cell: Uint8Array | undefined; version: number }[]) {
    this.#cells = cells;
  }

  first(): Step {
    return this.#show(0);
  }

  last(): Step {
    return this.#show(this.#cells.length - 1);
  }

  next(): Step {
    return this.#show(this.#at + 1);
  }

  previous(): Step {
    return this.#show(this.#at - 1);
  }

  seek(key: Uint8Array, start: number, end: number): Step {
    return this.#show(this.#lowerBound(key.subarray(start, end)));
  }

  seekBefore(key: Uint8Array, start: number, end: number): Step {
    return this.#show(this.#lowerBound(key.subarray(start, end)) - 1);
  }

  load(): Promise<void> {
    return Promise.resolve();
  }

  #lowerBound(key: Uint8Array): number {
    let low = 0;
    let high = this.#cells.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys((this.#cells[middle] as { key: Uint8Array }).key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #show(at: number): Step {
    this.#at = at;
    const entry = this.#cells[at];
    if (entry === undefined) return END;
    this.keyBytes = entry.key as Uint8Array<ArrayBuffer>;
    this.keyEnd = entry.key.length;
    this.removed = entry.cell === undefined;
    if (entry.cell !== undefined) this.cellBytes = entry.cell as Uint8Array<ArrayBuffer>;
    this.cellEnd = entry.cell?.length ?? 0;
    this.version = entry.version;
    return AT;
  }
}
