/**
 * The engine as the crash harness and the fault sweep see it: a small life (commits alone and many at once, spills, values in
 * segments, checkpoints, compaction, closing and opening again) and what must be true of the folder it leaves.
 *
 * The check runs for every state of a crash, some hundred times a second: nothing in it goes through an assertion library
 * unless it has something to say.
 */
import { ConflictError, SnapshotTooOldError } from '../../src/base/errors.ts';
import type { Env } from '../../src/env/env.ts';
import { hasNativeModule, nodeEnv } from '../../src/env/node-env.ts';
import type { EngineApi, EngineOptions, EngineTransaction } from '../../src/transaction/engine-api.ts';
import { openEngine } from '../../src/transaction/engine.ts';
import {
  applyTo,
  type Chance,
  drawCommit,
  drawDetour,
  expectSound,
  mayRead,
  type ModelCommit,
  readVersionedMarks,
} from '../helpers/engine-model.ts';
import { expectContent, ModelContent } from '../helpers/model-content.ts';
import { backUpOnce, expectBackup } from './backup-system.ts';
import { Claiming, type Manner, SHORT_WHILE_MS } from './claiming.ts';
import { type CrashOptions, type CrashReport, runCrashHarness, type SystemUnderTest } from './crash-harness.ts';
import type { Oracle, OracleState } from './crash-oracle.ts';
import { expectPins, LivingPins } from './pin-system.ts';
import { decideFound, expectReadsHold, expectWaiting, isHeldBack, type SeenValue, TwoPhase } from './two-phase.ts';

// Half of a simulated engine's time would go into checksums otherwise.
if (hasNativeModule()) nodeEnv();

/** Everything as small as it goes: 32 frames, tables of 64 KiB, spills from 16 KiB on. */
export const SMALL: EngineOptions = {
  folder: '/disk/db',
  tableBytes: 64 * 1024,
  cacheBytes: 256 * 1024,
  logReserveBytes: 16 * 1024,
};

/** A commit and the id under which its outcome can be asked for. */
export interface IssuedCommit {
  readonly commit: ModelCommit;
  readonly transactionId: string;
  /** Instead of a commit: a pin made, a pin given up, a backup. */
  readonly pin?: string;
  readonly unpin?: string;
  readonly isBackup?: boolean;
  /** Prepared first, decided later. */
  readonly isTwoPhase?: boolean;
  /** What it read: still so when its changes come. */
  readonly reads?: readonly SeenValue[] | undefined;
}

export interface Life {
  readonly steps: number;
  readonly keys: number;
  /** The longest value, bytes. */
  readonly longest: number;
  /** A third of the steps are backups. */
  readonly favoursBackups?: boolean;
  /** Half of the steps are claims. */
  readonly favoursClaims?: boolean;
}

