/**
 * LevelDB through classic-level, values as JSON, every write with `sync: true`. No transactions: it takes no part in
 * transfers. Many clients are grouped into one synced batch a turn.
 */
import { ClassicLevel } from 'classic-level';
import { groupCommit } from '../group.mjs';

export async function open(folder, { cacheMb }) {
  const db = new ClassicLevel(folder, { keyEncoding: 'utf8', valueEncoding: 'json', cacheSize: cacheMb << 20 });
  await db.open();
  const synced = { sync: true };
  const grouped = groupCommit((puts) => db.batch(puts, synced));

  return {
    writeBatch: (keys, values, order, from, to) => {
      const puts = new Array(to - from);
      for (let i = from; i < to; i++) puts[i - from] = { type: 'put', key: keys[order[i]], value: values(order[i]) };
      return db.batch(puts, synced);
    },
    settle: () => {},
    get: (key) => db.getSync(key),
    gets: (keys, picks, from, to) => {
      let sum = 0;
      for (let i = from; i < to; i++) sum += db.getSync(keys[picks[i]]).id;
      return sum;
    },
    scan: async () => {
      let count = 0;
      let sum = 0;
      const iterator = db.values();
      for (let some = await iterator.nextv(1000); some.length > 0; some = await iterator.nextv(1000)) {
        count += some.length;
        for (const value of some) sum += value.id;
      }
      await iterator.close();
      return { count, sum };
    },
    scanKeys: async () => {
      let count = 0;
      const iterator = db.keys();
      for (let some = await iterator.nextv(1000); some.length > 0; some = await iterator.nextv(1000))
        count += some.length;
      await iterator.close();
      return count;
    },
    ranges: async (starts, length) => {
      let count = 0;
      let sum = 0;
      for (const start of starts) {
        for (const value of await db.values({ gte: start, limit: length }).all()) {
          count++;
          sum += value.id;
        }
      }
      return { count, sum };
    },
    put: (key, value, clients) => (clients === 1 ? db.put(key, value, synced) : grouped({ type: 'put', key, value })),
    hold: () => {
      const snapshot = db.snapshot();
      return () => snapshot.close();
    },
    close: () => db.close(),
  };
}
