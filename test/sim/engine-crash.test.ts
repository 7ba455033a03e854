/**
 * Power cuts at every operation of an engine's life: opening, commits one by one and many at once, values in segments,
 * checkpoints, compaction, reclaim, closing, opening again. What was acknowledged is there, nothing half is, a verify finds
 * nothing, and the database goes on.
 */
import { describe, expect, it } from 'vitest';
import type { Env } from '../../src/env/env.ts';
import type { EngineApi } from '../../src/transaction/engine-api.ts';
import { openEngine } from '../../src/transaction/engine.ts';
import {
  applyTo,
  applyToModel,
  type Content,
  drawCommit,
  expectContent,
  expectSound,
  type ModelCommit,
  readMarks,
} from '../helpers/engine-model.ts';
import { type OracleState } from './crash-oracle.ts';
import { type CrashOptions, type RunContext, runCrashHarness, type SystemUnderTest } from './crash-harness.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const scale = Number(process.env.SOP_RUNS ?? 1);

const OPTIONS = { folder: '/disk/db', tableBytes: 64 * 1024, cacheBytes: 2 * 1024 * 1024 };

async function commitOne(engine: EngineApi, commit: ModelCommit): Promise<number> {
  const transaction = engine.begin('write');
  applyTo(transaction, commit);
  return transaction.commit();
}

function workload(steps: number, keys: number, longest: number): SystemUnderTest<ModelCommit> {
  return {
    async workload(env, oracle, { random }: RunContext) {
      let engine = await openEngine(env, OPTIONS);
      let nextId = 1;
      const write = async (): Promise<void> => {
        const commit = drawCommit(nextId++, random, keys, longest);
        const ticket = oracle.started(commit);
        const number = await commitOne(engine, commit);
        oracle.acknowledged(ticket, number);
      };
      for (let step = 0; step < steps; step++) {
        const choice = random.below(30);
        if (choice < 18) await write();
        else if (choice < 23) await Promise.all(Array.from({ length: 2 + random.below(6) }, write));
        else if (choice < 26) await engine.checkpoint();
        else if (choice < 27) await engine.compact();
        else if (choice < 28) {
          await engine.close();
          engine = await openEngine(env, OPTIONS);
        } else await Promise.all([engine.checkpoint(), write(), write()]);
      }
      if (random.below(2) === 0) await engine.close();
    },
    async check(env, state, { oracle }) {
      const engine = await openEngine(env, OPTIONS);
      await expectPromises(engine, state);
      const commit: ModelCommit = { id: 1_000_000 + state.commits.length, operations: [] };
      const ticket = oracle.started(commit);
      oracle.acknowledged(ticket, await commitOne(engine, commit));
      await engine.close();
      const again = await openEngine(env, OPTIONS);
      await expectSound(again);
      await again.close();
    },
  };
}

async function expectPromises(engine: EngineApi, state: OracleState<ModelCommit>): Promise<void> {
  const transaction = engine.begin('read');
  const found = readMarks(transaction);
  const byId = new Map(state.commits.map((one) => [one.commit.id, one]));
  for (const { commit, outcome } of state.commits) {
    if (outcome === 'acknowledged') expect(found, 'an acknowledged commit is gone').toContain(commit.id);
    if (outcome === 'refused') expect(found, 'a refused commit is there').not.toContain(commit.id);
  }
  const content: Content = new Map();
  for (const id of found) {
    const one = byId.get(id);
    expect(one, `commit ${id} was never issued`).toBeDefined();
    if (one !== undefined) applyToModel(content, one.commit);
  }
  expectContent(transaction, content);
  transaction.rollback();
  await expectSound(engine);
}

async function crash(system: SystemUnderTest<ModelCommit>, options: CrashOptions): Promise<number> {
  const report = await runCrashHarness(system, options);
  const story = report.failures.map((one) => `${one.story}\n${(one.error as Error).stack ?? String(one.error)}`).join('\n');
  expect(story, `seed ${report.seed}`).toBe('');
  return report.points;
}

describe(`an engine whose power is cut (SOP_SEED=${seed})`, () => {
  for (let round = 0; round < 4; round++) {
    it(`keeps its promises at every point of a small life, round ${round}`, async () => {
      const options = { seed: seed * 1000 + round, maxPoints: Math.ceil(60 * scale), randomDamages: 2, second: { chance: 0.05, maxPoints: 2 } };
      expect(await crash(workload(25, 40, 3000), options)).toBeGreaterThan(10);
    });
    it(`keeps its promises with large values and many changes, round ${round}`, async () => {
      const options = { seed: seed * 1000 + 500 + round, maxPoints: Math.ceil(40 * scale), randomDamages: 1 };
      expect(await crash(workload(40, 300, 90_000), options)).toBeGreaterThan(10);
    });
  }
});
