/** The entries of a client: as its transactions should have left them, and as a database has them. */
import { createHash } from 'node:crypto';
import { blobs, bulk, heads, names, type Plan, type Row, rows, TOTALS, totals } from './group-plan.ts';
import type { Database } from './sop.ts';

/** A client's entries: what stands under `store key`, as a digest. Made anew by every transaction, never changed. */
export type ClientState = ReadonlyMap<string, string>;

export const NO_ENTRIES: ClientState = new Map();

function digest(by: string, data: Uint8Array, tag = 0): string {
  return `${by} ${tag} ${createHash('sha1').update(data).digest('base64')}`;
}

/** Digest parts that a changed tag leaves alone. */
function withTag(old: string, tag: number): string {
  const [by, , content] = old.split(' ');
  return `${by} ${tag} ${content}`;
}

const place = (slot: number): string => String(slot).padStart(6, '0');

export function applyPlan(state: ClientState, plan: Plan): ClientState {
  const next = new Map(state);
  for (const change of plan.changes) {
    if (change.store === 'names') {
      const key = `names ${change.name}`;
      const old = next.get(key);
      if (change.kind === 'remove') next.delete(key);
      else if (change.kind === 'put') next.set(key, digest(plan.name, change.data, change.tag));
      else if (old !== undefined) next.set(key, withTag(old, change.tag));
      continue;
    }
    if (change.kind === 'clear') {
      for (const key of next.keys()) if (key.startsWith('bulk ')) next.delete(key);
      continue;
    }
    const key = `${change.store} ${place(change.slot)}`;
    if (change.kind === 'remove') next.delete(key);
    else if (change.kind === 'put' || !next.has(key)) {
      next.set(key, digest(change.store === 'blobs' ? '' : plan.name, change.data));
    }
  }
  next.set('heads', plan.name);
  return next;
}

/** Runs a planned transaction. */
export async function commitPlan(db: Database, plan: Plan): Promise<void> {
  const { client, name: by } = plan;
  await db.write(async (tx) => {
    for (const change of plan.changes) {
      if (change.store === 'blobs') {
        const key = [client, change.slot] as const;
        if (change.kind === 'remove') await tx.store(blobs).remove(key);
        else tx.store(blobs).put(key, change.data);
      } else if (change.store === 'names') {
        const { name } = change;
        if (change.kind === 'remove') await tx.store(names).remove({ client, name });
        else if (change.kind === 'updateKey') await tx.store(names).updateKey({ client, name, tag: change.tag });
        else tx.store(names).put({ client, name, tag: change.tag }, { by, data: change.data });
      } else if (change.kind === 'clear') {
        tx.store(bulk).clearRange({ gte: { client }, lte: { client } });
      } else {
        const store = tx.store(change.store === 'rows' ? rows : bulk);
        const key = { client, slot: change.slot };
        if (change.kind === 'remove') await store.remove(key);
        else if (change.kind === 'add') await store.add(key, { by, data: change.data });
        else store.put(key, { by, data: change.data });
      }
    }
    tx.store(heads).put(client, by);
    if (plan.total === undefined) return;
    const sums = tx.store(totals);
    sums.put(plan.total, ((await sums.get(plan.total)) ?? 0) + 1);
  });
}

export interface FoundState {
  readonly clients: ReadonlyMap<number, ClientState>;
  readonly totals: readonly number[];
}

/** Everything the database holds, from one snapshot. */
export async function readState(db: Database): Promise<FoundState> {
  const clients = new Map<number, Map<string, string>>();
  const enter = (client: number, key: string, what: string): void => {
    let state = clients.get(client);
    if (state === undefined) {
      state = new Map();
      clients.set(client, state);
    }
    if (state.has(key)) throw new Error(`client ${client}: a scan handed out '${key}' twice`);
    state.set(key, what);
  };
  const row = (store: string, slot: number): string => `${store} ${place(slot)}`;
  return db.read(async (tx) => {
    for await (const { key, value } of tx.store(rows).range()) enter(key.client, row('rows', key.slot), show(value));
    for await (const { key, value } of tx.store(bulk).range()) enter(key.client, row('bulk', key.slot), show(value));
    for await (const { key, value } of tx.store(blobs).range()) enter(key[0], row('blobs', key[1]), digest('', value));
    for await (const { key, value } of tx.store(names).range()) {
      enter(key.client, `names ${key.name}`, digest(value.by, value.data, key.tag));
    }
    for await (const { key, value } of tx.store(heads).range()) enter(key, 'heads', value);
    const sums: number[] = [];
    for (let i = 0; i < TOTALS; i++) sums.push((await tx.store(totals).get(i)) ?? 0);
    return { clients, totals: sums };
  });
}

const show = (value: Row): string => digest(value.by, value.data);

/** Equal for equal states. */
export function fingerprint(state: ClientState): string {
  const hash = createHash('sha1');
  for (const key of [...state.keys()].sort()) hash.update(`${key}\n${state.get(key)}\n`);
  return hash.digest('base64');
}

/** The first few differences, for a failure's message. */
export function describeDifferences(expected: ClientState, found: ClientState): string[] {
  const words: string[] = [];
  for (const [key, what] of expected) {
    const there = found.get(key);
    if (there === undefined) words.push(`${key}: missing, should be ${what}`);
    else if (there !== what) words.push(`${key}: is ${there}, should be ${what}`);
  }
  for (const [key, what] of found) if (!expected.has(key)) words.push(`${key}: is ${what}, should not be there`);
  return words.slice(0, 8);
}
