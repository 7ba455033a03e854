/**
 * better-sqlite3: WAL, synchronous = FULL (every commit syncs the WAL), values as JSON text, WITHOUT ROWID. Its calls are
 * synchronous: a lone client commits on its own, many clients are grouped into one transaction a turn.
 */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { groupCommit } from '../group.mjs';

export function open(folder) {
  const db = new Database(join(folder, 'data.sqlite'));
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.pragma('cache_size = -262144');
  db.exec('CREATE TABLE IF NOT EXISTS record (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID');
  const replace = db.prepare('INSERT OR REPLACE INTO record (key, value) VALUES (?, ?)');
  const one = db.prepare('SELECT value FROM record WHERE key = ?').pluck();
  const all = db.prepare('SELECT key, value FROM record ORDER BY key').raw();
  const keysOnly = db.prepare('SELECT key FROM record ORDER BY key').pluck();
  const range = db.prepare('SELECT value FROM record WHERE key >= ? ORDER BY key LIMIT ?').pluck();
  const begin = db.prepare('BEGIN IMMEDIATE');
  const commit = db.prepare('COMMIT');

  const put = (key, value) => replace.run(key, JSON.stringify(value));
  const transfer = (from, to, amount) => {
    const a = JSON.parse(one.get(from));
    const b = JSON.parse(one.get(to));
    put(from, { ...a, score: a.score - amount });
    put(to, { ...b, score: b.score + amount });
  };
  const grouped = groupCommit((works) => {
    begin.run();
    for (const work of works) work();
    commit.run();
  });

  return {
    writeBatch: (keys, values, order, from, to) => {
      begin.run();
      for (let i = from; i < to; i++) put(keys[order[i]], values(order[i]));
      commit.run();
    },
    settle: () => db.pragma('wal_checkpoint(TRUNCATE)'),
    gets: (keys, picks, from, to) => {
      let sum = 0;
      for (let i = from; i < to; i++) sum += JSON.parse(one.get(keys[picks[i]])).id;
      return sum;
    },
    scan: () => {
      let count = 0;
      let sum = 0;
      for (const row of all.iterate()) {
        count++;
        sum += JSON.parse(row[1]).id;
      }
      return { count, sum };
    },
    scanKeys: () => {
      let count = 0;
      for (const _key of keysOnly.iterate()) count++;
      return count;
    },
    ranges: (starts, length) => {
      let count = 0;
      let sum = 0;
      for (const start of starts) {
        for (const value of range.all(start, length)) {
          count++;
          sum += JSON.parse(value).id;
        }
      }
      return { count, sum };
    },
    put: (key, value, clients) => (clients === 1 ? put(key, value) : grouped(() => put(key, value))),
    transfer: (from, to, amount, clients) => {
      if (clients > 1) return grouped(() => transfer(from, to, amount));
      begin.run();
      transfer(from, to, amount);
      commit.run();
    },
    close: () => db.close(),
  };
}
