/** What a salvage must know of the engine's own rows that it does not bring along: pins, and stores that were dropped. */
import type { BatchCursor } from '../log/batch-cursor.ts';
import { OP_PUT, OP_REMOVE } from '../log/record.ts';
import { forEachRecord } from '../storage/prepared-set.ts';
import { DROPPED_STORE, idOfKey, PIN_STORE } from '../storage/system-stores.ts';

const ID_BYTES = 4;

export class SystemRows {
  readonly pins = new Set<string>();
  /** Their entries are not to be seen, though a tree may still hold them. */
  readonly dropped = new Set<number>();

  put(storeId: number, key: Uint8Array): void {
    if (storeId === PIN_STORE) this.pins.add(nameOf(key));
    // Longer keys stand for space that is to be counted.
    else if (storeId === DROPPED_STORE && key.length === ID_BYTES) this.dropped.add(idOfKey(key, 0));
  }

  /** The section of the log that the cursor stands on; answers the stores that it drops. */
  take(cursor: BatchCursor): number[] {
    const { storeId, bytes } = cursor;
    if (storeId !== PIN_STORE && storeId !== DROPPED_STORE) return [];
    const found: number[] = [];
    forEachRecord(cursor, (op, start, end) => {
      const key = bytes.slice(start, end);
      if (op === OP_PUT) this.put(storeId, key);
      else if (op === OP_REMOVE && storeId === PIN_STORE) this.pins.delete(nameOf(key));
      if (op === OP_PUT && storeId === DROPPED_STORE && key.length === ID_BYTES) found.push(idOfKey(key, 0));
    });
    return found;
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key).toString('utf8');
}
