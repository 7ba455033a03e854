/**
 * Where the bytes are: for every segment its size and how much of it is still named by the current root.
 *
 *  1. Live bytes are an estimate from above or below (a crash loses what was counted since the last checkpoint); they choose
 *     what to compact. What may be removed is decided by a walk of the segment, never by a count.
 *  2. Every segment that a root names has a row in the segment store of that root. A file without a row is nobody's.
 *  3. A file that had a row is removed only after a record in the log said so, and only when no snapshot reads an older root.
 *  4. `totalBytes` ends where something named by a root ends, or our own writer did: behind it a crash may have left anything.
 *
 * A row: key u48 writer, u16 number (big-endian); cell: flags 0, u8 kind, u48 total bytes, u48 live bytes.
 */
import { alignUp, compareKeys, readU48, writeU48 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import type { SegmentNames } from '../node/handle.ts';
import { SEGMENT_IMAGES, SEGMENT_RUN, SEGMENT_VALUES, type SegmentKind } from './segment-writer.ts';

export const SEGMENT_KEY_BYTES = 8;
const ROW_BYTES = 14;

export interface SegmentSpace {
  readonly kind: SegmentKind;
  totalBytes: number;
  liveBytes: number;
  /** Bytes of the file behind `totalBytes`, where a crash left some. Known to this opening alone: dead, and never walked. */
  restBytes: number;
}

export function segmentKey(names: SegmentNames, index: number): Uint8Array {
  const key = new Uint8Array(SEGMENT_KEY_BYTES);
  for (let i = 5, rest = names.writerOf(index); i >= 0; i--, rest = Math.floor(rest / 256)) key[i] = rest % 256;
  key[6] = names.numberOf(index) >>> 8;
  key[7] = names.numberOf(index);
  return key;
}

/** `CorruptionError` where no segment has such a key. */
export function segmentOfKey(names: SegmentNames, key: Uint8Array, start: number, end: number): number {
  if (end - start !== SEGMENT_KEY_BYTES) throw new CorruptionError('a row of the segment store is malformed');
  let writer = 0;
  for (let i = 0; i < 6; i++) writer = writer * 256 + (key[start + i] as number);
  return names.indexOf(writer, ((key[start + 6] as number) << 8) | (key[start + 7] as number));
}

export class Space {
  readonly #names: SegmentNames;
  readonly #rows = new Map<number, SegmentSpace>();
  readonly #changed = new Set<number>();
  readonly #removed = new Set<number>();

  constructor(names: SegmentNames) {
    this.#names = names;
  }

  get segments(): ReadonlyMap<number, SegmentSpace> {
    return this.#rows;
  }

  get totalBytes(): number {
    let total = 0;
    for (const row of this.#rows.values()) total += row.totalBytes;
    return total;
  }

  get liveBytes(): number {
    let live = 0;
    for (const row of this.#rows.values()) live += row.liveBytes;
    return live;
  }

  /** Bytes of segments that the root has no use for. */
  get deadBytes(): number {
    let dead = 0;
    for (const row of this.#rows.values()) dead += deadBytes(row);
    return dead;
  }

  /** Takes in a row read from the segment store. */
  load(key: Uint8Array, keyStart: number, keyEnd: number, cell: Uint8Array, cellStart: number, cellEnd: number): void {
    const kind = cell[cellStart + 1] as number;
    if (cellEnd - cellStart !== ROW_BYTES || kind < SEGMENT_IMAGES || kind > SEGMENT_RUN) {
      throw new CorruptionError('a row of the segment store is malformed');
    }
    this.#rows.set(segmentOfKey(this.#names, key, keyStart, keyEnd), {
      kind: kind as SegmentKind,
      totalBytes: readU48(cell, cellStart + 2),
      liveBytes: readU48(cell, cellStart + 8),
      restBytes: 0,
    });
  }

  /** The segment exists and is so long now. */
  noteSize(index: number, kind: SegmentKind, totalBytes: number): void {
    const row = this.#rows.get(index);
    if (row === undefined) this.#rows.set(index, { kind, totalBytes, liveBytes: 0, restBytes: 0 });
    else row.totalBytes = totalBytes;
    this.#changed.add(index);
  }

  /**
   * The coming root names `bytes` more of the segment. `end` is where they end: of a segment whose writer is gone that is all
   * that is known of its size, since what lies behind the last named byte may be torn.
   */
  addLive(index: number, bytes: number, kind: SegmentKind = SEGMENT_VALUES, end = 0): void {
    let row = this.#rows.get(index);
    if (row === undefined) {
      row = { kind, totalBytes: 0, liveBytes: 0, restBytes: 0 };
      this.#rows.set(index, row);
    }
    row.liveBytes += bytes;
    if (end > row.totalBytes) extend(row, end);
    this.#changed.add(index);
  }

  /** A root names bytes of the segment up to `end`. */
  noteNamed(index: number, end: number): void {
    const row = this.#rows.get(index);
    if (row === undefined || row.totalBytes >= end) return;
    extend(row, end);
    this.#changed.add(index);
  }

  /** The file of a segment whose writer is gone has this size: what lies behind the last named byte is nobody's. */
  noteFileSize(index: number, sizeBytes: number): void {
    const row = this.#rows.get(index);
    // Writers pad to whole blocks: that is no waste worth a thought.
    if (row !== undefined) row.restBytes = Math.max(0, sizeBytes - alignUp(row.totalBytes, LOG_ALIGNMENT));
  }

  addDead(index: number, bytes: number): void {
    const row = this.#rows.get(index);
    if (row === undefined) return;
    row.liveBytes = Math.max(0, row.liveBytes - bytes);
    this.#changed.add(index);
  }

  /** The segment holds nothing that the coming root names. */
  remove(index: number): void {
    if (!this.#rows.delete(index)) return;
    this.#changed.delete(index);
    this.#removed.add(index);
  }

  /** Rows to write with the coming root, by key; `cell` is undefined for a removed one. Forgets that they changed. */
  takeChanges(): { key: Uint8Array; cell: Uint8Array | undefined }[] {
    const changes: { key: Uint8Array; cell: Uint8Array | undefined }[] = [];
    for (const index of this.#removed) changes.push({ key: segmentKey(this.#names, index), cell: undefined });
    for (const index of this.#changed) {
      const row = this.#rows.get(index) as SegmentSpace;
      const cell = new Uint8Array(ROW_BYTES);
      cell[1] = row.kind;
      writeU48(cell, 2, row.totalBytes);
      writeU48(cell, 8, row.liveBytes);
      changes.push({ key: segmentKey(this.#names, index), cell });
    }
    this.#removed.clear();
    this.#changed.clear();
    return changes.sort((a, b) => compareKeys(a.key, b.key));
  }
}

function extend(row: SegmentSpace, end: number): void {
  row.restBytes = Math.max(0, row.restBytes - (end - row.totalBytes));
  row.totalBytes = end;
}

export interface VictimChoice {
  /** Segments worth rewriting, never those in use. */
  readonly victims: number[];
  readonly liveBytes: number;
}

/** Dead bytes a database may carry beside its live ones before something is rewritten. */
const TOLERATED_DEAD_SHARE = 0.3;
const TOLERATED_DEAD_BYTES = 4 * 1024 * 1024;

const fileBytes = (row: SegmentSpace): number => row.totalBytes + row.restBytes;
const deadBytes = (row: SegmentSpace): number => Math.max(0, fileBytes(row) - row.liveBytes);

/**
 * Which segments to rewrite with the next checkpoint: the emptiest first, until what is left dead is tolerable or what
 * must be copied passes `budgetBytes` (one segment is always taken). `eager` tolerates nothing but nearly full segments.
 * `inUse`: segments that open transactions will refer to. `pinned`: segments that stay whatever is rewritten, so that it
 * would gain nothing.
 */
export function chooseVictims(
  space: Space,
  inUse: ReadonlySet<number>,
  budgetBytes: number,
  eager: boolean,
  pinned: ReadonlyMap<number, unknown>,
): VictimChoice {
  const candidates: { index: number; row: SegmentSpace }[] = [];
  let dead = 0;
  let live = 0;
  for (const [index, row] of space.segments) {
    if (pinned.has(index)) continue;
    const rowDead = deadBytes(row);
    dead += rowDead;
    live += Math.min(row.liveBytes, row.totalBytes);
    const worthIt = row.liveBytes === 0 || rowDead > fileBytes(row) * 0.1;
    if (!inUse.has(index) && worthIt) candidates.push({ index, row });
  }
  candidates.sort((a, b) => a.row.liveBytes / (fileBytes(a.row) + 1) - b.row.liveBytes / (fileBytes(b.row) + 1));
  const tolerated = eager ? live * 0.05 : Math.max(TOLERATED_DEAD_BYTES, live * TOLERATED_DEAD_SHARE);
  const victims: number[] = [];
  let copied = 0;
  for (const { index, row } of candidates) {
    const empty = row.liveBytes === 0;
    if (!empty && (dead <= tolerated || copied + row.liveBytes > budgetBytes)) {
      if (victims.length > 0 || dead <= tolerated) break;
    }
    victims.push(index);
    copied += row.liveBytes;
    dead -= deadBytes(row);
  }
  return { victims, liveBytes: copied };
}

/** What compaction would give back, about: the dead bytes of everything that an eager one would rewrite. */
export function compactableBytes(
  space: Space,
  inUse: ReadonlySet<number>,
  pinned: ReadonlyMap<number, unknown>,
): number {
  const { victims } = chooseVictims(space, inUse, Number.POSITIVE_INFINITY, true, pinned);
  return victims.reduce((sum, index) => sum + deadBytes(space.segments.get(index) as SegmentSpace), 0);
}
