/** Salvage as programs see it: losses with keys that people can read. */
import { watchAnswer } from '../base/thenable.ts';
import { compileKeySpec } from '../codec/key-spec.ts';
import type { StoredDefinition } from '../codec/store-definition.ts';
import { stringifyTypedJson } from '../codec/typed-json.ts';
import type { Env } from '../env/env.ts';
import { type FloorSalvageReport, salvage, type SalvageProgress } from '../transaction/salvage.ts';

/** A number has eight bytes behind its first, an identifier sixteen. */
const MOST_ZEROS = 16;

/** Options of `Database.salvage`. */
export interface SalvageOptions {
  readonly onProgress?: (progress: SalvageProgress) => void;
  /** Ends it with `AbortedError`; the new folder is then no database (`BackupIncompleteError`): remove it, and salvage anew. */
  readonly signal?: AbortSignal;
}

/** A piece of a damaged database that could not be brought along. */
export interface SalvageLoss {
  /** In words. */
  readonly what: string;
  readonly file?: string;
  /** In bytes. */
  readonly offset?: number;
  /** Id of the store. */
  readonly store?: number;
  /** Its name, where that is known. */
  readonly name?: string;
  /** Entries that are gone, as far as what points at them says. */
  readonly entries?: number;
  /** The only key that is gone, where that is known, as typed JSON, or as hexadecimal bytes where that can not be told. */
  readonly key?: string;
  /** The first key that may be gone, as typed JSON, or as hexadecimal bytes where that can not be told; '' is no bound. */
  readonly lower?: string;
  /** The first key behind; left out where there is no bound. */
  readonly upper?: string;
}

/** What `Database.salvage` brought along, and what it could not. */
export interface SalvageReport {
  /** Entries taken from the trees. */
  readonly entries: number;
  /** Transactions taken from the log. */
  readonly transactions: number;
  /** Trees are as of this number; 0 where there are none. */
  readonly rootNumber: number;
  /** The newest root could not be read. */
  readonly olderRoot: boolean;
  /** Empty where the database was sound. */
  readonly lost: readonly SalvageLoss[];
}

export async function salvageDatabase(
  env: Env,
  from: string,
  to: string,
  options: SalvageOptions,
  fromEnv: Env = env,
): Promise<SalvageReport> {
  const report = await salvage({ env, fromEnv, from, to, ...options, ...watched(options) });
  const { entries, transactions, rootNumber, olderRoot } = report;
  return { entries, transactions, rootNumber, olderRoot, lost: toLosses(report) };
}

/** What `onProgress` rejects with ends the salvage when there is more to tell, as what it throws does. */
function watched({ onProgress }: SalvageOptions): SalvageOptions {
  if (onProgress === undefined) return {};
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
  };
  return {
    onProgress: (progress) => {
      if (failure !== undefined) throw failure.error;
      watchAnswer(onProgress(progress), fail);
    },
  };
}

function toLosses({ lost, definitions }: FloorSalvageReport): SalvageLoss[] {
  return lost.map(({ key, lower, upper, ...rest }) => {
    const definition = rest.store === undefined ? undefined : definitions.get(rest.store);
    const shown: { key?: string; lower?: string; upper?: string } = {};
    if (key !== undefined) shown.key = showKey(key, definition);
    if (lower !== undefined) shown.lower = showKey(lower, definition);
    if (upper !== undefined) shown.upper = showKey(upper, definition);
    return { ...rest, ...shown };
  });
}

/**
 * The first key at or behind these bytes. What separates two leaves is the beginning of a key only; no bytes lie between it and
 * itself with a zero more, so with the fewest zeros that make it a key it is that key.
 */
function showKey(bytes: Uint8Array, definition: StoredDefinition | undefined): string {
  if (bytes.length > 0 && definition !== undefined) {
    const spec = compileKeySpec({ ...definition.key, rideOn: [] });
    const padded = new Uint8Array(bytes.length + MOST_ZEROS);
    padded.set(bytes);
    for (let end = bytes.length; end <= padded.length; end++) {
      try {
        return stringifyTypedJson(spec.decodeKey(padded, 0, end));
      } catch {
        // Not a key yet.
      }
    }
  }
  return Buffer.from(bytes).toString('hex');
}
