/**
 * The disk refuses the n-th operation, once or for ever, with each error. The log says so with a typed error, shows nothing
 * wrong, and opens again once the disk is well, even if the power fails in between; nothing acknowledged is missing, nothing
 * refused as "not in" is there.
 */
import { describe, expect, it } from 'vitest';
import { SopError } from '../../src/base/errors.ts';
import type { Env } from '../../src/env/env.ts';
import type { Errno } from '../../src/env/io-error.ts';
import { crashDisk } from '../../src/env/simulated-crash.ts';
import type { SimulatedDisk } from '../../src/env/simulated-disk.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { KIND_ROOT } from '../../src/log/batch.ts';
import type { BatchBuilder } from '../../src/log/batch-builder.ts';
import type { FileCommitLog } from '../../src/log/file-commit-log.ts';
import { type LogOpening, openLogSync } from '../../src/log/log-recovery.ts';
import { batchOf, databaseId, folder, open, rootRecord } from '../helpers/log-model.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const runs = Number(process.env.SOP_RUNS ?? 1);

/** Texts are unique, so that where each ended up can be told, whatever number it got. */
class History {
  /** Acknowledged or shown: there for ever, under this number. */
  readonly known = new Map<number, string>();
  /** Refused with "not in": never to be seen. */
  readonly refused = new Set<string>();
  issued = new Set<string>();
  what = '';
  count = 0;

  tell(number: number, text: string): void {
    const before = this.known.get(number);
    if (before !== undefined) expect(text, this.what).toBe(before);
    expect(this.refused.has(text), `${this.what}: ${text} was refused`).toBe(false);
    this.known.set(number, text);
  }

  /** What is known now, to hold a later disk against. */
  copy(): History {
    const copy = new History();
    for (const [number, text] of this.known) copy.known.set(number, text);
    for (const text of this.refused) copy.refused.add(text);
    copy.issued = this.issued;
    copy.what = `${this.what}, in the middle`;
    copy.count = this.count;
    return copy;
  }

  /** A reader beside a writer may be behind. */
  look(opening: LogOpening): void {
    this.show(opening, 0);
  }

  show(opening: LogOpening, atLeast = Math.max(0, ...this.known.keys())): void {
    const replay = opening.replay();
    let expected = opening.coveredNumber + 1;
    while (replay.next()) {
      const t = replay.transaction;
      expect(t.number, this.what).toBe(expected++);
      const isText = t.nextSection();
      const section = t.bytes.subarray(t.sectionStart, t.sectionStart + t.sectionLength);
      const text = isText ? new TextDecoder().decode(section).trimEnd() : `#${t.kind}`;
      if (isText) expect(this.issued.has(text), this.what).toBe(true);
      this.tell(t.number, text);
    }
    expect(opening.durableNumber, this.what).toBeGreaterThanOrEqual(atLeast);
  }
}

class Client {
  readonly #env: Env;
  readonly #history: History;
  #log: FileCommitLog | undefined;
  errors = 0;

  constructor(env: Env, history: History) {
    this.#env = env;
    this.#history = history;
  }

  async run(steps = 'osscpnswscrcxosrsccwscx'): Promise<void> {
    for (const step of steps) await this.#step(step);
  }

  /** A refusal is counted; where the log has failed it is opened again, as its owner would. */
  async #step(step: string): Promise<void> {
    try {
      if (this.#log === undefined && step !== 'x') await this.#open();
      await this.#do(step);
    } catch (error) {
      if (!(error instanceof SopError) || error.code === 'CORRUPTION') throw error;
      this.errors++;
      if (this.#log?.failed !== undefined) await this.#forget();
    }
  }

  async #do(step: string): Promise<void> {
    const log = this.#log as FileCommitLog;
    if (step === 's') this.#put(log, (batch) => log.commitSync(batch));
    else if (step === 'c') await this.#putSeveral(log);
    else if (step === 'n') log.noteIdle();
    else if (step === 'p') await log.prepareNextEpoch();
    else if (step === 'w') await log.switchEpoch(undefined);
    else if (step === 'r') this.#adoptRoot(log);
    else if (step === 'x') await this.#forget();
  }

  async #open(): Promise<void> {
    const opening = await open(this.#env, { reserveBytes: 16384 });
    try {
      this.#history.show(opening);
    } catch (error) {
      opening.close();
      await opening.log?.close();
      throw error;
    }
    this.#log = opening.log;
  }

