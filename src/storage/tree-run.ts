/**
 * Runs as they really are: trees in a writer's own segment, named in the log by a descriptor.
 *
 * Descriptor: 40-byte handle of the run's root, u16 length of the first key, u16 length of the last key, both keys.
 * The highest bit of the first length says that keys may end with a placeholder for the commit's number (item-run.ts).
 * A run's leaves carry version 0 (the number is given by the commit, later); its cursor shows the commit's number instead.
 */
import { compareBytes, compareKeys, readU16, writeU16 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { CELL_TOMBSTONE } from '../codec/cell.ts';
import { RUN_HOLDS_PLACEHOLDERS } from '../log/placeholder.ts';
import { AT, END, type EntryCursor, MISS, type Step } from '../node/entry-cursor.ts';
import { decodeHandle, encodeHandle, HANDLE_BYTES, type Handle, type SegmentNames } from '../node/handle.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { Tree } from '../tree/tree.ts';
import { TreeCursor } from '../tree/tree-cursor.ts';
import { FOUND, type TreeLookup } from '../tree/tree-lookup.ts';
import { ItemRunCursor, keyInRun, numberedKey } from './item-run.ts';
import type { FoundEntry, Run } from './run.ts';
import { PENDING_NUMBER } from './write-buffer.ts';

/** What reading a run needs: the cache, and the lookup whose `load` the caller awaits after MISS. */
export interface RunContext {
  readonly cache: ImageCache;
  readonly names: SegmentNames;
  readonly lookup: TreeLookup;
}

const FIXED_BYTES = HANDLE_BYTES + 4;

export function encodeRunDescriptor(
  root: Handle,
  names: SegmentNames,
  first: Uint8Array,
  last: Uint8Array,
  holdsPlaceholders = false,
): Uint8Array {
  const bytes = new Uint8Array(FIXED_BYTES + first.length + last.length);
  encodeHandle(root, names, bytes, 0);
  writeU16(bytes, HANDLE_BYTES, first.length | (holdsPlaceholders ? RUN_HOLDS_PLACEHOLDERS : 0));
  writeU16(bytes, HANDLE_BYTES + 2, last.length);
  bytes.set(first, FIXED_BYTES);
  bytes.set(last, FIXED_BYTES + first.length);
  return bytes;
}

/** The run that a descriptor in the log names. `CorruptionError` where it is malformed. */
export function openRun(context: RunContext, storeId: number, descriptor: Uint8Array, number: number): TreeRun {
  const word = descriptor.length < FIXED_BYTES ? -1 : readU16(descriptor, HANDLE_BYTES);
  const firstLength = word < 0 ? -1 : word & ~RUN_HOLDS_PLACEHOLDERS;
  if (firstLength < 0 || descriptor.length !== FIXED_BYTES + firstLength + readU16(descriptor, HANDLE_BYTES + 2)) {
    throw new CorruptionError('the descriptor of a run is malformed', { details: { storeId, number } });
  }
  const root = decodeHandle(descriptor, 0, context.names);
  const first = descriptor.slice(FIXED_BYTES, FIXED_BYTES + firstLength);
  const last = descriptor.slice(FIXED_BYTES + firstLength);
  return new TreeRun(context, storeId, root, first, last, number, (word & RUN_HOLDS_PLACEHOLDERS) !== 0);
}

export class TreeRun implements Run {
  readonly storeId: number;
  readonly number: number;
  readonly tree: Tree;
  readonly #context: RunContext;
  readonly #first: Uint8Array;
  readonly #last: Uint8Array;
  readonly #holdsPlaceholders: boolean;
  /** Its keys are read with the number in place of the placeholder: not by the transaction itself, which has none yet. */
  readonly #fills: boolean;
  /** The first and the last key as they are read. */
  readonly #lowest: Uint8Array;
  readonly #highest: Uint8Array;

  constructor(
    context: RunContext,
    storeId: number,
    root: Handle,
    first: Uint8Array,
    last: Uint8Array,
    number: number,
    holdsPlaceholders = false,
  ) {
    this.#context = context;
    this.storeId = storeId;
    this.number = number;
    this.tree = new Tree(root, storeId);
    this.#first = first;
    this.#last = last;
    this.#holdsPlaceholders = holdsPlaceholders;
    this.#fills = holdsPlaceholders && number !== PENDING_NUMBER;
    this.#lowest = this.#fills ? numberedKey(first, number) : first;
    this.#highest = this.#fills ? numberedKey(last, number) : last;
  }

  get entries(): number {
    return this.tree.root.entries;
  }

  /** The same run under the number its transaction was given. */
  numbered(number: number): TreeRun {
    return new TreeRun(
      this.#context,
      this.storeId,
      this.tree.root,
      this.#first,
      this.#last,
      number,
      this.#holdsPlaceholders,
    );
  }

  descriptor(): Uint8Array {
    return encodeRunDescriptor(this.tree.root, this.#context.names, this.#first, this.#last, this.#holdsPlaceholders);
  }

  mayContain(key: Uint8Array, start: number, end: number): boolean {
    return (
      compareBytes(key, start, end, this.#lowest, 0, this.#lowest.length) >= 0 &&
      compareBytes(key, start, end, this.#highest, 0, this.#highest.length) <= 0
    );
  }

  mayOverlap(lower: Uint8Array | undefined, upper: Uint8Array | undefined): boolean {
    if (lower !== undefined && compareBytes(lower, 0, lower.length, this.#highest, 0, this.#highest.length) > 0)
      return false;
    return upper === undefined || compareBytes(upper, 0, upper.length, this.#lowest, 0, this.#lowest.length) > 0;
  }

  /** Whether none of its keys is outside of [lower, upper). */
  isWithin(lower: Uint8Array | undefined, upper: Uint8Array | undefined): boolean {
    if (lower !== undefined && compareKeys(this.#lowest, lower) < 0) return false;
    return upper === undefined || compareKeys(this.#highest, upper) < 0;
  }

  find(key: Uint8Array, start: number, end: number, found: FoundEntry): Step {
    if (!this.#fills) return this.#find(key, start, end, found);
    const held = keyInRun(key, start, end, this.number);
    return held === undefined ? END : this.#find(held, 0, held.length, found);
  }

  #find(key: Uint8Array, start: number, end: number, found: FoundEntry): Step {
    const lookup = this.#context.lookup;
    const step = lookup.find(this.tree, key, start, end);
    if (step === MISS) return MISS;
    if (step !== FOUND) return END;
    found.cellBytes = lookup.cellBytes;
    found.cellStart = lookup.cellStart;
    found.cellEnd = lookup.cellEnd;
    found.version = this.number;
    found.removed = ((lookup.cellBytes[lookup.cellStart] as number) & CELL_TOMBSTONE) !== 0;
    return AT;
  }

  cursor(): EntryCursor {
    const cursor = new RunCursor(this.#context.cache, this.tree, this.number);
    return this.#fills ? new ItemRunCursor(cursor, this.number) : cursor;
  }
}

/** A tree cursor whose every entry has the run's number as its version. */
class RunCursor extends TreeCursor {
  readonly #number: number;

  constructor(cache: ImageCache, tree: Tree, number: number) {
    super(cache, tree);
    this.#number = number;
  }

  override seek(key: Uint8Array, start: number, end: number): Step {
    return this.#numbered(super.seek(key, start, end));
  }

  override seekBefore(key: Uint8Array, start: number, end: number): Step {
    return this.#numbered(super.seekBefore(key, start, end));
  }

  override first(): Step {
    return this.#numbered(super.first());
  }

  override last(): Step {
    return this.#numbered(super.last());
  }

  override next(): Step {
    return this.#numbered(super.next());
  }

  override previous(): Step {
    return this.#numbered(super.previous());
  }

  override refresh(): Step {
    return this.#numbered(super.refresh());
  }

  #numbered(step: Step): Step {
    this.version = this.#number;
    return step;
  }
}
