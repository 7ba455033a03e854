/** A world that tells of every operation that changes files, right after it was done. What appends does is told in its three parts. */
import type { Env, File, FileSystem, OpenOptions } from '../../src/env/env.ts';

export type Deed =
  | { readonly kind: 'create' | 'remove' | 'sync' | 'sync-folder'; readonly path: string }
  | { readonly kind: 'write'; readonly path: string; readonly position: number; readonly isZero: boolean }
  | { readonly kind: 'batch written' | 'batch synced'; readonly path: string; readonly position: number }
  | { readonly kind: 'seal read'; readonly path: string; readonly position: number; readonly isZero: boolean };

/** An append that its caller waits for: each call of `go` does the next of its three parts, and answers false after the last. */
export interface HeldAppend {
  go(): boolean;
}

/** `hold` takes appends that are waited for; where it is not given they are not told of. */
export function watchedEnv(env: Env, tell: (deed: Deed) => void, hold?: (append: HeldAppend) => void): Env {
  const inner = env.files;
  const files: FileSystem = {
    readOnly: false,
    open(path: string, options: OpenOptions): File {
      const file = inner.open(path, options);
      if (options.mode === 'create') tell({ kind: 'create', path });
      return watchedFile(file, tell, hold);
    },
    status: (path) => inner.status(path),
    list: (path) => inner.list(path),
    createFolder: (path) => inner.createFolder(path),
    remove(path) {
      inner.remove(path);
      tell({ kind: 'remove', path });
    },
    removeFolder: (path) => inner.removeFolder(path),
    rename: (from, to) => inner.rename(from, to),
    syncFolderSync(path) {
      inner.syncFolderSync(path);
      tell({ kind: 'sync-folder', path });
    },
    syncFolder: (path) => inner.syncFolder(path),
    copy: (from, to) => inner.copy(from, to),
    freeBytes: (path) => inner.freeBytes(path),
    allocate: (sizeBytes) => inner.allocate(sizeBytes),
  };
  return { ...env, files };
}

function watchedFile(file: File, tell: (deed: Deed) => void, hold?: (append: HeldAppend) => void): File {
  const { path } = file;
  /** Of an append: the write, the sync, the look at the seal. */
  const parts = (from: Uint8Array, length: number, position: number, sealPosition: number): (() => boolean)[] => [
    () => {
      file.writeSync(from.subarray(0, length), position);
      tell({ kind: 'batch written', path, position });
      return true;
    },
    () => {
      file.syncSync();
      tell({ kind: 'batch synced', path, position });
      return true;
    },
    () => {
      const seal = new Uint8Array(4096);
      file.readSync(seal, sealPosition);
      const isZero = seal.every((byte) => byte === 0);
      tell({ kind: 'seal read', path, position, isZero });
      return isZero;
    },
  ];
  return {
    path,
    direct: file.direct,
    sizeBytes: () => file.sizeBytes(),
    readSync: (into, position) => file.readSync(into, position),
    read: (into, position) => file.read(into, position),
    writeSync(from, position) {
      file.writeSync(from, position);
      tell({ kind: 'write', path, position, isZero: from.every((byte) => byte === 0) });
    },
    write: (from, position) => file.write(from, position),
    syncSync() {
      file.syncSync();
      tell({ kind: 'sync', path });
    },
    sync: () => file.sync(),
    appendSync(from, length, position, sealPosition) {
      let isZero = false;
      for (const part of parts(from, length, position, sealPosition)) isZero = part();
      return isZero;
    },
    append(from, length, position, sealPosition) {
      if (hold === undefined) return file.append(from, length, position, sealPosition);
      return new Promise<boolean>((resolve, reject) => {
        const left = parts(from, length, position, sealPosition);
        const go = (): boolean => {
          try {
            const isZero = (left.shift() as () => boolean)();
            if (left.length === 0) resolve(isZero);
          } catch (error) {
            left.length = 0;
            reject(error);
          }
          return left.length > 0;
        };
        hold({ go });
      });
    },
    reserve: (position, length) => file.reserve(position, length),
    allocateSync: (position, length) => file.allocateSync(position, length),
    truncateSync: (sizeBytes) => file.truncateSync(sizeBytes),
    tryLock: (kind, position) => file.tryLock(kind, position),
    unlock: (position) => file.unlock(position),
    isLockedByOther: (position) => file.isLockedByOther(position),
    close: () => file.close(),
  };
}
