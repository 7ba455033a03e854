/**
 * One process of a simulated world: an `Env` of its own over the common disk. Its asynchronous calls, timers and turns
 * are events of the world's scheduler; killed, it does nothing more.
 */

import type { Clock, Env, ProcessInfo, Random, Timer, Timers } from './env.ts';
import { SimulatedFiles } from './simulated-files.ts';
import type { AppendJob, CallCounter, ProcessPort, WorldPort } from './simulated-port.ts';
import type { EventOwner, SimulatedScheduler } from './simulated-scheduler.ts';

export interface ProcessOptions {
  /** Processes of one host share its page cache; a power cut may hit one host only. Default 'host-0'. */
  readonly host?: string;
  readonly readOnly?: boolean;
  /** How wrong this process's wall clock is. */
  readonly wallSkewMs?: number;
}

/** What a process needs of its world beyond what its files do. */
export interface ProcessWorld extends WorldPort {
  readonly scheduler: SimulatedScheduler;
  latencyMs(): number;
  /** Whether an asynchronous call is answered in a later event than the one in which it took effect. */
  answersLater(): boolean;
}

/** Thrown at code that goes on running after its process was killed. */
export class ProcessKilledError extends Error {
  constructor() {
    super('this simulated process was killed');
    this.name = 'ProcessKilledError';
  }
}

const WALL_START_MS = 1_800_000_000_000;
const NEXT_TURN_MS = 0.001;

/** One process of a simulated world: an `Env` of its own. */
export class SimulatedProcess implements Env, EventOwner, ProcessPort {
  readonly world: ProcessWorld;
  readonly index: number;
  readonly host: number;
  readonly files: SimulatedFiles;
  readonly clock: Clock;
  readonly random: Random;
  readonly timers: Timers;
  readonly process: ProcessInfo;
  wallSkewMs: number;
  alive = true;
  paused = false;
  #jobs: AppendJob[] = [];

  constructor(
    world: ProcessWorld,
    index: number,
    host: number,
    hostName: string,
    options: ProcessOptions,
    random: Random,
  ) {
    this.world = world;
    this.index = index;
    this.host = host;
    this.files = new SimulatedFiles(this, options.readOnly ?? false);
    this.random = random;
    this.process = { pid: 1000 + index, host: hostName };
    this.wallSkewMs = options.wallSkewMs ?? 0;
    const { scheduler } = world;
    this.clock = {
      wallMs: () => Math.floor(WALL_START_MS + scheduler.nowMs + this.wallSkewMs),
      monotonicMs: () => scheduler.nowMs,
    };
    this.timers = {
      after: (delayMs, fn) => this.#after(delayMs, fn),
      nextTurn: (fn) => {
        if (this.alive) scheduler.schedule(NEXT_TURN_MS, this, false, fn);
      },
    };
  }

  /** As `kill -9`: what it wrote stays in the cache, what it waited for never comes, its locks are free. */
  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    this.#jobs = [];
    this.world.locks.dropWhere((file) => file.process === this);
  }

  /** As SIGSTOP: its events wait, its locks stay. */
  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.world.scheduler.releaseHeld();
  }

  mustLive(): void {
    if (!this.alive) throw new ProcessKilledError();
  }

  /** An asynchronous call: takes effect in one event, is answered there or in a later one. */
  submit<T>(file: CallCounter | undefined, effect: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (!this.alive) return;
      if (file !== undefined) file.pendingCalls++;
      this.world.scheduler.schedule(this.world.latencyMs(), this, false, () =>
        this.#perform(file, effect, resolve, reject),
      );
    });
  }

  /** Puts a job behind the others of this process's log thread. */
  appendLater(job: AppendJob): void {
    if (!this.alive) return;
    job.file.pendingCalls++;
    this.#jobs.push(job);
    if (this.#jobs.length === 1) this.#startJob(job);
  }

  #after(delayMs: number, fn: () => void): Timer {
    if (!this.alive) return { cancel: () => {} };
    const { scheduler } = this.world;
    const event = scheduler.schedule(delayMs, this, true, fn);
    return { cancel: () => scheduler.cancel(event) };
  }

  #perform<T>(
    file: CallCounter | undefined,
    effect: () => T,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ): void {
    let settle: () => void;
    try {
      const value = effect();
      settle = () => resolve(value);
    } catch (error) {
      if (!this.alive) return;
      settle = () => reject(error);
    }
    const answer = (): void => {
      if (file !== undefined) file.pendingCalls--;
      settle();
    };
    if (this.world.answersLater()) this.world.scheduler.schedule(this.world.latencyMs(), this, false, answer);
    else answer();
  }

  /** Write, sync and look at the seal are events of their own: others may come in between. */
  #startJob(job: AppendJob): void {
    const { file } = job;
    this.#stage(job, () => {
      file.writeSync(job.from.subarray(0, job.length), job.position);
      this.#stage(job, () => {
        file.syncSync();
        this.#stage(job, () => {
          const sealIsZero = file.sealIsZero(job.sealPosition);
          this.#endJob(job, () => job.resolve(sealIsZero));
        });
      });
    });
  }

  #stage(job: AppendJob, effect: () => void): void {
    this.world.scheduler.schedule(this.world.latencyMs(), this, false, () => {
      try {
        effect();
      } catch (error) {
        if (this.alive) this.#endJob(job, () => job.reject(error));
      }
    });
  }

  #endJob(job: AppendJob, settle: () => void): void {
    this.#jobs.shift();
    job.file.pendingCalls--;
    settle();
    const next = this.#jobs[0];
    if (next !== undefined) this.#startJob(next);
  }
}
