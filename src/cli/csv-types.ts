/** What the text of a cell stands for: types of columns, given or guessed, and the way there and back. */
import { isWellFormed } from '../codec/text.ts';
import { stringifyTypedJson } from '../codec/typed-json.ts';
import { parseTypedJson } from '../codec/typed-json-read.ts';
import { Uuid } from '../index.ts';
import { UsageError } from './command.ts';
import type { CsvRow } from './csv.ts';

export type ColumnType = 'text' | 'integer' | 'number' | 'bigint' | 'boolean' | 'date' | 'uuid' | 'json';

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  /** The type was guessed: then an error says so. */
  readonly guessed: boolean;
}

const INTEGER = /^-?(0|[1-9]\d*)$/;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const DAY = /^(?:\d{4}|[+-]\d{6})-\d\d-\d\d$/;
const MOMENT = /^(?:\d{4}|[+-]\d{6})-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

interface TypeReader {
  readonly what: string;
  /** Undefined where the text is none of this type. */
  read(text: string): unknown;
}

const READERS: Readonly<Record<ColumnType, TypeReader>> = {
  text: { what: 'text', read: (text) => text },
  integer: { what: 'whole number (below 2^53)', read: readInteger },
  number: { what: 'number', read: readNumber },
  bigint: { what: 'whole number', read: (text) => (/^-?\d+$/.test(text) ? BigInt(text) : undefined) },
  boolean: { what: 'true or false', read: (text) => BOOLEANS[text.toLowerCase()] },
  date: { what: 'ISO date', read: readDate },
  uuid: { what: 'UUID', read: (text) => (UUID.test(text) ? Uuid.parse(text) : undefined) },
  json: { what: 'typed JSON', read: readJson },
};

export const COLUMN_TYPES = Object.keys(READERS) as ColumnType[];

const BOOLEANS: Readonly<Record<string, boolean>> = { __proto__: null, true: true, false: false } as never;

function readInteger(text: string): number | undefined {
  const value = Number(text);
  return /^[+-]?\d+$/.test(text) && Number.isSafeInteger(value) ? value : undefined;
}

function readNumber(text: string): number | undefined {
  if (text === 'NaN') return Number.NaN;
  const value = text.trim() === '' ? Number.NaN : Number(text);
  return Number.isNaN(value) || /^[+-]?0[xob]/i.test(text) ? undefined : value;
}

/** A day, or a moment with its zone; without a zone it is UTC. Days that no calendar has are refused. */
function readDate(text: string): Date | undefined {
  const isMoment = /\d[T ]\d/.test(text);
  const zoned = isMoment && !/(Z|[+-]\d\d:?\d\d)$/i.test(text) ? `${text}Z` : text;
  const date = new Date(zoned.replace(' ', 'T'));
  if (Number.isNaN(date.getTime())) return undefined;
  const day = /^(?:\d{4}|[+-]\d{6})-\d\d-(\d\d)/.exec(text);
  if (day === null) return undefined;
  // Some engines take 30 February for 2 March.
  const wanted = new Date(`${day[0]}T00:00:00Z`);
  return wanted.getUTCDate() === Number(day[1]) ? date : undefined;
}

function readJson(text: string): unknown {
  try {
    return parseTypedJson(text);
  } catch {
    return undefined;
  }
}

/** The value of a cell; `UsageError` where it is none of the column's type. An empty cell is null. */
export function readCell(cell: string | undefined, column: Column, index: number, row: CsvRow): unknown {
  if (cell === undefined || (cell === '' && column.type !== 'text')) return null;
  const reader = READERS[column.type];
  const value = reader.read(cell);
  if (value !== undefined || (column.type === 'json' && cell === UNDEFINED_CELL)) return value;
  const shown = JSON.stringify(cell.length > 40 ? `${cell.slice(0, 40)}...` : cell);
  const remedy = column.guessed ? ` as the first rows were; --types ${column.name}:text takes anything` : '';
  throw new UsageError(
    `line ${row.firstLine}, column ${index + 1} '${column.name}': ${shown} is no ${reader.what}${remedy}`,
  );
}

