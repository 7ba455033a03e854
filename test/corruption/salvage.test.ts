/** Salvage, with the damages of the corruption lane: everything undamaged is rescued, nothing is invented, all losses are named. */
import { beforeAll, describe, expect, it } from 'vitest';
import { SopError } from '../../src/base/errors.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { salvageDatabase, type SalvageReport } from '../../src/store/salvage.ts';
import { openEngine } from '../../src/transaction/engine.ts';
import { chooseSeed } from '../helpers/scale.ts';
import { FOLDER, type FolderBytes, readOnlyEnv, seededEnv } from './bytes-env.ts';
import { type Content, type Entries, readContent } from './content.ts';
import { damaged, drawDamage } from './damage.ts';
import { contentAt, lastNumber, makeSubjects, SMALL, type Subject } from './subjects.ts';

const seed = chooseSeed() % 1_000_000;
const runs = Number(process.env.SOP_RUNS ?? 1);
const RESCUED = '/rescued';

let subjects: readonly Subject[];
beforeAll(async () => {
  subjects = await makeSubjects();
});

async function rescue(one: Subject, folder: FolderBytes): Promise<{ report: SalvageReport; content: Content }> {
  const env = seededEnv(3);
  const report = await salvageDatabase(env, FOLDER, RESCUED, {}, readOnlyEnv(folder));
  const engine = await openEngine(env, { ...SMALL, folder: RESCUED, readOnly: true });
  try {
    expect((await engine.verify()).problems).toEqual([]);
    return { report, content: readContent(engine, one.stores) };
  } finally {
    await engine.close();
  }
}

const subject = (name: string): Subject => subjects.find((one) => one.name === name) as Subject;

/** Everything a key ever was: what a salvage may bring back. */
function everWas(one: Subject): Map<number, Set<string>> {
  const all = new Map<number, Set<string>>();
  for (const content of one.past) {
    for (const [storeId, entries] of content) {
      const known = all.get(storeId) ?? new Set<string>();
      for (const [key, value] of entries) known.add(`${key}=${value}`);
      all.set(storeId, known);
    }
  }
  return all;
}

function missingFrom(found: Entries, expected: Entries): number {
  const keys = new Set(found.map(([key, value]) => `${key}=${value}`));
  return expected.filter(([key, value]) => !keys.has(`${key}=${value}`)).length;
}

/** Subjects that hold two prepared transactions which nobody has decided: nobody can say whether they are to come along. */
const WITH_WAITING: readonly string[] = ['waiting', 'golden v1-features'];

