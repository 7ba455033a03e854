/**
 * What every `FileSystem` and `File` promises, as one suite. Each implementation runs it from a test file of its own;
 * an implementation whose calls only finish while somebody drives it (the simulated one) hands in `run`.
 */

import { describe, expect, test } from 'vitest';
import { DiskFullError, IoError } from '../../src/base/errors.ts';
import type { Env, File, FileSystem } from '../../src/env/env.ts';

export interface ContractPlace {
  readonly env: Env;
  /** An empty folder that exists. */
  readonly folder: string;
  readonly cleanup: () => Promise<void> | void;
  /** Runs a test's body where the environment needs a driver. */
  readonly run?: (body: () => Promise<void>) => Promise<void>;
}

interface Place {
  readonly env: Env;
  readonly files: FileSystem;
  readonly folder: string;
  /** Opens and remembers for closing at the end of the test. */
  readonly open: (name: string, mode: 'read' | 'write' | 'create', direct?: boolean) => File;
}

const PAGE = 4096;

function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + seed * 17 + (i >>> 8)) & 0xff;
  return bytes;
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function readAll(file: File): Uint8Array {
  const bytes = new Uint8Array(file.sizeBytes());
  expect(file.readSync(bytes, 0)).toBe(bytes.length);
  return bytes;
}

function caught(fn: () => unknown): IoError {
  try {
    fn();
  } catch (error) {
    expect(error).toBeInstanceOf(IoError);
    return error as IoError;
  }
  throw new Error('expected an error, got none');
}

function expectErrno(fn: () => unknown, errno: string, path: string): void {
  const error = caught(fn);
  expect(error.details.errno).toBe(errno);
  expect(error.details.path).toBe(path);
  expect(typeof error.details.operation).toBe('string');
  expect(error).not.toBeInstanceOf(DiskFullError);
}

/** Registers the suite. `skip` names the reason where an implementation cannot run here. */
export function fileSystemContract(name: string, makeEnv: () => Promise<ContractPlace>, skip?: string): void {
  describe(skip === undefined ? `files: ${name}` : `files: ${name} (skipped: ${skip})`, () => {
    const inPlace = (title: string, body: (place: Place) => Promise<void> | void): void => {
      test.skipIf(skip !== undefined)(title, () => runInPlace(makeEnv, body));
    };
    openingTests(inPlace);
    readingAndWritingTests(inPlace);
    sizeTests(inPlace);
    appendTests(inPlace);
    directTests(inPlace);
    folderTests(inPlace);
    renameTests(inPlace);
    copyTests(inPlace);
    lockTests(inPlace);
    worldTests(inPlace);
  });
}

async function runInPlace(makeEnv: () => Promise<ContractPlace>, body: (place: Place) => Promise<void> | void) {
  const { env, folder, cleanup, run } = await makeEnv();
  const opened: File[] = [];
  const open: Place['open'] = (name, mode, direct = false) => {
    const file = env.files.open(`${folder}/${name}`, { mode, direct });
    opened.push(file);
    return file;
  };
  const whole = async (): Promise<void> => body({ env, files: env.files, folder, open });
  try {
    await (run === undefined ? whole() : run(whole));
  } finally {
    for (const file of opened) file.close();
    await cleanup();
  }
}

type InPlace = (title: string, body: (place: Place) => Promise<void> | void) => void;

