/**
 * The records of memory tables over a tree as one sorted sequence: what `LayeredCursor` does for any layers, for the two
 * that scans meet most, and by the block. For stores without runs and range removals, whose records are newer than what the
 * tree has under their keys.
 *
 *  1. While positioned, each layer stands at its first entry not before the current key in the direction of the walk, or at
 *     its end. `#onRecord` and `#onTree` say which of them stand at the current key itself.
 *  2. The records are in memory: only the tree may MISS. Then the layers stay where they can go on: at the current key, or
 *     behind it with `#passed` set.
 *  3. An increment among the records is added to what the tree has under its key.
 *  4. The current key is kept apart from the layers, so that the walk can turn around whatever was loaded meanwhile.
 */
import { compareBytes } from '../base/bytes.ts';
import { createdCell, incrementedCell } from '../codec/counter.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { BACKWARD, type BlockCursor, type Direction, type EntryBlock, FORWARD } from '../node/entry-block.ts';
import { AT, END, type EntryCursor, MISS, type Step } from '../node/entry-cursor.ts';
import { keyHead } from '../node/image-search.ts';
import type { TreeCursor } from '../tree/tree-cursor.ts';

const NO_BYTES = new Uint8Array(0);
const USUAL_KEY_BYTES = 128;

export class OverTreeCursor implements BlockCursor {
  keyBytes: Uint8Array = NO_BYTES;
  keyStart = 0;
  keyEnd = 0;
  cellBytes: Uint8Array = NO_BYTES;
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  removed = false;

  readonly #records: EntryCursor;
  readonly #tree: TreeCursor;
  #recordStep: Step = END;
  #treeStep: Step = END;
  #onRecord = false;
  #onTree = false;
  #direction: Direction = FORWARD;
  #positioned = false;
  /** Neither layer stands at the current key any more, both behind it. */
  #passed = false;
  /** The layers have to be placed anew. */
  #lost = false;
  #key = new Uint8Array(USUAL_KEY_BYTES);
  #keyLength = 0;

  /** `records` never answers MISS and shows removals. */
  constructor(records: EntryCursor, tree: TreeCursor) {
    this.#records = records;
    this.#tree = tree;
  }

  get waits(): boolean {
    return this.#tree.waits;
  }

  set waits(waits: boolean) {
    this.#tree.waits = waits;
  }

  get isCurrent(): boolean {
    return this.#treeStep !== AT || this.#tree.isCurrent;
  }

