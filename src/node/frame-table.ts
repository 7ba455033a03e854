/**
 * The cache's memory: frames of 8 KiB in chunks of 8 MiB, allocated when first needed, used over and over and never given
 * back (fresh memory costs microseconds a page). An image longer than a frame takes neighbouring frames of one chunk.
 *
 * What to throw out: images that came from disk begin in a *probation* queue (a tenth of the frames); what was used again
 * by the time it reaches the queue's end moves to the *main* part, the rest goes, so that a scan of any length displaces a
 * tenth at most. The main part is swept by a clock that takes what was not used since. A small table remembers what was
 * thrown out of probation lately: what comes back soon goes to the main part at once. Inner images always live there.
 *
 * Invariants:
 *  1. A frame's generation changes whenever its content does: whoever kept (frame, generation) notices.
 *  2. A frame in state MAIN or PROBATION holds one whole image and is in the index; CONTINUED ones belong to the nearest
 *     such frame before them.
 *  3. Chunks together never pass the limit.
 */
import { assert } from '../base/assert.ts';
import { ImageViews, MAX_USUAL_CHILDREN } from './image-layout.ts';
import { hashAddress, ImageIndex } from './image-index.ts';

export const FRAME_BITS = 13;
export const FRAME_BYTES = 1 << FRAME_BITS;
/** Frames a chunk, as a power of two. */
export const CHUNK_BITS = 10;
export const CHUNK_FRAMES = 1 << CHUNK_BITS;
export const CHUNK_MASK = CHUNK_FRAMES - 1;
export const LEAST_FRAMES = 16;

const FREE = 0;
const PROBATION = 1;
const MAIN = 2;
const CONTINUED = 3;
/** Uses counted per frame: -1 just loaded (the use that loaded it counts as none), at most 3. */
const JUST_LOADED = -1;
const MOST_TOUCHES = 3;
/** Per child: its frame, the generation of that frame. */
export const CHILD_SLOT_WORDS = 2 * MAX_USUAL_CHILDREN;

export class FrameTable {
  readonly frames: number;
  readonly chunks: ImageViews[] = [];
  readonly index: ImageIndex;
  readonly segments: Int32Array;
  readonly offsets: Uint32Array;
  readonly generations: Int32Array;
  readonly touches: Int8Array;
  /** Inner frames: where their children's frames are noted in `children`; -1: nowhere. */
  readonly childSlots: Int32Array;
  children: Int32Array = new Int32Array(CHILD_SLOT_WORDS * 16);
  usedFrames = 0;
  allocatedBytes = 0;

  readonly #states: Uint8Array;
  readonly #spans: Uint8Array;
  readonly #freeChildSlots: number[] = [];
  #childSlotCount = 0;
  readonly #freeFrames: number[] = [];
  #fresh = 0;
  #mainCount = 0;
  #probationCount = 0;
  #hand = 0;
  /** Ring of (frame, generation) in the order of loading. */
  readonly #queue: Int32Array;
  #queueHead = 0;
  #queueLength = 0;
  readonly #probationLimit: number;
  readonly #ghosts: Uint32Array;

  constructor(limitBytes: number) {
    const frames = Math.max(LEAST_FRAMES, Math.floor(limitBytes / FRAME_BYTES));
    this.frames = frames;
    this.segments = new Int32Array(frames);
    this.offsets = new Uint32Array(frames);
    this.generations = new Int32Array(frames);
    this.touches = new Int8Array(frames);
    this.childSlots = new Int32Array(frames).fill(-1);
    this.#states = new Uint8Array(frames);
    this.#spans = new Uint8Array(frames);
    this.#queue = new Int32Array(4 * frames);
    this.#probationLimit = Math.max(2, Math.floor(frames / 10));
    let ghosts = 16;
    while (ghosts < frames) ghosts *= 2;
    this.#ghosts = new Uint32Array(ghosts);
    this.index = new ImageIndex(frames, this.segments, this.offsets);
  }