function openingTests(inPlace: InPlace): void {
  inPlace('a new file is empty and knows its path', ({ open, folder }) => {
    const file = open('a', 'create');
    expect(file.sizeBytes()).toBe(0);
    expect(file.path).toBe(`${folder}/a`);
    expect(file.direct).toBe(false);
  });

  inPlace('creation is exclusive', ({ open, folder }) => {
    open('a', 'create').writeSync(text('first'), 0);
    expectErrno(() => open('a', 'create'), 'EEXIST', `${folder}/a`);
    expect(readAll(open('a', 'read'))).toEqual(text('first'));
  });

  inPlace(
    'a missing file is ENOENT, whatever the mode, and comes into being by create only',
    ({ open, files, folder }) => {
      expectErrno(() => open('a', 'read'), 'ENOENT', `${folder}/a`);
      expectErrno(() => open('a', 'write'), 'ENOENT', `${folder}/a`);
      expect(files.status(`${folder}/a`)).toBeUndefined();
      expectErrno(() => open('none/a', 'create'), 'ENOENT', `${folder}/none/a`);
    },
  );

  inPlace('a folder cannot be opened for writing', ({ files, folder }) => {
    files.createFolder(`${folder}/sub`);
    caught(() => files.open(`${folder}/sub`, { mode: 'write' }));
    expectErrno(() => files.open(`${folder}/sub`, { mode: 'create' }), 'EEXIST', `${folder}/sub`);
  });

  inPlace('a file opened for reading refuses writes', async ({ open }) => {
    open('a', 'create').writeSync(text('kept'), 0);
    const file = open('a', 'read');
    caught(() => file.writeSync(text('x'), 0));
    caught(() => file.truncateSync(0));
    await expect(file.write(text('x'), 0)).rejects.toBeInstanceOf(IoError);
    expect(readAll(file)).toEqual(text('kept'));
  });

  inPlace('a closed file refuses everything but another close', async ({ open }) => {
    const file = open('a', 'create');
    file.close();
    file.close();
    caught(() => file.writeSync(text('x'), 0));
    caught(() => file.readSync(new Uint8Array(1), 0));
    await expect(file.read(new Uint8Array(1), 0)).rejects.toBeInstanceOf(IoError);
    await expect(file.sync()).rejects.toBeInstanceOf(IoError);
  });

  inPlace('two openings of one file see each other at once', ({ open }) => {
    const a = open('a', 'create');
    const b = open('a', 'write');
    a.writeSync(text('hello'), 0);
    b.writeSync(text('J'), 0);
    expect(readAll(a)).toEqual(text('Jello'));
    expect(b.sizeBytes()).toBe(5);
  });
}

function readingAndWritingTests(inPlace: InPlace): void {
  inPlace('what was written is read, at any position, by both forms', async ({ open }) => {
    const file = open('a', 'create');
    const bytes = pattern(10_000);
    file.writeSync(bytes.subarray(0, 5000), 0);
    await file.write(bytes.subarray(5000), 5000);
    expect(readAll(file)).toEqual(bytes);
    const part = new Uint8Array(3000);
    expect(await file.read(part, 4001)).toBe(3000);
    expect(part).toEqual(bytes.slice(4001, 7001));
  });

  inPlace('a read ends at the end of the file and leaves the rest of the buffer alone', async ({ open }) => {
    const file = open('a', 'create');
    file.writeSync(text('0123456789'), 0);
    const into = new Uint8Array(8).fill(7);
    expect(file.readSync(into, 6)).toBe(4);
    expect(into).toEqual(Uint8Array.of(54, 55, 56, 57, 7, 7, 7, 7));
    expect(await file.read(into, 6)).toBe(4);
    expect(file.readSync(into, 10)).toBe(0);
    expect(file.readSync(into, 1_000_000)).toBe(0);
    expect(file.readSync(new Uint8Array(0), 0)).toBe(0);
  });

  inPlace('writing past the end leaves zeros in between', ({ open }) => {
    const file = open('a', 'create');
    file.writeSync(text('a'), 0);
    file.writeSync(text('b'), 70_000);
    expect(file.sizeBytes()).toBe(70_001);
    const gap = new Uint8Array(69_999).fill(9);
    expect(file.readSync(gap, 1)).toBe(gap.length);
    expect(gap.every((byte) => byte === 0)).toBe(true);
  });

  inPlace('large and sparse positions work', ({ open }) => {
    const file = open('a', 'create');
    const far = 5 * 2 ** 30 + 123;
    file.writeSync(text('far'), far);
    expect(file.sizeBytes()).toBe(far + 3);
    const into = new Uint8Array(8);
    expect(file.readSync(into, far - 5)).toBe(8);
    expect(into).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 102, 97, 114));
    file.truncateSync(0);
  });

  inPlace('an overwrite replaces exactly its bytes, across chunks too', ({ open }) => {
    const file = open('a', 'create');
    const model = pattern(3 * 1024 * 1024, 3);
    file.writeSync(model, 0);
    const patch = pattern(1024 * 1024 + 77, 9);
    file.writeSync(patch, 1_000_003);
    model.set(patch, 1_000_003);
    expect(Buffer.compare(readAll(file), model)).toBe(0);
  });

  inPlace('many calls may be under way at once', async ({ open }) => {
    const file = open('a', 'create');
    const blocks = Array.from({ length: 40 }, (_, i) => pattern(1500, i));
    await Promise.all(blocks.map((block, i) => file.write(block, i * 1500)));
    await file.sync();
    const back = blocks.map(() => new Uint8Array(1500));
    const counts = await Promise.all(back.map((into, i) => file.read(into, i * 1500)));
    expect(counts.every((count) => count === 1500)).toBe(true);
    expect(back).toEqual(blocks);
  });

  inPlace('sync answers in both forms, also on a file opened for reading', async ({ open }) => {
    const file = open('a', 'create');
    file.writeSync(text('x'), 0);
    file.syncSync();
    await file.sync();
    open('a', 'read').syncSync();
  });

  inPlace('random writes, reads and cuts agree with an array', ({ open }) => {
    const file = open('a', 'create');
    const model = new Uint8Array(64 * 1024);
    let size = 0;
    let state = 12345;
    const below = (n: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % n;
    };
    for (let i = 0; i < 400; i++) {
      if (below(8) === 0) {
        const cut = below(model.length);
        file.truncateSync(cut);
        model.fill(0, Math.min(cut, size));
        size = cut;
      } else {
        const at = below(model.length - 6000);
        const bytes = pattern(below(6000) + 1, i);
        file.writeSync(bytes, at);
        model.set(bytes, at);
        size = Math.max(size, at + bytes.length);
      }
      expect(file.sizeBytes()).toBe(size);
    }
    expect(Buffer.compare(readAll(file), model.subarray(0, size))).toBe(0);
  });
}

