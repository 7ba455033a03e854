/** Cursors, of the database and of the model beside each other. */
import type { Transaction } from '../../../src/store/transaction.ts';
import { type AnyCursor, type Call, type Context, type FoundEntry, showEntry, storeOf } from './mixed-calls.ts';
import {
  compareRows,
  type CursorPlace,
  Refused,
  type Row,
  showKeyOf,
  showRow,
  type StoreModel,
  type TxModel,
} from './mixed-model.ts';
import { drawRide, drawVal, KEYS, showKey, showValue, toKey, toValue } from './mixed-stores.ts';

const NOWHERE = { k: -1, number: 0, seq: 0 };

interface Placed {
  readonly store: StoreModel;
  readonly cursor: CursorPlace;
}

/** Cursors by transaction and store: at most one each. */
export function cursorCall(context: Context): Call | undefined {
  const { op, name, cursors, model } = context;
  if (op.kind === 'cursorOpen') return openCall(context);
  const cursor = cursors.get(op.s);
  const place = model.cursors.get(op.s);
  if (cursor === undefined || place === undefined) return undefined;
  // The store it stands in has gone, or is called otherwise now.
  if (place.name !== name || model.state.stores.get(name)?.instance !== place.instance) return undefined;
  return moveCall(context, cursor) ?? changeCall(context, cursor);
}

function openCall(context: Context): Call {
  const { op, name, cursors } = context;
  return {
    text: `${name}.cursor`,
    reads: true,
    engine: (tx: Transaction) => {
      cursors.get(op.s)?.close();
      cursors.set(op.s, storeOf(context, tx).cursor() as unknown as AnyCursor);
      return '';
    },
    model: (tx) => {
      const { instance } = tx.open(name);
      tx.cursors.set(op.s, { name, instance, place: 'before', position: NOWHERE, key: '', token: '' });
      return '';
    },
  };
}

function placed(tx: TxModel, { op, name }: Context): Placed {
  return { store: tx.open(name), cursor: tx.cursors.get(op.s) as CursorPlace };
}

function stand({ store, cursor }: Placed, row: Row): void {
  cursor.place = 'on';
  cursor.position = row;
  cursor.key = showKeyOf(store.family, row);
  cursor.token = row.token;
}

function next(at: Placed): string {
  const { store, cursor } = at;
  if (cursor.place === 'after') return 'false';
  const isMissed = cursor.place === 'missed';
  const found = store.sorted().find((row) => {
    if (cursor.place === 'before') return true;
    const order = compareRows(row, cursor.position);
    return isMissed ? order >= 0 : order > 0;
  });
  if (found === undefined) cursor.place = 'after';
  else stand(at, found);
  return String(found !== undefined);
}

function previous(at: Placed): string {
  const { store, cursor } = at;
  if (cursor.place === 'before') return 'false';
  const isAfter = cursor.place === 'after';
  const found = store.sorted().findLast((row) => isAfter || compareRows(row, cursor.position) < 0);
  if (found === undefined) cursor.place = 'before';
  else stand(at, found);
  return String(found !== undefined);
}

function find(at: Placed, k: number, nearest: string | undefined): string {
  const { store, cursor } = at;
  const rows = store.sorted();
  const equal = rows.filter((row) => row.k === k);
  const exact = nearest === 'less' ? equal.at(-1) : equal[0];
  if (exact !== undefined) {
    stand(at, exact);
    return 'found';
  }
  const near =
    nearest === 'greater'
      ? rows.find((row) => row.k > k)
      : nearest === 'less'
        ? rows.findLast((row) => row.k < k)
        : undefined;
  if (near !== undefined) {
    stand(at, near);
    return nearest as string;
  }
  // None to the left, or to the right: it stands before, or behind, all there is.
  cursor.place = nearest === 'less' ? 'before' : nearest === 'greater' ? 'after' : 'missed';
  cursor.position = { k, number: -1, seq: 0 };
  return 'none';
}

