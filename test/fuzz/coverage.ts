/**
 * Which parts of the engine ran, by V8's own block coverage in this process. A part is a range of source whose count was above
 * zero; taking a look resets the counts, so a look tells what ran since the last one.
 */
import { Session } from 'node:inspector';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface ScriptCoverage {
  readonly scriptId: string;
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

const OURS = /\/src\/(?!env\/)/;

export class Coverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  start(): void {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  stop(): void {
    this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }

  get parts(): number {
    return this.#seen.size;
  }

  /** Parts that ran since the last look and never before a `learn`. */
  look(): Set<string> {
    const fresh = new Set<string>();
    for (const { scriptId, functions } of this.#take()) {
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          const part = `${scriptId}:${startOffset}-${endOffset}`;
          if (count > 0 && !this.#seen.has(part)) fresh.add(part);
        }
      }
    }
    return fresh;
  }

  learn(parts: Iterable<string>): void {
    for (const part of parts) this.#seen.add(part);
  }

  #take(): readonly ScriptCoverage[] {
    let taken: readonly ScriptCoverage[] = [];
    // The answer comes before `post` returns: the session is in this thread.
    this.#session.post('Profiler.takePreciseCoverage', (error: Error | null, answer?: { result: unknown }) => {
      if (error !== null) throw error;
      taken = (answer as { result: readonly ScriptCoverage[] }).result;
    });
    return taken.filter(({ url }) => OURS.test(url));
  }
}
