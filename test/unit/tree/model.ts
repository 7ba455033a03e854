/** A sorted array as the model of a tree, and random contents of several kinds. */
import { expect } from 'vitest';
import { compareKeys } from '../../../src/base/bytes.ts';
import { CELL_RIDE_ON, CELL_SEPARATE } from '../../../src/codec/cell.ts';
import type { EntryCursor } from '../../../src/node/entry-cursor.ts';
import type { Handle } from '../../../src/node/handle.ts';
import { entryHash, hashEntry } from '../../../src/node/entry-hash.ts';
import { TreeBuilder } from '../../../src/tree/tree-build.ts';
import type { MemoryImages } from './memory-images.ts';

export const SEED = Number(process.env.SOP_SEED ?? Date.now() % 1_000_000);
export const RUNS = Number(process.env.SOP_RUNS ?? 1);
export const STORE = 64;

export interface Entry {
  key: Uint8Array;
  cell: Uint8Array;
  version: number;
}

/** A small generator of its own (splitmix's mixing steps), so that a seed replays. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }
  below(limit: number): number {
    return this.next() % limit;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.next();
    return bytes;
  }
}

export const KEY_KINDS = ['random', 'sequential', 'prefixed', 'short', 'long'] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

const PREFIX = new TextEncoder().encode('a prefix that many keys have in common/');

export function randomKey(kind: KeyKind, random: Random): Uint8Array {
  if (kind === 'random') return random.bytes(16);
  if (kind === 'short') return random.bytes(random.below(4)).map((b) => (b % 5 === 0 ? 0 : b % 24));
  const number = new Uint8Array(8);
  new DataView(number.buffer).setUint32(4, random.below(100_000));
  if (kind === 'sequential') return number;
  if (kind === 'prefixed') return Uint8Array.from([...PREFIX, random.below(3), ...number.subarray(4)]);
  // Long keys: shared for thousands of bytes, or different at once, of many lengths.
  const key = new Uint8Array(random.chance(10) ? 4096 : random.below(4097)).fill(random.below(3));
  if (key.length > 4) key.set(number.subarray(4), random.chance(50) ? key.length - 4 : 0);
  return key;
}

export function randomCell(random: Random): Uint8Array {
  const dice = random.below(100);
  if (dice < 5) return Uint8Array.from([CELL_RIDE_ON, 3, 0, 7, 8, 9, ...random.bytes(random.below(40))]);
  if (dice < 10) return Uint8Array.from([CELL_SEPARATE, ...random.bytes(32)]);
  const cell = random.bytes(1 + (dice === 10 ? random.below(2000) : random.below(90)));
  cell[0] = 0;
  return cell;
}

export function sorted(entries: Entry[]): Entry[] {
  const all = entries.slice().sort((a, b) => compareKeys(a.key, b.key));
  return all.filter((e, i) => i === 0 || compareKeys((all[i - 1] as Entry).key, e.key) !== 0);
}

export function randomModel(kind: KeyKind, count: number, random: Random, version = 1): Entry[] {
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    entries.push({ key: randomKey(kind, random), cell: randomCell(random), version: version + random.below(1000) });
  }
  return sorted(entries);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function digestOf(entries: readonly Entry[]): { low: number; high: number } {
  let low = 0;
  let high = 0;
  for (const { key, cell } of entries) {
    hashEntry(viewOf(key), 0, key.length, viewOf(cell), 0, cell.length);
    low = (low + entryHash.low) >>> 0;
    high = (high + entryHash.high) >>> 0;
  }
  return { low, high };
}

export function keyOf(cursor: EntryCursor): Uint8Array {
  return cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd);
}

export class Model {
  readonly entries: Entry[];
  readonly root: Handle;
  constructor(entries: Entry[], root: Handle) {
    this.entries = entries;
    this.root = root;
  }

  /** A key of the model, or one just beside. */
  nearKey(random: Random): Uint8Array {
    const { key } = this.entries[random.below(this.entries.length)] as Entry;
    const dice = random.below(6);
    if (dice === 0) return Uint8Array.from([...key, 0]);
    if (dice === 1) return key.slice(0, Math.max(0, key.length - 1));
    if (dice === 2 && key.length > 0) {
      const other = key.slice();
      other[random.below(key.length)] = random.next();
      return other;
    }
    return key;
  }

  mustShow(cursor: EntryCursor, index: number): void {
    const entry = this.entries[index] as Entry;
    expect(compareKeys(keyOf(cursor), entry.key)).toBe(0);
    expect(compareKeys(cursor.cellBytes.slice(cursor.cellStart, cursor.cellEnd), entry.cell)).toBe(0);
    expect(cursor.version).toBe(entry.version);
  }
}

export function buildModel(entries: Entry[], images: MemoryImages): Model {
  const builder = new TreeBuilder({ sink: images, names: images, storeId: STORE });
  for (const { key, cell, version } of entries) builder.append(key, 0, key.length, cell, 0, cell.length, version);
  const root = builder.finish() as Handle;
  expect(root.entries).toBe(entries.length);
  const digest = digestOf(entries);
  expect([root.digestLow, root.digestHigh]).toEqual([digest.low, digest.high]);
  expect(root.newest).toBe(Math.max(...entries.map((e) => e.version)));
  return new Model(entries, root);
}
