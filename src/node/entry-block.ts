/**
 * Entries in a row as places in bytes: what a scan takes from a cursor in one call, up to a leaf at a time. Keys are copied
 * here, one whole key after another, so that all of them can be cut from one string; cells stay where they are.
 *
 * Valid until a cursor over the same cache moves, something is loaded, or an await: what is in it is decoded at once.
 */
import type { EntryCursor, Step } from './entry-cursor.ts';
import type { ImageViews } from './image-layout.ts';

/** The most entries a block takes. */
export const BLOCK_ENTRIES = 256;
/** Bits of `#odd` of which one is set by any byte outside 02..7f: four bytes at once, or one with its sign. */
const ODD_BITS = ~~0x8080_8080;
const TWOS = 0x0202_0202;

export const FORWARD = 1;
export const BACKWARD = -1;
export type Direction = typeof FORWARD | typeof BACKWARD;

/** A leaf that can be copied from: see the fields of the same names in tree-cursor.ts. */
export interface LeafPlace {
  readonly leaf: ImageViews;
  readonly leafBase: number;
  readonly leafPrefix: number;
  readonly leafPrefixLength: number;
  readonly leafSlots: number;
  readonly leafVersions: number;
  readonly leafBaseNumber: number;
}

/** A cursor that hands out entries by the block. */
export interface BlockCursor extends EntryCursor {
  /** False once what `fill` gave out may lie under other bytes: something was loaded over it. */
  readonly isCurrent: boolean;
  /** Makes the fields of the current entry valid again where something was loaded over it: AT, or MISS with nothing changed. */
  refresh(): Step;
  /**
   * Appends the current entry (there must be one, of a move just made) and those behind it in this direction as far as that
   * needs no load: at least one, at most `most`. The cursor then stands at the last of them; its fields are void until it
   * moves.
   */
  fill(block: EntryBlock, most: number, direction: Direction): void;
}

export class EntryBlock {
  count = 0;
  /** Key i is `keys[i === 0 ? 0 : keyEnds[i - 1], keyEnds[i])`. */
  keys: Uint8Array = new Uint8Array(8192);
  keyData = new DataView(this.keys.buffer);
  readonly keyEnds = new Int32Array(BLOCK_ENTRIES);
  /** Cell i is `sources[sourceOf[i]][cellStarts[i], cellEnds[i])`. */
  readonly sources: Uint8Array[] = [];
  readonly sourceOf = new Uint8Array(BLOCK_ENTRIES);
  readonly cellStarts = new Int32Array(BLOCK_ENTRIES);
  readonly cellEnds = new Int32Array(BLOCK_ENTRIES);
  readonly versions = new Float64Array(BLOCK_ENTRIES);
  /** The cells of the leaf (there is one at most) lie in this part of `sources[leafSource]`; -1 for none. */
  leafSource = -1;
  leafCellsStart = 0;
  leafCellsEnd = 0;
  #odd = 0;

  clear(): void {
    this.count = 0;
    this.sources.length = 0;
    this.leafSource = -1;
    this.#odd = 0;
  }

