/**
 * Whom a request has to wait for, though nothing it read was changed: prepared transactions, whose decision may not fail, and
 * those who lost so often that the others hold back for a while.
 *
 *  1. From the moment a prepared transaction is accepted until its decision is, nothing is accepted that changes what it read
 *     or changed, or that read what it changes.
 *  2. Waiting is bounded: then the request is refused and may be run again.
 */
import { readU32 } from '../base/bytes.ts';
import { ConflictError } from '../base/errors.ts';
import { holdsUserData } from '../log/batch.ts';
import {
  OP_NOOP,
  OP_RANGE_REMOVE,
  RECORD_HEADER_BYTES,
  RECORD_PLACEHOLDER,
  recordFlags,
  recordKeyLength,
  recordOp,
  recordWords,
} from '../log/record.ts';
import type { PreparedSet, PreparedTransaction } from '../storage/prepared-set.ts';
import { SHAPE_STORE } from '../storage/system-stores.ts';
import { formatTransactionId } from '../storage/transaction-ids.ts';
import type { CommitRequest, CommitSection } from './commit-request.ts';
import { Footprint, removedRange, runFences } from './footprint.ts';
import { decodeReads } from './prepared-reads.ts';
import type { ReadRange, StoreReads } from './read-set.ts';

/** How long a request waits for the decision of a prepared transaction. */
const PREPARED_HOLD_MS = 250;

/** Why a request has to wait, for how long at most, and what it is refused with then. */
export interface Block {
  readonly holdMs: number;
  readonly refusal: ConflictError;
}

interface PreparedFootprint {
  readonly reads: Footprint;
  readonly changes: Footprint;
}

interface Clash {
  readonly storeId: number;
  readonly key: Uint8Array | undefined;
}

export class Blockers {
  readonly #prepared: PreparedSet;
  readonly #footprints = new WeakMap<PreparedTransaction, PreparedFootprint>();

  constructor(prepared: PreparedSet) {
    this.#prepared = prepared;
  }

  /** False: nobody is in anybody's way, which is the usual case and costs no more than this question. */
  get isActive(): boolean {
    return this.#prepared.undecided.length > 0;
  }

  /** Undefined where the request has to wait for nobody. */
  find(request: CommitRequest): Block | undefined {
    if (!holdsUserData(request.kind)) return undefined;
    for (const one of this.#prepared.undecided) {
      const clash = clashWith(request, this.#footprintOf(one));
      if (clash !== undefined) return { holdMs: PREPARED_HOLD_MS, refusal: waitsForDecision(one, clash) };
    }
    return undefined;
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
    if (touchesRange(reads, storeId, fences) || touchesRange(changes, storeId, fences)) {
      return { storeId, key: fences.lower };
    }
  }
  return undefined;
}

function touchesRange(footprint: Footprint, storeId: number, { lower, upper }: ReadRange): boolean {
  return footprint.touchesRange(storeId, lower, upper);
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
  for (const range of store.ranges) if (touchesRange(changes, storeId, range)) return { storeId, key: range.lower };
  return undefined;
}

/** The first change of the section that the footprint minds. */
export function changesOf(
  { storeId, bytes, start, byteLength }: CommitSection,
  footprint: Footprint,
): Clash | undefined {
  if (storeId === SHAPE_STORE) return undefined;
  const end = start + byteLength;
  for (let at = start; at < end; ) {
    const word0 = readU32(bytes, at);
    const keyLength = recordKeyLength(word0);
    const cellLength = readU32(bytes, at + 4);
    const keyStart = at + RECORD_HEADER_BYTES;
    const keyEnd = keyStart + keyLength;
    const cellStart = (keyEnd + 3) & ~3;
    at += recordWords(keyLength, cellLength) * 4;
    const op = recordOp(word0);
    if (op === OP_NOOP) continue;
    const cell = bytes.subarray(cellStart, cellStart + cellLength);
    let isTouched: boolean;
    if (op === OP_RANGE_REMOVE) {
      isTouched = touchesRange(footprint, storeId, removedRange(bytes.subarray(keyStart, keyEnd), cell, word0));
    } else if ((recordFlags(word0) & RECORD_PLACEHOLDER) !== 0) {
      // Its key will be nobody else's, whatever the bytes in the number's place say.
      isTouched = footprint.coversKey(storeId, bytes, keyStart, keyEnd);
    } else isTouched = footprint.touchesKey(storeId, bytes, keyStart, keyEnd, op, cell);
    if (isTouched) return { storeId, key: bytes.slice(keyStart, keyEnd) };
  }
  return undefined;
}
