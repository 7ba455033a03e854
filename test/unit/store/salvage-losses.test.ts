/** Salvage of what has lost a part of itself: each loss is named, nothing old or made up stands for it, and what is left fits together. */
import { describe, expect, it } from 'vitest';
import type { Env } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { CATALOG_STORE, FOREST_STORE, PIN_STORE, SHAPE_STORE } from '../../../src/storage/system-stores.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { salvageDatabase, type SalvageReport } from '../../../src/store/salvage.ts';
import { Losses } from '../../../src/transaction/salvage-losses.ts';
import { copyOut, FOLDER, type FolderBytes, readOnlyEnv, writableEnv } from '../../corruption/bytes-env.ts';
import { itemsIn } from '../../corruption/forge.ts';

const RESCUED = '/rescued';
const SMALL = { tableBytes: 64 * 1024, cacheBytes: 1024 * 1024 };
const notes = defineStore<number, string>('notes');

interface Rescued {
  readonly db: Database;
  readonly report: SalvageReport;
}

/** What a database of `make` is after a crash. */
async function madeBy(make: (db: Database) => Promise<void>): Promise<FolderBytes> {
  const env = memoryEnv();
  const db = await Database.openWith(env, { ...SMALL, folder: FOLDER });
  await make(db);
  const bytes = copyOut(env);
  await db.close();
  return bytes;
}

async function rescue(folder: FolderBytes, env: Env = memoryEnv()): Promise<Rescued> {
  const report = await salvageDatabase(env, FOLDER, RESCUED, {}, readOnlyEnv(folder));
  const db = await Database.openWith(env, { ...SMALL, folder: RESCUED });
  expect((await db.verify()).problems).toEqual([]);
  return { db, report };
}

function without(folder: FolderBytes, prefix: string): FolderBytes {
  return new Map([...folder].filter(([path]) => !path.startsWith(prefix)));
}

/** One bit changed in the leaves of a store, those that `which` picks by their order in the newest segment with some. */
function withRotten(folder: FolderBytes, store: number, which: (at: number, count: number) => boolean): FolderBytes {
  const copy = new Map([...folder].map(([path, bytes]) => [path, bytes.slice()]));
  let found = 0;
  for (const [path, bytes] of copy) {
    if (!path.startsWith('data/')) continue;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const leaves = itemsIn(buffer).filter(
      ({ at, isImage }) => isImage && buffer[at + 3] === 0 && buffer.readUInt32LE(at + 16) === store,
    );
    for (const [i, { at, length }] of leaves.entries()) {
      if (!which(i, leaves.length)) continue;
      bytes[at + (length >>> 1)] = (bytes[at + (length >>> 1)] as number) ^ 1;
      found++;
    }
  }
  if (found === 0) throw new Error('nothing to damage');
  return copy;
}

function rottenAt(folder: FolderBytes, text: string): FolderBytes {
  const copy = new Map([...folder].map(([path, bytes]) => [path, bytes.slice()]));
  for (const [path, bytes] of copy) {
    const at = path.startsWith('data/') ? Buffer.from(bytes.buffer, 0, bytes.length).indexOf(text) : -1;
    if (at === -1) continue;
    bytes[at + 3] = (bytes[at + 3] as number) ^ 1;
    return copy;
  }
  throw new Error('nothing to damage');
}

const all = (): boolean => true;

