/**
 * A database's folder: its identity (`sop.json`), who has it open (`lock`, `members/`), and where the rest lies.
 *
 *  1. `sop.json` is written under another name, synced and renamed: it is there whole or not at all. It is written again
 *     only to name a feature that older programs must not pass over, before the feature is first used.
 *  2. `lock` never holds data. The exclusive lock on its byte means "open for writing here"; the kernel drops it with us.
 *  3. Who holds the lock of a folder that was moved away, and whose name another folder has now, must not touch that one: before
 *     any file is created or removed by name it is seen that the lock at the path is the one held (`mustBeInPlace`).
 *  4. Names found in the folder are an attacker's input: what does not parse is never opened.
 */
import { hex48 } from '../base/bytes.ts';
import {
  BackupIncompleteError,
  CorruptionError,
  DatabaseFailedError,
  DatabaseLockedError,
  DatabaseNotFoundError,
  FormatUnsupportedError,
  IoError,
} from '../base/errors.ts';
import type { Env, File } from '../env/env.ts';
import { parentPath } from '../env/paths.ts';
import { isoTime } from '../env/iso-time.ts';

export const FORMAT_VERSION = 1;
/** Features of a database that this program knows. */
export type Feature = 'pins';
const KNOWN_FEATURES: readonly string[] = ['pins'];
/** Far beyond any data, since Windows and SMB locks are mandatory. */
const LOCK_POSITION = 0x4000_0000;
/** In the folder of a backup until it is complete: then nobody opens it. */
const INCOMPLETE = 'backup-incomplete';
const MAX_SMALL_FILE_BYTES = 64 * 1024;

export interface Owner {
  readonly pid: number;
  readonly host: string;
  /** ISO 8601. */
  readonly since: string;
}

export interface DatabaseIdentity {
  readonly id: Uint8Array;
  /** Sorted. */
  readonly features: readonly Feature[];
}

export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

export function isMissing(error: unknown): boolean {
  return error instanceof IoError && (error.details.errno === 'ENOENT' || error.details.errno === 'ENOTDIR');
}

const CANNOT_BE_SYNCED: readonly string[] = ['EACCES', 'EPERM', 'EINVAL', 'ENOSYS', 'ENOTSUP', 'EROFS'];

/** A random non-zero u48. */
export function randomWriter(env: Env): number {
  const bytes = new Uint8Array(6);
  for (;;) {
    env.random.fill(bytes);
    const writer = Number.parseInt(toHex(bytes), 16);
    if (writer !== 0) return writer;
  }
}

export class DatabaseFolder {
  readonly env: Env;
  /** Absolute: the process may change its working directory later, and another database may lie under the same name there. */
  readonly path: string;
  readonly #isUnfinished: boolean;
  #lock: File | undefined;
  /** Of the lock that is held; undefined where the system does not tell. */
  #lockIdentity: string | undefined;
  /** Told once it is seen that the folder is not the one that was opened. */
  onReplaced: (failure: DatabaseFailedError) => void = () => {};

  /** `isUnfinished`: for who makes it; to all others a folder with the mark is no database. */
  constructor(env: Env, path: string, isUnfinished = false) {
    this.env = env;
    this.path = env.files.absolute(path);
    this.#isUnfinished = isUnfinished;
  }

  get data(): string {
    return `${this.path}/data`;
  }

  get members(): string {
    return `${this.path}/members`;
  }

  /** Undefined where the folder holds no database. */
  readIdentity(): DatabaseIdentity | undefined {
    if (!this.#isUnfinished && this.incompleteId() !== undefined) {
      throw new BackupIncompleteError(
        `${this.path} holds a backup or salvage that never came to its end; back up into it again, or remove it and salvage anew`,
        { details: { folder: this.path } },
      );
    }
    const path = `${this.path}/sop.json`;
    const text = this.#readSmall(path);
    return text === undefined ? undefined : parseIdentity(text, path);
  }

  mustReadIdentity(): DatabaseIdentity {
    const identity = this.readIdentity();
    if (identity !== undefined) return identity;
    throw new DatabaseNotFoundError(`there is no database in ${this.path}`, { details: { folder: this.path } });
  }

  /** The hex id in the mark of an unfinished backup or salvage; '' where it can not be read. */
  incompleteId(): string | undefined {
    const path = `${this.path}/${INCOMPLETE}`;
    if (this.env.files.status(path) === undefined) return undefined;
    return this.#readSmall(path)?.trim() ?? '';
  }

