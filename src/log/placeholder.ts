/**
 * Keys that end with the place of their commit: in a store of equal keys an engine key is the user's key and ten bytes,
 * the commit's number (u48) and a sequence number within the transaction (u32), both big-endian, so that equal keys sort in
 * the order of their commits.
 *
 *  1. Until the number is known the placeholder stands for it: greater than every number, as the newest item should sort.
 *  2. Records in the log keep the placeholder, marked by RECORD_PLACEHOLDER: a prepared transaction gets its number after it was
 *     written. A memory table puts the number in its place as it takes a record in, so that readers of tables and trees never
 *     see one. Spilled runs keep it in their bytes and are read as if the number stood there (storage/item-run.ts).
 *  3. Within one transaction and store the order of keys is the same before and after.
 */

/** The number and the sequence number behind the user's key. */
export const ITEM_ID_BYTES = 10;
export const NUMBER_PLACEHOLDER = 0xffff_ffff_ffff;
/** In the first length of a run's descriptor: keys of the run may end with a placeholder. Keys are far shorter than this. */
export const RUN_HOLDS_PLACEHOLDERS = 0x8000;

export function endsWithPlaceholder(key: Uint8Array, start: number, end: number): boolean {
  const at = end - ITEM_ID_BYTES;
  if (at < start) return false;
  for (let i = at; i < at + 6; i++) if (key[i] !== 0xff) return false;
  return true;
}

/** The commit's number at the end of a key. */
export function itemNumber(key: Uint8Array, end: number): number {
  let number = 0;
  for (let i = end - ITEM_ID_BYTES; i < end - 4; i++) number = number * 256 + (key[i] as number);
  return number;
}

export function itemSequence(key: Uint8Array, end: number): number {
  let sequence = 0;
  for (let i = end - 4; i < end; i++) sequence = sequence * 256 + (key[i] as number);
  return sequence;
}

/** Writes the number of the key that ends at `end`. */
export function setItemNumber(key: Uint8Array, end: number, number: number): void {
  let rest = number;
  for (let i = end - 5; i >= end - ITEM_ID_BYTES; i--) {
    key[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

/** Writes number and sequence number at `at`. */
export function writeItemId(into: Uint8Array, at: number, number: number, sequence: number): void {
  const end = at + ITEM_ID_BYTES;
  setItemNumber(into, end, number);
  for (let i = end - 1, rest = sequence; i >= end - 4; i--, rest = Math.floor(rest / 256)) into[i] = rest % 256;
}
