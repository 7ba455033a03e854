/** Every decoder of bytes or text that come from outside, as a target of the fuzzer. */
import { readU16, readU32, writeU32, writeU48 } from '../../src/base/bytes.ts';
import { crc32c } from '../../src/base/checksum.ts';
import {
  decodeStoreDefinition,
  encodeStoreDefinition,
  type StoredDefinition,
} from '../../src/codec/store-definition.ts';
import { incrementedCell } from '../../src/codec/counter.ts';
import { Footprint } from '../../src/commit/footprint.ts';
import { decodeReads, encodeReads } from '../../src/commit/prepared-reads.ts';
import { ReadSet } from '../../src/commit/read-set.ts';
import {
  BATCH_HEADER_BYTES,
  BatchHeader,
  decodeBatchHeader,
  HEADER_GOOD,
  KIND_DECIDE,
  KIND_PREPARE,
  KIND_RECLAIM,
  payloadChecksum,
} from '../../src/log/batch.ts';
import { BatchCursor } from '../../src/log/batch-cursor.ts';
import { decodeEpochHeader } from '../../src/log/epoch-file.ts';
import type { SegmentNames } from '../../src/node/handle.ts';
import { DatabaseFolder } from '../../src/storage/database-folder.ts';
import { MemoryTablePool } from '../../src/storage/memory-table.ts';
import { decodePinRow, PIN_ROW_BYTES } from '../../src/storage/pin-row.ts';
import { decodeDecision, encodeDecision, PreparedSet, PreparedTransaction } from '../../src/storage/prepared-set.ts';
import { decodeReclaim } from '../../src/storage/reclaim.ts';
import { decodeRoot } from '../../src/storage/root.ts';
import { scanImages, scanValues } from '../../src/storage/segment-scan.ts';
import { Segments } from '../../src/storage/segments.ts';
import { Space } from '../../src/storage/space.ts';
import { highestStoreId } from '../../src/storage/store-ids.ts';
import { decodeWriterIds, encodeWriterIds, parseTransactionId, WriterIds } from '../../src/storage/transaction-ids.ts';
import { openRun } from '../../src/storage/tree-run.ts';
import { readValueReference, readValueSync } from '../../src/storage/value-log.ts';
import { FOLDER, type FolderBytes, readOnlyEnv } from '../corruption/bytes-env.ts';
import { makeSubjects } from '../corruption/subjects.ts';
import { idOf } from '../corruption/statements.ts';
import { keyTargets, valueTargets } from './codec-targets.ts';
import { type Target, textOf, words } from './fuzz.ts';
import { PLAIN } from './sample-definitions.ts';
import { imageTargets } from './image-targets.ts';
import { runTarget, storeTargets } from './row-targets.ts';
import { textTargets } from './text-targets.ts';
import { toolTargets } from './tool-targets.ts';

/** Segments by number, for decoders that turn names into indexes. */
function names(): SegmentNames {
  return new Segments(readOnlyEnv(new Map()), `${FOLDER}/data`);
}

const DEFINITION: StoredDefinition = { ...PLAIN, values: 'separate', unique: false };

function pinRow(): Uint8Array {
  const row = new Uint8Array(PIN_ROW_BYTES);
  row[1] = 1;
  return row;
}

function rowTargets(): Target[] {
  const ids = new WriterIds();
  for (const counter of [1, 2, 5, 9]) ids.noteCommitted(counter, counter + 10);
  const row = new Uint8Array(14);
  row[1] = 1;
  return [
    {
      name: 'store-definition',
      seeds: [encodeStoreDefinition(DEFINITION as never)],
      dictionary: words('name', 'fields', 'indexes', 'unique', 'rideOn', 'values', 'generation'),
      run: (bytes) => decodeStoreDefinition(bytes),
    },
    {
      name: 'transaction-ids',
      seeds: [encodeWriterIds(ids)],
      run: (bytes) => {
        const found = decodeWriterIds(bytes);
        found.outcome(3);
        found.noteCommitted(2 ** 40, 5);
      },
    },
    {
      name: 'segment-row',
      seeds: [row],
      run: (bytes) => new Space(names()).load(new Uint8Array(8), 0, 8, bytes, 0, bytes.length),
    },
    { name: 'pin-row', seeds: [pinRow()], run: (bytes) => decodePinRow(bytes, names()) },
    {
      name: 'reclaim',
      seeds: [Uint8Array.of(1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0)],
      run: (bytes) => decodeReclaim(names(), bytes, 0, bytes.length),
    },
    { name: 'root', seeds: [new Uint8Array(64).fill(1, 6, 7)], run: (bytes) => decodeRoot(bytes, names()) },
    {
      name: 'transaction-id-text',
      seeds: words('84bf1364e94c-17'),
      run: (bytes) => parseTransactionId(textOf(bytes)),
    },
  ];
}

