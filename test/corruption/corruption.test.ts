import { beforeAll, describe, expect, it } from 'vitest';
import { CorruptionError } from '../../src/base/errors.ts';
import { openEngine } from '../../src/transaction/engine.ts';
import { chooseSeed } from '../helpers/scale.ts';
import { FOLDER, type FolderBytes, readOnlyEnv, writableEnv } from './bytes-env.ts';
import { runCase } from './cases.ts';
import { readContent } from './content.ts';
import { contentAt, lastNumber, makeSubjects, SMALL, type Subject } from './subjects.ts';

const seed = chooseSeed() % 1_000_000;
const runs = Number(process.env.SOP_RUNS ?? 1);

let subjects: readonly Subject[];
beforeAll(async () => {
  subjects = await makeSubjects();
});

const subject = (name: string): Subject => subjects.find((one) => one.name === name) as Subject;

describe('the databases that are damaged', () => {
  it('hold what they should as long as nothing happens to them', async () => {
    for (const one of subjects) {
      const engine = await openEngine(readOnlyEnv(one.folder), { ...one.options, readOnly: true });
      expect(engine.stats().number).toBe(lastNumber(one));
      expect(readContent(engine, one.stores)).toEqual(contentAt(one, lastNumber(one)));
      await engine.close();
    }
  });

  it('are the same bytes every time', async () => {
    const again = await makeSubjects();
    expect(again.map(({ folder }) => [...folder.keys()])).toEqual(subjects.map(({ folder }) => [...folder.keys()]));
    for (const [i, one] of again.entries()) {
      for (const [path, bytes] of one.folder) {
        expect(Buffer.compare(bytes, (subjects[i] as Subject).folder.get(path) as Uint8Array)).toBe(0);
      }
    }
  });
});

describe('any damage', () => {
  it(`gives the right data or a typed error that names file and offset (SOP_SEED=${seed})`, async () => {
    const outcomes = new Set<string>();
    for (let index = 0; index < 2500 * runs; index++) outcomes.add((await runCase(subjects, seed, index)).outcome);
    // A lane that only ever meets refusals, or none, shows nothing.
    expect([...outcomes].sort()).toEqual([
      'forged, opened',
      'forged, refused',
      'partly readable',
      'refused',
      'shorter',
      'unharmed',
    ]);
  }, 600_000);
});

describe('a forest that lies about a store with entries', () => {
  it('ends a count in an error; a negative count was taken for "not loaded", without end', async () => {
    for (const [lane, index] of [
      [6, 465],
      [44, 229],
    ] as const) {
      const { outcome } = await runCase(subjects, lane, index);
      expect(outcome).toBe('forged, opened');
    }
  });
});

describe('an image whose header names another store', () => {
  it('is damage to compaction too, not a thing that nobody needs', async () => {
    const { outcome } = await runCase(subjects, 110552, 996);
    expect(outcome).toBe('partly readable');
  });
});

describe('a folder that has lost its log', () => {
  const without = (folder: FolderBytes, pattern: RegExp): FolderBytes =>
    new Map([...folder].filter(([path]) => !pattern.test(path)));

  it('is not taken for a new database, for reading or writing', async () => {
    for (const name of ['closed', 'killed', 'chained', 'golden v1']) {
      const folder = without(subject(name).folder, /^log\//);
      for (const readOnly of [true, false]) {
        const env = readOnly ? readOnlyEnv(folder) : writableEnv(folder, 1);
        await expect(openEngine(env, { ...SMALL, readOnly })).rejects.toThrow(/the log of .* is missing/);
      }
    }
  });

  it('is not taken for one whose first commit never came when only void files are left', async () => {
    const { folder } = subject('closed');
    const newest = [...folder.keys()].filter((path) => path.startsWith('log/')).at(0) as string;
    const zeroed = without(new Map(folder).set(newest, new Uint8Array(40_960)), /^data\//);
    await expect(openEngine(readOnlyEnv(zeroed), { ...SMALL, readOnly: true })).rejects.toThrow(/valid header/);
  });

  it('or its sop.json is not given another identity', async () => {
    const folder = without(subject('closed').folder, /^sop\.json$/);
    const env = writableEnv(folder, 1);
    await expect(openEngine(env, SMALL)).rejects.toBeInstanceOf(CorruptionError);
    await expect(openEngine(env, SMALL)).rejects.toThrow(/sop\.json is missing, but there is log\//);
    expect(env.files.status(`${FOLDER}/sop.json`)).toBeUndefined();
  });
});

describe('a stray file under the last name an epoch can have', () => {
  it('is named when the append right is wanted, and nothing is sealed or created', async () => {
    const { folder } = subject('closed');
    const path = 'log/ffffffffffff.log';
    const env = writableEnv(new Map(folder).set(path, new Uint8Array(5)), 1);
    const engine = await openEngine(env, SMALL);
    const tx = engine.begin('write');
    tx.put(5000, Uint8Array.of(1), 0, 1, Uint8Array.of(0), 0, 1, undefined);
    await expect(tx.commit()).rejects.toMatchObject({ code: 'CORRUPTION', details: { file: `${FOLDER}/${path}` } });
    await engine.close();
    expect(env.files.list(`${FOLDER}/log`)).toEqual(
      [...folder.keys(), path].flatMap((name) => name.split('log/')[1] ?? []),
    );
  });
});