  async #forget(): Promise<void> {
    const log = this.#log;
    this.#log = undefined;
    await log?.close();
  }

  #batch(log: FileCommitLog): { batch: BatchBuilder; texts: string[] } {
    const size = this.#history.count % 5 === 4 ? 20_000 : 10;
    const texts = Array.from({ length: 2 }, () => `${this.#history.count++} `.padEnd(size, 'x').trimEnd());
    for (const text of texts) this.#history.issued.add(text);
    return { batch: batchOf(log, texts), texts };
  }

  #acknowledged(batch: BatchBuilder, texts: string[]): void {
    for (const [i, text] of texts.entries()) this.#history.tell(batch.firstNumber + i, text);
  }

  /** "Not in" is promised by every refusal that leaves the log going. */
  #refused(log: FileCommitLog, texts: string[]): void {
    if (log.failed === undefined) for (const text of texts) this.#history.refused.add(text);
  }

  #put(log: FileCommitLog, commit: (batch: BatchBuilder) => void): void {
    const { batch, texts } = this.#batch(log);
    try {
      commit(batch);
      this.#acknowledged(batch, texts);
    } catch (error) {
      this.#refused(log, texts);
      throw error;
    } finally {
      batch.release();
    }
  }

  async #putSeveral(log: FileCommitLog): Promise<void> {
    const results: Promise<void>[] = [];
    for (let i = 0; i < 3 && log.failed === undefined; i++) {
      const { batch, texts } = this.#batch(log);
      const first = batch.firstNumber;
      const tell = (): void => {
        for (const [place, text] of texts.entries()) this.#history.tell(first + place, text);
      };
      const isIn = log.nextNumber;
      const result = log.commit(batch).then(tell, (error: unknown) => {
        if (log.nextNumber === isIn) this.#refused(log, texts);
        throw error;
      });
      results.push(result);
      batch.release();
    }
    const settled = await Promise.allSettled(results);
    for (const result of settled) if (result.status === 'rejected') throw result.reason;
  }

  #adoptRoot(log: FileCommitLog): void {
    const batch = log.openBatch();
    const number = batch.beginTransaction(KIND_ROOT, 0, 0);
    batch.addPayload(rootRecord(log.durableNumber));
    batch.endTransaction();
    try {
      log.commitSync(batch);
      this.#history.tell(number, `#${KIND_ROOT}`);
    } finally {
      batch.release();
    }
    log.removeEpochsBefore(Number.MAX_SAFE_INTEGER);
  }
}

const kinds = [
  'open',
  'create',
  'list',
  'remove',
  'syncFolder',
  'read',
  'write',
  'sync',
  'truncate',
  'allocate',
] as const;
const errors: Errno[] = ['EIO', 'ENOSPC', 'EACCES'];

interface Plan {
  readonly kind: (typeof kinds)[number];
  readonly error: Errno;
  readonly nth: number;
  readonly times: number;
  readonly seed: number;
  readonly cutsPower: boolean;
}

/** Answers whether the fault came to pass. */
async function meet(plan: Plan): Promise<boolean> {
  const world = new SimulatedWorld(plan.seed, { traceLength: 0 });
  const history = new History();
  history.what = JSON.stringify(plan);
  const client = new Client(world.startProcess(), history);
  const { kind, error, nth, times } = plan;
  const fault = world.fail({ operation: kind, error, nth, times });
  let middle: { disk: SimulatedDisk; history: History } | undefined;
  let wait = plan.seed % 60;
  world.onOperation = () => {
    if (fault.hits > 0 && wait-- === 0) middle = { disk: world.snapshot(), history: history.copy() };
  };
  await world.run(() => client.run());
  world.onOperation = undefined;
  fault.cancel();
  // The power may also fail soon after the fault, when what it lost still shows in caches.
  if (middle !== undefined) await opensWell(crashed(middle.disk, plan), middle.history, plan);
  await opensWell(plan.cutsPower ? crashed(world.disk, plan) : world.disk, history, plan);
  return fault.hits > 0;
}

function crashed(disk: SimulatedDisk, plan: Plan): SimulatedDisk {
  return crashDisk(disk, { data: plan.seed % 2 === 0 ? 'torn' : 'lost', folders: 'kept', seed: plan.seed }).disk;
}

async function opensWell(disk: SimulatedDisk, history: History, plan: Plan): Promise<void> {
  const after = new SimulatedWorld(plan.seed, { disk, traceLength: 0 });
  await after.run(async () => {
    const again = new Client(after.startProcess(), history);
    const opening = await open(after.startProcess(), { reserveBytes: 16384 });
    history.show(opening);
    await opening.log?.close();
    await again.run();
    expect(again.errors, history.what).toBe(0);
  });
}

