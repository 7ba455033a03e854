/**
 * `sop import`: NDJSON into stores, many records a transaction. How far a source has been read is recorded in the store
 * `sop.imports` by the transaction that brings its records in: what is in is not imported twice, whatever interrupts.
 */
import { setOwn } from '../codec/code-generation.ts';
import { fromTypedJson } from '../codec/typed-json-read.ts';
import {
  AbortedError,
  type AnyKey,
  type Database,
  defineStore,
  SopError,
  type StoreInfo,
  type Transaction,
} from '../index.ts';
import { defineAgain, defineAny, definedBefore, readShape, SHAPE_OPTIONS, shapeOf } from './arguments.ts';
import {
  type Command,
  EXIT_DONE,
  EXIT_INTERRUPTED,
  flagOption,
  type Invocation,
  takePositionals,
  textOption,
  UsageError,
} from './command.ts';
import type { CsvRow } from './csv.ts';
import { CSV_IMPORT_OPTIONS, type CsvSource, type CsvState, openCsv } from './csv-source.ts';
import { type Line, openSource, readLines, type SourceFile, untilAborted } from './lines.ts';
import { writing } from './open.ts';
import { formatCount, formatDuration } from './output.ts';
import { Progress } from './progress.ts';

interface ImportState {
  /** Byte position and line behind the last record that is in. */
  readonly position: number;
  readonly line: number;
  readonly records: number;
  /** The store that records went to at that point, as the file said. */
  readonly store: string | undefined;
  readonly tail: number;
  readonly done: boolean;
  readonly updated: Date;
  /** Of a CSV file: its columns. */
  readonly csv?: CsvState | undefined;
}

const imports = defineStore<string, ImportState>('sop.imports');

const BATCH_RECORDS = 2000;
const BATCH_CHARACTERS = 4 * 1024 * 1024;

export const importCommand: Command = {
  name: 'import',
  summary: 'read NDJSON or CSV into stores; goes on where it was interrupted',
  usage: '<folder> <file>',
  details:
    'Lines are what `sop export` writes: {"key": ..., "value": ...} in typed JSON, with a line that defines the store before ' +
    'its entries. Any other JSON objects are taken as records: --key or --id says which of their fields make the key, the ' +
    'others are the value; records go to the store that --store names. `-` reads standard input. Database and store are ' +
    'created where there are none. Running the same command again imports what was added to the file since.\n' +
    'CSV has a header row; types are guessed from the first rows (integers, numbers, booleans, ISO dates, UUIDs, else text; an ' +
    'empty cell is null) or given with --types. A wrong cell is named by line and column, and stops the import: batches of ' +
    '2,000 rows are in or not, as a whole.',
  options: {
    store: { type: 'string', short: 's', value: 'name', help: 'the store that entries go to' },
    id: { type: 'string', value: 'field', help: 'the field that is the key, a key of one value' },
    ...SHAPE_OPTIONS,
    ...CSV_IMPORT_OPTIONS,
    source: {
      type: 'string',
      value: 'name',
      help: 'names what comes on standard input, so that it can be gone on with',
    },
    again: { type: 'boolean', help: 'from the beginning, even if it is in already' },
  },
  examples: [
    ['sop import ./data all.ndjson', 'what sop export wrote'],
    [
      'sop import ./data cities.ndjson --store cities --key country,population:desc,name',
      'records with a key of fields',
    ],
    ['sop import ./data users.ndjson --store users --id email', 'records with a key of one value'],
    ['sop import ./data cities.csv --store cities --key country,name', 'CSV, types guessed'],
    [
      "sop import ./data plz.txt --csv -d ';' --store plz --id code --types code:text,since:date",
      'CSV with everything said',
    ],
    ['gunzip -c log.gz | sop import ./data - --store log --id time --source log.gz', 'from another program'],
  ],
  async run(call) {
    const [folder, path] = takePositionals(call, '<folder>', '<file>') as [string, string];
    const csv = openCsv(call.options, path === '-' ? undefined : path);
    const source = path === '-' ? undefined : openSource(path);
    try {
      return await writing(folder, true, (db) => new Import(db, call, source, csv).run());
    } finally {
      source?.close();
    }
  },
};

/** What one record is made of. */
type Item = Line | CsvRow;

