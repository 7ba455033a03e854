/** One store as CSV: the fields of its keys, then those of its values, in one snapshot. */
import type { Entry, StoreInfo, Transaction } from '../index.ts';
import { flagOption, type Invocation, type OptionConfig, textOption, UsageError } from './command.ts';
import { csvLine, isCsvPath, readDelimiter } from './csv.ts';
import { type ColumnType, joinTypes, jsonCell, writeCell } from './csv-types.ts';
import { formatCount, formatDuration } from './output.ts';
import { Progress } from './progress.ts';

export const CSV_EXPORT_OPTIONS: Readonly<Record<string, OptionConfig>> = {
  csv: { type: 'boolean', help: 'one store as CSV, as into a file that ends in .csv or .tsv' },
  delimiter: { type: 'string', short: 'd', value: 'char', help: 'what separates cells; a comma, a tab in .tsv' },
  'no-header': { type: 'boolean', help: 'no row with the names of the columns' },
};

const PAGE = 500;
/** More columns than this are no table. */
const MAX_COLUMNS = 4096;

/** Whether an export is to be CSV; `UsageError` where what is asked for does not go with it. */
export function wantsCsv(call: Invocation, path: string | undefined): boolean {
  const { options } = call;
  if (!flagOption(options, 'csv') && !isCsvPath(path)) {
    for (const name of Object.keys(CSV_EXPORT_OPTIONS)) {
      if (options[name] !== undefined) throw new UsageError(`--${name} is for CSV; add --csv`);
    }
    return false;
  }
  if (flagOption(options, 'resume')) throw new UsageError('--resume goes on with NDJSON, not with CSV');
  if (call.positionals.length !== 2) throw new UsageError('CSV holds one store; name it');
  return true;
}

interface ExportColumn {
  readonly name: string;
  /** Under which the cells are read back; undefined while all are empty. */
  type: ColumnType | undefined;
  readonly take: (key: unknown, value: unknown) => unknown;
}

export interface LineSink {
  line(text: string): Promise<void>;
}

/** Answers false where it was interrupted. */
export async function writeCsv(call: Invocation, tx: Transaction, info: StoreInfo, sink: LineSink): Promise<boolean> {
  const delimiter = readDelimiter(textOption(call.options, 'delimiter'), textOption(call.options, 'out')) ?? ',';
  const total = await (info.unique ? tx.store(info.name).count() : tx.bag(info.name).count());
  const progress = new Progress(call.out, 'exporting');
  try {
    const columns = new Columns(info);
    let seen = 0;
    for await (const page of pagesOf(tx, info)) {
      for (const { key, value } of page) columns.note(key, value);
      seen += page.length;
      progress.show(seen / 2, total, seen, 'records looked at');
      if (call.signal.aborted) return false;
    }
    const all = columns.all();
    if (!flagOption(call.options, 'no-header'))
      await sink.line(
        csvLine(
          all.map(({ name }) => name),
          delimiter,
        ),
      );
    let written = 0;
    for await (const page of pagesOf(tx, info)) {
      for (const { key, value } of page)
        await sink.line(
          csvLine(
            all.map((column) => cellOf(column, key, value)),
            delimiter,
          ),
        );
      written += page.length;
      progress.show((seen + written) / 2, total, written, 'records');
      if (call.signal.aborted) return false;
    }
    progress.end();
    call.out.note(`${formatCount(written)} records exported in ${formatDuration(progress.elapsedMs)}`);
    call.out.note(`to read them back: ${importCommandFor(info, all)}`);
    return true;
  } finally {
    progress.end();
  }
}

function pagesOf(tx: Transaction, info: StoreInfo): AsyncIterable<Entry<unknown, unknown>[]> {
  const entries = info.unique ? tx.store(info.name).range() : tx.bag(info.name).range();
  return entries.pages(PAGE) as AsyncIterable<Entry<unknown, unknown>[]>;
}

function cellOf(column: ExportColumn, key: unknown, value: unknown): string | undefined {
  const found = column.take(key, value);
  if (column.type === 'json' && found !== undefined && found !== null) return jsonCell(found);
  return writeCell(found).text;
}

/** The columns that are needed for all entries, and their types. */
class Columns {
  readonly #keys: ExportColumn[];
  readonly #values = new Map<string, ExportColumn>();
  #whole: ExportColumn | undefined;

  constructor(info: StoreInfo) {
    const names = info.key === undefined ? undefined : [...info.key.map(({ field }) => field), ...info.rideOn];
    this.#keys =
      names === undefined
        ? [{ name: 'key', type: undefined, take: (key) => key }]
        : names.map((name) => ({ name, type: undefined, take: (key) => (key as Record<string, unknown>)[name] }));
  }

  note(key: unknown, value: unknown): void {
    for (const column of this.#keys) noteType(column, key, value);
    if (!isRecord(value)) {
      this.#whole ??= {
        name: this.#free('value'),
        type: undefined,
        take: (_, whole) => (isRecord(whole) ? undefined : whole),
      };
      noteType(this.#whole, key, value);
      return;
    }
    for (const name of Object.keys(value)) {
      let column = this.#values.get(name);
      if (column === undefined) {
        column = {
          name: this.#free(name),
          type: undefined,
          take: (_, whole) => (isRecord(whole) ? whole[name] : undefined),
        };
        this.#values.set(name, column);
        if (this.#values.size > MAX_COLUMNS)
          throw new UsageError(`values have more than ${MAX_COLUMNS} fields; NDJSON takes them`);
      }
      noteType(column, key, value);
    }
  }

  all(): ExportColumn[] {
    return [...this.#keys, ...(this.#whole === undefined ? [] : [this.#whole]), ...this.#values.values()];
  }

  /** A name that no key field has. */
  #free(name: string): string {
    return this.#keys.some((column) => column.name === name) || name === '' ? `value.${name}` : name;
  }
}

function noteType(column: ExportColumn, key: unknown, value: unknown): void {
  column.type = joinTypes(column.type, writeCell(column.take(key, value)).type);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function importCommandFor(info: StoreInfo, columns: readonly ExportColumn[]): string {
  const key = info.key?.map(({ field, order }) => (order === 'desc' ? `${field}:desc` : field)).join(',');
  const types = columns.filter(({ type }) => type !== undefined).map(({ name, type }) => `${name}:${type}`);
  return [
    `sop import <folder> <file> --csv --store ${quoted(info.name)}`,
    key === undefined ? '' : ` --key ${quoted(key)}`,
    info.rideOn.length === 0 ? '' : ` --ride-on ${quoted(info.rideOn.join(','))}`,
    types.length === 0 ? '' : ` --types ${quoted(types.join(','))}`,
  ].join('');
}

/** As a shell takes it. */
function quoted(text: string): string {
  return /^[\w.,:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
