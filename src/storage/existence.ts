/**
 * Counting through a memory table: how many keys its records add to, less how many they take from, what lies below.
 *
 * The rule that makes it add up: in ranges that this table removes (as of the snapshot) nothing counts as existing below.
 * So, for the layers below as one:
 *
 *   count(range) = below(range) - below(range within removals.disjoint(snapshot)) + existenceDelta(range)
 *
 * Whether a key existed below its oldest record here is known from that record's flags; a blind one's is asked for once
 * and written into the flags. Asked is for the moment before that record: of runs adopted by the same table, those with
 * lower numbers count.
 */
import { INCREMENT_CREATES } from '../codec/counter.ts';
import { OP_INCREMENT, OP_NOOP, OP_PUT, OP_REMOVE, RECORD_EXISTED, RECORD_KNOWN } from '../log/record.ts';
import { MISS } from '../node/entry-cursor.ts';
import { NODE_SHIFT } from './index-nodes.ts';
import { BASE_NOTHING, incrementBase } from './increments.ts';
import { RemovalWindow } from './range-removals.ts';
import type { RecordArena } from './record-arena.ts';
import type { RecordIndex } from './record-index.ts';

/** Whether the key is there as of just before number `before`, in all layers below the table and its runs. */
export type ExistsBelow = (key: Uint8Array, start: number, end: number, before: number) => boolean | typeof MISS;

/**
 * Keys of [lower, upper) that exist by this index's records as of the absolute `snapshot`, less those of its records' keys
 * that exist below (see above). Undefined where `existsBelow` answered MISS: repeat after loading; what was learned is
 * kept. `remember`: write answers into the flags; not into those of a write buffer whose count is no validated read.
 */
export function existenceDelta(
  index: RecordIndex,
  lower: Uint8Array | undefined,
  upper: Uint8Array | undefined,
  snapshot: number,
  existsBelow: ExistsBelow,
  remember: boolean = index.linked,
): number | undefined {
  if (index.keys === 0) return 0;
  const { arena, nodes } = index;
  const visible = snapshot - index.baseNumber;
  const window = index.removals && new RemovalWindow(index.removals, snapshot);
  let leaf = lower === undefined ? index.firstLeaf : index.seekLeaf(lower, 0, lower.length);
  let slot = lower === undefined ? 0 : index.foundSlot;
  const stopLeaf = upper === undefined ? 0 : index.seekLeaf(upper, 0, upper.length);
  const stop = index.foundSlot;
  let delta = 0;
  for (; leaf !== 0; leaf = nodes.leafNext[leaf] as number, slot = 0) {
    const end = leaf === stopLeaf ? stop : (nodes.leafCount[leaf] as number);
    for (; slot < end; slot++) {
      const words = arena.words;
      let address = nodes.leafRefs[(leaf << NODE_SHIFT) + slot] as number;
      while (address !== 0 && (words[address + 2] as number) > visible) address = words[address + 3] as number;
      if (address === 0) continue;
      const op = (words[address] as number) & 0xff;
      if (op === OP_NOOP) continue;
      const start = arena.keyStart(address);
      const covered = window === undefined ? 0 : window.versionAt(arena.bytes, start, arena.keyEnd(address));
      if (op === OP_INCREMENT && !mayCreate(arena, address)) {
        const base = incrementBase(words, address);
        // Over what lies below it changes nothing: there or not there, as before.
        if (base === 0) continue;
        const isThere = base !== BASE_NOTHING && ((words[base] as number) & 0xff) === OP_PUT;
        if (isThere && covered <= index.baseNumber + (words[address + 2] as number)) delta++;
      } else if (op !== OP_REMOVE && covered <= index.baseNumber + (words[address + 2] as number)) delta++;
      if (covered !== 0) continue;
      while ((words[address + 3] as number) !== 0) address = words[address + 3] as number;
      const existed = existedBefore(index, address, existsBelow, remember);
      if (existed === MISS) return undefined;
      if (existed) delta--;
    }
    if (leaf === stopLeaf) break;
  }
  return delta;
}

/** Whether the increment at `address` makes an entry where there is none. */
function mayCreate(arena: RecordArena, address: number): boolean {
  return ((arena.bytes[arena.cellStart(address)] as number) & INCREMENT_CREATES) !== 0;
}

function existedBefore(
  index: RecordIndex,
  oldest: number,
  existsBelow: ExistsBelow,
  remember: boolean,
): boolean | typeof MISS {
  const { arena } = index;
  const flags = (arena.words[oldest] as number) >>> 8;
  if ((flags & RECORD_KNOWN) !== 0) return (flags & RECORD_EXISTED) !== 0;
  const version = index.baseNumber + (arena.words[oldest + 2] as number);
  const existed = existsBelow(arena.bytes, arena.keyStart(oldest), arena.keyEnd(oldest), version);
  if (existed === MISS || !remember) return existed;
  const learned = (RECORD_KNOWN | (existed ? RECORD_EXISTED : 0)) << 8;
  arena.words[oldest] = ((arena.words[oldest] as number) | learned) >>> 0;
  return existed;
}
