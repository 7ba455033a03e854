/**
 * The root record, payload of a ROOT record in the log and part of every epoch header: what a checkpoint made.
 *
 *   0   u48 number it covers (every change up to it is in the trees)     6   u16 layout version
 *   8   u48 number covered by the root it was built on                   14  u16 flags (bit 0: a forest handle follows)
 *   16  u32 next store id     20  u32 zero     24  40 bytes: handle of the forest, zeros where there is none      64 end
 *
 * Layout version 1 has flags of the low byte only; 2 has others too, each of which must be understood (bit 8: transactions
 * wait for a decision in the prepared store).
 *
 * It stays small for ever: whatever grows lives in system stores of the forest.
 */
import { readU16, readU32, readU48, writeU16, writeU32, writeU48 } from '../base/bytes.ts';
import { CorruptionError, FormatUnsupportedError } from '../base/errors.ts';
import { FIRST_USER_STORE_ID } from '../base/limits.ts';
import { decodeHandle, encodeHandle, HANDLE_BYTES, type Handle, type SegmentNames } from '../node/handle.ts';

export const ROOT_BYTES = 24 + HANDLE_BYTES;
const ROOT_VERSION = 1;
/** Some flags of the high byte are set. */
const ROOT_VERSION_FLAGGED = 2;
const HAS_FOREST = 1;
const HAS_PREPARED = 0x100;
const MUST_UNDERSTAND = 0xff00;

export interface RootRecord {
  readonly covered: number;
  readonly builtOn: number;
  readonly nextStoreId: number;
  readonly forest: Handle | undefined;
  /** Rows of the prepared store count. */
  readonly hasPrepared?: boolean;
}

export const EMPTY_ROOT: RootRecord = {
  covered: 0,
  builtOn: 0,
  nextStoreId: FIRST_USER_STORE_ID,
  forest: undefined,
};

export function encodeRoot(root: RootRecord, names: SegmentNames): Uint8Array {
  const bytes = new Uint8Array(ROOT_BYTES);
  writeU48(bytes, 0, root.covered);
  const flags = (root.forest === undefined ? 0 : HAS_FOREST) | (root.hasPrepared === true ? HAS_PREPARED : 0);
  writeU16(bytes, 6, (flags & MUST_UNDERSTAND) === 0 ? ROOT_VERSION : ROOT_VERSION_FLAGGED);
  writeU48(bytes, 8, root.builtOn);
  writeU16(bytes, 14, flags);
  writeU32(bytes, 16, root.nextStoreId);
  if (root.forest !== undefined) encodeHandle(root.forest, names, bytes, 24);
  return bytes;
}

export function decodeRoot(bytes: Uint8Array, names: SegmentNames): RootRecord {
  if (bytes.length < ROOT_BYTES) throw new CorruptionError(`a root record of ${bytes.length} bytes is cut short`);
  const version = readU16(bytes, 6);
  if (version !== ROOT_VERSION && version !== ROOT_VERSION_FLAGGED)
    throw new FormatUnsupportedError(`root record version ${version} is newer than this program`);
  const flags = readU16(bytes, 14);
  if ((flags & MUST_UNDERSTAND & ~HAS_PREPARED) !== 0) {
    throw new FormatUnsupportedError('the root record says something that this program does not understand', {
      details: { flags },
    });
  }
  return {
    covered: readU48(bytes, 0),
    builtOn: readU48(bytes, 8),
    nextStoreId: Math.max(readU32(bytes, 16), FIRST_USER_STORE_ID),
    forest: (flags & HAS_FOREST) === 0 ? undefined : decodeHandle(bytes, 24, names),
    hasPrepared: (flags & HAS_PREPARED) !== 0,
  };
}
