import { describe, expect, it } from 'vitest';
import { compareKeys } from '../../../src/base/bytes.ts';
import { OP_NOOP, RECORD_EXISTED, RECORD_KNOWN } from '../../../src/log/record.ts';
import { AT } from '../../../src/node/entry-cursor.ts';
import { MemoryTable } from '../../../src/storage/memory-table.ts';
import { RecordArena } from '../../../src/storage/record-arena.ts';
import { type BufferMark, WriteBuffer, WriteBufferPool } from '../../../src/storage/write-buffer.ts';
import { Chance, KeySource, RUNS, SEED, text, within } from './model.ts';

const STORE = 70;

/** What a buffer says: puts and removals by key, and the ranges it removed. */
class BufferModel {
  changes = new Map<string, { key: Uint8Array; value: Uint8Array | undefined }>();
  ranges: [Uint8Array, Uint8Array | undefined][] = [];

  copy(): BufferModel {
    const copy = new BufferModel();
    copy.changes = new Map(this.changes);
    copy.ranges = [...this.ranges];
    return copy;
  }

  clearRange(lower: Uint8Array, upper: Uint8Array | undefined): void {
    for (const [name, { key }] of this.changes) if (within(key, lower, upper)) this.changes.delete(name);
    if (upper === undefined || compareKeys(lower, upper) < 0) this.ranges.push([lower, upper]);
  }

  /** A value, undefined for "removed", null for "nothing said". */
  get(key: Uint8Array): Uint8Array | undefined | null {
    const change = this.changes.get(text(key));
    if (change !== undefined) return change.value;
    return this.ranges.some(([lower, upper]) => within(key, lower, upper)) ? undefined : null;
  }
}

function bufferGet(buffer: WriteBuffer, key: Uint8Array): Uint8Array | undefined | null {
  const address = buffer.find(key, 0, key.length);
  if (address === 0) return buffer.covers(key, 0, key.length) ? undefined : null;
  const { arena } = buffer;
  if (((arena.words[address] as number) & 0xff) !== 1) return undefined;
  const start = arena.cellStart(address);
  return arena.bytes.slice(start, start + arena.cellLength(address));
}

/** The same from the table that took the section in. */
function tableGet(table: MemoryTable, key: Uint8Array): Uint8Array | undefined | null {
  const index = table.store(STORE);
  if (index === undefined) return null;
  const address = index.find(key, 0, key.length, 1);
  if (address === 0)
    return (index.removals?.newestCovering(key, 0, key.length, Infinity) ?? 0) !== 0 ? undefined : null;
  if (((index.arena.words[address] as number) & 0xff) !== 1) return undefined;
  const start = index.arena.cellStart(address);
  return index.arena.bytes.slice(start, start + index.arena.cellLength(address));
}

function change(chance: Chance, source: KeySource, buffer: WriteBuffer, model: BufferModel): void {
  const key = source.next();
  if (chance.one(10)) {
    const upper = chance.one(4) ? undefined : source.next();
    buffer.clearRange(key, upper);
    model.clearRange(key, upper);
  } else if (chance.one(4)) {
    buffer.remove(key, 0, key.length);
    model.changes.set(text(key), { key, value: undefined });
  } else {
    const value = new Uint8Array(chance.below(6)).fill(chance.below(256));
    buffer.put(key, 0, key.length, value, 0, value.length);
    model.changes.set(text(key), { key, value });
  }
}

