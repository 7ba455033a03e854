import { describe, expect, it } from 'vitest';
import { compareKeys } from '../../../src/base/bytes.ts';
import { CorruptionError } from '../../../src/base/errors.ts';
import { RECORD_EXISTED, RECORD_KNOWN, recordWord0 } from '../../../src/log/record.ts';
import { MISS } from '../../../src/node/entry-cursor.ts';
import { existenceDelta } from '../../../src/storage/existence.ts';
import { MemoryTable, MemoryTablePool } from '../../../src/storage/memory-table.ts';
import { RecordArena } from '../../../src/storage/record-arena.ts';
import type { RecordIndex } from '../../../src/storage/record-index.ts';
import type { Run } from '../../../src/storage/run.ts';
import { WriteBuffer } from '../../../src/storage/write-buffer.ts';
import { Chance, KeySource, Model, type ModelEntry, RUNS, SEED, text, within } from './model.ts';

const STORE = 64;

function apply(table: MemoryTable, storeId: number, buffer: WriteBuffer, number: number): void {
  // Not on a word, as in a log batch read into a bigger buffer.
  const shifted = new Uint8Array(buffer.sectionLength + 3);
  shifted.set(buffer.sectionBytes.subarray(buffer.sectionStart, buffer.sectionStart + buffer.sectionLength), 3);
  table.applySection(storeId, shifted, 3, buffer.sectionLength, number);
}

function run(storeId: number, number: number): Run {
  return { storeId, number } as unknown as Run;
}

