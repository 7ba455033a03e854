/** The real file system: data through the native module, names and folders through node:fs. */

import type { Stats } from 'node:fs';
import type { NativeAddon } from './addon.ts';
import { fs } from './builtin.ts';
import type { File, FileStatus, FileSystem, OpenOptions } from './env.ts';
import { errnoOf } from './io-error.ts';
import { nodeFailure } from './node-failure.ts';
import { AppendAnswers, NodeFile, nativeFailure } from './node-file.ts';
import { absolutePath, parentPath } from './paths.ts';

const MODES = { read: 0, write: 1, create: 2 } as const;

/** What is at `path`, by node:fs; undefined where nothing is. */
export function statusOf(path: string): FileStatus | undefined {
  const stats: Stats | undefined = attempt('status', path, () => fs.statSync(path, { throwIfNoEntry: false }));
  if (stats === undefined) return undefined;
  return { sizeBytes: stats.size, isFolder: stats.isDirectory(), links: Math.max(1, stats.nlink) };
}

/** Volume and number of the file at `path`, by node:fs; undefined where nothing is, or it has no number. */
export function identityOf(path: string): string | undefined {
  const stats = attempt('identity', path, () => fs.statSync(path, { bigint: true, throwIfNoEntry: false }));
  return stats === undefined || stats.ino === 0n ? undefined : `${stats.dev}:${stats.ino}`;
}

/** The sorted names in a folder, by node:fs. */
export function namesIn(path: string): string[] {
  return attempt('list', path, () => fs.readdirSync(path)).sort();
}

/** Free bytes for unprivileged users; Infinity where the system does not tell. */
export function freeBytesOf(path: string): number {
  return attempt('freeBytes', path, () => {
    const { bavail, bsize, blocks } = fs.statfsSync(path);
    return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize;
  });
}

/** Removed files whose room is given back off the thread, at once: descriptors are scarce. */
const MOST_CLOSING = 256;

export class NodeFiles implements FileSystem {
  #closing = 0;
  readonly readOnly = false;
  readonly #addon: NativeAddon;
  readonly #answers: AppendAnswers;

  constructor(addon: NativeAddon) {
    this.#addon = addon;
    this.#answers = new AppendAnswers(addon);
  }

  absolute(path: string): string {
    return absolutePath(path);
  }

  open(path: string, options: OpenOptions): File {
    const full = absolutePath(path);
    const handle = this.#addon.open(full, MODES[options.mode], options.direct === true ? 1 : 0);
    if (handle < 0) throw nativeFailure(this.#addon, 'open', path, handle);
    return new NodeFile(this.#addon, this.#answers, path, handle);
  }

  status(path: string): FileStatus | undefined {
    return statusOf(path);
  }

  identity(path: string): string | undefined {
    return identityOf(path);
  }

  list(path: string): string[] {
    return namesIn(path);
  }

  createFolder(path: string): void {
    const full = absolutePath(path);
    const there = statusOf(full);
    if (there?.isFolder === true) return;
    const parent = parentPath(full);
    if (parent !== full && there === undefined) this.createFolder(parent);
    try {
      fs.mkdirSync(full);
    } catch (error) {
      const failure = nodeFailure('createFolder', path, error);
      // Somebody else was quicker; what they made is as good.
      if (errnoOf(failure) === 'EEXIST' && statusOf(full)?.isFolder === true) return;
      throw failure;
    }
    this.syncFolderSync(parent);
  }

  /**
   * The name goes at once; where the system lets an open file lose its name, what it held is given back by a thread of the
   * pool, since freeing 64 MiB takes some 12 ms.
   */
  remove(path: string): void {
    const isHeld = process.platform !== 'win32' && this.#closing < MOST_CLOSING;
    const held = isHeld ? openIfReadable(path) : undefined;
    try {
      attempt('remove', path, () => fs.unlinkSync(path));
    } finally {
      if (held !== undefined) this.#closeLater(held);
    }
  }

  #closeLater(descriptor: number): void {
    this.#closing++;
    fs.close(descriptor, () => {
      this.#closing--;
    });
  }

  removeFolder(path: string): void {
    attempt('removeFolder', path, () => fs.rmdirSync(path));
  }

  rename(from: string, to: string): void {
    attempt('rename', from, () => fs.renameSync(from, to));
  }

  syncFolderSync(path: string): void {
    const result = this.#addon.syncFolderSync(absolutePath(path));
    if (result < 0) throw nativeFailure(this.#addon, 'syncFolder', path, result);
  }

  async syncFolder(path: string): Promise<void> {
    const result = await this.#addon.syncFolderPooled(absolutePath(path));
    if (result < 0) throw nativeFailure(this.#addon, 'syncFolder', path, result);
  }

  async copy(from: string, to: string): Promise<void> {
    // A reflink, copy_file_range or a plain copy, whichever the system has first; what failed half way is removed.
    const mode = fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE;
    await inPool('copy', from, (done) => fs.copyFile(from, to, mode, done));
    try {
      await this.#syncCopy(to);
    } catch (error) {
      fs.unlink(to, () => undefined);
      throw error;
    }
  }

  async #syncCopy(path: string): Promise<void> {
    // Windows syncs only what is open for writing; elsewhere a copy of a protected file could not be opened so.
    const copy = this.open(path, { mode: process.platform === 'win32' ? 'write' : 'read' });
    try {
      await copy.sync();
    } finally {
      copy.close();
    }
  }

  freeBytes(path: string): number {
    return freeBytesOf(path);
  }

  allocate(sizeBytes: number): Uint8Array {
    return this.#addon.allocate(sizeBytes);
  }
}

function attempt<T>(operation: string, path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw nodeFailure(operation, path, error);
  }
}

function inPool(operation: string, path: string, call: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    call((error) => (error === null ? resolve() : reject(nodeFailure(operation, path, error))));
  });
}

/** A descriptor for nothing but holding the file; undefined where there is none to be had. */
function openIfReadable(path: string): number | undefined {
  try {
    return fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}
