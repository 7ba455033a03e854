/**
 * As conformance.test.ts, with commits that are waited for: members have several batches under way, whose writes, syncs and looks
 * at the seal come in any order, also amid the steps of somebody who takes over; members are killed, and open again.
 */
import { describe, expect, it } from 'vitest';
import { SopError } from '../../src/base/errors.ts';
import { memoryEnv } from '../../src/env/memory-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { KIND_ROOT } from '../../src/log/batch.ts';
import { BatchBuilder } from '../../src/log/batch-builder.ts';
import type { FileCommitLog } from '../../src/log/file-commit-log.ts';
import { NextEpoch } from '../../src/log/next-epoch.ts';
import { PendingCommits } from '../../src/log/pending-commits.ts';
import { openLogSync } from '../../src/log/log-recovery.ts';
import { batchOf, databaseId, folder, rootRecord } from '../helpers/log-model.ts';
import { chooseSeed } from '../helpers/scale.ts';
import { Interpreter, MEMBERS, mustLookAlike, Shadow } from './shadow.ts';
import { type Deed, type HeldWork, watchedEnv } from './watched-env.ts';

const seed = chooseSeed() % 1_000_000;
const runs = Math.round(120 * Number(process.env.SOP_RUNS ?? 1));
const PIPELINE = 3;
const TURNS = 80;
/** The model has room for these. */
const MOST_EPOCHS = 12;
const MOST_BATCHES = 4;

interface Tally {
  answered: number;
  refused: number;
  takeovers: number;
  /** Commits answered while others in front of them in time were still being written. */
  overlapped: number;
  /** Epochs that their owner went on from to one of its own. */
  switched: number;
  /** Writes and syncs that the disk refused. */
  failed: number;
}

class Actor {
  readonly index: number;
  readonly race: Race;
  readonly interpreter: Interpreter;
  readonly env: ReturnType<typeof memoryEnv>;
  log: FileCommitLog | undefined;
  held: HeldWork[] = [];
  /** Commits of which nothing was heard. */
  open = 0;
  isSwitching = false;
  /** Batches given to the epoch that it writes now. */
  #given = 0;
  #epoch = 0;
  #life = 0;

  constructor(race: Race, index: number) {
    this.race = race;
    this.index = index;
    this.interpreter = new Interpreter(race.shadow, index);
    this.env = watchedEnv(
      race.env,
      (deed) => race.tell(this, deed),
      (append) => this.held.push(append),
    );
  }

  /** Another process under this member's name: what the one before had under way died with it. */
  restart(): void {
    this.#life++;
    this.held = [];
    this.open = 0;
    this.isSwitching = false;
    this.log = undefined;
    if (this.race.isWatching) this.interpreter.restart();
    const options = { env: this.env, folder, databaseId, writer: this.race.nextWriter++, reserveBytes: 16384 };
    unlessRefused(() => {
      this.log = openLogSync({ ...options, mode: 'write' }).log;
    });
  }

  get canFollow(): boolean {
    const { log } = this;
    return log !== undefined && log.failed === undefined && log.epoch > 0 && !this.isSwitching && this.race.hasRoom;
  }

  get canGive(): boolean {
    const { log } = this;
    if (log === undefined || log.failed !== undefined || this.open >= PIPELINE) return false;
    return log.epoch === 0 ? this.race.hasRoom : log.epoch !== this.#epoch || this.#given < MOST_BATCHES;
  }

  give(isRoot: boolean): void {
    const log = this.log as FileCommitLog;
    unlessRefused(() => {
      const batch = isRoot ? rootBatch(log) : batchOf(log, ['x']);
      const before = log.nextNumber;
      const done = log.commit(batch);
      const isGiven = log.nextNumber > before;
      const position = batch.header.offset;
      if (isGiven) this.#wasGiven(log, position);
      batch.release();
      this.#await(done, log, isGiven ? position : undefined, isRoot);
    });
  }

