/**
 * The commit log of one writer, in epoch files.
 *
 * Invariants:
 *  1. A batch is acknowledged only after a sync that followed its last byte, and after the seal was then read as zero.
 *  2. Batches are acknowledged in order. Batch N+1 may be under way before N is durable, but it states no more durable than was
 *     acknowledged when it was given to the file.
 *  3. Nothing is tried again. After a failed write, a failed sync or a seal `failed` is set for good: every pending and later
 *     commit is refused with it, nothing more is written, not even a note.
 *  4. The first batch of an epoch is written after its header was synced and its seal then read as zero.
 *  5. A note is written and has left our hands before the next batch is issued, so that batch's sync covers it.
 *  6. A switch to the next epoch names an end that is durable: it waits for everything before.
 *
 * Not for several threads. The owner of a log calls `commitSync` only while `idle`.
 */
import { assert } from '../base/assert.ts';
import { ClosedError, DatabaseFailedError, DiskFullError, IoError, type SopError } from '../base/errors.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import { KIND_ROOT } from './batch.ts';
import { BatchBuilder } from './batch-builder.ts';
import { type CommitLog, LogFailedError, LogSealedError } from './commit-log.ts';
import {
  checkRootLength,
  encodeEpochHeader,
  epochAfter,
  epochPath,
  HEADER_BYTES,
  listEpochs,
  logFolder,
  readSeal,
  rootCovers,
  SEAL_POSITION,
} from './epoch-file.ts';
import { EpochWriter } from './epoch-writer.ts';
import type { EpochScan } from './log-reader.ts';
import { NextEpoch } from './next-epoch.ts';
import { PendingCommits } from './pending-commits.ts';
import { type LogContext, type TakenEpoch, takeOver } from './takeover.ts';

const MAX_FREE_BATCHES = 3;

/** What opening found: where the log ends, and what of it is whose. */
export interface LogStart {
  readonly lastNumber: number;
  readonly root: Uint8Array | undefined;
  /** Epochs that are there and part of the log, oldest first, with the first number of each. */
  readonly epochs: readonly EpochStart[];
  /** The newest epoch as opening read it: the first write takes over from there. */
  readonly scan: EpochScan | undefined;
  /** An epoch that opening had to take already. */
  readonly taken: TakenEpoch | undefined;
}

export interface EpochStart {
  readonly epoch: number;
  readonly firstNumber: number;
}

export class FileCommitLog implements CommitLog {
  readonly writer: number;
  nextNumber: number;
  durableNumber: number;
  failed: SopError | undefined;

  readonly #context: LogContext;
  readonly #block: Uint8Array;
  readonly #free: BatchBuilder[] = [];
  readonly #epochs: EpochStart[];
  #open: BatchBuilder | undefined;
  #writer: EpochWriter | undefined;
  #scan: EpochScan | undefined;
  #root: Uint8Array | undefined;
  /** Batches given to a file and not yet answered, waiting ones included. */
  readonly #pending = new PendingCommits();
  #next: NextEpoch | undefined;
  #preparing: Promise<void> | undefined;
  /** The next epoch's file was asked for, and is not ready. */
  #lacksNext = false;
  #switching: Promise<void> | undefined;
  #noted = true;
  #closed = false;
  /** Epochs below this are to be removed; 0 for none. */
  #removeBefore = 0;
  /** Where the newest root was adopted, as far as we did it ourselves. */
  #rootNumber = 0;
  /** The durable number that the newest batch on disk states. */
  #stated = 0;
  readonly #onRelease = (batch: BatchBuilder): void => {
    if (this.#open === batch) this.#open = undefined;
    if (this.#free.length < MAX_FREE_BATCHES) this.#free.push(batch);
  };

  readonly #answer = (batch: BatchBuilder): unknown => {
    if (this.failed === undefined) this.#acknowledge(batch);
    const { failed } = this;
    // Not before: it may be filled again at once, and it is answered by the numbers it holds.
    batch.written();
    return failed;
  };

