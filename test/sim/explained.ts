/** What a disk that refuses things explains, for the simulated lives that take it as it comes. */
import { SopError } from '../../src/base/errors.ts';

export const EXPLAINED: ReadonlySet<string> = new Set(['IO_ERROR', 'DISK_FULL', 'DATABASE_FAILED', 'OUTCOME_UNKNOWN']);

export function isExplained(error: unknown): error is SopError {
  return error instanceof SopError && EXPLAINED.has(error.code);
}
