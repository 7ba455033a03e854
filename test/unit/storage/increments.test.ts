/** Increments in write buffers and memory tables: running totals, what they are added to, old snapshots. */
import { describe, expect, it } from 'vitest';
import { CorruptionError } from '../../../src/base/errors.ts';
import { INCREMENT_CREATES, readCounter, writeCounter } from '../../../src/codec/counter.ts';
import { OP_INCREMENT, recordOp } from '../../../src/log/record.ts';
import { AT } from '../../../src/node/entry-cursor.ts';
import { MemoryTablePool } from '../../../src/storage/memory-table.ts';
import { type BufferMark, WriteBuffer } from '../../../src/storage/write-buffer.ts';
import { Chance, RUNS, SEED } from './model.ts';

const STORE = 70;
const keyOf = (n: number): Uint8Array => Uint8Array.of(n);

function incrementBy(amount: number, creates = true): Uint8Array {
  const increment = new Uint8Array(16);
  if (creates) increment[0] = INCREMENT_CREATES;
  writeCounter(increment, 8, amount);
  return increment;
}

function cellOf(value: number): Uint8Array {
  const cell = new Uint8Array(9);
  writeCounter(cell, 1, value);
  return cell;
}

const table = () => new MemoryTablePool({ arenaBytes: 1 << 16 }).acquire(8);

/** What a table shows of key 1 as of a snapshot: a value, '+amount' where the base lies below, undefined where removed. */
function look(of: ReturnType<typeof table>, snapshot: number): number | string | undefined {
  const cursor = of.store(STORE)?.cursor(snapshot);
  if (cursor === undefined || cursor.first() !== AT) return 'nothing';
  if (!cursor.removed) return readCounter(cursor.cellBytes, cursor.cellStart + 1);
  return cursor.partial ? `+${readCounter(cursor.cellBytes, cursor.cellStart + 8)}` : undefined;
}

function commit(of: ReturnType<typeof table>, number: number, work: (buffer: WriteBuffer) => void): void {
  const buffer = new WriteBuffer();
  work(buffer);
  of.applySection(STORE, buffer.sectionBytes, buffer.sectionStart, buffer.sectionLength, number);
}

const increment = (buffer: WriteBuffer, amount: number, creates = true) =>
  buffer.increment(keyOf(1), 0, 1, incrementBy(amount, creates));

describe('increments in a memory table', () => {
  it('add up to a total over what lies below, or over a put; an old snapshot sees its own', () => {
    const t = table();
    for (let n = 9; n < 20; n++) commit(t, n, (buffer) => increment(buffer, n));
    commit(t, 20, (buffer) => buffer.put(keyOf(1), 0, 1, cellOf(1000), 0, 9));
    for (let n = 21; n < 30; n++) commit(t, n, (buffer) => increment(buffer, n));
    let sum = 0;
    for (let n = 9; n < 20; n++) {
      sum += n;
      expect(look(t, n)).toBe(`+${sum}`);
    }
    expect(look(t, 20)).toBe(1000);
    sum = 1000;
    for (let n = 21; n < 30; n++) {
      sum += n;
      expect(look(t, n)).toBe(sum);
    }
  });

  it('start from nothing after a removal or a removed range, and stay absent if they do not create', () => {
    for (const take of ['remove', 'range'] as const) {
      const t = table();
      commit(t, 9, (buffer) => increment(buffer, 5));
      commit(t, 10, (buffer) => {
        if (take === 'remove') buffer.remove(keyOf(1), 0, 1);
        else buffer.clearRange(keyOf(0), undefined);
      });
      commit(t, 11, (buffer) => increment(buffer, 7, false));
      commit(t, 12, (buffer) => increment(buffer, 7));
      expect([9, 10, 11, 12].map((n) => look(t, n))).toEqual(['+5', undefined, undefined, 14]);
    }
  });

  it('are refused where they are malformed', () => {
    const t = table();
    const buffer = new WriteBuffer();
    buffer.increment(keyOf(1), 0, 1, incrementBy(1));
    const at = buffer.sectionStart;
    const bytes = buffer.sectionBytes.slice(at, at + buffer.sectionLength);
    bytes[4] = 13;
    expect(() => t.applySection(STORE, bytes, 0, bytes.length, 9)).toThrow(CorruptionError);
    const other = table();
    commit(other, 9, (b) => increment(b, 1));
    expect(() => commit(other, 10, (b) => b.increment(keyOf(1), 0, 1, new Uint8Array(24)))).toThrow(CorruptionError);
  });
});

describe(`increments in a write buffer (SOP_SEED=${SEED})`, () => {
  it('fold into own changes, one record a key, and are given back by marks', () => {
    for (let run = 0; run < 200 * RUNS; run++) {
      const chance = new Chance(SEED + run);
      const buffer = new WriteBuffer(64);
      // A number: the value; a string: the amount added to what is below; null: removed.
      let model = new Map<number, number | string | null>();
      const marks: [BufferMark, typeof model][] = [];
      for (let step = chance.pick([3, 20, 100]); step > 0; step--) {
        const key = chance.below(5);
        const before = model.get(key);
        const amount = chance.below(100) - 40;
        const choice = chance.below(10);
        if (choice < 5) {
          const creates = !chance.one(3);
          buffer.increment(keyOf(key), 0, 1, incrementBy(amount, creates));
          if (typeof before === 'number') model.set(key, before + amount);
          else if (before === null) model.set(key, creates ? amount : null);
          else model.set(key, String(Number(before ?? 0) + amount));
        } else if (choice < 7) {
          buffer.put(keyOf(key), 0, 1, cellOf(amount), 0, 9);
          model.set(key, amount);
        } else if (choice < 8) {
          buffer.remove(keyOf(key), 0, 1);
          model.set(key, null);
        } else if (choice < 9) {
          buffer.clearRange(keyOf(key), keyOf(key + 2));
          for (const cleared of [key, key + 1]) model.set(cleared, null);
        } else if (chance.one(2) || marks.length === 0) marks.push([buffer.mark(), new Map(model)]);
        else {
          marks.length = 1 + chance.below(marks.length);
          const [mark, content] = marks[marks.length - 1] as [BufferMark, typeof model];
          buffer.truncate(mark);
          model = new Map(content);
        }
      }
      for (let key = 0; key < 7; key++) expect([key, valueIn(buffer, key)]).toEqual([key, model.get(key)]);
      expectOneIncrementAKey(buffer);
    }
  });
});

function valueIn(buffer: WriteBuffer, key: number): number | string | null | undefined {
  const address = buffer.find(keyOf(key), 0, 1);
  const { arena } = buffer;
  if (address === 0) return buffer.covers(keyOf(key), 0, 1) ? null : undefined;
  const op = recordOp(arena.words[address] as number);
  const start = arena.cellStart(address);
  if (op === OP_INCREMENT) return String(readCounter(arena.bytes, start + 8));
  return op === 1 ? readCounter(arena.bytes, start + 1) : null;
}

/** Where an increment stands in a section, no record of its key stands before it. */
function expectOneIncrementAKey(buffer: WriteBuffer): void {
  const { arena } = buffer;
  const seen = new Set<number>();
  for (let at = buffer.sectionStart / 4; at < arena.usedWords; at = arena.after(at)) {
    const op = recordOp(arena.words[at] as number);
    const key = arena.bytes[arena.keyStart(at)] as number;
    if (op === OP_INCREMENT) expect(seen.has(key)).toBe(false);
    if (op !== 3 && op !== 5) seen.add(key);
  }
}
