/**
 * Damage whose checksums are made right again, as by memory that flipped a bit before the sum was taken, or by somebody who
 * means harm: what reaches the decoders behind the checksums. Nothing can be said of the data then; it must end in a value or a
 * typed error, in bounded time and memory.
 */
import { readU16, readU32, writeU32 } from '../../src/base/bytes.ts';
import { crc32c } from '../../src/base/checksum.ts';
import type { SeededRandom } from '../../src/env/simulated-random.ts';
import {
  BATCH_HEADER_BYTES,
  BatchHeader,
  batchSalt,
  decodeBatchHeader,
  encodeBatchHeader,
  HEADER_GOOD,
  payloadChecksum,
} from '../../src/log/batch.ts';
import { imageChecksum } from '../../src/node/image-builder.ts';
import { IMAGE_MAGIC } from '../../src/node/image-layout.ts';
import { VALUE_MAGIC } from '../../src/storage/value-log.ts';
import type { FolderBytes } from './bytes-env.ts';
import type { Damage } from './damage.ts';
import { idOf } from './statements.ts';
import type { Subject } from './subjects.ts';

const BLOCK = 4096;
const INTERESTING: readonly number[] = [
  0, 1, 2, 3, 4, 7, 8, 40, 64, 127, 128, 255, 256, 4095, 4096, 8192, 65_528, 65_535, 65_536, 0x7fff_ffff, 0x8000_0000,
  0xffff_fffe, 0xffff_ffff,
];

/** Changes one to three places in `bytes[start, end)`; says where. */
export function mutate(random: SeededRandom, bytes: Uint8Array, start: number, end: number): string {
  const changes: string[] = [];
  for (let left = 1 + random.below(3); left > 0 && end > start; left--) {
    const at = start + random.below(end - start);
    const how = random.below(5);
    const word = Math.max(start, Math.min(at & ~3, end - 4));
    if (how === 0) bytes[at] = random.below(256);
    else if (how === 1) bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    else if (how === 2 && end - start >= 4) writeU32(bytes, word, random.pick(INTERESTING));
    else if (how === 3 && end - start >= 4)
      writeU32(bytes, word, readU32(bytes, word) + random.pick([1, -1, 4, -4, 8, -8, 64]));
    else bytes[at] = random.pick(INTERESTING);
    changes.push(`${at}`);
  }
  return changes.join(', ');
}

/** Somewhere in the first bytes rather than anywhere: heads of structures are what lengths and counts stand in. */
function part(random: SeededRandom, start: number, end: number, head: number): [number, number] {
  return random.chance(0.6) ? [start, Math.min(end, start + head)] : [start, end];
}

export function forgeHeader(random: SeededRandom, bytes: Uint8Array): string {
  const [start, end] = part(random, 8, 148 + 64, 140);
  const text = mutate(random, bytes, start, end);
  writeU32(bytes, BLOCK - 4, crc32c(bytes, 0, BLOCK - 4));
  return `header at ${text}`;
}

/** Offsets of batches whose headers are good. */
function batchesIn(bytes: Uint8Array, salt: number): number[] {
  const found: number[] = [];
  const header = new BatchHeader();
  for (let at = 2 * BLOCK; at + BLOCK <= bytes.length; at += BLOCK) {
    if (decodeBatchHeader(bytes, at, salt, header) === HEADER_GOOD) found.push(at);
  }
  return found;
}

function forgeBatch(random: SeededRandom, bytes: Uint8Array, salt: number): string {
  const places = batchesIn(bytes, salt);
  if (places.length === 0) return forgeHeader(random, bytes);
  const at = random.pick(places);
  const header = new BatchHeader();
  decodeBatchHeader(bytes, at, salt, header);
  const inHeader = random.chance(0.25);
  const [start, end] = inHeader
    ? [at + 4, at + 68]
    : part(random, at + BATCH_HEADER_BYTES, at + header.byteLength, 120);
  const text = mutate(random, bytes, start, end);
  sealBatch(bytes, at, header.paddedLength, salt);
  rechain(bytes, places, salt);
  return `batch at ${at}, at ${text}`;
}

/** Makes both checksums right, whatever the header says now. */
function sealBatch(bytes: Uint8Array, at: number, paddedLength: number, salt: number): void {
  writeU32(bytes, at + 68, payloadChecksum(bytes, at, Math.min(paddedLength, bytes.length - at)));
  writeU32(bytes, at + 72, crc32c(bytes, at, at + 72, salt));
}

