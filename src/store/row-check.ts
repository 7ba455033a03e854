/** Whether the rows of the engine's own stores that programs are served from can be read: the catalog's, shapes, states of indexes. */
import { copyBytes } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { parseDefinition } from '../codec/shapes.ts';
import { decodeStoreDefinition } from '../codec/store-definition.ts';
import { AT, MISS } from '../node/entry-cursor.ts';
import { CATALOG_STORE, idOfKey, INDEX_STATE_STORE, SHAPE_STORE } from '../storage/system-stores.ts';
import type { VerifyProblem } from '../transaction/engine-api.ts';
import { decodeIndexState } from './index-state.ts';
import type { TransactionCore } from './transaction-core.ts';

interface Rows {
  readonly store: number;
  read(key: Uint8Array, cell: Uint8Array): void;
}

const ROWS: readonly Rows[] = [
  { store: CATALOG_STORE, read: (_, cell) => void decodeStoreDefinition(cell, 1) },
  { store: SHAPE_STORE, read: (key, cell) => void parseDefinition(idOfKey(key, 0), cell.subarray(1)) },
  { store: INDEX_STATE_STORE, read: (_, cell) => void decodeIndexState(cell) },
];

export async function checkRows(core: TransactionCore): Promise<VerifyProblem[]> {
  const problems: VerifyProblem[] = [];
  for (const rows of ROWS) await checkStore(core, rows, problems);
  return problems;
}

async function checkStore(
  { engine }: TransactionCore,
  { store, read }: Rows,
  problems: VerifyProblem[],
): Promise<void> {
  const cursor = engine.cursor(store);
  cursor.waits = false;
  let isBegun = false;
  for (;;) {
    const step = isBegun ? cursor.next() : cursor.first();
    if (step === MISS) {
      await cursor.load();
      continue;
    }
    if (step !== AT) return;
    isBegun = true;
    const { keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd } = cursor;
    try {
      read(copyBytes(keyBytes, keyStart, keyEnd), copyBytes(cellBytes, cellStart, cellEnd));
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      problems.push({ invariant: "rows of the engine's own stores can be read", message: error.message, store });
    }
  }
}
