/**
 * SOP as it is shipped (`dist/`), with the cache the others have. Point reads are the synchronous ones inside a read
 * transaction, scans go by pages; a settled database is one whose last checkpoint is through.
 */
import { Database, defineStore } from '../../dist/index.mjs';

const records = defineStore('records', {});
const CACHE_BYTES = 256 << 20;
const PAGE = 1000;

export async function open(folder) {
  const db = await Database.open(folder, { cacheBytes: CACHE_BYTES });

  /** Runs `work` with the store at a snapshot; a synchronous `work` stays one. */
  async function reading(work) {
    const tx = await db.begin('read');
    try {
      return work(tx.store(records));
    } finally {
      await tx.rollback();
    }
  }

  function sumOf(range, answer) {
    for (const page of range.syncPages(PAGE)) {
      answer.count += page.length;
      for (let i = 0; i < page.length; i++) answer.sum += page[i].value.id;
    }
  }

  return {
    writeBatch: (keys, values, order, from, to) =>
      db.write(async (tx) => {
        const store = tx.store(records);
        for (let i = from; i < to; i++) store.put(keys[order[i]], values(order[i]));
      }),
    settle: () => db.checkpoint(),
    gets: (keys, picks, from, to) =>
      reading((store) => {
        let sum = 0;
        for (let i = from; i < to; i++) sum += store.getSync(keys[picks[i]]).id;
        return sum;
      }),
    scan: () =>
      reading((store) => {
        const answer = { count: 0, sum: 0 };
        sumOf(store.range({}), answer);
        return answer;
      }),
    scanKeys: () =>
      reading((store) => {
        let count = 0;
        for (const page of store.range({ keysOnly: true }).syncPages(PAGE)) count += page.length;
        return count;
      }),
    ranges: (starts, length) =>
      reading((store) => {
        const answer = { count: 0, sum: 0 };
        for (const gte of starts) sumOf(store.range({ gte, limit: length }), answer);
        return answer;
      }),
    put: (key, value) =>
      db.write(async (tx) => {
        tx.store(records).put(key, value);
      }),
    transfer: (from, to, amount) =>
      db.write(async (tx) => {
        const store = tx.store(records);
        const a = store.getSync(from);
        const b = store.getSync(to);
        store.put(from, { ...a, score: a.score - amount });
        store.put(to, { ...b, score: b.score + amount });
      }),
    close: () => db.close(),
  };
}
