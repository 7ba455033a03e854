import { describe, expect, it } from 'vitest';
import { compareKeys } from '../../../src/base/bytes.ts';
import { OP_RANGE_REMOVE, RANGE_UNBOUNDED } from '../../../src/log/record.ts';
import { RangeRemovals, RemovalWindow } from '../../../src/storage/range-removals.ts';
import { RecordArena } from '../../../src/storage/record-arena.ts';
import { Chance, KeySource, Model, RUNS, SEED } from './model.ts';

const BASE = 500;

class Fixture {
  readonly arena = new RecordArena(new ArrayBuffer(64), true);
  readonly removals = new RangeRemovals(this.arena, BASE);
  readonly model = new Model();

  add(lower: Uint8Array, upper: Uint8Array | undefined, version: number): void {
    const bound = upper ?? new Uint8Array(0);
    const flags = upper === undefined ? RANGE_UNBOUNDED : 0;
    const { arena } = this;
    const address = arena.appendRecord(OP_RANGE_REMOVE, flags, lower, 0, lower.length, bound, 0, bound.length);
    arena.words[address + 2] = version - BASE;
    this.removals.add(address);
    this.model.removeRange(lower, upper, version);
  }
}

function checkKeys(chance: Chance, source: KeySource, fixture: Fixture, version: number): void {
  const { removals, model } = fixture;
  const snapshot = BASE + chance.below(version - BASE + 2);
  const window = new RemovalWindow(removals, snapshot);
  for (let i = 0; i < 40; i++) {
    const key = source.next();
    expect(removals.newestCovering(key, 0, key.length, snapshot)).toBe(model.covering(key, snapshot));
    expect(window.versionAt(key, 0, key.length)).toBe(model.covering(key, snapshot));
    const inside = source.next();
    const isInside =
      removals.compareKey(inside, 0, inside.length, window.lower) >= 0 &&
      removals.compareKey(inside, 0, inside.length, window.upper) < 0;
    if (isInside) expect(model.covering(inside, snapshot)).toBe(window.version);
  }
}

function checkUnion(chance: Chance, source: KeySource, fixture: Fixture, version: number): void {
  const snapshot = chance.one(2) ? Infinity : BASE + chance.below(version - BASE + 2);
  const union = fixture.removals.disjoint(snapshot);
  for (let i = 1; i < union.length; i++) {
    const before = (union[i - 1] as (typeof union)[0]).upper;
    expect(before !== undefined && compareKeys(before, (union[i] as (typeof union)[0]).lower) < 0).toBe(true);
  }
  for (let i = 0; i < 40; i++) {
    const key = source.next();
    const covering = union.find(
      (r) => compareKeys(r.lower, key) <= 0 && (r.upper === undefined || compareKeys(key, r.upper) < 0),
    );
    const version = fixture.model.covering(key, snapshot);
    expect(covering !== undefined).toBe(version !== 0);
    if (covering !== undefined) expect(covering.newest).toBeGreaterThanOrEqual(version);
  }
}

function checkOverlaps(source: KeySource, fixture: Fixture, chance: Chance): void {
  for (let i = 0; i < 40; i++) {
    const lower = chance.one(5) ? undefined : source.next();
    const upper = chance.one(5) ? undefined : source.next();
    if (lower !== undefined && upper !== undefined && compareKeys(lower, upper) >= 0) continue;
    expect(fixture.removals.newestOverlapping(lower, upper)).toBe(fixture.model.overlapping(lower, upper));
  }
}

describe(`range removals (SOP_SEED=${SEED})`, () => {
  it('cover what a list of them covers, as of any snapshot', () => {
    for (let run = 0; run < 150 * RUNS; run++) {
      const chance = new Chance(SEED + run);
      const source = new KeySource(chance);
      const fixture = new Fixture();
      let version = BASE + 1;
      for (let i = chance.pick([1, 3, 30, 400]); i > 0; i--) {
        if (chance.one(2)) version++;
        fixture.add(source.next(), chance.one(12) ? undefined : source.next(), version);
        if (chance.one(40)) checkKeys(chance, source, fixture, version);
      }
      checkKeys(chance, source, fixture, version);
      checkUnion(chance, source, fixture, version);
      checkOverlaps(source, fixture, chance);
    }
  });

  it('stay quick with a hundred thousand of them, nested, repeated or scattered', () => {
    const key = (n: number): Uint8Array => new Uint8Array([n >>> 24, n >>> 16, n >>> 8, n]);
    const shapes: ((i: number) => [Uint8Array, Uint8Array])[] = [
      (i) => [key(i), key(1_000_000 - i)],
      () => [key(5), key(9)],
      (i) => [key(((i * 7919) % 100_003) * 10), key(((i * 7919) % 100_003) * 10 + 5)],
      (i) => [key(((i * 7919) % 100_003) * 10), key(((i * 7919) % 100_003) * 10 + 5_000)],
    ];
    for (const shape of shapes) {
      const fixture = new Fixture();
      for (let i = 0; i < 100_000; i++) {
        const [lower, upper] = shape(i);
        fixture.add(lower, upper, BASE + 1 + i);
      }
      const { removals } = fixture;
      for (let i = 0; i < 10_000; i++) {
        removals.newestCovering(key(i * 100), 0, 4, Infinity);
        removals.newestOverlapping(key(i * 50), key(i * 50 + 100));
      }
      expect(removals.disjoint().length).toBeGreaterThan(0);
      removals.disjoint(BASE + 1);
    }
  });
});
