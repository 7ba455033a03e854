/** One store as CSV: the fields of its keys, then those of its values, in one snapshot. */
import type { Entry, StoreInfo, Transaction } from '../index.ts';
import { shapeOf } from './arguments.ts';
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
  /** `undefined` is a value, and no field left out. */
  readonly isWhole?: boolean;
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
    for (const loss of columns.losses()) call.out.note(`not the same when read back: ${loss}; NDJSON keeps them`);
    tellOfIndexes(call, [info]);
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
  const isThere = found !== null && (found !== undefined || column.isWhole === true);
  if (column.type === 'json' && isThere) return jsonCell(found);
  return writeCell(found).text;
}

/**
 * The columns that are needed for all entries, and their types. Values are one column `value` where some are no records, or are
 * records of that one field: `sop import` takes a lone column of that name for the whole value.
 */
class Columns {
  readonly #keys: ExportColumn[];
  readonly #values = new Map<string, ExportColumn>();
  readonly #whole: ExportColumn;
  #areRecords = true;

  constructor(info: StoreInfo) {
    const names = info.key === undefined ? undefined : [...info.key.map(({ field }) => field), ...info.rideOn];
    this.#keys =
      names === undefined
        ? [{ name: 'key', type: undefined, take: (key) => key }]
        : names.map((name) => ({ name, type: undefined, take: (key) => (key as Record<string, unknown>)[name] }));
    this.#whole = { name: this.#free('value'), type: undefined, take: (_, value) => value, isWhole: true };
  }

  note(key: unknown, value: unknown): void {
    for (const column of this.#keys) noteType(column, key, value);
    if (!isRecord(value)) {
      this.#areRecords = false;
      if (value === undefined) this.#whole.type = joinTypes(this.#whole.type, 'json');
      else noteType(this.#whole, key, value);
      return;
    }
    this.#whole.type = joinTypes(this.#whole.type, 'json');
    for (const name of Object.keys(value)) {
      let column = this.#values.get(name);
      if (column === undefined) {
        const take = (_: unknown, whole: unknown) => (whole as Record<string, unknown>)[name];
        column = { name: this.#free(name), type: undefined, take };
        this.#values.set(name, column);
        if (this.#values.size > MAX_COLUMNS)
          throw new UsageError(`values have more than ${MAX_COLUMNS} fields; NDJSON takes them`);
      }
      noteType(column, key, value);
    }
  }

  all(): ExportColumn[] {
    return [...this.#keys, ...(this.#isWhole() ? [this.#whole] : this.#values.values())];
  }

  /** What the suggested command makes something else of. */
  losses(): string[] {
    const renamed = [...(this.#isWhole() ? [['value', this.#whole] as const] : this.#values)].filter(
      ([name, column]) => column.name !== name,
    );
    return renamed.map(([name, column]) => `'${name}' of the values comes back as field '${column.name}'`);
  }

  #isWhole(): boolean {
    return !this.#areRecords || (this.#values.size === 1 && this.#values.has('value'));
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
  const types = typesFor(columns);
  return [
    `sop import <folder> <file> --csv --store ${quoted(info.name)}`,
    shapeFor(info),
    types === '' ? '' : ` --types ${quoted(types)}`,
  ].join('');
}

/** In lists, names with commas, colons or blanks around them would be others. */
const UNLISTED = /[,:]|^\s|\s$|^$/;

/** The options for the store's definition: `--define` where the shorter ones can not say it. */
function shapeFor(info: StoreInfo): string {
  const fields = [...(info.key ?? []).map(({ field }) => field), ...info.rideOn];
  const isPlain = info.unique && info.counter === undefined && info.counters === undefined;
  const isListed = !fields.some((name) => UNLISTED.test(name));
  if (!isPlain || !isListed || (info.key === undefined && info.order === 'desc')) {
    return ` --define ${quoted(JSON.stringify(shapeOf(info)))}`;
  }
  const key = info.key?.map(({ field, order }) => (order === 'desc' ? `${field}:desc` : field)).join(',');
  return [
    key === undefined ? '' : ` --key ${quoted(key)}`,
    info.rideOn.length === 0 ? '' : ` --ride-on ${quoted(info.rideOn.join(','))}`,
    info.values === 'separate' ? ' --values separate' : '',
    info.raw ? ' --raw' : '',
  ].join('');
}

function typesFor(columns: readonly ExportColumn[]): string {
  if (columns.some(({ name }) => UNLISTED.test(name))) {
    return JSON.stringify(Object.fromEntries(columns.map(({ name, type }) => [name, type ?? 'text'])));
  }
  const typed = columns.filter(({ type }) => type !== undefined);
  return typed.map(({ name, type }) => `${name}:${type}`).join(',');
}

/** Indexes are the program's: an export does not hold them. */
export function tellOfIndexes(call: Invocation, stores: readonly StoreInfo[]): void {
  const names = stores.filter(({ indexes }) => indexes !== undefined && indexes.length > 0).map(({ name }) => name);
  if (names.length > 0)
    call.out.note(`indexes are not exported (of ${names.join(', ')}); programs that define them add them again`);
}

/** As a shell takes it. */
function quoted(text: string): string {
  return /^[\w.,:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
