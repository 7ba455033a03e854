/**
 * What is known of indexes that are not ready: a row each in the engine's store 8. An index of the catalog without such a row
 * is ready. The rows stand apart from the catalog so that the progress of a build is no conflict for anybody who writes.
 */
import { copyBytes, equalBytes } from '../base/bytes.ts';
import { CorruptionError, IndexNotReadyError } from '../base/errors.ts';
import { decodeValue, encodeValue } from '../codec/value.ts';
import { ValueWriter } from '../codec/value-writer.ts';
import { AT, type EntryCursor } from '../node/entry-cursor.ts';
import { INDEX_STATE_STORE, idKey } from '../storage/system-stores.ts';
import type { EngineTransaction } from '../transaction/engine-api.ts';
import type { StoreIndex } from './index-set.ts';

export interface IndexState {
  readonly state: 'building' | 'failed';
  /** The last key of the store that is done; undefined at the beginning. */
  readonly position: Uint8Array | undefined;
  /** Entries done, and how many there were when the build began. */
  readonly done: number;
  readonly total: number;
  /** Why it failed. */
  readonly problem: string | undefined;
}

export const BUILD_BEGINS: IndexState = {
  state: 'building',
  position: undefined,
  done: 0,
  total: 0,
  problem: undefined,
};

export function encodeIndexState(state: IndexState): Uint8Array {
  const writer = new ValueWriter();
  encodeValue({ ...state }, writer, undefined);
  const cell = new Uint8Array(1 + writer.length);
  cell.set(writer.bytes.subarray(0, writer.length), 1);
  return cell;
}

export function putIndexState(etx: EngineTransaction, id: number, state: IndexState): void {
  const cell = encodeIndexState(state);
  const key = idKey(id);
  etx.put(INDEX_STATE_STORE, key, 0, key.length, cell, 0, cell.length, undefined);
}

export function removeIndexState(etx: EngineTransaction, id: number): void {
  const key = idKey(id);
  etx.remove(INDEX_STATE_STORE, key, 0, key.length, undefined);
}

/** The state of an index as a transaction sees it; undefined where it is ready. Notes nothing. Blocks on a cache miss. */
export function readIndexState(etx: EngineTransaction, id: number): IndexState | undefined {
  const cursor = etx.cursor(INDEX_STATE_STORE);
  cursor.waits = true;
  const key = idKey(id);
  if (cursor.seek(key, 0, key.length) !== AT) return undefined;
  const found = cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd);
  return equalBytes(found, key) ? stateAt(cursor) : undefined;
}

function stateAt({ cellBytes, cellStart, cellEnd }: EntryCursor): IndexState {
  return decodeIndexState(copyBytes(cellBytes, cellStart, cellEnd));
}

/** Throws `CorruptionError`. */
export function decodeIndexState(cell: Uint8Array): IndexState {
  const row = cell.length < 2 ? undefined : decodeValue(cell, 1, cell.length, undefined);
  if (typeof row !== 'object' || row === null) refuse();
  const { state, position, done, total, problem } = row as Record<string, unknown>;
  if (state !== 'building' && state !== 'failed') refuse();
  if (position !== undefined && !(position instanceof Uint8Array)) refuse();
  if (typeof done !== 'number' || typeof total !== 'number') refuse();
  if (problem !== undefined && typeof problem !== 'string') refuse();
  return { state, position, done, total, problem };
}

function refuse(): never {
  throw new CorruptionError('the state of an index is not what is written there');
}

/** Throws `IndexNotReadyError` where an index cannot be read in this transaction. */
export function mustBeReady(etx: EngineTransaction, store: string, index: StoreIndex): void {
  if (index.readySince !== undefined && index.readySince <= etx.snapshot) return;
  const state = readIndexState(etx, index.stored.id);
  // What holds at a pin need not hold at all later ones: it may have been built anew since.
  if (state === undefined && etx.isPinned) return;
  if (state === undefined) index.readySince = etx.snapshot;
  else refuseUnready(store, index.stored.name, state);
}

export function refuseUnready(store: string, index: string, state: IndexState | undefined): never {
  throw notReady(store, index, state);
}

/** `undefined`: the database does not know the index yet. */
export function notReady(store: string, index: string, state: IndexState | undefined): IndexNotReadyError {
  const details = {
    store,
    index,
    state: state?.state ?? 'missing',
    done: state?.done ?? 0,
    total: state?.total ?? 0,
    problem: state?.problem,
  };
  return new IndexNotReadyError(
    `store '${store}': the index '${index}' ${inWords(state)}`,
    details.state === 'building',
    {
      details,
    },
  );
}

function inWords(state: IndexState | undefined): string {
  if (state === undefined) return 'is not there yet: the next write transaction that opens the store adds it';
  if (state.state === 'failed') return `could not be built: ${state.problem ?? 'for an unknown reason'}`;
  return `is being built (${state.done} of ${state.total} entries)`;
}
