/**
 * What a transaction does with changes past its memory bound: sorted runs in its own segments, adopted whole by its commit.
 *
 *  1. One run is one segment file, named by nobody until the commit; a rollback removes it.
 *  2. Range removals stay in the write buffer: a run holds records of keys only, which count over them.
 *  3. Newer runs come first; of one key the newest run's entry counts.
 */
import { MAX_KEY_BYTES } from '../base/limits.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { AT, type EntryCursor, MISS } from '../node/entry-cursor.ts';
import { MovingCursor } from '../storage/cell-mover.ts';
import { LayeredCursor } from '../storage/layered-cursor.ts';
import type { FoundEntry } from '../storage/run.ts';
import { fewLayers } from '../storage/run-layers.ts';
import { SEGMENT_RUN, type SegmentFactory, SegmentWriter } from '../storage/segment-writer.ts';
import { type RunContext, TreeRun } from '../storage/tree-run.ts';
import { PENDING_NUMBER, type WriteBuffer } from '../storage/write-buffer.ts';
import { TreeBuilder } from '../tree/tree-build.ts';
import { ABSENT, FOUND, type FindResult, NOT_LOADED } from '../storage/find-result.ts';

/** Runs a store may have while its transaction goes on, and when it commits. */
const MAX_OPEN_RUNS = 16;
export const MAX_COMMITTED_RUNS = 4;
/** One run is one file with 32-bit offsets. */
const MAX_RUN_BYTES = 3 * 1024 * 1024 * 1024;

export interface SpillContext {
  readonly cache: ImageCache;
  readonly factory: SegmentFactory;
  readonly runs: RunContext;
  /** Where values go that are too long for a leaf. */
  readonly values: SegmentWriter;
}

export interface SpilledRun {
  readonly run: TreeRun;
  readonly writer: SegmentWriter;
  readonly sizeBytes: number;
}

/** The runs there are, to come back to. */
export type SpillMark = readonly SpilledRun[];

/** The spilled runs of one store in one transaction. */
export class StoreSpill {
  readonly #context: SpillContext;
  readonly #storeId: number;
  readonly #onValue: (segment: number) => void;
  readonly #numbered: boolean;
  #spilled: SpilledRun[] = [];

  /** `onValue` hears of each segment that values are moved to; `numbered`: keys end with the number of their commit. */
  constructor(context: SpillContext, storeId: number, onValue: (segment: number) => void, numbered = false) {
    this.#context = context;
    this.#storeId = storeId;
    this.#onValue = onValue;
    this.#numbered = numbered;
  }

  /** Newest first. */
  get runs(): readonly TreeRun[] {
    return this.#spilled.map((one) => one.run);
  }

  readonly found: FoundEntry = { cellBytes: new Uint8Array(0), cellStart: 0, cellEnd: 0, version: 0, removed: false };

  /** FOUND leaves the cell in `found`; undefined where no run knows the key. */
  find(key: Uint8Array, start: number, end: number, waits: boolean): FindResult | undefined {
    this.#context.runs.lookup.waits = waits;
    for (const { run } of this.#spilled) {
      if (!run.mayContain(key, start, end)) continue;
      const step = run.find(key, start, end, this.found);
      if (step === MISS) return NOT_LOADED;
      if (step === AT) return this.found.removed ? ABSENT : FOUND;
    }
    return undefined;
  }

