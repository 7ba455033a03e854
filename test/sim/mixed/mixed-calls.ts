/** Calls on a store, of the database and of the model beside each other; `mixed-bag-calls.ts` and `mixed-cursor-calls.ts` have the others. */
import type { ItemId } from '../../../src/store/item-id.ts';
import type { StoreCursor } from '../../../src/store/cursor.ts';
import type { TxStore } from '../../../src/store/store.ts';
import type { Transaction } from '../../../src/store/transaction.ts';
import { bagCall } from './mixed-bag-calls.ts';
import { cursorCall } from './mixed-cursor-calls.ts';
import {
  indexRows,
  type ModelCall,
  Refused,
  type Row,
  showKeyOf,
  showRow,
  type StoreModel,
  type TxModel,
  UNIQUE,
} from './mixed-model.ts';
import type { Op } from './mixed-program.ts';
import {
  drawRide,
  drawVal,
  type Family,
  KEYS,
  regionOf,
  type Ride,
  showKey,
  showValue,
  toKey,
  toValue,
  type Val,
} from './mixed-stores.ts';

export type AnyTxStore = TxStore<object, unknown, string, Record<string, never>>;
export type AnyCursor = StoreCursor<object, unknown, string>;

export interface Context {
  readonly op: Op;
  readonly family: Family;
  /** What the store is called now. */
  readonly name: string;
  readonly model: TxModel;
  /** Every id that was given out, by its token. */
  readonly items: Map<string, ItemId>;
  readonly cursors: Map<number, AnyCursor>;
}

export interface Call {
  readonly text: string;
  /** Whether it is told anything by the database that others might change. */
  readonly reads: boolean;
  readonly engine: (tx: Transaction) => Promise<string> | string;
  readonly model: ModelCall;
}

export function storeOf(context: Context, tx: Transaction): AnyTxStore {
  return tx.store(context.family.definitions[context.name] as never) as unknown as AnyTxStore;
}

/** Undefined where the operation makes no sense for the store. */
export function toCall(context: Context): Call | undefined {
  if (context.op.kind.startsWith('cursor')) return cursorCall(context);
  return context.family.isBag ? bagCall(context) : storeCall(context);
}

function storeCall(context: Context): Call | undefined {
  return changeCall(context) ?? readCall(context);
}

export const newRow = (family: Family, k: number, ride: Ride, value: Val): Row => ({
  k,
  ...(ride.status === undefined ? {} : { status: ride.status }),
  ...(family.hasHits ? { hits: ride.hits ?? 0 } : {}),
  value,
  version: 0,
  ...UNIQUE,
});

function add(store: StoreModel, k: number, ride: Ride, value: Val): boolean {
  if (store.at(k) !== undefined) return false;
  put(store, k, ride, value);
  return true;
}

function put(store: StoreModel, k: number, ride: Ride, value: Val): void {
  if (store.isTaken(k, value)) throw new Refused('UNIQUE_INDEX');
  store.set(newRow(store.family, k, ride, value));
}

