import { describe, expect, it } from 'vitest';
import { compareKeys } from '../../../src/base/bytes.ts';
import { AT, END, type EntryCursor, MISS, type Step } from '../../../src/node/entry-cursor.ts';
import { type CursorLayer, LayeredCursor } from '../../../src/storage/layered-cursor.ts';
import { MemoryTable } from '../../../src/storage/memory-table.ts';
import { RecordArena } from '../../../src/storage/record-arena.ts';
import { PENDING_NUMBER, WriteBuffer } from '../../../src/storage/write-buffer.ts';
import {
  ArrayCursor,
  Chance,
  KeySource,
  Model,
  type ModelEntry,
  RefreshingCursor,
  RUNS,
  SEED,
  SpoilingCache,
  text,
} from './model.ts';

const STORE = 64;
const NOWHERE = -1;

/** A store as it might be: a tree up to a number, some tables with runs, and perhaps a transaction's buffer. */
class Fixture {
  readonly chance: Chance;
  readonly source: KeySource;
  readonly model = new Model();
  readonly cache: SpoilingCache;
  readonly layers: CursorLayer[] = [];
  readonly buffer = new WriteBuffer(64);
  readonly withBuffer: boolean;
  readonly snapshot: number;
  readonly keys: Uint8Array[] = [];
  #number = 1;

