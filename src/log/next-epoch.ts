/**
 * The file that a holder goes on in when it follows itself: created ahead of time with a blank header, so that the switch
 * itself costs one sync.
 *
 * Invariants:
 *  1. Its name is exactly one above the newest file of the holder. Whoever takes over at the same time wants a name above all
 *     that are there: exclusive creation decides, and who loses knows that the other one is about. So does who finds its
 *     predecessor gone, or others above: then the name is one of the past.
 *  2. Its header stays blank until everything in the file before is durable. Until then it is void for everybody.
 */
import type { File } from '../env/env.ts';
import type { LogContext } from './takeover.ts';
import { createFile, keepsIfNext, mustHaveSpace } from './takeover.ts';
import { type EpochHeader, FIRST_BATCH_POSITION, logFolder, SECRET_BYTES } from './epoch-file.ts';
import { EpochWriter } from './epoch-writer.ts';

export class NextEpoch {
  readonly epoch: number;
  readonly file: File;
  /** Set by who prepared it, in the same breath in which it is seen that the file is still wanted. */
  isReady = false;
  readonly #context: LogContext;

  private constructor(context: LogContext, epoch: number, file: File) {
    this.#context = context;
    this.epoch = epoch;
    this.file = file;
  }

  /** Creates the file; undefined where somebody else has the name. DiskFullError: there is none. */
  static create(context: LogContext, epoch: number): NextEpoch | undefined {
    const { env, folder, reserveBytes } = context;
    context.mustBeInPlace();
    mustHaveSpace(env, logFolder(folder), reserveBytes);
    const file = createFile(context, epoch);
    return file && new NextEpoch(context, epoch, file);
  }

  /** To be asked at once: false where others have taken over, and the name is one of the past. */
  isNextAfter(predecessor: number): boolean {
    return keepsIfNext(this.#context, predecessor, this.epoch);
  }

  /** Blocks for seal, header and the first batches. DiskFullError: ask again later. */
  allocate(): void {
    const { env, folder, reserveBytes } = this.#context;
    mustHaveSpace(env, logFolder(folder), reserveBytes);
    this.file.allocateSync(0, FIRST_BATCH_POSITION + reserveBytes);
  }

  /** Zeros, and the file and its name durable. What fails here is never tried again. */
  async prepare(): Promise<void> {
    const { env, folder, reserveBytes } = this.#context;
    await this.file.reserve(FIRST_BATCH_POSITION, reserveBytes);
    await this.file.sync();
    await env.files.syncFolder(logFolder(folder));
  }

  /** The writer that follows `old`, from the last transaction given to it. The header is not written yet. */
  follow(old: EpochWriter): EpochWriter {
    const { env, databaseId, reserveBytes, writer } = this.#context;
    const { number, crc } = old.transactionEnd;
    const end = { offset: FIRST_BATCH_POSITION, number, crc };
    const secret = new Uint8Array(SECRET_BYTES);
    env.random.fill(secret);
    const header: EpochHeader = {
      databaseId,
      epoch: this.epoch,
      owner: writer,
      predecessor: old.epoch,
      predecessorEnd: old.transactionEnd,
      copiedEnd: end,
      secret,
      root: undefined,
    };
    return new EpochWriter(env, this.file, header, end, FIRST_BATCH_POSITION + reserveBytes, reserveBytes);
  }

  /** Gives back the space; the name stays taken. */
  abandon(): void {
    try {
      this.file.truncateSync(FIRST_BATCH_POSITION);
    } catch {
      // Only space is lost.
    }
    this.file.close();
  }
}
