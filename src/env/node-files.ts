/** The real file system: data through the native module, names and folders through node:fs. */

import {
  constants,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  type Stats,
  statfsSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { copyFile, open as openForSync, unlink } from 'node:fs/promises';
import type { NativeAddon } from './addon.ts';
import type { File, FileStatus, FileSystem, OpenOptions } from './env.ts';
import { errnoOf } from './io-error.ts';
import { nodeFailure } from './node-failure.ts';
import { AppendAnswers, NodeFile, nativeFailure } from './node-file.ts';
import { absolutePath, parentPath } from './paths.ts';

const MODES = { read: 0, write: 1, create: 2 } as const;

/** What is at `path`, by node:fs; undefined where nothing is. */
export function statusOf(path: string): FileStatus | undefined {
  const stats: Stats | undefined = attempt('status', path, () => statSync(path, { throwIfNoEntry: false }));
  if (stats === undefined) return undefined;
  return { sizeBytes: stats.size, isFolder: stats.isDirectory(), links: Math.max(1, stats.nlink) };
}

/** The sorted names in a folder, by node:fs. */
export function namesIn(path: string): string[] {
  return attempt('list', path, () => readdirSync(path)).sort();
}

/** Free bytes for unprivileged users; Infinity where the system does not tell. */
export function freeBytesOf(path: string): number {
  return attempt('freeBytes', path, () => {
    const { bavail, bsize, blocks } = statfsSync(path);
    return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize;
  });
}

export class NodeFiles implements FileSystem {
  readonly readOnly = false;
  readonly #addon: NativeAddon;
  readonly #answers: AppendAnswers;

  constructor(addon: NativeAddon) {
    this.#addon = addon;
    this.#answers = new AppendAnswers(addon);
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
      mkdirSync(full);
    } catch (error) {
      const failure = nodeFailure('createFolder', path, error);
      // Somebody else was quicker; what they made is as good.
      if (errnoOf(failure) === 'EEXIST' && statusOf(full)?.isFolder === true) return;
      throw failure;
    }
    this.syncFolderSync(parent);
  }

  remove(path: string): void {
    attempt('remove', path, () => unlinkSync(path));
  }

  removeFolder(path: string): void {
    attempt('removeFolder', path, () => rmdirSync(path));
  }

  rename(from: string, to: string): void {
    attempt('rename', from, () => renameSync(from, to));
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
    try {
      // A reflink, copy_file_range or a plain copy, whichever the system has first; what failed half way is removed.
      await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    } catch (error) {
      throw nodeFailure('copy', from, error);
    }
    try {
      // Windows syncs only what is open for writing; elsewhere a copy of a protected file could not be opened so.
      const copy = await openForSync(to, process.platform === 'win32' ? 'r+' : 'r');
      try {
        await copy.sync();
      } finally {
        await copy.close();
      }
    } catch (error) {
      await unlink(to).catch(() => undefined);
      throw nodeFailure('copy', to, error);
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
