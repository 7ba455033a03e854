/**
 * A database's folder as `sop dump` reads it: file by file, writing nothing, beside a live writer and over damage. Names of
 * stores and shapes of values come from a read-only opening; where that fails, keys still say what they are by themselves.
 */
import { readU16, readU32, readU48 } from '../base/bytes.ts';
import { crc32c } from '../base/checksum.ts';
import { CELL_RIDE_ON, CELL_SEPARATE, CELL_TOMBSTONE, CELL_WANTS_SEPARATE, cellValueStart } from '../codec/cell.ts';
import { compileKeySpec, type KeySpec } from '../codec/key-spec.ts';
import { decodeStoreDefinition, type StoredDefinition } from '../codec/store-definition.ts';
import { KeyReader } from '../codec/tuple-reader.ts';
import { stringifyTypedJson } from '../codec/typed-json.ts';
import { decodeValue } from '../codec/value.ts';
import type { Env } from '../env/env.ts';
import { hasNativeModule, nodeEnv } from '../env/node-env.ts';
import { portableEnv } from '../env/portable-env.ts';
import { decodeHandle, HANDLE_BYTES, type Handle } from '../node/handle.ts';
import { ImageViews, LONGEST_IMAGE_BYTES } from '../node/image-layout.ts';
import { handleFault, imageFault } from '../node/image-validate.ts';
import { AT } from '../node/entry-cursor.ts';
import { DatabaseFolder } from '../storage/database-folder.ts';
import { ITEM_ID_BYTES } from '../log/placeholder.ts';
import { formatTransactionId } from '../storage/transaction-ids.ts';
import { segmentFileName, Segments } from '../storage/segments.ts';
import * as system from '../storage/system-stores.ts';
import { ShapeStore } from '../store/shape-store.ts';
import { openEngine } from '../transaction/engine.ts';
import type { EngineApi } from '../transaction/engine-api.ts';
import { formatCount } from './output.ts';
import { hex } from './dump-draw.ts';
import { itemText, rowText } from './dump-rows.ts';

const SYSTEM_NAMES: Readonly<Record<number, string>> = {
  [system.FOREST_STORE]: '(forest)',
  [system.CATALOG_STORE]: '(catalog)',
  [system.SHAPE_STORE]: '(shapes)',
  [system.SEGMENT_STORE]: '(segments)',
  [system.TRANSACTION_STORE]: '(transaction ids)',
  [system.WRITER_STORE]: '(writers)',
  [system.PIN_STORE]: '(pins)',
  [system.DROPPED_STORE]: '(dropped stores)',
  [system.INDEX_STATE_STORE]: '(indexes)',
  [system.PREPARED_STORE]: '(prepared)',
};
/** Longer values are not drawn. */
const MOST_SHOWN_BYTES = 64 * 1024;

interface KnownStore {
  readonly stored: StoredDefinition;
  readonly spec: KeySpec;
}

export interface ReadImage {
  readonly views: ImageViews;
  /** What is wrong with it; undefined where nothing is. Where something is, only its header and bytes may be shown. */
  readonly fault: string | undefined;
  readonly length: number;
}

export class DumpFolder {
  readonly env: Env;
  readonly path: string;
  readonly segments: Segments;
  /** What could not be read of the database as a whole. */
  readonly remarks: string[] = [];
  id: Uint8Array | undefined;
  readonly #stores = new Map<number, KnownStore>();
  readonly #indexNames = new Map<number, string>();
  #engine: EngineApi | undefined;
  #shapes: ShapeStore | undefined;

  constructor(path: string, env: Env = hasNativeModule() ? nodeEnv() : portableEnv()) {
    this.env = env;
    this.path = path;
    this.segments = new Segments(this.env, `${path}/data`);
  }

  async open(): Promise<void> {
    try {
      this.id = new DatabaseFolder(this.env, this.path).mustReadIdentity().id;
    } catch (error) {
      if ((error as { code?: unknown }).code === 'DATABASE_NOT_FOUND') throw error;
      this.remarks.push(String((error as Error).message));
    }
    try {
      this.#engine = await openEngine(this.env, { folder: this.path, readOnly: true, cacheBytes: 8 * 1024 * 1024 });
      this.#shapes = new ShapeStore(this.#engine);
      this.#readCatalog(this.#engine);
    } catch (error) {
      this.remarks.push(`names of stores are not known: ${(error as Error).message}`);
    }
  }

  async close(): Promise<void> {
    this.segments.close();
    await this.#engine?.close();
  }

