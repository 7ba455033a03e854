/** The lines typed into `sop shell`, in a file of the user's own: never in a database's folder. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

const MOST_LINES = 1000;

export class ShellHistory {
  /** Newest first. */
  readonly lines: string[];
  readonly #path: string;
  #works = true;

  constructor(environment: Readonly<Record<string, string | undefined>>) {
    const { XDG_STATE_HOME: state, HOME: home } = environment;
    // The specification has relative paths ignored.
    const base =
      state?.startsWith('/') === true
        ? state
        : join(home === undefined || home === '' ? homedir() : home, '.local', 'state');
    this.#path = join(base, 'sop', 'history');
    this.lines = this.#load();
  }

  /** A history that cannot be kept is no reason not to work. */
  add(line: string): void {
    if (!this.#works || line.trim() === '' || line === this.lines[0]) return;
    this.lines.unshift(line);
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      appendFileSync(this.#path, `${line}\n`, { mode: 0o600 });
    } catch {
      this.#works = false;
    }
  }

  #load(): string[] {
    try {
      const lines = readFileSync(this.#path, 'utf8').split('\n').filter(Boolean);
      const kept = lines.slice(-MOST_LINES);
      if (lines.length > 2 * MOST_LINES) writeFileSync(this.#path, `${kept.join('\n')}\n`, { mode: 0o600 });
      return kept.reverse();
    } catch {
      return [];
    }
  }
}
