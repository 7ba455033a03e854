/**
 * Files in memory: what `Database.memory()` runs on. They behave as POSIX files do (a removed open file stays readable,
 * creation is exclusive, rename replaces), are gone with the process, and know no sync: everything written is "durable".
 */

import { ioError } from './io-error.ts';
import type { Clock, Env, File, FileStatus, FileSystem, OpenOptions, ProcessInfo, Random, Timers } from './env.ts';
import { MemoryContent, MemoryFile, MemoryVolume } from './memory-file.ts';
import { splitPath } from './path-names.ts';
import { systemClock, systemProcess, systemRandom, systemTimers } from './system-world.ts';

export interface MemoryEnvOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly timers?: Timers;
  readonly process?: ProcessInfo;
  /** Writes past this many bytes of memory are refused as on a full disk; unbounded by default. */
  readonly capacityBytes?: number;
}

/** An environment of its own: two calls share no file. */
export function memoryEnv(options: MemoryEnvOptions = {}): Env {
  return {
    files: new MemoryFileSystem(options.capacityBytes ?? Number.POSITIVE_INFINITY),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    timers: options.timers ?? systemTimers,
    process: options.process ?? systemProcess(),
  };
}

type MemoryFolder = Map<string, MemoryContent | MemoryFolder>;

interface Place {
  readonly folder: MemoryFolder;
  readonly name: string;
}

export class MemoryFileSystem implements FileSystem {
  readonly readOnly = false;
  readonly #root: MemoryFolder = new Map();
  readonly #volume: MemoryVolume;

  constructor(capacityBytes: number) {
    this.#volume = new MemoryVolume(capacityBytes);
  }

  absolute(path: string): string {
    return path;
  }

  open(path: string, options: OpenOptions): File {
    const { folder, name } = this.#place('open', path);
    let found = folder.get(name);
    if (options.mode === 'create') {
      if (found !== undefined) throw ioError('open', path, 'EEXIST');
      found = new MemoryContent(this.#volume);
      folder.set(name, found);
    }
    if (found === undefined) throw ioError('open', path, 'ENOENT');
    if (found instanceof Map) throw ioError('open', path, 'EISDIR');
    return new MemoryFile(path, found, options.mode !== 'read');
  }

  status(path: string): FileStatus | undefined {
    const found = this.#find(splitPath('status', path));
    if (found === undefined) return undefined;
    if (found instanceof Map) return { sizeBytes: 0, isFolder: true, links: 1 };
    return { sizeBytes: found.sizeBytes, isFolder: false, links: 1 };
  }

  identity(path: string): string | undefined {
    const found = this.#find(splitPath('identity', path));
    return found instanceof MemoryContent ? String(found.id) : undefined;
  }

  list(path: string): string[] {
    return [...this.#folder('list', path, splitPath('list', path)).keys()].sort();
  }

  createFolder(path: string): void {
    let folder = this.#root;
    for (const name of splitPath('createFolder', path)) {
      let next = folder.get(name);
      if (next === undefined) {
        next = new Map();
        folder.set(name, next);
      }
      if (!(next instanceof Map)) throw ioError('createFolder', path, 'ENOTDIR');
      folder = next;
    }
  }

  remove(path: string): void {
    const { folder, name } = this.#place('remove', path);
    const found = folder.get(name);
    if (found === undefined) throw ioError('remove', path, 'ENOENT');
    if (found instanceof Map) throw ioError('remove', path, 'EISDIR');
    folder.delete(name);
    dropName(found);
  }

  removeFolder(path: string): void {
    const { folder, name } = this.#place('removeFolder', path);
    const found = folder.get(name);
    if (found === undefined) throw ioError('removeFolder', path, 'ENOENT');
    if (!(found instanceof Map)) throw ioError('removeFolder', path, 'ENOTDIR');
    if (found.size > 0) throw ioError('removeFolder', path, 'ENOTEMPTY');
    folder.delete(name);
  }

  rename(from: string, to: string): void {
    const source = this.#place('rename', from);
    const moved = source.folder.get(source.name);
    if (moved === undefined) throw ioError('rename', from, 'ENOENT');
    const target = this.#place('rename', to);
    const replaced = target.folder.get(target.name);
    if (replaced === moved) return;
    if (replaced instanceof Map && !(moved instanceof Map)) throw ioError('rename', to, 'EISDIR');
    if (replaced instanceof Map && replaced.size > 0) throw ioError('rename', to, 'ENOTEMPTY');
    if (replaced instanceof MemoryContent && moved instanceof Map) throw ioError('rename', to, 'ENOTDIR');
    source.folder.delete(source.name);
    target.folder.set(target.name, moved);
    if (replaced instanceof MemoryContent) dropName(replaced);
  }

  syncFolderSync(path: string): void {
    this.#folder('syncFolder', path, splitPath('syncFolder', path));
  }

  async syncFolder(path: string): Promise<void> {
    this.syncFolderSync(path);
  }

  async copy(from: string, to: string): Promise<void> {
    const source = this.open(from, { mode: 'read' });
    try {
      const target = this.open(to, { mode: 'create' });
      try {
        copyBytes(source, target);
      } finally {
        target.close();
      }
    } finally {
      source.close();
    }
  }

  freeBytes(_path: string): number {
    return this.#volume.capacityBytes - this.#volume.usedBytes;
  }

  allocate(sizeBytes: number): Uint8Array {
    return new Uint8Array(sizeBytes);
  }

  #place(operation: string, path: string): Place {
    const names = splitPath(operation, path);
    const name = names.pop();
    if (name === undefined) throw ioError(operation, path, 'EISDIR');
    return { folder: this.#folder(operation, path, names), name };
  }

  #folder(operation: string, path: string, names: readonly string[]): MemoryFolder {
    const found = this.#find(names);
    if (found === undefined) throw ioError(operation, path, 'ENOENT');
    if (!(found instanceof Map)) throw ioError(operation, path, 'ENOTDIR');
    return found;
  }

  #find(names: readonly string[]): MemoryContent | MemoryFolder | undefined {
    let at: MemoryContent | MemoryFolder = this.#root;
    for (const name of names) {
      if (!(at instanceof Map)) return undefined;
      const next: MemoryContent | MemoryFolder | undefined = at.get(name);
      if (next === undefined) return undefined;
      at = next;
    }
    return at;
  }
}

function dropName(content: MemoryContent): void {
  content.hasName = false;
  content.releaseIfUnused();
}

function copyBytes(source: File, target: File): void {
  const size = source.sizeBytes();
  const buffer = new Uint8Array(Math.min(size, 1024 * 1024));
  for (let at = 0; at < size; ) {
    const length = source.readSync(buffer, at);
    target.writeSync(length === buffer.length ? buffer : buffer.subarray(0, length), at);
    at += length;
  }
}
