/**
 * Whom a request has to wait for, though nothing it read was changed: prepared transactions, whose decision may not fail, and
 * those who lost so often that the others hold back for a while.
 *
 *  1. From the moment a prepared transaction is accepted until its decision is, nothing is accepted that changes what it read
 *     or changed, or that read what it changes.
 *  2. Waiting is bounded: then the request is refused and may be run again, or goes past a claim.
 */
import { ConflictError } from '../base/errors.ts';
import { holdsUserData } from '../log/batch.ts';
import type { PreparedSet, PreparedTransaction } from '../storage/prepared-set.ts';
import { formatTransactionId } from '../storage/transaction-ids.ts';
import type { Claims } from './claims.ts';
import type { CommitRequest } from './commit-request.ts';
import { type Clash, changesOf, Footprint, runFences } from './footprint.ts';
import { decodeReads } from './prepared-reads.ts';
import type { StoreReads } from './read-set.ts';

/** How long a request waits for the decision of a prepared transaction. */
const PREPARED_HOLD_MS = 250;

/** Why a request has to wait, for how long at most, and what it is refused with then. */
export interface Block {
  readonly holdMs: number;
  /** Undefined: then it goes on all the same. */
  readonly refusal: ConflictError | undefined;
}

interface PreparedFootprint {
  readonly reads: Footprint;
  readonly changes: Footprint;
}

export class Blockers {
  readonly #prepared: PreparedSet;
  readonly #claims: Claims;
  readonly #footprints = new WeakMap<PreparedTransaction, PreparedFootprint>();

  constructor(prepared: PreparedSet, claims: Claims) {
    this.#prepared = prepared;
    this.#claims = claims;
  }

  /** False: nobody is in anybody's way, which is the usual case and costs no more than this question. */
  get isActive(): boolean {
    return this.#prepared.undecided.length > 0 || !this.#claims.isEmpty;
  }

  /** Undefined where the request has to wait for nobody; one that `waited` long enough goes past claims. */
  find(request: CommitRequest, waited: boolean): Block | undefined {
    if (!holdsUserData(request.kind)) return undefined;
    for (const one of this.#prepared.undecided) {
      const clash = clashWith(request, this.#footprintOf(one));
      if (clash !== undefined) return { holdMs: PREPARED_HOLD_MS, refusal: waitsForDecision(one, clash) };
    }
    const holdMs = waited ? 0 : this.#claims.holdMs(request);
    return holdMs === 0 ? undefined : { holdMs, refusal: undefined };
  }

  /** Reads all footprints now. `CorruptionError` where one is malformed. */
  check(): void {
    for (const one of this.#prepared.undecided) this.#footprintOf(one);
  }

  #footprintOf(one: PreparedTransaction): PreparedFootprint {
    let known = this.#footprints.get(one);
    if (known === undefined) {
      const { bytes, payloadStart, payloadLength } = one.open();
      const { reads } = decodeReads(bytes, payloadStart, payloadLength);
      known = { reads: Footprint.ofReads(reads), changes: Footprint.ofChanges(one.open()) };
      this.#footprints.set(one, known);
    }
    return known;
  }
}

function waitsForDecision({ writer, counter }: PreparedTransaction, { storeId, key }: Clash): ConflictError {
  const transactionId = formatTransactionId(writer, counter);
  return new ConflictError(
    `the prepared transaction ${transactionId} touches the same data and has not been decided yet`,
    { details: { storeId, ...(key === undefined ? {} : { key }), prepared: transactionId } },
  );
}

function clashWith(request: CommitRequest, { reads, changes }: PreparedFootprint): Clash | undefined {
  const read = request.reads;
  if (read !== undefined) {
    for (const store of read.stores) {
      const clash = readsOf(store, changes);
      if (clash !== undefined) return clash;
    }
    for (const row of read.rows) if (changes.changesRow(row)) return row;
  }
  for (const section of request.sections) {
    const clash = changesOf(section, reads) ?? changesOf(section, changes);
    if (clash !== undefined) return clash;
  }
  for (const { storeId, descriptor } of request.runs) {
    const fences = runFences(descriptor);
    if (reads.touches(storeId, fences) || changes.touches(storeId, fences)) {
      return { storeId, key: fences.lower };
    }
  }
  return undefined;
}

function readsOf(store: StoreReads, changes: Footprint): Clash | undefined {
  const { storeId } = store;
  let start = 0;
  for (let i = 0; i < store.keyCount; i++) {
    const end = store.keyEnds[i] as number;
    if (changes.touchesKey(storeId, store.keyBytes, start, end)) {
      return { storeId, key: store.keyBytes.slice(start, end) };
    }
    start = end;
  }
  for (const range of store.ranges) if (changes.touches(storeId, range)) return { storeId, key: range.lower };
  return undefined;
}
