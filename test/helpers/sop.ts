/** The library as the tests of whole processes open it: the one place that says where it comes from. */
import { nodeEnv } from '../../src/env/node-env.ts';
import { Database } from '../../src/store/database.ts';
import type { OpenOptions } from '../../src/store/open-options.ts';
import { toEngineOptions } from '../../src/store/open-options.ts';
import { openEngine } from '../../src/transaction/engine.ts';

export { defineStore } from '../../src/store/define-store.ts';
export type { Database, OpenOptions };

export async function openDatabase(folder: string, options: OpenOptions = {}): Promise<Database> {
  const env = nodeEnv();
  return new Database(await openEngine(env, toEngineOptions(folder, options)), env);
}
