/** The engine's own stores. They live in the forest like any other. */
import { HANDLE_BYTES } from '../node/handle.ts';

/** The forest itself: key u32 store id (big-endian), cell: flags 0 and the 40-byte handle of the store's root. */
export const FOREST_STORE = 0;
/** Flags and a handle: the cell of a row of the forest. */
export const FOREST_ROW_BYTES = 1 + HANDLE_BYTES;
/** Key: name in UTF-8; cell: flags 0 and the store definition. */
export const CATALOG_STORE = 1;
/** Key: u32 shape id (big-endian); cell: flags 0 and the shape's definition. */
export const SHAPE_STORE = 2;
/** See space.ts. */
export const SEGMENT_STORE = 3;
/** See transaction-ids.ts. */
export const TRANSACTION_STORE = 4;
export const WRITER_STORE = 5;
/** See pin-row.ts. */
export const PIN_STORE = 6;
/**
 * Key: u32 store id (big-endian) of a dropped store, put by the transaction that drops it; a checkpoint then unlinks the
 * store's root. With 8 bytes more (u48 root, u16 ordinal) the cell is flags 0 and the handle of a subtree whose space is still
 * to be counted dead.
 */
export const DROPPED_STORE = 7;

/**
 * Indexes that are not ready. Key: u32 store id of the index (big-endian); cell: flags 0 and a value without shapes: its
 * state, how far its building came, what went wrong.
 */
export const INDEX_STATE_STORE = 8;
/** Key: u48 writer, u48 counter (big-endian) of a transaction that waits for its decision; cell: see prepared-set.ts. */
export const PREPARED_STORE = 9;

/** An id (of a store, of a shape) as a key: u32, big-endian. */
export function idKey(id: number): Uint8Array {
  return Uint8Array.of(id >>> 24, id >>> 16, id >>> 8, id);
}

export function idOfKey(key: Uint8Array, start: number): number {
  return (
    (((key[start] as number) << 24) |
      ((key[start + 1] as number) << 16) |
      ((key[start + 2] as number) << 8) |
      (key[start + 3] as number)) >>>
    0
  );
}
