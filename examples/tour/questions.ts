/** Real questions, each with what it took to answer it. */
import type { Database, Transaction } from '../../src/index.ts';
import { answer, count, duration, heading } from './show.ts';
import { cities, names, sizes } from './stores.ts';

const RANDOM_GETS = 20_000;

/** Asks twice and tells the second time: the first one pays for generated code and cold pages. */
async function ask<T>(work: () => Promise<T> | T): Promise<{ result: T; note: string }> {
  await work();
  const began = performance.now();
  const result = await work();
  return { result, note: duration(performance.now() - began) };
}

export async function questions(db: Database): Promise<void> {
  heading('Asking questions');
  await db.read(async (tx) => {
    await largestOfACountry(tx);
    await rangeOfSizes(tx);
    await namesThatBegin(tx);
    await rankInTheWorld(tx);
    await capitals(tx);
    await randomGets(tx);
  });
}

async function largestOfACountry(tx: Transaction): Promise<void> {
  const { result, note } = await ask(() =>
    tx
      .store(cities)
      .range({ prefix: { country: 'JP' }, limit: 5 })
      .toArray(),
  );
  const lines = result.map(({ key }) => `${key.name.padEnd(12)} ${count(key.population).padStart(12)}`);
  answer('The five largest cities of Japan', lines, `prefix of the key, ${note}`);
}

async function rangeOfSizes(tx: Transaction): Promise<void> {
  const range = { gte: { country: 'DE', population: 210_000 }, lte: { country: 'DE', population: 200_000 } };
  const { result, note } = await ask(async () => ({
    found: await tx
      .store(cities)
      .range({ ...range, keysOnly: true })
      .toArray(),
    all: await tx.store(cities).count({ prefix: { country: 'DE' } }),
  }));
  const line = result.found.map(({ name }) => name).join(', ');
  answer(`German cities of 200,000 to 210,000, of ${count(result.all)}`, [line], `range and count, ${note}`);
}

async function namesThatBegin(tx: Transaction): Promise<void> {
  const prefix = { name: { startsWith: 'San ' } };
  const { result, note } = await ask(async () => ({
    total: await tx.store(names).count({ prefix }),
    first: await tx.store(names).range({ prefix, limit: 3 }).toArray(),
    last: await tx.store(names).last({ prefix }),
  }));
  const shown = [...result.first.map(({ key }) => key.name), '...', result.last?.key.name].join(', ');
  answer(`Names that begin with "San ": ${count(result.total)}`, [shown], `count without walking, ${note}`);
}

async function rankInTheWorld(tx: Transaction): Promise<void> {
  const { result, note } = await ask(async () => {
    const lisbon = await tx.store(cities).first({ prefix: { country: 'PT' } });
    const { population, id } = lisbon?.key ?? { population: 0, id: 0 };
    const place = await tx.store(sizes).rank({ population, id });
    const middle = await tx.store(sizes).at(Math.floor((await tx.store(sizes).count()) / 2));
    return { name: lisbon?.key.name, place, middle };
  });
  const middle = `the one in the middle is ${result.middle?.value.name} (${result.middle?.value.country}), ${count(result.middle?.key.population ?? 0)}`;
  answer(`${result.name} is number ${count(result.place + 1)} in the world`, [middle], `rank and position, ${note}`);
}

async function capitals(tx: Transaction): Promise<void> {
  const { result, note } = await ask(() => {
    const capital = (key: { feature: string }) => key.feature === 'PPLC';
    return tx.store(cities).range({ where: capital, keysOnly: true }).toArraySync();
  });
  const small = [...result].sort((a, b) => a.population - b.population).filter(({ population }) => population > 0);
  const all = await tx.store(cities).count();
  const line = `the smallest: ${small
    .slice(0, 3)
    .map(({ name, country }) => `${name} (${country})`)
    .join(', ')}`;
  answer(`${result.length} capitals among ${count(all)} keys`, [line], `no value read, ${note}`);
}

async function randomGets(tx: Transaction): Promise<void> {
  const store = tx.store(names);
  const keys = (await store.range({ keysOnly: true }).toArray()).filter((_, i) => i % 7 === 0).slice(0, RANDOM_GETS);
  keys.sort((a, b) => ((a.id * 2654435761) % 4294967296) - ((b.id * 2654435761) % 4294967296));
  const began = performance.now();
  let people = 0;
  for (const key of keys) people += store.getSync(key)?.population ?? 0;
  const took = performance.now() - began;
  const each = `${((took / keys.length) * 1000).toFixed(1)} µs each`;
  answer(`${count(keys.length)} random cities have ${count(people)} people`, [], `point reads, ${each}`);
}
