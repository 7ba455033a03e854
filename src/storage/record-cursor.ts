/**
 * A position in a record index, as of a snapshot: of each key the newest record up to it. Keys whose only visible record
 * was taken back (OP_NOOP) are passed over; removals are shown with `removed`; a record that a newer range removal of the
 * same index hides is shown as removed, with the removal's version; an increment is shown with what it is added to, or as
 * `partial` where that is not for this index alone to say.
 *
 * Never answers MISS. Inserts into the index between two moves do no harm: the cursor looks its place up again.
 */
import { createdCell, incrementedCell } from '../codec/counter.ts';
import { OP_INCREMENT, OP_NOOP, OP_PUT } from '../log/record.ts';
import { AT, END, type EntryCursor, type Step } from '../node/entry-cursor.ts';
import { BASE_NOTHING, incrementBase } from './increments.ts';
import { type IndexNodes, NODE_SHIFT } from './index-nodes.ts';
import { type RangeRemovals, RemovalWindow } from './range-removals.ts';
import type { RecordArena } from './record-arena.ts';

/** What the cursor needs of its index. */
export interface CursorIndex {
  readonly arena: RecordArena;
  readonly nodes: IndexNodes;
  readonly baseNumber: number;
  readonly keys: number;
  readonly changes: number;
  readonly linked: boolean;
  readonly firstLeaf: number;
  readonly lastLeaf: number;
  readonly foundSlot: number;
  readonly removals: RangeRemovals | undefined;
  readonly overRuns: boolean;
  seekLeaf(key: Uint8Array, start: number, end: number): number;
}

export class RecordCursor implements EntryCursor {
  waits = false;
  keyBytes: Uint8Array;
  keyStart = 0;
  keyEnd = 0;
  cellBytes: Uint8Array;
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  removed = false;
  partial = false;
  /** Removed by a range alone: a record of the same transaction in another layer counts over it. */
  hidden = false;
  /** The record that is shown; 0 while the cursor is nowhere. */
  address = 0;

  readonly index: CursorIndex;
  /** Absolute. */
  readonly snapshot: number;
  readonly #nodes: IndexNodes;
  #window: RemovalWindow | undefined = undefined;
  #leaf = 0;
  #slot = 0;
  #changes = 0;

  constructor(index: CursorIndex, snapshot: number) {
    this.index = index;
    this.snapshot = snapshot;
    this.#nodes = index.nodes;
    this.keyBytes = index.arena.bytes;
    this.cellBytes = index.arena.bytes;
  }