function logTargets(folder: FolderBytes): Target[] {
  const id = idOf(folder);
  const logs = [...folder].filter(([path, { length }]) => path.startsWith('log/') && length > 8192);
  const [path, newest] = logs.at(-1) as [string, Uint8Array];
  const epoch = Number.parseInt(path.slice(4, 16), 16);
  const batches: Uint8Array[] = [];
  const header = new BatchHeader();
  for (const [, bytes] of logs) {
    for (let at = 8192; at < bytes.length; at += 4096) {
      if (decodeBatchHeader(bytes, at, crc32c(id), header) !== HEADER_GOOD) continue;
      batches.push(bytes.slice(at, at + header.paddedLength));
    }
  }
  const pool = new MemoryTablePool({ arenaBytes: 256 * 1024 });
  return [
    {
      name: 'epoch-header',
      seeds: [newest.slice(0, 4096)],
      repair: (bytes) => {
        if (bytes.length >= 4096) writeU32(bytes, 4092, crc32c(bytes, 0, 4092));
      },
      run: (bytes) => {
        const found = bytes.length < 4096 ? undefined : decodeEpochHeader(bytes, epoch, id, `${FOLDER}/${path}`);
        if (found?.root !== undefined) decodeRoot(found.root, names());
      },
    },
    {
      name: 'batch',
      seeds: batches,
      repair: (bytes) => {
        if (bytes.length < BATCH_HEADER_BYTES) return;
        writeU32(bytes, 68, payloadChecksum(bytes, 0, bytes.length));
        writeU32(bytes, 72, crc32c(bytes, 0, 72, crc32c(id)));
      },
      run: (bytes) => {
        if (decodeBatchHeader(bytes, 0, crc32c(id), header) !== HEADER_GOOD || header.paddedLength > bytes.length)
          return;
        replay(bytes, header, pool);
      },
    },
  ];
}

/** What an opening does with a valid batch. */
function replay(bytes: Uint8Array, header: BatchHeader, pool: MemoryTablePool): void {
  const cursor = new BatchCursor();
  const table = pool.acquire(0);
  try {
    cursor.reset(bytes, 0, 1, header.count, header.directoryOffset, 'fuzz', 0);
    while (cursor.nextTransaction()) {
      while (cursor.nextSection()) {
        if (!table.hasRoom(cursor.sectionLength)) return;
        table.applySection(cursor.storeId, cursor.bytes, cursor.sectionStart, cursor.sectionLength, cursor.number);
        highestStoreId(cursor.storeId, cursor.bytes, cursor.sectionStart, cursor.sectionLength);
      }
      while (cursor.nextRun()) {
        const descriptor = bytes.slice(cursor.runStart, cursor.runStart + cursor.runLength);
        openRun({ names: names() } as never, cursor.runStoreId, descriptor, cursor.number);
      }
      const { kind, payloadStart, payloadLength } = cursor;
      if (kind === KIND_RECLAIM) decodeReclaim(names(), bytes, payloadStart, payloadLength);
      if (kind === KIND_PREPARE) {
        const { transactionStart, byteLength, idWriter, idCounter, number } = cursor;
        const record = bytes.slice(transactionStart, transactionStart + byteLength);
        readPrepared(new PreparedTransaction(idWriter, idCounter, number, record));
      }
      if (kind === KIND_DECIDE) decodeDecision(bytes, payloadStart, payloadLength);
    }
  } finally {
    pool.release(table);
  }
}

/** What an opening does with a transaction that waits for its decision, and a commit with what it touches. */
function readPrepared(one: PreparedTransaction): void {
  one.segments(names());
  one.stores();
  const { bytes, payloadStart, payloadLength } = one.open();
  const { reads } = decodeReads(bytes, payloadStart, payloadLength);
  Footprint.ofReads(reads).touchesRange(64, undefined, undefined);
  Footprint.ofChanges(one.open()).touchesKey(64, bytes, 0, Math.min(8, bytes.length));
}

/** Transactions that wait, with counters, items and runs, and what stands in their store. */
function waitingTargets(folder: FolderBytes): Target[] {
  const prepared: Uint8Array[] = [];
  const header = new BatchHeader();
  for (const [path, bytes] of folder) {
    if (!path.startsWith('log/')) continue;
    for (let at = 8192; at < bytes.length; at += 4096) {
      if (decodeBatchHeader(bytes, at, crc32c(idOf(folder)), header) !== HEADER_GOOD) continue;
      const cursor = new BatchCursor();
      cursor.reset(bytes.slice(at, at + header.paddedLength), 0, 1, header.count, header.directoryOffset, 'fuzz', 0);
      while (cursor.nextTransaction()) {
        if (cursor.kind !== KIND_PREPARE) continue;
        prepared.push(cursor.bytes.slice(cursor.transactionStart, cursor.transactionStart + cursor.byteLength));
      }
    }
  }
  const reads = new ReadSet();
  reads.store(64).addKey(Uint8Array.of(1, 2, 3), 0, 3);
  reads.store(65).addRange(Uint8Array.of(1), undefined);
  reads.rows.push({ storeId: 1, key: Uint8Array.of(5), expected: undefined, orEqual: Uint8Array.of(0, 1) });
  const counters = new Uint8Array(17);
  const increment = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0);
  return [
    {
      name: 'prepared',
      seeds: prepared,
      run: (bytes) => readPrepared(new PreparedTransaction(1, 2, 3, bytes)),
    },
    {
      name: 'prepared-row',
      seeds: prepared.map((bytes) => Uint8Array.from([0, 7, 0, 0, 0, 0, 0, ...bytes])),
      run: (bytes) => {
        const set = new PreparedSet();
        set.load(new Uint8Array(12), 0, 12, bytes);
        set.segments(names());
      },
    },
    {
      name: 'prepared-reads',
      seeds: [encodeReads(9, new Set(), names(), reads)],
      run: (bytes) => Footprint.ofReads(decodeReads(bytes, 0, bytes.length).reads),
    },
    {
      name: 'decision',
      seeds: [encodeDecision({ writer: 1, counter: 2, isCommit: true })],
      run: (bytes) => decodeDecision(bytes, 0, bytes.length),
    },
    {
      name: 'counter-cell',
      seeds: [counters, Uint8Array.from([2, 16, 0, ...counters])],
      run: (bytes) => incrementedCell(bytes, 0, bytes.length, increment, 0, increment.length),
    },
  ];
}

