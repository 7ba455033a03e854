/**
 * CSV as RFC 4180 has it, a row at a time: cells in double quotes may hold delimiters, line ends and doubled quotes. A quote
 * inside a cell that does not begin with one stands for itself. Lines end with LF or CR LF; empty lines are passed over.
 */
import { UsageError } from './command.ts';
import type { Line } from './lines.ts';

export interface CsvRow {
  /** Undefined: nothing between the delimiters. The empty string was written as "". */
  readonly cells: readonly (string | undefined)[];
  /** The line it begins in, counted from one. */
  readonly firstLine: number;
  /** The line it ends in. */
  readonly number: number;
  /** Position of the byte behind it. */
  readonly end: number;
  readonly characters: number;
}

/** A row is kept in memory: one that is longer has lost its closing quote. */
const MAX_ROW_CHARACTERS = 64 * 1024 * 1024;

/** Rows of lines, a batch at a time. `UsageError` naming line and cell where a row is malformed. */
export async function* readCsv(lines: AsyncIterable<Line[]>, delimiter: string): AsyncGenerator<CsvRow[], void> {
  const parser = new RowParser(delimiter);
  for await (const some of lines) {
    const rows: CsvRow[] = [];
    for (const line of some) {
      const row = parser.take(line);
      if (row !== undefined) rows.push(row);
    }
    if (rows.length > 0) yield rows;
  }
  parser.end();
}

class RowParser {
  readonly #delimiter: string;
  #cells: (string | undefined)[] = [];
  #cell = '';
  #isQuoted = false;
  #firstLine = 0;
  #characters = 0;

  constructor(delimiter: string) {
    this.#delimiter = delimiter;
  }

  /** The row that ends with this line; undefined where it goes on in the next, or is empty. */
  take(line: Line): CsvRow | undefined {
    const { text } = line;
    if (!this.#isQuoted) {
      if (text === '' || text === '\r') return undefined;
      this.#cells = [];
      this.#firstLine = line.number;
      this.#characters = 0;
    }
    this.#characters += text.length + 1;
    if (this.#characters > MAX_ROW_CHARACTERS) this.end();
    if (text.includes('\ufffd'))
      this.#refuse('this is not UTF-8; convert the file first, as with iconv -f latin1 -t utf-8');
    if (!this.#takeText(text)) return undefined;
    const { number, end } = line;
    return { cells: this.#cells, firstLine: this.#firstLine, number, end, characters: this.#characters };
  }

  /** Nothing follows. */
  end(): void {
    if (this.#isQuoted) this.#refuse('the quoted cell that begins here never ends');
  }

  /** False where a quoted cell goes on in the next line. */
  #takeText(text: string): boolean {
    const end = text.endsWith('\r') ? text.length - 1 : text.length;
    let at = 0;
    for (;;) {
      if (this.#isQuoted || text.charCodeAt(at) === 0x22) {
        at = this.#takeQuoted(text, this.#isQuoted ? at : at + 1);
        if (at < 0) return false;
        if (at < end && !text.startsWith(this.#delimiter, at)) {
          this.#refuse('text follows the closing quote; a quote inside a quoted cell is written twice');
        }
      } else {
        const next = text.indexOf(this.#delimiter, at);
        const cellEnd = next < 0 ? end : next;
        this.#cells.push(cellEnd === at ? undefined : text.slice(at, cellEnd));
        at = cellEnd;
      }
      if (at >= end) return true;
      at += this.#delimiter.length;
    }
  }

  /** Where the quoted cell ends whose inside goes on at `at`; -1 where that is in another line. */
  #takeQuoted(text: string, begin: number): number {
    this.#isQuoted = true;
    for (let at = begin; ; ) {
      const quote = text.indexOf('"', at);
      if (quote < 0) {
        this.#cell += `${text.slice(at)}\n`;
        return -1;
      }
      this.#cell += text.slice(at, quote);
      if (text.charCodeAt(quote + 1) !== 0x22) {
        this.#cells.push(this.#cell);
        this.#cell = '';
        this.#isQuoted = false;
        return quote + 1;
      }
      this.#cell += '"';
      at = quote + 2;
    }
  }

  #refuse(what: string): never {
    throw new UsageError(`line ${this.#firstLine}, column ${this.#cells.length + 1}: ${what}`);
  }
}

/** A row as a line without its end; undefined is an empty cell, '' a quoted one. */
export function csvLine(cells: readonly (string | undefined)[], delimiter: string): string {
  // A row of one empty cell would be an empty line, which says nothing.
  if (cells.length === 1 && cells[0] === undefined) return delimiter;
  return cells.map((cell) => (cell === undefined ? '' : quoteWhereNeeded(cell, delimiter))).join(delimiter);
}

function quoteWhereNeeded(cell: string, delimiter: string): string {
  const plain = cell !== '' && !/["\r\n]|^\s|\s$/.test(cell) && !cell.includes(delimiter);
  return plain ? cell : `"${cell.replaceAll('"', '""')}"`;
}

/** The option --delimiter, or what the name of the file says; undefined where the first line has to be asked. */
export function readDelimiter(text: string | undefined, path: string | undefined): string | undefined {
  if (text === undefined) return path?.toLowerCase().endsWith('.tsv') === true ? '\t' : undefined;
  const delimiter = text === '\\t' || text === 'tab' ? '\t' : text;
  if (delimiter.length !== 1 || /["\r\n]/.test(delimiter)) {
    throw new UsageError(`--delimiter takes one character or 'tab', not '${text}'`);
  }
  return delimiter;
}

/** What most likely separates the cells of this line. */
export function guessDelimiter(header: string): string {
  const counts = [',', ';', '\t', '|'].map((mark) => [header.split(mark).length, mark] as const);
  return counts.reduce((best, one) => (one[0] > best[0] ? one : best))[1];
}

export function isCsvPath(path: string | undefined): boolean {
  return path !== undefined && /\.(csv|tsv)$/i.test(path);
}
