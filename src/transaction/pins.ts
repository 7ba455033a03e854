/**
 * Pinning: a root that covers everything committed before the call gets a row in the pin store, like any other change.
 *
 *  1. From the moment the root is chosen until its row is durable and visible a view holds it: no reclaim overtakes it.
 *  2. Where the outcome of the row's commit stays unknown, the view is held until the database is closed.
 */
import {
  InvalidArgumentError,
  OutcomeUnknownError,
  PinExistsError,
  PinNotFoundError,
  SopError,
} from '../base/errors.ts';
import type { DatabaseFolder } from '../storage/database-folder.ts';
import type { DatabaseState } from '../storage/database-state.ts';
import { encodePinRow, pinKey } from '../storage/pin-row.ts';
import type { KeptRoot, PinnedRoots } from '../storage/pinned-roots.ts';
import type { Segments } from '../storage/segments.ts';
import { PIN_STORE } from '../storage/system-stores.ts';
import type { View } from '../storage/view.ts';
import type { BeginOptions, PinInfo, TransactionKind } from './engine-api.ts';
import { FOUND } from '../storage/find-result.ts';
import type { Transaction } from './transaction.ts';

export interface PinsHost {
  readonly state: DatabaseState;
  readonly segments: Segments;
  readonly pinnedRoots: PinnedRoots;
  readonly env: { readonly clock: { wallMs(): number } };
  begin(kind: TransactionKind, options?: BeginOptions): Transaction;
  checkpoint(): Promise<void>;
  reclaim(): void;
}

const TRIES = 100;

/** The state as of now as a root whose view is acquired: everything committed before the call is in it. */
export async function acquireRootOfNow(host: Pick<PinsHost, 'state' | 'checkpoint'>): Promise<View> {
  const { state } = host;
  const now = state.durable;
  for (;;) {
    await host.checkpoint();
    if (state.view.tables.every((table) => table.isEmpty || table.baseNumber >= now)) return state.views.acquire();
  }
}

export async function createPin(host: PinsHost, folder: DatabaseFolder, name: string): Promise<PinInfo> {
  const { state, pinnedRoots } = host;
  const key = pinKey(name);
  if (pinnedRoots.find(name, key) !== undefined) throw exists(name);
  folder.requireFeature('pins');
  const view = await acquireRootOfNow(host);
  let isKnown = true;
  try {
    const row = { pinnedAtMs: host.env.clock.wallMs(), root: view.root.record };
    const cell = encodePinRow(row, host.segments);
    await changeRow(host, key, (transaction, found) => {
      if (found) throw exists(name);
      transaction.put(PIN_STORE, key, 0, key.length, cell, 0, cell.length, false);
    });
    pinnedRoots.refresh();
    return toPinInfo({ name, pinnedAtMs: row.pinnedAtMs, view });
  } catch (error) {
    isKnown = !(error instanceof OutcomeUnknownError);
    throw error;
  } finally {
    if (isKnown && state.views.release(view)) {
      state.viewReleased(view);
      host.reclaim();
    }
  }
}

export async function removePin(host: PinsHost, name: string): Promise<void> {
  const key = pinKey(name);
  await changeRow(host, key, (transaction, found) => {
    if (!found) throw notFound(name);
    transaction.remove(PIN_STORE, key, 0, key.length, true);
  });
  host.pinnedRoots.refresh();
  host.reclaim();
}

export function listPins(pinnedRoots: PinnedRoots): PinInfo[] {
  return pinnedRoots.list().map((kept) => toPinInfo({ ...kept, name: kept.name as string, view: kept.view }));
}

/** The pin that a transaction is to read at. */
export function mustFindPin(pinnedRoots: PinnedRoots, kind: TransactionKind, name: string): KeptRoot {
  if (kind === 'write') throw new InvalidArgumentError('a write transaction can not begin at a pin: it is the past');
  const kept = pinnedRoots.find(name, pinKey(name));
  if (kept === undefined) throw notFound(name);
  return kept;
}

/** Commits one change of a pin's row, again where another transaction was quicker. */
async function changeRow(
  host: PinsHost,
  key: Uint8Array,
  change: (transaction: Transaction, found: boolean) => void,
): Promise<void> {
  for (let lost = 0; ; lost++) {
    const transaction = host.begin('write', { isUpkeep: true });
    try {
      transaction.waits = true;
      change(transaction, transaction.find(PIN_STORE, key, 0, key.length) === FOUND);
      await transaction.commit();
      return;
    } catch (error) {
      transaction.rollback(error);
      const isLost = error instanceof SopError && (error.code === 'CONFLICT' || error.code === 'TOO_OLD');
      if (!isLost || lost >= TRIES) throw error;
    }
  }
}

function toPinInfo(kept: { readonly name: string; readonly pinnedAtMs: number; readonly view: View }): PinInfo {
  const { name, pinnedAtMs, view } = kept;
  return { name, number: view.root.record.covered, pinnedAt: new Date(pinnedAtMs) };
}

function exists(name: string): PinExistsError {
  return new PinExistsError(`there is a pin '${name}' already`, { details: { pin: name } });
}

function notFound(name: string): PinNotFoundError {
  return new PinNotFoundError(`there is no pin '${name}'`, { details: { pin: name } });
}
