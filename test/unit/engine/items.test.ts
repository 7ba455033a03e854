/** Stores of equal keys in the engine: keys get the number of their commit, whatever way they take to the trees. */
import { describe, expect, test } from 'vitest';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import {
  endsWithPlaceholder,
  ITEM_ID_BYTES,
  itemNumber,
  NUMBER_PLACEHOLDER,
  writeItemId,
} from '../../../src/log/placeholder.ts';
import { MemoryTable } from '../../../src/storage/memory-table.ts';
import { TreeRun } from '../../../src/storage/tree-run.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import { ItemId } from '../../../src/store/item-id.ts';
import type { TxBag } from '../../../src/store/bag.ts';
import type { EngineApi, EngineTransaction } from '../../../src/transaction/engine-api.ts';
import { chooseSeed } from '../../helpers/scale.ts';
import { cellOf, openSmall, STORE } from './small-engine.ts';

const SEED = chooseSeed();
const RUNS = Number(process.env.SOP_RUNS ?? 1);
const FOLDER = '/items';
const SMALL = { folder: FOLDER, tableBytes: 256 * 1024, cacheBytes: 64 * 1024 };

let state = SEED;
const below = (limit: number) => {
  state = (state + 0x9e3779b9) >>> 0;
  let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return ((z ^ (z >>> 15)) >>> 0) % limit;
};
const chance = (percent: number) => below(100) < percent;

interface ModelItem {
  readonly id: ItemId;
  readonly key: number;
  value: string;
}

let texts = 0;
const text = () => `${texts++}`.padEnd([6, 6, 40, 700, 3000][below(5)] as number, 'x');

/** Changes at random; the model's items are in the order of their adding. */
function change(bag: TxBag<number, string>, items: ModelItem[], howMany: number): void {
  for (let i = 0; i < howMany; i++) {
    const what = below(100);
    const item = items[below(items.length)];
    if (what < 80 || item === undefined) {
      const key = below(12);
      const value = text();
      items.push({ id: bag.add(key, value), key, value });
    } else if (what < 88) {
      item.value = text();
      expect(bag.updateItemSync(item.key, item.id, item.value)).toBe(true);
    } else if (what < 99) {
      expect(bag.removeItemSync(item.key, item.id)).toBe(true);
      items.splice(items.indexOf(item), 1);
    } else {
      const gone = items.filter((one) => one.key === item.key);
      expect(bag.removeSync(item.key)).toBe(gone.length);
      for (const one of gone) items.splice(items.indexOf(one), 1);
    }
  }
}

function check(bag: TxBag<number, string>, items: readonly ModelItem[]): void {
  const shown = bag.range().toArraySync();
  const wanted = [...items].sort((a, b) => a.key - b.key || a.id.compare(b.id));
  expect(shown.map((entry) => [entry.key, entry.value, String(entry.id)])).toEqual(
    wanted.map((item) => [item.key, item.value, String(item.id)]),
  );
  const some = items[below(items.length)];
  if (some === undefined) return;
  expect(bag.getItemSync(some.key, some.id)?.value).toBe(some.value);
  const equal = wanted.filter((item) => item.key === some.key);
  expect([bag.firstSync(some.key)?.value, bag.lastSync(some.key)?.value]).toEqual([
    equal[0]?.value,
    equal.at(-1)?.value,
  ]);
  expect(bag.countSync(some.key)).toBe(equal.length);
  const cursor = bag.cursor();
  expect(cursor.findItemSync(some.key, some.id)).toBe(true);
  const at = wanted.indexOf(some);
  expect([cursor.previousSync(), cursor.nextSync() && cursor.valueSync()]).toEqual([
    at > 0,
    at > 0 ? some.value : wanted[0]?.value,
  ]);
}

async function live(definition: typeof inline): Promise<void> {
  const env = memoryEnv();
  let db = await Database.openWith(env, SMALL);
  let items: ModelItem[] = [];
  for (let round = 0; round < 8; round++) {
    const own = items.map((item) => ({ ...item }));
    const tx = await db.begin('write');
    change(tx.store(definition), own, [5, 60, 400][below(3)] as number);
    check(tx.store(definition), own);
    if (chance(15)) await tx.rollback();
    else {
      await tx.commit();
      items = own;
    }
    if (chance(40)) await db.checkpoint();
    if (chance(20)) await db.compact();
    if (chance(30)) {
      await db.close();
      db = await Database.openWith(env, SMALL);
      items = items.map((item) => ({ ...item, id: ItemId.parse(String(item.id)) }));
    }
    await db.read((read) => check(read.store(definition), items));
  }
  expect((await db.verify()).problems).toEqual([]);
  await db.close();
}

