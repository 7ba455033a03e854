/** Walking a store in small steps, by the bytes of its entries: for what works through all of it in the background. */
import { copyBytes, keySuccessor } from '../base/bytes.ts';
import { END, MISS } from '../node/entry-cursor.ts';
import type { StoreCore } from './store-core.ts';

/** A step ends when it has taken so long, so that it is short beside a busy writer. */
const LONGEST_STEP_MS = 8;

export interface Row {
  readonly key: Uint8Array;
  readonly cell: Uint8Array;
}

/** The key from which on a walk goes on behind a position. */
export function afterPosition(position: Uint8Array | undefined): Uint8Array | undefined {
  return position === undefined ? undefined : keySuccessor(position);
}

/** Up to `most` entries behind `position`; notes nothing. */
export async function readRows(
  store: StoreCore,
  position: Uint8Array | undefined,
  most: number,
): Promise<{ readonly rows: Row[]; readonly reachedEnd: boolean }> {
  const { clock } = store.transaction.env;
  const began = clock.monotonicMs();
  const cursor = store.etx.cursor(store.storeId);
  cursor.waits = false;
  const from = afterPosition(position);
  const rows: Row[] = [];
  for (let started = false; ; ) {
    const step = started ? cursor.next() : from === undefined ? cursor.first() : cursor.seek(from, 0, from.length);
    if (step === MISS) {
      await cursor.load();
      store.mustBeOpen();
      continue;
    }
    started = true;
    if (step === END) return { rows, reachedEnd: true };
    const { keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd } = cursor;
    rows.push({ key: copyBytes(keyBytes, keyStart, keyEnd), cell: copyBytes(cellBytes, cellStart, cellEnd) });
    if (rows.length >= most || clock.monotonicMs() - began > LONGEST_STEP_MS) return { rows, reachedEnd: false };
  }
}

export async function countEntries(store: StoreCore): Promise<number> {
  for (;;) {
    store.etx.waits = false;
    const count = store.etx.count(store.storeId, undefined, undefined);
    if (count >= 0) return count;
    await store.etx.load();
    store.mustBeOpen();
  }
}