describe('a memory table', () => {
  it('keeps stores apart, also in its filter', () => {
    const table = new MemoryTablePool({ arenaBytes: 1 << 16 }).acquire(10);
    const buffer = new WriteBuffer();
    const key = new Uint8Array([1, 2, 3]);
    buffer.put(key, 0, 3, key, 0, 3);
    apply(table, 80, buffer, 11);
    buffer.reset();
    buffer.remove(key, 0, 3);
    apply(table, 70, buffer, 12);
    table.adoptRun(run(90, 13));
    table.adoptRun(run(70, 14));
    expect(table.stores()).toEqual([70, 80, 90]);
    expect(table.newestNumber).toBe(14);
    expect(table.store(80)?.newestVersion(key, 0, 3)).toBe(11);
    expect(table.store(70)?.newestVersion(key, 0, 3)).toBe(12);
    expect(table.store(90)).toBe(undefined);
    expect(table.runs(70).map((r) => r.number)).toEqual([14]);
  });

  it('is handed out again empty', () => {
    const pool = new MemoryTablePool({ arenaBytes: 1 << 16, shared: true });
    const first = pool.acquire(1);
    const buffer = new WriteBuffer();
    const key = new Uint8Array([9]);
    buffer.put(key, 0, 1, key, 0, 1);
    apply(first, STORE, buffer, 2);
    const { memory } = first;
    expect(memory?.arena.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
    pool.release(first);
    const second = pool.acquire(7);

    expect(second.isEmpty).toBe(true);
    expect(second.hasRoom((1 << 16) - 16)).toBe(true);
    expect(second.hasRoom(1 << 16)).toBe(false);
    apply(second, STORE, buffer, 8);
    expect(second.memory).toBe(memory);
    expect(second.store(STORE)?.keys).toBe(1);
    expect(pool.acquire(7, 1 << 18).hasRoom(1 << 18)).toBe(true);
  });

  it('refuses sections that are not whole records', () => {
    const words = (list: number[]): Uint8Array => new Uint8Array(new Uint32Array(list).buffer);
    for (const section of [
      words([recordWord0(1, 0, 0), 0]),
      words([recordWord0(1, 0, 9), 0, 0, 0]),
      words([recordWord0(1, 0, 0), 0xffff_ffff, 0, 0]),
      words([recordWord0(9, 0, 0), 0, 0, 0]),
      words([recordWord0(0, 0, 0), 0, 0, 0]),
    ]) {
      const table = MemoryTable.over(new RecordArena(new ArrayBuffer(4096), false), 0);
      expect(() => table.applySection(STORE, section, 0, section.length, 1)).toThrow(CorruptionError);
    }
  });
});

/** Tables over a "tree", with known and blind changes; counts are compared with counting one by one. */
function countFixture(chance: Chance, source: KeySource): { table: MemoryTable; model: Model; below: ModelEntry[] } {
  const model = new Model();
  for (let i = chance.below(60); i > 0; i--) model.write(source.next(), new Uint8Array(1), 1);
  const below = model.sorted(Infinity);
  const table = MemoryTable.over(new RecordArena(new ArrayBuffer(1 << 16), false), 1);
  for (let number = 2; number < 2 + chance.below(20); number++) {
    const buffer = new WriteBuffer();
    for (let i = 1 + chance.below(6); i > 0; i--) changeOnce(chance, source, buffer, model, number);
    apply(table, STORE, buffer, number);
  }
  return { table, model, below };
}

function changeOnce(chance: Chance, source: KeySource, buffer: WriteBuffer, model: Model, number: number): void {
  const key = source.next();
  const upper = source.next();
  if (chance.one(8) && compareKeys(key, upper) < 0) {
    for (const [name, list] of model.entries) {
      const entry = list[0] as ModelEntry;
      if (within(entry.key, key, upper) && list.some((e) => e.version === number)) {
        model.write(entry.key, undefined, number);
        expect(name).toBe(text(entry.key));
      }
    }
    buffer.clearRange(key, upper);
    model.removeRange(key, upper, number);
    return;
  }
  const existed = model.get(key, number) !== undefined;
  const flags = chance.one(2) ? 0 : RECORD_KNOWN | (existed ? RECORD_EXISTED : 0);
  if (chance.one(3)) buffer.remove(key, 0, key.length, flags);
  else buffer.put(key, 0, key.length, key, 0, Math.min(1, key.length), flags);
  model.write(key, chance.one(1) && flags < 0 ? undefined : lastValue(buffer), number);
}

/** Whether the last record of the buffer was a put. */
function lastValue(buffer: WriteBuffer): Uint8Array | undefined {
  let last = buffer.sectionStart / 4;
  for (let at = last; at < buffer.arena.usedWords; at = buffer.arena.after(at)) last = at;
  return ((buffer.arena.words[last] as number) & 0xff) === 1 ? new Uint8Array(1) : undefined;
}

describe(`counting through a memory table (SOP_SEED=${SEED})`, () => {
  it('adds up with what lies below, and asks for each blind key once', () => {
    for (let round = 0; round < 200 * RUNS; round++) {
      const chance = new Chance(SEED + round);
      const source = new KeySource(chance);
      const { table, model, below } = countFixture(chance, source);
      const index = table.store(STORE);
      if (index === undefined) continue;
      const names = new Set(below.map((e) => text(e.key)));
      const asked = new Set<string>();
      for (let i = 0; i < 6; i++) {
        const snapshot = chance.one(2) ? Infinity : 1 + chance.below(22);
        const lower = chance.one(3) ? undefined : source.next();
        const upper = chance.one(3) ? undefined : source.next();
        if (lower !== undefined && upper !== undefined && compareKeys(lower, upper) >= 0) continue;
        const delta = deltaWithMisses(chance, index, lower, upper, snapshot, (name) => {
          expect(asked.has(name)).toBe(false);
          asked.add(name);
          return names.has(name);
        });
        const union = index.removals?.disjoint(snapshot) ?? [];
        const kept = below.filter(
          (e) => within(e.key, lower, upper) && !union.some((r) => within(e.key, r.lower, r.upper)),
        );
        expect(kept.length + delta).toBe(model.sorted(snapshot).filter((e) => within(e.key, lower, upper)).length);
      }
    }
  });
});

function deltaWithMisses(
  chance: Chance,
  index: RecordIndex,
  lower: Uint8Array | undefined,
  upper: Uint8Array | undefined,
  snapshot: number,
  exists: (name: string) => boolean,
): number {
  for (;;) {
    const delta = existenceDelta(index, lower, upper, snapshot, (key, start, end) =>
      chance.one(4) ? MISS : exists(text(key.slice(start, end))),
    );
    if (delta !== undefined) return delta;
  }
}
