/** How every environment words a refusal of the operating system: one shape, whatever lies beneath. */

import { DiskFullError, IoError, type SopError } from '../base/errors.ts';

/** The symbolic names of errno that the engine tells apart; others may come and mean "the system refused". */
export type Errno =
  | 'EACCES'
  | 'EBADF'
  | 'EDQUOT'
  | 'EEXIST'
  | 'EINVAL'
  | 'EIO'
  | 'EISDIR'
  | 'ENOENT'
  | 'ENOSPC'
  | 'ENOTDIR'
  | 'ENOTEMPTY'
  | 'EROFS'
  | 'ESTALE';

/** `DiskFullError` for ENOSPC and EDQUOT, else `IoError`; `details` has operation, path and errno. */
export function ioError(operation: string, path: string, errno: string, cause?: unknown): SopError {
  const full = errno === 'ENOSPC' || errno === 'EDQUOT';
  const message = `${operation} failed with ${errno}: ${path}`;
  const options = { details: { operation, path, errno }, cause };
  return full ? new DiskFullError(message, options) : new IoError(message, options);
}

/** The errno an environment's error carries; undefined for any other value. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof IoError) && !(error instanceof DiskFullError)) return undefined;
  const errno = error.details.errno;
  return typeof errno === 'string' ? errno : undefined;
}
