/**
 * Disks of a real kernel that fill up, and that fail. A small ext4 gives ENOSPC. An ext4 whose image lies in a full
 * tmpfs gives errors for every write of a new block, as a dying disk does; with room in the tmpfs it works again. (FUSE and nbdkit would inject errors more finely; the simulator does that for every single call.)
 */
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DiskFullError, IoError, OutcomeUnknownError } from '../../src/base/errors.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { FailingVolume, LoopVolume, whyNoVolume } from '../helpers/loop-volume.ts';
import { chooseSeed, noteFigures } from '../helpers/scale.ts';
import { type Database, defineStore, openDatabase } from '../helpers/sop.ts';

const seed = chooseSeed();
const why = whyNoVolume();
const MIB = 1 << 20;
const things = defineStore<number, Uint8Array>('things', { raw: true });
const SMALL_TABLES = { tableBytes: 512 * 1024, cacheBytes: 4 * MIB };

/** What was answered; what ended in "unknown" may be either. */
class Known {
  readonly answered = new Map<number, number>();
  /** Since the last one that was answered; any of them may be in. */
  readonly open = new Map<number, Set<number>>();
  refusals = 0;
  readonly codes = new Set<string>();
  #next = 0;

  async write(db: Database, random: SeededRandom): Promise<boolean> {
    const key = random.below(400);
    const mark = ++this.#next;
    const value = new Uint8Array(200 + random.below(20_000)).fill(mark & 0xff);
    new DataView(value.buffer).setUint32(0, mark);
    const tx = await db.begin('write');
    try {
      tx.store(things).put(key, value);
      await tx.commit();
      this.answered.set(key, mark);
      this.open.delete(key);
      return true;
    } catch (error) {
      await tx.rollback();
      this.refusals++;
      this.codes.add((error as { code?: string }).code ?? String(error));
      if (error instanceof OutcomeUnknownError) this.open.set(key, new Set(this.open.get(key)).add(mark));
      else if (!(error instanceof DiskFullError) && !(error instanceof IoError)) {
        if ((error as { code?: string }).code !== 'DATABASE_FAILED') throw error;
      }
      return false;
    }
  }

  async check(db: Database): Promise<void> {
    const found = new Map<number, number>();
    await db.read(async (tx) => {
      for await (const { key, value } of tx.store(things).range()) {
        const mark = new DataView(value.buffer, value.byteOffset).getUint32(0);
        if (value.subarray(4).some((byte) => byte !== (mark & 0xff)))
          throw new Error(`the value of ${key} is not whole`);
        found.set(key, mark);
      }
    });
    for (const key of new Set([...found.keys(), ...this.answered.keys()])) {
      const is = found.get(key);
      const open = this.open.get(key);
      if (is !== this.answered.get(key) && (is === undefined || open?.has(is) !== true))
        throw new Error(`${key} is ${is}, should be ${this.answered.get(key)} (unanswered: ${[...(open ?? [])]})`);
    }
  }
}

describe(`a real disk (SOP_SEED=${seed})${why === undefined ? '' : `, skipped: ${why}`}`, () => {
  it.skipIf(why !== undefined)(
    'that fills up: reads go on, abort works, and with room the database goes on',
    async () => {
      using volume = new LoopVolume(96 * MIB);
      const random = new SeededRandom(seed);
      const known = new Known();
      const db = await openDatabase(`${volume.path}/db`, { ...SMALL_TABLES, onBackgroundError: () => undefined });
      for (let i = 0; i < 200; i++) await known.write(db, random);
      for (let round = 0; round < 3; round++) {
        const ballast = `${volume.path}/ballast`;
        fill(ballast, volume.path, random.below(3 * MIB));
        const before = known.refusals;
        for (let i = 0; i < 4000 && known.refusals < before + 5; i++) await known.write(db, random);
        expect(known.refusals, 'the disk never was full').toBeGreaterThan(before);
        await known.check(db);
        const given = await db.begin('write');
        given.store(things).put(1, new Uint8Array(10));
        await given.rollback();
        rmSync(ballast);
        await untilWritten(known, db, random);
        await known.check(db);
      }
      await db.compact();
      expect((await db.verify()).problems).toEqual([]);
      await db.close();
      const again = await openDatabase(`${volume.path}/db`);
      await known.check(again);
      await again.close();
      noteFigures('full-disk', {
        seed,
        refusals: known.refusals,
        codes: [...known.codes],
        entries: known.answered.size,
      });
    },
    120_000,
  );

  it.skipIf(why !== undefined)(
    'that fails writes and syncs: nothing answered is lost, and afterwards it opens and goes on',
    async () => {
      using volume = new FailingVolume(256 * MIB, 64 * MIB);
      const random = new SeededRandom(seed + 1);
      const known = new Known();
      const path = `${volume.path}/db`;
      let db = await openDatabase(path, { ...SMALL_TABLES, onBackgroundError: () => undefined });
      for (let i = 0; i < 100; i++) await known.write(db, random);
      let reopened = 0;
      for (let round = 0; round < 3; round++) {
        volume.fail();
        const before = known.refusals;
        for (let i = 0; i < 2000 && known.refusals < before + 5; i++) await known.write(db, random);
        expect(known.refusals, 'the disk never failed').toBeGreaterThan(before);
        await known.check(db).catch((error: unknown) => {
          // What is not in the cache may be unreadable just now.
          if (!(error instanceof IoError)) throw error;
        });
        volume.mend();
        if (!(await known.write(db, random))) {
          await db.close().catch(() => undefined);
          db = await openDatabase(path, { ...SMALL_TABLES, onBackgroundError: () => undefined });
          reopened++;
        }
        await untilWritten(known, db, random);
        await known.check(db);
      }
      await db.close();
      db = await openDatabase(path);
      await known.check(db);
      expect((await db.verify()).problems).toEqual([]);
      await db.close();
      noteFigures('failing-disk', { seed, refusals: known.refusals, codes: [...known.codes], reopened });
    },
    120_000,
  );
});

function fill(file: string, folder: string, leave: number): void {
  const { bavail, bsize } = statfsSync(folder);
  writeFileSync(file, new Uint8Array(Math.max(0, bavail * bsize - leave - 64 * 1024)));
}

/** Room is noticed with the next try, at the latest a second later. */
async function untilWritten(known: Known, db: Database, random: SeededRandom): Promise<void> {
  const ends = performance.now() + 20_000;
  while (!(await known.write(db, random))) {
    if (performance.now() > ends) throw new Error(`the database does not go on: ${[...known.codes].join(', ')}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
