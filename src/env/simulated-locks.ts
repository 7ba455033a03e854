/** Byte locks of a simulated world: they belong to an open file, know nothing of the disk and do not outlive a process. */

import type { LockKind } from './env.ts';

/** An open file as far as locks know it. */
export interface LockHolder {
  readonly node: number;
  readonly path: string;
  /** Whoever opened it. */
  readonly process: object;
}

interface HeldLock {
  readonly file: LockHolder;
  readonly position: number;
  kind: LockKind;
}

export class SimulatedLocks {
  #held: HeldLock[] = [];

  tryLock(file: LockHolder, kind: LockKind, position: number): boolean {
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

  isLockedByOther(file: LockHolder, position: number): boolean {
    for (const lock of this.#held) {
      const there = lock.position === position && lock.file.node === file.node;
      if (there && lock.file !== file && lock.kind === 'exclusive') return true;
    }
    return false;
  }

  unlock(file: LockHolder, position: number): void {
    this.#held = this.#held.filter((lock) => lock.file !== file || lock.position !== position);
  }

  dropOf(file: LockHolder): void {
    if (this.#held.length > 0) this.#held = this.#held.filter((lock) => lock.file !== file);
  }

  /** Drops those that `isLost` names: of a dead process, or as network storage loses them under a living one. */
  dropWhere(isLost: (file: LockHolder) => boolean): void {
    this.#held = this.#held.filter((lock) => !isLost(lock.file));
  }

  get count(): number {
    return this.#held.length;
  }
}
