/** The library as the tests of whole processes open it: the one place that says where it comes from. */
import { Database } from '../../src/store/database.ts';
import type { OpenOptions } from '../../src/store/open-options.ts';

export { defineStore } from '../../src/store/define-store.ts';
export { Database };

export function openDatabase(folder: string, options: OpenOptions = {}): Promise<Database> {
  return Database.open(folder, options);
}
