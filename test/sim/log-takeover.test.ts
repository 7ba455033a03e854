/**
 * Several processes want the append right of one log, and one of them is stopped at any operation while another does all of its
 * work: takes over, commits, switches, reclaims. Whatever anybody was told or shown stays, under one number, for all.
 *
 * The one who goes on runs inside the other's operation: that is a pause of any length at any place, exactly repeatable.
 */
import { describe, expect, it } from 'vitest';
import { SopError } from '../../src/base/errors.ts';
import type { Env } from '../../src/env/env.ts';
import { crashDisk } from '../../src/env/simulated-crash.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { KIND_ROOT } from '../../src/log/batch.ts';
import type { FileCommitLog } from '../../src/log/file-commit-log.ts';
import { type LogOpening, openLogSync } from '../../src/log/log-recovery.ts';
import { batchOf, databaseId, folder, rootRecord } from '../helpers/log-model.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const runs = Number(process.env.SOP_RUNS ?? 1);

/** What was acknowledged or shown to anybody, by number. */
class Truth {
  readonly texts = new Map<number, string>();
  last = 0;
  what = '';

  tell(number: number, text: string): void {
    const known = this.texts.get(number);
    if (known !== undefined) expect(text, `${this.what}: number ${number}`).toBe(known);
    this.texts.set(number, text);
    this.last = Math.max(this.last, number);
  }

  /** A reader may be behind; what it sees is true for ever. */
  look(opening: LogOpening, known: number): void {
    const { last } = this;
    this.last = 0;
    this.show(opening, 0);
    this.last = Math.max(last, known, this.last);
  }

  copy(): Truth {
    const copy = new Truth();
    copy.what = this.what;
    for (const [number, text] of this.texts) copy.tell(number, text);
    return copy;
  }

  /** `atLeast` is what was known when the opening began: what happens while it lasts it may miss. */
  show(opening: LogOpening, atLeast: number): void {
    const replay = opening.replay();
    expect(opening.durableNumber, this.what).toBeGreaterThanOrEqual(atLeast);
    while (replay.next()) {
      const t = replay.transaction;
      const isText = t.nextSection();
      const section = t.bytes.subarray(t.sectionStart, t.sectionStart + t.sectionLength);
      this.tell(t.number, isText ? new TextDecoder().decode(section).trimEnd() : `#${t.kind}`);
    }
  }
}

let nextWriter = 1;

/** One who wants to write. Every refusal must be one of the log's own errors; it ends what the actor does. */
class Actor {
  readonly #name: string;
  readonly #env: Env;
  readonly #truth: Truth;
  log: FileCommitLog | undefined;
  #count = 0;

  constructor(name: string, env: Env, truth: Truth) {
    this.#name = name;
    this.#env = env;
    this.#truth = truth;
  }

  open(): void {
    const writer = nextWriter++;
    const atLeast = this.#truth.last;
    const opening = openLogSync({ env: this.#env, folder, databaseId, writer, mode: 'write', reserveBytes: 16384 });
    this.#truth.show(opening, atLeast);
    this.log = opening.log;
  }

  /** Looks on beside whoever writes, and believes what it sees. */
  read(): void {
    const atLeast = this.#truth.last;
    const options = { env: this.#env, folder, databaseId, writer: 0, mode: 'read', ownerAlive: true } as const;
    const opening = openLogSync(options);
    this.#truth.look(opening, atLeast);
  }

  put(texts = 1): void {
    const { batch, tell } = this.#batch(texts);
    try {
      this.#mustLog().commitSync(batch);
      tell();
    } finally {
      batch.release();
    }
  }

  async putLater(): Promise<void> {
    const { batch, tell } = this.#batch(1);
    const done = this.#mustLog().commit(batch);
    batch.release();
    await done;
    tell();
  }

  /** Adopts a root over everything durable and removes what it covers. */
  adoptRoot(): void {
    const log = this.#mustLog();
    const batch = log.openBatch();
    const number = batch.beginTransaction(KIND_ROOT, 0, 0);
    batch.addPayload(rootRecord(log.durableNumber, this.#name));
    batch.endTransaction();
    try {
      log.commitSync(batch);
      this.#truth.tell(number, `#${KIND_ROOT}`);
    } finally {
      batch.release();
    }
    log.removeEpochsBefore(Number.MAX_SAFE_INTEGER);
  }

  #mustLog(): FileCommitLog {
    if (this.log === undefined) throw new Error('not open');
    return this.log;
  }

  #batch(count: number) {
    const texts = Array.from({ length: count }, () => `${this.#name} ${this.#count++}`);
    const batch = batchOf(this.#mustLog(), texts);
    const first = batch.firstNumber;
    return { batch, tell: () => texts.forEach((text, i) => void this.#truth.tell(first + i, text)) };
  }
}

/** Runs `work`; the log's own refusals end it. */
function unlessRefused(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof SopError) || error.code === 'CORRUPTION') throw error;
  }
}

async function unlessRefusedLater(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof SopError) || error.code === 'CORRUPTION') throw error;
  }
}

const intrusions: Record<string, (actor: Actor) => void> = {
  'looks on': (actor) => actor.read(),
  'opens only': (actor) => actor.open(),
  commits: (actor) => {
    actor.open();
    actor.put();
    actor.put(2);
  },
  'commits and reclaims': (actor) => {
    actor.open();
    actor.put();
    actor.adoptRoot();
    actor.put();
  },
  'opens, is killed, is followed': (actor) => {
    actor.open();
    actor.put();
    actor.open();
    actor.put();
    actor.adoptRoot();
  },
};