function sizeTests(inPlace: InPlace): void {
  inPlace('truncate cuts, extends with zeros, and never shows again what was cut', ({ open, files, folder }) => {
    const file = open('a', 'create');
    file.writeSync(pattern(9000), 0);
    file.truncateSync(100);
    expect(file.sizeBytes()).toBe(100);
    expect(files.status(`${folder}/a`)?.sizeBytes).toBe(100);
    file.truncateSync(9000);
    const model = new Uint8Array(9000);
    model.set(pattern(9000).subarray(0, 100));
    expect(readAll(file)).toEqual(model);
  });

  inPlace('reserve extends with zeros and leaves what lies before alone', async ({ open }) => {
    const file = open('a', 'create');
    file.writeSync(pattern(PAGE), 0);
    await file.reserve(PAGE, 16 * PAGE);
    expect(file.sizeBytes()).toBe(17 * PAGE);
    const model = new Uint8Array(17 * PAGE);
    model.set(pattern(PAGE));
    expect(readAll(file)).toEqual(model);
  });

  inPlace('allocate changes no byte that is there', ({ open }) => {
    const file = open('a', 'create');
    file.writeSync(pattern(PAGE), 0);
    file.allocateSync(PAGE, 64 * PAGE);
    const first = new Uint8Array(PAGE);
    file.readSync(first, 0);
    expect(first).toEqual(pattern(PAGE));
    file.writeSync(pattern(PAGE, 2), PAGE);
    file.readSync(first, PAGE);
    expect(first).toEqual(pattern(PAGE, 2));
  });
}

