/** A store that is redefined to and fro beside writers and kills always holds what was written to it. */
import { afterEach, describe, expect, it } from 'vitest';
import { StoreIndexes } from '../../src/store/store-indexes.ts';
import { Transaction } from '../../src/transaction/transaction.ts';
import { Undo } from './planted-bugs.ts';
import { type RedefineCounts, runRedefine } from './redefine-run.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const scale = Number(process.env.SOP_RUNS ?? 1);
const undo = new Undo();
afterEach(() => undo.all());

const none = (): RedefineCounts => ({ writes: 0, redefined: 0, aborted: 0, kills: 0, compared: 0 });

describe(`redefinition in a simulated world (SOP_SEED=${seed})`, { timeout: 300_000 }, () => {
  it('loses nothing and doubles nothing', async () => {
    const counts = none();
    for (let run = 0; run < Math.ceil(8 * scale); run++) await runRedefine(seed + run, 60, counts);
    console.log(JSON.stringify(counts));
    expect(counts.redefined).toBeGreaterThan(5);
    expect(counts.compared).toBeGreaterThan(40);
  });

  async function firstRed(): Promise<string | undefined> {
    for (let run = 1; run <= 30; run++) {
      try {
        await runRedefine(run, 60, none());
      } catch (error) {
        return String(error);
      }
    }
    return undefined;
  }

  it('a planted mistake is caught: changes leave no trace', async () => {
    undo.method(StoreIndexes.prototype, 'noteChange', () => () => {});
    expect(await firstRed()).toBeDefined();
  });

  it('a planted mistake is caught: the switch does not note what it looked for', async () => {
    undo.method(Transaction.prototype, 'noteRange', () => () => {});
    expect(await firstRed()).toBeDefined();
  });
});
