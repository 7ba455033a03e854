/**
 * Power cuts at every operation of a log's life: opening, commits of both kinds, notes, switches, roots, removals, closing.
 * What was acknowledged is there afterwards, what is there was issued, and a recovery that is cut short again changes nothing.
 */
import { describe, expect, it } from 'vitest';
import type { Env } from '../../src/env/env.ts';
import { crashDisk, type DataFate, type FolderFate } from '../../src/env/simulated-crash.ts';
import type { SimulatedDisk } from '../../src/env/simulated-disk.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { isMutation } from '../../src/env/simulated-trace.ts';
import { KIND_ROOT } from '../../src/log/batch.ts';
import type { FileCommitLog } from '../../src/log/file-commit-log.ts';
import type { LogOpening } from '../../src/log/log-recovery.ts';
import { batchOf, open, rootRecord } from '../helpers/log-model.ts';

const seed = Number(process.env.SOP_SEED ?? 1);
const runs = Math.ceil(Number(process.env.SOP_RUNS ?? 1) * 10);

/** What everybody may expect: the text of each number issued, and up to where they were acknowledged. */
interface Model {
  readonly issued: Map<number, string>;
  acknowledged: number;
}

interface Moment {
  readonly disk: SimulatedDisk;
  readonly acknowledged: number;
  readonly operation: number;
}

/** The texts above the root, by number; checks that they are dense and were issued. */
function checkOpening(opening: LogOpening, model: Model, atLeast: number, what: string): number {
  const replay = opening.replay();
  let expected = opening.coveredNumber + 1;
  while (replay.next()) {
    const t = replay.transaction;
    expect(t.number, what).toBe(expected++);
    const text = t.nextSection()
      ? new TextDecoder().decode(t.bytes.subarray(t.sectionStart, t.sectionStart + t.sectionLength)).trimEnd()
      : `#${t.kind}`;
    expect(text, what).toBe(model.issued.get(t.number));
  }
  expect(expected - 1, what).toBe(opening.durableNumber);
  expect(expected - 1, what).toBeGreaterThanOrEqual(atLeast);
  return expected - 1;
}

class Workload {
  readonly model: Model = { issued: new Map(), acknowledged: 0 };
  readonly #random: SeededRandom;
  readonly #process: Env;
  #log: FileCommitLog | undefined;
  #covered = 0;
  #count = 0;

  constructor(process: Env, random: SeededRandom) {
    this.#process = process;
    this.#random = random;
  }

  async run(steps: number): Promise<void> {
    await this.#open();
    for (let i = 0; i < steps; i++) await this.#step();
    await this.#log?.close();
  }

  async #open(): Promise<void> {
    const opening = await open(this.#process);
    this.model.acknowledged = Math.max(
      this.model.acknowledged,
      checkOpening(opening, this.model, this.model.acknowledged, 'reopened'),
    );
    this.#log = opening.log as FileCommitLog;
  }

  async #step(): Promise<void> {
    const log = this.#log as FileCommitLog;
    const choice = this.#random.below(12);
    if (choice < 4) this.#commitSync(log);
    else if (choice < 7) await this.#commitSeveral(log);
    else if (choice < 8) log.noteIdle();
    else if (choice < 9) await Promise.all([log.switchEpoch(undefined), this.#commitSeveral(log)]);
    else if (choice < 10) await this.#adoptRoot(log);
    else if (choice < 11) {
      await log.close();
      await this.#open();
    } else await this.#open(); // The old one is left as a killed process leaves it.
  }

  #texts(): string[] {
    const size = this.#random.chance(0.1) ? 9000 : 20;
    return Array.from({ length: 1 + this.#random.below(3) }, () =>
      `${this.#count++} `.padEnd(this.#random.below(size), 'x').trimEnd(),
    );
  }

  #issue(log: FileCommitLog, texts: string[]) {
    const batch = batchOf(log, texts);
    for (const [i, text] of texts.entries()) this.model.issued.set(batch.firstNumber + i, text);
    return batch;
  }

  #commitSync(log: FileCommitLog): void {
    const batch = this.#issue(log, this.#texts());
    log.commitSync(batch);
    this.model.acknowledged = batch.lastNumber;
    batch.release();
  }