async function mainWork(actor: Actor): Promise<void> {
  actor.open();
  actor.put();
  actor.put(2);
  actor.open();
  actor.put();
  await Promise.all([actor.putLater(), actor.putLater(), actor.putLater()]);
  await Promise.all([actor.log?.switchEpoch(undefined), actor.putLater(), actor.putLater()]);
  actor.adoptRoot();
  actor.log?.noteIdle();
  actor.put();
  await actor.log?.close();
}

interface Plan {
  readonly intrusion: string;
  /** The operation of the first process that is interrupted; the same for the second, by the third. */
  readonly at: number;
  readonly innerAt: number;
  readonly seed: number;
}

/** Answers how many operations the first process did. */
async function race(plan: Plan): Promise<number> {
  const world = new SimulatedWorld(plan.seed, { traceLength: 0, shortWriteChance: 0 });
  const truth = new Truth();
  truth.what = JSON.stringify(plan);
  const first = world.startProcess();
  const second = world.startProcess();
  const third = world.startProcess();
  first.files.createFolder(folder);
  const intruders = [new Actor('b', second, truth), new Actor('c', third, truth)];
  const counts = [0, 0, 0];
  const intrude = intrusions[plan.intrusion] as (actor: Actor) => void;
  const at = [plan.at, plan.innerAt];
  world.onOperation = (_, { process }) => {
    const count = (counts[process] as number) + 1;
    counts[process] = count;
    if (process > 1 || count !== at[process]) return;
    unlessRefused(() => intrude(intruders[process] as Actor));
    // And there the power fails, before the one who was stopped goes on.
    endsWell(world, truth, plan.seed);
  };
  await world.run(() => unlessRefusedLater(() => mainWork(new Actor('a', first, truth))));
  // Whoever is still there goes on; most are told that they were taken over.
  for (const actor of intruders) if (actor.log !== undefined) unlessRefused(() => actor.put());
  endsWell(world, truth, plan.seed);
  return counts[0] as number;
}

/** Whatever a power cut leaves of the unsynced, everything that anybody knows is there. */
function endsWell(world: SimulatedWorld, truth: Truth, seed: number): void {
  const random = new SeededRandom(seed);
  for (const data of ['kept', 'lost', 'torn'] as const) {
    const cut = { data, folders: 'lost' as const, seed: random.below(2 ** 31) };
    const after = new SimulatedWorld(seed, { disk: crashDisk(world.snapshot(), cut).disk, traceLength: 0 });
    new Actor('after', after.startProcess(), truth.copy()).open();
  }
}

describe('the append right', () => {
  for (const intrusion of Object.keys(intrusions)) {
    it(`has one holder when a second process ${intrusion} at any moment of the first`, async () => {
      const total = await race({ intrusion, at: -1, innerAt: -1, seed });
      expect(total).toBeGreaterThan(100);
      for (let at = 1; at <= total; at++) await race({ intrusion, at, innerAt: -1, seed });
    });
  }

  it('is taken from a holder who switches to its next epoch at any moment of the taking', async () => {
    for (let at = 1, reached = true; reached; at++) {
      const world = new SimulatedWorld(seed, { traceLength: 0, shortWriteChance: 0 });
      const truth = new Truth();
      truth.what = `switch at ${at}`;
      const holder = new Actor('holder', world.startProcess(), truth);
      const taker = new Actor('taker', world.startProcess(), truth);
      world.startProcess().files.createFolder(folder);
      await world.run(async () => {
        holder.open();
        holder.put();
        await holder.log?.prepareNextEpoch();
      });
      let count = 0;
      reached = false;
      world.onOperation = (_, { process }) => {
        if (process !== 1 || ++count !== at) return;
        reached = true;
        unlessRefused(() => {
          holder.log?.switchEpoch(undefined).catch(() => undefined);
          holder.put();
        });
      };
      unlessRefused(() => {
        taker.open();
        taker.put();
      });
      unlessRefused(() => holder.put());
      unlessRefused(() => taker.put());
      endsWell(world, truth, seed);
      expect(reached || at > 20).toBe(true);
    }
  });

  it('is not had again by a holder who follows itself under a name of the past', async () => {
    for (const ahead of [false, true]) {
      for (const isSync of [false, true]) {
        const world = new SimulatedWorld(seed, { traceLength: 0, shortWriteChance: 0 });
        const truth = new Truth();
        truth.what = `ahead ${ahead}, at once ${isSync}`;
        const holder = new Actor('holder', world.startProcess(), truth);
        const taker = new Actor('taker', world.startProcess(), truth);
        world.startProcess().files.createFolder(folder);
        await world.run(async () => {
          holder.open();
          holder.put();
          if (ahead) await holder.log?.prepareNextEpoch();
          // Nothing is under way when others go on without us, twice, and remove all that was.
          for (const _ of [1, 2]) {
            taker.open();
            taker.put();
          }
          taker.adoptRoot();
          await unlessRefusedLater(async () => {
            const switched = holder.log?.switchEpoch(undefined);
            switched?.catch(() => undefined);
            if (isSync) holder.put();
            await switched;
            holder.put();
            throw new Error('two hold the right');
          });
        });
        taker.put();
        endsWell(world, truth, seed);
      }
    }
  });

  it('has one holder among three', async () => {
    const random = new SeededRandom(seed);
    for (let run = 0; run < 400 * runs; run++) {
      const intrusion = random.pick(Object.keys(intrusions));
      await race({ intrusion, at: 1 + random.below(160), innerAt: 1 + random.below(60), seed: random.below(2 ** 31) });
    }
  });
});
