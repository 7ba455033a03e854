/** A segment writer used by several at once: each sync covers what came before it, whatever others append meanwhile. */
import { describe, expect, it } from 'vitest';
import { IoError, SnapshotTooOldError } from '../../../src/base/errors.ts';
import type { Env, File } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { Segments } from '../../../src/storage/segments.ts';
import { SEGMENT_VALUES, SegmentFactory, SegmentWriter } from '../../../src/storage/segment-writer.ts';

interface Watched {
  readonly env: Env;
  /** Lets the syncs under way end. */
  release(): void;
  /** What was done to files after they were closed. */
  readonly late: string[];
  /** Bytes that a sync has covered, per file. */
  readonly synced: Map<string, number>;
}

/** Files whose syncs end when the test says so, and which notice what happens to them after `close`. */
function watchedEnv(): Watched {
  const env = memoryEnv();
  const late: string[] = [];
  const synced = new Map<string, number>();
  const waiting: (() => void)[] = [];
  const open = env.files.open.bind(env.files);
  env.files.open = (path, options): File => {
    const file = open(path, options);
    if (options.mode === 'read') return file;
    let isClosed = false;
    const { close, sync, write, writeSync } = file;
    const look = (what: string): void => {
      if (isClosed) late.push(`${what} of ${path}`);
    };
    file.write = async (from, position) => {
      look('write');
      await new Promise<void>((resolve) => setImmediate(resolve));
      look('write under way');
      await write.call(file, from, position);
    };
    file.writeSync = (from, position) => {
      look('write');
      writeSync.call(file, from, position);
    };
    file.sync = async () => {
      look('sync');
      const covered = file.sizeBytes();
      await new Promise<void>((resolve) => waiting.push(resolve));
      look('sync under way');
      await sync.call(file);
      synced.set(path, Math.max(synced.get(path) ?? 0, covered));
    };
    file.close = () => {
      look('close');
      isClosed = true;
      close.call(file);
    };
    return file;
  };
  return { env, late, synced, release: () => waiting.splice(0).forEach((resolve) => void resolve()) };
}

function newWriter(env: Env, segments = new Segments(env, '/data')): SegmentWriter {
  env.files.createFolder('/data');
  const factory = new SegmentFactory(env, segments, new Uint8Array(16), 1);
  return new SegmentWriter(factory, SEGMENT_VALUES, 256 * 1024);
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function settle(watched: Watched, promise: Promise<void>): Promise<void> {
  let isDone = false;
  const end = (): void => {
    isDone = true;
  };
  void promise.then(end, end);
  while (!isDone) {
    watched.release();
    await turn();
  }
  await promise;
}

describe('a segment writer', () => {
  it('does not close a file that came to its end while it was being synced', async () => {
    const watched = watchedEnv();
    const writer = newWriter(watched.env);
    const value = new Uint8Array(100_000).fill(3);
    const first = writer.append(value, 0, value.length).segment;
    const early = writer.sync();
    for (let i = 0; i < 5; i++) await turn();
    // While that sync is under way others fill the file and begin the next one.
    let end = 0;
    while (writer.currentSegment === first) {
      end = writer.currentOffset;
      writer.append(value, 0, value.length);
    }
    const late = writer.sync();
    await settle(watched, early);
    await settle(watched, late);
    await settle(watched, writer.close());
    expect(watched.late).toEqual([]);
    expect(watched.synced.get('/data/000000000001-0.seg')).toBeGreaterThanOrEqual(end);
  });

  it('closes its files only after a sync under way', async () => {
    const watched = watchedEnv();
    const writer = newWriter(watched.env);
    writer.append(new Uint8Array(8), 0, 8);
    const sync = writer.sync();
    for (let i = 0; i < 5; i++) await turn();
    const close = writer.close();
    await settle(watched, sync);
    await settle(watched, close);
    expect(watched.late).toEqual([]);
  });

  it('says to who reads what the disk refused to write that it did, and calls nothing damaged', async () => {
    const env = memoryEnv();
    const segments = new Segments(env, '/data');
    const writer = newWriter(env, segments);
    const open = env.files.open.bind(env.files);
    env.files.open = (path, options): File => {
      const file = open(path, options);
      file.write = () => Promise.reject(new IoError(`write of ${path} failed`));
      return file;
    };
    const { segment, offset } = { ...writer.append(new Uint8Array(100).fill(7), 0, 100) };
    writer.finish();
    await expect(writer.sync()).rejects.toThrow(IoError);
    const look = (): void => segments.readSync(segment, offset, new Uint8Array(100));
    expect(look).toThrow(IoError);
    await expect(segments.read(segment, offset, new Uint8Array(100))).rejects.toThrow(IoError);
    await writer.close();
    expect(look).toThrow(IoError);
    segments.removeFile(segment);
    expect(look).toThrow(SnapshotTooOldError);
  });

  it('says the same of what a refused sync may have lost, and not of what an earlier one had made durable', async () => {
    const env = memoryEnv();
    const segments = new Segments(env, '/data');
    const writer = newWriter(env, segments);
    const open = env.files.open.bind(env.files);
    let isRefused = false;
    env.files.open = (path, options): File => {
      const file = open(path, options);
      const sync = file.sync.bind(file);
      file.sync = () => (isRefused ? Promise.reject(new IoError(`sync of ${path} failed`)) : sync());
      return file;
    };
    const durable = { ...writer.append(new Uint8Array(100).fill(7), 0, 100) };
    await writer.sync();
    const lost = { ...writer.append(new Uint8Array(100).fill(8), 0, 100) };
    isRefused = true;
    await expect(writer.sync()).rejects.toThrow(IoError);
    await writer.close();
    const into = new Uint8Array(100);
    segments.readSync(durable.segment, durable.offset, into);
    expect(into).toEqual(new Uint8Array(100).fill(7));
    expect(() => segments.readSync(lost.segment, lost.offset, into)).toThrow(IoError);
  });
});
