/** Torn tails are cut, damage is named, and no stored byte makes the log hang, crash or give back something else. */
import { describe, expect, it } from 'vitest';
import { writeU16, writeU32 } from '../../../src/base/bytes.ts';
import { crc32c } from '../../../src/base/checksum.ts';
import { CorruptionError, FormatUnsupportedError, SopError } from '../../../src/base/errors.ts';
import type { Env } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { SeededRandom } from '../../../src/env/simulated-random.ts';
import {
  BATCH_HEADER_BYTES,
  BatchHeader,
  batchSalt,
  decodeBatchHeader,
  encodeBatchHeader,
  HEADER_GOOD,
  KIND_USER,
  payloadChecksum,
} from '../../../src/log/batch.ts';
import { BatchCursor } from '../../../src/log/batch-cursor.ts';
import { decodeEpochHeader, encodeEpochHeader, epochPath, HEADER_BYTES } from '../../../src/log/epoch-file.ts';
import type { FileCommitLog } from '../../../src/log/file-commit-log.ts';
import { addText, databaseId, folder, open, openRead, putSync, readTexts, texts } from '../../helpers/log-model.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const runs = Number(process.env.SOP_RUNS ?? 1);
const salt = batchSalt(databaseId);

function readAll(env: Env, epoch: number): Uint8Array {
  const file = env.files.open(epochPath(folder, epoch), { mode: 'read' });
  const bytes = new Uint8Array(file.sizeBytes());
  file.readSync(bytes, 0);
  file.close();
  return bytes;
}

/** A folder whose log is exactly these files. */
function envOf(files: ReadonlyMap<number, Uint8Array>): Env {
  const env = memoryEnv();
  env.files.createFolder(`${folder}/log`);
  for (const [epoch, bytes] of files) {
    const file = env.files.open(epochPath(folder, epoch), { mode: 'create' });
    if (bytes.length > 0) file.writeSync(bytes, 0);
    file.close();
  }
  return env;
}

/** One epoch with batches of these texts, its writer gone without a word. */
async function killedAfter(...batches: string[][]): Promise<Uint8Array> {
  const env = memoryEnv();
  const opening = await open(env);
  const log = opening.log as FileCommitLog;
  for (const batch of batches) putSync(log, ...batch);
  return readAll(env, 1);
}

async function reopen(bytes: Uint8Array): Promise<string[]> {
  return readTexts(await open(envOf(new Map([[1, bytes]]))));
}

/** Opens and replays; the error if there is one. Only the log's own errors pass. */
async function outcome(env: Env): Promise<string[] | SopError> {
  try {
    return readTexts(await open(env));
  } catch (error) {
    if (error instanceof SopError) return error;
    throw error;
  }
}

const long = 'x'.repeat(9000);

describe('a torn tail', () => {
  it('is cut wherever the file ends', async () => {
    const whole = await killedAfter(['a'], ['b', long], ['c']);
    for (let size = 8192; size <= 8192 + 6 * 4096; size += 512) {
      const found = await reopen(whole.slice(0, size));
      const expected =
        size < 12288 ? [] : size < 12288 + 12288 ? ['a'] : size < 28672 ? ['a', 'b', long] : ['a', 'b', long, 'c'];
      expect(found, `cut at ${size}`).toEqual(expected);
    }
  });

  it('is cut where any sector of the last batch is missing', async () => {
    const whole = await killedAfter(['a'], ['b', long]);
    for (let at = 12288; at < 12288 + 12288; at += 512) {
      const torn = whole.slice();
      if (torn.subarray(at, at + 512).every((byte) => byte === 0)) continue;
      torn.fill(0, at, at + 512);
      expect(await reopen(torn), `sector at ${at}`).toEqual(['a']);
    }
  });

  it('is written over by nobody: what follows goes to a new epoch', async () => {
    const whole = await killedAfter(['a'], ['b']);
    whole[12288 + 200] = 1;
    const env = envOf(new Map([[1, whole]]));
    const opening = await open(env);
    expect(readTexts(opening)).toEqual(['a']);
    putSync(opening.log as FileCommitLog, 'c');
    await opening.log?.close();
    expect(readTexts(await open(env))).toEqual(['a', 'c']);
    expect(readAll(env, 1).subarray(8192)).toEqual(whole.subarray(8192));
  });
});

