/**
 * Histories of transactions over lists, and what makes them strictly serializable: in the order of their numbers every
 * transaction read what was there at its place; who began after an answer sees what was answered; a snapshot is a prefix.
 * Elements are unique, so that a read says whose appends it saw.
 */
export type List = readonly number[];

export type HistoryOperation =
  | { readonly kind: 'read'; readonly key: string; readonly found: List | undefined }
  | {
      readonly kind: 'scan';
      readonly lower: string;
      readonly upper: string;
      readonly found: readonly (readonly [string, List])[];
    }
  | { readonly kind: 'count'; readonly lower: string; readonly upper: string; readonly found: number }
  | { readonly kind: 'write'; readonly key: string; readonly list: List }
  | { readonly kind: 'remove'; readonly key: string }
  | { readonly kind: 'clear'; readonly lower: string; readonly upper: string };

export interface HistoryTransaction {
  readonly id: number;
  readonly kind: 'write' | 'read';
  readonly snapshot: number;
  readonly operations: HistoryOperation[];
  outcome: 'open' | 'committed' | 'refused' | 'unknown';
  /** Its place, once it is known. */
  number: number;
}

export class History {
  readonly transactions: HistoryTransaction[] = [];
  /** The highest number anybody was told. */
  answered = 0;

  begin(kind: 'write' | 'read', snapshot: number): HistoryTransaction {
    if (snapshot < this.answered) throw new Error(`a snapshot at ${snapshot} after ${this.answered} was answered`);
    const transaction: HistoryTransaction = {
      id: this.transactions.length + 1,
      kind,
      snapshot,
      operations: [],
      outcome: 'open',
      number: 0,
    };
    this.transactions.push(transaction);
    return transaction;
  }

  committed(transaction: HistoryTransaction, number: number): void {
    transaction.outcome = 'committed';
    transaction.number = number;
    if (transaction.kind === 'write' && number < transaction.snapshot) throw new Error('a commit before its snapshot');
    this.answered = Math.max(this.answered, number);
  }

  /** `marks`: ids of the writing transactions that are in, with their numbers. Throws where the history is none. */
  check(marks: ReadonlyMap<number, number>, final: ReadonlyMap<string, List>): void {
    const state = new Map<string, List>();
    let at = 0;
    for (const { transaction, place } of this.#ordered(marks)) {
      if (place < at) throw new Error('places are out of order');
      at = place;
      replay(transaction, state);
    }
    const keys = new Set([...state.keys(), ...final.keys()]);
    for (const key of keys) mustBeSame(`the final ${key}`, state.get(key), final.get(key));
  }

  /** All that took effect or were answered, each at its place: writers at their number, readers behind their snapshot. */
  #ordered(marks: ReadonlyMap<number, number>): { transaction: HistoryTransaction; place: number }[] {
    const ordered: { transaction: HistoryTransaction; place: number }[] = [];
    const taken = new Set<number>();
    for (const transaction of this.transactions) {
      const { id, kind, outcome, snapshot, number } = transaction;
      const mark = marks.get(id);
      if (kind === 'read') {
        if (outcome === 'committed') ordered.push({ transaction, place: snapshot + 0.5 });
        continue;
      }
      const writes = transaction.operations.some(
        (one) => one.kind !== 'read' && one.kind !== 'scan' && one.kind !== 'count',
      );
      if (outcome === 'refused' && mark !== undefined) throw new Error(`transaction ${id} was refused and is in`);
      if (outcome === 'committed' && writes && mark !== number) {
        throw new Error(`transaction ${id} was answered as ${number}, and is in as ${mark}`);
      }
      const place = mark ?? (outcome === 'committed' ? number : undefined);
      if (place === undefined) continue;
      if (writes && taken.has(place)) throw new Error(`two transactions have the number ${place}`);
      taken.add(place);
      ordered.push({ transaction, place });
    }
    return ordered.sort((a, b) => a.place - b.place || a.transaction.id - b.transaction.id);
  }
}

/** Goes through a transaction's operations at its place; what it reads must be what is there. */
function replay(transaction: HistoryTransaction, state: Map<string, List>): void {
  const who = `transaction ${transaction.id} (snapshot ${transaction.snapshot}, number ${transaction.number})`;
  const before = transaction.kind === 'read' ? new Map(state) : state;
  for (const operation of transaction.operations) {
    switch (operation.kind) {
      case 'read':
        mustBeSame(`${who}, ${operation.key}`, before.get(operation.key), operation.found);
        break;
      case 'scan': {
        const expected = [...before].filter(([key]) => key >= operation.lower && key < operation.upper).sort(byKey);
        const text = JSON.stringify(expected);
        const found = JSON.stringify(operation.found);
        if (text !== found) throw new Error(`${who} scanned ${found} where ${text} was`);
        break;
      }
      case 'count': {
        const expected = [...before.keys()].filter((key) => key >= operation.lower && key < operation.upper).length;
        if (expected !== operation.found) throw new Error(`${who} counted ${operation.found} where ${expected} were`);
        break;
      }
      case 'write':
        before.set(operation.key, operation.list);
        break;
      case 'remove':
        before.delete(operation.key);
        break;
      case 'clear':
        for (const key of [...before.keys()]) if (key >= operation.lower && key < operation.upper) before.delete(key);
    }
  }
}

function byKey(a: readonly [string, List], b: readonly [string, List]): number {
  return a[0] < b[0] ? -1 : 1;
}

function mustBeSame(what: string, expected: List | undefined, found: List | undefined): void {
  const a = JSON.stringify(expected ?? null);
  const b = JSON.stringify(found ?? null);
  if (a !== b) throw new Error(`${what}: ${b} where ${a} was`);
}
