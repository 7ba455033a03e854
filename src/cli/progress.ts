/** One line on a terminal that says how far something is, how fast, and how long it will still take. */
import { formatCount, formatDuration, type Output } from './output.ts';

const REDRAW_MS = 100;
const BAR_CELLS = 24;

export class Progress {
  readonly #out: Output;
  readonly #label: string;
  readonly #began = performance.now();
  #drawnAt = 0;
  #shown = false;
  /** Of the whole, done before this run: does not count for the rate. */
  #skipped: number;

  constructor(out: Output, label: string, skipped = 0) {
    this.#out = out;
    this.#label = label;
    this.#skipped = skipped;
  }

  get elapsedMs(): number {
    return performance.now() - this.#began;
  }

  /** For work whose end nobody knows: what is known, and that it goes on. */
  say(text: string): void {
    const stream = this.#out.progressStream;
    const now = performance.now();
    if (stream === undefined || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#shown = true;
    const line = `${this.#label}  ${text}  ${formatDuration(this.elapsedMs)}`;
    stream.write(`\r\x1b[K${line.slice(0, (stream.columns ?? 80) - 1)}`);
  }

  /** `done` of `total` (undefined: unknown) in whatever unit; `items` is what the rate counts. */
  show(done: number, total: number | undefined, items: number, unit: string): void {
    const stream = this.#out.progressStream;
    const now = performance.now();
    if (stream === undefined || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#shown = true;
    const seconds = Math.max(0.001, this.elapsedMs / 1000);
    const rate = `${formatCount(items)} ${unit}  ${formatCount(items / seconds)}/s`;
    let text = `${this.#label}  ${rate}`;
    if (total !== undefined && total > 0) {
      const part = Math.min(1, done / total);
      const speed = (done - this.#skipped) / this.elapsedMs;
      const left = speed > 0 ? `  ${formatDuration((total - done) / speed)} left` : '';
      const full = Math.round(part * BAR_CELLS);
      const bar = '#'.repeat(full) + '.'.repeat(BAR_CELLS - full);
      text = `${this.#label}  [${bar}] ${String(Math.floor(part * 100)).padStart(3)}%  ${rate}${left}`;
    }
    const columns = stream.columns ?? 80;
    stream.write(`\r\x1b[K${text.slice(0, columns - 1)}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#shown) this.#out.progressStream?.write('\r\x1b[K');
    this.#shown = false;
  }
}
