/**
 * What a snapshot reads: a root and the memory tables above it, newest first.
 *
 *  1. A view never changes: freezing a table or adopting a root makes a new view; who holds an old one goes on reading it.
 *  2. A snapshot S sees of every table only what is not newer than S, so the active table may grow under it.
 *  3. A view in use keeps its tables and every segment its root names.
 */
import { Tree } from '../tree/tree.ts';
import type { MemoryTable } from './memory-table.ts';
import type { RootRecord } from './root.ts';
import { FOREST_STORE } from './system-stores.ts';

/** An adopted root with the trees that were looked up in its forest so far. */
export interface Root {
  readonly record: RootRecord;
  /** The forest itself; undefined where nothing was ever checkpointed. */
  readonly forest: Tree | undefined;
  readonly trees: Map<number, Tree | undefined>;
}

export function makeRoot(record: RootRecord, trees: Map<number, Tree | undefined>): Root {
  return { record, forest: record.forest && new Tree(record.forest, FOREST_STORE), trees };
}

export class View {
  readonly root: Root;
  /** Newest first; the first is the active table, the others are frozen and await their root. */
  readonly tables: readonly MemoryTable[];
  /** Snapshots that read through this view. */
  users = 0;

  constructor(root: Root, tables: readonly MemoryTable[]) {
    this.root = root;
    this.tables = tables;
  }

  get active(): MemoryTable {
    return this.tables[0] as MemoryTable;
  }
}

/** The views somebody reads through, and the newest one. */
export class Views {
  #current: View;
  readonly #used = new Set<View>();

  constructor(first: View) {
    this.#current = first;
  }

  get current(): View {
    return this.#current;
  }

  acquire(): View {
    const view = this.#current;
    if (view.users++ === 0) this.#used.add(view);
    return view;
  }

  /** True where this was the view's last user. */
  release(view: View): boolean {
    if (--view.users > 0) return false;
    this.#used.delete(view);
    return true;
  }

  replace(view: View): void {
    this.#current = view;
  }

  /** Covered number of the oldest root anyone reads. */
  oldestRoot(): number {
    let oldest = this.#current.root.record.covered;
    for (const view of this.#used) oldest = Math.min(oldest, view.root.record.covered);
    return oldest;
  }

  isTableUsed(table: MemoryTable): boolean {
    if (this.#current.tables.includes(table)) return true;
    for (const view of this.#used) if (view.tables.includes(table)) return true;
    return false;
  }
}
