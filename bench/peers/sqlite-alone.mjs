/** better-sqlite3 as it is: every transaction of every client is a commit of its own. */
import { open as openSqlite } from './sqlite.mjs';

export function open(folder, options) {
  return openSqlite(folder, { ...options, grouped: false });
}
