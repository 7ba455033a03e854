/** Which store ids a section of the log uses up, so that none is ever given out twice. */
import { readU32 } from '../base/bytes.ts';
import { highestIdOfDefinition } from '../codec/store-definition.ts';
import { OP_PUT, RECORD_HEADER_BYTES, recordKeyLength, recordOp, recordWords } from '../log/record.ts';
import { CATALOG_STORE, DROPPED_STORE, idOfKey } from './system-stores.ts';

const ID_KEY_BYTES = 4;

/**
 * The store's own id; in the catalog the highest id that a definition names; among the dropped stores the highest of them: one
 * that was created and dropped by the same transaction stands nowhere else.
 */
export function highestStoreId(storeId: number, bytes: Uint8Array, start: number, byteLength: number): number {
  if (storeId !== CATALOG_STORE && storeId !== DROPPED_STORE) return storeId;
  let highest = storeId;
  for (let at = start; at < start + byteLength; ) {
    const word0 = readU32(bytes, at);
    const cellLength = readU32(bytes, at + 4);
    const keyLength = recordKeyLength(word0);
    const key = at + RECORD_HEADER_BYTES;
    if (storeId === DROPPED_STORE) {
      if (keyLength === ID_KEY_BYTES) highest = Math.max(highest, idOfKey(bytes, key));
    } else if (recordOp(word0) === OP_PUT && cellLength > 1) {
      const cell = key + ((keyLength + 3) & ~3);
      highest = Math.max(highest, highestIdOfDefinition(bytes, cell + 1, cell + cellLength));
    }
    at += recordWords(keyLength, cellLength) * 4;
  }
  return highest;
}
