/**
 * Roots that are kept for reading though newer ones were adopted: the pins of the pin store, and what a backup copies.
 *
 *  1. Which pins there are is what the pin store says as of now, and nothing else: a pin counts from the moment its row is
 *     durable, until the removal of its row is.
 *  2. What a kept root names is what its own segment store has rows for (space.ts, invariant 2). None of it is removed.
 *  3. A root that somebody reads through stays kept to the end of that reading, whatever became of its pin.
 *  4. Where the segments of a pin can not be told, since its root is damaged, nothing at all is removed while it stands.
 */
import { equalBytes } from '../base/bytes.ts';
import { SopError } from '../base/errors.ts';
import { AT } from '../node/entry-cursor.ts';
import type { ImageCache } from '../node/image-cache.ts';
import type { DatabaseState } from './database-state.ts';
import { decodePinRow } from './pin-row.ts';
import type { SnapshotReader } from './snapshot-reader.ts';
import { FOUND } from './find-result.ts';
import { loadSpace } from './load-space.ts';
import { Space } from './space.ts';
import { PIN_STORE } from './system-stores.ts';
import { makeRoot, View } from './view.ts';

export interface PinnedRootsContext {
  readonly state: DatabaseState;
  readonly reader: SnapshotReader;
  readonly cache: ImageCache;
  backgroundError(error: unknown): void;
}

/** What a kept root names of a segment. */
export interface NamedSegment {
  readonly totalBytes: number;
  readonly liveBytes: number;
}

export interface KeptRoot {
  /** Of the pin; undefined for a backup's. */
  readonly name: string | undefined;
  readonly pinnedAtMs: number;
  /** The pin's row. */
  readonly cell: Uint8Array;
  /** The root alone, without tables. */
  readonly view: View;
}

class Kept implements KeptRoot {
  readonly name: string | undefined;
  readonly cell: Uint8Array;
  readonly pinnedAtMs: number;
  readonly view: View;
  /** Readers of it, and backups. */
  users = 0;
  /** The pin store has no such row any more. */
  isGone = false;
  /** Undefined: not looked at yet. */
  segments: ReadonlyMap<number, NamedSegment> | undefined;

  constructor(name: string | undefined, cell: Uint8Array, pinnedAtMs: number, view: View) {
    this.name = name;
    this.cell = cell;
    this.pinnedAtMs = pinnedAtMs;
    this.view = view;
  }
}

const NO_CELL = new Uint8Array(0);

export class PinnedRoots {
  readonly #context: PinnedRootsContext;
  readonly #byName = new Map<string, Kept>();
  readonly #byView = new Map<View, Kept>();
  /** Dead in the current root, kept for a pin. */
  #held: number[] = [];
  /** All segments that kept roots name; undefined where that has to be put together anew. */
  #named: Map<number, NamedSegment> | undefined = new Map();
  /** See invariant 4. */
  #keepsAll = false;

  constructor(context: PinnedRootsContext) {
    this.#context = context;
  }

