/** Who hears of a transaction's end. */
import { watchAnswer } from '../base/thenable.ts';

type Listener<T> = (word: T) => unknown;

export class Listeners {
  readonly #onError: (error: unknown) => void;
  readonly #onCommit: Listener<number>[] = [];
  readonly #onRollback: Listener<unknown>[] = [];
  readonly #onSettled: (() => void)[] = [];

  /** `onError` hears what listeners throw, and what promises that they answer reject with. */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  onCommit(listener: Listener<number>): void {
    this.#onCommit.push(listener);
  }

  onRollback(listener: Listener<unknown>): void {
    this.#onRollback.push(listener);
  }

  onSettled(listener: () => void): void {
    this.#onSettled.push(listener);
  }

  committed(number: number): void {
    for (const listener of this.#onCommit) this.#tell(listener, number);
  }

  rolledBack(reason: unknown): void {
    for (const listener of this.#onRollback) this.#tell(listener, reason);
  }

  settled(): void {
    for (const listener of this.#onSettled) listener();
  }

  /** Whoever listens can not keep the others of the batch from their answers. */
  #tell<T>(listener: Listener<T>, word: T): void {
    try {
      watchAnswer(listener(word), this.#onError);
    } catch (error) {
      this.#onError(error);
    }
  }
}
