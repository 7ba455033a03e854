/**
 * The crash loops, whatever makes the crash: a worker commits, something ends it at a random moment, the next one (and now
 * and then this process itself) opens the database and tells what is there.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { GroupOracle } from './group-oracle.ts';
import { readState } from './group-state.ts';
import type { Orders } from './group-worker.ts';
import { type LineProcess, startProcess } from './processes.ts';
import { openDatabase } from './sop.ts';

export interface CrashOptions {
  readonly seed: number;
  readonly rounds: number;
  /** Where the database is. */
  readonly folder: string;
  /** Ends the worker. Nothing the worker says afterwards may be an answer it had no right to give. */
  readonly crash: (worker: LineProcess) => Promise<void> | void;
  /** After the worker is gone, before anyone opens the database again. */
  readonly recover?: () => void;
  /** The worker outlives the crash, and meets errors. */
  readonly outlived: boolean;
}

export interface CrashFigures {
  readonly rounds: number;
  readonly acknowledged: number;
  readonly unansweredWhole: number;
  readonly unansweredAbsent: number;
  readonly checks: number;
  readonly diedWhileOpening: number;
  /** Milliseconds from the call of open to its answer, in the workers. */
  readonly openMs: readonly number[];
}

const WORKER = join(import.meta.dirname, 'group-worker.ts');
const PATIENCE_MS = 60_000;
const KIB = 1024;

/** Throws, with the round and the seed, at the first thing that is not as promised. */
export async function runCrashRounds(options: CrashOptions): Promise<CrashFigures> {
  const chance = new SeededRandom(options.seed);
  const oracle = new GroupOracle(options.seed);
  const openMs: number[] = [];
  let diedWhileOpening = 0;
  await warmUp();
  // Always one ahead, so that no round waits for a process to start.
  let next = startProcess(WORKER);
  try {
    for (let round = 0; round < options.rounds; round++) {
      const worker = next;
      next = startProcess(WORKER);
      const { lines, before } = await liveAndDie(worker, makeOrders(chance, options, round), chance, options);
      const wrong = judge(oracle, round, lines);
      const troubles = lines
        .slice(0, options.outlived ? before : lines.length)
        .filter((line) => line.startsWith('trouble '));
      wrong.push(...troubles.map((line) => line.replaceAll('\\n', '\n')));
      if (!lines.some((line) => line.startsWith('state '))) diedWhileOpening++;
      for (const line of lines) if (line.startsWith('open ')) openMs.push(Number(line.slice(5)));
      if (wrong.length === 0 && chance.below(3) === 0)
        wrong.push(...(await checkHere(oracle, options.folder, chance.below(2) === 0)));
      if (wrong.length === 0 && chance.below(6) === 0) wrong.push(...(await checkBackup(options.folder)));
      if (wrong.length > 0)
        throw new Error(`round ${round}, SOP_SEED=${options.seed}:\n${wrong.join('\n')}\n${worker.complaints}`);
    }
    const wrong = [...(await checkHere(oracle, options.folder, false)), ...(await checkBackup(options.folder))];
    if (wrong.length > 0) throw new Error(`at the end, SOP_SEED=${options.seed}:\n${wrong.join('\n')}`);
  } finally {
    next.kill();
    await next.ended;
  }
  return {
    rounds: options.rounds,
    acknowledged: oracle.acknowledged,
    unansweredWhole: oracle.foundWhole,
    unansweredAbsent: oracle.foundAbsent,
    checks: oracle.checks,
    diedWhileOpening,
    openMs,
  };
}

function makeOrders(chance: SeededRandom, { folder, seed }: CrashOptions, round: number): Orders {
  const pick = <T>(...choices: readonly T[]): T => choices[chance.below(choices.length)] as T;
  return {
    folder,
    seed,
    round,
    clients: pick(1, 2, 4, 8, 16, 32),
    tableBytes: pick(256, 256, 512, 1024, 4096) * KIB,
    cacheBytes: pick(1024, 4096, 16_384) * KIB,
    beside: pick('nothing', 'nothing', 'checkpoint', 'compact', 'verify', 'backup'),
  };
}

