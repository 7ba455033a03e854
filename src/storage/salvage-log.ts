/**
 * Reading the log of a damaged database: every batch that is whole is believed for itself, whatever lies around it, and so is
 * every valid header. Where two epochs hold the same number, the later one has it; what a later header does not take of its
 * predecessor was never part of the log.
 */
import { readU32 } from '../base/bytes.ts';
import { SopError } from '../base/errors.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import type { Env, File } from '../env/env.ts';
import {
  BATCH_MAGIC,
  BatchHeader,
  batchSalt,
  decodeBatchHeader,
  HEADER_GOOD,
  KIND_ROOT,
  payloadChecksum,
} from '../log/batch.ts';
import { BatchCursor } from '../log/batch-cursor.ts';
import {
  decodeEpochHeader,
  type EpochHeader,
  epochPath,
  FIRST_BATCH_POSITION,
  HEADER_BYTES,
  listEpochs,
} from '../log/epoch-file.ts';
import type { Lost } from './salvage-report.ts';

/** Where one whole batch lies. */
export interface FoundBatch {
  readonly epoch: number;
  readonly offset: number;
  readonly length: number;
  readonly firstNumber: number;
  readonly count: number;
}

export interface FoundLog {
  /** Rising by number, none twice. */
  readonly batches: readonly FoundBatch[];
  /** Root records, newest first. */
  readonly roots: readonly Uint8Array[];
  /** Files whose header is valid. */
  readonly headers: number;
}

export function readDamagedLog(env: Env, folder: string, databaseId: Uint8Array, lost: (what: Lost) => void): FoundLog {
  const salt = batchSalt(databaseId);
  const headers = new Map<number, EpochHeader>();
  const found: FoundBatch[] = [];
  const roots: Uint8Array[] = [];
  for (const epoch of listEpochs(env.files, folder)) {
    const path = epochPath(folder, epoch);
    try {
      const file = env.files.open(path, { mode: 'read' });
      try {
        const header = headerOf(file, epoch, databaseId);
        const own = batchesOf(file, epoch, salt);
        if (header !== undefined) headers.set(epoch, header);
        else if (own.length > 0) lost({ what: 'the header of a log file', file: path, offset: 0 });
        if (header?.root !== undefined) roots.push(header.root);
        for (const batch of own) {
          found.push(batch);
          roots.push(...rootsIn(readBatch(file, batch), batch, path));
        }
        tellGaps(file, own, path, lost);
      } finally {
        file.close();
      }
    } catch (error) {
      if (!(error instanceof SopError)) throw error;
      lost({ what: `a log file: ${error.message}`, file: path, offset: 0 });
    }
  }
  return { batches: inOrder(found, headers), roots, headers: headers.size };
}

function headerOf(file: File, epoch: number, databaseId: Uint8Array): EpochHeader | undefined {
  const block = new Uint8Array(HEADER_BYTES);
  if (file.readSync(block, 0) < HEADER_BYTES) return undefined;
  return decodeEpochHeader(block, epoch, databaseId, file.path);
}

/** Every whole batch in its own place. */
function batchesOf(file: File, epoch: number, salt: number): FoundBatch[] {
  const found: FoundBatch[] = [];
  const block = new Uint8Array(LOG_ALIGNMENT);
  const header = new BatchHeader();
  const size = file.sizeBytes();
  for (let offset = FIRST_BATCH_POSITION; offset + LOG_ALIGNMENT <= size; ) {
    const next = offset + LOG_ALIGNMENT;
    file.readSync(block, offset);
    const isGood = readU32(block, 0) === BATCH_MAGIC && decodeBatchHeader(block, 0, salt, header) === HEADER_GOOD;
    const { paddedLength: length, firstNumber, count } = header;
    if (!isGood || header.epoch !== epoch || header.offset !== offset || offset + length > size) {
      offset = next;
      continue;
    }
    const batch = { epoch, offset, length, firstNumber, count };
    if (payloadChecksum(readBatch(file, batch), 0, length) !== header.payloadCrc) {
      offset = next;
      continue;
    }
    found.push(batch);
    offset += length;
  }
  return found;
}

export function readBatch(file: File, { offset, length }: FoundBatch): Uint8Array {
  const bytes = new Uint8Array(length);
  file.readSync(bytes, offset);
  return bytes;
}

/** A cursor over the transactions of a batch. */
export function walkBatch(bytes: Uint8Array, batch: FoundBatch, path: string): BatchCursor {
  const cursor = new BatchCursor();
  cursor.reset(bytes, 0, batch.firstNumber, batch.count, readU32(bytes, 56), path, batch.offset);
  return cursor;
}

function rootsIn(bytes: Uint8Array, batch: FoundBatch, path: string): Uint8Array[] {
  const roots: Uint8Array[] = [];
  const cursor = walkBatch(bytes, batch, path);
  while (cursor.nextTransaction()) if (cursor.kind === KIND_ROOT) roots.push(cursor.payload().slice());
  return roots;
}

/** Bytes between whole batches that are no zeros were a batch once. */
function tellGaps(file: File, batches: readonly FoundBatch[], path: string, lost: (what: Lost) => void): void {
  let expected = FIRST_BATCH_POSITION;
  for (const { offset, length } of batches) {
    if (offset > expected) lost({ what: `${offset - expected} bytes of the log`, file: path, offset: expected });
    expected = offset + length;
  }
  const block = new Uint8Array(LOG_ALIGNMENT);
  if (file.readSync(block, expected) === LOG_ALIGNMENT && readU32(block, 0) !== 0) {
    lost({ what: 'the end of a log file, torn or damaged', file: path, offset: expected });
  }
}

function inOrder(found: readonly FoundBatch[], headers: ReadonlyMap<number, EpochHeader>): FoundBatch[] {
  const takenOf = new Map<number, number>();
  for (const header of headers.values()) {
    const known = takenOf.get(header.predecessor) ?? -1;
    takenOf.set(header.predecessor, Math.max(known, header.predecessorEnd.number));
  }
  const newest = new Map<number, FoundBatch>();
  for (const batch of found) {
    if (batch.count === 0 || batch.firstNumber > (takenOf.get(batch.epoch) ?? Number.POSITIVE_INFINITY)) continue;
    const known = newest.get(batch.firstNumber);
    if (known === undefined || known.epoch < batch.epoch) newest.set(batch.firstNumber, batch);
  }
  return [...newest.values()].sort((a, b) => a.firstNumber - b.firstNumber);
}
