/** A world that tells of every operation that changes files, right after it was done. What appends do is told in three parts. */
import { IoError } from '../../src/base/errors.ts';
import type { Env, File, FileSystem, OpenOptions } from '../../src/env/env.ts';

export type Deed =
  | { readonly kind: FolderDeed; readonly path: string }
  | { readonly kind: 'write'; readonly path: string; readonly position: number; readonly isZero: boolean }
  | { readonly kind: AppendDeed; readonly path: string; readonly position: number }
  | { readonly kind: 'seal read'; readonly path: string; readonly position: number; readonly isZero: boolean };

type FolderDeed = 'create' | 'list' | 'remove' | 'sync' | 'sync-folder' | 'folder synced' | 'folder not synced';
type AppendDeed = 'batch written' | 'batch synced' | 'batch not written' | 'batch not synced';

/** What its caller waits for. An append has three parts, the sync of a folder is one. */
export interface HeldWork {
  /** Does the next part; false after the last. */
  go(): boolean;
  /** The disk refuses the next part, where that is a write or a sync; else as `go`. */
  fail(): boolean;
}

/** `hold` takes what is waited for; where it is not given that is not told of. */
export function watchedEnv(env: Env, tell: (deed: Deed) => void, hold?: (work: HeldWork) => void): Env {
  const inner = env.files;
  const files: FileSystem = {
    readOnly: false,
    absolute: (path) => inner.absolute(path),
    open(path: string, options: OpenOptions): File {
      const file = inner.open(path, options);
      if (options.mode === 'create') tell({ kind: 'create', path });
      return watchedFile(file, tell, hold);
    },
    status: (path) => inner.status(path),
    identity: (path) => inner.identity(path),
    list(path) {
      const names = inner.list(path);
      tell({ kind: 'list', path });
      return names;
    },
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
    syncFolder(path) {
      if (hold === undefined) return inner.syncFolder(path);
      const work = (): Deed => {
        inner.syncFolderSync(path);
        return { kind: 'folder synced', path };
      };
      return holdUntilDone(hold, tell, [work], [{ kind: 'folder not synced', path }]).then(() => undefined);
    },
    copy: (from, to) => inner.copy(from, to),
    freeBytes: (path) => inner.freeBytes(path),
    allocate: (sizeBytes) => inner.allocate(sizeBytes),
  };
  return { ...env, files };
}

function watchedFile(file: File, tell: (deed: Deed) => void, hold?: (work: HeldWork) => void): File {
  const { path } = file;
  /** Of an append: the write, the sync, the look at the seal. */
  const parts = (from: Uint8Array, length: number, position: number, sealPosition: number): (() => Deed)[] => [
    () => {
      file.writeSync(from.subarray(0, length), position);
      return { kind: 'batch written', path, position };
    },
    () => {
      file.syncSync();
      return { kind: 'batch synced', path, position };
    },
    () => {
      const seal = new Uint8Array(4096);
      file.readSync(seal, sealPosition);
      return { kind: 'seal read', path, position, isZero: seal.every((byte) => byte === 0) };
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
      let deed: Deed | undefined;
      for (const part of parts(from, length, position, sealPosition)) {
        deed = part();
        tell(deed);
      }
      return deed?.kind === 'seal read' && deed.isZero;
    },
    append(from, length, position, sealPosition) {
      if (hold === undefined) return file.append(from, length, position, sealPosition);
      const refusals = (['batch not written', 'batch not synced'] as const).map((kind) => ({ kind, path, position }));
      const last = holdUntilDone(hold, tell, parts(from, length, position, sealPosition), refusals);
      return last.then((deed) => deed.kind === 'seal read' && deed.isZero);
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

/**
 * Resolves with the deed of the last part. `refusals`: of the first parts, those that can be refused. The log hears before it is
 * told: what others do meanwhile it hears of later, as from threads that are done in this order.
 */
function holdUntilDone(
  hold: (work: HeldWork) => void,
  tell: (deed: Deed) => void,
  parts: (() => Deed)[],
  refusals: Deed[],
): Promise<Deed> {
  return new Promise<Deed>((resolve, reject) => {
    const refuse = (deed: Deed): Deed => {
      parts.length = 0;
      reject(new IoError(`EIO: ${deed.kind}`, { details: { path: deed.path, errno: 'EIO' } }));
      return deed;
    };
    const take = (isRefused: boolean): boolean => {
      const refusal = refusals.shift();
      const isOver = isRefused && refusal !== undefined;
      const deed = isOver ? refuse(refusal) : (parts.shift() as () => Deed)();
      if (!isOver && parts.length === 0) resolve(deed);
      try {
        tell(deed);
      } catch (error) {
        parts.length = 0;
        reject(error);
      }
      return parts.length > 0;
    };
    hold({ go: () => take(false), fail: () => take(true) });
  });
}