  /** Durable when answered. A mark that is there, of an attempt before, is never gone in between: there may be copies beside it. */
  markIncomplete(id: Uint8Array): void {
    const { files } = this.env;
    const path = `${this.path}/${INCOMPLETE}`;
    if (files.status(path) === undefined) this.#writeSmall(path, toHex(id), true);
    else {
      const anew = `${path}.new`;
      if (files.status(anew) !== undefined) files.remove(anew);
      this.#writeSmall(anew, toHex(id), true);
      files.rename(anew, path);
    }
    files.syncFolderSync(this.path);
  }

  unmarkIncomplete(): void {
    this.env.files.remove(`${this.path}/${INCOMPLETE}`);
    this.env.files.syncFolderSync(this.path);
  }

  /** Creates what a new database needs, to be settled. Called with the lock held; a crash leaves a folder to create anew. */
  createIdentity(): DatabaseIdentity {
    const { files, random } = this.env;
    for (const name of ['log', 'data', 'members']) files.createFolder(`${this.path}/${name}`);
    const id = new Uint8Array(16);
    random.fill(id);
    const identity = { id, features: [] };
    this.writeIdentity(identity);
    return identity;
  }

  /** Puts `sop.json` in place, to be settled. */
  writeIdentity({ id, features }: DatabaseIdentity): void {
    const { files } = this.env;
    const text = `${JSON.stringify({ sop: 'database', format: FORMAT_VERSION, features, id: toHex(id) }, null, 2)}\n`;
    const temporary = `${this.path}/sop.json.new`;
    if (files.status(temporary) !== undefined) files.remove(temporary);
    this.#writeSmall(temporary, text, true);
    files.rename(temporary, `${this.path}/sop.json`);
  }

  /** From now on, durably, programs that do not know the feature refuse the database. Called with the lock held. */
  requireFeature(feature: Feature): void {
    const identity = this.mustReadIdentity();
    if (identity.features.includes(feature)) return;
    this.mustBeInPlace();
    this.writeIdentity({ id: identity.id, features: [...identity.features, feature].sort() });
    this.env.files.syncFolderSync(this.path);
  }

  /** Makes the names in the folder and all on the way to it durable: whoever created them may have been killed before that. */
  settle(): void {
    const { files } = this.env;
    files.syncFolderSync(this.path);
    try {
      let path = this.path;
      for (let above = parentPath(path); above !== path; above = parentPath(path)) {
        files.syncFolderSync(above);
        path = above;
      }
    } catch (error) {
      // One may be let into a folder that one may not open, and not every file system syncs folders.
      if (!(error instanceof IoError) || !CANNOT_BE_SYNCED.includes(String(error.details.errno))) throw error;
    }
  }

  /** Takes the exclusive lock or throws `DatabaseLockedError` naming the holder. */
  lock(): void {
    const { files } = this.env;
    const path = `${this.path}/lock`;
    let file: File;
    try {
      file = files.open(path, { mode: 'write' });
    } catch (error) {
      if (!isMissing(error)) throw error;
      try {
        file = files.open(path, { mode: 'create' });
      } catch (again) {
        if (!(again instanceof IoError) || again.details.errno !== 'EEXIST') throw again;
        file = files.open(path, { mode: 'write' });
      }
    }
    let isOurs = false;
    try {
      isOurs = file.tryLock('exclusive', LOCK_POSITION);
    } finally {
      if (!isOurs) file.close();
    }
    if (!isOurs) throw this.#lockedError('close it there or open with readOnly');
    this.#lock = file;
    this.#lockIdentity = files.identity(path);
  }

  /**
   * Throws `DatabaseFailedError` where the lock at the path is not the one that is held: the folder was moved away, and another
   * one may have its name. Not for every commit: those go to a file that is open.
   */
  mustBeInPlace(): void {
    if (this.#isInPlace()) return;
    const failure = new DatabaseFailedError(
      `${this.path} is not the folder that was opened: it, or the lock in it, was moved, replaced or removed; nothing more is written, open the database again`,
      { details: { folder: this.path, reason: 'replaced' } },
    );
    this.onReplaced(failure);
    throw failure;
  }

  #isInPlace(): boolean {
    return this.#lockIdentity === undefined || this.env.files.identity(`${this.path}/lock`) === this.#lockIdentity;
  }

  unlock(): void {
    this.#lock?.close();
    this.#lock = undefined;
    this.#lockIdentity = undefined;
  }

