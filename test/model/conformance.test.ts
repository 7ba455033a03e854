/**
 * The code of the log, held against the model: what several members do to the files is told step by step, each step must be one
 * that the model allows them at that moment, and after each the files must look as the model says. One member is paused or
 * killed after every one of its steps while another takes over, commits, reclaims.
 */
import { describe, expect, it } from 'vitest';
import { SopError } from '../../src/base/errors.ts';
import { memoryEnv } from '../../src/env/memory-env.ts';
import { KIND_ROOT } from '../../src/log/batch.ts';
import { epochPath } from '../../src/log/epoch-file.ts';
import type { FileCommitLog } from '../../src/log/file-commit-log.ts';
import { openLogSync } from '../../src/log/log-recovery.ts';
import { batchOf, databaseId, folder, rootRecord } from '../helpers/log-model.ts';
import { Interpreter, MEMBERS, mustLookAlike, Shadow } from './shadow.ts';
import { type Deed, watchedEnv } from './watched-env.ts';

class Killed extends Error {}

interface Plan {
  /** After which step of A the other one has its turn. */
  readonly at: number;
  /** A does not go on after it. */
  readonly kills: boolean;
  /** What the other one does; 'again' twice over, so that its own epoch is taken too. */
  readonly work: 'opens' | 'commits' | 'reclaims' | 'again';
  /** The same one level deeper: after which step of B the third one commits and reclaims. */
  readonly innerAt: number;
}

const noop = (): void => {};

/** Answers how many steps A took. */
function race(plan: Plan): number {
  const env = memoryEnv();
  env.files.createFolder(folder);
  const shadow = new Shadow();
  let watching = false;
  const actors = Array.from({ length: MEMBERS }, (_, index) => {
    const interpreter = new Interpreter(shadow, index);
    const actor = {
      index,
      interpreter,
      log: undefined as FileCommitLog | undefined,
      after: noop as (steps: number) => void,
    };
    const tell = (deed: Deed): void => {
      if (!watching || !interpreter.take(deed)) return;
      mustLookAlike(env, shadow);
      actor.after(interpreter.steps);
    };
    return {
      ...actor,
      env: watchedEnv(env, tell),
      set: (after: (steps: number) => void) => {
        actor.after = after;
      },
    };
  });
  let nextWriter = 1;
  const [a, b, c] = actors as [(typeof actors)[0], (typeof actors)[0], (typeof actors)[0]];
  const open = (actor: typeof a): void => {
    if (watching) shadow.restart(actor.index);
    const options = {
      env: actor.env,
      folder,
      databaseId,
      writer: nextWriter++,
      mode: 'write',
      reserveBytes: 16384,
    } as const;
    actor.log = openLogSync(options).log;
  };
  const put = (actor: typeof a): void => {
    const batch = batchOf(actor.log as FileCommitLog, ['x']);
    try {
      (actor.log as FileCommitLog).commitSync(batch);
    } finally {
      batch.release();
    }
  };
  const reclaim = (actor: typeof a): void => {
    const log = actor.log as FileCommitLog;
    const batch = log.openBatch();
    batch.beginTransaction(KIND_ROOT, 0, 0);
    batch.addPayload(rootRecord(log.durableNumber, ''));
    batch.endTransaction();
    try {
      log.commitSync(batch);
    } finally {
      batch.release();
    }
    log.removeEpochsBefore(Number.MAX_SAFE_INTEGER);
  };
  const works: Record<Plan['work'], (actor: typeof a) => void> = {
    opens: open,
    commits: (actor) => {
      open(actor);
      put(actor);
    },
    reclaims: (actor) => {
      open(actor);
      put(actor);
      reclaim(actor);
    },
    again: (actor) => {
      open(actor);
      put(actor);
      open(actor);
      put(actor);
      reclaim(actor);
    },
  };

  // The model begins where the first epoch is there; its first batch is what makes it.
  open(a);
  put(a);
  for (const label of ['writes a batch', 'syncs its batch', 'reads the seal']) shadow.step(0, label);
  shadow.story.length = 0;
  watching = true;
  mustLookAlike(env, shadow);

  a.set((steps) => {
    if (steps !== plan.at) return;
    a.set(noop);
    unlessRefused(() => works[plan.work](b));
    if (plan.kills) throw new Killed();
  });
  b.set((steps) => {
    if (steps !== plan.innerAt) return;
    b.set(noop);
    unlessRefused(() => works.reclaims(c));
  });
  unlessRefused(() => {
    put(a);
    open(a);
    put(a);
    reclaim(a);
    put(a);
  });
  for (const actor of [b, c]) if (actor.log !== undefined) unlessRefused(() => put(actor));
  return a.interpreter.steps;
}

function unlessRefused(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (error instanceof Killed || (error instanceof SopError && error.code !== 'CORRUPTION')) return;
    throw error;
  }
}

describe('the code of the log', () => {
  for (const work of ['opens', 'commits', 'reclaims', 'again'] as const) {
    it(`does what the model allows when another one ${work} after any of its steps, and it goes on or is dead`, () => {
      const total = race({ at: -1, kills: false, work, innerAt: -1 });
      expect(total).toBeGreaterThan(10);
      for (let at = 1; at <= total; at++) for (const kills of [false, true]) race({ at, kills, work, innerAt: -1 });
    });
  }

  it('does so too when a third one comes after any step of the second', () => {
    for (let at = 1; at <= 24; at++) {
      for (let innerAt = 1; innerAt <= 26; innerAt++) race({ at, kills: innerAt % 2 === 0, work: 'again', innerAt });
    }
  });

  it('is seen where it does what the model does not allow', () => {
    const shadow = new Shadow();
    const owner = new Interpreter(shadow, 0);
    expect(() => owner.take({ kind: 'seal read', path: epochPath(folder, 1), position: 8192, isZero: true })).toThrow(
      /does not allow/,
    );
    const zeroing = new Interpreter(new Shadow(), 0);
    const seal = { kind: 'write', path: epochPath(folder, 1), position: 4096, isZero: true } as const;
    expect(() => zeroing.take(seal)).toThrow(/an owner writes its seal/);
  });
});
