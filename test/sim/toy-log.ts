/**
 * An append-only log of numbered records, small enough to be right at a glance: the first system under test of the crash
 * harness. Each mistake it can be built with is one that a real engine could make; the harness has to catch them all.
 */

import { crc32c } from '../../src/base/checksum.ts';
import { readU32, writeU32 } from '../../src/base/bytes.ts';
import { CorruptionError } from '../../src/base/errors.ts';
import type { Env, File } from '../../src/env/env.ts';
import { acknowledgedOf, type Oracle, type OracleState, possibleOf } from './crash-oracle.ts';
import type { CheckContext, SystemUnderTest } from './crash-harness.ts';

export interface ToyMistakes {
  readonly skipSync?: boolean;
  readonly acknowledgeEarly?: boolean;
  readonly skipFolderSync?: boolean;
  /**
   * Takes a folder that is there for one that stays: its maker may have been killed before it synced the parent. (Found
   * by this harness, in a toy that was thought to be right.)
   */
  readonly trustFolder?: boolean;
  readonly skipChecksum?: boolean;
  /** Recovery shows what it reads without making it durable first. */
  readonly skipRecoverySync?: boolean;
  /** Recovery does not look at the record's place in the order. */
  readonly skipNumberCheck?: boolean;
  /** Tries a failed sync again, as if that meant anything. */
  readonly retrySync?: boolean;
}

const BLOCK = 4096;
const PATH = '/db/log';

export class ToyLog {
  readonly records: number[];
  readonly #file: File;
  readonly #mistakes: ToyMistakes;
  #failed = false;

  private constructor(file: File, records: number[], mistakes: ToyMistakes) {
    this.#file = file;
    this.records = records;
    this.#mistakes = mistakes;
  }

  static async open(env: Env, mistakes: ToyMistakes = {}): Promise<ToyLog> {
    env.files.createFolder('/db');
    if (mistakes.trustFolder !== true) await env.files.syncFolder('/');
    const there = env.files.status(PATH) !== undefined;
    const file = env.files.open(PATH, { mode: there ? 'write' : 'create' });
    try {
      if (mistakes.skipFolderSync !== true) await env.files.syncFolder('/db');
      const records = there ? await readRecords(file, mistakes) : [];
      if (there && mistakes.skipRecoverySync !== true) {
        // What was merely readable may have been the cache's: written again, it is dirty again, and a sync means it.
        await rewrite(file, records.length);
        file.truncateSync(records.length * BLOCK);
        await file.sync();
      }
      return new ToyLog(file, records, mistakes);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  async append(value: number, onAcknowledge: () => void): Promise<void> {
    if (this.#failed) throw new CorruptionError('the log failed');
    this.#failed = true;
    const number = this.records.length;
    if (this.#mistakes.acknowledgeEarly === true) onAcknowledge();
    await this.#file.write(encodeRecord(number, value), number * BLOCK);
    if (this.#mistakes.skipSync !== true) await this.#sync();
    this.records.push(value);
    this.#failed = false;
    onAcknowledge();
  }

  close(): void {
    this.#file.close();
  }

  async #sync(): Promise<void> {
    if (this.#mistakes.retrySync !== true) return this.#file.sync();
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#file.sync();
      } catch (error) {
        if (attempt === 3) throw error;
      }
    }
  }
}

function encodeRecord(number: number, value: number): Uint8Array {
  const block = new Uint8Array(BLOCK).fill(value & 0xff);
  writeU32(block, 4, number);
  writeU32(block, 8, value);
  writeU32(block, 0, crc32c(block, 4));
  return block;
}

async function readRecords(file: File, mistakes: ToyMistakes): Promise<number[]> {
  const records: number[] = [];
  const block = new Uint8Array(BLOCK);
  while ((await file.read(block, records.length * BLOCK)) === BLOCK) {
    if (mistakes.skipChecksum !== true && readU32(block, 0) !== crc32c(block, 4)) break;
    if (mistakes.skipNumberCheck !== true && readU32(block, 4) !== records.length) break;
    records.push(readU32(block, 8));
  }
  return records;
}

async function rewrite(file: File, count: number): Promise<void> {
  const block = new Uint8Array(BLOCK);
  for (let i = 0; i < count; i++) {
    await file.read(block, i * BLOCK);
    await file.write(block, i * BLOCK);
  }
}

/** The toy as a system under test: `count` records, one after another. */
export function toySystem(count: number, mistakes: ToyMistakes = {}): SystemUnderTest<number> {
  return {
    async workload(env, oracle, { random }) {
      const log = await ToyLog.open(env, mistakes);
      try {
        for (let i = 0; i < count; i++) await appendOne(log, oracle, random.next());
      } finally {
        log.close();
      }
    },
    async check(env, state, context) {
      const log = await ToyLog.open(env, mistakes);
      try {
        verify(log, state);
        await commitMore(log, state, context);
      } finally {
        log.close();
      }
    },
  };
}

async function appendOne(log: ToyLog, oracle: Oracle<number>, value: number): Promise<void> {
  const ticket = oracle.started(value);
  await log.append(value, () => oracle.acknowledged(ticket));
}

/** The records are a prefix of what was started, and no shorter than what was acknowledged. */
function verify(log: ToyLog, state: OracleState<number>): void {
  const possible = possibleOf(state);
  const must = acknowledgedOf(state);
  const found = log.records;
  if (found.length < must.length) throw new Error(`lost: ${found.length} records, ${must.length} acknowledged`);
  for (let i = 0; i < found.length; i++) {
    if (found[i] !== possible[i]) throw new Error(`record ${i} is ${found[i]}, not ${possible[i]}`);
  }
}

/** What the check saw is a promise now, what it did not see is refused for ever; and the log still takes records. */
async function commitMore(log: ToyLog, state: OracleState<number>, context: CheckContext<number>): Promise<void> {
  const { oracle } = context;
  let place = 0;
  for (const commit of state.commits) {
    if (commit.outcome === 'refused') continue;
    if (place < log.records.length) oracle.acknowledged(commit.ticket);
    else oracle.refused(commit.ticket);
    place++;
  }
  await appendOne(log, oracle, context.random.next());
}