  constructor(seed: number) {
    this.chance = new Chance(seed);
    this.source = new KeySource(this.chance);
    this.cache = new SpoilingCache(this.chance);
    this.withBuffer = this.chance.one(2);
    const { chance } = this;
    const tree = chance.one(5) ? [] : this.#makeTree();
    const treeNewest = this.#number;
    const tables = Array.from({ length: chance.below(4) }, () => this.#makeTable());
    this.snapshot = chance.one(2) ? this.#number : treeNewest + chance.below(this.#number - treeNewest + 1);
    if (this.withBuffer) {
      for (let i = chance.below(20); i > 0; i--) this.changeBuffer();
      this.layers.push({ cursor: this.buffer.cursor(), snapshot: Infinity });
    }
    for (const { table, runs } of tables.reverse()) this.#addTable(table, runs);
    const newest = chance.one(3) ? undefined : treeNewest;
    this.layers.push({ cursor: this.#arrayCursor(tree), snapshot: this.snapshot, newest });
  }

  get asOf(): number {
    return this.withBuffer ? Infinity : this.snapshot;
  }

  expected(): ModelEntry[] {
    const { model, snapshot } = this;
    const visible = new Model();
    for (const list of model.entries.values()) {
      for (const e of list)
        if (e.version <= snapshot || e.version === PENDING_NUMBER) visible.write(e.key, e.value, e.version);
    }
    for (const r of model.removals) {
      if (r.version <= snapshot || r.version === PENDING_NUMBER) visible.removeRange(r.lower, r.upper, r.version);
    }
    return visible.sorted(Infinity);
  }

  key(): Uint8Array {
    const known = this.keys.length > 0 && this.chance.one(2);
    const key = known ? this.chance.pick(this.keys) : this.source.next();
    if (!known) this.keys.push(key);
    return key;
  }

  changeBuffer(): void {
    const { chance, buffer, model } = this;
    const key = this.key();
    if (chance.one(6)) {
      const upper = chance.one(5) ? undefined : this.key();
      if (upper !== undefined && compareKeys(key, upper) >= 0) return;
      buffer.clearRange(key, upper);
      for (const list of model.entries.values()) this.#takeBack(list, key, upper);
      model.removeRange(key, upper, PENDING_NUMBER);
    } else if (chance.one(3)) {
      buffer.remove(key, 0, key.length);
      model.write(key, undefined, PENDING_NUMBER);
    } else {
      const value = this.#value();
      buffer.put(key, 0, key.length, value, 0, value.length);
      model.write(key, value, PENDING_NUMBER);
    }
  }

  #takeBack(list: ModelEntry[], lower: Uint8Array, upper: Uint8Array | undefined): void {
    const { key } = list[0] as ModelEntry;
    if (compareKeys(key, lower) < 0 || (upper !== undefined && compareKeys(key, upper) >= 0)) return;
    if (list.some((e) => e.version === PENDING_NUMBER)) this.model.write(key, undefined, PENDING_NUMBER);
  }

  #value(): Uint8Array {
    return new Uint8Array(this.chance.below(9)).fill(this.chance.below(256));
  }

  #makeTree(): ModelEntry[] {
    const tree = new Model();
    for (let i = this.chance.pick([1, 5, 40, 200]); i > 0; i--) {
      const key = this.key();
      if (!tree.entries.has(text(key))) tree.write(key, this.#value(), 1 + this.chance.below(50));
    }
    this.#number = 51;
    const entries = tree.sorted(Infinity);
    for (const e of entries) this.model.write(e.key, e.value, e.version);
    return entries;
  }

  #makeTable(): { table: MemoryTable; runs: ModelEntry[][] } {
    const arena = new RecordArena(new ArrayBuffer(1 << 17), false);
    const table = MemoryTable.over(arena, this.#number);
    const runs: ModelEntry[][] = [];
    const { chance, model } = this;
    for (let transactions = chance.below(12); transactions > 0; transactions--) {
      const number = ++this.#number;
      if (chance.one(6)) {
        runs.unshift(this.#makeRun(number));
        if (chance.one(2)) continue;
      }
      const own = new Map<string, number>();
      const buffer = new WriteBuffer(64);
      for (let i = 1 + chance.below(8); i > 0; i--) {
        const key = this.key();
        const upper = this.key();
        if (chance.one(8) && compareKeys(key, upper) < 0) {
          buffer.clearRange(key, upper);
          this.#takeBackIn(own, key, upper);
          model.removeRange(key, upper, number);
          continue;
        }
        const value = chance.one(3) ? undefined : this.#value();
        if (value === undefined) buffer.remove(key, 0, key.length);
        else buffer.put(key, 0, key.length, value, 0, value.length);
        model.write(key, value, number);
        own.set(text(key), (own.get(text(key)) ?? 0) + 1);
      }
      table.applySection(STORE, buffer.sectionBytes, buffer.sectionStart, buffer.sectionLength, number);
    }
    return { table, runs };
  }

  /** A range removal takes back what its own transaction's buffer said, but not what it spilled to a run. */
  #takeBackIn(own: Map<string, number>, lower: Uint8Array, upper: Uint8Array): void {
    const { entries } = this.model;
    for (const [name, count] of own) {
      const list = entries.get(name) as ModelEntry[];
      const { key } = list[0] as ModelEntry;
      if (compareKeys(key, lower) < 0 || compareKeys(key, upper) >= 0) continue;
      own.delete(name);
      if (list.length === count) entries.delete(name);
      else entries.set(name, list.slice(0, -count));
    }
  }

  #makeRun(number: number): ModelEntry[] {
    const run = new Map<string, ModelEntry>();
    for (let i = 1 + this.chance.below(30); i > 0; i--) {
      const key = this.key();
      run.set(text(key), { key, value: this.chance.one(4) ? undefined : this.#value(), version: number });
    }
    for (const e of run.values()) this.model.write(e.key, e.value, number);
    return [...run.values()].sort((a, b) => compareKeys(a.key, b.key));
  }

  #addTable(table: MemoryTable, runs: ModelEntry[][]): void {
    const { snapshot } = this;
    const index = table.store(STORE);
    if (index !== undefined) this.layers.push({ cursor: index.cursor(snapshot), removals: index.removals, snapshot });
    for (const run of runs) {
      const number = (run[0] as ModelEntry).version;
      if (number <= snapshot) this.layers.push({ cursor: this.#arrayCursor(run), snapshot, newest: number });
    }
  }

  #arrayCursor(entries: ModelEntry[]): EntryCursor {
    return this.chance.one(2) ? new ArrayCursor(entries, this.cache) : new RefreshingCursor(entries, this.cache);
  }
}

/** Drives a cursor and its model at once. */
class Driver {
  readonly fixture: Fixture;
  readonly cursor: LayeredCursor;
  entries: ModelEntry[];
  /** Where the cursor is: an index of `entries`, a half between two of them. */
  at = NOWHERE;

  constructor(fixture: Fixture) {
    this.fixture = fixture;
    this.cursor = new LayeredCursor(fixture.layers);
    this.cursor.waits = fixture.chance.one(4);
    this.entries = fixture.expected();
  }

  async step(): Promise<void> {
    const { chance } = this.fixture;
    const key = this.fixture.key();
    const bound = this.entries.findIndex((e) => compareKeys(e.key, key) >= 0);
    const place = bound < 0 ? this.entries.length : bound;
    switch (chance.below(12)) {
      case 0:
        return this.do(() => this.cursor.first(), 0);
      case 1:
        return this.do(() => this.cursor.last(), this.entries.length - 1);
      case 2:
        return this.do(() => this.cursor.seek(key, 0, key.length), place);
      case 3:
        return this.do(() => this.cursor.seekBefore(key, 0, key.length), place - 1);
      case 4:
      case 5:
        for (let i = chance.below(8); i > 0 && this.at >= 0; i--)
          await this.do(() => this.cursor.previous(), this.at - 1);
        return;
      default:
        for (let i = chance.below(12); i > 0 && this.at >= 0; i--) await this.do(() => this.cursor.next(), this.at + 1);
    }
  }

  async do(call: () => Step, where: number): Promise<void> {
    const { cursor, fixture } = this;
    let step = call();
    while (step === MISS) {
      expect(cursor.waits).toBe(false);
      if (fixture.chance.one(15)) {
        // Something else instead of the same again: the place is still the old one.
        const back = this.at;
        return fixture.chance.one(2)
          ? this.do(() => cursor.next(), back === NOWHERE ? NOWHERE : Math.floor(back) + 1)
          : this.do(() => cursor.previous(), back === NOWHERE ? NOWHERE : Math.ceil(back) - 1);
      }
      await cursor.load();
      step = call();
    }
    const expected = this.entries[where];
    expect(step).toBe(expected === undefined ? END : AT);
    this.at = expected === undefined ? NOWHERE : where;
    if (expected === undefined) return;
    expect(cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd)).toEqual(expected.key);
    expect(cursor.cellBytes.slice(cursor.cellStart, cursor.cellEnd)).toEqual(expected.value);
    expect(cursor.version).toBe(expected.version);
    expect(cursor.removed).toBe(false);
  }

  /** A step that may end in a MISS, after which the transaction goes on writing. */
  async #startStep(): Promise<void> {
    const step = this.cursor.next();
    if (step === MISS) return this.cursor.load();
    this.at = this.at + 1 < this.entries.length ? this.at + 1 : NOWHERE;
    expect(step).toBe(this.at === NOWHERE ? END : AT);
  }

