/** Paths as the file layer takes them: absolute strings. Names of the database's own files belong to the floors above. */

import { InvalidArgumentError } from '../base/errors.ts';
import { nodePath } from './builtin.ts';

/**
 * The absolute form of what a user gave, against the working directory of this moment. On Windows always taken apart and put
 * together again: a name that begins with a slash lacks its drive, and the long form of a path knows neither '/' nor two
 * separators in a row.
 */
export function absolutePath(path: string, style = nodePath): string {
  if (path.length === 0) throw new InvalidArgumentError('the path is empty');
  if (path.includes('\0')) throw new InvalidArgumentError('the path contains a zero byte');
  const isWhole = style.sep === '/' && style.isAbsolute(path) && !path.includes('..');
  return isWhole ? path : style.resolve(path);
}

export function joinPath(folder: string, ...names: string[]): string {
  return nodePath.join(folder, ...names);
}

/** The folder that holds `path`; the root is its own parent. */
export function parentPath(path: string): string {
  return nodePath.dirname(path);
}
