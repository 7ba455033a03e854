/**
 * The folder that a backup is made in: a database that nobody has written to since. What makes it one is its log: a single
 * epoch without an owner, without a batch and without a predecessor, whose header holds the root.
 *
 *  1. Nothing in a folder that is no backup of this very database is touched.
 *  2. A first backup is marked incomplete, durably, before anything else; the mark goes when all else is durable, and who
 *     finds it refuses the folder.
 *  3. A later backup adds segments, durably, then puts its epoch in place by renaming it: the folder is the old backup
 *     until then and the new one from then on. Only after that anything is removed.
 *  4. A segment stands under its name only whole and synced.
 */
import { equalBytes } from '../base/bytes.ts';
import { BackupRefusedError, CorruptionError } from '../base/errors.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import type { Env, File } from '../env/env.ts';
import {
  encodeEpochHeader,
  epochName,
  epochPath,
  FIRST_BATCH_POSITION,
  isZero,
  listEpochs,
  logFolder,
  readEpochHeader,
  rootCovers,
  SECRET_BYTES,
} from '../log/epoch-file.ts';
import { DatabaseFolder, type DatabaseIdentity, toHex } from './database-folder.ts';
import { parseSegmentFileName, SEGMENT_HEADER_BYTES } from './segments.ts';

/** No opening has this writer's number. */
const NO_OWNER = 0;
const NEW = '.new';
const CHUNK_BYTES = 1024 * 1024;

/** A segment file as the backup needs it. */
export interface SegmentSource {
  readonly env: Env;
  readonly path: string;
  readonly name: string;
  /** Of the file, what the roots name lies before here. */
  readonly length: number;
  /** The length is that of a file which may still be growing: not every byte before it need have its place yet. */
  readonly isGrowing: boolean;
}

export class BackupTarget {
  readonly env: Env;
  readonly #folder: DatabaseFolder;
  #identity: DatabaseIdentity;
  #isFirst = false;
  #buffer: Uint8Array | undefined;

  constructor(env: Env, path: string, identity: DatabaseIdentity) {
    this.env = env;
    this.#folder = new DatabaseFolder(env, path);
    this.#identity = identity;
  }

  /** Takes the folder, or throws `BackupRefusedError`, `DatabaseLockedError`. */
  open(): void {
    const folder = this.#folder;
    const { files } = this.env;
    files.createFolder(folder.path);
    this.#check();
    folder.lock();
    try {
      this.#isFirst = this.#check();
      if (!this.#isFirst) return;
      folder.markIncomplete(this.#identity.id);
      for (const name of ['log', 'data', 'members']) files.createFolder(`${folder.path}/${name}`);
    } catch (error) {
      folder.unlock();
      throw error;
    }
  }

  /** The same target; the identity has more features now. */
  withIdentity(identity: DatabaseIdentity): this {
    this.#identity = identity;
    return this;
  }

  close(): void {
    this.#folder.unlock();
  }

  /** Whether the folder has the segment as it is needed: as long, and with the same header. */
  has(source: SegmentSource): boolean {
    if (source.isGrowing) return false;
    const path = `${this.#folder.data}/${source.name}`;
    if (this.env.files.status(path)?.sizeBytes !== source.length) return false;
    return equalBytes(headerOf(this.env, path), headerOf(source.env, source.path));
  }

  /** Puts a copy in place. `onBytes` is told of every piece and may throw. */
  async copy(source: SegmentSource, onBytes: (bytes: number) => void): Promise<void> {
    const { files } = this.env;
    const path = `${this.#folder.data}/${source.name}`;
    const temporary = path + NEW;
    if (files.status(temporary) !== undefined) files.remove(temporary);
    if (source.env === this.env) await this.#clone(source, temporary, onBytes);
    else await this.#stream(source, temporary, onBytes);
    if (source.isGrowing) await this.#makeOdd(temporary, source.length);
    files.rename(temporary, path);
  }

  /** A length that no root states: no later backup takes the copy for what it needs. */
  async #makeOdd(path: string, length: number): Promise<void> {
    const file = this.env.files.open(path, { mode: 'write' });
    try {
      file.writeSync(new Uint8Array(1), length);
      await file.sync();
    } finally {
      file.close();
    }
  }

  /** A reflink where the file system can, cut to what is named: the rest may be torn, or still growing. */
  async #clone(source: SegmentSource, to: string, onBytes: (bytes: number) => void): Promise<void> {
    await this.env.files.copy(source.path, to);
    const file = this.env.files.open(to, { mode: 'write' });
    try {
      const size = file.sizeBytes();
      if (size < source.length) throw tooShort(source, size);
      if (size > source.length) file.truncateSync(source.length);
      await file.sync();
    } finally {
      file.close();
    }
    onBytes(source.length);
  }

