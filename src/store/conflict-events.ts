/** Conflicts as people see them: which store, which key, which transaction, which run. */
import { SopError } from '../base/errors.ts';
import { CATALOG_STORE } from '../storage/system-stores.ts';
import type { EngineTransaction } from '../transaction/engine-api.ts';
import { utf8Slice } from '../codec/text.ts';

/** A commit that was refused because of another transaction. */
export interface ConflictEvent {
  readonly error: SopError;
  /** The store in which it happened; undefined where that is not known (a snapshot too old, a store dropped meanwhile). */
  readonly store: string | undefined;
  /** The key, or where a range was read its beginning, as the store's keys are. Undefined where there is none to tell. */
  readonly key: unknown;
  readonly transactionId: string;
  /** Which run of the same work it was, from 1. */
  readonly attempt: number;
  /** Id of the prepared transaction that was in the way. */
  readonly prepared: string | undefined;
}

/** A run is about to be repeated. */
export interface RetryEvent extends ConflictEvent {
  /** The run that is about to begin. */
  readonly attempt: number;
  /** Since the first run began. */
  readonly waitedMs: number;
}

/** What is asked of a transaction to tell of its conflict. */
export interface ConflictSource {
  readonly attempt: number;
  readonly engine: EngineTransaction;
  storeWith(id: number): ConflictStore | undefined;
}

interface ConflictStore {
  readonly name: string;
  readonly codec: { readonly keySpec: { decodeKey(key: Uint8Array, start: number, end: number): unknown } };
}

/** What a run was lost to, and the engine's transaction, which knows what it had touched. */
export interface LostRace {
  readonly error: SopError;
  readonly event: ConflictEvent;
  readonly engine: EngineTransaction;
}

/** How a lost run is handed to the loop that repeats it. */
export class RunLost extends Error implements LostRace {
  readonly error: SopError;
  readonly event: ConflictEvent;
  readonly engine: EngineTransaction;

  constructor(core: ConflictSource, error: SopError) {
    super('a run was lost', { cause: error });
    this.error = error;
    this.event = toConflictEvent(core, error);
    this.engine = core.engine;
  }
}

export function toRetryEvent({ event }: LostRace, attempt: number, waitedMs: number): RetryEvent {
  return { ...event, attempt, waitedMs };
}

export function toConflictEvent(core: ConflictSource, error: SopError): ConflictEvent {
  const { storeId, key, store, prepared } = error.details;
  const found = typeof storeId === 'number' ? core.storeWith(storeId) : undefined;
  const isCatalog = storeId === CATALOG_STORE && key instanceof Uint8Array;
  return {
    error,
    store: found?.name ?? (isCatalog ? utf8Slice(key, 0, key.length) : typeof store === 'string' ? store : undefined),
    key: found !== undefined && key instanceof Uint8Array ? keyIn(found, key) : undefined,
    transactionId: core.engine.id,
    attempt: core.attempt,
    prepared: typeof prepared === 'string' ? prepared : undefined,
  };
}

/** Where a range begins between keys its bytes are no key. */
function keyIn(store: ConflictStore, key: Uint8Array): unknown {
  try {
    return store.codec.keySpec.decodeKey(key, 0, key.length);
  } catch (error) {
    if (error instanceof SopError) return undefined;
    throw error;
  }
}