interface Target {
  readonly name: string;
  readonly info: StoreInfo;
}

class Import {
  readonly #db: Database;
  readonly #call: Invocation;
  readonly #source: SourceFile | undefined;
  readonly #csv: CsvSource | undefined;
  readonly #identity: string | undefined;
  #target: Target | undefined;
  #state: ImportState = {
    position: 0,
    line: 0,
    records: 0,
    store: undefined,
    tail: 0,
    done: false,
    updated: new Date(),
  };

  constructor(db: Database, call: Invocation, source: SourceFile | undefined, csv: CsvSource | undefined) {
    this.#csv = csv;
    this.#db = db;
    this.#call = call;
    this.#source = source;
    const name = textOption(call.options, 'source');
    this.#identity = source?.identity ?? (name === undefined ? undefined : `standard input: ${name}`);
  }

  async run(): Promise<number> {
    const { out } = this.#call;
    await this.#resume();
    const before = this.#state;
    const isMore = this.#source === undefined || before.position < this.#source.sizeBytes;
    if (before.records > 0 && isMore) {
      out.note(`going on behind record ${formatCount(before.records)}, line ${formatCount(before.line)}`);
    }
    const entriesBefore = await this.#countEntries();
    const progress = new Progress(out, 'importing', before.position);
    try {
      await this.#read(progress, before);
    } catch (error) {
      progress.end();
      this.#tellRest(before);
      throw error;
    } finally {
      progress.end();
    }
    const imported = this.#state.records - before.records;
    const interrupted = this.#call.signal.aborted;
    await this.#tell(imported, interrupted, progress.elapsedMs);
    const replaced = entriesBefore + imported - (await this.#countEntries());
    if (this.#csv !== undefined && replaced > 0)
      out.note(`${formatCount(replaced)} of them took the place of others with the same key`);
    return interrupted ? EXIT_INTERRUPTED : EXIT_DONE;
  }

  /** Finds out how far this source was read before. */
  async #resume(): Promise<void> {
    const identity = this.#identity;
    if (identity === undefined || flagOption(this.#call.options, 'again')) return;
    const state = await this.#db.read((tx) => tx.store(imports).get(identity));
    if (state === undefined || state.position === 0) return;
    const source = this.#source;
    if (source !== undefined) {
      // The file was written anew: what stands before the position is not what was read then.
      if (source.sizeBytes < state.position || source.tailChecksum(state.position) !== state.tail) return;
    }
    this.#state = state;
    if (state.csv !== undefined) this.#csv?.resume(state.csv);
    if (state.store !== undefined)
      this.#target = await this.#db.read((tx) => this.#existing(tx, state.store as string));
  }

  async #read(progress: Progress, before: ImportState): Promise<void> {
    const { signal, input } = this.#call;
    const source = this.#source;
    const bytes = source === undefined ? untilAborted(input, signal) : source.read(before.position);
    const from = source === undefined ? { position: 0, line: 0 } : before;
    let batch: Item[] = [];
    let characters = 0;
    const lines = readLines(bytes, from.position, from.line + 1);
    const items: AsyncIterable<Item[]> = this.#csv === undefined ? lines : this.#csv.rows(lines, from.position === 0);
    let told = this.#csv === undefined;
    try {
      for await (const some of items) {
        if (!told) this.#call.out.note(`columns: ${this.#csv?.describe()}`);
        told = true;
        for (const item of some) {
          if (item.end <= before.position) continue;
          batch.push(item);
          characters += 'cells' in item ? item.characters : item.text.length;
          if (batch.length < BATCH_RECORDS && characters < BATCH_CHARACTERS) continue;
          await this.#bringIn(batch, false);
          progress.show(this.#state.position, source?.sizeBytes, this.#state.records - before.records, 'records');
          batch = [];
          characters = 0;
          if (signal.aborted) return;
        }
      }
    } catch (error) {
      if (!signal.aborted || !(error instanceof AbortedError)) throw error;
      // Whole lines that came before the signal are not asked for again.
      await this.#bringIn(batch, false);
      return;
    }
    await this.#bringIn(batch, true);
  }

  /** One transaction: the records of these lines, and how far that is. */
  async #bringIn(items: readonly Item[], done: boolean): Promise<void> {
    const last = items.at(-1);
    if (last === undefined && this.#identity === undefined) return;
    const before = this.#state;
    const targetBefore = this.#target;
    const position = last?.end ?? before.position;
    this.#state = await this.#db.write((tx) => {
      this.#target = targetBefore;
      let records = before.records;
      for (const item of items) records += 'cells' in item ? this.#takeRow(tx, item) : this.#takeLine(tx, item);
      const state: ImportState = {
        position,
        line: last?.number ?? before.line,
        records,
        store: this.#target?.name,
        tail: this.#source?.tailChecksum(position) ?? 0,
        done,
        updated: new Date(),
        ...(this.#csv?.state === undefined ? {} : { csv: this.#csv.state }),
      };
      if (this.#identity !== undefined) tx.store(imports).put(this.#identity, state);
      return state;
    });
  }

  /** How many records a line brings: none for empty lines and definitions. */
  #takeLine(tx: Transaction, line: Line): number {
    if (line.text.trim() === '') return 0;
    try {
      if (line.isBroken === true)
        throw new UsageError('this is not UTF-8; convert the file first, as with iconv -f latin1 -t utf-8');
      const json = parseObject(line.text);
      const definition = definitionIn(json);
      if (definition !== undefined) {
        this.#target = this.#define(tx, definition);
        return 0;
      }
      this.#target ??= this.#defineFromOptions(tx);
      const [key, value] = toEntry(json, this.#target.info, textOption(this.#call.options, 'id'));
      putEntry(tx, this.#target, key, value);
      return 1;
    } catch (error) {
      throw atLine(error, line.number);
    }
  }

  #takeRow(tx: Transaction, row: CsvRow): number {
    const csv = this.#csv as CsvSource;
    const record = csv.toRecord(row);
    try {
      this.#target ??= this.#defineFromOptions(tx);
      const { info } = this.#target;
      const [key, value] = splitRow(record, info, textOption(this.#call.options, 'id'));
      putEntry(tx, this.#target, key, value);
      return 1;
    } catch (error) {
      throw atLine(error, row.firstLine);
    }
  }

  #define(tx: Transaction, definition: { readonly name: string }): Target {
    const name = textOption(this.#call.options, 'store') ?? definition.name;
    defineAgain(tx, toDefinition(name, definition));
    return this.#existing(tx, name);
  }

  #defineFromOptions(tx: Transaction): Target {
    const { options } = this.#call;
    const name = textOption(options, 'store');
    if (name === undefined)
      throw new UsageError('--store is needed: the file does not say which store its records belong to');
    let exists = true;
    try {
      tx.describe(name);
    } catch (error) {
      if (!(error instanceof SopError) || error.code !== 'STORE_NOT_FOUND') throw error;
      exists = false;
    }
    if (!exists || ['key', 'define'].some((option) => textOption(options, option) !== undefined))
      defineAgain(tx, readShape(name, options));
    return this.#existing(tx, name);
  }

  #existing(tx: Transaction, name: string): Target {
    return { name, info: tx.describe(name) };
  }

  /** Of the store that the rows of a CSV file go to; 0 where there is none yet. */
  #countEntries(): Promise<number> {
    const name = textOption(this.#call.options, 'store');
    if (this.#csv === undefined || name === undefined) return Promise.resolve(0);
    return this.#db.read(async (tx) => {
      if (definedBefore(tx, name) === undefined) return 0;
      return tx.describe(name).unique ? tx.store(name).count() : tx.bag(name).count();
    });
  }

  /** An error came: what is in all the same. */
  #tellRest(before: ImportState): void {
    const { records, line } = this.#state;
    const imported = records - before.records;
    const goesOn = this.#identity === undefined ? '' : '; once mended, the same command goes on behind them';
    if (imported > 0)
      this.#call.out.note(`${formatCount(imported)} records up to line ${formatCount(line)} are in${goesOn}`);
    else this.#call.out.note('nothing was imported');
  }

  async #tell(imported: number, interrupted: boolean, elapsedMs: number): Promise<void> {
    const { out } = this.#call;
    const { records, line } = this.#state;
    if (out.json) {
      await out.line(JSON.stringify({ imported, records, lines: line, complete: !interrupted }));
      return;
    }
    const rate = elapsedMs > 0 ? ` (${formatCount((imported / elapsedMs) * 1000)}/s)` : '';
    if (interrupted) out.note(`interrupted behind line ${formatCount(line)}; the same command goes on there`);
    else if (imported === 0 && records > 0)
      out.note(`all ${formatCount(records)} records are in already (--again reads them once more)`);
    else out.note(`${formatCount(imported)} records imported in ${formatDuration(elapsedMs)}${rate}`);
  }
}

