/**
 * Virtual time. Whatever comes later in a simulated world (an answered call, a timer, a next turn) is an event here;
 * the driver takes them one by one and lets all promise reactions run dry in between, so that engine code with native
 * promises is a pure function of the seed.
 *
 * Between two events the driver needs every microtask done, those started by microtasks included. A `nextTick` asked for
 * from within a microtask gives just that: Node empties the microtask queue before it takes the next tick. It never
 * reaches the real event loop, so now and then a `setImmediate` lets real timers (a test's time limit) have their turn.
 */

import { assert } from '../base/assert.ts';

/** Who an event belongs to: events of the dead are dropped, those of a paused one wait. */
export interface EventOwner {
  readonly alive: boolean;
  readonly paused: boolean;
}

export interface ScheduledEvent {
  readonly atMs: number;
  readonly sequence: number;
  readonly owner: EventOwner;
  /** True for timers, which keep nobody waiting. */
  readonly background: boolean;
  /** Undefined once it was cancelled. */
  fn: (() => void) | undefined;
}

/** Nothing is left that could happen, yet somebody waits. */
export class SimulationStalledError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SimulationStalledError';
  }
}

const STEPS_PER_REAL_TURN = 4096;

export class SimulatedScheduler {
  nowMs = 0;
  stepCount = 0;
  maxSteps = 50_000_000;
  #heap: ScheduledEvent[] = [];
  #held: ScheduledEvent[] = [];
  #sequence = 0;
  #foreground = 0;
  #driving = false;

  /** Events that are no timers and not cancelled. */
  get foregroundCount(): number {
    return this.#foreground;
  }

  get isDriving(): boolean {
    return this.#driving;
  }

  schedule(delayMs: number, owner: EventOwner, background: boolean, fn: () => void): ScheduledEvent {
    const event = { atMs: this.nowMs + Math.max(0, delayMs), sequence: this.#sequence++, owner, background, fn };
    if (!background) this.#foreground++;
    this.#push(event);
    return event;
  }

  cancel(event: ScheduledEvent): void {
    if (event.fn === undefined) return;
    event.fn = undefined;
    if (!event.background) this.#foreground--;
  }

  /** Gives back the events of those who are no longer paused. */
  releaseHeld(): void {
    const held = this.#held;
    this.#held = [];
    for (const event of held) this.#push(event);
  }

  /** Runs the next event; false where there is none (at or before `untilMs`). */
  step(untilMs = Number.POSITIVE_INFINITY): boolean {
    for (;;) {
      const event = this.#heap[0];
      if (event === undefined || event.atMs > untilMs) return false;
      this.#pop();
      const fn = event.fn;
      if (fn === undefined) continue;
      if (!event.owner.alive) {
        this.cancel(event);
        continue;
      }
      if (event.owner.paused) {
        this.#held.push(event);
        continue;
      }
      if (event.atMs > this.nowMs) this.nowMs = event.atMs;
      this.cancel(event);
      this.stepCount++;
      fn();
      return true;
    }
  }

  /** Runs events until `isDone`; rejects with `SimulationStalledError` where nothing is left to run before that. */
  drive(isDone: () => boolean, untilMs = Number.POSITIVE_INFINITY): Promise<void> {
    assert(!this.#driving, 'one driver at a time');
    this.#driving = true;
    const lastStep = this.stepCount + this.maxSteps;
    return new Promise<void>((resolve, reject) => {
      const turn = (): void => {
        let goesOn: boolean;
        try {
          goesOn = this.#turn(isDone, untilMs, lastStep);
        } catch (error) {
          this.#driving = false;
          reject(error);
          return;
        }
        if (!goesOn) {
          this.#driving = false;
          resolve();
        } else if (this.stepCount % STEPS_PER_REAL_TURN === 0) setImmediate(turn);
        else queueMicrotask(() => process.nextTick(turn));
      };
      queueMicrotask(() => process.nextTick(turn));
    });
  }

  /** Whether an event, timers included, is due at or before `untilMs`. */
  hasEventBefore(untilMs: number): boolean {
    const event = this.#heap[0];
    return event !== undefined && event.atMs <= untilMs;
  }

  /** One event; false where the driver's work is done. */
  #turn(isDone: () => boolean, untilMs: number, lastStep: number): boolean {
    if (isDone()) return false;
    if (!this.step(untilMs)) {
      // What was left may have belonged to the dead: dropping it can be all that was waited for.
      if (isDone()) return false;
      throw new SimulationStalledError('nothing left to run, and somebody still waits');
    }
    if (this.stepCount > lastStep) throw new SimulationStalledError(`no end after ${this.maxSteps} steps`);
    return true;
  }

  #push(event: ScheduledEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent] as ScheduledEvent)) break;
      heap[at] = heap[parent] as ScheduledEvent;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const moved = heap.pop() as ScheduledEvent;
    if (heap.length === 0) return;
    let at = 0;
    for (let child = 1; child < heap.length; child = at * 2 + 1) {
      const right = child + 1;
      if (right < heap.length && isBefore(heap[right] as ScheduledEvent, heap[child] as ScheduledEvent)) child = right;
      if (!isBefore(heap[child] as ScheduledEvent, moved)) break;
      heap[at] = heap[child] as ScheduledEvent;
      at = child;
    }
    heap[at] = moved;
  }
}

function isBefore(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