/** The reference of the first value in a segment. */
function valueCell(segment: Uint8Array): Uint8Array {
  const cell = new Uint8Array(33);
  cell[0] = 1;
  writeU48(cell, 1, 0x84bf1364e94c);
  cell[7] = 1;
  writeU48(cell, 9, 4096 + 24 + readU16(segment, 4112));
  writeU32(cell, 15, readU32(segment, 4104));
  writeU32(cell, 19, readU32(segment, 4108));
  return cell;
}

function segmentTargets(folder: FolderBytes): Target[] {
  const name = '84bf1364e94c-1.seg';
  const file = [...folder].filter(([path]) => path.startsWith('data/'));
  const firstOf = (kind: number): Uint8Array => {
    const [, bytes] = file.find(([, found]) => found[6] === kind) as [string, Uint8Array];
    return bytes.slice(0, 20_480);
  };
  const values = firstOf(2);
  const images = firstOf(1);
  const open = (bytes: Uint8Array): Segments => {
    const segments = new Segments(readOnlyEnv(new Map([[`data/${name}`, bytes]]), 1 << 26), `${FOLDER}/data`);
    segments.indexOf(0x84bf1364e94c, 1);
    return segments;
  };
  const cell = new Uint8Array(33);
  cell[0] = 1;
  writeU48(cell, 1, 0x84bf1364e94c);
  cell[7] = 1;
  writeU48(cell, 9, 4096);
  writeU32(cell, 15, 100);
  return [
    {
      name: 'segment-values',
      seeds: [values],
      run: (bytes) => scanValues(open(bytes), 0, bytes.length, () => {}),
    },
    {
      name: 'segment-images',
      seeds: [images],
      run: (bytes) => scanImages(open(bytes), 0, bytes.length, () => {}),
    },
    {
      name: 'value-reference',
      seeds: [cell, valueCell(values)],
      run: (bytes) => {
        const segments = open(values);
        readValueReference(segments, bytes, 0, bytes.length);
        readValueSync(segments, bytes, 0, bytes.length);
      },
    },
  ];
}

function folderTargets(folder: FolderBytes): Target[] {
  const over = (path: string, bytes: Uint8Array): DatabaseFolder =>
    new DatabaseFolder(readOnlyEnv(new Map(folder).set(path, bytes)), FOLDER);
  return [
    {
      name: 'sop-json',
      seeds: [folder.get('sop.json') as Uint8Array],
      dictionary: words('"features"', '[]', '["x"]', 'null', '{}', '"id"', '1e999', '"__proto__":'),
      run: (bytes) => over('sop.json', bytes).readIdentity(),
    },
    {
      name: 'member',
      seeds: words('{"pid":1,"host":"here","since":"2026-11-22T00:00:00.000Z"}'),
      dictionary: words('"pid"', 'null', '[]', '{}', '1e999'),
      run: (bytes) => over('members/000000000001', bytes).readOwner(),
    },
  ];
}

let made: Promise<readonly Target[]> | undefined;

export function allTargets(): Promise<readonly Target[]> {
  made ??= makeTargets();
  return made;
}

async function makeTargets(): Promise<readonly Target[]> {
  const subjects = await makeSubjects();
  const folder = (name: string): FolderBytes =>
    (subjects.find((one) => one.name === name) as (typeof subjects)[0]).folder;
  return [
    ...valueTargets(),
    ...keyTargets(),
    ...rowTargets(),
    ...logTargets(folder('chained')),
    ...waitingTargets(folder('waiting')),
    ...imageTargets(folder('closed'), folder('waiting'), names),
    ...segmentTargets(folder('closed')),
    ...folderTargets(folder('closed')),
    ...textTargets(),
    ...storeTargets(),
    runTarget(names),
    ...toolTargets(folder('closed'), folder('chained')),
  ];
}
