/** Drawing roots, images, whole trees and segments. Images that fail their check are named and not followed. */
import { readU16, readU32, readU48 } from '../base/bytes.ts';
import { crc32c } from '../base/checksum.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';
import { KeyWriter } from '../codec/tuple.ts';
import { decodeHandle, type Handle } from '../node/handle.ts';
import {
  copyKey,
  handleAt,
  imageBaseNumber,
  imageCount,
  imageFlags,
  imageLevel,
  imageNewest,
  imagePrefixLength,
  imageStoreId,
  slotsWord,
  versionsWord,
} from '../node/image-layout.ts';
import { searchChild } from '../node/image-search.ts';
import { decodeRoot, type RootRecord } from '../storage/root.ts';
import { SEGMENT_MAGIC } from '../storage/segment-writer.ts';
import { parseSegmentFileName } from '../storage/segments.ts';
import { FOREST_STORE, SEGMENT_STORE, idOfKey } from '../storage/system-stores.ts';
import { readScalar } from './arguments.ts';
import { UsageError } from './command.ts';
import type { Cell, Drawing } from './dump-draw.ts';
import type { DumpFolder, ReadImage } from './dump-folder.ts';
import { newestRoot } from './dump-log.ts';
import { formatBytes, formatCount } from './output.ts';

const SEGMENT_KINDS = ['', 'images', 'values', 'run'];
/** Images that one drawing of a tree reads at most. */
const MOST_IMAGES = 1_000_000;

function readRoot(folder: DumpFolder): RootRecord | undefined {
  const bytes = newestRoot(folder);
  return bytes === undefined ? undefined : decodeRoot(bytes, folder.segments);
}

/** Walks a tree from the left; `visit` sees every image, sound or not, and answers whether to go below it. */
function walk(
  folder: DumpFolder,
  handle: Handle,
  storeId: number,
  visit: (handle: Handle, image: ReadImage) => boolean,
): void {
  const image = folder.readImage(handle, handle, storeId);
  if (!visit(handle, image) || image.fault !== undefined) return;
  // Every child is one level below, by the image's check: this ends.
  if (imageLevel(image.views, 0) === 0) return;
  for (let i = 0; i < imageCount(image.views, 0); i++) {
    walk(folder, decodeHandle(image.views.bytes, handleAt(image.views, 0, i), folder.segments), storeId, visit);
  }
}

interface LeafEntry {
  readonly key: Uint8Array;
  readonly cell: Uint8Array;
}

function leafEntries(folder: DumpFolder, root: Handle, storeId: number): LeafEntry[] {
  const entries: LeafEntry[] = [];
  walk(folder, root, storeId, (_, { views, fault }) => {
    if (fault !== undefined || imageLevel(views, 0) > 0) return true;
    for (let i = 0; i < imageCount(views, 0); i++) entries.push(entryAt({ views, fault, length: 0 }, i));
    return true;
  });
  return entries;
}

function entryAt({ views }: ReadImage, index: number): LeafEntry {
  const key = new Uint8Array(MAX_KEY_BYTES);
  const length = copyKey(views, 0, index, key, 0);
  const slot = slotsWord(views, 0) + index;
  const [start, end] = [(views.u32[slot] as number) >>> 16, (views.u32[slot + 1] as number) >>> 16];
  return { key: key.slice(0, length), cell: views.bytes.slice(start, end) };
}

/** The stores of a root, by number. */
function forestOf(folder: DumpFolder, root: RootRecord | undefined): Map<number, Handle> {
  const roots = new Map<number, Handle>();
  if (root?.forest === undefined) return roots;
  for (const { key, cell } of leafEntries(folder, root.forest, FOREST_STORE)) {
    if (key.length === 4 && cell.length === 41) roots.set(idOfKey(key, 0), decodeHandle(cell, 1, folder.segments));
  }
  return roots;
}

export async function dumpRoot(folder: DumpFolder, drawing: Drawing): Promise<void> {
  const root = readRoot(folder);
  if (root === undefined) {
    await drawing.box('root', [['root', 'none yet: everything is in the log']]);
    return;
  }
  const forest = root.forest;
  const fault = forest === undefined ? undefined : folder.readImage(forest, forest, FOREST_STORE).fault;
  await drawing.box('root', [
    ['covers', `number ${formatCount(root.covered)}, built on ${formatCount(root.builtOn)}`],
    ['next store', root.nextStoreId],
    ['forest', forest === undefined ? 'empty' : `${folder.showHandle(forest)}  ${fault ?? 'ok'}`],
  ]);
  const rows = [...forestOf(folder, root)].map(([id, handle]): Cell[] => [
    id,
    folder.storeName(id),
    handle.entries,
    handle.level + 1,
    folder.place(handle.segment, handle.offset),
    handle.newest,
    folder.readImage(handle, handle, id).fault ?? 'ok',
  ]);
  await drawing.table('stores', ['store', 'name', 'entries', 'levels', 'root image', 'newest', 'checksum'], rows);
}

