/**
 * The world without the native module: files can be read, nothing can be written. It lets a database be opened for reading
 * on any platform Node runs on; whatever would write throws `NativeMissingError`.
 */

import { fs } from './builtin.ts';
import type { Env, File, FileStatus, FileSystem, OpenOptions } from './env.ts';
import { ioError } from './io-error.ts';
import { nativeMissing } from './native-missing.ts';
import { nodeFailure } from './node-failure.ts';
import { freeBytesOf, identityOf, namesIn, statusOf } from './node-files.ts';
import { absolutePath } from './paths.ts';
import { systemClock, systemProcess, systemRandom, systemTimers } from './system-world.ts';

const CLOSED = -1;
/** Without waiting: a FIFO in the place of a file would hold the thread until somebody writes to it. Windows has no such flag. */
const OPEN_FLAGS = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0);

/** A read-only environment in pure JavaScript. */
export function portableEnv(): Env {
  return {
    files: new PortableFiles(),
    clock: systemClock,
    random: systemRandom,
    timers: systemTimers,
    process: systemProcess(),
  };
}

class PortableFiles implements FileSystem {
  readonly readOnly = true;

  absolute(path: string): string {
    return absolutePath(path);
  }

  open(path: string, options: OpenOptions): File {
    if (options.mode !== 'read') throw nativeMissing();
    return new PortableFile(path);
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

  createFolder(): void {
    throw nativeMissing();
  }

  remove(): void {
    throw nativeMissing();
  }

  removeFolder(): void {
    throw nativeMissing();
  }

  rename(): void {
    throw nativeMissing();
  }

  syncFolderSync(): void {
    throw nativeMissing();
  }

  async syncFolder(): Promise<void> {
    throw nativeMissing();
  }

  async copy(): Promise<void> {
    throw nativeMissing();
  }

  freeBytes(path: string): number {
    return freeBytesOf(path);
  }

  /** Without direct I/O there is nothing to be aligned for. */
  allocate(sizeBytes: number): Uint8Array {
    return new Uint8Array(sizeBytes);
  }
}

class PortableFile implements File {
  readonly path: string;
  readonly direct = false;
  #fd: number;

  constructor(path: string) {
    this.path = path;
    this.#fd = this.#attempt('open', () => fs.openSync(absolutePath(path), OPEN_FLAGS));
    const stats = this.#attempt('open', () => fs.fstatSync(this.#fd));
    if (stats.isFile()) return;
    this.close();
    throw ioError('open', path, stats.isDirectory() ? 'EISDIR' : 'EINVAL');
  }

  sizeBytes(): number {
    return this.#attempt('size', () => fs.fstatSync(this.#live('size')).size);
  }

  readSync(into: Uint8Array, position: number): number {
    const fd = this.#live('read');
    let done = 0;
    while (done < into.length) {
      const count = this.#attempt('read', () => fs.readSync(fd, into, done, into.length - done, position + done));
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    const fd = this.#live('read');
    let done = 0;
    while (done < into.length) {
      const count = await this.#readOnce(fd, into, done, position + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  syncSync(): void {
    this.#attempt('sync', () => fs.fdatasyncSync(this.#live('sync')));
  }

  async sync(): Promise<void> {
    const fd = this.#live('sync');
    await new Promise<void>((resolve, reject) => {
      fs.fdatasync(fd, (error) => (error === null ? resolve() : reject(nodeFailure('sync', this.path, error))));
    });
  }

  writeSync(): void {
    throw nativeMissing();
  }

  async write(): Promise<void> {
    throw nativeMissing();
  }

  appendSync(): boolean {
    throw nativeMissing();
  }

  async append(): Promise<boolean> {
    throw nativeMissing();
  }

  async reserve(): Promise<void> {
    throw nativeMissing();
  }

  allocateSync(): void {
    throw nativeMissing();
  }

  truncateSync(): void {
    throw nativeMissing();
  }

  tryLock(): boolean {
    throw nativeMissing();
  }

  unlock(): void {}

  /**
   * Linux lists all locks in a file that anyone may read. Elsewhere nobody can tell without the native module, and the
   * answer is that somebody may well hold it: then only what is proven durable is read.
   */
  isLockedByOther(position: number): boolean {
    const inode = this.#attempt('lock', () => fs.fstatSync(this.#live('lock'), { bigint: true }).ino);
    try {
      return listsExclusiveLock(fs.readFileSync('/proc/locks', 'latin1'), inode, position);
    } catch {
      return true;
    }
  }

  close(): void {
    const fd = this.#fd;
    this.#fd = CLOSED;
    if (fd !== CLOSED) this.#attempt('close', () => fs.closeSync(fd));
  }

  #live(operation: string): number {
    if (this.#fd === CLOSED) throw ioError(operation, this.path, 'EBADF', new Error('the file is closed'));
    return this.#fd;
  }

  #readOnce(fd: number, into: Uint8Array, offset: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.read(fd, into, offset, into.length - offset, position, (error, count) =>
        error === null ? resolve(count) : reject(nodeFailure('read', this.path, error)),
      );
    });
  }

  #attempt<T>(operation: string, call: () => T): T {
    try {
      return call();
    } catch (error) {
      throw nodeFailure(operation, this.path, error);
    }
  }
}

/**
 * Looks for a line like `3: OFDLCK ADVISORY  WRITE -1 fe:00:1234 0 0` (kind, mode, pid, device:inode, first and last
 * byte). The device is not compared: some file systems show another there than to stat, and a lock too many is the safe side.
 */
export function listsExclusiveLock(listing: string, inode: bigint, position: number): boolean {
  for (const line of listing.split('\n')) {
    const match = /(?:OFDLCK|POSIX)\s+\S+\s+WRITE\s+\S+\s+[0-9a-f]+:[0-9a-f]+:(\d+)\s+(\d+)\s+(\d+|EOF)/.exec(line);
    if (match === null || BigInt(match[1] as string) !== inode) continue;
    const last = match[3] === 'EOF' ? Number.POSITIVE_INFINITY : Number(match[3]);
    if (Number(match[2]) <= position && position <= last) return true;
  }
  return false;
}
