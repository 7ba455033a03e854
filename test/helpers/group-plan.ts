/**
 * What the clients of the crash loops write: transactions that change a group of entries across six stores, each a function
 * of its name alone, so that whoever knows which transactions took effect knows every byte that must be there.
 *
 *  1. A transaction is named by round, client and place; a name is used once, so a late ghost of one is not mistaken for
 *     its successor.
 *  2. A client changes only entries of its own, one transaction after the other; its entries are a function of the list of
 *     its transactions. `totals` is shared: what all of them added up to.
 */
import { createHash } from 'node:crypto';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { defineStore } from './sop.ts';

export interface RowKey {
  readonly client: number;
  readonly slot: number;
}

export interface NameKey {
  readonly client: number;
  readonly name: string;
  readonly tag: number;
}

export interface Row {
  readonly by: string;
  readonly data: Uint8Array;
}

export const rows = defineStore<RowKey, Row>('rows', { key: ['client', 'slot'] });
export const blobs = defineStore<readonly [number, number], Uint8Array>('blobs', { raw: true, values: 'separate' });
export const names = defineStore<NameKey, Row, 'tag'>('names', {
  key: ['client', { field: 'name', order: 'desc' }],
  rideOn: ['tag'],
});
/** Filled by a few transactions that outgrow their memory and are adopted as runs. */
export const bulk = defineStore<RowKey, Row>('bulk', { key: ['client', 'slot'] });
/** A client's newest transaction. */
export const heads = defineStore<number, string>('heads');
/** Shared counters: what makes clients meet. */
export const totals = defineStore<number, number>('totals');
export const TOTALS = 4;

export const ROW_SLOTS = 24;
const BLOB_SLOTS = 3;
const NAME_SLOTS = 8;

export type Change =
  | { readonly store: 'rows' | 'bulk'; readonly kind: 'put' | 'add'; readonly slot: number; readonly data: Uint8Array }
  | { readonly store: 'rows' | 'blobs'; readonly kind: 'remove'; readonly slot: number }
  | { readonly store: 'blobs'; readonly kind: 'put'; readonly slot: number; readonly data: Uint8Array }
  | {
      readonly store: 'names';
      readonly kind: 'put';
      readonly name: string;
      readonly tag: number;
      readonly data: Uint8Array;
    }
  | { readonly store: 'names'; readonly kind: 'updateKey'; readonly name: string; readonly tag: number }
  | { readonly store: 'names'; readonly kind: 'remove'; readonly name: string }
  | { readonly store: 'bulk'; readonly kind: 'clear' };

export interface Plan {
  readonly name: string;
  readonly client: number;
  readonly changes: readonly Change[];
  /** The shared counter it adds one to. */
  readonly total: number | undefined;
}

export function planName(round: number, client: number, place: number): string {
  return `${round}/${client}/${place}`;
}

export function makePlan(seed: number, round: number, client: number, place: number): Plan {
  const name = planName(round, client, place);
  const chance = new SeededRandom(createHash('sha1').update(`${seed}/${name}`).digest().readUIntBE(0, 6));
  const changes: Change[] = [];
  addRowChanges(chance, changes);
  if (chance.below(4) === 0) addBlobChanges(chance, changes);
  if (chance.below(3) === 0) addNameChanges(chance, changes);
  if (chance.below(40) === 0) addBulkChanges(chance, changes);
  return { name, client, changes, total: chance.below(4) === 0 ? chance.below(TOTALS) : undefined };
}

function addRowChanges(chance: SeededRandom, changes: Change[]): void {
  for (let i = 1 + chance.below(6); i > 0; i--) {
    const slot = chance.below(ROW_SLOTS);
    const what = chance.below(6);
    if (what === 0) changes.push({ store: 'rows', kind: 'remove', slot });
    else changes.push({ store: 'rows', kind: what < 4 ? 'put' : 'add', slot, data: bytes(chance, rowSize(chance)) });
  }
}

/** Mostly small, some just longer than a leaf takes, a few long. */
function rowSize(chance: SeededRandom): number {
  const kind = chance.below(20);
  if (kind < 14) return chance.below(300);
  return kind < 19 ? 1900 + chance.below(400) : chance.below(20_000);
}

function addBlobChanges(chance: SeededRandom, changes: Change[]): void {
  const slot = chance.below(BLOB_SLOTS);
  const kind = chance.below(10);
  if (kind === 0) changes.push({ store: 'blobs', kind: 'remove', slot });
  else {
    // Beyond 64 KiB a value does not travel in the log.
    const size = kind < 6 ? chance.below(6000) : kind < 8 ? 64_000 + chance.below(3000) : chance.below(150_000);
    changes.push({ store: 'blobs', kind: 'put', slot, data: bytes(chance, size) });
  }
}

function addNameChanges(chance: SeededRandom, changes: Change[]): void {
  const name = `name-${chance.below(NAME_SLOTS)}`;
  const kind = chance.below(4);
  const tag = chance.below(1000);
  if (kind === 0) changes.push({ store: 'names', kind: 'remove', name });
  else if (kind === 1) changes.push({ store: 'names', kind: 'updateKey', name, tag });
  else changes.push({ store: 'names', kind: 'put', name, tag, data: bytes(chance, chance.below(200)) });
}

function addBulkChanges(chance: SeededRandom, changes: Change[]): void {
  changes.push({ store: 'bulk', kind: 'clear' });
  const count = chance.below(500);
  for (let slot = 0; slot < count; slot++) {
    changes.push({ store: 'bulk', kind: 'put', slot: slot * 3, data: bytes(chance, 150 + chance.below(300)) });
  }
}

function bytes(chance: SeededRandom, size: number): Uint8Array {
  const words = new Uint32Array((size + 3) >>> 2);
  // Half of it repeats: what a program stores seldom is pure noise.
  const fixed = chance.next();
  for (let i = 0; i < words.length; i++) words[i] = (i & 1) === 0 ? chance.next() : fixed;
  return new Uint8Array(words.buffer, 0, size);
}