  /** The salt of batch checksums; 0 where the database's id cannot be read. */
  get salt(): number {
    return this.id === undefined ? 0 : crc32c(this.id);
  }

  storeName(id: number): string {
    return SYSTEM_NAMES[id] ?? this.#stores.get(id)?.stored.name ?? this.#indexNames.get(id) ?? `store ${id}`;
  }

  /** By name, or by number. */
  storeId(text: string): number | undefined {
    for (const [id, { stored }] of this.#stores) if (stored.name === text) return id;
    for (const [id, name] of Object.entries(SYSTEM_NAMES)) if (name === text || name === `(${text})`) return Number(id);
    return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
  }

  spec(storeId: number): KeySpec | undefined {
    return this.#stores.get(storeId)?.spec;
  }

  definition(storeId: number): StoredDefinition | undefined {
    return this.#stores.get(storeId)?.stored;
  }

  showKey(storeId: number, bytes: Uint8Array, start: number, end: number): string {
    if (start === end) return '(empty)';
    if (storeId < 64) return showSystemKey(storeId, bytes, start, end);
    const item = this.definition(storeId)?.unique === false ? itemText(bytes, start, end) : undefined;
    if (item === undefined) return this.#showUserKey(storeId, bytes, start, end);
    return `${this.#showUserKey(storeId, bytes, start, end - ITEM_ID_BYTES)} ${item}`;
  }

  #showUserKey(storeId: number, bytes: Uint8Array, start: number, end: number): string {
    try {
      const key: unknown = this.spec(storeId)?.decodeKey(bytes, start, end) ?? readAnyKey(bytes, start, end);
      if (this.definition(storeId)?.key.fields === undefined) return stringifyTypedJson(key);
      const fields = Object.entries(key as object).filter(([, value]) => value !== undefined);
      return fields.map(([name, value]) => `${name}=${stringifyTypedJson(value)}`).join(' ');
    } catch {
      return this.#showPart(storeId, bytes, start, end);
    }
  }

