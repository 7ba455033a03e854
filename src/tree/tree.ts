/**
 * A tree to read: its root's handle, whose it is, and where the root lies in the cache. The latter makes it belong to one
 * cache: read it through that one only.
 */
import type { Handle } from '../node/handle.ts';
import type { ImageCache } from '../node/image-cache.ts';

export class Tree {
  readonly root: Handle;
  readonly storeId: number;
  /** The root's frame while its generation is the one noted here. */
  frame = -1;
  generation = 0;

  constructor(root: Handle, storeId: number) {
    this.root = root;
    this.storeId = storeId;
  }

  get entries(): number {
    return this.root.entries;
  }
}

/**
 * What all descents share: entering the root and a child by way of the cache, and what to load where one was missing.
 * A missing image is loaded at once where `waits` is true; otherwise the step answers -1 and `load` brings it in.
 */
export class TreeDescent {
  waits = false;
  readonly cache: ImageCache;
  #missing: Handle | undefined;
  #missingStore = -1;
  #parent = -1;
  #parentGeneration = 0;
  #index = 0;

  constructor(cache: ImageCache) {
    this.cache = cache;
  }

  /** The root's frame, or -1. */
  enterRoot(tree: Tree): number {
    const { cache } = this;
    const generations = cache.table.generations;
    if (tree.frame >= 0 && generations[tree.frame] === tree.generation) return tree.frame;
    let frame = cache.find(tree.root);
    if (frame < 0) {
      if (!this.waits) {
        this.#missing = tree.root;
        this.#missingStore = tree.storeId;
        this.#parent = -1;
        return -1;
      }
      frame = cache.loadSync(tree.root, tree.storeId);
    }
    tree.frame = frame;
    tree.generation = generations[frame] as number;
    return frame;
  }

  /** The frame of a child that `cache.child` did not have, or -1. */
  enterChild(frame: number, index: number, storeId: number): number {
    if (this.waits) return this.cache.loadChildSync(frame, index);
    this.#missing = this.cache.childHandle(frame, index);
    this.#missingStore = storeId;
    this.#parent = frame;
    this.#parentGeneration = this.cache.table.generations[frame] as number;
    this.#index = index;
    return -1;
  }

  /** Brings what was missing into memory. */
  load(): Promise<void> {
    const handle = this.#missing;
    if (handle === undefined) return Promise.resolve();
    const parentThere = this.#parent >= 0 && this.cache.table.generations[this.#parent] === this.#parentGeneration;
    return parentThere ? this.cache.loadChild(this.#parent, this.#index) : this.cache.load(handle, this.#missingStore);
  }
}
