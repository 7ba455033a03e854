/**
 * SQLite as both of its bindings offer it: WAL, synchronous = FULL (every commit syncs the WAL), values as JSON text, WITHOUT ROWID.
 * Calls are synchronous. `grouped`: what many clients ask for in one turn of the event loop becomes one transaction, work of the
 * application that SQLite does not do by itself; without it each transaction is a commit and a sync of its own.
 */
import { groupCommit } from './group.mjs';

export const PRAGMAS = ['journal_mode = WAL', 'synchronous = FULL'];
const SCHEMA = 'CREATE TABLE IF NOT EXISTS record (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID';

/** `binding`: prepares statements that answer one column (`first`, `list`, `each`) or run, over one connection. */
export function sqlPeer(binding, { cacheMb, grouped, hold }) {
  for (const pragma of PRAGMAS) binding.exec(`PRAGMA ${pragma}`);
  binding.exec(`PRAGMA cache_size = -${cacheMb * 1024}`);
  binding.exec(SCHEMA);
  const replace = binding.run('INSERT OR REPLACE INTO record (key, value) VALUES (?, ?)');
  const one = binding.first('SELECT value FROM record WHERE key = ?');
  const allRows = binding.each('SELECT key, value FROM record ORDER BY key', 1);
  const keysOnly = binding.each('SELECT key FROM record ORDER BY key', 0);
  const range = binding.list('SELECT value FROM record WHERE key >= ? ORDER BY key LIMIT ?');
  const begin = binding.run('BEGIN IMMEDIATE');
  const commit = binding.run('COMMIT');
  const rollback = binding.run('ROLLBACK');

  const put = (key, value) => replace(key, JSON.stringify(value));
  const get = (key) => JSON.parse(one(key));

  function transaction(works) {
    begin();
    try {
      for (const work of works) work();
      commit();
    } catch (error) {
      rollback();
      throw error;
    }
  }

  const inGroup = grouped ? groupCommit(transaction) : undefined;
  const write = (work, clients) => (clients > 1 && inGroup !== undefined ? inGroup(work) : transaction([work]));

  function transfer(from, to, amount) {
    const a = get(from);
    const b = get(to);
    put(from, { ...a, score: a.score - amount });
    put(to, { ...b, score: b.score + amount });
  }

  function ranges(starts, length) {
    let count = 0;
    let sum = 0;
    for (const start of starts) {
      for (const value of range(start, length)) {
        count++;
        sum += JSON.parse(value).id;
      }
    }
    return { count, sum };
  }

  return {
    writeBatch: (keys, values, order, from, to) =>
      transaction([
        () => {
          for (let i = from; i < to; i++) put(keys[order[i]], values(order[i]));
        },
      ]),
    settle: () => binding.exec('PRAGMA wal_checkpoint(TRUNCATE)'),
    upkeep: () => binding.exec('PRAGMA wal_checkpoint(PASSIVE)'),
    get,
    gets: (keys, picks, from, to) => {
      let sum = 0;
      for (let i = from; i < to; i++) sum += get(keys[picks[i]]).id;
      return sum;
    },
    scan: () => {
      const answer = { count: 0, sum: 0 };
      allRows((value) => {
        answer.count++;
        answer.sum += JSON.parse(value).id;
      });
      return answer;
    },
    scanKeys: () => {
      let count = 0;
      keysOnly(() => {
        count++;
      });
      return count;
    },
    ranges,
    // A lone statement is a transaction by itself: BEGIN and COMMIT around it would only cost.
    put: (key, value, clients) =>
      clients > 1 && inGroup !== undefined ? inGroup(() => put(key, value)) : put(key, value),
    modify: (key, change, clients) => write(() => put(key, change(get(key))), clients),
    transfer: (from, to, amount, clients) => write(() => transfer(from, to, amount), clients),
    hold,
    close: () => binding.close(),
  };
}
