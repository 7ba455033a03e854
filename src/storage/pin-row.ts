/**
 * A row of the pin store: key: the pin's name in UTF-8; cell: flags 0, u8 version 1, u48 time of pinning (milliseconds since
 * 1970), the root record as in the log.
 */
import { readU48, writeU48 } from '../base/bytes.ts';
import { CorruptionError, FormatUnsupportedError, InvalidArgumentError, LimitExceededError } from '../base/errors.ts';
import { MAX_PIN_NAME_BYTES } from '../base/limits.ts';
import { isWellFormed } from '../codec/text.ts';
import type { SegmentNames } from '../node/handle.ts';
import { decodeRoot, encodeRoot, ROOT_BYTES, type RootRecord } from './root.ts';

const ROW_VERSION = 1;
const ROOT_AT = 8;
export const PIN_ROW_BYTES = ROOT_AT + ROOT_BYTES;

export interface PinRow {
  readonly pinnedAtMs: number;
  readonly root: RootRecord;
}

export function encodePinRow(row: PinRow, names: SegmentNames): Uint8Array {
  const cell = new Uint8Array(PIN_ROW_BYTES);
  cell[1] = ROW_VERSION;
  writeU48(cell, 2, Math.max(0, Math.floor(row.pinnedAtMs)));
  cell.set(encodeRoot(row.root, names), ROOT_AT);
  return cell;
}

export function decodePinRow(cell: Uint8Array, names: SegmentNames): PinRow {
  if (cell.length < 2) throw new CorruptionError('a row of the pin store is malformed');
  if (cell[1] !== ROW_VERSION) {
    throw new FormatUnsupportedError(`a pin was made by a later version of this program (row version ${cell[1]})`);
  }
  if (cell.length !== PIN_ROW_BYTES) throw new CorruptionError('a row of the pin store is malformed');
  return { pinnedAtMs: readU48(cell, 2), root: decodeRoot(cell.subarray(ROOT_AT), names) };
}

/** The key of a pin. Throws where there can be no pin of that name. */
export function pinKey(name: string): Uint8Array {
  if (typeof name !== 'string' || name === '') {
    throw new InvalidArgumentError('the name of a pin is a non-empty string', { details: { found: name } });
  }
  if (!isWellFormed(name)) throw new InvalidArgumentError('the name of a pin has a lone surrogate');
  const key = new TextEncoder().encode(name);
  if (key.length <= MAX_PIN_NAME_BYTES) return key;
  throw new LimitExceededError(`the name of a pin has at most ${MAX_PIN_NAME_BYTES} bytes in UTF-8`, {
    details: { limit: 'MAX_PIN_NAME_BYTES', allowed: MAX_PIN_NAME_BYTES, found: key.length },
  });
}