  seek(key: Uint8Array, start: number, end: number): Step {
    if (!this.#place(key, start, end)) return this.#nowhere();
    return this.#settleForward();
  }

  seekBefore(key: Uint8Array, start: number, end: number): Step {
    if (!this.#place(key, start, end)) return this.#nowhere();
    this.#slot--;
    return this.#settleBackward();
  }

  first(): Step {
    if (this.index.keys === 0) return this.#nowhere();
    this.#changes = this.index.changes;
    this.#leaf = this.index.firstLeaf;
    this.#slot = 0;
    this.#touch();
    return this.#settleForward();
  }

  last(): Step {
    if (this.index.keys === 0) return this.#nowhere();
    this.#changes = this.index.changes;
    this.#leaf = this.index.lastLeaf;
    this.#slot = (this.#nodes.leafCount[this.#leaf] as number) - 1;
    this.#touch();
    return this.#settleBackward();
  }

  next(): Step {
    if (this.address === 0) return END;
    if (this.#changes !== this.index.changes) this.#placeAgain();
    this.#slot++;
    return this.#settleForward();
  }

  previous(): Step {
    if (this.address === 0) return END;
    if (this.#changes !== this.index.changes) this.#placeAgain();
    this.#slot--;
    return this.#settleBackward();
  }

  load(): Promise<void> {
    return Promise.resolve();
  }

  #place(key: Uint8Array, start: number, end: number): boolean {
    const index = this.index;
    if (index.keys === 0) return false;
    this.#changes = index.changes;
    this.#leaf = index.seekLeaf(key, start, end);
    this.#slot = index.foundSlot;
    return true;
  }

  /** Entries moved since the last step: the current record's key is still there, somewhere. */
  #placeAgain(): void {
    const arena = this.index.arena;
    this.#place(arena.bytes, arena.keyStart(this.address), arena.keyEnd(this.address));
  }

  #nowhere(): Step {
    this.address = 0;
    return END;
  }

  #settleForward(): Step {
    const nodes = this.#nodes;
    for (;;) {
      if (this.#slot >= (nodes.leafCount[this.#leaf] as number)) {
        this.#leaf = nodes.leafNext[this.#leaf] as number;
        if (this.#leaf === 0) return this.#nowhere();
        this.#slot = 0;
        this.#touch();
      }
      if (this.#show(nodes.leafRefs[(this.#leaf << NODE_SHIFT) + this.#slot] as number)) return AT;
      this.#slot++;
    }
  }

  #settleBackward(): Step {
    const nodes = this.#nodes;
    for (;;) {
      if (this.#slot < 0) {
        this.#leaf = nodes.leafPrevious[this.#leaf] as number;
        if (this.#leaf === 0) return this.#nowhere();
        this.#slot = (nodes.leafCount[this.#leaf] as number) - 1;
        this.#touch();
      }
      if (this.#show(nodes.leafRefs[(this.#leaf << NODE_SHIFT) + this.#slot] as number)) return AT;
      this.#slot--;
    }
  }

  /** Asks for all records of a leaf at once: the memory accesses overlap, where one a step would each be waited for. */
  #touch(): void {
    const nodes = this.#nodes;
    const words = this.index.arena.words;
    const refs = nodes.leafRefs;
    const base = this.#leaf << NODE_SHIFT;
    const end = base + (nodes.leafCount[this.#leaf] as number);
    let sum = 0;
    for (let i = base; i < end; i++) sum ^= words[refs[i] as number] as number;
    this.touched = sum;
  }
  /** Keeps the loop above from being dropped as dead code. */
  touched = 0;

  /** Shows the visible version of a key; false where there is none. */
  #show(newest: number): boolean {
    const index = this.index;
    const arena = index.arena;
    const words = arena.words;
    const visible = this.snapshot - index.baseNumber;
    let address = newest;
    while ((words[address + 2] as number) > visible) {
      address = words[address + 3] as number;
      if (address === 0) return false;
    }
    const word0 = words[address] as number;
    const op = word0 & 0xff;
    if (op === OP_NOOP) return false;
    const keyLength = word0 >>> 16;
    const start = (address + 4) * 4;
    this.address = address;
    this.keyBytes = arena.bytes;
    this.keyStart = start;
    this.keyEnd = start + keyLength;
    this.cellBytes = arena.bytes;
    this.cellStart = start + ((keyLength + 3) & ~3);
    this.cellEnd = this.cellStart + (words[address + 1] as number);
    this.version = index.baseNumber + (words[address + 2] as number);
    this.removed = op !== OP_PUT;
    this.hidden = false;
    if (this.removed) this.#showNoPut(address, op);
    if (index.removals !== undefined) this.#hide();
    return true;
  }

  #showNoPut(address: number, op: number): void {
    this.partial = false;
    if (op === OP_INCREMENT) this.#showIncrement(address);
    else this.cellEnd = this.cellStart;
  }

  #showIncrement(address: number): void {
    const { arena, overRuns } = this.index;
    const base = incrementBase(arena.words, address);
    if (base === 0 || overRuns) {
      this.partial = true;
      return;
    }
    const { bytes } = arena;
    const { cellStart, cellEnd } = this;
    const isPut = base !== BASE_NOTHING && ((arena.words[base] as number) & 0xff) === OP_PUT;
    const from = isPut ? arena.cellStart(base) : 0;
    const cell = isPut
      ? incrementedCell(bytes, from, from + arena.cellLength(base), bytes, cellStart, cellEnd)
      : createdCell(bytes, cellStart, cellEnd);
    this.cellEnd = cellStart;
    if (cell === undefined) return;
    this.removed = false;
    this.cellBytes = cell;
    this.cellStart = 0;
    this.cellEnd = cell.length;
  }

  #hide(): void {
    const index = this.index;
    if (index.removals === undefined) return;
    if (this.#window === undefined || this.#window.removals !== index.removals) {
      this.#window = new RemovalWindow(index.removals, this.snapshot);
    }
    const version = this.#window.versionAt(this.keyBytes, this.keyStart, this.keyEnd);
    if (version <= this.version) return;
    this.version = version;
    this.removed = true;
    this.partial = false;
    this.hidden = true;
    this.cellEnd = this.cellStart;
  }
}