function mustFindRoot(folder: DumpFolder, store: string): { storeId: number; handle: Handle | undefined } {
  const storeId = folder.storeId(store);
  if (storeId === undefined)
    throw new UsageError(`there is no store '${store}'; sop dump ${folder.path} root lists them`);
  const root = readRoot(folder);
  return { storeId, handle: storeId === FOREST_STORE ? root?.forest : forestOf(folder, root).get(storeId) };
}

const NO_TREE = 'it has no tree yet: what there is of it is in the log (sop dump <folder> table <store>)';

export async function dumpTree(folder: DumpFolder, drawing: Drawing, store: string, limit: number): Promise<void> {
  const { storeId, handle } = mustFindRoot(folder, store);
  if (handle === undefined) return drawing.box(`tree of ${store}`, [['tree', NO_TREE]]);
  const levels: { images: number; bytes: number; entries: number; bad: number }[] = [];
  const faults: Cell[][] = [];
  let images = 0;
  walk(folder, handle, storeId, (at, image) => {
    levels[at.level] ??= { images: 0, bytes: 0, entries: 0, bad: 0 };
    const level = levels[at.level] as (typeof levels)[number];
    level.images++;
    level.bytes += at.length;
    if (image.fault === undefined) level.entries += imageCount(image.views, 0);
    else level.bad++;
    if (image.fault !== undefined && faults.length < limit)
      faults.push([folder.place(at.segment, at.offset), image.fault]);
    return ++images < MOST_IMAGES;
  });
  const rows = levels
    .map((level, i): Cell[] => {
      if (level === undefined) return [i, 'none could be reached', '', '', '', ''];
      const each = Math.round(level.entries / Math.max(1, level.images - level.bad));
      return [
        i,
        i === 0 ? 'leaves' : 'inner',
        level.images,
        formatBytes(level.bytes),
        each,
        level.bad === 0 ? 'ok' : `${level.bad} BAD`,
      ];
    })
    .reverse();
  await drawing.box(`tree of ${folder.storeName(storeId)}`, [
    ['root', folder.showHandle(handle)],
    ['digest', [handle.digestHigh, handle.digestLow].map((half) => half.toString(16).padStart(8, '0')).join('')],
    ...(images >= MOST_IMAGES ? [['note', `only the first ${formatCount(MOST_IMAGES)} images`] as const] : []),
  ]);
  await drawing.table('levels', ['level', 'kind', 'images', 'size', 'entries each', 'checksums'], rows);
  if (faults.length > 0) await drawing.table('damage', ['place', 'what is wrong'], faults);
  if (handle.level > 0) await drawImage(folder, drawing, handle, handle, storeId, limit);
}

export async function dumpNode(
  folder: DumpFolder,
  drawing: Drawing,
  what: string,
  keys: readonly string[],
  limit: number,
): Promise<void> {
  const place = /^([0-9a-f]{12})-(\d{1,5}):(\d{1,15})$/.exec(what);
  if (place !== null) {
    const segment = folder.segments.indexOf(Number.parseInt(place[1] as string, 16), Number(place[2]));
    return drawImage(folder, drawing, { segment, offset: Number(place[3]) }, undefined, -1, limit);
  }
  const { storeId, handle } = mustFindRoot(folder, what);
  if (handle === undefined) return drawing.box(`node of ${what}`, [['tree', NO_TREE]]);
  if (keys.length === 0) return drawImage(folder, drawing, handle, handle, storeId, limit);
  const key = encodeKey(folder, storeId, keys);
  for (let at = handle; ; ) {
    const image = folder.readImage(at, at, storeId);
    await drawImage(folder, drawing, at, at, storeId, image.fault === undefined && at.level > 0 ? 0 : limit);
    if (image.fault !== undefined || at.level === 0) return;
    const child = searchChild(image.views, 0, key, 0, key.length);
    at = decodeHandle(image.views.bytes, handleAt(image.views, 0, child), folder.segments);
  }
}

function encodeKey(folder: DumpFolder, storeId: number, texts: readonly string[]): Uint8Array {
  const spec = folder.spec(storeId);
  if (spec === undefined) throw new UsageError('--key needs a store whose definition is known');
  const writer = new KeyWriter();
  const { fields } = spec.definition;
  const parts = texts.map((text) => {
    const at = text.indexOf('=');
    if (fields === undefined || text.trimStart().startsWith('{')) return readScalar(text);
    if (at < 1) throw new UsageError(`'${text}' is no field of a key; write name=value`);
    return { [text.slice(0, at)]: readScalar(text.slice(at + 1)) };
  });
  spec.encodeKey(fields === undefined ? parts[0] : Object.assign({}, ...parts), writer);
  return writer.toBytes();
}

