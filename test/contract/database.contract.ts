/**
 * What a database promises, run on every way to have one: every call, key type, value kind and error of the store floor.
 * `readOnlyContract` is the part for databases that cannot be written.
 */
import { describe } from 'vitest';
import { bagContract } from './database/bag.contract.ts';
import { callerCodeContract } from './database/caller-code.contract.ts';
import { catalogContract } from './database/catalog.contract.ts';
import { countersContract } from './database/counters.contract.ts';
import { indexesContract } from './database/indexes.contract.ts';
import { cursorContract } from './database/cursor.contract.ts';
import { lifecycleContract } from './database/lifecycle.contract.ts';
import { orderContract } from './database/order.contract.ts';
import { pointContract } from './database/point.contract.ts';
import { redefineContract } from './database/redefine.contract.ts';
import { refusalsContract } from './database/refusals.contract.ts';
import type { OpenSubject } from './database/subject.ts';
import { savepointsContract } from './database/savepoints.contract.ts';
import { surfaceContract } from './database/surface.contract.ts';
import { transactionsContract } from './database/transactions.contract.ts';
import { twoPhaseContract } from './database/two-phase.contract.ts';
import { valuesContract } from './database/values.contract.ts';

export function databaseContract(name: string, open: OpenSubject): void {
  describe(name, () => {
    pointContract(open);
    orderContract(open);
    cursorContract(open);
    bagContract(open);
    valuesContract(open);
    callerCodeContract(open);
    refusalsContract(open);
    transactionsContract(open);
    countersContract(open);
    savepointsContract(open);
    catalogContract(open);
    indexesContract(open);
    redefineContract(open);
    lifecycleContract(open);
    surfaceContract(open);
    twoPhaseContract(open);
  });
}
