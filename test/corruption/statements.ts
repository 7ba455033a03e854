/**
 * What the log files of a folder still state durable, found without the code that opens logs: every block that is a whole,
 * checksummed header in its own place is believed, whatever lies around it. An opening that shows less has lost data in silence.
 */
import { BatchHeader, batchSalt, decodeBatchHeader, HEADER_GOOD } from '../../src/log/batch.ts';
import { decodeEpochHeader, parseEpochName, rootCovers } from '../../src/log/epoch-file.ts';
import type { FolderBytes } from './bytes-env.ts';

const BLOCK = 4096;

/** The highest number that anything valid in the log states durable; 0 for none. */
export function statedDurable(folder: FolderBytes, databaseId: Uint8Array): number {
  let stated = 0;
  for (const [path, bytes] of folder) {
    if (!path.startsWith('log/')) continue;
    const epoch = parseEpochName(path.slice(4));
    if (epoch !== undefined) stated = Math.max(stated, statedByFile(bytes, epoch, databaseId));
  }
  return stated;
}

function statedByFile(bytes: Uint8Array, epoch: number, databaseId: Uint8Array): number {
  const salt = batchSalt(databaseId);
  let stated = statedByHeader(bytes, epoch, databaseId);
  // A file whose header was never valid is void, whatever lies in it.
  if (stated < 0) return 0;
  const batch = new BatchHeader();
  for (let at = 2 * BLOCK; at + BLOCK <= bytes.length; at += BLOCK) {
    if (decodeBatchHeader(bytes, at, salt, batch) !== HEADER_GOOD) continue;
    if (batch.epoch === epoch && batch.offset === at) stated = Math.max(stated, batch.durableNumber);
  }
  return stated;
}

/** -1 where there is no valid header. */
function statedByHeader(bytes: Uint8Array, epoch: number, databaseId: Uint8Array): number {
  if (bytes.length < BLOCK) return -1;
  try {
    const header = decodeEpochHeader(bytes.subarray(0, BLOCK), epoch, databaseId, '');
    if (header === undefined) return -1;
    return Math.max(header.copiedEnd.number, header.predecessorEnd.number, rootCovers(header.root));
  } catch {
    return -1;
  }
}

/** The identity that a sound `sop.json` names. */
export function idOf(folder: FolderBytes): Uint8Array {
  const text = new TextDecoder().decode(folder.get('sop.json'));
  return Uint8Array.from(Buffer.from((JSON.parse(text) as { id: string }).id, 'hex'));
}