async function drawImage(
  folder: DumpFolder,
  drawing: Drawing,
  at: Pick<Handle, 'segment' | 'offset'>,
  handle: Handle | undefined,
  storeId: number,
  limit: number,
): Promise<void> {
  const image = folder.readImage(at, handle, storeId);
  const { fault } = image;
  const place = folder.place(at.segment, at.offset);
  if (fault !== undefined) {
    await drawing.box(`image at ${place}`, [['checksum', `BAD: ${fault}`]]);
    return;
  }
  await drawSoundImage(folder, drawing, image, place, limit);
}

/** The image begins at the first byte of `views` and has passed its check. */
export async function drawSoundImage(
  folder: DumpFolder,
  drawing: Drawing,
  image: ReadImage,
  place: string,
  limit: number,
): Promise<void> {
  const { views } = image;
  const storeId = imageStoreId(views, 0);
  const level = imageLevel(views, 0);
  const count = imageCount(views, 0);
  await drawing.box(`${level === 0 ? 'leaf' : `inner image, level ${level}`} at ${place}`, [
    ['store', `${storeId} ${folder.storeName(storeId)}`],
    ['length', `${formatCount(readU32(views.bytes, 8))} bytes`],
    ['entries', `${formatCount(count)}, sharing a prefix of ${imagePrefixLength(views, 0)} bytes`],
    ['newest', `number ${formatCount(imageNewest(views, 0))}${imageFlags(views, 0) === 0 ? '' : ', with tombstones'}`],
    ['checksum', 'ok'],
  ]);
  if (limit === 0) return;
  const rows: Cell[][] = [];
  for (let i = 0; i < Math.min(count, limit); i++) rows.push(entryRow(folder, image, storeId, level, i));
  const rest = count > limit ? `and ${formatCount(count - limit)} more (--limit shows more)` : '';
  if (level === 0) await drawing.table('entries', ['', 'key', 'version', 'value'], rows, rest);
  else await drawing.table('children', ['', 'from key', 'image', 'entries', 'newest'], rows, rest);
}

function entryRow(folder: DumpFolder, image: ReadImage, storeId: number, level: number, index: number): Cell[] {
  const { views } = image;
  const { key, cell } = entryAt(image, index);
  const shown = folder.showKey(storeId, key, 0, key.length);
  if (level === 0) {
    const version = imageBaseNumber(views, 0) + (views.u32[versionsWord(views, 0) + index] as number);
    return [index, shown, version, folder.showCell(storeId, cell, 0, cell.length)];
  }
  const child = decodeHandle(views.bytes, handleAt(views, 0, index), folder.segments);
  return [index, shown, folder.place(child.segment, child.offset), child.entries, child.newest];
}

/** What the header of a segment file says; the fault is undefined where it is sound. */
export function readSegmentHeader(bytes: Uint8Array, databaseId: Uint8Array | undefined) {
  const kind = SEGMENT_KINDS[readU16(bytes, 6)] ?? `kind ${readU16(bytes, 6)}`;
  const sound = readU32(bytes, 0) === SEGMENT_MAGIC && readU32(bytes, 32) === crc32c(bytes, 0, 32);
  const isOurs = databaseId === undefined || Buffer.compare(bytes.subarray(8, 24), databaseId) === 0;
  const fault = !sound ? 'BAD header' : !isOurs ? 'of another database' : undefined;
  return { kind, writer: readU48(bytes, 24), number: readU16(bytes, 30), fault };
}

export async function dumpSegments(folder: DumpFolder, drawing: Drawing): Promise<void> {
  const { files } = folder.env;
  const rows = new Map<string, { total: number; live: number }>();
  const handle = forestOf(folder, readRoot(folder)).get(SEGMENT_STORE);
  for (const { key, cell } of handle === undefined ? [] : leafEntries(folder, handle, SEGMENT_STORE)) {
    if (key.length !== 8 || cell.length !== 14) continue;
    const name = folder.showKey(SEGMENT_STORE, key, 0, 8);
    rows.set(name, { total: readU48(cell, 2), live: readU48(cell, 8) });
  }
  const names = files.list(`${folder.path}/data`).filter((name) => parseSegmentFileName(name) !== undefined);
  const lines = names.map((file): Cell[] => {
    const bytes = new Uint8Array(64);
    const opened = files.open(`${folder.path}/data/${file}`, { mode: 'read' });
    try {
      opened.readSync(bytes, 0);
      const { kind, fault } = readSegmentHeader(bytes, folder.id);
      const name = file.replace('.seg', '');
      const row = rows.get(name);
      rows.delete(name);
      const live =
        row === undefined
          ? 'no row'
          : `${formatBytes(row.live)} (${Math.round((100 * row.live) / Math.max(1, row.total))} %)`;
      return [name, kind, formatBytes(opened.sizeBytes()), live, fault ?? 'ok'];
    } finally {
      opened.close();
    }
  });
  for (const [name, row] of rows)
    lines.push([name, '', formatBytes(row.total), formatBytes(row.live), 'BAD: file is missing']);
  await drawing.table('segments', ['segment', 'kind', 'size', 'live', 'header'], lines);
}
