/** Readers of text that people and programs write, as targets of the fuzzer. */
import { InvalidArgumentError } from '../../src/base/errors.ts';
import { readKey, readRange, readRawValue, readShape } from '../../src/cli/arguments.ts';
import { readCsv } from '../../src/cli/csv.ts';
import { readTypes } from '../../src/cli/csv-types.ts';
import { readLines } from '../../src/cli/lines.ts';
import { parseTypedJson } from '../../src/codec/typed-json-read.ts';
import { chunks, type Target, textOf, words } from './fuzz.ts';

const JSON_WORDS = words(
  '{"$',
  '"$date":',
  '"$bigint":"',
  '"$bytes":"',
  '"$map":[',
  '"$set":[',
  '[[[[',
  '}}',
  '\\u',
  '1e',
  '-',
  '"$error":',
);
const USAGE: readonly string[] = ['UsageError'];

export function textTargets(): Target[] {
  const info = {
    name: 'x',
    key: [
      { field: 'a', order: 'asc' },
      { field: 'b', order: 'desc' },
    ],
    rideOn: [],
    values: 'inline',
    raw: false,
  } as never;
  const arg = ['INVALID_ARGUMENT', 'INVALID_KEY', 'INVALID_VALUE', 'LIMIT_EXCEEDED'];
  return [
    {
      name: 'typed-json',
      seeds: words(
        '{"a":[1,null,{"$date":"2020-01-01T00:00:00Z"}]}',
        '{"$map":[["a",{"$bigint":"5"}]]}',
        '{"$bytes":"AAE="}',
      ),
      dictionary: JSON_WORDS,
      allowed: arg,
      run: (bytes) => parseTypedJson(textOf(bytes)),
    },
    {
      name: 'cli-arguments',
      seeds: words('a=1\nb="x"', '{"a":1,"b":{"$date":5}}', 'country desc,id'),
      dictionary: words('=', '{', '"$', ' desc', ' asc', ',', '\n', '__proto__='),
      allowed: arg,
      allowedNames: USAGE,
      run: (bytes) => readArguments(textOf(bytes).split('\n'), info),
    },
    {
      name: 'csv',
      seeds: words('a,b\n1,"x ""y"""\n"multi\nline",2\n', 'a;b\r\n;\r\n'),
      dictionary: words('"', '""', ',', '\n', '\r\n', '"\n'),
      allowed: arg,
      allowedNames: USAGE,
      run: async (bytes) => {
        for await (const rows of readCsv(readLines(chunks(bytes)), ',')) void rows;
      },
    },
    {
      name: 'csv-types',
      seeds: words('a:integer,b:date'),
      dictionary: words(':', ',', '=', 'integer', 'json', '__proto__'),
      allowed: arg,
      allowedNames: USAGE,
      run: (bytes) => readTypes(textOf(bytes)),
    },
  ];
}

function readArguments(texts: readonly string[], info: never): void {
  const attempts = [
    () => readKey(texts, info),
    () => readRange({ gte: texts, limit: texts[0] ?? '' }, info),
    () => readRawValue(texts[0] ?? ''),
    () => readShape(texts[1] ?? 'x', { key: texts[0] ?? '', 'ride-on': texts[2] ?? '', values: texts[1] ?? '' }),
  ];
  for (const attempt of attempts) {
    try {
      attempt();
    } catch (error) {
      if (!(error instanceof InvalidArgumentError) && (error as Error).name !== 'UsageError') throw error;
    }
  }
}
