/**
 * The segments that transactions in the log name: those of their runs, and those that the values of their records, and of what is in
 * the runs, lie in. Every record counts, also one that a later one overrode: somebody may read the older version.
 */
import { CELL_SEPARATE } from '../codec/cell.ts';
import type { Env } from '../env/env.ts';
import { KIND_PREPARE, KIND_USER } from '../log/batch.ts';
import type { BatchCursor } from '../log/batch-cursor.ts';
import { OP_PUT } from '../log/record.ts';
import { AT } from '../node/entry-cursor.ts';
import { decodeHandle, type Handle } from '../node/handle.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { Tree } from '../tree/tree.ts';
import { TreeCursor } from '../tree/tree-cursor.ts';
import type { Replay } from './database-state.ts';
import { forEachRecord } from './prepared-set.ts';
import type { Segments } from './segments.ts';
import { readValueReference } from './value-log.ts';

/** The event loop gets its turn after so many entries of a run. */
const ENTRIES_AT_ONCE = 2000;

interface NamedRun {
  readonly storeId: number;
  readonly root: Handle;
}

export async function namedByLog(
  log: Replay,
  segments: Segments,
  cache: ImageCache,
  env: Env,
): Promise<ReadonlySet<number>> {
  const named = new Set<number>();
  const runs: NamedRun[] = [];
  const onCell = (bytes: Uint8Array, start: number, end: number): void => {
    if (end > start && ((bytes[start] as number) & CELL_SEPARATE) !== 0) {
      named.add(readValueReference(segments, bytes, start, end).segment);
    }
  };
  while (log.next()) {
    const cursor = log.transaction;
    // A decision brings what its PREPARE record holds; one of an earlier log is a row, and among the prepared until covered.
    if (cursor.kind === KIND_USER || cursor.kind === KIND_PREPARE) visitChanges(cursor, segments, onCell, runs);
  }
  for (const run of runs) {
    named.add(run.root.segment);
    await visitRun(run, cache, env, onCell);
  }
  return named;
}

function visitChanges(
  cursor: BatchCursor,
  segments: Segments,
  onCell: (bytes: Uint8Array, start: number, end: number) => void,
  runs: NamedRun[],
): void {
  while (cursor.nextSection()) {
    forEachRecord(cursor, (op, keyStart, keyEnd, cellLength) => {
      const cellStart = keyStart + ((keyEnd - keyStart + 3) & ~3);
      if (op === OP_PUT) onCell(cursor.bytes, cellStart, cellStart + cellLength);
    });
  }
  while (cursor.nextRun()) {
    runs.push({ storeId: cursor.runStoreId, root: decodeHandle(cursor.bytes, cursor.runStart, segments) });
  }
}

async function visitRun(
  { storeId, root }: NamedRun,
  cache: ImageCache,
  env: Env,
  onCell: (bytes: Uint8Array, start: number, end: number) => void,
): Promise<void> {
  const cursor = new TreeCursor(cache, new Tree(root, storeId));
  cursor.waits = true;
  let count = 0;
  for (let step = cursor.first(); step === AT; step = cursor.next()) {
    if (!cursor.removed) onCell(cursor.cellBytes, cursor.cellStart, cursor.cellEnd);
    if (++count % ENTRIES_AT_ONCE === 0) await new Promise<void>((resolve) => env.timers.nextTurn(resolve));
  }
}