  async #commitSeveral(log: FileCommitLog): Promise<void> {
    const commits: Promise<void>[] = [];
    for (let i = this.#random.below(4); i >= 0; i--) {
      const batch = this.#issue(log, this.#texts());
      const last = batch.lastNumber;
      commits.push(
        log.commit(batch).then(() => {
          this.model.acknowledged = last;
        }),
      );
      batch.release();
      if (this.#random.chance(0.3)) await Promise.resolve();
    }
    await Promise.all(commits);
  }

  async #adoptRoot(log: FileCommitLog): Promise<void> {
    const covers = log.durableNumber;
    if (covers <= this.#covered) return;
    await log.switchEpoch(undefined);
    const batch = log.openBatch();
    this.model.issued.set(batch.beginTransaction(KIND_ROOT, 0, 0), `#${KIND_ROOT}`);
    batch.addPayload(rootRecord(covers, 'a root'));
    batch.endTransaction();
    await log.commit(batch);
    this.model.acknowledged = batch.lastNumber;
    batch.release();
    this.#covered = covers;
    log.removeEpochsBefore(Number.MAX_SAFE_INTEGER);
  }
}

const dataFates: DataFate[] = ['kept', 'lost', 'extended', 'prefix', 'subset', 'torn'];
const folderFates: FolderFate[] = ['kept', 'lost', 'journal', 'prefix', 'subset'];

function drawCut(random: SeededRandom) {
  return { data: random.pick(dataFates), folders: random.pick(folderFates), seed: random.below(2 ** 31) };
}

/** The disk after each operation that changes something. */
function watch(world: SimulatedWorld, model: { acknowledged: number }): Moment[] {
  const moments: Moment[] = [];
  world.onOperation = (operation, { kind }) => {
    if (isMutation(kind)) moments.push({ disk: world.snapshot(), acknowledged: model.acknowledged, operation });
  };
  return moments;
}

/** Recovers from `disk`, goes on a little, and cuts the recovery itself at a few of its operations. */
async function recover(disk: SimulatedDisk, model: Model, atLeast: number, random: SeededRandom, what: string) {
  const world = new SimulatedWorld(random.below(2 ** 31), { disk: disk.fork(), traceLength: 0 });
  const process = world.startProcess();
  const shown = { acknowledged: atLeast };
  const moments = watch(world, shown);
  await world.run(async () => {
    const opening = await open(process);
    shown.acknowledged = checkOpening(opening, model, atLeast, what);
    const log = opening.log as FileCommitLog;
    const batch = batchOf(log, ['after']);
    const goesOn: Model = { issued: new Map(model.issued).set(batch.firstNumber, 'after'), acknowledged: 0 };
    log.commitSync(batch);
    batch.release();
    const again = await open(process);
    expect(checkOpening(again, goesOn, batch.lastNumber, what)).toBe(batch.lastNumber);
  });
  return { moments, lastNumber: shown.acknowledged };
}

async function recoverTwice(moment: Moment, model: Model, random: SeededRandom, what: string): Promise<number> {
  const cut = drawCut(random);
  const { disk } = crashDisk(moment.disk, cut);
  const text = `${what}, operation ${moment.operation}, ${JSON.stringify(cut)}`;
  const { moments, lastNumber } = await recover(disk, model, moment.acknowledged, random, text);
  const goesOn: Model = { issued: new Map(model.issued).set(lastNumber + 1, 'after'), acknowledged: 0 };
  let states = 1;
  for (let i = 0; i < 2 && moments.length > 0; i++, states++) {
    const inner = random.pick(moments);
    const again = drawCut(random);
    const torn = crashDisk(inner.disk, again).disk;
    const innerText = `${text}, then operation ${inner.operation}, ${JSON.stringify(again)}`;
    await recover(torn, goesOn, inner.acknowledged, random, innerText).catch((error: unknown) => {
      throw new Error(innerText, { cause: error });
    });
  }
  return states;
}

describe('a log whose power is cut', () => {
  it('keeps what it acknowledged, at every operation', async () => {
    const random = new SeededRandom(seed);
    let states = 0;
    for (let run = 0; run < runs; run++) {
      const world = new SimulatedWorld(random.below(2 ** 31), { traceLength: 0 });
      const workload = new Workload(world.startProcess(), random.fork());
      const moments = watch(world, workload.model);
      await world.run(() => workload.run(12));
      expect(workload.model.issued.size).toBeGreaterThan(0);
      for (const moment of moments) {
        states += await recoverTwice(moment, workload.model, random, `seed ${seed}, run ${run}`);
      }
    }
    expect(states).toBeGreaterThan(500);
    console.log(`log-crash: ${states} states, seed ${seed}`);
  });
});
