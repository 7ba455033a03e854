/**
 * Runs of several clients on one engine under one seed's interleaving: the bodies of the schedule tests, each of which throws
 * where a promise is broken.
 */
import type { Env } from '../../src/env/env.ts';
import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import type { EngineApi } from '../../src/transaction/engine-api.ts';
import { openSmall } from './engine-system.ts';
import { type ClientCounts, readAll, runClient, runUpkeep } from './list-clients.ts';
import { History } from './list-history.ts';

/** Owner of events that are nobody's. */
const UNTOUCHED = { alive: true, paused: false };

const CACHE = { cacheBytes: 128 * 1024 };

async function clientsOf(
  env: Env,
  engine: EngineApi,
  random: SeededRandom,
  history: History,
  counts: ClientCounts,
  disksFail: boolean,
): Promise<void> {
  const context = (): Parameters<typeof runClient>[0] => ({ env, engine, random: random.fork(), history, disksFail });
  const clients = Array.from({ length: 2 + random.below(4) }, () => runClient(context(), 4 + random.below(6), counts));
  await Promise.all([...clients, runUpkeep(context(), random.below(5))]);
}

/** Nothing fails. */
export async function runQuietly(seed: number, counts: ClientCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  const process = world.startProcess();
  const history = new History();
  await world.run(async () => {
    const engine = await openSmall(process, CACHE);
    await clientsOf(process, engine, new SeededRandom(seed + 5), history, counts, false);
    const { marks, lists } = readAll(engine);
    history.check(marks, lists);
    await engine.close();
  });
}

/** The disk refuses a sync or a write now and then. */
export async function runWithFailingDisk(seed: number, counts: ClientCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  const process = world.startProcess();
  const history = new History();
  await world.run(async () => {
    const engine = await openSmall(process, CACHE);
    world.fail({ operation: ['sync', 'write'], error: 'EIO', chance: 0.02, times: 1 + (seed % 3) });
    await clientsOf(process, engine, new SeededRandom(seed + 5), history, counts, true);
    world.clearFaults();
    await engine.close().catch(() => {});
  });
  await checkAfterwards(world, history);
}

/** The power goes, twice, and another process goes on. */
export async function runWithPowerCuts(seed: number, counts: ClientCounts): Promise<void> {
  const world = new SimulatedWorld(seed, { traceLength: 0 });
  const random = new SeededRandom(seed + 5);
  const history = new History();
  for (let life = 0; life < 2; life++) {
    const process = world.startProcess();
    // Between two events: nothing that runs notices, and nothing of it runs on.
    world.scheduler.schedule(1 + random.fraction() * 20, UNTOUCHED, true, () => process.kill());
    await world.runUnlessKilled(process, async () => {
      const engine = await openSmall(process, CACHE);
      await clientsOf(process, engine, random, history, counts, false);
    });
    for (const one of history.transactions) if (one.outcome === 'open') one.outcome = 'unknown';
    world.crash({ data: 'torn', folders: 'prefix', seed: seed + life });
  }
  await checkAfterwards(world, history);
}

async function checkAfterwards(world: SimulatedWorld, history: History): Promise<void> {
  for (const process of world.processes) process.kill();
  await world.run(async () => {
    const engine = await openSmall(world.startProcess(), CACHE);
    const { marks, lists } = readAll(engine);
    history.check(marks, lists);
    await engine.close();
  });
}