export function engineSystem(life: Life, options: EngineOptions = SMALL): SystemUnderTest<IssuedCommit> {
  return {
    async workload(env, oracle, { random }) {
      const { steps, keys, longest } = life;
      let engine = await openEngine(env, options);
      let nextId = 1;
      const pins = new LivingPins();
      const twoPhase = new TwoPhase(oracle, random, life);
      const write = (): Promise<number> => commitOne(engine, drawCommit(nextId++, random, keys, longest), oracle);
      const reopen = async (): Promise<void> => {
        await engine.close();
        engine = await openEngine(env, options);
      };
      const claiming = new Claiming({
        env,
        random,
        life,
        isQuiet: true,
        engine: () => engine,
        nextId: () => nextId++,
        write: async (commit, manner) => (await commitOne(engine, commit, oracle, manner)) > 0,
        reopen,
      });
      for (let step = 0; step < steps; step++) {
        const isBackup = life.favoursBackups === true && random.below(3) === 0;
        const choice = isBackup ? 33 + random.below(2) : random.below(44);
        if (choice >= 41 || (life.favoursClaims === true && random.below(2) === 0)) await claiming.step();
        else if (choice >= 35) await twoPhase.step(engine, () => nextId++);
        else if (choice === 33) await backUpOnce(engine, oracle);
        else if (choice === 34) await Promise.all([backUpOnce(engine, oracle), write(), engine.compact(), write()]);
        else if (choice >= 32) await Promise.all([engine.compact(), pins.step(engine, oracle, choice)]);
        else if (choice >= 30) await pins.step(engine, oracle, choice);
        else if (choice < 18) await write();
        else if (choice < 23) await Promise.all(Array.from({ length: 2 + random.below(6) }, write));
        else if (choice < 26) await engine.checkpoint();
        else if (choice < 27) await engine.compact();
        else if (choice < 28) await reopen();
        else await Promise.all([engine.checkpoint(), write(), write()]);
      }
      if (random.below(2) === 0) await engine.close();
    },

    async check(env, state, { oracle, random }) {
      await expectBackup(env, options, state);
      let engine = await openEngine(env, options);
      let content = await expectPromises(engine, state);
      await resolveOne(engine, state, content.found, oracle, random.below(1000));
      const further = random.below(8);
      if (random.below(2) === 0 && (await decideFound(engine, state, oracle, random.below(100)))) {
        content = expectContentOf(engine, oracle.stateAt(Number.POSITIVE_INFINITY));
      }
      const commit = drawLast(1_000_000 + state.commits.length, random);
      const sinceMs = env.clock.monotonicMs();
      // Of those who claimed before the crash nobody is waited for.
      if ((await commitOne(engine, commit, oracle)) > 0) {
        const tookMs = env.clock.monotonicMs() - sinceMs;
        if (tookMs >= SHORT_WHILE_MS) throw new Error(`the first commit of an opening took ${tookMs} ms`);
        content = { ...content, model: content.model.after(commit) };
      }
      if (further === 0) await engine.compact();
      else if (further === 1) await backUpOnce(engine, oracle);
      else if (further < 3) await engine.checkpoint();
      else if (further < 6) return;
      await engine.close();
      engine = await openEngine(env, options);
      expectContentAgain(engine, content.model);
      expectPins(engine, state);
      await expectSound(engine);
      await engine.close();
    },
  };
}

/** A change where others may have been, and something taken back. */
function drawLast(id: number, random: Chance): ModelCommit {
  const operations = random.below(2) === 0 ? [] : drawCommit(id, random, 40, 500).operations.slice(0, 2);
  return random.below(4) === 0 ? { id, operations, detours: [drawDetour(0, random, 40, 500)] } : { id, operations };
}

/**
 * Commits and tells the oracle of a start and a yes; what an error means is the caller's to tell. 0 where it was refused as is
 * in order.
 */
export async function commitOne(
  engine: EngineApi,
  commit: ModelCommit,
  oracle: Oracle<IssuedCommit>,
  { claim, read, think, mayLose }: Manner = {},
): Promise<number> {
  const transaction = engine.begin('write', { claim });
  const reads = read?.(transaction);
  const ticket = oracle.started({ commit, transactionId: transaction.id, reads });
  try {
    if (think !== undefined) await think();
    applyTo(transaction, commit);
    const number = await transaction.commit();
    oracle.acknowledged(ticket, number);
    return number;
  } catch (error) {
    // Of several that fill a table each the last ones wait over two checkpoints, more than is remembered for checks.
    const isRefused = error instanceof ConflictError || (error instanceof SnapshotTooOldError && claim === undefined);
    if (isRefused) oracle.refused(ticket);
    if (!isHeldBack(error) && !(isRefused && (mayLose === true || mayRead(commit)))) throw error;
    return 0;
  } finally {
    transaction.rollback();
  }
}

export interface FoundContent {
  /** Ids of the commits that are in. */
  readonly found: ReadonlySet<number>;
  readonly model: ModelContent;
}

/** What the folder holds is what was promised: see the invariants 1 to 5 of the testing page. */
export async function expectPromises(engine: EngineApi, state: OracleState<IssuedCommit>): Promise<FoundContent> {
  const content = expectContentOf(engine, state);
  expectPins(engine, state);
  await expectSound(engine);
  return content;
}

/** What the engine shows is what was promised. */
export function expectContentOf(engine: EngineApi, state: OracleState<IssuedCommit>, hasFailed = false): FoundContent {
  const transaction = engine.begin('read');
  try {
    return compareContent(transaction, state, new Set(engine.prepared().map((one) => one.id)), hasFailed);
  } finally {
    transaction.rollback();
  }
}

