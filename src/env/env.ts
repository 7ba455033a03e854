/**
 * The world as the engine sees it: files, clock, chance and timers. Everything above this floor is handed an `Env` and
 * touches nothing else, so that the real world, files in memory and a simulated, failing disk run the same code.
 *
 * Errors of every implementation: `IoError` (details: operation, path, errno), `DiskFullError` for ENOSPC and EDQUOT,
 * `DatabaseNotFoundError` never (that is the caller's word). A missing file is an `IoError` whose `details.errno` is
 * 'ENOENT'; an exclusive create that lost is one with 'EEXIST'; a read-only file system gives 'EROFS'.
 */

export interface Env {
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly timers: Timers;
  readonly process: ProcessInfo;
}

export interface Clock {
  /** Wall time, milliseconds since 1970. Shown to people; no safety argument rests on it. */
  wallMs(): number;
  /** Milliseconds from an arbitrary start, never falling, sub-millisecond fraction. */
  monotonicMs(): number;
}

export interface Random {
  fill(bytes: Uint8Array): void;
}

export interface Timer {
  cancel(): void;
}

export interface Timers {
  /** Runs `fn` once after `delayMs`, however long, never where that is infinite; keeps the process alive only where `keepAlive` says so (someone awaits the outcome). */
  after(delayMs: number, fn: () => void, keepAlive?: boolean): Timer;
  /** Runs `fn` in a later turn of the event loop, after completed I/O was delivered (setImmediate). Keeps the process alive. */
  nextTurn(fn: () => void): void;
}

export interface ProcessInfo {
  readonly pid: number;
  readonly host: string;
}

export type OpenMode =
  /** Existing file, reading only. */
  | 'read'
  /** Existing file, reading and writing. */
  | 'write'
  /** New file, reading and writing; fails with EEXIST where the name is taken (atomic). */
  | 'create';

export interface OpenOptions {
  readonly mode: OpenMode;
  /**
   * Ask for direct I/O: positions, lengths and buffers must then be multiples of / aligned to 4096 (buffers from
   * `allocate`). Where the file system refuses, the file is opened buffered without an error; see `File.direct`.
   */
  readonly direct?: boolean;
}

export interface FileStatus {
  readonly sizeBytes: number;
  readonly isFolder: boolean;
  /** Number of hard links, 1 where the system does not tell. */
  readonly links: number;
}

export interface FileSystem {
  /** True where nothing can be written through this file system at all (no native module, read-only env). */
  readonly readOnly: boolean;
  /**
   * The absolute form of a folder that a user names, against the working directory of this moment: to be asked once, since the
   * directory may be another one at the next call. Throws `InvalidArgumentError` for what is no path. As it is given where
   * there is no working directory.
   */
  absolute(path: string): string;
  /** EISDIR for a folder, EINVAL for what is neither (a FIFO, a device): never waits for anybody. */
  open(path: string, options: OpenOptions): File;
  /** Undefined where nothing is at `path`. */
  status(path: string): FileStatus | undefined;
  /**
   * What tells the file at `path` from every other that is there or comes to have its name while it is open; a rename leaves
   * it as it is. Undefined where nothing is at `path`, or the system does not tell.
   */
  identity(path: string): string | undefined;
  /** Names in a folder, sorted, without '.' and '..'. ENOENT where there is no folder. */
  list(path: string): string[];
  /** Creates a folder; parents too. No error where it is there already. Parents of new folders are synced. */
  createFolder(path: string): void;
  remove(path: string): void;
  removeFolder(path: string): void;
  /** Atomic; replaces `to` where it is there. */
  rename(from: string, to: string): void;
  /** Makes creations, removals and renames in this folder durable. No-op where the system has no such thing. */
  syncFolderSync(path: string): void;
  syncFolder(path: string): Promise<void>;
  /** A reflink where the file system can, else a full copy; the copy is synced. `to` must not exist. */
  copy(from: string, to: string): Promise<void>;
  /** Free bytes of the volume that holds `path`; Infinity where unknown. */
  freeBytes(path: string): number;
  /** A page-aligned, zeroed buffer for direct I/O. Costly: allocate once, reuse. */
  allocate(sizeBytes: number): Uint8Array;
}

export type LockKind = 'exclusive' | 'shared';

/**
 * An open file. Positional only; there is no file pointer. Several asynchronous calls may be under way at once; nobody
 * reads or reuses a buffer while a call on it is pending. `close` must not be called with calls pending.
 */
export interface File {
  readonly path: string;
  /** True where direct I/O is in force. */
  readonly direct: boolean;
  sizeBytes(): number;
  /** Fills `into` from `position`; answers the bytes read, fewer only at the end of the file. */
  readSync(into: Uint8Array, position: number): number;
  read(into: Uint8Array, position: number): Promise<number>;
  /** Writes all of `from` or throws. */
  writeSync(from: Uint8Array, position: number): void;
  write(from: Uint8Array, position: number): Promise<void>;
  /** Data and size durable (fdatasync; F_FULLFSYNC on macOS; FlushFileBuffers on Windows). */
  syncSync(): void;
  sync(): Promise<void>;
  /**
   * The log's one job: write `from[0, length)` at `position`, sync, then read the 4096 bytes at `sealPosition` back from
   * the file. Answers true where the seal is still all zero. On the calling thread.
   */
  appendSync(from: Uint8Array, length: number, position: number, sealPosition: number): boolean;
  /** The same on the log thread (jobs run there one after another, in the order given; not in the libuv pool). */
  append(from: Uint8Array, length: number, position: number, sealPosition: number): Promise<boolean>;
  /**
   * Allocates `[position, position + length)` and writes zeros there, so that later writes need neither allocation nor
   * a change of size; durable when answered. Positions and lengths are multiples of 4096.
   */
  reserve(position: number, length: number): Promise<void>;
  /** Allocates blocks without writing (fallocate); a hint: no error where unsupported. ENOSPC is an error. */
  allocateSync(position: number, length: number): void;
  truncateSync(sizeBytes: number): void;
  /**
   * Tries a lock on the one byte at `position`; false where somebody else (another process, or another `File` of this one)
   * holds a conflicting one. Dropped by `unlock`, `close` or the end of the process; never by an unrelated close.
   */
  tryLock(kind: LockKind, position: number): boolean;
  unlock(position: number): void;
  /** Whether anyone else holds an exclusive lock there. Takes none, writes nothing, never waits; works on a file opened 'read'. */
  isLockedByOther(position: number): boolean;
  close(): void;
}