  /** Every byte of every key but its last one is in 02..7f. */
  get hasPlainKeys(): boolean {
    return (this.#odd & ODD_BITS) === 0;
  }

  keyStart(index: number): number {
    return index === 0 ? 0 : (this.keyEnds[index - 1] as number);
  }

  /** Appends `howMany` entries of a leaf, the one at `first` and those behind it in this direction. */
  addLeaf(at: LeafPlace, first: number, howMany: number, direction: Direction): void {
    const { leafBase: base, leafSlots: slots, leafPrefix: prefixAt, leafPrefixLength: prefix } = at;
    const { leafVersions, leafBaseNumber } = at;
    const { bytes, u32, data } = at.leaf;
    const { keyEnds, cellStarts, cellEnds, versions, sourceOf } = this;
    const lowest = direction === FORWARD ? first : first - howMany + 1;
    const suffixes = ((u32[slots + lowest + howMany] as number) & 0xffff) - ((u32[slots + lowest] as number) & 0xffff);
    let to = this.#reserve(suffixes + howMany * prefix);
    const { keys, keyData } = this;
    const source = this.#source(bytes);
    let odd = this.#odd;
    let entry = this.count;
    for (let left = howMany, i = first; left > 0; left--, i += direction, entry++) {
      const slot = u32[slots + i] as number;
      const next = u32[slots + i + 1] as number;
      for (let k = prefixAt, end = prefixAt + prefix; k < end; k++) {
        const byte = bytes[k] as number;
        odd |= (byte - 2) | byte;
        keys[to++] = byte;
      }
      const last = base + (next & 0xffff) - 1;
      let k = base + (slot & 0xffff);
      // The prefix ends the key: then its last byte was looked at as well, which is only cautious.
      for (; k + 4 <= last; k += 4, to += 4) {
        const word = data.getInt32(k, true);
        odd |= (word - TWOS) | word;
        keyData.setInt32(to, word, true);
      }
      for (; k < last; k++) {
        const byte = bytes[k] as number;
        odd |= (byte - 2) | byte;
        keys[to++] = byte;
      }
      if (k === last) keys[to++] = bytes[k] as number;
      keyEnds[entry] = to;
      cellStarts[entry] = base + (slot >>> 16);
      cellEnds[entry] = base + (next >>> 16);
      versions[entry] = leafBaseNumber + (u32[leafVersions + i] as number);
      sourceOf[entry] = source;
    }
    this.#odd = odd;
    this.count = entry;
    this.#spanCells(
      source,
      base + ((u32[slots + lowest] as number) >>> 16),
      base + ((u32[slots + lowest + howMany] as number) >>> 16),
    );
  }

  #spanCells(source: number, start: number, end: number): void {
    if (this.leafSource !== source) {
      this.leafSource = source;
      this.leafCellsStart = start;
      this.leafCellsEnd = end;
      return;
    }
    if (start < this.leafCellsStart) this.leafCellsStart = start;
    if (end > this.leafCellsEnd) this.leafCellsEnd = end;
  }

  /** Appends the entry that a cursor stands at, under another cell where one is given; it lies where no load reaches it. */
  addEntry(at: EntryCursor, cell?: Uint8Array): void {
    const { keyBytes, keyStart, keyEnd } = at;
    let to = this.#reserve(keyEnd - keyStart);
    const keys = this.keys;
    let odd = this.#odd;
    let k = keyStart;
    for (const last = keyEnd - 1; k < last; k++) {
      const byte = keyBytes[k] as number;
      odd |= (byte - 2) | byte;
      keys[to++] = byte;
    }
    if (k < keyEnd) keys[to++] = keyBytes[k] as number;
    this.#odd = odd;
    const entry = this.count++;
    this.keyEnds[entry] = to;
    this.cellStarts[entry] = cell === undefined ? at.cellStart : 0;
    this.cellEnds[entry] = cell === undefined ? at.cellEnd : cell.length;
    this.versions[entry] = at.version;
    this.sourceOf[entry] = this.#source(cell ?? at.cellBytes);
  }

  #source(bytes: Uint8Array): number {
    const { sources } = this;
    for (let i = 0; i < sources.length; i++) if (sources[i] === bytes) return i;
    return sources.push(bytes) - 1;
  }

  /** Makes room for so many more key bytes; answers where they go. */
  #reserve(byteLength: number): number {
    const at = this.count === 0 ? 0 : (this.keyEnds[this.count - 1] as number);
    if (at + byteLength > this.keys.length) {
      const larger = new Uint8Array(Math.max(at + byteLength, this.keys.length * 2));
      larger.set(this.keys);
      this.keys = larger;
      this.keyData = new DataView(larger.buffer);
    }
    return at;
  }
}
