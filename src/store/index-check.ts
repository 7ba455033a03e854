/**
 * Whether each index that is ready holds exactly what its store says: every index key of every entry is there, and there are
 * no others, since there are as many. One snapshot, beside everything else.
 */
import { copyBytes, equalBytes } from '../base/bytes.ts';
import { AbortedError } from '../base/errors.ts';
import { AT, MISS } from '../node/entry-cursor.ts';
import type { VerifyProblem } from '../transaction/engine-api.ts';
import { FOUND, NOT_LOADED } from '../storage/find-result.ts';
import type { Catalog } from './catalog.ts';
import { IndexedRow, ownerKeyIn, type StoreIndex } from './index-set.ts';
import { readIndexState } from './index-state.ts';
import { listEntries } from './listing.ts';
import { isSeparate } from './store-codec.ts';
import type { StoreCore } from './store-core.ts';
import type { TransactionCore } from './transaction-core.ts';

/** Problems named for one index; more of them would not tell more. */
const MOST_PROBLEMS = 5;
/** Entries between two looks at the signal and two turns of the event loop. */
const BETWEEN_TURNS = 200;

export interface IndexCheck {
  readonly problems: VerifyProblem[];
  /** Indexes compared; those being built, and those whose function this program has not, are not. */
  indexes: number;
}

interface Tally {
  readonly index: StoreIndex;
  expected: number;
  problems: number;
}

export async function checkIndexes(
  core: TransactionCore,
  catalog: Catalog,
  signal: AbortSignal | undefined,
): Promise<IndexCheck> {
  const check: IndexCheck = { problems: [], indexes: 0 };
  for (const { name } of await listEntries(core, catalog)) {
    const store = core.openToBuild(name);
    if (store?.indexSet !== undefined) await checkStore(core, store, check, signal);
  }
  return check;
}

async function checkStore(
  core: TransactionCore,
  store: StoreCore,
  check: IndexCheck,
  signal: AbortSignal | undefined,
): Promise<void> {
  const ready = (store.indexSet?.all ?? []).filter(
    (index) => !index.lacksFunction && readIndexState(core.engine, index.stored.id) === undefined,
  );
  if (ready.length === 0) return;
  check.indexes += ready.length;
  const tallies: Tally[] = ready.map((index) => ({ index, expected: 0, problems: 0 }));
  await forEachRow(core, store, signal, async (row) => {
    for (const tally of tallies) await checkRow(store, tally, row, check);
  });
  for (const tally of tallies) {
    const found = await countOf(store, tally.index.stored.id);
    if (found === tally.expected) continue;
    report(store, tally, check, `has ${found} entries where the store has ${tally.expected} for it`);
  }
}

async function forEachRow(
  { env }: TransactionCore,
  store: StoreCore,
  signal: AbortSignal | undefined,
  visit: (row: IndexedRow) => Promise<void>,
): Promise<void> {
  const cursor = store.etx.cursor(store.storeId);
  cursor.waits = false;
  const usesValue = store.indexSet?.usesValue ?? false;
  let step = cursor.first();
  for (let count = 1; ; count++) {
    if (signal?.aborted === true) throw new AbortedError('the signal was fired', { cause: signal.reason });
    while (step === MISS) {
      await cursor.load();
      step = count === 1 ? cursor.first() : cursor.next();
    }
    if (step !== AT) return;
    const key = copyBytes(cursor.keyBytes, cursor.keyStart, cursor.keyEnd);
    const cell = copyBytes(cursor.cellBytes, cursor.cellStart, cursor.cellEnd);
    const isElsewhere = usesValue && isSeparate(cell, 0);
    const value = isElsewhere ? await store.etx.readValue(cell, 0, cell.length) : undefined;
    await visit(new IndexedRow(store.codec, key, cell, value));
    if (count % BETWEEN_TURNS === 0) await new Promise<void>((resolve) => env.timers.nextTurn(resolve));
    step = cursor.next();
  }
}

async function checkRow(store: StoreCore, tally: Tally, row: IndexedRow, check: IndexCheck): Promise<void> {
  const { etx } = store;
  const { id, unique } = tally.index.stored;
  for (const key of tally.index.keysOf(row)) {
    tally.expected++;
    etx.waits = false;
    let found = etx.find(id, key, 0, key.length);
    while (found === NOT_LOADED) {
      await etx.load();
      etx.waits = false;
      found = etx.find(id, key, 0, key.length);
    }
    const holder = found === FOUND && unique ? ownerKeyIn(etx.foundBytes, etx.foundStart, etx.foundEnd) : row.keyBytes;
    if (found === FOUND && equalBytes(holder, row.keyBytes)) continue;
    const what = found === FOUND ? 'names another entry where it should name' : 'lacks';
    report(store, tally, check, `${what} the entry with key ${Buffer.from(row.keyBytes).toString('hex')}`);
  }
}

function report(store: StoreCore, tally: Tally, check: IndexCheck, what: string): void {
  if (tally.problems++ >= MOST_PROBLEMS) return;
  const { name, id } = tally.index.stored;
  const message = `store '${store.name}': its index '${name}' ${what}`;
  check.problems.push({ invariant: 'an index holds what its store says', message, store: id });
}

async function countOf({ etx }: StoreCore, id: number): Promise<number> {
  for (;;) {
    etx.waits = false;
    const count = etx.count(id, undefined, undefined);
    if (count >= 0) return count;
    await etx.load();
  }
}