const inline = defineStore<number, string>('items', { unique: false });
const separate = defineStore<number, string>('items apart', { unique: false, values: 'separate' });

function addRaw(tx: EngineTransaction, sequence: number): void {
  const key = new Uint8Array(1 + ITEM_ID_BYTES);
  writeItemId(key, 1, NUMBER_PLACEHOLDER, sequence);
  const cell = cellOf(Uint8Array.of(sequence));
  tx.numberItems(STORE);
  tx.put(STORE, key, 0, key.length, cell, 0, cell.length, false);
}

function numbersIn(engine: EngineApi): number[] {
  const tx = engine.begin('read');
  const cursor = tx.cursor(STORE);
  cursor.waits = true;
  const numbers: number[] = [];
  for (let step = cursor.first(); step === 1; step = cursor.next())
    numbers.push(itemNumber(cursor.keyBytes, cursor.keyEnd));
  tx.rollback();
  return numbers;
}

describe(`items of equal keys (SOP_SEED=${SEED})`, () => {
  test.each([
    ['inline', inline],
    ['separate', separate],
  ])(
    'with %s values are what a list says, through runs, checkpoints, compactions and openings',
    async (_, definition) => {
      for (let run = 0; run < RUNS; run++) await live(definition);
    },
  );

  test('several transactions of one batch each get their own number', async () => {
    const engine = await openSmall();
    const commits = [1, 2, 3, 4].map((sequence) => {
      const tx = engine.begin('write');
      addRaw(tx, sequence);
      return tx.commit();
    });
    const numbers = await Promise.all(commits);
    expect(numbersIn(engine)).toEqual(numbers);
    await engine.checkpoint();
    expect(numbersIn(engine)).toEqual(numbers);
    await engine.close();
  });

  test('a prepared transaction gets the number of its decision, also when it is replayed', async () => {
    const env = memoryEnv();
    let engine = await openSmall(env);
    const tx = engine.begin('write');
    addRaw(tx, 0);
    await tx.prepare();
    const between = engine.begin('write');
    addRaw(between, 1);
    const first = await between.commit();
    const second = await engine.decide(tx.id, true);
    expect(numbersIn(engine)).toEqual([first, second]);
    const waiting = engine.begin('write');
    addRaw(waiting, 2);
    await waiting.prepare();
    await engine.checkpoint();
    await engine.close();
    engine = await openSmall(env);
    expect(numbersIn(engine)).toEqual([first, second]);
    const third = await engine.decide(waiting.id, true);
    await engine.close();
    engine = await openSmall(env);
    expect(numbersIn(engine)).toEqual([first, second, third]);
    await engine.close();
  });

  test.each([
    [
      'the number of another commit is filled in',
      () => {
        const original = MemoryTable.prototype.applySection;
        MemoryTable.prototype.applySection = function (storeId, from, start, byteLength, number) {
          const copy = from.slice(start, start + byteLength);
          for (let i = 0; i + 6 <= copy.length; i++) {
            if (endsWithPlaceholder(copy, i, Math.min(copy.length, i + ITEM_ID_BYTES))) {
              writeItemId(copy, i, 1, (copy[i + 9] as number) % 256);
            }
          }
          original.call(this, storeId, copy, 0, byteLength, number);
        };
        return () => {
          MemoryTable.prototype.applySection = original;
        };
      },
    ],
    [
      'a run keeps its placeholders',
      () => {
        const original = TreeRun.prototype.numbered;
        TreeRun.prototype.numbered = function (number) {
          const run = original.call(this, number);
          run.cursor = () => this.cursor();
          return run;
        };
        return () => {
          TreeRun.prototype.numbered = original;
        };
      },
    ],
  ])('a planted mistake is noticed: %s', async (_, plant) => {
    const undo = plant();
    try {
      await expect(
        (async () => {
          for (let i = 0; i < 3; i++) await live(inline);
        })(),
      ).rejects.toThrow();
    } finally {
      undo();
    }
  });
});
