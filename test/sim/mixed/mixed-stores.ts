/**
 * The stores of the mixed run, one of each shape. Keys are numbers from zero in the order of the store; rows and answers are
 * told as text, so that model and database are compared by `===`.
 */
import { defineStore, type StoreDefinition } from '../../../src/store/define-store.ts';
import { type } from '../../../src/store/standard-schema.ts';

export const KEYS = 24;
/** Composite keys: so many regions, so many ids in each. */
const IDS = 8;

export interface Val {
  readonly n: number;
  readonly pad: number;
  readonly mail?: number;
  readonly tags?: readonly number[];
}

export interface Ride {
  readonly status?: string | undefined;
  readonly hits?: number | undefined;
}

export interface Family {
  readonly name: string;
  readonly isBag: boolean;
  readonly isComposite: boolean;
  readonly isCounter: boolean;
  readonly hasHits: boolean;
  readonly hasStatus: boolean;
  readonly isIndexed: boolean;
  /** Keys, and the row of the catalog, that are longer than what stays in a leaf where it is no key. */
  readonly isLong: boolean;
  /** Under each of its names, and in each of the shapes it is given by and by. */
  readonly definitions: Readonly<Record<string, StoreDefinition<unknown, unknown, string, unknown>>>;
}

interface Composite {
  readonly region: string;
  readonly id: number;
  readonly status?: string | undefined;
  readonly hits?: number | undefined;
}
interface Stored {
  readonly n: number;
  readonly s: string;
  readonly mail?: string | undefined;
  readonly tags?: readonly number[] | undefined;
}

const key = ['region', { field: 'id', order: 'desc' }] as const;

/** What `defineStore` makes of any shape; the run speaks to all of them alike. */
type AnyDefinition = StoreDefinition<unknown, unknown, string, unknown>;
const any = (definition: unknown): AnyDefinition => definition as AnyDefinition;

function family(name: string, define: (name: string) => unknown, traits: Partial<Family> = {}): Family {
  return {
    name,
    isBag: false,
    isComposite: false,
    isCounter: false,
    hasHits: false,
    hasStatus: false,
    isIndexed: false,
    isLong: false,
    ...traits,
    definitions: { [name]: any(define(name)), [`${name}2`]: any(define(`${name}2`)) },
  };
}

const indexed = { keySchema: type<Omit<Composite, 'hits'>>(), value: type<Stored>(), key, rideOn: ['status'] } as const;

const INDEXES = {
  byStatus: [{ field: 'status', order: 'desc' }, 'id'],
  byMail: { fields: ['mail'], unique: true },
  byTag: { of: (_: unknown, value: Stored) => value.tags ?? [], many: true, version: 1 },
} as const;

/** Of fields that no entry has: they make the definition long, and nothing else. */
const IDLE_INDEXES = Object.fromEntries(
  Array.from({ length: 20 }, (_, i) => [`of a field that no entry has, ${i}`.padEnd(100), [`absent${i}`]]),
) as unknown as Readonly<Record<string, readonly 'mail'[]>>;
const LONG_REGION = '~'.repeat(2300);

export const FAMILIES: readonly Family[] = [
  family('plain', (name) => defineStore<string, Stored>(name)),
  family(
    'comp',
    (name) =>
      defineStore<Composite, Stored, 'status' | 'hits'>(name, { key, rideOn: ['status', 'hits'], counters: ['hits'] }),
    { isComposite: true, hasHits: true, hasStatus: true },
  ),
  family('counts', (name) => defineStore<string, number>(name, { counter: true }), { isCounter: true }),
  family('apart', (name) => defineStore<string, Stored>(name, { values: 'separate' })),
  family('orders', (name) => defineStore(name, { ...indexed, indexes: INDEXES }), {
    isComposite: true,
    hasStatus: true,
    isIndexed: true,
  }),
  family('bag', (name) => defineStore<string, Stored>(name, { unique: false }), { isBag: true }),
  family(
    'bags',
    (name) =>
      defineStore<Omit<Composite, 'hits'>, Stored, 'status'>(name, {
        key,
        rideOn: ['status'],
        values: 'separate',
        unique: false,
      }),
    { isBag: true, isComposite: true, hasStatus: true },
  ),
  family('long', (name) => defineStore(name, { ...indexed, indexes: { ...IDLE_INDEXES, ...INDEXES } }), {
    isComposite: true,
    hasStatus: true,
    isIndexed: true,
    isLong: true,
  }),
];

