/** The commit log of one writer: what goes in comes back, through closing, killing, switching and removing. */
import { describe, expect, it } from 'vitest';
import { DatabaseLockedError } from '../../../src/base/errors.ts';
import type { Env } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { KIND_DEATH, KIND_FREEZE, KIND_RECLAIM, KIND_ROOT, KIND_USER } from '../../../src/log/batch.ts';
import type { FileCommitLog } from '../../../src/log/file-commit-log.ts';
import {
  addText,
  batchOf,
  folder,
  open,
  openRead,
  put,
  putSync,
  readTexts,
  rootRecord,
  texts,
} from '../../helpers/log-model.ts';

const names = (env: Env): string[] => env.files.list(`${folder}/log`);

async function openLogOf(env: Env): Promise<FileCommitLog> {
  const opening = await open(env);
  opening.close();
  return opening.log as FileCommitLog;
}

async function reopened(env: Env): Promise<string[]> {
  const opening = await open(env);
  const found = readTexts(opening);
  await opening.log?.close();
  return found;
}

function adoptRoot(log: FileCommitLog, covers: number): void {
  const batch = log.openBatch();
  batch.beginTransaction(KIND_ROOT, 0, 0);
  batch.addPayload(rootRecord(covers, 'root'));
  batch.endTransaction();
  log.commitSync(batch);
  batch.release();
}

