/** A CSV file as records: its header, the types of its columns, each row as an object. */
import { setOwn } from '../codec/code-generation.ts';
import { flagOption, type OptionConfig, type OptionValues, textOption, UsageError } from './command.ts';
import { type CsvRow, guessDelimiter, isCsvPath, readCsv, readDelimiter } from './csv.ts';
import { type Column, type ColumnType, guessType, readCell, readTypes } from './csv-types.ts';
import type { Line } from './lines.ts';

export const CSV_IMPORT_OPTIONS: Readonly<Record<string, OptionConfig>> = {
  csv: { type: 'boolean', help: 'the file is CSV, as one that ends in .csv or .tsv is' },
  delimiter: { type: 'string', short: 'd', value: 'char', help: "what separates cells: ',' ';' tab ..., else guessed" },
  types: { type: 'string', value: 'list', help: 'types of columns, as in id:integer,day:date,*:text; else guessed' },
  columns: { type: 'string', value: 'names', help: 'the columns of a file without a header row' },
  'omit-empty': { type: 'boolean', help: 'leave out fields whose cell is empty, where they would be null' },
};

/** Types are guessed from so much of the beginning. */
const SAMPLE_ROWS = 5000;
const SAMPLE_CHARACTERS = 4 * 1024 * 1024;

/** What has to be known to go on in the middle of a file. */
export interface CsvState {
  readonly delimiter: string;
  readonly columns: readonly Column[];
}

/** Undefined where the source is no CSV. */
export function openCsv(options: OptionValues, path: string | undefined): CsvSource | undefined {
  if (flagOption(options, 'csv') || isCsvPath(path)) return new CsvSource(options, path);
  for (const name of Object.keys(CSV_IMPORT_OPTIONS)) {
    if (options[name] !== undefined) throw new UsageError(`--${name} is for CSV; add --csv`);
  }
  return undefined;
}

export class CsvSource {
  state: CsvState | undefined;
  readonly #types: ReadonlyMap<string, ColumnType>;
  readonly #names: readonly string[] | undefined;
  readonly #delimiter: string | undefined;
  readonly #omitsEmpty: boolean;

  constructor(options: OptionValues, path: string | undefined) {
    this.#types = readTypes(textOption(options, 'types'));
    this.#names = textOption(options, 'columns')?.split(',');
    this.#delimiter = readDelimiter(textOption(options, 'delimiter'), path);
    this.#omitsEmpty = flagOption(options, 'omit-empty');
  }

  /** Goes on with what an earlier run found out; types that are given count over those. */
  resume(state: CsvState): void {
    const columns = state.columns.map((column) => this.#typed(column.name, () => column));
    this.state = { delimiter: state.delimiter, columns };
  }

  /** The rows behind the header. Where `state` is known the lines begin behind it already, unless `again` says not. */
  async *rows(lines: AsyncIterable<Line[]>, fromStart: boolean): AsyncGenerator<CsvRow[], void> {
    const parsed = this.#parse(lines);
    if (fromStart) yield* this.#begin(parsed);
    yield* parsed;
  }

  /** `UsageError` names line and column of a cell that is none of its column's type. */
  toRecord(row: CsvRow): Record<string, unknown> {
    const { columns } = this.state as CsvState;
    // A row of one empty cell is written as a delimiter, since an empty line is no row.
    const cells = isLoneEmpty(row.cells, columns.length) ? [undefined] : row.cells;
    if (cells.length !== columns.length) {
      throw new UsageError(
        `line ${row.firstLine} has ${cells.length} cells, but there are ${columns.length} columns${this.#delimiterHint(cells.length)}`,
      );
    }
    const record: Record<string, unknown> = {};
    for (const [i, column] of columns.entries()) {
      const value = readCell(cells[i], column, i, row);
      if (value !== null || !this.#omitsEmpty) setOwn(record, column.name, value);
    }
    return record;
  }

  /** `id integer, name text` */
  describe(): string {
    return (this.state?.columns ?? []).map(({ name, type }) => `${name} ${type}`).join(', ');
  }

  #delimiterHint(cells: number): string {
    return cells === 1 || this.state?.columns.length === 1 ? '; --delimiter says what separates them' : '';
  }

  async *#parse(lines: AsyncIterable<Line[]>): AsyncGenerator<CsvRow[], void> {
    let delimiter = this.state?.delimiter ?? this.#delimiter;
    const withoutMark = async function* (): AsyncGenerator<Line[]> {
      let isFirst = true;
      for await (const some of lines) {
        const [first] = some;
        if (isFirst && first?.text.startsWith('\ufeff')) some[0] = { ...first, text: first.text.slice(1) };
        delimiter ??= guessDelimiter(some[0]?.text ?? '');
        isFirst = false;
        yield some;
      }
    };
    const marked = withoutMark();
    const first = await marked.next();
    if (first.done === true) return;
    const all = async function* (): AsyncGenerator<Line[]> {
      yield first.value;
      yield* marked;
    };
    this.#found = delimiter ?? ',';
    yield* readCsv(all(), this.#found);
  }
  #found = ',';

  /** Takes the header and looks at the first rows; answers those. */
  async *#begin(parsed: AsyncGenerator<CsvRow[], void>): AsyncGenerator<CsvRow[], void> {
    const sample: CsvRow[] = [];
    let characters = 0;
    while (sample.length < SAMPLE_ROWS && characters < SAMPLE_CHARACTERS) {
      const next = await parsed.next();
      if (next.done === true) break;
      for (const row of next.value) {
        sample.push(row);
        characters += row.characters;
      }
    }
    const names = this.#names ?? sample.shift()?.cells.map((cell) => this.#nameIn(cell));
    if (names === undefined) return;
    // What an earlier run guessed holds on, so that one column has one type.
    if (this.state === undefined)
      this.state = { delimiter: this.#found, columns: this.#decide(names, sample.slice(0, SAMPLE_ROWS)) };
    yield sample;
  }

  /** Blanks around a name count only where --types names it with them. */
  #nameIn(cell: string | undefined): string | undefined {
    return cell === undefined || this.#types.has(cell) ? cell : cell.trim();
  }

  #decide(names: readonly (string | undefined)[], sample: readonly CsvRow[]): Column[] {
    const seen = new Set<string>();
    const columns = names.map((name, i) => {
      if (name === undefined || name === '') throw new UsageError(`column ${i + 1} has no name in the header`);
      if (seen.has(name)) throw new UsageError(`two columns are named '${name}'`);
      seen.add(name);
      return this.#typed(name, () => ({ name, type: guessType(sample, i), guessed: true }));
    });
    for (const name of this.#types.keys()) {
      if (name !== '*' && !seen.has(name))
        throw new UsageError(`--types names '${name}'; there are ${[...seen].join(', ')}`);
    }
    return columns;
  }

  #typed(name: string, otherwise: () => Column): Column {
    const type = this.#types.get(name) ?? this.#types.get('*');
    return type === undefined ? otherwise() : { name, type, guessed: false };
  }
}

function isLoneEmpty(cells: CsvRow['cells'], columnCount: number): boolean {
  return columnCount === 1 && cells.length === 2 && cells[0] === undefined && cells[1] === undefined;
}