  views(frame: number): ImageViews {
    return this.chunks[frame >>> CHUNK_BITS] as ImageViews;
  }

  /** Where the frame begins in its chunk. */
  base(frame: number): number {
    return (frame & CHUNK_MASK) << FRAME_BITS;
  }

  /**
   * Makes room for an image and puts it in the index under this address, which must not be there yet. The caller fills
   * the bytes at once. `sticky` images (inner ones, our own fresh ones) go to the main part.
   */
  take(segment: number, offset: number, length: number, sticky: boolean, children: number): number {
    const span = (length + FRAME_BYTES - 1) >>> FRAME_BITS;
    const frame = span === 1 ? this.#takeOne() : this.#takeRow(span);
    this.segments[frame] = segment;
    this.offsets[frame] = offset;
    this.#spans[frame] = span;
    this.usedFrames += span;
    for (let i = 1; i < span; i++) this.#states[frame + i] = CONTINUED;
    const known = !sticky && this.#wasGhost(segment, offset);
    this.touches[frame] = children > 0 ? MOST_TOUCHES : sticky ? 0 : JUST_LOADED;
    if (sticky || known) this.#toMain(frame);
    else this.#toProbation(frame);
    this.index.insert(frame);
    this.childSlots[frame] = children > 0 && children <= MAX_USUAL_CHILDREN ? this.#takeChildSlot() : -1;
    return frame;
  }