  /** Separators of inner images are cut short: the values that are whole, then bytes. */
  #showPart(storeId: number, bytes: Uint8Array, start: number, end: number): string {
    const fields = this.definition(storeId)?.key.fields;
    const shown: string[] = [];
    let at = start;
    try {
      while (at < end && shown.length < 64) {
        const value = keyReader.readValue(bytes, at, end, (bytes[at] as number) >= 0x80);
        const name = fields?.[shown.length]?.name;
        shown.push(`${name === undefined ? '' : `${name}=`}${stringifyTypedJson(value)}`);
        at = keyReader.position;
      }
    } catch {}
    return [...shown, `0x${hex(bytes, at, end, 32)}`].join(' ');
  }

  showCell(storeId: number, bytes: Uint8Array, start: number, end: number): string {
    if (start >= end) return '';
    const flags = bytes[start] as number;
    if ((flags & CELL_TOMBSTONE) !== 0) return '(removed)';
    try {
      const valueStart = cellValueStart(bytes, start);
      if (valueStart > end) return `damaged cell 0x${hex(bytes, start, end)}`;
      if (storeId < 64) return this.#showSystemCell(storeId, bytes, valueStart, end);
      const marks = `${(flags & CELL_RIDE_ON) === 0 ? '' : `ride-on ${valueStart - start - 3} B, `}${(flags & CELL_WANTS_SEPARATE) === 0 ? '' : 'to be separate, '}`;
      if ((flags & CELL_SEPARATE) !== 0 && end - valueStart >= 32) return `${marks}${showReference(bytes, valueStart)}`;
      return `${marks}${this.#showValue(storeId, bytes, valueStart, end)}`;
    } catch {
      return `not readable 0x${hex(bytes, start, end)}`;
    }
  }

  /** Reads an image where a handle says it is, or at a place of which nothing more is known. */
  readImage(handle: Pick<Handle, 'segment' | 'offset'>, whole: Handle | undefined, storeId: number): ReadImage {
    const wrong = whole === undefined ? undefined : handleFault(whole);
    const path = this.segments.path(handle.segment);
    const none = { views: new ImageViews(0), length: 0 };
    if (wrong !== undefined) return { ...none, fault: wrong };
    try {
      const sizeBytes = this.env.files.status(path)?.sizeBytes;
      if (sizeBytes === undefined) return { ...none, fault: 'its file is missing' };
      const length = Math.max(0, Math.min(whole?.length ?? LONGEST_IMAGE_BYTES, sizeBytes - handle.offset));
      const views = new ImageViews(length);
      this.segments.readSync(handle.segment, handle.offset, views.bytes);
      return { views, length, fault: imageFault(views, 0, length, whole, storeId) };
    } catch (error) {
      return { ...none, fault: (error as Error).message };
    }
  }

  place(segment: number, offset: number): string {
    return `${this.segmentName(segment)}:${offset}`;
  }

  segmentName(segment: number): string {
    const { segments } = this;
    return segmentFileName(segments.writerOf(segment), segments.numberOf(segment)).replace('.seg', '');
  }

  showHandle(handle: Handle): string {
    const { segment, offset, length, level, entries } = handle;
    return `-> ${this.place(segment, offset)}  ${formatCount(length)} B  level ${level}  ${formatCount(entries)} entries`;
  }

  #showValue(storeId: number, bytes: Uint8Array, start: number, end: number): string {
    const isRaw = this.definition(storeId)?.raw === true;
    if (isRaw || end - start > MOST_SHOWN_BYTES) return `0x${hex(bytes, start, end, 24)}`;
    if (this.#shapes === undefined) return `0x${hex(bytes, start, end, 24)}`;
    return stringifyTypedJson(decodeValue(bytes, start, end, this.#shapes.registry));
  }

  #showSystemCell(storeId: number, bytes: Uint8Array, start: number, end: number): string {
    const isForest = storeId === system.FOREST_STORE || storeId === system.DROPPED_STORE;
    if (isForest && end - start === HANDLE_BYTES) return this.showHandle(decodeHandle(bytes, start, this.segments));
    if (storeId === system.SEGMENT_STORE && end - start === 13) {
      const kind = ['', 'images', 'values', 'run'][bytes[start] as number] ?? '?';
      return `${kind}, ${formatCount(readU48(bytes, start + 7))} of ${formatCount(readU48(bytes, start + 1))} bytes live`;
    }
    return rowText(storeId, bytes, start, end) ?? `0x${hex(bytes, start, end, 24)}`;
  }

  #readCatalog(engine: EngineApi): void {
    const transaction = engine.begin('read');
    try {
      const cursor = transaction.cursor(system.CATALOG_STORE);
      cursor.waits = true;
      for (let step = cursor.first(); step === AT; step = cursor.next()) {
        try {
          const stored = decodeStoreDefinition(cursor.cellBytes, cursor.cellStart + 1, cursor.cellEnd);
          for (const index of stored.indexes) this.#indexNames.set(index.id, `${stored.name}.${index.name}`);
          this.#stores.set(stored.id, { stored, spec: compileKeySpec(stored.key) });
        } catch (error) {
          this.remarks.push(`a store's definition is not readable: ${(error as Error).message}`);
        }
      }
    } finally {
      transaction.rollback();
    }
  }
}

function showReference(bytes: Uint8Array, at: number): string {
  const name = segmentFileName(readU48(bytes, at), readU16(bytes, at + 6)).replace('.seg', '');
  return `-> value at ${name}:${readU48(bytes, at + 8)}, ${formatCount(readU32(bytes, at + 14))} bytes`;
}

function showSystemKey(storeId: number, bytes: Uint8Array, start: number, end: number): string {
  const digits = Buffer.from(bytes.subarray(start, end)).toString('hex');
  if (storeId === system.CATALOG_STORE || storeId === system.PIN_STORE)
    return JSON.stringify(Buffer.from(bytes.subarray(start, end)).toString('utf8'));
  if (storeId === system.SEGMENT_STORE && end - start === 8) {
    return `${digits.slice(0, 12)}-${Number.parseInt(digits.slice(12), 16)}`;
  }
  if (storeId === system.PREPARED_STORE && end - start === 12) {
    return formatTransactionId(Number.parseInt(digits.slice(0, 12), 16), Number.parseInt(digits.slice(12), 16));
  }
  const ids: readonly number[] = [system.FOREST_STORE, system.DROPPED_STORE, system.INDEX_STATE_STORE];
  const isId = ids.includes(storeId);
  return isId && end - start >= 4 ? String(Number.parseInt(digits.slice(0, 8), 16)) + digits.slice(8) : digits;
}

const keyReader = new KeyReader();

/** A key whose definition is not known: its tags say what its values are, and which way they sort. */
function readAnyKey(bytes: Uint8Array, start: number, end: number): unknown {
  const values: unknown[] = [];
  for (let at = start; at < end; at = keyReader.position) {
    values.push(keyReader.readValue(bytes, at, end, (bytes[at] as number) >= 0x80));
  }
  return values.length === 1 ? values[0] : values;
}