describe('salvage names as lost', () => {
  it('what a log held that is missing, however much of it was in trees', async () => {
    const folder = await madeBy(async (db) => {
      await db.write((tx) => tx.store(notes).put(1, 'in a tree'));
      await db.checkpoint();
      await db.write((tx) => tx.store(notes).put(2, 'in the log'));
    });
    const { db, report } = await rescue(without(folder, 'log/'));
    expect(await db.read((tx) => tx.store(notes).range({ keysOnly: true }).toArray())).toEqual([1]);
    expect(report.lost).toMatchObject([
      { what: expect.stringMatching(/^the log is missing: everything after number \d+$/) },
    ]);
    await db.close();
  });

  it('everything of a young database whose log is missing', async () => {
    const folder = await madeBy((db) => db.write((tx) => tx.store(notes).put(1, 'in the log')));
    const { db, report } = await rescue(without(folder, 'log/'));
    expect(report.lost).toMatchObject([{ what: 'the log is missing: everything', file: `${FOLDER}/log` }]);
    await db.close();
  });

  it('each part of the forest, and makes no counter up for the stores whose trees are lost with it', async () => {
    const count = 700;
    const counter = (i: number) => defineStore<number, number>(`c${i}`, { counter: true });
    const folder = await madeBy(async (db) => {
      await db.write((tx) => {
        for (let i = 0; i < count; i++) tx.store(counter(i)).increment(1, 1000);
      });
      await db.compact();
      await db.write((tx) => {
        for (let i = 0; i <= count; i++) tx.store(counter(i)).increment(1, 1);
      });
    });
    const { db, report } = await rescue(withRotten(folder, FOREST_STORE, (at, most) => at === 1 || at === most - 1));
    const forest = report.lost.filter(({ what }) => what.startsWith('of the roots of trees'));
    expect(forest.length).toBe(2);
    const named = new Set(
      report.lost.filter(({ what }) => what.startsWith('the tree of a store')).map((one) => one.name),
    );
    let missing = 0;
    await db.read(async (tx) => {
      for (let i = 0; i < count; i++) {
        const found = await tx.store(counter(i)).get(1);
        if (found === undefined) missing++;
        // What the log says in full is there for those stores too.
        expect(named.has(`c${i}`) ? [undefined, 1001] : [1001]).toContain(found);
      }
      // It came behind the root: no tree of it can be lost.
      expect(await tx.store(counter(count)).get(1)).toBe(1);
    });
    expect(missing).toBeGreaterThan(50);
    await db.close();
  });

  it('stores whose definitions are lost, with what they hold', async () => {
    const folder = await madeBy(async (db) => {
      await db.write((tx) => {
        for (let i = 0; i < 20; i++) tx.store(notes).put(i, 'x');
      });
      await db.checkpoint();
    });
    const { db, report } = await rescue(withRotten(folder, CATALOG_STORE, all));
    expect(report.lost).toMatchObject([
      { what: expect.stringContaining('of the definitions of stores, a leaf'), entries: 1 },
      { what: expect.stringContaining('the definition of a store or an index'), store: 64, entries: 20 },
    ]);
    await db.close();
  });

  it('no store that was dropped', async () => {
    const folder = await madeBy(async (db) => {
      await db.write((tx) => tx.store(notes).put(1, 'x'));
      await db.write((tx) => tx.store(defineStore<number, string>('other')).put(1, 'x'));
      await db.checkpoint();
      await db.drop('notes');
    });
    const { db, report } = await rescue(folder);
    expect(report.lost).toEqual([]);
    expect((await db.stores()).map(({ name }) => name)).toEqual(['other']);
    await db.close();
  });

  it('values whose shape is lost, which a value of the same fields brings back', async () => {
    const people = defineStore<number, { readonly first: string; readonly last: string }>('people');
    const folder = await madeBy(async (db) => {
      await db.write((tx) => {
        for (let i = 0; i < 9; i++) tx.store(people).put(i, { first: 'a', last: 'b' });
        tx.store(notes).put(1, 'x');
      });
      await db.checkpoint();
    });
    const { db, report } = await rescue(withRotten(folder, SHAPE_STORE, all));
    expect(report.lost).toMatchObject([
      { what: expect.stringContaining('of the shapes of values, a leaf') },
      { what: expect.stringContaining('the shape of values'), name: 'people', entries: 9 },
    ]);
    await db.write((tx) => tx.store(people).put(100, { first: 'c', last: 'd' }));
    expect(await db.read((tx) => tx.store(people).get(3))).toEqual({ first: 'a', last: 'b' });
    await db.close();
  });

  it('pins, by name and with the leaf they stood in', async () => {
    const folder = await madeBy(async (db) => {
      await db.write((tx) => tx.store(notes).put(1, 'x'));
      await db.pin('kept');
      await db.pin('gone');
      await db.checkpoint();
      await db.unpin('gone');
      await db.pin('late');
    });
    const sound = await rescue(folder);
    expect(sound.report.lost.map(({ what }) => what)).toEqual([
      "the pin 'kept': pins are not brought along",
      "the pin 'late': pins are not brought along",
    ]);
    const damaged = await rescue(withRotten(folder, PIN_STORE, all));
    expect(damaged.report.lost).toMatchObject([
      { what: expect.stringContaining('of the pins, a leaf') },
      { what: "the pin 'late': pins are not brought along" },
    ]);
    await sound.db.close();
    await damaged.db.close();
  });

  it('more than it lists, and still knows what may be missing', () => {
    const losses = new Losses();
    const key = (i: number) => Uint8Array.of(i >>> 8, i);
    for (let i = 0; i < 10_000; i++) losses.note({ what: 'an entry', store: 64, key: key(i) });
    expect(losses.isUnknown(64, key(10_001))).toBe(false);
    losses.note({ what: 'an entry', store: 64, key: key(10_001) });
    losses.note({ what: 'an entry', store: 66, key: key(1) });
    expect([64, 65, 66].map((store) => losses.isUnknown(store, key(10_001)))).toEqual([true, false, true]);
    expect([64, 65, 66].map((store) => losses.mayMiss(store))).toEqual([true, false, true]);
    expect(losses.list().at(-1)?.what).toBe('10002 pieces are lost; these are the first 10000');
  });
});

