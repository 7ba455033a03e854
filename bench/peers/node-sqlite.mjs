/** The SQLite that is built into Node; see `../sql.mjs` for the settings. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { sqlPeer } from '../sql.mjs';

export function open(folder, { cacheMb }) {
  const path = join(folder, 'data.sqlite');
  const db = new DatabaseSync(path);
  const binding = {
    exec: (sql) => db.exec(sql),
    run: (sql) => {
      const statement = db.prepare(sql);
      return (...values) => statement.run(...values);
    },
    first: (sql) => {
      const statement = db.prepare(sql);
      return (key) => statement.get(key)?.value;
    },
    list: (sql) => {
      const statement = db.prepare(sql);
      return (start, length) => statement.all(start, length).map((row) => row.value);
    },
    each: (sql, column) => {
      const statement = db.prepare(sql);
      return column === 0 ? (visit) => eachKey(statement, visit) : (visit) => eachValue(statement, visit);
    },
    close: () => db.close(),
  };
  const hold = () => holdSnapshot(new DatabaseSync(path));
  return sqlPeer(binding, { cacheMb, grouped: true, hold });
}

function eachKey(statement, visit) {
  for (const row of statement.iterate()) visit(row.key);
}

function eachValue(statement, visit) {
  for (const row of statement.iterate()) visit(row.value);
}

function holdSnapshot(other) {
  other.exec('BEGIN');
  other.prepare('SELECT key FROM record LIMIT 1').get();
  return () => other.close();
}
