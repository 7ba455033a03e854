/** Drawing the log: its epochs, their batches, what a batch holds, and the changes that no tree holds yet. */
import { alignUp, compareBytes, equalBytes, hex48, readU32, readU48 } from '../base/bytes.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import {
  BATCH_COPIED,
  BATCH_HAS_ROOT,
  BATCH_MAGIC,
  BatchHeader,
  decodeBatchHeader,
  HEADER_BAD,
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
  isZero,
  listEpochs,
  rootCovers,
  SEAL_POSITION,
} from '../log/epoch-file.ts';
import {
  OP_INCREMENT,
  OP_NOOP,
  OP_PUT,
  OP_RANGE_REMOVE,
  OP_REMOVE,
  RANGE_UNBOUNDED,
  RECORD_HEADER_BYTES,
  recordFlags,
  recordKeyLength,
  recordOp,
  recordWords,
} from '../log/record.ts';
import type { File } from '../env/env.ts';
import { UsageError } from './command.ts';
import type { Cell, Drawing } from './dump-draw.ts';
import type { DumpFolder } from './dump-folder.ts';
import { incrementText, kindName, payloadText } from './dump-rows.ts';
import { formatBytes, formatCount } from './output.ts';

const OPS: Readonly<Record<number, string>> = {
  [OP_PUT]: 'put',
  [OP_REMOVE]: 'remove',
  [OP_RANGE_REMOVE]: 'remove range',
  [OP_INCREMENT]: 'increment',
  [OP_NOOP]: 'nothing',
};
const BAD = 'BAD';

/** An epoch file, opened; no more of it is believed than its checksums say. */
export class EpochView {
  readonly file: File;
  readonly sizeBytes: number;
  readonly header: EpochHeader | undefined;
  /** What is wrong with the header. */
  readonly fault: string | undefined;
  readonly sealed: boolean;
  readonly begun: boolean;
  readonly salt: number;

  constructor(folder: DumpFolder, path: string, epoch: number) {
    this.file = folder.env.files.open(path, { mode: 'read' });
    this.sizeBytes = this.file.sizeBytes();
    const block = new Uint8Array(HEADER_BYTES);
    const got = this.file.readSync(block, 0);
    // Made ready for its owner, who has not begun: that is no damage.
    this.begun = !isZero(block, 0, got);
    const id = folder.id ?? block.slice(24, 40);
    if (this.begun) folder.id ??= id;
    this.salt = folder.salt;
    try {
      const isWhole = got === HEADER_BYTES;
      this.header = isWhole ? decodeEpochHeader(block, epoch || readU48(block, 40), id, path) : undefined;
      this.fault = this.header === undefined ? 'no valid header' : undefined;
    } catch (error) {
      this.fault = (error as Error).message;
    }
    const sealBytes = this.file.readSync(block, SEAL_POSITION);
    this.sealed = !isZero(block, 0, sealBytes);
  }

  close(): void {
    this.file.close();
  }
}

export interface SeenBatch {
  readonly header: BatchHeader;
  readonly bytes: Uint8Array;
  /** 'ok', or what is wrong. */
  readonly state: string;
}

/** All batches of a file, from the first on; behind damage the next whole header on a boundary is looked for. */
export function* batchesOf(view: EpochView): Generator<SeenBatch> {
  let previousCrc = view.header?.predecessorEnd.crc;
  const block = new Uint8Array(LOG_ALIGNMENT);
  for (let at = FIRST_BATCH_POSITION; at + LOG_ALIGNMENT <= view.sizeBytes; ) {
    view.file.readSync(block, at);
    if (readU32(block, 0) !== BATCH_MAGIC) {
      at += LOG_ALIGNMENT;
      previousCrc = undefined;
      continue;
    }
    const header = new BatchHeader();
    const found = decodeBatchHeader(block, 0, view.salt, header);
    if (found !== HEADER_GOOD) {
      header.offset = at;
      yield { header, bytes: block, state: found === HEADER_BAD ? `${BAD} header` : 'later format' };
      at += LOG_ALIGNMENT;
      previousCrc = undefined;
      continue;
    }
    const length = Math.min(header.paddedLength, view.sizeBytes - at);
    const bytes = new Uint8Array(length);
    view.file.readSync(bytes, at);
    const state = batchState(header, bytes, at, view, previousCrc);
    yield { header, bytes, state };
    previousCrc = header.headerCrc;
    at += state === 'ok' ? alignUp(length, LOG_ALIGNMENT) : LOG_ALIGNMENT;
  }
}