export function toKey(family: Family, k: number, ride: Ride = {}): object {
  // Of what type it is the compiler need not know.
  if (!family.isComposite) return `k${String(k).padStart(3, '0')}` as unknown as object;
  return { region: regionName(family, Math.floor(k / IDS)), id: IDS - 1 - (k % IDS), ...ride };
}

function regionName({ isLong }: Family, region: number): string {
  return `r${region}${isLong ? LONG_REGION : ''}`;
}

export function regionOf(
  family: Family,
  k: number,
): { readonly from: number; readonly to: number; readonly prefix: object } {
  const region = Math.floor(k / IDS);
  return { from: region * IDS, to: (region + 1) * IDS, prefix: { region: regionName(family, region) } };
}

export function idOf(k: number): number {
  return IDS - 1 - (k % IDS);
}

/** Which key it is, and what rides on it. */
export function showKey(family: Family, found: unknown): string {
  if (!family.isComposite) return String(Number((found as string).slice(1)));
  const { region, id, status, hits } = found as Composite;
  return showRide(Number(region[1]) * IDS + IDS - 1 - id, { status, hits });
}

export function showRide(k: number, { status, hits }: Ride): string {
  return `${k}${status === undefined ? '' : `/${status}`}${hits === undefined ? '' : `+${hits}`}`;
}

export function toValue(family: Family, value: Val): unknown {
  if (family.isCounter) return value.n;
  return {
    n: value.n,
    s: 'x'.repeat(value.pad),
    ...(value.mail === undefined ? {} : { mail: `m${value.mail}` }),
    ...(value.tags === undefined ? {} : { tags: value.tags }),
  };
}

export function showValue(family: Family, found: unknown): string {
  if (found === undefined) return '-';
  if (family.isCounter) return showVal({ n: found as number, pad: 0 });
  const { n, s, mail, tags } = found as Stored;
  return showVal({
    n,
    pad: s.length,
    ...(mail === undefined ? {} : { mail: Number(mail.slice(1)) }),
    ...(tags === undefined ? {} : { tags }),
  });
}

export function showVal({ n, pad, mail, tags }: Val): string {
  return `${n}:${pad}${mail === undefined ? '' : `m${mail}`}${tags === undefined ? '' : `[${tags.join()}]`}`;
}

const PADS = [0, 3, 20, 90, 300, 900];

/** Short ones mostly; some for segments. */
export function drawVal(family: Family, a: number, b: number): Val {
  if (family.isCounter) return { n: (a % 2001) - 1000, pad: 0 };
  const pad = a % 61 === 0 ? 66_000 : a % 23 === 0 ? 5000 : (PADS[a % PADS.length] as number);
  if (!family.isIndexed) return { n: b % 1000, pad };
  return {
    n: b % 1000,
    pad: Math.min(pad, 900),
    ...(b % 2 === 0 ? { mail: (b >> 1) % 20 } : {}),
    ...(b % 3 === 0 ? { tags: [...new Set([b % 5, (b >> 3) % 5])] } : {}),
  };
}

export function drawRide(family: Family, b: number, c: number): Ride {
  return {
    ...(family.hasStatus && b % 4 !== 0 ? { status: `s${b % 5}` } : {}),
    ...(family.hasHits && c % 3 === 0 ? { hits: (c % 100) - 50 } : {}),
  };
}
