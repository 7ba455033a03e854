/** Drawing one file of a database by what its bytes say it is, as far as they are sound, wherever it lies. */
import { basename, dirname, resolve } from 'node:path';
import { alignUp, hex48, readU16, readU32 } from '../base/bytes.ts';
import { crc32c } from '../base/checksum.ts';
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from '../base/limits.ts';
import type { File } from '../env/env.ts';
import {
  IMAGE_MAGIC,
  ImageViews,
  imageCount,
  imageLength,
  imageLevel,
  imageStoreId,
  LONGEST_IMAGE_BYTES,
} from '../node/image-layout.ts';
import { imageFault } from '../node/image-validate.ts';
import { SEGMENT_MAGIC } from '../storage/segment-writer.ts';
import { SEGMENT_HEADER_BYTES } from '../storage/segments.ts';
import { VALUE_HEADER_BYTES, VALUE_MAGIC } from '../storage/value-log.ts';
import { type Cell, type Drawing, hex, printable } from './dump-draw.ts';
import type { DumpFolder } from './dump-folder.ts';
import { dumpEpoch, EpochView } from './dump-log.ts';
import { readSegmentHeader } from './dump-tree.ts';
import { formatBytes, formatCount } from './output.ts';
import { parseEpochName } from '../log/epoch-file.ts';

const SMALL_BYTES = 64 * 1024;
/** Where something is damaged the next thing is looked for at every such place. */
const STEP = 8;

export async function dumpFile(folder: DumpFolder, drawing: Drawing, path: string, limit: number): Promise<void> {
  const full = findFile(folder, path);
  const file = folder.env.files.open(full, { mode: 'read' });
  const head = new Uint8Array(64);
  try {
    file.readSync(head, 0);
    if (readU32(head, 0) === SEGMENT_MAGIC) return await dumpSegment(folder, drawing, file, head, limit);
  } finally {
    file.close();
  }
  const epoch = parseEpochName(basename(full));
  if (epoch !== undefined || Buffer.from(head.subarray(0, 8)).toString('latin1') === 'SOPEPOCH') {
    const view = new EpochView(folder, full, epoch ?? 0);
    try {
      return await dumpEpoch(view, drawing, limit);
    } finally {
      view.close();
    }
  }
  await dumpSmall(folder, drawing, full);
}

/** As given, or inside the database's folder. */
function findFile(folder: DumpFolder, path: string): string {
  const { files } = folder.env;
  const places = [path, ...['', 'log', 'data', 'members'].map((name) => `${folder.path}/${name}/${path}`)];
  return resolve(places.find((place) => files.status(place)?.isFolder === false) ?? path);
}

async function dumpSmall(folder: DumpFolder, drawing: Drawing, path: string): Promise<void> {
  const file = folder.env.files.open(path, { mode: 'read' });
  try {
    const bytes = new Uint8Array(Math.min(file.sizeBytes(), SMALL_BYTES));
    const got = file.readSync(bytes, 0);
    const text = Buffer.from(bytes.subarray(0, got)).toString('utf8');
    const isText = !text.includes('\0') && !text.includes('\ufffd');
    await drawing.box(`${basename(dirname(path))}/${basename(path)}`, [
      ['size', formatBytes(file.sizeBytes())],
      [
        'content',
        got === 0 ? '(empty)' : isText ? printable(text.trim().replace(/\s+/g, ' ')) : hex(bytes, 0, got, 64),
      ],
    ]);
  } finally {
    file.close();
  }
}

async function dumpSegment(
  folder: DumpFolder,
  drawing: Drawing,
  file: File,
  head: Uint8Array,
  limit: number,
): Promise<void> {
  const { kind, writer, number, fault } = readSegmentHeader(head, folder.id);
  const rows: Cell[][] = [];
  const sums = { sound: 0, bad: 0, more: 0 };
  for (const item of itemsOf(folder, file)) {
    if (item.state === 'ok') sums.sound++;
    else sums.bad++;
    if (rows.length < limit || (item.state !== 'ok' && rows.length < 2 * limit)) {
      rows.push([item.offset, item.what, item.length, item.about, item.state]);
    } else sums.more++;
  }
  await drawing.box(`segment ${hex48(writer)}-${number}`, [
    ['file', file.path],
    ['size', formatBytes(file.sizeBytes())],
    ['kind', kind],
    ['header', fault ?? 'ok'],
    ['content', `${formatCount(sums.sound)} sound, ${formatCount(sums.bad)} BAD`],
  ]);
  const rest = sums.more === 0 ? '' : `and ${formatCount(sums.more)} more (--limit shows more)`;
  await drawing.table('content', ['offset', 'what', 'length', 'about', 'checksum'], rows, rest);
}

interface SegmentItem {
  readonly offset: number;
  readonly what: string;
  readonly length: number;
  readonly about: string;
  readonly state: string;
}