describe('a disk that refuses', () => {
  for (const kind of kinds) {
    it(`${kind} at any moment leaves the log whole`, async () => {
      const random = new SeededRandom(seed);
      let met = 0;
      for (const error of errors) {
        for (const times of [1, Number.POSITIVE_INFINITY]) {
          for (let nth = 1; nth < 400; nth += 1 + random.below(Math.ceil(nth / (4 * runs)))) {
            const plan = { kind, error, nth, times, seed: random.below(2 ** 31), cutsPower: random.chance(0.5) };
            if (!(await meet(plan))) break;
            met++;
          }
        }
      }
      expect(met).toBeGreaterThan(5);
    });
  }
});

describe('the look of a holder that goes on in a next epoch', () => {
  it('is not taken for somebody else taking over where the disk refuses it', async () => {
    const world = new SimulatedWorld(seed, { traceLength: 0 });
    const process = world.startProcess();
    await world.run(async () => {
      const { log } = await open(process, { reserveBytes: 16384 });
      const put = (to: FileCommitLog): void => {
        const batch = batchOf(to, ['x']);
        to.commitSync(batch);
        batch.release();
      };
      put(log as FileCommitLog);
      const fault = world.fail({ operation: 'list', path: '/log', error: 'EIO' });
      const failed = { code: 'DATABASE_FAILED', details: { reason: 'io' } };
      await expect(log?.prepareNextEpoch()).rejects.toMatchObject(failed);
      expect(fault.hits).toBe(1);
      await log?.close();
      const again = await open(process, { reserveBytes: 16384 });
      put(again.log as FileCommitLog);
      await again.log?.switchEpoch(undefined);
      await again.log?.close();
    });
  });
});

describe('a disk that fills up', () => {
  it('at any size leaves the log whole', async () => {
    for (let pages = 0; pages < 120; pages++) {
      const world = new SimulatedWorld(seed + pages, { traceLength: 0 });
      world.disk.capacityBytes = pages * 4096;
      const history = new History();
      history.what = `${pages} pages, seed ${seed}`;
      await world.run(() => new Client(world.startProcess(), history).run());
      world.disk.capacityBytes = Number.POSITIVE_INFINITY;
      await world.run(async () => {
        const client = new Client(world.startProcess(), history);
        await client.run();
        expect(client.errors, history.what).toBe(0);
      });
    }
  });
});

/** Steps as `Client` has them, with a failing sync at each place, and a power cut that leaves nothing unsynced. */
async function failsOneSync(steps: string, nth: number, at: number): Promise<boolean> {
  const world = new SimulatedWorld(seed * 1000 + at, { traceLength: 0 });
  const history = new History();
  history.what = `${steps}, sync ${nth} of seed ${seed * 1000 + at}`;
  const client = new Client(world.startProcess(), history);
  const fault = world.fail({ operation: 'sync', error: 'EIO', nth });
  await world.run(() => client.run(steps));
  const disk = crashDisk(world.disk, { data: 'lost', folders: 'kept', seed: at }).disk;
  const after = new SimulatedWorld(at, { disk, traceLength: 0 });
  await after.run(async () => history.show(await open(after.startProcess(), { reserveBytes: 16384 })));
  return fault.hits > 0;
}

describe('a sync that fails once', () => {
  for (const steps of ['ssxs', 'snxss', 'sossos', 'scpwss']) {
    it(`takes nothing with it that was told or shown later (${steps})`, async () => {
      for (let nth = 1, wasMet = true; wasMet; nth++) {
        wasMet = false;
        for (let at = 0; at < 12; at++) if (await failsOneSync(steps, nth, at)) wasMet = true;
      }
    });
  }

  it('leaves what is merely readable, which nobody is shown before it is durable again', async () => {
    for (let at = 1, reached = true; reached; at++) {
      reached = false;
      for (let draw = 0; draw < 12; draw++) {
        const world = new SimulatedWorld(seed * 1000 + draw, { traceLength: 0 });
        const history = new History();
        history.what = `reader at ${at}, seed ${seed * 1000 + draw}`;
        const holder = world.startProcess();
        const taker = world.startProcess();
        const reader = world.startProcess();
        const holding = new Client(holder, history);
        await world.run(() => holding.run('os'));
        world.fail({ operation: 'sync', error: 'EIO' });
        await world.run(() => holding.run('s'));
        let count = 0;
        let disk: SimulatedDisk | undefined;
        world.onOperation = (_, { process }) => {
          if (process !== taker.index || ++count !== at) return;
          reached = true;
          disk = world.snapshot();
          const opening = openLogSync({ env: reader, folder, databaseId, writer: 0, mode: 'read', ownerAlive: true });
          history.look(opening);
        };
        await world.run(() => new Client(taker, history.copy()).run('os'));
        if (disk === undefined) continue;
        const after = new SimulatedWorld(1, { disk: crashDisk(disk, { data: 'lost', folders: 'kept', seed: 1 }).disk });
        await after.run(async () => history.show(await open(after.startProcess())));
      }
    }
  });
});
