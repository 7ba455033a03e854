/** What a whole database must be, for the mixed run. */
import type { ItemId } from '../../../src/store/item-id.ts';
import type { Transaction } from '../../../src/store/transaction.ts';
import { toCall } from './mixed-calls.ts';
import { type State, TxModel } from './mixed-model.ts';
import { FAMILIES, type Family, type Val } from './mixed-stores.ts';

/** Draws that make a call look at all of the store. */
const EVERYTHING = [
  { kind: 'range', a: 5, b: 1, c: 10 },
  { kind: 'range', a: 4, b: 1, c: 15 },
  { kind: 'count', a: 0, b: 3, c: 10 },
  { kind: 'index', a: 0, b: 0, c: 2 },
  { kind: 'index', a: 1, b: 1, c: 1 },
  { kind: 'index', a: 2, b: 0, c: 1 },
  { kind: 'index', a: 2, b: 0, c: 0 },
];

/** Every store, under each of its names, in several ways. */
export async function expectAll(tx: Transaction, state: State, items: Map<string, ItemId>): Promise<void> {
  const model = new TxModel('read', state);
  for (const [s, family] of FAMILIES.entries()) {
    for (const name of Object.keys(family.definitions)) {
      for (const draw of EVERYTHING) {
        const op = { id: -1, t: 0, s, ...draw };
        const call = toCall({ op, family, name, model, items, cursors: new Map() });
        if (call === undefined) continue;
        const [found, expected] = [await call.engine(tx), model.run(call.model)];
        if (found !== expected) throw new Error(`${call.text}: the database has\n  ${found}\nand not\n  ${expected}`);
      }
    }
  }
}

/** What a redefinition makes of a value; it leaves some out. */
export function redefined(family: Family, value: unknown): Val | undefined {
  const { n, s, mail, tags } = value as { n: number; s: string; mail?: string; tags?: readonly number[] };
  if (n % 7 === 0) return undefined;
  return {
    n: (n + 1) % 1000,
    pad: Math.min(s.length, 900),
    ...(family.isIndexed && mail !== undefined ? { mail: Number(mail.slice(1)) } : {}),
    ...(family.isIndexed && tags !== undefined ? { tags } : {}),
  };
}
