/** What every golden folder holds: the same content, whichever version of the format wrote it. */
import { Database, defineStore, type Transaction, Uuid } from '../../src/index.ts';

interface Person {
  name: string;
  born: Date;
  tags: Set<string>;
  balance: bigint;
}

export const people = defineStore<{ country: string; since: number; id: number; active: boolean }, Person>('people', {
  key: ['country', { field: 'since', order: 'desc' }, 'id'],
  rideOn: ['active'],
});
export const anything = defineStore<string, unknown>('anything');
export const files = defineStore<string, Uint8Array>('files', { values: 'separate', raw: true });

export const PEOPLE = 500;
export const REMOVED = 100;

export function person(i: number): Person {
  return {
    name: `person ${i}`,
    born: new Date(i * 86_400_000 - 1e11),
    tags: new Set([`t${i % 7}`]),
    balance: BigInt(i) ** 9n,
  };
}

export function personKey(i: number): { country: string; since: number; id: number; active: boolean } {
  return { country: ['DE', 'FR', 'JP'][i % 3] as string, since: 1900 + (i % 50), id: i, active: i % 2 === 0 };
}

export const THINGS: [string, unknown][] = [
  ['numbers', [0, -0, NaN, Infinity, -1.5, 2 ** 53, 1e300]],
  ['text', 'zażółć \u0000 \ud800 🙂'],
  [
    'map',
    new Map<unknown, unknown>([
      ['a', 1],
      [2, null],
    ]),
  ],
  ['uuid', Uuid.parse('00112233-4455-6677-8899-aabbccddeeff')],
  ['regexp', /a+b/gi],
  ['nothing', undefined],
  ['big', -(2n ** 200n)],
];

export function bytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + length) & 0xff);
}

/** Lengths of the files: empty, in a leaf's reach, in a segment, too long for the log. */
export const FILES = [0, 1, 300, 5000, 70_000];

/** Part of it goes through a checkpoint, the rest stays in the log. */
export async function writeGolden(folder: string): Promise<void> {
  const db = await Database.open(folder, { tableBytes: 256 * 1024 });
  await db.write((tx) => writePeople(tx, 0, PEOPLE));
  await db.write((tx) => {
    for (const [key, value] of THINGS) tx.store(anything).put(key, value);
    for (const length of FILES) tx.store(files).put(`file-${length}`, bytes(length));
    tx.store(defineStore<number, string>('dropped')).put(1, 'gone');
  });
  await db.checkpoint();
  await db.drop('dropped');
  await db.write(async (tx) => {
    for (let i = 0; i < REMOVED; i++) await tx.store(people).remove(personKey(i));
    writePeople(tx, PEOPLE, PEOPLE + 20);
  });
  await db.close();
}

function writePeople(tx: Transaction, from: number, to: number): void {
  for (let i = from; i < to; i++) tx.store(people).put(personKey(i), person(i));
}
