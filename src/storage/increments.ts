/**
 * Increments (codec/counter.ts) in a memory table. A record of one carries the running total of those entered one after
 * another, and names what the total is added to, so that nobody ever walks along a hot key's versions.
 *
 *  1. The base of an increment is 0: what lies below this table; BASE_NOTHING: nothing, since a range removal of this table
 *     covers the key; else the address of the record of the key to add it to.
 *  2. A run of this table that was adopted between the base and the increment counts over the base. Where one may hold the
 *     key, the increment begins a total of its own: its base may then be another increment. In tables without runs a base is
 *     never an increment.
 *  3. Once entered, a record's amounts and base never change: an older snapshot finds its older version as it was.
 */
import { CorruptionError } from '../base/errors.ts';
import { INCREMENT_HEAD_BYTES, isIncrementLength } from '../codec/counter.ts';
import { OP_INCREMENT, RECORD_WORDS } from '../log/record.ts';
import type { RangeRemovals } from './range-removals.ts';
import type { RecordArena } from './record-arena.ts';
import type { Run } from './run.ts';

export const BASE_NOTHING = 1;

const HEAD_WORDS = INCREMENT_HEAD_BYTES / 4;

/** What this needs of a record index. */
interface IncrementIndex {
  readonly arena: RecordArena;
  readonly baseNumber: number;
  readonly removals: RangeRemovals | undefined;
}

function cellWord(words: Uint32Array, address: number): number {
  return address + RECORD_WORDS + ((((words[address] as number) >>> 16) + 3) >>> 2);
}

export function incrementBase(words: Uint32Array, address: number): number {
  return words[cellWord(words, address) + 1] as number;
}

/** After the index took in the increment at `address`: adds up and notes the base. `runs`: of this table, newest first. */
export function enterIncrement(index: IncrementIndex, address: number, runs: readonly Run[]): void {
  const { words, bytes } = index.arena;
  const length = words[address + 1] as number;
  if (!isIncrementLength(length)) throw malformed(index, length);
  const start = index.arena.keyStart(address);
  const end = index.arena.keyEnd(address);
  const cell = cellWord(words, address);
  const older = words[address + 3] as number;
  const covering = index.removals?.newestCovering(bytes, start, end, Number.POSITIVE_INFINITY) ?? 0;
  const olderVersion = older === 0 ? 0 : index.baseNumber + (words[older + 2] as number);
  words[cell + 1] = 0;
  // A transaction's records count over its own removed ranges.
  if (older === 0 || olderVersion < covering) {
    if (covering !== 0) words[cell + 1] = BASE_NOTHING;
    return;
  }
  words[cell + 1] = older;
  if (((words[older] as number) & 0xff) !== OP_INCREMENT) return;
  if ((words[older + 1] as number) !== length) throw malformed(index, length);
  if (mayLieBetween(runs, olderVersion, bytes, start, end)) return;
  const below = cellWord(words, older);
  words[cell + 1] = words[below + 1] as number;
  for (let i = HEAD_WORDS; i < length >>> 2; i += 2) {
    const low = (words[cell + i] as number) + (words[below + i] as number);
    words[cell + i] = low;
    words[cell + i + 1] =
      (words[cell + i + 1] as number) + (words[below + i + 1] as number) + (low >= 0x1_0000_0000 ? 1 : 0);
  }
}

function mayLieBetween(runs: readonly Run[], above: number, key: Uint8Array, start: number, end: number): boolean {
  for (const run of runs) {
    if (run.number <= above) return false;
    if (run.mayContain(key, start, end)) return true;
  }
  return false;
}

function malformed(index: IncrementIndex, cellBytes: number): CorruptionError {
  return new CorruptionError('an increment is malformed', { details: { cellBytes, base: index.baseNumber } });
}

/** Entries of the table's runs that are newer than this, and older than the increment of `version`, count over its base. */
export function baseVersion(
  index: IncrementIndex,
  base: number,
  key: Uint8Array,
  start: number,
  end: number,
  version: number,
): number {
  if (base === 0) return 0;
  if (base !== BASE_NOTHING) return index.baseNumber + (index.arena.words[base + 2] as number);
  // A transaction's runs count over its removed ranges.
  return (index.removals?.newestCovering(key, start, end, version) ?? 0) - 1;
}
