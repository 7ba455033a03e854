/** lmdb-js with its cache of decoded objects in front: it hands out the same object again and again. */
import { open as openPlain } from './lmdb.mjs';

export function open(folder, options) {
  return openPlain(folder, { ...options, cache: true });
}