  /** All pins as of now, by name. Waits for the disk. */
  list(): KeptRoot[] {
    this.refresh();
    return [...this.#byName.values()];
  }

  /** The pin of this name as of now. */
  find(name: string, key: Uint8Array): KeptRoot | undefined {
    const { reader, state } = this.#context;
    const found = reader.find(state.view, state.durable, PIN_STORE, key, 0, key.length, true);
    if (found !== FOUND) return undefined;
    return this.#register(name, reader.cellBytes.slice(reader.cellStart, reader.cellEnd));
  }

  /** From now on somebody reads through it. */
  use(kept: KeptRoot): void {
    (kept as Kept).users++;
  }

  /** The other end of `use`. True where something may be removed now. */
  release(view: View): boolean {
    const kept = this.#byView.get(view);
    if (kept === undefined || --kept.users > 0 || !kept.isGone) return false;
    return this.#forget(kept);
  }

  /**
   * Keeps a root, and the pinned ones it knows of, until `release`. `others`: pins that its pin store names; `more`: segments
   * that no tree names.
   */
  hold(view: View, others: readonly KeptRoot[], more: Iterable<number>): KeptRoot {
    const held = new Kept(undefined, NO_CELL, 0, view);
    held.users = 1;
    held.isGone = true;
    const all = new Map<number, NamedSegment>();
    merge(all, this.#segmentsOf(view));
    for (const other of others) merge(all, this.segmentsOf(other));
    for (const index of more) merge(all, new Map([[index, { totalBytes: 0, liveBytes: 0 }]]));
    held.segments = all;
    this.#byView.set(view, held);
    this.#named = undefined;
    return held;
  }

  /** What it names of each segment; for a backup's, what its pins name as well. */
  segmentsOf(kept: KeptRoot): ReadonlyMap<number, NamedSegment> {
    (kept as Kept).segments ??= this.#segmentsOf(kept.view);
    return (kept as Kept).segments as ReadonlyMap<number, NamedSegment>;
  }

  /** Takes notice of what the pin store says now. True where something may be removed now. */
  refresh(): boolean {
    const seen = new Set<string>();
    for (const { name, cell } of this.#rows()) {
      seen.add(name);
      this.#register(name, cell);
    }
    let freed = false;
    for (const [name, kept] of this.#byName) {
      if (!seen.has(name)) freed = this.#gone(kept) || freed;
    }
    return freed;
  }

  /** Segments that must stay, with what the kept roots name of them; undefined where it must be all of them. */
  segments(): ReadonlyMap<number, NamedSegment> | undefined {
    this.refresh();
    const named = this.#union();
    return this.#keepsAll ? undefined : named;
  }

  /** Whether a backup copies the segment, perhaps to the end that the file had when it began. */
  isCopied(index: number): boolean {
    for (const kept of this.#byView.values()) {
      if (kept.name === undefined && this.segmentsOf(kept).has(index)) return true;
    }
    return false;
  }

  /** Of segments that the current root does not need: those that may be removed. The others are kept in mind. */
  withhold(free: readonly number[]): number[] {
    const named = this.segments();
    if (named !== undefined && named.size === 0) return [...free];
    const removable: number[] = [];
    for (const index of free) {
      if (named === undefined || named.has(index)) this.#held.push(index);
      else removable.push(index);
    }
    return removable;
  }

  /** Bytes of files that are there for pins alone. */
  heldBytes(space: Space): number {
    if (this.#byView.size === 0) return 0;
    let held = 0;
    for (const [index, { totalBytes }] of this.#union()) if (!space.segments.has(index)) held += totalBytes;
    return held;
  }

  /** Bytes that nothing but pins keeps, about: whole files, and what is dead but for them in others. */
  keptBytes(space: Space): number {
    this.refresh();
    let kept = this.heldBytes(space);
    for (const [index, { liveBytes }] of this.#union()) {
      const row = space.segments.get(index);
      if (row !== undefined) kept += Math.max(0, liveBytes - row.liveBytes);
    }
    return kept;
  }

  /** The rows of the pin store in a root, which may be an older one. */
  rowsOf(view: View): { name: string; cell: Uint8Array }[] {
    return this.#readRows(view, view.root.record.covered);
  }

  #rows(): { name: string; cell: Uint8Array }[] {
    const { view, durable } = this.#context.state;
    return this.#readRows(view, durable);
  }

  #readRows(view: View, snapshot: number): { name: string; cell: Uint8Array }[] {
    const { reader } = this.#context;
    const rows: { name: string; cell: Uint8Array }[] = [];
    const isEmpty = view.tables.every((table) => table.store(PIN_STORE) === undefined);
    if (isEmpty && reader.tree(view.root, PIN_STORE) === undefined) return rows;
    const cursor = reader.cursor(view, snapshot, PIN_STORE);
    cursor.waits = true;
    for (let step = cursor.first(); step === AT; step = cursor.next()) {
      const name = new TextDecoder().decode(cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd));
      rows.push({ name, cell: cursor.cellBytes.slice(cursor.cellStart, cursor.cellEnd) });
    }
    return rows;
  }

  #register(name: string, cell: Uint8Array): Kept {
    const known = this.#byName.get(name);
    if (known !== undefined && equalBytes(known.cell, cell)) return known;
    if (known !== undefined) this.#gone(known);
    const { pinnedAtMs, root } = decodePinRow(cell, this.#context.cache.names);
    const kept = new Kept(name, cell, pinnedAtMs, new View(makeRoot(root, new Map()), []));
    this.#byName.set(name, kept);
    this.#byView.set(kept.view, kept);
    this.#named = undefined;
    return kept;
  }

  #gone(kept: Kept): boolean {
    kept.isGone = true;
    if (this.#byName.get(kept.name as string) === kept) this.#byName.delete(kept.name as string);
    return kept.users === 0 && this.#forget(kept);
  }

  /** Nobody wants it any more: what was held for it alone may go as soon as nobody reads an older root. */
  #forget(kept: Kept): boolean {
    this.#byView.delete(kept.view);
    this.#named = undefined;
    const named = this.#union();
    if (this.#keepsAll) return false;
    const freed = this.#held.filter((index) => !named.has(index));
    if (freed.length === 0) return false;
    this.#held = this.#held.filter((index) => named.has(index));
    const { state } = this.#context;
    state.reclaims.add({ covered: state.view.root.record.covered, segments: freed });
    return true;
  }

  #union(): ReadonlyMap<number, NamedSegment> {
    if (this.#named !== undefined) return this.#named;
    const all = new Map<number, NamedSegment>();
    this.#keepsAll = false;
    for (const kept of this.#byView.values()) {
      try {
        merge(all, this.segmentsOf(kept));
      } catch (error) {
        if (!(error instanceof SopError) || (error.code !== 'CORRUPTION' && error.code !== 'TOO_OLD')) throw error;
        this.#keepsAll = true;
        this.#context.backgroundError(error);
      }
    }
    this.#named = all;
    return all;
  }

  #segmentsOf(view: View): ReadonlyMap<number, NamedSegment> {
    const { reader, cache } = this.#context;
    const rows = new Space(cache.names);
    loadSpace(rows, view.root, reader, cache);
    return rows.segments;
  }
}

function merge(all: Map<number, NamedSegment>, more: ReadonlyMap<number, NamedSegment>): void {
  for (const [index, { totalBytes, liveBytes }] of more) {
    const known = all.get(index);
    all.set(index, {
      totalBytes: Math.max(totalBytes, known?.totalBytes ?? 0),
      liveBytes: Math.max(liveBytes, known?.liveBytes ?? 0),
    });
  }
}