/** Later batches name the checksum of the one before: they follow the forged one again. */
function rechain(bytes: Uint8Array, places: readonly number[], salt: number): void {
  const header = new BatchHeader();
  for (let i = 1; i < places.length; i++) {
    const at = places[i] as number;
    if (decodeBatchHeader(bytes, at, salt, header) !== HEADER_GOOD) continue;
    header.previousCrc = readU32(bytes, (places[i - 1] as number) + 72);
    encodeBatchHeader(header, bytes, at, salt);
  }
}

/** Images and value records of a segment, by what stands in them. */
export function itemsIn(bytes: Uint8Array): { at: number; length: number; isImage: boolean }[] {
  const items: { at: number; length: number; isImage: boolean }[] = [];
  for (let at = BLOCK; at + 48 <= bytes.length; at += 8) {
    if (readU16(bytes, at) === IMAGE_MAGIC && bytes[at + 2] === 1) {
      const length = readU32(bytes, at + 8);
      if (length < 48 || at + length > bytes.length || imageChecksum(bytes, at, length) !== readU32(bytes, at + 12))
        continue;
      items.push({ at, length, isImage: true });
      at += length - 8;
    } else if (readU32(bytes, at) === VALUE_MAGIC) items.push({ at, length: 24, isImage: false });
  }
  return items;
}

function forgeSegment(random: SeededRandom, bytes: Uint8Array): string {
  const items = itemsIn(bytes);
  if (items.length === 0 || random.chance(0.05)) {
    const text = mutate(random, bytes, 0, 32);
    writeU32(bytes, 32, crc32c(bytes, 0, 32));
    return `segment header at ${text}`;
  }
  const { at, length, isImage } = random.pick(items);
  if (!isImage) {
    const text = mutate(random, bytes, at, at + 24);
    const keyLength = Math.min(readU16(bytes, at + 16), bytes.length - at - 24);
    writeU32(bytes, at + 20, crc32c(bytes, at + 24, at + 24 + keyLength, crc32c(bytes, at, at + 20)));
    return `value record at ${at}, at ${text}`;
  }
  const [start, end] = part(random, at, at + length, 200);
  // Cells, where handles and value references lie, are at the end.
  const inCells = random.chance(0.3) ? Math.max(start, end - 400) : start;
  const text = mutate(random, bytes, inCells, end);
  const stated = readU32(bytes, at + 8);
  const covered = stated >= 16 && at + stated <= bytes.length ? stated : length;
  writeU32(bytes, at + 12, imageChecksum(bytes, at, covered));
  return `image at ${at}, at ${text}`;
}

const ODD: readonly unknown[] = [
  null,
  -1,
  1.5,
  'x',
  '',
  [],
  {},
  [1],
  true,
  2,
  Number.MAX_SAFE_INTEGER,
  '0'.repeat(32),
  ['y'],
];

function forgeIdentity(random: SeededRandom, bytes: Uint8Array): Uint8Array {
  const found = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  found[random.pick(['sop', 'format', 'features', 'id', '__proto__', 'other'])] = random.pick(ODD);
  return new TextEncoder().encode(JSON.stringify(random.chance(0.1) ? random.pick(ODD) : found));
}

/** A damage that passes all checksums. */
export function drawForgery(random: SeededRandom, subject: Subject): Damage {
  const paths = [...subject.folder].filter(([, bytes]) => bytes.length > 0).map(([path]) => path);
  const isIdentity = random.chance(0.01);
  const path = isIdentity ? 'sop.json' : random.pick(paths.filter((name) => /^(log|data)\//.test(name)));
  const bytes = (subject.folder.get(path) as Uint8Array).slice();
  const { text, result } = forge(random, path, bytes, subject.folder);
  return {
    text: `${path}: forged, ${text}`,
    wholeFile: false,
    apply: (folder) => {
      folder.set(path, result);
    },
  };
}

function forge(
  random: SeededRandom,
  path: string,
  bytes: Uint8Array,
  folder: FolderBytes,
): { text: string; result: Uint8Array } {
  if (path === 'sop.json') {
    const result = forgeIdentity(random, bytes);
    return { text: new TextDecoder().decode(result), result };
  }
  if (path.startsWith('data/')) return { text: forgeSegment(random, bytes), result: bytes };
  const isHeader = bytes.length >= BLOCK && random.chance(0.25);
  const text = isHeader ? forgeHeader(random, bytes) : forgeBatch(random, bytes, batchSalt(idOf(folder)));
  return { text, result: bytes };
}
