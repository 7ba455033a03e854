/**
 * Whether a folder that looks as if nothing was ever written to it has lost what says otherwise. Taken at its word it would open
 * as an empty database, in silence, and be written over.
 *
 *  1. `sop.json` is durable before the first file of the log exists: without it there is neither log nor segment.
 *  2. The first epoch's header is durable before the first checkpoint writes an image: where a segment holds images, the log
 *     holds a header. (Values and runs are written before the first commit: they prove nothing.)
 *  3. Names of epochs are taken without a gap, and removed oldest first only once a later epoch counts: where no file has a
 *     valid header, the first one is still there.
 */
import { readU16, readU32 } from '../base/bytes.ts';
import { CorruptionError } from '../base/errors.ts';
import type { Env } from '../env/env.ts';
import { epochPath, listEpochs, logFolder } from '../log/epoch-file.ts';
import { isMissing } from './database-folder.ts';
import { parseSegmentFileName } from './segments.ts';
import { SEGMENT_IMAGES, SEGMENT_MAGIC } from './segment-writer.ts';

function segmentNames(env: Env, folder: string): string[] {
  try {
    return env.files.list(`${folder}/data`).filter((name) => parseSegmentFileName(name) !== undefined);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Throws `CorruptionError` where a database without an identity has files. */
export function mustHaveLostNoIdentity(env: Env, folder: string): void {
  const [epoch] = listEpochs(env.files, folder);
  const [segment] = segmentNames(env, folder);
  if (epoch === undefined && segment === undefined) return;
  const file = `${folder}/sop.json`;
  const proof = epoch === undefined ? `data/${segment}` : epochPath('', epoch).slice(1);
  throw new CorruptionError(`${file} is missing, but there is ${proof}`, { details: { file, offset: 0 } });
}

/** Throws `CorruptionError` where a log without any valid header must have had one. */
export function mustHaveLostNoLog(env: Env, folder: string): void {
  const [first] = listEpochs(env.files, folder);
  if (first !== undefined && first > 1) {
    const file = epochPath(folder, first);
    throw new CorruptionError(`damaged log ${file} at 0: neither it nor a later epoch has a valid header`, {
      details: { file, offset: 0 },
    });
  }
  for (const name of segmentNames(env, folder)) {
    if (!holdsImages(env, `${folder}/data/${name}`)) continue;
    throw new CorruptionError(`the log of ${folder} is missing: data/${name} was written by a checkpoint`, {
      details: { file: logFolder(folder), offset: 0 },
    });
  }
}

function holdsImages(env: Env, path: string): boolean {
  const block = new Uint8Array(8);
  const file = env.files.open(path, { mode: 'read' });
  try {
    if (file.readSync(block, 0) < block.length) return false;
  } finally {
    file.close();
  }
  return readU32(block, 0) === SEGMENT_MAGIC && readU16(block, 6) === SEGMENT_IMAGES;
}
