/** Whether the rows of the engine's own stores that programs are served from can be read: the catalog's, shapes, states of indexes. */
import { CorruptionError } from '../base/errors.ts';
import { parseDefinition } from '../codec/shapes.ts';
import { decodeStoreDefinition } from '../codec/store-definition.ts';
import { CATALOG_STORE, idOfKey, INDEX_STATE_STORE, SHAPE_STORE } from '../storage/system-stores.ts';
import type { VerifyProblem } from '../transaction/engine-api.ts';
import { decodeIndexState } from './index-state.ts';
import { forEachSystemRow } from './listing.ts';
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
  for (const { store, read } of ROWS) {
    await forEachSystemRow(core, store, (key, cell) => {
      try {
        read(key, cell);
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
        problems.push({ invariant: "rows of the engine's own stores can be read", message: error.message, store });
      }
    });
  }
  return problems;
}