/** What lies in a segment, one after another; over damage it goes on at the next thing that is whole. */
function* itemsOf(folder: DumpFolder, file: File): Generator<SegmentItem> {
  const sizeBytes = file.sizeBytes();
  const views = new ImageViews(LONGEST_IMAGE_BYTES);
  let damagedFrom = -1;
  for (let at = SEGMENT_HEADER_BYTES; at < sizeBytes; ) {
    views.bytes.fill(0);
    const got = file.readSync(views.bytes.subarray(0, Math.min(LONGEST_IMAGE_BYTES, sizeBytes - at)), at);
    const item = imageAt(folder, views, at, got) ?? valueAt(folder, file, views.bytes, at, got);
    // A value whose header is sound says itself where the next thing begins.
    if (item !== undefined && item.length > STEP) {
      if (damagedFrom >= 0) yield gap(damagedFrom, at);
      damagedFrom = -1;
      yield item;
      at += item.length;
      continue;
    }
    // Zeros up to the next place where a sync may have ended are no damage.
    const padding = zerosFrom(views.bytes, got);
    if (damagedFrom < 0 && padding >= Math.min(alignUp(at + 1, SEGMENT_HEADER_BYTES) - at, got)) {
      at += Math.max(STEP, Math.floor(padding / STEP) * STEP);
      continue;
    }
    if (damagedFrom < 0) damagedFrom = at;
    at += nextCandidate(views.bytes, got);
  }
  if (damagedFrom >= 0) yield gap(damagedFrom, sizeBytes);
}

function gap(from: number, to: number): SegmentItem {
  return { offset: from, what: '?', length: to - from, about: 'neither image nor value', state: 'BAD' };
}

/** Bytes to the next place where something may begin: what is whole is found by its magic. */
function nextCandidate(bytes: Uint8Array, length: number): number {
  for (let at = STEP; at + STEP <= length; at += STEP) {
    if (readU16(bytes, at) === IMAGE_MAGIC || readU32(bytes, at) === VALUE_MAGIC) return at;
  }
  return Math.max(STEP, Math.floor(length / STEP) * STEP);
}

function zerosFrom(bytes: Uint8Array, length: number): number {
  let count = 0;
  while (count < length && bytes[count] === 0) count++;
  return count;
}

function imageAt(folder: DumpFolder, views: ImageViews, offset: number, got: number): SegmentItem | undefined {
  if (readU16(views.bytes, 0) !== IMAGE_MAGIC) return undefined;
  const fault = imageFault(views, 0, got, undefined, -1);
  if (fault !== undefined) return { offset, what: 'image', length: STEP, about: '', state: `BAD: ${fault}` };
  const level = imageLevel(views, 0);
  const about = `${folder.storeName(imageStoreId(views, 0))}, ${imageCount(views, 0)} ${level === 0 ? 'entries' : 'children'}`;
  return { offset, what: level === 0 ? 'leaf' : `inner ${level}`, length: imageLength(views, 0), about, state: 'ok' };
}

function valueAt(
  folder: DumpFolder,
  file: File,
  bytes: Uint8Array,
  offset: number,
  got: number,
): SegmentItem | undefined {
  if (got < VALUE_HEADER_BYTES || readU32(bytes, 0) !== VALUE_MAGIC) return undefined;
  const storeId = readU32(bytes, 4);
  const valueLength = readU32(bytes, 8);
  const keyLength = readU16(bytes, 16);
  const bad = (what: string) => ({ offset, what: 'value', length: STEP, about: '', state: `BAD ${what}` });
  if (keyLength > MAX_KEY_BYTES || valueLength > MAX_VALUE_BYTES || VALUE_HEADER_BYTES + keyLength > got)
    return bad('header');
  const keyEnd = VALUE_HEADER_BYTES + keyLength;
  if (readU32(bytes, 20) !== crc32c(bytes, VALUE_HEADER_BYTES, keyEnd, crc32c(bytes, 0, 20))) return bad('header');
  const length = alignUp(keyEnd + valueLength, 8);
  const about = `${folder.storeName(storeId)} ${folder.showKey(storeId, bytes, VALUE_HEADER_BYTES, keyEnd)}`;
  const crc = valueChecksum(file, offset + keyEnd, valueLength);
  return { offset, what: 'value', length, about, state: crc === readU32(bytes, 12) ? 'ok' : 'BAD checksum' };
}

/** In pieces: a value may be as long as memory. */
function valueChecksum(file: File, position: number, length: number): number {
  const piece = new Uint8Array(Math.min(length, 1024 * 1024));
  let crc = 0;
  for (let at = 0; at < length; at += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, length - at));
    if (file.readSync(part, position + at) < part.length) return -1;
    crc = crc32c(part, 0, part.length, crc);
  }
  return crc;
}
