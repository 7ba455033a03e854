/** Calls on stores of equal keys, of the database and of the model beside each other. */
import type { TxBag } from '../../../src/store/bag.ts';
import { ItemId } from '../../../src/store/item-id.ts';
import type { Transaction } from '../../../src/store/transaction.ts';
import { type Call, type Context, type FoundEntry, newRow, rangeCall, showEntry } from './mixed-calls.ts';
import { type Row, showRow, type StoreModel, type TxModel } from './mixed-model.ts';
import { drawRide, drawVal, KEYS, type Ride, showValue, toKey, toValue, type Val } from './mixed-stores.ts';

type AnyBag = TxBag<object, unknown, string>;

const MISSING = new ItemId(1, 4_000_000);

export function bagOf(context: Context, tx: Transaction): AnyBag {
  return tx.store(context.family.definitions[context.name] as never) as unknown as AnyBag;
}

export function under(store: StoreModel, k: number): Row[] {
  return store.sorted().filter((row) => row.k === k);
}

function put(tx: TxModel, store: StoreModel, token: string, k: number, ride: Ride, value: Val): void {
  const row = newRow(store.family, k, ride, value);
  store.set({ ...row, token, number: Number.POSITIVE_INFINITY, seq: tx.added++ });
}

export function bagCall(context: Context): Call | undefined {
  return itemCall(context) ?? changeCall(context) ?? readCall(context);
}

type Make = (
  text: string,
  reads: boolean,
  engine: Call['engine'],
  work: (store: StoreModel, tx: TxModel) => string,
) => Call;

function changing(context: Context, bytes: number): Make {
  const { name } = context;
  return (text, reads, engine, work) => ({
    text: `${name}.${text}`,
    reads,
    engine,
    model: (tx) => {
      const store = tx.open(name);
      tx.mustWrite();
      tx.touched.add(name);
      tx.bytes += bytes;
      return work(store, tx);
    },
  });
}

function changeCall(context: Context): Call | undefined {
  const { op, family, items } = context;
  const { kind, a, b, c } = op;
  const k = a % KEYS;
  const val = drawVal(family, b, c);
  const change = changing(context, val.pad + 60);
  switch (kind) {
    case 'add':
    case 'put':
    case 'addMany':
    case 'bulk': {
      const count = kind === 'bulk' ? 6 : kind === 'addMany' ? 2 : 1;
      const given = kind === 'bulk' ? { n: val.n, pad: 2500 } : val;
      const ride = drawRide(family, b, c);
      // Some under one key, some under others.
      const keys = Array.from({ length: count }, (_, i) => (k + i * (b % 2)) % KEYS);
      return changing(context, count * (given.pad + 60))(
        `add ${keys}`,
        false,
        (tx) => {
          const bag = bagOf(context, tx);
          const ids = bag.addMany(keys.map((one) => [toKey(family, one, ride), toValue(family, given)] as const));
          for (const [i, id] of ids.entries()) items.set(`${op.id}.${i}`, id);
          return 'undefined';
        },
        (store, tx) => {
          for (const [i, one] of keys.entries()) put(tx, store, `${op.id}.${i}`, one, ride, given);
          return 'undefined';
        },
      );
    }
    case 'removeMany':
      return change(
        `remove all of ${k}`,
        true,
        async (tx) => {
          const bag = bagOf(context, tx);
          return String(c % 2 === 0 ? bag.removeSync(toKey(family, k)) : await bag.remove(toKey(family, k)));
        },
        (store) => {
          const rows = under(store, k);
          for (const row of rows) store.delete(row);
          return String(rows.length);
        },
      );
    case 'clear':
      return change(
        'clear',
        false,
        (tx) => String(bagOf(context, tx).clear()),
        (store) => String(store.rows.clear()),
      );
    case 'clearRange': {
      const [from, to] = [k, b % KEYS];
      return change(
        `clearRange ${from} ${to}`,
        false,
        (tx) => String(bagOf(context, tx).clearRange({ gte: toKey(family, from), lt: toKey(family, to) })),
        (store) => {
          for (const row of store.sorted()) if (row.k >= from && row.k < to) store.delete(row);
          return 'undefined';
        },
      );
    }
    default:
      return undefined;
  }
}