function batchState(
  header: BatchHeader,
  bytes: Uint8Array,
  at: number,
  view: EpochView,
  previousCrc: number | undefined,
): string {
  if (header.offset !== at) return `${BAD}: of offset ${header.offset}`;
  if (view.header !== undefined && header.epoch !== view.header.epoch) return `${BAD}: of epoch ${header.epoch}`;
  if (bytes.length < header.paddedLength) return `${BAD}: cut short`;
  if (payloadChecksum(bytes, 0, header.paddedLength) !== header.payloadCrc) return `${BAD} checksum`;
  if (previousCrc !== undefined && previousCrc !== header.previousCrc) return `${BAD}: does not follow`;
  return 'ok';
}

export async function dumpLog(
  folder: DumpFolder,
  drawing: Drawing,
  what: string | undefined,
  limit: number,
): Promise<void> {
  if (what === undefined) return dumpEpochs(folder, drawing);
  const match = /^([0-9]+)(?::([0-9]+))?$/.exec(what);
  if (match === null) throw new UsageError(`'${what}' is no epoch; write its number, or epoch:number of a transaction`);
  const epoch = Number(match[1]);
  if (!listEpochs(folder.env.files, folder.path).includes(epoch)) throw new UsageError(`there is no epoch ${epoch}`);
  const view = new EpochView(folder, epochPath(folder.path, epoch), epoch);
  try {
    if (match[2] !== undefined) await dumpBatchIn(folder, drawing, [view], Number(match[2]), limit);
    else await dumpEpoch(view, drawing, limit);
  } finally {
    view.close();
  }
}

async function dumpEpochs(folder: DumpFolder, drawing: Drawing): Promise<void> {
  const rows: Cell[][] = [];
  for (const view of openEpochs(folder)) {
    let batches = 0;
    let bad = 0;
    let first = 0;
    let last = 0;
    for (const { header, state } of batchesOf(view.view)) {
      if (state !== 'ok') {
        bad++;
        continue;
      }
      batches++;
      if (header.count === 0) continue;
      first ||= header.firstNumber;
      last = header.lastNumber;
    }
    const { header, sealed, sizeBytes, fault } = view.view;
    const state = !view.view.begun
      ? 'not begun'
      : fault !== undefined
        ? `${BAD}: ${fault}`
        : bad > 0
          ? `${bad} BAD batches or torn tail`
          : 'ok';
    rows.push([
      view.epoch,
      header === undefined ? '?' : hex48(header.owner),
      header?.predecessor ?? 0,
      `${first}..${last}`,
      batches,
      formatBytes(sizeBytes),
      sealed ? 'sealed' : 'open',
      state,
    ]);
    view.view.close();
  }
  await drawing.table('log', ['epoch', 'owner', 'after', 'numbers', 'batches', 'size', 'seal', 'state'], rows);
}

export function* openEpochs(folder: DumpFolder): Generator<{ epoch: number; view: EpochView }> {
  for (const epoch of listEpochs(folder.env.files, folder.path)) {
    yield { epoch, view: new EpochView(folder, epochPath(folder.path, epoch), epoch) };
  }
}

export async function dumpEpoch(view: EpochView, drawing: Drawing, limit: number): Promise<void> {
  const { header, sizeBytes, sealed, fault, begun } = view;
  await drawing.box(`epoch ${header?.epoch ?? '?'}`, [
    ['file', view.file.path],
    ['size', `${formatBytes(sizeBytes)}${sealed ? ', sealed' : ''}`],
    ['header', begun ? (fault ?? 'ok') : 'not begun'],
    ...(header === undefined
      ? []
      : ([
          ['owner', hex48(header.owner)],
          [
            'after',
            header.predecessor === 0
              ? 'nothing'
              : `epoch ${header.predecessor}, number ${header.predecessorEnd.number}`,
          ],
          [
            'copies',
            header.copiedEnd.offset <= FIRST_BATCH_POSITION ? 'none' : `up to number ${header.copiedEnd.number}`,
          ],
          ['root', header.root === undefined ? 'none yet' : `covers ${rootCovers(header.root)}`],
        ] as const)),
  ]);
  const rows: Cell[][] = [];
  let more = 0;
  for (const { header: batch, state } of batchesOf(view)) {
    if (rows.length >= limit) {
      more++;
      continue;
    }
    const marks = [
      (batch.flags & BATCH_COPIED) !== 0 ? 'copied' : '',
      (batch.flags & BATCH_HAS_ROOT) !== 0 ? 'root' : '',
    ];
    const numbers = batch.count === 0 ? '(note)' : `${batch.firstNumber}..${batch.lastNumber}`;
    const length = `${formatCount(batch.byteLength)} B`;
    rows.push([
      batch.offset,
      numbers,
      batch.count,
      length,
      batch.durableNumber,
      marks.filter(Boolean).join(' '),
      state,
    ]);
  }
  const rest = more === 0 ? '' : `and ${formatCount(more)} more (--limit shows more)`;
  await drawing.table('batches', ['offset', 'numbers', 'count', 'length', 'durable', 'marks', 'checksum'], rows, rest);
}