  refresh(): Step {
    if (!this.#onTree || this.#tree.isCurrent) return AT;
    const step = this.#tree.refresh();
    // What a record says, or comes to, is in memory.
    if (step === MISS || this.#onRecord) return step;
    this.cellBytes = this.#tree.cellBytes;
    this.cellStart = this.#tree.cellStart;
    this.cellEnd = this.#tree.cellEnd;
    return AT;
  }

  load(): Promise<void> {
    return this.#tree.load();
  }

  seek(key: Uint8Array, start: number, end: number): Step {
    const treeStep = this.#tree.seek(key, start, end);
    return this.#begin(FORWARD, treeStep, treeStep === MISS ? END : this.#records.seek(key, start, end));
  }

  seekBefore(key: Uint8Array, start: number, end: number): Step {
    const treeStep = this.#tree.seekBefore(key, start, end);
    return this.#begin(BACKWARD, treeStep, treeStep === MISS ? END : this.#records.seekBefore(key, start, end));
  }

  first(): Step {
    const treeStep = this.#tree.first();
    return this.#begin(FORWARD, treeStep, treeStep === MISS ? END : this.#records.first());
  }

  last(): Step {
    const treeStep = this.#tree.last();
    return this.#begin(BACKWARD, treeStep, treeStep === MISS ? END : this.#records.last());
  }

  next(): Step {
    return this.#move(FORWARD);
  }

  previous(): Step {
    return this.#move(BACKWARD);
  }

  #begin(direction: Direction, treeStep: Step, recordStep: Step): Step {
    this.#positioned = false;
    this.#lost = false;
    if (treeStep === MISS) return MISS;
    this.#direction = direction;
    this.#treeStep = treeStep;
    this.#recordStep = recordStep;
    const step = this.#settle();
    // The caller repeats the whole call.
    this.#positioned = step === AT;
    return step;
  }

  #move(direction: Direction): Step {
    if (!this.#positioned) return END;
    if (this.#lost || direction !== this.#direction) return this.#turn(direction);
    if (this.#treeStep === AT && this.#tree.refresh() === MISS) return MISS;
    if (!this.#passed) {
      if (this.#onTree) {
        const step = this.#stepTree();
        if (step === MISS) return MISS;
        this.#treeStep = step;
      }
      if (this.#onRecord) this.#recordStep = this.#stepRecords();
    }
    return this.#settle();
  }

  #stepTree(): Step {
    return this.#direction === FORWARD ? this.#tree.next() : this.#tree.previous();
  }

  #stepRecords(): Step {
    return this.#direction === FORWARD ? this.#records.next() : this.#records.previous();
  }

  /** Places both layers behind the current key, seen in the other direction. */
  #turn(direction: Direction): Step {
    this.#lost = true;
    const key = this.#key;
    const end = this.#keyLength;
    const forward = direction === FORWARD;
    let treeStep = forward ? this.#tree.seek(key, 0, end) : this.#tree.seekBefore(key, 0, end);
    if (treeStep === AT && forward && this.#isAtKey(this.#tree)) treeStep = this.#tree.next();
    if (treeStep === MISS) return MISS;
    let recordStep = forward ? this.#records.seek(key, 0, end) : this.#records.seekBefore(key, 0, end);
    if (recordStep === AT && forward && this.#isAtKey(this.#records)) recordStep = this.#records.next();
    this.#lost = false;
    this.#direction = direction;
    this.#treeStep = treeStep;
    this.#recordStep = recordStep;
    return this.#settle();
  }

  #isAtKey(at: EntryCursor): boolean {
    return compareBytes(at.keyBytes, at.keyStart, at.keyEnd, this.#key, 0, this.#keyLength) === 0;
  }

  /** Shows whichever layer comes first, passing over what is removed. */
  #settle(): Step {
    const records = this.#records;
    for (;;) {
      if (this.#recordStep !== AT) return this.#treeStep === AT ? this.#show(this.#tree, false, true) : this.#end();
      const order = this.#treeStep === AT ? this.#compare() : -1;
      if (order > 0) return this.#show(this.#tree, false, true);
      if (!records.removed) return this.#show(records, true, order === 0);
      if (records.partial === true) {
        const total = this.#total(order === 0);
        if (total !== undefined) return this.#showTotal(total, order === 0);
      }
      if (order === 0) {
        const step = this.#stepTree();
        if (step === MISS) {
          this.#passed = true;
          return MISS;
        }
        this.#treeStep = step;
      }
      this.#recordStep = this.#stepRecords();
    }
  }

  /** How the record's key stands to the tree's, in the direction of the walk. */
  #compare(): number {
    const a = this.#records;
    const b = this.#tree;
    return compareBytes(a.keyBytes, a.keyStart, a.keyEnd, b.keyBytes, b.keyStart, b.keyEnd) * this.#direction;
  }

  #end(): Step {
    this.#positioned = false;
    return END;
  }

  #show(at: EntryCursor, onRecord: boolean, onTree: boolean): Step {
    this.#keepKey(at.keyBytes, at.keyStart, at.keyEnd);
    this.keyBytes = this.#key;
    this.keyStart = 0;
    this.keyEnd = this.#keyLength;
    this.cellBytes = at.cellBytes;
    this.cellStart = at.cellStart;
    this.cellEnd = at.cellEnd;
    this.version = at.version;
    this.#stand(onRecord, onTree);
    return AT;
  }

