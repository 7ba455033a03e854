/**
 * One transaction of a damaged database's log, applied to a transaction of the new one. Keys that wait for the number of their
 * commit get the number they had.
 */
import { readU16, readU32 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import { CELL_TOMBSTONE } from '../codec/cell.ts';
import type { BatchCursor } from '../log/batch-cursor.ts';
import { ITEM_ID_BYTES, RUN_HOLDS_PLACEHOLDERS, setItemNumber } from '../log/placeholder.ts';
import {
  OP_INCREMENT,
  OP_PUT,
  OP_RANGE_REMOVE,
  OP_REMOVE,
  RANGE_UNBOUNDED,
  RECORD_HEADER_BYTES,
  RECORD_PLACEHOLDER,
  recordFlags,
  recordKeyLength,
  recordOp,
  recordWords,
} from '../log/record.ts';
import { decodeHandle, HANDLE_BYTES } from '../node/handle.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { numberedKey } from '../storage/item-run.ts';
import { FOUND } from '../storage/find-result.ts';
import type { Lost } from '../storage/salvage-report.ts';
import { walkTree } from '../storage/salvage-trees.ts';
import type { Segments } from '../storage/segments.ts';
import type { EngineTransaction } from './engine-api.ts';

export interface LoggedChangesOptions {
  /** Under which the changes count. */
  readonly number: number;
  readonly cache: ImageCache;
  readonly segments: Segments;
  readonly note: (what: Lost) => void;
  /** Whether what the key had before may be lost: an increment of nothing would invent a value. */
  readonly isUnknown: (storeId: number, key: Uint8Array) => boolean;
  /** False where the value is lost. */
  readonly put: (storeId: number, key: Uint8Array, cell: Uint8Array) => boolean;
}

export class LoggedChanges {
  readonly #options: LoggedChangesOptions;

  constructor(options: LoggedChangesOptions) {
    this.#options = options;
  }

  applyRecords(
    tx: EngineTransaction,
    storeId: number,
    from: Uint8Array,
    start: number,
    length: number,
    ranges: boolean,
  ): void {
    for (let at = start; at < start + length; ) {
      const word0 = readU32(from, at);
      const keyLength = recordKeyLength(word0);
      const cellLength = readU32(from, at + 4);
      const size = cellLength > length ? 0 : recordWords(keyLength, cellLength) * 4;
      if (size === 0 || at + size > start + length) throw new CorruptionError('a section of records is malformed');
      const keyStart = at + RECORD_HEADER_BYTES;
      const cellStart = keyStart + ((keyLength + 3) & ~3);
      const key = from.slice(keyStart, keyStart + keyLength);
      const cell = from.slice(cellStart, cellStart + cellLength);
      if ((recordFlags(word0) & RECORD_PLACEHOLDER) !== 0 && keyLength >= ITEM_ID_BYTES) {
        setItemNumber(key, keyLength, this.#options.number);
      }
      if ((recordOp(word0) === OP_RANGE_REMOVE) === ranges) this.#apply(tx, storeId, word0, key, cell);
      at += size;
    }
  }

  #apply(tx: EngineTransaction, storeId: number, word0: number, key: Uint8Array, cell: Uint8Array): void {
    switch (recordOp(word0)) {
      case OP_PUT:
        if (!this.#options.put(storeId, key, cell)) tx.remove(storeId, key, 0, key.length, undefined);
        return;
      case OP_REMOVE:
        tx.remove(storeId, key, 0, key.length, undefined);
        return;
      case OP_RANGE_REMOVE:
        tx.removeRange(storeId, key, (recordFlags(word0) & RANGE_UNBOUNDED) === 0 ? cell : undefined);
        return;
      case OP_INCREMENT:
        tx.waits = true;
        if (this.#options.isUnknown(storeId, key) && tx.find(storeId, key, 0, key.length) !== FOUND) {
          this.#options.note({
            what: 'an increment of a counter that is lost',
            store: storeId,
            entries: 1,
            key,
          });
          return;
        }
        tx.increment(storeId, key, 0, key.length, cell);
    }
  }

  /** A run: the tree that a large transaction wrote outside the log. */
  applyRun(tx: EngineTransaction, cursor: BatchCursor): void {
    const { runStoreId, runStart, runLength, bytes } = cursor;
    const { number, cache, segments, note, put } = this.#options;
    if (runLength < HANDLE_BYTES + 4) throw new CorruptionError('the descriptor of a run is malformed');
    const holdsPlaceholders = (readU16(bytes, runStart + HANDLE_BYTES) & RUN_HOLDS_PLACEHOLDERS) !== 0;
    walkTree(cache, runStoreId, decodeHandle(bytes, runStart, segments), {
      entry: (inRun, cells, start, end) => {
        const key = holdsPlaceholders ? numberedKey(inRun, number) : inRun;
        if (((cells[start] as number) & CELL_TOMBSTONE) !== 0) tx.remove(runStoreId, key, 0, key.length, undefined);
        else if (!put(runStoreId, key, cells.slice(start, end))) tx.remove(runStoreId, key, 0, key.length, undefined);
      },
      lost: (lost) => note({ ...lost, what: `of transaction ${number}, ${lost.what}; these keys may be as before it` }),
    });
  }
}