type AnyShape = ReturnType<typeof defineAny>;

function toDefinition(name: string, definition: { readonly name: string }): AnyShape {
  const { name: _name, ...shape } = definition;
  return defineAny(name, shape);
}

/** What a line of NDJSON is: the definition of a store, or an entry of one. */
export function readImportLine(text: string, info: StoreInfo, id: string | undefined): AnyShape | [AnyKey, unknown] {
  const json = parseObject(text);
  const definition = definitionIn(json);
  return definition === undefined ? toEntry(json, info, id) : toDefinition(definition.name, definition);
}

function toEntry(json: Record<string, unknown>, info: StoreInfo, id: string | undefined): [AnyKey, unknown] {
  if ('key' in json && 'value' in json && Object.keys(json).every((name) => ENTRY_NAMES.includes(name))) {
    return [fromTypedJson(json.key) as AnyKey, fromTypedJson(json.value)];
  }
  return splitRecord(fromTypedJson(json) as Record<string, unknown>, info, id);
}

/** The fields that make the key, and the others. */
function splitRecord(record: Record<string, unknown>, info: StoreInfo, id: string | undefined): [AnyKey, unknown] {
  if (info.key === undefined) {
    if (id === undefined) throw new UsageError('no key is named; --id or --key says which fields make the key');
    const { [id]: key, ...value } = record;
    if (key === undefined) throw new UsageError(`there is no field '${id}'`);
    return [key as AnyKey, value];
  }
  const key: Record<string, unknown> = {};
  for (const name of [...info.key.map(({ field }) => field), ...info.rideOn]) {
    setOwn(key, name, Object.hasOwn(record, name) ? record[name] : undefined);
    delete record[name];
  }
  return [key, record];
}