  /** Whether a writer has the folder open now. Writes nothing, waits for nothing. */
  hasLiveOwner(): boolean {
    let file: File;
    try {
      file = this.env.files.open(`${this.path}/lock`, { mode: 'read' });
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
    try {
      return file.isLockedByOther(LOCK_POSITION);
    } finally {
      file.close();
    }
  }

  /** For who reads what a writer might change meanwhile: throws `DatabaseLockedError` naming the holder. */
  mustHaveNoLiveOwner(): void {
    if (this.hasLiveOwner()) throw this.#lockedError('close it there first');
  }

  /** Removes what dead members left (the caller holds the exclusive lock) and says who we are. */
  registerMember(writer: number): void {
    const { files, clock, process } = this.env;
    files.createFolder(this.members);
    for (const name of files.list(this.members)) {
      if (/^[0-9a-f]{12}$/.test(name)) files.remove(`${this.members}/${name}`);
    }
    const owner: Owner = { pid: process.pid, host: process.host, since: isoTime(clock.wallMs()) };
    this.#writeSmall(`${this.members}/${hex48(writer)}`, JSON.stringify(owner), false);
  }

  unregisterMember(writer: number): void {
    try {
      if (!this.#isInPlace()) return;
      this.env.files.remove(`${this.members}/${hex48(writer)}`);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  /** Who registered last, as far as it can be read. */
  readOwner(): Owner | undefined {
    try {
      for (const name of this.env.files.list(this.members)) {
        if (!/^[0-9a-f]{12}$/.test(name)) continue;
        const owner = parseOwner(this.#readSmall(`${this.members}/${name}`) ?? '');
        if (owner !== undefined) return owner;
      }
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    return undefined;
  }

  #lockedError(way: string): DatabaseLockedError {
    const owner = this.readOwner();
    const who = owner === undefined ? 'another opener' : `process ${owner.pid} on ${owner.host}, since ${owner.since}`;
    return new DatabaseLockedError(`${this.path} is open for writing by ${who}; ${way}`, {
      details: { folder: this.path, ...owner },
    });
  }

  #writeSmall(path: string, text: string, sync: boolean): void {
    const file = this.env.files.open(path, { mode: 'create' });
    try {
      file.writeSync(new TextEncoder().encode(text), 0);
      if (sync) file.syncSync();
    } finally {
      file.close();
    }
  }

  #readSmall(path: string): string | undefined {
    let file: File;
    try {
      file = this.env.files.open(path, { mode: 'read' });
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    try {
      const bytes = new Uint8Array(Math.min(file.sizeBytes(), MAX_SMALL_FILE_BYTES));
      const got = file.readSync(bytes, 0);
      return new TextDecoder().decode(bytes.subarray(0, got));
    } finally {
      file.close();
    }
  }
}

function parseIdentity(text: string, path: string): DatabaseIdentity {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (cause) {
    throw new CorruptionError(`${path} is not readable as JSON`, { cause, details: { file: path, offset: 0 } });
  }
  const { sop, format, features, id } = (typeof found === 'object' && found !== null ? found : {}) as Record<
    string,
    unknown
  >;
  if (sop !== 'database' || typeof format !== 'number') {
    throw new FormatUnsupportedError(`${path} does not describe a database of this kind`, { details: { file: path } });
  }
  const named: readonly unknown[] = Array.isArray(features) ? features : [features];
  const unknown = named.filter((feature) => !KNOWN_FEATURES.includes(feature as string));
  if (format !== FORMAT_VERSION || unknown.length > 0) {
    throw new FormatUnsupportedError(
      `${path}: format ${format}${unknown.length > 0 ? ` with features ${unknown.join(', ')}` : ''} is not known here (this program reads format ${FORMAT_VERSION})`,
      { details: { file: path, format, features: unknown } },
    );
  }
  if (typeof id !== 'string' || !/^[0-9a-f]{32}$/.test(id)) {
    throw new CorruptionError(`${path} names no database id`, { details: { file: path, offset: 0 } });
  }
  return {
    id: Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(id.slice(i * 2, i * 2 + 2), 16)),
    features: named as readonly Feature[],
  };
}

function parseOwner(text: string): Owner | undefined {
  try {
    const found = JSON.parse(text) as Record<string, unknown>;
    const { pid, host, since } = found;
    if (typeof pid !== 'number' || typeof host !== 'string' || typeof since !== 'string') return undefined;
    return { pid, host, since };
  } catch {
    return undefined;
  }
}
