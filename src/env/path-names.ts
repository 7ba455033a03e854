/** Paths of the environments that live in memory: names between slashes, no drive, no '..'. */

import { ioError } from './io-error.ts';

/** The names along `path`; the root is the empty list. A leading slash means nothing here. */
export function splitPath(operation: string, path: string): string[] {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    if (name === '..' || name.includes('\0')) throw ioError(operation, path, 'EINVAL');
    names.push(name);
  }
  return names;
}
