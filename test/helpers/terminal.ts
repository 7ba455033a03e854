/** A program in a real terminal: `script`, which every Debian has, gives it one and hands on what it draws. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';

const WAIT_MS = 20_000;

/** Whether `script` is there and is the one of util-linux. */
export const hasTerminal =
  process.platform === 'linux' &&
  /util-linux/.test(spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout ?? '');

export class TerminalProgram {
  readonly #child: ChildProcess;
  #text = '';
  #seen = 0;
  #look: () => void = () => {};
  readonly #ended: Promise<number>;

  constructor(command: readonly string[], environment: Readonly<Record<string, string>>) {
    const line = command.map((word) => `'${word}'`).join(' ');
    this.#child = spawn('script', ['-qfec', `stty cols 80 rows 24; ${line}`, '/dev/null'], {
      env: { ...process.env, TERM: 'xterm', NO_COLOR: '1', ...environment },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
      this.#look();
    });
    this.#ended = new Promise((resolve) => this.#child.on('close', (code) => resolve(code ?? -1)));
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Waits until this is drawn behind what was waited for before; answers all that was drawn since. */
  async sees(pattern: RegExp): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${pattern} was not drawn:\n${this.#text.slice(this.#seen)}`)),
        WAIT_MS,
      );
      this.#look = () => {
        const match = pattern.exec(this.#text.slice(this.#seen));
        if (match === null) return;
        const end = this.#seen + match.index + match[0].length;
        const drawn = this.#text.slice(this.#seen, end);
        this.#seen = end;
        this.#look = () => {};
        clearTimeout(timer);
        resolve(drawn);
      };
      this.#look();
    });
  }

  /** The exit code. */
  ended(): Promise<number> {
    return this.#ended;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}