describe('a log', () => {
  it('is empty in a new folder and creates nothing before the first write', async () => {
    const env = memoryEnv();
    const opening = await open(env);
    expect(opening.root).toBeUndefined();
    expect(opening.coveredNumber).toBe(0);
    expect(readTexts(opening)).toEqual([]);
    expect(opening.log?.nextNumber).toBe(1);
    await opening.log?.close();
    expect(names(env)).toEqual([]);
  });

  it('gives back what was committed, in order, over many openings', async () => {
    const env = memoryEnv();
    const expected: string[] = [];
    for (let round = 0; round < 5; round++) {
      const opening = await open(env);
      expect(readTexts(opening)).toEqual(expected);
      const log = opening.log as FileCommitLog;
      putSync(log, `sync ${round}`, 'two');
      await put(log, `later ${round}`);
      expected.push(`sync ${round}`, 'two', `later ${round}`);
      expect(log.durableNumber).toBe(expected.length);
      await log.close();
    }
    expect(await reopened(env)).toEqual(expected);
    expect(names(env).length).toBe(5);
  });

  it('creates no epoch when it is opened after a clean close', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    putSync(log, 'a');
    await log.close();
    const before = names(env);
    expect(await reopened(env)).toEqual(['a']);
    expect(names(env)).toEqual(before);
  });

  it('leaves at work who wrote since it was opened', async () => {
    const env = memoryEnv();
    const holder = await openLogOf(env);
    putSync(holder, 'a');
    holder.noteIdle();
    const newcomer = await openLogOf(env);
    putSync(holder, 'b');
    expect(() => putSync(newcomer, 'c')).toThrow(DatabaseLockedError);
    putSync(holder, 'd');
    await put(holder, 'e');
    expect(names(env).length).toBe(1);
    await holder.close();
    expect(await reopened(env)).toEqual(['a', 'b', 'd', 'e']);
  });

  it('copies an unproven tail into a new epoch at once', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    putSync(log, 'a');
    putSync(log, 'b', 'c');
    // No close: the process is gone. Batch 1 is proven by batch 2; b and c by nothing.
    const opening = await open(env);
    expect(names(env).length).toBe(2);
    expect(readTexts(opening)).toEqual(['a', 'b', 'c']);
    putSync(opening.log as FileCommitLog, 'd');
    await opening.log?.close();
    expect(await reopened(env)).toEqual(['a', 'b', 'c', 'd']);
    expect(names(env).length).toBe(2);
  });

  it('keeps kinds, ids, sections, runs and payloads apart', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    const batch = log.openBatch();
    expect(batch.beginTransaction(KIND_USER, 0xabcdef012345, 99)).toBe(1);
    batch.addSection(70, 3, new Uint8Array(12).fill(3), 4, 8);
    batch.addSection(80, 1, new Uint8Array(4000).fill(4), 0, 4000);
    batch.addSection(70, 2, new Uint8Array(0), 0, 0);
    batch.addRun(80, new Uint8Array([1, 2, 3]));
    batch.addRun(81, new Uint8Array([9]));
    batch.addPayload(new Uint8Array([5, 6, 7, 8, 9]));
    batch.endTransaction();
    for (const kind of [KIND_FREEZE, KIND_RECLAIM, KIND_DEATH]) {
      batch.beginTransaction(kind, 1, kind);
      batch.endTransaction();
    }
    const written = log.commit(batch);
    expect(batch.cursor().nextTransaction()).toBe(true);
    await written;
    batch.release();
    await log.close();

    const opening = await open(env);
    const replay = opening.replay();
    expect(replay.next()).toBe(true);
    const t = replay.transaction;
    expect([t.number, t.kind, t.idWriter, t.idCounter]).toEqual([1, KIND_USER, 0xabcdef012345, 99]);
    const sections: number[][] = [];
    while (t.nextSection())
      sections.push([t.storeId, t.recordCount, t.sectionLength, t.bytes[t.sectionStart] as number]);
    expect(sections.map((s) => s.slice(0, 3))).toEqual([
      [70, 3, 8],
      [80, 1, 4000],
      [70, 2, 0],
    ]);
    expect(sections[1]?.[3]).toBe(4);
    const runs: number[][] = [];
    while (t.nextRun()) runs.push([t.runStoreId, ...t.bytes.subarray(t.runStart, t.runStart + t.runLength)]);
    expect(runs).toEqual([
      [80, 1, 2, 3],
      [81, 9],
    ]);
    expect([...t.payload()]).toEqual([5, 6, 7, 8, 9]);
    const kinds: number[] = [];
    while (replay.next()) kinds.push(replay.transaction.kind);
    expect(kinds).toEqual([KIND_FREEZE, KIND_RECLAIM, KIND_DEATH]);
    await opening.log?.close();
  });

  it('has several batches under way, and answers them in order', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    const answered: number[] = [];
    const commits: Promise<void>[] = [];
    for (let i = 0; i < 20; i++) {
      const batch = batchOf(log, texts(i * 3, i * 3 + 3));
      commits.push(log.commit(batch).then(() => void answered.push(i)));
      batch.release();
    }
    expect(log.idle).toBe(false);
    expect(log.nextNumber).toBe(61);
    await Promise.all(commits);
    expect(answered).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(log.durableNumber).toBe(60);
    await log.close();
    expect(await reopened(env)).toEqual(texts(0, 60));
  });

  it('gives the numbers of a released batch out again', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    const batch = log.openBatch();
    expect(addText(batch, 'never')).toBe(1);
    batch.release();
    putSync(log, 'kept');
    await log.close();
    expect(await reopened(env)).toEqual(['kept']);
  });

  it('drops a transaction out of a batch', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    const batch = log.openBatch();
    addText(batch, 'one');
    batch.beginTransaction(KIND_USER, 0, 0);
    batch.addSection(64, 1, new Uint8Array(100), 0, 100);
    batch.dropTransaction();
    addText(batch, 'two');
    log.commitSync(batch);
    batch.release();
    await log.close();
    expect(await reopened(env)).toEqual(['one', 'two']);
  });

  it('takes batches of many megabytes and goes back to a small buffer', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    const large = new Uint8Array(3 * 1024 * 1024).map((_, i) => i * 7);
    for (const isSync of [true, false]) {
      const batch = log.openBatch();
      for (let i = 0; i < 4; i++) {
        batch.beginTransaction(KIND_USER, 0, i);
        batch.addSection(64, 1, large, 0, large.length);
        batch.endTransaction();
      }
      expect(batch.bytes.length).toBe(16 * 1024 * 1024);
      if (isSync) log.commitSync(batch);
      else await log.commit(batch);
      batch.release();
    }
    putSync(log, 'small');
    expect(log.openBatch().bytes.length).toBeLessThanOrEqual(256 * 1024);
    const opening = await open(env);
    const replay = opening.replay();
    let count = 0;
    while (replay.next()) {
      const t = replay.transaction;
      expect(t.nextSection()).toBe(true);
      if (count++ < 8)
        expect(Buffer.compare(t.bytes.subarray(t.sectionStart, t.sectionStart + large.length), large)).toBe(0);
    }
    expect(count).toBe(9);
  });
});

