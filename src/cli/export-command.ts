/** `sop export`: stores as NDJSON, one snapshot for all; an interrupted file can be gone on with. */
import { once } from 'node:events';
import {
  closeSync,
  createReadStream,
  createWriteStream,
  existsSync,
  openSync,
  readSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { stringifyTypedJson } from '../codec/typed-json.ts';
import { withoutGaps } from './arguments.ts';
import { fromTypedJson } from '../codec/typed-json-read.ts';
import type { AnyKey, Entry, StoreInfo, Transaction } from '../index.ts';
import {
  type Command,
  EXIT_DONE,
  EXIT_INTERRUPTED,
  flagOption,
  type Invocation,
  textOption,
  UsageError,
} from './command.ts';
import { CSV_EXPORT_OPTIONS, tellOfIndexes, wantsCsv, writeCsv } from './csv-export.ts';
import { definitionLine } from './import-command.ts';
import { readLines } from './lines.ts';
import { mustDescribe, reading } from './open.ts';
import { formatCount, formatDuration } from './output.ts';
import { Progress } from './progress.ts';

/** Stores that `sop` keeps for itself; exported only when named. */
const OWN_STORES: readonly string[] = ['sop.imports'];
const PAGE = 500;

export const exportCommand: Command = {
  name: 'export',
  summary: 'write stores as NDJSON or CSV, for sop import',
  usage: '<folder> [<store>...]',
  details:
    'All stores where none is named, as of one snapshot. Typed JSON: no key, value or definition is lost on the way; indexes stay behind, since programs define them. CSV holds one store: the ' +
    'fields of the key, then those of the values; nested values are typed JSON in their cells. How to read it back with the ' +
    'same types is said at the end.',
  options: {
    out: { type: 'string', short: 'o', value: 'file', help: 'write to this file instead of standard output' },
    ...CSV_EXPORT_OPTIONS,
    resume: { type: 'boolean', help: 'go on with a file that an interrupted export left' },
  },
  examples: [
    ['sop export ./data > all.ndjson', 'everything'],
    ['sop export ./data users orders --out some.ndjson', 'two stores, into a file, with progress'],
    ['sop export ./data cities --out cities.csv', 'CSV with a header row'],
    ['sop export ./data users --out users.ndjson --resume', 'go on behind the last whole line'],
  ],
  async run(call) {
    const [folder, ...names] = call.positionals;
    if (folder === undefined) throw new UsageError('<folder> is missing');
    const path = textOption(call.options, 'out');
    const resumes = flagOption(call.options, 'resume');
    if (resumes && path === undefined) throw new UsageError('--resume needs --out');
    const csv = wantsCsv(call, path);
    return reading(folder, async (db) => {
      const stores: StoreInfo[] = [];
      if (names.length > 0) for (const name of names) stores.push(await mustDescribe(db, name));
      else stores.push(...(await db.stores()).filter((store) => !OWN_STORES.includes(store.name)));
      const last = resumes && existsSync(path as string) ? await findEnd(path as string) : undefined;
      const sink = path === undefined ? call.out : new FileSink(path, last?.position ?? 0);
      const done = await db.read((tx) =>
        csv ? writeCsv(call, tx, stores[0] as StoreInfo, sink) : writeStores(call, tx, stores, last, sink),
      );
      await sink.flush();
      return done ? EXIT_DONE : EXIT_INTERRUPTED;
    });
  },
};

interface Sink {
  line(text: string): Promise<void>;
  flush(): Promise<void>;
}

/** Answers false where it was interrupted. */
async function writeStores(
  call: Invocation,
  tx: Transaction,
  stores: readonly StoreInfo[],
  last: ExportEnd | undefined,
  sink: Sink,
): Promise<boolean> {
  const counts = await Promise.all(stores.map((store) => countOf(tx, store)));
  const total = counts.reduce((sum, count) => sum + count, 0);
  const begin = last === undefined ? 0 : stores.findIndex((store) => store.name === last.store);
  if (begin === -1) throw new UsageError(`the file ends in store '${last?.store}', which is not to be exported`);
  let written = counts.slice(0, begin).reduce((sum, count) => sum + count, 0);
  const progress = new Progress(call.out, 'exporting', written);
  const began = written;
  try {
    for (const info of stores.slice(begin)) {
      const key = info.name === last?.store ? last.key : undefined;
      if (info.name !== last?.store) await sink.line(definitionLine(info));
      const range = key === undefined ? {} : { gt: key };
      if (key !== undefined && !info.unique) {
        throw new UsageError(`the file ends inside '${info.name}', a store of equal keys: begin anew without --resume`);
      }
      if (key !== undefined) written += await tx.store(info.name).count({ lte: key } as never);
      const entries = info.unique ? tx.store(info.name).range(range as never) : tx.bag(info.name).range();
      for await (const page of entries.pages(PAGE) as AsyncIterable<Entry<AnyKey, unknown>[]>) {
        for (const entry of page)
          await sink.line(stringifyTypedJson({ key: withoutGaps(entry.key), value: entry.value }));
        written += page.length;
        progress.show(written, total, written - began, 'records');
        if (call.signal.aborted) return false;
      }
    }
  } finally {
    progress.end();
  }
  const { elapsedMs } = progress;
  call.out.note(`${formatCount(written - began)} records exported in ${formatDuration(elapsedMs)}`);
  tellOfIndexes(call, stores);
  return true;
}

function countOf(tx: Transaction, { name, unique }: StoreInfo): Promise<number> {
  return unique ? tx.store(name).count() : tx.bag(name).count();
}

interface ExportEnd {
  /** Behind the last whole line. */
  readonly position: number;
  readonly store: string;
  readonly key: AnyKey | undefined;
}

/** Where an interrupted export ended; undefined where not even a store had begun. */
async function findEnd(path: string): Promise<ExportEnd | undefined> {
  let store: string | undefined;
  let lastKey: string | undefined;
  let position = 0;
  const size = statSync(path).size;
  for await (const lines of readLines(createReadStream(path))) {
    for (const { text, end } of lines) {
      // A line without its end mark may be half of one.
      if (end === size && !endsWithMark(path, size)) break;
      const json = parseLine(text, path);
      position = end;
      if (json.sop === undefined) {
        lastKey = text;
        continue;
      }
      store = json.store?.name;
      lastKey = undefined;
    }
  }
  if (store === undefined) return undefined;
  const key =
    lastKey === undefined ? undefined : (fromTypedJson((JSON.parse(lastKey) as { key: unknown }).key) as AnyKey);
  return { position, store, key };
}

function parseLine(text: string, path: string): { readonly sop?: unknown; readonly store?: { readonly name: string } } {
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === 'object' && json !== null && ('sop' in json || 'key' in json)) return json as object;
  } catch {
    // As below.
  }
  throw new UsageError(`${path} is no export of sop: --resume can not go on with it`);
}

function endsWithMark(path: string, size: number): boolean {
  return size > 0 && readTail(path, size) === 10;
}

function readTail(path: string, size: number): number {
  const file = openSync(path, 'r');
  try {
    const byte = new Uint8Array(1);
    readSync(file, byte, 0, 1, size - 1);
    return byte[0] as number;
  } finally {
    closeSync(file);
  }
}

class FileSink implements Sink {
  readonly #stream;
  #failure: unknown;
  #pending = '';

  constructor(path: string, position: number) {
    if (position > 0) truncateSync(path, position);
    this.#stream = createWriteStream(path, { flags: position > 0 ? 'a' : 'w' });
    this.#stream.on('error', (error) => {
      this.#failure = error;
    });
  }

  async line(text: string): Promise<void> {
    this.#pending += `${text}\n`;
    if (this.#pending.length >= 256 * 1024) await this.#write();
  }

  async flush(): Promise<void> {
    await this.#write();
    this.#stream.end();
    await once(this.#stream, 'close');
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #write(): Promise<void> {
    const text = this.#pending;
    this.#pending = '';
    if (this.#failure !== undefined) throw this.#failure;
    if (text !== '' && !this.#stream.write(text)) await once(this.#stream, 'drain');
  }
}
