/** Verbs about ranges: scan, count. */
import { stringifyTypedJson } from '../codec/typed-json.ts';
import type { Entry } from '../index.ts';
import { RANGE_OPTIONS, readRange, SCAN_OPTIONS, withoutGaps } from './arguments.ts';
import { type Command, EXIT_DONE, UsageError } from './command.ts';
import { takeStore } from './entry-commands.ts';
import { mustDescribe, reading } from './open.ts';
import { AT_OPTION, readAt } from './pin-commands.ts';

const PAGE = 500;

export const scanCommand: Command = {
  name: 'scan',
  summary: 'print entries in the order of their keys',
  usage: '<folder> <store>',
  details: 'Prints a key and a value a line, in typed JSON, with a tab between them; with --json one object a line.',
  options: { ...SCAN_OPTIONS, ...AT_OPTION },
  examples: [
    ['sop scan ./data users --limit 10', 'the first ten'],
    ['sop scan ./data users --prefix ad', 'keys that begin with "ad"'],
    ['sop scan ./data cities --prefix country=DE --keys-only', 'keys of one country'],
    ["sop scan ./data cities --prefix country=DE --prefix 'name^=Ber'", 'and a name that begins with Ber'],
    ['sop scan ./data numbers --gte 10 --lt 20 --reverse', 'a range backwards'],
    ['sop scan ./data users --at before-upgrade', 'as it was when it was pinned'],
  ],
  async run(call) {
    const { folder, store, rest } = takeStore(call);
    if (rest.length > 0)
      throw new UsageError(`'${rest[0]}' is one argument too many; bounds are options (--prefix, --gte ...)`);
    const { out } = call;
    return reading(folder, async (db) => {
      const range = readRange(call.options, await mustDescribe(db, store, readAt(call)));
      await db.read(async (tx) => {
        const entries = tx.store(store).range(range as never);
        for await (const page of entries.pages(PAGE) as AsyncIterable<readonly unknown[]>) {
          for (const item of page)
            await out.line(range.keysOnly === true ? keyLine(item, out.json) : entryLine(item, out.json));
          if (call.signal.aborted) return;
        }
      }, readAt(call));
      return EXIT_DONE;
    });
  },
};

function keyLine(key: unknown, json: boolean): string {
  const shown = withoutGaps(key);
  return stringifyTypedJson(json ? { key: shown } : shown);
}

function entryLine(item: unknown, json: boolean): string {
  const { value, version, ...entry } = item as Entry<unknown, unknown>;
  const key = withoutGaps(entry.key);
  if (json) return stringifyTypedJson({ key, value, version });
  return `${stringifyTypedJson(key)}\t${stringifyTypedJson(value)}`;
}

export const countCommand: Command = {
  name: 'count',
  summary: 'count entries, in all or in a range',
  usage: '<folder> <store>',
  options: { ...RANGE_OPTIONS, ...AT_OPTION },
  examples: [
    ['sop count ./data users', 'all of them'],
    ['sop count ./data cities --prefix country=DE', 'those of a range'],
  ],
  async run(call) {
    const { folder, store, rest } = takeStore(call);
    if (rest.length > 0)
      throw new UsageError(`'${rest[0]}' is one argument too many; bounds are options (--prefix, --gte ...)`);
    return reading(folder, async (db) => {
      const range = readRange(call.options, await mustDescribe(db, store, readAt(call)));
      const count = await db.read((tx) => tx.store(store).count(range), readAt(call));
      await call.out.line(call.out.json ? JSON.stringify({ count }) : String(count));
      return EXIT_DONE;
    });
  },
};