  /** A change by the own transaction; the cursor stays at its key, which may be gone now. */
  async change(): Promise<void> {
    const { fixture } = this;
    if (this.at !== NOWHERE && fixture.chance.one(2)) await this.#startStep();
    const here = this.entries[this.at];
    for (let i = fixture.chance.below(4); i > 0; i--) fixture.changeBuffer();
    this.entries = fixture.expected();
    if (here === undefined) return;
    const bound = this.entries.findIndex((e) => compareKeys(e.key, here.key) >= 0);
    const place = bound < 0 ? this.entries.length : bound;
    const there = this.entries[place];
    const stays = there !== undefined && compareKeys(there.key, here.key) === 0;
    this.at = stays ? place : place - 0.5;
    if (fixture.chance.one(2)) await this.do(() => this.cursor.next(), stays ? place + 1 : place);
    else await this.do(() => this.cursor.previous(), place - 1);
  }
}

describe(`layers read as one (SOP_SEED=${SEED})`, () => {
  it('are a sorted map as of the snapshot, in both directions, with misses anywhere', async () => {
    for (let run = 0; run < 400 * RUNS; run++) {
      const fixture = new Fixture(SEED + run);
      const driver = new Driver(fixture);
      fixture.cache.missChance = fixture.chance.pick([0, 0, 2, 5, 20]);
      try {
        for (let i = 0; i < 40; i++) await driver.step();
      } catch (error) {
        throw new Error(`run with seed ${SEED + run}`, { cause: error });
      }
    }
  });

  it('show what the own transaction changes while the cursor is open', async () => {
    for (let run = 0; run < 200 * RUNS; run++) {
      const fixture = new Fixture(SEED + run);
      if (!fixture.withBuffer) continue;
      const driver = new Driver(fixture);
      fixture.cache.missChance = fixture.chance.pick([0, 2, 5]);
      try {
        for (let i = 0; i < 40; i++) {
          await driver.step();
          await driver.change();
        }
      } catch (error) {
        throw new Error(`run with seed ${SEED + run}`, { cause: error });
      }
    }
  });

  it('show removed keys to those who ask, each once', () => {
    const buffer = new WriteBuffer();
    const table = MemoryTable.over(new RecordArena(new ArrayBuffer(4096), false), 10);
    const key = (n: number): Uint8Array => new Uint8Array([n]);
    for (let n = 0; n < 6; n++) buffer.put(key(n), 0, 1, key(n), 0, 1);
    table.applySection(STORE, buffer.sectionBytes, buffer.sectionStart, buffer.sectionLength, 11);
    buffer.reset();
    buffer.remove(key(1), 0, 1);
    buffer.clearRange(key(3), key(5));
    const layers = [
      { cursor: buffer.cursor(), snapshot: Infinity },
      { cursor: (table.store(STORE) as NonNullable<ReturnType<MemoryTable['store']>>).cursor(11), snapshot: 11 },
    ];
    const cursor = new LayeredCursor(layers, { showRemoved: true });
    const seen: string[] = [];
    for (let step = cursor.first(); step === AT; step = cursor.next()) {
      seen.push(`${cursor.keyBytes[cursor.keyStart]}${cursor.removed ? '-' : '+'}`);
    }
    expect(seen).toEqual(['0+', '1-', '2+', '3-', '4-', '5+']);
  });

  it('skip over a removed range without walking it', () => {
    const cache = new SpoilingCache(new Chance(1));
    const entries = Array.from({ length: 1000 }, (_, i) => ({
      key: new Uint8Array([i >>> 8, i]),
      value: new Uint8Array([1]),
      version: 1,
    }));
    const tree = new ArrayCursor(entries, cache);
    let steps = 0;
    const counted = new Proxy(tree, {
      get(target, name) {
        if (name === 'next' || name === 'previous') steps++;
        const member = Reflect.get(target, name, target) as unknown;
        return typeof member === 'function' ? member.bind(target) : member;
      },
      set: (target, name, value) => Reflect.set(target, name, value, target),
    });
    const buffer = new WriteBuffer();
    buffer.clearRange(new Uint8Array([0, 10]), new Uint8Array([3, 0]));
    const cursor = new LayeredCursor([
      { cursor: buffer.cursor(), snapshot: Infinity },
      { cursor: counted, snapshot: 1, newest: 1 },
    ]);
    let seen = 0;
    for (let step = cursor.first(); step === AT; step = cursor.next()) seen++;
    for (let step = cursor.last(); step === AT; step = cursor.previous()) seen++;
    expect(seen).toBe(2 * (10 + 232));
    expect(steps).toBeLessThan(2 * (10 + 232) + 10);
  });
});