function changeCall(context: Context): Call | undefined {
  const { op, family, name } = context;
  const { kind, a, b, c } = op;
  const k = a % KEYS;
  const isSync = c % 2 === 0;
  const ride = drawRide(family, b, c);
  const val = drawVal(family, b, c);
  const key = toKey(family, k, ride);
  const value = toValue(family, val);
  const of = (tx: Transaction) => storeOf(context, tx);
  const change = (text: string, reads: boolean, engine: Call['engine'], work: (store: StoreModel) => string): Call => ({
    text: `${name}.${text}`,
    reads: reads || family.isIndexed,
    engine,
    model: (tx) => {
      const store = tx.open(name);
      tx.mustWrite();
      tx.touched.add(name);
      tx.bytes += val.pad + 60;
      return work(store);
    },
  });
  switch (kind) {
    case 'add':
      return change(
        `add ${k}`,
        true,
        async (tx) => String(isSync && !family.isIndexed ? of(tx).addSync(key, value) : await of(tx).add(key, value)),
        (store) => String(add(store, k, ride, val)),
      );
    case 'put':
      return change(
        `put ${k}`,
        false,
        (tx) => String(of(tx).put(key, value)),
        (store) => String(put(store, k, ride, val)),
      );
    case 'bulk':
      return bulk(context, change);
    case 'update':
      return change(
        `update ${k}`,
        true,
        async (tx) => String(isSync ? of(tx).updateSync(key, value) : await of(tx).update(key, value)),
        (store) => {
          const row = store.at(k);
          if (row === undefined) return 'false';
          if (store.isTaken(k, val)) throw new Refused('UNIQUE_INDEX');
          store.set({ ...row, ...ride, value: val, version: 0 });
          return 'true';
        },
      );
    case 'updateKey':
      if (!family.isComposite) return undefined;
      return change(
        `updateKey ${k}`,
        true,
        async (tx) => String(isSync ? of(tx).updateKeySync(key) : await of(tx).updateKey(key)),
        (store) => {
          const row = store.at(k);
          if (row === undefined) return 'false';
          store.set({ ...row, ...ride, version: 0 });
          return 'true';
        },
      );
    case 'remove':
      return change(
        `remove ${k}`,
        true,
        async (tx) => String(isSync ? of(tx).removeSync(toKey(family, k)) : await of(tx).remove(toKey(family, k))),
        (store) => String(store.rows.delete(String(k))),
      );
    case 'increment': {
      if (!family.isCounter && !family.hasHits) return undefined;
      const amount = (b % 2001) - 1000;
      return change(
        `increment ${k}`,
        false,
        (tx) => String(of(tx).increment(toKey(family, k), (family.isCounter ? amount : { hits: amount }) as never)),
        (store) => String(increment(store, k, amount)),
      );
    }
    case 'clear':
      return change(
        'clear',
        false,
        (tx) => String(of(tx).clear()),
        (store) => String(store.rows.clear()),
      );
    case 'clearRange': {
      const [from, to] = [k, b % KEYS];
      const bounds = { gte: toKey(family, from), lt: toKey(family, to) };
      return change(
        `clearRange ${from} ${to}`,
        false,
        (tx) => String(of(tx).clearRange(bounds)),
        (store) => {
          for (const row of store.sorted()) if (row.k >= from && row.k < to) store.delete(row);
          return 'undefined';
        },
      );
    }
    case 'addMany': {
      if (family.isIndexed) return undefined;
      const items = [k, b % KEYS].map((one) => [toKey(family, one, ride), value] as const);
      return change(
        `addMany ${k} ${b % KEYS}`,
        true,
        async (tx) => String(isSync ? of(tx).addManySync(items) : await of(tx).addMany(items)),
        (store) => String([add(store, k, ride, val), add(store, b % KEYS, ride, val)]),
      );
    }
    case 'removeMany': {
      const keys = [k, b % KEYS].map((one) => toKey(family, one));
      return change(
        `removeMany ${k} ${b % KEYS}`,
        true,
        async (tx) => String(isSync ? of(tx).removeManySync(keys) : await of(tx).removeMany(keys)),
        (store) => String([store.rows.delete(String(k)), store.rows.delete(String(b % KEYS))]),
      );
    }
    default:
      return undefined;
  }
}

type Change = (text: string, reads: boolean, engine: Call['engine'], work: (store: StoreModel) => string) => Call;

/** So much that it spills. */
function bulk(context: Context, change: Change): Call | undefined {
  const { family, op } = context;
  if (family.isIndexed || family.isCounter) return undefined;
  const rows = Array.from({ length: 8 }, (_, i) => ({
    k: (op.a + i * (1 + (op.b % 3))) % KEYS,
    val: { n: (op.b + i) % 1000, pad: 1500 + (op.c % 3) * 700 },
  }));
  return change(
    `bulk of ${rows.map(({ k }) => k)}`,
    false,
    (tx) => String(storeOf(context, tx).putMany(rows.map(({ k, val }) => [toKey(family, k), toValue(family, val)]))),
    (store) => {
      for (const { k, val } of rows) store.set(newRow(family, k, {}, val));
      context.model.bytes += 20_000;
      return 'undefined';
    },
  );
}

function increment(store: StoreModel, k: number, amount: number): void {
  const row = store.at(k);
  if (!store.family.isCounter) {
    if (row !== undefined) store.set({ ...row, hits: (row.hits ?? 0) + amount, version: 0 });
    return;
  }
  store.set(newRow(store.family, k, {}, { n: (row?.value.n ?? 0) + amount, pad: 0 }));
}