function appendTests(inPlace: InPlace): void {
  inPlace('append writes, and answers true while the seal is zero', async ({ open }) => {
    const file = open('log', 'create');
    await file.reserve(0, 8 * PAGE);
    const batch = pattern(2 * PAGE);
    expect(file.appendSync(batch, PAGE, 2 * PAGE, PAGE)).toBe(true);
    expect(await file.append(batch, 2 * PAGE, 3 * PAGE, PAGE)).toBe(true);
    const into = new Uint8Array(3 * PAGE);
    file.readSync(into, 2 * PAGE);
    expect(into.subarray(0, PAGE)).toEqual(batch.subarray(0, PAGE));
    expect(into.subarray(PAGE)).toEqual(batch);
  });

  inPlace('append writes only the asked length of its buffer', ({ open }) => {
    const file = open('log', 'create');
    expect(file.appendSync(pattern(4 * PAGE), PAGE, 2 * PAGE, PAGE)).toBe(true);
    expect(file.sizeBytes()).toBe(3 * PAGE);
  });

  inPlace('append answers false once any byte of the seal is set, also the last', async ({ open }) => {
    const file = open('log', 'create');
    await file.reserve(0, 8 * PAGE);
    const other = open('log', 'write');
    other.writeSync(Uint8Array.of(1), 2 * PAGE - 1);
    other.syncSync();
    expect(file.appendSync(pattern(PAGE), PAGE, 2 * PAGE, PAGE)).toBe(false);
    expect(await file.append(pattern(PAGE), PAGE, 3 * PAGE, PAGE)).toBe(false);
    const into = new Uint8Array(PAGE);
    file.readSync(into, 3 * PAGE);
    expect(into).toEqual(pattern(PAGE));
  });

  inPlace('a byte beside the seal does not count as one', ({ open }) => {
    const file = open('log', 'create');
    file.writeSync(Uint8Array.of(1), PAGE - 1);
    file.writeSync(Uint8Array.of(1), 2 * PAGE);
    expect(file.appendSync(pattern(PAGE), PAGE, 3 * PAGE, PAGE)).toBe(true);
  });

  inPlace('appends are done in the order given', async ({ open }) => {
    const file = open('log', 'create');
    await file.reserve(0, 8 * PAGE);
    const answers: number[] = [];
    const jobs = Array.from({ length: 20 }, (_, i) =>
      file.append(new Uint8Array(PAGE).fill(i + 1), PAGE, 2 * PAGE, PAGE).then(() => answers.push(i)),
    );
    await Promise.all(jobs);
    expect(answers).toEqual(Array.from({ length: 20 }, (_, i) => i));
    const into = new Uint8Array(PAGE);
    file.readSync(into, 2 * PAGE);
    expect(into[0]).toBe(20);
  });

  inPlace('append on a file opened for reading is refused', async ({ open }) => {
    open('log', 'create').writeSync(new Uint8Array(PAGE), 0);
    const file = open('log', 'read');
    caught(() => file.appendSync(pattern(PAGE), PAGE, 2 * PAGE, PAGE));
    await expect(file.append(pattern(PAGE), PAGE, 2 * PAGE, PAGE)).rejects.toBeInstanceOf(IoError);
  });
}

function directTests(inPlace: InPlace): void {
  inPlace('asking for direct I/O never fails, and aligned calls work whether it was granted or not', async (place) => {
    const file = place.open('a', 'create', true);
    expect(typeof file.direct).toBe('boolean');
    const buffer = place.files.allocate(4 * PAGE);
    buffer.set(pattern(4 * PAGE));
    file.writeSync(buffer, 0);
    await file.write(buffer.subarray(PAGE, 2 * PAGE), 4 * PAGE);
    const back = place.files.allocate(PAGE);
    expect(await file.read(back, 4 * PAGE)).toBe(PAGE);
    expect(back).toEqual(pattern(4 * PAGE).subarray(PAGE, 2 * PAGE));
    expect(file.appendSync(buffer, PAGE, 6 * PAGE, 5 * PAGE)).toBe(true);
    await file.reserve(8 * PAGE, 2 * PAGE);
    expect(file.sizeBytes()).toBe(10 * PAGE);
  });

  inPlace('a direct and a buffered opening of one file agree', ({ open, files }) => {
    const direct = open('a', 'create', true);
    const buffered = open('a', 'write');
    const buffer = files.allocate(PAGE);
    buffer.fill(5);
    direct.writeSync(buffer, 0);
    const into = new Uint8Array(PAGE);
    buffered.readSync(into, 0);
    expect(into[99]).toBe(5);
    buffered.writeSync(new Uint8Array(PAGE).fill(6), 0);
    buffered.syncSync();
    direct.readSync(buffer, 0);
    expect(buffer[99]).toBe(6);
  });

  inPlace('an allocated buffer is zeroed and as long as asked', ({ files }) => {
    const buffer = files.allocate(3 * PAGE);
    expect(buffer.length).toBe(3 * PAGE);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
  });
}

