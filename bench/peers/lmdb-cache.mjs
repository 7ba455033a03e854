/** lmdb-js with its cache of decoded objects in front: it hands out the same object again and again. */
import { open as openPlain } from './lmdb.mjs';

export const family = 'lmdb';

export function open(folder) {
  return openPlain(folder, { cache: true });
}