  #wasGiven(log: FileCommitLog, position: number): void {
    if (log.epoch !== this.#epoch) {
      this.#epoch = log.epoch;
      this.#given = 0;
      this.race.tally.takeovers++;
    }
    this.#given++;
    this.open++;
    this.interpreter.give(log.epoch, position);
  }

  /** `position`: where the batch stands; undefined where it was refused at once. */
  #await(done: Promise<void>, log: FileCommitLog, position: number | undefined, isRoot: boolean): void {
    const [life, { epoch }] = [this.#life, log];
    const { tally } = this.race;
    const heard = (isAnswered: boolean): void => {
      if (position === undefined || life !== this.#life) return;
      this.open--;
      if (this.race.isWatching) this.race.note(() => this.interpreter.mustBe(epoch, position, isAnswered));
    };
    done.then(
      () => {
        heard(true);
        if (life !== this.#life) return;
        tally.answered++;
        if (this.held.length > 0) tally.overlapped++;
        if (isRoot) this.race.note(() => log.removeEpochsBefore(Number.MAX_SAFE_INTEGER));
      },
      (error: unknown) => {
        heard(false);
        tally.refused++;
        if (!(error instanceof SopError) || error.code === 'CORRUPTION') this.race.failures.push(error);
      },
    );
  }

  /** The next part of anything under way; now and then the disk refuses it. */
  advance(random: SeededRandom): void {
    const work = random.pick(this.held);
    // First taken off: what follows may tell of it, and others then have a turn.
    this.held = this.held.filter((one) => one !== work);
    const isRefused = this.race.isWatching && random.chance(0.03);
    if (isRefused) this.race.tally.failed++;
    if (isRefused ? work.fail() : work.go()) this.held.push(work);
  }

  /** Goes on in a next epoch of its own, or makes one ready. */
  follow(isOnlyReady: boolean): void {
    const log = this.log as FileCommitLog;
    const life = this.#life;
    const { tally } = this.race;
    this.race.note(() => {
      const work = isOnlyReady ? log.prepareNextEpoch() : log.switchEpoch(undefined);
      if (!isOnlyReady) this.isSwitching = true;
      work
        .then(() => {
          if (!isOnlyReady) tally.switched++;
        }, unlessCorrupt)
        .catch((error: unknown) => this.race.failures.push(error))
        .finally(() => {
          if (life === this.#life && !isOnlyReady) this.isSwitching = false;
        });
    });
  }
}

class Race {
  readonly env = memoryEnv();
  readonly random: SeededRandom;
  readonly shadow = new Shadow(PIPELINE);
  readonly tally: Tally;
  readonly failures: unknown[] = [];
  readonly actors: readonly Actor[];
  isWatching = false;
  nextWriter = 1;
  #depth = 0;

  constructor(seed: number, tally: Tally) {
    this.random = new SeededRandom(seed);
    this.tally = tally;
    this.env.files.createFolder(folder);
    this.actors = Array.from({ length: MEMBERS }, (_, index) => new Actor(this, index));
  }

  get hasRoom(): boolean {
    return this.shadow.state.files.findLastIndex((file) => file !== undefined) < MOST_EPOCHS;
  }

  /** A deed of one member: a step of the model; then others have a turn, however deep within an opening or a takeover it was. */
  tell(actor: Actor, deed: Deed): void {
    if (!this.isWatching) return;
    try {
      if (!actor.interpreter.take(deed)) return;
      mustLookAlike(this.env, this.shadow);
    } catch (error) {
      // To the log it would be a refused write.
      this.failures.push(error);
      throw error;
    }
    if (this.#depth > 2) return;
    this.#depth++;
    try {
      while (this.random.chance(0.3)) {
        const other = this.random.pick(this.actors.filter((one) => one !== actor));
        if (other.held.length > 0 && !other.interpreter.isAboutToLook) other.advance(this.random);
      }
    } finally {
      this.#depth--;
    }
  }

  note(work: () => void): void {
    try {
      unlessRefused(work);
    } catch (error) {
      this.failures.push(error);
    }
  }

  async run(): Promise<void> {
    const [first] = this.actors as [Actor];
    first.restart();
    first.give(false);
    await this.#settle();
    while (first.held.length > 0) first.advance(this.random);
    await this.#settle();
    // The model begins where the first epoch is there; its first batch is what makes it.
    for (const label of ['writes batch 1', 'syncs batch 1', 'reads the seal for batch 1']) this.shadow.step(0, label);
    this.isWatching = true;
    mustLookAlike(this.env, this.shadow);
    for (let turn = 0; turn < TURNS; turn++) {
      this.#turn();
      await this.#settle();
    }
    for (const actor of this.actors) {
      while (actor.held.length > 0) {
        actor.advance(this.random);
        await this.#settle();
      }
      expect(actor.open, this.shadow.story.join('\n')).toBe(0);
    }
  }

  #turn(): void {
    const { random } = this;
    const actor = random.pick(this.actors);
    const draw = random.below(100);
    if (draw < 2 || (actor.log?.failed !== undefined && draw < 10) || actor.log === undefined) {
      if (this.hasRoom) actor.restart();
    } else if (draw < 16 && actor.canFollow) actor.follow(draw < 12);
    else if (draw < 45 && actor.canGive) actor.give(random.chance(0.15));
    else if (actor.held.length > 0) actor.advance(random);
  }

  /** Promises that are answered by now have told so. */
  async #settle(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.failures.length > 0) throw this.failures[0];
  }
}

function rootBatch(log: FileCommitLog): BatchBuilder {
  const batch = log.openBatch();
  batch.beginTransaction(KIND_ROOT, 0, 0);
  batch.addPayload(rootRecord(log.durableNumber, ''));
  batch.endTransaction();
  return batch;
}

function unlessRefused(work: () => void): void {
  try {
    work();
  } catch (error) {
    unlessCorrupt(error);
  }
}

function unlessCorrupt(error: unknown): void {
  if (!(error instanceof SopError) || error.code === 'CORRUPTION') throw error;
}

async function race(at: number, tally: Tally): Promise<void> {
  try {
    await new Race(at, tally).run();
  } catch (error) {
    throw new Error(`SOP_SEED=${at}: ${(error as Error).message}`, { cause: error });
  }
}

const newTally = (): Tally => ({ answered: 0, refused: 0, takeovers: 0, overlapped: 0, switched: 0, failed: 0 });

describe('the code of the log, with several commits under way', () => {
  it('hands out no batch again before it is answered, though its maker is done with it and the file too', async () => {
    const env = memoryEnv();
    env.files.createFolder(folder);
    const held: HeldWork[] = [];
    const watched = watchedEnv(
      env,
      () => {},
      (append) => held.push(append),
    );
    const options = { env: watched, folder, databaseId, writer: 1, reserveBytes: 16384, mode: 'write' } as const;
    const log = openLogSync(options).log as FileCommitLog;
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    const put = (): Promise<void> => {
      const batch = batchOf(log, ['x']);
      const done = log.commit(batch);
      batch.release();
      return done;
    };
    const finish = async (at: number): Promise<void> => {
      while (held[at]?.go());
      await turn();
    };
    const all = [put(), put()];
    await turn();
    await finish(1);
    all.push(put());
    await turn();
    await finish(0);
    expect(log.durableNumber).toBe(2);
    await finish(2);
    await Promise.all(all);
    expect(log.durableNumber).toBe(3);
  });

  it(`does what the model allows, whoever takes over amid them (SOP_SEED=${seed})`, async () => {
    const tally = newTally();
    for (let i = 0; i < runs; i++) await race(seed + i, tally);
    console.log(JSON.stringify(tally));
    expect(tally.answered).toBeGreaterThan(runs);
    expect(tally.takeovers).toBeGreaterThan(runs);
    expect(tally.refused).toBeGreaterThan(runs / 4);
    expect(tally.overlapped).toBeGreaterThan(runs / 4);
    expect(tally.switched).toBeGreaterThan(runs / 10);
    expect(tally.failed).toBeGreaterThan(runs / 10);
  }, 120_000);

  const { settle } = PendingCommits.prototype;
  const { finish } = BatchBuilder.prototype;
  const { isNextAfter } = NextEpoch.prototype;
  const plants: readonly (readonly [string, RegExp, () => void])[] = [
    [
      'answers a commit that failed',
      /answers a batch against the model/,
      () => {
        PendingCommits.prototype.settle = function (batch, acknowledge) {
          settle.call(this, batch, (one) => void acknowledge(one));
        };
      },
    ],
    [
      'answers in the order of the files',
      /answers a batch against the model|refuses a batch against the model/,
      () => {
        const first = new WeakMap<PendingCommits, BatchBuilder[]>();
        PendingCommits.prototype.settle = function (batch, acknowledge) {
          // Whoever waits in front is answered with the first that comes back.
          const waiting = first.get(this) ?? [];
          first.set(this, waiting);
          settle.call(this, waiting.shift() ?? batch, acknowledge);
        };
        const { add } = PendingCommits.prototype;
        PendingCommits.prototype.add = function (batch, resolve, reject) {
          const waiting = first.get(this) ?? [];
          first.set(this, [...waiting, batch]);
          add.call(this, batch, resolve, reject);
        };
      },
    ],
    [
      'goes on under a name of the past',
      /a seal that the model has not seen so|the model does not allow this/,
      () => {
        NextEpoch.prototype.isNextAfter = () => true;
      },
    ],
    [
      'states as durable what was given',
      /durable numbers of/,
      () => {
        BatchBuilder.prototype.finish = function (place) {
          return finish.call(this, { ...place, durableNumber: this.firstNumber - 1 });
        };
      },
    ],
  ];
  for (const [what, error, plant] of plants) {
    it(`is seen where it ${what}`, async () => {
      const { add } = PendingCommits.prototype;
      plant();
      try {
        const all = async (): Promise<void> => {
          for (let i = 0; i < 300; i++) await race(i, newTally());
        };
        await expect(all()).rejects.toThrow(error);
      } finally {
        Object.assign(PendingCommits.prototype, { settle, add });
        BatchBuilder.prototype.finish = finish;
        NextEpoch.prototype.isNextAfter = isNextAfter;
      }
    });
  }
});