function folderTests(inPlace: InPlace): void {
  inPlace('list names files and folders, sorted', ({ open, files, folder }) => {
    for (const name of ['b', 'a10', 'a9', 'C', '~', '0']) open(name, 'create');
    files.createFolder(`${folder}/sub`);
    expect(files.list(folder)).toEqual(['0', 'C', 'a10', 'a9', 'b', 'sub', '~']);
    expect(files.list(`${folder}/sub`)).toEqual([]);
    expectErrno(() => files.list(`${folder}/none`), 'ENOENT', `${folder}/none`);
  });

  inPlace('createFolder makes parents and does not mind what is there', ({ files, folder }) => {
    files.createFolder(`${folder}/x/y/z`);
    files.createFolder(`${folder}/x/y/z`);
    files.createFolder(`${folder}/x/w`);
    expect(files.list(`${folder}/x`)).toEqual(['w', 'y']);
    expect(files.status(`${folder}/x/y/z`)?.isFolder).toBe(true);
  });

  inPlace('a file in the way of a folder is an error', ({ open, files, folder }) => {
    open('a', 'create');
    caught(() => files.createFolder(`${folder}/a/b`));
    caught(() => files.createFolder(`${folder}/a`));
  });

  inPlace('removeFolder takes empty folders only', ({ open, files, folder }) => {
    files.createFolder(`${folder}/sub`);
    open('sub/a', 'create');
    caught(() => files.removeFolder(`${folder}/sub`));
    files.remove(`${folder}/sub/a`);
    files.removeFolder(`${folder}/sub`);
    expect(files.status(`${folder}/sub`)).toBeUndefined();
    expectErrno(() => files.removeFolder(`${folder}/sub`), 'ENOENT', `${folder}/sub`);
  });

  inPlace('status tells size, kind and links', ({ open, files, folder }) => {
    open('a', 'create').writeSync(pattern(777), 0);
    expect(files.status(`${folder}/a`)).toEqual({ sizeBytes: 777, isFolder: false, links: 1 });
    expect(files.status(folder)?.isFolder).toBe(true);
    expect(files.status(`${folder}/none/deeper`)).toBeUndefined();
  });

  inPlace('remove frees the name; an open file stays readable and writable', ({ open, files, folder }) => {
    const file = open('a', 'create');
    file.writeSync(text('still here'), 0);
    files.remove(`${folder}/a`);
    expect(files.status(`${folder}/a`)).toBeUndefined();
    expect(files.list(folder)).toEqual([]);
    expect(readAll(file)).toEqual(text('still here'));
    file.writeSync(text('more'), 10);
    const again = open('a', 'create');
    expect(again.sizeBytes()).toBe(0);
    expect(readAll(file)).toEqual(text('still heremore'));
    expectErrno(() => files.remove(`${folder}/b`), 'ENOENT', `${folder}/b`);
  });

  inPlace('remove refuses a folder', ({ files, folder }) => {
    files.createFolder(`${folder}/sub`);
    caught(() => files.remove(`${folder}/sub`));
    expect(files.status(`${folder}/sub`)?.isFolder).toBe(true);
  });

  inPlace('syncing a folder answers in both forms; a missing one is ENOENT', async ({ files, folder }) => {
    files.syncFolderSync(folder);
    await files.syncFolder(folder);
    expectErrno(() => files.syncFolderSync(`${folder}/none`), 'ENOENT', `${folder}/none`);
    await expect(files.syncFolder(`${folder}/none`)).rejects.toBeInstanceOf(IoError);
  });

  inPlace('free bytes are a positive number', ({ files, folder }) => {
    expect(files.freeBytes(folder)).toBeGreaterThan(0);
    expect(files.readOnly).toBe(false);
  });
}

