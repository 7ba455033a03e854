import { describe, expect, it } from 'vitest';
import { compareKeys } from '../../../src/base/bytes.ts';
import { OP_PUT, OP_RANGE_REMOVE, OP_REMOVE, RANGE_UNBOUNDED } from '../../../src/log/record.ts';
import { AT, END } from '../../../src/node/entry-cursor.ts';
import { IndexNodes } from '../../../src/storage/index-nodes.ts';
import { filterHash, PointFilter } from '../../../src/storage/point-filter.ts';
import { RecordArena } from '../../../src/storage/record-arena.ts';
import { RecordIndex } from '../../../src/storage/record-index.ts';
import { Chance, KeySource, Model, type ModelEntry, RUNS, SEED, within } from './model.ts';

const BASE = 1000;

class Fixture {
  readonly arena = new RecordArena(new ArrayBuffer(64), true);
  readonly index: RecordIndex;
  readonly model = new Model();
  readonly keys: Uint8Array[] = [];

  constructor(filtered: boolean) {
    this.index = new RecordIndex({
      arena: this.arena,
      nodes: new IndexNodes(2),
      baseNumber: BASE,
      linked: true,
      filter: filtered ? new PointFilter(1024) : undefined,
      storeId: 7,
    });
  }

  write(key: Uint8Array, value: Uint8Array | undefined, version: number): void {
    const cell = value ?? new Uint8Array(0);
    const op = value === undefined ? OP_REMOVE : OP_PUT;
    this.#insert(this.arena.appendRecord(op, 0, key, 0, key.length, cell, 0, cell.length), version);
    this.model.write(key, value, version);
    this.keys.push(key);
  }

  removeRange(lower: Uint8Array, upper: Uint8Array | undefined, version: number): void {
    const bound = upper ?? new Uint8Array(0);
    const flags = upper === undefined ? RANGE_UNBOUNDED : 0;
    const { arena } = this;
    const address = arena.appendRecord(OP_RANGE_REMOVE, flags, lower, 0, lower.length, bound, 0, bound.length);
    this.#insert(address, version);
    this.model.removeRange(lower, upper, version);
  }

  #insert(address: number, version: number): void {
    this.arena.words[address + 2] = version - BASE;
    this.index.insert(address);
  }
}

/** Everything the cursor shows, removals left out, with the order checked. */
function walk(fixture: Fixture, snapshot: number, backward: boolean): ModelEntry[] {
  const cursor = fixture.index.cursor(snapshot);
  const found: ModelEntry[] = [];
  for (let step = backward ? cursor.last() : cursor.first(); step === AT; ) {
    if (!cursor.removed) {
      const key = cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd);
      const value = cursor.cellBytes.slice(cursor.cellStart, cursor.cellEnd);
      found.push({ key, value, version: cursor.version });
    }
    step = backward ? cursor.previous() : cursor.next();
  }
  return backward ? found.reverse() : found;
}

function value(chance: Chance): Uint8Array {
  return new Uint8Array(chance.below(9)).fill(chance.below(256));
}

function bound(chance: Chance, source: KeySource): Uint8Array | undefined {
  return chance.one(6) ? undefined : source.next();
}

function fill(chance: Chance, source: KeySource, fixture: Fixture, inserts: number, removals: boolean): number {
  let version = BASE + 1;
  const sorted = chance.one(4) ? Array.from({ length: inserts }, () => source.next()).sort(compareKeys) : undefined;
  if (sorted !== undefined && chance.one(2)) sorted.reverse();
  for (let i = 0; i < inserts; i++) {
    if (chance.one(3)) version++;
    if (removals && chance.one(15)) {
      const one = source.next();
      const other = bound(chance, source);
      if (other === undefined || compareKeys(one, other) < 0) fixture.removeRange(one, other, version);
    }
    const key = sorted?.[i] ?? (chance.one(5) && fixture.keys.length > 0 ? chance.pick(fixture.keys) : source.next());
    fixture.write(key, chance.one(4) ? undefined : value(chance), version);
  }
  return version;
}

function checkReads(chance: Chance, source: KeySource, fixture: Fixture, version: number): void {
  const { model, index, arena } = fixture;
  for (let i = 0; i < 60; i++) {
    const key = chance.one(2) ? source.next() : chance.pick(fixture.keys);
    const snapshot = BASE + chance.below(version - BASE + 2);
    const expected = model.newest(key, snapshot);
    const address = index.find(key, 0, key.length, snapshot - BASE);
    expect(address === 0 ? 0 : BASE + (arena.words[address + 2] as number)).toBe(expected?.version ?? 0);
    if (address !== 0) expect(arena.words[address + 1]).toBe(expected?.value?.length ?? 0);
    const newest = Math.max(model.newest(key, Infinity)?.version ?? 0, model.covering(key, Infinity));
    expect(index.newestVersion(key, 0, key.length)).toBe(newest);
  }
}

function checkRanges(chance: Chance, source: KeySource, fixture: Fixture, version: number): void {
  const { model, index } = fixture;
  for (let i = 0; i < 30; i++) {
    const lower = bound(chance, source);
    const upper = bound(chance, source);
    if (lower !== undefined && upper !== undefined && compareKeys(lower, upper) >= 0) continue;
    let newest = model.overlapping(lower, upper);
    for (const list of model.entries.values()) {
      const { key } = list[0] as ModelEntry;
      if (within(key, lower, upper)) newest = Math.max(newest, model.newest(key, Infinity)?.version ?? 0);
    }
    expect(index.newestInRange(lower, upper)).toBe(newest);
    const above = BASE + chance.below(version - BASE + 2);
    const answer = index.newestInRange(lower, upper, above);
    expect(answer > above ? answer : above).toBe(Math.max(newest, above));
  }
}