/** As `splitRecord`, for what `sop export --csv` writes too: a column `key`, a column `value` for values without fields. */
export function splitRow(record: Record<string, unknown>, info: StoreInfo, id: string | undefined): [AnyKey, unknown] {
  for (const name of info.rideOn) if (record[name] === null) delete record[name];
  const [key, value] = splitRecord(record, info, id ?? ('key' in record ? 'key' : undefined));
  const names = Object.keys(value as object);
  const isPlain = id === undefined && names.length === 1 && names[0] === 'value';
  return [key, isPlain ? (value as { value: unknown }).value : value];
}

const ENTRY_NAMES = ['key', 'value', 'version'];

function parseObject(text: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`this is no JSON: ${(error as Error).message}`);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new UsageError('this is no JSON object');
  return json as Record<string, unknown>;
}

/** Items of stores of equal keys are added, in their order. */
function putEntry(tx: Transaction, { name, info }: Target, key: AnyKey, value: unknown): void {
  if (info.unique) tx.store(name).put(key, value);
  else tx.bag(name).add(key, value);
}

/** The line with which `sop export` begins a store. */
export function definitionLine(info: StoreInfo): string {
  return JSON.stringify({ sop: 1, store: { name: info.name, ...shapeOf(info) } });
}

function definitionIn(json: Record<string, unknown>): { readonly name: string } | undefined {
  if (!('sop' in json) || !('store' in json) || Object.keys(json).length !== 2) return undefined;
  if (json.sop !== 1) throw new UsageError(`this export has version ${String(json.sop)}; this program reads version 1`);
  const definition = json.store as { readonly name?: unknown };
  if (typeof definition !== 'object' || definition === null || typeof definition.name !== 'string') {
    throw new UsageError('this defines a store without a name');
  }
  return definition as { readonly name: string };
}

function atLine(error: unknown, line: number): unknown {
  const retryable = error instanceof SopError && error.retryable;
  if (retryable || !(error instanceof Error)) return error;
  return new UsageError(`line ${line}: ${error.message}`);
}