  readonly #onFillError = (error: unknown): void => {
    this.#fail(error);
  };

  constructor(context: LogContext, start: LogStart) {
    this.#context = context;
    this.writer = context.writer;
    this.nextNumber = start.lastNumber + 1;
    this.durableNumber = start.lastNumber;
    this.#root = start.root;
    this.#scan = start.scan;
    this.#epochs = [...start.epochs];
    this.#block = context.env.files.allocate(LOG_ALIGNMENT);
    if (start.taken !== undefined) this.#begin(start.taken);
  }

  get epoch(): number {
    return this.#writer?.epoch ?? 0;
  }

  get idle(): boolean {
    return this.#pending.isEmpty;
  }

  /** The secret of the epoch being written, for messages to others. */
  get secret(): Uint8Array | undefined {
    return this.#writer?.header.secret;
  }

  openBatch(): BatchBuilder {
    this.#check();
    assert(this.#open === undefined, 'a batch is opened while another is');
    const batch = this.#free.pop() ?? this.#newBatch();
    batch.open(this.nextNumber);
    this.#open = batch;
    return batch;
  }

  reserve(batch: BatchBuilder, share: number, isSync: boolean): void {
    const writer = this.#mustWriter(batch);
    const length = batch.paddedLengthBound();
    writer.ensure(length, share, isSync);
    batch.reservedBytes = length;
  }

  takesNow(batch: BatchBuilder): boolean {
    return this.idle && this.#writer?.runsIntoFill(batch.paddedLengthBound()) !== true;
  }

  commitSync(batch: BatchBuilder): void {
    assert(this.idle, 'commitSync beside commits under way');
    let writer = this.#admit(batch, true);
    // Zeros are being written where this batch belongs, and we cannot wait: a new file is the way round.
    if (writer.runsIntoFill(batch.paddedLengthBound())) {
      writer = this.#switchSync(writer);
      writer.ensure(batch.paddedLengthBound(), batch.engineOnly ? 1 : 0, true);
    }
    const position = writer.end.offset;
    const length = this.#give(batch, writer);
    let isZero: boolean;
    try {
      isZero = writer.file.appendSync(batch.bytes, length, position, SEAL_POSITION);
    } catch (error) {
      batch.written();
      throw this.#fail(error);
    }
    batch.written();
    if (!isZero) throw this.#failSealed();
    this.#acknowledge(batch);
  }

  commit(batch: BatchBuilder): Promise<void> {
    try {
      const writer = this.#admit(batch, false);
      const position = writer.end.offset;
      const isBlocked = writer.runsIntoFill(batch.paddedLengthBound());
      this.#give(batch, writer);
      return new Promise<void>((resolve, reject) => {
        this.#pending.add(batch, resolve, reject);
        if (isBlocked) this.#waitForFill(writer);
        if (writer.gates > 0) writer.waiting.push(batch);
        else void this.#issue(batch, writer, position);
        writer.fillAhead(this.#onFillError);
      });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  isSealed(): boolean {
    if (this.failed instanceof LogSealedError) return true;
    return this.#writer !== undefined && !this.#closed && readSeal(this.#writer.file, this.#block);
  }

  prepareNextEpoch(): Promise<void> {
    this.#check();
    if (this.#writer === undefined || this.#next?.isReady === true) return Promise.resolve();
    this.#preparing ??= this.#prepare(this.#writer).finally(() => {
      this.#preparing = undefined;
    });
    return this.#preparing;
  }

  switchEpoch(root: Uint8Array | undefined): Promise<void> {
    assert(this.#switching === undefined, 'two switches at once');
    this.#switching = this.#switch(root).finally(() => {
      this.#switching = undefined;
    });
    return this.#switching;
  }

  removeEpochsBefore(epoch: number): void {
    this.#check();
    this.#removeBefore = Math.max(this.#removeBefore, epoch);
    this.noteIdle();
    this.#removeOld();
  }

  oldestEpochNeeded(covered: number): number {
    let oldest = 0;
    for (const { epoch, firstNumber } of this.#epochs) {
      if (oldest === 0 || firstNumber <= covered + 1) oldest = epoch;
    }
    return oldest;
  }

  noteIdle(): void {
    const writer = this.#writer;
    if (writer === undefined || this.#noted || !this.idle || this.failed !== undefined || this.#closed) return;
    if (this.#open !== undefined || writer.isFilling || !writer.hasRoom(LOG_ALIGNMENT)) return;
    const batch = this.openBatch();
    batch.finish(this.#place(writer));
    const { offset } = writer.end;
    writer.advance(LOG_ALIGNMENT, this.durableNumber, batch.header.headerCrc, false);
    try {
      writer.file.writeSync(batch.bytes.subarray(0, LOG_ALIGNMENT), offset);
      this.#noted = true;
      this.#stated = this.durableNumber;
    } catch (error) {
      this.#fail(error);
    } finally {
      batch.written();
      batch.release();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#switching?.catch(() => undefined);
    await this.#preparing?.catch(() => undefined);
    await new Promise<void>((resolve) => this.#pending.whenAnswered(resolve));
    await this.#writer?.filled();
    this.#open?.release();
    this.noteIdle();
    this.#closed = true;
    this.#trim();
    this.#writer?.file.close();
    this.#next?.abandon();
    this.#next = undefined;
  }

  // -------------------------------------------------------------------------------------------------- commits

  /** Everything that can refuse a batch, before anything of it counts. Answers the writer it goes to. */
  #admit(batch: BatchBuilder, isSync: boolean): EpochWriter {
    const writer = this.#mustWriter(batch);
    const length = batch.paddedLengthBound();
    if (length > batch.reservedBytes) writer.ensure(length, batch.engineOnly ? 1 : 0, isSync);
    return writer;
  }

  /** The writer that the open batch goes to. */
  #mustWriter(batch: BatchBuilder): EpochWriter {
    this.#check();
    assert(batch === this.#open && batch.firstNumber === this.nextNumber, 'a batch that is not the open one');
    if (this.#writer === undefined) this.#begin(takeOver(this.#context, this.durableNumber, this.#scan));
    return this.#writer as unknown as EpochWriter;
  }

  /** Numbers, chain and space are the batch's from here on. Answers its length. */
  #give(batch: BatchBuilder, writer: EpochWriter): number {
    const length = batch.finish(this.#place(writer));
    this.#open = undefined;
    this.nextNumber += batch.count;
    this.#noted = false;
    writer.advance(length, this.nextNumber - 1, batch.header.headerCrc, batch.count > 0);
    return length;
  }

  #place(writer: EpochWriter) {
    return {
      epoch: writer.epoch,
      writer: this.writer,
      position: writer.end.offset,
      durableNumber: this.durableNumber,
      previousCrc: writer.end.crc,
      salt: this.#context.salt,
    };
  }

  async #issue(batch: BatchBuilder, writer: EpochWriter, position: number): Promise<void> {
    try {
      const isZero = await writer.file.append(batch.bytes, batch.header.paddedLength, position, SEAL_POSITION);
      if (!isZero) this.#failSealed();
    } catch (error) {
      this.#fail(error);
    }
    this.#settle(batch);
  }

  /** The file is done with `batch`. Answers are given in the order of the commits. */
  #settle(batch: BatchBuilder): void {
    this.#pending.settle(batch, this.#answer);
  }

  #acknowledge(batch: BatchBuilder): void {
    if (batch.count > 0) this.durableNumber = batch.lastNumber;
    if (batch.hasRoot) this.#takeRoot(batch);
    this.#stated = Math.max(this.#stated, batch.header.durableNumber);
    if (this.#removeBefore > 0) this.#removeLater();
  }

  /** As `#removeOld`, where nobody waits for it: what can not be removed now is removed with the next root. */
  #removeLater(): void {
    try {
      this.#removeOld();
    } catch (error) {
      // Some file systems need room to remove, too. Who finds the folder replaced was told so already, and the commit is durable.
      const isTold = error instanceof DatabaseFailedError;
      if (!isTold && !(error instanceof IoError) && !(error instanceof DiskFullError)) throw error;
    }
  }

  /** Remembers a root that the log just adopted: the next epoch's header carries it. */
  #takeRoot(batch: BatchBuilder): void {
    const cursor = batch.cursor();
    while (cursor.nextTransaction()) {
      if (cursor.kind !== KIND_ROOT) continue;
      this.#keepRoot(cursor.payload().slice());
      this.#rootNumber = cursor.number;
    }
  }

  /**
   * Removes what was asked for, once the adoption of the root that covers it is not only durable but stated so in the log:
   * who reads beside us believes in that root only then.
   */
  #removeOld(): void {
    if (this.#writer === undefined || this.#rootNumber > this.#stated) return;
    const { env, folder } = this.#context;
    const limit = Math.min(this.#removeBefore, this.oldestEpochNeeded(rootCovers(this.#root)));
    this.#removeBefore = 0;
    // Not synced: a file that comes back after a power cut is as old as it was, and goes with the next root.
    for (const old of this.#epochsBefore(limit)) {
      env.files.remove(epochPath(folder, old));
    }
    while (this.#epochs.length > 0 && (this.#epochs[0] as EpochStart).epoch < limit) this.#epochs.shift();
    // Before users' batches take the room that this made: without a next epoch there is no checkpoint.
    if (this.#lacksNext && this.failed === undefined) this.prepareNextEpoch().catch(() => undefined);
  }

  #epochsBefore(limit: number): number[] {
    const { env, folder, mustBeInPlace } = this.#context;
    const old = listEpochs(env.files, folder).filter((epoch) => epoch < limit);
    if (old.length > 0) mustBeInPlace();
    return old;
  }

  #keepRoot(root: Uint8Array | undefined): void {
    if (root !== undefined && rootCovers(root) >= rootCovers(this.#root)) this.#root = root;
  }

  #waitForFill(writer: EpochWriter): void {
    void writer.closeForFill()?.then(() => this.#openGate(writer));
  }

  #openGate(writer: EpochWriter): void {
    writer.gates--;
    if (writer.gates > 0) return;
    for (const batch of writer.waiting.splice(0)) {
      if (this.failed !== undefined) this.#settle(batch);
      else void this.#issue(batch, writer, batch.header.offset);
    }
  }

  // -------------------------------------------------------------------------------------------------- epochs

  #begin(taken: TakenEpoch): void {
    const { file, header, end, reservedEnd } = taken;
    const { env, reserveBytes } = this.#context;
    this.#scan = undefined;
    this.#writer = new EpochWriter(env, file, header, end, reservedEnd, reserveBytes);
    this.#epochs.push({ epoch: header.epoch, firstNumber: header.predecessorEnd.number + 1 });
    // With a first batch of its own the epoch counts, and readers beside us may show what was copied.
    this.#noted = header.copiedEnd.number === header.predecessorEnd.number;
    this.noteIdle();
  }

  async #prepare(writer: EpochWriter): Promise<void> {
    this.#lacksNext = true;
    this.#next ??= this.#create(writer, epochAfter(this.#context.folder, writer.epoch));
    const next = this.#next;
    next.allocate();
    this.#lacksNext = false;
    try {
      await next.prepare();
    } catch (error) {
      throw this.#fail(error);
    }
    if (this.#next === next) next.isReady = true;
    else next.abandon();
  }

  #create(writer: EpochWriter, epoch: number): NextEpoch {
    const next = NextEpoch.create(this.#context, epoch);
    if (next !== undefined && this.#isNext(next, writer)) return next;
    // They sealed our file before they made theirs.
    throw this.#failSealed();
  }

  /** A look that fails is not tried again: the name is taken. */
  #isNext(next: NextEpoch, writer: EpochWriter): boolean {
    let isNext = false;
    try {
      isNext = next.isNextAfter(writer.epoch);
    } catch (error) {
      throw this.#fail(error);
    } finally {
      if (!isNext) next.abandon();
    }
    return isNext;
  }

  async #switch(root: Uint8Array | undefined): Promise<void> {
    if (root !== undefined) checkRootLength(root);
    // Nothing was written yet: the first write makes an epoch, whose header gets the root.
    while (this.#writer !== undefined && this.#next?.isReady !== true) {
      await this.prepareNextEpoch();
      this.#check();
    }
    this.#keepRoot(root);
    const old = this.#writer;
    if (old === undefined) return;
    // Everything given from now on goes to the prepared file, and waits there until its header is durable.
    const writer = this.#follow(this.#next as NextEpoch, old);
    writer.gates++;
    await new Promise<void>((resolve) => {
      this.#pending.whenAnswered(() => {
        this.#enter(writer);
        resolve();
      });
    });
    await this.#leave(old);
    this.#check();
  }

  /**
   * Everything in the old file is durable: makes the header so. On the calling thread, so that there is no moment at which
   * nothing is under way and yet nothing may be committed.
   */
  #enter(writer: EpochWriter): void {
    if (this.failed === undefined) this.#writeHeader(writer);
    this.#openGate(writer);
  }

  #writeHeader(writer: EpochWriter): void {
    try {
      // Only now: the last batches of the old file may have adopted a root.
      encodeEpochHeader({ ...writer.header, root: this.#root }, this.#block);
      if (!writer.file.appendSync(this.#block, HEADER_BYTES, 0, SEAL_POSITION)) this.#failSealed();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The same on the calling thread, with nothing under way, into a file that nobody writes zeros to. */
  #switchSync(old: EpochWriter): EpochWriter {
    const { env, folder } = this.#context;
    // A file that is being prepared just now is left behind, void.
    if (this.#next === undefined || this.#preparing !== undefined) {
      this.#next = this.#create(old, epochAfter(folder, this.#next?.epoch ?? old.epoch));
    }
    this.#next.allocate();
    const writer = this.#follow(this.#next, old);
    try {
      env.files.syncFolderSync(logFolder(folder));
      this.#writeHeader(writer);
    } catch (error) {
      this.#fail(error);
    }
    void this.#leave(old);
    this.#check();
    return writer;
  }

  /** From here on batches are given to `next`. */
  #follow(next: NextEpoch, old: EpochWriter): EpochWriter {
    const writer = next.follow(old);
    // Room was seen to in the file before.
    if (this.#open !== undefined) this.#open.reservedBytes = 0;
    this.#next = undefined;
    this.#writer = writer;
    this.#epochs.push({ epoch: next.epoch, firstNumber: writer.end.number + 1 });
    return writer;
  }

  /** Closes the file we wrote before; nobody writes there any more. */
  async #leave(old: EpochWriter): Promise<void> {
    await old.filled();
    old.file.close();
  }

  /** Gives back the space that was kept ahead. A crash here costs nothing: what goes holds no batch. */
  #trim(): void {
    if (this.failed !== undefined) return;
    try {
      if (this.#writer !== undefined) this.#writer.file.truncateSync(this.#writer.end.offset);
    } catch {
      // Only space is lost.
    }
  }

  // -------------------------------------------------------------------------------------------------- failing

  #check(): void {
    if (this.#closed) throw new ClosedError('the log is closed');
    if (this.failed !== undefined) throw this.failed;
  }

  #fail(cause: unknown): SopError {
    this.failed ??= new LogFailedError(
      cause instanceof DiskFullError
        ? 'the disk filled up in the middle of a write to the log; open the database again'
        : 'a write or sync of the log failed; open the database again',
      { cause, details: { folder: this.#context.folder, epoch: this.epoch } },
    );
    return this.failed;
  }

  #failSealed(): SopError {
    this.failed ??= new LogSealedError('somebody else has taken over the log; open the database again', {
      details: { folder: this.#context.folder, epoch: this.epoch },
    });
    return this.failed;
  }

  #newBatch(): BatchBuilder {
    return new BatchBuilder((sizeBytes) => this.#context.env.files.allocate(sizeBytes), this.#onRelease);
  }
}
