/** better-sqlite3; see `../sql.mjs` for the settings. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { sqlPeer } from '../sql.mjs';

export function open(folder, { cacheMb, grouped = true }) {
  const path = join(folder, 'data.sqlite');
  const db = new Database(path);
  const binding = {
    exec: (sql) => db.exec(sql),
    run: (sql) => {
      const statement = db.prepare(sql);
      return (...values) => statement.run(...values);
    },
    first: (sql) => {
      const statement = db.prepare(sql).pluck();
      return (key) => statement.get(key);
    },
    list: (sql) => {
      const statement = db.prepare(sql).pluck();
      return (start, length) => statement.all(start, length);
    },
    each: (sql, column) => {
      const statement = db.prepare(sql).raw();
      return (visit) => {
        for (const row of statement.iterate()) visit(row[column]);
      };
    },
    close: () => db.close(),
  };
  const hold = () => holdSnapshot(new Database(path));
  return sqlPeer(binding, { cacheMb, grouped, hold });
}

/** A reader on a connection of its own; a snapshot begins with the first read. Answers how to let it go. */
function holdSnapshot(other) {
  other.exec('BEGIN');
  other.prepare('SELECT key FROM record LIMIT 1').get();
  return () => other.close();
}