function renameTests(inPlace: InPlace): void {
  inPlace(
    'a file keeps its identity under another name, and who gets its name has another',
    ({ files, folder, open }) => {
      open('a', 'create');
      const identity = files.identity(`${folder}/a`);
      expect(typeof identity).toBe('string');
      expect(files.identity(`${folder}/a`)).toBe(identity);
      files.rename(`${folder}/a`, `${folder}/b`);
      expect(files.identity(`${folder}/a`)).toBeUndefined();
      open('a', 'create');
      expect(files.identity(`${folder}/b`)).toBe(identity);
      expect(files.identity(`${folder}/a`)).not.toBe(identity);
    },
  );

  inPlace('rename moves a name and replaces what was there', ({ open, files, folder }) => {
    open('new', 'create').writeSync(text('new'), 0);
    const old = open('target', 'create');
    old.writeSync(text('old!'), 0);
    files.rename(`${folder}/new`, `${folder}/target`);
    expect(files.list(folder)).toEqual(['target']);
    expect(readAll(open('target', 'read'))).toEqual(text('new'));
    expect(readAll(old)).toEqual(text('old!'));
  });

  inPlace('rename goes across folders and takes folders along', ({ open, files, folder }) => {
    files.createFolder(`${folder}/x`);
    files.createFolder(`${folder}/y`);
    open('x/a', 'create').writeSync(text('a'), 0);
    files.rename(`${folder}/x/a`, `${folder}/y/b`);
    files.rename(`${folder}/y`, `${folder}/z`);
    expect(files.list(folder)).toEqual(['x', 'z']);
    expect(readAll(open('z/b', 'read'))).toEqual(text('a'));
  });

  inPlace('renaming what is missing is ENOENT; onto itself nothing happens', ({ open, files, folder }) => {
    caught(() => files.rename(`${folder}/a`, `${folder}/b`));
    expect(caught(() => files.rename(`${folder}/a`, `${folder}/b`)).details.errno).toBe('ENOENT');
    open('a', 'create').writeSync(text('a'), 0);
    files.rename(`${folder}/a`, `${folder}/a`);
    expect(readAll(open('a', 'read'))).toEqual(text('a'));
  });
}

function copyTests(inPlace: InPlace): void {
  inPlace('copy is whole and its own', async ({ open, files, folder }) => {
    const source = open('a', 'create');
    const bytes = pattern(2_500_000);
    source.writeSync(bytes, 0);
    await files.copy(`${folder}/a`, `${folder}/b`);
    source.writeSync(text('changed'), 0);
    expect(Buffer.compare(readAll(open('b', 'read')), bytes)).toBe(0);
  });

  inPlace('copy never replaces, and needs a source', async ({ open, files, folder }) => {
    open('a', 'create').writeSync(text('a'), 0);
    open('b', 'create').writeSync(text('b'), 0);
    await expect(files.copy(`${folder}/a`, `${folder}/b`)).rejects.toMatchObject({ details: { errno: 'EEXIST' } });
    await expect(files.copy(`${folder}/none`, `${folder}/c`)).rejects.toMatchObject({ details: { errno: 'ENOENT' } });
    expect(readAll(open('b', 'read'))).toEqual(text('b'));
    expect(files.list(folder)).toEqual(['a', 'b']);
  });

  inPlace('an empty file can be copied', async ({ open, files, folder }) => {
    open('a', 'create');
    await files.copy(`${folder}/a`, `${folder}/b`);
    expect(open('b', 'read').sizeBytes()).toBe(0);
  });
}