function moveCall(context: Context, cursor: AnyCursor): Call | undefined {
  const { op, family, name } = context;
  const isSync = op.c % 2 === 0;
  const call = (text: string, engine: () => Promise<string> | string, work: (at: Placed) => string): Call => ({
    text: `${name}.cursor ${text}`,
    reads: true,
    engine,
    model: (tx) => work(placed(tx, context)),
  });
  switch (op.kind) {
    case 'cursorNext':
      return call('next', async () => String(isSync ? cursor.nextSync() : await cursor.next()), next);
    case 'cursorPrevious':
      return call('previous', async () => String(isSync ? cursor.previousSync() : await cursor.previous()), previous);
    case 'cursorEnd': {
      const isFirst = op.a % 2 === 0;
      const go = `${isFirst ? 'first' : 'last'}${isSync ? 'Sync' : ''}` as 'first';
      return call(
        go,
        async () => String(await cursor[go]()),
        (at) => {
          at.cursor.place = isFirst ? 'before' : 'after';
          return isFirst ? next(at) : previous(at);
        },
      );
    }
    case 'cursorFind': {
      const k = op.a % KEYS;
      const nearest = ([undefined, 'greater', 'less'] as const)[op.b % 3];
      const options = nearest === undefined ? {} : { nearest };
      const key = toKey(family, k) as never;
      return call(
        `find ${k} ${nearest ?? ''}`,
        async () => (isSync ? cursor.findSync(key, options) : await cursor.find(key, options)),
        (at) => find(at, k, nearest),
      );
    }
    case 'cursorRead':
      return readCall(context, cursor, call);
    default:
      return undefined;
  }
}

function rowAt({ store, cursor }: Placed): Row | undefined {
  if (cursor.place !== 'on') return undefined;
  return cursor.token === '' ? store.at(cursor.position.k) : store.rows.get(cursor.token);
}

type Make = (text: string, engine: () => Promise<string> | string, work: (at: Placed) => string) => Call;

function readCall(context: Context, cursor: AnyCursor, call: Make): Call {
  const { op, family } = context;
  const isSync = op.c % 2 === 0;
  if (op.a % 3 === 0) {
    return call(
      'key',
      () => (cursor.key === undefined ? '-' : showKey(family, cursor.key)),
      (at) => (at.cursor.place === 'on' ? at.cursor.key : '-'),
    );
  }
  if (op.a % 3 === 1) {
    return call(
      'value',
      async () => showValue(family, isSync ? cursor.valueSync() : await cursor.value()),
      (at) => {
        const row = rowAt(at);
        return row === undefined ? '-' : showRow(family, row).replace(/^.*=|@.*$/g, '');
      },
    );
  }
  return call(
    'entry',
    async () => showEntry(context, (isSync ? cursor.entrySync() : await cursor.entry()) as FoundEntry | undefined),
    (at) => {
      const row = rowAt(at);
      if (row !== undefined) stand(at, row);
      return row === undefined ? '-' : showRow(family, row);
    },
  );
}

function changeCall(context: Context, cursor: AnyCursor): Call | undefined {
  const { op, family, name } = context;
  const isSync = op.c % 2 === 0;
  const val = drawVal(family, op.a, op.b);
  const { status } = drawRide(family, op.a, op.b);
  const call = (text: string, engine: () => Promise<string>, work: (at: Placed, row: Row) => void): Call => ({
    text: `${name}.cursor ${text}`,
    reads: true,
    engine,
    model: (tx) => {
      const at = placed(tx, context);
      tx.mustWrite();
      tx.touched.add(name);
      tx.bytes += val.pad + 60;
      const row = rowAt(at);
      if (row !== undefined) work(at, row);
      return String(row !== undefined);
    },
  });
  switch (op.kind) {
    case 'cursorUpdate': {
      const value = toValue(family, val);
      return call(
        'update',
        async () => String(isSync ? cursor.updateSync(value) : await cursor.update(value)),
        (at, row) => {
          if (at.store.isTaken(row.k, val)) throw new Refused('UNIQUE_INDEX');
          const changed = { ...row, value: val, version: 0 };
          at.store.set(changed);
          stand(at, changed);
        },
      );
    }
    case 'cursorUpdateKey':
      if (!family.hasStatus || status === undefined) return undefined;
      return call(
        'updateKey',
        async () =>
          String(await (isSync ? cursor.updateKeySync({ status } as never) : cursor.updateKey({ status } as never))),
        (at, row) => {
          const changed = { ...row, status, version: 0 };
          at.store.set(changed);
          stand(at, changed);
        },
      );
    case 'cursorRemove':
      return call(
        'remove',
        async () => String(isSync ? cursor.removeSync() : await cursor.remove()),
        (at, row) => {
          at.store.delete(row);
          at.cursor.place = 'gap';
        },
      );
    default:
      return undefined;
  }
}