describe('salvage', () => {
  it('brings no old value back for a long one of a large transaction that is lost', async () => {
    const folder = await madeBy(async (db) => {
      await db.write((tx) => {
        for (let i = 0; i < 10; i++) tx.store(notes).put(i, 'old');
      });
      await db.checkpoint();
      await db.write((tx) => {
        for (let i = 0; i < 10; i++) tx.store(notes).put(i, `long ${i} ${'y'.repeat(100_000)}`);
        for (let i = 10; i < 3000; i++) tx.store(notes).put(i, 'short, but there are many of them');
      });
    });
    const { db, report } = await rescue(rottenAt(folder, 'long 5 '));
    expect(report.lost).toMatchObject([{ name: 'notes', key: '5', entries: 1 }]);
    expect(await db.read((tx) => tx.store(notes).get(5))).toBe(undefined);
    expect((await db.read((tx) => tx.store(notes).get(6)))?.slice(0, 6)).toBe('long 6');
    await db.close();
  });

  it('says that the new disk is full, and leaves nothing there that opens', async () => {
    const folder = await madeBy(async (db) => {
      await db.write((tx) => tx.store(notes).put(-1, 'x'.repeat(50_000)));
      await db.checkpoint();
      for (let i = 0; i < 60; i++) await db.write((tx) => tx.store(notes).put(i, `${i}`.padEnd(50_000)));
    });
    let refused = 0;
    for (let capacityBytes = 500_000; ; capacityBytes += 1_500_000) {
      const env = memoryEnv({ capacityBytes });
      const error = await salvageDatabase(env, FOLDER, RESCUED, {}, readOnlyEnv(folder)).then(
        (report) => void expect(report.lost).toEqual([]),
        (failure: unknown) => failure,
      );
      if (error === undefined) break;
      refused++;
      expect(error).toMatchObject({ code: 'DISK_FULL' });
      const opening = Database.openWith(env, { ...SMALL, folder: RESCUED, readOnly: true });
      await expect(opening).rejects.toMatchObject({ code: 'BACKUP_INCOMPLETE' });
    }
    expect(refused).toBeGreaterThan(2);
  });

  it('passes over folders of others beside the log and the segments', async () => {
    const folder = await madeBy(async (db) => {
      await db.write((tx) => tx.store(notes).put(1, 'x'));
      await db.checkpoint();
    });
    const env = writableEnv(without(folder, 'sop.json'), 1);
    for (const name of ['log', 'data']) env.files.createFolder(`${FOLDER}/${name}/zzz@eaDir`);
    const report = await salvageDatabase(env, FOLDER, RESCUED, {});
    expect(report.lost).toMatchObject([{ file: `${FOLDER}/sop.json` }]);
    expect(report.entries).toBeGreaterThan(0);
  });

  it('refuses a folder that is open for writing', async () => {
    const env = memoryEnv();
    const db = await Database.openWith(env, { ...SMALL, folder: FOLDER });
    const salvaging = salvageDatabase(env, FOLDER, RESCUED, {});
    await expect(salvaging).rejects.toMatchObject({ code: 'DATABASE_LOCKED', details: { folder: FOLDER } });
    expect(env.files.status(RESCUED)).toBe(undefined);
    await db.close();
    await salvageDatabase(env, FOLDER, RESCUED, {});
  });
});

