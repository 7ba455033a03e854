/**
 * A database folder as a map of bytes, and worlds to open one in: a read-only one straight over the map, cheap enough for
 * thousands of openings a second, and a copy in memory for openings that write.
 *
 * The read-only world counts what is read. Whoever reads many times what there is goes round in a circle: `WorkLimitError`.
 */
import { ioError } from '../../src/env/io-error.ts';
import type { Clock, Env, File, FileStatus, FileSystem, OpenOptions } from '../../src/env/env.ts';
import { memoryEnv } from '../../src/env/memory-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { systemTimers } from '../../src/env/system-world.ts';

/** By path inside the database's folder. */
export type FolderBytes = ReadonlyMap<string, Uint8Array>;

export const FOLDER = '/db';
const SUBFOLDERS: readonly string[] = ['log', 'data', 'members'];

/** Not a `SopError`: a test that meets it has found an endless loop. */
export class WorkLimitError extends Error {}

/** Time that passes by being asked for: the same on every machine. */
export function countingClock(): Clock {
  let now = 0;
  return { wallMs: () => 1_700_000_000_000, monotonicMs: () => (now += 0.01) };
}

/** A world in memory whose chance and clock are the seed's. */
export function seededEnv(seed: number): Env {
  return memoryEnv({
    random: new SeededRandom(seed),
    clock: countingClock(),
    process: { pid: 1, host: 'here' },
  });
}

export function copyOut(env: Env, folder: string = FOLDER): FolderBytes {
  const found = new Map<string, Uint8Array>();
  const take = (path: string): void => {
    const file = env.files.open(`${folder}/${path}`, { mode: 'read' });
    const bytes = new Uint8Array(file.sizeBytes());
    file.readSync(bytes, 0);
    file.close();
    found.set(path, bytes);
  };
  for (const name of env.files.list(folder)) {
    if (env.files.status(`${folder}/${name}`)?.isFolder !== true) take(name);
    else for (const inner of env.files.list(`${folder}/${name}`)) take(`${name}/${inner}`);
  }
  return found;
}

/** A world in memory that holds a copy of the folder. */
export function writableEnv(folder: FolderBytes, seed: number): Env {
  const env = seededEnv(seed);
  for (const name of SUBFOLDERS) env.files.createFolder(`${FOLDER}/${name}`);
  for (const [path, bytes] of folder) {
    const file = env.files.open(`${FOLDER}/${path}`, { mode: 'create' });
    file.writeSync(bytes, 0);
    file.close();
  }
  return env;
}

/** A world that only reads, straight from the map. `readLimit` bounds the bytes it gives out in all. */
export function readOnlyEnv(folder: FolderBytes, readLimit = Number.POSITIVE_INFINITY): Env {
  return {
    files: new BytesFiles(folder, readLimit),
    clock: countingClock(),
    random: new SeededRandom(1),
    timers: systemTimers,
    process: { pid: 1, host: 'here' },
  };
}

class BytesFiles implements FileSystem {
  readonly readOnly = true;
  readonly #folder: FolderBytes;
  #left: number;

  constructor(folder: FolderBytes, readLimit: number) {
    this.#folder = folder;
    this.#left = readLimit;
  }

  absolute(path: string): string {
    return path;
  }

  open(path: string, options: OpenOptions): File {
    if (options.mode !== 'read') throw ioError('open', path, 'EROFS');
    const bytes = this.#folder.get(inside(path));
    if (bytes === undefined) throw ioError('open', path, 'ENOENT');
    return new BytesFile(path, bytes, (count) => this.#spend(count));
  }

  status(path: string): FileStatus | undefined {
    if (path === FOLDER || SUBFOLDERS.includes(inside(path))) return { sizeBytes: 0, isFolder: true, links: 1 };
    const bytes = this.#folder.get(inside(path));
    return bytes && { sizeBytes: bytes.length, isFolder: false, links: 1 };
  }

  identity(): string | undefined {
    return undefined;
  }

  list(path: string): string[] {
    this.#spend(1);
    const prefix = path === FOLDER ? '' : `${inside(path)}/`;
    const names = new Set<string>(prefix === '' ? SUBFOLDERS : []);
    for (const name of this.#folder.keys()) {
      if (name.startsWith(prefix)) names.add(name.slice(prefix.length).split('/')[0] as string);
    }
    return [...names].sort();
  }

  createFolder(path: string): void {
    throw ioError('createFolder', path, 'EROFS');
  }
  remove(path: string): void {
    throw ioError('remove', path, 'EROFS');
  }
  removeFolder(path: string): void {
    throw ioError('removeFolder', path, 'EROFS');
  }
  rename(path: string): void {
    throw ioError('rename', path, 'EROFS');
  }
  syncFolderSync(): void {}
  async syncFolder(): Promise<void> {}
  async copy(_from: string, to: string): Promise<void> {
    throw ioError('copy', to, 'EROFS');
  }
  freeBytes(): number {
    return Number.POSITIVE_INFINITY;
  }
  allocate(sizeBytes: number): Uint8Array {
    return new Uint8Array(sizeBytes);
  }

  #spend(count: number): void {
    this.#left -= count;
    if (this.#left < 0) throw new WorkLimitError('far more was read than there is');
  }
}

function inside(path: string): string {
  return path.slice(FOLDER.length + 1);
}

class BytesFile implements File {
  readonly direct = false;
  readonly path: string;
  readonly #bytes: Uint8Array;
  readonly #spend: (count: number) => void;

  constructor(path: string, bytes: Uint8Array, spend: (count: number) => void) {
    this.path = path;
    this.#bytes = bytes;
    this.#spend = spend;
  }

  sizeBytes(): number {
    return this.#bytes.length;
  }
  readSync(into: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(into.length, this.#bytes.length - position));
    this.#spend(64 + length);
    if (length > 0) into.set(this.#bytes.subarray(position, position + length));
    return length;
  }
  async read(into: Uint8Array, position: number): Promise<number> {
    return this.readSync(into, position);
  }
  writeSync(): never {
    throw ioError('write', this.path, 'EROFS');
  }
  async write(): Promise<void> {
    this.writeSync();
  }
  syncSync(): void {}
  async sync(): Promise<void> {}
  appendSync(): boolean {
    return this.writeSync();
  }
  async append(): Promise<boolean> {
    return this.writeSync();
  }
  async reserve(): Promise<void> {
    this.writeSync();
  }
  allocateSync(): void {
    this.writeSync();
  }
  truncateSync(): void {
    this.writeSync();
  }
  tryLock(): boolean {
    return true;
  }
  unlock(): void {}
  isLockedByOther(): boolean {
    return false;
  }
  close(): void {}
}
