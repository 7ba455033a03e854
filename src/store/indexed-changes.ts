/**
 * The asynchronous changes of a store that has indexes: as those of `TxStore`, and nothing blocks. A change that misses
 * something has changed nothing; it is loaded, and all of it is tried again.
 */
import { type FindResult, NOT_LOADED } from '../storage/find-result.ts';
import type { StoreCore } from './store-core.ts';
import { INDEX_MISS } from './store-indexes.ts';

/** After so many the last try waits for the disk: in a tiny cache what is loaded may push out what was loaded before. */
const MOST_TRIES = 8;

export function addIndexed(core: StoreCore, key: unknown, value: unknown): Promise<boolean> {
  core.encodeEntry(key, value);
  const keyBytes = core.codec.copyKey();
  const cell = core.codec.copyCell();
  return patiently(core, keyBytes, (found) => core.finishAdd(found, keyBytes, keyBytes.length, cell, cell.length));
}

export function updateIndexed(core: StoreCore, key: unknown, value: unknown): Promise<boolean> {
  const fields = core.codec.rideOnOf(key);
  core.encode(key, value);
  const keyBytes = core.codec.copyKey();
  const cell = core.codec.copyCell();
  return patiently(core, keyBytes, (found) => core.finishUpdate(found, keyBytes, cell, fields));
}

export function updateKeyIndexed(core: StoreCore, key: unknown): Promise<boolean> {
  core.mustHaveRideOn();
  const fields = core.codec.rideOnOf(key);
  core.codec.encodeKey(key);
  const keyBytes = core.codec.copyKey();
  return patiently(core, keyBytes, (found) => core.finishUpdateKey(found, keyBytes, fields));
}

export function removeIndexed(core: StoreCore, key: unknown): Promise<boolean> {
  core.mustBeWritable();
  core.codec.encodeKey(key);
  const keyBytes = core.codec.copyKey();
  return patiently(core, keyBytes, (found) => core.finishRemove(found, keyBytes, keyBytes.length));
}

/** Looks the key up and runs `finish`, again after a load where something was not in memory. */
export async function patiently(
  core: StoreCore,
  key: Uint8Array,
  finish: (found: FindResult) => boolean,
): Promise<boolean> {
  const { etx } = core;
  for (let tries = 1; ; tries++) {
    core.mustBeOpen();
    const { indexes } = core;
    etx.waits = tries >= MOST_TRIES;
    const found = etx.find(core.storeId, key, 0, key.length);
    if (found === NOT_LOADED) {
      await etx.load();
      continue;
    }
    if (indexes === undefined) return finish(found);
    indexes.waits = tries >= MOST_TRIES;
    try {
      return finish(found);
    } catch (error) {
      if (error !== INDEX_MISS) throw error;
    } finally {
      indexes.waits = true;
    }
    await indexes.load();
  }
}
