/**
 * SOP as a peer, with the cache the others have, whatever it was loaded from. Point reads are the synchronous ones inside a read
 * transaction, scans go by pages; a settled database is one whose last checkpoint is through.
 */
const PAGE = 1000;

/** `library`: what the package exports. */
export function opener({ Database, defineStore }) {
  return async (folder, { cacheMb, tableMb }) => {
    const db = await Database.open(folder, {
      cacheBytes: cacheMb << 20,
      ...(tableMb && { tableBytes: tableMb << 20 }),
    });
    return peerOver(db, defineStore('records', {}));
  };
}

function peerOver(db, records) {
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
    upkeep: async () => {
      await db.checkpoint();
      await db.compact();
    },
    get: (key) => reading((store) => store.getSync(key)),
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
    modify: (key, change) =>
      db.write(async (tx) => {
        const store = tx.store(records);
        store.put(key, change(store.getSync(key)));
      }),
    transfer: (from, to, amount) =>
      db.write(async (tx) => {
        const store = tx.store(records);
        const a = store.getSync(from);
        const b = store.getSync(to);
        store.put(from, { ...a, score: a.score - amount });
        store.put(to, { ...b, score: b.score + amount });
      }),
    hold: async () => {
      const tx = await db.begin('read');
      tx.store(records);
      return () => tx.rollback();
    },
    pin: async () => {
      await db.pin('bench');
      return () => db.unpin('bench');
    },
    /** How full the table of recent changes is, from 0 to 1. */
    tableShare: () => db.stats().memoryTable.usedBytes / db.stats().memoryTable.limitBytes,
    close: () => db.close(),
  };
}