/** The batch that holds this number, in the newest file that has it. */
export async function dumpBatch(folder: DumpFolder, drawing: Drawing, number: number, limit: number): Promise<void> {
  const views = [...openEpochs(folder)].map(({ view }) => view).reverse();
  try {
    await dumpBatchIn(folder, drawing, views, number, limit);
  } finally {
    for (const view of views) view.close();
  }
}

async function dumpBatchIn(
  folder: DumpFolder,
  drawing: Drawing,
  views: readonly EpochView[],
  number: number,
  limit: number,
): Promise<void> {
  for (const view of views) {
    for (const batch of batchesOf(view)) {
      const { header } = batch;
      if (header.count > 0 && number >= header.firstNumber && number <= header.lastNumber) {
        return drawBatch(folder, drawing, batch, limit);
      }
    }
  }
  throw new UsageError(`no batch in the log holds number ${number}; sop dump ${folder.path} log lists what there is`);
}

async function drawBatch(folder: DumpFolder, drawing: Drawing, batch: SeenBatch, limit: number): Promise<void> {
  const { header, state } = batch;
  await drawing.box(`batch ${header.firstNumber}..${header.lastNumber}`, [
    ['place', `epoch ${header.epoch} at ${header.offset}`],
    ['length', `${formatCount(header.byteLength)} bytes, ${formatCount(header.paddedLength)} with padding`],
    ['writer', hex48(header.writer)],
    ['durable before', header.durableNumber],
    ['checksum', state],
  ]);
  if (state !== 'ok') return;
  const cursor = new BatchCursor();
  const rows: Cell[][] = [];
  let more = 0;
  const add = (row: Cell[]) => (rows.length < limit ? rows.push(row) : more++);
  try {
    cursor.reset(batch.bytes, 0, header.firstNumber, header.count, header.directoryOffset, 'batch', header.offset);
    while (cursor.nextTransaction()) {
      const { number } = cursor;
      const kind = kindName(cursor.kind);
      const id = `${hex48(cursor.idWriter)}/${cursor.idCounter}`;
      add([number, kind, '', '', cursor.idWriter === 0 ? payloadText(cursor) : `id ${id} ${payloadText(cursor)}`]);
      while (cursor.nextSection()) {
        const name = folder.storeName(cursor.storeId);
        for (const record of recordsOf(cursor)) add([number, '', name, record.op, showRecord(folder, record)]);
      }
      while (cursor.nextRun())
        add([number, '', folder.storeName(cursor.runStoreId), 'run', `${cursor.runLength} bytes`]);
    }
  } catch (error) {
    add(['', BAD, '', '', (error as Error).message]);
  }
  const rest = more === 0 ? '' : `and ${formatCount(more)} more (--limit shows more)`;
  await drawing.table('transactions', ['number', 'kind', 'store', 'change', 'content'], rows, rest);
}

interface SeenRecord {
  readonly storeId: number;
  readonly number: number;
  readonly op: string;
  readonly flags: number;
  readonly bytes: Uint8Array;
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly cellStart: number;
  readonly cellEnd: number;
}

/** Records of the section at hand; ends where one would reach beyond it. */
function* recordsOf(cursor: BatchCursor): Generator<SeenRecord> {
  const { bytes, storeId, number } = cursor;
  const end = cursor.sectionStart + cursor.sectionLength;
  let at = cursor.sectionStart;
  for (let left = cursor.recordCount; left > 0 && at + RECORD_HEADER_BYTES <= end; left--) {
    const word0 = readU32(bytes, at);
    const cellLength = readU32(bytes, at + 4);
    const keyLength = recordKeyLength(word0);
    const keyStart = at + RECORD_HEADER_BYTES;
    const cellStart = keyStart + alignUp(keyLength, 4);
    const next = at + recordWords(keyLength, cellLength) * 4;
    if (cellStart + cellLength > end || next <= at) return;
    const op = OPS[recordOp(word0)] ?? `op ${recordOp(word0)}`;
    const [keyEnd, cellEnd] = [keyStart + keyLength, cellStart + cellLength];
    yield { storeId, number, op, flags: recordFlags(word0), bytes, keyStart, keyEnd, cellStart, cellEnd };
    at = next;
  }
}