function compareContent(
  transaction: EngineTransaction,
  state: OracleState<IssuedCommit>,
  listed: ReadonlySet<string>,
  hasFailed: boolean,
): FoundContent {
  const marks = readVersionedMarks(transaction);
  const issued = new Map(state.commits.map((one) => [one.commit.commit.id, one]));
  const found = new Set(marks.map((mark) => mark.id));
  for (const one of state.commits) {
    const { commit, outcome } = one;
    if (commit.commit.id < 0) continue;
    const isIn = found.has(commit.commit.id);
    if (commit.isTwoPhase === true) {
      expectWaiting(one, isIn, listed, hasFailed);
      continue;
    }
    if (outcome === 'acknowledged' && !isIn) throw new Error(`commit ${commit.commit.id} was acknowledged and is gone`);
    if (outcome === 'refused' && isIn) throw new Error(`commit ${commit.commit.id} was refused and is there`);
  }
  let model = ModelContent.EMPTY;
  for (const { id, version } of marks) {
    const one = issued.get(id);
    if (one === undefined) throw new Error(`commit ${id} was never issued`);
    if (one.place !== undefined && one.place !== version) {
      throw new Error(`commit ${id} was acknowledged as number ${one.place} and is number ${version}`);
    }
    expectReadsHold(model, one.commit);
    model = model.after(one.commit.commit);
  }
  expectContent(transaction, model);
  return { found, model };
}

function expectContentAgain(engine: EngineApi, model: ModelContent): void {
  const transaction = engine.begin('read');
  expectContent(transaction, model);
  transaction.rollback();
}

/** Asks how one commit ended: the answer is what is seen, and one for ever. */
async function resolveOne(
  engine: EngineApi,
  state: OracleState<IssuedCommit>,
  found: ReadonlySet<number>,
  oracle: Oracle<IssuedCommit>,
  draw: number,
): Promise<void> {
  const one = state.commits[draw % Math.max(1, state.commits.length)];
  if (one === undefined || one.commit.commit.id < 0 || draw % 4 !== 0 || one.commit.isTwoPhase === true) return;
  const { commit, transactionId } = one.commit;
  const answer = await engine.resolve(transactionId).catch(tooOldToKnow);
  if (answer === undefined) return;
  const isIn = found.has(commit.id);
  if ((answer === 'committed') !== isIn)
    throw new Error(`commit ${commit.id} is ${isIn ? '' : 'not '}there, resolve says ${answer}`);
  if (answer === 'committed') oracle.acknowledged(one.ticket);
  else oracle.refused(one.ticket);
}

function tooOldToKnow(error: unknown): undefined {
  if (error instanceof SnapshotTooOldError) return undefined;
  throw error;
}

/** For the tests' own use: a folder opened by hand. */
export function openSmall(env: Env, more: Partial<EngineOptions> = {}): Promise<EngineApi> {
  return openEngine(env, { ...SMALL, ...more });
}

/** The two kinds of life that the crash lane leads: short and thorough, longer with values in segments. */
const SHORT_LIFE: Life = { steps: 25, keys: 40, longest: 3000 };
const LARGE_LIFE: Life = { steps: 40, keys: 300, longest: 90_000 };

/** One life of the crash lane; every fifth is a large one. Throws with the whole story where a promise is broken. */
export async function crashRound(seed: number, round: number, maxPoints = 60): Promise<CrashReport> {
  const isLarge = round % 5 === 4;
  const options: CrashOptions = isLarge
    ? { seed: seed * 1000 + round, maxPoints, randomDamages: 3, second: { chance: 0.03, maxPoints: 2 } }
    : { seed: seed * 1000 + round, maxPoints, randomDamages: 6, second: { chance: 0.1, maxPoints: 2 } };
  const favours = { favoursBackups: round % 5 === 2, favoursClaims: round % 5 === 3 };
  const system = engineSystem(isLarge ? LARGE_LIFE : { ...SHORT_LIFE, ...favours });
  const report = await runCrashHarness(system, { world: { traceLength: 2000 }, ...options });
  const stories = report.failures.map(({ story, error }) => `${story}\n${(error as Error).stack ?? String(error)}`);
  if (stories.length > 0) throw new Error(`SOP_SEED=${seed}, round ${round}\n${stories.join('\n')}`);
  return report;
}