interface Ranged {
  readonly options: object;
  readonly holds: (k: number) => boolean;
  readonly isReverse: boolean;
}

/** Bounds of whatever kind, and which keys they mean. */
export function drawRange({ op, family }: Context): Ranged {
  const { a, b, c } = op;
  const [from, to] = [a % KEYS, b % KEYS];
  const isReverse = c % 3 === 0;
  if (c % 5 === 0) return { options: {}, holds: () => true, isReverse };
  if (c % 5 === 1 && family.isComposite) {
    const region = regionOf(family, from);
    return { options: { prefix: region.prefix }, holds: (k) => k >= region.from && k < region.to, isReverse };
  }
  const isOpen = c % 7 === 0;
  const lower = isOpen ? { gt: toKey(family, from) } : { gte: toKey(family, from) };
  const upper = c % 2 === 0 ? { lt: toKey(family, to) } : { lte: toKey(family, to) };
  return {
    options: c % 11 === 0 ? lower : { ...lower, ...upper },
    holds: (k) => (isOpen ? k > from : k >= from) && (c % 11 === 0 || (c % 2 === 0 ? k < to : k <= to)),
    isReverse,
  };
}

export interface FoundEntry {
  readonly key: unknown;
  readonly value: unknown;
  readonly version: number;
  readonly id?: ItemId;
}

export function showEntry(context: Context, entry: FoundEntry | undefined): string {
  if (entry === undefined) return '-';
  const { family, items } = context;
  const id = family.isBag ? `#${tokenOf(items, entry.id)}` : '';
  return `${showKey(family, entry.key)}=${showValue(family, entry.value)}@${entry.version}${id}`;
}

export function tokenOf(items: ReadonlyMap<string, ItemId>, id: ItemId | undefined): string {
  if (id === undefined) return 'none';
  for (const [token, known] of items) if (known.equals(id)) return token;
  return '?';
}

export function readCall(context: Context): Call | undefined {
  const { op, family, name } = context;
  const { kind, a, b, c } = op;
  const k = a % KEYS;
  const isSync = c % 2 === 0;
  const key = toKey(family, k);
  const of = (tx: Transaction) => storeOf(context, tx);
  const entryText = (entry: unknown) => showEntry(context, entry as FoundEntry | undefined);
  const rowText = (row: Row | undefined) => (row === undefined ? '-' : showRow(family, row));
  const read = (text: string, engine: Call['engine'], look: (store: StoreModel) => string): Call => ({
    text: `${name}.${text}`,
    reads: true,
    engine,
    model: (tx) => look(tx.open(name)),
  });
  const valueText = (row: Row | undefined) => (row === undefined ? '-' : rowText(row).replace(/^.*=|@.*$/g, ''));
  switch (kind) {
    case 'get':
      return read(
        `get ${k}`,
        async (tx) => showValue(family, isSync ? of(tx).getSync(key) : await of(tx).get(key)),
        (store) => valueText(store.at(k)),
      );
    case 'has':
      return read(
        `has ${k}`,
        async (tx) => String(isSync ? of(tx).hasSync(key) : await of(tx).has(key)),
        (store) => String(store.at(k) !== undefined),
      );
    case 'getEntry':
      return read(
        `getEntry ${k}`,
        async (tx) => entryText(isSync ? of(tx).getEntrySync(key) : await of(tx).getEntry(key)),
        (store) => rowText(store.at(k)),
      );
    case 'getMany': {
      const keys = [k, b % KEYS, c % KEYS];
      const given = keys.map((one) => toKey(family, one));
      return read(
        `getMany ${keys}`,
        async (tx) => {
          const found = isSync ? of(tx).getManySync(given) : await of(tx).getMany(given);
          return found.map((one) => showValue(family, one)).join(' ');
        },
        (store) => keys.map((one) => valueText(store.at(one))).join(' '),
      );
    }
    case 'first':
    case 'last': {
      const { options, holds } = drawRange(context);
      const at = kind === 'first' ? 0 : -1;
      const one = `${kind}${isSync ? 'Sync' : ''}` as 'first';
      return read(
        `${kind} ${JSON.stringify(options)}`,
        async (tx) => entryText(await of(tx)[one](options)),
        (store) =>
          rowText(
            store
              .sorted()
              .filter((row) => holds(row.k))
              .at(at),
          ),
      );
    }
    case 'range':
      return rangeCall(context, read);
    case 'count': {
      const { options, holds } = drawRange(context);
      return read(
        `count ${JSON.stringify(options)}`,
        async (tx) => String(isSync ? of(tx).countSync(options) : await of(tx).count(options)),
        (store) => String(store.sorted().filter((row) => holds(row.k)).length),
      );
    }
    case 'at': {
      const position = (b % 40) - 20;
      return read(
        `at ${position}`,
        async (tx) => entryText(isSync ? of(tx).atSync(position) : await of(tx).at(position)),
        (store) => rowText(store.sorted().at(position)),
      );
    }
    case 'rank':
      return read(
        `rank ${k}`,
        async (tx) => String(isSync ? of(tx).rankSync(key) : await of(tx).rank(key)),
        (store) => String(store.sorted().filter((row) => row.k < k).length),
      );
    case 'index':
      return family.isIndexed ? indexCall(context, read) : undefined;
    default:
      return undefined;
  }
}

