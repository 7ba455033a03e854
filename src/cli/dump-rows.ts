/** Words for the payloads and rows that the engine writes for itself: prepares, decisions, increments, pins and the like. */
import { readU32, readU48 } from '../base/bytes.ts';
import { COUNTER_BYTES, INCREMENT_CREATES, INCREMENT_HEAD_BYTES, readBigCounter } from '../codec/counter.ts';
import { decodeStoreDefinition, type StoredDefinition } from '../codec/store-definition.ts';
import { stringifyTypedJson } from '../codec/typed-json.ts';
import { decodeValue } from '../codec/value.ts';
import { decodeReads } from '../commit/prepared-reads.ts';
import { KIND_DECIDE, KIND_PREPARE, KIND_RECLAIM, KIND_ROOT } from '../log/batch.ts';
import type { BatchCursor } from '../log/batch-cursor.ts';
import { rootCovers } from '../log/epoch-file.ts';
import { ITEM_ID_BYTES, itemNumber, itemSequence, NUMBER_PLACEHOLDER } from '../log/placeholder.ts';
import { decodeDecision } from '../storage/prepared-set.ts';
import * as system from '../storage/system-stores.ts';
import { formatTransactionId } from '../storage/transaction-ids.ts';
import { hex } from './dump-draw.ts';
import { formatCount } from './output.ts';

const KINDS = ['', 'user', 'freeze', 'root', 'reclaim', 'close writer', 'death'];

export function kindName(kind: number): string {
  if (kind === KIND_PREPARE) return 'prepare';
  return kind === KIND_DECIDE ? 'decide' : (KINDS[kind] ?? `kind ${kind}`);
}

/** What a transaction's payload says. Where it is malformed its bytes. */
export function payloadText(cursor: BatchCursor): string {
  if (cursor.payloadLength === 0) return '';
  try {
    const known = knownPayload(cursor);
    if (known !== undefined) return known;
  } catch {
    // Said by its bytes.
  }
  return `payload ${hex(cursor.payload())}`;
}

function knownPayload(cursor: BatchCursor): string | undefined {
  const bytes = cursor.payload();
  if (cursor.kind === KIND_ROOT && bytes.length >= 6) return `covers ${rootCovers(bytes)}`;
  if (cursor.kind === KIND_RECLAIM && bytes.length >= 4) return `${formatCount(readU32(bytes, 0))} segments`;
  if (cursor.kind === KIND_DECIDE) {
    const { writer, counter, isCommit } = decodeDecision(bytes, 0, bytes.length);
    return `${isCommit ? 'commits' : 'aborts'} ${formatTransactionId(writer, counter)}`;
  }
  if (cursor.kind !== KIND_PREPARE) return undefined;
  const { snapshot, reads } = decodeReads(bytes, 0, bytes.length);
  const keys = reads.stores.reduce((sum, store) => sum + store.keyCount, 0);
  const ranges = reads.stores.reduce((sum, store) => sum + store.ranges.length, 0);
  return `snapshot ${snapshot}, read ${formatCount(keys)} keys, ${formatCount(ranges)} ranges, ${formatCount(reads.rows.length)} rows`;
}

/** Amounts of an increment. */
export function incrementText(bytes: Uint8Array, start: number, end: number): string {
  const amounts: string[] = [];
  for (let at = start + INCREMENT_HEAD_BYTES; at + COUNTER_BYTES <= end; at += COUNTER_BYTES) {
    const amount = readBigCounter(bytes, at);
    amounts.push(amount < 0n ? `${amount}` : `+${amount}`);
  }
  return `${amounts.join(' ')}${bytes[start] === INCREMENT_CREATES ? '' : ' where there is an entry'}`;
}

/** What stands behind the user's key in stores of equal keys; undefined where the key is too short. */
export function itemText(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end - start < ITEM_ID_BYTES) return undefined;
  const number = itemNumber(bytes, end);
  return `#${number === NUMBER_PLACEHOLDER ? 'own number' : number}.${itemSequence(bytes, end)}`;
}

/** A row of one of the engine's stores behind the flags of its cell; undefined where nothing is known of it. */
export function rowText(storeId: number, bytes: Uint8Array, start: number, end: number): string | undefined {
  if (storeId === system.CATALOG_STORE) return definitionText(decodeStoreDefinition(bytes, start, end));
  if (storeId === system.PIN_STORE && end - start > 7 + 6) {
    const at = new Date(readU48(bytes, start + 1)).toISOString();
    return `pinned ${at}, root covers ${readU48(bytes, start + 7)}`;
  }
  if (storeId === system.PREPARED_STORE && end - start > 6) {
    return `prepared as number ${readU48(bytes, start)}, ${formatCount(end - start - 6)} bytes`;
  }
  if (storeId === system.INDEX_STATE_STORE) return stringifyTypedJson(decodeValue(bytes, start, end, undefined));
  return undefined;
}

function definitionText(definition: StoredDefinition): string {
  const { id, key, values, raw, unique, indexes, counter, next } = definition;
  const fields = key.fields?.map(({ name, descending }) => (descending ? `${name} desc` : name)).join(', ');
  const parts = [`id ${id}`, `key ${fields ?? 'of one value'}`, values];
  if (raw) parts.push('raw');
  if (!unique) parts.push('equal keys');
  if (counter !== undefined) parts.push(counter === 'bigint' ? 'counters (bigint)' : 'counters');
  if (key.counters !== undefined) parts.push(`counters ${[...key.counters].join(' ')}`);
  for (const index of indexes) parts.push(`${index.unique ? 'unique ' : ''}index ${index.name} (${index.id})`);
  if (next !== undefined) parts.push(`being redefined as ${next.definition.id}`);
  return parts.join(', ');
}
