/**
 * From an image's address to its frame: open addressing with linear probing over frame numbers; the addresses
 * themselves lie in the cache's columns. Deleting shifts back, so that there are no graves.
 */

export class ImageIndex {
  /** Frame number plus one; 0 is an empty place. */
  #places: Int32Array;
  #mask: number;
  readonly #segments: Int32Array;
  readonly #offsets: Uint32Array;

  constructor(frames: number, segments: Int32Array, offsets: Uint32Array) {
    let size = 16;
    while (size < frames * 2) size *= 2;
    this.#places = new Int32Array(size);
    this.#mask = size - 1;
    this.#segments = segments;
    this.#offsets = offsets;
  }

  /** The frame that holds this image, or -1. */
  find(segment: number, offset: number): number {
    const places = this.#places;
    for (let at = hashAddress(segment, offset) & this.#mask; ; at = (at + 1) & this.#mask) {
      const frame = (places[at] as number) - 1;
      if (frame < 0) return -1;
      if (this.#offsets[frame] === offset && this.#segments[frame] === segment) return frame;
    }
  }

  /** The frame's address must be in the columns already, and not be in the index. */
  insert(frame: number): void {
    const places = this.#places;
    let at = hashAddress(this.#segments[frame] as number, this.#offsets[frame] as number) & this.#mask;
    while (places[at] !== 0) at = (at + 1) & this.#mask;
    places[at] = frame + 1;
  }

  remove(frame: number): void {
    const places = this.#places;
    let hole = hashAddress(this.#segments[frame] as number, this.#offsets[frame] as number) & this.#mask;
    while (places[hole] !== frame + 1) {
      if (places[hole] === 0) return;
      hole = (hole + 1) & this.#mask;
    }
    for (let at = (hole + 1) & this.#mask; places[at] !== 0; at = (at + 1) & this.#mask) {
      const other = (places[at] as number) - 1;
      const home = hashAddress(this.#segments[other] as number, this.#offsets[other] as number) & this.#mask;
      // May `other` move into the hole? Only if its home is not behind the hole on the way to where it lies.
      if (((at - home) & this.#mask) >= ((at - hole) & this.#mask)) {
        places[hole] = other + 1;
        hole = at;
      }
    }
    places[hole] = 0;
  }
}

export function hashAddress(segment: number, offset: number): number {
  let h = Math.imul(offset >>> 3, 0x9e3779b1) ^ Math.imul(segment + 1, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return (h ^ (h >>> 13)) >>> 0;
}