describe('damage', () => {
  it('is a flipped byte anywhere in a batch that a later one states durable', async () => {
    const whole = await killedAfter(['a'], ['b', 'b2'], ['c']);
    for (let at = 8192; at < 16384; at += 61) {
      const flipped = whole.slice();
      flipped[at] = (flipped[at] as number) ^ 0x10;
      const found = await outcome(envOf(new Map([[1, flipped]])));
      expect(found, `flip at ${at}`).toBeInstanceOf(CorruptionError);
      expect((found as CorruptionError).details).toEqual({
        file: epochPath(folder, 1),
        offset: at < 12288 ? 8192 : 12288,
      });
    }
  });

  it('is no flipped byte in the unproven tail', async () => {
    const whole = await killedAfter(['a'], ['b'], ['c']);
    for (let at = 16384; at < 16384 + 4096; at += 61) {
      const flipped = whole.slice();
      flipped[at] = (flipped[at] as number) ^ 1;
      expect(await reopen(flipped), `flip at ${at}`).toEqual(['a', 'b']);
    }
  });

  it('is a zeroed page between proven batches, in whatever mode it is opened', async () => {
    const whole = await killedAfter(['a'], ['b'], ['c']);
    whole.fill(0, 8192, 12288);
    const env = envOf(new Map([[1, whole]]));
    await expect(openRead(env, true)).rejects.toBeInstanceOf(CorruptionError);
    await expect(openRead(env, false)).rejects.toBeInstanceOf(CorruptionError);
    await expect(open(env)).rejects.toBeInstanceOf(CorruptionError);
  });

  it('is a batch in the place of another, and a stale one', async () => {
    const whole = await killedAfter(['a'], ['b'], ['c'], ['d']);
    const swapped = whole.slice();
    swapped.copyWithin(12288, 8192, 12288);
    expect(await outcome(envOf(new Map([[1, swapped]])))).toBeInstanceOf(CorruptionError);
  });

  it('is a batch that does not follow the one before it, though all else about it is right', async () => {
    const whole = await killedAfter(['a'], ['b'], ['c']);
    writeU32(whole, 12288 + 64, 12345);
    writeU32(whole, 12288 + 72, crc32c(whole, 12288, 12288 + 72, salt));
    expect(await outcome(envOf(new Map([[1, whole]])))).toBeInstanceOf(CorruptionError);
    expect(await reopen(whole.slice(0, 16384))).toEqual(['a']);
  });

  it('is a header that is gone while its batches are there', async () => {
    const whole = await killedAfter(['a'], ['b']);
    for (const at of [0, 41, 64, 4095]) {
      const flipped = whole.slice();
      flipped[at] = (flipped[at] as number) ^ 0x80;
      expect(await outcome(envOf(new Map([[1, flipped]]))), `flip at ${at}`).toBeInstanceOf(CorruptionError);
    }
  });

  it('is a file that ends before the end its successor took', async () => {
    const env = memoryEnv();
    const opening = await open(env);
    putSync(opening.log as FileCommitLog, 'a');
    putSync(opening.log as FileCommitLog, 'b');
    await opening.log?.switchEpoch(undefined);
    putSync(opening.log as FileCommitLog, 'c');
    const second = readAll(env, 2);
    const first = readAll(env, 1);
    for (const size of [0, 100, 8192, 12288, 14000]) {
      const found = await outcome(
        envOf(
          new Map([
            [1, first.slice(0, size)],
            [2, second],
          ]),
        ),
      );
      expect(found, `cut at ${size}`).toBeInstanceOf(CorruptionError);
    }
    expect(await outcome(envOf(new Map([[2, second]])))).toBeInstanceOf(CorruptionError);
    expect(
      await outcome(
        envOf(
          new Map([
            [1, first],
            [2, second],
          ]),
        ),
      ),
    ).toEqual(['a', 'b', 'c']);
  });

  it('is a number that a note of a member states durable and that is not there', async () => {
    const whole = await killedAfter(['a'], ['b']);
    const env = envOf(new Map([[1, whole]]));
    await expect(open(env, { provenNumber: 3 })).rejects.toBeInstanceOf(CorruptionError);
    const opening = await open(env, { provenNumber: 2 });
    expect(readTexts(opening)).toEqual(['a', 'b']);
    expect(env.files.list(`${folder}/log`).length).toBe(1);
  });

  it('is a log of another database', async () => {
    const env = envOf(new Map([[1, await killedAfter(['a'])]]));
    await expect(open(env, { databaseId: new Uint8Array(16).fill(9) })).rejects.toBeInstanceOf(CorruptionError);
  });
});