interface Person {
  readonly mail: string;
  readonly text: string;
}
const PEOPLE = 2000;
const person = (i: number): Person => ({ mail: `m${String(i).padStart(5, '0')}`, text: 'x'.repeat(100) });
const plain = defineStore<number, Person>('people', { indexes: { byMail: { fields: ['mail'], unique: true } } });

/** Ids of the store and of its only index. */
const STORE = 64;
const INDEX = 65;

async function fullOf(db: Database, store: typeof plain): Promise<void> {
  await db.write((tx) => {
    for (let i = 0; i < PEOPLE; i++) tx.store(store).put(i, person(i));
  });
  await db.checkpoint();
}

describe('an index of a salvaged store', () => {
  it('has no entries of rows that are lost, and lets them come back', async () => {
    const folder = await madeBy((db) => fullOf(db, plain));
    const { db, report } = await rescue(withRotten(folder, STORE, (at) => at === 1));
    expect(report.lost).toMatchObject([{ name: 'people', store: STORE }]);
    expect(report.rebuilt).toEqual([{ store: 'people', index: 'byMail', state: 'ready' }]);
    const found = await db.read((tx) => tx.store(plain).index('byMail').range().toArray());
    expect(found.length).toBe(PEOPLE - (report.lost[0]?.entries as number));
    const lost = Number(report.lost[0]?.lower);
    await db.write((tx) => tx.store(plain).put(lost, person(lost)));
    await db.close();
  });

  it('is whole again where it was damaged itself, and goes on being unique', async () => {
    const folder = await madeBy((db) => fullOf(db, plain));
    const { db, report } = await rescue(withRotten(folder, INDEX, (at) => at === 1));
    expect(report.lost).toMatchObject([
      { what: expect.stringMatching(/^a leaf: .*; the index is built anew$/), name: 'people', index: 'byMail' },
    ]);
    const found = await db.read((tx) => tx.store(plain).index('byMail').range().toArray());
    expect(found.length).toBe(PEOPLE);
    for (let i = 0; i < PEOPLE; i += 50) {
      await expect(db.write((tx) => tx.store(plain).add(PEOPLE + i, person(i)))).rejects.toMatchObject({
        code: 'UNIQUE_INDEX',
      });
    }
    await db.close();
  });

  it('waits for the program that has its function', async () => {
    const made = defineStore<number, Person>('people', {
      indexes: { byMail: { of: (_, value) => value.mail, version: 1 } },
    }) as unknown as typeof plain;
    const folder = await madeBy((db) => fullOf(db, made));
    const { db, report } = await rescue(withRotten(folder, STORE, (at) => at === 1));
    expect(report.rebuilt).toEqual([{ store: 'people', index: 'byMail', state: 'building' }]);
    await db.write(async (tx) => void (await tx.store(made).get(0)));
    await db.indexReady('people', 'byMail');
    expect((await db.verify()).ok).toBe(true);
    await db.close();
  });

  it('is built anew after a gap in the log, and where its state may be lost', async () => {
    const folder = await madeBy((db) => fullOf(db, plain));
    const { db, report } = await rescue(without(folder, 'log/'));
    expect(report.rebuilt).toEqual([{ store: 'people', index: 'byMail', state: 'ready' }]);
    expect(await db.read((tx) => tx.store(plain).index('byMail').count())).toBe(PEOPLE);
    await db.close();
  });

  it('gives a redefinition up whose store has lost something', async () => {
    const other = defineStore<number, Person>('people', { key: { order: 'desc' } });
    const folder = await madeBy(async (db) => {
      await fullOf(db, plain);
      const controller = new AbortController();
      const onProgress = () => controller.abort();
      const fn = ({ key, value }: { key: number; value: Person }) => ({ key, value });
      await db.redefine(plain, other, fn, { signal: controller.signal, onProgress }).catch(() => {});
      await db.checkpoint();
    });
    const { db, report } = await rescue(withRotten(folder, STORE, (at) => at === 1));
    expect(report.lost.map(({ what }) => what)).toContainEqual(expect.stringContaining('redefinition under way'));
    expect((await db.describe('people')).redefining).toBe(undefined);
    expect(await db.read((tx) => tx.store(plain).index('byMail').count())).toBe(
      await db.read((tx) => tx.store(plain).count()),
    );
    await db.close();
  });
});
