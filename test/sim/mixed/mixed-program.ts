/**
 * Programs for the mixed run: lists of plain operations drawn from a seed. Each names its transaction, store and key by small
 * numbers and does nothing where those are not there, so that any part of a program is a program: that is how a failing one
 * is made short.
 */
import { SeededRandom } from '../../../src/env/simulated-random.ts';

export interface Op {
  readonly id: number;
  readonly kind: string;
  /** The transaction it belongs to, of those that may be open at once. */
  readonly t: number;
  /** The store. */
  readonly s: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

export type Program = readonly Op[];

/** How often each kind is drawn. */
const WEIGHTS: Readonly<Record<string, number>> = {
  // Database
  beginAt: 4,
  commit: 28,
  rollback: 6,
  prepare: 5,
  decide: 6,
  together: 3,
  write: 8,
  pin: 4,
  unpin: 2,
  checkpoint: 8,
  compact: 3,
  reopen: 1,
  kill: 1,
  cut: 1,
  backup: 2,
  redefine: 2,
  compare: 2,
  // Transaction
  savepoint: 10,
  rollbackTo: 8,
  drop: 2,
  rename: 2,
  bulk: 10,
  // Stores
  add: 16,
  put: 28,
  update: 10,
  updateKey: 10,
  remove: 14,
  increment: 24,
  clear: 1,
  clearRange: 3,
  addMany: 2,
  removeMany: 2,
  get: 12,
  has: 3,
  getEntry: 4,
  getMany: 2,
  first: 2,
  last: 2,
  range: 6,
  count: 3,
  at: 2,
  rank: 2,
  index: 5,
  // Cursors
  cursorOpen: 12,
  cursorFind: 6,
  cursorNext: 10,
  cursorPrevious: 6,
  cursorEnd: 2,
  cursorRead: 5,
  cursorUpdate: 3,
  cursorUpdateKey: 3,
  cursorRemove: 4,
};

/** Kinds that are calls on a store: the first one of a transaction begins it. */
export const CALLS: ReadonlySet<string> = new Set(Object.keys(WEIGHTS).slice(Object.keys(WEIGHTS).indexOf('bulk')));

/** Each program leaves some kinds out, has others often, and keeps to few stores and keys: what is rare everywhere meets nowhere. */
export function drawProgram(seed: number, length: number): Op[] {
  const random = new SeededRandom(seed);
  const kinds: string[] = [];
  for (const [kind, weight] of Object.entries(WEIGHTS)) {
    const factor = kind === 'commit' ? 1 : (FACTORS[random.below(FACTORS.length)] as number);
    for (let i = 0; i < weight * factor; i++) kinds.push(kind);
  }
  const stores = Array.from({ length: 1 + random.below(4) }, () => random.below(7));
  if (seed % 8 === 7) stores[0] = LONG_STORE;
  const keys = Array.from({ length: 4 }, () => random.below(65_536));
  const transactions = 1 + random.below(3);
  const ops: Op[] = [];
  while (ops.length < length) {
    const t = random.below(transactions);
    const s = stores[random.below(stores.length)] as number;
    const a = random.below(3) === 0 ? random.below(65_536) : (keys[random.below(keys.length)] as number);
    const one = kinds[random.below(kinds.length)] as string;
    const together = random.below(12) === 0 ? (FIGURES[random.below(FIGURES.length)] as readonly string[]) : [one];
    for (const kind of together)
      ops.push({ id: ops.length, kind, t, s, a, b: random.below(65_536), c: random.below(65_536) });
  }
  return ops;
}

/** The place of the store with long keys among the families: it costs as much as the others together. */
const LONG_STORE = 7;

/** What rarely comes together by chance: done by one transaction, in one store, to one key. */
const FIGURES: readonly (readonly string[])[] = [
  ['increment', 'savepoint', 'increment', 'rollbackTo', 'get'],
  ['put', 'savepoint', 'bulk', 'bulk', 'rollbackTo', 'range'],
  ['cursorOpen', 'cursorNext', 'cursorRemove', 'cursorNext', 'cursorRead'],
  ['cursorOpen', 'cursorFind', 'cursorUpdate', 'cursorPrevious', 'cursorNext', 'cursorRead'],
  ['checkpoint', 'get', 'get', 'get', 'commit', 'put', 'commit', 'get'],
];

const FACTORS = [0, 0, 1, 1, 1, 4];

/** The shortest program found that still fails: parts are left out as long as the rest goes on failing. */
export async function shrink(
  program: Program,
  fails: (program: Program) => Promise<boolean>,
  tries: number,
): Promise<Program> {
  let shortest = program;
  let left = tries;
  for (let part = Math.ceil(program.length / 2); part >= 1 && left > 0; part = part === 1 ? 0 : Math.ceil(part / 2)) {
    for (let at = 0; at < shortest.length && left > 0; left--) {
      const shorter = [...shortest.slice(0, at), ...shortest.slice(at + part)];
      if (await fails(shorter)) shortest = shorter;
      else at += part;
    }
  }
  return shortest;
}

export function showProgram(program: Program): string {
  return program.map((op) => JSON.stringify(op)).join('\n');
}