type Read = (text: string, engine: Call['engine'], look: (store: StoreModel) => string) => Call;

export function rangeCall(context: Context, read: Read): Call {
  const { op, family } = context;
  const { options, holds, isReverse } = drawRange(context);
  const limit = op.b % 4 === 0 ? op.a % 5 : undefined;
  const keysOnly = op.b % 3 === 0;
  const where = op.b % 5 === 0;
  const given = {
    ...options,
    reverse: isReverse,
    keysOnly,
    ...(limit === undefined ? {} : { limit }),
    ...(where ? { where: (key: unknown) => Number.parseInt(showKey(family, key), 10) % 2 === 0 } : {}),
  };
  const size = 1 + (op.c % 4);
  return read(
    `range ${JSON.stringify(given)}${where ? ' where even' : ''}`,
    async (tx) => {
      const range = storeOf(context, tx).range(given as object);
      const found: unknown[] = [];
      const form = op.a % 6;
      if (form === 0) for await (const one of range) found.push(one);
      else if (form === 1) for await (const page of range.pages(size)) found.push(...page);
      else if (form === 2) found.push(...range.sync());
      else if (form === 3) for (const page of range.syncPages(size)) found.push(...page);
      else if (form === 4) found.push(...(await range.toArray()));
      else found.push(...range.toArraySync());
      return found.map((one) => (keysOnly ? showKey(family, one) : showEntry(context, one as FoundEntry))).join(' ');
    },
    (store) => {
      const rows = store.sorted().filter((row) => holds(row.k) && (!where || row.k % 2 === 0));
      if (isReverse) rows.reverse();
      const some = rows.slice(0, limit ?? rows.length);
      return some.map((row) => (keysOnly ? showKeyOf(family, row) : showRow(family, row))).join(' ');
    },
  );
}

const INDEXES = ['byStatus', 'byMail', 'byTag'] as const;

function indexCall(context: Context, read: Read): Call {
  const { op, family } = context;
  const name = INDEXES[op.a % INDEXES.length] as string;
  const isSync = op.b % 2 === 0;
  const indexOf = (tx: Transaction) => storeOf(context, tx).index(name);
  if (op.c % 3 === 0) {
    return read(
      `index ${name} count`,
      async (tx) => String(isSync ? indexOf(tx).countSync() : await indexOf(tx).count()),
      (store) => String(indexRows(store, name).length),
    );
  }
  const reverse = op.c % 2 === 0;
  return read(
    `index ${name}${reverse ? ' reverse' : ''}`,
    async (tx) => {
      const range = indexOf(tx).range({ reverse });
      const found = isSync ? range.toArraySync() : await range.toArray();
      return found.map((one) => `${JSON.stringify(one.index)} ${showEntry(context, one)}`).join(' ');
    },
    (store) => {
      const rows = indexRows(store, name);
      if (reverse) rows.reverse();
      return rows.map(({ index, row }) => `${index} ${showRow(family, row)}`).join(' ');
    },
  );
}
