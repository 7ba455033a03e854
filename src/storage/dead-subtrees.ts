/**
 * Counting dead what was dropped whole: trees of dropped stores, subtrees under removed ranges. They are unlinked at once,
 * unread; their space is counted here, image by image. What is missing on the way was reclaimed already: passed over.
 */
import { alignUp } from '../base/bytes.ts';
import { CELL_SEPARATE } from '../codec/cell.ts';
import { CorruptionError, SnapshotTooOldError } from '../base/errors.ts';
import { decodeHandle, type Handle } from '../node/handle.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { handleAt, ImageViews, imageCount, LONGEST_IMAGE_BYTES, slotsWord } from '../node/image-layout.ts';
import type { Pacer, Work } from './pacer.ts';
import type { Segments } from './segments.ts';
import type { Space } from './space.ts';
import { readValueReference, valueBytes } from './value-log.ts';

export interface DeadSubtreesContext {
  readonly cache: ImageCache;
  readonly segments: Segments;
  readonly space: Space;
  readonly pacer: Pacer;
  readonly mustStop: () => void;
}

export class DeadSubtrees {
  readonly #context: DeadSubtreesContext;
  readonly #waiting: Handle[] = [];

  constructor(context: DeadSubtreesContext) {
    this.#context = context;
  }

  add(handle: Handle): void {
    this.#waiting.push(handle);
  }

  async walk(): Promise<void> {
    for (const subtree of this.#waiting.splice(0)) {
      await this.#context.pacer.run(this.#walk(subtree), this.#context.mustStop);
    }
  }

  *#walk(handle: Handle): Work<void> {
    const { cache, segments, space } = this.#context;
    const stack: Handle[] = [handle];
    const views = new ImageViews(LONGEST_IMAGE_BYTES + 8);
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      space.addDead(next.segment, alignUp(next.length, 8));
      if (!this.#read(next, views)) continue;
      const count = imageCount(views, 0);
      for (let i = 0; i < count; i++) {
        if (next.level > 0) stack.push(decodeHandle(views.bytes, handleAt(views, 0, i), cache.names));
        else this.#countCell(views, i, segments, space);
      }
      yield undefined;
    }
  }

  #countCell(views: ImageViews, index: number, segments: Segments, space: Space): void {
    const slot = slotsWord(views, 0) + index;
    const start = (views.u32[slot] as number) >>> 16;
    const end = (views.u32[slot + 1] as number) >>> 16;
    if (((views.bytes[start] as number) & CELL_SEPARATE) === 0) return;
    const reference = readValueReference(segments, views.bytes, start, end);
    space.addDead(reference.segment, valueBytes(reference));
  }

  /** False where the image is not there any more or damaged: its share stays counted live, a verify will name it. */
  #read(handle: Handle, views: ImageViews): boolean {
    try {
      this.#context.cache.readIntoSync(handle, -1, views);
      return true;
    } catch (error) {
      if (error instanceof CorruptionError || error instanceof SnapshotTooOldError) return false;
      throw error;
    }
  }
}
