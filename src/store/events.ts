/**
 * Who listens to a database, and how they are told.
 *
 *  1. Whoever tells goes on first: listeners run in a microtask of their own, in the order of the events. So they may call
 *     whatever they like, the database included.
 *  2. A listener that throws, or answers a promise that rejects, disturbs nobody: what it threw is told as a background error, to others than itself.
 *  3. Where nobody listens nothing is built, queued or called.
 */
import { InvalidArgumentError } from '../base/errors.ts';
import { ignore, watchAnswer } from '../base/thenable.ts';
import type { ConflictEvent, RetryEvent } from './conflict-events.ts';
import type { EngineEvents, EngineObserver } from '../transaction/engine-events.ts';
import { quoted } from './arguments.ts';

/** Something went wrong in the background, where there is no call to fail; also what a listener threw. */
export interface ErrorEvent {
  readonly error: unknown;
}

/** An index is being built over what its store holds already. */
export interface IndexEvent {
  readonly phase: 'begin' | 'progress' | 'ready' | 'failed';
  readonly store: string;
  readonly index: string;
  /** Entries of the store that are done. */
  readonly done: number;
  /** Entries of the store when the build began; 0 where that is not known yet. */
  readonly total: number;
  /** Why it could not be built; keys of the store may be in it. */
  readonly problem: string | undefined;
}

/** The database was closed. */
export interface ClosedEvent {
  readonly folder: string;
}

/** The events of a database by name, for `db.on`. */
export interface DatabaseEvents extends EngineEvents {
  /** A commit was refused because of another transaction. */
  readonly conflict: ConflictEvent;
  /** `db.write` is about to run its work again. */
  readonly retry: RetryEvent;
  readonly error: ErrorEvent;
  readonly index: IndexEvent;
  readonly closed: ClosedEvent;
}

/** What `db.on` takes. */
export type EventName = keyof DatabaseEvents;

const NAMES: Readonly<Record<EventName, true>> = {
  checkpoint: true,
  closed: true,
  compaction: true,
  conflict: true,
  error: true,
  index: true,
  reclaimed: true,
  recovered: true,
  retry: true,
  slow: true,
};

type Listener = (event: never) => unknown;

interface Told {
  readonly name: EventName;
  readonly event: unknown;
}

export class Events implements EngineObserver {
  /** Asked by every transaction, and so kept ready. */
  hearsConflicts = false;
  hearsRetries = false;
  readonly #listeners = new Map<EventName, readonly Listener[]>();
  readonly #onBackgroundError: ((error: unknown) => unknown) | undefined;
  #queue: Told[] = [];
  #scheduled = false;

  constructor(onBackgroundError?: (error: unknown) => unknown) {
    this.#onBackgroundError = onBackgroundError;
  }

  /** Answers the function that ends it. */
  on<Name extends EventName>(name: Name, listener: (event: DatabaseEvents[Name]) => void): () => void {
    if (!Object.hasOwn(NAMES, name)) {
      const names = Object.keys(NAMES).join(', ');
      throw new InvalidArgumentError(`there is no event ${quoted(name)}; there are: ${names}`);
    }
    if (typeof listener !== 'function') throw new InvalidArgumentError(`who listens to '${name}' is a function`);
    // One of its own, so that a function that listens twice is ended once at a time.
    const own: Listener = (event): unknown => listener(event);
    this.#set(name, [...(this.#listeners.get(name) ?? []), own]);
    return () => this.#set(name, this.#listeners.get(name)?.filter((one) => one !== own) ?? []);
  }

  #set(name: EventName, listeners: readonly Listener[]): void {
    if (listeners.length === 0) this.#listeners.delete(name);
    else this.#listeners.set(name, listeners);
    this.hearsConflicts = this.#listeners.has('conflict');
    this.hearsRetries = this.#listeners.has('retry');
  }

  tell<Name extends EventName>(name: Name, event: DatabaseEvents[Name]): void {
    if (!this.#listeners.has(name)) return;
    this.#queue.push({ name, event });
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.flush());
  }

  /** For errors that are nobody's to catch. */
  readonly error = (error: unknown): void => {
    this.report(error);
    this.tell('error', { error });
  };

  /** Tells now what waits to be told. */
  flush(): void {
    this.#scheduled = false;
    for (let told = this.#queue.shift(); told !== undefined; told = this.#queue.shift()) this.#deliver(told);
  }

  #deliver({ name, event }: Told): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        const answer = (listener as (event: unknown) => unknown)(event);
        watchAnswer(answer, (thrown) => this.#threw(name, thrown));
      } catch (thrown) {
        this.#threw(name, thrown);
      }
    }
  }

  /** Not told to those who listen to errors if it is one of them: it would throw again. */
  #threw(name: EventName, thrown: unknown): void {
    if (name === 'error') this.report(thrown);
    else this.error(thrown);
  }

  /** Tells `onBackgroundError` alone. */
  report(error: unknown): void {
    try {
      watchAnswer(this.#onBackgroundError?.(error), ignore);
    } catch {
      // Who was to be told of errors makes some: there is nobody left to tell.
    }
  }
}