describe('salvage', () => {
  it('of a sound database brings all of it along and loses nothing', async () => {
    for (const one of subjects) {
      const { report, content } = await rescue(one, one.folder);
      const undecided = report.lost.filter(({ what }) => what.includes('it has not been decided'));
      expect(undecided.length, one.name).toBe(WITH_WAITING.includes(one.name) ? 2 : 0);
      const pins = report.lost.filter(({ what }) => what.includes('pins are not brought along'));
      expect(report.lost.length, one.name).toBe(undecided.length + pins.length);
      expect(report.rebuilt).toEqual([]);
      expect(report.olderRoot).toBe(false);
      expect([...content].sort(), one.name).toEqual([...(contentAt(one, lastNumber(one)) as Content)].sort());
    }
  });

  it(`invents nothing and names what is lost, whatever the damage (SOP_SEED=${seed})`, async () => {
    const random = new SeededRandom(seed);
    const known = new Map(subjects.map((one) => [one, everWas(one)]));
    let whole = 0;
    let losses = 0;
    for (let i = 0; i < 120 * runs; i++) {
      const one = random.pick(subjects);
      const damage = drawDamage(random, one);
      const what = `run ${i} of SOP_SEED=${seed}: '${one.name}', ${damage.text}`;
      let rescued: { report: SalvageReport; content: Content };
      try {
        rescued = await rescue(one, damaged(one.folder, [damage]));
      } catch (error) {
        if (error instanceof SopError) continue;
        throw new Error(`${what}\n${(error as Error).stack}`);
      }
      const { report, content } = rescued;
      const ever = known.get(one);
      for (const [storeId, entries] of content) {
        for (const [key, value] of entries) {
          expect(ever?.get(storeId)?.has(`${key}=${value}`), `${what}: store ${storeId} has an invented entry`).toBe(
            true,
          );
        }
      }
      let missing = 0;
      for (const [storeId, entries] of contentAt(one, lastNumber(one)) as Content) {
        missing += missingFrom(content.get(storeId) ?? [], entries);
      }
      if (missing === 0) whole++;
      else if (report.lost.length > 0 || report.olderRoot) losses++;
      // What may be gone without a word is a torn end of the log, as for any opening, and a file that is gone whole.
      else
        expect(damage.wholeFile || damage.text.startsWith('log/'), `${what}: ${missing} entries gone in silence`).toBe(
          true,
        );
    }
    expect(whole).toBeGreaterThan(10);
    expect(losses).toBeGreaterThan(10);
  }, 600_000);

  it('names file, place, store and keys of a leaf that is gone, and rescues its neighbours', async () => {
    const one = subject('closed');
    const [path, bytes] = [...one.folder].findLast(
      ([name, { length }]) => name.startsWith('data/') && length > 50_000,
    ) as [string, Uint8Array];
    const rotten = bytes.slice();
    for (let at = 16_384; at < rotten.length; at += 16_384) rotten[at + 77] = (rotten[at + 77] as number) ^ 1;
    const { report, content } = await rescue(one, new Map(one.folder).set(path, rotten));
    expect(report.lost.length).toBeGreaterThan(0);
    const loss = report.lost.find(({ entries }) => entries !== undefined);
    expect(loss).toMatchObject({ file: `${FOLDER}/${path}` });
    expect(loss?.name).toBeTypeOf('string');
    expect(content.size).toBeGreaterThan(2);
  });

  it('makes no counter of an increment alone where the leaf with the counter is gone', async () => {
    const one = subject('golden v1-features');
    const [path, bytes] = [...one.folder].find(([name]) => name.endsWith('-0.seg')) as [string, Uint8Array];
    const rotten = bytes.slice().fill(0, 20_480, 24_576);
    const { report, content } = await rescue(one, new Map(one.folder).set(path, rotten));
    const known = everWas(one);
    const invented = [...content].flatMap(([storeId, entries]) =>
      entries.filter(([key, value]) => !known.get(storeId)?.has(`${key}=${value}`)),
    );
    expect(invented).toEqual([]);
    expect(report.lost.map(({ what }) => what)).toContain('an increment of a counter that is lost');
  });

  it('falls back to an older root where the newest is unreadable, and says so', async () => {
    const one = subject('closed');
    const logs = [...one.folder.keys()].filter((path) => path.startsWith('log/'));
    const folder = new Map(one.folder);
    for (const path of logs) folder.delete(path);
    const { report, content } = await rescue(one, folder);
    expect(report.olderRoot).toBe(true);
    expect(report.rootNumber).toBeGreaterThan(0);
    expect(content.get(64)?.length ?? 0).toBeGreaterThan(100);
  });

  it('finds out whose the folder is without sop.json', async () => {
    const one = subject('closed');
    const folder = new Map(one.folder);
    folder.delete('sop.json');
    const { report, content } = await rescue(one, folder);
    expect(report.lost).toMatchObject([{ file: `${FOLDER}/sop.json` }]);
    expect([...content].sort()).toEqual([...(contentAt(one, lastNumber(one)) as Content)].sort());
  });

  it('refuses a folder that holds a database', async () => {
    const one = subject('young');
    const env = seededEnv(3);
    await salvageDatabase(env, FOLDER, RESCUED, {}, readOnlyEnv(one.folder));
    await expect(salvageDatabase(env, FOLDER, RESCUED, {}, readOnlyEnv(one.folder))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});
