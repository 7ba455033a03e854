/**
 * A program with two writers that backs its database up again and again until it is killed. Hears one line, the orders
 * (JSON); says
 *
 *   ready | copying | done <JSON of what each writer had been answered when the backup began>
 */
import { defineStore } from '../../src/index.ts';
import { type Database, openDatabase } from './sop.ts';
import { hear, say } from './speaking.ts';

export const WRITERS = 2;
/** [writer, n] of every transaction, with a value that says so. */
export const rows = defineStore<readonly [number, number], string>('rows', { values: 'separate' });
/** Transactions of each writer, and of all under 'all'. */
export const counts = defineStore<string | number, number>('counts');

export const textOf = (writer: number, n: number): string => `${writer}/${n} `.repeat(1 + ((n * 37) % 400));

async function writeOn(db: Database, writer: number, answered: number[]): Promise<void> {
  for (;;) {
    await db.write(async (tx) => {
      const n = (await tx.store(counts).get(writer)) ?? 0;
      tx.store(rows).put([writer, n], textOf(writer, n));
      if (n >= 50) tx.store(rows).put([writer, n - 50], 'over');
      tx.store(counts).put(writer, n + 1);
      tx.store(counts).put('all', ((await tx.store(counts).get('all')) ?? 0) + 1);
    });
    answered[writer] = (answered[writer] as number) + 1;
  }
}

async function backUpOn(db: Database, folder: string, answered: number[]): Promise<void> {
  for (;;) {
    const before = [...answered];
    await db.backup(folder, { onProgress: () => say('copying') });
    say(`done ${JSON.stringify(before)}`);
    void db.compact().catch(fail);
  }
}

function fail(error: unknown): void {
  say(`trouble ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
}

async function work({ folder, target }: { readonly folder: string; readonly target: string }): Promise<void> {
  const db = await openDatabase(folder, { tableBytes: 256 * 1024, onBackgroundError: fail });
  const answered: number[] = [];
  for (let writer = 0; writer < WRITERS; writer++) {
    answered.push((await db.read((tx) => tx.store(counts).get(writer))) ?? 0);
    void writeOn(db, writer, answered).catch(fail);
  }
  await backUpOn(db, target, answered);
}

if (process.argv.includes('--work')) {
  hear((line) => void work(JSON.parse(line)).catch(fail));
  say('ready');
}
