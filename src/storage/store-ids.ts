/** Which store ids a section of the log uses up, so that none is ever given out twice. */
import { readU32 } from '../base/bytes.ts';
import { highestIdOfDefinition } from '../codec/store-definition.ts';
import { OP_PUT, RECORD_HEADER_BYTES, recordKeyLength, recordOp, recordWords } from '../log/record.ts';
import { CATALOG_STORE } from './system-stores.ts';

/** The store's own id, or in the catalog the highest id that a definition names. */
export function highestStoreId(storeId: number, bytes: Uint8Array, start: number, byteLength: number): number {
  if (storeId !== CATALOG_STORE) return storeId;
  let highest = storeId;
  for (let at = start; at < start + byteLength; ) {
    const word0 = readU32(bytes, at);
    const cellLength = readU32(bytes, at + 4);
    const keyLength = recordKeyLength(word0);
    if (recordOp(word0) === OP_PUT && cellLength > 1) {
      const cell = at + RECORD_HEADER_BYTES + ((keyLength + 3) & ~3);
      highest = Math.max(highest, highestIdOfDefinition(bytes, cell + 1, cell + cellLength));
    }
    at += recordWords(keyLength, cellLength) * 4;
  }
  return highest;
}
