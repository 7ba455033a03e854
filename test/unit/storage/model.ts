/** A versioned sorted map that is obviously right, random keys that are hard on key heads, and a cursor over an array. */
import { compareBytes, compareKeys } from '../../../src/base/bytes.ts';
import { AT, END, type EntryCursor, MISS, type Step } from '../../../src/node/entry-cursor.ts';

export const SEED = Number(process.env.SOP_SEED ?? Date.now() % 1_000_000);
export const RUNS = Number(process.env.SOP_RUNS ?? 1);

/** mulberry32. */
export class Chance {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 0;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(limit: number): number {
    return this.next() % limit;
  }
  one(chances: number): boolean {
    return this.below(chances) === 0;
  }
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

/** Few distinct bytes, zeros among them, shared beginnings, prefixes of each other, sometimes empty. */
export class KeySource {
  readonly #chance: Chance;
  readonly #prefix: Uint8Array;
  readonly #alphabet: number[];
  readonly #longest: number;

  constructor(chance: Chance) {
    this.#chance = chance;
    this.#prefix = new Uint8Array(chance.pick([0, 0, 1, 5, 13, 40]));
    for (let i = 0; i < this.#prefix.length; i++) this.#prefix[i] = chance.pick([0, 1, 97, 255]);
    this.#alphabet = chance.pick([[0, 1], [0, 1, 255], [0, 97, 98, 99, 255], [...Array(256).keys()]]);
    this.#longest = chance.pick([3, 8, 12, 20]);
  }

  next(): Uint8Array {
    const chance = this.#chance;
    const kept = chance.one(20) ? chance.below(this.#prefix.length + 1) : this.#prefix.length;
    const length = chance.below(this.#longest + 1);
    const key = new Uint8Array(kept + length);
    key.set(this.#prefix.subarray(0, kept));
    for (let i = kept; i < key.length; i++) key[i] = chance.pick(this.#alphabet);
    return key;
  }
}

export function text(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1');
}

export interface ModelEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
  readonly version: number;
}

interface ModelRemoval {
  readonly lower: Uint8Array;
  readonly upper: Uint8Array | undefined;
  readonly version: number;
}

export class Model {
  /** By key; a later entry of the same version counts more. */
  readonly entries = new Map<string, ModelEntry[]>();
  readonly removals: ModelRemoval[] = [];

  write(key: Uint8Array, value: Uint8Array | undefined, version: number): void {
    const list = this.entries.get(text(key)) ?? [];
    list.push({ key, value, version });
    this.entries.set(text(key), list);
  }

  removeRange(lower: Uint8Array, upper: Uint8Array | undefined, version: number): void {
    this.removals.push({ lower, upper, version });
  }

  /** What explicitly happened to the key last, up to a snapshot. */
  newest(key: Uint8Array, snapshot: number): ModelEntry | undefined {
    let newest: ModelEntry | undefined;
    for (const entry of this.entries.get(text(key)) ?? []) {
      if (entry.version <= snapshot && (newest === undefined || entry.version >= newest.version)) newest = entry;
    }
    return newest;
  }

  covering(key: Uint8Array, snapshot: number): number {
    let newest = 0;
    for (const { lower, upper, version } of this.removals) {
      if (version > snapshot || version <= newest) continue;
      if (compareKeys(lower, key) <= 0 && (upper === undefined || compareKeys(key, upper) < 0)) newest = version;
    }
    return newest;
  }

  overlapping(lower: Uint8Array | undefined, upper: Uint8Array | undefined): number {
    let newest = 0;
    for (const removal of this.removals) {
      if (removal.upper !== undefined && compareKeys(removal.lower, removal.upper) >= 0) continue;
      if (lower !== undefined && removal.upper !== undefined && compareKeys(removal.upper, lower) <= 0) continue;
      if (upper !== undefined && compareKeys(removal.lower, upper) >= 0) continue;
      newest = Math.max(newest, removal.version);
    }
    return newest;
  }

  get(key: Uint8Array, snapshot: number): ModelEntry | undefined {
    const newest = this.newest(key, snapshot);
    if (newest?.value === undefined || this.covering(key, snapshot) > newest.version) return undefined;
    return newest;
  }

  /** What exists as of a snapshot, sorted. */
  sorted(snapshot: number): ModelEntry[] {
    const found: ModelEntry[] = [];
    for (const list of this.entries.values()) {
      const entry = this.get((list[0] as ModelEntry).key, snapshot);
      if (entry !== undefined) found.push(entry);
    }
    return found.sort((a, b) => compareKeys(a.key, b.key));
  }
}

export function within(key: Uint8Array, lower: Uint8Array | undefined, upper: Uint8Array | undefined): boolean {
  return (lower === undefined || compareKeys(key, lower) >= 0) && (upper === undefined || compareKeys(key, upper) < 0);
}

/** Stands for an image cache: spoils what its cursors showed whenever something is loaded. */
export class SpoilingCache {
  readonly cursors: ArrayCursor[] = [];
  missChance = 0;
  readonly chance: Chance;
  misses = 0;

  constructor(chance: Chance) {
    this.chance = chance;
  }

  spoil(): void {
    for (const cursor of this.cursors) cursor.spoil();
  }
}

/** A cursor over sorted entries that lives in one scratch buffer, answers MISS now and then, and whose bytes go bad. */
export class ArrayCursor implements EntryCursor {
  waits = false;
  keyBytes = new Uint8Array(8192);
  keyStart = 0;
  keyEnd = 0;
  cellBytes = new Uint8Array(64);
  cellStart = 0;
  cellEnd = 0;
  version = 0;
  removed = false;
  readonly #entries: readonly ModelEntry[];
  readonly #cache: SpoilingCache;
  #at = -1;
  /** The place that was missing and is now loaded. */
  #loaded = -2;
  #wanted = -2;

  constructor(entries: readonly ModelEntry[], cache: SpoilingCache) {
    this.#entries = entries;
    this.#cache = cache;
    cache.cursors.push(this);
  }

  spoil(): void {
    this.keyBytes.fill(0xee);
    this.cellBytes.fill(0xee);
    this.version = -1;
  }

  seek(key: Uint8Array, start: number, end: number): Step {
    return this.#to(this.#lowerBound(key, start, end));
  }

  seekBefore(key: Uint8Array, start: number, end: number): Step {
    return this.#to(this.#lowerBound(key, start, end) - 1);
  }

  first(): Step {
    return this.#to(0);
  }

  last(): Step {
    return this.#to(this.#entries.length - 1);
  }

  next(): Step {
    return this.#at < 0 ? END : this.#to(this.#at + 1);
  }

  previous(): Step {
    return this.#at < 0 ? END : this.#to(this.#at - 1);
  }

  load(): Promise<void> {
    this.#loaded = this.#wanted;
    this.#cache.spoil();
    return Promise.resolve();
  }

  #lowerBound(key: Uint8Array, start: number, end: number): number {
    const at = this.#entries.findIndex((e) => compareBytes(e.key, 0, e.key.length, key, start, end) >= 0);
    return at < 0 ? this.#entries.length : at;
  }

  #to(at: number): Step {
    const entry = this.#entries[at];
    const cache = this.#cache;
    if (cache.missChance > 0 && at !== this.#loaded && cache.chance.one(cache.missChance)) {
      cache.misses++;
      if (!this.waits) {
        this.#wanted = at;
        return MISS;
      }
      cache.spoil();
    }
    this.#loaded = -2;
    if (entry === undefined) {
      this.#at = -1;
      return END;
    }
    this.#at = at;
    this.show(entry);
    return AT;
  }

  protected show(entry: ModelEntry): void {
    this.keyBytes.set(entry.key, 3);
    this.keyStart = 3;
    this.keyEnd = 3 + entry.key.length;
    if (entry.value !== undefined) this.cellBytes.set(entry.value, 1);
    this.cellStart = 1;
    this.cellEnd = 1 + (entry.value?.length ?? 0);
    this.version = entry.version;
    this.removed = entry.value === undefined;
  }

  protected get current(): ModelEntry | undefined {
    return this.#entries[this.#at];
  }
}

/** One that can show its entry again. */
export class RefreshingCursor extends ArrayCursor {
  refresh(): Step {
    const { current } = this;
    if (current === undefined) return END;
    this.show(current);
    return AT;
  }
}
