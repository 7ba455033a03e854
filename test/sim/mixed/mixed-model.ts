/** What a database holds, and what a transaction sees of it, for the mixed run: maps, copied where a snapshot is needed. */
import { FAMILIES, type Family, idOf, type Ride, showRide, showVal, type Val } from './mixed-stores.ts';

export interface Row extends Ride {
  readonly k: number;
  readonly value: Val;
  /** 0: changed by the transaction that looks. */
  readonly version: number;
  /** In stores of equal keys, where an item stands under its key: who added it, and as the how manieth. */
  readonly number: number;
  readonly seq: number;
  /** Names an item. */
  readonly token: string;
}

export const UNIQUE = { number: 0, seq: 0, token: '' };

/** What a database answers with an error of this code. */
export class Refused extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export class StoreModel {
  readonly family: Family;
  /** Which store it is, whatever its name. */
  readonly instance: number;
  readonly rows: Map<string, Row>;

  constructor(family: Family, instance: number, rows = new Map<string, Row>()) {
    this.family = family;
    this.instance = instance;
    this.rows = rows;
  }

  copy(): StoreModel {
    return new StoreModel(this.family, this.instance, new Map(this.rows));
  }

  /** In the order of the store. */
  sorted(): Row[] {
    return [...this.rows.values()].sort(compareRows);
  }

  at(k: number): Row | undefined {
    return this.rows.get(String(k));
  }

  set(row: Row): void {
    this.rows.set(row.token === '' ? String(row.k) : row.token, row);
  }

  delete(row: Row): void {
    this.rows.delete(row.token === '' ? String(row.k) : row.token);
  }

  /** Another entry has what must be unique. */
  isTaken(k: number, { mail }: Val): boolean {
    if (!this.family.isIndexed || mail === undefined) return false;
    for (const row of this.rows.values()) if (row.k !== k && row.value.mail === mail) return true;
    return false;
  }
}

export interface Position {
  readonly k: number;
  readonly number: number;
  readonly seq: number;
}

export function compareRows(x: Position, y: Position): number {
  if (x.k !== y.k) return x.k - y.k;
  // Own items are of no number yet: those stand last.
  if (x.number !== y.number) return x.number < y.number ? -1 : 1;
  return x.seq - y.seq;
}

export class State {
  readonly stores: Map<string, StoreModel>;

  constructor(stores = new Map<string, StoreModel>()) {
    this.stores = stores;
  }

  copy(): State {
    return new State(new Map([...this.stores].map(([name, store]) => [name, store.copy()])));
  }
}

/** Where a cursor of the model stands. */
export interface CursorPlace {
  readonly name: string;
  readonly instance: number;
  place: 'before' | 'on' | 'gap' | 'missed' | 'after';
  position: Position;
  /** What the key was when the cursor came here. */
  key: string;
  /** Of an item. */
  token: string;
}

/** One call as the model understands it: run again when the transaction commits, on what is committed by then. */
export type ModelCall = (tx: TxModel) => string;

export interface Called {
  readonly text: string;
  readonly call: ModelCall;
  readonly answer: string;
}

let instances = 0;

export class TxModel {
  readonly kind: 'write' | 'read' | 'noCheck';
  state: State;
  readonly calls: Called[] = [];
  savepoints: State[] = [];
  readonly cursors = new Map<number, CursorPlace>();
  /** Names of stores it has looked into, and changed; with @ those it met in the catalog. */
  readonly read = new Set<string>();
  readonly touched = new Set<string>();
  /** Stores by instance in the order in which they were opened; -1 for those it made itself. */
  readonly opened: number[] = [];
  readonly #made = new Set<number>();
  bytes = 0;
  added = 0;

  constructor(kind: TxModel['kind'], state: State) {
    this.kind = kind;
    this.state = state;
  }

  /** What a database does with a call on the store. */
  open(name: string): StoreModel {
    const family = FAMILIES.find(({ definitions }) => definitions[name] !== undefined) as Family;
    this.read.add(`@${name}`);
    let store = this.state.stores.get(name);
    if (store === undefined) {
      store = new StoreModel(family, ++instances);
      if (this.kind !== 'write') return store;
      this.#made.add(store.instance);
      this.touched.add(`@${name}`);
      this.state.stores.set(name, store);
    }
    this.opened.push(this.#made.has(store.instance) ? -1 : store.instance);
    return store;
  }

  mustWrite(): void {
    if (this.kind !== 'write') throw new Refused('READ_ONLY');
  }

  run(call: ModelCall): string {
    try {
      return call(this);
    } catch (error) {
      if (error instanceof Refused) return `!${error.code}`;
      throw error;
    }
  }

  /** What is committed when it commits under `number`; throws where something it was told would now be another thing. */
  replayOn(state: State, number: number): State {
    const again = new TxModel(this.kind, state.copy());
    for (const { text, call, answer } of this.calls) {
      const now = again.run(call);
      if (now !== answer) throw new Error(`committed, though ${text} answered ${answer} and would now answer ${now}`);
    }
    for (const [at, instance] of this.opened.entries()) {
      if (instance !== -1 && again.opened[at] !== instance)
        throw new Error('committed, though its store is another one');
    }
    for (const store of again.state.stores.values()) {
      for (const row of [...store.rows.values()]) {
        if (row.version !== 0 && Number.isFinite(row.number)) continue;
        store.set({
          ...row,
          version: row.version === 0 ? number : row.version,
          number: Number.isFinite(row.number) ? row.number : number,
        });
      }
    }
    return again.state;
  }
}

export function showRow(family: Family, row: Row): string {
  const id = family.isBag ? `#${row.token}` : '';
  return `${showKeyOf(family, row)}=${showVal(row.value)}@${row.version}${id}`;
}

export function showKeyOf(family: Family, row: Row): string {
  return family.isComposite ? showRide(row.k, row) : String(row.k);
}

/** The rows of an index, in its order, told as the database tells them. */
export function indexRows(store: StoreModel, name: string): { readonly index: string; readonly row: Row }[] {
  const rows = store.sorted();
  if (name === 'byMail') {
    const found = rows.filter(({ value }) => value.mail !== undefined);
    const text = (row: Row) => `m${row.value.mail}`;
    found.sort((x, y) => (text(x) < text(y) ? -1 : text(x) > text(y) ? 1 : compareRows(x, y)));
    return found.map((row) => ({ index: `{"mail":"${text(row)}"}`, row }));
  }
  if (name === 'byTag') {
    const found = rows.flatMap((row) => (row.value.tags ?? []).map((tag) => ({ tag, row })));
    found.sort((x, y) => x.tag - y.tag || compareRows(x.row, y.row));
    return found.map(({ tag, row }) => ({ index: String(tag), row }));
  }
  const found = rows.filter(({ status }) => status !== undefined);
  found.sort((x, y) => {
    const [a, b] = [x.status as string, y.status as string];
    return a < b ? 1 : a > b ? -1 : idOf(x.k) - idOf(y.k) || compareRows(x, y);
  });
  return found.map((row) => ({ index: `{"status":"${row.status}","id":${idOf(row.k)}}`, row }));
}
