/**
 * Processes that run rounds of lanes, one for each core. A round is a lane and a seed; it ends with figures, with a failure (thrown,
 * crashed, or without an end), or, where the crew is dismissed, not at all.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { Figures } from './lane-row.ts';

export interface Round {
  readonly lane: string;
  readonly seed: number;
  readonly roundSeconds: number;
}

export interface RoundAnswer {
  readonly figures: Figures;
  readonly failure: string | undefined;
  readonly seconds: number;
}

/** What a worker says. */
export interface WorkerAnswer {
  readonly figures?: Figures;
  readonly failure?: string;
}

const WORKER = join(import.meta.dirname, 'crew-worker.ts');
/** What a process gathers over time must not become a round's trouble. */
const ROUNDS_PER_PROCESS = 150;

export class Crew {
  readonly #next: () => Round | undefined;
  readonly #done: (round: Round, answer: RoundAnswer) => void;
  readonly #children = new Set<ChildProcess>();
  #dismissed = false;

  constructor(next: () => Round | undefined, done: (round: Round, answer: RoundAnswer) => void) {
    this.#next = next;
    this.#done = done;
  }

  /** Resolves once there is nothing more to do, or the crew was dismissed. */
  async work(jobs: number): Promise<void> {
    await Promise.all(Array.from({ length: jobs }, () => this.#member()));
  }

  /** Ends what is under way; those rounds count as not begun. */
  dismiss(): void {
    this.#dismissed = true;
    for (const child of this.#children) end(child);
  }

  async #member(): Promise<void> {
    let child: ChildProcess | undefined;
    let rounds = 0;
    for (let round = this.#take(); round !== undefined; round = this.#take()) {
      if (child === undefined || rounds >= ROUNDS_PER_PROCESS || !child.connected) {
        if (child !== undefined) end(child);
        child = this.#start();
        rounds = 0;
      }
      rounds++;
      const began = performance.now();
      const answer = await this.#run(child, round);
      if (this.#dismissed) break;
      const seconds = (performance.now() - began) / 1000;
      this.#done(round, { figures: answer.figures ?? {}, failure: answer.failure, seconds });
    }
    if (child !== undefined) end(child);
  }

  #take(): Round | undefined {
    return this.#dismissed ? undefined : this.#next();
  }

  #start(): ChildProcess {
    // A group of its own: Ctrl-C is for us, and what a member starts ends with it.
    const child = fork(WORKER, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], detached: true });
    this.#children.add(child);
    child.on('exit', () => this.#children.delete(child));
    return child;
  }

  #run(child: ChildProcess, round: Round): Promise<WorkerAnswer> {
    return new Promise((resolve) => {
      const settle = (answer: WorkerAnswer): void => {
        clearTimeout(timer);
        child.off('message', onMessage);
        child.off('exit', onExit);
        resolve(answer);
      };
      const onMessage = (answer: unknown): void => settle(answer as WorkerAnswer);
      const onExit = (code: number | null, signal: string | null): void =>
        settle({ failure: `the process ended with ${signal ?? code}` });
      const timer = setTimeout(() => {
        end(child);
        settle({ failure: `no end after ${round.roundSeconds} s` });
      }, round.roundSeconds * 1000);
      child.on('message', onMessage);
      child.on('exit', onExit);
      child.send(round);
    });
  }
}

function end(child: ChildProcess): void {
  try {
    process.kill(-(child.pid as number), 'SIGKILL');
  } catch {
    // It is gone already.
  }
}
