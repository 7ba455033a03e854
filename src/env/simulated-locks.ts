/** Byte locks of a simulated world: they belong to an open file, know nothing of the disk and do not outlive a process. */

import type { LockKind } from './env.ts';
import type { SimulatedFile } from './simulated-file.ts';

interface HeldLock {
  readonly file: SimulatedFile;
  readonly position: number;
  kind: LockKind;
}

export class SimulatedLocks {
  #held: HeldLock[] = [];

  tryLock(file: SimulatedFile, kind: LockKind, position: number): boolean {
    let mine: HeldLock | undefined;
    for (const lock of this.#held) {
      if (lock.position !== position || lock.file.node !== file.node) continue;
      if (lock.file === file) mine = lock;
      else if (kind === 'exclusive' || lock.kind === 'exclusive') return false;
    }
    if (mine === undefined) this.#held.push({ file, position, kind });
    else mine.kind = kind;
    return true;
  }

  isLockedByOther(file: SimulatedFile, position: number): boolean {
    for (const lock of this.#held) {
      const there = lock.position === position && lock.file.node === file.node;
      if (there && lock.file !== file && lock.kind === 'exclusive') return true;
    }
    return false;
  }

  unlock(file: SimulatedFile, position: number): void {
    this.#held = this.#held.filter((lock) => lock.file !== file || lock.position !== position);
  }

  dropOf(file: SimulatedFile): void {
    if (this.#held.length > 0) this.#held = this.#held.filter((lock) => lock.file !== file);
  }

  /** Drops those that `isLost` names: of a dead process, or as network storage loses them under a living one. */
  dropWhere(isLost: (file: SimulatedFile) => boolean): void {
    this.#held = this.#held.filter((lock) => !isLost(lock.file));
  }

  get count(): number {
    return this.#held.length;
  }
}
