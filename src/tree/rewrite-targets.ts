/**
 * What compaction wants written anew: images of segments that are mostly dead, named by their level and first key (an
 * image says both of itself, but no image knows its parent). A target is a hint: the image found there by descending may
 * be another one by now, so it is asked whether it really has to move.
 */
import { compareBytes } from '../base/bytes.ts';
import { decodeHandle, type Handle, type SegmentNames } from '../node/handle.ts';

export interface RewriteTarget {
  readonly level: number;
  readonly key: Uint8Array;
}

export class RewriteTargets {
  readonly #targets: readonly RewriteTarget[];
  readonly #mustMove: ((handle: Handle) => boolean) | undefined;
  #next = 0;

  /** `targets` in key order. */
  constructor(targets: readonly RewriteTarget[], mustMove: ((handle: Handle) => boolean) | undefined) {
    this.#targets = targets;
    this.#mustMove = mustMove;
  }

  mustMove(handle: Handle): boolean {
    return this.#mustMove === undefined || this.#mustMove(handle);
  }

  /** Whether the subtree with this handle and these bounds has to be opened for a target. */
  wants(
    level: number,
    bytes: Uint8Array,
    at: number,
    names: SegmentNames,
    lower: Uint8Array,
    lowerLength: number,
    upper: Uint8Array | undefined,
    upperLength: number,
  ): boolean {
    const targets = this.#targets;
    for (; this.#next < targets.length; this.#next++) {
      const { key } = targets[this.#next] as RewriteTarget;
      if (compareBytes(key, 0, key.length, lower, 0, lowerLength) >= 0) break;
    }
    for (let i = this.#next; i < targets.length; i++) {
      const { level: wanted, key } = targets[i] as RewriteTarget;
      if (upper !== undefined && compareBytes(key, 0, key.length, upper, 0, upperLength) >= 0) return false;
      if (wanted < level) return true;
      if (wanted === level && this.mustMove(decodeHandle(bytes, at, names))) return true;
    }
    return false;
  }
}