  /**
   * Moves the records of `buffer`, in which there are no increments, to a run. Its range removals stay: in `rest`, which is
   * empty, or the buffer itself. `mayMerge`: no mark holds runs.
   */
  spill(buffer: WriteBuffer, rest: WriteBuffer, mayMerge: boolean): void {
    const removals = buffer.removals?.disjoint() ?? [];
    const run = this.#write(buffer.cursor());
    if (rest === buffer) buffer.reset();
    for (const range of removals) rest.clearRange(range.lower, range.upper);
    if (run !== undefined) this.#spilled.unshift(run);
    if (mayMerge && this.#spilled.length > MAX_OPEN_RUNS) this.#mergeDownTo(1);
  }

  /** Removes the runs that hold nothing outside of [lower, upper), which is removed; but those that `isHeld`. */
  dropWithin(lower: Uint8Array | undefined, upper: Uint8Array | undefined, isHeld: (one: SpilledRun) => boolean): void {
    const dropped = this.#spilled.filter((one) => one.run.isWithin(lower, upper) && !isHeld(one));
    this.#spilled = this.#spilled.filter((one) => !dropped.includes(one));
    for (const one of dropped) this.#dropLater(one);
  }

  mark(): SpillMark {
    return [...this.#spilled];
  }

  /** Removes the runs written since the mark; all where none is given. */
  rollbackTo(mark: SpillMark = []): void {
    const later = this.#spilled.filter((one) => !mark.includes(one));
    this.#spilled = [...mark];
    for (const one of later) this.#dropLater(one);
  }

  /** Everything durable, few enough runs to be adopted. */
  async finish(): Promise<void> {
    if (this.#spilled.length > MAX_COMMITTED_RUNS) this.#mergeDownTo(MAX_COMMITTED_RUNS);
    for (const { writer } of this.#spilled) {
      writer.finish();
      await writer.sync();
    }
  }

  /** Removes the files: the transaction did not commit. */
  discard(): void {
    for (const one of this.#spilled.splice(0)) this.#dropLater(one);
  }

  /** Merges the smallest neighbours until `count` are left, as far as file sizes allow. */
  #mergeDownTo(count: number): void {
    while (this.#spilled.length > count) {
      const [from, to] = this.#groupToMerge(count);
      if (to - from < 2) return;
      const group = this.#spilled.slice(from, to);
      // While there are savepoints runs are not merged: any number may have come together.
      const layers = fewLayers(group.map((one) => ({ cursor: one.run.cursor(), snapshot: PENDING_NUMBER })));
      const cursor = new LayeredCursor(layers, { showRemoved: true });
      const merged = this.#write(cursor);
      this.#spilled.splice(from, to - from, ...(merged === undefined ? [] : [merged]));
      for (const one of group) this.#dropLater(one);
    }
  }

  /** The newest runs, as many as must go and fit one file: they are the small ones. */
  #groupToMerge(count: number): [number, number] {
    const wanted = this.#spilled.length - count + 1;
    let bytes = 0;
    let taken = 0;
    while (taken < this.#spilled.length && taken < wanted) {
      bytes += (this.#spilled[taken] as SpilledRun).sizeBytes;
      if (taken > 0 && bytes > MAX_RUN_BYTES) break;
      taken++;
    }
    return [0, taken];
  }

  /** All of it, or nothing: then it throws. */
  #write(entries: EntryCursor): SpilledRun | undefined {
    const writer = new SegmentWriter(this.#context.factory, SEGMENT_RUN, Number.POSITIVE_INFINITY);
    try {
      return this.#writeTo(writer, entries);
    } catch (error) {
      // Its file takes room that may be missing.
      this.#remove(writer, writer.written).catch(() => {});
      throw error;
    }
  }

  #writeTo(writer: SegmentWriter, entries: EntryCursor): SpilledRun | undefined {
    const { cache, factory, runs } = this.#context;
    const builder = new TreeBuilder({ storeId: this.#storeId, sink: writer, names: cache.names, tombstones: true });
    let first: Uint8Array | undefined;
    const last = new KeyKeeper();
    entries.waits = true;
    const onReference = ({ segment }: { segment: number }): void => this.#onValue(segment);
    const cursor = new MovingCursor(entries, this.#storeId, this.#context.values, factory.segments, { onReference });
    for (let step = cursor.first(); step === AT; step = cursor.next()) {
      first ??= cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd);
      const { keyBytes, keyStart, keyEnd } = cursor;
      if (cursor.removed) builder.appendRemoved(keyBytes, keyStart, keyEnd, 0);
      else builder.append(keyBytes, keyStart, keyEnd, cursor.cellBytes, cursor.cellStart, cursor.cellEnd, 0);
      last.keep(keyBytes, keyStart, keyEnd);
    }
    const root = builder.finish();
    if (root === undefined || first === undefined) return undefined;
    const run = new TreeRun(runs, this.#storeId, root, first, last.copy(), PENDING_NUMBER, this.#numbered);
    const sizeBytes = writer.currentOffset;
    // Lets go of its buffer: a transaction has many runs.
    writer.finish();
    return { run, writer, sizeBytes };
  }

  /** A file that can not be removed now is swept by the next opening: no root names it. */
  #dropLater(one: SpilledRun): void {
    this.#drop(one).catch(() => {});
  }

  #drop({ run, writer }: SpilledRun): Promise<void> {
    return this.#remove(writer, [run.tree.root.segment]);
  }

  async #remove(writer: SegmentWriter, files: readonly number[]): Promise<void> {
    const { cache, factory } = this.#context;
    await writer.close();
    for (const file of files) {
      cache.forget(file);
      factory.segments.removeFile(file);
    }
  }
}

/** The last key seen, without an allocation per key. */
class KeyKeeper {
  readonly #bytes = new Uint8Array(MAX_KEY_BYTES);
  #length = 0;

  keep(key: Uint8Array, start: number, end: number): void {
    this.#length = end - start;
    for (let i = 0; i < this.#length; i++) this.#bytes[i] = key[start + i] as number;
  }

  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}
