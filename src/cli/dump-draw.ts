/** Boxes and tables for `sop dump`; for programs one JSON object a line. What comes from files never reaches a terminal raw. */
import { formatCount, formatTable, type Output } from './output.ts';

/** Lines of boxes where standard output is no terminal. */
const USUAL_WIDTH = 100;
const LEAST_WIDTH = 40;

export type Cell = string | number;

/** Control characters, and those that turn the direction of text around. */
const UNSEEN = /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

export function printable(text: string): string {
  return text.replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Bytes as hex digits, the first `limit` of them. */
export function hex(bytes: Uint8Array, start = 0, end = bytes.length, limit = 16): string {
  const shown = Buffer.from(bytes.buffer, bytes.byteOffset + start, Math.max(0, Math.min(end - start, limit))).toString(
    'hex',
  );
  return end - start > limit ? `${shown}... (${formatCount(end - start)} bytes)` : shown;
}

export class Drawing {
  readonly out: Output;
  readonly #width: number;

  constructor(out: Output, columns: number | undefined) {
    this.out = out;
    this.#width = Math.max(LEAST_WIDTH, columns ?? USUAL_WIDTH);
  }

  /** Names and what they are. */
  async box(title: string, pairs: readonly (readonly [name: string, value: Cell])[]): Promise<void> {
    if (this.out.json) {
      await this.out.line(JSON.stringify({ box: title, ...Object.fromEntries(pairs) }));
      return;
    }
    const width = Math.max(0, ...pairs.map(([name]) => name.length));
    await this.#frame(
      title,
      pairs.map(([name, value]) => `${name.padEnd(width)}  ${shown(value)}`),
    );
  }

  /** Rows in columns. `rest` says what is not shown. */
  async table(title: string, head: readonly string[], rows: readonly (readonly Cell[])[], rest = ''): Promise<void> {
    if (this.out.json) {
      for (const row of rows)
        await this.out.line(JSON.stringify(Object.fromEntries(head.map((name, i) => [name, row[i]]))));
      return;
    }
    const [first, ...lines] = formatTable(
      head,
      rows.map((row) => row.map(shown)),
    );
    await this.#frame(title, [first as string, ...lines, ...(rest === '' ? [] : [rest])]);
  }

  async #frame(title: string, lines: readonly string[]): Promise<void> {
    const inner = this.#width - 4;
    const wide = Math.min(inner, Math.max(title.length + 1, ...lines.map((line) => line.length)));
    const heading = clip(title, inner - 1);
    const { out } = this;
    await out.line(`┌ ${out.bold(heading)} ${'─'.repeat(Math.max(0, wide - heading.length))}┐`);
    for (const line of lines) await out.line(`│ ${clip(line, wide).padEnd(wide)} │`);
    await out.line(`└${'─'.repeat(wide + 2)}┘`);
  }
}

function shown(cell: Cell): string {
  return typeof cell === 'number' ? formatCount(cell) : printable(cell);
}

export function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
