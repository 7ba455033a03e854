/** What a database tells of itself: figures, metrics, events. */
import { describe, expect, test } from 'vitest';
import { InvalidArgumentError } from '../../../src/base/errors.ts';
import type { Database, WriteOptions } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { type } from '../../../src/store/standard-schema.ts';
import type { CheckpointEvent } from '../../../src/transaction/engine-events.ts';
import { parseMetrics } from '../../helpers/prometheus.ts';
import { fresh, type OpenSubject } from './subject.ts';

const texts = defineStore<number, string>('texts');
const blobs = defineStore<number, string>('blobs', { values: 'separate' });

interface Person {
  readonly name: string;
  readonly team: number;
}
const people = defineStore<number, Person>('people');
const indexed = defineStore('people', {
  keySchema: type<number>(),
  value: type<Person>(),
  indexes: { team: ['team'] },
});

const fill = (db: Database, from: number, count = 100): Promise<void> =>
  db.write((tx) => {
    for (let i = from; i < from + count; i++) tx.store(texts).put(i, `value ${i}`);
  });

export function observationContract(open: OpenSubject): void {
  describe('observation', () => {
    const subject = fresh(open);

    test('commits, batches, bytes and syncs are counted', async () => {
      const { db } = await subject();
      await fill(db, 0);
      const before = db.stats();
      await fill(db, 1000);
      await Promise.all([1, 2, 3].map((i) => fill(db, i * 2000, 1)));
      const after = db.stats();
      expect(after.commits - before.commits).toBe(4);
      expect(after.begun - before.begun).toBe(4);
      expect(after.commit.bytes - before.commit.bytes).toBeGreaterThan(100 * 10);
      const batches = Object.values(after.commit.batchSizes).reduce((sum, count) => sum + count, 0);
      expect(batches).toBe(after.batches);
      expect(after.commit.largestBatch).toBeGreaterThan(0);
      expect(after.log.appends).toBeGreaterThan(before.log.appends);
      expect(after.log.bytesWritten).toBeGreaterThan(before.log.bytesWritten);
      expect(after.log.bytesSinceRoot).toBeGreaterThan(before.log.bytesSinceRoot);
      expect(after.log.longestSyncMs).toBeGreaterThanOrEqual(after.log.lastSyncMs);
      expect(after.log.syncMs).toBeGreaterThanOrEqual(after.log.longestSyncMs);
      expect(after.memoryTable.pressure).toBeGreaterThan(0);
      expect(after.memoryTable.pressure).toBeLessThan(1);
    });

    test('a checkpoint is timed and leaves nothing of the log to read again', async () => {
      const { db } = await subject();
      await fill(db, 0, 1000);
      await db.checkpoint();
      const { checkpoints, checkpoint, log, number, rootNumber } = db.stats();
      expect(checkpoints).toBe(1);
      expect(checkpoint).toMatchObject({ failed: 0, runningMs: undefined });
      expect(checkpoint.entriesMerged).toBeGreaterThanOrEqual(1000);
      expect(checkpoint.bytesWritten).toBeGreaterThan(1000);
      expect(checkpoint.longestMs).toBeGreaterThanOrEqual(checkpoint.lastMs);
      expect(checkpoint.totalMs).toBeGreaterThanOrEqual(checkpoint.longestMs);
      // What adopts the root follows what it covers.
      expect(number - rootNumber).toBeLessThan(5);
      expect(log.bytesSinceRoot).toBeLessThan(5 * 4096);
    });

    test('space that compaction would gain is what it then gives back, about', async () => {
      const { db } = await subject();
      for (let round = 0; round < 5; round++) {
        await db.write((tx) => {
          for (let i = 0; i < 40; i++) tx.store(blobs).put(i, `${round}`.repeat(8000));
        });
        await db.checkpoint();
      }
      const before = db.stats();
      expect(before.sizeBytes.dead).toBeGreaterThanOrEqual(before.sizeBytes.compactable);
      expect(before.sizeBytes.compactable).toBeGreaterThan(500_000);
      await db.compact();
      const after = db.stats();
      expect(after.sizeBytes.compactable).toBeLessThan(before.sizeBytes.compactable / 4);
      const gained = before.sizeBytes.live + before.sizeBytes.dead - after.sizeBytes.live - after.sizeBytes.dead;
      expect(gained).toBeGreaterThan(before.sizeBytes.compactable * 0.7);
      expect(after.compaction.count).toBeGreaterThan(0);
      expect(after.compaction.segmentsReclaimed).toBeGreaterThan(0);
      expect(after.compaction.bytesReclaimed).toBeGreaterThan(500_000);
    });

    test('conflicts are counted by kind, and so are the runs after them', async () => {
      const { db } = await subject();
      await fill(db, 0);
      let runs = 0;
      await db.write(async (tx) => {
        await tx.store(texts).get(1);
        tx.store(texts).put(2, 'mine');
        if (runs++ === 0) await db.write((other) => void other.store(texts).put(1, 'theirs'));
      });
      expect(runs).toBe(2);
      const { refusals, conflicts, retries } = db.stats();
      expect(refusals).toEqual({ conflict: 1, tooOld: 0, refused: 0 });
      expect(conflicts).toBe(1);
      expect(retries).toBe(1);
    });

    test('conflicts and the runs after them are told, with and without options', async () => {
      const { db } = await subject();
      await fill(db, 0);
      const told: unknown[] = [];
      const ends = [
        db.on('conflict', ({ store, key, attempt, error }) => told.push(['conflict', store, key, attempt, error.code])),
        db.on('retry', ({ store, key, attempt, waitedMs }) => {
          expect(waitedMs).toBeGreaterThanOrEqual(0);
          expect(waitedMs).toBeLessThan(60_000);
          told.push(['retry', store, key, attempt]);
        }),
      ];
      const expected = [
        ['conflict', 'texts', 1, 1, 'CONFLICT'],
        ['retry', 'texts', 1, 2],
        ['conflict', 'texts', 1, 2, 'CONFLICT'],
        ['retry', 'texts', 1, 3],
      ];
      const losingTwice = (options?: WriteOptions) => {
        let runs = 0;
        return db.write(async (tx) => {
          await tx.store(texts).get(1);
          tx.store(texts).put(2, 'mine');
          if (runs++ < 2) await db.write((other) => void other.store(texts).put(1, 'theirs'));
        }, options);
      };
      await losingTwice();
      expect(told).toEqual(expected);
      told.length = 0;
      await losingTwice({ retries: 5 });
      expect(told).toEqual(expected);
      expect(db.stats().retries).toBe(4);
      for (const end of ends) end();
      await losingTwice();
      expect(told).toEqual(expected);
      expect(db.stats().retries).toBe(6);
    });

    test('the age of the oldest snapshot grows from when it is out of date', async () => {
      const { db } = await subject();
      await fill(db, 0);
      const old = await db.begin('read');
      expect(db.stats()).toMatchObject({ oldestSnapshotMs: 0, openTransactions: 1 });
      await fill(db, 0);
      // Marks are some milliseconds apart: a later one may count.
      for (let i = 0; i < 1000 && db.stats().oldestSnapshotMs === 0; i++) await fill(db, 0, 1);
      expect(db.stats().oldestSnapshotMs).toBeGreaterThan(0);
      await old.rollback();
      expect(db.stats()).toMatchObject({ oldestSnapshotMs: 0, openTransactions: 0 });
    });

    test('what large transactions spill is counted', async () => {
      const { db } = await subject();
      await fill(db, 0);
      expect(db.stats().spills).toEqual({ count: 0, bytes: 0 });
      await db.write((tx) => {
        for (let i = 0; i < 300; i++) tx.store(texts).put(i, `${i}`.padEnd(60_000));
      });
      const { spills } = db.stats();
      expect(spills.count).toBeGreaterThan(0);
      expect(spills.bytes).toBeGreaterThan(15_000_000);
    });

    test('what is opened for reading knows the space too', async () => {
      const { db, reopen } = await subject();
      if (reopen === undefined) return;
      await fill(db, 0, 1000);
      await db.checkpoint();
      const { live } = db.stats().sizeBytes;
      const reader = await reopen({ readOnly: true });
      const { sizeBytes } = reader.stats();
      expect(sizeBytes).toMatchObject({ compactable: 0, pinned: 0 });
      // The last images of a checkpoint are counted by the next one.
      expect(Math.abs(sizeBytes.live - live)).toBeLessThan(4096);
      expect(parseMetrics(reader.metrics()).get('sop_live_bytes')?.samples[0]?.value).toBe(sizeBytes.live);
    });

    test('pins are counted', async () => {
      const { db } = await subject();
      await fill(db, 0);
      expect(db.stats().pins).toBe(0);
      await db.pin('one');
      expect(db.stats().pins).toBe(1);
      await db.unpin('one');
      expect(db.stats().pins).toBe(0);
    });

    test('metrics are what Prometheus reads, and say what stats say', async () => {
      const { db } = await subject();
      await fill(db, 0);
      await db.checkpoint();
      const stats = db.stats();
      const folder = 'a "strange" \\folder\n';
      const families = parseMetrics(db.metrics({ database: folder, job: 'test' }));
      for (const [name, { type, samples, help }] of families) {
        expect(name).toMatch(/^sop_[a-z_]+$/);
        expect(name.endsWith('_total')).toBe(type === 'counter');
        expect(help.length).toBeGreaterThan(5);
        expect(samples.length).toBeGreaterThan(0);
        for (const { labels } of samples) expect(labels).toMatchObject({ database: folder, job: 'test' });
      }
      const read = (name: string) => families.get(name)?.samples[0]?.value;
      expect(read('sop_commits_total')).toBe(stats.commits);
      expect(read('sop_checkpoints_total')).toBe(1);
      expect(read('sop_live_bytes')).toBe(stats.sizeBytes.live);
      expect(read('sop_checkpoint_last_seconds')).toBeCloseTo(stats.checkpoint.lastMs / 1000, 9);
      const reasons = families.get('sop_refused_commits_total')?.samples.map(({ labels }) => labels.reason);
      expect(reasons).toEqual(['conflict', 'too_old', 'other']);
      const values = db.metricValues();
      expect(values.every(({ labels }) => labels.database === db.folder)).toBe(true);
      expect(new Set(values.map(({ name }) => name))).toEqual(new Set(families.keys()));
    });

    test('checkpoints, compactions and reclaimed files are told in their order', async () => {
      const { db } = await subject();
      const told: string[] = [];
      const ends = [
        db.on('checkpoint', (event) => told.push(`checkpoint ${event.phase}`)),
        db.on('compaction', ({ segments, bytesRewritten }) => {
          expect(segments).toBeGreaterThan(0);
          expect(bytesRewritten).toBeGreaterThanOrEqual(0);
          told.push('compaction');
        }),
        db.on('reclaimed', ({ segments, bytes }) => {
          expect(segments).toBeGreaterThan(0);
          expect(bytes).toBeGreaterThan(0);
          told.push('reclaimed');
        }),
      ];
      await fill(db, 0);
      await db.checkpoint();
      expect(told).toEqual(['checkpoint begin', 'checkpoint end']);
      for (let round = 0; round < 4; round++) {
        await db.write((tx) => {
          for (let i = 0; i < 40; i++) tx.store(blobs).put(i, `${round}`.repeat(8000));
        });
        await db.checkpoint();
      }
      await db.compact();
      expect(told).toContain('compaction');
      expect(told).toContain('reclaimed');
      for (const end of ends) end();
      told.length = 0;
      await fill(db, 0);
      await db.checkpoint();
      expect(told).toEqual([]);
    });

    test('a listener that throws disturbs nobody, and the error is told', async () => {
      const { db } = await subject();
      const problem = new Error('mine');
      const errors: unknown[] = [];
      const heard: string[] = [];
      db.on('checkpoint', () => {
        throw problem;
      });
      const rejecting = ({ phase }: CheckpointEvent) => (phase === 'end' ? Promise.reject(problem) : Promise.resolve());
      db.on('checkpoint', (event) => rejecting(event) as never);
      db.on('checkpoint', ({ phase }) => heard.push(phase));
      db.on('error', ({ error }) => {
        errors.push(error);
        throw new Error('again');
      });
      await fill(db, 0);
      await db.checkpoint();
      expect(heard).toEqual(['begin', 'end']);
      await new Promise(setImmediate);
      expect(errors).toEqual([problem, problem, problem]);
    });

    test('a listener may call the database', async () => {
      const { db } = await subject();
      let written: Promise<void> | undefined;
      db.on('checkpoint', ({ phase }) => {
        if (phase === 'end') written = fill(db, 5000, 1);
      });
      await fill(db, 0);
      await db.checkpoint();
      await written;
      expect(await db.read((tx) => tx.store(texts).get(5000))).toBe('value 5000');
    });

    test('the build of an index is told and counted', async () => {
      const { db } = await subject();
      await db.write((tx) => {
        for (let i = 0; i < 700; i++) tx.store(people).put(i, { name: `n${i}`, team: i % 7 });
      });
      const phases: string[] = [];
      db.on('index', ({ phase, store, index, done, total }) => {
        phases.push(phase);
        expect([store, index]).toEqual(['people', 'team']);
        if (phase !== 'begin') expect(total).toBe(700);
        if (phase === 'ready') expect(done).toBe(700);
      });
      await db.indexReady(indexed, 'team');
      expect(phases[0]).toBe('begin');
      expect(phases).toContain('progress');
      expect(phases[phases.length - 1]).toBe('ready');
      expect(db.stats().indexBuilds).toEqual({ started: 1, ready: 1, failed: 0, entries: 700 });
    });

    test('closing is told once, before close answers', async () => {
      const { db } = await subject();
      let closed = 0;
      db.on('closed', ({ folder }) => {
        expect(folder).toBe(db.folder);
        closed++;
      });
      await db.close();
      expect(closed).toBe(1);
      await db.close();
      expect(closed).toBe(1);
    });

    test('events that there are not, and listeners that are none, are refused', async () => {
      const { db } = await subject();
      expect(() => db.on('nothing' as never, () => {})).toThrow(InvalidArgumentError);
      expect(() => db.on('toString' as never, () => {})).toThrow(InvalidArgumentError);
      expect(() => db.on('closed', 5 as never)).toThrow(InvalidArgumentError);
    });
  });
}
