/** How the tour looks: headings, facts and progress; lively on a terminal, plain lines elsewhere. */
const { stdout } = process;
const live = stdout.isTTY === true;
const colours = live && process.env.NO_COLOR === undefined;
const style = (code: number) => (text: string) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);

export const bold = style(1);
export const dim = style(2);
export const green = style(32);
export const cyan = style(36);

let step = 0;

export function heading(text: string): void {
  step++;
  stdout.write(`\n${bold(cyan(`${step}  ${text}`))}\n`);
}

export function say(text = ''): void {
  stdout.write(text === '' ? '\n' : `   ${text}\n`);
}

export function fact(text: string): void {
  stdout.write(`   ${green('✓')} ${text}\n`);
}

/** A question, its answer, and what it took. */
export function answer(question: string, lines: readonly string[], note: string): void {
  stdout.write(`   ${bold(question)}  ${dim(note)}\n`);
  for (const line of lines) stdout.write(`      ${line}\n`);
}

export const count = (value: number): string => Math.round(value).toLocaleString('en-US');

export function duration(milliseconds: number): string {
  if (milliseconds < 1) return `${Math.max(1, Math.round(milliseconds * 1000))} µs`;
  if (milliseconds < 1000) return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

export const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

/** A line that is drawn over itself; without a terminal nothing until the end. */
export class ProgressLine {
  readonly #label: string;
  readonly #began = performance.now();
  #drawnAt = 0;

  constructor(label: string) {
    this.#label = label;
  }

  show(done: number, total: number): void {
    const now = performance.now();
    if (!live || now - this.#drawnAt < 80) return;
    this.#drawnAt = now;
    const part = total === 0 ? 0 : Math.min(1, done / total);
    const full = Math.round(part * 28);
    const rate = done / Math.max(0.001, (now - this.#began) / 1000);
    const left = rate > 0 ? `  ${duration(((total - done) / rate) * 1000)} left` : '';
    const bar = `${green('█'.repeat(full))}${dim('░'.repeat(28 - full))}`;
    stdout.write(`\r\x1b[K   ${this.#label} ${bar} ${count(done)}  ${count(rate)}/s${left}`);
  }

  /** Answers how long it took. */
  end(): number {
    if (live) stdout.write('\r\x1b[K');
    return performance.now() - this.#began;
  }
}
