/**
 * Walking a whole database as a snapshot sees it, and every pinned root, and naming every broken invariant: every tree of the forest, image by
 * image; every separate value against its checksum; every segment a tree names against its row; what no checkpoint has merged yet, and what
 * waits for a decision: its runs and its separate values (the rest was checked when the log was read).
 *
 * What several roots share is walked once. The walk changes nothing and goes on after damage. Only damage is a problem of the database:
 * what a disk refuses to read, and what was reclaimed beside a reader, ends it. Invariant numbers are those of ARCHITECTURE.md.
 */
import { AbortedError, CorruptionError } from '../base/errors.ts';
import { CELL_SEPARATE } from '../codec/cell.ts';
import type { Env } from '../env/env.ts';
import { AT } from '../node/entry-cursor.ts';
import { decodeHandle, type Handle } from '../node/handle.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { CheckBuffers, type CheckResult, checkTree } from '../tree/tree-check.ts';
import { Tree } from '../tree/tree.ts';
import { TreeCursor } from '../tree/tree-cursor.ts';
import type { MemoryTable } from './memory-table.ts';
import type { KeptRoot } from './pinned-roots.ts';
import type { PreparedTransaction } from './prepared-set.ts';
import type { Segments } from './segments.ts';
import type { SnapshotReader } from './snapshot-reader.ts';
import { SEGMENT_KEY_BYTES, segmentOfKey } from './space.ts';
import { FOREST_ROW_BYTES, FOREST_STORE, SEGMENT_STORE, idOfKey } from './system-stores.ts';
import type { TreeRun } from './tree-run.ts';
import { readValueReference, readValueSync } from './value-log.ts';
import type { Root, View } from './view.ts';

export interface VerifyOptions {
  readonly env: Env;
  readonly view: View;
  readonly snapshot: number;
  readonly cache: ImageCache;
  readonly segments: Segments;
  readonly reader: SnapshotReader;
  readonly onProgress?: (progress: { store: number; entriesChecked: number; entriesTotal: number }) => void;
  readonly signal?: AbortSignal;
  /** Roots that pins keep. */
  readonly pinned: readonly KeptRoot[];
  /** Those that wait for a decision now; asked again, since one may end in the middle of it. */
  readonly prepared: () => readonly PreparedTransaction[];
  /** Throws where there is no going on. */
  readonly mustGoOn: () => void;
}

export interface Problem {
  readonly invariant: string;
  readonly message: string;
  readonly file?: string;
  readonly offset?: number;
  readonly store?: number;
}

export interface Report {
  readonly ok: boolean;
  readonly problems: readonly Problem[];
  readonly stores: number;
  readonly entries: number;
  readonly images: number;
  readonly values: number;
  readonly bytesChecked: number;
}

/** Problems listed at most; a badly damaged database would fill the memory with them. */
const MAX_PROBLEMS = 1000;
const SLICE_MS = 5;
/** Inner images remembered for the roots that share them; each stands for some hundred others. */
const MAX_KNOWN = 1_000_000;
/** Segments are far shorter: an offset and a segment's index in one number. */
const OFFSETS = 2 ** 36;

export function verifyDatabase(options: VerifyOptions): Promise<Report> {
  return new Verifier(options).run();
}

