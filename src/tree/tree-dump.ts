/** Images drawn as text, for people who look at a database with a question. */
import type { SegmentNames } from '../node/handle.ts';
import { decodeHandle } from '../node/handle.ts';
import {
  copyKey,
  handleAt,
  type ImageViews,
  imageBaseNumber,
  imageCount,
  imageFlags,
  imageLength,
  imageLevel,
  imageNewest,
  imagePrefixLength,
  imageStoreId,
  slotsWord,
  versionsWord,
} from '../node/image-layout.ts';
import { MAX_KEY_BYTES } from '../base/limits.ts';

const SHOWN_BYTES = 24;

/** One line for the image, one per entry or child. The image must be a validated one. */
export function dumpImage(views: ImageViews, base: number, names: SegmentNames): string {
  const level = imageLevel(views, base);
  const count = imageCount(views, base);
  const lines = [
    `${level === 0 ? 'leaf' : `inner, level ${level}`}: store ${imageStoreId(views, base)}, ${count} entries, ` +
      `${imageLength(views, base)} bytes, prefix ${imagePrefixLength(views, base)}, newest ${imageNewest(views, base)}` +
      `${imageFlags(views, base) === 0 ? '' : ', with tombstones'}`,
  ];
  const key = new Uint8Array(MAX_KEY_BYTES);
  const slots = slotsWord(views, base);
  for (let i = 0; i < count; i++) {
    const keyText = text(key, 0, copyKey(views, base, i, key, 0));
    if (level === 0) {
      const start = base + ((views.u32[slots + i] as number) >>> 16);
      const end = base + ((views.u32[slots + i + 1] as number) >>> 16);
      const version = imageBaseNumber(views, base) + (views.u32[versionsWord(views, base) + i] as number);
      lines.push(`  ${i}  ${keyText}  @${version}  ${text(views.bytes, start, end)}`);
    } else {
      const handle = decodeHandle(views.bytes, handleAt(views, base, i), names);
      const where = `segment ${handle.segment} offset ${handle.offset} length ${handle.length}`;
      lines.push(`  ${i}  ${keyText}  -> ${where}, ${handle.entries} entries, newest ${handle.newest}`);
    }
  }
  return lines.join('\n');
}

function text(bytes: Uint8Array, start: number, end: number): string {
  const shown = Math.min(end, start + SHOWN_BYTES);
  let out = '';
  for (let i = start; i < shown; i++) {
    const byte = bytes[i] as number;
    out +=
      byte > 0x20 && byte < 0x7f && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\${byte.toString(16).padStart(2, '0')}`;
  }
  return end > shown ? `${out}... (${end - start} bytes)` : out === '' ? "''" : out;
}