describe('roots and epochs', () => {
  it('starts the replay above the newest adopted root', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    putSync(log, 'a', 'b', 'c');
    adoptRoot(log, 2);
    putSync(log, 'd');
    await log.close();
    const opening = await open(env);
    expect(opening.coveredNumber).toBe(2);
    expect(opening.root).toEqual(rootRecord(2, 'root'));
    expect(readTexts(opening)).toEqual(['c', '#3', 'd']);
    await opening.log?.close();
  });

  it('carries the root into the next epoch, by a switch or by a takeover', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    putSync(log, 'a', 'b', 'c');
    // As a checkpoint does it: freeze, switch, merge, adopt. What the root covers is then all in older files.
    await log.switchEpoch(undefined);
    expect(log.epoch).toBe(2);
    adoptRoot(log, 3);
    putSync(log, 'd');
    log.removeEpochsBefore(log.epoch);
    expect(names(env)).toEqual(['000000000002.log']);
    await log.close();
    let opening = await open(env);
    expect(opening.coveredNumber).toBe(3);
    expect(readTexts(opening)).toEqual(['#3', 'd']);
    await opening.log?.close();
    opening = await open(env);
    opening.close();
    putSync(opening.log as FileCommitLog, 'e');
    await opening.log?.close();
    opening = await open(env);
    expect(opening.coveredNumber).toBe(3);
    expect(readTexts(opening)).toEqual(['#3', 'd', 'e']);
  });

  it('never removes what the newest root does not cover', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    putSync(log, 'a');
    await log.switchEpoch(undefined);
    putSync(log, 'b');
    await log.switchEpoch(undefined);
    putSync(log, 'c');
    log.removeEpochsBefore(99);
    expect(names(env).length).toBe(3);
    expect(log.oldestEpochNeeded(0)).toBe(1);
    expect(log.oldestEpochNeeded(1)).toBe(2);
    expect(log.oldestEpochNeeded(2)).toBe(3);
    adoptRoot(log, 1);
    log.removeEpochsBefore(99);
    expect(names(env)).toEqual(['000000000002.log', '000000000003.log']);
    await log.close();
    expect(await reopened(env)).toEqual(['b', 'c', '#3']);
  });

  it('switches while commits are under way', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    const commits: Promise<void>[] = [];
    const commit = (i: number): void => {
      const batch = batchOf(log, [`text ${i}`]);
      commits.push(log.commit(batch));
      batch.release();
    };
    for (let i = 0; i < 5; i++) commit(i);
    const switched = log.switchEpoch(undefined);
    for (let i = 5; i < 10; i++) commit(i);
    await Promise.resolve();
    for (let i = 10; i < 15; i++) commit(i);
    await switched;
    for (let i = 15; i < 20; i++) commit(i);
    await Promise.all(commits);
    expect(log.epoch).toBe(2);
    await log.close();
    expect(await reopened(env)).toEqual(texts(0, 20));
  });

  it('carries a root whose adoption was still under way when the switch began', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    putSync(log, 'a', 'b');
    await log.switchEpoch(undefined);
    await log.prepareNextEpoch();
    const batch = log.openBatch();
    batch.beginTransaction(KIND_ROOT, 0, 0);
    batch.addPayload(rootRecord(2, 'root'));
    batch.endTransaction();
    const adopted = log.commit(batch);
    batch.release();
    await Promise.all([log.switchEpoch(undefined), adopted]);
    putSync(log, 'c');
    log.removeEpochsBefore(log.epoch);
    expect(names(env)).toEqual(['000000000002.log', '000000000003.log']);
    await log.close();
    const opening = await open(env);
    expect(opening.coveredNumber).toBe(2);
    expect(readTexts(opening)).toEqual(['#3', 'c']);
  });

  it('is kept whole through many switches with notes between', async () => {
    const env = memoryEnv();
    let log = await openLogOf(env);
    for (let i = 0; i < 30; i++) {
      putSync(log, `text ${i}`);
      if (i % 2 === 0) log.noteIdle();
      if (i % 3 === 0) await log.switchEpoch(undefined);
      if (i % 7 === 0) {
        await log.close();
        log = await openLogOf(env);
      }
    }
    await log.close();
    expect(await reopened(env)).toEqual(texts(0, 30));
  });
});

describe('reading beside a writer', () => {
  it('sees what is proven while an owner is alive, and everything when there is none', async () => {
    const env = memoryEnv();
    const log = await openLogOf(env);
    putSync(log, 'a');
    putSync(log, 'b');
    const before = names(env);
    expect(readTexts(await openRead(env, true))).toEqual(['a']);
    expect(readTexts(await openRead(env, false))).toEqual(['a', 'b']);
    log.noteIdle();
    expect(readTexts(await openRead(env, true))).toEqual(['a', 'b']);
    expect(names(env)).toEqual(before);
  });

  it('shows the copies of a takeover at once', async () => {
    const env = memoryEnv();
    putSync(await openLogOf(env), 'a', 'b');
    const second = await openLogOf(env);
    expect(readTexts(await openRead(env, true))).toEqual(['a', 'b']);
    await second.close();
  });

  it('reads a folder that has no log, and creates nothing', async () => {
    const env = memoryEnv();
    expect(readTexts(await openRead(env))).toEqual([]);
    expect(env.files.status(folder)).toBeUndefined();
  });
});
