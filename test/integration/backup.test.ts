/** Backups of a database that two writers keep busy, in a process that is killed in the middle of them. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { BackupIncompleteError, DatabaseNotFoundError, type Transaction } from '../../src/index.ts';
import { counts, rows, textOf, WRITERS } from '../helpers/backup-worker.ts';
import { temporaryFolder } from '../helpers/folders.ts';
import { startProcess } from '../helpers/processes.ts';
import { amount, chooseSeed } from '../helpers/scale.ts';
import { openDatabase } from '../helpers/sop.ts';

const seed = chooseSeed();
const rounds = amount(5, 60, 'SOP_KILLS');
const WORKER = join(import.meta.dirname, '..', 'helpers', 'backup-worker.ts');

/** Everything of every transaction up to some number, and nothing else. */
async function expectPrefix(tx: Transaction, least: readonly number[]): Promise<void> {
  let all = 0;
  for (let writer = 0; writer < WRITERS; writer++) {
    const made = (await tx.store(counts).get(writer)) ?? 0;
    expect(made).toBeGreaterThanOrEqual(least[writer] ?? 0);
    const found = await tx
      .store(rows)
      .range({ gte: [writer, 0], lt: [writer, made + 1000] })
      .toArray();
    const expected = Array.from({ length: made }, (_, n) => (n < made - 50 ? 'over' : textOf(writer, n)));
    expect(found.map(({ value }) => value)).toEqual(expected);
    all += made;
  }
  expect((await tx.store(counts).get('all')) ?? 0).toBe(all);
}

describe(`backups beside two writers (SOP_SEED=${seed})`, () => {
  it(`are whole, or refused by name, however often their process is killed: ${rounds} times`, {
    timeout: 60_000 + rounds * 5_000,
  }, async () => {
    using folder = temporaryFolder('backup');
    const random = new SeededRandom(seed);
    const orders = { folder: join(folder.path, 'db'), target: join(folder.path, 'backup') };
    let least: readonly number[] | undefined;
    for (let round = 0; round < rounds; round++) {
      const worker = startProcess(WORKER, ['--work']);
      await worker.saying((line) => line === 'ready');
      worker.tell(JSON.stringify(orders));
      let copies = 1 + random.below(round === 0 ? 1 : 25);
      await worker.saying((line) => line === 'copying' && --copies === 0);
      worker.kill('SIGKILL');
      const { lines } = await worker.ended;
      expect(lines.filter((line) => line.startsWith('trouble'))).toEqual([]);
      const done = lines.filter((line) => line.startsWith('done ')).at(-1);
      if (done !== undefined) least = JSON.parse(done.slice(5)) as number[];
      try {
        await using copy = await openDatabase(orders.target, { readOnly: true });
        expect((await copy.verify()).problems).toEqual([]);
        await copy.read((tx) => expectPrefix(tx, least ?? []));
      } catch (error) {
        const isNone = error instanceof BackupIncompleteError || error instanceof DatabaseNotFoundError;
        if (!isNone || least !== undefined) throw error;
      }
    }
    await using db = await openDatabase(orders.folder);
    const { number } = await db.backup(orders.target);
    await using copy = await openDatabase(orders.target);
    expect(copy.stats().number).toBe(number);
    await copy.read((tx) => expectPrefix(tx, least ?? []));
  });
});
