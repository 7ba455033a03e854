/** Changes in an array as a cursor; can pretend now and then that something is missing, and overwrites what it showed. */
import { compareKeys } from '../../../src/base/bytes.ts';
import { AT, END, type EntryCursor, MISS, type Step } from '../../../src/node/entry-cursor.ts';
import type { Entry } from './model.ts';

export interface Change extends Entry {
  removed: boolean;
}

export class ChangeCursor implements EntryCursor {
  waits = false;
  keyBytes: Uint8Array = new Uint8Array(0);
  keyStart = 0;
  keyEnd = 0;
  cellBytes: Uint8Array = new Uint8Array(0);
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  removed = false;
  readonly #changes: readonly Change[];
  #at = -1;
  readonly #missEvery: number;
  #moves = 0;

  constructor(changes: readonly Change[], missEvery: number) {
    this.#changes = changes;
    this.#missEvery = missEvery;
  }

  #go(to: number): Step {
    if (this.#missEvery > 0 && ++this.#moves % (this.#missEvery + 1) === 0) return MISS;
    this.keyBytes.fill(0xee);
    this.cellBytes.fill(0xee);
    const change = this.#changes[to];
    this.#at = to;
    if (change === undefined) return END;
    this.keyBytes = change.key.slice();
    this.keyEnd = change.key.length;
    this.cellBytes = change.removed ? new Uint8Array(0) : change.cell.slice();
    this.cellEnd = this.cellBytes.length;
    this.version = change.version;
    this.removed = change.removed;
    return AT;
  }

  seek(key: Uint8Array, start: number, end: number): Step {
    const at = this.#changes.findIndex((c) => compareKeys(c.key, key.slice(start, end)) >= 0);
    return this.#go(at < 0 ? this.#changes.length : at);
  }

  seekBefore(): Step {
    throw new Error('not asked for by merges');
  }

  first(): Step {
    return this.#go(0);
  }

  last(): Step {
    return this.#go(this.#changes.length - 1);
  }

  next(): Step {
    return this.#go(this.#at + 1);
  }

  previous(): Step {
    return this.#go(this.#at - 1);
  }

  /** What was shown is gone once others had a turn, as with a cursor over a cache. */
  scramble(): void {
    this.keyBytes.fill(0xdd);
    this.cellBytes.fill(0xdd);
  }

  async load(): Promise<void> {
    await Promise.resolve();
  }
}