/** Calls on one item, chosen among those that the transaction sees; now and then one that is not there. */
function itemCall(context: Context): Call | undefined {
  const { op, family, items, model, name } = context;
  const { kind, a, b, c } = op;
  if (kind !== 'update' && kind !== 'updateKey' && kind !== 'remove' && kind !== 'getEntry') return undefined;
  const there = (model.state.stores.get(name)?.sorted() ?? []).filter(({ token }) => items.has(token));
  const chosen = there[b % (there.length + 1)];
  const token = chosen?.token ?? '';
  const k = chosen?.k ?? a % KEYS;
  const id = items.get(token) ?? MISSING;
  const isSync = c % 2 === 0;
  const ride = drawRide(family, b >> 2, c);
  const key = toKey(family, k, ride);
  const val = drawVal(family, c, b);
  const change = changing(context, val.pad + 60);
  const replace = (store: StoreModel, make: (row: Row) => Row): string => {
    const row = store.rows.get(token);
    if (row !== undefined) store.set({ ...make(row), version: 0 });
    return String(row !== undefined);
  };
  switch (kind) {
    case 'update':
      return change(
        `updateItem ${k}#${token}`,
        true,
        async (tx) => {
          const bag = bagOf(context, tx);
          const value = toValue(family, val);
          return String(isSync ? bag.updateItemSync(key, id, value) : await bag.updateItem(key, id, value));
        },
        (store) => replace(store, (row) => ({ ...row, ...ride, value: val })),
      );
    case 'updateKey':
      if (!family.isComposite) return undefined;
      return change(
        `updateItemKey ${k}#${token}`,
        true,
        async (tx) => {
          const bag = bagOf(context, tx);
          return String(isSync ? bag.updateItemKeySync(key, id) : await bag.updateItemKey(key, id));
        },
        (store) => replace(store, (row) => ({ ...row, ...ride })),
      );
    case 'remove':
      return change(
        `removeItem ${k}#${token}`,
        true,
        async (tx) => {
          const bag = bagOf(context, tx);
          return String(isSync ? bag.removeItemSync(key, id) : await bag.removeItem(key, id));
        },
        (store) => String(store.rows.delete(token)),
      );
    default:
      return {
        text: `${name}.getItem ${k}#${token}`,
        reads: true,
        engine: async (tx) => {
          const bag = bagOf(context, tx);
          return showEntry(context, isSync ? bag.getItemSync(key, id) : await bag.getItem(key, id));
        },
        model: (tx) => {
          const row = tx.open(name).rows.get(token);
          return row === undefined ? '-' : showRow(family, row);
        },
      };
  }
}

function readCall(context: Context): Call | undefined {
  const { op, family, name } = context;
  const { kind, a, b, c } = op;
  const k = a % KEYS;
  const key = toKey(family, k);
  const isSync = c % 2 === 0;
  const read = (text: string, engine: Call['engine'], look: (store: StoreModel) => string): Call => ({
    text: `${name}.${text}`,
    reads: true,
    engine,
    model: (tx) => look(tx.open(name)),
  });
  const bag = (tx: Transaction) => bagOf(context, tx);
  const rowText = (row: Row | undefined) => (row === undefined ? '-' : showRow(family, row));
  const valueText = (row: Row) => rowText(row).replace(/^.*=|@.*$/g, '');
  switch (kind) {
    case 'get':
      return read(
        `getAll ${k}`,
        async (tx) => {
          const found = isSync ? bag(tx).getAllSync(key) : await bag(tx).getAll(key);
          return found.map((one) => showValue(family, one)).join(' ');
        },
        (store) => under(store, k).map(valueText).join(' '),
      );
    case 'has':
      return read(
        `has ${k}`,
        async (tx) => String(isSync ? bag(tx).hasSync(key) : await bag(tx).has(key)),
        (store) => String(under(store, k).length > 0),
      );
    case 'first':
    case 'last': {
      const given = b % 3 === 0 ? [] : [key];
      const one = `${kind}${isSync ? 'Sync' : ''}` as 'first';
      return read(
        `${kind} ${given.length === 0 ? '' : k}`,
        async (tx) => showEntry(context, (await bag(tx)[one](...given)) as FoundEntry | undefined),
        (store) => rowText((given.length === 0 ? store.sorted() : under(store, k)).at(kind === 'first' ? 0 : -1)),
      );
    }
    case 'count': {
      const given = b % 3 === 0 ? [] : [key];
      return read(
        `count ${given.length === 0 ? '' : k}`,
        async (tx) => String(isSync ? bag(tx).countSync(...given) : await bag(tx).count(...given)),
        (store) => String((given.length === 0 ? store.sorted() : under(store, k)).length),
      );
    }
    case 'rank': {
      const [from, to] = [k, b % KEYS];
      const bounds = { gte: key, lte: toKey(family, to) };
      return read(
        `countRange ${from} ${to}`,
        async (tx) => String(isSync ? bag(tx).countRangeSync(bounds) : await bag(tx).countRange(bounds)),
        (store) => String(store.sorted().filter((row) => row.k >= from && row.k <= to).length),
      );
    }
    case 'range':
      return rangeCall(context, read);
    default:
      return undefined;
  }
}
