/**
 * lmdb-js: msgpack with shared structures, its quickest form for objects. `overlappingSync: false`, because a promise
 * then answers after the data was synced and the meta page written through (O_DSYNC); traced with strace. `batch`
 * encodes on this thread and writes on its own: quicker here than `transaction` and `transactionSync`. It has no cache of pages:
 * it reads from a map of the file, so its cache is the system's, as large as memory is free.
 */
import { open as openLmdb } from 'lmdb';

const structures = Symbol.for('structures');

export function open(folder, { cache = false }) {
  const db = openLmdb({
    path: folder,
    sharedStructuresKey: structures,
    compression: false,
    overlappingSync: false,
    cache,
  });

  return {
    writeBatch: (keys, values, order, from, to) =>
      db.batch(() => {
        for (let i = from; i < to; i++) void db.put(keys[order[i]], values(order[i]));
      }),
    settle: () => {},
    get: (key) => db.get(key),
    gets: (keys, picks, from, to) => {
      let sum = 0;
      for (let i = from; i < to; i++) sum += db.get(keys[picks[i]]).id;
      return sum;
    },
    scan: () => {
      let count = 0;
      let sum = 0;
      for (const { key, value } of db.getRange({})) {
        if (typeof key === 'symbol') continue;
        count++;
        sum += value.id;
      }
      return { count, sum };
    },
    scanKeys: () => {
      let count = 0;
      for (const key of db.getKeys({})) if (typeof key !== 'symbol') count++;
      return count;
    },
    ranges: (starts, length) => {
      let count = 0;
      let sum = 0;
      for (const start of starts) {
        for (const { value } of db.getRange({ start, limit: length })) {
          count++;
          sum += value.id;
        }
      }
      return { count, sum };
    },
    put: (key, value) => db.put(key, value),
    modify: (key, change) =>
      db.transaction(() => {
        void db.put(key, change(db.get(key)));
      }),
    transfer: (from, to, amount) =>
      db.transaction(() => {
        const a = db.get(from);
        const b = db.get(to);
        void db.put(from, { ...a, score: a.score - amount });
        void db.put(to, { ...b, score: b.score + amount });
      }),
    hold: () => {
      const snapshot = db.useReadTransaction();
      db.get('', { transaction: snapshot });
      return () => snapshot.done();
    },
    close: () => db.close(),
  };
}
