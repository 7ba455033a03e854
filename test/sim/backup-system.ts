/**
 * Backups in simulated lives, made on the same failing disk. What a crash or a refusal leaves in the folder is the last
 * backup that was acknowledged, or a later one, whole; before the first it is refused by name.
 */
import { BackupIncompleteError, DatabaseNotFoundError } from '../../src/base/errors.ts';
import type { Env } from '../../src/env/env.ts';
import type { EngineApi, EngineOptions } from '../../src/transaction/engine-api.ts';
import { openEngine } from '../../src/transaction/engine.ts';
import { expectSound } from '../helpers/engine-model.ts';
import type { Oracle, OracleState } from './crash-oracle.ts';
import type { IssuedCommit } from './engine-system.ts';
import { expectPins, expectPrefix, NO_COMMIT } from './pin-system.ts';

const BACKUP_FOLDER = '/disk/backup';

export async function backUpOnce(engine: EngineApi, oracle: Oracle<IssuedCommit>): Promise<void> {
  const ticket = oracle.started({ commit: NO_COMMIT, transactionId: '', isBackup: true });
  const { number } = await engine.backup({ folder: BACKUP_FOLDER });
  oracle.acknowledged(ticket, number);
}

export async function expectBackup(env: Env, options: EngineOptions, state: OracleState<IssuedCommit>): Promise<void> {
  const backups = state.commits.filter(({ commit }) => commit.isBackup);
  if (backups.length === 0) return;
  const numbers = backups.flatMap(({ outcome, place }) => (outcome === 'acknowledged' ? [place as number] : []));
  let copy: EngineApi;
  try {
    copy = await openEngine(env, { ...options, folder: BACKUP_FOLDER, readOnly: true });
  } catch (error) {
    const isNone = error instanceof BackupIncompleteError || error instanceof DatabaseNotFoundError;
    if (isNone && numbers.length === 0) return;
    throw error;
  }
  try {
    const { number } = copy.stats();
    const least = Math.max(0, ...numbers);
    const isUnderWay = backups.at(-1)?.outcome !== 'acknowledged';
    if (number < least || (number > least && !isUnderWay))
      throw new Error(`the backup is as of ${number}, acknowledged was ${least}`);
    const transaction = copy.begin('read');
    expectPrefix(transaction, number, state);
    transaction.rollback();
    expectPins(copy, state, true);
    await expectSound(copy);
  } finally {
    await copy.close();
  }
}
