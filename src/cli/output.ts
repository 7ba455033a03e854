/** Writing for people and for programs: lines with back-pressure, tables, figures, colours where a terminal takes them. */
import type { Writable } from 'node:stream';

/** Standard output was closed by its reader (`sop scan ... | head`): nothing more needs to be said. */
export class OutputClosedError extends Error {
  override readonly name = 'OutputClosedError';
}

const FLUSH_AT = 64 * 1024;

/** A stream is watched once, however many commands of a shell write to it. */
const watchedStreams = new WeakSet<Writable>();
const failures = new WeakMap<Writable, Error>();

/** Whoever writes next, or waits, hears of it: an error that nobody listens for would end the process. */
function watch(stream: Writable): void {
  if (watchedStreams.has(stream)) return;
  watchedStreams.add(stream);
  stream.on('error', (error: Error) => {
    if (!failures.has(stream)) failures.set(stream, toFailure(error));
  });
}

function toFailure(error: Error): Error {
  return (error as NodeJS.ErrnoException).code === 'EPIPE' ? new OutputClosedError() : error;
}

export interface OutputStreams {
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
}

export class Output {
  /** Programs read it: JSON on standard output, nothing else there. */
  readonly json: boolean;
  readonly colours: boolean;
  readonly #streams: OutputStreams;
  /** Answers and remarks are read on a terminal, which obeys what stands in them. */
  readonly #shown: boolean;
  readonly #remarked: boolean;
  #pending = '';
  /** What the command exits with where the reader of its answer has gone before it was written. */
  verdict = 0;

  constructor(streams: OutputStreams, options: { readonly json: boolean; readonly colours: boolean }) {
    this.#streams = streams;
    this.json = options.json;
    this.colours = options.colours;
    this.#shown = streams.stdout.isTTY === true;
    this.#remarked = streams.stderr.isTTY === true;
    watch(streams.stdout);
    watch(streams.stderr);
  }

  get isTerminal(): boolean {
    return this.#streams.stdout.isTTY === true;
  }

  /** Standard output where it is a terminal and answers are for people. */
  get terminal(): (Writable & { readonly columns?: number; readonly rows?: number }) | undefined {
    return this.isTerminal && !this.json ? this.#streams.stdout : undefined;
  }

  /** Columns of the terminal that standard output is; undefined where it is none. */
  get columns(): number | undefined {
    return this.isTerminal ? this.#streams.stdout.columns : undefined;
  }

  /** Where progress can be drawn. */
  get progressStream(): (Writable & { readonly columns?: number }) | undefined {
    return this.#streams.stderr.isTTY === true && !this.json ? this.#streams.stderr : undefined;
  }

  /** A line of the answer. Waits where the reader is slow; throws `OutputClosedError` where it has gone, the system's error where there is no room. */
  async line(text: string): Promise<void> {
    this.#pending += `${this.#shown ? harmless(text) : text}\n`;
    if (this.#pending.length >= FLUSH_AT) await this.flush();
  }

  async bytes(bytes: Uint8Array): Promise<void> {
    await this.flush();
    await this.#write(bytes);
  }

  async flush(): Promise<void> {
    const text = this.#pending;
    this.#pending = '';
    if (text !== '') await this.#write(text);
  }

  /** A remark beside the answer, for people: not with --json. */
  note(text: string): void {
    if (!this.json) this.error(text);
  }

  /** A failure, for both. */
  error(text: string): void {
    this.#streams.stderr.write(`${this.#remarked ? harmless(text) : text}\n`);
  }

  bold(text: string): string {
    return this.colours ? `\x1b[1m${text}\x1b[22m` : text;
  }

  dim(text: string): string {
    return this.colours ? `\x1b[2m${text}\x1b[22m` : text;
  }

  async #write(chunk: string | Uint8Array): Promise<void> {
    const { stdout } = this.#streams;
    const failure = failures.get(stdout);
    if (failure !== undefined) throw failure;
    await new Promise<void>((resolve, reject) => {
      stdout.write(chunk, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(failures.get(stdout) ?? toFailure(error));
      });
    });
  }
}

/** Control characters other than line ends and tabs, and what `bold` and `dim` write. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it is about
const CONTROLS = /\x1b\[(?:1|2|22)m|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** Names, texts and messages as letters, whatever they hold: a terminal would obey escapes in them. */
function harmless(text: string): string {
  return text.replace(CONTROLS, (found) =>
    found.length > 1 ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** 1,234,567 */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** 1.4 MiB */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

/** 12 ms, 3.4 s, 2 min 5 s */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1) return `${(milliseconds * 1000).toFixed(0)} us`;
  if (milliseconds < 1000) return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const minutes = Math.floor(milliseconds / 60_000);
  return `${minutes} min ${Math.round((milliseconds - minutes * 60_000) / 1000)} s`;
}

/** Rows in columns; cells that look like figures stand on the right. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const isFigure = head.map((_, i) => rows.length > 0 && rows.every((row) => /^[-\d,.]*$/.test(row[i] ?? '')));
  const draw = (row: readonly string[]) =>
    row
      .map((cell, i) => (isFigure[i] ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number)))
      .join('  ')
      .trimEnd();
  return [draw(head), ...rows.map(draw)];
}