/** Changes a header field of the epoch and makes the checksum right again. */
function withHeader(bytes: Uint8Array, edit: (block: Uint8Array) => void): Uint8Array {
  const header = decodeEpochHeader(bytes.subarray(0, HEADER_BYTES), 1, databaseId, '');
  const block = new Uint8Array(HEADER_BYTES);
  encodeEpochHeader(header as NonNullable<typeof header>, block);
  edit(block);
  const changed = bytes.slice();
  changed.set(block, 0);
  return changed;
}

describe('a later format', () => {
  it('is refused, in the header of an epoch and of a batch, and in the kind of a transaction', async () => {
    const whole = await killedAfter(['a'], ['b']);
    for (const [at, value] of [
      [8, 2],
      [12, 1],
    ] as const) {
      const later = withHeader(whole, (block) => {
        writeU16(block, at, value);
        writeU32(block, 4092, crc32c(block, 0, 4092));
      });
      expect(await outcome(envOf(new Map([[1, later]])))).toBeInstanceOf(FormatUnsupportedError);
    }
    for (const [at, value] of [
      [4, 2],
      [6, 0x100],
    ] as const) {
      const later = whole.slice();
      writeU16(later, 8192 + at, value);
      writeU32(later, 8192 + 72, crc32c(later, 8192, 8192 + 72, salt));
      expect(await outcome(envOf(new Map([[1, later]])))).toBeInstanceOf(FormatUnsupportedError);
    }
    const env = memoryEnv();
    const log = (await open(env)).log as FileCommitLog;
    for (const kind of [0x7f, 0xff]) {
      const batch = log.openBatch();
      batch.beginTransaction(kind, 0, 0);
      batch.endTransaction();
      log.commitSync(batch);
      batch.release();
      const opening = await openRead(env);
      if (kind === 0x7f) expect(readTexts(opening)).toEqual(['#127']);
      else expect(() => readTexts(opening)).toThrow(FormatUnsupportedError);
    }
  });
});

