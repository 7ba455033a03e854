/** Places in a transaction that it can come back to. */
import { InvalidArgumentError } from '../base/errors.ts';
import { SHAPE_STORE } from '../storage/system-stores.ts';
import type { BufferMark, WriteBuffer, WriteBufferPool } from '../storage/write-buffer.ts';
import type { EngineSavepoint } from './engine-api.ts';
import type { SpilledRun, SpillMark } from './spill.ts';
import type { StoreChanges } from './store-changes.ts';

/** What of a store's changes a savepoint comes back to. */
interface StoreMark {
  readonly buffer: WriteBuffer;
  readonly mark: BufferMark;
  readonly spilled: SpillMark | undefined;
}

/** What a transaction counts of its changes. */
export interface ChangeCounts {
  /** In its buffers. */
  readonly bufferedBytes: number;
  /** Of what it may change. */
  readonly bytesLeft: number;
}

class Savepoint implements EngineSavepoint {
  readonly transactionSnapshot: number;
  readonly marks: ReadonlyMap<StoreChanges, StoreMark>;
  readonly counts: ChangeCounts;

  constructor(snapshot: number, marks: ReadonlyMap<StoreChanges, StoreMark>, counts: ChangeCounts) {
    this.transactionSnapshot = snapshot;
    this.marks = marks;
    this.counts = counts;
  }
}

/** The savepoints of one transaction, in the order in which they were made. */
export class Savepoints {
  readonly #buffers: WriteBufferPool;
  readonly #made: Savepoint[] = [];

  constructor(buffers: WriteBufferPool) {
    this.#buffers = buffers;
  }

  make(snapshot: number, changesOfAll: readonly StoreChanges[], counts: ChangeCounts): EngineSavepoint {
    const marks = new Map<StoreChanges, StoreMark>();
    for (const changes of changesOfAll) {
      const { buffer, spill } = changes;
      marks.set(changes, { buffer, mark: buffer.mark(), spilled: spill?.mark() });
    }
    const savepoint = new Savepoint(snapshot, marks, counts);
    this.#made.push(savepoint);
    return savepoint;
  }

  /** Whether a savepoint comes back to what is in the store's buffer. */
  holdBuffer(changes: StoreChanges): boolean {
    return this.#made.some(({ marks }) => marks.get(changes)?.buffer === changes.buffer);
  }

  /** Whether a savepoint comes back to the run. */
  holdRun(changes: StoreChanges, run: SpilledRun): boolean {
    return this.#made.some(({ marks }) => marks.get(changes)?.spilled?.includes(run) === true);
  }

  /** Puts all changes back to where they were; answers what was counted of them then. */
  rollbackTo(savepoint: EngineSavepoint, changesOfAll: readonly StoreChanges[]): ChangeCounts {
    const at = this.#made.indexOf(savepoint as Savepoint);
    if (at < 0) throw notOfThis();
    this.#made.length = at + 1;
    const { marks, counts } = savepoint as Savepoint;
    for (const changes of changesOfAll) {
      // Definitions of shapes are the same whoever writes them, and whose values use them may have been told they are there.
      if (changes.storeId !== SHAPE_STORE) this.#restore(changes, marks.get(changes));
    }
    return counts;
  }

  #restore(changes: StoreChanges, before: StoreMark | undefined): void {
    if (before === undefined) changes.buffer.reset();
    else {
      if (changes.buffer !== before.buffer) {
        this.#buffers.release(changes.buffer);
        changes.buffer = before.buffer;
      }
      changes.buffer.truncate(before.mark);
    }
    changes.spill?.rollbackTo(before?.spilled);
    if (before?.spilled === undefined) changes.spill = undefined;
  }
}

export function notOfThis(): InvalidArgumentError {
  return new InvalidArgumentError(
    'rollbackTo: the savepoint is not of this transaction, or was made after one that was rolled back to',
  );
}
