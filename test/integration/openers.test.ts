/**
 * Who may have a folder open at the same time: one writer, named to whoever comes second; readers at any time, leaving no
 * trace, also where nothing can be written and also after a writer was killed.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folderState, temporaryFolder } from '../helpers/folders.ts';
import { readOnlyView } from '../helpers/loop-volume.ts';
import { type LineProcess, startProcess } from '../helpers/processes.ts';
import { defineStore, openDatabase } from '../helpers/sop.ts';

const notes = defineStore<number, string>('notes');
const HOLDER = join(import.meta.dirname, '..', 'helpers', 'holder.ts');

async function hold(folder: string): Promise<LineProcess> {
  const holder = startProcess(HOLDER, [folder]);
  await holder.saying((line) => line === 'holding');
  return holder;
}

async function refusalOf(
  folder: string,
): Promise<{ code?: string; retryable?: boolean; message: string; details: Record<string, unknown> }> {
  try {
    const db = await openDatabase(folder);
    await db.close();
  } catch (error) {
    return error as { code?: string; message: string; details: Record<string, unknown> };
  }
  throw new Error('a second opener was let in');
}

function expectToName(refusal: Awaited<ReturnType<typeof refusalOf>>, folder: string, pid: number): void {
  expect(refusal.code).toBe('DATABASE_LOCKED');
  expect(refusal.retryable).toBe(true);
  expect(refusal.details).toMatchObject({ folder, pid, host: hostname() });
  const since = Date.parse(String(refusal.details.since));
  expect(Math.abs(Date.now() - since)).toBeLessThan(60_000);
  for (const word of [String(pid), hostname(), String(refusal.details.since)]) expect(refusal.message).toContain(word);
}

const read = (folder: string, key: number): Promise<string | undefined> =>
  openDatabase(folder, { readOnly: true }).then(async (db) => {
    try {
      return await db.read((tx) => tx.store(notes).get(key));
    } finally {
      await db.close();
    }
  });

describe('a second opener', () => {
  it('is refused in the same process by an error that names it, and let in after close', async () => {
    using folder = temporaryFolder('second');
    const first = await openDatabase(folder.path);
    expectToName(await refusalOf(folder.path), folder.path, process.pid);
    expectToName(await refusalOf(folder.path), folder.path, process.pid);
    await first.write((tx) => tx.store(notes).put(1, 'still mine'));
    await first.close();
    const second = await openDatabase(folder.path);
    expect(await second.read((tx) => tx.store(notes).get(1))).toBe('still mine');
    await second.close();
  });

  it('is refused in another process by an error that names the first one, and let in after its close', async () => {
    using folder = temporaryFolder('second');
    const holder = await hold(folder.path);
    expectToName(await refusalOf(folder.path), folder.path, holder.pid);
    holder.tell('close');
    await holder.saying((line) => line === 'closed');
    const db = await openDatabase(folder.path);
    expect(await db.read((tx) => tx.store(notes).get(1))).toBe('from the holder');
    await db.close();
    holder.kill();
    await holder.ended;
  });

  it('is let in at once after the first one was killed with -9', async () => {
    using folder = temporaryFolder('second');
    for (let round = 0; round < 3; round++) {
      const holder = await hold(folder.path);
      expectToName(await refusalOf(folder.path), folder.path, holder.pid);
      holder.kill('SIGKILL');
      await holder.ended;
    }
    const db = await openDatabase(folder.path);
    expect(await db.read((tx) => tx.store(notes).get(1))).toBe('from the holder');
    await db.close();
  });

  it('changes nothing by being refused', async () => {
    using folder = temporaryFolder('second');
    const db = await openDatabase(folder.path);
    await db.write((tx) => tx.store(notes).put(1, 'here'));
    await db.checkpoint();
    // Quiet: whatever upkeep follows a checkpoint is done when a second one finds nothing to do.
    await db.checkpoint();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = folderState(folder.path);
    await refusalOf(folder.path);
    expect(folderState(folder.path)).toBe(before);
    await db.close();
  });
});

describe('a reader', () => {
  it('writes not a byte: after a close, after a kill, with its log not yet in the trees', async () => {
    using folder = temporaryFolder('reader');
    const holder = await hold(folder.path);
    holder.tell('put 2');
    await holder.saying((line) => line === 'put 2');
    holder.kill();
    await holder.ended;
    const before = folderState(folder.path);
    expect(await read(folder.path, 1)).toBe('from the holder');
    expect(await read(folder.path, 2)).toBe('more');
    const db = await openDatabase(folder.path, { readOnly: true });
    expect((await db.verify()).ok).toBe(true);
    await expect(db.write((tx) => tx.store(notes).put(3, 'no'))).rejects.toMatchObject({ code: 'READ_ONLY' });
    await db.close();
    expect(folderState(folder.path)).toBe(before);
  });

  it('creates nothing where there is nothing', async () => {
    using folder = temporaryFolder('reader');
    const path = join(folder.path, 'none');
    const before = folderState(folder.path);
    await expect(openDatabase(path, { readOnly: true })).rejects.toMatchObject({ code: 'DATABASE_NOT_FOUND' });
    await expect(openDatabase(folder.path, { readOnly: true })).rejects.toMatchObject({ code: 'DATABASE_NOT_FOUND' });
    expect(folderState(folder.path)).toBe(before);
  });

  it('opens beside a live writer and sees a state that was committed, and keeps it', async () => {
    using folder = temporaryFolder('reader');
    const holder = await hold(folder.path);
    const first = await openDatabase(folder.path, { readOnly: true });
    const second = await openDatabase(folder.path, { readOnly: true });
    for (let key = 2; key < 200; key++) holder.tell(`put ${key}`);
    await holder.saying((line) => line === 'put 199');
    const seen = await first.read((tx) => tx.store(notes).count());
    expect(seen).toBeLessThanOrEqual(1);
    expect(await second.read((tx) => tx.store(notes).count())).toBe(seen);
    const later = await openDatabase(folder.path, { readOnly: true });
    const count = await later.read((tx) => tx.store(notes).count());
    // What a reader beside a writer may trust is all but perhaps the newest batch.
    expect(count).toBeGreaterThan(1);
    expect(await later.read((tx) => tx.store(notes).range({ keysOnly: true }).toArray())).toEqual(
      Array.from({ length: count }, (_, index) => index + 1),
    );
    for (const db of [first, second, later]) await db.close();
    holder.kill();
    await holder.ended;
    expect(await read(folder.path, 199)).toBe('more');
  });

  it('works through a mount that refuses every write, also after the last writer was killed (needs root)', async (context) => {
    using folder = temporaryFolder('reader');
    const holder = await hold(folder.path);
    {
      using view = readOnlyView(folder.path);
      if (view === undefined) return context.skip('mounting is not allowed here');
      holder.kill();
      await holder.ended;
      expect(await read(view.path, 1)).toBe('from the holder');
      await expect(openDatabase(view.path)).rejects.toMatchObject({ code: 'IO_ERROR' });
    }
    const db = await openDatabase(folder.path);
    await db.close();
    using view = readOnlyView(folder.path);
    expect(await read(view?.path ?? '', 1)).toBe('from the holder');
  });
});
