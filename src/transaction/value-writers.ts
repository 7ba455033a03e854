/**
 * Where transactions write large values: one writer for all of them, and another one after a failure, since the disk may have room
 * again. What the failed one wrote in vain is given back as soon as nobody can read or name it.
 *
 *  1. Whose values are to be named by the log syncs them and calls `SegmentWriter.name` before it hands in its request, as prepared
 *     ones do, and a checkpoint does before its ROOT record. Of a failed writer no sync succeeds any more, so what it has not
 *     named by then nobody will: no commit, no PREPARE record, and no root, which names what commits did.
 *  2. Until then only the transactions that wrote it know of it, and may read it: it goes when the last of them has ended.
 *  3. What stays is reported by the next writer, so that roots have rows for it and compaction knows what is dead in it.
 */
import type { PinnedRoots } from '../storage/pinned-roots.ts';
import { SEGMENT_VALUES, type SegmentFactory, SegmentWriter } from '../storage/segment-writer.ts';

export interface ValueWritersHost {
  readonly factory: SegmentFactory;
  readonly pinnedRoots: PinnedRoots;
  isWritingValuesTo(writer: SegmentWriter): boolean;
  backgroundError(error: unknown): void;
}

export class ValueWriters {
  readonly #host: ValueWritersHost;
  #current: SegmentWriter;
  /** Those whose files were not given back yet. */
  readonly #failed = new Set<SegmentWriter>();
  #ending: Promise<void> = Promise.resolve();

  constructor(host: ValueWritersHost) {
    this.#host = host;
    this.#current = new SegmentWriter(host.factory, SEGMENT_VALUES);
  }

  get current(): SegmentWriter {
    if (this.#current.hasFailed) this.giveBack();
    return this.#current;
  }

  /** A transaction has ended, or something failed: what failed writers wrote goes where nobody needs it. */
  giveBack(): void {
    if (this.#current.hasFailed) {
      this.#failed.add(this.#current);
      this.#current = new SegmentWriter(this.#host.factory, SEGMENT_VALUES);
    }
    if (this.#failed.size === 0) return;
    for (const writer of this.#failed) {
      if (!this.#host.isWritingValuesTo(writer)) this.#ending = this.#ending.then(() => this.#end(writer));
    }
  }

  /** Resolves when all is given back that can be for now. */
  givenBack(): Promise<void> {
    this.giveBack();
    return this.#ending;
  }

  /** See `SegmentWriter.forget`. */
  forget(segment: number): void {
    this.#current.forget(segment);
    for (const writer of this.#failed) writer.forget(segment);
  }

  /** All transactions have ended. */
  async close(): Promise<void> {
    await this.givenBack();
    await this.#current.close();
  }

  async #end(writer: SegmentWriter): Promise<void> {
    const { pinnedRoots, backgroundError } = this.#host;
    if (!this.#failed.has(writer)) return;
    try {
      await writer.abandon((index) => !pinnedRoots.isCopied(index));
    } catch (error) {
      backgroundError(error);
    }
    this.#failed.delete(writer);
    this.#current.inherit(writer.written);
  }
}