  async #stream(source: SegmentSource, to: string, onBytes: (bytes: number) => void): Promise<void> {
    const from = source.env.files.open(source.path, { mode: 'read' });
    let file: File | undefined;
    try {
      file = this.env.files.open(to, { mode: 'create' });
      this.#buffer ??= new Uint8Array(CHUNK_BYTES);
      for (let at = 0; at < source.length; ) {
        const piece = this.#buffer.subarray(0, Math.min(CHUNK_BYTES, source.length - at));
        const got = await from.read(piece, at);
        if (got < piece.length) throw tooShort(source, at + got);
        await file.write(piece, at);
        at += got;
        onBytes(got);
      }
      await file.sync();
    } finally {
      from.close();
      file?.close();
    }
  }

  /** Makes the copies the backup, and removes what it does not need. `keepsMark`: more is to come before it may be opened. */
  async finish(root: Uint8Array, needed: ReadonlySet<string>, keepsMark = false): Promise<void> {
    const { files } = this.env;
    const { path, data } = this.#folder;
    await files.syncFolder(data);
    const before = listEpochs(files, path);
    // Features that the new state needs are named before it is there.
    this.#folder.writeIdentity(this.#identity);
    await files.syncFolder(path);
    this.#putEpoch((before.at(-1) ?? 0) + 1, root);
    await files.syncFolder(logFolder(path));
    if (this.#isFirst) {
      this.#folder.settle();
      if (!keepsMark) this.#folder.unmarkIncomplete();
    }
    for (const epoch of before) files.remove(epochPath(path, epoch));
    for (const name of files.list(data)) {
      const whole = name.endsWith(NEW) ? name.slice(0, -NEW.length) : name;
      const isOurs = parseSegmentFileName(whole) !== undefined;
      if (isOurs && (whole !== name || !needed.has(name))) files.remove(`${data}/${name}`);
    }
  }

  #putEpoch(epoch: number, root: Uint8Array): void {
    const { files, random } = this.env;
    const number = rootCovers(root);
    const bytes = files.allocate(FIRST_BATCH_POSITION);
    const secret = new Uint8Array(SECRET_BYTES);
    random.fill(secret);
    encodeEpochHeader(
      {
        databaseId: this.#identity.id,
        epoch,
        owner: NO_OWNER,
        predecessor: 0,
        predecessorEnd: { offset: 0, number, crc: 0 },
        copiedEnd: { offset: FIRST_BATCH_POSITION, number, crc: 0 },
        secret,
        root,
      },
      bytes,
    );
    const folder = logFolder(this.#folder.path);
    const temporary = `${folder}/${epochName(epoch)}${NEW}`;
    if (files.status(temporary) !== undefined) files.remove(temporary);
    const file = files.open(temporary, { mode: 'create' });
    try {
      file.writeSync(bytes, 0);
      file.syncSync();
    } finally {
      file.close();
    }
    files.rename(temporary, `${folder}/${epochName(epoch)}`);
  }

  // ---- what is in the folder ----

  /** Throws where the folder can not take this backup. True where it holds no complete one yet. */
  #check(): boolean {
    const { files } = this.env;
    const folder = this.#folder;
    const incomplete = folder.incompleteId();
    if (incomplete !== undefined) {
      // One that can not be read was being written when the power went: nothing else was there then.
      const isOther = /^[0-9a-f]{32}$/.test(incomplete) && incomplete !== toHex(this.#identity.id);
      if (isOther) throw this.#refused('holds an unfinished backup of another database');
      return true;
    }
    const identity = folder.readIdentity();
    if (identity === undefined) {
      const foreign = files.list(folder.path).filter((name) => name !== 'lock');
      if (foreign.length > 0) throw this.#refused(`is not empty and holds no backup (${foreign[0]})`);
      return true;
    }
    if (!equalBytes(identity.id, this.#identity.id)) throw this.#refused('holds another database');
    this.#checkLog();
    return false;
  }

  #checkLog(): void {
    const { files } = this.env;
    const { path } = this.#folder;
    const newest = listEpochs(files, path).at(-1);
    if (newest === undefined) throw this.#refused('holds a database without a log');
    const block = files.allocate(LOG_ALIGNMENT);
    const file = files.open(epochPath(path, newest), { mode: 'read', direct: true });
    try {
      const header = readEpochHeader(file, newest, this.#identity.id, block);
      const isOurs = header !== undefined && header.owner === NO_OWNER && header.predecessor === 0;
      const isUntouched = file.sizeBytes() === FIRST_BATCH_POSITION && this.#isBlankSeal(file, block);
      if (!isOurs || !isUntouched) {
        throw this.#refused('holds this database, but no backup, or one that was opened and written to since');
      }
    } finally {
      file.close();
    }
  }

  #isBlankSeal(file: File, block: Uint8Array): boolean {
    const got = file.readSync(block, LOG_ALIGNMENT);
    return isZero(block, 0, got);
  }

  #refused(reason: string): BackupRefusedError {
    const { path } = this.#folder;
    return new BackupRefusedError(`${path} ${reason}; nothing was written there`, {
      details: { folder: path, reason },
    });
  }
}

function headerOf(env: Env, path: string): Uint8Array {
  const file = env.files.open(path, { mode: 'read' });
  try {
    const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
    return bytes.subarray(0, file.readSync(bytes, 0));
  } finally {
    file.close();
  }
}

function tooShort(source: SegmentSource, found: number): CorruptionError {
  return new CorruptionError(`${source.path} ends at ${found}, but ${source.length} bytes of it are named`, {
    details: { file: source.path, offset: found, expected: source.length, found },
  });
}