/** One worker that ends in peace: from then on they start from the compile cache. */
async function warmUp(): Promise<void> {
  const worker = startProcess(WORKER);
  worker.endInput();
  await soon('a worker ends', worker.ended, worker);
}

/** Lets a worker go, ends it at a random moment; answers everything it said, and how much of that before the crash. */
async function liveAndDie(
  worker: LineProcess,
  orders: Orders,
  chance: SeededRandom,
  options: CrashOptions,
): Promise<{ lines: readonly string[]; before: number }> {
  await soon(
    'a worker gets ready',
    worker.saying((line) => line === 'ready'),
    worker,
  );
  worker.tell(JSON.stringify(orders));
  if (chance.below(6) > 0) {
    // Amid commits; the other rounds end while the database is being opened.
    const alive = worker.saying((line) => line.startsWith('a ') || line.startsWith('trouble '));
    await soon(`round ${orders.round} (${JSON.stringify(orders)}), the first answer`, alive, worker);
    await pause(chance.below(chance.below(4) === 0 ? 600 : 150));
  } else await pause(chance.below(40));
  const before = worker.lines.length;
  await options.crash(worker);
  worker.kill();
  const { lines } = await soon('a killed worker ends', worker.ended, worker);
  options.recover?.();
  return { lines, before };
}

/** What a hang would hide: which step of which worker never ended. */
async function soon<T>(what: string, work: Promise<T>, worker?: LineProcess): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const tell = (): void => {
      const words = (worker?.lines ?? []).slice(-5).map((line) => line.slice(0, 2000));
      reject(new Error([`${what}: no end in ${PATIENCE_MS} ms`, ...words, worker?.complaints ?? ''].join('\n')));
    };
    timer = setTimeout(tell, PATIENCE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function judge(oracle: GroupOracle, round: number, lines: readonly string[]): string[] {
  const wrong: string[] = [];
  const state = lines.find((line) => line.startsWith('state '));
  if (state !== undefined) {
    const { fingerprints, totals } = JSON.parse(state.slice(6)) as {
      fingerprints: [number, string][];
      totals: number[];
    };
    wrong.push(
      ...oracle.check({ fingerprints: new Map(fingerprints), totals }).map((word) => `a fresh process found: ${word}`),
    );
  }
  oracle.hear(round, lines);
  return wrong;
}

/** Opens the database in this process, reads every entry, verifies. */
async function checkHere(oracle: GroupOracle, folder: string, readOnly: boolean): Promise<string[]> {
  const how = readOnly ? 'read-only' : 'for writing';
  let db: Awaited<ReturnType<typeof openDatabase>>;
  try {
    db = await soon(`opening ${how}`, openDatabase(folder, { readOnly }));
  } catch (error) {
    if ((error as { code?: string }).code === 'DATABASE_NOT_FOUND' && oracle.acknowledged === 0) return [];
    throw error;
  }
  try {
    const wrong = oracle.check(await soon(`reading ${how}`, readState(db)));
    const { ok, problems } = await soon(`verify ${how}`, db.verify());
    if (!ok) wrong.push(`verify: ${JSON.stringify(problems.slice(0, 5))}`);
    return wrong.map((word) => `opened here ${how}: ${word}`);
  } finally {
    await soon(`close ${how}`, db.close());
  }
}

/** The newest backup, whoever was killed over it: it opens and is sound, or says that it never was whole. */
async function checkBackup(folder: string): Promise<string[]> {
  const path = `${folder}-backup`;
  if (!existsSync(path)) return [];
  let db: Awaited<ReturnType<typeof openDatabase>>;
  try {
    db = await soon('opening the backup', openDatabase(path, { readOnly: true }));
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'BACKUP_INCOMPLETE' || code === 'DATABASE_NOT_FOUND') return [];
    throw error;
  }
  try {
    await readState(db);
    const { ok, problems } = await db.verify();
    return ok ? [] : [`verify of the backup: ${JSON.stringify(problems.slice(0, 5))}`];
  } finally {
    await db.close();
  }
}