describe('hostile bytes', () => {
  it('never make a walk over a batch leave its bytes or go on for ever', () => {
    const random = new SeededRandom(seed);
    const cursor = new BatchCursor();
    for (let run = 0; run < 3000 * runs; run++) {
      const bytes = new Uint8Array(BATCH_HEADER_BYTES + random.below(400));
      for (let i = 0; i < bytes.length; i++)
        bytes[i] = random.chance(0.7) ? random.below(40) * 4 * (i % 2) : random.below(256);
      cursor.reset(bytes, 0, 1, random.below(1000), bytes.length, 'fuzz', 0);
      try {
        while (cursor.nextTransaction()) {
          while (cursor.nextSection())
            expect(cursor.sectionStart + cursor.sectionLength).toBeLessThanOrEqual(bytes.length);
          while (cursor.nextRun()) expect(cursor.runStart + cursor.runLength).toBeLessThanOrEqual(bytes.length);
          expect(cursor.payloadStart + cursor.payloadLength).toBeLessThanOrEqual(bytes.length);
        }
      } catch (error) {
        if (!(error instanceof CorruptionError || error instanceof FormatUnsupportedError)) throw error;
      }
    }
  });

  it('with right checksums give typed errors or what the bytes say', async () => {
    const random = new SeededRandom(seed + 1);
    const whole = await killedAfter(['a', 'b'], ['c', long], ['d']);
    const header = new BatchHeader();
    for (let run = 0; run < 400 * runs; run++) {
      const bytes = whole.slice();
      const at = random.pick([8192, 12288]);
      expect(decodeBatchHeader(bytes, at, salt, header)).toBe(HEADER_GOOD);
      // Something inside changes, and all checksums are made right again: a forger, or memory that flipped a bit.
      for (let flips = 1 + random.below(4); flips > 0; flips--) {
        const inside =
          at + BATCH_HEADER_BYTES + random.below(random.chance(0.5) ? 60 : header.byteLength - BATCH_HEADER_BYTES);
        bytes[inside] = random.below(256);
      }
      header.payloadCrc = payloadChecksum(bytes, at, header.paddedLength);
      encodeBatchHeader(header, bytes, at, salt);
      const found = await outcome(envOf(new Map([[1, bytes]])));
      expect(Array.isArray(found) || found instanceof SopError).toBe(true);
    }
  });

  it('in place of files are void or typed errors', async () => {
    const random = new SeededRandom(seed + 2);
    const whole = await killedAfter(['a', 'b'], ['c', 'd'], ['e']);
    for (let run = 0; run < 300 * runs; run++) {
      const bytes = whole.slice(0, random.below(3) === 0 ? random.below(whole.length) : whole.length);
      for (let n = random.below(6); n > 0 && bytes.length > 0; n--) {
        const from = random.below(bytes.length);
        const length = random.pick([1, 8, 512, 4096]);
        if (random.chance(0.5)) bytes.fill(random.below(256), from, from + length);
        else bytes.copyWithin(from, random.below(bytes.length), random.below(bytes.length) + length);
      }
      const found = await outcome(envOf(new Map([[1, bytes]])));
      if (Array.isArray(found)) expect(['a', 'b', 'c', 'd', 'e'].slice(0, found.length)).toEqual(found);
    }
  });
});

describe('a full disk', () => {
  it('refuses a batch before anything of it is written, and goes on when there is space', async () => {
    const env = memoryEnv({ capacityBytes: 400 * 1024 });
    const opening = await open(env);
    const log = opening.log as FileCommitLog;
    putSync(log, 'a');
    const big = 'y'.repeat(600 * 1024);
    for (const isSync of [true, false]) {
      const batch = log.openBatch();
      addText(batch, big);
      if (isSync) expect(() => log.commitSync(batch)).toThrow(expect.objectContaining({ code: 'DISK_FULL' }));
      else await expect(log.commit(batch)).rejects.toMatchObject({ code: 'DISK_FULL' });
      batch.release();
      expect(log.failed).toBeUndefined();
      expect(log.nextNumber).toBe(2);
    }
    putSync(log, 'b');
    await log.close();
    expect(readTexts(await open(env))).toEqual(['a', 'b']);
  });

  it("leaves room for the engine's own records when users' are refused", async () => {
    const env = memoryEnv({ capacityBytes: 200 * 1024 });
    const log = (await open(env)).log as FileCommitLog;
    let accepted = 0;
    const add = (kind: number): void => {
      const batch = log.openBatch();
      batch.beginTransaction(kind, 0, 0);
      batch.addPayload(new Uint8Array(3000));
      batch.endTransaction();
      try {
        log.commitSync(batch);
        accepted++;
      } finally {
        batch.release();
      }
    };
    expect(() => {
      for (;;) add(KIND_USER);
    }).toThrow(expect.objectContaining({ code: 'DISK_FULL' }));
    add(2);
    add(3 + 1);
    expect(log.durableNumber).toBe(accepted);
  });

  it('refuses a first write for want of space without taking a name', async () => {
    const env = memoryEnv({ capacityBytes: 20 * 1024 });
    const log = (await open(env)).log as FileCommitLog;
    expect(() => putSync(log, 'a')).toThrow(expect.objectContaining({ code: 'DISK_FULL' }));
    expect(env.files.list(`${folder}/log`)).toEqual([]);
    expect(texts(0, 1)).toEqual(['text 0']);
  });
});
