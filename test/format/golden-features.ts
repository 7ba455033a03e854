/** That the golden folder with all features is what was written. */
import { expect } from 'vitest';
import type { Database, Transaction } from '../../src/index.ts';
import { CITIES, hits, notes, PEOPLE, people, VISITS, visits } from './features-content.ts';

export async function expectFeatures(db: Database): Promise<void> {
  await db.read(async (tx) => {
    expect(await tx.store(people).count()).toBe(PEOPLE);
    for (const city of [...CITIES, 'Oslo']) {
      const found = await tx.store(people).index('byCity').range({ prefix: { city } }).toArray();
      const wanted = Array.from({ length: PEOPLE }, (_, i) => i).filter(
        (i) => (i === 0 ? 'Oslo' : CITIES[i % 3]) === city,
      );
      expect(found.length).toBe(wanted.length);
    }
    expect(await tx.store(visits).getAll('anna')).toEqual(VISITS);
    expect(await tx.store(hits).get('page')).toBe(42);
    expect(await stateOf(tx)).toBe('now');
  });
  expect((await db.pins()).map(({ name }) => name)).toEqual(['then']);
  await db.read(
    async (tx) => {
      expect(await stateOf(tx)).toBe('then');
      expect(await tx.store(hits).get('page')).toBe(40);
    },
    { at: 'then' },
  );
  expect(await db.prepared()).toHaveLength(2);
  expect((await db.verify()).problems).toEqual([]);
}

function stateOf(tx: Transaction): Promise<unknown> {
  return tx.store(notes).get('state');
}

/** What waited can be decided. */
export async function decideFeatures(db: Database): Promise<void> {
  const [first, second] = await db.prepared();
  await first?.commit();
  await second?.rollback();
  await db.read(async (tx) => {
    expect(await tx.store(visits).getAll('first')).toEqual(['decided']);
    expect(await tx.store(notes).get('second')).toBeUndefined();
  });
  await db.unpin('then');
  expect(await db.prepared()).toEqual([]);
}
