/** Errors of node:fs in the one shape of the file layer. */

import { ioError } from './io-error.ts';

/** The `IoError` or `DiskFullError` for what node:fs threw; anything without an errno is handed back as it is. */
export function nodeFailure(operation: string, path: string, error: unknown): unknown {
  const errno = (error as { code?: unknown } | null)?.code;
  if (typeof errno !== 'string' || !/^E[A-Z0-9]+$/.test(errno) || errno.startsWith('ERR_')) return error;
  return ioError(operation, path, errno, error);
}