class Verifier {
  readonly #options: VerifyOptions;
  readonly #problems: Problem[] = [];
  /** Segments that the root being walked names. */
  readonly #named = new Set<number>();
  /** Inner images walked so far, where there are pins. */
  readonly #known = new Set<number>();
  readonly #buffers = new CheckBuffers();
  #entries = 0;
  #images = 0;
  #values = 0;
  #bytes = 0;
  #total = 0;

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  async run(): Promise<Report> {
    const { view } = this.#options;
    const stores = await this.#checkRoot(view.root);
    for (const table of view.tables) await this.#checkTable(table);
    for (const one of this.#options.prepared()) await this.#checkPrepared(one);
    for (const { view: pinned } of this.#options.pinned) await this.#checkRoot(pinned.root);
    return {
      ok: this.#problems.length === 0,
      problems: this.#problems,
      stores,
      entries: this.#entries,
      images: this.#images,
      values: this.#values,
      bytesChecked: this.#bytes,
    };
  }

  /** Answers how many stores it has. */
  async #checkRoot(root: Root): Promise<number> {
    const { forest } = root.record;
    this.#named.clear();
    const stores = forest === undefined ? [] : await this.#checkForest(forest);
    this.#total = stores.reduce((sum, [, handle]) => sum + handle.entries, this.#total);
    for (const [storeId, handle] of stores) if (!this.#isKnown(handle)) await this.#checkStore(storeId, handle);
    if (stores.length > 0) this.#checkRows(root);
    return stores.length;
  }

  /** Whether another root had this subtree as well. */
  #isKnown(handle: Handle): boolean {
    const known = this.#known;
    const place = handle.segment * OFFSETS + handle.offset;
    if (known.has(place)) return true;
    const isWorthIt = handle.level > 0 && this.#options.pinned.length > 0;
    if (isWorthIt && known.size < MAX_KNOWN && handle.offset < OFFSETS) known.add(place);
    return false;
  }

  /** The forest itself, then the roots it names. */
  async #checkForest(forest: Handle): Promise<[number, Handle][]> {
    const stores: [number, Handle][] = [];
    const before = this.#problems.length;
    await this.#check(FOREST_STORE, forest, false);
    if (this.#problems.length > before) return stores;
    const { cache } = this.#options;
    const cursor = new TreeCursor(cache, new Tree(forest, FOREST_STORE));
    cursor.waits = true;
    for (let step = cursor.first(); step === AT; step = cursor.next()) {
      const { keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd } = cursor;
      if (keyEnd - keyStart !== 4 || cellEnd - cellStart !== FOREST_ROW_BYTES) {
        this.#add({
          invariant: 'forest rows are a store id and a handle',
          message: 'a row of the forest is malformed',
          store: 0,
        });
        continue;
      }
      stores.push([idOfKey(keyBytes, keyStart), decodeHandle(cellBytes, cellStart + 1, cache.names)]);
    }
    return stores;
  }

  async #checkTable(table: MemoryTable): Promise<void> {
    for (const run of table.allRuns()) await this.#check(run.storeId, (run as TreeRun).tree.root, true);
    this.#entries += table.records;
    for (const storeId of table.stores()) {
      const cursor = table.store(storeId)?.cursor(this.#options.snapshot);
      let until = this.#sliceEnd();
      for (let step = cursor?.first(); cursor !== undefined && step === AT; step = cursor.next()) {
        if (cursor.removed || cursor.partial) continue;
        const { cellBytes, cellStart, cellEnd } = cursor;
        if (((cellBytes[cellStart] as number) & CELL_SEPARATE) === 0) continue;
        this.#checkValue(storeId, cellBytes, cellStart, cellEnd, false);
        if (this.#options.env.clock.monotonicMs() >= until) until = await this.#rest();
      }
    }
  }

  async #checkPrepared(one: PreparedTransaction): Promise<void> {
    const before = this.#problems.length;
    const runs: [number, Handle][] = [];
    one.visit(this.#options.cache.names, {
      run: (storeId, root) => runs.push([storeId, root]),
      separate: (storeId, bytes, start, end) => this.#checkValue(storeId, bytes, start, end, false),
    });
    for (const [storeId, root] of runs) await this.#check(storeId, root, true);
    // Decided meanwhile: its files may be gone.
    if (!this.#options.prepared().includes(one)) this.#problems.length = before;
  }

  async #checkStore(storeId: number, handle: Handle): Promise<void> {
    const before = this.#entries;
    const result = await this.#check(storeId, handle, false);
    this.#entries = before + result.entries;
    this.#options.onProgress?.({ store: storeId, entriesChecked: this.#entries, entriesTotal: this.#total });
  }

  async #check(storeId: number, root: Handle, tombstones: boolean): Promise<CheckResult> {
    const { cache, env } = this.#options;
    const work = checkTree({
      cache,
      storeId,
      root,
      tombstones,
      buffers: this.#buffers,
      ...(tombstones ? {} : { isKnown: (handle: Handle) => this.#isKnown(handle) }),
      // What only a run names gets its row from the checkpoint that merges it.
      onImage: (segment, _offset, length) => {
        if (!tombstones) this.#named.add(segment);
        this.#images++;
        this.#bytes += length;
      },
      onSeparate: (bytes, start, end) => this.#checkValue(storeId, bytes, start, end, !tombstones),
      onFault: ({ file, offset, fault }) =>
        this.#add({
          invariant: 'images are whole and where their handles say',
          message: fault,
          file,
          offset,
          store: storeId,
        }),
    });
    let until = this.#sliceEnd();
    for (;;) {
      const { done, value } = work.next();
      if (done === true) return value;
      if (value !== undefined) await value.load();
      if (env.clock.monotonicMs() >= until) until = await this.#rest();
    }
  }

  #sliceEnd(): number {
    return this.#options.env.clock.monotonicMs() + SLICE_MS;
  }

  /** Others have their turn. Answers when they have it again. */
  async #rest(): Promise<number> {
    const { env, signal, mustGoOn } = this.#options;
    await new Promise<void>((resolve) => env.timers.nextTurn(resolve));
    if (signal?.aborted === true) throw aborted(signal);
    mustGoOn();
    return this.#sliceEnd();
  }

  #checkValue(storeId: number, bytes: Uint8Array, start: number, end: number, needsRow: boolean): void {
    const { segments } = this.#options;
    try {
      const reference = readValueReference(segments, bytes, start, end);
      if (needsRow) this.#named.add(reference.segment);
      this.#values++;
      this.#bytes += readValueSync(segments, bytes, start, end).length;
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      const { file, offset } = error.details as { file?: string; offset?: number };
      this.#add({
        invariant: 'separate values are whole and where their references say',
        message: error.message,
        store: storeId,
        ...(file === undefined ? {} : { file }),
        ...(offset === undefined ? {} : { offset }),
      });
    }
  }

  /** Every segment that a tree names must have a row: what has none is taken for nobody's. */
  #checkRows(root: Root): void {
    const { reader, cache, segments } = this.#options;
    const rows = new Set<number>();
    const tree = reader.tree(root, SEGMENT_STORE);
    if (tree !== undefined) {
      const cursor = new TreeCursor(cache, tree);
      cursor.waits = true;
      for (let step = cursor.first(); step === AT; step = cursor.next()) {
        if (cursor.keyEnd - cursor.keyStart === SEGMENT_KEY_BYTES) {
          rows.add(segmentOfKey(cache.names, cursor.keyBytes, cursor.keyStart, cursor.keyEnd));
        } else {
          this.#add({
            invariant: 'segment rows are a name and its space',
            message: 'a row of the segment store is malformed',
            store: SEGMENT_STORE,
          });
        }
      }
    }
    for (const segment of this.#named) {
      if (rows.has(segment)) continue;
      const file = segments.path(segment);
      this.#add({
        invariant: 'every segment a root names has a row',
        message: `${file} is named by a tree but has no row in the segment store`,
        file,
        store: SEGMENT_STORE,
      });
    }
  }

  #add(problem: Problem): void {
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push(problem);
  }
}

function aborted(signal: AbortSignal): AbortedError {
  return new AbortedError('the verification was aborted by its signal', { cause: signal.reason });
}
