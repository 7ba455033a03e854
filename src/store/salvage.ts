/** Salvage as programs see it: losses with keys that people can read. */
import { watchAnswer } from '../base/thenable.ts';
import { compileKeySpec } from '../codec/key-spec.ts';
import { type StoredDefinition, storeIdsOf } from '../codec/store-definition.ts';
import { stringifyTypedJson } from '../codec/typed-json.ts';
import type { Env } from '../env/env.ts';
import type { Lost } from '../storage/salvage-report.ts';
import {
  CATALOG_STORE,
  DROPPED_STORE,
  FOREST_STORE,
  INDEX_STATE_STORE,
  PIN_STORE,
  PREPARED_STORE,
  SHAPE_STORE,
} from '../storage/system-stores.ts';
import { type FloorSalvageReport, salvage, type SalvageProgress } from '../transaction/salvage.ts';
import { type SalvagedIndex, SalvagedStores } from './salvaged-stores.ts';

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
  /** The index of the store, where it is of one. */
  readonly index?: string;
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
  /** Empty where the database was sound and had neither pins nor undecided transactions. */
  readonly lost: readonly SalvageLoss[];
  /** Indexes of stores that have lost something: they were emptied, and built anew where that could be done here. */
  readonly rebuilt: readonly SalvagedIndex[];
}

export async function salvageDatabase(
  env: Env,
  from: string,
  to: string,
  options: SalvageOptions,
  fromEnv: Env = env,
): Promise<SalvageReport> {
  let stores: SalvagedStores | undefined;
  const report = await salvage({
    ...options,
    ...watched(options),
    env,
    fromEnv,
    from,
    to,
    complete: async (engine, losses) => {
      stores = new SalvagedStores({ engine, env, losses, signal: options.signal });
      await stores.mend();
    },
  });
  const { entries, transactions, rootNumber, olderRoot } = report;
  const rebuilt = stores?.rebuilt ?? new Map<number, SalvagedIndex>();
  const lost = toLosses(report, rebuilt);
  return { entries, transactions, rootNumber, olderRoot, lost, rebuilt: [...rebuilt.values()] };
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

/** What the engine keeps for itself, in words. */
const SYSTEM_STORES: ReadonlyMap<number, string> = new Map([
  [FOREST_STORE, 'the roots of trees'],
  [CATALOG_STORE, 'the definitions of stores'],
  [SHAPE_STORE, 'the shapes of values'],
  [PIN_STORE, 'the pins'],
  [DROPPED_STORE, 'the list of dropped stores'],
  [INDEX_STATE_STORE, 'the states of indexes'],
  [PREPARED_STORE, 'the prepared transactions'],
]);

interface Owner {
  readonly definition: StoredDefinition;
  readonly index: string | undefined;
}

function toLosses(
  { lost, definitions }: FloorSalvageReport,
  rebuilt: ReadonlyMap<number, SalvagedIndex>,
): SalvageLoss[] {
  const owners = ownersOf(definitions.values());
  return lost.map((one) => {
    const { store } = one;
    const owner = store === undefined ? undefined : owners.get(store);
    const { key, lower, upper, ...rest } = one;
    const shown: { key?: string; lower?: string; upper?: string; name?: string; index?: string } = {};
    if (owner !== undefined) shown.name = owner.definition.name;
    if (owner?.index !== undefined) shown.index = owner.index;
    const definition = owner?.definition.id === store ? owner?.definition : undefined;
    const show = (bytes: Uint8Array) => (isNamed(store) ? showName(bytes) : showKey(bytes, definition));
    if (key !== undefined) shown.key = show(key);
    if (lower !== undefined) shown.lower = show(lower);
    if (upper !== undefined) shown.upper = show(upper);
    return { ...rest, ...shown, what: describe(one, store !== undefined && rebuilt.has(store)) };
  });
}

/** By the ids of all stores that belong to them. */
function ownersOf(definitions: Iterable<StoredDefinition>): Map<number, Owner> {
  const owners = new Map<number, Owner>();
  for (const definition of definitions) {
    for (const id of storeIdsOf(definition)) {
      owners.set(id, { definition, index: definition.indexes.find((index) => index.id === id)?.name });
    }
  }
  return owners;
}

function describe({ what, store }: Lost, isRebuilt: boolean): string {
  const part = store === undefined ? undefined : SYSTEM_STORES.get(store);
  if (part !== undefined) return `of ${part}, ${what}`;
  return isRebuilt ? `${what}; the index is built anew` : what;
}

/** Keys of this store are names in UTF-8. */
function isNamed(store: number | undefined): boolean {
  return store === CATALOG_STORE || store === PIN_STORE;
}

function showName(bytes: Uint8Array): string {
  return bytes.length === 0 ? '' : JSON.stringify(Buffer.from(bytes).toString('utf8'));
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