function checkSeeks(chance: Chance, source: KeySource, fixture: Fixture, version: number): void {
  const snapshot = BASE + chance.below(version - BASE + 2);
  const cursor = fixture.index.cursor(snapshot);
  const sorted: Uint8Array[] = [];
  for (let step = cursor.first(); step === AT; step = cursor.next()) {
    sorted.push(cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd));
  }
  for (let i = 0; i < 30; i++) {
    const key = chance.one(2) ? source.next() : chance.pick(fixture.keys);
    const at = sorted.findIndex((k) => compareKeys(k, key) >= 0);
    const place = at < 0 ? sorted.length : at;
    for (const [step, where] of [
      [() => cursor.seek(key, 0, key.length), place],
      [() => cursor.next(), place + 1],
      [() => cursor.seekBefore(key, 0, key.length), place - 1],
      [() => cursor.previous(), place - 2],
    ] as const) {
      const expected = sorted[where];
      const answer = step();
      expect(answer).toBe(expected === undefined ? END : AT);
      if (answer === END) break;
      expect(cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd)).toEqual(expected);
    }
  }
}

describe(`the record index (SOP_SEED=${SEED})`, () => {
  it('answers as a versioned sorted map does, whatever the keys look like', () => {
    for (let run = 0; run < 60 * RUNS; run++) {
      const chance = new Chance(SEED + run);
      const source = new KeySource(chance);
      const fixture = new Fixture(chance.one(2));
      const version = fill(chance, source, fixture, chance.pick([1, 20, 70, 300, 2500]), chance.one(2));
      for (const snapshot of [Infinity, BASE + chance.below(version - BASE + 1)]) {
        const expected = fixture.model.sorted(snapshot);
        expect(walk(fixture, snapshot, false)).toEqual(expected);
        expect(walk(fixture, snapshot, true)).toEqual(expected);
      }
      checkReads(chance, source, fixture, version);
      checkRanges(chance, source, fixture, version);
      checkSeeks(chance, source, fixture, version);
      expect(fixture.index.keys).toBe(fixture.model.entries.size);
    }
  });

  it('holds the empty key, keys of 4 KiB and keys that differ in trailing zeros only', () => {
    const fixture = new Fixture(false);
    const long = new Uint8Array(4096).fill(5);
    const keys = [new Uint8Array(0), long, ...Array.from({ length: 300 }, (_, i) => new Uint8Array(i + 1))];
    for (let i = 0; i < 100; i++) {
      const key = long.slice();
      key[4095] = i + 6;
      keys.push(key);
    }
    for (const key of [...keys].reverse()) fixture.write(key, new Uint8Array([1]), BASE + 1);
    expect(walk(fixture, Infinity, false).map((e) => e.key)).toEqual(keys.sort(compareKeys));
    for (const key of keys) expect(fixture.index.find(key, 0, key.length, 9)).not.toBe(0);
    const absent = new Uint8Array(301);
    expect(fixture.index.find(absent, 0, absent.length, 9)).toBe(0);
  });

  it('keeps full leaves when keys come sorted', () => {
    const fixture = new Fixture(false);
    for (let i = 0; i < 64 * 200; i++) {
      const key = new Uint8Array([1, 2, 3, i >>> 16, i >>> 8, i]);
      fixture.write(key, new Uint8Array(0), BASE + 1 + (i >>> 8));
    }
    expect(fixture.index.nodes.leaves - 1).toBe(200);
    expect(fixture.index.newestInRange(new Uint8Array([1, 2, 3, 0, 16]), new Uint8Array([1, 2, 3, 0, 17]))).toBe(
      BASE + 17,
    );
  });

  it('gives its filter every key of a sorted load, once somebody asks, whatever comes in between', () => {
    for (let run = 0; run < 20 * RUNS; run++) {
      const chance = new Chance(SEED + run);
      const fixture = new Fixture(true);
      const { filter } = fixture.index;
      const keyOf = (i: number): Uint8Array => new Uint8Array([1, i >>> 8, i]);
      for (let i = 0; i < 3000; i++) fixture.write(keyOf(2 * i), new Uint8Array(0), BASE + 1);
      expect(filter?.words.every((word) => word === 0)).toBe(true);
      for (let step = 0; step < 400; step++) {
        const key = keyOf(chance.below(6100));
        if (chance.one(2)) fixture.write(key, new Uint8Array(0), BASE + 2);
        for (const asked of [key, keyOf(chance.below(6100)), chance.pick(fixture.keys)]) {
          const isThere = fixture.model.newest(asked, Infinity) !== undefined;
          expect(fixture.index.find(asked, 0, 3, 9) !== 0).toBe(isThere);
        }
      }
      for (const key of fixture.keys) {
        expect(fixture.index.mayTell(filterHash(key, 0, 3))).toBe(true);
        expect(fixture.index.find(key, 0, 3, 9)).not.toBe(0);
      }
    }
  });

  it('lets a cursor go on while keys are inserted around it', () => {
    const fixture = new Fixture(false);
    for (let i = 0; i < 100; i++) fixture.write(new Uint8Array([i * 2]), new Uint8Array(0), BASE + 1);
    const cursor = fixture.index.cursor(BASE + 1);
    let seen = 0;
    for (let step = cursor.first(); step === AT; step = cursor.next()) {
      expect(cursor.keyBytes[cursor.keyStart]).toBe(seen * 2);
      fixture.write(new Uint8Array([seen * 2 + 1]), new Uint8Array(0), BASE + 2);
      fixture.write(new Uint8Array([seen, 7]), new Uint8Array(0), BASE + 2);
      seen++;
    }
    expect(seen).toBe(100);
  });
});