describe(`a write buffer (SOP_SEED=${SEED})`, () => {
  it('says what was written, to its own reads and to the table it goes to, savepoints included', () => {
    const pool = new WriteBufferPool();
    for (let run = 0; run < 300 * RUNS; run++) {
      const chance = new Chance(SEED + run);
      const source = new KeySource(chance);
      const buffer = pool.acquire(STORE);
      let model = new BufferModel();
      const marks: [BufferMark, BufferModel][] = [];
      for (let i = chance.pick([2, 30, 300]); i > 0; i--) {
        change(chance, source, buffer, model);
        if (chance.one(20)) marks.push([buffer.mark(), model.copy()]);
        if (marks.length > 0 && chance.one(25)) {
          marks.length = 1 + chance.below(marks.length);
          const [mark, before] = marks[marks.length - 1] as [BufferMark, BufferModel];
          buffer.truncate(mark);
          model = before.copy();
        }
        const asked = source.next();
        if (chance.one(30)) expect(bufferGet(buffer, asked)).toEqual(model.get(asked));
      }
      const table = MemoryTable.over(new RecordArena(new ArrayBuffer(1 << 16), false), 8);
      if (!buffer.isEmpty) {
        table.applySection(STORE, buffer.sectionBytes, buffer.sectionStart, buffer.sectionLength, 9);
      }
      const keys = Array.from({ length: 40 }, () => source.next());
      for (const { key } of model.changes.values()) keys.push(key);
      for (const key of keys) {
        expect(bufferGet(buffer, key)).toEqual(model.get(key));
        expect(tableGet(table, key) ?? undefined).toEqual(model.get(key) ?? undefined);
        if (model.get(key) === null) expect(tableGet(table, key)).toBe(null);
      }
      pool.release(buffer);
    }
  });

  it('shows its records in key order, and nothing of what was taken back', () => {
    const buffer = new WriteBuffer(64);
    const key = (n: number): Uint8Array => new Uint8Array([n]);
    for (const n of [5, 1, 9, 3]) buffer.put(key(n), 0, 1, key(n), 0, 1);
    buffer.clearRange(key(2), key(6));
    buffer.remove(key(7), 0, 1);
    buffer.put(key(3), 0, 1, key(30), 0, 1);
    const cursor = buffer.cursor();
    const seen: string[] = [];
    for (let step = cursor.first(); step === AT; step = cursor.next()) {
      seen.push(
        `${cursor.keyBytes[cursor.keyStart]}${cursor.removed ? '-' : `=${cursor.cellBytes[cursor.cellStart]}`}`,
      );
    }
    expect(seen).toEqual(['1=1', '3=30', '7-', '9=9']);
    expect(buffer.removals?.disjoint()).toHaveLength(1);
    expect(buffer.recordCount).toBe(7);
  });

  it('builds no index for blind writes', () => {
    const buffer = new WriteBuffer();
    const before = buffer.sizeBytes;
    for (let n = 0; n < 50; n++) buffer.put(new Uint8Array([n % 7]), 0, 1, new Uint8Array(1), 0, 1);
    buffer.clearRange(new Uint8Array([200]), undefined);
    expect(buffer.sizeBytes).toBeGreaterThan(before);
    const blind = new WriteBuffer();
    for (let n = 0; n < 50; n++) blind.put(new Uint8Array([n % 7]), 0, 1, new Uint8Array(1), 0, 1);
    expect(blind.sizeBytes).toBe(before);
    expect(blind.recordCount).toBe(50);
  });

  it('keeps words 2 and 3 zero, whatever was read in between', () => {
    const buffer = new WriteBuffer();
    for (let n = 0; n < 300; n++) {
      buffer.put(new Uint8Array([n % 17]), 0, 1, new Uint8Array(3), 0, 3);
      if (n % 50 === 0) buffer.find(new Uint8Array([3]), 0, 1);
    }
    const { arena } = buffer;
    for (let at = buffer.sectionStart / 4; at < arena.usedWords; at = arena.after(at)) {
      expect([arena.words[at + 2], arena.words[at + 3]]).toEqual([0, 0]);
    }
  });

  it('hands what was known before the transaction on to the record that replaces another', () => {
    const buffer = new WriteBuffer();
    const key = new Uint8Array([1]);
    const first = buffer.put(key, 0, 1, key, 0, 1, RECORD_KNOWN);
    expect(buffer.find(key, 0, 1)).toBe(first);
    const second = buffer.remove(key, 0, 1, RECORD_KNOWN | RECORD_EXISTED);
    expect((buffer.arena.words[first] as number) & 0xff).toBe(OP_NOOP);
    expect(((buffer.arena.words[second] as number) >>> 8) & 0xff).toBe(RECORD_KNOWN);
    const other = new Uint8Array([2]);
    buffer.put(other, 0, 1, other, 0, 1);
    const blind = buffer.remove(other, 0, 1, RECORD_KNOWN | RECORD_EXISTED);
    expect(((buffer.arena.words[blind] as number) >>> 8) & 0xff).toBe(0);
  });

  it('removes nothing where the range is empty', () => {
    const buffer = new WriteBuffer();
    buffer.clearRange(new Uint8Array([3]), new Uint8Array([3]));
    buffer.clearRange(new Uint8Array([3]), new Uint8Array([1]));
    expect(buffer.isEmpty).toBe(true);
  });
});