/** What is written like none of the other types, or like several, is text. What has leading zeros is no number. */
const GUESSES: readonly (readonly [ColumnType, (text: string) => boolean])[] = [
  ['integer', (text) => INTEGER.test(text) && text !== '-0' && Number.isSafeInteger(Number(text))],
  ['bigint', (text) => INTEGER.test(text)],
  ['number', (text) => NUMBER.test(text) && Number.isFinite(Number(text))],
  ['boolean', (text) => BOOLEANS[text.toLowerCase()] !== undefined],
  ['date', (text) => (DAY.test(text) || MOMENT.test(text)) && readDate(text) !== undefined],
  ['uuid', (text) => UUID.test(text)],
];

/** The type that all cells of a column have; text where there are none. */
export function guessType(rows: readonly CsvRow[], index: number): ColumnType {
  let left = GUESSES;
  let seen = false;
  for (const { cells } of rows) {
    const cell = cells[index];
    if (cell === undefined || cell === '') continue;
    seen = true;
    left = left.filter(([, fits]) => fits(cell));
    if (left.length === 0) return 'text';
  }
  return seen ? ((left[0] as readonly [ColumnType, unknown])[0] as ColumnType) : 'text';
}

/** `{"a,b":"number"}`: for names that a list can not hold. */
function readTypesInJson(text: string): ReadonlyMap<string, ColumnType> {
  let found: object;
  try {
    found = JSON.parse(text) as object;
  } catch (error) {
    throw new UsageError(`--types takes name:type,... or JSON: ${(error as Error).message}`);
  }
  const types = new Map<string, ColumnType>();
  for (const [name, type] of Object.entries(found)) {
    if (!COLUMN_TYPES.includes(type))
      throw new UsageError(`'${type}' is no type; there are ${COLUMN_TYPES.join(', ')}`);
    types.set(name, type);
  }
  return types;
}

/** `id:number,day:date`; `*` stands for all columns that are not named. */
export function readTypes(text: string | undefined): ReadonlyMap<string, ColumnType> {
  const types = new Map<string, ColumnType>();
  if (text?.startsWith('{') === true) return readTypesInJson(text);
  for (const part of text === undefined || text === '' ? [] : text.split(',')) {
    const colon = part.lastIndexOf(':');
    const type = part.slice(colon + 1).trim() as ColumnType;
    if (colon < 1 || !COLUMN_TYPES.includes(type)) {
      throw new UsageError(`'${part}' is no column and type; write name:type, with one of ${COLUMN_TYPES.join(', ')}`);
    }
    types.set(part.slice(0, colon).trim(), type);
  }
  return types;
}

/** The cell for a value, and the type under which it is read back. Undefined: an empty cell. */
export function writeCell(value: unknown): {
  readonly text: string | undefined;
  readonly type: ColumnType | undefined;
} {
  switch (typeof value) {
    case 'undefined':
      return { text: undefined, type: undefined };
    case 'string':
      // What UTF-8 has no bytes for, or what stands for such bytes, is written in plain letters.
      if (isWellFormed(value) && !value.includes('\ufffd')) return { text: value, type: 'text' };
      return { text: jsonCell(value), type: 'json' };
    case 'number':
      return {
        text: Object.is(value, -0) ? '-0' : String(value),
        type: Number.isSafeInteger(value) ? 'integer' : 'number',
      };
    case 'bigint':
      return { text: String(value), type: 'bigint' };
    case 'boolean':
      return { text: String(value), type: 'boolean' };
  }
  if (value === null) return { text: undefined, type: undefined };
  if (value instanceof Date && !Number.isNaN(value.getTime())) return { text: value.toISOString(), type: 'date' };
  if (value instanceof Uuid) return { text: String(value), type: 'uuid' };
  return { text: jsonCell(value), type: 'json' };
}

export function jsonCell(value: unknown): string {
  return stringifyTypedJson(value).replaceAll('\ufffd', '\\ufffd');
}

const UNDEFINED_CELL = jsonCell(undefined);

/** A type for cells of both types; undefined where there is none under which all would be read back. */
export function joinTypes(a: ColumnType | undefined, b: ColumnType | undefined): ColumnType | undefined {
  if (a === undefined || b === undefined || a === b) return a ?? b;
  const numbers: readonly ColumnType[] = ['integer', 'number'];
  return numbers.includes(a) && numbers.includes(b) ? 'number' : 'json';
}