function lockTests(inPlace: InPlace): void {
  inPlace('one exclusive lock excludes all others, two shared ones get on', ({ open }) => {
    const a = open('lock', 'create');
    const b = open('lock', 'write');
    const c = open('lock', 'write');
    expect(a.tryLock('exclusive', 0)).toBe(true);
    expect(b.tryLock('exclusive', 0)).toBe(false);
    expect(b.tryLock('shared', 0)).toBe(false);
    a.unlock(0);
    expect(b.tryLock('shared', 0)).toBe(true);
    expect(c.tryLock('shared', 0)).toBe(true);
    expect(a.tryLock('exclusive', 0)).toBe(false);
  });

  inPlace('locks of different bytes do not meet', ({ open }) => {
    const a = open('lock', 'create');
    const b = open('lock', 'write');
    expect(a.tryLock('exclusive', 0)).toBe(true);
    expect(b.tryLock('exclusive', 1)).toBe(true);
    expect(b.tryLock('exclusive', 2 ** 40)).toBe(true);
    expect(a.tryLock('exclusive', 2 ** 40)).toBe(false);
    a.unlock(0);
    expect(b.tryLock('exclusive', 0)).toBe(true);
    expect(a.tryLock('exclusive', 1)).toBe(false);
  });

  inPlace('a lock needs no byte in the file and writes none', ({ open }) => {
    const a = open('lock', 'create');
    expect(a.tryLock('exclusive', 7)).toBe(true);
    expect(a.sizeBytes()).toBe(0);
  });

  inPlace('closing drops the locks of that file only', ({ open }) => {
    const a = open('lock', 'create');
    const b = open('lock', 'write');
    const c = open('lock', 'write');
    expect(a.tryLock('exclusive', 0)).toBe(true);
    b.close();
    expect(c.tryLock('exclusive', 0)).toBe(false);
    a.close();
    expect(c.tryLock('exclusive', 0)).toBe(true);
  });

  inPlace('a lock may be taken again, raised and lowered by its holder', ({ open }) => {
    const a = open('lock', 'create');
    const b = open('lock', 'write');
    expect(a.tryLock('shared', 0)).toBe(true);
    expect(a.tryLock('exclusive', 0)).toBe(true);
    expect(a.tryLock('exclusive', 0)).toBe(true);
    expect(b.tryLock('shared', 0)).toBe(false);
    expect(a.tryLock('shared', 0)).toBe(true);
    expect(b.tryLock('shared', 0)).toBe(true);
    expect(a.tryLock('exclusive', 0)).toBe(false);
    a.unlock(0);
    a.unlock(0);
    expect(b.tryLock('exclusive', 0)).toBe(true);
  });

  inPlace('whether another holds a lock is told to readers too, and takes nothing', ({ open }) => {
    const a = open('lock', 'create');
    const reader = open('lock', 'read');
    expect(reader.isLockedByOther(0)).toBe(false);
    expect(a.tryLock('exclusive', 0)).toBe(true);
    expect(a.isLockedByOther(0)).toBe(false);
    expect(reader.isLockedByOther(0)).toBe(true);
    expect(reader.isLockedByOther(1)).toBe(false);
    expect(a.tryLock('shared', 0)).toBe(true);
    expect(reader.isLockedByOther(0)).toBe(false);
    expect(a.tryLock('exclusive', 0)).toBe(true);
    a.close();
    expect(reader.isLockedByOther(0)).toBe(false);
  });

  inPlace('the lock stays with a file that was renamed', ({ open, files, folder }) => {
    const a = open('lock', 'create');
    expect(a.tryLock('exclusive', 0)).toBe(true);
    files.rename(`${folder}/lock`, `${folder}/moved`);
    expect(open('moved', 'write').tryLock('exclusive', 0)).toBe(false);
    expect(open('lock', 'create').tryLock('exclusive', 0)).toBe(true);
  });
}

function worldTests(inPlace: InPlace): void {
  inPlace('clocks go forward, random bytes differ, turns and timers come', async ({ env }) => {
    const before = env.clock.monotonicMs();
    expect(env.clock.wallMs()).toBeGreaterThan(1_600_000_000_000);
    const a = new Uint8Array(32);
    const b = new Uint8Array(32);
    env.random.fill(a);
    env.random.fill(b);
    expect(a).not.toEqual(b);
    const order: string[] = [];
    env.timers.after(0, () => order.push('cancelled')).cancel();
    await new Promise<void>((resolve) => {
      env.timers.nextTurn(() => {
        order.push('turn');
        resolve();
      });
      order.push('now');
    });
    expect(order).toEqual(['now', 'turn']);
    await new Promise<void>((resolve) => {
      env.timers.after(5, resolve);
    });
    expect(env.clock.monotonicMs()).toBeGreaterThanOrEqual(before + 4);
    expect(order).toEqual(['now', 'turn']);
    expect(env.process.pid).toBeGreaterThan(0);
    expect(env.process.host.length).toBeGreaterThan(0);
  });
}
