/** Verbs about single entries: get, put, rm. */
import { stringifyTypedJson } from '../codec/typed-json.ts';
import type { StoreInfo, Transaction } from '../index.ts';
import {
  hasBounds,
  RANGE_OPTIONS,
  readFile,
  readKey,
  readRange,
  readRawValue,
  readScalar,
  definedBefore,
  readShape,
  SHAPE_OPTIONS,
  withoutGaps,
} from './arguments.ts';
import { type Command, EXIT_DONE, EXIT_NO, flagOption, type Invocation, textOption, UsageError } from './command.ts';
import { untilAborted } from './lines.ts';
import { mustDescribe, reading, writing } from './open.ts';
import { formatCount } from './output.ts';
import { AT_OPTION, readAt } from './pin-commands.ts';

export const getCommand: Command = {
  name: 'get',
  summary: 'print the value under a key',
  usage: '<folder> <store> <key>...',
  details: 'Prints typed JSON; of a store of raw bytes, the bytes. Exit code 1 where there is no such key.',
  options: AT_OPTION,
  examples: [
    ['sop get ./data users ada', 'the value under the string "ada"'],
    ['sop get ./data numbers 5', 'the value under the number 5 (--: sop get ./data names \'"5"\' for the string)'],
    ['sop get ./data cities country=DE name=Berlin', 'a key with fields'],
    ['sop get ./data users ada --json', 'key, value and version, for programs'],
  ],
  async run(call) {
    const { folder, store, rest } = takeStore(call);
    if (rest.length === 0) throw new UsageError('<key> is missing');
    return reading(folder, async (db) => {
      const info = await mustDescribe(db, store, readAt(call));
      const key = readKey(rest, info);
      const entry = await db.read((tx) => tx.store(store).getEntry(key), readAt(call));
      if (entry === undefined) {
        call.out.note(`there is nothing under ${stringifyTypedJson(key)} in store '${store}'`);
        return EXIT_NO;
      }
      if (call.out.json) await call.out.line(stringifyTypedJson({ ...entry, key: withoutGaps(entry.key) }));
      else if (entry.value instanceof Uint8Array && info.raw) await call.out.bytes(entry.value);
      else await call.out.line(stringifyTypedJson(entry.value, call.out.isTerminal ? 2 : undefined));
      return EXIT_DONE;
    });
  },
};

export const putCommand: Command = {
  name: 'put',
  summary: 'write a value under a key',
  usage: '<folder> <store> <key>... <value>',
  details:
    'The value is typed JSON, or a string where it is none; `-` reads it from standard input, --file from a file. Values of ' +
    'raw stores are the bytes of the text. Ride-on fields are given with the key.',
  options: {
    add: { type: 'boolean', help: 'only where the key is absent; exit code 1 else' },
    update: { type: 'boolean', help: 'only where the key is there; exit code 1 else' },
    file: { type: 'string', short: 'f', value: 'path', help: 'the value is the content of this file' },
    create: { type: 'boolean', help: 'create database and store where there are none, with the options below' },
    ...SHAPE_OPTIONS,
  },
  examples: [
    ['sop put ./data users ada \'{"name": "Ada"}\'', 'insert or replace'],
    ['sop put ./data cities country=DE name=Bonn \'{"lat": 50.7}\' --add', 'only if it is not there'],
    ['sop put ./data notes today hello --create', 'makes database and store where needed'],
    ['sop put ./data pages home --file index.html', 'a value from a file'],
  ],
  async run(call) {
    const { folder, store, rest } = takeStore(call);
    const file = textOption(call.options, 'file');
    const source = file === undefined ? rest.at(-1) : undefined;
    const keyTexts = file === undefined ? rest.slice(0, -1) : rest;
    if (keyTexts.length === 0)
      throw new UsageError(file === undefined ? '<key> and <value> are needed' : '<key> is missing');
    const content =
      file !== undefined
        ? readFile(file)
        : source === '-'
          ? await readAll(untilAborted(call.input, call.signal))
          : undefined;
    const create = flagOption(call.options, 'create');
    return writing(folder, create, async (db) => {
      const done = await db.write(async (tx) => {
        const info = describeOrCreate(tx, store, create, call);
        const key = readKey(keyTexts, info);
        const s = tx.store(store);
        const value = readValue(source ?? '', content, info);
        if (flagOption(call.options, 'add')) return s.add(key, value);
        if (flagOption(call.options, 'update')) return s.update(key, value);
        s.put(key, value);
        return true;
      });
      if (call.out.json) await call.out.line(JSON.stringify({ done }));
      else if (!done)
        call.out.note(flagOption(call.options, 'add') ? 'the key is there already' : 'there is no such key');
      return done ? EXIT_DONE : EXIT_NO;
    });
  },
};

export const rmCommand: Command = {
  name: 'rm',
  summary: 'remove an entry, or a range of them',
  usage: '<folder> <store> [<key>...]',
  details: 'Exit code 1 where there was nothing to remove. A range needs --yes.',
  options: { ...RANGE_OPTIONS, yes: { type: 'boolean', short: 'y', help: 'remove the whole range' } },
  examples: [
    ['sop rm ./data users ada', 'one entry'],
    ['sop rm ./data cities --prefix country=DE --yes', 'everything in a range'],
  ],
  async run(call) {
    const { folder, store, rest } = takeStore(call);
    const ranged = hasBounds(call.options);
    if (ranged === rest.length > 0)
      throw new UsageError(ranged ? 'give a key or a range, not both' : '<key> is missing');
    return writing(folder, false, async (db) => {
      const info = await mustDescribe(db, store);
      const removed = ranged
        ? await removeRange(call, (fn) => db.write(fn), store, info)
        : Number(await db.write((tx) => tx.store(store).remove(readKey(rest, info))));
      if (call.out.json) await call.out.line(JSON.stringify({ removed }));
      else if (removed === 0) call.out.note('there was nothing to remove');
      else if (ranged) call.out.note(`${formatCount(removed)} entries removed`);
      return removed > 0 ? EXIT_DONE : EXIT_NO;
    });
  },
};

async function removeRange(
  call: Invocation,
  write: (fn: (tx: Transaction) => Promise<number>) => Promise<number>,
  store: string,
  info: StoreInfo,
): Promise<number> {
  const range = readRange(call.options, info);
  const confirmed = flagOption(call.options, 'yes');
  return write(async (tx) => {
    const s = tx.store(store);
    const count = await s.count(range);
    if (!confirmed && count > 0) throw new UsageError(`this removes ${formatCount(count)} entries; say so with --yes`);
    s.clearRange(range);
    return count;
  });
}

/** The first two positionals, and what follows. */
export function takeStore(call: Invocation): { folder: string; store: string; rest: readonly string[] } {
  const [folder, store, ...rest] = call.positionals;
  if (folder === undefined) throw new UsageError('<folder> is missing');
  if (store === undefined) throw new UsageError('<store> is missing');
  return { folder, store, rest };
}

/** Where --create is given, a store that is not there is created under the options. */
function describeOrCreate(tx: Transaction, store: string, create: boolean, call: Invocation): StoreInfo {
  if (create) tx.store(definedBefore(tx, store) ?? readShape(store, call.options));
  return tx.describe(store);
}

function readValue(text: string, content: Uint8Array | undefined, info: StoreInfo): unknown {
  if (info.raw) return content ?? readRawValue(text);
  return readScalar(content === undefined ? text : new TextDecoder().decode(content));
}

async function readAll(input: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of input) parts.push(part);
  return Buffer.concat(parts);
}