  /** The cell that the record, an increment, comes to over the tree's current entry or over none; undefined for no entry. */
  #total(overTree: boolean): Uint8Array | undefined {
    const { cellBytes, cellStart, cellEnd } = this.#records;
    if (!overTree) return createdCell(cellBytes, cellStart, cellEnd);
    const tree = this.#tree;
    return incrementedCell(tree.cellBytes, tree.cellStart, tree.cellEnd, cellBytes, cellStart, cellEnd);
  }

  #showTotal(total: Uint8Array, onTree: boolean): Step {
    this.#show(this.#records, true, onTree);
    this.cellBytes = total;
    this.cellStart = 0;
    this.cellEnd = total.length;
    return AT;
  }

  #stand(onRecord: boolean, onTree: boolean): void {
    this.#onRecord = onRecord;
    this.#onTree = onTree;
    this.#passed = !onRecord && !onTree;
  }

  #keepKey(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length > this.#key.length) this.#key = new Uint8Array(Math.max(length, MAX_KEY_BYTES));
    const key = this.#key;
    for (let i = 0; i < length; i++) key[i] = bytes[start + i] as number;
    this.#keyLength = length;
  }

  // ---- blocks ----

  fill(block: EntryBlock, most: number): void {
    const room = most + block.count;
    if (this.#treeStep === AT) this.#fillBoth(block, room);
    else this.#fillRecords(block, room);
    this.#keepKey(block.keys, block.keyStart(block.count - 1), block.keyEnds[block.count - 1] as number);
  }

  /** The tree is at its end. */
  #fillRecords(block: EntryBlock, room: number): void {
    while (this.#recordStep === AT) {
      if (this.#addRecord(block, false)) {
        if (block.count === room) {
          this.#stand(true, false);
          return;
        }
      }
      this.#recordStep = this.#stepRecords();
    }
    this.#stand(false, false);
  }

  /** To the end of the tree's leaf at most. A step is that of the leaf: what lies between two records goes in one piece. */
  #fillBoth(block: EntryBlock, room: number): void {
    const records = this.#records;
    const tree = this.#tree;
    const direction = this.#direction;
    const behind = direction === FORWARD ? tree.leafCount : -1;
    let index = tree.leafIndex;
    for (;;) {
      const found = this.#recordStep === AT ? this.#findRecord(index, behind) : behind;
      const isEqual = found < -1;
      const stop = isEqual ? ~found - 1 : found;
      const howMany = Math.min((stop - index) * direction, room - block.count);
      if (howMany > 0) {
        block.addLeaf(tree, index, howMany, direction);
        index += howMany * direction;
        if (index === behind || block.count === room) {
          tree.toLeafIndex(index - direction);
          this.#stand(false, true);
          return;
        }
      }
      const isLast = index + direction === behind;
      if (isEqual && records.partial === true) tree.toLeafIndex(index);
      if (this.#addRecord(block, isEqual)) {
        if (block.count === room || (isEqual && isLast)) {
          tree.toLeafIndex(index);
          this.#stand(true, isEqual);
          return;
        }
      } else if (isEqual && isLast) {
        // Passing over it takes a move of the tree that may miss: that is for the next call.
        tree.toLeafIndex(index);
        this.#stand(false, false);
        return;
      }
      if (isEqual) index += direction;
      this.#recordStep = this.#stepRecords();
    }
  }

  /** Appends the record's entry; false where there is none. `overTree`: the tree has one under its key, and stands there. */
  #addRecord(block: EntryBlock, overTree: boolean): boolean {
    const records = this.#records;
    if (!records.removed) {
      block.addEntry(records);
      return true;
    }
    const total = records.partial === true ? this.#total(overTree) : undefined;
    if (total === undefined) return false;
    block.addEntry(records, total);
    return true;
  }

  /**
   * The first index from `index` on, in the direction of the walk, whose key the record does not come behind, `behind` for
   * none; as `~(index + 1)`, which is below -1, where the two are equal.
   */
  #findRecord(index: number, behind: number): number {
    const { keyBytes, keyStart, keyEnd } = this.#records;
    const { leaf, leafBase, leafSlots, leafPrefix, leafPrefixLength, leafCount } = this.#tree;
    const direction = this.#direction;
    const { bytes, u32 } = leaf;
    const rest = keyStart + leafPrefixLength;
    if (leafPrefixLength > 0) {
      const prefixEnd = leafPrefix + leafPrefixLength;
      const order = compareBytes(keyBytes, keyStart, Math.min(rest, keyEnd), bytes, leafPrefix, prefixEnd) * direction;
      if (order !== 0) return order < 0 ? index : behind;
    }
    const head = keyHead(keyBytes, rest, keyEnd);
    const heads = leafSlots - leafCount;
    for (let i = index; i !== behind; i += direction) {
      const other = u32[heads + i] as number;
      if (other !== head) {
        if (direction === FORWARD ? head > other : head < other) continue;
        return i;
      }
      const start = leafBase + ((u32[leafSlots + i] as number) & 0xffff);
      const end = leafBase + ((u32[leafSlots + i + 1] as number) & 0xffff);
      const order = compareBytes(keyBytes, rest, keyEnd, bytes, start, end) * direction;
      if (order === 0) return ~(i + 1);
      if (order < 0) return i;
    }
    return behind;
  }
}
