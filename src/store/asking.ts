/**
 * Waits for what participants promise, for as long as there is anything to wait for: until the transaction's time limit or signal
 * ends it, and until the database is closed. One that never answers would keep both open.
 */
import { ClosedError } from '../base/errors.ts';
import type { EngineApi, EngineTransaction } from '../transaction/engine-api.ts';

export class Asking {
  /** A limit of the transaction: there is no time for anybody's answer any more. */
  isOutOfTime = false;
  readonly #endWork: () => void;
  readonly #endLimit: () => void;
  readonly #over: Promise<never>;
  #isOver = false;

  constructor(database: EngineApi, transaction: EngineTransaction) {
    let giveUp: (reason: unknown) => void = () => {};
    this.#over = new Promise((_, reject) => {
      giveUp = (reason) => {
        this.#isOver = true;
        reject(reason);
      };
    });
    // Nobody may be waiting.
    this.#over.catch(() => {});
    this.#endWork = database.beginWork(() =>
      giveUp(new ClosedError('the database was closed while participants were asked to prepare')),
    );
    this.#endLimit = transaction.onLimit((reason) => {
      this.isOutOfTime = true;
      giveUp(reason);
    });
  }

  /** Until `question` is answered. Throws what it throws, or why it is not waited for: `onLate` then gets the answer. */
  async ask(question: () => Promise<void> | void, onLate: (answer: Promise<void>) => void): Promise<void> {
    if (this.#isOver) await this.#over;
    const answer = (async () => question())();
    await Promise.race([answer, this.#over]).catch((error: unknown) => {
      if (this.#isOver) onLate(answer);
      throw error;
    });
  }

  /** Nobody is asked any more, and all have been told. Harmless when repeated. */
  end(): void {
    this.#endLimit();
    this.#endWork();
  }
}