  /** Empties a frame that holds an image. */
  release(frame: number): void {
    assert(this.#states[frame] === MAIN || this.#states[frame] === PROBATION, 'only a frame with an image is released');
    this.index.remove(frame);
    if (this.#states[frame] === MAIN) this.#mainCount--;
    else this.#probationCount--;
    const slot = this.childSlots[frame] as number;
    if (slot >= 0) {
      this.#freeChildSlots.push(slot);
      this.childSlots[frame] = -1;
    }
    const span = this.#spans[frame] as number;
    this.usedFrames -= span;
    for (let i = 0; i < span; i++) {
      this.#states[frame + i] = FREE;
      this.generations[frame + i] = ((this.generations[frame + i] as number) + 1) | 0;
      this.#freeFrames.push(frame + i);
    }
  }

  /** Empties every frame with an image of this segment. */
  releaseSegment(segment: number): void {
    for (let frame = 0; frame < this.#fresh; frame++) {
      const state = this.#states[frame];
      if ((state === MAIN || state === PROBATION) && this.segments[frame] === segment) this.release(frame);
    }
  }

  #toMain(frame: number): void {
    this.#states[frame] = MAIN;
    this.#mainCount++;
  }

  #toProbation(frame: number): void {
    const queue = this.#queue;
    const capacity = queue.length >>> 1;
    if (this.#queueLength === capacity) this.#advanceQueue(false);
    const at = 2 * ((this.#queueHead + this.#queueLength) % capacity);
    queue[at] = frame;
    queue[at + 1] = this.generations[frame] as number;
    this.#queueLength++;
    this.#states[frame] = PROBATION;
    this.#probationCount++;
  }

  /** Handles the oldest entry of the probation queue; true where that freed a frame. */
  #advanceQueue(mayEvict: boolean): boolean {
    const queue = this.#queue;
    const frame = queue[2 * this.#queueHead] as number;
    const generation = queue[2 * this.#queueHead + 1] as number;
    this.#queueHead = (this.#queueHead + 1) % (queue.length >>> 1);
    this.#queueLength--;
    if (this.generations[frame] !== generation || this.#states[frame] !== PROBATION) return false;
    if (mayEvict && (this.touches[frame] as number) <= 0) {
      const hash = hashAddress(this.segments[frame] as number, this.offsets[frame] as number);
      this.#ghosts[hash & (this.#ghosts.length - 1)] = hash | 1;
      this.release(frame);
      return true;
    }
    this.#probationCount--;
    this.touches[frame] = 0;
    this.#toMain(frame);
    return false;
  }

  #wasGhost(segment: number, offset: number): boolean {
    const hash = hashAddress(segment, offset);
    const at = hash & (this.#ghosts.length - 1);
    if (this.#ghosts[at] !== (hash | 1) >>> 0) return false;
    this.#ghosts[at] = 0;
    return true;
  }

  /** Throws one image out. */
  #evict(): void {
    for (;;) {
      if (this.#queueLength > 0 && (this.#probationCount > this.#probationLimit || this.#mainCount === 0)) {
        if (this.#advanceQueue(true)) return;
        continue;
      }
      assert(this.#mainCount > 0, 'a full cache holds an image that can go');
      const frame = this.#hand;
      this.#hand = frame + 1 === this.#fresh ? 0 : frame + 1;
      if (this.#states[frame] !== MAIN) continue;
      if ((this.touches[frame] as number) <= 0) {
        this.release(frame);
        return;
      }
      this.touches[frame] = (this.touches[frame] as number) - 1;
    }
  }

  #takeOne(): number {
    for (;;) {
      while (this.#freeFrames.length > 0) {
        const frame = this.#freeFrames.pop() as number;
        if (this.#states[frame] === FREE) return frame;
      }
      if (this.#fresh < this.frames) return this.#takeFresh();
      this.#evict();
    }
  }

  #takeFresh(): number {
    const frame = this.#fresh++;
    if ((frame & CHUNK_MASK) === 0) {
      const sizeBytes = Math.min(CHUNK_FRAMES, this.frames - frame) * FRAME_BYTES;
      this.chunks.push(new ImageViews(sizeBytes));
      this.allocatedBytes += sizeBytes;
    }
    return frame;
  }

  /** Neighbouring frames of one chunk: fresh ones, else whatever lies where the clock stands is thrown out. */
  #takeRow(span: number): number {
    while (this.#fresh < this.frames) {
      const chunkEnd = Math.min(((this.#fresh >>> CHUNK_BITS) + 1) << CHUNK_BITS, this.frames);
      if (this.#fresh + span <= chunkEnd) {
        const first = this.#takeFresh();
        for (let i = 1; i < span; i++) this.#takeFresh();
        return first;
      }
      while (this.#fresh < chunkEnd) this.#freeFrames.push(this.#takeFresh());
    }
    const hand = this.#hand;
    const chunkStart = hand & ~CHUNK_MASK;
    const chunkEnd = Math.min(chunkStart + CHUNK_FRAMES, this.frames);
    const first = hand + span <= chunkEnd ? hand : Math.max(chunkStart, chunkEnd - span);
    // A short last chunk may have no row that long: then the first chunk has (LEAST_FRAMES is more than any image needs).
    const start = first + span <= chunkEnd ? first : 0;
    for (let frame = start; frame < start + span; frame++) this.#clear(frame);
    // The frames just cleared stay on the free list, where their state tells that they are taken: keep it short.
    if (this.#freeFrames.length > 2 * this.frames) this.#tidyFree(start, start + span);
    this.#hand = start + span < this.#fresh ? start + span : 0;
    return start;
  }

  #tidyFree(takenStart: number, takenEnd: number): void {
    this.#freeFrames.length = 0;
    for (let frame = 0; frame < this.#fresh; frame++) {
      const taken = frame >= takenStart && frame < takenEnd;
      if (!taken && this.#states[frame] === FREE) this.#freeFrames.push(frame);
    }
  }

  #clear(frame: number): void {
    let head = frame;
    while (this.#states[head] === CONTINUED) head--;
    if (this.#states[head] !== FREE) this.release(head);
  }

  #takeChildSlot(): number {
    let slot = this.#freeChildSlots.pop();
    if (slot === undefined) {
      slot = this.#childSlotCount++;
      if ((slot + 1) * CHILD_SLOT_WORDS > this.children.length) {
        const larger = new Int32Array(this.children.length * 2);
        larger.set(this.children);
        this.children = larger;
      }
    }
    this.children.fill(-1, slot * CHILD_SLOT_WORDS, (slot + 1) * CHILD_SLOT_WORDS);
    return slot;
  }
}
