/** Salvage as programs see it: losses with keys that people can read. */
import { compileKeySpec } from '../codec/key-spec.ts';
import { stringifyTypedJson } from '../codec/typed-json.ts';
import type { Env } from '../env/env.ts';
import { type FloorSalvageReport, salvage, type SalvageProgress } from '../transaction/salvage.ts';

/** Options of `Database.salvage`. */
export interface SalvageOptions {
  readonly onProgress?: (progress: SalvageProgress) => void;
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
  const report = await salvage({ env, fromEnv, from, to, ...options });
  const { entries, transactions, rootNumber, olderRoot } = report;
  return { entries, transactions, rootNumber, olderRoot, lost: toLosses(report) };
}

function toLosses({ lost, definitions }: FloorSalvageReport): SalvageLoss[] {
  return lost.map(({ key, lower = key, upper, ...rest }) => {
    const definition = rest.store === undefined ? undefined : definitions.get(rest.store);
    const show = (key: Uint8Array): string => {
      if (key.length === 0 || definition === undefined) return Buffer.from(key).toString('hex');
      try {
        return stringifyTypedJson(compileKeySpec({ ...definition.key, rideOn: [] }).decodeKey(key, 0, key.length));
      } catch {
        // A separator is the beginning of a key.
        return Buffer.from(key).toString('hex');
      }
    };
    return { ...rest, ...(lower && { lower: show(lower) }), ...(upper && { upper: show(upper) }) };
  });
}