function showRecord(folder: DumpFolder, record: SeenRecord): string {
  const { storeId, bytes, keyStart, keyEnd, cellStart, cellEnd } = record;
  const key = folder.showKey(storeId, bytes, keyStart, keyEnd);
  if (record.op === OPS[OP_RANGE_REMOVE]) {
    const upper =
      (record.flags & RANGE_UNBOUNDED) !== 0 ? 'the end' : folder.showKey(storeId, bytes, cellStart, cellEnd);
    return `${key} up to ${upper}`;
  }
  if (record.op === OPS[OP_INCREMENT]) return `${key}  ${incrementText(bytes, cellStart, cellEnd)}`;
  const cell = record.op === OPS[OP_PUT] ? folder.showCell(storeId, bytes, cellStart, cellEnd) : '';
  return cell === '' ? key : `${key}  ${cell}`;
}

/** The newest root record in the log; undefined where there is none. */
export function newestRoot(folder: DumpFolder): Uint8Array | undefined {
  let root: Uint8Array | undefined;
  const cursor = new BatchCursor();
  for (const { view } of openEpochs(folder)) {
    if (view.header?.root !== undefined && rootCovers(view.header.root) >= rootCovers(root)) root = view.header.root;
    for (const { header, bytes, state } of batchesOf(view)) {
      if (state !== 'ok' || (header.flags & BATCH_HAS_ROOT) === 0) continue;
      cursor.reset(bytes, 0, header.firstNumber, header.count, header.directoryOffset, view.file.path, header.offset);
      while (cursor.nextTransaction()) {
        if (cursor.kind === KIND_ROOT && cursor.payloadLength >= 6) root = cursor.payload().slice();
      }
    }
    view.close();
  }
  return root;
}

/** The changes behind the newest root: what an opening keeps in its memory table. */
export async function dumpTable(
  folder: DumpFolder,
  drawing: Drawing,
  store: string | undefined,
  limit: number,
): Promise<void> {
  const covered = rootCovers(newestRoot(folder));
  const wanted = store === undefined ? undefined : folder.storeId(store);
  if (store !== undefined && wanted === undefined) throw new UsageError(`there is no store '${store}'`);
  const counts = new Map<number, { put: number; remove: number; other: number; bytes: number; newest: number }>();
  const records: SeenRecord[] = [];
  for (const record of recordsBehind(folder, covered)) {
    if (record.storeId === wanted) records.push({ ...record });
    const { storeId, op, number } = record;
    const count = counts.get(storeId) ?? { put: 0, remove: 0, other: 0, bytes: 0, newest: 0 };
    if (op === OPS[OP_PUT]) count.put++;
    else if (op === OPS[OP_REMOVE]) count.remove++;
    else count.other++;
    count.bytes += record.cellEnd - record.keyStart + RECORD_HEADER_BYTES;
    count.newest = number;
    counts.set(storeId, count);
  }
  const title = `changes behind number ${formatCount(covered)}, which the trees cover`;
  if (wanted === undefined) {
    const rows = [...counts]
      .sort(([a], [b]) => a - b)
      .map(([id, c]): Cell[] => [id, folder.storeName(id), c.put, c.remove, c.other, formatBytes(c.bytes), c.newest]);
    return drawing.table(title, ['store', 'name', 'puts', 'removes', 'others', 'size', 'newest'], rows);
  }
  records.sort(byKeyThenNewest);
  const rows = records.slice(0, limit).map((record, i): Cell[] => {
    const isOlder = i > 0 && sameKey(record, records[i - 1] as SeenRecord);
    return [isOlder ? '└' : '', record.number, record.op, showRecord(folder, record)];
  });
  const rest = records.length > limit ? `and ${formatCount(records.length - limit)} more (--limit shows more)` : '';
  await drawing.table(`${store}: ${title}`, ['', 'number', 'change', 'content'], rows, rest);
}

/** Each number once: copies in a later epoch say the same. */
function* recordsBehind(folder: DumpFolder, covered: number): Generator<SeenRecord> {
  const cursor = new BatchCursor();
  let seen = covered;
  for (const { view } of openEpochs(folder)) {
    for (const { header, bytes, state } of batchesOf(view)) {
      if (state !== 'ok' || header.lastNumber <= seen) continue;
      cursor.reset(bytes, 0, header.firstNumber, header.count, header.directoryOffset, view.file.path, header.offset);
      while (cursor.nextTransaction()) {
        if (cursor.number <= seen) continue;
        while (cursor.nextSection()) yield* recordsOf(cursor);
      }
      seen = header.lastNumber;
    }
    view.close();
  }
}

function byKeyThenNewest(a: SeenRecord, b: SeenRecord): number {
  const order = compareBytes(a.bytes, a.keyStart, a.keyEnd, b.bytes, b.keyStart, b.keyEnd);
  return order === 0 ? b.number - a.number : order;
}

function sameKey(a: SeenRecord, b: SeenRecord): boolean {
  return equalBytes(a.bytes.subarray(a.keyStart, a.keyEnd), b.bytes.subarray(b.keyStart, b.keyEnd));
}
