/**
 * The one question of a commit: did anything after its snapshot touch what it read?
 *
 *  1. The tables asked reach back to the snapshot without a gap; where they do not, the request is refused as too old.
 *  2. Every change accepted before, durable or not, counts, the batch under construction included.
 *  3. Nothing here waits for a disk.
 */
import { compareBytes } from '../base/bytes.ts';
import { ConflictError, SnapshotTooOldError, type SopError } from '../base/errors.ts';
import { OP_PUT, recordKeyLength, recordOp, RECORD_WORDS } from '../log/record.ts';
import type { MemoryTable } from '../storage/memory-table.ts';
import type { CommitRequest } from './commit-request.ts';
import type { ExpectedRow, StoreReads } from './read-set.ts';

/** Answers why the request must be refused, undefined where it may commit. `tables`: newest first, gapless. */
export function validate(
  request: CommitRequest,
  tables: readonly MemoryTable[],
  oldestChecked: number,
): SopError | undefined {
  const reads = request.reads;
  if (reads === undefined || reads.isEmpty) return undefined;
  if (request.snapshot < oldestChecked) {
    return new SnapshotTooOldError(
      `the snapshot (${request.snapshot}) is older than the changes still remembered for checking (${oldestChecked}); run it again`,
      { details: { snapshot: request.snapshot, oldest: oldestChecked } },
    );
  }
  for (const table of tables) {
    if (table.newestNumber <= request.snapshot) break;
    for (const store of reads.stores) {
      const refusal = checkStore(store, table, request.snapshot);
      if (refusal !== undefined) return refusal;
    }
  }
  for (const row of reads.rows) {
    if (!rowHolds(row, tables, request.snapshot))
      return conflict(row.storeId, row.key, 'the definition of a store it uses changed');
  }
  return undefined;
}

function checkStore(reads: StoreReads, table: MemoryTable, snapshot: number): ConflictError | undefined {
  const overRuns = checkAgainstRuns(reads, table, snapshot);
  if (overRuns !== undefined) return overRuns;
  const index = table.store(reads.storeId);
  if (index === undefined) return undefined;
  let start = 0;
  for (let i = 0; i < reads.keyCount; i++) {
    const end = reads.keyEnds[i] as number;
    if (index.newestVersion(reads.keyBytes, start, end) > snapshot) {
      return conflict(reads.storeId, reads.keyBytes.slice(start, end), 'a key it read was changed');
    }
    start = end;
  }
  for (const range of reads.ranges) {
    if (index.newestInRange(range.lower, range.upper, snapshot) > snapshot) {
      const why = reads.coarsened ? 'a range that spans its many reads was changed' : 'a range it read was changed';
      return conflict(reads.storeId, range.lower, why);
    }
  }
  return undefined;
}

/** A run adopted after the snapshot: its fence keys stand for all its keys. Coarse, and rare. */
function checkAgainstRuns(reads: StoreReads, table: MemoryTable, snapshot: number): ConflictError | undefined {
  for (const run of table.runs(reads.storeId)) {
    if (run.number <= snapshot) continue;
    let start = 0;
    for (let i = 0; i < reads.keyCount; i++) {
      const end = reads.keyEnds[i] as number;
      if (run.mayContain(reads.keyBytes, start, end)) {
        return conflict(
          reads.storeId,
          reads.keyBytes.slice(start, end),
          'a key it read may be among those of a large transaction',
        );
      }
      start = end;
    }
    for (const range of reads.ranges) {
      if (run.mayOverlap(range.lower, range.upper)) {
        return conflict(reads.storeId, range.lower, 'a range it read overlaps a large transaction');
      }
    }
  }
  return undefined;
}

/** Whether the row's newest cell in the tables is what its reader expects; a row no table knows is as the snapshot saw it. */
function rowHolds(row: ExpectedRow, tables: readonly MemoryTable[], snapshot: number): boolean {
  for (const table of tables) {
    if (table.newestNumber <= snapshot) break;
    const index = table.store(row.storeId);
    if (index === undefined) continue;
    const address = index.find(row.key, 0, row.key.length, 0xffff_ffff);
    if (address === 0) continue;
    const words = index.arena.words;
    if ((words[address + 2] as number) + table.baseNumber <= snapshot) return true;
    // A row that may be there already (`orEqual`) has come and gone since: what it names lives on, or did, under another name.
    if (recordOp(words[address] as number) !== OP_PUT) return row.expected === undefined && row.orEqual === undefined;
    const cellStart = (address + RECORD_WORDS + ((recordKeyLength(words[address] as number) + 3) >>> 2)) * 4;
    const cellEnd = cellStart + (words[address + 1] as number);
    const equals = (cell: Uint8Array | undefined): boolean =>
      cell !== undefined && compareBytes(index.arena.bytes, cellStart, cellEnd, cell, 0, cell.length) === 0;
    return equals(row.expected) || equals(row.orEqual);
  }
  return true;
}

function conflict(storeId: number, key: Uint8Array | undefined, why: string): ConflictError {
  return new ConflictError(`${why} by another transaction after this one's snapshot`, {
    details: { storeId, ...(key === undefined ? {} : { key }) },
  });
}
